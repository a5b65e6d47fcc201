//! Batches that were committed to some of their files only: all of what they added goes, nothing of what was
//! there before does, and no number hides a half.

use narrowgate_platform::{
    ids::DeviceId,
    model::{device::DeviceState, log::LogEntry},
    paging::Part,
    ports::{
        HistoryQuery, HistoryReads as _, Journal as _, Registry as _, RegistryChanges as _, StoreError, Write,
    },
    testing::{
        block_on,
        store::fixtures::{
            add_device, append, at, batch, device, history, log, login, one_device, presence, refusal,
            refusals, report,
        },
    },
};
use rusqlite::Connection;

use super::{
    SqliteStore, crashed, open,
    poisoned::{fleet, overwrite_latest},
};

/// What is to be read of a device.
#[derive(Debug, PartialEq)]
struct Read {
    reports: usize,
    log: Vec<LogEntry>,
    presence: usize,
    state: DeviceState,
}

fn read(store: &SqliteStore, id: DeviceId) -> Read {
    Read {
        reports: history(store, id, HistoryQuery { limit: 1000, ..HistoryQuery::default() }).len(),
        log: log(store, id),
        presence: block_on(store.presence_history(id, Part::first(1000))).unwrap().items.len(),
        state: device(store, id).state,
    }
}

/// Who makes the next commit fail: of the file of logs, or of the registry behind it.
const FAILURES: [fn(&SqliteStore); 2] =
    [|store| store.fail_log_commits(1), |store| store.fail_registry_commits(1)];

fn is_unavailable<T>(failed: &Result<T, StoreError>) -> bool {
    matches!(failed, Err(StoreError::Unavailable(_)))
}

