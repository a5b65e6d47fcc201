//! Section `[http]`: the API, health and metrics.

use std::net::SocketAddr;

use narrowgate_platform::rules::rate::Rate;

use super::{
    accept::{Address, OrOff, Times},
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

pub(crate) static LISTEN: Key<OrOff<Address>> = Key {
    name: "http.listen",
    default: "127.0.0.1:8080",
    accepts: OrOff(Address { examples: "127.0.0.1:8080, [::1]:8080 or off" }),
    help: "TCP address and port for the API, health and metrics; off: they are not served",
};

static TOKEN_REQUESTS: Key<OrOff<Times>> = Key {
    name: "http.token_requests",
    default: "100/s burst 200",
    accepts: OrOff(Times),
    help: "requests of one token; more get 429; off: any number",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[&LISTEN, &TOKEN_REQUESTS];

/// Section `[http]`.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// `None`: nothing is served.
    pub(crate) listen: Option<SocketAddr>,
    /// Of one token; `None`: any number.
    pub(crate) token_requests: Option<Rate>,
}

impl Http {
    pub(super) fn read(values: &Values) -> Result<Self, Failure> {
        Ok(Self { listen: values.read(&LISTEN)?, token_requests: values.read(&TOKEN_REQUESTS)? })
    }
}
