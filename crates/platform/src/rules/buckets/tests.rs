use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn ms(time: &str) -> i64 {
    narrowgate_api::time::parse(time).expect("it is a time")
}

fn begin(width: &str, zone: &str, time: &str) -> String {
    let bucketing = Bucketing::parse(width, Some(zone)).expect("they are known");
    narrowgate_api::time::rfc3339(bucketing.begin_of(UnixMillis(ms(time))).0)
}

#[test]
fn a_clock_of_a_zone_shows_its_own_time() {
    for (zone, time, shown) in [
        ("UTC", "2026-11-28T23:00:00Z", "2026-11-28T23:00:00+00:00"),
        ("Europe/Berlin", "2026-11-28T23:00:00Z", "2026-11-29T00:00:00+01:00"),
        ("Europe/Berlin", "2026-07-01T22:00:00.5Z", "2026-07-02T00:00:00.5+02:00"),
        ("America/New_York", "1969-12-31T12:00:00Z", "1969-12-31T07:00:00-05:00"),
    ] {
        assert_eq!(clock_time(zone, UnixMillis(ms(time))).as_deref(), Some(shown));
    }
    assert_eq!(clock_time("Berlin", UnixMillis(0)), None);
    assert_eq!(clock_time("UTC", UnixMillis(i64::MAX)), None);
}

