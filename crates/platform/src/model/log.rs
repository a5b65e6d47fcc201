//! The device log: what happened to a device, with stable reasons for refusals (device protocol, section 9).

pub use narrowgate_api::log::{LogEvent, Reason};

use super::{
    command::{Command, CommandTopic},
    property::{PropertyEdit, PropertyKind},
};
use crate::{
    ids::{DeviceId, UnixMillis},
    rules::{
        latest::{BYTES_MAX, POINTS_MAX, VALUE_BYTES_MAX},
        refusal::Refusal,
    },
};

/// Entries of a device's log that have a limit of their own: each class pushes out only its own oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogClass {
    /// Refusals, which strangers cause.
    Refusals,
    /// Commands, and changes of attributes and tags, which programs of operators may make every minute.
    Changes,
    /// All else: logins, presence, switches, secrets, warnings.
    Others,
}

impl LogClass {
    /// All classes.
    pub const ALL: [Self; 3] = [Self::Refusals, Self::Changes, Self::Others];

    /// The class of entries of this kind.
    pub const fn of(event: LogEvent) -> Self {
        match event {
            LogEvent::Refused => Self::Refusals,
            LogEvent::AttributesChanged
            | LogEvent::TagsChanged
            | LogEvent::CommandSent
            | LogEvent::CommandsCancelled => Self::Changes,
            _ => Self::Others,
        }
    }
}

/// One entry of a device's log, or of the log of refusals that belong to no known device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub time: UnixMillis,
    /// Whose, where the device is known.
    pub device: Option<DeviceId>,
    /// The identity as the peer gave it (lossy text, at most 128 characters), for refusals of unknown
    /// devices.
    pub identity: Option<String>,
    /// What happened.
    pub event: LogEvent,
    /// Why, for refusals and warnings.
    pub reason: Option<Reason>,
    /// The protocol's number, where section 9 has one.
    pub code: Option<u16>,
    /// The peer's address and port.
    pub peer: Option<String>,
    /// Words for people: what is probably wrong and what to try.
    pub detail: Option<String>,
}

impl LogEntry {
    /// An entry with nothing but time, device and event.
    pub fn new(device: DeviceId, at: UnixMillis, event: LogEvent) -> Self {
        Self {
            time: at,
            device: Some(device),
            identity: None,
            event,
            reason: None,
            code: None,
            peer: None,
            detail: None,
        }
    }

    /// What a device's log says of a refusal.
    pub fn refused(device: DeviceId, at: UnixMillis, peer: String, refusal: Refusal) -> Self {
        Self {
            reason: refusal.reason,
            code: refusal.code(),
            peer: Some(peer),
            detail: Some(refusal.detail.into_owned()),
            ..Self::new(device, at, LogEvent::Refused)
        }
    }

    /// What a device's log says, once, when not all of its latest values are kept.
    pub fn latest_bounded(device: DeviceId, at: UnixMillis) -> Self {
        let detail = format!(
            "latest values are kept of at most {POINTS_MAX} points and {} KiB of a device, and of at most {} \
             KiB each; this one has more: a longer value is left out with the one before it, and so are the \
             points that it has not reported for longest. Their history is complete",
            BYTES_MAX >> 10,
            VALUE_BYTES_MAX >> 10
        );
        Self {
            reason: Some(Reason::TooLarge),
            detail: Some(detail),
            ..Self::new(device, at, LogEvent::Warning)
        }
    }

    /// What a device's log says of its new name.
    pub fn renamed(device: DeviceId, at: UnixMillis, from: &str, to: &str) -> Self {
        let detail = Some(format!("from {from:?} to {to:?}"));
        Self { detail, ..Self::new(device, at, LogEvent::Renamed) }
    }

    /// What a device's log says of an operator's change of its attributes or tags: which, and not to what.
    pub fn properties_changed(device: DeviceId, at: UnixMillis, edit: &PropertyEdit) -> Self {
        let event = match edit.kind {
            PropertyKind::Attribute => LogEvent::AttributesChanged,
            PropertyKind::Tag => LogEvent::TagsChanged,
        };
        let of = |what: &str, names: &mut dyn ExactSizeIterator<Item = &str>| {
            (names.len() > 0).then(|| format!("{what} {}", listed(names)))
        };
        let all = edit.replaces.then(|| "deleted all".to_owned());
        let unset = of("deleted", &mut edit.unset.iter().map(String::as_str));
        let set = of("set", &mut edit.set.iter().map(|(name, _)| name.as_str()));
        let parts: Vec<String> = all.or(unset).into_iter().chain(set).collect();
        let detail = Some(parts.join(", ")).filter(|detail| !detail.is_empty());
        Self { detail, ..Self::new(device, at, event) }
    }

