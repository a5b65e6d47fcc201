//! A response as the application gives it, and as a client receives it.

use std::fmt;

use crate::{
    block::Block,
    code::Code,
    message::{Kind, Message, MessageWriter, Token},
    option::OptionNumber,
    options::OptionList,
    payload::Payload,
};

/// Bytes of header, token and options in most messages; more costs only a second allocation.
const HEAD_BYTES_EXPECTED: usize = 64;

/// A response: code, options and payload. The endpoint adds type, Message ID and token.
///
/// `Debug` shows the length of the payload and not its bytes, because some payloads are secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The response code; class 2, 4 or 5.
    pub code: Code,
    /// All options.
    pub options: OptionList,
    /// The payload; empty if there is none.
    pub payload: Payload,
}

impl Response {
    /// A response with neither options nor payload.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { code, options: OptionList::new(), payload: Payload::new() }
    }

    /// With a Content-Format (see [`crate::format`]).
    #[must_use]
    pub fn content_format(mut self, format: u16) -> Self {
        self.options.insert_uint(OptionNumber::CONTENT_FORMAT, u32::from(format));
        self
    }

    /// With a Max-Age, in seconds.
    #[must_use]
    pub fn max_age(mut self, seconds: u32) -> Self {
        self.options.insert_uint(OptionNumber::MAX_AGE, seconds);
        self
    }

    /// With one more option.
    #[must_use]
    pub fn option(mut self, number: OptionNumber, value: impl AsRef<[u8]>) -> Self {
        self.options.insert(number, value.as_ref());
        self
    }

    /// With this payload.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into().into();
        self
    }

    /// With this payload, which holds a secret: it is wiped wherever it was kept, as soon as it is of no use.
    #[must_use]
    pub fn secret_payload(mut self, payload: Vec<u8>) -> Self {
        self.payload = Payload::secret(payload);
        self
    }

    /// A part of a body that nobody holds as a whole: its payload is this block of a body of `whole_bytes`.
    /// The endpoint sends it as it is, or the beginning of it, where the peer or the way wants smaller ones;
    /// it keeps nothing, and each further block is a request of its own ([`crate::Request::block2`]). Needs
    /// an ETag, by which the peer tells the parts of two bodies apart (RFC 7959, section 2.4).
    #[must_use]
    pub fn block(mut self, block: Block, whole_bytes: u32) -> Self {
        self.options.insert_uint(OptionNumber::BLOCK2, block.value());
        self.options.insert_uint(OptionNumber::SIZE2, whole_bytes);
        self
    }

    /// Whether it is made by [`Self::block`].
    #[must_use]
    pub fn is_block(&self) -> bool {
        self.options.find(OptionNumber::BLOCK2).is_some()
    }

    /// The message that carries this response.
    pub(crate) fn to_message(&self, kind: Kind, mid: u16, token: Token) -> Payload {
        // The payload is appended at once, so what grows does not hold it yet.
        let mut bytes = Vec::with_capacity(self.payload.len() + HEAD_BYTES_EXPECTED);
        let mut writer = MessageWriter::new(&mut bytes, kind, self.code, mid, token);
        for (number, value) in self.options.iter() {
            writer.option(number, value);
        }
        writer.payload(&self.payload);
        self.payload.mark(bytes)
    }

    /// Bytes of the message that carries this response, without the payload and its marker.
    pub(crate) fn head_bytes(&self, token: Token) -> usize {
        let head = Self { code: self.code, options: self.options.clone(), payload: Payload::new() };
        head.to_message(Kind::Acknowledgement, 0, token).len()
    }

    /// Reads the response that a message carries. Fails with the number of a critical option that is not
    /// recognised.
    pub(crate) fn from_message(message: &Message<'_>) -> Result<Self, OptionNumber> {
        let mut response = Self::new(message.code).payload(message.payload);
        let mut previous = None;
        for (number, value) in message.options() {
            if number.is_critical() && number.check(value.len(), previous == Some(number)).is_err() {
                return Err(number);
            }
            response.options.insert(number, value);
            previous = Some(number);
        }
        Ok(response)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("code", &self.code)
            .field("options", &self.options)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_written_with_its_options_in_order() {
        let response = Response::new(Code::CONTENT)
            .option(OptionNumber(2100), "/topic")
            .max_age(0)
            .content_format(50)
            .payload("{}");
        let bytes = response.to_message(Kind::Acknowledgement, 0x1234, Token::default());
        assert_eq!(hex::encode(&bytes), "60451234c13220e607192f746f706963ff7b7d");
        let message = Message::parse(&bytes).expect("we wrote it");
        assert_eq!(Response::from_message(&message), Ok(response));
    }

    #[test]
    fn what_is_shown_for_debugging_does_not_hold_the_payload() {
        let shown = format!("{:?}", Response::new(Code::CONTENT).payload("secret"));
        assert!(!shown.contains("secret") && shown.contains("payload_bytes: 6"), "{shown}");
    }
}
