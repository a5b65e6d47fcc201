//! `device attributes` and `device tags`.

use narrowgate_api::{
    device::NamedDevice,
    properties::{PropertiesPatch, PropertiesView},
};
use narrowgate_platform::model::property::PropertyKind;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    cli::{Output, PropertiesArgs},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout, printable},
};

const PROPERTIES: &[Column] =
    &[Column { field: "id", title: "ID" }, Column { field: "value", title: "VALUE" }];

/// A line of the table.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    value: &'a RawValue,
}

/// `device attributes` or `device tags`.
pub(super) fn run(
    arguments: PropertiesArgs,
    kind: PropertyKind,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    let device = NamedDevice::from(&arguments.device);
    let call = match patch(arguments)? {
        Some(patch) => Call::edit_properties(&device, kind, &patch),
        None => Call::show_properties(&device, kind),
    };
    show(call, config, output)
}

/// What to change of attributes or tags; `None`: nothing.
fn patch(arguments: PropertiesArgs) -> Result<Option<PropertiesPatch>, Failure> {
    let PropertiesArgs { set, unset, .. } = arguments;
    if set.is_none() && unset.is_empty() {
        return Ok(None);
    }
    let mut patch = match set.as_deref().map(serde_json::from_str::<PropertiesPatch>) {
        None => PropertiesPatch::default(),
        Some(Ok(patch)) => patch,
        Some(Err(error)) => {
            return Err(Failure::usage(format!("--set is not a JSON object that can be used: {error}"))
                .hint("for example --set '{\"place\":\"cellar\"}', in single quotes for the shell"));
        }
    };
    if unset.iter().any(String::is_empty) {
        return Err(
            Failure::usage("--unset is empty").hint("give the name of what to take away: --unset place")
        );
    }
    for name in unset {
        if let Some(Some(_)) = patch.0.insert(name.clone(), None) {
            return Err(Failure::usage(format!("{} is both set and unset", printable(&name))));
        }
    }
    Ok(Some(patch))
}

/// Calls and prints the answer: as JSON an object, as a table a line each.
fn show(call: Call<PropertiesView>, config: &Config, output: Output) -> Result<(), Failure> {
    let all = Access::open(config)?.call_once(call)?;
    match output {
        Output::Json => output::print(output, &all, Layout::Record),
        Output::Table => {
            let rows: Vec<Row<'_>> = all.0.iter().map(|(id, value)| Row { id, value }).collect();
            output::print(output, &rows, Layout::Values(PROPERTIES))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, DeviceCommand};

    fn asked(set: Option<&str>, unset: &[&str]) -> Result<Option<String>, String> {
        let set = set.into_iter().flat_map(|json| ["--set", json]);
        let unset = unset.iter().flat_map(|name| ["--unset", name]);
        let words = ["narrowgate", "device", "tags", "d"].into_iter().chain(set).chain(unset);
        let Command::Device(DeviceCommand::Tags(arguments)) = Cli::parse_from(words).command else {
            panic!("it is about tags")
        };
        let patch = patch(arguments).map_err(|failure| failure.headline)?;
        Ok(patch.map(|patch| serde_json::to_string(&patch).expect("it can be written")))
    }

    #[test]
    fn what_is_set_and_unset_is_one_patch() {
        assert_eq!(asked(None, &[]), Ok(None));
        let both = asked(Some(r#"{"b":1.50,"c":null}"#), &["a", "a"]);
        assert_eq!(both.unwrap().as_deref(), Some(r#"{"a":null,"b":1.50,"c":null}"#));
        for (set, unset, said) in [
            ("[1]", &[][..], "--set is not a JSON object that can be used: invalid type"),
            ("{a:1}", &[], "--set is not a JSON object that can be used: key must be a string"),
            (r#"{"a":1,"a":2}"#, &[], "--set is not a JSON object that can be used: \"a\" stands twice"),
            ("{}", &[""], "--unset is empty"),
            (r#"{"a":1}"#, &["a"], "a is both set and unset"),
        ] {
            let error = asked(Some(set), unset).unwrap_err();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
