//! What happens to devices, as `listen` and the streams report it: one flat JSON object each.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    command::{CommandKind, CommandState},
    firmware::PausedBy,
    log::Reason,
    names::{DeviceName, UnixMillis},
};

/// Something that happened to a device, or to one that claimed to be one. `time` is that of its entry in the
/// device's log. `device` is `None` if its keys are unknown, or not looked up yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Flat", into = "Flat")]
pub enum Happening {
    /// The first login of a device.
    Activated(Login),
    /// A device proved its own secret.
    Login(Login),
    /// Heard again after silence, without a new handshake.
    Online(Presence),
    /// Silent for its lifetime, or closed.
    Offline(Presence),
    /// A handshake or a request was refused.
    Refused(Refused),
    /// A request was served, but is probably not what was meant.
    Warning(Refused),
    /// A report was stored.
    Report(Report),
    /// An event of a device was stored.
    Event(Event),
    /// A device changed attributes of its own.
    Attributes(Edit),
    /// A device changed tags of its own.
    Tags(Edit),
    /// A command was sent, taken back, fetched or answered, or is over.
    Command(CommandMoved),
    /// A secret was issued by dynamic activation.
    SecretIssued(Issue),
    /// A rollout of firmware went on, or was paused or resumed. It is told some seconds later.
    Rollout(RolloutMoved),
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// When.
    pub time: UnixMillis,
    /// Whose.
    pub device: Option<DeviceName>,
    /// The peer's address and port.
    pub peer: Option<String>,
    /// The cipher suite.
    pub detail: Option<String>,
}

/// A change of presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// When.
    pub time: UnixMillis,
    /// Whose.
    pub device: Option<DeviceName>,
    /// Why, for people.
    pub detail: Option<String>,
}

/// A refusal or a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub time: UnixMillis,
    /// Whose, if the names are known.
    pub device: Option<DeviceName>,
    /// The identity as the peer gave it, for handshakes.
    pub identity: Option<String>,
    /// Why; `None` for breaches of the protocol that have no stable name.
    pub reason: Option<Reason>,
    /// The protocol's number for it.
    pub code: Option<u16>,
    /// The peer's address and port.
    pub peer: Option<String>,
    /// Words for people.
    pub detail: Option<String>,
}

/// A stored report.
#[derive(Debug, Clone)]
pub struct Report {
    /// The device's own time.
    pub time: UnixMillis,
    /// When it arrived.
    pub received_at: Option<UnixMillis>,
    /// Whose.
    pub device: Option<DeviceName>,
    /// The reported points: a JSON object.
    pub points: Option<Box<RawValue>>,
}

/// A stored event.
#[derive(Debug, Clone)]
pub struct Event {
    /// The device's own time.
    pub time: UnixMillis,
    /// When it arrived.
    pub received_at: Option<UnixMillis>,
    /// Whose.
    pub device: Option<DeviceName>,
    /// Its identifier.
    pub event_id: String,
    /// Its parameters: a JSON object.
    pub output: Option<Box<RawValue>>,
}

/// A command in its present state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandMoved {
    /// When.
    pub time: UnixMillis,
    /// Whose.
    pub device: Option<DeviceName>,
    /// Its id.
    pub id: String,
    /// What it asks for.
    pub kind: CommandKind,
    /// Its state.
    pub state: CommandState,
    /// The device's code.
    pub code: Option<i64>,
}

/// A change of attributes or tags.
#[derive(Debug, Clone)]
pub struct Edit {
    /// When.
    pub time: UnixMillis,
    /// Whose.
    pub device: Option<DeviceName>,
    /// What was set: a JSON object.
    pub set: Option<Box<RawValue>>,
    /// What was deleted.
    pub deleted: Vec<String>,
}

/// A secret that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// When.
    pub time: UnixMillis,
    /// To whom.
    pub device: Option<DeviceName>,
    /// The peer's address and port.
    pub peer: Option<String>,
}

/// A rollout of firmware as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutMoved {
    /// Which image.
    pub image_id: String,
    /// Its version.
    pub version: String,
    /// Why nothing is offered now; `None`: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_by: Option<PausedBy>,
    /// Devices that are to get it and have not begun.
    pub waiting: u64,
    /// Devices that are at work with it.
    pub under_way: u64,
    /// Devices that run it.
    pub done: u64,
    /// Devices that could not.
    pub failed: u64,
    /// When.
    #[serde(skip)]
    pub time: UnixMillis,
    /// Key of the product.
    #[serde(skip)]
    pub product_key: String,
}

impl Happening {
    /// The same happening, of the device with these keys.
    pub fn with_device(mut self, name: DeviceName) -> Self {
        let device = match &mut self {
            // It is of no device.
            Self::Rollout(_) => return self,
            Self::Activated(login) | Self::Login(login) => &mut login.device,
            Self::Online(presence) | Self::Offline(presence) => &mut presence.device,
            Self::Refused(refused) | Self::Warning(refused) => &mut refused.device,
            Self::Report(report) => &mut report.device,
            Self::Event(event) => &mut event.device,
            Self::Attributes(edit) | Self::Tags(edit) => &mut edit.device,
            Self::Command(command) => &mut command.device,
            Self::SecretIssued(issue) => &mut issue.device,
        };
        *device = Some(name);
        self
    }

