//! Section `[coap]`: where devices connect without DTLS. Off unless somebody switches it on.

use std::net::SocketAddr;

use super::{
    accept::{Address, Number, OrOff, Switch},
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

pub(super) static FRESH_LOGINS: Key<Switch> = Key {
    name: "coap.fresh_logins",
    default: "false",
    accepts: Switch,
    help: "true: a login by plain CoAP without a fresh Echo (RFC 9175) is answered 4.01 with one, and with \
           it goes on; devices for EnOS do not know that",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[&LISTEN, &LOGINS_MAX, &FRESH_LOGINS];

/// Section `[coap]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coap {
    /// `None`: plain CoAP is not served.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) logins_max: usize,
    /// A login has to bring back a fresh Echo.
    pub(crate) fresh_logins: bool,
}

impl Coap {
    pub(super) fn read(values: &Values) -> Result<Self, Failure> {
        Ok(Self {
            listen: values.read(&LISTEN)?,
            logins_max: values.read(&LOGINS_MAX)?,
            fresh_logins: values.read(&FRESH_LOGINS)?,
        })
    }
}
