//! The short form of an answer: most answers of an application differ in a few bytes only, so only these are
//! kept.
//!
//! ```text
//! whole    1 ....... | length u16       | the message
//! short    0 kk n tttt | bytes of x u8 | own Message ID u16, if n | token, tttt bytes | x
//! ```
//!
//! `x` is what stands in the frame, as it is (`kk` 0), or a decimal number in as few bytes as it needs (1),
//! or such a number in quotation marks (2). An acknowledgement has the Message ID of its request.

use std::io::Write as _;

use crate::{
    code::Code,
    message::{Kind, MessageWriter, Token},
    option::OptionNumber,
};

/// What the usual answers of an application have in common: code, Content-Format as the only option, and both
/// ends of the payload. An answer that fits is stored as what stands between these ends; any other one is
/// stored whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerFrame {
    /// The response code.
    pub code: Code,
    /// The Content-Format.
    pub content_format: u16,
    /// The first bytes of the payload.
    pub before: &'static [u8],
    /// The last bytes of the payload.
    pub after: &'static [u8],
}

/// Bytes before an answer that is kept whole.
pub(super) const WHOLE_HEADER_BYTES: usize = 3;

const WHOLE: u8 = 1 << 7;
const NON_CONFIRMABLE: u8 = 1 << 4;
const TOKEN_LENGTH: u8 = 0b1111;
const NUMBER: u8 = 1 << 5;
const QUOTED_NUMBER: u8 = 2 << 5;
/// Bytes of a header before the token.
const HEADER_BYTES: usize = 4;
/// Ends the options.
const PAYLOAD_MARKER: u8 = 0xff;

impl AnswerFrame {
    /// Token and middle of an answer that fits.
    fn split<'a>(&self, answer: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let (&[first, code, ..], rest) = answer.split_first_chunk::<HEADER_BYTES>()?;
        let (token, rest) = rest.split_at_checked(usize::from(first & TOKEN_LENGTH))?;
        if code != self.code.0 {
            return None;
        }
        let [high, low] = self.content_format.to_be_bytes();
        // The option as `MessageWriter` writes it: a delta of 12, and as few bytes as the number needs.
        let rest = match (high, low) {
            (0, 0) => rest.strip_prefix(&[0xc0]),
            (0, low) => rest.strip_prefix(&[0xc1, low]),
            (high, low) => rest.strip_prefix(&[0xc2, high, low]),
        }?;
        let payload = rest.strip_prefix(&[PAYLOAD_MARKER])?;
        let middle = payload.strip_prefix(self.before)?.strip_suffix(self.after)?;
        Some((token, middle))
    }

    /// Appends the answer with this middle.
    fn emit(&self, (kind, mid, token): (Kind, u16, Token), middle: &[u8], out: &mut Vec<u8>) {
        let mut writer = MessageWriter::new(out, kind, self.code, mid, token);
        writer.option_uint(OptionNumber::CONTENT_FORMAT, u32::from(self.content_format));
        writer.payload(&[self.before, middle, self.after].concat());
    }
}

/// An answer in the form in which it is kept.
pub(super) enum Packed<'a> {
    Whole(&'a [u8]),
    Short { form: u8, own_mid: Option<[u8; 2]>, token: &'a [u8], middle: Middle<'a> },
}

/// What stands in the frame.
pub(super) enum Middle<'a> {
    Text(&'a [u8]),
    Number(Number),
}

impl Middle<'_> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => &number.bytes[..number.length],
        }
    }
}

impl<'a> Packed<'a> {
    /// The answer to the message with this Message ID: short if it fits into the frame, else whole.
    pub(super) fn new(answer: &'a [u8], mid: u16, frame: Option<&AnswerFrame>) -> Self {
        Self::short(answer, mid, frame).unwrap_or(Self::Whole(answer))
    }

    fn short(answer: &'a [u8], mid: u16, frame: Option<&AnswerFrame>) -> Option<Self> {
        let (token, middle) = frame?.split(answer)?;
        let own_mid = [answer[2], answer[3]];
        let own_mid = match Kind::of(answer)? {
            Kind::Acknowledgement if own_mid == mid.to_be_bytes() => None,
            Kind::NonConfirmable => Some(own_mid),
            _ => return None,
        };
        let middle = Number::parse(middle).map_or(Middle::Text(middle), Middle::Number);
        let kind = if let Middle::Number(number) = &middle { number.form } else { 0 };
        let non_confirmable = if own_mid.is_some() { NON_CONFIRMABLE } else { 0 };
        let form = kind | non_confirmable | token.len() as u8;
        let fits = middle.as_bytes().len() <= usize::from(u8::MAX);
        fits.then_some(Self::Short { form, own_mid, token, middle })
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Whole(answer) => WHOLE_HEADER_BYTES + answer.len(),
            Self::Short { own_mid, token, middle, .. } => {
                2 + own_mid.map_or(0, |mid| mid.len()) + token.len() + middle.as_bytes().len()
            }
        }
    }

    /// Appends it.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Whole(answer) => {
                out.push(WHOLE);
                out.extend_from_slice(&(answer.len() as u16).to_ne_bytes());
                out.extend_from_slice(answer);
            }
            Self::Short { form, own_mid, token, middle } => {
                let middle = middle.as_bytes();
                out.extend_from_slice(&[*form, middle.len() as u8]);
                out.extend_from_slice(own_mid.as_ref().map_or(&[], |mid| mid));
                out.extend_from_slice(token);
                out.extend_from_slice(middle);
            }
        }
    }
}

