//! The wall clock and the system's randomness, behind the platform's ports.

use std::time::{SystemTime, UNIX_EPOCH};

use narrowgate_platform::{
    ids::UnixMillis,
    ports::{Clock, Entropy},
};

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        // A clock before 1970 or after the year 292 million was never set.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        #[cfg(feature = "test-hooks")]
        let since = since + hooked::ahead();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that tests move: `NARROWGATE_TEST_DAYS` names a file with the number of days by which it is ahead.
#[cfg(feature = "test-hooks")]
mod hooked {
    use std::{env, ffi::OsString, fs, sync::OnceLock, time::Duration};

    pub(super) fn ahead() -> Duration {
        static FILE: OnceLock<Option<OsString>> = OnceLock::new();
        let file = FILE.get_or_init(|| env::var_os("NARROWGATE_TEST_DAYS"));
        let days = file.as_ref().and_then(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
        Duration::from_secs(86_400 * days.unwrap_or(0))
    }
}

/// The kernel's random source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("a running kernel always has random bytes, and secrets need them");
    }
}
