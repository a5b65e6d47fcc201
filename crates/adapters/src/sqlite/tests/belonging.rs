//! Files that do not belong together: a start says so, and changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::DeviceId,
    ports::{HistoryQuery, Journal as _},
    testing::{
        block_on,
        store::fixtures::{add_device, append, at, history, login, one_device, report},
    },
};
use rusqlite::Connection;

use super::{SqliteStore, contents, crashed, open, open_unhurried};
use crate::sqlite::{OpenError, SqliteOptions, adopt, belonging::Origin};

const DAY: i64 = 86_400;

/// Opening fails and leaves every byte of every file as it is.
pub(super) fn refused(data: &Path) -> OpenError {
    let before = contents(data);
    let error = SqliteStore::open(SqliteOptions::new(data)).map(|_| "opened").unwrap_err();
    let after = contents(data);
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before), "{error}: files came or went");
    assert!(after == before, "{error}: something was changed");
    error
}

#[expect(clippy::needless_pass_by_value, reason = "it is closed and gone")]
pub(super) fn closed(store: SqliteStore) {
    block_on(store.close()).unwrap();
}

/// Puts the registry of `from` into `data`, with its log.
pub(super) fn take_registry(from: &Path, data: &Path) {
    for part in ["", "-wal", "-shm"] {
        let name = format!("registry.db{part}");
        let _ = fs::remove_file(data.join(&name));
        if from.join(&name).exists() {
            fs::copy(from.join(&name), data.join(&name)).unwrap();
        }
    }
}

pub(super) fn is_older(error: &OpenError) -> bool {
    matches!(error, OpenError::RegistryOlder { .. })
}

fn reports(store: &SqliteStore, device: DeviceId) -> usize {
    history(store, device, HistoryQuery { limit: 1000, ..HistoryQuery::default() }).len()
}

/// Waits until the day's file was told of the registry's last transaction.
fn settle(data: &Path) {
    let footer = || -> i64 {
        let file = Connection::open(data.join("messages/2026-01-01.db")).unwrap();
        file.query_row("SELECT batch FROM footer", [], |row| row.get(0)).unwrap()
    };
    let end = Instant::now() + Duration::from_secs(20);
    while footer() > 0 && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
}

