//! What a device may ask of the server and what it gets (device protocol, sections 3, 4, 5 and 9): a CoAP
//! request of a session in, an action out. Pure: storing and issuing is done by the caller, who answers
//! afterwards.
//!
//! | path | method | mode | action |
//! |---|---|---|---|
//! | `/topic/sys/{pk}/{dk}/thing/measurepoint/post` | POST | 2 | store a report, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/measurepoint/post/batch` | POST | 2 | store all or none, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/measurepoint/resume` | POST | 2 | store a report, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/measurepoint/resume/batch` | POST | 2 | store all or none, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/attribute/update` | POST | 2 | change attributes, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/attribute/query` | POST | 2 | 2.04 with attributes |
//! | `/topic/sys/{pk}/{dk}/thing/attribute/delete` | POST | 2 | change attributes, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/tag/update` | POST | 2 | change tags, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/tag/query` | POST | 2 | 2.04 with tags |
//! | `/topic/sys/{pk}/{dk}/thing/tag/delete` | POST | 2 | change tags, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/event/{eventId}/post` | POST | 2 | store an event, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/ota/device/inform` | POST | 2 | note the version, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/ota/device/progress` | POST | 2 | note how far it is, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/ota/device/getversion` | POST | 2 | 2.04 with versions |
//! | `/topic/sys/{pk}/{dk}/ota/device/upgrade` | GET | 2 | the oldest command, 2.05 |
//! | `/topic/sys/{pk}/{dk}/ota/device/upgrade_reply` | POST | 2 | take a reply, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/service/measurepoint/set` | GET | 2 | the oldest command, 2.05 |
//! | `/topic/sys/{pk}/{dk}/thing/service/measurepoint/set_reply` | POST | 2 | take a reply, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/service/measurepoint/get` | GET | 2 | the oldest command, 2.05 |
//! | `/topic/sys/{pk}/{dk}/thing/service/measurepoint/get_reply` | POST | 2 | take a reply, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/service/{serviceId}_reply` | POST | 2 | take a reply, then 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/service/{serviceId}` | GET | 2 | the oldest command, 2.05 |
//! | `/topic/sys/{pk}/{dk}/thing/model/up_raw` | POST | 2 | what a script makes of bytes, 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/model/down_raw` | GET | 2 | the oldest command, 2.05 |
//! | `/topic/sys/{pk}/{dk}/thing/model/down_raw_reply` | POST | 2 | what a script makes of bytes, 2.04 |
//! | `/topic/sys/{pk}/{dk}/thing/commands` | GET | 2 | how many commands wait, 2.05; can be observed |
//! | `/topic/ext/session/{pk}/{dk}/thing/activate/info` | GET | 3 | issue a device secret, then 2.05 |
//! | `/topic/ext/session/{pk}/{dk}/thing/activate/info_reply` | POST | 2, 3 | 2.04, no effect |
//! | `/auth/{pk}/{dk}` | POST | 2 | 2.04, no effect |
//!
//! `GET /.well-known/core` lists the topics of a session, in both modes (`discovery`). `GET /ota/{imageId}`
//! has the image of a firmware ([`ota::image`]).
//!
//! In this order: a product that cannot be read 5.03, one that is switched off 4.03; a POST whose body is
//! longer than [`MessageLimit`] 4.13, whatever its path; a mode-3 session gets 4.03 for everything but its
//! two paths and that list; keys of another device 4.03, whatever follows them and whether that device
//! exists or not; an unknown path 4.04; another method 4.05; If-Match or If-None-Match 4.12; an Accept other
//! than JSON, CBOR or text 4.06 (RFC 7252, 5.10.4); a Content-Format other than these 4.15; an illegal body
//! 4.00 ([`json`], [`cbor`]); then faults of the message in the reply ([`envelope`], [`points`],
//! [`properties`], `events`). Uri-Query and Uri-Host have no influence, and Observe where nothing can be
//! observed. Every refusal says why, for the device's log ([`Answer`]).
//!
//! A body in CBOR is read as the JSON that it stands for, and an answer in CBOR is made of its JSON, so there
//! is one code for both ([`cbor`]). An answer has the format that Accept asks for; without Accept, that of
//! the request: CBOR where its Content-Format says so, else JSON. What a session used before plays no part.
//!
//! A product may let its devices use [`short`] paths as well, and its devices may speak bytes, which a script
//! of it turns into messages ([`raw`]).

