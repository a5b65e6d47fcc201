//! Reads heads of CBOR items and the strings behind them (RFC 8949, section 3), with the place of each fault.

use super::{Fault, number::from_half};

/// What a head says. A length is `None` where it is indefinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Item {
    Unsigned(u64),
    /// -1 minus this.
    Negative(u64),
    Bytes(Option<u64>),
    Text(Option<u64>),
    Array(Option<u64>),
    Map(Option<u64>),
    Tag(u64),
    Simple(u8),
    Float(f64),
    /// Ends what has an indefinite length.
    Break,
}

#[derive(Clone, Copy)]
enum StringKind {
    Bytes,
    Text,
}

/// A place in the bytes of a body.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// How many bytes follow.
    pub(super) fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next head.
    pub(super) fn item(&mut self) -> Result<Item, Fault> {
        let start = self.at;
        let first = self.take(start, 1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        let argument = match info {
            0..24 => Some(u64::from(info)),
            24..28 => {
                let bytes = self.take(start, 1 << (info - 24))?;
                Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            31 if matches!(major, 2..=5 | 7) => None,
            _ => return Err(Fault::malformed(start, format!("0x{first:02X} begins no item"))),
        };
        Ok(match (major, argument) {
            (0, Some(number)) => Item::Unsigned(number),
            (1, Some(number)) => Item::Negative(number),
            (2, length) => Item::Bytes(length),
            (3, length) => Item::Text(length),
            (4, length) => Item::Array(length),
            (5, length) => Item::Map(length),
            (6, Some(tag)) => Item::Tag(tag),
            (_, None) => Item::Break,
            (_, Some(argument)) => match info {
                25 => Item::Float(from_half(argument as u16)),
                26 => Item::Float(f64::from(f32::from_bits(argument as u32))),
                27 => Item::Float(f64::from_bits(argument)),
                // RFC 8949, section 3.3: these have a form of one byte, and two are not well-formed.
                24 if argument < 32 => {
                    return Err(Fault::malformed(start, format!("0xF8{argument:02X} is not a simple value")));
                }
                _ => Item::Simple(argument as u8),
            },
        })
    }

    /// Whether the next byte is a break; skips it then.
    pub(super) fn skip_break(&mut self) -> bool {
        let is_break = self.bytes.get(self.at) == Some(&0xff);
        self.at += usize::from(is_break);
        is_break
    }

    /// Gives each piece of a text whose head, at `start`, was read.
    pub(super) fn text(
        &mut self,
        start: usize,
        length: Option<u64>,
        mut each: impl FnMut(&'a str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.pieces(start, length, StringKind::Text, |offset, bytes| match std::str::from_utf8(bytes) {
            Ok(text) => each(text),
            Err(error) => {
                let at = offset + error.valid_up_to();
                Err(Fault::malformed(at, "a text is not UTF-8; send bytes as a byte string"))
            }
        })
    }

    /// Gives each piece of a byte string whose head, at `start`, was read.
    pub(super) fn byte_string(
        &mut self,
        start: usize,
        length: Option<u64>,
        mut each: impl FnMut(&'a [u8]),
    ) -> Result<(), Fault> {
        self.pieces(start, length, StringKind::Bytes, |_, bytes| {
            each(bytes);
            Ok(())
        })
    }

    /// RFC 8949, section 3.2.3: pieces are of the string's own kind and have lengths themselves.
    fn pieces(
        &mut self,
        start: usize,
        length: Option<u64>,
        kind: StringKind,
        mut each: impl FnMut(usize, &'a [u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if let Some(length) = length {
            let bytes = self.take(start, length)?;
            return each(self.at - bytes.len(), bytes);
        }
        while !self.skip_break() {
            let at = self.at;
            let length = match (kind, self.item()?) {
                (StringKind::Bytes, Item::Bytes(Some(length))) => length,
                (StringKind::Text, Item::Text(Some(length))) => length,
                _ => {
                    let words = "a string of indefinite length has a piece that is not a string of its kind";
                    return Err(Fault::malformed(at, words));
                }
            };
            let bytes = self.take(at, length)?;
            each(self.at - bytes.len(), bytes)?;
        }
        Ok(())
    }

    /// The next bytes; they belong to the item at `start`.
    fn take(&mut self, start: usize, length: u64) -> Result<&'a [u8], Fault> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let taken = taken.ok_or_else(|| {
            let words = match start < self.bytes.len() {
                true => "the body ends inside of the item that begins there",
                false => "the body ends where an item is expected",
            };
            Fault::malformed(start, words)
        })?;
        self.at += taken.len();
        Ok(taken)
    }
}
