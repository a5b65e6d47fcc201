//! Commands as a device sees them: a GET of a command's topic, and the POST of its reply (device protocol,
//! section 6).
//!
//! ```json
//! {"id":"20","version":"1.0","params":{"temp":30.5},"method":"thing.service.measurepoint.set"}
//! {"id":"20","code":200,"data":{}}
//! ```
//!
//! | fault of a reply | answer |
//! |---|---|
//! | the body is not JSON (or CBOR, where it says so), or not an object | 4.00 |
//! | `id` is missing, neither a string nor a number, or longer than 128 bytes | 2.04 with 1200 |
//! | `code` is missing, or not an integer of 32 bits or the text of one | 2.04 with 1200 |
//! | its command is unknown, of another topic, never fetched, or has ended | 2.04, and a warning in the log |
//!
//! `id` may be a number. `data` may be anything, or absent; `message` a text for people, which is kept if it
//! is one. Other keys are ignored.

use narrowgate_coap::{Code, OptionNumber, Request, Response, UriPath, format};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Action, Warning,
    answer::with_json,
    body::{self, Body},
    cbor,
    envelope::MessageFault,
    options::{accepted_format, accepts_bytes},
    topic,
};
use crate::{
    model::{
        command::{Command, CommandId, CommandStep, CommandTopic},
        json_piece::Piece,
        log::Reason,
    },
    ports::{Fault, FaultKind},
    rules::{admission::Grant, commands::MESSAGE_BYTES_MAX},
};

/// The option that names the topic of the oldest waiting command, on every response to its device (elective).
pub const COMMAND_WAITING: OptionNumber = OptionNumber(2100);

/// What a device wants of its commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandWanted {
    /// The oldest command of a topic, to be answered by [`deliver`] or [`nothing_waiting`].
    Fetch {
        /// Which topic.
        topic: CommandTopic,
        /// Content-Format of the answer.
        content_format: u16,
    },
    /// The oldest command of all, as a short path asks for, to be answered by [`super::short::deliver`] or
    /// [`nothing_waiting`], or refused by [`super::short::not_acceptable`].
    FetchOldest {
        /// The one format in which the device takes it; `None`: any.
        accept: Option<u16>,
    },
    /// To answer one, to be acknowledged with 2.04.
    Reply {
        /// Of which topic; `None`: of any, as a short path says.
        topic: Option<CommandTopic>,
        /// Which one; `None`: the id is none of ours.
        id: Option<CommandId>,
        /// The answer.
        step: CommandStep,
    },
}

/// A GET of a command's topic.
pub(super) fn fetch(request: &Request, topic: CommandTopic) -> Action {
    let accepted = match topic {
        CommandTopic::Raw => accepts_bytes(request).map(|()| format::OCTET_STREAM),
        _ => accepted_format(request),
    };
    match accepted {
        Ok(content_format) => Action::Command(CommandWanted::Fetch { topic, content_format }),
        Err(refused) => Action::Respond(refused),
    }
}

/// The reply to a command.
struct Reply<'a> {
    id: Option<Piece<'a>>,
    code: Option<Piece<'a>>,
    data: Option<Piece<'a>>,
    message: Option<Piece<'a>>,
}

/// A POST of a reply.
pub(super) fn reply(request: &Request, topic: CommandTopic) -> Action {
    let content_format = match accepted_format(request) {
        Ok(content_format) => content_format,
        Err(refused) => return Action::Respond(refused),
    };
    match Body::read(request) {
        Ok(body) => reply_in(&body, topic, content_format),
        Err(refused) => refused.into(),
    }
}

fn read_body<'a>(body: &'a Body<'_>) -> Reply<'a> {
    let named = ["id", "code", "data", "message"];
    let [id, code, data, message] = Piece::of(body.json()).named(named).unwrap_or_default();
    Reply { id, code, data, message }
}

/// Whether a message has what only the reply to a command has.
pub(super) fn looks_like_reply(body: &Body<'_>) -> bool {
    let reply = read_body(body);
    reply.id.is_some() && reply.code.is_some()
}

/// A reply that was read.
pub(super) fn reply_in(body: &Body<'_>, topic: CommandTopic, content_format: u16) -> Action {
    let reply = read_body(body);
    match body.envelope().check_id().and_then(|()| read(&reply)) {
        Ok((id, step)) => Action::Command(CommandWanted::Reply { topic: Some(topic), id, step }),
        Err(fault) => body::refuse(content_format, body.envelope().id(), fault),
    }
}

