//! `config`: every setting, its value and where it came from.

use serde::Serialize;

use crate::{
    cli::Output,
    config::{Config, mistyped_variables},
    failure::Failure,
    output::{self, Column, Layout},
};

#[derive(Serialize)]
struct Setting<'a> {
    key: &'static str,
    value: &'a str,
    source: String,
    variable: String,
    help: &'static str,
}

const COLUMNS: &[Column] = &[
    Column { field: "key", title: "KEY" },
    Column { field: "value", title: "VALUE" },
    Column { field: "source", title: "FROM" },
    Column { field: "help", title: "WHAT IT DOES" },
];

pub(super) fn run(config: &Config, output: Output) -> Result<(), Failure> {
    for warning in mistyped_warnings() {
        output::note(format_args!("warning: {warning}"));
    }
    let settings: Vec<Setting<'_>> = config
        .values
        .all()
        .map(|(key, value)| Setting {
            key: key.name,
            value: &value.text,
            source: value.origin.to_string(),
            variable: key.variable(),
            help: key.help,
        })
        .collect();
    let answer = serde_json::value::to_raw_value(&settings)
        .map_err(|error| Failure::failed("cannot show the configuration").reason(error))?;
    output::print(output, &answer, Layout::Rows(COLUMNS))
}

/// A sentence for each environment variable that looks like a key and is none.
pub(super) fn mistyped_warnings() -> Vec<String> {
    let sentence = |(variable, near): (String, Option<&str>)| match near {
        Some(near) => format!("{variable} is set and is no setting; {near} was meant?"),
        None => format!("{variable} is set and is no setting"),
    };
    mistyped_variables().into_iter().map(sentence).collect()
}
