//! Opening MAC-then-encrypt records in a time that does not depend on their padding (Lucky Thirteen).
//!
//! The padding's length is a secret until the MAC has been checked. The number of compressions and of
//! operations on bytes depends on the fragment's length alone: the padding is checked with masks, the inner
//! hash runs over the longest content that is possible and its state is picked at the block where the claimed
//! content ends, and the MAC is gathered from its place by masks and rotations. No branch and no index
//! depends on the secret. The compiler is kept from reasoning about it by `black_box` where it enters and
//! where one mask decides over many bytes; whether that is enough is measured by the example `timing`.

use std::hint::black_box;

use sha2::block_api::compress256;
use zeroize::Zeroize;

const MAC_BYTES: usize = 32;

/// Initial state of SHA-256 (FIPS 180-4, section 5.3.3).
const SHA256_INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// All ones when `left < right`, else zero. Both are lengths, far below 2^31.
fn mask_less(left: u32, right: u32) -> u32 {
    ((left.wrapping_sub(right) as i32) >> 31) as u32
}

/// All ones when both are equal, else zero. Both are lengths, far below 2^31.
fn mask_equal(left: u32, right: u32) -> u32 {
    mask_less(left ^ right, 1)
}

/// A mask that is all ones when the padding is well formed and leaves room for `reserved` bytes (its length
/// byte included), and the value of that byte. The last 256 bytes, or as many as there are, are all examined,
/// whatever their values. `inner` is not empty.
pub(super) fn check_padding(inner: &[u8], reserved: usize) -> (u32, u32) {
    let padding = black_box(u32::from(inner[inner.len() - 1]));
    let mut fits = !mask_less(inner.len() as u32, padding + reserved as u32);
    for (distance, &byte) in inner.iter().rev().take(256).enumerate() {
        let beyond = mask_less(padding, distance as u32);
        fits &= beyond | mask_equal(u32::from(byte), padding);
    }
    (black_box(fits), padding)
}

/// HMAC-SHA256 of `prefix` and the first `content_length` bytes of `longest`, by an amount of work that
/// depends on `longest.len()` alone.
pub(super) fn mac_of_secret_length(
    key: &[u8; 32],
    prefix: &[u8],
    longest: &[u8],
    content_length: u32,
) -> [u8; MAC_BYTES] {
    let mut inner_pad = [0x36; 64];
    let mut outer_pad = [0x5c; 64];
    for (index, byte) in key.iter().enumerate() {
        inner_pad[index] ^= byte;
        outer_pad[index] ^= byte;
    }
    let mut state = SHA256_INITIAL;
    compress256(&mut state, &[inner_pad]);

    let message_length = black_box(prefix.len() as u32 + content_length);
    let bit_length = (u64::from(64 + message_length) * 8).to_be_bytes();
    // The block that holds the last byte of the length; the end mark and the length take nine bytes.
    let last_block = (message_length + 8) / 64;
    let blocks = (prefix.len() + longest.len() + 9).div_ceil(64);
    let mut digest = [0u32; 8];
    for index in 0..blocks {
        let mut block = block_of(prefix, longest, index);
        let start = index as u32 * 64;
        for (offset, byte) in block.iter_mut().enumerate() {
            let position = start + offset as u32;
            *byte &= mask_less(position, message_length) as u8;
            *byte |= mask_equal(position, message_length) as u8 & 0x80;
        }
        let is_last = black_box(mask_equal(index as u32, last_block));
        for (byte, length) in block[56..].iter_mut().zip(bit_length) {
            *byte |= is_last as u8 & length;
        }
        compress256(&mut state, &[block]);
        for (word, now) in digest.iter_mut().zip(state) {
            *word |= now & is_last;
        }
    }
    let mac = finish_outer(&outer_pad, &digest);
    inner_pad.zeroize();
    outer_pad.zeroize();
    mac
}

/// Block number `index` of `prefix` and `longest`, filled up with zeros.
fn block_of(prefix: &[u8], longest: &[u8], index: usize) -> [u8; 64] {
    let mut block = [0; 64];
    let body = if index == 0 {
        block[..prefix.len()].copy_from_slice(prefix);
        &mut block[prefix.len()..]
    } else {
        &mut block[..]
    };
    let start = (index * 64).saturating_sub(prefix.len());
    let rest = longest.get(start..).unwrap_or_default();
    let count = rest.len().min(body.len());
    body[..count].copy_from_slice(&rest[..count]);
    block
}