pub mod activation;
mod answer;
mod body;
pub mod carried;
pub mod cbor;
pub mod commands;
mod diagnosis;
mod discovery;
pub mod envelope;
mod events;
pub mod json;
mod limit;
pub mod login;
mod options;
pub mod ota;
mod path;
pub mod points;
pub mod properties;
pub mod quota;
pub mod raw;
pub mod short;
mod topic;
pub mod waiting;

use narrowgate_coap::{Code, Request, Response};

pub use self::{
    activation::{SecretAnswer, SecretWanted, answer_secret},
    answer::{Answer, Warning},
    commands::CommandWanted,
    limit::MessageLimit,
    options::{answer_too_large, malformed, message_id_reused, refused_below},
    ota::{OtaWanted, image::BlockWanted},
    properties::{EditWanted, QueryWanted},
    waiting::CountWanted,
};
use self::{
    body::Body,
    discovery::Served,
    options::{accepted_format, refuse_preconditions},
    topic::{Found, Handler, MessageOf, NoTopic},
};
use crate::{
    ids::UnixMillis,
    model::{
        command::{CommandKind, CommandTopic},
        log::Reason,
        thing_model::{ThingModel, is_topic_identifier},
    },
    ports::Write,
    rules::{admission::Grant, clock::Arrival, identity::SecureMode, refusal::Refusal},
};

/// Longest message that a device is sent, bytes, and, without [`MessageLimit`], that it may send.
pub const BODY_BYTES_MAX: usize = 10 * 1024;
/// Seconds after which a device may try again what the store could not read or write: Max-Age of 5.03.
pub const UNAVAILABLE_MAX_AGE_S: u32 = 30;

/// Numbers of refusals whose reason has no number, or another one (device protocol, section 9). Those of
/// messages stand in [`envelope::MessageFault`].
mod number {
    /// The body of a request is too large.
    pub(super) const TOO_LARGE: u16 = 1008;
    /// The session may not use the topic.
    pub(super) const TOPIC: u16 = 1009;
    /// The method does not fit the topic.
    pub(super) const METHOD: u16 = 1260;
}

/// What to do with a request.
#[derive(Debug)]
pub enum Action {
    /// Answer it at once.
    Respond(Answer),
    /// Commit all writes in one transaction and answer it after that.
    Store {
        /// One write for each report; at least one.
        writes: Vec<Write>,
        /// The answer, to be sent once they are durable.
        response: Response,
        /// What goes into the device's log, once in a session.
        warning: Option<Warning>,
    },
    /// Commit a change of the device's own attributes or tags, and answer it after that.
    Edit(Box<EditWanted>),
    /// Read the device's attributes or tags, and answer by [`QueryWanted::answer`].
    Query(Box<QueryWanted>),
    /// Note what a device says of its firmware, or read which versions there are for it ([`ota`]).
    Ota(Box<OtaWanted>),
    /// Read a block of an image, and answer by [`BlockWanted::answer`].
    ReadBlock(BlockWanted),
    /// Answer it at once. It is counted, and written to no log: the store, which would keep the entry, is not
    /// available.
    Unavailable(Response),
    /// Hand out a command, or take its reply ([`commands`]).
    Command(CommandWanted),
    /// Take a reply to a command that came to a short path: which command it answers says what its numbers
    /// stand for.
    ShortReply(short::CommandReply),
    /// Have the product's script make a message of these bytes, and do what [`raw::decoded`] says.
    Decode(Vec<u8>),
    /// Say how many commands wait, and if the device wants to observe that, note it ([`waiting`]).
    CountCommands(CountWanted),
    /// Make a new device secret, have the store issue it, and answer by [`answer_secret`].
    IssueSecret(SecretWanted),
}

