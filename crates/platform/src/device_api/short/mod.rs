//! Short paths and integer keys, for products that switch them on (device protocol, section 13): a report of
//! two points and its answer in 134 bytes on the wire, instead of several hundred.
//!
//! | path | method | body | answer |
//! |---|---|---|---|
//! | `/p`, `/r` | POST | a map of points, `[ms, map]`, or an array of such pairs | 2.04 |
//! | `/a` | POST | a map of attributes: an update | 2.04 |
//! | `/a` | POST | an array of attributes: a query; an empty one asks for all | 2.04 with a map |
//! | `/e/{n}` | POST | a map of the event's parameters, or `[ms, map]` | 2.04 |
//! | `/c` | GET | | 2.05 with the oldest command: `[id, kind, params]`, `[id, 3, service, params]` |
//! | `/c` | POST | the reply to a command: `[id, code, data]` | 2.04 |
//! | `/o` | POST | a map with `version` (inform), or with `step` and `desc` (progress) | 2.04 |
//! | `/f/{imageId}` | GET | | 2.05 with a block of the image ([`super::ota::image`]) |
//!
//! Bodies are CBOR (Content-Format 60). Keys of maps, attributes that are asked for and services are numbers
//! of the thing model, or identifiers as text. A message becomes the JSON that the long topic takes, and is
//! read and checked by the same code; so its faults have the codes of the long topic, and it is stored, shown
//! and listened to like any other. A fault is answered 2.04 with `[code, message]`; the message begins with
//! the place of the fault in the body, in which an element has its identifier.
//!
//! | fault | answer |
//! |---|---|
//! | another Content-Format, or none | 4.15 |
//! | Accept of another format than CBOR, or than that of the command | 4.06 |
//! | longer than [`super::MessageLimit`]; more than 40 KiB as JSON, and than four times its bytes | 4.13 |
//! | no CBOR; neither map nor array; an element twice in a map, be it by number and by identifier | 4.00 |
//! | an array that is neither a pair with a time nor a batch | 1200 (an element of a batch: 1206) |
//! | a time that is no unsigned integer | 1204 |
//! | the number of no such element | as an unknown identifier: 1204; a query leaves it out |
//!
//! Where a command waits, an answer has [`COMMAND_WAITING`] instead of the long option. `GET /c` gets the
//! oldest command of all topics, under one id until it is answered, as the GET of a topic does. One in bytes
//! comes as these bytes, Content-Format 42, in its place.

mod command;
mod keys;
mod shape;

use narrowgate_coap::{Code, OptionNumber, Request, Response, UriPath, format};

pub use self::command::{CommandReply, deliver, is_in_bytes, not_acceptable};
use self::{
    keys::{Names, read},
    shape::{Shape, attributes, points, short_message},
};
use super::{
    Action, Answer, BODY_BYTES_MAX,
    body::{Body, NoMessage},
    cbor::from_json_with_numbers,
    commands::CommandWanted,
    envelope::MessageFault,
    events, number,
    options::{format_name, refuse_preconditions},
    ota::{self, OtaVerb},
    path, points as long_points, properties as long_properties,
    properties::{PropertyVerb, QueryWanted},
    topic::short::{self as table, ShortHandler, ShortPath},
};
use crate::{
    model::{
        json_piece::Piece,
        log::Reason,
        property::{Properties, PropertyKind},
        thing_model::{ElementKind, ThingModel},
    },
    rules::{admission::Grant, clock::Arrival, refusal::Refusal},
};

/// The option that says, in an answer to a short path, that a command waits (elective, without a value).
pub const COMMAND_WAITING: OptionNumber = OptionNumber(2104);

/// Whether a path is a short one.
pub fn is_for(path: &UriPath) -> bool {
    table::is_one(path)
}

/// A response with the option that says that a command waits.
pub fn with_command_waiting(response: Response) -> Response {
    response.option(COMMAND_WAITING, [])
}

