//! The wall clock of the simulated server: it follows virtual time, and jumps when it is told to.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use narrowgate_platform::{ids::UnixMillis, ports::Clock};

/// See the module. To be asked inside the runtime of the server only.
#[derive(Debug)]
pub struct WallClock(Mutex<(Instant, i64)>);

impl WallClock {
    /// A clock that shows `now` at the runtime's instant `base`.
    pub const fn new(base: Instant, now: UnixMillis) -> Self {
        Self(Mutex::new((base, now.0)))
    }

    /// Takes up another runtime's time.
    pub fn set(&self, base: Instant, now: UnixMillis) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (base, now.0);
    }

    /// The operator, or a time server, sets it by so many milliseconds.
    pub fn jump(&self, ms: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 += ms;
    }

    /// What it shows at an instant of the runtime.
    pub fn at(&self, instant: Instant) -> UnixMillis {
        let (base, ms) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        UnixMillis(ms + instant.saturating_duration_since(base).as_millis() as i64)
    }
}

impl Clock for WallClock {
    fn now(&self) -> UnixMillis {
        self.at(tokio::time::Instant::now().into_std())
    }
}
