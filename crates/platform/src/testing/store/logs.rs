//! Checks of logs and refusals, and of a store that was closed.

use super::fixtures::{T0, append, at, events, log, one_device, refusal, write};
use crate::{
    model::log::{LogEntry, LogEvent, Reason},
    ports::{DEVICE_LOG_ENTRIES_MAX, Store, StoreError, UNKNOWN_REFUSALS_MAX, Write, Written},
    testing::block_on,
};

/// Every field of an entry comes back.
pub fn a_log_is_newest_first_and_complete(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let full = refusal(Some(id), Some("pk,dk-1,2,300"), at(1));
    let bare = LogEntry {
        time: at(2),
        device: Some(id),
        identity: None,
        event: LogEvent::SecretShown,
        reason: None,
        code: None,
        peer: None,
        detail: None,
    };
    append(store, vec![Write::Log(full.clone()), Write::Log(bare.clone())]);
    assert_eq!(log(store, id)[..2], [bare.clone(), full]);
    assert_eq!(block_on(store.device_log(id, 1)).unwrap(), [bare]);
    assert_eq!(events(store, id).last(), Some(&LogEvent::Created));

    let nobody = refusal(Some(crate::ids::DeviceId(9999)), None, at(3));
    assert_eq!(write(store, Write::Log(nobody)), Written::DeviceUnavailable);
}

/// The oldest entries go first.
pub fn a_log_keeps_its_newest_entries(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let written = DEVICE_LOG_ENTRIES_MAX as i64 + 300;
    append(store, (1..=written).map(|n| Write::Log(refusal(Some(id), None, at(n)))).collect());
    let kept = log(store, id);
    assert_eq!(kept.len(), DEVICE_LOG_ENTRIES_MAX);
    assert_eq!(kept[0].time, at(written));
    assert_eq!(kept.last().unwrap().time, at(301));
}

/// One list for whoever looks for a device that does not get in.
pub fn refusals_of_known_and_unknown_devices_come_together(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let known = refusal(Some(id), None, at(2));
    let unknown = |seconds| LogEntry {
        reason: Some(Reason::DeviceUnknown),
        ..refusal(None, Some("pk,größe\u{fffd},2,300"), at(seconds))
    };
    append(
        store,
        vec![
            Write::Log(unknown(1)),
            Write::Log(known.clone()),
            Write::Log(unknown(3)),
            super::fixtures::login(id, at(4)),
        ],
    );
    assert_eq!(block_on(store.refusals(10)).unwrap(), [unknown(3), known, unknown(1)]);
    assert_eq!(block_on(store.refusals(1)).unwrap(), [unknown(3)]);
    assert_eq!(log(store, id).len(), 4, "created, refused, activated, login");
}

/// A stranger cannot fill the disk.
pub fn refusals_of_unknown_devices_are_bounded(store: &dyn Store) {
    let written = UNKNOWN_REFUSALS_MAX as i64 + 500;
    append(store, (1..=written).map(|n| Write::Log(refusal(None, Some("x,y,2,300"), at(n)))).collect());
    let kept = block_on(store.refusals(usize::MAX)).unwrap();
    assert_eq!(kept.len(), UNKNOWN_REFUSALS_MAX);
    assert_eq!(kept[0].time, at(written));
}

/// After `close` every call fails, also a second `close`.
pub fn a_closed_store_refuses(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    block_on(store.close()).unwrap();
    assert!(matches!(
        block_on(store.append(vec![super::fixtures::login(id, T0)])),
        Err(StoreError::Unavailable(_))
    ));
    assert!(matches!(block_on(store.credentials("pk", "dk-1")), Err(StoreError::Unavailable(_))));
    assert!(matches!(block_on(store.products()), Err(StoreError::Unavailable(_))));
    assert!(matches!(block_on(store.close()), Err(StoreError::Unavailable(_))));
}
