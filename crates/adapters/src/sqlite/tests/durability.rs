//! Crashes and failures: nothing acknowledged is lost, nothing is stored twice, nothing secret is readable.

use std::{fs, path::Path};

use narrowgate_platform::{
    ids::DeviceId,
    ports::{HistoryQuery, HistoryReads as _, Issued, Journal as _, RegistryChanges as _, StoreError, Write},
    secret::Secret,
    testing::{
        block_on,
        store::fixtures::{
            T0, activating_product, add_device, append, at, batch, device, history, issue, login, new_device,
            one_device, product, refusal, report, report_arriving, resumed, write,
        },
    },
};

use super::{SqliteStore, contents, crashed, open, open_unhurried};
use crate::sqlite::SqliteOptions;

const DAY: i64 = 86_400;

/// All values of point `n`, oldest first.
fn numbers(store: &SqliteStore, device: DeviceId) -> Vec<i64> {
    let query = HistoryQuery { point: Some("n".to_owned()), limit: usize::MAX, ..HistoryQuery::default() };
    let values = history(store, device, query);
    values.iter().rev().map(|value| value.value.get().parse().unwrap()).collect()
}

fn numbered(device: DeviceId, n: i64) -> Write {
    report(device, at(n), &format!(r#"{{"n":{n}}}"#))
}

fn latest(store: &SqliteStore, device: DeviceId) -> String {
    format!("{:?}", block_on(store.points_latest(device)).unwrap().items)
}

#[test]
fn a_crash_at_any_moment_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    for n in 1..=20 {
        append(&store, vec![numbered(id, n), Write::Seen { device: id, login: None, at: at(n) }]);
        let copy = open(&crashed(&data, &format!("crash-{n}")));
        assert_eq!(numbers(&copy, id), (1..=n).collect::<Vec<_>>());
        assert_eq!(latest(&copy, id), latest(&store, id));
    }
}

#[test]
fn half_a_batch_is_taken_away_at_the_next_open() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(0)), numbered(id, 1)]);
    store.fail_registry_commits(1);
    let failed = block_on(store.append(batch(vec![numbered(id, 2), login(id, at(2)), numbered(id, 3)])));
    assert!(matches!(failed, Err(StoreError::Unavailable(_))));

    // The messages of the failed batch are in the copy, the registry has nothing of it.
    let copy = open(&crashed(&data, "crashed"));
    assert_eq!(numbers(&copy, id), [1]);
    append(&copy, vec![numbered(id, 2), login(id, at(2)), numbered(id, 3)]);
    assert_eq!(numbers(&copy, id), [1, 2, 3]);
}

#[test]
fn a_failed_batch_leaves_nothing_and_the_next_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(0)), numbered(id, 1)]);
    let before = (latest(&store, id), device(&store, id));
    for failures in [1, 3] {
        store.fail_registry_commits(failures);
        for _ in 0..failures {
            let writes =
                vec![numbered(id, 2), login(id, at(2)), Write::Seen { device: id, login: None, at: at(9) }];
            assert!(matches!(block_on(store.append(batch(writes))), Err(StoreError::Unavailable(_))));
            assert_eq!((latest(&store, id), device(&store, id)), before);
        }
    }
    append(&store, vec![numbered(id, 2), login(id, at(2))]);
    assert_eq!(numbers(&store, id), [1, 2]);
    drop(store);
    assert_eq!(numbers(&open(folder.path()), id), [1, 2]);
}

