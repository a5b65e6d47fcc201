//! Attributes and tags: `thing/{attribute,tag}/{update,query,delete}` (device protocol, section 5).
//!
//! | fault | attributes | tags |
//! |---|---|---|
//! | update: `params` does not have its form, has nothing or more than 200 | 1207 | 1200 |
//! | query: `params` does not have its form, or names more than 200 | 1208 | 1200 |
//! | delete: `params` does not have its form, names nothing or more than 200 | 1209 | 1200 |
//! | an identifier (a key) has another form, or a value is too long | 1204 | 1200 |
//! | a value is `null`, or the thing model does not allow it (a tag's is no string) | 1204 | 1200 |
//! | an attribute is deleted that the thing model requires | 1209 | |
//! | the device would have more than is kept | 1008 | 1008 |
//! | query: what is asked for is longer than an answer may be | 1008 | |
//!
//! One fault fails the whole message, and nothing of it is stored. What is not there is deleted with success,
//! and is left out of the answer to a query. Where an attribute is not set, a query gets the default of the
//! thing model. An empty list asks for all. Only with defaults of a model that was stored before they had a
//! limit can an answer be too long.

use std::{borrow::Cow, sync::Arc};

use narrowgate_coap::{Code, Response};

use super::{
    Action, Answer, BODY_BYTES_MAX,
    answer::with_json,
    body::{self, Body},
    diagnosis,
    envelope::{self, Envelope, MessageFault},
    json,
};
use crate::{
    model::{
        json_piece::Piece,
        json_text::JsonText,
        property::{Properties, PropertyEdit, PropertyKind},
        thing_model::{Defaults, Fault, ThingModel},
    },
    rules::properties::{check_attribute, check_removal, check_tag_key, check_tag_value},
};

/// Most attributes or tags in a message.
pub const IN_A_MESSAGE_MAX: usize = 200;

/// What is done with attributes or tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyVerb {
    /// `update`
    Update,
    /// `query`
    Query,
    /// `delete`
    Delete,
}

/// A change that a device wants, and the answer to it.
#[derive(Debug)]
pub struct EditWanted {
    /// The change.
    pub edit: PropertyEdit,
    /// The answer, to be sent once the change is durable.
    pub response: Response,
    id: Option<Box<str>>,
    content_format: u16,
}

impl EditWanted {
    /// The answer where the device would have more than is kept: so many bytes.
    pub fn too_much(&self, bytes: u32) -> Answer {
        let message = format!("/params: {}", self.edit.kind.too_much(bytes as usize));
        let fault = MessageFault::new(MessageFault::TOO_LARGE, message);
        body::refusal(self.content_format, self.id.as_deref(), fault)
    }
}

/// What a device asks for.
#[derive(Debug)]
pub struct QueryWanted {
    /// Of which kind.
    pub kind: PropertyKind,
    /// All, if empty.
    names: Vec<String>,
    /// Those of the model, shared by all queries.
    defaults: Arc<Defaults>,
    id: Option<Box<str>>,
    content_format: u16,
}

impl QueryWanted {
    /// The answer, from all that the device has.
    pub fn answer(self, all: &Properties) -> Answer {
        let data = self.data(all);
        let reply = envelope::reply_with(self.id.as_deref(), &data);
        if reply.len() <= BODY_BYTES_MAX {
            return Answer::reply(self.content_format, reply, None);
        }
        let fault = self.too_long(data.len());
        body::refusal(self.content_format, self.id.as_deref(), fault)
    }

    /// What is asked for, as a JSON object.
    pub(super) fn data(&self, all: &Properties) -> String {
        all.to_json_of(&self.names, &self.defaults)
    }

    /// The fault where so many bytes are asked for.
    pub(super) fn too_long(&self, bytes: usize) -> MessageFault {
        let what = self.kind.plural();
        let advice = if self.names.is_empty() { "name those that are wanted" } else { "name fewer" };
        let message =
            format!("/params/{what}: {bytes} bytes of {what}, {BODY_BYTES_MAX} can be sent: {advice}");
        let hint = "the thing model has long defaults: an operator can give it shorter ones";
        MessageFault::new(MessageFault::TOO_LARGE, message).with_hint(Some(hint.to_owned()))
    }
}