#[test]
fn buckets_begin_where_the_clocks_of_their_zone_say() {
    for (width, zone, time, begins) in [
        ("15m", "UTC", "2026-11-28T10:29:59Z", "2026-11-28T10:15:00Z"),
        ("1d", "UTC", "2026-11-28T10:29:59Z", "2026-11-28T00:00:00Z"),
        ("7d", "UTC", "2026-11-28T10:29:59Z", "2026-11-23T00:00:00Z"),
        ("1h", "Asia/Kolkata", "2026-11-28T10:29:59Z", "2026-11-28T09:30:00Z"),
        ("1d", "Europe/Berlin", "2026-11-28T23:30:00Z", "2026-11-28T23:00:00Z"),
        ("1d", "europe/berlin", "2026-07-01T22:00:00Z", "2026-07-01T22:00:00Z"),
        ("1s", "UTC", "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59Z"),
        // Clocks are put back at 01:00Z: 02:00 to 03:00 occurs twice, and the day has 25 hours.
        ("1h", "Europe/Berlin", "2026-10-25T00:59:59Z", "2026-10-25T00:00:00Z"),
        ("1h", "Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25T01:00:00Z"),
        ("6h", "Europe/Berlin", "2026-10-25T04:59:59Z", "2026-10-24T22:00:00Z"),
        // At 03:00 the next bucket was about to begin: it does not at the change, but an hour later.
        ("3h", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-24T22:00:00Z"),
        ("3h", "Europe/Berlin", "2026-10-25T02:00:00Z", "2026-10-25T02:00:00Z"),
        ("1d", "Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z"),
        ("2h", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z"),
        ("2h", "Europe/Berlin", "2026-10-25T02:30:00Z", "2026-10-25T01:00:00Z"),
        // They are put forward at 01:00Z, from 02:00 to 03:00: such a time never was.
        ("2h", "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-29T01:00:00Z"),
        // Cairo's day began at 01:00.
        ("1d", "Africa/Cairo", "2026-04-23T23:00:00Z", "2026-04-23T22:00:00Z"),
        // Clocks were put forward by half an hour at 02:00.
        ("20m", "Australia/Lord_Howe", "2026-10-03T15:31:00Z", "2026-10-03T15:30:00Z"),
        ("1h", "Australia/Lord_Howe", "2026-10-03T15:45:00Z", "2026-10-03T15:30:00Z"),
    ] {
        assert_eq!(begin(width, zone, time), begins, "{width} {zone} {time}");
    }
}

#[test]
fn begins_never_fall_while_time_grows_and_are_their_own() {
    for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"] {
        for width in ["7m", "1h", "5h", "1d", "7d", "30d"] {
            let bucketing = Bucketing::parse(width, Some(zone)).expect("they are known");
            let mut before = i64::MIN;
            for time in (ms("2011-12-20")..ms("2012-11-20")).step_by(13 * 60_000 + 1) {
                let begins = bucketing.begin_of(UnixMillis(time)).0;
                assert!(before <= begins && begins <= time, "{zone} {width} {time}");
                assert_eq!(bucketing.begin_of(UnixMillis(begins)).0, begins, "{zone} {width} {time}");
                before = begins;
            }
        }
    }
    let day = Bucketing::parse("1d", None).expect("they are known");
    for time in [i64::MIN, i64::MAX] {
        day.begin_of(UnixMillis(time));
    }
}

#[test]
fn what_is_no_bucket_is_refused() {
    for width in
        ["", "h", "0s", "1", "1x", "-1h", "+1h", "1.5h", "367d", "99999999999999999999d", "1é", "1 h"]
    {
        let fault = Bucketing::parse(width, None).expect_err(width);
        assert!(fault.field == "bucket" && fault.message.contains("such as 15m"), "{}", fault.message);
    }
    assert!(Bucketing::parse("366d", None).is_ok());
    for zone in ["", "Berlin", "Europe/Berlin ", "../etc/passwd", "+01:00"] {
        assert_eq!(Bucketing::parse("1h", Some(zone)).expect_err(zone).field, "tz");
    }
    assert!(Functions::parse("last,count").is_ok());
    for list in ["", "mean", "min,", "min, max", "MIN"] {
        assert_eq!(Functions::parse(list).expect_err(list).field, "fn");
    }
}

/// Values of one point of one day each hour, aggregated in this order.
fn day_of(values: &[(i64, &str)]) -> Vec<Bucket> {
    let bucketing = Bucketing::parse("1d", None).expect("they are known");
    let mut buckets = Aggregation::new(bucketing, Functions::ALL, None, 10);
    for (hour, value) in values {
        buckets.take(UnixMillis(hour * HOUR), [0, *hour, 1], value);
    }
    buckets.finish().items
}

fn said(bucket: &Bucket) -> (Option<&str>, Option<&str>, Option<f64>, Option<&str>, u64) {
    let Bucket { min, max, avg, last, count, .. } = bucket;
    (
        min.as_ref().map(|value| value.get()),
        max.as_ref().map(|value| value.get()),
        *avg,
        last.as_ref().map(|value| value.get()),
        *count,
    )
}

#[test]
fn numbers_are_compared_exactly_and_kept_as_they_were_sent() {
    for (values, expected) in [
        (vec!["1", "2.50", "-3E0"], (Some("-3E0"), Some("2.50"), Some(0.5 / 3.0), Some("-3E0"), 3)),
        // An f64 cannot tell these apart.
        (
            vec!["9007199254740993", "9007199254740992"],
            (
                Some("9007199254740992"),
                Some("9007199254740993"),
                Some(9_007_199_254_740_992.0),
                Some("9007199254740992"),
                2,
            ),
        ),
        (vec!["0.1", "0.2", "0.3"], (Some("0.1"), Some("0.3"), Some(0.6 / 3.0), Some("0.3"), 3)),
        (vec!["1e100", "1", "-1e100"], (Some("-1e100"), Some("1e100"), Some(1.0 / 3.0), Some("-1e100"), 3)),
        (vec!["1e308", "1e308"], (Some("1e308"), Some("1e308"), None, Some("1e308"), 2)),
        (vec![r#"{"value":7,"quality":2}"#, "5"], (Some("5"), Some("7"), Some(6.0), Some("5"), 2)),
        (vec!["5", r#"{"value":7,"quality":2}"#], (Some("5"), Some("7"), Some(6.0), Some("7"), 2)),
        // What is no number is counted, and may be the last.
        (vec!["1", "true", r#""on""#], (Some("1"), Some("1"), Some(1.0), Some(r#""on""#), 3)),
        (vec!["[1,2]", "null", "1e999"], (None, None, None, Some("1e999"), 3)),
        (vec!["1.0", "1"], (Some("1"), Some("1"), Some(1.0), Some("1"), 2)),
        (vec!["0", "-0.0e7"], (Some("-0.0e7"), Some("-0.0e7"), Some(0.0), Some("-0.0e7"), 2)),
        // Nor these, however they are written.
        (
            vec!["9007199254740993", "9007199254740992.0", "9007199254740992"],
            (
                Some("9007199254740992"),
                Some("9007199254740993"),
                Some(9_007_199_254_740_992.0),
                Some("9007199254740992"),
                3,
            ),
        ),
        (
            vec!["-0.10000000000000000001", "-1000000000000000000.5e-19", "-1E-1"],
            (
                Some("-1000000000000000000.5e-19"),
                Some("-1E-1"),
                Some((-0.1 - 0.1 - 0.1) / 3.0),
                Some("-1E-1"),
                3,
            ),
        ),
        (
            vec!["1e-400", "0", "3e-99999999999999999999"],
            (Some("0"), Some("1e-400"), Some(0.0), Some("3e-99999999999999999999"), 3),
        ),
    ] {
        let in_order: Vec<_> = (0..).zip(values.iter().copied()).collect();
        let forward = day_of(&in_order);
        assert_eq!(said(&forward[0]), expected, "{values:?}");
        // The order in which they are read decides nothing.
        let backwards: Vec<_> = in_order.iter().rev().copied().collect();
        let backward = day_of(&backwards);
        let (min, max, _, last, count) = said(&backward[0]);
        assert_eq!((min, max, last, count), (expected.0, expected.1, expected.3, expected.4));
    }
}

#[test]
fn a_page_holds_the_newest_buckets_whatever_order_the_values_come_in() {
    let days = |limit, order: &[i64]| {
        let bucketing = Bucketing::parse("1d", None).expect("they are known");
        let mut buckets = Aggregation::new(bucketing, Functions::ALL, Some(UnixMillis(DAY + 1)), limit);
        for day in order {
            buckets.take(UnixMillis(day * DAY), [0; 3], "1");
        }
        let page = buckets.finish();
        let found: Vec<i64> = page.items.iter().map(|bucket| bucket.time.0 / DAY).collect();
        (found, page.next.map(|Place([begins, ..])| begins / DAY))
    };
    assert_eq!(days(3, &[5, 4, 3, 2, 1]), (vec![5, 4, 3], Some(3)));
    assert_eq!(days(3, &[2, 3, 5, 4, 4, 2]), (vec![5, 4, 3], Some(3)));
    assert_eq!(days(4, &[2, 3, 5, 4, 1]), (vec![5, 4, 3, 2], None));
    assert_eq!(days(0, &[2, 3]), (vec![], None));
}

#[test]
fn a_page_whose_values_are_long_has_fewer_buckets() {
    let long = format!("\"{}\"", "x".repeat((64 << 10) - 2));
    let (days, last_first) = (300, [true, false]);
    for from_the_last in last_first {
        let bucketing = Bucketing::parse("1d", None).expect("they are known");
        let mut buckets = Aggregation::new(bucketing, Functions::ALL, None, BUCKETS_MAX);
        for n in 0..days {
            let day = if from_the_last { days - n } else { n + 1 };
            buckets.take(UnixMillis(day * DAY), [0; 3], &long);
            // A number takes little, and what came before in a bucket takes nothing any more.
            buckets.take(UnixMillis(day * DAY), [0; 3], "1");
            buckets.take(UnixMillis(day * DAY + 1), [0; 3], &long);
        }
        let page = buckets.finish();
        let found: Vec<i64> = page.items.iter().map(|bucket| bucket.time.0 / DAY).collect();
        let held: usize = page.items.iter().filter_map(|it| it.last.as_ref()).map(|it| it.get().len()).sum();
        assert!(held <= PAGE_BYTES_MAX && held > PAGE_BYTES_MAX - 2 * long.len(), "{held}");
        let first = days - found.len() as i64 + 1;
        assert_eq!(found, (first..=days).rev().collect::<Vec<_>>());
        assert_eq!(page.next, Some(Place([first * DAY, 0, 0, 0])));
    }
}

/// Pages of a point that these days have, each of them with so many reports; read from the newest report on.
/// Each page with its days, and how many reports were read.
fn pages_of(has_point: &[i64], reports: usize, limit: usize) -> Vec<(Vec<i64>, usize)> {
    let bucketing = Bucketing::parse("1d", None).expect("they are known");
    let (mut pages, mut last) = (Vec::new(), i64::MAX);
    loop {
        let mut buckets = Aggregation::new(bucketing.clone(), Functions::ALL, None, limit);
        let mut read = 0;
        'days: for day in (1..=8).rev() {
            for n in (0..reports as i64).rev() {
                let time = UnixMillis(day * DAY + n);
                if time.0 > last {
                    continue;
                }
                if time < buckets.needed_from() {
                    break 'days;
                }
                read += 1;
                buckets.note_message(time, 100).expect("no bucket has too many");
                if has_point.contains(&day) {
                    buckets.take(time, [0; 3], "1");
                }
            }
        }
        let page = buckets.finish();
        assert!(page.items.iter().all(|bucket| bucket.count == reports as u64), "they are complete");
        pages.push((page.items.iter().map(|bucket| bucket.time.0 / DAY).collect(), read));
        match page.next {
            Some(Place([begins, ..])) => {
                assert!(begins < last && bucketing.begin_of(UnixMillis(begins)).0 == begins);
                last = begins - 1;
            }
            None => return pages,
        }
    }
}

#[test]
fn a_page_with_too_many_reports_has_fewer_buckets() {
    let quarter = REPORTS_MAX / 4;
    assert_eq!(
        pages_of(&[1, 2, 3, 4, 5, 6, 7, 8], quarter, 10),
        [(vec![8, 7, 6, 5], REPORTS_MAX + 1), (vec![4, 3, 2, 1], REPORTS_MAX)]
    );
    let half = REPORTS_MAX / 2 + 10;
    assert_eq!(
        pages_of(&[8, 7, 6], half, 10)[..3],
        [(vec![8], REPORTS_MAX + 1), (vec![7], REPORTS_MAX + 1), (vec![6], REPORTS_MAX + 1)]
    );
}

#[test]
fn a_point_that_is_rare_is_found_page_by_page_and_each_of_them_is_short() {
    let reports = REPORTS_MAX * 3 / 4;
    for has_point in [&[8, 2][..], &[5], &[], &[1]] {
        let pages = pages_of(has_point, reports, 10);
        let found: Vec<i64> = pages.iter().flat_map(|(days, _)| days.iter().copied()).collect();
        assert_eq!(found, has_point, "{pages:?}");
        assert!(pages.iter().all(|(_, read)| *read <= 2 * REPORTS_MAX), "{pages:?}");
    }
}

#[test]
fn one_bucket_has_a_limit_whether_it_has_the_point_or_not() {
    let bucketing = Bucketing::parse("1d", None).expect("they are known");
    for value in [Some("1"), None] {
        let mut buckets = Aggregation::new(bucketing.clone(), Functions::ALL, None, 10);
        for _ in 0..BUCKET_REPORTS_MAX {
            buckets.note_message(UnixMillis(DAY + 1), 100).expect("so many may be");
            if let Some(value) = value {
                buckets.take(UnixMillis(DAY + 1), [0; 3], value);
            }
        }
        assert_eq!(buckets.note_message(UnixMillis(DAY + 1), 100), Err(Crowded { begins: UnixMillis(DAY) }));
    }
}

#[test]
fn long_messages_count_by_their_bytes() {
    let bucketing = Bucketing::parse("1d", None).expect("they are known");
    let long = 10 << 10;
    let mut buckets = Aggregation::new(bucketing.clone(), Functions::ALL, None, usize::MAX);
    let mut day = 1_000_000;
    let mut read = 0;
    while buckets.needed_from() == UnixMillis(i64::MIN) {
        buckets.note_message(UnixMillis(day * DAY), long).expect("no bucket has too many");
        buckets.take(UnixMillis(day * DAY), [0; 3], "1");
        (day, read) = (day - 1, read + 1);
        assert!(read <= REPORTS_MAX / 11 + 1, "the page goes on");
    }
    let mut buckets = Aggregation::new(bucketing, Functions::ALL, None, 10);
    for _ in 0..BUCKET_REPORTS_MAX / 11 {
        buckets.note_message(UnixMillis(DAY), long).expect("so many may be");
    }
    assert_eq!(buckets.note_message(UnixMillis(DAY), long), Err(Crowded { begins: UnixMillis(DAY) }));
}

#[test]
fn a_bucket_is_counted_on_where_messages_of_another_one_come_between() {
    let bucketing = Bucketing::parse("1d", None).expect("they are known");
    let mut buckets = Aggregation::new(bucketing, Functions::ALL, None, 10);
    let mut note = |day: i64| buckets.note_message(UnixMillis(day * DAY + 1), 100);
    // As where two sources are read one after the other, each with messages of both days.
    let before = REPORTS_MAX - 10;
    for _ in 0..before {
        note(1).expect("so many may be");
    }
    note(2).expect("it is the first one");
    for _ in before..BUCKET_REPORTS_MAX {
        note(1).expect("so many may be");
    }
    assert_eq!(note(1), Err(Crowded { begins: UnixMillis(DAY) }));
}
