//! AES-128-CBC with HMAC-SHA256 (RFC 5246, section 6.2.3.2; RFC 5487; RFC 7366).
//!
//! ```text
//! header             number, type, version, length
//! encrypt-then-MAC   IV | E(content, padding, padding_length) | MAC(header, IV, ciphertext)
//! MAC-then-encrypt   IV | E(content, MAC(header, content), padding, padding_length)
//! ```
//!
//! MAC-then-encrypt is open to Lucky Thirteen unless opening takes the same time whatever the padding says;
//! see the module `lucky13`.

use aes::{
    Aes128,
    cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, consts::U16},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    Random,
    discard::Discard,
    record::{Layout, RecordHeader},
    suite::lucky13::{check_padding, gather_mac, mac_of_secret_length},
};

const BLOCK_BYTES: usize = 16;
const MAC_BYTES: usize = 32;

/// Fragment of an empty plaintext. In either order: IV, MAC, and a block that is padding, wholly or with the
/// end of what was encrypted.
pub(super) const FRAGMENT_BYTES_MIN: usize = BLOCK_BYTES + MAC_BYTES + BLOCK_BYTES;

/// Whether MAC or encryption comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CbcOrder {
    /// RFC 7366.
    EncryptThenMac,
    /// RFC 5246.
    MacThenEncrypt,
}

/// Keys of one direction: in a box, so that a session of another suite, whose keys have less than half of
/// their size, does not pay for them.
pub(crate) struct CbcKeys {
    secrets: Box<Secrets>,
    order: CbcOrder,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Secrets {
    key: [u8; 16],
    mac: [u8; 32],
}

const _: () = assert!(CbcKeys::HEAP_BYTES <= 48, "there are two in each session with these keys");

impl CbcKeys {
    /// What is kept apart from a session, bytes.
    pub(super) const HEAP_BYTES: usize = size_of::<Secrets>();

    pub(super) fn new(key: [u8; 16], mac: [u8; 32], order: CbcOrder) -> Self {
        Self { secrets: Box::new(Secrets { key, mac }), order }
    }

    pub(super) fn order(&self) -> CbcOrder {
        self.order
    }

    /// Key, then MAC key.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.secrets.key);
        out.extend_from_slice(&self.secrets.mac);
    }

    /// Longest content of a fragment of at most `fragment` bytes.
    pub(super) fn plaintext_bytes_max(&self, fragment: usize) -> usize {
        let rest = fragment.saturating_sub(BLOCK_BYTES);
        match self.order {
            CbcOrder::EncryptThenMac => {
                (rest.saturating_sub(MAC_BYTES) / BLOCK_BYTES * BLOCK_BYTES).saturating_sub(1)
            }
            CbcOrder::MacThenEncrypt => (rest / BLOCK_BYTES * BLOCK_BYTES).saturating_sub(MAC_BYTES + 1),
        }
    }

    /// Appends the fragment.
    pub(super) fn seal(
        &self,
        layout: Layout<'_>,
        header: &RecordHeader,
        content: &[u8],
        rng: &mut dyn Random,
        out: &mut Vec<u8>,
    ) {
        let mut iv = [0; BLOCK_BYTES];
        rng.fill(&mut iv);
        let start = out.len();
        // At once: what grows before it is encrypted leaves its content behind.
        out.reserve(2 * BLOCK_BYTES + content.len() + MAC_BYTES);
        out.extend_from_slice(&iv);
        out.extend_from_slice(content);
        if self.order == CbcOrder::MacThenEncrypt {
            let mac = self.mac(&layout.additional_data(header, content.len()), content);
            out.extend_from_slice(&mac);
        }
        let inner = start + BLOCK_BYTES;
        let padding = BLOCK_BYTES - (out.len() - inner) % BLOCK_BYTES;
        out.resize(out.len() + padding, (padding - 1) as u8);
        encrypt(&self.secrets.key, &iv, &mut out[inner..]);
        if self.order == CbcOrder::EncryptThenMac {
            let sealed = &out[start..];
            let mac = self.mac(&layout.additional_data(header, sealed.len()), sealed);
            out.extend_from_slice(&mac);
        }
    }

