//! Effects in words for a reader.

use narrowgate_coap::{OptionNumber, Response, format};
use narrowgate_engine::event::ShardCommand;
use narrowgate_platform::{
    device_api::{carried, commands::COMMAND_WAITING, short},
    firmware::{FirmwareMove, FirmwareStep},
    hex,
    model::{
        command::{CommandMove, CommandStep},
        device::DeviceState,
    },
    ports::Write,
};

use crate::{Diagnosis, Effect, OnlineOf};

/// An effect in a few words.
pub(super) fn said(effect: &Effect) -> String {
    match effect {
        Effect::Command(_, command) => command_said(command),
        Effect::Lookup(_, name) => format!("look up {}/{}", name.product_key, name.device_key),
        Effect::Product(_, product_key) => format!("read {product_key}"),
        Effect::Properties(_, device, kind) => format!("read {} of {}", kind.plural(), device.0),
        Effect::OnlineOf(_, OnlineOf { product_key, after: None, .. }) => format!("list {product_key}"),
        Effect::OnlineOf(_, OnlineOf { product_key, after: Some(after), .. }) => {
            format!("list {product_key} after {}", after.0)
        }
        Effect::Commands(..) => "read commands".to_owned(),
        Effect::Upgrades(..) => "read upgrades".to_owned(),
        Effect::ImagePiece(_, wanted) => format!("read {} bytes at {}", wanted.len, wanted.offset),
        Effect::Write(_, writes) => {
            let writes: Vec<_> = writes.iter().map(write_said).collect();
            format!("write {}", writes.join("+"))
        }
        Effect::Entropy => "entropy".to_owned(),
        Effect::Diagnose(_, diagnosis) => match &**diagnosis {
            Diagnosis::WrongKey { .. } => "diagnose key".to_owned(),
            Diagnosis::UnknownName { .. } => "diagnose name".to_owned(),
        },
        Effect::Decode(_, decode) => format!("decode {}", hex::write(&decode.body)),
        Effect::Encode(_, encode) => format!("encode {}", encode.json),
        Effect::GiveUp(_) => "give up".to_owned(),
        Effect::Received(received) => format!("keep {} bytes", received.body.bytes.len()),
        Effect::Tell(_, happening, _) => format!("tell {}", happening.name()),
    }
}

fn command_said(command: &ShardCommand) -> String {
    match command {
        // From outside, nothing shows which one it is.
        ShardCommand::ProvidePsk { handshake, .. } => format!("h{} key", handshake.slot),
        ShardCommand::Respond { ticket, response } => {
            let (code, slot) = (response.code, ticket.session.slot);
            format!(
                "s{slot} {code}{}{}{}{}",
                in_cbor(response) + &in_bytes(response),
                delivered(&response.payload),
                waiting(response),
                carried(response)
            )
        }
        ShardCommand::Notify { session, response } => {
            let said = String::from_utf8_lossy(&response.payload);
            let count = said.trim_end_matches('}').trim_start_matches("{\"waiting\":");
            format!("s{} told {count}{}", session.slot, waiting(response))
        }
        ShardCommand::Close { session } => format!("s{} close", session.slot),
        ShardCommand::Supersede { session } => format!("s{} superseded", session.slot),
        ShardCommand::CloseAfter { session, after } => {
            format!("s{} close in {}s", session.slot, after.as_secs())
        }
        ShardCommand::AdmitLogin { handshake, lifetime } => {
            format!("h{} admit for {}s", handshake.slot, lifetime.as_secs())
        }
        ShardCommand::RefuseLogin { handshake, response } => {
            assert!(response.payload.is_empty(), "an answer to a stranger is short");
            let wait_s = response.options.find_uint(OptionNumber::MAX_AGE);
            let wait = wait_s.map_or_else(String::new, |seconds| format!(" in {seconds}s"));
            format!("h{} {}{wait}", handshake.slot, response.code)
        }
        ShardCommand::DropHandshake { handshake } => format!("h{} drop", handshake.slot),
        ShardCommand::Charge { session, spent } => format!("s{} charge {}", session.slot, spent.up),
        ShardCommand::SetProfile { session, profile } => format!("s{} is {profile:?}", session.slot),
        ShardCommand::Drain => "drain".to_owned(),
    }
}

