//! Latest values that are large: what they cost is bounded, and the device's log says so.

use std::{path::Path, time::Duration};

use narrowgate_platform::{
    ids::DeviceId,
    model::log::{LogEvent, Reason},
    ports::{Change, Changed, HistoryReads as _, Journal as _, Registry as _, Write},
    rules::latest::{BYTES_MAX, POINTS_MAX},
    testing::{
        block_on,
        store::fixtures::{add_device, add_product, append, at, log, one_device, report, write},
    },
};
use rusqlite::Connection;

use super::{SqliteOptions, SqliteStore, open, open_unhurried};

/// A report of one point of 10 kB.
fn fat(id: DeviceId, n: i64) -> Write {
    report(id, at(n), &format!(r#"{{"p{n}":"{}"}}"#, "x".repeat(10_000)))
}

fn row_bytes(data: &Path, id: DeviceId) -> usize {
    let registry = Connection::open(data.join("registry.db")).unwrap();
    let sql = "SELECT coalesce(max(length(points)), 0) FROM latest WHERE device = ?1";
    registry.query_row(sql, [id.0], |row| row.get::<_, i64>(0)).unwrap() as usize
}

/// A small report after them writes a row of 32 KiB, not of 10 MB.
#[test]
fn attack_205_fat_values_are_bounded_on_the_disk_and_the_devices_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { flush_interval: Duration::ZERO, ..SqliteOptions::new(folder.path()) };
    let store = SqliteStore::open(options).unwrap();
    let id = one_device(&store, "dk-1");
    block_on(store.recover()).unwrap();
    for first in (0..POINTS_MAX as i64).step_by(64) {
        append(&store, (first..first + 64).map(|n| fat(id, n)).collect());
    }
    write(&store, report(id, at(2000), r#"{"small":1}"#));
    block_on(store.close()).unwrap();
    drop(store);
    assert!((20_000..BYTES_MAX + 200).contains(&row_bytes(folder.path(), id)));
    let store = open(folder.path());
    let latest = block_on(store.points_latest(id)).unwrap().items;
    let points: Vec<&str> = latest.iter().map(|value| value.point.as_str()).collect();
    assert_eq!(points, ["p1021", "p1022", "p1023", "small"]);
    let told: Vec<_> = log(&store, id).into_iter().filter(|entry| entry.event == LogEvent::Warning).collect();
    assert_eq!(told.len(), 1, "once: {told:?}");
    assert_eq!(told[0].reason, Some(Reason::TooLarge));
    assert!(told[0].detail.as_ref().unwrap().contains("32 KiB"), "{told:?}");
}

/// What is in memory until it is written is bounded in bytes, whatever the interval.
#[test]
fn attack_205_values_that_take_many_bytes_are_written_before_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let hour = Duration::from_secs(3600);
    let options = SqliteOptions {
        flush_interval: hour,
        changed_bytes_max: 25_000,
        ..SqliteOptions::new(folder.path())
    };
    let store = SqliteStore::open(options).unwrap();
    let id = one_device(&store, "dk-1");
    write(&store, fat(id, 1));
    write(&store, fat(id, 2));
    assert_eq!(row_bytes(folder.path(), id), 0);
    write(&store, fat(id, 3));
    // The step comes after the answer, and before the next group.
    write(&store, report(id, at(4), r#"{"small":1}"#));
    assert!(row_bytes(folder.path(), id) > 25_000);
}

/// The time is known before the change is made: it may be written down before anybody takes the answer.
#[test]
fn the_answer_to_a_switch_says_when_a_device_was_heard_that_is_written_down_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let flush_interval = Duration::from_secs(3600);
    let options =
        SqliteOptions { flush_interval, changed_bytes_max: 25_000, ..SqliteOptions::new(folder.path()) };
    let store = SqliteStore::open(options).unwrap();
    add_product(&store, "pk");
    let [id, other] = ["dk-1", "dk-2"].map(|key| add_device(&store, "pk", key).id);
    write(&store, report(id, at(5), r#"{"small":1}"#));
    let answer = store.change(Change::SetDeviceEnabled { device: id, enabled: false, at: at(6) });
    for n in 7..10 {
        write(&store, fat(other, n));
    }
    // The step comes after the answer, and before the next group.
    write(&store, report(other, at(10), r#"{"small":1}"#));
    assert!(row_bytes(folder.path(), id) > 2, "it is written down");
    let Changed::Switched(switched) = block_on(answer).unwrap() else { panic!("it is another answer") };
    assert_eq!(switched.device.last_seen_time, Some(at(5)));
}

/// A row of an earlier version is bounded as soon as it is written again.
#[test]
fn a_row_that_is_larger_than_today_s_bound_shrinks_with_the_next_report() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_unhurried(folder.path());
    let id = one_device(&store, "dk-1");
    write(&store, report(id, at(1), r#"{"a":1}"#));
    block_on(store.close()).unwrap();
    drop(store);
    let value = format!("\"{}\"", "x".repeat(10_000));
    let points: Vec<String> = (0..400).map(|n| format!(r#""p{n}":{{"time":{n},"value":{value}}}"#)).collect();
    let registry = Connection::open(folder.path().join("registry.db")).unwrap();
    crate::sqlite::sum::teach(&registry).unwrap();
    registry.execute("UPDATE latest SET points = ?1", [format!("{{{}}}", points.join(","))]).unwrap();
    registry.execute("UPDATE latest SET sum = row_sum('latest', 3, device, seen, points)", []).unwrap();
    drop(registry);
    assert!(row_bytes(folder.path(), id) > 4_000_000);
    let store = open(folder.path());
    assert_eq!(block_on(store.points_latest(id)).unwrap().items.len(), 3, "bounded when it is read");
    write(&store, report(id, at(2), r#"{"small":1}"#));
    block_on(store.close()).unwrap();
    assert!(row_bytes(folder.path(), id) < BYTES_MAX + 200);
}