    /// Opens a fragment in place.
    pub(super) fn open<'a>(
        &self,
        layout: Layout<'_>,
        header: &RecordHeader,
        fragment: &'a mut [u8],
    ) -> Result<&'a mut [u8], Discard> {
        match self.order {
            CbcOrder::EncryptThenMac => self.open_encrypt_then_mac(layout, header, fragment),
            CbcOrder::MacThenEncrypt => self.open_mac_then_encrypt(layout, header, fragment),
        }
    }

    fn open_encrypt_then_mac<'a>(
        &self,
        layout: Layout<'_>,
        header: &RecordHeader,
        fragment: &'a mut [u8],
    ) -> Result<&'a mut [u8], Discard> {
        let (sealed, mac) = fragment.split_last_chunk_mut::<MAC_BYTES>().ok_or(Discard::Unauthentic)?;
        let expected = self.mac(&layout.additional_data(header, sealed.len()), sealed);
        if !bool::from(expected.ct_eq(mac)) {
            return Err(Discard::Unauthentic);
        }
        let inner = self.decrypt(sealed, BLOCK_BYTES)?;
        let (padding_fits, padding) = check_padding(inner, 1);
        if padding_fits == 0 {
            return Err(Discard::Unauthentic);
        }
        let content = inner.len() - 1 - padding as usize;
        Ok(&mut inner[..content])
    }

    fn open_mac_then_encrypt<'a>(
        &self,
        layout: Layout<'_>,
        header: &RecordHeader,
        fragment: &'a mut [u8],
    ) -> Result<&'a mut [u8], Discard> {
        // The shortest: a MAC and one byte of padding length, rounded up to blocks.
        let inner = self.decrypt(fragment, MAC_BYTES + BLOCK_BYTES)?;
        let (padding_fits, padding) = check_padding(inner, MAC_BYTES + 1);
        // With bad padding continue as if there were none, so that the same work follows.
        let padding = padding & padding_fits;
        let content = inner.len() as u32 - MAC_BYTES as u32 - 1 - padding;
        let prefix = layout.additional_data(header, content as usize);
        let longest = inner.len() - MAC_BYTES - 1;
        let expected = mac_of_secret_length(&self.secrets.mac, &prefix, &inner[..longest], content);
        let received = gather_mac(inner, content);
        if !bool::from((padding_fits & 1).ct_eq(&1) & expected.ct_eq(&received)) {
            return Err(Discard::Unauthentic);
        }
        Ok(&mut inner[..content as usize])
    }

    /// Decrypts what follows the IV; the size must be whole blocks, at least `bytes_min`.
    fn decrypt<'a>(&self, sealed: &'a mut [u8], bytes_min: usize) -> Result<&'a mut [u8], Discard> {
        let (iv, inner) = sealed.split_first_chunk_mut::<BLOCK_BYTES>().ok_or(Discard::Unauthentic)?;
        if inner.len() < bytes_min || !inner.len().is_multiple_of(BLOCK_BYTES) {
            return Err(Discard::Unauthentic);
        }
        decrypt(&self.secrets.key, iv, inner);
        Ok(inner)
    }

    fn mac(&self, prefix: &[u8], content: &[u8]) -> [u8; MAC_BYTES] {
        hmac_sha256(&self.secrets.mac, &[prefix, content])
    }
}

/// HMAC-SHA256 over the concatenation of `parts`.
pub(super) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; MAC_BYTES] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes any key length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Encrypts whole blocks in place.
pub(super) fn encrypt(key: &[u8; 16], iv: &[u8; BLOCK_BYTES], blocks: &mut [u8]) {
    let (blocks, rest) = Array::<u8, U16>::slice_as_chunks_mut(blocks);
    debug_assert!(rest.is_empty());
    cbc::Encryptor::<Aes128>::new(key.into(), iv.into()).encrypt_blocks(blocks);
}

/// Decrypts whole blocks in place.
pub(super) fn decrypt(key: &[u8; 16], iv: &[u8; BLOCK_BYTES], blocks: &mut [u8]) {
    let (blocks, rest) = Array::<u8, U16>::slice_as_chunks_mut(blocks);
    debug_assert!(rest.is_empty());
    cbc::Decryptor::<Aes128>::new(key.into(), iv.into()).decrypt_blocks(blocks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codes::{ContentType, Version},
        record::RecordNumber,
    };

    const KEY: [u8; 16] = [1; 16];
    const MAC_KEY: [u8; 32] = [2; 32];
    const IV: [u8; BLOCK_BYTES] = [3; BLOCK_BYTES];

    fn header() -> RecordHeader {
        RecordHeader {
            content_type: ContentType::APPLICATION_DATA,
            version: Version::DTLS_1_2,
            number: RecordNumber { epoch: 1, sequence: 5 },
        }
    }

    /// A fragment with a good MAC around any padding, its length byte included.
    fn sealed(order: CbcOrder, content: &[u8], padding: &[u8]) -> Vec<u8> {
        let mut inner = content.to_vec();
        if order == CbcOrder::MacThenEncrypt {
            inner.extend(hmac_sha256(
                &MAC_KEY,
                &[&Layout::Plain.additional_data(&header(), content.len()), content],
            ));
        }
        inner.extend(padding);
        encrypt(&KEY, &IV, &mut inner);
        let mut fragment = [&IV[..], &inner].concat();
        if order == CbcOrder::EncryptThenMac {
            let prefix = Layout::Plain.additional_data(&header(), fragment.len());
            fragment.extend(hmac_sha256(&MAC_KEY, &[&prefix, &fragment.clone()]));
        }
        fragment
    }

    #[test]
    fn attack_024_wrong_padding_around_a_good_mac_is_dropped() {
        for order in [CbcOrder::EncryptThenMac, CbcOrder::MacThenEncrypt] {
            let keys = CbcKeys::new(KEY, MAC_KEY, order);
            let opens = |padding: &[u8]| {
                let mut fragment = sealed(order, b"temp=21.", padding);
                keys.open(Layout::Plain, &header(), &mut fragment).map(|content| content.to_vec())
            };
            for blocks in 0..16 {
                let length = 8 + blocks * BLOCK_BYTES;
                let good = vec![length as u8 - 1; length];
                assert_eq!(opens(&good), Ok(b"temp=21.".to_vec()));
                for index in 0..length {
                    let mut padding = good.clone();
                    padding[index] ^= 1;
                    assert_eq!(opens(&padding), Err(Discard::Unauthentic), "byte {index} of {length}");
                }
            }
            assert_eq!(opens(&[255; 8]), Err(Discard::Unauthentic), "more padding than record");
        }
    }
}
