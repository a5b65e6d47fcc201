//! Files that are removed, moved or replaced while the store is open: what is acknowledged is there after the
//! next opening, and what cannot be stored is refused.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::DeviceId,
    ports::{Batch, HistoryQuery, HistoryReads as _, Journal as _, StoreError, WhyLost, Write, Written},
    testing::{
        block_on,
        store::fixtures::{at, history, log, login, one_device, report},
    },
};

use super::{SqliteStore, open, stream::is_of};
use crate::sqlite::{OpenError, SqliteOptions};

const TODAY: &str = "messages/2026-01-01.db";

fn numbered(id: DeviceId, n: i64) -> Write {
    report(id, at(n), &format!(r#"{{"n":{n}}}"#))
}

/// A store with a device and report 1.
fn begun(data: &Path) -> (SqliteStore, DeviceId) {
    let store = open(data);
    let id = one_device(&store, "dk-1");
    assert!(stored(&store, numbered(id, 1)).is_ok());
    (store, id)
}

/// Whether a write was acknowledged.
fn stored(store: &SqliteStore, write: Write) -> Result<(), StoreError> {
    let committed = block_on(store.append(Batch::new(0, vec![write])))?;
    assert!(matches!(committed.outcomes[..], [Written::Done | Written::Activated]), "{committed:?}");
    Ok(())
}

/// Numbers of the stored reports, oldest first.
fn numbers(store: &SqliteStore, id: DeviceId) -> Vec<i64> {
    let query = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
    let mut numbers: Vec<i64> =
        history(store, id, query).iter().map(|value| value.value.get().parse().unwrap()).collect();
    numbers.reverse();
    numbers
}

/// Reports 2 to 9, one after the other; those that were acknowledged.
fn acknowledged(store: &SqliteStore, id: DeviceId) -> Vec<i64> {
    (2..10).filter(|n| stored(store, numbered(id, *n)).is_ok()).collect()
}

/// Waits for what the writer finds by itself, every second.
fn within_seconds(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not happen");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nothing_is_acknowledged_that_went_into_a_days_file_that_was_removed() {
    type Loss = fn(&Path);
    let losses: [(&str, Loss); 5] = [
        ("the file", |data| fs::remove_file(data.join(TODAY)).unwrap()),
        ("file and log", |data| {
            for suffix in ["", "-wal", "-shm"] {
                fs::remove_file(data.join(format!("{TODAY}{suffix}"))).unwrap();
            }
        }),
        ("the folder", |data| fs::remove_dir_all(data.join("messages")).unwrap()),
        ("moved", |data| fs::rename(data.join(TODAY), data.join("aside")).unwrap()),
        ("folder moved", |data| fs::rename(data.join("messages"), data.join("aside")).unwrap()),
    ];
    for (what, lose) in losses {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (store, id) = begun(&data);
        let stood = block_on(store.happened(None, 1)).unwrap().head;
        lose(&data);
        let error = stored(&store, numbered(id, 2));
        if let Err(error) = &error {
            assert!(error.to_string().contains("was removed while the server runs"), "{what}: {error}");
        }
        let mut right = acknowledged(&store, id);
        assert!(right.len() >= 7, "{what}: a new file is begun: {right:?}");
        if error.is_ok() {
            right.insert(0, 2);
            right.dedup();
        }
        assert!(stored(&store, login(id, at(20))).is_ok(), "{what}");
        within_seconds(|| store.trouble().is_none());
        let missed = block_on(store.happened(Some(stood), 100)).unwrap().lost.expect("some is lost");
        assert_eq!((missed.why, is_of(&missed)), (WhyLost::Expired, (true, false)), "{what}");
        block_on(store.close()).unwrap();
        drop(store);
        let store = open(&data);
        let mut found = numbers(&store, id);
        found.dedup();
        assert_eq!(found, right, "{what}: report 1 is lost with its file, and no other");
        assert_eq!(block_on(store.points_latest(id)).unwrap().items[0].value.get(), "9", "{what}");
    }
}

#[test]
fn without_its_registry_or_its_logs_nothing_is_acknowledged_until_it_is_back() {
    type Way = fn(&Path) -> (PathBuf, PathBuf);
    let ways: [(&str, &str, Way); 3] = [
        ("the registry", "registry.db", |data| (data.join("registry.db"), data.join("aside"))),
        ("the logs", "log.db", |data| (data.join("log.db"), data.join("aside"))),
        ("the data directory", "registry.db", |data| (data.to_owned(), data.with_file_name("aside"))),
    ];
    for (what, named, way) in ways {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (store, id) = begun(&data);
        let (from, to) = way(&data);
        fs::rename(&from, &to).unwrap();
        // Without any work.
        within_seconds(|| store.trouble().is_some());
        let trouble = store.trouble().unwrap();
        let words = format!("{named} was removed while the server runs");
        assert!(trouble.contains(&words), "{what}: {trouble}");
        assert_eq!(acknowledged(&store, id), [] as [i64; 0], "{what}");
        assert!(stored(&store, login(id, at(20))).is_err(), "{what}");
        fs::rename(&to, &from).unwrap();
        within_seconds(|| store.trouble().is_none());
        assert!(stored(&store, numbered(id, 30)).is_ok(), "{what}");
        block_on(store.close()).unwrap();
        drop(store);
        let store = open(&data);
        assert_eq!(numbers(&store, id), [1, 30], "{what}");
    }
}

#[test]
fn a_registry_that_is_removed_for_good_stops_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (store, id) = begun(folder.path());
    fs::remove_file(folder.path().join("registry.db")).unwrap();
    assert_eq!(acknowledged(&store, id), [] as [i64; 0]);
}

/// Another file under the name may be anything: it is left alone.
#[test]
fn a_file_in_the_place_of_another_is_not_written_until_the_next_opening() {
    for name in ["registry.db", "log.db", TODAY] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (store, id) = begun(&data);
        let file = data.join(name);
        fs::copy(&file, data.join("copy")).unwrap();
        let before = fs::read(&file).unwrap();
        fs::rename(data.join("copy"), &file).unwrap();
        assert_eq!(acknowledged(&store, id), [] as [i64; 0], "{name}");
        within_seconds(|| store.trouble().is_some_and(|trouble| trouble.contains("was replaced")));
        assert!(fs::read(&file).unwrap() == before, "{name}");
    }
}

