//! Section `[coap]`: where devices connect without DTLS. Off unless somebody switches it on.

use std::net::SocketAddr;

use super::{
    accept::{Address, Number, OrOff},
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

pub(crate) static LISTEN: Key<OrOff<Address>> = Key {
    name: "coap.listen",
    default: "off",
    accepts: OrOff(Address { examples: "0.0.0.0:5683, [::]:5683 or off" }),
    help: "UDP address and port for plain CoAP, which anyone on the path can read and forge; off: not served",
};

pub(super) static LOGINS_MAX: Key<Number<usize>> = Key {
    name: "coap.logins_max",
    default: "100000",
    accepts: Number(1..=100_000_000),
    help: "logins by plain CoAP at a time, {accepted}; a further one is answered 5.03",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[&LISTEN, &LOGINS_MAX];

/// Section `[coap]`.
#[derive(Debug, Clone)]
pub(crate) struct Coap {
    /// `None`: plain CoAP is not served.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) logins_max: usize,
}

impl Coap {
    pub(super) fn read(values: &Values) -> Result<Self, Failure> {
        Ok(Self { listen: values.read(&LISTEN)?, logins_max: values.read(&LOGINS_MAX)? })
    }
}
