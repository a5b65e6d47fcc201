//! What happens to devices, as `listen` and the streams report it: one flat JSON object each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    command::{CommandKind, CommandState},
    firmware::{PausedBy, UpgradeFailure, UpgradeState},
    log::Reason,
    names::{DeviceName, UnixMillis},
};

mod flat;
mod kind;

use self::flat::Flat;
pub use self::kind::HappeningKind;

/// Something that happened to a device, or to one that claimed to be one. `time` is that of its entry in the
/// device's log. `device` is `None` if its keys are unknown, or not looked up yet.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Flat", into = "Flat")]
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
    /// Attributes of a device changed, by itself or by an operator.
    Attributes(Edit),
    /// Tags of a device changed, by itself or by an operator.
    Tags(Edit),
    /// A command was sent, taken back, fetched or answered, or is over.
    Command(CommandMoved),
    /// A secret was issued by dynamic activation.
    SecretIssued(Issue),
    /// A rollout of firmware went on, or was paused or resumed. It is told some seconds later.
    Rollout(RolloutMoved),
    /// The upgrade of a device to an image of firmware went on, or ended.
    Upgrade(Upgrade),
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
    /// Whether the names are only those that the peer gave: it is not known to be this device. Not told.
    pub is_claimed: bool,
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
#[derive(Debug, Clone)]
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
    /// The device's code; 11904 where it did not fetch it in time, 11915 where it did not answer in time.
    pub code: Option<i64>,
    /// The device's answer.
    pub data: Option<Box<RawValue>>,
    /// What the device says of it, for people.
    pub message: Option<String>,
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutMoved {
    /// Which image.
    #[serde(skip)]
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

/// The upgrade of a device as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// When.
    pub time: UnixMillis,
    /// Whose.
    pub device: Option<DeviceName>,
    /// To which image.
    pub image_id: String,
    /// How far it is.
    pub state: UpgradeState,
    /// Why it failed.
    pub reason: Option<UpgradeFailure>,
    /// The device's code, where it has answered the command that offers the image.
    pub code: Option<i64>,
    /// The last step that the device said, -5 to 100.
    pub progress: Option<i8>,
    /// How much of the image the device has fetched, in percent; only where it fetches.
    pub fetched: Option<u8>,
    /// What the device says of it.
    pub desc: Option<String>,
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
            Self::Upgrade(upgrade) => &mut upgrade.device,
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
            Self::Upgrade(_) => "upgrade",
        }
    }

    /// When; of a report or an event, by the device's own time.
    pub fn time(&self) -> UnixMillis {
        match self {
            Self::Activated(login) | Self::Login(login) => login.time,
            Self::Online(presence) | Self::Offline(presence) => presence.time,
            Self::Refused(refused) | Self::Warning(refused) => refused.time,
            Self::Report(report) => report.time,
            Self::Event(event) => event.time,
            Self::Attributes(edit) | Self::Tags(edit) => edit.time,
            Self::Command(command) => command.time,
            Self::SecretIssued(issue) => issue.time,
            Self::Rollout(rollout) => rollout.time,
            Self::Upgrade(upgrade) => upgrade.time,
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
            Self::Upgrade(upgrade) => upgrade.device.as_ref(),
            Self::Rollout(_) => None,
        }
    }

    /// Whether it is of somebody who only claims to be the device that it names, or names none.
    pub fn is_of_stranger(&self) -> bool {
        match self {
            Self::Refused(refused) | Self::Warning(refused) => refused.is_claimed,
            _ => false,
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
    fn a_command_says_how_it_ended_and_comes_back() {
        for json in [
            r#"{"time":7,"event":"command","id":"20","kind":"set","state":"expired","code":11904}"#,
            concat!(
                r#"{"time":7,"event":"command","productKey":"p","deviceKey":"d","id":"20","kind":"get","#,
                r#""state":"failed","code":1102,"data":{"temp":1.50},"message":"I cannot"}"#
            ),
        ] {
            let happening: Happening = serde_json::from_str(json).expect("it can be read");
            assert_eq!(serde_json::to_string(&happening).expect("it can be written"), json);
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
    fn a_step_of_an_upgrade_says_how_far_it_is_or_why_it_failed_and_comes_back() {
        for json in [
            concat!(
                r#"{"time":7,"event":"upgrade","productKey":"p","deviceKey":"d","state":"downloading","#,
                r#""imageId":"Ab3dEf7h","fetched":30}"#
            ),
            concat!(
                r#"{"time":7,"event":"upgrade","productKey":"p","deviceKey":"d","reason":"burn","#,
                r#""state":"failed","imageId":"Ab3dEf7h","progress":-4,"desc":"no room"}"#
            ),
            concat!(
                r#"{"time":7,"event":"upgrade","productKey":"p","deviceKey":"d","reason":"refused","#,
                r#""state":"failed","code":1102,"imageId":"Ab3dEf7h"}"#
            ),
        ] {
            let happening: Happening = serde_json::from_str(json).expect("it can be read");
            assert_eq!((happening.name(), happening.product_key()), ("upgrade", Some("p")));
            assert_eq!(serde_json::to_string(&happening).expect("it can be written"), json);
        }
        let unknown = r#"{"time":7,"event":"upgrade","imageId":"Ab3dEf7h","state":"created"}"#;
        assert!(serde_json::from_str::<Happening>(unknown).is_err(), "that is a state of a command");
    }

    #[test]
    fn a_refusal_of_a_stranger_has_no_keys() {
        let refused = Refused {
            time: UnixMillis(1),
            device: None,
            is_claimed: true,
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
                r#""peer":"192.0.2.1:5684","advice":"send ProductKey,DeviceKey,SecureMode,Lifetime: four "#,
                r#"fields, three commas, no spaces, and no line end or NUL behind them"}"#
            )
        );
    }
}
