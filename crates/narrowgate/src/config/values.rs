//! Values and where they came from: flag before environment before file before default.

use std::{collections::BTreeMap, ffi::OsString, fmt, path::PathBuf};

use super::{
    accept::Accept,
    key::{Key, Setting},
    keys,
};
use crate::failure::Failure;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag of the command line.
    Flag(&'static str),
    /// An environment variable.
    Environment(String),
    /// A line of the configuration file.
    File { path: PathBuf, line: usize },
    /// Built in.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => f.write_str(flag),
            Origin::Environment(variable) => f.write_str(variable),
            Origin::File { path, line } => write!(f, "{} line {line}", path.display()),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value as text, with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// A value for every key.
#[derive(Debug, Clone)]
pub(crate) struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// Puts the sources together. An empty environment variable counts as not set.
    pub(super) fn merge(
        flags: impl IntoIterator<Item = (&'static dyn Setting, &'static str, String)>,
        environment: &dyn Fn(&str) -> Option<OsString>,
        file: Vec<(&'static str, Value)>,
    ) -> Self {
        let mut values: BTreeMap<&'static str, Value> = keys::all()
            .map(|key| (key.name(), Value { text: key.default().to_owned(), origin: Origin::Default }))
            .collect();
        values.extend(file);
        for key in keys::all() {
            let variable = key.variable();
            if let Some(text) = environment(&variable).filter(|text| !text.is_empty()) {
                let text = text.to_string_lossy().into_owned();
                values.insert(key.name(), Value { text, origin: Origin::Environment(variable) });
            }
        }
        for (key, flag, text) in flags {
            values.insert(key.name(), Value { text, origin: Origin::Flag(flag) });
        }
        Self(values)
    }

    /// The typed value of `key`.
    ///
    /// # Errors
    /// What is wrong with it, and where it was given.
    pub(super) fn read<A: Accept>(&self, key: &Key<A>) -> Result<A::Value, Failure> {
        key.accepts.parse(self.text(key)).map_err(|reason| self.refuse(key, reason))
    }

    /// The failure that a value is, with its place. A wrong flag is bad usage, all else bad configuration.
    pub(super) fn refuse(&self, key: &dyn Setting, reason: impl fmt::Display) -> Failure {
        let name = key.name();
        let failure = match self.origin(key) {
            Origin::Flag(flag) => Failure::usage(format_args!("{flag} is wrong")),
            Origin::Environment(variable) => Failure::config("the configuration is wrong")
                .part("where", format_args!("environment {variable}")),
            origin => Failure::config("the configuration is wrong").file(format_args!("{origin}   ({name})")),
        };
        failure.reason(reason).hint(format_args!("{name}: {}", key.help()))
    }

    /// Gives a key that nobody set a default that depends on other keys.
    pub(super) fn set_default(&mut self, key: &dyn Setting, text: String) {
        if *self.origin(key) == Origin::Default {
            self.0.insert(key.name(), Value { text, origin: Origin::Default });
        }
    }

    /// Every key with its value, in the order of the table of keys.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static dyn Setting, &Value)> {
        keys::all().map(|key| (key, self.value(key)))
    }

    /// The value of `key` as it was given.
    pub(super) fn text(&self, key: &dyn Setting) -> &str {
        &self.value(key).text
    }

    /// Where the value of `key` came from.
    pub(crate) fn origin(&self, key: &dyn Setting) -> &Origin {
        &self.value(key).origin
    }

    fn value(&self, key: &dyn Setting) -> &Value {
        self.0.get(key.name()).expect("merge gave every key of the table a default")
    }
}
