//! Wrong keys from the right secret: the hash cut at the wrong place, the key in another form or cut.

use zeroize::Zeroizing;

use super::{Mistake, base64, owned};
use crate::{
    rules::{
        identity::SecureMode,
        psk::{PSK_BYTES, hash},
    },
    secret::Secret,
};

const HEX_TEXT: &str = "the key is the hex text of the right key; give the client the 16 raw bytes \
                        (many tools want 0x before hex)";
const HASH_HEX_TEXT: &str = "the key is made of the hex digits of the hash, as text; \
                             cut bytes 9 to 24 out of the 32 raw bytes instead";

/// The right hash, cut at the wrong place.
pub(super) fn wrong_cuts(secret: &Secret) -> Vec<Mistake> {
    let hash = hash(secret.expose().as_bytes());
    let lower = Zeroizing::new(hex::encode(*hash));
    let upper = Zeroizing::new(hex::encode_upper(*hash));
    let (lower, upper) = (lower.as_bytes(), upper.as_bytes());
    let cuts: [(&[u8], &'static str); 17] = [
        (
            &hash[..16],
            "the key is the start of the hash; take bytes 9 to 24 of SHA-256 of the secret, counted from 1",
        ),
        (
            &hash[9..25],
            "the key is cut one byte too late; take bytes 9 to 24 counted from 1 (offset 8, length 16)",
        ),
        (
            &hash[7..23],
            "the key is cut one byte too early; take bytes 9 to 24 counted from 1 (offset 8, length 16)",
        ),
        (&hash[9..24], FIFTEEN),
        (&hash[8..23], FIFTEEN),
        (
            &hash[8..25],
            "the key has 17 bytes; take bytes 9 to 24 counted from 1, both included (offset 8, length 16)",
        ),
        (
            &hash[16..],
            "the key is the end of the hash; take bytes 9 to 24 of SHA-256 of the secret, counted from 1",
        ),
        (&hash[..], "the key is the whole hash of 32 bytes; take only bytes 9 to 24 of it, counted from 1"),
        (&lower[8..24], "the key is cut out of the hash's hex text; cut the 32 raw bytes instead"),
        (&upper[8..24], "the key is cut out of the hash's hex text; cut the 32 raw bytes instead"),
        (lower, HASH_HEX_TEXT),
        (upper, HASH_HEX_TEXT),
        (&lower[..32], HASH_HEX_TEXT),
        (&upper[..32], HASH_HEX_TEXT),
        (&lower[..16], HASH_HEX_TEXT),
        (&upper[..16], HASH_HEX_TEXT),
        (
            &base64::encode(&hash[..]),
            "the key is the base64 text of the hash; give the client bytes 9 to 24 of the raw hash, \
             counted from 1",
        ),
    ];
    cuts.map(|(bytes, detail)| Mistake::new(bytes, detail)).into()
}

const FIFTEEN: &str =
    "the key has 15 bytes; take bytes 9 to 24 counted from 1, both included (offset 8, length 16)";

/// The right key or secret, in the wrong form.
pub(super) fn wrong_forms(secret: &Secret, key: &[u8; PSK_BYTES]) -> Vec<Mistake> {
    let lower = Zeroizing::new(hex::encode(key));
    let upper = Zeroizing::new(hex::encode_upper(key));
    let prefixed = Zeroizing::new(["0x", lower.as_str()].concat());
    let secret = secret.expose().as_bytes();
    let reversed: Zeroizing<Vec<u8>> = Zeroizing::new(key.iter().rev().copied().collect());
    let swapped: Zeroizing<Vec<u8>> =
        Zeroizing::new(key.chunks(4).flat_map(|word| word.iter().rev().copied()).collect());
    let forms: [(&[u8], &'static str); 11] = [
        (lower.as_bytes(), HEX_TEXT),
        (upper.as_bytes(), HEX_TEXT),
        (
            prefixed.as_bytes(),
            "the client took 0x and the hex digits as the key's text; give it the 16 raw bytes (libcoap \
             before 4.3.5 knows no 0x)",
        ),
        (&lower.as_bytes()[..16], HALF_HEX_TEXT),
        (&upper.as_bytes()[..16], HALF_HEX_TEXT),
        (
            &base64::encode(key),
            "the key is the base64 text of the right key; give the client the 16 raw bytes",
        ),
        (secret, "the key is the secret itself; hash it first: bytes 9 to 24 of SHA-256 of the secret"),
        (
            &secret[..secret.len().min(16)],
            "the key is the start of the secret itself; hash the whole secret first: bytes 9 to 24 of its \
             SHA-256",
        ),
        (
            &base64::encode(secret),
            "the key is the base64 text of the secret; take bytes 9 to 24 of SHA-256 of the secret",
        ),
        (
            &reversed,
            "the key is the right one with its bytes in reverse order; send them as they come out of the \
             hash",
        ),
        (
            &swapped,
            "the key is the right one with the bytes of each 32-bit word in reverse order; the hash is \
             big-endian",
        ),
    ];
    forms.map(|(bytes, detail)| Mistake::new(bytes, detail)).into()
}

const HALF_HEX_TEXT: &str = "the key is the first half of the right key's hex text, cut to 16 characters; \
                             give the client the 16 raw bytes";

/// The right key, cut by something that takes it as text.
pub(super) fn cut_as_text(key: &[u8; PSK_BYTES], mode: SecureMode) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if let Some(zero) = key.iter().position(|byte| *byte == 0) {
        let otherwise = match mode {
            SecureMode::DeviceSecret => {
                ", or have a new secret made, whose key has no zero byte: narrowgate device reset"
            }
            SecureMode::ProductSecret => "",
        };
        let detail = |filled| {
            format!(
                "the key was cut at its zero byte, byte {} of {PSK_BYTES}{filled}: something takes it as \
                 text (strlen, a shell, libcoap 4.3.1); give the client hex, or the bytes with their length\
                 {otherwise}",
                zero + 1
            )
        };
        let mut padded = Zeroizing::new(*key);
        padded[zero..].fill(0);
        let left_out: Zeroizing<Vec<u8>> =
            Zeroizing::new(key.iter().copied().filter(|byte| *byte != 0).collect());
        mistakes.push(Mistake::new(&key[..zero], detail("")));
        mistakes.push(Mistake::new(&padded[..], detail(", and filled with zeros")));
        mistakes.push(Mistake::new(&left_out, LEFT_OUT));
    }
    if let Some(line_end) = key.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let detail = format!(
            "the key was cut at its byte {}, which is a line end: it was read as a line of text; read it \
             as bytes, or in hex",
            line_end + 1
        );
        mistakes.push(Mistake { psk: owned(&key[..line_end]), detail: detail.into() });
    }
    mistakes
}

const LEFT_OUT: &str = "the key lacks its zero bytes: a shell leaves them out of $(…); \
                        give the client the key in hex, or from a file";

/// Keys that were never set.
pub(super) fn empty() -> Vec<Mistake> {
    let unset: [([u8; PSK_BYTES], &'static str); 2] = [
        ([0; PSK_BYTES], "the key is all zeros: it was never set"),
        ([0xff; PSK_BYTES], "the key is all ones, as erased flash memory is: it was never written"),
    ];
    unset.map(|(bytes, detail)| Mistake::new(&bytes, detail)).into()
}
