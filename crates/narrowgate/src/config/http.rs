//! Section `[http]`: health and metrics.

use std::net::SocketAddr;

use super::{
    accept::{Address, OrOff},
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

pub(crate) static LISTEN: Key<OrOff<Address>> = Key {
    name: "http.listen",
    default: "127.0.0.1:8080",
    accepts: OrOff(Address { examples: "127.0.0.1:8080, [::1]:8080 or off" }),
    help: "TCP address and port for health and metrics; off: they are not served",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[&LISTEN];

/// Section `[http]`.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// `None`: health and metrics are not served.
    pub(crate) listen: Option<SocketAddr>,
}

impl Http {
    pub(super) fn read(values: &Values) -> Result<Self, Failure> {
        Ok(Self { listen: values.read(&LISTEN)? })
    }
}
