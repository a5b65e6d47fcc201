//! Integer keys: the numbers of the thing model, and the identifiers for which they stand.

use std::{borrow::Cow, cell::RefCell};

use super::super::{
    body::NoMessage,
    cbor::{Limits, to_json},
    envelope::MessageFault,
};
use crate::model::thing_model::{ElementKind, Fields, ThingModel};

/// What the keys of the outermost map of a message are.
pub(super) enum Names<'a> {
    /// Elements of one kind, of this model.
    Elements(Option<&'a ThingModel>, ElementKind),
    /// Texts: nothing has a number.
    None,
    /// Parameters of a service or an event, of which this is said to people.
    Parameters(Option<&'a Fields>, &'a str),
}

impl Names<'_> {
    /// The identifier for which a number stands.
    pub(super) fn name_of(&self, number: u64) -> Option<&str> {
        let number = u16::try_from(number).ok()?;
        match self {
            Self::Elements(model, kind) => {
                let (found, identifier) = (*model)?.element(number)?;
                (found == *kind).then_some(identifier)
            }
            Self::None => None,
            Self::Parameters(fields, _) => {
                (*fields)?.find_numbered(number).map(|field| field.identifier.as_str())
            }
        }
    }

    /// The number that stands for an identifier, in a map that lies in so many others.
    pub(super) fn number_of(&self, depth: usize, name: &str) -> Option<u64> {
        if depth > 0 {
            return None;
        }
        let number = match self {
            Self::Elements(model, kind) => {
                let model = (*model)?;
                match kind {
                    ElementKind::Attribute => model.attributes.get(name)?.number,
                    ElementKind::Measurepoint => model.measurepoints.get(name)?.number,
                    ElementKind::Service => model.services.get(name)?.number,
                    ElementKind::Event => model.events.get(name)?.number,
                }
            }
            Self::None => None,
            Self::Parameters(fields, _) => (*fields)?.find(name)?.number,
        };
        number.map(u64::from)
    }

    /// The fault of a number that stands for nothing.
    fn unknown(&self, depth: usize, number: u64) -> MessageFault {
        let what = match self {
            _ if depth > 0 => "a key inside of a value is a text: only elements and parameters have numbers",
            Self::None => "a key here is a text: it has no number",
            Self::Elements(None, _) => "the product has no thing model, and only a model has numbers",
            Self::Elements(_, ElementKind::Attribute) => "the thing model has no attribute with this number",
            Self::Elements(..) => "the thing model has no point with this number",
            Self::Parameters(_, event) => {
                let what = format!("event {event} has no parameter with this number");
                return MessageFault::new(MessageFault::MODEL, format!("/{number}: {what}"));
            }
        };
        MessageFault::new(MessageFault::MODEL, format!("/{number}: {what}"))
    }
}

/// A body as JSON, with identifiers in the place of numbers.
pub(super) struct Read {
    pub(super) text: String,
    /// The fault of the first number that stands for nothing.
    pub(super) unknown: Option<MessageFault>,
}

/// Reads a body.
///
/// # Errors
/// Why it is none.
pub(super) fn read(body: &[u8], names: &Names<'_>) -> Result<Read, NoMessage> {
    if body.is_empty() {
        return Err(NoMessage::malformed("the body is empty; send a map or an array in CBOR"));
    }
    let unknown = RefCell::new(None);
    let name_of = |depth: usize, number: u64| {
        let name = names.name_of(number).filter(|_| depth == 0);
        let name = name.map_or_else(
            || {
                unknown.borrow_mut().get_or_insert_with(|| names.unknown(depth, number));
                Cow::Owned(nameless(number))
            },
            Cow::Borrowed,
        );
        Some(name)
    };
    let text = to_json(body, Limits::of(body), Some(&name_of))?;
    Ok(Read { text, unknown: unknown.into_inner() })
}

/// What stands in the place of a number that has no identifier: no identifier is like it.
pub(super) fn nameless(number: impl std::fmt::Display) -> String {
    format!("#{number}")
}