/// Decides what to do with a request to a short path; `None`: the path is none.
pub(super) fn handle(
    session: &Grant,
    request: &Request,
    model: Option<&ThingModel>,
    now: Arrival,
) -> Option<Action> {
    let mut found = table::at(&request.path).peekable();
    found.peek()?;
    let methods = table::at(&request.path).map(|(short, _)| path::name_of(short.method));
    let methods = methods.collect::<Vec<_>>().join(" and ");
    let Some((short, element)) = found.find(|(short, _)| short.method == request.method) else {
        let (method, path) = (path::name_of(request.method), path::shown(&request.path));
        let detail = format!("{method} does not fit {path}: it takes {methods} only");
        let refusal = Refusal::new(Reason::MethodWrong, detail).with_number(number::METHOD);
        return Some(Action::refuse(Code::METHOD_NOT_ALLOWED, refusal));
    };
    if let Some(refused) = refuse_preconditions(request) {
        return Some(Action::Respond(refused));
    }
    if short.handler == ShortHandler::Image {
        return Some(ota::image::fetch(request, ShortPath::image(&request.path)));
    }
    let fetches = short.handler == ShortHandler::FetchCommand;
    let may_be_bytes = fetches && request.accept == Some(format::OCTET_STREAM);
    if let Some(other) = request.accept.filter(|accept| *accept != format::CBOR && !may_be_bytes) {
        return Some(Action::Respond(refuse_accept(other, format::CBOR)));
    }
    if fetches {
        return Some(Action::Command(CommandWanted::FetchOldest { accept: request.accept }));
    }
    if request.content_format != Some(format::CBOR) {
        return Some(unsupported(request.content_format));
    }
    let asked = Asked { session, body: &request.payload, model, now };
    Some(match short.handler {
        ShortHandler::Points(verb) => asked.points(verb),
        ShortHandler::Attributes => asked.attributes(),
        ShortHandler::Event => asked.event(element),
        ShortHandler::Firmware => asked.firmware(),
        ShortHandler::FetchCommand | ShortHandler::Image | ShortHandler::ReplyToCommand => asked.reply(),
    })
}

fn refuse_accept(other: u16, has: u16) -> Answer {
    let (other, has) = (format_name(other), format_name(has));
    let detail = format!(
        "Accept asks for format {other}; the answer to this short path has format {has}: ask for that, or \
         leave Accept out"
    );
    Answer::refused(Code::NOT_ACCEPTABLE, Refusal::new(Reason::NotAcceptable, detail))
}

fn unsupported(given: Option<u16>) -> Action {
    let given = given.map_or("no content format".to_owned(), |given| {
        format!("content format {} is not supported here", format_name(given))
    });
    let detail = format!("{given}; a short path takes 60 (application/cbor)");
    Action::refuse(Code::UNSUPPORTED_CONTENT_FORMAT, Refusal::new(Reason::BodyMalformed, detail))
}

/// A request whose path, method and format are right.
struct Asked<'a> {
    session: &'a Grant,
    body: &'a [u8],
    model: Option<&'a ThingModel>,
    now: Arrival,
}

