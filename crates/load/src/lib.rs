//! Load over real UDP sockets, on loopback only: handshakes, reports, idle sessions.
//!
//! One thread and one socket drive all devices. The socket is bound to every local address and sends from an
//! address in 127.64.0.0/10 that is each device's own (`IP_PKTINFO`), so the server sees that many peers
//! while the client has nothing to open, to register or to run out of. It waits for one datagram, takes up
//! what else is there, and answers them all.
//!
//! Limits: [`DEVICES_MAX`] devices, [`target::Target`] on loopback, a time limit for each run.

#![forbid(unsafe_code)]

mod crowd;
pub mod fleet;
pub mod flood;
mod forgery;
pub mod handshakes;
mod metrics;
pub mod mutations;
pub mod outcome;
pub mod reports;
pub mod secret_argument;
pub mod server;
pub mod sessions;
pub mod target;
mod wire;

use std::{io, time::Duration};

use narrowgate_dtls::CipherSuite;

use self::target::Target;

/// Devices of one run: the addresses in 127.64.0.0/10 without its ends.
pub const DEVICES_MAX: u32 = (1 << 22) - 2;

/// What all kinds of load have in common.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// Where the server is.
    pub target: Target,
    /// The product whose devices these are.
    pub product_key: String,
    /// The number of the first device, from 1: runs one after the other may take different devices.
    pub first_device: u32,
    /// The suite that all devices offer.
    pub suite: CipherSuite,
    /// The lifetime in their identities, seconds.
    pub lifetime_s: u32,
    /// The run ends then, finished or not.
    pub time_limit: Duration,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A number is out of range.
    #[error("{what} must be 1 to {max}")]
    OutOfRange {
        /// Which one.
        what: &'static str,
        /// The largest.
        max: u32,
    },
    /// The socket does not do what is needed.
    #[error("cannot prepare the client's socket")]
    Socket(#[source] io::Error),
    /// Sending or receiving failed.
    #[error("cannot exchange datagrams with the server")]
    Exchange(#[source] io::Error),
    /// What a fleet did cannot be written down.
    #[error("cannot write the log")]
    Log(#[source] io::Error),
    /// The process that was to be measured cannot be read.
    #[error("cannot read {path}")]
    Process {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing could be measured, because devices could not connect.
    #[error("{failed} of {count} devices could not connect: is the product imported, and are its devices?")]
    NotConnected {
        /// How many.
        failed: u32,
        /// Of how many.
        count: u32,
    },
}

/// Refuses a number outside of 1 to `max`.
fn check_range(what: &'static str, number: u32, max: u32) -> Result<(), LoadError> {
    if (1..=max).contains(&number) { Ok(()) } else { Err(LoadError::OutOfRange { what, max }) }
}
