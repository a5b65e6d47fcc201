//! `device …`, except `import`.

use narrowgate_api::{
    device::{ClientLine, DevicePatch, DeviceSecretShown, NamedDevice, NewDeviceRequest},
    names::UnixMillis,
    query::{DeviceEventsQuery, DeviceList, LatestQuery, Paging, PointValuesQuery, ValuesQuery},
};
use narrowgate_platform::model::property::PropertyKind;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{
    buckets,
    confirm::confirmed,
    export, import,
    pages::{self, Frame, List},
    properties, purge,
    secret_argument::secret,
    simulate,
};
use crate::{
    cli::{
        DeleteArgs, DeviceCommand, DeviceCreateArgs, EventsArgs, ListArgs, LogArgs, Output, PointsArgs,
        ResetArgs, WhyArgs,
    },
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout, printable},
};

const DEVICES: &[Column] = &[
    Column { field: "productKey", title: "PRODUCT" },
    Column { field: "deviceKey", title: "DEVICE" },
    Column { field: "name", title: "NAME" },
    Column { field: "state", title: "STATE" },
    Column { field: "lastSeenTime", title: "LAST SEEN" },
];

/// Columns of a device's log; `refused` has its own.
const LOG: &[Column] = &[
    Column { field: "time", title: "TIME" },
    Column { field: "event", title: "EVENT" },
    Column { field: "reason", title: "REASON" },
    Column { field: "code", title: "CODE" },
    Column { field: "peer", title: "PEER" },
    Column { field: "detail", title: "DETAIL" },
];

/// Of a device: why it was refused.
const REFUSALS: &[Column] = &[
    Column { field: "time", title: "TIME" },
    Column { field: "reason", title: "REASON" },
    Column { field: "mistake", title: "MISTAKE" },
    Column { field: "advice", title: "ADVICE" },
    Column { field: "peer", title: "PEER" },
];

const EVENTS: &[Column] = &[
    Column { field: "time", title: "TIME" },
    Column { field: "event", title: "EVENT" },
    Column { field: "output", title: "OUTPUT" },
];

const POINTS: &[Column] = &[
    Column { field: "point", title: "POINT" },
    Column { field: "value", title: "VALUE" },
    Column { field: "time", title: "TIME" },
    Column { field: "quality", title: "QUALITY" },
];

pub(super) fn run(command: DeviceCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        DeviceCommand::Import(arguments) => import::run(&arguments, config, output),
        DeviceCommand::List(arguments) => list(arguments, config, output),
        DeviceCommand::Export(arguments) => export::run(&arguments, config),
        DeviceCommand::Delete(arguments) => delete(&arguments, config, output),
        DeviceCommand::Reset(arguments) => reset(&arguments, config, output),
        DeviceCommand::RotateSecret(arguments) => rotate_secret(&arguments, config, output),
        DeviceCommand::Log(arguments) => log(arguments, config, output),
        DeviceCommand::Why(arguments) => why(arguments, config, output),
        DeviceCommand::Events(arguments) => events(arguments, config, output),
        DeviceCommand::Points(arguments) => points(arguments, config, output),
        DeviceCommand::Attributes(arguments) => {
            properties::run(arguments, PropertyKind::Attribute, config, output)
        }
        DeviceCommand::Tags(arguments) => properties::run(arguments, PropertyKind::Tag, config, output),
        DeviceCommand::Simulate(arguments) => simulate::run(&arguments, config),
        DeviceCommand::Create(arguments) => create(arguments, config, output),
        DeviceCommand::Show(device) => show(&(&device).into(), config, output),
        DeviceCommand::Secret(device) => secret_of(&(&device).into(), config, output),
        DeviceCommand::Disable(device) => once(Call::disable_device(&(&device).into()), config, output),
        DeviceCommand::Enable(device) => once(Call::enable_device(&(&device).into()), config, output),
        DeviceCommand::Rename(arguments) => {
            let patch = DevicePatch { name: arguments.name };
            once(Call::rename_device(&(&arguments.device).into(), &patch), config, output)
        }
    }
}

/// Calls and prints the answer.
fn once<T: Serialize + DeserializeOwned>(
    call: Call<T>,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    output::print(output, &Access::open(config)?.call_once(call)?, Layout::Record)
}

