//! `config`: every setting, its value and where it came from.

use serde::Serialize;

use crate::{
    cli::Output,
    config::{Config, mistyped_variables, suggested},
    failure::Failure,
    output::{self, Column, Layout},
};

#[derive(Serialize)]
struct Setting<'a> {
    key: &'static str,
    value: &'a str,
    source: String,
    variable: String,
    help: String,
}

const COLUMNS: &[Column] = &[
    Column { field: "key", title: "KEY" },
    Column { field: "value", title: "VALUE" },
    Column { field: "source", title: "FROM" },
    Column { field: "help", title: "WHAT IT DOES" },
];

pub(super) fn run(only: Option<&str>, config: &Config, output: Output) -> Result<(), Failure> {
    for warning in mistyped_warnings() {
        output::note(format_args!("warning: {warning}"));
    }
    // Not refused: a flag of the server may change it, or the machine that the server runs on.
    if let Err(failure) = config.check_server() {
        output::note("warning: without flags, a server does not start here:");
        failure.print();
    }
    let settings: Vec<Setting<'_>> = config
        .values
        .all()
        .filter(|(key, _)| only.is_none_or(|only| key.name() == only))
        .map(|(key, value)| Setting {
            key: key.name(),
            value: &value.text,
            source: value.origin.to_string(),
            variable: key.variable(),
            help: key.help(),
        })
        .collect();
    if let Some(only) = only.filter(|_| settings.is_empty()) {
        let failure = Failure::usage(format_args!("unknown setting {only}"));
        return Err(match suggested(only) {
            Some(near) => failure.hint(format_args!("{near}   (narrowgate config lists every key)")),
            None => failure.hint("narrowgate config lists every key"),
        });
    }
    let answer = serde_json::value::to_raw_value(&settings)
        .map_err(|error| Failure::failed("cannot show the configuration").reason(error))?;
    output::print(output, &answer, Layout::Rows(COLUMNS))
}

/// A sentence for each environment variable that looks like a key and is none.
pub(super) fn mistyped_warnings() -> Vec<String> {
    let sentence = |(variable, near): (String, Option<&str>)| match near {
        Some(near) => format!("unknown setting {variable}; did you mean {near}?"),
        None => format!("unknown setting {variable}"),
    };
    mistyped_variables().into_iter().map(sentence).collect()
}
