//! Section `[session]`: how long and how many.

use std::time::Duration;

use super::{
    accept::{Number, Size, SizeOrAuto, Time},
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

const DAY_SECONDS: u64 = 24 * 3600;

static IDLE_TIMEOUT: Key<Time> = Key {
    name: "session.idle_timeout",
    default: "7d",
    accepts: Time(Duration::from_secs(60)..=Duration::from_secs(365 * DAY_SECONDS)),
    help: "a session that was silent for this long is closed, {accepted}",
};

static SESSIONS_MAX: Key<Number<usize>> = Key {
    name: "session.sessions_max",
    default: "2000000",
    accepts: Number(1..=100_000_000),
    help: "sessions over all shards; at the limit one that was idle for long is closed for a new one",
};

/// An eighth: the answers of 30,000 reports a second need 120 MiB, and a million sessions a GiB beside them.
pub(super) static ANSWER_MEMORY: Key<SizeOrAuto> = Key {
    name: "session.answer_memory",
    default: "auto",
    accepts: SizeOrAuto { size: Size(1 << 20..=64 << 30), part: 8, least: 64 << 20 },
    help: "memory for answers that are kept for duplicates, a quarter of it for bodies in blocks too, over \
           all shards, {accepted}; auto: an eighth of the memory of the machine or the control group; when \
           little is free, devices with many get 5.03",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[&IDLE_TIMEOUT, &SESSIONS_MAX, &ANSWER_MEMORY];

/// Section `[session]`.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) idle_timeout: Duration,
    pub(crate) sessions_max: usize,
    pub(crate) answer_memory_bytes: u64,
}

impl Session {
    pub(super) fn read(values: &Values) -> Result<Self, Failure> {
        Ok(Self {
            idle_timeout: values.read(&IDLE_TIMEOUT)?,
            sessions_max: values.read(&SESSIONS_MAX)?,
            answer_memory_bytes: values.read(&ANSWER_MEMORY)?,
        })
    }
}
