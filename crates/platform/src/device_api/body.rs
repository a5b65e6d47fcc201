//! The body of a POST as a message, and the reply to one that is refused: what all topics with a JSON body
//! have in common.

use narrowgate_coap::{Code, Request, format};

use super::{
    Action, Answer, diagnosis,
    envelope::{self, Envelope, MessageFault},
    json,
    options::format_name,
};
use crate::{model::log::Reason, rules::refusal::Refusal};

/// Why a body is no message.
pub(super) struct NoMessage {
    code: Code,
    detail: String,
}

impl From<NoMessage> for Answer {
    fn from(refused: NoMessage) -> Self {
        Self::refused(refused.code, Refusal::new(Reason::BodyMalformed, refused.detail))
    }
}

impl From<NoMessage> for Action {
    fn from(refused: NoMessage) -> Self {
        Self::refuse(refused.code, Refusal::new(Reason::BodyMalformed, refused.detail))
    }
}

/// Reads the message of a request.
pub(super) fn message(request: &Request) -> Result<Envelope<'_>, NoMessage> {
    let other = request.content_format.filter(|format| !matches!(*format, format::JSON | format::TEXT_PLAIN));
    if let Some(other) = other {
        let looks =
            if diagnosis::looks_like_json(&request.payload) { ", which the body looks like" } else { "" };
        let other = format_name(other);
        let detail = format!("content format {other} is not supported; use 50 (application/json){looks}");
        return Err(NoMessage { code: Code::UNSUPPORTED_CONTENT_FORMAT, detail });
    }
    let read = json::check(&request.payload).and_then(Envelope::parse);
    read.map_err(|detail| NoMessage { code: Code::BAD_REQUEST, detail })
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
