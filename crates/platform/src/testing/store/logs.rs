//! Checks of logs and refusals, and of a store that was closed.

use super::fixtures::{
    T0, append, at, batch, events, log, login, one_device, refusal, refusals, shown, write,
};
use crate::{
    model::log::{LogEntry, LogEvent, Reason},
    paging::Part,
    ports::{
        DEVICE_LOG_ENTRIES_MAX, DEVICE_REFUSALS_MAX, Store, StoreError, UNKNOWN_REFUSALS_MAX, Write, Written,
    },
    testing::block_on,
};

/// Every field of an entry is read back.
pub fn a_log_is_newest_first_and_complete(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let full = refusal(Some(id), Some("pk,dk-1,2,300"), at(1));
    let bare = shown(id, at(2));
    append(store, vec![Write::Log(full.clone()), Write::Log(bare.clone())]);
    assert_eq!(log(store, id)[..2], [bare.clone(), full]);
    assert_eq!(block_on(store.device_log(id, Part::first(1))).unwrap().items, [bare]);
    assert_eq!(events(store, id).last(), Some(&LogEvent::Created));

    let nobody = refusal(Some(crate::ids::DeviceId(9999)), None, at(3));
    assert_eq!(write(store, Write::Log(nobody)), Written::DeviceUnavailable);
}

/// The oldest entries are dropped first.
pub fn a_log_keeps_its_newest_entries(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let written = DEVICE_LOG_ENTRIES_MAX as i64 + 300;
    append(store, (1..=written).map(|n| Write::Log(shown(id, at(n)))).collect());
    let kept = log(store, id);
    assert_eq!(kept.len(), DEVICE_LOG_ENTRIES_MAX);
    assert_eq!(kept[0].time, at(written));
    assert_eq!(kept.last().unwrap().time, at(301));
    assert_eq!(block_on(store.device_log(id, Part::first(3))).unwrap().items, kept[..3]);
}

/// Refusals need no key, so they must not push out what an operator has to find again.
pub fn refusals_push_out_refusals_and_nothing_else(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    append(store, vec![login(id, at(1)), Write::Log(shown(id, at(2)))]);
    let last = DEVICE_LOG_ENTRIES_MAX as i64 * 3;
    let flood: Vec<_> = (3..=last).map(|n| Write::Log(refusal(Some(id), None, at(n)))).collect();
    // In several batches, since a store may trim now and then only.
    for batch in flood.chunks(97) {
        append(store, batch.to_vec());
    }
    let kept = log(store, id);
    assert_eq!(kept.len(), DEVICE_REFUSALS_MAX + 4);
    assert_eq!(kept[0].time, at(last));
    assert_eq!(kept[DEVICE_REFUSALS_MAX - 1].time, at(last - DEVICE_REFUSALS_MAX as i64 + 1));
    assert!(kept[..DEVICE_REFUSALS_MAX].iter().all(|entry| entry.event == LogEvent::Refused));
    use LogEvent::{Activated, Created, Login, SecretShown};
    assert_eq!(events(store, id)[DEVICE_REFUSALS_MAX..], [SecretShown, Login, Activated, Created]);
}

/// Both kinds in the order in which they came, whatever their clocks say.
pub fn a_log_of_refusals_and_others_keeps_its_order(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let others = DEVICE_LOG_ENTRIES_MAX as i64 + 200;
    let entry = |n| if n % 2 == 0 { shown(id, at(n)) } else { refusal(Some(id), None, at(n - 50)) };
    append(store, (1..=2 * others).map(|n| Write::Log(entry(n))).collect());
    let kept = log(store, id);
    assert_eq!(kept.len(), DEVICE_LOG_ENTRIES_MAX + DEVICE_REFUSALS_MAX);
    let mixed: Vec<_> = (1..=2 * others).rev().take(2 * DEVICE_REFUSALS_MAX).map(entry).collect();
    assert_eq!(kept[..2 * DEVICE_REFUSALS_MAX], mixed);
    assert!(kept[2 * DEVICE_REFUSALS_MAX..].iter().all(|entry| entry.event == LogEvent::SecretShown));
    assert_eq!(kept.last().unwrap().time, at(2 * (others - DEVICE_LOG_ENTRIES_MAX as i64) + 2));
}

/// One list for an operator who looks for a device that is refused.
pub fn refusals_of_known_and_unknown_devices_come_together(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let known = refusal(Some(id), None, at(2));
    let unknown = |seconds| LogEntry {
        reason: Some(Reason::DeviceUnknown),
        ..refusal(None, Some("pk,größe\u{fffd},2,300"), at(seconds))
    };
    append(
        store,
        vec![Write::Log(unknown(1)), Write::Log(known.clone()), Write::Log(unknown(3)), login(id, at(4))],
    );
    assert_eq!(refusals(store, 10), [unknown(3), known, unknown(1)]);
    assert_eq!(refusals(store, 1), [unknown(3)]);
    assert_eq!(log(store, id).len(), 4, "created, refused, activated, login");
}

/// A stranger cannot fill the disk.
pub fn refusals_of_unknown_devices_are_bounded(store: &dyn Store) {
    let written = UNKNOWN_REFUSALS_MAX as i64 + 500;
    append(store, (1..=written).map(|n| Write::Log(refusal(None, Some("x,y,2,300"), at(n)))).collect());
    let kept = refusals(store, usize::MAX);
    assert_eq!(kept.len(), UNKNOWN_REFUSALS_MAX);
    assert_eq!(kept[0].time, at(written));
}

/// After `close` every call fails, even a second `close`.
pub fn a_closed_store_refuses(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    block_on(store.close()).unwrap();
    assert!(matches!(block_on(store.append(batch(vec![login(id, T0)]))), Err(StoreError::Unavailable(_))));
    assert!(matches!(block_on(store.credentials("pk", "dk-1")), Err(StoreError::Unavailable(_))));
    assert!(matches!(block_on(store.products()), Err(StoreError::Unavailable(_))));
    assert!(matches!(block_on(store.close()), Err(StoreError::Unavailable(_))));
}