/// The ids of devices that it does not know would be given to others, whose reports they would show.
#[test]
fn attack_213_a_registry_from_before_a_new_device_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_unhurried(&data);
    let first = one_device(&store, "dk-1");
    append(&store, vec![login(first, at(1)), report(first, at(2), r#"{"n":1}"#)]);
    let earlier = crashed(&data, "an hour ago");
    let second = add_device(&store, "pk", "dk-2").id;
    append(&store, vec![login(second, at(3))]);
    append(&store, vec![report(second, at(4), r#"{"n":2}"#)]);
    let now = crashed(&data, "killed");
    closed(store);
    for data in [&now, &data] {
        let right = folder.path().join("right");
        take_registry(data, {
            fs::create_dir_all(&right).unwrap();
            &right
        });
        take_registry(&earlier, data);
        let error = refused(data);
        assert!(is_older(&error), "{error}");
        assert!(error.to_string().contains("registry.db: it is older than the files beside it"), "{error}");
        assert!(error.advice().contains("nothing was changed"), "{}", error.advice());
        // With its own registry all is there.
        take_registry(&right, data);
        let store = open(data);
        assert_eq!((reports(&store, first), reports(&store, second)), (1, 1));
    }
}

#[test]
fn attack_213_acknowledged_batches_are_not_taken_for_halves() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_unhurried(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    let earlier = crashed(&data, "an hour ago");
    for n in 0..3 {
        let mut batch = vec![login(id, at(10 + n))];
        batch.extend((0..4).map(|k| report(id, at(10 + n), &format!(r#"{{"n":{k}}}"#))));
        append(&store, batch);
        if n == 0 {
            // One batch alone: as soon as it is noted as complete.
            settle(&data);
            let one = crashed(&data, "one batch");
            take_registry(&earlier, &one);
            assert!(is_older(&refused(&one)));
        }
    }
    let killed = crashed(&data, "killed");
    take_registry(&earlier, &killed);
    assert!(is_older(&refused(&killed)));
}

/// Also where nothing but reports came since.
#[test]
fn attack_213_a_registry_from_before_the_last_start_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    closed(store);
    let earlier = crashed(&data, "before the start");
    let store = open_unhurried(&data);
    block_on(store.recover()).unwrap();
    append(&store, vec![report(id, at(3), r#"{"n":2}"#)]);
    let killed = crashed(&data, "killed");
    closed(store);
    for data in [&killed, &data] {
        take_registry(&earlier, data);
        assert!(is_older(&refused(data)));
    }
}

#[test]
fn attack_213_latest_values_that_were_written_down_count_too() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    let earlier = crashed(&data, "earlier");
    append(&store, vec![report(id, at(3), r#"{"n":2}"#)]);
    closed(store);
    take_registry(&earlier, &data);
    assert!(is_older(&refused(&data)));
}

#[test]
fn messages_of_another_store_are_not_taken_for_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, day: i64| {
        let data = folder.path().join(name);
        let store = open(&data);
        let id = one_device(&store, "dk-1");
        append(&store, vec![login(id, at(1)), report(id, at(day * DAY), r#"{"n":1}"#)]);
        closed(store);
        data
    };
    let (data, other) = (make("data", 0), make("other", 1));
    let name = "messages/2026-01-02.db";
    fs::copy(other.join(name), data.join(name)).unwrap();
    let error = refused(&data);
    assert!(matches!(&error, OpenError::OfAnotherStore { file } if file.ends_with(name)), "{error}");
    // One that says nothing is not taken in either, once all of this store's do.
    Connection::open(data.join(name)).unwrap().execute_batch("DROP TABLE origin").unwrap();
    let error = refused(&data);
    assert!(matches!(&error, OpenError::OfNoStore { file } if file.ends_with(name)), "{error}");
    fs::remove_file(data.join(name)).unwrap();
    open(&data);
}

#[test]
fn a_file_that_was_moved_away_or_replaced_by_an_older_copy_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    closed(store);
    let file = data.join("messages/2026-01-01.db");
    let older = fs::read(&file).unwrap();
    let store = open(&data);
    append(&store, vec![report(id, at(3), r#"{"n":2}"#)]);
    append(&store, vec![report(id, at(DAY), r#"{"n":3}"#)]);
    closed(store);
    let newer = fs::read(&file).unwrap();

    fs::write(&file, older).unwrap();
    let error = refused(&data);
    assert!(matches!(error, OpenError::MessagesOlder { found: 1, known: 2, .. }), "{error}");
    fs::remove_file(&file).unwrap();
    let error = refused(&data);
    assert!(matches!(&error, OpenError::MessagesMissing { file: named } if *named == file), "{error}");
    fs::write(&file, newer).unwrap();
    assert_eq!(reports(&open(&data), id), 3);
    fs::remove_dir_all(data.join("messages")).unwrap();
    assert!(matches!(refused(&data), OpenError::MessagesMissing { .. }));
}

/// … of the day that was being written when the process was killed, up to the last batch of both files.
#[test]
fn an_older_copy_of_todays_file_is_found_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_unhurried(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    let earlier = crashed(&data, "earlier");
    append(&store, vec![report(id, at(3), r#"{"n":2}"#)]);
    append(&store, vec![login(id, at(4)), report(id, at(4), r#"{"n":3}"#)]);
    let killed = crashed(&data, "killed");
    fs::remove_dir_all(killed.join("messages")).unwrap();
    fs::rename(earlier.join("messages"), killed.join("messages")).unwrap();
    assert!(matches!(refused(&killed), OpenError::MessagesOlder { found: 1, known: 3, .. }));
}

#[test]
fn messages_that_were_deleted_after_their_retention_time_are_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let day = |number: i64| SqliteOptions {
        retention_days: Some(1),
        clock: match number {
            0 => || at(0),
            1 => || at(DAY),
            2 => || at(2 * DAY),
            _ => || at(3 * DAY),
        },
        ..SqliteOptions::new(&data)
    };
    let store = SqliteStore::open(day(0)).unwrap();
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    append(&store, vec![report(id, at(DAY), r#"{"n":2}"#)]);
    closed(store);
    let marks = crashed(&data, "with all marks");
    closed(SqliteStore::open(day(2)).unwrap());
    assert_eq!(fs::read_dir(data.join("messages")).unwrap().count(), 1);
    // The deletion is written down: it is right also for a program that keeps all, or whose clock is behind.
    closed(open(&data));
    // One that could not be written down is explained by the retention.
    fs::remove_file(marks.join("messages/2026-01-01.db")).unwrap();
    assert!(matches!(refused(&marks), OpenError::MessagesMissing { .. }));
    let with_retention = SqliteOptions { data: marks.clone(), data_key: marks.join("data.key"), ..day(2) };
    closed(SqliteStore::open(with_retention).unwrap());
}

/// It would tell those who follow that they have seen everything already.
#[test]
fn a_copy_of_the_store_repeats_no_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    closed(store);
    let (second, third) = (crashed(&data, "second"), crashed(&data, "third"));
    let epoch = |data: &Path| block_on(open(data).recover()).unwrap().epoch;
    let mut epochs = Vec::new();
    for data in [&data, &second, &third] {
        epochs.extend([epoch(data), epoch(data), epoch(data)]);
    }
    let mut different = epochs.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), epochs.len(), "{epochs:?}");
    assert_eq!(epochs[0] + 1, epochs[1], "where it stays it counts: {epochs:?}");
    assert!(epochs.iter().all(|epoch| *epoch < 1 << 32), "{epochs:?}");
}

pub(super) fn adopted(data: &Path, apply: bool) -> Vec<String> {
    adopt(&SqliteOptions::new(data), apply).unwrap()
}

#[test]
fn an_older_registry_that_is_adopted_gives_no_device_the_reports_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_unhurried(&data);
    let first = one_device(&store, "dk-1");
    append(&store, vec![login(first, at(1)), report(first, at(2), r#"{"n":1}"#)]);
    let earlier = crashed(&data, "an hour ago");
    for n in 0..3 {
        let id = add_device(&store, "pk", &format!("later-{n}")).id;
        append(&store, vec![login(id, at(5)), report(id, at(5 + n), r#"{"n":2}"#)]);
    }
    append(&store, vec![report(first, at(9), r#"{"n":3}"#), login(first, at(9))]);
    let killed = crashed(&data, "killed");
    closed(store);
    for data in [&killed, &data] {
        take_registry(&earlier, data);
        assert!(is_older(&refused(data)));
        let before = contents(data);
        let said = adopted(data, false);
        assert!(contents(data) == before, "looking changes nothing");
        assert!(said[0].starts_with("messages of 2026-01-01 are newer than the registry"), "{said:?}");
        assert_eq!(adopted(data, true), said);
        assert_eq!(adopted(data, false), [] as [&str; 0]);
        let store = open(data);
        assert_eq!(reports(&store, first), 2, "nothing was deleted");
        let other = add_device(&store, "pk", "dk-2").id;
        assert_eq!((other.0, reports(&store, other)), (5, 0));
        let epoch = block_on(store.recover()).unwrap().epoch;
        assert!(epoch > 1_000_000_000, "{epoch}");
        append(&store, vec![login(first, at(10)), report(first, at(10), r#"{"n":4}"#)]);
        closed(store);
        assert_eq!(reports(&open(data), first), 3);
    }
}

#[test]
fn missing_messages_are_given_up_where_they_are_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    closed(store);
    let file = data.join("messages/2026-01-01.db");
    let older = fs::read(&file).unwrap();
    let store = open(&data);
    append(&store, vec![report(id, at(3), r#"{"n":2}"#), report(id, at(4), r#"{"n":3}"#)]);
    append(&store, vec![report(id, at(DAY), r#"{"n":4}"#)]);
    closed(store);
    fs::write(&file, older).unwrap();
    fs::remove_file(data.join("messages/2026-01-02.db")).unwrap();
    let said = adopted(&data, true);
    let expected = [
        "messages 2 to 3 of 2026-01-01 are missing and given up",
        "messages of 2026-01-02 are missing and given up",
    ];
    assert_eq!(said, expected);
    let store = open(&data);
    assert_eq!(reports(&store, id), 1);
    append(&store, vec![report(id, at(5), r#"{"n":5}"#), report(id, at(DAY), r#"{"n":6}"#)]);
    let copy = crashed(&data, "killed");
    assert_eq!(reports(&open(&copy), id), 3);
}

#[test]
fn a_file_without_a_name_can_be_adopted_and_one_of_another_store_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    closed(store);
    let file = Connection::open(data.join("messages/2026-01-01.db")).unwrap();
    file.execute_batch("DROP TABLE origin").unwrap();
    file.close().unwrap();
    assert!(matches!(refused(&data), OpenError::OfNoStore { .. }));
    assert_eq!(adopted(&data, true).len(), 1);
    closed(open(&data));
    let file = Connection::open(data.join("messages/2026-01-01.db")).unwrap();
    crate::sqlite::sum::teach(&file).unwrap();
    let other = Origin { store_id: "another".to_owned(), epoch: 1 };
    other.write(&file).unwrap();
    file.close().unwrap();
    let error = adopt(&SqliteOptions::new(&data), true).unwrap_err();
    assert!(matches!(error, OpenError::OfAnotherStore { .. }), "{error}");
}

/// Who goes back to an older program and comes again has a registry without a name, and files that have one.
#[test]
fn a_registry_of_an_older_program_takes_the_name_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    append(&store, vec![report(id, at(DAY), r#"{"n":2}"#)]);
    closed(store);
    let forget = "DELETE FROM meta WHERE name IN ('store_id', 'files_named', 'newest', 'kept_from', 'file')";
    let registry = Connection::open(data.join("registry.db")).unwrap();
    assert!(registry.execute(forget, []).unwrap() > 0);
    registry.close().unwrap();
    // One of the files is as an older program makes it.
    let file = Connection::open(data.join("messages/2026-01-02.db")).unwrap();
    file.execute_batch("DROP TABLE origin").unwrap();
    file.close().unwrap();
    for _ in 0..2 {
        let store = open(&data);
        assert_eq!(reports(&store, id), 2);
        closed(store);
    }
    let names: Vec<String> = ["2026-01-01", "2026-01-02"]
        .map(|day| {
            let file = Connection::open(data.join(format!("messages/{day}.db"))).unwrap();
            file.query_row("SELECT store_id FROM origin", [], |row| row.get(0)).unwrap()
        })
        .into();
    assert_eq!(names[0], names[1]);
}

/// A file that was lost while the server ran, and begun anew, is not held against the first one's messages.
#[test]
fn a_day_that_is_begun_anew_is_not_missed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_unhurried(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![report(id, at(1), r#"{"n":1}"#), report(id, at(2), r#"{"n":2}"#), login(id, at(2))]);
    append(&store, vec![report(id, at(DAY), r#"{"n":3}"#)]);
    for part in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(data.join(format!("messages/2026-01-01.db{part}")));
    }
    append(&store, vec![report(id, at(3), r#"{"n":4}"#)]);
    closed(store);
    assert_eq!(reports(&open(&data), id), 2);
}
