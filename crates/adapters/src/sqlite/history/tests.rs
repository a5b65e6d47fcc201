use narrowgate_platform::{
    ids::LoginNumber,
    model::message::{MessageKind, event_json},
};

use super::*;
use crate::sqlite::{schema::messages, sum};

const VOLUME: &str = "2026-01-01";
/// A page ends where nothing is left.
const FREE: Bounds = Bounds { reports: usize::MAX, read_bytes: usize::MAX, bytes: usize::MAX };

fn row(id: i64, points: &str) -> MessageRow {
    MessageRow {
        id,
        device: DeviceId(1),
        kind: MessageKind::Points,
        time: UnixMillis(id),
        arrival: UnixMillis(id),
        points: points.into(),
        login_number: LoginNumber(0),
        session: 0,
        epoch: 0,
        sequence: id.unsigned_abs(),
    }
}

/// A file with these messages.
fn file(rows: impl IntoIterator<Item = MessageRow>) -> Connection {
    let file = Connection::open_in_memory().unwrap();
    sum::teach(&file).unwrap();
    file.execute_batch(&messages::schema()).unwrap();
    rows.into_iter().for_each(|row| FileFormat::Four.add(&file, &row).unwrap());
    file
}

fn search<'a>(wants: Wants<'a>, limit: usize, bounds: Bounds) -> Search<'a> {
    let newest = (i64::MAX, i64::MAX, i64::MAX);
    Search { device: 1, wants, from: 0, newest, had: 0, wanted: limit + 1, bounds }
}

/// The pages of several files, each as the times of its values and its damaged rows.
fn pages(files: &[Connection], mut search: Search<'_>) -> Vec<(Vec<i64>, u64)> {
    let mut pages = Vec::new();
    loop {
        let mut found = FoundReports::default();
        for file in files {
            let from = found.end.map_or(search.from, |(time, ..)| time.max(search.from));
            let volume = Volume::parse(VOLUME).unwrap();
            search.read_file((file, FileFormat::Four), volume, from, &mut found).unwrap();
            found.cut(search.wanted, search.bounds.bytes);
        }
        let beyond = files.len() * (search.bounds.reports / 10 + 4);
        assert!(found.looked <= search.bounds.reports.saturating_add(beyond), "{}", found.looked);
        let Page { items, next, damaged } = found.page(search.wanted - 1);
        pages.push((items.into_iter().map(|value| value.time.0).collect(), damaged.count));
        match next {
            None => return pages,
            Some(Place([time, first, second, had])) => {
                search.newest = (time, first, second);
                search.had = had;
            }
        }
        assert!(pages.len() < 1000, "it goes on: {pages:?}");
    }
}

fn times(pages: &[(Vec<i64>, u64)]) -> Vec<i64> {
    pages.iter().flat_map(|(times, _)| times.iter().copied()).collect()
}

