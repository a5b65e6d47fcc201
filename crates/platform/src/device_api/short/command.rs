//! Commands by short paths: `[id, kind, params]` and the reply to it, `[id, code, data]`.

use std::borrow::Cow;

use narrowgate_coap::{Code, Response, format};

use super::{
    super::{
        Answer,
        body::NoMessage,
        cbor::{Limits, from_json_with_numbers, to_json},
        commands::CommandWanted,
        envelope::MessageFault,
    },
    keys::Names,
    refusal, refuse_accept,
};
use crate::model::{
    command::{Command, CommandId, CommandStep, CommandTopic},
    json_piece::Piece,
    product::DataFormat,
    thing_model::{ElementKind, ThingModel},
};

/// Kinds of commands.
mod kind {
    /// Points are set: a map.
    pub(super) const SET: u8 = 1;
    /// Points are read: an array.
    pub(super) const GET: u8 = 2;
    /// A service is called, whose number or identifier stands before its parameters.
    pub(super) const SERVICE: u8 = 3;
    /// New firmware is offered: a map.
    pub(super) const UPGRADE: u8 = 4;
}

/// The answer to a GET that accepts another format than that of the command that was found for it, in a
/// product of this data format; the command is then not handed out (RFC 7252, section 5.10.4).
pub fn not_acceptable(command: &Command, speaks: DataFormat, accept: Option<u16>) -> Option<Answer> {
    let has = if is_in_bytes(command, speaks, accept) { format::OCTET_STREAM } else { format::CBOR };
    accept.filter(|accept| *accept != has).map(|accept| refuse_accept(accept, has))
}

/// Whether a GET gets bytes. Of what has none before a script makes them there is CBOR too, for who accepts
/// that.
pub fn is_in_bytes(command: &Command, speaks: DataFormat, accept: Option<u16>) -> bool {
    let wants_cbor = command.order.raw.is_none() && accept == Some(format::CBOR);
    *command.order.fetched_in(speaks) == CommandTopic::Raw && !wants_cbor
}

/// The answer to a GET that a command was found for, once that is durable, as [`super::super::commands`] has
/// it for a topic. One in bytes has these as its content.
pub fn deliver(command: &Command, model: Option<&ThingModel>) -> Response {
    if command.order.raw.is_some() {
        return super::super::commands::deliver(command, format::OCTET_STREAM);
    }
    let (id, params) = (command.id, &*command.order.params_json);
    let points = Names::Elements(model, ElementKind::Measurepoint);
    let (json, names) = match &command.order.topic {
        CommandTopic::Set => (format!("[{id},{},{params}]", kind::SET), points),
        CommandTopic::Get => {
            let asked = Piece::of(params).elements().into_iter().flatten();
            let asked: Vec<Cow<'_, str>> = asked.map(|point| number_or_text(point, &points)).collect();
            (format!("[{id},{},[{}]]", kind::GET, asked.join(",")), points)
        }
        // It has bytes, which were delivered above.
        CommandTopic::Raw => (format!("[{id},0,null]"), points),
        CommandTopic::Upgrade => {
            let params = with_short_url(params);
            (format!("[{id},{},{params}]", kind::UPGRADE), Names::None)
        }
        CommandTopic::Service(service) => {
            let known = model.and_then(|model| model.services.get(&**service));
            let number = known.and_then(|service| service.number);
            let which = number.map_or_else(|| format!("\"{service}\""), |number| number.to_string());
            let input = Names::Parameters(known.map(|service| &service.input), service);
            (format!("[{id},{},{which},{params}]", kind::SERVICE), input)
        }
    };
    let cbor = from_json_with_numbers(json.as_bytes(), &|depth, name| names.number_of(depth, name));
    Response::new(Code::CONTENT).content_format(format::CBOR).max_age(0).payload(cbor)
}

