//! Names of things: keys that people and devices use, row ids that stores use, and points in time.

use std::fmt;

pub use narrowgate_api::names::{DeviceName, UnixMillis};
use serde::{Deserialize, Serialize};

/// A device's number inside a store: never shown to people, never used again after the device was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub i64);

/// The number of a login: greater than all that the store has seen before. A session keeps the number of the
/// login that made it, and its writes are refused once the device has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LoginNumber(pub u64);

impl LoginNumber {
    /// The first one of an epoch: greater than all of earlier epochs. A gateway counts up from it.
    pub fn first_of(epoch: u64) -> Self {
        Self(epoch << 32)
    }

    /// The one after it.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The place of an event among all events of a store: in the order of the commits, never used twice. The
/// cursor of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Increased whenever the store is opened.
    pub epoch: u64,
    /// Counts within it.
    pub sequence: u64,
}

impl Position {
    /// The place of the write that comes so many after the one of this place, in the same batch.
    pub fn after(self, writes: usize) -> Self {
        Self { epoch: self.epoch, sequence: self.sequence + writes as u64 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

/// The organisation unit that exists from the first start on (`o` and 14 digits).
pub const DEFAULT_OU: &str = "o00000000000001";