/// The bytes of the packed answer at the beginning of `bytes`; `None` if there is none.
pub(super) fn packed_bytes(bytes: &[u8]) -> Option<usize> {
    let (&form, rest) = bytes.split_first()?;
    if form & WHOLE != 0 {
        let (length, _) = rest.split_first_chunk()?;
        return Some(WHOLE_HEADER_BYTES + usize::from(u16::from_ne_bytes(*length)));
    }
    let own_mid = if form & NON_CONFIRMABLE == 0 { 0 } else { 2 };
    Some(2 + own_mid + usize::from(form & TOKEN_LENGTH) + usize::from(*rest.first()?))
}

/// The answer that was packed, as it was sent; `None` if these are no packed bytes, or the frame is missing.
pub(super) fn unpack(packed: &[u8], mid: u16, frame: Option<&AnswerFrame>) -> Option<Vec<u8>> {
    let (&form, rest) = packed.split_first()?;
    if form & WHOLE != 0 {
        return Some(packed.get(WHOLE_HEADER_BYTES..)?.to_vec());
    }
    let (_, rest) = rest.split_first()?;
    let (kind, mid, rest) = if form & NON_CONFIRMABLE == 0 {
        (Kind::Acknowledgement, mid, rest)
    } else {
        let (own_mid, rest) = rest.split_first_chunk()?;
        (Kind::NonConfirmable, u16::from_be_bytes(*own_mid), rest)
    };
    let (token, middle) = rest.split_at_checked(usize::from(form & TOKEN_LENGTH))?;
    let head = (kind, mid, Token::new(token)?);
    let mut answer = Vec::with_capacity(packed.len() + 64);
    match Number::emit(form, middle) {
        Some(middle) => frame?.emit(head, &middle, &mut answer),
        None => frame?.emit(head, middle, &mut answer),
    }
    Some(answer)
}

/// A decimal number as it is packed: the lowest byte first, without zeros at the end.
pub(super) struct Number {
    form: u8,
    bytes: [u8; 8],
    length: usize,
}

impl Number {
    /// The longest number of decimal digits that fits into 8 bytes in any case.
    const DIGITS_MAX: usize = 19;