/// Handles a request whose path and method are right; answers in `content_format`.
pub(super) fn handle(
    body: &Body<'_>,
    (kind, verb): (PropertyKind, PropertyVerb),
    model: Option<&ThingModel>,
    content_format: u16,
) -> Action {
    let envelope = body.envelope();
    let reader = Reader { kind, verb, model, body };
    match envelope.check(method(kind, verb)).and_then(|()| reader.read(&envelope)) {
        Ok(Read::Edit(edit)) => {
            let reply = envelope::reply(envelope.id(), Ok(()));
            let response = with_json(Response::new(Code::CHANGED), content_format, reply);
            let id = envelope.id().map(Box::from);
            Action::Edit(Box::new(EditWanted { edit, response, id, content_format }))
        }
        Ok(Read::Query(names)) => {
            let model = model.filter(|_| kind == PropertyKind::Attribute);
            let defaults = model.map(|model| Arc::clone(&model.defaults)).unwrap_or_default();
            let id = envelope.id().map(Box::from);
            Action::Query(Box::new(QueryWanted { kind, names, defaults, id, content_format }))
        }
        Err(fault) => body::refuse(content_format, envelope.id(), fault),
    }
}

fn method(kind: PropertyKind, verb: PropertyVerb) -> &'static str {
    match (kind, verb) {
        (PropertyKind::Attribute, PropertyVerb::Update) => "thing.attribute.update",
        (PropertyKind::Attribute, PropertyVerb::Query) => "thing.attribute.query",
        (PropertyKind::Attribute, PropertyVerb::Delete) => "thing.attribute.delete",
        (PropertyKind::Tag, PropertyVerb::Update) => "thing.tag.update",
        (PropertyKind::Tag, PropertyVerb::Query) => "thing.tag.query",
        (PropertyKind::Tag, PropertyVerb::Delete) => "thing.tag.delete",
    }
}

/// What a message says.
enum Read {
    Edit(PropertyEdit),
    /// The names that are asked for.
    Query(Vec<String>),
}

/// What a message is read against.
struct Reader<'a> {
    kind: PropertyKind,
    verb: PropertyVerb,
    model: Option<&'a ThingModel>,
    /// For the places of faults.
    body: &'a Body<'a>,
}

