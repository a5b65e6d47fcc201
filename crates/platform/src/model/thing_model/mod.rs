//! The thing model: what devices of a product measure, keep, do and report (device protocol, section 10).
//!
//! Given as one JSON document of at most 1 MiB, nested at most [`DEPTH_MAX`] deep. Keys that are not listed
//! here, and keys that occur twice, are errors, so that a slip does not go unnoticed.
//!
//! ```json
//! {
//!   "modelId": "meter", "name": "Electricity meter", "description": "…", "passthrough": false,
//!   "attributes":    [{"identifier": "place", "name": "…", "dataType": "STRING", "required": true,
//!                      "default": "?"}],
//!   "measurepoints": [{"identifier": "temp", "name": "…", "dataType": "DOUBLE", "hasQuality": false,
//!                      "signalType": "AI", "unit": "°C"}],
//!   "services":      [{"identifier": "restart", "name": "…", "callType": "SYNC",
//!                      "inputData": [{"identifier": "delay", "dataType": "INT"}], "outputData": []}],
//!   "events":        [{"identifier": "tilted", "name": "…", "eventType": "WARN",
//!                      "outputData": [{"identifier": "angle", "dataType": "FLOAT"}]}]
//! }
//! ```
//!
//! Only `modelId` and, in each element, `identifier` and `dataType` are needed; `callType` is SYNC,
//! `eventType` INFO and `signalType` Generic unless said otherwise. Identifiers are 1 to 128 of
//! `[A-Za-z0-9_.-]`, unique among the elements of a kind. The defaults of all attributes have at most
//! [`DEFAULTS_BYTES_MAX`] bytes as one JSON object.
//!
//! Every element may have a `"number"`, 1 to 65535, unique among all elements; so may every parameter of a
//! service or event, unique within it (device protocol, section 13). Those without one get one when the model
//! is stored: see [`Numbers`].
//!
//! | `dataType` | a value is |
//! |---|---|
//! | `"INT"` | an integer of 32 bits, written without fraction or exponent; `-0` is not one |
//! | `"FLOAT"` | a number that fits a 32-bit float |
//! | `"DOUBLE"` | a number |
//! | `"BOOL"` | `true`, `false`, `1` or `0` |
//! | `"STRING"` or `{"type":"STRING","maxLength":64}` | a string of at most that many characters |
//! | `"TIMESTAMP"` | Unix milliseconds, an integer from 0 on |
//! | `"DATE"` | `"yyyy-MM-dd HH:mm:ss"`, a day and a time that exist |
//! | `{"type":"ENUM","values":[{"key":0,"name":"off"},{"key":1,"name":"on"}]}` | one of the keys |
//! | `{"type":"STRUCT","members":[{"identifier":"x","dataType":"INT"}]}` | an object of these members |
//! | `{"type":"ARRAY","elementType":"INT","maxLength":8}` | an array of at most that many values |
//!
//! Without a `maxLength`, it is 1024. The keys of an ENUM are all integers or all strings; some members of a
//! STRUCT may be absent, and they are of any type but STRUCT; the elements of an ARRAY are INT, FLOAT, DOUBLE
//! or STRING. `null` is never a value. A measurepoint with `hasQuality` (INT, FLOAT and DOUBLE only) is
//! reported as `{"value":21.5,"quality":0}`, quality 0 to 9; any other as the bare value. With `passthrough`,
//! points, attributes, events and parameters of events that the model does not have are stored as they are.

mod check;
mod defaults;
mod document;
mod fields;
mod numbers;
mod parse;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use narrowgate_api::advice::apart;

pub use self::{
    defaults::{DEFAULTS_BYTES_MAX, Defaults},
    document::{DEPTH_MAX, check_value},
    fields::{Field, Fields},
    numbers::{NUMBERS_BYTES_MAX, Numbers},
};

/// Longest document, in bytes.
pub const MODEL_BYTES_MAX: usize = 1 << 20;
/// Most elements of a kind, members of a structure, values of an enumeration.
pub const ELEMENTS_MAX: usize = 2000;
/// Longest array of values, and the limit for arrays whose type does not give one.
pub const ARRAY_LENGTH_MAX: usize = 1024;
/// Limit for strings whose type does not give one, in characters.
pub const STRING_LENGTH_DEFAULT: usize = 1024;

/// A thing model, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ThingModel {
    /// Its id, 1 to 64 characters.
    pub model_id: String,
    /// What people call it; may be empty.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// Whether points that it does not have are stored too.
    pub passthrough: bool,
    /// What a device *is*, by identifier.
    pub attributes: BTreeMap<String, Attribute>,
    /// What it measures, by identifier.
    pub measurepoints: BTreeMap<String, Measurepoint>,
    /// What it can be asked to do, by identifier.
    pub services: BTreeMap<String, Service>,
    /// What it reports on its own, by identifier.
    pub events: BTreeMap<String, Event>,
    /// The values of attributes that are not set.
    pub defaults: Arc<Defaults>,
    /// The elements that have a number, in its order.
    numbered: Vec<(u16, ElementKind, Box<str>)>,
}

impl ThingModel {
    /// The element that has this number, by its kind and identifier.
    pub fn element(&self, number: u16) -> Option<(ElementKind, &str)> {
        let at = self.numbered.binary_search_by_key(&number, |(number, ..)| *number).ok()?;
        let (_, kind, identifier) = &self.numbered[at];
        Some((*kind, identifier))
    }
}

