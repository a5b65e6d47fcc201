//! Values and where they came from: flag before environment before file before default.

use std::{collections::BTreeMap, ffi::OsString, fmt, path::PathBuf};

use super::keys::{self, KEYS, Key};
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
        flags: Vec<(&'static str, &'static str, String)>,
        environment: &dyn Fn(&str) -> Option<OsString>,
        file: Vec<(&'static str, Value)>,
    ) -> Self {
        let mut values: BTreeMap<&'static str, Value> = KEYS
            .iter()
            .map(|key| (key.name, Value { text: key.default.to_owned(), origin: Origin::Default }))
            .collect();
        values.extend(file);
        for key in KEYS {
            let variable = key.variable();
            if let Some(text) = environment(&variable).filter(|text| !text.is_empty()) {
                let text = text.to_string_lossy().into_owned();
                values.insert(key.name, Value { text, origin: Origin::Environment(variable) });
            }
        }
        for (key, flag, text) in flags {
            values.insert(key, Value { text, origin: Origin::Flag(flag) });
        }
        Self(values)
    }

    /// The typed value of `key`.
    ///
    /// # Errors
    /// What is wrong with it, and where it was given. A wrong flag is bad usage, all else bad configuration.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let value = self.value(key);
        parse(&value.text).map_err(|reason| {
            let help = keys::find(key).map_or("", |key| key.help);
            let failure = match &value.origin {
                Origin::Flag(flag) => Failure::usage(format_args!("{flag} is wrong")),
                Origin::Environment(variable) => Failure::config("the configuration is wrong")
                    .part("where", format_args!("environment {variable}")),
                origin => {
                    Failure::config("the configuration is wrong").file(format_args!("{origin}   ({key})"))
                }
            };
            failure.reason(reason).hint(format_args!("{key}: {help}"))
        })
    }

    /// Gives a key that nobody set a default that depends on other keys.
    pub(super) fn set_default(&mut self, key: &'static str, text: String) {
        if *self.origin(key) == Origin::Default {
            self.0.insert(key, Value { text, origin: Origin::Default });
        }
    }

    /// Every key with its value, in the order of the table of keys.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static Key, &Value)> {
        KEYS.iter().map(|key| (key, self.value(key.name)))
    }

    /// The value of `key` as it was given.
    pub(crate) fn text(&self, key: &'static str) -> &str {
        &self.value(key).text
    }

    /// Where the value of `key` came from.
    pub(crate) fn origin(&self, key: &'static str) -> &Origin {
        &self.value(key).origin
    }

    fn value(&self, key: &'static str) -> &Value {
        self.0
            .get(key)
            .expect("merge gave every key of the table a default, and callers name keys of the table")
    }
}
