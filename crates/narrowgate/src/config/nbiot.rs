//! Section `[nbiot]`: what the profile `nbiot` of a product means.

use std::{ops::RangeInclusive, time::Duration};

use narrowgate_coap::SlowRadio;

use super::{
    accept::{Accept, Time, show_duration},
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

/// The RFC's own is the shortest; beyond a minute nobody waits for a notification.
const ACK_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(60);

pub(super) static ACK_TIMEOUT: Key<Time> = Key {
    name: "nbiot.ack_timeout",
    default: "9s",
    accepts: Time(ACK_TIMEOUTS),
    help: "products with the profile nbiot: the first repetition of what the server sends confirmably comes \
           after this time and up to a half more, {accepted}",
};

pub(super) static EMPTY_ACK_AFTER: Key<Time> = Key {
    name: "nbiot.empty_ack_after",
    default: "6s",
    accepts: Time(Duration::from_millis(100)..=Duration::from_secs(60)),
    help: "the same: a request that has no answer by then is acknowledged by an empty message, {accepted}; \
           unless set, two thirds of nbiot.ack_timeout",
};

static BLOCK_BYTES: Key<BlockBytes> = Key {
    name: "nbiot.block_bytes",
    default: "512",
    accepts: BlockBytes,
    help: "the same: bytes of the blocks of an answer where the device names no size, {accepted}; off: an \
           answer that fits a message is not cut",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[&ACK_TIMEOUT, &EMPTY_ACK_AFTER, &BLOCK_BYTES];

/// Bytes of a block, or off.
#[derive(Debug)]
struct BlockBytes;

const BLOCKS: [(&str, usize); 5] = [("64", 64), ("128", 128), ("256", 256), ("512", 512), ("1024", 1024)];

impl Accept for BlockBytes {
    type Value = Option<usize>;

    fn parse(&self, text: &str) -> Result<Option<usize>, String> {
        let known = BLOCKS.into_iter().find(|(word, _)| *word == text).map(|(_, bytes)| Some(bytes));
        let known = known.or_else(|| (text == "off").then_some(None));
        known.ok_or_else(|| format!("{text:?} is not the size of a block; use {}", self.accepted()))
    }

    fn accepted(&self) -> String {
        let words: Vec<&str> = BLOCKS.into_iter().map(|(word, _)| word).collect();
        format!("{} or off", words.join(", "))
    }
}

/// Reads the section. A time of the empty acknowledgement that nobody set follows the first repetition.
///
/// # Errors
/// The first value that is not accepted.
pub(super) fn read(values: &mut Values) -> Result<SlowRadio, Failure> {
    let ack_timeout = values.read(&ACK_TIMEOUT)?;
    values.set_default(&EMPTY_ACK_AFTER, show_duration(ack_timeout * 2 / 3));
    let separate_after = values.read(&EMPTY_ACK_AFTER)?;
    Ok(SlowRadio { ack_timeout, separate_after, block_bytes: values.read(&BLOCK_BYTES)? })
}
