//! Names of things: keys that people and devices use, row ids that stores use, and points in time.

pub use narrowgate_api::names::{DeviceName, UnixMillis};
use serde::{Deserialize, Serialize};

/// A device's number inside a store: never shown to people, never used again after the device was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub i64);

/// The organisation unit that exists from the first start on (`o` and 14 digits).
pub const DEFAULT_OU: &str = "o00000000000001";
