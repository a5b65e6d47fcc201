//! The device log: what happened to a device, with stable reasons for refusals (device protocol, section 9).

pub use narrowgate_api::log::{LogEvent, Reason};

use crate::ids::{DeviceId, UnixMillis};

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
