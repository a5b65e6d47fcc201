//! Section `[limits]`: what one device may take.

use narrowgate_engine::shard::throttle::ByteLimit;
use narrowgate_platform::{
    device_api::MessageLimit,
    rules::{commands::OPEN_MAX_RANGE, rate::Rate},
};

use super::{
    accept::{Bytes, Number, OrOff, Size, Times},
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

static DEVICE_HANDSHAKES: Key<OrOff<Times>> = Key {
    name: "limits.device_handshakes",
    default: "1/10s burst 20",
    accepts: OrOff(Times),
    help: "handshakes of one identity from one address (IPv6: /64); more are dropped. Logins of one device \
           by its own secret, from all addresses together: further sessions are closed, and the one that \
           stands stays. off: any number",
};

static DEVICE_BYTES: Key<OrOff<Bytes>> = Key {
    name: "limits.device_bytes",
    default: "10KiB/s burst 100KiB",
    accepts: OrOff(Bytes),
    help: "bytes that a device may send, and be sent; more requests get 4.29; {accepted}; off: any number",
};

pub(super) static MESSAGE_BYTES: Key<Size> = Key {
    name: "limits.message_bytes",
    default: "10KiB",
    accepts: Size(*MessageLimit::BYTES.start() as u64..=*MessageLimit::BYTES.end() as u64),
    help: "the largest message of a device, in one datagram or in blocks, {accepted}; longer ones get 4.13. \
           A value of more than 10 KiB is kept in the history, and not as a latest value",
};

static DEVICE_COMMANDS: Key<Number<usize>> = Key {
    name: "limits.device_commands",
    default: "50",
    accepts: Number(OPEN_MAX_RANGE),
    help: "commands of a device that have not ended, {accepted}; further ones are refused with 11902",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] =
    &[&DEVICE_HANDSHAKES, &DEVICE_BYTES, &MESSAGE_BYTES, &DEVICE_COMMANDS];

/// Section `[limits]`. `None`: any number.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) device_handshakes: Option<Rate>,
    pub(crate) device_bytes: Option<ByteLimit>,
    pub(crate) message: MessageLimit,
    pub(crate) device_commands: usize,
}

impl Limits {
    pub(super) fn read(values: &Values) -> Result<Self, Failure> {
        Ok(Self {
            device_handshakes: values.read(&DEVICE_HANDSHAKES)?,
            device_bytes: values.read(&DEVICE_BYTES)?,
            message: MessageLimit::new(usize::try_from(values.read(&MESSAGE_BYTES)?).unwrap_or(usize::MAX)),
            device_commands: values.read(&DEVICE_COMMANDS)?,
        })
    }
}