/// What kind of element it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementKind {
    /// An attribute.
    Attribute,
    /// A measurepoint.
    Measurepoint,
    /// A service.
    Service,
    /// An event.
    Event,
}

/// Something that a device is or has, changed rarely. Its default is in [`ThingModel::defaults`].
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// What people call it; may be empty.
    pub name: String,
    /// Its integer key.
    pub number: Option<u16>,
    /// Of what type its value is.
    pub data_type: DataType,
    /// Whether every device must have it.
    pub required: bool,
}

/// Something that a device measures again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurepoint {
    /// What people call it; may be empty.
    pub name: String,
    /// Its integer key.
    pub number: Option<u16>,
    /// Of what type its value is.
    pub data_type: DataType,
    /// Whether it is reported with a quality.
    pub has_quality: bool,
    /// What kind of signal it is.
    pub signal_type: SignalType,
    /// Unit of the value, for people; may be empty.
    pub unit: String,
}

/// What kind of signal a measurepoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalType {
    /// `AI`: analogue.
    Analog,
    /// `DI`: digital.
    Digital,
    /// `PI`: pulses, a counter.
    Pulse,
    /// `Generic`.
    Generic,
}

/// Something that a device can be asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// What people call it; may be empty.
    pub name: String,
    /// Its integer key.
    pub number: Option<u16>,
    /// What is sent with the command.
    pub input: Fields,
    /// The device's answer.
    pub output: Fields,
    /// Whether the caller waits.
    pub call_type: CallType,
}

/// Whether the caller of a service waits for its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallType {
    /// `SYNC`: it waits.
    Sync,
    /// `ASYNC`: it does not.
    Async,
}

/// Something that a device reports on its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What people call it; may be empty.
    pub name: String,
    /// Its integer key.
    pub number: Option<u16>,
    /// How serious it is.
    pub event_type: EventType,
    /// What is sent with it.
    pub output: Fields,
}

/// How serious an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// `INFO`.
    Info,
    /// `WARN`.
    Warn,
    /// `ERROR`.
    Error,
}

/// Of what type a value is; the module's table says which JSON that means.
#[derive(Debug, Clone, PartialEq)]
pub enum DataType {
    /// 32-bit integer.
    Int,
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// One of several keys.
    Enum(EnumKeys),
    /// Yes or no.
    Bool,
    /// Text.
    String {
        /// Longest value, in characters.
        length_max: usize,
    },
    /// Unix milliseconds.
    Timestamp,
    /// Date and time of day as text.
    Date,
    /// Several named values; none of them is a structure.
    Struct(Fields),
    /// Several values of one type.
    Array {
        /// `Int`, `Float`, `Double` or `String`.
        element: Box<DataType>,
        /// Most values.
        length_max: usize,
    },
}

/// The keys of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnumKeys {
    /// Integers.
    Integers(BTreeSet<i64>),
    /// Strings.
    Strings(BTreeSet<String>),
}

/// What is wrong with a model or with a value, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901); empty for the whole document.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

impl Fault {
    /// A fault at a place.
    pub fn new(pointer: &str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.message),
            // Its steps may be a device's.
            pointer => write!(f, "{}: {}", apart(pointer), self.message),
        }
    }
}

/// Whether a text can be the identifier of an element: 1 to 128 of `[A-Za-z0-9_.-]`.
pub fn is_identifier(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Whether the identifier of a service or an event can be part of a topic: `.` and `..` are no segments of a
/// CoAP path (RFC 7252, section 5.10.1).
pub fn is_topic_identifier(text: &str) -> bool {
    is_identifier(text) && !matches!(text, "." | "..")
}

/// What a service's identifier may not end with: its topic would be that of replies.
pub const REPLY_SUFFIX: &str = "_reply";

/// Appends a step to a JSON pointer, escaped (RFC 6901, section 3) and cut at 64 characters, since it may
/// come from a stranger.
pub fn push_step(pointer: &mut String, step: &str) {
    const CHARACTERS_MAX: usize = 64;
    pointer.push('/');
    if step.len() <= CHARACTERS_MAX && !step.bytes().any(|byte| matches!(byte, b'~' | b'/')) {
        return pointer.push_str(step);
    }
    for (index, character) in step.chars().enumerate() {
        match character {
            _ if index == CHARACTERS_MAX => {
                pointer.push('…');
                break;
            }
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_pointer_are_escaped_and_cut() {
        let mut pointer = "/params".to_owned();
        push_step(&mut pointer, "a/b~c");
        assert_eq!(pointer, "/params/a~1b~0c");
        push_step(&mut pointer, &"x".repeat(1000));
        assert_eq!(pointer.chars().count(), "/params/a~1b~0c/".len() + 65);
    }

    #[test]
    fn identifiers_are_short_and_plain() {
        for identifier in ["t", "temp", "phase-1.voltage_rms", &"x".repeat(128)] {
            assert!(is_identifier(identifier), "{identifier}");
        }
        for text in ["", "a b", "a/b", "Grün", "a\0", &"x".repeat(129)] {
            assert!(!is_identifier(text), "{text}");
        }
        let topics = [".", "..", "...", "a.", ".a"].map(is_topic_identifier);
        assert_eq!(topics, [false, false, true, true, true]);
    }
}
