//! From a secret to the pre-shared key of DTLS (device protocol, section 2): bytes 9 to 24, counted from 1,
//! of SHA-256 of the secret.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Length of a key, in bytes.
pub const PSK_BYTES: usize = 16;

/// The key that belongs to a secret.
pub fn psk(secret: &Secret) -> Zeroizing<[u8; PSK_BYTES]> {
    derive(secret.expose().as_bytes())
}

/// The key that belongs to a secret of these bytes: for devices, which know their secret as bytes.
pub fn derive(secret: &[u8]) -> Zeroizing<[u8; PSK_BYTES]> {
    middle(&hash(secret))
}

/// A mark of a secret, by which another one is told from it. It has nothing in common with the key.
pub fn mark(secret: &Secret) -> u32 {
    let hash: [u8; 32] =
        Sha256::new().chain_update("narrowgate mark of ").chain_update(secret.expose()).finalize().into();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// SHA-256 of some bytes, wiped when dropped.
pub(super) fn hash(bytes: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(Sha256::digest(bytes).into())
}

/// The part of a hash that is the key.
pub(super) fn middle(hash: &[u8; 32]) -> Zeroizing<[u8; PSK_BYTES]> {
    let mut key = Zeroizing::new([0; PSK_BYTES]);
    key.copy_from_slice(&hash[8..24]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of `secret sha256 psk`, from the device protocol.
    const VECTORS: &str = include_str!("../../../../vectors/psk.txt");

    #[test]
    fn a_mark_tells_secrets_apart() {
        let mark = |secret: &str| mark(&Secret::new(secret.to_owned()));
        assert_eq!(mark("c3PW03srd6c"), mark("c3PW03srd6c"));
        assert_ne!(mark("c3PW03srd6c"), mark("c3PW03srd6d"));
    }

    #[test]
    fn attack_080_keys_are_bytes_9_to_24_of_the_hash() {
        let mut count = 0;
        for line in VECTORS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let mut words = line.split_whitespace();
            let (Some(secret), Some(digest), Some(psk)) = (words.next(), words.next(), words.next()) else {
                panic!("a vector has three words: {line}");
            };
            assert_eq!(hex::encode(*hash(secret.as_bytes())), digest);
            assert_eq!(hex::encode(*derive(secret.as_bytes())), psk);
            count += 1;
        }
        assert_eq!(count, 5);
    }

    #[test]
    fn attack_080_keys_are_the_published_vectors() {
        for (secret, key) in [
            ("Z5YtZaQpK5IWocakV7zQ", "2e87da0cb9cad2c1fb7369531ce9644a"),
            ("c3PW03srd6c", "be7d6a5e5b2ba12f59024d7633b964e8"),
            ("deviceSecret", "6e18b252b00458f08bd2f8f82fb40cf2"),
            ("z8FwQzHg4DAOQQUfrpl4", "5a835659f98812e0fcbeb649ff0f497f"),
            ("abc", "414140de5dae2223b00361a396177a9c"),
        ] {
            assert_eq!(hex::encode(*psk(&Secret::new(secret.to_owned()))), key, "{secret}");
        }
    }
}
