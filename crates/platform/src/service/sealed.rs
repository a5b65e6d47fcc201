//! Cursors that tell nothing: where the rows of a list belong to several organisation units, the place of one
//! would tell a unit of the others.
//!
//! A place is encrypted with a key of the process, with a random number of its own, and authenticated. After
//! a restart such a cursor is none any more.

use std::sync::{Arc, OnceLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{cursor::foreign, error::ServiceError};
use crate::{hex, paging::Place, ports::Entropy};

const NONCE_BYTES: usize = 16;
const PLACE_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// The bytes of a text are filled up to a multiple of these.
const TEXT_BYTES: usize = 64;

/// Seals and opens them. Clones have the same key, which is drawn when it is first needed.
#[derive(Clone, Default)]
pub(super) struct Seals(Arc<OnceLock<[u8; 32]>>);

impl Seals {
    /// The cursor of a place in the list of this name.
    pub(super) fn seal(&self, list: &str, Place(numbers): Place, entropy: &dyn Entropy) -> String {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        let mut place: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        self.mask(list, &nonce, &mut place, entropy);
        let tag = self.tag(list, &nonce, &place, entropy);
        format!("{list}-{}", hex::write(&[&nonce[..], &place, &tag].concat()))
    }

    /// The place of a cursor.
    ///
    /// # Errors
    /// It is none of this list, or of another process.
    pub(super) fn open(
        &self,
        list: &str,
        cursor: &str,
        entropy: &dyn Entropy,
    ) -> Result<Place, ServiceError> {
        let digits = cursor.strip_prefix(list).and_then(|rest| rest.strip_prefix('-')).ok_or_else(foreign)?;
        if digits.len() != 2 * (NONCE_BYTES + PLACE_BYTES + TAG_BYTES) {
            return Err(foreign());
        }
        let bytes = hex::read(digits).map_err(|_| foreign())?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(foreign)?;
        let (place, tag) = rest.split_at_checked(PLACE_BYTES).ok_or_else(foreign)?;
        if !bool::from(self.tag(list, nonce, place, entropy).ct_eq(tag)) {
            return Err(foreign());
        }
        let mut place = place.to_vec();
        self.mask(list, nonce, &mut place, entropy);
        let mut numbers = [0; 4];
        for (number, bytes) in numbers.iter_mut().zip(place.as_chunks().0) {
            *number = i64::from_be_bytes(*bytes);
        }
        Ok(Place(numbers))
    }

    /// The cursor of a text in the list of this name; it has the length of those of shorter texts, too.
    pub(super) fn seal_text(&self, list: &str, text: &str, entropy: &dyn Entropy) -> String {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        // A text of ours ends before its first NUL.
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize((text.len() + 1).next_multiple_of(TEXT_BYTES), 0);
        self.mask_text(list, &nonce, &mut bytes, entropy);
        let tag = self.hash(b"text", list, &[&nonce, &bytes], entropy);
        format!("{list}-{}", hex::write(&[&nonce[..], &bytes, &tag[..TAG_BYTES]].concat()))
    }

    /// The text of a cursor.
    ///
    /// # Errors
    /// It is none of this list, or of another process.
    pub(super) fn open_text(
        &self,
        list: &str,
        cursor: &str,
        entropy: &dyn Entropy,
    ) -> Result<String, ServiceError> {
        let digits = cursor.strip_prefix(list).and_then(|rest| rest.strip_prefix('-')).ok_or_else(foreign)?;
        let bytes = hex::read(digits).map_err(|_| foreign())?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(foreign)?;
        let length = rest.len().checked_sub(TAG_BYTES).filter(|length| length.is_multiple_of(TEXT_BYTES));
        let (masked, tag) = rest.split_at(length.ok_or_else(foreign)?);
        let known = self.hash(b"text", list, &[nonce, masked], entropy);
        if !bool::from(known[..TAG_BYTES].ct_eq(tag)) {
            return Err(foreign());
        }
        let mut text = masked.to_vec();
        self.mask_text(list, nonce, &mut text, entropy);
        let end = text.iter().position(|byte| *byte == 0).ok_or_else(foreign)?;
        text.truncate(end);
        String::from_utf8(text).map_err(|_| foreign())
    }

    /// Each block has a hash of its own.
    fn mask_text(&self, list: &str, nonce: &[u8], text: &mut [u8], entropy: &dyn Entropy) {
        for (number, block) in (0_u64..).zip(text.chunks_mut(PLACE_BYTES)) {
            let stream = self.hash(b"mast", list, &[nonce, &number.to_be_bytes()], entropy);
            block.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
        }
    }

    fn key(&self, entropy: &dyn Entropy) -> &[u8; 32] {
        self.0.get_or_init(|| {
            let mut key = [0; 32];
            entropy.fill(&mut key);
            key
        })
    }

    /// A place has the length of one hash: a nonce is used for one.
    fn mask(&self, list: &str, nonce: &[u8], place: &mut [u8], entropy: &dyn Entropy) {
        let stream = self.hash(b"mask", list, &[nonce], entropy);
        place.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
    }

    fn tag(&self, list: &str, nonce: &[u8], place: &[u8], entropy: &dyn Entropy) -> [u8; TAG_BYTES] {
        let hash = self.hash(b"seal", list, &[nonce, place], entropy);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&hash[..TAG_BYTES]);
        tag
    }

    /// All that goes in has a fixed length but the name of the list, which is last, and a text, whose length
    /// is a multiple of [`TEXT_BYTES`]: no name of a list is that long.
    fn hash(&self, what: &[u8; 4], list: &str, parts: &[&[u8]], entropy: &dyn Entropy) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(self.key(entropy)).expect("a key may have any length");
        let mac = parts.iter().fold(mac.chain_update(what), |mac, part| mac.chain_update(part));
        mac.chain_update(list).finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn a_sealed_cursor_comes_back_and_tells_nothing_of_its_place() {
        let (seals, entropy) = (Seals::default(), SeededEntropy::new(1));
        for place in [[0; 4], [i64::MIN, -1, 7, i64::MAX], [1_700_000_000_000, 17, 3, 0]].map(Place) {
            let [first, second] = [(); 2].map(|()| seals.seal("r", place, &entropy));
            assert_ne!(first, second, "nor that it is the same");
            for number in place.0.iter().filter(|number| **number > 9) {
                assert!(!first.contains(&format!("{number:x}")), "{first}");
            }
            for cursor in [first, second] {
                assert_eq!(seals.clone().open("r", &cursor, &entropy).ok(), Some(place));
                assert!(seals.open("s", &cursor, &entropy).is_err());
                assert!(Seals::default().open("r", &cursor, &entropy).is_err(), "of another process");
                for at in 2..cursor.len() {
                    let mut forged = cursor.clone().into_bytes();
                    forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
                    let forged = String::from_utf8(forged).expect("they are digits");
                    assert!(seals.open("r", &forged, &entropy).is_err(), "{at}");
                }
            }
        }
        for text in ["", "d", "867725030096431", &"\u{e9}".repeat(64)] {
            let cursor = seals.seal_text("k", text, &entropy);
            assert_eq!(seals.open_text("k", &cursor, &entropy).ok().as_deref(), Some(text));
            assert!(text.len() < 4 || !cursor.contains(&hex::write(text.as_bytes())), "{cursor}");
            assert!(seals.open_text("l", &cursor, &entropy).is_err());
            for at in 2..cursor.len() {
                let mut forged = cursor.clone().into_bytes();
                forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
                let forged = String::from_utf8(forged).expect("they are digits");
                assert!(seals.open_text("k", &forged, &entropy).is_err(), "{at}");
            }
            assert!(seals.open_text("k", &cursor[..cursor.len() - 2], &entropy).is_err());
        }
        assert!(seals.open_text("r", &seals.seal("r", Place([1; 4]), &entropy), &entropy).is_err());
        for text in ["", "r", "r-", "r-1-2-3-4", &format!("r-{}", "0".repeat(128)), &"r-".repeat(65)] {
            assert!(seals.open("r", text, &entropy).is_err(), "{text}");
        }
    }
}