#[test]
fn half_a_batch_leaves_nothing_in_any_file_after_a_crash_or_without_one() {
    for (number, fail) in FAILURES.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = open(&data);
        let id = one_device(&store, "dk-1");
        append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
        append(&store, vec![presence(id, DeviceState::Offline, at(3), "silent")]);
        let before = read(&store, id);
        let writes = || {
            vec![
                report(id, at(4), r#"{"n":2}"#),
                login(id, at(5)),
                Write::Log(refusal(Some(id), None, at(6))),
                Write::Log(refusal(None, Some("x"), at(6))),
            ]
        };
        fail(&store);
        assert!(is_unavailable(&block_on(store.append(batch(writes())))));
        let copy = open(&crashed(&data, "crashed"));
        for store in [copy, store] {
            assert!(append(&store, vec![report(id, at(7), r#"{"n":3}"#)]).len() == 1);
            let mut after = read(&store, id);
            after.reports -= 1;
            assert_eq!(after, before, "{number}");
            assert_eq!(refusals(&store, 10), []);
            append(&store, writes());
            let after = read(&store, id);
            assert_eq!((after.reports, after.state), (3, DeviceState::Online), "{number}");
            assert_eq!((after.log.len(), after.presence), (before.log.len() + 2, 3), "{number}");
            assert_eq!(refusals(&store, 10).len(), 2);
        }
    }
}

/// A commit that is said to have failed and is there all the same: the registry says so to the logs; messages
/// go in any case, since their device sends them again. The next start misses none of them.
#[test]
fn a_batch_whose_commit_is_in_doubt_leaves_files_that_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    append(&store, vec![presence(id, DeviceState::Offline, at(3), "silent")]);
    store.doubt_registry_commit();
    let writes = vec![report(id, at(4), r#"{"n":2}"#), login(id, at(5))];
    assert!(is_unavailable(&block_on(store.append(batch(writes)))));
    // It goes on, and is killed before another batch touches both files.
    append(&store, vec![Write::Seen { device: id, login: None, at: at(6) }]);
    let copy = open(&crashed(&data, "crashed"));
    for store in [&store, &copy] {
        let found = read(store, id);
        assert_eq!((found.reports, found.presence, found.state), (1, 3, DeviceState::Online));
        assert_eq!(found.log.len(), 5, "created, activated, two logins, offline");
    }
}

/// Entries alone are committed by the file of logs itself.
#[test]
fn entries_that_were_refused_are_not_stored_and_stored_once_when_they_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    let before = log(&store, id).len();
    for _ in 0..2 {
        store.fail_log_commits(1);
        let entry = || vec![Write::Log(refusal(Some(id), None, at(1)))];
        assert!(is_unavailable(&block_on(store.append(batch(entry())))));
        assert_eq!(log(&open(&crashed(&data, "crashed")), id).len(), before);
    }
    append(&store, vec![Write::Log(refusal(Some(id), None, at(1)))]);
    assert_eq!(log(&store, id).len(), before + 1);
    assert_eq!(log(&open(&crashed(&data, "crashed again")), id).len(), before + 1);
}

#[test]
fn a_deletion_that_fails_leaves_the_device_with_its_log() {
    for fail in FAILURES {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = open(&data);
        let id = one_device(&store, "dk-1");
        let other = add_device(&store, "pk", "dk-2").id;
        append(
            &store,
            vec![login(id, at(1)), login(other, at(1)), Write::Log(refusal(Some(id), None, at(2)))],
        );
        let (before, of_other) = (read(&store, id), read(&store, other));
        fail(&store);
        assert!(is_unavailable(&block_on(store.delete_device(id, at(3)))));
        let copy = open(&crashed(&data, "crashed"));
        for store in [copy, store] {
            append(&store, vec![Write::Seen { device: id, login: None, at: at(4) }]);
            assert_eq!((read(&store, id), read(&store, other)), (before_of(&before), before_of(&of_other)));
            block_on(store.delete_device(id, at(3))).unwrap();
            assert_eq!((log(&store, id), refusals(&store, 10)), (vec![], vec![]));
            assert!(block_on(store.device_by_id(id)).unwrap().is_none());
            assert_eq!(read(&store, other), of_other);
        }
    }
}

/// The process was killed between the commit of the registry and the one that deletes the rows.
#[test]
fn the_log_of_a_deleted_device_goes_at_the_next_open_where_a_crash_has_left_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    let other = add_device(&store, "pk", "dk-2").id;
    append(&store, vec![login(id, at(1)), login(other, at(1)), Write::Log(refusal(Some(id), None, at(2)))]);
    let of_other = read(&store, other);
    block_on(store.close()).unwrap();
    drop(store);
    let registry = Connection::open(data.join("registry.db")).unwrap();
    registry.execute("DELETE FROM devices WHERE id = ?1", [id.0]).unwrap();
    let logs = Connection::open(data.join("log.db")).unwrap();
    crate::sqlite::sum::teach(&logs).unwrap();
    logs.execute("INSERT INTO gone VALUES (?1, row_sum('gone', 1, ?1))", [id.0]).unwrap();
    // Of a row that is not as it was stored nobody knows which device it named.
    logs.execute("INSERT INTO gone VALUES (?1, 7)", [other.0]).unwrap();
    let store = open(&data);
    assert_eq!((log(&store, id), refusals(&store, 10)), (vec![], vec![]));
    assert_eq!(read(&store, other), of_other);
    let left: i64 = logs.query_row("SELECT count(*) FROM gone", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

fn before_of(read: &Read) -> Read {
    Read { log: read.log.clone(), ..*read }
}

/// A start that has to write to the registry for another reason gives that transaction the number which the
/// half has: it is taken away before.
#[test]
fn a_half_is_taken_away_before_a_start_makes_latest_values_anew() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ids = fleet(&data, false);
    let store = open(&data);
    let id = ids[150];
    let before = (read(&store, id).reports, log(&store, id).len());
    store.fail_registry_commits(1);
    let writes = vec![report(id, at(4), r#"{"n":2}"#), login(id, at(5))];
    assert!(is_unavailable(&block_on(store.append(batch(writes)))));
    let copy = crashed(&data, "crashed");
    overwrite_latest(&copy, id);
    let store = open(&copy);
    assert_eq!((read(&store, id).reports, log(&store, id).len()), before);
}
