//! Sessions that are opened and left idle: what each of them costs the server in memory.

use super::{
    LoadConfig, LoadError,
    handshakes::{self, Handshakes},
    outcome::Outcome,
    server::Measurement,
};

/// Handshakes at once while the sessions are opened.
const CONCURRENCY: u32 = 128;

/// Opens `count` sessions and leaves them.
///
/// # Errors
/// As for [`handshakes::run`].
pub fn run(config: &LoadConfig, count: u32, server: Option<&Measurement>) -> Result<Outcome, LoadError> {
    let handshakes = Handshakes { count, concurrency: CONCURRENCY.min(count.max(1)) };
    let outcome = handshakes::run(config, handshakes, server)?;
    Ok(Outcome { operation: "session", ..outcome })
}