fn read(reply: &Reply<'_>) -> Result<(Option<CommandId>, CommandStep), MessageFault> {
    let fault = |message| MessageFault::new(MessageFault::FORM, message);
    let plain = |piece: Piece<'_>| piece.text().map_or_else(|| piece.get().to_owned(), Into::into);
    let id = reply.id.ok_or_else(|| {
        let hint = "a reply has the id of its command, which tells the server what it answers";
        fault("/id: is missing").with_hint(Some(hint.to_owned()))
    })?;
    let code = reply.code.ok_or_else(|| fault("/code: is missing"))?;
    let code = plain(code).parse::<i32>().map_err(|_| fault("/code: must be an integer of 32 bits"))?;
    let data_json = reply.data.map(|data| data.get().into());
    let message = reply.message.and_then(Piece::text).map(Into::into);
    Ok((plain(id).parse().ok(), CommandStep::Reply { code: code.into(), data_json, message }))
}

#[derive(Serialize)]
struct Message<'a> {
    id: String,
    version: &'static str,
    params: &'a RawValue,
    method: &'a str,
}

/// A command as it is sent to its device: its bytes, or JSON.
///
/// # Panics
/// Where its parameters are not JSON: they are checked before it is stored.
pub fn message(command: &Command) -> Vec<u8> {
    match &command.order.raw {
        Some(raw) => raw.to_vec(),
        None => message_as_json(command),
    }
}

/// The same as JSON, whatever the device gets: what a script makes bytes of.
///
/// # Panics
/// As [`message`].
pub fn message_as_json(command: &Command) -> Vec<u8> {
    let params = RawValue::from_string(command.order.params_json.to_string());
    let params = params.expect("what is stored was read as JSON before");
    let (id, method) = (command.id.to_string(), command.order.topic.method());
    let message = Message { id, version: "1.0", params: &params, method: &method };
    serde_json::to_vec(&message).expect("strings and JSON can be written, into memory")
}

/// The same in CBOR, for who wants that.
pub(super) fn message_in(command: &Command, content_format: Option<u32>) -> Vec<u8> {
    let message = message(command);
    let is_cbor = content_format == Some(u32::from(format::CBOR)) && command.order.raw.is_none();
    if is_cbor { cbor::from_json(&message) } else { message }
}

/// The answer to a GET that a command was found for, once that is durable. Nobody may answer with it later.
pub fn deliver(command: &Command, content_format: u16) -> Response {
    let response = Response::new(Code::CONTENT).max_age(0);
    match &command.order.raw {
        Some(raw) => deliver_bytes(raw),
        None => with_json(response, content_format, message(command)),
    }
}

/// The same of a command that a script made these bytes of when it was fetched.
pub fn deliver_bytes(bytes: &[u8]) -> Response {
    Response::new(Code::CONTENT).max_age(0).content_format(format::OCTET_STREAM).payload(bytes)
}

/// The bytes that a script made of a command, where a device can be sent them.
///
/// # Errors
/// They are none, or more than a message of a command may have.
pub fn encoded(bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let fault = |kind, said: String| Err(Fault::new(kind, said));
    match bytes.len() {
        0 => fault(FaultKind::ReturnType, "jsonStrToRawData returned no bytes".to_owned()),
        1..=MESSAGE_BYTES_MAX => Ok(bytes),
        more => {
            let most = MESSAGE_BYTES_MAX;
            let said = format!("jsonStrToRawData returned {more} bytes; a command has at most {most}");
            fault(FaultKind::ReturnType, said)
        }
    }
}

/// What is said of a command that a script makes no bytes of.
pub fn not_encoded(fault: &Fault) -> String {
    format!("the product's script cannot encode the command (11810): {fault}")
}

/// The answer to a GET where no command of the topic waits.
pub fn nothing_waiting() -> Response {
    Response::new(Code::NOT_FOUND)
}

/// The answer to a reply, whatever has become of its command.
pub fn acknowledge_reply() -> Response {
    Response::new(Code::CHANGED)
}

/// A response with the option that says that a command waits.
pub fn with_command_waiting(response: Response, session: &Grant, oldest: &CommandTopic) -> Response {
    response.option(COMMAND_WAITING, topic_path(session, oldest).as_str())
}

