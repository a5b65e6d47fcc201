//! What followers of live events are told of what is written: a pure function of it, so that every store
//! tells the same, whether at once or later.

use narrowgate_api::happening::{
    CommandMoved, Edit, Event, Happening, Issue, Login, Presence, Refused, Report, Upgrade as UpgradeTold,
};
use serde_json::value::RawValue;

use crate::{
    firmware::{Upgrade, UpgradeState, UpgradeStep, cut_desc},
    ids::{DeviceName, UnixMillis},
    model::{
        command::Command,
        device::DeviceState,
        log::{LogEntry, LogEvent},
        message::{MessageKind, read_event},
        property::{Properties, PropertyEdit, PropertyKind},
    },
    rules::{commands::code_of_end, identity::Identity},
};

/// Of a report, or an event.
pub fn of_message(
    kind: MessageKind,
    (time, arrival): (UnixMillis, UnixMillis),
    points_json: &str,
) -> Option<Happening> {
    let received_at = Some(arrival);
    if kind == MessageKind::Event {
        let (event_id, output) = read_event(points_json)?;
        let output = Some(output.into_raw());
        return Some(Happening::Event(Event { time, received_at, device: None, event_id, output }));
    }
    let points = RawValue::from_string(points_json.to_owned()).ok();
    Some(Happening::Report(Report { time, received_at, device: None, points }))
}

/// Of an entry of a log that is written for itself: a refusal or a warning. All else is told by what causes
/// it.
pub fn of_entry(entry: &LogEntry) -> Option<Happening> {
    let wrap = match entry.event {
        LogEvent::Refused => Happening::Refused,
        LogEvent::Warning => Happening::Warning,
        _ => return None,
    };
    let claimed = if entry.device.is_none() { entry.identity.as_deref().and_then(claimed) } else { None };
    Some(wrap(Refused {
        time: entry.time,
        device: claimed,
        is_claimed: entry.device.is_none(),
        identity: entry.identity.clone(),
        reason: entry.reason,
        code: entry.code,
        peer: entry.peer.clone(),
        detail: entry.detail.clone(),
    }))
}

/// The keys that a stranger claims to have.
fn claimed(identity: &str) -> Option<DeviceName> {
    match Identity::parse(identity.as_bytes()) {
        Ok(identity) => Some(identity.name),
        Err(fault) => fault.name,
    }
}

/// Of a login: two where it is the device's first one, as in its log. `over`: the cipher suite, or what there
/// is in place of one.
pub fn of_login(at: UnixMillis, peer: &str, over: &str, is_first: bool) -> impl Iterator<Item = Happening> {
    let told = Login { time: at, device: None, peer: Some(peer.to_owned()), detail: Some(over.to_owned()) };
    let activated = is_first.then(|| Happening::Activated(told.clone()));
    activated.into_iter().chain([Happening::Login(told)])
}

/// Of a change of presence without a login; `None`: it is no such change.
pub fn of_presence(state: DeviceState, at: UnixMillis, cause: &str) -> Option<Happening> {
    let told = Presence { time: at, device: None, detail: Some(cause.to_owned()) };
    match state {
        DeviceState::Online => Some(Happening::Online(told)),
        DeviceState::Offline => Some(Happening::Offline(told)),
        DeviceState::Inactive => None,
    }
}

/// Of a secret that was issued.
pub fn of_issue(at: UnixMillis, peer: &str) -> Happening {
    Happening::SecretIssued(Issue { time: at, device: None, peer: Some(peer.to_owned()) })
}

/// Of a command that was sent, or has changed its state.
pub fn of_command(at: UnixMillis, command: &Command) -> Happening {
    let Command { id, order, state, code, data_json, message, .. } = command;
    Happening::Command(CommandMoved {
        time: at,
        device: None,
        id: id.to_string(),
        kind: order.topic.kind(),
        state: *state,
        code: code.or_else(|| code_of_end(*state).map(i64::from)),
        data: data_json.as_ref().and_then(|json| RawValue::from_string(json.to_string()).ok()),
        message: message.as_ref().map(ToString::to_string),
    })
}

/// Of a change of attributes or tags, by the device or by an operator. `before`: what there was.
pub fn of_edit(at: UnixMillis, edit: &PropertyEdit, before: &Properties) -> Happening {
    let set = Properties::default().or(edit.set.iter().cloned());
    let is_set = |name: &str| edit.set.iter().any(|(other, _)| other == name);
    let deleted = match edit.replaces {
        true => before.iter().map(|(name, _)| name).filter(|name| !is_set(name)).map(str::to_owned).collect(),
        false => edit.unset.clone(),
    };
    let set = (!edit.set.is_empty()).then(|| RawValue::from_string(set.to_json()).ok()).flatten();
    let told = Edit { time: at, device: None, set, deleted };
    match edit.kind {
        PropertyKind::Attribute => Happening::Attributes(told),
        PropertyKind::Tag => Happening::Tags(told),
    }
}

