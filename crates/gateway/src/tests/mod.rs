//! The machine as a whole: a table of what it does in each state, and stories.

mod clocks;
mod commands;
mod firmware;
mod logins;
mod lookups;
mod observers;
mod plain;
mod profiles;
mod properties;
mod quotas;
mod rates;
mod raw;
mod real;
mod said;
mod short;
mod stage;
mod stories;
mod suspended;
mod table;

use std::time::Instant;

/// Some instant, from which tests count.
#[expect(
    clippy::disallowed_methods,
    reason = "an instant can be made in no other way; the tests count from it"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
