//! `command …`: what operators ask of devices.

use std::{
    io::{self, IsTerminal as _},
    slice, thread,
    time::Duration,
};

use narrowgate_api::{
    command::{CommandAnswer, CommandCreated, CommandKind, CommandState, CommandView, Expected, NewCommand},
    device::NamedDevice,
    query::Paging,
};
use narrowgate_platform::model::command::CommandId;
use serde_json::value::RawValue;

use super::{
    confirm::confirmed,
    device::full_name,
    pages::{self, Frame, List},
};
use crate::{
    cli::{Cancel, CancelArgs, CommandArgs, CommandListArgs, DownlinkCommand, Output, SendArgs},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout},
};

const COMMANDS: &[Column] = &[
    Column { field: "id", title: "ID" },
    Column { field: "kind", title: "KIND" },
    Column { field: "service", title: "SERVICE" },
    Column { field: "params", title: "PARAMS" },
    Column { field: "state", title: "STATE" },
    Column { field: "code", title: "CODE" },
    Column { field: "createdAt", title: "CREATED" },
    Column { field: "sentAt", title: "SENT" },
    Column { field: "endedAt", title: "ENDED" },
    Column { field: "expected", title: "EXPECTED" },
];

/// How often somebody who waits asks: at first soon, for a device that is awake, and then less often.
const ASK_FIRST: Duration = Duration::from_millis(50);
const ASK_EVERY_MAX: Duration = Duration::from_secs(1);

pub(super) fn run(command: DownlinkCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        DownlinkCommand::Send(arguments) => send(arguments, config, output),
        DownlinkCommand::List(arguments) => list(arguments, config, output),
        DownlinkCommand::Show(arguments) => show(&arguments, config, output),
        DownlinkCommand::Cancel(arguments) => cancel(&arguments, config, output),
    }
}

fn send(arguments: SendArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let SendArgs { device, set, get, service, input, raw, pending_ttl, timeout, wait } = arguments;
    let kind = match (&set, &service, &raw) {
        (Some(_), ..) => CommandKind::Set,
        (None, Some(_), _) => CommandKind::Service,
        (None, None, Some(_)) => CommandKind::Raw,
        (None, None, None) => CommandKind::Get,
    };
    let new = NewCommand {
        kind,
        points: set.map(|text| json(text, "--set '{\"temp\":30.5}'")).transpose()?,
        ids: (kind == CommandKind::Get).then_some(get),
        service,
        input: input.map(|text| json(text, "--input '{\"delay\":5}'")).transpose()?,
        hex: raw,
        pending_ttl,
        timeout,
        wait: None,
    };
    let device = NamedDevice::from(&device);
    let mut access = Access::open(config)?;
    if wait && !matches!(access, Access::Server(_)) {
        access.close()?;
        return Err(Failure::failed("cannot wait for the device's answer")
            .reason("no server is running, so the device cannot fetch the command; nothing was sent")
            .hint("start narrowgate serve, or leave out --wait"));
    }
    let created = access.call(Call::send_command(&device, &new));
    let closed = access.close();
    // Trials of scripts have the same field under another name.
    let created = created.map_err(|failure| failure.naming("--hex", "--raw"));
    let created = created.and_then(|created| closed.map(|()| created))?;
    if !wait {
        return output::print(output, &created, Layout::Record);
    }
    if io::stderr().is_terminal() {
        output::note(format_args!(
            "waiting for the device to answer command {}{}",
            created.id,
            until(&created)
        ));
    }
    let answer = CommandAnswer::from(ended(&device, &created.id, config)?);
    output::print(output, &answer, Layout::Record)?;
    match answer.state {
        CommandState::Succeeded => Ok(()),
        state => Err(Failure::failed("the command did not succeed").reason(why(
            state,
            answer.code,
            answer.message.as_deref(),
        ))),
    }
}

/// A value of the command line that must be JSON; `example` begins with its option.
fn json(text: String, example: &str) -> Result<Box<RawValue>, Failure> {
    let is_object = text.trim_ascii_start().starts_with('{');
    RawValue::from_string(text).map_err(|error| {
        let option = example.split(' ').next().unwrap_or(example);
        let reason = match is_object {
            true => error.to_string(),
            false => "a JSON object begins with {".to_owned(),
        };
        Failure::usage(format_args!("{option} is not JSON"))
            .reason(reason)
            .hint(format_args!("put it into single quotes: {example}"))
    })
}

/// When the device will probably have fetched a command, for people.
fn until(created: &CommandCreated) -> String {
    let Some(Expected { at, spread }) = created.expected else { return String::new() };
    format!(", which it will probably fetch by {}", crate::time::rfc3339(at.0.saturating_add(spread)))
}

