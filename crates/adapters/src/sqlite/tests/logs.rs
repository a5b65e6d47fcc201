//! The file of logs belongs to its registry: another one is found by a start, which then changes nothing.

use std::{fs, path::Path};

use narrowgate_platform::{
    ids::DeviceId,
    ports::Write,
    testing::store::fixtures::{add_device, append, at, log, login, one_device, refusal},
};
use rusqlite::Connection;

use super::{
    SqliteStore,
    belonging::{adopted, closed, is_older, refused, take_registry},
    crashed, open, open_unhurried,
};
use crate::sqlite::OpenError;

/// A closed store with a device that has logged in at these times.
fn lived(data: &Path, times: std::ops::Range<i64>) -> DeviceId {
    let store = open(data);
    let id = one_device(&store, "dk-1");
    times.for_each(|time| drop(append(&store, vec![login(id, at(time))])));
    closed(store);
    id
}

fn again(data: &Path, id: DeviceId, time: i64) {
    let store = open(data);
    append(&store, vec![login(id, at(time))]);
    closed(store);
}

#[test]
fn logs_that_are_missing_older_or_of_another_store_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let id = lived(&data, 1..3);
    lived(&other, 1..9);
    let file = data.join("log.db");
    let older = fs::read(&file).unwrap();
    again(&data, id, 5);
    let newest = fs::read(&file).unwrap();

    fs::write(&file, older).unwrap();
    let error = refused(&data);
    assert!(matches!(error, OpenError::LogOlder { found, known, .. } if found < known), "{error}");
    fs::remove_file(&file).unwrap();
    let error = refused(&data);
    assert!(matches!(&error, OpenError::LogMissing { file: named } if *named == file), "{error}");
    fs::copy(other.join("log.db"), &file).unwrap();
    let error = refused(&data);
    assert!(matches!(&error, OpenError::OfAnotherStore { file: named } if *named == file), "{error}");
    assert!(error.advice().starts_with("move it out of the directory"), "{}", error.advice());
    fs::write(&file, newest).unwrap();
    assert_eq!(log(&open(&data), id).len(), 5, "created, activated, three logins");
}

/// … after a crash, too, and up to the last batch.
#[test]
fn older_logs_beside_a_registry_are_found_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_unhurried(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1))]);
    let earlier = crashed(&data, "earlier");
    append(&store, vec![login(id, at(2))]);
    let killed = crashed(&data, "killed");
    for part in ["", "-wal", "-shm"] {
        fs::copy(earlier.join(format!("log.db{part}")), killed.join(format!("log.db{part}"))).unwrap();
    }
    assert!(matches!(refused(&killed), OpenError::LogOlder { .. }));
}

/// Also where no report came since: the logs alone show it.
#[test]
fn attack_213_a_registry_that_is_older_than_the_logs_beside_it_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_unhurried(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1))]);
    let earlier = crashed(&data, "an hour ago");
    let second = add_device(&store, "pk", "dk-2").id;
    append(&store, vec![login(second, at(3))]);
    append(&store, vec![Write::Log(refusal(Some(second), None, at(4)))]);
    let killed = crashed(&data, "killed");
    closed(store);
    for data in [&killed, &data] {
        let newest = folder.path().join("newest");
        fs::create_dir_all(&newest).unwrap();
        take_registry(data, &newest);
        take_registry(&earlier, data);
        let error = refused(data);
        assert!(
            is_older(&error) && error.to_string().contains("log.db has what it does not know"),
            "{error}"
        );
        let said = adopted(data, false);
        assert!(said[0].starts_with("logs are newer than the registry"), "{said:?}");
        take_registry(&newest, data);
        assert_eq!(log(&open(data), second).len(), 4);
        // Or they are adopted, and no new device gets the log of another.
        take_registry(&earlier, data);
        assert_eq!(adopted(data, true), said);
        let store = open(data);
        let third = add_device(&store, "pk", "dk-3").id;
        assert!(third > second);
        assert_eq!(log(&store, third).len(), 1);
        closed(store);
    }
}

#[test]
fn missing_and_older_logs_are_given_up_where_they_are_adopted() {
    for removed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let id = lived(&data, 1..3);
        let file = data.join("log.db");
        let older = fs::read(&file).unwrap();
        again(&data, id, 5);
        if removed {
            fs::remove_file(&file).unwrap();
        } else {
            fs::write(&file, older).unwrap();
        }
        let said = adopted(&data, true);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("logs are") && said[0].ends_with("missing and given up"), "{said:?}");
        assert_eq!(adopted(&data, false), [] as [&str; 0]);
        let kept = if removed { 0 } else { 4 };
        let store = open(&data);
        assert_eq!(log(&store, id).len(), kept);
        append(&store, vec![login(id, at(6))]);
        let copy = crashed(&data, "killed");
        assert_eq!(log(&open(&copy), id).len(), kept + 1);
    }
}

/// The process was killed before the file of logs was made.
#[test]
fn a_store_that_was_begun_without_its_logs_gets_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    closed(open(&data));
    fs::remove_file(data.join("log.db")).unwrap();
    let id = lived(&data, 1..2);
    assert_eq!(log(&open(&data), id).len(), 3);
    fs::remove_file(data.join("registry.db")).unwrap();
    let error = refused(&data);
    assert!(matches!(error, OpenError::RegistryMissing { .. }), "no new store begins beside its logs");
}

#[test]
fn damaged_logs_are_named_with_the_way_to_go_on_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let id = lived(&data, 1..3);
    let file = data.join("log.db");
    let whole = fs::read(&file).unwrap();
    let mut wrong_page = whole.clone();
    wrong_page[4096..8192].fill(0xa5);
    for damage in [Vec::new(), b"no database".to_vec(), whole[..4096 * 2].to_vec(), wrong_page] {
        fs::write(&file, damage).unwrap();
        let error = refused(&data);
        assert!(matches!(&error, OpenError::Damaged { file: named, .. } if *named == file), "{error}");
        assert!(error.advice().contains("narrowgate adopt --yes begins new logs"), "{}", error.advice());
    }
    fs::rename(&file, data.join("damaged.db")).unwrap();
    assert!(matches!(refused(&data), OpenError::LogMissing { .. }));
    assert_eq!(adopted(&data, true), ["logs are missing and given up"]);
    let store = open(&data);
    append(&store, vec![login(id, at(9))]);
    assert_eq!(log(&store, id).len(), 1);
}

#[test]
fn a_footer_of_the_logs_that_has_changed_takes_no_entry_away() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let id = lived(&data, 1..3);
    let file = data.join("log.db");
    for change in ["batch = batch + 64", "serial = serial + 1", "added = 'log 1:1'", "sum = 1"] {
        let whole = fs::read(&file).unwrap();
        let hurt = Connection::open(&file).unwrap();
        assert_eq!(hurt.execute(&format!("UPDATE footer SET {change}"), []).unwrap(), 1);
        hurt.close().unwrap();
        let error = SqliteStore::open(crate::sqlite::SqliteOptions::new(&data)).unwrap_err();
        let OpenError::Damaged { file: named, reason } = error else { panic!("{change}: {error}") };
        assert_eq!((named, reason.as_str()), (file.clone(), "the footer is not as it was stored"));
        fs::write(&file, whole).unwrap();
        assert_eq!(log(&open(&data), id).len(), 4);
    }
}