    /// Its stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Activated(_) => "activated",
            Self::Login(_) => "login",
            Self::Online(_) => "online",
            Self::Offline(_) => "offline",
            Self::Refused(_) => "refused",
            Self::Warning(_) => "warning",
            Self::Report(_) => "report",
            Self::Event(_) => "event",
            Self::Attributes(_) => "attributes",
            Self::Tags(_) => "tags",
            Self::Command(_) => "command",
            Self::SecretIssued(_) => "secret_issued",
            Self::Rollout(_) => "rollout",
        }
    }

    /// The device, if its keys are known.
    pub fn device(&self) -> Option<&DeviceName> {
        match self {
            Self::Activated(login) | Self::Login(login) => login.device.as_ref(),
            Self::Online(presence) | Self::Offline(presence) => presence.device.as_ref(),
            Self::Refused(refused) | Self::Warning(refused) => refused.device.as_ref(),
            Self::Report(report) => report.device.as_ref(),
            Self::Event(event) => event.device.as_ref(),
            Self::Attributes(edit) | Self::Tags(edit) => edit.device.as_ref(),
            Self::Command(command) => command.device.as_ref(),
            Self::SecretIssued(issue) => issue.device.as_ref(),
            Self::Rollout(_) => None,
        }
    }

    /// The key of the product, if it is known.
    pub fn product_key(&self) -> Option<&str> {
        match self {
            Self::Rollout(rollout) => Some(&rollout.product_key),
            other => other.device().map(|name| &*name.product_key),
        }
    }
}

/// The stable names of what can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Activated,
    Login,
    Online,
    Offline,
    Refused,
    Warning,
    Report,
    Event,
    Attributes,
    Tags,
    Command,
    SecretIssued,
    Rollout,
}

/// The form of a happening in JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flat {
    time: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    received_at: Option<UnixMillis>,
    event: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    product_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<CommandKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<CommandState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    points: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<String>,
    #[serde(flatten)]
    rollout: Option<RolloutMoved>,
}

impl Flat {
    fn new(time: UnixMillis, event: Name, device: Option<DeviceName>) -> Self {
        let (product_key, device_key) = device.map(|name| (name.product_key, name.device_key)).unzip();
        Self {
            time,
            received_at: None,
            event,
            product_key,
            device_key,
            identity: None,
            reason: None,
            id: None,
            kind: None,
            state: None,
            code: None,
            peer: None,
            detail: None,
            points: None,
            event_id: None,
            output: None,
            set: None,
            deleted: Vec::new(),
            rollout: None,
        }
    }
}

impl From<Happening> for Flat {
    fn from(happening: Happening) -> Self {
        let login = |event, Login { time, device, peer, detail }| Self {
            peer,
            detail,
            ..Self::new(time, event, device)
        };
        let presence =
            |event, Presence { time, device, detail }| Self { detail, ..Self::new(time, event, device) };
        let refused = |event, Refused { time, device, identity, reason, code, peer, detail }| Self {
            identity,
            reason,
            code: code.map(i64::from),
            peer,
            detail,
            ..Self::new(time, event, device)
        };
        let edit = |event, Edit { time, device, set, deleted }| Self {
            set,
            deleted,
            ..Self::new(time, event, device)
        };
        match happening {
            Happening::Activated(it) => login(Name::Activated, it),
            Happening::Login(it) => login(Name::Login, it),
            Happening::Online(it) => presence(Name::Online, it),
            Happening::Offline(it) => presence(Name::Offline, it),
            Happening::Refused(it) => refused(Name::Refused, it),
            Happening::Warning(it) => refused(Name::Warning, it),
            Happening::Report(Report { time, received_at, device, points }) => {
                Self { received_at, points, ..Self::new(time, Name::Report, device) }
            }
            Happening::Event(Event { time, received_at, device, event_id, output }) => {
                let event_id = Some(event_id);
                Self { received_at, event_id, output, ..Self::new(time, Name::Event, device) }
            }
            Happening::Attributes(it) => edit(Name::Attributes, it),
            Happening::Tags(it) => edit(Name::Tags, it),
            Happening::Command(CommandMoved { time, device, id, kind, state, code }) => Self {
                id: Some(id),
                kind: Some(kind),
                state: Some(state),
                code,
                ..Self::new(time, Name::Command, device)
            },
            Happening::SecretIssued(Issue { time, device, peer }) => {
                Self { peer, ..Self::new(time, Name::SecretIssued, device) }
            }
            Happening::Rollout(rollout) => Self {
                product_key: Some(rollout.product_key.clone()),
                rollout: Some(rollout.clone()),
                ..Self::new(rollout.time, Name::Rollout, None)
            },
        }
    }
}

