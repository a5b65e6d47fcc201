//! The form of happenings in JSON: one flat object each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use super::{
    CommandMoved, Edit, Event, Happening, Issue, Login, Presence, Refused, Report, RolloutMoved, Upgrade,
};
use crate::{
    advice::Advice,
    command::{CommandKind, CommandState},
    firmware::UpgradeState,
    names::{DeviceName, UnixMillis},
};

/// The stable names of what can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    Upgrade,
}

/// The form of a happening in JSON. What `reason` and `state` may be depends on the event.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Happening")]
#[serde(rename_all = "camelCase")]
pub(super) struct Flat {
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
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<CommandKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mistake: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<i8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fetched: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    desc: Option<String>,
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
            data: None,
            message: None,
            peer: None,
            detail: None,
            mistake: None,
            advice: None,
            points: None,
            event_id: None,
            output: None,
            set: None,
            deleted: Vec::new(),
            image_id: None,
            progress: None,
            fetched: None,
            desc: None,
            rollout: None,
        }
    }
}

impl Flat {
    fn of_upgrade(it: Upgrade) -> Self {
        Self {
            reason: it.reason.and_then(word),
            state: word(it.state),
            code: it.code,
            image_id: Some(it.image_id),
            progress: it.progress,
            fetched: it.fetched,
            desc: it.desc,
            ..Self::new(it.time, Name::Upgrade, it.device)
        }
    }

    fn of_command(it: CommandMoved) -> Self {
        Self {
            id: Some(it.id),
            kind: Some(it.kind),
            state: word(it.state),
            code: it.code,
            data: it.data,
            message: it.message,
            ..Self::new(it.time, Name::Command, it.device)
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
        let refused = |event, it: Refused| {
            let Refused { time, device, is_claimed: _, identity, reason, code, peer, detail } = it;
            let Advice { mistake, advice } = Advice::of(reason, detail.as_deref());
            Self {
                identity,
                reason: reason.and_then(word),
                code: code.map(i64::from),
                peer,
                detail,
                mistake,
                advice,
                ..Self::new(time, event, device)
            }
        };
        let edit = |event, it: Edit| Self {
            set: it.set,
            deleted: it.deleted,
            ..Self::new(it.time, event, it.device)
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
            Happening::Command(it) => Self::of_command(it),
            Happening::SecretIssued(Issue { time, device, peer }) => {
                Self { peer, ..Self::new(time, Name::SecretIssued, device) }
            }
            Happening::Rollout(rollout) => Self {
                product_key: Some(rollout.product_key.clone()),
                image_id: Some(rollout.image_id.clone()),
                rollout: Some(rollout.clone()),
                ..Self::new(rollout.time, Name::Rollout, None)
            },
            Happening::Upgrade(it) => Self::of_upgrade(it),
        }
    }
}

impl TryFrom<Flat> for Happening {
    type Error = serde_json::Error;

    fn try_from(flat: Flat) -> Result<Self, serde_json::Error> {
        let Flat { time, received_at, event, identity, reason, code, peer, detail, points, .. } = flat;
        let (event_id, output, set, deleted) = (flat.event_id, flat.output, flat.set, flat.deleted);
        let image_id = flat.image_id.unwrap_or_default();
        let product_key = flat.product_key.clone().unwrap_or_default();
        let device = flat.product_key.zip(flat.device_key);
        let device = device.map(|(product_key, device_key)| DeviceName { product_key, device_key });
        let short_code = code.and_then(|code| u16::try_from(code).ok());
        Ok(match event {
            Name::Activated => Self::Activated(Login { time, device, peer, detail }),
            Name::Login => Self::Login(Login { time, device, peer, detail }),
            Name::Online => Self::Online(Presence { time, device, detail }),
            Name::Offline => Self::Offline(Presence { time, device, detail }),
            Name::Refused | Name::Warning => {
                let (reason, code) = (read(reason)?, short_code);
                // Whoever is told does not know.
                let is_claimed = false;
                let refused = Refused { time, device, is_claimed, identity, reason, code, peer, detail };
                if event == Name::Warning { Self::Warning(refused) } else { Self::Refused(refused) }
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
                state: read(flat.state)?.unwrap_or(CommandState::Created),
                code,
                data: flat.data,
                message: flat.message,
            }),
            Name::SecretIssued => Self::SecretIssued(Issue { time, device, peer }),
            Name::Rollout => Self::Rollout(RolloutMoved {
                time,
                product_key,
                image_id,
                ..flat.rollout.unwrap_or_default()
            }),
            Name::Upgrade => Self::Upgrade(Upgrade {
                time,
                device,
                image_id,
                state: read(flat.state)?.unwrap_or(UpgradeState::Waiting),
                reason: read(reason)?,
                code,
                progress: flat.progress,
                fetched: flat.fetched,
                desc: flat.desc,
            }),
        })
    }
}

/// The stable name of a state or a reason.
fn word(value: impl Serialize) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Some(word),
        // All of them are names.
        _ => None,
    }
}

/// What a stable name stands for.
fn read<T: DeserializeOwned>(word: Option<String>) -> Result<Option<T>, serde_json::Error> {
    word.map(|word| serde_json::from_value(Value::String(word))).transpose()
}