/// What is known of the product of a session when a request comes.
#[derive(Debug, Clone, Copy)]
pub enum ProductState<'a> {
    /// The store cannot read it.
    Unreadable,
    /// It is switched off or gone, or its thing model cannot be read; its sessions are being closed.
    Off,
    /// Its organisation unit is suspended; its sessions are being closed.
    Suspended,
    /// It is switched on, with the thing model that it has, if any.
    On(Option<&'a ThingModel>),
    /// The same, and its devices may use short paths.
    OnWithShortPaths(Option<&'a ThingModel>),
    /// It is switched on, and its devices may speak bytes.
    OnWithBytes {
        /// The thing model that it has, if any.
        model: Option<&'a ThingModel>,
        /// Whether its devices may use short paths.
        short_paths: bool,
    },
}

/// The answer while the store cannot read or write: 5.03 with Max-Age.
pub fn unavailable() -> Response {
    Response::new(Code::SERVICE_UNAVAILABLE).max_age(UNAVAILABLE_MAX_AGE_S)
}

impl Action {
    fn refuse(code: Code, refusal: Refusal) -> Self {
        Self::Respond(Answer::refused(code, refusal))
    }
}

/// Decides what to do with a request of an established session, which arrived at `now`.
pub fn handle(
    session: &Grant,
    request: &Request,
    product: ProductState<'_>,
    now: impl Into<Arrival>,
) -> Action {
    handle_within(MessageLimit::default(), session, request, product, now)
}

/// The same where another limit is set.
pub fn handle_within(
    limit: MessageLimit,
    session: &Grant,
    request: &Request,
    product: ProductState<'_>,
    now: impl Into<Arrival>,
) -> Action {
    let now = now.into();
    let (model, served) = match served(product) {
        Ok(served) => served,
        Err(refused) => return refused,
    };
    // Before anything else is asked of it, as where it comes in blocks.
    if let Err(refused) = limit.permit(request) {
        return Action::Respond(refused);
    }
    let short_paths = served.short_paths && session.mode == SecureMode::DeviceSecret;
    if discovery::is_for(&request.path) {
        return discovery::handle(session, request, Served { short_paths, ..served });
    }
    let short = || short_paths.then(|| short::handle(session, request, model, now)).flatten();
    if let Some(action) = ota::image::handle(session, request).or_else(short) {
        return action;
    }
    let topic = topic::find(session, &request.path);
    if session.mode == SecureMode::ProductSecret {
        return handle_mode_3(session, request, topic, now.time);
    }
    let Found { topic, parameter } = match topic {
        Ok(found) => found,
        Err(why) => return no_topic(session, request, why),
    };
    if request.method != topic.method {
        let refusal = Refusal::new(Reason::MethodWrong, path::wrong_method(request, topic));
        return Action::refuse(Code::METHOD_NOT_ALLOWED, refusal.with_number(number::METHOD));
    }
    if let Some(refused) = refuse_preconditions(request) {
        return Action::Respond(refused);
    }
    match topic.handler {
        _ if topic.is_of_bytes() && !served.bytes => raw::not_custom(),
        Handler::Bytes => raw::handle(request),
        Handler::Acknowledge => Action::Respond(Answer::changed()),
        Handler::FetchCommand(kind) => match command_topic(kind, parameter) {
            Some(topic) => commands::fetch(request, topic),
            None => no_topic(session, request, NoTopic::Unknown),
        },
        Handler::ReplyToCommand(kind) => match command_topic(kind, parameter) {
            Some(topic) => commands::reply(request, topic),
            None => no_topic(session, request, NoTopic::Unknown),
        },
        Handler::CountCommands => waiting::handle(request),
        Handler::IssueSecret => {
            let detail = "the device asked for its secret in a session that proves that it has it";
            Action::refuse(Code::FORBIDDEN, Refusal::new(Reason::AlreadyActivated, detail))
        }
        Handler::Message(of) => handle_message(session, request, (of, parameter), model, now),
    }
}

/// The product's thing model, and what it serves beside JSON and CBOR; or what is done without looking at the
/// request.
fn served(product: ProductState<'_>) -> Result<(Option<&ThingModel>, Served), Action> {
    match product {
        ProductState::Unreadable => Err(Action::Unavailable(unavailable())),
        ProductState::Off => {
            let detail = "the product was switched off while the device had a session";
            Err(Action::refuse(Code::FORBIDDEN, Refusal::new(Reason::ProductDisabled, detail)))
        }
        ProductState::Suspended => {
            let detail = "the organisation unit was suspended while the device had a session";
            Err(Action::refuse(Code::FORBIDDEN, Refusal::new(Reason::UnitSuspended, detail)))
        }
        ProductState::On(model) => Ok((model, Served::default())),
        ProductState::OnWithShortPaths(model) => Ok((model, Served { short_paths: true, bytes: false })),
        ProductState::OnWithBytes { model, short_paths } => Ok((model, Served { short_paths, bytes: true })),
    }
}

/// A message of a device, in the body of a request whose path, method and length are right.
fn handle_message(
    session: &Grant,
    request: &Request,
    (of, parameter): (MessageOf, Option<String>),
    model: Option<&ThingModel>,
    now: Arrival,
) -> Action {
    let content_format = match accepted_format(request) {
        Ok(content_format) => content_format,
        Err(refused) => return Action::Respond(refused),
    };
    let body = match Body::read(request) {
        Ok(body) => body,
        Err(refused) => return refused.into(),
    };
    message(session, &body, (of, parameter), model, now, content_format)
}

/// The same of a body that was read.
fn message(
    session: &Grant,
    body: &Body<'_>,
    (of, parameter): (MessageOf, Option<String>),
    model: Option<&ThingModel>,
    now: Arrival,
    content_format: u16,
) -> Action {
    match of {
        MessageOf::Points(verb) => points::handle(session, body, verb, model, now, content_format),
        MessageOf::Properties(kind, verb) => properties::handle(body, (kind, verb), model, content_format),
        MessageOf::Ota(verb) => ota::handle(body, verb, content_format),
        MessageOf::Event => {
            let identifier = parameter.unwrap_or_default();
            events::handle(session, body, &identifier, model, now, content_format)
        }
    }
}

/// `None`: the service is none.
fn command_topic(kind: CommandKind, service: Option<String>) -> Option<CommandTopic> {
    match kind {
        CommandKind::Set => Some(CommandTopic::Set),
        CommandKind::Get => Some(CommandTopic::Get),
        CommandKind::Raw => Some(CommandTopic::Raw),
        CommandKind::Service => {
            service.filter(|id| is_topic_identifier(id)).map(|id| CommandTopic::Service(id.into()))
        }
        CommandKind::Upgrade => Some(CommandTopic::Upgrade),
    }
}

/// A session that proved the product's secret may ask for its own device's secret and confirm that; nothing
/// else.
fn handle_mode_3(
    session: &Grant,
    request: &Request,
    topic: Result<Found, NoTopic>,
    now: UnixMillis,
) -> Action {
    let handler = match (topic, request.method) {
        (Ok(Found { topic, .. }), method) if topic.is_for(session.mode) && method == topic.method => {
            topic.handler
        }
        (Err(NoTopic::Foreign), _) => return no_topic(session, request, NoTopic::Foreign),
        _ => {
            let detail = format!(
                "secure mode 3 may only GET its thing/activate/info; it asked for {} {}. \
                 Connect with secure mode 2 and the device's secret",
                path::name_of(request.method),
                path::shown(&request.path)
            );
            return forbidden_topic(detail);
        }
    };
    if let Some(refused) = refuse_preconditions(request) {
        return Action::Respond(refused);
    }
    match (handler, accepted_format(request)) {
        (Handler::IssueSecret, Ok(content_format)) => {
            Action::IssueSecret(SecretWanted { asked: now, content_format })
        }
        (Handler::IssueSecret, Err(refused)) => Action::Respond(refused),
        _ => Action::Respond(Answer::changed()),
    }
}

fn no_topic(session: &Grant, request: &Request, why: NoTopic) -> Action {
    let detail = path::no_topic(session, &request.path, why);
    match why {
        NoTopic::Foreign => forbidden_topic(detail),
        NoTopic::Unknown => Action::refuse(Code::NOT_FOUND, Refusal::new(Reason::PathUnknown, detail)),
    }
}

fn forbidden_topic(detail: String) -> Action {
    let refusal = Refusal::new(Reason::TopicForeign, detail).with_number(number::TOPIC);
    Action::refuse(Code::FORBIDDEN, refusal)
}

#[cfg(test)]
mod tests;
