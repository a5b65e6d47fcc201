//! Checks of what values come to, bucket by bucket.

use super::fixtures::{at, one_device, report, report_arriving, resumed, write};
use crate::{
    ids::DeviceId,
    model::json_text::JsonText,
    paging::{Page, Place},
    ports::{BucketQuery, Store},
    rules::buckets::{Bucket, Bucketing, Functions},
    testing::{block_on, store::events::event},
};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn hours() -> BucketQuery {
    BucketQuery {
        point: "temp".to_owned(),
        bucketing: Bucketing::parse("1h", None).expect("it is one"),
        functions: Functions::ALL,
        from: None,
        to: None,
        after: None,
        limit: 100,
    }
}

fn page(store: &dyn Store, device: DeviceId, query: BucketQuery) -> Page<Bucket> {
    block_on(store.buckets(device, query)).expect("the store reads").expect("there are not many")
}

/// Begin in hours, and how many values.
fn counts(store: &dyn Store, device: DeviceId, query: BucketQuery) -> Vec<(i64, u64)> {
    let buckets = page(store, device, query).items.into_iter();
    buckets.map(|bucket| ((bucket.time.0 - at(0).0) / (HOUR * 1000), bucket.count)).collect()
}

/// Values of both topics count, of other points and events do not.
pub fn buckets_hold_what_their_values_come_to(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, report(id, at(10), r#"{"temp":20,"power":500}"#));
    write(store, report(id, at(30), r#"{"temp":{"value":22.50,"quality":1}}"#));
    write(store, resumed(id, at(20), r#"{"temp":19.5}"#));
    write(store, report(id, at(HOUR), r#"{"temp":"broken"}"#));
    write(store, event(id, at(HOUR + 1), "temp", r#"{"temp":1}"#));
    let text = |text| Some(JsonText::new(text));
    let expected = [
        Bucket { time: at(HOUR), min: None, max: None, avg: None, last: text("\"broken\""), count: 1 },
        Bucket {
            time: at(0),
            min: text("19.5"),
            max: text("22.50"),
            avg: Some(62.0 / 3.0),
            last: text("22.50"),
            count: 3,
        },
    ];
    assert_eq!(page(store, id, hours()).items, expected);
    let counted = BucketQuery { functions: Functions::parse("count").expect("it is one"), ..hours() };
    assert!(
        page(store, id, counted).items.iter().all(|bucket| bucket.last.is_none()),
        "it was not asked for"
    );
    assert_eq!(page(store, id, BucketQuery { point: "none".to_owned(), ..hours() }), Page::empty());
    assert_eq!(page(store, DeviceId(9999), hours()), Page::empty());
}

/// A bucket at an end of the span has only the values inside; one without values is left out.
pub fn buckets_keep_to_the_span_that_is_asked_for(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    for n in [0, 1800, 3600, 5400, 7200, 14_400] {
        write(store, report(id, at(n), r#"{"temp":1}"#));
    }
    assert_eq!(counts(store, id, hours()), [(4, 1), (2, 1), (1, 2), (0, 2)]);
    let span = BucketQuery { from: Some(at(1800)), to: Some(at(5400)), ..hours() };
    assert_eq!(counts(store, id, span.clone()), [(1, 1), (0, 1)]);
    assert_eq!(counts(store, id, BucketQuery { to: Some(at(1800)), ..span }), []);
    assert_eq!(counts(store, id, BucketQuery { limit: 0, ..hours() }), []);
    assert_eq!(counts(store, id, BucketQuery { after: Some(Place([i64::MIN; 4])), ..hours() }), []);
    let days = Bucketing::parse("1d", Some("Asia/Kolkata")).expect("they are known");
    let days = page(store, id, BucketQuery { bucketing: days, ..hours() }).items;
    assert_eq!(days.iter().map(|day| day.time).collect::<Vec<_>>(), [at(-11 * 1800)], "UTC+05:30");
}

/// Reports that arrived days late belong to the bucket of their time. Of equal times the later arrival is
/// the last value.
pub fn pages_of_buckets_lose_and_repeat_nothing(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let mut n = 0;
    for arrival in 0..5 {
        for hour in [0, 1, 5, 23, 24, 30, 80] {
            let (time, arrival) = (at(hour * HOUR), at(arrival * DAY + hour));
            write(store, report_arriving(id, time, arrival, &format!(r#"{{"temp":{n}}}"#)));
            n += 1;
        }
    }
    let whole = page(store, id, hours());
    assert_eq!((whole.items.len(), whole.next), (7, None));
    assert!(whole.items.iter().all(|bucket| bucket.count == 5));
    let last: Vec<&str> =
        whole.items.iter().filter_map(|bucket| bucket.last.as_ref().map(JsonText::get)).collect();
    assert_eq!(last, ["34", "33", "32", "31", "30", "29", "28"]);
    for limit in 1..=8 {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let Page { items: more, next, .. } = page(store, id, BucketQuery { limit, after, ..hours() });
            assert!(more.len() == limit || next.is_none(), "a page that is not the last one is full");
            items.extend(more);
            // What comes meanwhile, newer than the pages that were read.
            write(store, report_arriving(id, at(100 * HOUR), at(5 * DAY), r#"{"temp":0}"#));
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        items.retain(|bucket: &Bucket| bucket.time != at(100 * HOUR));
        assert_eq!(items, whole.items, "in pages of {limit}");
    }
}
