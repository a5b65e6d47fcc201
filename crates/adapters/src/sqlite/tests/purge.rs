//! What a purge leaves in the files, and what it does not stop.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::DeviceId,
    model::{message::Message, property::PropertyKind, retention::RetentionClass},
    ports::{
        HistoryQuery, HistoryReads as _, Journal as _, Purged, Registry as _, RegistryChanges as _,
        StoreError, Write,
    },
    testing::{
        block_on,
        store::{
            fixtures::{add_device, append, at, device, history, login, name, one_device, report},
            properties::{change, edit},
        },
    },
};
use rusqlite::{Connection, params};

use super::{SqliteStore, contents, crashed, open, two_classes};
use crate::sqlite::SqliteOptions;

const DAY: i64 = 86_400;
/// What the device says that is purged, everywhere.
const SECRET: &str = "canary-of-cellar-3";

fn open_two(data: &Path) -> SqliteStore {
    SqliteStore::open(two_classes(data)).expect("the directory is in order")
}

fn purge(store: &SqliteStore, device: DeviceId) -> u64 {
    let mut messages = 0;
    loop {
        let Purged { messages: more, done } = block_on(store.purge_device(device, at(9 * DAY))).unwrap();
        messages += more;
        if done {
            return messages;
        }
    }
}

/// Files below `data` that have this text anywhere.
fn files_with(data: &Path, text: &str) -> Vec<String> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let found = contents(data).into_iter().filter(|(_, bytes)| has(bytes));
    found.map(|(path, _)| path.strip_prefix(data).unwrap().display().to_string()).collect()
}

fn short(write: Write) -> Write {
    let Write::Message(message) = write else { return write };
    let retention = RetentionClass::parse("short").unwrap();
    Write::Message(Message { retention, ..message })
}

