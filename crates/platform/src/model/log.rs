//! The device log: what happened to a device, with stable reasons for refusals (device protocol, section 9).

use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, UnixMillis};

/// What happened. Names are stable: scripts filter by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogEvent {
    /// First login.
    Activated,
    /// A mode-2 handshake was completed.
    Login,
    /// Heard again after silence, without a new handshake.
    Online,
    /// Silent for its lifetime, or closed by the device.
    Offline,
    /// A handshake or a request was refused; `reason` says why.
    Refused,
    /// A request was served, and is probably not what was meant; `reason` says why.
    Warning,
    /// A secret was issued by dynamic activation.
    SecretIssued,
    /// A secret was shown to an operator.
    SecretShown,
    /// Registered.
    Created,
    /// Switched off.
    Disabled,
    /// Switched on.
    Enabled,
    /// Given another name by an operator.
    Renamed,
    /// Made inactive again, with its secret.
    Reset,
    /// Deleted.
    Deleted,
}

/// Why a handshake or a request was refused, or what a warning is about. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation: device protocol, section 9")]
pub enum Reason {
    IdentityMalformed,
    ProductUnknown,
    DeviceUnknown,
    ModeUnknown,
    LifetimeOutOfRange,
    DynamicActivationOff,
    AlreadyActivated,
    DeviceDisabled,
    ProductDisabled,
    NoCommonCipherSuite,
    WrongKey,
    VersionUnsupported,
    RateLimited,
    TopicForeign,
    BodyMalformed,
    ModelInvalid,
    PathUnknown,
    MethodWrong,
    OptionUnsupported,
    NotAcceptable,
    MessageMalformed,
    MessageIdReused,
    TimeDoubtful,
    TooLarge,
    NotDtls,
}

/// One entry of a device's log, or of the log of refusals that belong to no known device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub time: UnixMillis,
    /// Whose, where the device is known.
    pub device: Option<DeviceId>,
    /// The identity as the peer gave it (lossy text, at most 128 characters), for refusals of unknown devices.
    pub identity: Option<String>,
    /// What happened.
    pub event: LogEvent,
    /// Why, for refusals and warnings.
    pub reason: Option<Reason>,
    /// The protocol's number, where section 9 has one (770, 771, 723 …).
    pub code: Option<u16>,
    /// The peer's address and port.
    pub peer: Option<String>,
    /// Words for people: what is probably wrong and what to try.
    pub detail: Option<String>,
}
