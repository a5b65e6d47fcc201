//! The message format (RFC 7252, section 3): a parsed view that borrows the datagram, and a writer.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---+---+-------+---------------+-------------------------------+
//! |Ver| T |  TKL  |     Code      |          Message ID           |
//! +---+---+-------+---------------+-------------------------------+
//! |  Token, TKL bytes (0..=8) | options | 0xff and payload, if any
//! ```
//!
//! Parsing walks the datagram once and allocates nothing. A datagram that is not a message gives a
//! [`ParseError`], which knows whether to reject it with a Reset (4.2) or to ignore it (4.3).

use crate::{
    code::Code,
    option::{OptionNumber, Uint},
};

/// Bytes before the token.
pub(crate) const HEADER_BYTES: usize = 4;
/// Ends the options.
const PAYLOAD_MARKER: u8 = 0xff;

/// The type of a message (section 3; the numbers are the ones on the wire).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// CON: requires an acknowledgement.
    Confirmable = 0,
    /// NON: requires none.
    NonConfirmable = 1,
    /// ACK: acknowledges a confirmable message, with or without a response in it.
    Acknowledgement = 2,
    /// RST: its receiver could not process a message.
    Reset = 3,
}

impl Kind {
    /// The type in the first byte of a datagram; `None` if it is empty.
    pub(crate) fn of(datagram: &[u8]) -> Option<Self> {
        datagram.first().map(|first| Self::from_first_byte(*first))
    }

    const fn from_first_byte(first: u8) -> Self {
        match first >> 4 & 0b11 {
            0 => Self::Confirmable,
            1 => Self::NonConfirmable,
            2 => Self::Acknowledgement,
            _ => Self::Reset,
        }
    }
}

/// What ties a response to its request: 0 to 8 bytes (section 5.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Token {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl Token {
    /// The longest token. RFC 8974 would allow more; it is not implemented.
    pub const BYTES_MAX: usize = 8;

    /// A token of these bytes; `None` if there are more than 8.
    #[must_use]
    pub fn new(value: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::BYTES_MAX];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self { bytes, length: value.len() as u8 })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl From<u32> for Token {
    fn from(number: u32) -> Self {
        let [a, b, c, d] = number.to_be_bytes();
        Self { bytes: [a, b, c, d, 0, 0, 0, 0], length: 4 }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// A message, as a view of the datagram that it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The type.
    pub kind: Kind,
    /// Method, response code, or empty.
    pub code: Code,
    /// The Message ID.
    pub mid: u16,
    /// The token.
    pub token: Token,
    /// The payload; empty if there is none.
    pub payload: &'a [u8],
    /// The options as encoded in the datagram, checked.
    options: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// The first fault that is found, with type and Message ID if they could be read.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let Some((&[first, code, mid_0, mid_1], rest)) = datagram.split_first_chunk::<HEADER_BYTES>() else {
            return Err(ParseError { fault: Fault::TooShort, header: None });
        };
        if first >> 6 != 1 {
            return Err(ParseError { fault: Fault::Version, header: None });
        }
        let kind = Kind::from_first_byte(first);
        let mid = u16::from_be_bytes([mid_0, mid_1]);
        let (token, options, payload) = parse_rest(usize::from(first & 0b1111), Code(code), kind, rest)
            .map_err(|fault| ParseError { fault, header: Some((kind, mid)) })?;
        Ok(Self { kind, code: Code(code), mid, token, payload, options })
    }

    /// The options in the order of the datagram, which is ascending.
    pub fn options(&self) -> impl Iterator<Item = (OptionNumber, &'a [u8])> + use<'a> {
        let mut rest = self.options;
        let mut number = 0;
        std::iter::from_fn(move || {
            // The options were walked once by `parse`, so this ends at their end.
            let (option, value, others) = parse_option(number, rest).ok()??;
            (number, rest) = (option.0, others);
            Some((option, value))
        })
    }

    /// The options as encoded in the datagram.
    pub(crate) const fn options_bytes(&self) -> &'a [u8] {
        self.options
    }
}

/// Parses everything after the header: token, options, payload.
fn parse_rest(
    token_length: usize,
    code: Code,
    kind: Kind,
    rest: &[u8],
) -> Result<(Token, &[u8], &[u8]), Fault> {
    let (token, rest) = rest.split_at_checked(token_length).ok_or(Fault::Token)?;
    let token = Token::new(token).ok_or(Fault::Token)?;
    if code == Code::EMPTY {
        // Section 4.1: an empty message has no token and nothing after the Message ID.
        let is_empty = token_length == 0 && rest.is_empty();
        return if is_empty { Ok((token, rest, rest)) } else { Err(Fault::EmptyWithContent) };
    }
    let mut number = 0;
    let mut behind = rest;
    while let Some((option, _, others)) = parse_option(number, behind)? {
        (number, behind) = (option.0, others);
    }
    let (options, _) = rest.split_at(rest.len() - behind.len());
    let payload = match behind {
        [] => behind,
        [_marker] => return Err(Fault::PayloadMissing),
        [_marker, payload @ ..] => payload,
    };
    let fits = match kind {
        Kind::Confirmable | Kind::NonConfirmable => code.is_request() || code.is_response(),
        Kind::Acknowledgement => code.is_response(),
        Kind::Reset => false,
    };
    if fits { Ok((token, options, payload)) } else { Err(Fault::Code) }
}

