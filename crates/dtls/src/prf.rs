//! The pseudorandom function of TLS 1.2 with SHA-256 (RFC 5246, section 5).
//!
//! ```text
//! A(0) = label + seed      A(i) = HMAC(secret, A(i-1))
//! PRF  = HMAC(secret, A(1) + label + seed) + HMAC(secret, A(2) + label + seed) + ...
//! ```

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The function under one secret. The secret is hashed once, not at each use; its state is zeroed on drop.
pub(crate) struct Prf(Hmac<Sha256>);

impl Prf {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(<Hmac<Sha256> as KeyInit>::new_from_slice(secret).expect("HMAC takes any key length"))
    }

    /// Fills `out`. The seed is the concatenation of `seed`'s parts.
    pub(crate) fn fill(&self, label: &[u8], seed: &[&[u8]], out: &mut [u8]) {
        let with_seed = |mut mac: Hmac<Sha256>| {
            mac.update(label);
            seed.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes()
        };
        let mut a = with_seed(self.0.clone());
        for (index, chunk) in out.chunks_mut(32).enumerate() {
            if index > 0 {
                let mut mac = self.0.clone();
                mac.update(&a);
                a = mac.finalize().into_bytes();
            }
            let mut mac = self.0.clone();
            mac.update(&a);
            chunk.copy_from_slice(&with_seed(mac)[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sha_256_vector_fits() {
        let text = include_str!("../../../vectors/prf.txt");
        let value = |name: &str| {
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)).expect("the name is in the file");
            line.trim().to_owned()
        };
        let bytes = |name: &str| hex::decode(value(name)).expect("hex");
        let expected = bytes("output");
        let mut out = vec![0; expected.len()];
        Prf::new(&bytes("secret")).fill(value("label").as_bytes(), &[&bytes("seed")], &mut out);
        assert_eq!(out, expected);
    }
}
