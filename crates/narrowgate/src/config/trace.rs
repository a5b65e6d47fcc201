//! Section `[trace]`: traces of requests for OpenTelemetry.

use std::time::Duration;

use super::{
    accept::{Address, OrOff, Time},
    key::{Key, Setting},
    values::Values,
};
use crate::{failure::Failure, trace::Options};

static COLLECTOR: Key<OrOff<Address>> = Key {
    name: "trace.collector",
    default: "off",
    accepts: OrOff(Address { examples: "127.0.0.1:4318 or off" }),
    help: "address and port of a collector of OpenTelemetry (OTLP over HTTP, without TLS) for traces of \
           requests of devices; off: none are made",
};

pub(super) static EVERY: Key<Time> = Key {
    name: "trace.every",
    default: "1s",
    accepts: Time(Duration::from_millis(10)..=Duration::from_secs(3600)),
    help: "one request is traced in this time, {accepted}",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[&COLLECTOR, &EVERY];

/// What is traced; `None`: nothing.
pub(super) fn read(values: &Values) -> Result<Option<Options>, Failure> {
    let (collector, every) = (values.read(&COLLECTOR)?, values.read(&EVERY)?);
    Ok(collector.map(|collector| Options { collector, every }))
}
