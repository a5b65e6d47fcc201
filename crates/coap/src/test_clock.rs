//! Virtual time for the unit tests.

use std::{sync::OnceLock, time::Instant};

static START: OnceLock<Instant> = OnceLock::new();

/// The instant from which every test counts. Which one it is does not matter, and only the clock can make one.
#[expect(clippy::disallowed_methods, reason = "an arbitrary origin, read once")]
pub(crate) fn start() -> Instant {
    *START.get_or_init(Instant::now)
}
