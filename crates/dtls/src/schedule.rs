//! From the pre-shared key to the keys of the records: premaster secret (RFC 4279, section 2), master secret
//! (RFC 5246, section 8.1; RFC 7627, section 4), key block (RFC 5246, section 6.3), verify_data (RFC 5246,
//! section 7.4.9).

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    codes::CipherSuite,
    limits::PSK_BYTES_MAX,
    prf::Prf,
    secret::Psk,
    suite::{CbcOrder, DirectionKeys},
};

/// An end of the association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// What both ends agreed on, as far as the keys depend on it.
#[derive(Debug, Clone)]
pub(crate) struct Agreement {
    pub(crate) suite: CipherSuite,
    pub(crate) encrypt_then_mac: bool,
    pub(crate) extended_master_secret: bool,
    pub(crate) client_random: [u8; 32],
    pub(crate) server_random: [u8; 32],
}

/// The 48 bytes that everything else is derived from; only the function keyed with them is kept.
pub(crate) struct MasterSecret(Prf);

impl MasterSecret {
    /// `session_hash` covers ClientHello to ClientKeyExchange, both included.
    pub(crate) fn derive(psk: &Psk, agreement: &Agreement, session_hash: &[u8; 32]) -> Self {
        let mut premaster = Zeroizing::new([0; 2 * (2 + PSK_BYTES_MAX)]);
        let key = psk.as_bytes();
        let length = (key.len() as u16).to_be_bytes();
        // length | that many zeros | length | key
        premaster[..2].copy_from_slice(&length);
        premaster[2 + key.len()..][..2].copy_from_slice(&length);
        premaster[4 + key.len()..][..key.len()].copy_from_slice(key);
        let premaster = &premaster[..2 * (2 + key.len())];
        let prf = Prf::new(premaster);
        let mut master = Zeroizing::new([0; 48]);
        if agreement.extended_master_secret {
            prf.fill(b"extended master secret", &[session_hash], &mut *master);
        } else {
            let seed: [&[u8]; 2] = [&agreement.client_random, &agreement.server_random];
            prf.fill(b"master secret", &seed, &mut *master);
        }
        Self(Prf::new(&*master))
    }

    /// Derives the keys of both directions.
    pub(crate) fn expand(&self, agreement: &Agreement) -> KeyPair {
        let mut block = Zeroizing::new([0; 96]);
        let (mac, salt) = match agreement.suite {
            CipherSuite::PskAes128Ccm8 => (0, 4),
            CipherSuite::PskAes128CbcSha256 => (32, 0),
        };
        let block = &mut block[..2 * (mac + 16 + salt)];
        let seed: [&[u8]; 2] = [&agreement.server_random, &agreement.client_random];
        self.0.fill(b"key expansion", &seed, block);
        let (macs, rest) = block.split_at(2 * mac);
        let (keys, salts) = rest.split_at(32);
        let direction = |index: usize| match agreement.suite {
            CipherSuite::PskAes128Ccm8 => DirectionKeys::ccm8(part(keys, index), part(salts, index)),
            CipherSuite::PskAes128CbcSha256 => {
                let order = if agreement.encrypt_then_mac {
                    CbcOrder::EncryptThenMac
                } else {
                    CbcOrder::MacThenEncrypt
                };
                DirectionKeys::cbc(part(keys, index), part(macs, index), order)
            }
        };
        KeyPair { client: direction(0), server: direction(1) }
    }

    /// Content of the Finished that `role` sends after messages with this hash.
    pub(crate) fn verify_data(&self, role: Role, transcript_hash: &[u8; 32]) -> VerifyData {
        let label: &[u8] = match role {
            Role::Client => b"client finished",
            Role::Server => b"server finished",
        };
        let mut verify_data = [0; 12];
        self.0.fill(label, &[transcript_hash], &mut verify_data);
        VerifyData(verify_data)
    }
}

/// Half number `index` of a part of the key block. The callers' slices are 2 * N long by construction.
fn part<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
    bytes[index * N..][..N].try_into().expect("the slice was cut to N bytes")
}

/// Keys of both directions.
pub(crate) struct KeyPair {
    pub(crate) client: DirectionKeys,
    pub(crate) server: DirectionKeys,
}

/// The 12 bytes of a Finished. Not secret once the Finished was sent, but compared in constant time before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VerifyData(pub(crate) [u8; 12]);

impl VerifyData {
    /// Constant-time comparison with what arrived.
    pub(crate) fn matches(&self, received: &[u8]) -> bool {
        self.0.ct_eq(received).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(extended_master_secret: bool) -> Agreement {
        Agreement {
            suite: CipherSuite::PskAes128Ccm8,
            encrypt_then_mac: false,
            extended_master_secret,
            client_random: [1; 32],
            server_random: [2; 32],
        }
    }

    #[test]
    fn the_longest_key_fits_the_premaster_secret() {
        let psk = Psk::new(&[9; 64]).expect("64 bytes");
        let shorter = Psk::new(&[9; 63]).expect("63 bytes");
        let verify_data = |psk| {
            MasterSecret::derive(psk, &agreement(false), &[0; 32]).verify_data(Role::Client, &[0; 32]).0
        };
        assert_ne!(verify_data(&psk), verify_data(&shorter));
    }

    #[test]
    fn the_session_hash_counts_only_with_the_extension() {
        let psk = Psk::new(b"key").expect("3 bytes");
        let verify_data = |extended, hash| {
            let master = MasterSecret::derive(&psk, &agreement(extended), &[hash; 32]);
            master.verify_data(Role::Client, &[0; 32]).0
        };
        assert_eq!(verify_data(false, 1), verify_data(false, 2));
        assert_ne!(verify_data(true, 1), verify_data(true, 2));
    }
}