#[test]
fn a_page_that_has_looked_at_enough_ends_and_the_next_one_goes_on() {
    let file = file((1..=100).map(|id| row(id, if id == 7 { r#"{"rare":1}"# } else { r#"{"n":1}"# })));
    let bounds = |reports| Bounds { reports, ..FREE };
    for (reports, count) in [(1, 101), (10, 12), (99, 2), (1000, 1)] {
        let found =
            pages(std::slice::from_ref(&file), search(Wants::Points(Some("rare")), 5, bounds(reports)));
        assert_eq!(times(&found), [7], "{reports}");
        assert_eq!(found.len(), count, "{reports}: {found:?}");
    }
    let files = [file];
    let none = pages(&files, search(Wants::Points(Some("none")), 5, bounds(30)));
    assert_eq!((times(&none), none.len()), (vec![], 4));
    let events = pages(&files, search(Wants::Events(None), 5, bounds(30)));
    assert_eq!((times(&events), events.len()), (vec![], 4));
}

#[test]
fn a_page_that_has_looked_at_many_bytes_ends_also_where_it_finds_none() {
    let fat = format!(r#"{{"fat":"{}"}}"#, "x".repeat(990));
    let file = |odd| file((1..=100).filter(|id| id % 2 == odd).map(|id| row(id, &fat)));
    // They overlap: of the second one a tenth of what may be read is.
    let files = [file(0), file(1)];
    for (read_bytes, counts) in [(1, 99..=102), (10_000, 6..=99), (1 << 20, 1..=1)] {
        let bounds = Bounds { read_bytes, ..FREE };
        let none = pages(&files, search(Wants::Points(Some("none")), 5, bounds));
        assert!(times(&none).is_empty() && counts.contains(&none.len()), "{read_bytes}: {}", none.len());
        let found = pages(&files, search(Wants::Points(Some("fat")), 200, bounds));
        assert_eq!(times(&found), (1..=100).rev().collect::<Vec<_>>(), "each value is found once");
    }
}

#[test]
fn a_page_ends_also_where_no_file_has_so_many() {
    let day = |first| file((first..first + 30).map(|id| row(id, r#"{"n":1}"#)));
    // The newest first, as they are read; none of them overlaps.
    let files: Vec<Connection> = (0..8).rev().map(|n| day(1 + 30 * n)).collect();
    let bounds = Bounds { reports: 50, ..FREE };
    let found = pages(&files, search(Wants::Points(Some("none")), 5, bounds));
    assert_eq!((times(&found), found.len()), (vec![], 5));
}

#[test]
fn kinds_are_told_apart_also_where_a_page_ends() {
    let rows = (1..=40).map(|id| {
        let event = MessageRow { kind: MessageKind::Event, ..row(id, &event_json("e", r#"{"n":1}"#)) };
        if id % 4 == 0 { event } else { row(id, r#"{"event":1,"output":2}"#) }
    });
    let files = [file(rows)];
    files[0].execute("UPDATE messages SET sum = 0 WHERE id = 20 OR id = 21", []).unwrap();
    let fours = |is_event| move |id: &i64| (id % 4 == 0) == is_event && *id != 20 && *id != 21;
    for reports in [1, 2, 3, 10, 1000] {
        let bounds = Bounds { reports, ..FREE };
        let events = pages(&files, search(Wants::Events(None), 3, bounds));
        assert_eq!(times(&events), (1..=40).rev().filter(fours(true)).collect::<Vec<_>>(), "{reports}");
        assert_eq!(events.iter().map(|(_, damaged)| damaged).sum::<u64>(), 1, "{reports}");
        let points = pages(&files, search(Wants::Points(Some("output")), 3, bounds));
        assert_eq!(times(&points), (1..=40).rev().filter(fours(false)).collect::<Vec<_>>(), "{reports}");
        assert_eq!(points.iter().map(|(_, damaged)| damaged).sum::<u64>(), 1, "{reports}");
    }
}

#[test]
fn a_page_with_much_in_it_ends_early() {
    let fat = format!(r#"{{"n":"{}","m":1}}"#, "x".repeat(100));
    let file = file((1..=20).map(|id| row(id, &fat)));
    for (bytes, most) in [(1, 2), (250, 6), (1 << 20, 40)] {
        let bounds = Bounds { bytes, ..FREE };
        let found = pages(std::slice::from_ref(&file), search(Wants::Points(None), 40, bounds));
        let expected: Vec<i64> = (1..=20).rev().flat_map(|id| [id, id]).collect();
        assert_eq!(times(&found), expected, "{bytes}");
        assert!(found.iter().all(|(times, _)| times.len() <= most), "{bytes}: {found:?}");
    }
}

#[test]
fn pages_over_files_that_overlap_lose_and_repeat_nothing_whatever_bounds_them() {
    let evens = || file((1..=30).map(|n| row(2 * n, r#"{"n":1,"m":2}"#)));
    let odds = || {
        let file = file((1..=40).map(|n| row(2 * n - 1, if n % 9 == 0 { r#"{"n":3}"# } else { "{}" })));
        file.execute("UPDATE messages SET sum = 0 WHERE id % 10 = 1", []).unwrap();
        file
    };
    let mut expected: Vec<i64> = (1..=30).map(|n| 2 * n).chain([9, 18, 27, 36].map(|n| 2 * n - 1)).collect();
    expected.retain(|time| time % 10 != 1);
    expected.sort_unstable_by_key(|time| Reverse(*time));
    for files in [[evens(), odds()], [odds(), evens()]] {
        for (reports, bytes, limit) in [
            (1, 1000, 3),
            (2, 1, 100),
            (3, 5, 3),
            (7, 1000, 1),
            (7, 5, 100),
            (1000, 1, 1),
            (1000, 5, 3),
            (1000, 1000, 100),
        ] {
            let found =
                pages(&files, search(Wants::Points(Some("n")), limit, Bounds { reports, bytes, ..FREE }));
            assert_eq!(times(&found), expected, "{reports} {bytes} {limit}");
            let damaged: u64 = found.iter().map(|(_, damaged)| damaged).sum();
            assert!(damaged >= 8, "{reports} {bytes} {limit}: {damaged}");
        }
    }
}

#[test]
fn damaged_reports_take_no_memory_each() {
    let file = file((1..=1000).map(|id| MessageRow { sequence: 0, ..row(id, r#"{"n":1}"#) }));
    file.execute("UPDATE messages SET sum = 0 WHERE id <> 500", []).unwrap();
    let search = search(Wants::Points(None), 9, BOUNDS);
    let mut found = FoundReports::default();
    search.read_file((&file, FileFormat::Four), Volume::parse(VOLUME).unwrap(), 0, &mut found).unwrap();
    let rows = |part: &Found| part.values.as_ref().map_or_else(|rows| rows.count, |_| 0);
    assert_eq!(found.reports.iter().map(rows).collect::<Vec<_>>(), [500, 0, 499]);
    let page = found.page(9);
    assert_eq!((page.items.len(), page.damaged.count), (1, 999));
    assert_eq!(page.damaged.first.unwrap(), "message 1000 of 2026-01-01 is not as it was stored");
}

#[test]
fn a_page_of_damaged_reports_alone_ends_too_and_counts_each_once() {
    let file = file((1..=100).map(|id| row(id, if id == 7 { r#"{"rare":1}"# } else { r#"{"n":1}"# })));
    file.execute("UPDATE messages SET sum = 0 WHERE id <> 7", []).unwrap();
    for wants in [Wants::Points(Some("rare")), Wants::Events(None)] {
        for (reports, most) in [(1, 110), (10, 12), (1000, 1)] {
            let bounds = Bounds { reports, ..FREE };
            let found = pages(std::slice::from_ref(&file), search(wants, 5, bounds));
            let (expected, damaged): (&[i64], _) = match wants {
                Wants::Points(_) => (&[7], 99),
                Wants::Events(_) => (&[], 0),
            };
            assert_eq!(times(&found), expected, "{reports}");
            assert_eq!(found.iter().map(|(_, damaged)| damaged).sum::<u64>(), damaged, "{reports}");
            assert!(found.len() <= most && (found.len() > 1 || reports > 100), "{reports}: {found:?}");
        }
    }
}