/// Asks until the command has ended. Where the device or the command is gone, or the server, nothing can be
/// waited for; an answer that fails is asked for once more.
fn ended(device: &NamedDevice, id: &str, config: &Config) -> Result<CommandView, Failure> {
    let (mut every, mut has_failed) = (ASK_FIRST, false);
    loop {
        thread::sleep(every);
        every = (every * 2).min(ASK_EVERY_MAX);
        // Each time anew: a server closes silent connections.
        let asked = Access::open(config).and_then(|access| match access {
            Access::Server(_) => access.call_once(Call::show_command(device, id)),
            Access::Store(_) => {
                access.close()?;
                Err(Failure::failed("the server has stopped").reason("the device cannot answer"))
            }
        });
        match asked {
            Ok(command) if command.state.has_ended() => return Ok(command),
            Ok(_) => has_failed = false,
            Err(failure) if has_failed => {
                return Err(failure.part(
                    "command",
                    format_args!(
                        "{id} was sent; command show tells its state, unless its device was deleted"
                    ),
                ));
            }
            Err(_) => has_failed = true,
        }
    }
}

/// Why a command did not succeed, for people.
fn why(state: CommandState, code: Option<i64>, message: Option<&str>) -> String {
    match (state, code) {
        (CommandState::Cancelled, _) => "it was taken back".to_owned(),
        (CommandState::Expired, _) => "the device did not fetch it in time (11904)".to_owned(),
        (CommandState::TimedOut, _) => "the device fetched it and did not answer in time (11915)".to_owned(),
        (CommandState::Failed, Some(code @ 11810)) => {
            format!("it could not be sent ({code}): {}", message.unwrap_or("its form does not fit"))
        }
        (_, Some(code)) => match message {
            Some(message) => format!("the device answered with code {code}: {message}"),
            None => format!("the device answered with code {code}"),
        },
        (_, None) => "the device did not do it".to_owned(),
    }
}

fn list(arguments: CommandListArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let device = NamedDevice::from(&arguments.device);
    let list = List { layout: Layout::Rows(COMMANDS), frame: Frame::Array };
    pages::run(&list, arguments.paging.into(), config, output, |limit, cursor| {
        Call::list_commands(&device, &Paging { limit: Some(limit), cursor })
    })
}

fn show(arguments: &CommandArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let (device, id) = arguments.parts();
    let shown = Access::open(config)?.call_once(Call::show_command(&device, checked(id)?))?;
    output::print(output, &shown, Layout::Record)
}

/// An id, if it may be one of a command.
fn checked(id: &str) -> Result<&str, Failure> {
    match id.parse::<CommandId>() {
        Ok(_) => Ok(id),
        Err(_) => Err(Failure::usage(format_args!("{id:?} is not the id of a command"))
            .hint("an id is a number, which command send prints and command list shows")),
    }
}

/// What is to be taken back.
enum Meant<'a> {
    One(NamedDevice, &'a str),
    All(NamedDevice),
}

/// Of two names that may be a device and an id, or a product and a device, there is what the first one names.
fn meant<'a>(names: Cancel<'a>, config: &Config) -> Result<Meant<'a>, Failure> {
    let (first, second) = match names {
        Cancel::One(device, id) => return Ok(Meant::One(device, id)),
        Cancel::All(device) => return Ok(Meant::All(device)),
        Cancel::Either(first, second) => (first, second),
    };
    let (by_name, by_keys) = (NamedDevice::by_name(first), NamedDevice::by_keys(first, second));
    let mut access = Access::open(config)?;
    let with_id = access.call(Call::find_device(&by_name));
    let of_product = access.call(Call::find_device(&by_keys));
    // Where nothing is found, the fault that is told is of what the first name probably is.
    let is_product =
        of_product.is_err() && with_id.is_err() && access.call(Call::show_product(first)).is_ok();
    access.close()?;
    match (with_id, of_product) {
        (Ok(_), Ok(_)) if second.parse::<CommandId>().is_ok() => Err(Failure::usage(format_args!(
            "two devices may be meant by {first} {second}"
        ))
        .hint(format_args!(
            "name the product too: PK/{first} {second} is a command, {first}/{second} a device"
        ))),
        (Ok(_), Err(_)) => Ok(Meant::One(by_name, second)),
        (_, Ok(_)) => Ok(Meant::All(by_keys)),
        (Err(_), Err(failure)) if is_product => Err(failure),
        (Err(failure), Err(_)) => Err(failure),
    }
}

fn cancel(arguments: &CancelArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let device = match meant(arguments.parts(), config)? {
        Meant::One(device, id) => {
            let cancelled = Access::open(config)?.call_once(Call::cancel_command(&device, checked(id)?))?;
            warn_of_fetched(slice::from_ref(&cancelled));
            return output::print(output, &cancelled, Layout::Record);
        }
        Meant::All(device) => device,
    };
    confirmed(arguments.yes, "nothing was taken back", || {
        Ok(format!("take back all commands of {} that have not ended?", full_name(&device, config)?))
    })?;
    let cancelled = Access::open(config)?.call_once(Call::cancel_commands(&device))?;
    warn_of_fetched(&cancelled.items);
    output::print(output, &cancelled.items, Layout::Rows(COMMANDS))
}

/// A device that has fetched a command is not told that it is taken back.
fn warn_of_fetched(cancelled: &[CommandView]) {
    for CommandView { id, sent_at, .. } in cancelled {
        if let Some(sent) = sent_at {
            output::note(format_args!(
                "the device fetched command {id} at {}: it may have done it, or do it still",
                crate::time::rfc3339(sent.0)
            ));
        }
    }
}
