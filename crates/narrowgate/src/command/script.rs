//! `script …`: what makes messages of bytes, and bytes of messages.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use narrowgate_api::script::{
    PublishScript, Replayed, ReplayedItem, RollBackScript, ScriptError, TriedOnce, TryScript,
};
use narrowgate_platform::ports::SCRIPT_BYTES_MAX;
use serde::Serialize;
use serde_json::value::RawValue;

use super::pages::Damage;
use crate::{
    cli::{Output, ScriptCommand, TryArgs},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout, printable},
};

const VERSIONS: &[Column] = &[
    Column { field: "version", title: "VERSION" },
    Column { field: "createdAt", title: "PUBLISHED" },
    Column { field: "by", title: "BY" },
    Column { field: "restores", title: "RESTORES" },
    Column { field: "bytes", title: "BYTES" },
];

const REPLAYED: &[Column] = &[
    Column { field: "receivedAt", title: "RECEIVED" },
    Column { field: "hex", title: "HEX" },
    Column { field: "published", title: "PUBLISHED" },
    Column { field: "draft", title: "DRAFT" },
    Column { field: "differs", title: "DIFFERS" },
];

/// A script that failed, as it is printed.
#[derive(Debug, Serialize)]
struct Failed {
    error: ScriptError,
}

pub(super) fn run(command: ScriptCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        ScriptCommand::Publish { product_key, file } => publish(&product_key, &file, config, output),
        ScriptCommand::Try(arguments) => attempt(arguments, config, output),
        ScriptCommand::Versions { product_key } => {
            let page = Access::open(config)?.call_once(Call::list_script_versions(&product_key))?;
            let mut damage = Damage::default();
            damage.note(&page);
            output::print(output, &page.items, Layout::Rows(VERSIONS))?;
            damage.warn();
            Ok(())
        }
        ScriptCommand::Show { product_key, version } => show(&product_key, version, config, output),
        ScriptCommand::Rollback { product_key, version } => {
            let call = Call::roll_back_script(&product_key, &RollBackScript { version });
            let published = Access::open(config)?.call_once(call)?;
            output::print(output, &published, Layout::Record)
        }
    }
}

fn publish(product_key: &str, file: &Path, config: &Config, output: Output) -> Result<(), Failure> {
    let source = Some(told(read(file, SCRIPT_BYTES_MAX, "script"), output)?);
    let call = Call::publish_script(product_key, &PublishScript { source });
    match Access::open(config)?.call_once(call) {
        Ok(published) => output::print(output, &published, Layout::Record),
        Err(failure) => {
            if let Some(error) = refused(&failure) {
                print_error(error, output)?;
            }
            Err(failure.file(name_of(file)))
        }
    }
}

/// Prints also as a document why a file that is to be tried or published is none.
fn told<T>(read: Result<T, Failure>, output: Output) -> Result<T, Failure> {
    if let Err(failure) = &read {
        let message = reason(failure).unwrap_or(&failure.headline).to_owned();
        print_error(ScriptError { message, line: None }, output)?;
    }
    read
}

/// The one document on standard output, for programs.
fn print_error(error: ScriptError, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::print(output, &Failed { error }, Layout::Record),
        Output::Table => Ok(()),
    }
}

fn reason(failure: &Failure) -> Option<&str> {
    failure.parts.iter().find_map(|(label, text)| (label == "reason").then_some(text.as_str()))
}

/// What the server says of a source that it refuses.
fn refused(failure: &Failure) -> Option<ScriptError> {
    let said = reason(failure)?.strip_prefix("script is not acceptable: ")?;
    let line = failure.parts.iter().find(|(label, _)| label == "line");
    let line: Option<u32> = line.and_then(|(_, line)| line.parse().ok());
    let end = line.map(|line| format!(" (line {line})")).unwrap_or_default();
    Some(ScriptError { message: said.strip_suffix(&*end).unwrap_or(said).to_owned(), line })
}

fn show(product_key: &str, version: Option<u32>, config: &Config, output: Output) -> Result<(), Failure> {
    let shown = match version {
        Some(version) => {
            Some(Access::open(config)?.call_once(Call::show_script_version(product_key, version))?)
        }
        None => Access::open(config)?.call_once(Call::show_script(product_key))?.published,
    };
    match shown {
        Some(shown) if output == Output::Json => output::print(output, &shown, Layout::Record),
        // Printing ends the last line, which most sources do themselves.
        Some(shown) => output::exact(shown.source.strip_suffix('\n').unwrap_or(&shown.source)),
        None => Err(Failure::failed("cannot show the script")
            .reason(format_args!("product {} has none that is published", printable(product_key)))
            .hint("narrowgate script publish PK FILE publishes one")),
    }
}

fn attempt(arguments: TryArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let TryArgs { product_key, hex, json, from, file } = arguments;
    let source = file.map(|file| told(read(&file, SCRIPT_BYTES_MAX, "script"), output)).transpose()?;
    let json = json.map(|file| told(read_json(&file), output)).transpose()?;
    let is_replay = from.is_some();
    let wanted = TryScript { hex, json, from, source };
    if is_replay {
        let access = Access::open(config)?;
        let is_own = matches!(access, Access::Store(_));
        let replayed = access.call_once(Call::replay_script(&product_key, &wanted))?;
        return print_replayed(&replayed, is_own, output);
    }
    let tried = Access::open(config)?.call_once(Call::try_script(&product_key, &wanted))?;
    print_tried(&tried, output)
}

