//! Section `[log]`: what is logged.

use super::{
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

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[&FILTER];

/// Section `[log]`.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// Levels for everything and for parts, as the log library takes them.
    pub(crate) filter: String,
}

impl Log {
    pub(super) fn read(values: &Values) -> Result<Self, Failure> {
        Ok(Self { filter: values.read(&FILTER)? })
    }
}