    /// What a device's log says of a command that an operator sent.
    pub fn command_sent(device: DeviceId, at: UnixMillis, command: &Command) -> Self {
        let what = match &command.order.topic {
            CommandTopic::Set => "set".to_owned(),
            CommandTopic::Get => "get".to_owned(),
            CommandTopic::Service(service) => format!("service {service}"),
            CommandTopic::Raw => "raw".to_owned(),
            CommandTopic::Upgrade => "upgrade".to_owned(),
        };
        let detail = Some(format!("command {}: {what}", command.id));
        Self { detail, ..Self::new(device, at, LogEvent::CommandSent) }
    }

    /// What a device's log says of commands that an operator took back; `None` where it is none.
    pub fn commands_cancelled(device: DeviceId, at: UnixMillis, cancelled: &[Command]) -> Option<Self> {
        let ids: Vec<String> = cancelled.iter().map(|command| command.id.to_string()).collect();
        let word = match ids.len() {
            0 => return None,
            1 => "command",
            _ => "commands",
        };
        let detail = Some(format!("{word} {}", listed(&mut ids.iter().map(String::as_str))));
        Some(Self { detail, ..Self::new(device, at, LogEvent::CommandsCancelled) })
    }

    /// The trace of a product's new secret: it belongs to no device.
    pub fn product_secret_rotated(product_key: &str, at: UnixMillis) -> Self {
        let entry = Self::new(DeviceId(0), at, LogEvent::SecretRotated);
        Self { device: None, identity: Some(product_key.to_owned()), ..entry }
    }

    /// The trace of a deleted device: it belongs to no device any more. `damage`: what was wrong with its
    /// row, if anything was.
    pub fn deleted(
        (product_key, device_key): (&str, &str),
        damage: Option<String>,
        device: DeviceId,
        at: UnixMillis,
    ) -> Self {
        let identity = Some(format!("{product_key}/{device_key}"));
        Self { device: None, identity, detail: damage, ..Self::new(device, at, LogEvent::Deleted) }
    }
}

/// The first few of these names, and how many more there are.
fn listed(names: &mut dyn ExactSizeIterator<Item = &str>) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let first: Vec<&str> = names.take(SHOWN).collect();
    let first = first.join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        command::{CommandId, Order},
        json_text::JsonText,
    };

    #[test]
    fn an_operator_s_change_is_told_by_names_and_in_few_words() {
        let set = |count: usize| (0..count).map(|n| (format!("a{n}"), JsonText::new("1"))).collect();
        let edit = |replaces, set, unset: &[&str]| {
            let unset = unset.iter().map(|name| (*name).to_owned()).collect();
            let edit = PropertyEdit { kind: PropertyKind::Tag, replaces, set, unset };
            LogEntry::properties_changed(DeviceId(1), UnixMillis(0), &edit).detail
        };
        assert_eq!(edit(false, set(2), &["b"]).as_deref(), Some("deleted b, set a0, a1"));
        assert_eq!(edit(true, set(0), &[]).as_deref(), Some("deleted all"));
        assert_eq!(
            edit(true, set(7), &[]).as_deref(),
            Some("deleted all, set a0, a1, a2, a3, a4 and 2 more")
        );
        assert_eq!(edit(false, set(0), &[]), None);
    }

    #[test]
    fn a_command_is_told_by_its_id_and_what_it_asks_for() {
        let command = |id, topic| {
            let order = Order { topic, params_json: "{}".into(), pending_ttl_s: 0, timeout_s: 30, raw: None };
            Command::new(CommandId(id), order, UnixMillis(0))
        };
        let set = command(7, CommandTopic::Set);
        let restart = command(8, CommandTopic::Service("restart".into()));
        let sent = |command| LogEntry::command_sent(DeviceId(1), UnixMillis(0), command).detail;
        assert_eq!(sent(&set).as_deref(), Some("command 7: set"));
        assert_eq!(sent(&restart).as_deref(), Some("command 8: service restart"));
        let cancelled =
            |commands: &[Command]| LogEntry::commands_cancelled(DeviceId(1), UnixMillis(0), commands)?.detail;
        assert_eq!(cancelled(&[]), None);
        assert_eq!(cancelled(std::slice::from_ref(&set)).as_deref(), Some("command 7"));
        assert_eq!(cancelled(&[set, restart]).as_deref(), Some("commands 7, 8"));
    }
}
