//! A list of options in one allocation.

use std::fmt;

use crate::option::{OptionNumber, Uint, parse_uint};

/// Bytes before each value: number and length, two bytes each in native byte order.
const HEADER_BYTES: usize = 4;

/// Options in ascending order of their numbers, equal numbers in the order in which they were added.
///
/// All of them are in one vector, `number u16 | length u16 | value`, since most lists have one to three short
/// ones.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct OptionList {
    bytes: Vec<u8>,
}

impl OptionList {
    /// An empty list; does not allocate.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Adds an option after the ones with the same or a lower number. A value is cut at 65535 bytes, far
    /// beyond any message.
    pub fn insert(&mut self, number: OptionNumber, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        let mut at = 0;
        for (other, other_value) in self.iter() {
            if other > number {
                break;
            }
            at += HEADER_BYTES + other_value.len();
        }
        let [number_0, number_1] = number.0.to_ne_bytes();
        let [length_0, length_1] = (value.len() as u16).to_ne_bytes();
        let entry = [number_0, number_1, length_0, length_1].into_iter().chain(value.iter().copied());
        if at == self.bytes.len() {
            self.bytes.reserve(HEADER_BYTES + value.len());
            self.bytes.extend(entry);
        } else {
            self.bytes.splice(at..at, entry);
        }
    }

    /// Adds an option whose value is an unsigned integer.
    pub fn insert_uint(&mut self, number: OptionNumber, value: u32) {
        self.insert(number, Uint::new(value).as_bytes());
    }

    /// Removes all options with this number.
    pub fn remove(&mut self, number: OptionNumber) {
        self.retain(|other| other != number);
    }

    /// Keeps the options whose number passes.
    pub fn retain(&mut self, passes: impl Fn(OptionNumber) -> bool) {
        if self.iter().all(|(number, _)| passes(number)) {
            return;
        }
        let mut kept = Self::new();
        for (number, value) in self.iter().filter(|(number, _)| passes(*number)) {
            kept.insert(number, value);
        }
        *self = kept;
    }

    /// The bytes that it takes beside itself.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The value of the first option with this number.
    #[must_use]
    pub fn find(&self, number: OptionNumber) -> Option<&[u8]> {
        self.iter().find(|(other, _)| *other == number).map(|(_, value)| value)
    }

    /// The first option with this number, read as an unsigned integer; `None` also if it is longer than four
    /// bytes.
    #[must_use]
    pub fn find_uint(&self, number: OptionNumber) -> Option<u32> {
        self.find(number).and_then(parse_uint)
    }

    /// All options, in the order in which a message carries them.
    pub fn iter(&self) -> impl Iterator<Item = (OptionNumber, &[u8])> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (header, after) = rest.split_first_chunk::<HEADER_BYTES>()?;
            let [number_0, number_1, length_0, length_1] = *header;
            let length = usize::from(u16::from_ne_bytes([length_0, length_1]));
            let (value, others) = after.split_at_checked(length)?;
            rest = others;
            Some((OptionNumber(u16::from_ne_bytes([number_0, number_1])), value))
        })
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl fmt::Debug for OptionList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_out_in_order_whatever_the_order_in_which_they_went_in() {
        let mut list = OptionList::new();
        list.insert(OptionNumber(2100), b"/topic");
        list.insert_uint(OptionNumber::CONTENT_FORMAT, 50);
        list.insert(OptionNumber::ETAG, b"one");
        list.insert(OptionNumber::ETAG, b"two");
        let all: Vec<_> = list.iter().collect();
        assert_eq!(
            all,
            [
                (OptionNumber::ETAG, &b"one"[..]),
                (OptionNumber::ETAG, b"two"),
                (OptionNumber::CONTENT_FORMAT, &[50]),
                (OptionNumber(2100), b"/topic"),
            ]
        );
        assert_eq!(list.find_uint(OptionNumber::CONTENT_FORMAT), Some(50));
        assert_eq!(list.find(OptionNumber(2100)), Some(&b"/topic"[..]));
        assert_eq!(list.find(OptionNumber::MAX_AGE), None);
        list.remove(OptionNumber::ETAG);
        assert_eq!(list.iter().map(|(number, _)| number.0).collect::<Vec<_>>(), [12, 2100]);
    }
}