#[test]
fn latest_values_come_back_however_much_of_them_was_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_unhurried(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![report(id, at(5), r#"{"a":1,"b":1}"#), resumed(id, at(9), r#"{"a":0,"n":0}"#)]);
    // Another day, so that the mark of the first file covers it whole.
    append(
        &store,
        vec![report_arriving(id, at(4), at(DAY), r#"{"a":2,"c":2}"#), report(id, at(DAY), r#"{"c":3}"#)],
    );
    let (values, seen) = (latest(&store, id), device(&store, id).last_seen_time);

    let copy = open(&crashed(&data, "never-written"));
    assert_eq!((latest(&copy, id), device(&copy, id).last_seen_time), (values.clone(), seen));
    drop(copy);
    let copy = folder.path().join("never-written");
    assert_eq!(latest(&open(&crashed(&copy, "written-and-crashed")), id), values);
    drop(store);
    assert_eq!(latest(&open(&data), id), values);
}

#[test]
fn latest_values_are_written_down_when_many_devices_have_changed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let options = SqliteOptions { changed_devices_max: 100, ..SqliteOptions::new(&data) };
    let store = SqliteStore::open(options).unwrap();
    block_on(store.create_product(product("pk"))).unwrap();
    let wanted = (0..5000).map(|n| new_device("pk", &format!("dk-{n}"))).collect();
    let ids: Vec<DeviceId> = block_on(store.create_devices(wanted, T0))
        .unwrap()
        .into_iter()
        .map(|made| made.unwrap().id)
        .collect();
    for round in 1..=3 {
        append(&store, ids.iter().map(|id| numbered(*id, round)).collect());
    }
    // A change that needs everything written down waits for it.
    block_on(store.delete_device(ids[0], at(9))).unwrap();
    let registry = rusqlite::Connection::open(data.join("registry.db")).unwrap();
    let rows: i64 = registry.query_row("SELECT count(*) FROM latest", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 4999);
    assert!(latest(&store, ids[4999]).contains("value: 3,"));
}

#[test]
fn a_reset_device_is_not_seen_again_and_a_deleted_one_does_not_come_back_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_unhurried(&data);
    let reset = one_device(&store, "dk-1");
    let deleted = add_device(&store, "pk", "dk-2").id;
    append(&store, vec![login(reset, at(1)), numbered(reset, 2), numbered(deleted, 3)]);
    block_on(store.reset_device(reset, Secret::new("new".to_owned()), at(4))).unwrap();
    block_on(store.delete_device(deleted, at(4))).unwrap();
    let copy = open(&crashed(&data, "crashed"));
    assert_eq!(device(&copy, reset).last_seen_time, None);
    assert_eq!(latest(&copy, deleted), "[]");
}

#[test]
fn secrets_are_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut secret_product = activating_product("pk");
    secret_product.secret = Secret::new("CANARYproduct".to_owned());
    block_on(store.create_product(secret_product)).unwrap();
    let mut wanted = new_device("pk", "dk-1");
    wanted.device_secret = Secret::new("CANARYdevice".to_owned());
    let id = block_on(store.create_devices(vec![wanted], T0)).unwrap().remove(0).unwrap().id;
    assert_eq!(issue(&store, id, "CANARYissued", at(1)), Issued::Done);
    block_on(store.reset_device(id, Secret::new("CANARYreset".to_owned()), at(2))).unwrap();
    let search = || {
        for (path, bytes) in contents(folder.path()) {
            assert!(!bytes.windows(6).any(|window| window == b"CANARY"), "{}", path.display());
        }
    };
    search();
    drop(store);
    search();
}

#[test]
fn old_days_are_deleted_when_a_new_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { retention_days: Some(2), ..SqliteOptions::new(folder.path()) };
    let store = SqliteStore::open(options.clone()).unwrap();
    let id = one_device(&store, "dk-1");
    for day in 0..=4 {
        write(&store, numbered(id, day * DAY));
        // Readers hold the file open that is to be deleted.
        assert!(numbers(&store, id).contains(&(day * DAY)));
    }
    assert_eq!(numbers(&store, id), [2 * DAY, 3 * DAY, 4 * DAY]);
    let files = |folder: &Path| fs::read_dir(folder.join("messages")).unwrap().count();
    // An older arrival (a clock that was set back) deletes nothing.
    write(&store, numbered(id, 2 * DAY + 1));
    assert_eq!(numbers(&store, id).len(), 4);
    drop(store);
    assert_eq!(files(folder.path()), 3);

    let store = SqliteStore::open(SqliteOptions { retention_days: None, ..options }).unwrap();
    write(&store, numbered(id, 400 * DAY));
    assert_eq!(numbers(&store, id).len(), 5);
}

#[test]
fn strangers_do_not_push_out_the_traces_of_deleted_devices() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { unknown_refusals_max: 10, ..SqliteOptions::new(folder.path()) };
    let store = SqliteStore::open(options).unwrap();
    let id = one_device(&store, "dk-1");
    block_on(store.delete_device(id, at(1))).unwrap();
    append(&store, (1..=300).map(|n| Write::Log(refusal(None, Some("x,y,2,30"), at(n)))).collect());
    let logs = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
    let count = |event: &str| -> i64 {
        let sql = "SELECT count(*) FROM log WHERE device = 0 AND event = ?1";
        logs.query_row(sql, [event], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("deleted"), 1);
    assert!((10..10 + 64).contains(&count("refused")), "{}", count("refused"));
}

/// A store that keeps two days, with reports of days 0 to 4.
fn five_days(folder: &Path) -> (SqliteStore, DeviceId) {
    let options = SqliteOptions { retention_days: Some(2), ..SqliteOptions::new(folder) };
    let store = SqliteStore::open(options).unwrap();
    let id = one_device(&store, "dk-1");
    for day in 0..=4 {
        write(&store, numbered(id, day * DAY));
    }
    (store, id)
}

#[test]
fn a_clock_that_jumps_far_ahead_deletes_nothing_and_does_not_end_the_retention() {
    let folder = tempfile::tempdir().unwrap();
    let (store, id) = five_days(folder.path());
    write(&store, numbered(id, 400 * DAY));
    assert_eq!(numbers(&store, id), [2 * DAY, 3 * DAY, 4 * DAY, 400 * DAY]);
    // The clock is right again.
    write(&store, numbered(id, 4 * DAY + 1));
    assert_eq!(numbers(&store, id), [2 * DAY, 3 * DAY, 4 * DAY, 4 * DAY + 1, 400 * DAY]);
    write(&store, numbered(id, 5 * DAY));
    assert_eq!(numbers(&store, id), [3 * DAY, 4 * DAY, 4 * DAY + 1, 5 * DAY, 400 * DAY]);
}

#[test]
fn a_pause_of_two_days_is_no_jump_and_a_longer_one_deletes_nothing_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, id) = five_days(folder.path());
    write(&store, numbered(id, 6 * DAY));
    assert_eq!(numbers(&store, id), [4 * DAY, 6 * DAY], "a day without reports is no jump");
    for day in [9, 10] {
        write(&store, numbered(id, day * DAY));
    }
    assert_eq!(numbers(&store, id), [4 * DAY, 6 * DAY, 9 * DAY, 10 * DAY]);
}

#[test]
fn a_full_queue_refuses_at_once_and_keeps_the_order_of_what_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { waiting_batches_max: 4, ..SqliteOptions::new(folder.path()) };
    let store = SqliteStore::open(options).unwrap();
    let id = one_device(&store, "dk-1");
    let waiting: Vec<_> = (1..=2000).map(|n| store.append(batch(vec![numbered(id, n)]))).collect();
    let mut stored = Vec::new();
    for (n, result) in (1..=2000).zip(waiting) {
        match block_on(result) {
            Ok(_) => stored.push(n),
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_))),
        }
    }
    assert!(!stored.is_empty());
    assert_eq!(numbers(&store, id), stored);
}