fn topic_path(session: &Grant, topic: &CommandTopic) -> UriPath {
    let mut path = UriPath::default();
    for segment in topic::SYS.iter().copied().chain([session.product_key(), session.device_key()]) {
        path.push(segment);
    }
    let rest: &[&str] = match topic {
        CommandTopic::Set => &["thing", "service", "measurepoint", "set"],
        CommandTopic::Get => &["thing", "service", "measurepoint", "get"],
        CommandTopic::Service(service) => &["thing", "service", service],
        CommandTopic::Raw => &["thing", "model", "down_raw"],
        CommandTopic::Upgrade => &["ota", "device", "upgrade"],
    };
    rest.iter().for_each(|segment| path.push(segment));
    path
}

/// What the log says of a reply that changes nothing.
pub fn reply_ignored(id: Option<CommandId>) -> Warning {
    let which = id.map_or_else(|| "no id of a command".to_owned(), |id| format!("command {id}"));
    let detail = format!(
        "a reply has {which}, and none of that id and topic waits for one: it was cancelled, is over or \
         answered already, or never fetched; the reply changes nothing"
    );
    Warning { reason: Reason::CommandNotOpen, detail }
}

#[cfg(test)]
mod tests {
    use narrowgate_coap::format;

    use super::*;
    use crate::{
        device_api::{ProductState, handle},
        ids::{DeviceId, UnixMillis},
        model::command::Order,
        rules::identity::SecureMode,
    };

    const SET: &str = "/topic/sys/p/d/thing/service/measurepoint/set";

    fn session(mode: SecureMode) -> Grant {
        Grant::new(DeviceId(7), ["p", "d", "asset"], mode, (60, 1))
    }

    fn ask(request: &Request) -> Action {
        handle(&session(SecureMode::DeviceSecret), request, ProductState::On(None), UnixMillis(0))
    }

    #[track_caller]
    fn wanted(action: Action) -> CommandWanted {
        let Action::Command(wanted) = action else { panic!("{action:?}") };
        wanted
    }

    #[track_caller]
    fn refused(action: Action) -> (Code, String) {
        let Action::Respond(answer) = action else { panic!("{action:?}") };
        let (response, refusal) = answer.into_parts();
        let words = refusal.map(|refusal| refusal.detail.into_owned()).unwrap_or_default();
        (response.code, words)
    }

    fn service(id: &str) -> CommandTopic {
        CommandTopic::Service(id.into())
    }

