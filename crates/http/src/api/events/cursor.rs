//! Cursors of live events: 32 hexadecimal digits that say nothing to who holds them.
//!
//! A place counts what happens in all organisation units, so whoever could read it would know how much
//! others report. So it is one block of AES under a key of the store. Whoever makes up a cursor gets a place
//! that the store has never reached, or, once in 2^24 times, one that is no secret: a follower sees its unit
//! alone.
//!
//! ```text
//! epoch (5 bytes) | sequence (6) | part (2) | zeros (3)
//! ```

use std::fmt;

use aes::{
    Aes128,
    cipher::{Array, BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _},
};
use narrowgate_platform::{ids::Position, model::happened::StreamPlace};

/// Digits of a cursor.
const DIGITS: usize = 32;

/// The key of the cursors of a store: the same after every start, so that they are read again.
#[derive(Clone)]
pub struct CursorKey(Aes128);

impl CursorKey {
    /// With this key.
    pub fn new(key: [u8; 16]) -> Self {
        Self(Aes128::new(&Array::from(key)))
    }

    /// The cursor of a place.
    pub(super) fn seal(&self, place: StreamPlace) -> String {
        let StreamPlace { position: Position { epoch, sequence }, part } = place;
        let number = (u128::from(epoch & 0xff_ffff_ffff) << 88)
            | (u128::from(sequence & 0xffff_ffff_ffff) << 40)
            | (u128::from(part) << 24);
        let mut block = Array::from(number.to_be_bytes());
        self.0.encrypt_block(&mut block);
        let bytes: [u8; 16] = block.into();
        format!("{:0DIGITS$x}", u128::from_be_bytes(bytes))
    }

    /// The place of a cursor; `None`: it is none of this store.
    pub(super) fn open(&self, cursor: &str) -> Option<StreamPlace> {
        if !is_cursor(cursor) {
            return None;
        }
        let mut block = Array::from(u128::from_str_radix(cursor, 16).ok()?.to_be_bytes());
        self.0.decrypt_block(&mut block);
        let bytes: [u8; 16] = block.into();
        let number = u128::from_be_bytes(bytes);
        let bits = |from: u32, count: u32| (number >> from) & ((1 << count) - 1);
        let whole = |bits: u128| u64::try_from(bits).ok();
        let position = Position { epoch: whole(bits(88, 40))?, sequence: whole(bits(40, 48))? };
        let part = u16::try_from(bits(24, 16)).ok()?;
        (bits(0, 24) == 0).then_some(StreamPlace { position, part })
    }
}

/// Whether a text has the form of a cursor.
pub(super) fn is_cursor(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(epoch: u64, sequence: u64, part: u16) -> StreamPlace {
        StreamPlace { position: Position { epoch, sequence }, part }
    }

    #[test]
    fn a_cursor_is_read_with_its_key_and_with_no_other() {
        let (key, other) = (CursorKey::new([1; 16]), CursorKey::new([2; 16]));
        for place in [
            StreamPlace::START,
            place(1, 1, 0),
            place(7, 1_000_000, 3),
            place((1 << 40) - 1, (1 << 48) - 1, u16::MAX),
        ] {
            let cursor = key.seal(place);
            assert!(is_cursor(&cursor));
            assert_eq!(key.open(&cursor), Some(place));
            assert_eq!(other.open(&cursor), None);
            assert_eq!(key.open(&cursor[1..]), None);
        }
        for text in ["", "3-9", &"0".repeat(32), &"G".repeat(32), &"F".repeat(32), "é"] {
            assert_eq!(key.open(text), None, "{text}");
        }
    }

    #[test]
    fn neighbours_have_nothing_in_common() {
        let key = CursorKey::new([1; 16]);
        let cursors: Vec<_> = (1..100).map(|sequence| key.seal(place(1, sequence, 0))).collect();
        let same = |one: &str, other: &str| one.bytes().zip(other.bytes()).filter(|(a, b)| a == b).count();
        assert!(cursors.windows(2).all(|pair| same(&pair[0], &pair[1]) < 12));
    }
}