    /// A number in digits without a zero in front, in quotation marks or not; `None` for anything else.
    fn parse(text: &[u8]) -> Option<Self> {
        let quoted = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
        let (form, digits) = quoted.map_or((NUMBER, text), |digits| (QUOTED_NUMBER, digits));
        if digits.is_empty() || digits.len() > Self::DIGITS_MAX || (digits[0] == b'0' && digits.len() > 1) {
            return None;
        }
        let mut number = 0_u64;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            number = number * 10 + u64::from(digit - b'0');
        }
        let length = 8 - number.leading_zeros() as usize / 8;
        Some(Self { form, bytes: number.to_le_bytes(), length })
    }

    /// The text of a number that was packed in this form; `None` where none was.
    fn emit(form: u8, packed: &[u8]) -> Option<Vec<u8>> {
        let is_quoted = match form & (NUMBER | QUOTED_NUMBER) {
            NUMBER => false,
            QUOTED_NUMBER => true,
            _ => return None,
        };
        let mut bytes = [0; 8];
        bytes.get_mut(..packed.len())?.copy_from_slice(packed);
        let number = u64::from_le_bytes(bytes);
        let mut text = Vec::with_capacity(Self::DIGITS_MAX + 2);
        let written = if is_quoted { write!(text, "\"{number}\"") } else { write!(text, "{number}") };
        written.ok().map(|()| text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::response::Response;

    const FRAME: AnswerFrame = AnswerFrame {
        code: Code::CHANGED,
        content_format: 50,
        before: b"{\"id\":",
        after: b",\"code\":200}",
    };

    fn answer(kind: Kind, mid: u16, token: &[u8], id: &[u8]) -> Vec<u8> {
        let payload = [FRAME.before, id, FRAME.after].concat();
        let token = Token::new(token).expect("at most 8 bytes");
        Response::new(Code::CHANGED).content_format(50).payload(payload).to_message(kind, mid, token).take()
    }

    /// The bytes of the answer in its short or whole form; it comes out as it went in.
    fn packed(answer: &[u8], mid: u16, frame: Option<&AnswerFrame>) -> usize {
        let mut bytes = Vec::new();
        let packed = Packed::new(answer, mid, frame);
        packed.emit(&mut bytes);
        assert_eq!((packed_bytes(&bytes), packed.bytes()), (Some(bytes.len()), bytes.len()));
        assert_eq!(unpack(&bytes, mid, frame).as_deref(), Some(answer));
        bytes.len()
    }

    #[test]
    fn an_answer_that_fits_takes_its_token_and_its_id() {
        let ack = |token: &[u8], id: &str| {
            packed(&answer(Kind::Acknowledgement, 7, token, id.as_bytes()), 7, Some(&FRAME))
        };
        assert_eq!(ack(&[], "\"123\""), 2 + 1);
        assert_eq!(ack(&[1, 2, 3, 4], "\"123456\""), 2 + 4 + 3);
        assert_eq!(ack(&[1; 8], "12345678"), 2 + 8 + 3);
        assert_eq!((ack(&[], "0"), ack(&[], "\"0\"")), (2, 2));
        assert_eq!(ack(&[], "9999999999999999999"), 2 + 8);
        assert_eq!(packed(&answer(Kind::NonConfirmable, 9, &[1], b"\"1\""), 7, Some(&FRAME)), 2 + 2 + 1 + 1);
    }

    #[test]
    fn an_id_that_is_no_plain_number_stays_as_it_is() {
        for id in ["\"a1\"", "\"0123\"", "-1", "1.50", "\"", "\"\"", "", "12345678901234567890", "\"1", "1\""]
        {
            let answer = answer(Kind::Acknowledgement, 7, &[1], id.as_bytes());
            assert_eq!(packed(&answer, 7, Some(&FRAME)), 2 + 1 + id.len(), "{id}");
        }
    }

    #[test]
    fn any_other_answer_is_kept_whole() {
        let typical = answer(Kind::Acknowledgement, 7, &[1], b"1");
        let is_whole = |answer: &[u8], mid, frame| packed(answer, mid, frame) == 3 + answer.len();
        assert!(is_whole(&typical, 7, None), "there is no frame");
        assert!(is_whole(&typical, 8, Some(&FRAME)), "an acknowledgement of something else");
        assert!(is_whole(&answer(Kind::Confirmable, 7, &[1], b"1"), 7, Some(&FRAME)));
        assert!(is_whole(&answer(Kind::Acknowledgement, 7, &[1], &[b'x'; 256]), 7, Some(&FRAME)));
        let token = Token::default();
        let fits = || Response::new(Code::CHANGED).content_format(50).payload(r#"{"id":1,"code":200}"#);
        let message = |response: Response| response.to_message(Kind::Acknowledgement, 7, token);
        assert!(!is_whole(&message(fits()), 7, Some(&FRAME)));
        for other in [
            Response { code: Code::CONTENT, ..fits() },
            fits().max_age(1),
            fits().payload(r#"{"id":1,"code":201}"#),
            fits().payload(r#"{"id":,"code":20"#),
            Response::new(Code::CHANGED).payload(r#"{"id":1,"code":200}"#),
            Response::new(Code::CHANGED),
        ] {
            assert!(is_whole(&message(other), 7, Some(&FRAME)));
        }
        assert!(is_whole(&[0x60, 0, 0, 7], 7, Some(&FRAME)), "an empty acknowledgement");
    }

    #[test]
    fn every_content_format_has_a_frame() {
        for content_format in [0, 50, 255, 256, 11_050, u16::MAX] {
            let frame = AnswerFrame { content_format, ..FRAME };
            let response = Response::new(Code::CHANGED).content_format(content_format);
            let response = response.payload(r#"{"id":7,"code":200}"#);
            let message = response.to_message(Kind::Acknowledgement, 7, Token::default());
            assert_eq!(packed(&message, 7, Some(&frame)), 3);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_out_as_it_was(
            token in vec(any::<u8>(), 0..=8),
            id in prop_oneof!["\"?[0-9]{0,22}\"?", "[ -~]{0,300}"],
            number: u64,
            confirmable: bool,
            mid: u16,
            other: u16,
            bytes in vec(any::<u8>(), 0..80),
        ) {
            let kind = if confirmable { Kind::Acknowledgement } else { Kind::NonConfirmable };
            for id in [id, number.to_string(), format!("\"{number}\"")] {
                packed(&answer(kind, mid, &token, id.as_bytes()), mid, Some(&FRAME));
                packed(&answer(kind, other, &token, id.as_bytes()), mid, Some(&FRAME));
            }
            packed(&bytes, mid, Some(&FRAME));
            // Bytes that nobody packed cause no panic.
            let _ = (packed_bytes(&bytes), unpack(&bytes, mid, Some(&FRAME)));
        }
    }
}
