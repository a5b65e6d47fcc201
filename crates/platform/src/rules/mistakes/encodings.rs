//! The right key, with its bytes in the wrong order or printed in a wrong format.

use zeroize::Zeroizing;

use super::{Mistake, base64};
use crate::rules::psk::PSK_BYTES;

const NO_ZEROS: &str = "the key was printed by %x, which leaves leading zeros out; print each byte by %02x, \
                        or give the client the 16 raw bytes";
const SIGNED: &str = "the key is hex text in which bytes from 0x80 on were printed as negative numbers \
                      (ffffff88); print unsigned char, and give the client the 16 raw bytes";
const PADDED: &str = "the key is the right one, filled with zeros; its length is 16 bytes";
const BASE64_URL: &str = "the key is the base64url text of the right key; give the client the 16 raw bytes";

/// See the module.
pub(super) fn of(key: &[u8; PSK_BYTES]) -> Vec<Mistake> {
    let reversed_in = |size: usize| -> Zeroizing<Vec<u8>> {
        Zeroizing::new(key.chunks(size).flat_map(|word| word.iter().rev().copied()).collect())
    };
    let (first, second) = key.split_at(PSK_BYTES / 2);
    let halves = Zeroizing::new([second, first].concat());
    let nibbles: Zeroizing<Vec<u8>> = Zeroizing::new(key.iter().map(|byte| byte.rotate_left(4)).collect());
    let mut mistakes = vec![
        Mistake::new(
            &reversed_in(2),
            "the key is the right one with the bytes of each 16-bit word exchanged; send them as they come \
             out of the hash",
        ),
        Mistake::new(
            &reversed_in(8),
            "the key is the right one with the bytes of each 64-bit word in reverse order; the hash is \
             big-endian",
        ),
        Mistake::new(&halves, "the key is the right one with its halves of 8 bytes exchanged"),
        Mistake::new(
            &nibbles,
            "the key is the right one with the two hex digits of each byte exchanged; the first digit is \
             the high one",
        ),
    ];
    for size in [24, 32] {
        let mut padded = Zeroizing::new(vec![0; size]);
        padded[..PSK_BYTES].copy_from_slice(key);
        mistakes.push(Mistake::new(&padded, PADDED));
    }
    let plain = base64::encode(key);
    let mut url = base64::encode(key);
    for byte in url.iter_mut() {
        *byte = match *byte {
            b'+' => b'-',
            b'/' => b'_',
            other => other,
        };
    }
    let padding = plain.iter().filter(|byte| **byte == b'=').count();
    mistakes.push(Mistake::new(&url, BASE64_URL));
    mistakes.push(Mistake::new(&url[..url.len() - padding], BASE64_URL));
    mistakes.push(Mistake::new(
        &plain[..plain.len() - padding],
        "the key is the base64 text of the right key; give the client the 16 raw bytes",
    ));
    mistakes.extend(printed(key));
    mistakes
}

/// Hex digits printed by a wrong format.
fn printed(key: &[u8; PSK_BYTES]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let by = |write: fn(u8) -> String| {
        // Allocated at its final size: a vector that grows leaves a copy of the key behind.
        let mut text = Zeroizing::new(Vec::with_capacity(8 * PSK_BYTES));
        for byte in key {
            text.extend_from_slice(Zeroizing::new(write(*byte)).as_bytes());
        }
        text
    };
    if key.iter().any(|byte| *byte < 0x10) {
        for text in [by(|byte| format!("{byte:x}")), by(|byte| format!("{byte:X}"))] {
            mistakes.push(Mistake::new(&text, NO_ZEROS));
        }
        let mut digits = by(|byte| format!("{byte:x}"));
        // An odd digit at the end is dropped, or stands for one byte.
        let odd = digits.len() % 2 == 1;
        let even = &digits[..digits.len() - usize::from(odd)];
        mistakes.extend(hex::decode(even).map(|bytes| Mistake::new(&Zeroizing::new(bytes), NO_ZEROS)));
        let mut filled = Zeroizing::new(hex::decode(even).unwrap_or_default());
        filled.resize(PSK_BYTES, 0);
        mistakes.push(Mistake::new(&filled, NO_ZEROS));
        if odd {
            digits.insert(0, b'0');
            mistakes
                .extend(hex::decode(&*digits).map(|bytes| Mistake::new(&Zeroizing::new(bytes), NO_ZEROS)));
        }
    }
    if key.iter().any(|byte| *byte >= 0x80) {
        let texts = [
            by(|byte| format!("{:02x}", i32::from(byte.cast_signed()))),
            by(|byte| format!("{:02X}", i32::from(byte.cast_signed()))),
            by(|byte| format!("{:x}", i32::from(byte.cast_signed()))),
        ];
        for text in texts {
            // Whole, and cut to what a client's field holds.
            for end in [text.len(), 64, 32, 16] {
                mistakes.push(Mistake::new(&text[..end.min(text.len())], SIGNED));
            }
        }
    }
    mistakes
}