    #[test]
    fn every_topic_of_commands_is_fetched_by_get_and_answered_by_post() {
        let base = "/topic/sys/p/d/thing/service/";
        for (path, topic) in [
            ("measurepoint/set", CommandTopic::Set),
            ("measurepoint/get", CommandTopic::Get),
            ("restart", service("restart")),
            ("measurepoint", service("measurepoint")),
            ("phase-1.re_set", service("phase-1.re_set")),
        ] {
            let content_format = format::JSON;
            let fetch = CommandWanted::Fetch { topic: topic.clone(), content_format };
            let topic = Some(topic);
            assert_eq!(wanted(ask(&Request::get(&format!("{base}{path}")))), fetch);
            let reply = format!("{base}{path}_reply");
            let body = r#"{"id":"20","code":200,"data":{"a":1.50}}"#;
            let data_json = Some(r#"{"a":1.50}"#.into());
            let step = CommandStep::Reply { code: 200, data_json, message: None };
            let id = Some(CommandId(20));
            let answer = CommandWanted::Reply { topic, id, step };
            assert_eq!(wanted(ask(&Request::post(&reply, 50, body))), answer);
            let posted = Request::post(&format!("{base}{path}"), 50, body);
            for wrong in [Request::get(&reply), posted] {
                assert_eq!(refused(ask(&wrong)).0, Code::METHOD_NOT_ALLOWED);
            }
        }
        for path in ["", ".", "..", "a b", &"x".repeat(129), "measurepoint/other", "a/b"] {
            assert_eq!(refused(ask(&Request::get(&format!("{base}{path}")))).0, Code::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn the_commands_of_another_device_and_those_of_a_product_s_session_are_forbidden() {
        let foreign = Request::get("/topic/sys/p/e/thing/service/measurepoint/set");
        assert_eq!(refused(ask(&foreign)).0, Code::FORBIDDEN);
        let activating = session(SecureMode::ProductSecret);
        let action = handle(&activating, &Request::get(SET), ProductState::On(None), UnixMillis(0));
        assert_eq!(refused(action).0, Code::FORBIDDEN);
    }

    #[test]
    fn a_reply_may_write_its_code_and_its_id_as_numbers_or_as_texts() {
        for (body, id, code, data) in [
            (r#"{"id":"20","code":"200"}"#, Some(20), 200, None),
            (r#"{"id":20,"code":0,"data":null}"#, Some(20), 0, None),
            (r#"{"code":-3,"id":"020","data":"x"}"#, None, -3, Some("\"x\"")),
            (r#"{"id":"soon","code":1101,"message":7,"data":[1]}"#, None, 1101, Some("[1]")),
        ] {
            let reply = wanted(ask(&Request::post(&format!("{SET}_reply"), 50, body)));
            let step = CommandStep::Reply { code, data_json: data.map(Into::into), message: None };
            let id = id.map(CommandId);
            let topic = Some(CommandTopic::Set);
            assert_eq!(reply, CommandWanted::Reply { topic, id, step }, "{body}");
        }
    }

    #[test]
    fn the_message_of_a_reply_is_kept_where_it_is_a_text() {
        let body = r#"{"id":"20","code":1102,"message":"no \"valve\" \u00e4","data":{}}"#;
        let reply = wanted(ask(&Request::post(&format!("{SET}_reply"), 50, body)));
        let CommandWanted::Reply { step: CommandStep::Reply { message, .. }, .. } = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(message.as_deref(), Some("no \"valve\" \u{e4}"));
    }

    #[test]
    fn a_reply_that_cannot_be_read_says_why() {
        let reply = |body: &str| refused(ask(&Request::post(&format!("{SET}_reply"), 50, body)));
        let long_id = format!(r#"{{"id":"{}","code":200}}"#, "2".repeat(129));
        for (body, code, words) in [
            ("", Code::BAD_REQUEST, ""),
            ("[1]", Code::BAD_REQUEST, ""),
            (r#"{"code":200}"#, Code::CHANGED, "/id: is missing; a reply has the id"),
            (r#"{"id":"20"}"#, Code::CHANGED, "/code: is missing"),
            (
                r#"{"id":{},"code":200}"#,
                Code::CHANGED,
                "/id: must be a string or a number of at most 128 bytes",
            ),
            (r#"{"id":[],"code":200}"#, Code::CHANGED, "/id: must be a string or a number"),
            (r#"{"id":true,"code":200}"#, Code::CHANGED, "/id: must be a string or a number"),
            (&long_id, Code::CHANGED, "/id: must be a string or a number"),
            (r#"{"id":"20","code":"2e2"}"#, Code::CHANGED, "/code: must be an integer of 32 bits"),
            (r#"{"id":"20","code":200.0}"#, Code::CHANGED, "/code: must be an integer of 32 bits"),
            (r#"{"id":"20","code":4294967296}"#, Code::CHANGED, "/code: must be an integer of 32 bits"),
        ] {
            let (answered, said) = reply(body);
            assert_eq!(answered, code, "{body}");
            assert!(said.starts_with(words), "{body}: {said}");
        }
        let xml = refused(ask(&Request::post(&format!("{SET}_reply"), 41, "<a/>")));
        assert_eq!(xml.0, Code::UNSUPPORTED_CONTENT_FORMAT);
        let long =
            format!(r#"{{"id":"1","code":200,"data":"{}"}}"#, "x".repeat(crate::device_api::BODY_BYTES_MAX));
        assert_eq!(reply(&long).0, Code::REQUEST_ENTITY_TOO_LARGE);
    }

    #[test]
    fn a_command_is_delivered_as_the_protocol_says_and_names_the_next_topic() {
        let params_json = r#"{"temp":30.50}"#.into();
        let order =
            Order { topic: CommandTopic::Set, params_json, pending_ttl_s: 0, timeout_s: 30, raw: None };
        let command = Command::new(CommandId(20), order, UnixMillis(0));
        let response = deliver(&command, format::JSON);
        let text = concat!(
            r#"{"id":"20","version":"1.0","params":{"temp":30.50},"#,
            r#""method":"thing.service.measurepoint.set"}"#
        );
        assert_eq!(String::from_utf8_lossy(&response.payload), text);
        let grant = Grant::new(DeviceId(7), ["p", "d/ä", "asset"], SecureMode::DeviceSecret, (60, 1));
        for (topic, path) in [
            (CommandTopic::Get, "/topic/sys/p/d%2F%C3%A4/thing/service/measurepoint/get"),
            (service("restart"), "/topic/sys/p/d%2F%C3%A4/thing/service/restart"),
        ] {
            let response = with_command_waiting(Response::new(Code::CHANGED), &grant, &topic);
            let option = response.options.iter().find(|(number, _)| *number == COMMAND_WAITING);
            let text = option.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
            assert_eq!(text.as_deref(), Some(path));
        }
    }
}
