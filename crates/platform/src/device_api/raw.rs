//! Bytes of devices whose product has the data format `custom` (device protocol, section 7): a script of the
//! product makes a message of them, and bytes of the reply. Running it is the caller's part.
//!
//! ```text
//! POST up_raw, down_raw_reply ──▶ Action::Decode ──▶ the script ──▶ decoded() ──▶ the action of its message
//!                                                  failed() ◀── faults of the script
//! reply of that action ──▶ reply_for_script() ──▶ the script ──▶ encoded(): 2.04 with bytes
//! ```
//!
//! | what | answer |
//! |---|---|
//! | the product's data format is `json` | 4.03 |
//! | no script is published | 4.03 |
//! | a Content-Format other than 42 (or none), an Accept other than 42 (or none) | 4.15, 4.06 |
//! | the body is empty, or longer than [`super::MessageLimit`] | 4.00, 4.13 |
//! | the script throws, runs over its limits, or returns no JSON object | 4.00, nothing is stored |
//! | the script cannot make bytes of the reply, or makes more than 10 KiB | 4.00, nothing is stored |
//! | the script has as many messages of this device under way as it may | 4.29 with Max-Age |
//! | too many calls of the product's script wait, or scripts cannot be run now | 5.03 with Max-Age |
//! | the message has a `method` that no topic has | 2.04 with 1260, as bytes |
//! | the message has neither a `method` nor `id` and `code` | 4.00 |
//!
//! The message goes the way of the topic that its `method` stands for, whatever topic the bytes came to; one
//! without `method` but with `id` and `code` is the reply to a command.

use narrowgate_coap::{Code, OptionNumber, Request, Response, format};

use super::{
    Action, BODY_BYTES_MAX, UNAVAILABLE_MAX_AGE_S,
    answer::Answer,
    body::{self, Body},
    commands,
    envelope::MessageFault,
    json, message,
    options::{accepts_bytes, format_name},
    topic,
};
use crate::{
    model::{command::CommandTopic, log::Reason, thing_model::ThingModel},
    ports::{Fault, FaultKind},
    rules::{admission::Grant, clock::Arrival, refusal::Refusal},
};

/// Seconds after which a device may send again what too many calls of its product's script have kept waiting:
/// Max-Age of 5.03. A product whose script runs into its limits rests no longer.
const BUSY_MAX_AGE_S: u32 = 5;

/// Seconds after which a device may send again what it has sent before the script took what was sent earlier.
const TOO_MANY_MAX_AGE_S: u32 = 1;

/// What a success says to the script in the place of `{}`: `"data":""` (EnOS).
const NO_DATA: (&[u8], &[u8]) = (b"\"data\":{}}", b"\"data\":\"\"}");

/// A POST of bytes, from a device of a product whose data format is `custom`.
pub(super) fn handle(request: &Request) -> Action {
    if let Err(refused) = accepts_bytes(request) {
        return Action::Respond(refused);
    }
    if let Some(other) = request.content_format.filter(|format| *format != format::OCTET_STREAM) {
        let (other, octets) = (format_name(other), format_name(format::OCTET_STREAM));
        let detail = format!(
            "content format {other} is not taken here: bytes for the product's script have {octets}, or none \
             is given"
        );
        let refusal = Refusal::new(Reason::BodyMalformed, detail);
        return Action::refuse(Code::UNSUPPORTED_CONTENT_FORMAT, refusal);
    }
    if request.payload.is_empty() {
        return Action::Respond(malformed("the body is empty; send the bytes of a message".to_owned()));
    }
    Action::Decode(request.payload.clone())
}

/// Refuses bytes where the product's data format is `json`.
pub(super) fn not_custom() -> Action {
    let detail = "the product's data format is json, so it has no script for bytes; send JSON to the other \
                  topics, or set the format: product update --data-format custom";
    super::forbidden_topic(detail.to_owned())
}

/// Refuses bytes where no script is published.
pub fn not_published() -> Answer {
    let detail = "the product's data format is custom, and no script is published for it: script publish";
    let refusal = Refusal::new(Reason::TopicForeign, detail).with_number(super::number::TOPIC);
    Answer::refused(Code::FORBIDDEN, refusal)
}

