//! Whether two stores did the same.

use crate::{
    ids::{DeviceId, UnixMillis},
    ports::Store,
    testing::block_on,
};

/// All steps of a purge, in whatever sizes a store makes them; how many messages went.
pub(super) fn purge(store: &dyn Store, device: DeviceId, at: UnixMillis) -> String {
    let mut messages = 0;
    loop {
        match block_on(store.purge_device(device, at)) {
            Ok(step) => messages += step.messages,
            error => return format!("{error:?}"),
        }
        if block_on(store.device_by_id(device)).is_ok_and(|found| found.is_none()) {
            return format!("{messages} messages removed");
        }
    }
}

/// The error says how they differ.
pub(super) fn same(what: &str, found: &str, expected: &str) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} is\n  {found}\nand should be\n  {expected}"))
}
