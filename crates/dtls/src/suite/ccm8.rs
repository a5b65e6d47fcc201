//! AES-128-CCM with an 8-byte tag (RFC 6655). A fragment is explicit nonce (8) | ciphertext | tag (8); the
//! nonce is salt (4) | epoch and sequence (8), so it never repeats while record numbers do not.

use aes::Aes128;
use ccm::{
    AeadInOut, Ccm, KeyInit, NonceSize,
    aead::array::{Array, ArraySize},
    consts::{U8, U12},
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    discard::Discard,
    record::{Layout, RecordHeader},
};

const EXPLICIT_NONCE_BYTES: usize = 8;
const TAG_BYTES: usize = 8;

/// Bytes of a fragment beside its plaintext.
pub(super) const OVERHEAD_BYTES: usize = EXPLICIT_NONCE_BYTES + TAG_BYTES;

/// Key and salt (`client_write_IV` or `server_write_IV`) of one direction.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Ccm8Keys {
    key: [u8; 16],
    salt: [u8; 4],
}

impl Ccm8Keys {
    pub(super) fn new(key: [u8; 16], salt: [u8; 4]) -> Self {
        Self { key, salt }
    }

    /// Key, then salt.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.salt);
    }

    /// Appends the fragment.
    pub(super) fn seal(
        &self,
        layout: Layout<'_>,
        header: &RecordHeader,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) {
        let explicit = header.number.to_bytes();
        out.extend_from_slice(&explicit);
        let start = out.len();
        out.extend_from_slice(plaintext);
        let aad = layout.additional_data(header, plaintext.len());
        let tag = seal_in_place::<U12>(&self.key, &self.nonce(explicit), &aad, &mut out[start..]);
        out.extend_from_slice(&tag);
    }

    /// Opens a fragment in place.
    pub(super) fn open<'a>(
        &self,
        layout: Layout<'_>,
        header: &RecordHeader,
        fragment: &'a mut [u8],
    ) -> Result<&'a mut [u8], Discard> {
        let (explicit, rest) =
            fragment.split_first_chunk_mut::<EXPLICIT_NONCE_BYTES>().ok_or(Discard::Unauthentic)?;
        let (content, tag) = rest.split_last_chunk_mut::<TAG_BYTES>().ok_or(Discard::Unauthentic)?;
        let aad = layout.additional_data(header, content.len());
        if open_in_place::<U12>(&self.key, &self.nonce(*explicit), &aad, content, tag) {
            Ok(content)
        } else {
            Err(Discard::Unauthentic)
        }
    }

    fn nonce(&self, explicit: [u8; EXPLICIT_NONCE_BYTES]) -> Array<u8, U12> {
        let mut nonce = Array::default();
        nonce[..4].copy_from_slice(&self.salt);
        nonce[4..].copy_from_slice(&explicit);
        nonce
    }
}

/// Encrypts `buffer` and returns the tag. Generic over the nonce's length only for the published vectors.
pub(super) fn seal_in_place<N>(
    key: &[u8; 16],
    nonce: &Array<u8, N>,
    aad: &[u8],
    buffer: &mut [u8],
) -> [u8; TAG_BYTES]
where
    N: ArraySize + NonceSize,
{
    let tag = Ccm::<Aes128, U8, N>::new(key.into()).encrypt_inout_detached(nonce, aad, buffer.into());
    tag.expect("a record is shorter than the 2^16 bytes that CCM's longest nonce leaves").into()
}

/// Decrypts `buffer`; false, with nothing readable left in it, if the tag does not match.
pub(super) fn open_in_place<N>(
    key: &[u8; 16],
    nonce: &Array<u8, N>,
    aad: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> bool
where
    N: ArraySize + NonceSize,
{
    let cipher = Ccm::<Aes128, U8, N>::new(key.into());
    cipher.decrypt_inout_detached(nonce, aad, buffer.into(), tag.into()).is_ok()
}