/// The body of an answer to a short path.
fn in_cbor(response: &Response) -> String {
    let is_cbor = response.options.find_uint(OptionNumber::CONTENT_FORMAT) == Some(u32::from(format::CBOR));
    let bytes = response.payload.iter().filter(|_| is_cbor).map(|byte| format!("{byte:02x}"));
    let bytes: String = bytes.collect();
    if bytes.is_empty() { bytes } else { format!(" {bytes}") }
}

/// The reply to bytes, which is text here.
fn in_bytes(response: &Response) -> String {
    let format = response.options.find_uint(OptionNumber::CONTENT_FORMAT);
    let is_reply = format == Some(u32::from(format::OCTET_STREAM)) && !response.payload.starts_with(b"raw");
    // A block of an image is long.
    let reply = is_reply && !response.is_block();
    if reply { format!(" {}", String::from_utf8_lossy(&response.payload)) } else { String::new() }
}

/// Which command a response hands out.
fn delivered(message: &[u8]) -> String {
    if let Some(id) = message.strip_prefix(b"raw") {
        return format!(" raw #{}", String::from_utf8_lossy(id));
    }
    let message: serde_json::Value = serde_json::from_slice(message).unwrap_or_default();
    let is_command = message["method"].as_str().is_some_and(|method| method.starts_with("thing.service."));
    if is_command { format!(" #{}", message["id"].as_str().unwrap_or("?")) } else { String::new() }
}

/// Which command a response carries in an option.
fn carried(response: &Response) -> String {
    let command = response.options.find(carried::COMMAND);
    command.map_or_else(String::new, |message| format!(" with{}", delivered(message)))
}

/// The topic, without what all have, of which a response says that a command of it waits.
fn waiting(response: &Response) -> String {
    if response.options.find(short::COMMAND_WAITING).is_some() {
        assert!(response.options.find(COMMAND_WAITING).is_none(), "one of the two is enough");
        return " (one waits)".to_owned();
    }
    let option = response.options.iter().find(|(number, _)| *number == COMMAND_WAITING);
    let topic = option.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    topic.map_or_else(String::new, |topic| format!(" ({})", topic.rsplit('/').next().unwrap_or_default()))
}

fn write_said(write: &Write) -> String {
    match write {
        Write::Message(_) => "report".to_owned(),
        Write::Rates(minute) => format!("{} reports of a minute", minute.all.reports),
        Write::UnitReports { reports, .. } => format!("{} reports", reports.count),
        Write::Properties(write) => write.edit.kind.plural().to_owned(),
        Write::Login { .. } => "login".to_owned(),
        Write::Presence { state: DeviceState::Online, .. } => "online".to_owned(),
        Write::Presence { .. } => "offline".to_owned(),
        Write::Seen { .. } => "seen".to_owned(),
        Write::Log(entry) => {
            let reason = entry.reason.and_then(|reason| serde_json::to_value(reason).ok());
            reason.as_ref().and_then(|reason| reason.as_str()).unwrap_or("log").to_owned()
        }
        Write::Firmware(FirmwareMove { step, .. }) => match step {
            FirmwareStep::Inform { version } => format!("inform {version}"),
            FirmwareStep::Progress { step, .. } => format!("progress {step}"),
            FirmwareStep::Fetching { fetched, .. } => format!("{fetched:?} block").to_lowercase(),
        },
        Write::Command(CommandMove { id, step, .. }) => match step {
            CommandStep::Fetch => format!("fetch {id}"),
            CommandStep::Reply { code, .. } => format!("reply {id} {code}"),
            CommandStep::NotEncoded { .. } => format!("no bytes of {id}"),
            CommandStep::Cancel => format!("cancel {id}"),
            CommandStep::RefuseBytes => format!("refuse {id}"),
            CommandStep::TimePasses => format!("end {id}"),
        },
        Write::IssueSecret { replaces, .. } => format!("secret {}", replaces + 1),
    }
}