/// Refuses bytes of a device of which so many messages wait for the script already.
pub fn too_many(under_way: usize) -> Answer {
    let detail = format!(
        "{under_way} messages of the device are with the product's script already: it sends faster than the \
         script takes them, and is to wait for its answers"
    );
    let refusal = Refusal::new(Reason::RateLimited, detail);
    Answer::refused(Code::TOO_MANY_REQUESTS, refusal).max_age(TOO_MANY_MAX_AGE_S)
}

/// The answer where the script did not do its part; `Err`: by no fault of its own, a 5.03 that is written to
/// no log.
///
/// # Errors
/// The script was not run, or not to its end.
pub fn failed(fault: &Fault, function: &str) -> Result<Answer, Response> {
    match fault.kind {
        FaultKind::Busy => Err(Response::new(Code::SERVICE_UNAVAILABLE).max_age(BUSY_MAX_AGE_S)),
        FaultKind::Unavailable => {
            Err(Response::new(Code::SERVICE_UNAVAILABLE).max_age(UNAVAILABLE_MAX_AGE_S))
        }
        kind => {
            let word = kind.word();
            Ok(malformed(format!("the product's script failed in {function} ({word}): {fault}")))
        }
    }
}

/// What to do with a message that the script made of bytes.
pub fn decoded(session: &Grant, text: &str, model: Option<&ThingModel>, now: Arrival) -> Action {
    let json = match json::check(text.as_bytes()) {
        Ok(json) => json,
        Err(fault) => {
            let fault = fault.replacen("the body", "what rawDataToJsonStr returned", 1);
            return Action::Respond(malformed(fault));
        }
    };
    let body = Body::of_text(json);
    let Some(method) = body.envelope().method() else {
        if !commands::looks_like_reply(&body) {
            let detail = "the message that the product's script made of the bytes has no method, so it would \
                          be the reply to a command, and has no id or no code";
            return Action::Respond(malformed(detail.to_owned()));
        }
        return commands::reply_in(&body, CommandTopic::Raw, format::JSON);
    };
    match method.text().as_deref().and_then(topic::of_method) {
        Some((of, parameter)) => message(session, &body, (of, parameter), model, now, format::JSON),
        None => {
            let fault = MessageFault::new(MessageFault::METHOD, "/method: no topic has it");
            let given = super::diagnosis::shown(method.get());
            let hint = format!("the product's script returned {given}");
            body::refuse(format::JSON, body.envelope().id(), fault.with_hint(Some(hint)))
        }
    }
}

/// The reply in a response as the script is given it; `None`: the response has none, and goes out as it is.
pub fn reply_for_script(response: &Response) -> Option<String> {
    let content_format = response.options.find_uint(OptionNumber::CONTENT_FORMAT);
    if content_format != Some(u32::from(format::JSON)) || response.payload.is_empty() {
        return None;
    }
    let (object, text) = NO_DATA;
    let reply = match response.payload.strip_suffix(object) {
        Some(begin) => [begin, text].concat(),
        None => response.payload.to_vec(),
    };
    String::from_utf8(reply).ok()
}

/// The same response with the bytes that the script made of its reply.
///
/// # Errors
/// See [`fit`].
pub fn encoded(response: &Response, bytes: Vec<u8>) -> Result<Response, Fault> {
    let (plain, bytes) = (Response::new(response.code), fit(bytes)?);
    Ok(match bytes.is_empty() {
        true => plain,
        false => plain.content_format(format::OCTET_STREAM).payload(bytes),
    })
}

/// The bytes that a script made for a device.
///
/// # Errors
/// They are more than a message may have: the device could not be sent them.
pub fn fit(bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
    match bytes.len() {
        0..=BODY_BYTES_MAX => Ok(bytes),
        more => {
            let said = format!("it returned {more} bytes; a message has at most {BODY_BYTES_MAX}");
            Err(Fault::new(FaultKind::Output, said))
        }
    }
}

fn malformed(detail: String) -> Answer {
    Answer::refused(Code::BAD_REQUEST, Refusal::new(Reason::BodyMalformed, detail))
}
