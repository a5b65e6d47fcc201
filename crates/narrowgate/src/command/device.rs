//! `device …`, except `import`.

use serde_json::{Value, value::RawValue};

use super::{
    confirm::confirmed,
    import,
    pages::{self, Frame, List},
};
use crate::{
    cli::{DeleteArgs, DeviceCommand, ListArgs, LogArgs, Output, PointsArgs, ResetArgs},
    config::Config,
    control::{Access, DeviceName, Request, SecretText},
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

/// Columns of a log; those of strangers' refusals are in `refused`.
const LOG: &[Column] = &[
    Column { field: "time", title: "TIME" },
    Column { field: "event", title: "EVENT" },
    Column { field: "reason", title: "REASON" },
    Column { field: "code", title: "CODE" },
    Column { field: "peer", title: "PEER" },
    Column { field: "detail", title: "DETAIL" },
];

const POINTS: &[Column] = &[
    Column { field: "point", title: "POINT" },
    Column { field: "value", title: "VALUE" },
    Column { field: "time", title: "TIME" },
];

pub(super) fn run(command: DeviceCommand, config: &Config, output: Output) -> Result<(), Failure> {
    let (request, layout) = match command {
        DeviceCommand::Import(arguments) => return import::run(&arguments, config, output),
        DeviceCommand::List(arguments) => return list(arguments, config, output),
        DeviceCommand::Delete(arguments) => return delete(&arguments, config, output),
        DeviceCommand::Reset(arguments) => return reset(&arguments, config, output),
        DeviceCommand::Log(arguments) => return log(arguments, config, output),
        DeviceCommand::Points(arguments) => return points(arguments, config, output),
        DeviceCommand::Create(arguments) => {
            let request = Request::CreateDevice {
                product_key: arguments.product,
                device_key: arguments.device_key,
                device_secret: arguments.device_secret.map(SecretText::new),
                name: arguments.name,
            };
            (request, Layout::Record)
        }
        DeviceCommand::Show(device) => (Request::Device { device: (&device).into() }, Layout::Record),
        DeviceCommand::Secret(device) => (Request::DeviceSecret { device: (&device).into() }, Layout::Record),
        DeviceCommand::Disable(device) => (switch(&(&device).into(), false), Layout::Record),
        DeviceCommand::Enable(device) => (switch(&(&device).into(), true), Layout::Record),
        DeviceCommand::Rename(arguments) => {
            let request = Request::RenameDevice { device: (&arguments.device).into(), name: arguments.name };
            (request, Layout::Record)
        }
    };
    let created = matches!(request, Request::CreateDevice { .. });
    let is_shown = matches!(request, Request::Device { .. }) && output == Output::Table;
    let access = Access::open(config)?;
    let is_served = matches!(access, Access::Server(_));
    let answer = access.request_once(request)?;
    if is_shown && !is_served {
        let known = as_last_known(answer.get());
        let known = RawValue::from_string(known)
            .map_err(|error| Failure::failed("cannot read the answer").reason(error))?;
        return output::print(output, &known, layout);
    }
    output::print(output, &answer, layout)
        .map_err(|failure| if created { failure.hint(unseen("created", &answer)) } else { failure })
}

/// What to do where something was done, and its answer could not be shown.
fn unseen(done: &str, answer: &RawValue) -> String {
    let answer: Value = serde_json::from_str(answer.get()).unwrap_or_default();
    let key = |name: &str| answer[name].as_str().map(printable);
    let keys: Vec<String> = [key("productKey"), key("deviceKey")].into_iter().flatten().collect();
    format!("the device was {done}: narrowgate device secret {} shows its secret", keys.join("/"))
}

/// Nobody knows now whether the device is online. In JSON these marks stand for nothing but the field.
fn as_last_known(device: &str) -> String {
    device.replace(r#""state":"online""#, r#""state":"online (no server is running)""#)
}

fn switch(device: &DeviceName, enabled: bool) -> Request {
    Request::SetDeviceEnabled { device: device.clone(), enabled }
}

fn log(arguments: LogArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let device = DeviceName::from(&arguments.device);
    let list = List { layout: Layout::Rows(LOG), frame: Frame::Array };
    pages::run(&list, arguments.paging.into(), config, output, |limit, cursor| Request::DeviceLog {
        device: device.clone(),
        limit,
        cursor,
    })
}

fn points(arguments: PointsArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let PointsArgs { device, point, from, to, paging } = arguments;
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(
            Failure::usage("--from is not before --to").hint("history is from (inclusive) to (exclusive)")
        );
    }
    let device = DeviceName::from(&device);
    let list = List { layout: Layout::Values(POINTS), frame: Frame::Array };
    let only = point.clone();
    let shown = pages::run(&list, paging.into(), config, output, |limit, cursor| {
        let (device, point) = (device.clone(), point.clone());
        match (from, to) {
            (None, None) => Request::PointsLatest { device, point, limit, cursor },
            _ => Request::PointsHistory { device, point, from, to, limit, cursor },
        }
    });
    shown?;
    only.map_or(Ok(()), |only| tell_of_others(&device, &only, config))
}

/// Points that are named where there is none of a name.
const OTHERS_MAX: u32 = 100;

/// Where the device has no point of this name: says which it has.
fn tell_of_others(device: &DeviceName, only: &str, config: &Config) -> Result<(), Failure> {
    let latest = |point: Option<String>, limit| -> Result<Vec<String>, Failure> {
        let request = Request::PointsLatest { device: device.clone(), point, limit, cursor: None };
        let answer = Access::open(config)?.request_once(request)?;
        let page: Value = serde_json::from_str(answer.get())
            .map_err(|error| Failure::failed("cannot read the answer").reason(error))?;
        let rows = page["items"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(rows.iter().filter_map(|row| row["point"].as_str().map(str::to_owned)).collect())
    };
    if !latest(Some(only.to_owned()), 1)?.is_empty() {
        return Ok(());
    }
    let only = printable(only);
    let others = latest(None, OTHERS_MAX)?;
    match others.is_empty() {
        true => output::note(format_args!("there is no point {only}; the device has none yet")),
        false => output::note(format_args!("there is no point {only}; there are {}", others.join(", "))),
    }
    Ok(())
}

fn list(arguments: ListArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let ListArgs { product, state, paging } = arguments;
    let list = List { layout: Layout::Rows(DEVICES), frame: Frame::Devices };
    pages::run(&list, paging.into(), config, output, |limit, cursor| Request::Devices {
        product_key: product.clone(),
        state,
        limit,
        cursor,
    })
}

fn delete(arguments: &DeleteArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let device = DeviceName::from(&arguments.device);
    confirmed(arguments.yes, "nothing was deleted", || {
        Ok(format!("delete {} with its secret and log?", full_name(&device, config)?))
    })?;
    let answer = Access::open(config)?.request_once(Request::DeleteDevice { device })?;
    output::print(output, &answer, Layout::Record)
}

fn reset(arguments: &ResetArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let device = DeviceName::from(&arguments.device);
    confirmed(arguments.yes, "nothing was reset", || {
        let name = full_name(&device, config)?;
        Ok(format!("reset {name}? It cannot connect with its present secret any more."))
    })?;
    let answer = Access::open(config)?.request_once(Request::ResetDevice { device })?;
    output::print(output, &answer, Layout::Record).map_err(|failure| failure.hint(unseen("reset", &answer)))
}

/// Both keys of the device that is meant. The store is not kept waiting for an answer to the question.
fn full_name(device: &DeviceName, config: &Config) -> Result<String, Failure> {
    let answer = Access::open(config)?.request_once(Request::DeviceRow { device: device.clone() })?;
    let shown: Value = serde_json::from_str(answer.get())
        .map_err(|error| Failure::failed("cannot read the answer").reason(error))?;
    let field = |name: &str| printable(shown[name].as_str().unwrap_or("?"));
    let damaged = if shown["damaged"] == true { " (damaged)" } else { "" };
    Ok(format!("{}/{}{damaged}", field("productKey"), field("deviceKey")))
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
