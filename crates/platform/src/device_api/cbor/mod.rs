//! CBOR (RFC 8949) in place of JSON, Content-Format 60: the same messages, read and answered by the same
//! code. A body becomes the JSON text that the other modules read ([`to_json`]), and a reply, which is JSON,
//! becomes CBOR ([`from_json`]). No value is changed; what JSON has no value for is refused, at the byte
//! where it begins.
//!
//! | in a body | becomes |
//! |---|---|
//! | integers; bignums (tags 2 and 3) within the range of a double | the same integer, all digits |
//! | floats of all widths | the shortest number that reads back as the same double: `1.5`, `1.0`, `-0.0` |
//! | decimal fractions (tag 4) within the range of a double | the same decimal: `273.15` |
//! | bigfloats (tag 5) | the double, where there is one of exactly this value; else refused |
//! | NaN, infinities | refused |
//! | text, also in pieces (indefinite length) | the same text |
//! | byte strings | refused; behind tag 21, 22 or 23 the base64url, base64 or base16 that this tag wants |
//! | arrays and maps, also of indefinite length | the same |
//! | keys of maps | text. An integer where it stands for a name ([`NameOf`]); any other key is refused |
//! | `true`, `false`, `null`; `undefined` | themselves; `null`, which counts as absent |
//! | other simple values | refused |
//! | tag 0 (a date as text), tag 1 (a date as number) | the text, the number: as if it had no tag |
//! | tags 25 and 29 (a value that was sent before) | refused: they stand for something else |
//! | tags 30, 264, 265, 268 to 270, 43000, 43001 (rational, complex and other numbers) | refused |
//! | all other tags, also 55799 (this is CBOR) | ignored: what they are put to counts |
//!
//! Limits and oddities are those of JSON ([`super::json`]): nested at most 32 deep, a key once in a map,
//! nothing behind the item, UTF-8 (each piece of a text by itself); and the JSON text has at most
//! [`JSON_BYTES_MAX`] bytes, or four times those of the body where that is more. Lengths in a body reserve
//! no memory. Encodings need not be the shortest ones,
//! and keys not sorted (RFC 8949, section 3).

mod encode;
mod number;
mod reader;
mod transcode;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

pub use self::encode::{NumberOf, from_json, from_json_with_numbers};
use super::{BODY_BYTES_MAX, json::DEPTH_MAX};

/// Longest JSON text that becomes of a body, bytes. Dense arrays of floats grow to a fourfold; a body that is
/// longer than [`BODY_BYTES_MAX`] may do so too.
pub const JSON_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// The name for which an integer key stands, in a map that lies in so many other maps; `None`: for none,
/// which refuses it.
pub type NameOf<'n> = &'n dyn Fn(usize, u64) -> Option<Cow<'n, str>>;

/// Bounds of what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of arrays and maps, the outermost counted.
    pub depth: usize,
    /// Longest JSON text, bytes.
    pub json_bytes: usize,
}

impl Limits {
    /// Those of the body of a request.
    pub const BODY: Self = Self { depth: DEPTH_MAX, json_bytes: JSON_BYTES_MAX };

    /// Those of this body, which may be longer than [`BODY_BYTES_MAX`] where that is configured. How long it
    /// may be was decided before ([`super::MessageLimit`]).
    pub(super) fn of(body: &[u8]) -> Self {
        Self { json_bytes: JSON_BYTES_MAX.max(4 * body.len()), ..Self::BODY }
    }
}

/// Why bytes are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The byte at which what is refused begins, counted from 1.
    pub at: usize,
    /// Whose fault it is.
    pub kind: FaultKind,
    /// Words for people.
    pub words: Cow<'static, str>,
}

/// In what way bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// They are not CBOR.
    Malformed,
    /// They are CBOR, and something in them has no place in a message.
    Unsupported,
    /// Their JSON text is too long.
    TooLong,
}

impl Fault {
    fn malformed(offset: usize, words: impl Into<Cow<'static, str>>) -> Self {
        Self { at: offset + 1, kind: FaultKind::Malformed, words: words.into() }
    }

    fn unsupported(offset: usize, words: impl Into<Cow<'static, str>>) -> Self {
        Self { at: offset + 1, kind: FaultKind::Unsupported, words: words.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, kind, words } = self;
        match kind {
            FaultKind::Malformed => write!(f, "the body is not CBOR at byte {at}: {words}"),
            FaultKind::Unsupported => write!(f, "the body is refused at byte {at}: {words}"),
            FaultKind::TooLong => write!(f, "the body is too long from byte {at} on: {words}"),
        }
    }
}

/// The JSON text of one CBOR item, without white space. What it accepts, [`super::json::check`] accepts,
/// where it is an object.
///
/// # Errors
/// It is not one well-formed item, or has something that is refused, see the module.
pub fn to_json(cbor: &[u8], limits: Limits, name_of: Option<NameOf<'_>>) -> Result<String, Fault> {
    transcode::Transcoder::new(cbor, limits, name_of).run().map(|(json, _)| json)
}

/// The byte of a body, counted from 1, at which the item begins whose JSON text begins at `offset` or was
/// begun last before it.
pub(super) fn place_of(cbor: &[u8], offset: usize) -> Option<usize> {
    let transcoder = transcode::Transcoder::new(cbor, Limits::of(cbor), None);
    transcoder.watching(offset).run().ok().map(|(_, place)| place + 1)
}