/// Reports of two devices in turn, of three days and two classes, in texts of any length; of one of them they
/// say the secret.
fn say(store: &SqliteStore, device: DeviceId, other: DeviceId) {
    for n in 0..300 {
        let filling = "x".repeat([0, 30, 700, 9000][n as usize % 4]);
        let (secret, open) = (format!("{SECRET}-{n}-{filling}"), format!("cellar-4-{n}-{filling}"));
        let say = |device, text| {
            let report = report(device, at(n % 3 * DAY + n), &format!(r#"{{"n":"{text}"}}"#));
            if n % 5 == 0 { short(report) } else { report }
        };
        append(store, vec![say(device, secret), say(other, open)]);
    }
    let place = format!("\"{SECRET}\"");
    append(store, vec![change(device, edit(PropertyKind::Attribute, &[("place", &place)], &[]))]);
}

#[test]
fn nothing_that_a_purged_device_sent_is_in_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_two(&data);
    let id = one_device(&store, "dk-1");
    let other = add_device(&store, "pk", "dk-2").id;
    append(&store, vec![login(id, at(0)), login(other, at(0))]);
    say(&store, id, other);
    let of_other = history(&store, other, HistoryQuery { limit: 1000, ..HistoryQuery::default() });
    assert!(files_with(&data, SECRET).len() >= 3, "{:?}", files_with(&data, SECRET));
    assert_eq!(purge(&store, id), 300);
    assert_eq!(files_with(&data, SECRET), [] as [String; 0], "while the store is open");
    let again = history(&store, other, HistoryQuery { limit: 1000, ..HistoryQuery::default() });
    assert_eq!((again, of_other.len()), (of_other, 300));
    block_on(store.close()).unwrap();
    assert_eq!(files_with(&data, SECRET), [] as [String; 0], "and closed");
    // The other one's are found by the same search.
    assert!(files_with(&data, "cellar-4").len() >= 3);
}

#[test]
fn a_log_in_which_somebody_reads_is_emptied_when_that_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_two(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(0)), report(id, at(1), &format!(r#"{{"n":"{SECRET}"}}"#))]);
    let reader = Connection::open(data.join("messages/2026-01-01.db")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM messages", [], |_| Ok(())).unwrap();
    assert_eq!(purge(&store, id), 1);
    assert_eq!(files_with(&data, SECRET), ["messages/2026-01-01.db-wal"], "the reader needs it");
    let copy = crashed(&data, "crashed");
    reader.execute_batch("COMMIT").unwrap();
    nothing_is_left_soon(&data);
    // And after a crash, by the start.
    let again = open_two(&copy);
    nothing_is_left_soon(&copy);
    drop(again);
}

#[test]
fn a_start_empties_the_logs_that_a_crash_behind_a_purge_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_two(&data);
    let id = one_device(&store, "dk-1");
    let place = format!("\"{SECRET}\"");
    append(&store, vec![change(id, edit(PropertyKind::Attribute, &[("place", &place)], &[]))]);
    let readers = ["registry.db", "log.db"].map(|name| Connection::open(data.join(name)).unwrap());
    for reader in &readers {
        reader.execute_batch("BEGIN").unwrap();
        reader.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
    }
    assert_eq!(purge(&store, id), 0);
    let copy = crashed(&data, "crashed");
    assert_eq!(files_with(&copy, SECRET), ["registry.db-wal"]);
    let again = open_two(&copy);
    nothing_is_left_soon(&copy);
    drop(again);
}

/// What could not be emptied is tried again every second.
#[track_caller]
fn nothing_is_left_soon(data: &Path) {
    let begun = Instant::now();
    while !files_with(data, SECRET).is_empty() {
        assert!(begun.elapsed().as_secs() < 10, "{:?}", files_with(data, SECRET));
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn two_purges_at_once_and_a_long_log_come_to_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_two(&data);
    let ids = [one_device(&store, "dk-1"), add_device(&store, "pk", "dk-2").id];
    // The log of today's file is longer than what is emptied in one go.
    for day in 0..3 {
        let filling = "x".repeat(4000);
        let writes = (0..600).map(|n| {
            report(ids[n as usize % 2], at(day * DAY + n), &format!(r#"{{"n":"{SECRET}{filling}"}}"#))
        });
        append(&store, writes.collect());
    }
    let mut left: Vec<DeviceId> = ids.to_vec();
    let mut steps = 0;
    while !left.is_empty() {
        let begun = left.iter().map(|id| (*id, store.purge_device(*id, at(9 * DAY))));
        let begun: Vec<_> = begun.collect();
        for (id, step) in begun {
            if block_on(step).unwrap().done {
                left.retain(|other| *other != id);
            }
        }
        steps += 1;
        assert!(steps < 1000);
    }
    assert_eq!(files_with(&data, SECRET), [] as [String; 0]);
}

#[test]
fn a_crash_between_two_steps_leaves_the_device_and_the_others_reports() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_two(&data);
    let id = one_device(&store, "dk-1");
    let other = add_device(&store, "pk", "dk-2").id;
    append(&store, vec![login(id, at(0)), login(other, at(0))]);
    say(&store, id, other);
    let first = block_on(store.purge_device(id, at(9 * DAY))).unwrap();
    assert!(!first.done && first.messages > 0);
    append(&store, vec![report(other, at(9 * DAY), r#"{"n":"last"}"#), login(other, at(9 * DAY))]);
    // Its last messages are blanks, and the registry knows their numbers.
    let copy = crashed(&data, "crashed");
    drop(store);
    let store = open_two(&copy);
    assert_eq!(device(&store, id).id, id);
    let kept = history(&store, other, HistoryQuery { limit: 1000, ..HistoryQuery::default() });
    assert_eq!((kept.len(), kept[0].value.get()), (301, r#""last""#));
    assert_eq!(purge(&store, id) + first.messages, 300);
    assert_eq!(files_with(&copy, SECRET), [] as [String; 0]);
    assert_eq!(block_on(store.points_latest(other)).unwrap().items[0].value.get(), r#""last""#);
}

#[test]
fn ids_and_arrivals_stay_so_that_a_start_misses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    // With the login the registry knows the number of the last message.
    append(&store, (1..=9).map(|n| report(id, at(n), r#"{"n":1}"#)).chain([login(id, at(9))]).collect());
    block_on(store.purge_device(id, at(10))).unwrap();
    block_on(store.close()).unwrap();
    let file = Connection::open(data.join("messages/2026-01-01.db")).unwrap();
    let row = "SELECT count(*), max(id), min(device), max(device), max(arrival), max(time), max(session), \
               group_concat(DISTINCT points) FROM messages";
    let found: (i64, i64, i64, i64, i64, i64, i64, String) = file
        .query_row(row, [], |row| {
            let number = |column| row.get(column);
            let first = (number(0)?, number(1)?, number(2)?, number(3)?, number(4)?, number(5)?);
            Ok((first.0, first.1, first.2, first.3, first.4, first.5, number(6)?, row.get(7)?))
        })
        .unwrap();
    assert_eq!(found, (9, 9, 0, 0, at(9).0, 0, 0, "{}     ".to_owned()));
    drop(file);
    let store = open(&data);
    assert_eq!(block_on(store.recover()).unwrap().newest_arrival.map(|newest| newest.time), Some(at(9)));
}

#[test]
fn a_damaged_message_goes_too_and_its_row_is_right_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![report(id, at(1), &format!(r#"{{"n":"{SECRET}"}}"#)), report(id, at(2), "{}")]);
    block_on(store.close()).unwrap();
    let file = Connection::open(data.join("messages/2026-01-01.db")).unwrap();
    file.execute("UPDATE messages SET arrival = 7, kind = 'nonsense', sum = 1 WHERE id = 1", []).unwrap();
    drop(file);
    let store = open(&data);
    assert_eq!(purge(&store, id), 2);
    assert_eq!(files_with(&data, SECRET), [] as [String; 0]);
    block_on(store.close()).unwrap();
    drop(open(&data));
}

#[test]
fn a_file_that_cannot_be_written_stops_the_purge_and_leaves_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![report(id, at(1), r#"{"n":1}"#)]);
    append(&store, vec![report(id, at(DAY), r#"{"n":2}"#)]);
    // Another program has hurt the file of the first day.
    let other = Connection::open(data.join("messages/2026-01-01.db")).unwrap();
    other.execute_batch("DROP TABLE footer").unwrap();
    let refused = block_on(store.purge_device(id, at(DAY))).unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_) | StoreError::Damaged(_)), "{refused:?}");
    assert!(refused.to_string().contains("2026-01-01"), "{refused}");
    assert_eq!(device(&store, id).id, id);
    append(&store, vec![report(id, at(DAY + 1), r#"{"n":3}"#)]);
}

#[test]
fn files_of_an_older_format_are_purged_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/3");
    for (path, bytes) in contents(&from) {
        let target = data.join(path.strip_prefix(&from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(&target, bytes).unwrap();
    }
    private(&data);
    let store = SqliteStore::open(SqliteOptions::new(&data)).unwrap();
    let id = block_on(store.device(&name("meters", "online"))).unwrap().unwrap().id;
    let all = || HistoryQuery { limit: 1000, ..HistoryQuery::default() };
    let sent = history(&store, id, all());
    assert!(!sent.is_empty());
    assert!(purge(&store, id) > 0);
    assert!(history(&store, id, all()).is_empty());
    block_on(store.close()).unwrap();
    drop(SqliteStore::open(SqliteOptions::new(&data)).unwrap());
    for entry in fs::read_dir(data.join("messages")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "db") {
            let file = Connection::open(path).unwrap();
            let left = "SELECT count(*) FROM messages WHERE device = ?1";
            assert_eq!(file.query_row(left, params![id.0], |row| row.get::<_, i64>(0)).unwrap(), 0);
        }
    }
}

/// The files in the repository do not have the permissions of a data directory.
fn private(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    for (path, _) in contents(folder) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