fn create(arguments: DeviceCreateArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let new = NewDeviceRequest {
        device_key: arguments.device_key,
        device_secret: secret(arguments.device_secret, "--device-secret")?,
        name: arguments.name,
        ..NewDeviceRequest::default()
    };
    let created = Access::open(config)?.call_once(Call::create_device(&arguments.product, &new))?;
    output::print(output, &created, Layout::Record)
        .map_err(|failure| failure.hint(unseen("created", &created.product_key, &created.device_key)))
}

fn show(device: &NamedDevice, config: &Config, output: Output) -> Result<(), Failure> {
    let access = Access::open(config)?;
    let is_served = matches!(access, Access::Server(_));
    let shown = access.call_once(Call::show_device(device))?;
    if output == Output::Json || is_served {
        return output::print(output, &shown, Layout::Record);
    }
    let known = RawValue::from_string(as_last_known(&output::written(&shown)?))
        .map_err(|error| Failure::failed("cannot read the answer").reason(error))?;
    output::print(output, &known, Layout::Record)
}

/// What to try if the change was made but its answer could not be shown.
fn unseen(done: &str, product_key: &str, device_key: &str) -> String {
    let keys = [printable(product_key), printable(device_key)].join("/");
    format!("the device was {done}: narrowgate device secret {keys} shows its secret")
}

