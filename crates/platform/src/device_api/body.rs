//! The body of a POST as a message, and the reply to one that is refused: what all topics with a body have in
//! common. A body is JSON or CBOR, and everything behind this reads JSON.

use std::borrow::Cow;

use narrowgate_coap::{Code, Request, format};

use super::{
    Action, Answer,
    cbor::{self, FaultKind, Limits},
    diagnosis,
    envelope::{self, Envelope, MessageFault},
    json,
    options::format_name,
};
use crate::{
    model::{json_piece::Piece, log::Reason},
    rules::refusal::Refusal,
};

/// Why a body is no message.
pub(super) struct NoMessage {
    code: Code,
    reason: Reason,
    detail: String,
}

impl NoMessage {
    /// It is broken, or not of the form that is needed.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self { code: Code::BAD_REQUEST, reason: Reason::BodyMalformed, detail: detail.into() }
    }

    fn refusal(self) -> Refusal {
        let number = (self.reason == Reason::TooLarge).then_some(super::number::TOO_LARGE);
        let refusal = Refusal::new(self.reason, self.detail);
        match number {
            Some(number) => refusal.with_number(number),
            None => refusal,
        }
    }
}

impl From<cbor::Fault> for NoMessage {
    fn from(fault: cbor::Fault) -> Self {
        let (code, reason) = match fault.kind {
            FaultKind::TooLong => (Code::REQUEST_ENTITY_TOO_LARGE, Reason::TooLarge),
            FaultKind::Malformed | FaultKind::Unsupported => (Code::BAD_REQUEST, Reason::BodyMalformed),
        };
        Self { code, reason, detail: fault.to_string() }
    }
}

impl From<NoMessage> for Answer {
    fn from(refused: NoMessage) -> Self {
        Self::refused(refused.code, refused.refusal())
    }
}

impl From<NoMessage> for Action {
    fn from(refused: NoMessage) -> Self {
        Self::refuse(refused.code, refused.refusal())
    }
}

/// The body of a request, checked: a JSON object, also where it came as CBOR.
pub(super) struct Body<'a> {
    json: Cow<'a, str>,
    /// As what it came, if it came as CBOR.
    cbor: Option<&'a [u8]>,
}

impl<'a> Body<'a> {
    /// Reads the body of a request.
    pub(super) fn read(request: &'a Request) -> Result<Self, NoMessage> {
        let bytes = &*request.payload;
        match request.content_format {
            None | Some(format::JSON | format::TEXT_PLAIN) => match json::check(bytes) {
                Ok(json) => Ok(Self { json: Cow::Borrowed(json), cbor: None }),
                Err(detail) => Err(NoMessage::malformed(detail)),
            },
            Some(format::CBOR) => Self::read_cbor(bytes),
            Some(other) => {
                let looks =
                    if diagnosis::looks_like_json(bytes) { ", which the body looks like" } else { "" };
                let detail = format!(
                    "content format {} is not supported; use 50 (application/json){looks}, or 60 \
                     (application/cbor)",
                    format_name(other)
                );
                let code = Code::UNSUPPORTED_CONTENT_FORMAT;
                Err(NoMessage { code, reason: Reason::BodyMalformed, detail })
            }
        }
    }

    /// A message that did not come as a body, and was checked.
    pub(super) fn of_text(checked: &'a str) -> Self {
        Self { json: Cow::Borrowed(checked), cbor: None }
    }

    fn read_cbor(bytes: &'a [u8]) -> Result<Self, NoMessage> {
        match cbor::to_json(bytes, Limits::of(bytes), None) {
            Ok(json) if json.starts_with('{') => Ok(Self { json: Cow::Owned(json), cbor: Some(bytes) }),
            _ if diagnosis::looks_like_json(bytes) => {
                let detail = "the body is JSON, and its content format is 60 (application/cbor): use 50 \
                              (application/json), or send CBOR";
                Err(NoMessage::malformed(detail))
            }
            Ok(json) => Err(NoMessage::malformed(diagnosis::not_a_map(&json))),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The JSON text.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// The message.
    pub(super) fn envelope(&self) -> Envelope<'_> {
        let envelope = Envelope::parse(&self.json).unwrap_or_default();
        if self.cbor.is_some() { envelope.of_cbor() } else { envelope }
    }

    /// At which byte of the body a piece of the JSON text begins, counted from 1: of what the device sent.
    /// `None` if it is not a piece of it.
    pub(super) fn place_of(&self, piece: Piece<'_>) -> Option<usize> {
        let place = diagnosis::place_of(piece.get(), self.json.as_bytes())?;
        match self.cbor {
            Some(cbor) => cbor::place_of(cbor, place - 1),
            None => Some(place),
        }
    }
}

/// Refuses a message in the reply. `id` as in [`Envelope::id`].
pub(super) fn refuse(content_format: u16, id: Option<&str>, fault: MessageFault) -> Action {
    Action::Respond(refusal(content_format, id, fault))
}

/// As [`refuse`].
pub(super) fn refusal(content_format: u16, id: Option<&str>, fault: MessageFault) -> Answer {
    let reply = envelope::reply(id, Err(&fault));
    let (reason, number) = (fault.reason(), fault.code);
    let refusal = Refusal::new(reason, fault.detail()).with_number(number);
    Answer::reply(content_format, reply, Some(refusal))
}