/// What offers an image, with the short path to it: `/f/{imageId}` and `coaps://…/ota/{imageId}` lead to the
/// same one.
fn with_short_url(params: &str) -> Cow<'_, str> {
    const NAME: &str = r#""fileUrl":""#;
    // Inside of a text each quotation mark has a backslash.
    let found = params.find(NAME).map(|at| at + NAME.len());
    let Some((head, (url, _))) =
        found.map(|at| (&params[..at], params[at..].split_once('"').unwrap_or_default()))
    else {
        return Cow::Borrowed(params);
    };
    let Some((_, image)) = url.rsplit_once("/ota/") else { return Cow::Borrowed(params) };
    let tail = &params[head.len() + url.len()..];
    Cow::Owned([head, "/f/", image, tail].concat())
}

/// A point that is asked for, as its number where it has one.
fn number_or_text<'a>(point: Piece<'a>, names: &Names<'_>) -> Cow<'a, str> {
    let number = point.text().and_then(|name| names.number_of(0, &name));
    number.map_or(Cow::Borrowed(point.get()), |number| Cow::Owned(number.to_string()))
}

/// The reply to a command, before it is known what its numbers stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandReply {
    id: Option<CommandId>,
    body: Box<[u8]>,
}

impl CommandReply {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Answer> {
        let text = json(body, None, None)?;
        let (id, _) = read(&text)?;
        Ok(Self { id, body: body.into() })
    }

    /// Which command it answers; `None`: its id is none of ours.
    pub fn id(&self) -> Option<CommandId> {
        self.id
    }

    /// What the device wants, where its command has this topic: numbers in `data` are those of points, or of
    /// what the service returns. A number that stands for nothing is kept as its digits.
    ///
    /// # Errors
    /// The answer, where a key stands there twice, by its number and by its identifier.
    pub fn read(
        &self,
        topic: Option<&CommandTopic>,
        model: Option<&ThingModel>,
    ) -> Result<CommandWanted, Answer> {
        let text = json(&self.body, topic, model)?;
        let (id, step) = read(&text)?;
        Ok(CommandWanted::Reply { topic: None, id, step })
    }
}

/// The body as JSON.
fn json(body: &[u8], topic: Option<&CommandTopic>, model: Option<&ThingModel>) -> Result<String, Answer> {
    let names = match topic {
        Some(CommandTopic::Service(service)) => {
            let known = model.and_then(|model| model.services.get(&**service));
            Names::Parameters(known.map(|known| &known.output), service)
        }
        Some(CommandTopic::Set | CommandTopic::Get) => Names::Elements(model, ElementKind::Measurepoint),
        Some(CommandTopic::Raw | CommandTopic::Upgrade) | None => Names::None,
    };
    let name_of = |depth: usize, number: u64| {
        let name = names.name_of(number).filter(|_| depth == 0);
        Some(name.map_or_else(|| Cow::Owned(number.to_string()), Cow::Borrowed))
    };
    let text = to_json(body, Limits::of(body), Some(&name_of)).map_err(NoMessage::from)?;
    match text.starts_with('[') {
        true => Ok(text),
        false => Err(NoMessage::malformed("the body is not [id, code, data], the reply to a command").into()),
    }
}

/// `[id, code, data]`; `data` may be absent.
fn read(text: &str) -> Result<(Option<CommandId>, CommandStep), Answer> {
    let fault = |what: &str| Err(refusal(&MessageFault::new(MessageFault::FORM, what)));
    let elements: Vec<Piece<'_>> = Piece::of(text).elements().into_iter().flatten().take(4).collect();
    let (id, code, data) = match elements[..] {
        [id, code] => (id, code, None),
        [id, code, data] => (id, code, Some(data)),
        _ => return fault("must be [id, code, data]"),
    };
    if !id.get().bytes().all(|byte| byte.is_ascii_digit()) {
        return fault("/0: must be the id of the command, an unsigned integer");
    }
    let Ok(code) = code.get().parse::<i32>() else {
        return fault("/1: must be an integer of 32 bits");
    };
    let data_json = data.map(|data| data.get().into());
    Ok((id.get().parse().ok(), CommandStep::Reply { code: code.into(), data_json, message: None }))
}
