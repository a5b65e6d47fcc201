//! Commands to devices (device protocol, section 6).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::names::UnixMillis;

/// Seconds that a device has to fetch a command, and then to answer it, where nothing is said.
pub const TIMEOUT_S_DEFAULT: u32 = 30;

/// What a command asks for. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// To set points.
    Set,
    /// To report points.
    Get,
    /// To run a service of the thing model.
    Service,
    /// Bytes as they are, for a device of a product whose data format is `custom`.
    Raw,
    /// To fetch and install firmware: sent by an offer of an image only.
    Upgrade,
}

/// What has become of a command. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// It waits for the device.
    Created,
    /// An operator took it back.
    Cancelled,
    /// The device did not fetch it in time.
    Expired,
    /// The device has fetched it and has not answered yet.
    Sent,
    /// The device answered that it has done it.
    Succeeded,
    /// The device answered that it has not.
    Failed,
    /// The device fetched it and did not answer in time.
    TimedOut,
}

impl CommandState {
    /// Whether nothing more becomes of it.
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Created | Self::Sent)
    }

    /// Its number (device protocol, section 6).
    pub const fn number(self) -> u8 {
        match self {
            Self::Created => 1,
            Self::Cancelled => 2,
            Self::Expired => 3,
            Self::Sent => 4,
            Self::Succeeded => 5,
            Self::Failed => 6,
            Self::TimedOut => 7,
        }
    }
}

/// A command to be sent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCommand {
    /// What it asks for.
    pub kind: CommandKind,
    /// For `set`: an object of points and their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<Box<RawValue>>,
    /// For `get`: which points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// For `service`: which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// For `service`: an object of its inputs and their values; empty where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// For `raw`: the bytes, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
    /// How long it may wait for the device, seconds, up to 172,800. 0: the device must be online, and fetch
    /// it within `timeout`.
    #[schemars(range(max = 172_800))]
    #[serde(default)]
    pub pending_ttl: u32,
    /// How long the device has to answer once it has fetched it, seconds, 1 to 60.
    #[schemars(range(min = 1, max = 60))]
    #[serde(default = "timeout_default")]
    pub timeout: u32,
    /// How long the answer to this request may wait for the device's, seconds, at most [`WAIT_S_MAX`].
    #[schemars(range(max = WAIT_S_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u32>,
}

/// Longest time for which a request waits for a device, seconds.
pub const WAIT_S_MAX: u32 = 60;

fn timeout_default() -> u32 {
    TIMEOUT_S_DEFAULT
}

/// A command that was just sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandCreated {
    /// Its id: a decimal number.
    pub id: String,
    /// Its state.
    pub state: CommandState,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When the device probably fetches it; null where nothing is known of that.
    pub expected: Option<Expected>,
}

/// When a device probably fetches a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// When.
    pub at: UnixMillis,
    /// How far it may be from then, milliseconds.
    pub spread: i64,
}

/// How good an [`Expected`] was. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedOutcome {
    /// The device fetched the command within the spread.
    Within,
    /// It came before it.
    Early,
    /// It came after it, or had not come when the command was over.
    Late,
}

impl ExpectedOutcome {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Early => "early",
            Self::Late => "late",
        }
    }
}

/// A command as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandView {
    /// Its id: a decimal number.
    pub id: String,
    /// What it asks for.
    pub kind: CommandKind,
    /// Which service; left out where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What is sent with it.
    pub params: Box<RawValue>,
    /// The bytes that the device gets, in hexadecimal digits; left out where it gets JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
    /// Its state.
    pub state: CommandState,
    /// The device's code: 200 and 0 are success. 11904 where it did not fetch the command in time, 11915
    /// where it did not answer it in time, 11810 where it takes no bytes any more.
    pub code: Option<i64>,
    /// The device's answer.
    pub data: Option<Box<RawValue>>,
    /// What the device says of it, for people; null where it says nothing.
    #[serde(default)]
    pub message: Option<String>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When the device fetched it, the last time that it was offered.
    pub sent_at: Option<UnixMillis>,
    /// When the device fetched it first. A server of before says nothing.
    #[serde(default)]
    pub fetched_at: Option<UnixMillis>,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// When it was sent: when the device will probably fetch it; null where nothing was known of that.
    pub expected: Option<Expected>,
    /// How good that was; null where nothing was expected, or it is not known yet.
    #[serde(default)]
    pub expected_outcome: Option<ExpectedOutcome>,
}

/// How a command ended, for somebody who waited for it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CommandAnswer {
    /// Its id: a decimal number.
    pub id: String,
    /// Its state.
    pub state: CommandState,
    /// The device's code; 11904 where it did not fetch it in time, 11915 where it did not answer in time,
    /// 11810 where it takes no bytes any more.
    pub code: Option<i64>,
    /// The device's answer.
    pub data: Option<Box<RawValue>>,
    /// What the device says of it, for people; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl From<CommandView> for CommandAnswer {
    fn from(view: CommandView) -> Self {
        let CommandView { id, state, code, data, message, .. } = view;
        Self { id, state, code, data, message }
    }
}

/// Commands that were taken back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CommandsCancelled {
    /// Their ids, in the order in which they were sent.
    pub cancelled: Vec<String>,
    /// The commands, in that order. One with `sentAt` was fetched: the device may do it all the same. A
    /// server of before says nothing.
    #[serde(default)]
    pub items: Vec<CommandView>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_crosses_with_the_values_as_they_were_written() {
        let json = r#"{"kind":"set","points":{"temp":30.50},"pendingTtl":0,"timeout":30}"#;
        let new: NewCommand = serde_json::from_str(r#"{"kind":"set","points":{"temp":30.50}}"#)
            .expect("the rest has its defaults");
        assert_eq!(serde_json::to_string(&new).expect("it can be written"), json);
    }

    #[test]
    fn every_state_has_its_number_and_its_stable_name() {
        use CommandState::{Cancelled, Created, Expired, Failed, Sent, Succeeded, TimedOut};
        let names = ["created", "cancelled", "expired", "sent", "succeeded", "failed", "timed_out"];
        let states = [Created, Cancelled, Expired, Sent, Succeeded, Failed, TimedOut];
        for ((state, name), number) in states.into_iter().zip(names).zip(1..) {
            assert_eq!(serde_json::to_string(&state).expect("a word"), format!("{name:?}"));
            assert_eq!((state.number(), state.has_ended()), (number, ![1, 4].contains(&number)));
        }
    }
}
