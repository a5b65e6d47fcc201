//! Checks of pages: each list read in pages of every size is the list read at once, also while rows are
//! added.

use super::fixtures::{
    append, at, history, log, one_device, refusal, refusals, report, report_arriving, resumed, shown, write,
};
use crate::{
    ids::DeviceId,
    model::{log::LogEntry, message::PointValue},
    paging::{Page, Part, Place},
    ports::{HistoryQuery, Store, Write},
    testing::block_on,
};

const DAY: i64 = 86_400;

/// Reads to the end in pages of `limit`.
fn paged<T>(limit: usize, page: impl Fn(Part) -> Page<T>) -> Vec<T> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let Page { items: more, next, damaged } = page(Part { after, limit });
        assert!(more.len() == limit || next.is_none(), "a page that is not the last one is full");
        assert!(!more.is_empty() || next.is_none(), "a page that leads on is not empty");
        assert_eq!(damaged.count, 0);
        items.extend(more);
        match next {
            Some(next) => after = Some(next),
            None => return items,
        }
    }
}

fn history_in_pages(
    store: &dyn Store,
    device: DeviceId,
    limit: usize,
    query: &HistoryQuery,
) -> Vec<PointValue> {
    paged(limit, |Part { after, limit }| {
        block_on(store.points_history(device, HistoryQuery { after, limit, ..query.clone() })).unwrap()
    })
}

/// Equal times in one day's reports and across days, late reports, and reports of several points.
fn many_reports(store: &dyn Store, device: DeviceId) {
    for (n, (time, arrival)) in [
        (1, 1),
        (5, 5),
        (5, 5),
        (5, 6),
        (2, 7),
        (5, DAY),
        (5, DAY + 1),
        (DAY, DAY + 2),
        (5, 2 * DAY),
        (1, 2 * DAY),
    ]
    .into_iter()
    .enumerate()
    {
        let points = format!(r#"{{"a":{n},"b":{n},"c":{n}}}"#);
        write(store, report_arriving(device, at(time), at(arrival), &points));
    }
}

/// Whatever the size of a page and wherever it ends.
pub fn pages_of_history_lose_and_repeat_nothing(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    many_reports(store, id);
    let everything = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
    for query in [
        everything.clone(),
        HistoryQuery { point: Some("b".to_owned()), ..everything.clone() },
        HistoryQuery { from: Some(at(2)), to: Some(at(DAY)), ..everything.clone() },
        HistoryQuery { point: Some("none".to_owned()), ..everything },
    ] {
        let whole = history(store, id, query.clone());
        for limit in 1..=whole.len() + 1 {
            assert_eq!(history_in_pages(store, id, limit, &query), whole, "in pages of {limit}: {query:?}");
        }
    }
}

/// What was there is found once; what is added in between may be found or not.
pub fn pages_of_history_stand_while_reports_come(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    many_reports(store, id);
    let whole = history(store, id, HistoryQuery { limit: 1000, ..HistoryQuery::default() });
    for limit in [1, 2, 4, 7] {
        let mut old = Vec::new();
        let mut after = None;
        for round in 0.. {
            let query = HistoryQuery { after, limit, ..HistoryQuery::default() };
            let page = block_on(store.points_history(id, query)).unwrap();
            old.extend(page.items.into_iter().filter(|value| value.point != "new"));
            let Some(next) = page.next else { break };
            after = Some(next);
            // Newer, of the time that the page ended with or about it, and older.
            for time in [3 * DAY, 5, 2, 0].into_iter().filter(|_| round < 12) {
                let points = format!(r#"{{"new":{round}}}"#);
                write(store, report_arriving(id, at(time), at(3 * DAY + round), &points));
            }
            assert!(round < 1000, "the pages do not end");
        }
        assert_eq!(old, whole, "in pages of {limit}");
    }
}

/// The next page goes on with the report's next point, also where a filter hides some.
pub fn a_page_of_history_may_end_inside_a_report(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, resumed(id, at(1), r#"{"z":0}"#));
    write(store, report(id, at(2), r#"{"a":1,"b":2,"c":3}"#));
    let query = |after| HistoryQuery { after, limit: 2, ..HistoryQuery::default() };
    let first = block_on(store.points_history(id, query(None))).unwrap();
    let names = |page: &Page<PointValue>| -> Vec<String> {
        page.items.iter().map(|value| value.point.clone()).collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    let second = block_on(store.points_history(id, query(first.next))).unwrap();
    assert_eq!((names(&second), second.next), (vec!["c".to_owned(), "z".to_owned()], None));
    let nothing = HistoryQuery { after: Some(Place([i64::MIN; 4])), ..query(None) };
    assert_eq!(block_on(store.points_history(id, nothing)).unwrap(), Page::empty());
}

/// Refusals and others, in the order in which they came; new entries change no page after the first.
pub fn pages_of_a_log_lose_and_repeat_nothing(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let entry = |n: i64| if n % 3 == 0 { refusal(Some(id), None, at(n % 5)) } else { shown(id, at(n % 5)) };
    append(store, (1..=40).map(|n| Write::Log(entry(n))).collect());
    let whole = log(store, id);
    for limit in [1, 2, 7, 40, 41, 100] {
        let page = |part| block_on(store.device_log(id, part)).unwrap();
        assert_eq!(paged(limit, page), whole, "in pages of {limit}");
    }
    let first = block_on(store.device_log(id, Part::first(10))).unwrap();
    append(store, (1..=20).map(|n| Write::Log(entry(n))).collect());
    let rest = paged(10, |Part { after, limit }| {
        let after = after.or(first.next);
        block_on(store.device_log(id, Part { after, limit })).unwrap()
    });
    assert_eq!(rest, whole[10..]);
}

/// Of known and of unknown devices, many at the same time.
pub fn pages_of_refusals_lose_and_repeat_nothing(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let entry = |n: i64| {
        let time = at(n / 7);
        let peer = Some(format!("192.0.2.9:{n}"));
        let (device, identity) = if n % 4 == 0 { (Some(id), None) } else { (None, Some("x,y,2,300")) };
        Write::Log(LogEntry { peer, ..refusal(device, identity, time) })
    };
    append(store, (1..=60).map(entry).collect());
    let whole = refusals(store, 1000);
    assert_eq!(whole.len(), 60);
    let page = |part| block_on(store.refusals(part)).unwrap();
    for limit in [1, 2, 7, 59, 60, 61] {
        assert_eq!(paged(limit, page), whole, "in pages of {limit}");
    }
    let first = page(Part::first(20));
    append(store, (600..=620).map(entry).collect());
    let rest = paged(7, |Part { after, limit }| page(Part { after: after.or(first.next), limit }));
    assert_eq!(rest, whole[20..]);
}
