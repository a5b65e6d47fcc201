//! Checks of devices that are deleted with what they sent.

use super::{
    events::event,
    fixtures::{add_device, append, at, history, log, login, moves, one_device, report, resumed, write},
};
use crate::{
    ids::{DeviceId, UnixMillis},
    paging::Part,
    ports::{EventQuery, HistoryQuery, Purged, Store, StoreError, Written},
    rules::buckets::{Bucketing, Functions},
    testing::block_on,
};

/// More than any step takes.
const MANY: i64 = 1000;

fn step(store: &dyn Store, device: DeviceId, at: UnixMillis) -> Purged {
    block_on(store.purge_device(device, at)).expect("the store writes")
}

/// All steps; how many messages went.
fn purge(store: &dyn Store, device: DeviceId, at: UnixMillis) -> u64 {
    let mut messages = 0;
    loop {
        let purged = step(store, device, at);
        messages += purged.messages;
        if purged.done {
            return messages;
        }
    }
}

/// How many values and events are read of a device, in every way in which they can be.
fn sent(store: &dyn Store, device: DeviceId) -> [usize; 5] {
    let latest = block_on(store.points_latest(device)).expect("the store reads").items;
    let all = HistoryQuery { limit: 10_000, ..HistoryQuery::default() };
    let bucketing = Bucketing::parse("1d", None).expect("it is one");
    let buckets = crate::ports::BucketQuery {
        point: "n".to_owned(),
        bucketing,
        functions: Functions::ALL,
        from: None,
        to: None,
        after: None,
        limit: 100,
    };
    let buckets = block_on(store.buckets(device, buckets)).expect("the store reads").expect("they are few");
    let events = EventQuery { limit: 100, ..EventQuery::default() };
    let events = block_on(store.events(device, events)).expect("the store reads");
    let arrivals = block_on(store.arrivals(device, 10_000)).expect("the store reads");
    let history = history(store, device, all);
    [latest.len(), history.len(), buckets.items.len(), events.items.len(), arrivals.len()]
}

/// Of points, events, latest values and buckets there is nothing, under its id nor under its keys; the other
/// device has what it had.
pub fn a_purged_device_leaves_nothing_of_what_it_sent(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let other = add_device(store, "pk", "dk-2").id;
    let day = 86_400;
    append(store, vec![login(id, at(1)), login(other, at(1))]);
    for of_day in 0..3 {
        let at = |seconds| at(of_day * day + seconds);
        append(store, vec![report(id, at(10), r#"{"n":1}"#), report(other, at(10), r#"{"n":2}"#)]);
        append(store, vec![event(id, at(11), "warn", "{}"), event(other, at(11), "warn", "{}")]);
        append(store, vec![resumed(id, at(5), r#"{"n":0}"#)]);
    }
    let of_other = sent(store, other);
    assert_eq!((sent(store, id), of_other), ([1, 6, 3, 3, 9], [1, 3, 3, 3, 6]));
    assert_eq!(purge(store, id, at(3 * day)), 9);
    assert_eq!(sent(store, id), [0; 5]);
    assert!(block_on(store.device_by_id(id)).expect("the store reads").is_none());
    assert!(log(store, id).is_empty() && moves(store, id, 10).is_empty());
    assert_eq!(write(store, report(id, at(3 * day), r#"{"n":3}"#)), Written::DeviceUnavailable);
    let again = add_device(store, "pk", "dk-1").id;
    assert_eq!((sent(store, again), sent(store, other)), ([0; 5], of_other));
    let pages = block_on(store.commands(again, Part { after: None, limit: 10 })).expect("the store reads");
    assert!(pages.items.is_empty());
}

/// A step is bounded; meanwhile the device is there, and others are served.
pub fn a_purge_goes_in_steps_between_which_others_report(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let other = add_device(store, "pk", "dk-2").id;
    append(store, (0..MANY).map(|n| report(id, at(n), &format!(r#"{{"n":{n}}}"#))).collect());
    let (mut messages, mut steps) = (0, 0);
    loop {
        let purged = step(store, id, at(MANY));
        messages += purged.messages;
        steps += 1;
        assert!(purged.messages <= 256, "{purged:?}");
        assert_eq!(block_on(store.device_by_id(id)).expect("the store reads").is_none(), purged.done);
        assert_eq!(write(store, report(other, at(MANY + steps), r#"{"n":7}"#)), Written::Done);
        if purged.done {
            break;
        }
        assert_eq!(sent(store, id)[1] as u64, MANY.unsigned_abs() - messages);
    }
    assert_eq!((messages, sent(store, other)[1] as i64), (MANY.unsigned_abs(), steps));
    assert!(steps >= MANY / 256);
}

/// The device goes with the last of it.
pub fn what_a_device_sends_during_its_purge_goes_too(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    append(store, (0..MANY).map(|n| report(id, at(n), r#"{"n":1}"#)).collect());
    assert!(!step(store, id, at(MANY)).done);
    // Of that day and of a later one.
    let late = [report(id, at(MANY), r#"{"n":2}"#), report(id, at(90_000), r#"{"n":3}"#)];
    for report in late {
        assert_eq!(write(store, report), Written::Done);
    }
    purge(store, id, at(90_001));
    assert_eq!(sent(store, id), [0; 5]);
}

/// There is nothing to do.
pub fn an_unknown_device_is_not_purged(store: &dyn Store) {
    one_device(store, "dk-1");
    let refused = block_on(store.purge_device(DeviceId(99), at(1))).expect_err("there is none");
    assert!(matches!(refused, StoreError::Missing { what: "device", .. }), "{refused:?}");
}
