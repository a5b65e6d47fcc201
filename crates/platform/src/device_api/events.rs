//! Events: `thing/event/{eventId}/post` (device protocol, section 5).
//!
//! | fault | code |
//! |---|---|
//! | `params` is missing or not an object | 1200 |
//! | the identifier in the path is not 1 to 128 of `[A-Za-z0-9_.-]`, or the model has no such event | 1204 |
//! | `events` is missing, not an object, or has more than 200 parameters | 1204 |
//! | an identifier has another form, a value is `null`, or the thing model does not allow it | 1204 |
//! | `time` as with reports ([`super::points`]) | 1204 |
//!
//! An event may have no parameters. It is stored with the device's messages, as one JSON object.

use narrowgate_coap::{Code, Response};

use super::{
    Action,
    answer::with_json,
    body::{self, Body},
    diagnosis,
    envelope::{self, Envelope, MessageFault},
    json,
    points::{POINTS_MAX, Times, doubtful_time},
};
use crate::{
    model::{
        json_piece::Piece,
        message::{Message, MessageKind, event_json},
        retention::RetentionClass,
        thing_model::{Event, Fault, ThingModel, is_identifier, is_topic_identifier, push_step},
    },
    ports::Write,
    rules::{admission::Grant, clock::Arrival},
};

/// Handles an event whose path and method are right; answers in `content_format`.
pub(super) fn handle(
    session: &Grant,
    body: &Body<'_>,
    identifier: &str,
    model: Option<&ThingModel>,
    now: Arrival,
    content_format: u16,
) -> Action {
    let envelope = body.envelope();
    let reader = Reader { session, identifier, model, times: Times { now, body } };
    let checked = envelope.check(&format!("thing.event.{identifier}.post"));
    match checked.and_then(|()| reader.message(&envelope)) {
        Ok(message) => {
            let reply = envelope::reply(envelope.id(), Ok(()));
            let response = with_json(Response::new(Code::CHANGED), content_format, reply);
            let writes = vec![Write::Message(message)];
            let warning = doubtful_time(&writes[0], now);
            Action::Store { writes, response, warning }
        }
        Err(fault) => body::refuse(content_format, envelope.id(), fault),
    }
}

/// What an event is read against.
struct Reader<'a> {
    session: &'a Grant,
    identifier: &'a str,
    model: Option<&'a ThingModel>,
    times: Times<'a>,
}

impl Reader<'_> {
    fn message(&self, envelope: &Envelope<'_>) -> Result<Message, MessageFault> {
        let event = self.event()?;
        let params = envelope.params.ok_or_else(|| {
            let fault = MessageFault::new(MessageFault::FORM, "/params: is missing");
            fault.with_hint(diagnosis::members(self.times.body.json(), "params"))
        })?;
        let Some([events, time]) = params.named(["events", "time"]) else {
            let what = "must be an object";
            let hint = self.received(params, "", what);
            return Err(MessageFault::new(MessageFault::FORM, format!("/params: {what}")).with_hint(hint));
        };
        let time = self.times.read(time, "/params")?;
        let output = self.output(params, events, event)?;
        Ok(Message {
            device: self.session.device,
            kind: MessageKind::Event,
            time,
            arrival: self.times.now.time,
            // The caller that passes it on fills these in.
            login: None,
            secret_version: 0,
            session: 0,
            retention: RetentionClass::STANDARD,
            points_json: event_json(self.identifier, &output),
        })
    }

    /// What the model says of the event, if it says anything.
    fn event(&self) -> Result<Option<&Event>, MessageFault> {
        let fault = |what: String| Err(MessageFault::new(MessageFault::MODEL, what));
        if !is_topic_identifier(self.identifier) {
            let what = "the path: the identifier of an event is 1 to 128 of A-Z a-z 0-9 _ . -, not . or ..";
            return fault(what.to_owned());
        }
        let Some(model) = self.model else { return Ok(None) };
        match model.events.get(self.identifier) {
            None if !model.passthrough => {
                fault(format!("the path: model {} has no event {}", model.model_id, self.identifier))
            }
            event => Ok(event),
        }
    }

    /// The parameters as compact JSON.
    fn output(
        &self,
        params: Piece<'_>,
        events: Option<Piece<'_>>,
        event: Option<&Event>,
    ) -> Result<Box<str>, MessageFault> {
        let mut pointer = "/params/events".to_owned();
        let fault = |what: String, hint| {
            Err(MessageFault::new(MessageFault::MODEL, format!("/params/events: {what}")).with_hint(hint))
        };
        let Some(raw) = events else {
            return fault("is missing".to_owned(), diagnosis::members(params.get(), "events"));
        };
        let Some(members) = raw.members() else {
            let what = "must be an object".to_owned();
            let hint = self.received(raw, "", &what);
            return fault(what, hint);
        };
        let count = members.clone().count();
        if count > POINTS_MAX {
            return fault(format!("has {count} parameters; at most {POINTS_MAX} are allowed"), None);
        }
        for (name, value) in members {
            let length = pointer.len();
            push_step(&mut pointer, &name);
            self.check(event, &name, value, &mut pointer).map_err(|fault| {
                let steps = fault.pointer.strip_prefix(&*pointer).unwrap_or_default();
                let hint = self.received(value, steps, &fault.message);
                MessageFault::new(MessageFault::MODEL, fault.to_string()).with_hint(hint)
            })?;
            pointer.truncate(length);
        }
        Ok(json::compact(raw.get()))
    }

    fn check(
        &self,
        event: Option<&Event>,
        name: &str,
        value: Piece<'_>,
        pointer: &mut String,
    ) -> Result<(), Fault> {
        if !is_identifier(name) {
            return Err(Fault::new(pointer, "an identifier is 1 to 128 of A-Z a-z 0-9 _ . -"));
        }
        match event.and_then(|event| event.output.find(name)) {
            Some(field) => match serde_json::from_str(value.get()) {
                Ok(value) => field.data_type.check(&value, pointer),
                Err(error) => Err(Fault::new(pointer, error.to_string())),
            },
            None if event.is_some() && !self.model.is_some_and(|model| model.passthrough) => {
                Err(Fault::new(pointer, format!("event {} has no such parameter", self.identifier)))
            }
            None if value.get() == "null" => Err(Fault::new(pointer, "must not be null")),
            None => Ok(()),
        }
    }

    /// What was received where a value is refused with `message`.
    fn received(&self, raw: Piece<'_>, steps: &str, message: &str) -> Option<String> {
        let at = self.times.body.place_of(raw)?;
        diagnosis::value(raw, at, steps, message)
    }
}
