//! Names of things: keys that people and devices use, row ids that stores use, and points in time.

pub use narrowgate_api::names::{DeviceName, UnixMillis};
use serde::{Deserialize, Serialize};

/// A device's number inside a store: never shown to people, never used again after the device was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub i64);

/// Which login of a device: greater than all that the store had seen before. A session keeps that of the login that
/// made it, and what it writes is refused once the device has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LoginNumber(pub u64);

impl LoginNumber {
    /// The first one of an epoch: greater than all of the epochs before. A gateway counts on from it.
    pub fn first_of(epoch: u64) -> Self {
        Self(epoch << 32)
    }

    /// The one after it.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The place of something that happened among all that happened in a store: in the order of the commits, never used
/// twice. A cursor of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Raised whenever the store is opened.
    pub epoch: u64,
    /// Counts within it.
    pub sequence: u64,
}

/// The organisation unit that exists from the first start on (`o` and 14 digits).
pub const DEFAULT_OU: &str = "o00000000000001";
