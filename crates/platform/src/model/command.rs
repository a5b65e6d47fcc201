//! A command to a device (device protocol, section 6).

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

pub use narrowgate_api::command::{CommandKind, CommandState, Expected, ExpectedOutcome};

use super::product::DataFormat;
use crate::ids::{DeviceId, LoginNumber, UnixMillis};

/// The number of a command, 1 to [`CommandId::MAX`]; unique among those that are kept of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u32);

impl CommandId {
    /// The greatest one: ids fit an `int` on the device.
    pub const MAX: Self = Self((1 << 31) - 1);
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is not the id of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoCommandId;

impl FromStr for CommandId {
    type Err = NoCommandId;

    /// A decimal number as it is written by `Display`.
    fn from_str(text: &str) -> Result<Self, NoCommandId> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let number = text.parse().ok().filter(|number| is_plain && *number <= Self::MAX.0);
        number.map(Self).ok_or(NoCommandId)
    }
}

/// What a command asks for: its topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CommandTopic {
    /// `thing/service/measurepoint/set`
    Set,
    /// `thing/service/measurepoint/get`
    Get,
    /// `thing/service/{serviceId}`
    Service(Box<str>),
    /// `thing/model/down_raw`
    Raw,
    /// `ota/device/upgrade`
    Upgrade,
}

impl CommandTopic {
    /// Its kind.
    pub fn kind(&self) -> CommandKind {
        match self {
            Self::Set => CommandKind::Set,
            Self::Get => CommandKind::Get,
            Self::Service(_) => CommandKind::Service,
            Self::Raw => CommandKind::Raw,
            Self::Upgrade => CommandKind::Upgrade,
        }
    }

    /// The service, if it is one's.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Set | Self::Get | Self::Raw | Self::Upgrade => None,
            Self::Service(service) => Some(service),
        }
    }

    /// The method of its messages.
    pub fn method(&self) -> Cow<'static, str> {
        match self {
            Self::Set => Cow::Borrowed("thing.service.measurepoint.set"),
            Self::Get => Cow::Borrowed("thing.service.measurepoint.get"),
            Self::Service(service) => Cow::Owned(format!("thing.service.{service}")),
            Self::Raw => Cow::Borrowed("thing.model.down_raw"),
            Self::Upgrade => Cow::Borrowed("ota.device.upgrade"),
        }
    }
}

/// What is sent to a device, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What it asks for.
    pub topic: CommandTopic,
    /// What is sent with it: JSON.
    pub params_json: Box<str>,
    /// How long it may wait, seconds. 0: the device must be online, and fetch it within `timeout_s`.
    pub pending_ttl_s: u32,
    /// How long the device has to answer it, seconds.
    pub timeout_s: u32,
    /// The bytes that the device gets; `None`: it gets JSON.
    pub raw: Option<Box<[u8]>>,
}

impl Order {
    /// The topic at which the device fetches it.
    pub fn fetched_at(&self) -> &CommandTopic {
        if self.raw.is_some() { &CommandTopic::Raw } else { &self.topic }
    }

    /// The topic at which the devices of a product are told to fetch it. An offer of firmware is queued
    /// without bytes: for devices that speak bytes a script makes them when it is fetched.
    pub fn fetched_in(&self, format: DataFormat) -> &CommandTopic {
        let is_encoded_later = self.topic == CommandTopic::Upgrade && format == DataFormat::Custom;
        if is_encoded_later { &CommandTopic::Raw } else { self.fetched_at() }
    }

    /// Whether a GET of a topic gets it. What has no bytes is at its own topic too, for the devices of such a
    /// product that speak JSON.
    pub fn is_at(&self, topic: &CommandTopic, format: DataFormat) -> bool {
        self.fetched_in(format) == topic || (self.raw.is_none() && self.topic == *topic)
    }
}

