//! Section `[log]`: what is logged.

use super::{
    accept::OneOf,
    filter::Filter,
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

static FILTER: Key<Filter> = Key {
    name: "log.filter",
    default: "info",
    accepts: Filter,
    help: "what is logged: {accepted}, or per part (info,narrowgate=debug)",
};

static FORMAT: Key<OneOf<LogFormat>> = Key {
    name: "log.format",
    default: "text",
    accepts: OneOf(&[
        ("text", LogFormat::Text, "for people"),
        ("json", LogFormat::Json, "an object a line, for programs"),
    ]),
    help: "{accepted}",
};

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// A line of words.
    Text,
    /// A line that is a JSON object.
    Json,
}

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[&FILTER, &FORMAT];

/// Section `[log]`.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// Levels for everything and for parts, as the log library takes them.
    pub(crate) filter: String,
    /// How an event is written.
    pub(crate) format: LogFormat,
}

impl Log {
    pub(super) fn read(values: &Values) -> Result<Self, Failure> {
        Ok(Self { filter: values.read(&FILTER)?, format: values.read(&FORMAT)? })
    }
}