/// Without a server the state is only the last one known. In JSON this text can only be the field itself.
fn as_last_known(device: &str) -> String {
    device.replace(r#""state":"online""#, r#""state":"online (no server is running)""#)
}

fn log(arguments: LogArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let device = NamedDevice::from(&arguments.device);
    let list = List { layout: Layout::Rows(LOG), frame: Frame::Array };
    pages::run(&list, arguments.paging.into(), config, output, |limit, cursor| {
        Call::list_device_log(&device, &Paging { limit: Some(limit), cursor })
    })
}

fn why(arguments: WhyArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let device = NamedDevice::from(&arguments.device);
    let list = List { layout: Layout::Rows(REFUSALS), frame: Frame::Array };
    pages::run(&list, arguments.paging.into(), config, output, |limit, cursor| {
        Call::list_device_refusals(&device, &Paging { limit: Some(limit), cursor })
    })
}

/// People also get commands for clients, as they are, to paste them.
fn secret_of(device: &NamedDevice, config: &Config, output: Output) -> Result<(), Failure> {
    print_secret(Access::open(config)?.call_once(Call::show_device_secret(device))?, output)
}

fn print_secret(mut shown: DeviceSecretShown, output: Output) -> Result<(), Failure> {
    let lines = std::mem::take(&mut shown.client_lines);
    output::print(output, &shown, Layout::Record)?;
    if output == Output::Json {
        return Ok(());
    }
    for ClientLine { tool, line } in &lines {
        output::line(&format!("\n  # {tool}"))?;
        output::line(&Zeroizing::new(format!("  {}", line.expose())))?;
    }
    Ok(())
}

fn events(arguments: EventsArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let EventsArgs { device, kind, from, to, paging } = arguments;
    check_span(from, to)?;
    let device = NamedDevice::from(&device);
    let list = List { layout: Layout::Rows(EVENTS), frame: Frame::Array };
    pages::run(&list, paging.into(), config, output, |limit, cursor| {
        let (kind, limit) = (kind.clone(), Some(limit));
        let (from, to) = (from.map(UnixMillis), to.map(UnixMillis));
        Call::list_device_events(&device, &DeviceEventsQuery { kind, from, to, limit, cursor })
    })
}

/// A span has to begin before it ends.
pub(super) fn check_span(from: Option<i64>, to: Option<i64>) -> Result<(), Failure> {
    match from.zip(to) {
        Some((from, to)) if from >= to => Err(Failure::usage("--from is not before --to")
            .hint("the history starts at --from and ends before --to")),
        _ => Ok(()),
    }
}

fn points(arguments: PointsArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let PointsArgs { device, point, from, to, bucket, functions, tz, paging } = arguments;
    check_span(from, to)?;
    let device = NamedDevice::from(&device);
    if let Some((point, bucket)) = point.as_ref().zip(bucket) {
        let (from, to) = (from.map(UnixMillis), to.map(UnixMillis));
        let query = PointValuesQuery { from, to, bucket: Some(bucket), functions, tz, ..Default::default() };
        buckets::print(&device, point, &query, paging.into(), config, output)?;
        return note_other_points(&device, point, config);
    }
    let list = List { layout: Layout::Values(POINTS), frame: Frame::Array };
    let only = point.clone();
    let shown = pages::run(&list, paging.into(), config, output, |limit, cursor| {
        let (point, limit) = (point.clone(), Some(limit));
        match (from, to) {
            (None, None) => Call::list_latest_values(&device, &LatestQuery { point, limit, cursor }),
            _ => {
                let (from, to) = (from.map(UnixMillis), to.map(UnixMillis));
                Call::list_values(&device, &ValuesQuery { point, from, to, limit, cursor })
            }
        }
    });
    shown?;
    only.map_or(Ok(()), |only| note_other_points(&device, &only, config))
}

/// How many other points are named when a point does not exist.
const OTHERS_MAX: u32 = 20;

/// If the device has no point of this name, says which ones it has.
fn note_other_points(device: &NamedDevice, only: &str, config: &Config) -> Result<(), Failure> {
    let latest = |point: Option<String>, limit| {
        let query = LatestQuery { point, limit: Some(limit), cursor: None };
        Access::open(config)?.call_once(Call::list_latest_values(device, &query))
    };
    if !latest(Some(only.to_owned()), 1)?.items.is_empty() {
        return Ok(());
    }
    let only = printable(only);
    let others = latest(None, OTHERS_MAX)?;
    let names: Vec<String> = others.items.into_iter().map(|value| value.point).collect();
    let more = if others.next_cursor.is_some() { " and others" } else { "" };
    if names.is_empty() {
        output::note(format_args!("there is no point {only}; the device has none yet"));
    } else {
        let names = names.join(", ");
        output::note(format_args!("there is no point {only}; the device has {names}{more}"));
    }
    Ok(())
}

fn list(arguments: ListArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let question = arguments.filter.question();
    let list = List { layout: Layout::Rows(DEVICES), frame: Frame::Devices };
    pages::run(&list, arguments.paging.into(), config, output, |limit, cursor| {
        Call::list_devices(&DeviceList { limit: Some(limit), cursor, ..question.clone() })
    })
}

fn delete(arguments: &DeleteArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let device = NamedDevice::from(&arguments.device);
    confirmed(arguments.yes, "nothing was deleted", || {
        let sent = if arguments.purge { ", and all that it sent" } else { "" };
        Ok(format!("delete {} with its secret and log{sent}?", full_name(&device, config)?))
    })?;
    match arguments.purge {
        true => purge::run(&device, config, output),
        false => once(Call::delete_device(&device), config, output),
    }
}

fn reset(arguments: &ResetArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let device = NamedDevice::from(&arguments.device);
    confirmed(arguments.yes, "nothing was reset", || {
        let name = full_name(&device, config)?;
        Ok(format!("reset {name}? It will no longer be able to connect with its present secret."))
    })?;
    let reset = Access::open(config)?.call_once(Call::reset_device(&device))?;
    let hint = unseen("reset", &reset.device.product_key, &reset.device.device_key);
    output::print(output, &reset, Layout::Record).map_err(|failure| failure.hint(hint))
}

fn rotate_secret(arguments: &ResetArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let device = NamedDevice::from(&arguments.device);
    confirmed(arguments.yes, "nothing was replaced", || {
        let name = full_name(&device, config)?;
        Ok(format!("replace the secret of {name}? It can no longer connect with its present one."))
    })?;
    let rotated = Access::open(config)?.call_once(Call::rotate_device_secret(&device))?;
    print_secret(rotated, output).map_err(|failure| {
        failure.hint("the secret was replaced: narrowgate device secret shows the new one")
    })
}

/// Both keys of the device. The store is closed again before the question is asked.
pub(super) fn full_name(device: &NamedDevice, config: &Config) -> Result<String, Failure> {
    let row = Access::open(config)?.call_once(Call::find_device(device))?;
    let product_key = printable(row.product_key().unwrap_or("?"));
    let damaged = if row.damage().is_some() { " (damaged)" } else { "" };
    Ok(format!("{product_key}/{}{damaged}", printable(row.device_key())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn online_is_what_was_last_known_where_no_server_runs() {
        let shown = as_last_known(r#"{"name":"\"state\":\"online\"","state":"online","enabled":true}"#);
        let online = r#""state":"online (no server is running)","enabled":true}"#;
        assert_eq!(shown, format!(r#"{{"name":"\"state\":\"online\"",{online}"#));
        assert_eq!(as_last_known(r#"{"state":"offline"}"#), r#"{"state":"offline"}"#);
    }
}
