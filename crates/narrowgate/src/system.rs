//! The wall clock and the system's randomness, behind the platform's ports.

use std::time::{SystemTime, UNIX_EPOCH};

use narrowgate_platform::{
    ids::UnixMillis,
    ports::{Clock, Entropy},
};

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        // A clock before 1970 or after the year 292 million is one that nobody set.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The kernel's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out)
            .expect("a running kernel always has random bytes; secrets cannot be made without");
    }
}
