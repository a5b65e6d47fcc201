//! The machine as a whole: tables and stories.

use std::time::Instant;

/// Some instant, from which tests count.
#[expect(
    clippy::disallowed_methods,
    reason = "an instant can be made in no other way; the tests count from it"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
