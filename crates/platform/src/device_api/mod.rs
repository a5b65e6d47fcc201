//! What a device may ask of the server and what it gets (device protocol, sections 3, 4, 5 and 9): a CoAP request of a session in,
//! an action out. Pure: storing and issuing is done by the caller, who answers afterwards.
//!
//! | path | method | mode | action |
//! |---|---|---|---|
//! | `/topic/sys/{pk}/{dk}/thing/measurepoint/{post,resume}` | POST | 2 | store a report, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/measurepoint/{post,resume}/batch` | POST | 2 | store several reports or none, then 2.04 |
//! | `/topic/ext/session/{pk}/{dk}/thing/activate/info` | GET | 3 | issue a device secret, then 2.05 |
//! | `/topic/ext/session/{pk}/{dk}/thing/activate/info_reply` | POST | 2, 3 | 2.04, no effect |
//! | `/auth/{pk}/{dk}` | POST | 2 | 2.04, no effect |
//!
//! In this order: a mode-3 session gets 4.03 for everything but its two paths; keys of another device 4.03, whatever follows them and
//! whether that device exists or not; an unknown path 4.04; another method 4.05; an Accept other than JSON 4.06 (RFC 7252, 5.10.4); a
//! Content-Format other than JSON or text 4.15; a body of more than 10 KiB 4.13; an illegal body 4.00 ([`json`]); then faults of the message in the JSON reply
//! ([`envelope`], [`points`]). Uri-Query, Uri-Host and Observe have no influence.

pub mod activation;
pub mod envelope;
pub mod json;
pub mod points;
mod topic;

use narrowgate_coap::{Code, OptionNumber, Request, Response, format};

pub use self::activation::{SecretAnswer, SecretWanted, issued};
use self::topic::{NoTopic, Topic};
use crate::{
    ids::UnixMillis,
    model::{log::Reason, thing_model::ThingModel},
    ports::Write,
    rules::{admission::Grant, identity::SecureMode},
};

/// Longest body of a request, bytes; 4.13 with Size1 beyond it.
pub const BODY_BYTES_MAX: usize = 10 * 1024;

/// What to do with a request.
#[derive(Debug)]
pub enum Action {
    /// Answer it at once.
    Respond {
        /// The answer.
        response: Response,
        /// What goes into the device's log, where the request was refused for a reason that has a name.
        refusal: Option<Refusal>,
    },
    /// Commit all writes in one transaction and answer it after that.
    Store {
        /// One write for each report; at least one.
        writes: Vec<Write>,
        /// The answer, for when they are durable.
        response: Response,
    },
    /// Make a new device secret, have the store issue it, and answer by [`issued`].
    IssueSecret(SecretWanted),
}

/// Why a request was refused, for the device's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// The protocol's number, where it has one.
    pub code: Option<u16>,
    /// Words for people.
    pub detail: String,
}

impl Action {
    fn respond(code: Code) -> Self {
        Self::Respond { response: Response::new(code), refusal: None }
    }

    fn refuse(code: Code, reason: Reason, number: Option<u16>, detail: impl Into<String>) -> Self {
        let refusal = Refusal { reason, code: number, detail: detail.into() };
        Self::Respond { response: Response::new(code), refusal: Some(refusal) }
    }
}

/// Decides what to do with a request of an established session. `model` is the thing model of the session's product, if it has one;
/// `now` is when the request arrived.
pub fn handle(session: &Grant, request: &Request, model: Option<&ThingModel>, now: UnixMillis) -> Action {
    let topic = topic::find(session, &request.path);
    if session.mode == SecureMode::ProductSecret {
        return handle_mode_3(request, topic, now);
    }
    let topic = match topic {
        Ok(topic) => topic,
        Err(NoTopic::Foreign) => return foreign(request),
        Err(NoTopic::Unknown) => return Action::respond(Code::NOT_FOUND),
    };
    if request.method != topic.method() {
        return Action::respond(Code::METHOD_NOT_ALLOWED);
    }
    match topic {
        Topic::Login | Topic::ActivateInfoReply => Action::respond(Code::CHANGED),
        Topic::ActivateInfo => Action::refuse(
            Code::FORBIDDEN,
            Reason::AlreadyActivated,
            Some(771),
            "the device asked for its secret in a session that proves that it has it",
        ),
        Topic::Points(_) if request.payload.len() > BODY_BYTES_MAX => too_large(request),
        Topic::Points(verb) => match accepted_format(request) {
            Some(content_format) => points::handle(session, request, verb, model, now, content_format),
            None => Action::respond(Code::NOT_ACCEPTABLE),
        },
    }
}

fn too_large(request: &Request) -> Action {
    let detail = format!("the body has {} bytes; at most {BODY_BYTES_MAX} are taken", request.payload.len());
    Action::Respond {
        response: Response::new(Code::REQUEST_ENTITY_TOO_LARGE)
            .option(OptionNumber::SIZE1, &(BODY_BYTES_MAX as u16).to_be_bytes()[..]),
        refusal: Some(Refusal { reason: Reason::TooLarge, code: Some(1008), detail }),
    }
}

/// A session that proved the product's secret may ask for its own device's secret and confirm that; nothing else.
fn handle_mode_3(request: &Request, topic: Result<Topic, NoTopic>, now: UnixMillis) -> Action {
    match (topic, request.method) {
        (Ok(Topic::ActivateInfo), Code::GET) => match accepted_format(request) {
            Some(content_format) => Action::IssueSecret(SecretWanted { asked: now, content_format }),
            None => Action::respond(Code::NOT_ACCEPTABLE),
        },
        (Ok(Topic::ActivateInfoReply), Code::POST) => Action::respond(Code::CHANGED),
        (Err(NoTopic::Foreign), _) => foreign(request),
        _ => {
            let detail = format!(
                "secure mode 3 may only GET its thing/activate/info; it asked for {}. Connect with secure mode 2 and the device's secret",
                shown_path(request)
            );
            Action::refuse(Code::FORBIDDEN, Reason::TopicForeign, Some(1009), detail)
        }
    }
}

fn foreign(request: &Request) -> Action {
    let detail = format!("the path names another device: {}", shown_path(request));
    Action::refuse(Code::FORBIDDEN, Reason::TopicForeign, Some(1009), detail)
}

/// The format in which the client accepts a JSON answer: JSON, or text where it asks for that. `None`: it wants something else.
fn accepted_format(request: &Request) -> Option<u16> {
    match request.accept {
        None | Some(format::JSON) => Some(format::JSON),
        Some(format::TEXT_PLAIN) => Some(format::TEXT_PLAIN),
        Some(_) => None,
    }
}

/// The path for a log: percent-encoded by CoAP's rules, so it is plain ASCII, and cut.
fn shown_path(request: &Request) -> &str {
    const BYTES_MAX: usize = 160;
    let path = request.path_text();
    path.get(..BYTES_MAX).unwrap_or(path)
}

#[cfg(test)]
mod tests;
