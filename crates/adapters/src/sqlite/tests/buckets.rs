//! A page of buckets is bounded by what is looked at, whatever that is.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    paging::{Page, Place},
    ports::{BucketQuery, HistoryReads as _},
    rules::buckets::{Bucket, Bucketing, Functions, REPORTS_MAX},
    testing::{
        block_on,
        store::{
            events::event,
            fixtures::{append, at, one_device, report},
        },
    },
};
use rusqlite::Connection;

use super::{super::SqliteStore, open};

const DAY_S: i64 = 24 * 3600;
const DAYS: i64 = 4;

/// A page of days of the point `temp`, which ends before this place.
fn days(store: &SqliteStore, device: DeviceId, after: Option<Place>) -> Page<Bucket> {
    days_of(store, device, after, Functions::ALL)
}

fn days_of(
    store: &SqliteStore,
    device: DeviceId,
    after: Option<Place>,
    functions: Functions,
) -> Page<Bucket> {
    let query = BucketQuery {
        point: "temp".to_owned(),
        bucketing: Bucketing::parse("1d", None).unwrap(),
        functions,
        from: None,
        to: None,
        after,
        limit: 10,
    };
    block_on(store.buckets(device, query)).unwrap().unwrap()
}

#[test]
fn events_and_damaged_rows_end_a_page_as_reports_do() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = one_device(&store, "dk-1");
    append(&store, vec![report(id, at(0), r#"{"temp":1}"#)]);
    let each_day = REPORTS_MAX as i64 / DAYS + 10;
    for day in 1..=DAYS {
        let events = (0..each_day).map(|n| event(id, at(day * DAY_S + n), "tick", "{}"));
        append(&store, events.collect());
    }
    let first = days(&store, id, None);
    let begins = UnixMillis(at(DAY_S).0);
    assert_eq!((first.items, first.next), (Vec::new(), Some(Place([begins.0, 0, 0, 0]))));
    let second = days(&store, id, first.next);
    assert_eq!(second.items.iter().map(|bucket| bucket.count).collect::<Vec<_>>(), [1]);
    assert_eq!(second.next, None);
    drop(store);
    for day in 2..=1 + DAYS {
        let file = Connection::open(folder.path().join(format!("messages/2026-01-0{day}.db"))).unwrap();
        // The sum of each is not its own any more.
        file.execute("UPDATE messages SET kind = 'points'", []).unwrap();
    }
    let store = open(folder.path());
    let damaged = days(&store, id, None);
    assert_eq!((damaged.items, damaged.next), (Vec::new(), first.next));
    assert_eq!(damaged.damaged.count, (DAYS * each_day) as u64);
    assert_eq!(days(&store, id, damaged.next).items, second.items);
}

#[test]
fn where_the_last_value_of_a_bucket_is_enough_the_rows_before_it_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = one_device(&store, "dk-1");
    let reports = (0..10).map(|n| report(id, at(n), &format!(r#"{{"temp":{n}}}"#)));
    append(&store, reports.collect());
    append(&store, vec![report(id, at(9), r#"{"other":1}"#), report(id, at(9), r#"{"temp":77}"#)]);
    drop(store);
    let file = Connection::open(folder.path().join("messages/2026-01-01.db")).unwrap();
    file.execute("UPDATE messages SET sum = 0 WHERE id < 10", []).unwrap();
    drop(file);
    let store = open(folder.path());
    let found = |functions| {
        let page = days_of(&store, id, None, functions);
        let last: Vec<_> = page.items.into_iter().map(|day| day.last.unwrap().get().to_owned()).collect();
        (last, page.damaged.count)
    };
    assert_eq!(found(Functions::ALL), (vec!["77".to_owned()], 9));
    assert_eq!(found(Functions::parse("last").unwrap()), (vec!["77".to_owned()], 0));
}