impl Asked<'_> {
    fn points(&self, verb: long_points::Verb) -> Action {
        let names = Names::Elements(self.model, ElementKind::Measurepoint);
        self.message(
            &names,
            |text| points(text, verb),
            |body, of| long_points::handle(self.session, body, of, self.model, self.now, format::JSON),
        )
    }

    fn attributes(&self) -> Action {
        let names = Names::Elements(self.model, ElementKind::Attribute);
        self.message(
            &names,
            |text| attributes(text, &names),
            |body, verb: PropertyVerb| {
                let of = (PropertyKind::Attribute, verb);
                long_properties::handle(body, of, self.model, format::JSON)
            },
        )
    }

    fn event(&self, number: u16) -> Action {
        let element = self.model.and_then(|model| model.element(number));
        let identifier = element.filter(|(kind, _)| *kind == ElementKind::Event).map(|(_, event)| event);
        let event = self.model.and_then(|model| model.events.get(identifier?));
        let output = event.map(|event| &event.output);
        let names = Names::Parameters(output, identifier.unwrap_or_default());
        let known = |text: &str| {
            let Some(identifier) = identifier else {
                let what = format!("the path: the thing model has no event with the number {number}");
                return Err(MessageFault::new(MessageFault::MODEL, what));
            };
            let (shape, json, ()) = shape::event(text)?;
            Ok((shape, json, identifier))
        };
        self.message(&names, known, |body, identifier| {
            events::handle(self.session, body, identifier, self.model, self.now, format::JSON)
        })
    }

    fn firmware(&self) -> Action {
        let names = Names::None;
        self.message(&names, shape::firmware, |body, verb: OtaVerb| ota::handle(body, verb, format::JSON))
    }

    fn reply(&self) -> Action {
        match CommandReply::parse(self.body) {
            Ok(reply) => Action::ShortReply(reply),
            Err(answer) => Action::Respond(answer),
        }
    }

    /// Has the long topic handle a message: `shaped` makes its JSON, and says what the handler is to know.
    fn message<Of>(
        &self,
        names: &Names<'_>,
        shaped: impl FnOnce(&str) -> Result<(Shape, String, Of), MessageFault>,
        handle: impl FnOnce(&Body<'_>, Of) -> Action,
    ) -> Action {
        let read = match read(self.body, names) {
            Ok(read) => read,
            Err(refused) => return refused.into(),
        };
        if !read.text.starts_with(['{', '[']) {
            return NoMessage::malformed("the body is neither a map nor an array").into();
        }
        let shaped = shaped(&read.text);
        // Before a fault of the form: the message may name what is not there.
        match (read.unknown, shaped) {
            (_, Err(fault)) | (Some(fault), _) => Action::Respond(refusal(&fault)),
            // What the device sent was checked; what is around it is not the device's.
            (None, Ok((shape, json, of))) => in_short_form(handle(&Body::of_text(&json), of), shape),
        }
    }
}

/// An action of the long topic with the answer of the short path.
fn in_short_form(action: Action, shape: Shape) -> Action {
    let done = Response::new(Code::CHANGED);
    match action {
        Action::Store { writes, warning, .. } => Action::Store { writes, response: done, warning },
        Action::Edit(mut wanted) => {
            wanted.response = done;
            Action::Edit(wanted)
        }
        Action::Respond(answer) => Action::Respond(shorten_of(answer, shape)),
        other => other,
    }
}

/// An answer of the long topic as that of the short path: an error as `[code, message]`.
pub fn shorten(answer: Answer) -> Answer {
    shorten_of(answer, Shape::Map)
}

fn shorten_of(answer: Answer, shape: Shape) -> Answer {
    let (response, refusal) = answer.into_parts();
    let reply = std::str::from_utf8(&response.payload).unwrap_or_default();
    let parts = Piece::of(reply).named(["code", "message"]);
    match (parts, refusal) {
        (Some([Some(code), Some(message)]), Some(refusal)) => {
            let code = code.get().parse().unwrap_or(MessageFault::FORM);
            let message = short_message(&message.text().unwrap_or_default(), shape);
            let reason = refusal.reason.unwrap_or(Reason::BodyMalformed);
            fault_answer(code, &message, reason)
        }
        // It has no body, or that of a success.
        (_, Some(refusal)) if !response.code.is_success() => Answer::refused(response.code, refusal),
        _ => Answer::changed(),
    }
}

/// The answer to a message that is refused.
fn refusal(fault: &MessageFault) -> Answer {
    fault_answer(fault.code, &fault.message, fault.reason())
}

fn fault_answer(code: u16, message: &str, reason: Reason) -> Answer {
    let refusal = Refusal::new(reason, message.to_owned()).with_number(code);
    let json = serde_json::Value::from(message).to_string();
    Answer::reply(format::CBOR, format!("[{code},{json}]").into_bytes(), Some(refusal))
}

/// The answer to a query of attributes, from all that the device has: a map with their numbers.
pub fn answer_query(wanted: &QueryWanted, all: &Properties, model: Option<&ThingModel>) -> Answer {
    let data = wanted.data(all);
    let names = Names::Elements(model, ElementKind::Attribute);
    let reply = from_json_with_numbers(data.as_bytes(), &|depth, name| names.number_of(depth, name));
    if reply.len() <= BODY_BYTES_MAX {
        return Answer::map(reply);
    }
    let fault = wanted.too_long(reply.len());
    let message = short_message(&fault.message, Shape::Map);
    refusal(&MessageFault { message, ..fault })
}