impl Reader<'_> {
    fn read(&self, envelope: &Envelope<'_>) -> Result<Read, MessageFault> {
        let params = envelope.params.ok_or_else(|| {
            self.form("/params: is missing").with_hint(diagnosis::members(self.body.json(), "params"))
        })?;
        let edit = |set, unset| Read::Edit(PropertyEdit { kind: self.kind, replaces: false, set, unset });
        Ok(match (self.kind, self.verb) {
            (PropertyKind::Attribute, PropertyVerb::Update) => edit(self.attributes(params)?, Vec::new()),
            (PropertyKind::Tag, PropertyVerb::Update) => edit(self.tags(params)?, Vec::new()),
            (_, PropertyVerb::Delete) => edit(Vec::new(), self.names(params, 1)?),
            (_, PropertyVerb::Query) => Read::Query(self.names(params, 0)?),
        })
    }

    /// A fault of the form.
    fn form(&self, message: impl Into<String>) -> MessageFault {
        let code = match (self.kind, self.verb) {
            (PropertyKind::Tag, _) => MessageFault::FORM,
            (PropertyKind::Attribute, PropertyVerb::Update) => MessageFault::UPDATE,
            (PropertyKind::Attribute, PropertyVerb::Query) => MessageFault::QUERY,
            (PropertyKind::Attribute, PropertyVerb::Delete) => MessageFault::DELETE,
        };
        MessageFault::new(code, message)
    }

    /// A value of another type than the form wants.
    fn mistyped(&self, pointer: &str, raw: Piece<'_>, wanted: &str) -> MessageFault {
        self.form(format!("{pointer}: {wanted}")).with_hint(self.received(raw, "", wanted))
    }

    /// What was received where a value is refused with `message`.
    fn received(&self, raw: Piece<'_>, steps: &str, message: &str) -> Option<String> {
        let at = self.body.place_of(raw)?;
        diagnosis::value(raw, at, steps, message)
    }

    fn count(&self, pointer: &str, count: usize, min: usize) -> Result<(), MessageFault> {
        if (min..=IN_A_MESSAGE_MAX).contains(&count) {
            return Ok(());
        }
        let what = self.kind.plural();
        Err(self.form(format!("{pointer}: has {count} {what}; {min} to {IN_A_MESSAGE_MAX} are allowed")))
    }

    /// The member of `params` that has the name of the kind.
    fn member<'a>(&self, params: Piece<'a>) -> Result<(Piece<'a>, String), MessageFault> {
        let name = match self.kind {
            PropertyKind::Attribute => "attributes",
            PropertyKind::Tag => "tags",
        };
        let Some([member]) = params.named([name]) else {
            return Err(self.mistyped("/params", params, "must be an object"));
        };
        let pointer = format!("/params/{name}");
        match member {
            Some(member) => Ok((member, pointer)),
            None => {
                let hint = diagnosis::members(params.get(), name);
                Err(self.form(format!("{pointer}: is missing")).with_hint(hint))
            }
        }
    }

    /// `{"attributes":{"a":1}}`
    fn attributes(&self, params: Piece<'_>) -> Result<Vec<(String, JsonText)>, MessageFault> {
        let (raw, mut pointer) = self.member(params)?;
        let Some(members) = raw.members() else {
            return Err(self.mistyped(&pointer, raw, "must be an object"));
        };
        let count = members.clone().count();
        self.count(&pointer, count, 1)?;
        let mut set = Vec::with_capacity(count);
        for (identifier, value) in members {
            check_attribute(self.model, &identifier, value, &mut pointer)
                .map_err(|fault| self.of_value(&fault, &identifier, value, &pointer))?;
            set.push((identifier.into_owned(), JsonText::new(&json::compact(value.get()))));
        }
        Ok(set)
    }

    fn of_value(&self, fault: &Fault, identifier: &str, value: Piece<'_>, pointer: &str) -> MessageFault {
        let mut own = pointer.to_owned();
        crate::model::thing_model::push_step(&mut own, identifier);
        let is_known = self.model.is_none_or(|model| model.attributes.contains_key(identifier));
        let steps = fault.pointer.strip_prefix(&own).unwrap_or_default();
        let hint = if is_known { self.received(value, steps, &fault.message) } else { None };
        MessageFault::new(MessageFault::MODEL, fault.to_string()).with_hint(hint)
    }

    /// `[{"tagKey":"k","tagValue":"v"}]`
    fn tags(&self, params: Piece<'_>) -> Result<Vec<(String, JsonText)>, MessageFault> {
        let Some(elements) = params.elements() else {
            return Err(self.mistyped("/params", params, "must be an array"));
        };
        let count = elements.clone().count();
        self.count("/params", count, 1)?;
        let mut set: Vec<(String, JsonText)> = Vec::with_capacity(count);
        for (index, element) in elements.enumerate() {
            let pointer = format!("/params/{index}");
            let Some([key, value]) = element.named(["tagKey", "tagValue"]) else {
                return Err(self.mistyped(&pointer, element, "must be an object"));
            };
            let needed = |member: Option<_>, name: &str| {
                let missing = || self.form(format!("{pointer}/{name}: is missing"));
                member.ok_or_else(|| missing().with_hint(diagnosis::members(element.get(), name)))
            };
            let (key, value) = (needed(key, "tagKey")?, needed(value, "tagValue")?);
            let key = self.key(key, &format!("{pointer}/tagKey"))?;
            check_tag_value(value, &format!("{pointer}/tagValue"))
                .map_err(|fault| self.mistyped(&fault.pointer, value, &fault.message))?;
            if set.iter().any(|(other, _)| *other == key) {
                return Err(self.form(format!("{pointer}/tagKey: occurs twice")));
            }
            set.push((key.into_owned(), JsonText::new(value.get())));
        }
        Ok(set)
    }

    /// A name of an attribute or tag.
    fn key<'a>(&self, raw: Piece<'a>, pointer: &str) -> Result<Cow<'a, str>, MessageFault> {
        let Some(key) = raw.text() else { return Err(self.mistyped(pointer, raw, "must be a string")) };
        if self.kind == PropertyKind::Tag {
            check_tag_key(&key, pointer).map_err(|fault| self.form(fault.to_string()))?;
        }
        Ok(key)
    }

    /// `{"attributes":["a"]}`
    fn names(&self, params: Piece<'_>, min: usize) -> Result<Vec<String>, MessageFault> {
        let (raw, pointer) = self.member(params)?;
        let Some(elements) = raw.elements() else {
            return Err(self.mistyped(&pointer, raw, "must be an array"));
        };
        let count = elements.clone().count();
        self.count(&pointer, count, min)?;
        let mut names = Vec::with_capacity(count);
        for (index, element) in elements.enumerate() {
            let pointer = format!("{pointer}/{index}");
            let name = self.key(element, &pointer)?;
            if self.verb == PropertyVerb::Delete && self.kind == PropertyKind::Attribute {
                check_removal(self.model, &name, &pointer).map_err(|fault| self.form(fault.to_string()))?;
            }
            names.push(name.into_owned());
        }
        Ok(names)
    }
}