#[test]
fn a_days_file_that_is_moved_away_and_back_has_no_report_that_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, id) = begun(folder.path());
    let (file, aside) = (folder.path().join(TODAY), folder.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    let second = stored(&store, numbered(id, 2)).is_ok();
    if second {
        // The writer had looked before, and has begun a new file.
        return;
    }
    fs::rename(&aside, &file).unwrap();
    assert!(stored(&store, numbered(id, 3)).is_ok());
    block_on(store.close()).unwrap();
    drop(store);
    assert_eq!(numbers(&open(folder.path()), id), [1, 3]);
}

/// The log holds everything since it was last written back. Its content is saved, and nobody writes to a file
/// without a name.
#[test]
fn a_log_that_is_removed_loses_nothing_that_was_acknowledged() {
    for name in ["registry.db", "log.db", TODAY] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (store, id) = begun(&data);
        assert!(stored(&store, login(id, at(1))).is_ok());
        let entries = log(&store, id).len();
        fs::remove_file(data.join(format!("{name}-wal"))).unwrap();
        let right = acknowledged(&store, id);
        assert!(right.len() <= 1, "{name}: {right:?}");
        within_seconds(|| store.trouble().is_some_and(|trouble| trouble.contains("start it again")));
        // As after `kill -9`: nothing that a close would write.
        let copy = super::crashed(&data, "killed");
        let store = open(&copy);
        let all: Vec<i64> = [1].into_iter().chain(right).collect();
        let mut found = numbers(&store, id);
        found.dedup();
        assert_eq!(found, all, "{name}");
        assert_eq!(log(&store, id).len(), entries, "{name}");
        assert!(stored(&store, numbered(id, 40)).is_ok(), "{name}");
    }
}

#[test]
fn a_second_store_does_not_open_where_the_lock_file_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, id) = begun(folder.path());
    fs::remove_file(folder.path().join("narrowgate.lock")).unwrap();
    let error = SqliteStore::open(SqliteOptions::new(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    assert!(stored(&store, numbered(id, 2)).is_ok());
    block_on(store.close()).unwrap();
    drop(store);
    assert_eq!(numbers(&open(folder.path()), id), [1, 2]);
}