/// What is said of an upgrade beside its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpgradeSaid<'a> {
    /// The device's code, where it has answered the command that offers the image.
    pub code: Option<i64>,
    /// How much of the image it has fetched, in percent.
    pub fetched: Option<u8>,
    /// What it says, for people.
    pub desc: Option<&'a str>,
}

impl<'a> UpgradeSaid<'a> {
    /// By a step of the device.
    pub fn of_step(step: UpgradeStep<'a>) -> Self {
        match step {
            UpgradeStep::Progress { desc, .. } => Self { desc, ..Self::default() },
            _ => Self::default(),
        }
    }

    /// By the command that offers the image, as it is now.
    pub fn of_command(command: &'a Command) -> Self {
        Self { code: command.code, fetched: None, desc: command.message.as_deref() }
    }
}

/// Whether a step that has changed something of an upgrade is told: that its offer waits on is not.
pub fn tells_of(step: UpgradeStep<'_>, before: UpgradeState, upgrade: &Upgrade) -> bool {
    before != upgrade.state || !matches!(step, UpgradeStep::NotQueued(_))
}

/// Of an upgrade that has moved, as it is now.
pub fn of_upgrade(at: UnixMillis, upgrade: &Upgrade, said: UpgradeSaid<'_>) -> Happening {
    let Upgrade { image, state, failure, progress, .. } = upgrade;
    let UpgradeSaid { code, fetched, desc } = said;
    Happening::Upgrade(UpgradeTold {
        time: at,
        device: None,
        image_id: image.to_string(),
        state: *state,
        reason: *failure,
        code,
        progress: *progress,
        fetched,
        desc: desc.map(|desc| cut_desc(desc).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::DeviceId,
        model::{json_text::JsonText, message::event_json},
    };

    fn json(happening: &Happening) -> String {
        serde_json::to_string(happening).expect("it can be written")
    }

    #[test]
    fn reports_and_events_are_told_as_they_were_sent() {
        let times = (UnixMillis(7), UnixMillis(9));
        let report = of_message(MessageKind::PointsResumed, times, r#"{"t":1.50}"#).expect("it is one");
        assert_eq!(json(&report), r#"{"time":7,"receivedAt":9,"event":"report","points":{"t":1.50}}"#);
        let event = event_json("tilted", r#"{"x":1.50}"#);
        let event = of_message(MessageKind::Event, times, &event).expect("it is one");
        assert_eq!(
            json(&event),
            r#"{"time":7,"receivedAt":9,"event":"event","eventId":"tilted","output":{"x":1.50}}"#
        );
    }

    #[test]
    fn of_a_stranger_the_keys_are_told_that_it_claims() {
        let entry = LogEntry {
            device: None,
            identity: Some("pk,dk,2,300".to_owned()),
            ..LogEntry::new(DeviceId(0), UnixMillis(1), LogEvent::Refused)
        };
        let told = of_entry(&entry).expect("a refusal is told");
        assert_eq!(
            json(&told),
            r#"{"time":1,"event":"refused","productKey":"pk","deviceKey":"dk","identity":"pk,dk,2,300"}"#
        );
        let known = of_entry(&LogEntry { device: Some(DeviceId(1)), ..entry }).expect("a refusal is told");
        assert_eq!(known.device(), None, "its own keys are looked up");
        assert!(of_entry(&LogEntry::new(DeviceId(1), UnixMillis(1), LogEvent::Renamed)).is_none());
    }

    #[test]
    fn a_first_login_is_told_as_two_and_another_as_one() {
        let names = |is_first| {
            of_login(UnixMillis(1), "192.0.2.1:5", "PSK", is_first)
                .map(|told| told.name())
                .collect::<Vec<_>>()
        };
        assert_eq!((names(true), names(false)), (vec!["activated", "login"], vec!["login"]));
    }

    #[test]
    fn what_replaces_all_tags_tells_which_of_them_went() {
        let before = Properties::from_json(r#"{"a":"1","b":"2"}"#);
        let set = vec![("b".to_owned(), JsonText::new("\"3\""))];
        let edit = PropertyEdit { kind: PropertyKind::Tag, replaces: true, set, unset: Vec::new() };
        assert_eq!(
            json(&of_edit(UnixMillis(1), &edit, &before)),
            r#"{"time":1,"event":"tags","set":{"b":"3"},"deleted":["a"]}"#
        );
        let edit = PropertyEdit { replaces: false, unset: vec!["x".to_owned()], ..edit };
        assert_eq!(
            json(&of_edit(UnixMillis(1), &edit, &before)),
            r#"{"time":1,"event":"tags","set":{"b":"3"},"deleted":["x"]}"#
        );
    }
}
