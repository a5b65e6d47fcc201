//! Section `[admission]`: what may be under way at a time.

use std::time::Duration;

use super::{
    accept::{Number, Time},
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

pub(super) static HANDSHAKES_MAX: Key<Number<usize>> = Key {
    name: "admission.handshakes_max",
    default: "20000",
    accepts: Number(1..=1_000_000),
    help: "handshakes under way per shard; beyond it one that was rejected, stands still or has a passing \
           place (one in sixteen, for devices that are near) makes room, or the hello is dropped and comes \
           again",
};

pub(super) static HANDSHAKES_PER_ADDRESS_MAX: Key<Number<usize>> = Key {
    name: "admission.handshakes_per_address_max",
    default: "4000",
    accepts: Number(1..=1_000_000),
    help: "handshakes under way per address (IPv6: per /64) and shard; beyond it the same among its own",
};

static LOOKUPS_MAX: Key<Number<usize>> = Key {
    name: "admission.lookups_max",
    default: "4096",
    accepts: Number(1..=1_000_000),
    help: "key look-ups under way per shard; beyond it a ClientHello is dropped",
};

static SLOW_ROUND_TRIP: Key<Time> = Key {
    name: "admission.slow_round_trip",
    default: "10s",
    accepts: Time(Duration::from_secs(1)..=Duration::from_secs(120)),
    help: "a handshake whose device was silent for longer makes room at a limit (a near one already after \
           three of its own round trips and 1.6 s), {accepted}; more than the slowest radio and its device \
           need for an answer. What was in vain is counted for as long",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] =
    &[&HANDSHAKES_MAX, &HANDSHAKES_PER_ADDRESS_MAX, &LOOKUPS_MAX, &SLOW_ROUND_TRIP];

/// Section `[admission]`.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    pub(crate) handshakes_max: usize,
    pub(crate) handshakes_per_address_max: usize,
    pub(crate) lookups_max: usize,
    pub(crate) slow_round_trip: Duration,
}

impl Admission {
    pub(super) fn read(values: &Values) -> Result<Self, Failure> {
        Ok(Self {
            handshakes_max: values.read(&HANDSHAKES_MAX)?,
            handshakes_per_address_max: values.read(&HANDSHAKES_PER_ADDRESS_MAX)?,
            lookups_max: values.read(&LOOKUPS_MAX)?,
            slow_round_trip: values.read(&SLOW_ROUND_TRIP)?,
        })
    }
}