fn print_tried(tried: &TriedOnce, output: Output) -> Result<(), Failure> {
    match (tried, output) {
        (_, Output::Json) => output::print(output, tried, Layout::Record)?,
        (TriedOnce::Json(json), Output::Table) => output::exact(&output::laid_out(json.get()))?,
        (TriedOnce::Hex(hex), Output::Table) => output::line(hex)?,
        (TriedOnce::Error(_), Output::Table) => {}
    }
    match tried {
        TriedOnce::Error(error) => Err(failed(error)),
        TriedOnce::Json(_) | TriedOnce::Hex(_) => Ok(()),
    }
}

fn failed(ScriptError { message, line }: &ScriptError) -> Failure {
    let failure = Failure::failed("the script failed").reason(printable(message));
    match line {
        Some(line) => failure.part("line", line),
        None => failure,
    }
}

fn print_replayed(replayed: &Replayed, is_own: bool, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::print(output, replayed, Layout::Record)?,
        Output::Table => output::print(output, &replayed.items, Layout::Rows(REPLAYED))?,
    }
    if replayed.items.is_empty() {
        let why =
            if is_own { "no server is running, which keeps it in memory" } else { "it is not kept long" };
        output::note(format_args!("the device has sent no bytes of late, as far as is known: {why}"));
    }
    if replayed.left_out > 0 {
        output::note(left_out(replayed));
    }
    // What runs from the next message on: the draft, where there is one.
    let fails = |item: &&ReplayedItem| {
        matches!(item.draft.as_ref().or(item.published.as_ref()), Some(TriedOnce::Error(_)))
    };
    match replayed.items.iter().filter(fails).count() {
        0 => Ok(()),
        count => Err(Failure::failed("the script failed")
            .reason(format_args!("{count} of {}", bodies(replayed.items.len())))),
    }
}

/// What is said of bodies that were not tried.
fn left_out(Replayed { items, left_out, left_out_reason, .. }: &Replayed) -> String {
    let tried = bodies(items.len());
    match left_out_reason {
        None => format!("only the newest {tried} could be tried in time; {left_out} were left out"),
        Some(reason) => {
            let reason = printable(reason);
            format!("only the newest {tried} could be tried; {left_out} were left out: {reason}")
        }
    }
}

/// `1 body`, `2 bodies`.
fn bodies(count: usize) -> String {
    if count == 1 { "1 body".to_owned() } else { format!("{count} bodies") }
}

/// Reads a text file, or standard input where the path is `-`.
fn read(path: &Path, bytes_max: usize, what: &str) -> Result<String, Failure> {
    let cannot = |reason: String| {
        Failure::failed(format_args!("cannot read the {what}")).file(name_of(path)).reason(reason)
    };
    let mut text = String::new();
    let limit = bytes_max as u64 + 1;
    let read = match is_input(path) {
        true => io::stdin().lock().take(limit).read_to_string(&mut text),
        false => File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)),
    };
    read.map_err(|error| cannot(error.to_string()))?;
    if text.len() > bytes_max {
        return Err(cannot(format!("it is longer than {bytes_max} bytes")));
    }
    match text.is_empty() {
        true if is_input(path) => Err(cannot("standard input was empty".to_owned())),
        true => Err(cannot("it is empty".to_owned())),
        false => Ok(text),
    }
}

fn is_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What is read, for people.
fn name_of(path: &Path) -> String {
    if is_input(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn read_json(path: &Path) -> Result<Box<RawValue>, Failure> {
    let text = read(path, SCRIPT_BYTES_MAX, "message")?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::failed("cannot read the message")
            .file(name_of(path))
            .reason(format_args!("it is not JSON: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use narrowgate_api::names::DeviceName;

    use super::*;

    #[test]
    fn why_bodies_were_left_out_is_said() {
        let device = DeviceName { product_key: "pk".to_owned(), device_key: "dk".to_owned() };
        let mut replayed = Replayed { device, items: Vec::new(), left_out: 5, left_out_reason: None };
        assert_eq!(left_out(&replayed), "only the newest 0 bodies could be tried in time; 5 were left out");
        replayed.left_out_reason = Some("trials\nrest".to_owned());
        assert!(left_out(&replayed).ends_with("5 were left out: trials\\nrest"), "{}", left_out(&replayed));
    }

    #[test]
    fn what_the_server_says_of_a_source_is_told_with_its_line() {
        let failure = |reason: &str| Failure::failed("cannot publish the script").reason(reason);
        let syntax = failure("script is not acceptable: SyntaxError: expected ')' (line 3)").part("line", 3);
        let error = ScriptError { message: "SyntaxError: expected ')'".to_owned(), line: Some(3) };
        assert_eq!(refused(&syntax), Some(error));
        let lacks = failure("script is not acceptable: rawDataToJsonStr is not there");
        let error = ScriptError { message: "rawDataToJsonStr is not there".to_owned(), line: None };
        assert_eq!(refused(&lacks), Some(error));
        assert_eq!(refused(&failure("there is no product pk")), None);
    }
}
