//! The device log: what happened to a device, with stable reasons for refusals (device protocol, section 9).

pub use narrowgate_api::log::{LogEvent, Reason};

use crate::{
    ids::{DeviceId, UnixMillis},
    rules::{
        latest::{BYTES_MAX, POINTS_MAX},
        refusal::Refusal,
    },
};

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
            "latest values are kept of at most {POINTS_MAX} points and {} KiB of a device; this one \
             has more: those it has not reported for longest are left out, and their history is complete",
            BYTES_MAX >> 10
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
