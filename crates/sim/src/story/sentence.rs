//! What a story's sentences mean.

use std::{fmt, time::Duration};

use narrowgate_coap::{FailureCause, Response};
use narrowgate_dtls::CipherSuite;
use narrowgate_platform::model::product::Profile;

use super::Quantity;
use crate::{
    device::{ConnectFailure, DeviceConfig, DeviceEvent},
    net::Conditions,
};

/// One line.
#[derive(Debug)]
pub(super) struct Sentence {
    /// From 1.
    pub(super) line: usize,
    /// Time that passes before.
    pub(super) after: Duration,
    pub(super) action: Action,
}

#[derive(Debug)]
pub(super) enum Action {
    /// Only time passes.
    Wait,
    Device(Box<DeviceSetup>),
    Deed {
        who: String,
        deed: Deed,
    },
    Network(Weather),
    Gateway(Order),
    Expect(Expectation),
}

#[derive(Debug)]
pub(super) struct DeviceSetup {
    pub(super) name: String,
    /// `None`: one; otherwise so many, numbered from 1.
    pub(super) count: Option<u16>,
    pub(super) config: DeviceConfig,
    /// The secret that it is registered with.
    pub(super) known: Option<String>,
    /// It logs in by plain CoAP, with this secret.
    pub(super) plain: Option<String>,
    /// It has the secret that a device of its identity was given last.
    pub(super) is_issued: bool,
    /// The device whose address it shares.
    pub(super) at: Option<String>,
}

/// What a device does.
#[derive(Debug)]
pub(super) enum Deed {
    Connect,
    TryToConnect,
    /// The points as JSON.
    Post(String),
    Ping,
    Get(String),
    /// A message to a topic, with its `params`.
    Say {
        topic: String,
        params: String,
    },
    /// Fetch the command that the last response named.
    FetchCommand,
    /// Answer the command that was fetched, with this code.
    AnswerCommand(i32),
    AskForSecret,
    Close,
    PowerOff,
    Move,
}

/// What the network does.
#[derive(Debug)]
pub(super) enum Weather {
    Change { conditions: Conditions, lasts: Option<Duration> },
    LoseNext { count: u32, to: Destination },
    Record,
    Replay { from_elsewhere: bool },
}

#[derive(Debug)]
pub(super) enum Destination {
    Gateway,
    Device(String),
}

/// What the gateway, its store or an operator does.
#[derive(Debug)]
pub(super) enum Order {
    CommitAfter(Option<Duration>),
    CommitNow,
    LookUpAfter(Option<Duration>),
    Reset {
        who: String,
        secret: String,
    },
    Disable(String),
    /// What the radio of all devices asks for.
    SetProfile(Profile),
    /// A command that sets points, for this long.
    Send {
        who: String,
        points: String,
        lasts: Duration,
    },
    Drain,
    Restart,
}

#[derive(Debug)]
pub(super) enum Expectation {
    Device { who: String, outcome: Outcome, within: Duration },
    Gateway { checks: Vec<Check>, within: Duration },
    Store { who: String, point: String, values: String },
    Kept { what: Kept, who: String, text: String },
}

/// What the store holds of a device beside its reports, and how a story writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// A JSON object.
    Attributes,
    /// A JSON object.
    Tags,
    /// Identifiers, oldest first.
    Events,
    /// States, oldest first.
    Commands,
}

impl Kept {
    pub(super) const ALL: [(&str, Self); 4] = [
        ("attributes", Self::Attributes),
        ("tags", Self::Tags),
        ("events", Self::Events),
        ("commands", Self::Commands),
    ];
}

/// What a quantity must be.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) quantity: Quantity,
    pub(super) relation: Relation,
    pub(super) number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    AtLeast,
    AtMost,
}

impl Relation {
    pub(super) const ALL: [Self; 3] = [Self::AtLeast, Self::AtMost, Self::Equal];

    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
        }
    }

    pub(super) const fn holds(self, is: u64, wanted: u64) -> bool {
        match self {
            Self::Equal => is == wanted,
            Self::AtLeast => is >= wanted,
            Self::AtMost => is <= wanted,
        }
    }
}

/// What a device tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// In an expectation `None` is any suite.
    Connected(Option<CipherSuite>),
    Refused,
    GaveUp,
    /// A CoAP code, as it is written.
    Answer(String),
    Timeout,
    Reset,
    Pong,
    Secret,
    /// It rides in an answer by plain CoAP.
    Command,
    Closed,
    Nothing,
}

impl Outcome {
    pub(super) fn of(event: &DeviceEvent) -> Self {
        match event {
            DeviceEvent::Connected { suite } => Self::Connected(Some(*suite)),
            DeviceEvent::LoggedIn => Self::Connected(None),
            DeviceEvent::ConnectFailed(ConnectFailure::Expired) => Self::GaveUp,
            DeviceEvent::ConnectFailed(ConnectFailure::Refused(_)) => Self::Refused,
            DeviceEvent::ConnectFailed(ConnectFailure::LoginRefused(code)) => Self::Answer(code.to_string()),
            DeviceEvent::Carried { .. } => Self::Command,
            DeviceEvent::Acknowledged { .. } => Self::Answer("2.04".to_owned()),
            DeviceEvent::ReportRefused { response, .. } | DeviceEvent::ActivationRefused(response) => {
                Self::Answer(response.code.to_string())
            }
            DeviceEvent::Answered(response) => Self::Answer(answer(response)),
            DeviceEvent::Activated(_) => Self::Secret,
            DeviceEvent::Pong => Self::Pong,
            DeviceEvent::Unanswered { cause: FailureCause::TimedOut, .. } => Self::Timeout,
            DeviceEvent::Unanswered { .. } => Self::Reset,
            DeviceEvent::Closed => Self::Closed,
        }
    }

    pub(super) fn meets(&self, expected: &Self) -> bool {
        self == expected || matches!((self, expected), (Self::Connected(_), Self::Connected(None)))
    }
}

/// The code of an answer; with the one in its body, where that is not success.
fn answer(response: &Response) -> String {
    let reply: serde_json::Value = serde_json::from_slice(&response.payload).unwrap_or_default();
    match reply.get("code").and_then(serde_json::Value::as_i64) {
        None | Some(200) => response.code.to_string(),
        Some(code) => format!("{} with code {code}", response.code),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected(None) => "connected",
            Self::Connected(Some(CipherSuite::PskAes128Ccm8)) => "connected ccm8",
            Self::Connected(Some(CipherSuite::PskAes128CbcSha256)) => "connected cbc",
            Self::Refused => "refused",
            Self::GaveUp => "gave up",
            Self::Answer(code) => code,
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Pong => "pong",
            Self::Secret => "secret",
            Self::Command => "command",
            Self::Closed => "closed",
            Self::Nothing => "nothing",
        })
    }
}