/// An option and what follows it; `None` at the end of the options.
type ParsedOption<'a> = Option<(OptionNumber, &'a [u8], &'a [u8])>;

/// Reads the option that follows the one with the number `previous` (section 3.1).
fn parse_option(previous: u16, bytes: &[u8]) -> Result<ParsedOption<'_>, Fault> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    if first == PAYLOAD_MARKER {
        return Ok(None);
    }
    let (delta, rest) = parse_extended(first >> 4, rest)?;
    let (length, rest) = parse_extended(first & 0b1111, rest)?;
    let number = u16::try_from(u32::from(previous) + delta).map_err(|_| Fault::OptionNumber)?;
    let (value, others) = rest.split_at_checked(length as usize).ok_or(Fault::OptionTruncated)?;
    Ok(Some((OptionNumber(number), value, others)))
}

/// A delta or a length: 0 to 12 in the nibble, more in the one or two bytes after it.
fn parse_extended(nibble: u8, bytes: &[u8]) -> Result<(u32, &[u8]), Fault> {
    match (nibble, bytes) {
        (0..=12, rest) => Ok((u32::from(nibble), rest)),
        (13, [value, rest @ ..]) => Ok((u32::from(*value) + 13, rest)),
        (14, [high, low, rest @ ..]) => Ok((u32::from(u16::from_be_bytes([*high, *low])) + 269, rest)),
        (13 | 14, _) => Err(Fault::OptionTruncated),
        _ => Err(Fault::OptionReserved),
    }
}

/// Why a datagram is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct ParseError {
    /// What is wrong.
    pub fault: Fault,
    /// Type and Message ID; `None` if the datagram is not even a CoAP header of version 1.
    pub header: Option<(Kind, u16)>,
}

impl ParseError {
    /// The Message ID for a Reset, if one is due.
    ///
    /// RFC 7252 4.2: a confirmable message that lacks context or is malformed is rejected with a Reset. 4.3
    /// and section 3: others, and unknown versions, are silently ignored.
    #[must_use]
    pub fn reset_mid(&self) -> Option<u16> {
        self.header.filter(|(kind, _)| *kind == Kind::Confirmable).map(|(_, mid)| mid)
    }
}

/// What is wrong with a malformed datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Fewer than four bytes.
    #[error("shorter than a header")]
    TooShort,
    /// A version other than 1.
    #[error("version is not 1")]
    Version,
    /// A token length of 9 to 15, or a token that is cut off.
    #[error("token is too long or cut off")]
    Token,
    /// Code 0.00 with a token or anything after the Message ID.
    #[error("empty message with content")]
    EmptyWithContent,
    /// An option delta or length of 15, which is reserved.
    #[error("reserved option delta or length")]
    OptionReserved,
    /// An option that is longer than what is left of the datagram.
    #[error("option is cut off")]
    OptionTruncated,
    /// Deltas that add up to more than 65535.
    #[error("option number is too large")]
    OptionNumber,
    /// A payload marker at the end of the datagram.
    #[error("payload marker without payload")]
    PayloadMissing,
    /// A code of a reserved class, a request in an acknowledgement, or anything in a Reset.
    #[error("code does not fit the type")]
    Code,
}

/// A message without content (section 4.1): a ping, an acknowledgement or a Reset.
pub(crate) const fn empty_message(kind: Kind, mid: u16) -> [u8; HEADER_BYTES] {
    let [mid_0, mid_1] = mid.to_be_bytes();
    [0b01 << 6 | (kind as u8) << 4, Code::EMPTY.0, mid_0, mid_1]
}

/// Appends one message to a buffer: header and token first, then options in ascending order, then the
/// payload.
#[derive(Debug)]
pub struct MessageWriter<'a> {
    out: &'a mut Vec<u8>,
    last_number: u16,
}

impl<'a> MessageWriter<'a> {
    /// Writes the header and the token.
    pub fn new(out: &'a mut Vec<u8>, kind: Kind, code: Code, mid: u16, token: Token) -> Self {
        let [mid_0, mid_1] = mid.to_be_bytes();
        out.extend_from_slice(&[0b01 << 6 | (kind as u8) << 4 | token.length, code.0, mid_0, mid_1]);
        out.extend_from_slice(token.as_bytes());
        Self { out, last_number: 0 }
    }