/// The outer hash of HMAC over an inner digest: always two compressions.
fn finish_outer(outer_pad: &[u8; 64], digest: &[u32; 8]) -> [u8; MAC_BYTES] {
    let mut block = [0u8; 64];
    for (bytes, word) in block.chunks_exact_mut(4).zip(digest) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    block[32] = 0x80;
    block[56..].copy_from_slice(&((64 + 32) * 8u64).to_be_bytes());
    let mut state = SHA256_INITIAL;
    compress256(&mut state, &[*outer_pad, block]);
    let mut mac = [0; MAC_BYTES];
    for (bytes, word) in mac.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    mac
}

/// Copies the MAC that starts at the secret position `start`, by work that depends on the length alone.
pub(super) fn gather_mac(inner: &[u8], start: u32) -> [u8; MAC_BYTES] {
    let start = black_box(start);
    // Nothing before this can be the MAC: 255 bytes of padding, its length, the MAC.
    let first = inner.len().saturating_sub(255 + 1 + MAC_BYTES);
    let mut rotated = [0u8; MAC_BYTES];
    for (offset, &byte) in inner[first..].iter().enumerate() {
        let position = (first + offset) as u32;
        let inside = !mask_less(position, start) & mask_less(position, start + MAC_BYTES as u32);
        rotated[position as usize % MAC_BYTES] |= byte & inside as u8;
    }
    // rotated[(start + k) % 32] is byte k: rotate left by start % 32, one binary digit at a time.
    for digit in 0..5 {
        // A compiler that knows that the mask is all or nothing jumps over the work instead of masking it.
        let mask = black_box(mask_equal(start >> digit & 1, 1) as u8);
        let mut shifted = rotated;
        shifted.rotate_left(1 << digit);
        for (byte, other) in rotated.iter_mut().zip(shifted) {
            *byte = *byte & !mask | other & mask;
        }
    }
    rotated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{record::AdditionalData, suite::cbc_sha256::hmac_sha256};

    #[test]
    fn masks_compare() {
        for (left, right) in [(0, 0), (0, 1), (1, 0), (7, 7), (1 << 20, 3), (3, 1 << 20)] {
            assert_eq!(mask_less(left, right), if left < right { u32::MAX } else { 0 });
            assert_eq!(mask_equal(left, right), if left == right { u32::MAX } else { 0 });
        }
    }

    #[test]
    fn the_mac_of_a_secret_length_is_the_ordinary_mac() {
        let key = [7; 32];
        let longest: Vec<u8> = (0..400u32).map(|index| (index * 7) as u8).collect();
        for prefix in [13, 29, AdditionalData::BYTES_MAX].map(|bytes| vec![9; bytes]) {
            for length in 0..=400 {
                let expected = hmac_sha256(&key, &[&prefix, &longest[..length]]);
                let mac = mac_of_secret_length(&key, &prefix, &longest, length as u32);
                assert_eq!(mac, expected, "{} and {length}", prefix.len());
            }
        }
    }

    #[test]
    fn the_mac_is_gathered_from_every_place() {
        let inner: Vec<u8> = (0..400u32).map(|index| (index * 13 % 251) as u8).collect();
        for start in 400 - 255 - 1 - 32..=400 - 1 - 32 {
            assert_eq!(gather_mac(&inner, start as u32), inner[start..start + 32]);
        }
    }

    #[test]
    fn padding_must_be_whole_and_leave_room() {
        let inner = |padding: u8, changed: Option<usize>| {
            let mut inner = vec![0xee; 304 - usize::from(padding) - 1];
            inner.resize(304, padding);
            if let Some(distance) = changed {
                inner[303 - distance] ^= 1;
            }
            inner
        };
        for padding in 0..=255 {
            let (fits, length) = check_padding(&inner(padding, None), 33);
            assert!(fits == u32::MAX && length == u32::from(padding));
            for distance in 1..=usize::from(padding) {
                assert!(check_padding(&inner(padding, Some(distance)), 33).0 == 0);
            }
        }
        assert_eq!(check_padding(&[255; 48], 33).0, 0);
        assert_eq!(check_padding(&[15; 48], 33).0, u32::MAX);
        assert_eq!(check_padding(&[16; 48], 33).0, 0);
    }
}