impl From<Flat> for Happening {
    fn from(flat: Flat) -> Self {
        let Flat { time, received_at, event, identity, reason, code, peer, detail, points, .. } = flat;
        let (event_id, output, set, deleted) = (flat.event_id, flat.output, flat.set, flat.deleted);
        let rollout = flat.rollout.map(|rollout| {
            let product_key = flat.product_key.clone().unwrap_or_default();
            RolloutMoved { time, product_key, ..rollout }
        });
        let device = flat.product_key.zip(flat.device_key);
        let device = device.map(|(product_key, device_key)| DeviceName { product_key, device_key });
        let short_code = code.and_then(|code| u16::try_from(code).ok());
        match event {
            Name::Activated => Self::Activated(Login { time, device, peer, detail }),
            Name::Login => Self::Login(Login { time, device, peer, detail }),
            Name::Online => Self::Online(Presence { time, device, detail }),
            Name::Offline => Self::Offline(Presence { time, device, detail }),
            Name::Refused => {
                Self::Refused(Refused { time, device, identity, reason, code: short_code, peer, detail })
            }
            Name::Warning => {
                Self::Warning(Refused { time, device, identity, reason, code: short_code, peer, detail })
            }
            Name::Report => Self::Report(Report { time, received_at, device, points }),
            Name::Event => {
                let event_id = event_id.unwrap_or_default();
                Self::Event(Event { time, received_at, device, event_id, output })
            }
            Name::Attributes => Self::Attributes(Edit { time, device, set, deleted }),
            Name::Tags => Self::Tags(Edit { time, device, set, deleted }),
            Name::Command => Self::Command(CommandMoved {
                time,
                device,
                id: flat.id.unwrap_or_default(),
                kind: flat.kind.unwrap_or(CommandKind::Set),
                state: flat.state.unwrap_or(CommandState::Created),
                code,
            }),
            Name::SecretIssued => Self::SecretIssued(Issue { time, device, peer }),
            Name::Rollout => Self::Rollout(rollout.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_happening_is_flat_camel_case_json_without_nulls_and_comes_back() {
        let device = Some(DeviceName { product_key: "p".into(), device_key: "d".into() });
        let points = RawValue::from_string("{\"temp\":21.50}".into()).ok();
        let report = Report { time: UnixMillis(7), received_at: Some(UnixMillis(9)), device, points };
        let json = serde_json::to_string(&Happening::Report(report)).expect("it can be written");
        let expected = concat!(
            r#"{"time":7,"receivedAt":9,"event":"report","productKey":"p","deviceKey":"d","#,
            r#""points":{"temp":21.50}}"#
        );
        assert_eq!(json, expected);
        let back: Happening = serde_json::from_str(&json).expect("it can be read");
        assert_eq!(serde_json::to_string(&back).expect("it can be written"), expected);
    }

    #[test]
    fn a_change_says_what_was_set_and_what_was_deleted_and_an_event_what_it_came_with() {
        for json in [
            r#"{"time":7,"event":"attributes","productKey":"p","deviceKey":"d","set":{"a":1.50}}"#,
            r#"{"time":7,"receivedAt":9,"event":"event","eventId":"tilted","output":{"x":1.50}}"#,
            r#"{"time":7,"event":"tags","productKey":"p","deviceKey":"d","deleted":["k"]}"#,
        ] {
            let happening: Happening = serde_json::from_str(json).expect("it can be read");
            assert_eq!(serde_json::to_string(&happening).expect("it can be written"), json);
            assert!(json.contains(&format!("\"event\":\"{}\"", happening.name())));
        }
    }

    #[test]
    fn a_rollout_is_of_a_product_and_comes_back() {
        let json = concat!(
            r#"{"time":7,"event":"rollout","productKey":"p","imageId":"Ab3dEf7h","version":"2.1","#,
            r#""pausedBy":"failures","waiting":1,"underWay":2,"done":3,"failed":4}"#
        );
        let happening: Happening = serde_json::from_str(json).expect("it can be read");
        assert_eq!((happening.product_key(), happening.device()), (Some("p"), None));
        assert_eq!(serde_json::to_string(&happening).expect("it can be written"), json);
    }

    #[test]
    fn a_refusal_of_a_stranger_has_no_keys() {
        let refused = Refused {
            time: UnixMillis(1),
            device: None,
            identity: Some("nonsense".into()),
            reason: Some(Reason::IdentityMalformed),
            code: None,
            peer: Some("192.0.2.1:5684".into()),
            detail: None,
        };
        assert_eq!(
            serde_json::to_string(&Happening::Refused(refused)).expect("it can be written"),
            concat!(
                r#"{"time":1,"event":"refused","identity":"nonsense","reason":"identity_malformed","#,
                r#""peer":"192.0.2.1:5684"}"#
            )
        );
    }
}