/// A command and what has become of it. Cheap to clone but for the device's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its number.
    pub id: CommandId,
    /// What is asked for.
    pub order: Arc<Order>,
    /// Its state.
    pub state: CommandState,
    /// The device's code, or 11810 where the server could not send it.
    pub code: Option<i64>,
    /// The device's answer: JSON.
    pub data_json: Option<Box<str>>,
    /// What the device says of it, or why it could not be sent, for people.
    pub message: Option<Box<str>>,
    /// When it was created.
    pub created: UnixMillis,
    /// When it was fetched, the last time that it was offered.
    pub sent: Option<UnixMillis>,
    /// When it ended.
    pub ended: Option<UnixMillis>,
    /// When it was sent: when the device would probably fetch it.
    pub expected: Option<Expected>,
    /// When it was fetched first.
    pub fetched: Option<UnixMillis>,
}

impl Command {
    /// A command that nobody has fetched yet.
    pub fn new(id: CommandId, order: impl Into<Arc<Order>>, created: UnixMillis) -> Self {
        Self {
            id,
            order: order.into(),
            state: CommandState::Created,
            code: None,
            data_json: None,
            message: None,
            created,
            sent: None,
            ended: None,
            expected: None,
            fetched: None,
        }
    }
}

/// What happens to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandStep {
    /// The device fetches it.
    Fetch,
    /// The device answers it.
    Reply {
        /// The device's code.
        code: i64,
        /// The device's answer: JSON.
        data_json: Option<Box<str>>,
        /// What the device says of it, for people.
        message: Option<Box<str>>,
    },
    /// The product's script cannot make bytes of it for the device, which asks for it.
    NotEncoded {
        /// Why not, for people.
        message: Box<str>,
    },
    /// An operator takes it back.
    Cancel,
    /// It is in bytes, and its device's product speaks JSON now: nobody can fetch or answer it.
    RefuseBytes,
    /// It may be over.
    TimePasses,
}

/// The session whose device fetches or answers a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandSession {
    /// Its login.
    pub login: LoginNumber,
    /// The secret that it proved.
    pub secret_version: u32,
}

/// A step of a command on the data path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandMove {
    /// Whose command.
    pub device: DeviceId,
    /// Which one.
    pub id: CommandId,
    /// Whose device did it; refused where the device has another login or secret. `None`: time did.
    pub session: Option<CommandSession>,
    /// What happened.
    pub step: CommandStep,
    /// When.
    pub at: UnixMillis,
}

/// An open command, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCommand {
    /// Whose.
    pub device: DeviceId,
    /// The command.
    pub command: Command,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_of_firmware_is_fetched_as_what_its_product_speaks() {
        use CommandTopic::{Raw, Set, Upgrade};
        use DataFormat::{Custom, Json};
        // Topic, with bytes; in a product of this format it is named there, and found there.
        let table: [(CommandTopic, bool, DataFormat, CommandTopic, &[CommandTopic]); 7] = [
            (Set, false, Json, Set, &[Set]),
            (Set, false, Custom, Set, &[Set]),
            (Set, true, Custom, Raw, &[Raw]),
            (Set, true, Json, Raw, &[Raw]),
            (Raw, true, Custom, Raw, &[Raw]),
            (Upgrade, false, Json, Upgrade, &[Upgrade]),
            (Upgrade, false, Custom, Raw, &[Raw, Upgrade]),
        ];
        for (topic, has_bytes, format, named, found) in table {
            let raw = has_bytes.then(|| [1].into());
            let (params_json, pending_ttl_s) = ("{}".into(), 0);
            let order = Order { topic, params_json, pending_ttl_s, timeout_s: 30, raw };
            assert_eq!(*order.fetched_in(format), named, "{order:?} {format:?}");
            let at: Vec<_> = [Set, Raw, Upgrade].into_iter().filter(|at| order.is_at(at, format)).collect();
            assert_eq!(at, found, "{order:?} {format:?}");
        }
    }

    #[test]
    fn an_id_is_a_plain_decimal_number_below_2_to_31() {
        for (text, id) in [("1", 1), ("20", 20), ("2147483647", 2_147_483_647)] {
            assert_eq!(text.parse(), Ok(CommandId(id)));
            assert_eq!(CommandId(id).to_string(), text);
        }
        for text in ["", "0", "01", "+1", "-1", "1.0", " 1", "2147483648", "99999999999999999999", "x"] {
            assert_eq!(text.parse::<CommandId>(), Err(NoCommandId), "{text}");
        }
    }
}