    /// Writes an option. Its number must not be below the one before, and its value must have at most 65535
    /// bytes, as in an [`crate::OptionList`].
    pub fn option(&mut self, number: OptionNumber, value: &[u8]) {
        debug_assert!(number.0 >= self.last_number, "options must be written in ascending order");
        let (delta, delta_extended) = extend(usize::from(number.0.saturating_sub(self.last_number)));
        let (length, length_extended) = extend(value.len());
        self.out.push(delta << 4 | length);
        self.out.extend_from_slice(delta_extended.as_bytes());
        self.out.extend_from_slice(length_extended.as_bytes());
        self.out.extend_from_slice(value);
        self.last_number = number.0;
    }

    /// Writes an option whose value is an unsigned integer.
    pub fn option_uint(&mut self, number: OptionNumber, value: u32) {
        self.option(number, Uint::new(value).as_bytes());
    }

    /// Writes the payload, if it is not empty, and ends the message.
    pub fn payload(self, payload: &[u8]) {
        if !payload.is_empty() {
            self.out.push(PAYLOAD_MARKER);
            self.out.extend_from_slice(payload);
        }
    }
}

/// The bytes after the first byte of an option: none, one or two.
struct Extension {
    bytes: [u8; 2],
    start: usize,
}

impl Extension {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Splits a delta or a length into nibble and extension.
fn extend(value: usize) -> (u8, Extension) {
    match value {
        0..13 => (value as u8, Extension { bytes: [0; 2], start: 2 }),
        13..269 => (13, Extension { bytes: [0, (value - 13) as u8], start: 1 }),
        _ => (14, Extension { bytes: ((value - 269) as u16).to_be_bytes(), start: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::{btree_map, vec},
        prelude::*,
    };

    use super::*;

    fn fault(datagram: &[u8]) -> Fault {
        Message::parse(datagram).expect_err("the datagram is malformed").fault
    }

    #[test]
    fn each_fault_is_told_apart() {
        assert_eq!(fault(&[0x40, 1, 0]), Fault::TooShort);
        assert_eq!(fault(&[0x80, 1, 0, 1]), Fault::Version);
        assert_eq!(fault(&[0x49, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9]), Fault::Token);
        assert_eq!(fault(&[0x44, 1, 0, 1, 1, 2, 3]), Fault::Token);
        assert_eq!(fault(&[0x40, 0, 0, 1, 0xff, 1]), Fault::EmptyWithContent);
        assert_eq!(fault(&[0x40, 1, 0, 1, 0xf1, 1]), Fault::OptionReserved);
        assert_eq!(fault(&[0x40, 1, 0, 1, 0xb2, 1]), Fault::OptionTruncated);
        assert_eq!(fault(&[0x40, 1, 0, 1, 0xe0, 0xff, 0xff]), Fault::OptionNumber);
        assert_eq!(fault(&[0x40, 1, 0, 1, 0xff]), Fault::PayloadMissing);
        assert_eq!(fault(&[0x60, 1, 0, 1]), Fault::Code);
        assert_eq!(fault(&[0x70, 0x45, 0, 1]), Fault::Code);
        assert_eq!(fault(&[0x40, 0x20, 0, 1]), Fault::Code);
    }

    #[test]
    fn only_a_confirmable_message_is_rejected_aloud() {
        let reset = |datagram: &[u8]| Message::parse(datagram).expect_err("malformed").reset_mid();
        assert_eq!(reset(&[0x40, 1, 0x12, 0x34, 0xff]), Some(0x1234));
        for first in [0x50, 0x60, 0x70, 0x80] {
            assert_eq!(reset(&[first, 1, 0x12, 0x34, 0xff]), None);
        }
    }

    #[test]
    fn the_highest_option_number_is_65535() {
        let message = Message::parse(&[0x40, 1, 0, 1, 0xe0, 0xfe, 0xf2]).expect("well formed");
        assert_eq!(message.options().next(), Some((OptionNumber(65535), &[][..])));
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Confirmable), Just(Kind::NonConfirmable)]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            kind in kinds(),
            detail in 1_u8..32,
            mid: u16,
            token in vec(any::<u8>(), 0..=8),
            options in btree_map(any::<u16>(), vec(any::<u8>(), 0..300), 0..8),
            payload in vec(any::<u8>(), 0..64),
        ) {
            let token = Token::new(&token).expect("at most 8 bytes");
            let mut bytes = Vec::new();
            let mut writer = MessageWriter::new(&mut bytes, kind, Code(detail), mid, token);
            for (number, value) in &options {
                writer.option(OptionNumber(*number), value);
            }
            writer.payload(&payload);

            let message = Message::parse(&bytes).expect("we wrote it");
            let read = (message.kind, message.code, message.mid, message.token);
            prop_assert_eq!(read, (kind, Code(detail), mid, token));
            let read: Vec<_> = message.options().map(|(number, value)| (number.0, value.to_vec())).collect();
            prop_assert_eq!(read, options.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(message.payload, payload);
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..80)) {
            if let Ok(message) = Message::parse(&bytes) {
                prop_assert!(message.options().count() <= bytes.len());
            }
        }
    }
}
