//! Answers that are sent at once. Their fields are private to this file, so that none can refuse a request
//! without saying why: every answer but a success (2.xx) has a [`Refusal`], which becomes an entry in the
//! device's log.

use narrowgate_coap::{Code, OptionNumber, Response, format};

use super::cbor;
use crate::{model::log::Reason, rules::refusal::Refusal};

/// An answer, and why it refuses the request if it does.
#[derive(Debug)]
pub struct Answer {
    response: Response,
    refusal: Option<Refusal>,
}

/// A response with this JSON as its content, in the format that the device wants.
pub(super) fn with_json(response: Response, content_format: u16, json: Vec<u8>) -> Response {
    let payload = if content_format == format::CBOR { cbor::from_json(&json) } else { json };
    response.content_format(content_format).payload(payload)
}

/// Something that is done as requested, but was probably not meant: for the device's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The stable reason.
    pub reason: Reason,
    /// Words for people.
    pub detail: String,
}

impl Answer {
    /// 2.04 without a payload.
    pub(super) fn changed() -> Self {
        Self { response: Response::new(Code::CHANGED), refusal: None }
    }

    /// 2.04 with a reply, which is JSON and says why if the message was refused.
    pub(super) fn reply(content_format: u16, reply: Vec<u8>, refusal: Option<Refusal>) -> Self {
        let response = with_json(Response::new(Code::CHANGED), content_format, reply);
        Self { response, refusal }
    }

    /// 2.04 with what was asked for, in CBOR.
    pub(super) fn map(cbor: Vec<u8>) -> Self {
        let response = Response::new(Code::CHANGED).content_format(format::CBOR).payload(cbor);
        Self { response, refusal: None }
    }

    /// 2.05 with this content.
    pub(super) fn content(content_format: u16, content: Vec<u8>) -> Self {
        let response = Response::new(Code::CONTENT).content_format(content_format).payload(content);
        Self { response, refusal: None }
    }

    /// A success of any other form.
    pub(super) fn success(response: Response) -> Self {
        debug_assert!(response.code.is_success(), "a refusal says why");
        Self { response, refusal: None }
    }

    /// Another code than 2.xx.
    pub(super) fn refused(code: Code, refusal: Refusal) -> Self {
        debug_assert!(!code.is_success(), "a success is not a refusal");
        Self { response: Response::new(code), refusal: Some(refusal) }
    }

    /// The same with one more option.
    pub(super) fn option(mut self, number: OptionNumber, value: impl AsRef<[u8]>) -> Self {
        self.response = self.response.option(number, value);
        self
    }

    /// The same, for so many seconds.
    pub(super) fn max_age(mut self, seconds: u32) -> Self {
        self.response = self.response.max_age(seconds);
        self
    }

    /// The response to the device.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// Why the request was refused; `None` only if it was not.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// The response and the refusal.
    pub fn into_parts(self) -> (Response, Option<Refusal>) {
        (self.response, self.refusal)
    }
}
