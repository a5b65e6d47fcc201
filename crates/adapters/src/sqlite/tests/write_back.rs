//! Logs are written back while commits go on, and begin anew.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::DeviceId,
    ports::{Journal as _, Write},
    testing::{
        block_on,
        store::fixtures::{append, at, one_device, report, write},
    },
};
use rusqlite::Connection;

use super::{SqliteStore, open_unhurried};

const TODAY: &str = "messages/2026-01-01.db";
/// Reports of one commit, and the bytes of each.
const TOGETHER: i64 = 64;
const BYTES: usize = 10_000;

/// A report of one value.
fn fat(id: DeviceId, n: i64) -> Write {
    report(id, at(n), &format!(r#"{{"p":"{}"}}"#, "x".repeat(BYTES)))
}

fn append_fat(store: &SqliteStore, id: DeviceId, commits: i64) {
    for commit in 0..commits {
        append(store, (0..TOGETHER).map(|n| fat(id, commit * TOGETHER + n)).collect());
    }
}

/// Frames in a file's log, and how many of them are in the file.
fn backlog(file: &Path) -> (i64, i64) {
    let connection = Connection::open(file).unwrap();
    let columns = |row: &rusqlite::Row<'_>| Ok((row.get(1)?, row.get(2)?));
    connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], columns).unwrap()
}

/// Waits for what the writer does between commits.
fn within_seconds(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never comes to be so");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What is written is in the database long before the store is closed, and its log does not grow with it.
#[test]
fn a_log_is_written_back_while_commits_go_on_and_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_unhurried(folder.path());
    let id = one_device(&store, "dk-1");
    append_fat(&store, id, 100);
    let file = folder.path().join(TODAY);
    within_seconds(|| {
        // Where nothing comes any more, the thread goes on by itself.
        let (log, done) = backlog(&file);
        log - done < 4000
    });
    let written = fs::metadata(&file).unwrap().len();
    assert!(written > 40_000_000, "{written} of 64,000,000 bytes are in the file");
    within_seconds(|| {
        append_fat(&store, id, 1);
        backlog(&file).0 < 500
    });
    block_on(store.close()).unwrap();
}

/// A long read keeps a log from beginning anew: reports go on, and after it all is as before.
#[test]
fn a_long_read_stops_no_commit_and_the_log_is_written_back_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_unhurried(folder.path());
    let id = one_device(&store, "dk-1");
    write(&store, fat(id, 0));
    let file = folder.path().join(TODAY);
    let reader = Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    append_fat(&store, id, 40);
    let (log, done) = backlog(&file);
    assert!(log > 4000 && done < 100, "{done} of {log}");
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    within_seconds(|| {
        write(&store, fat(id, 1));
        let (log, done) = backlog(&file);
        log - done < 4000
    });
    block_on(store.close()).unwrap();
    drop(store);
    let messages: i64 = Connection::open(&file)
        .unwrap()
        .query_row("SELECT count(*) FROM messages", [], |row| row.get(0))
        .unwrap();
    assert!(messages > 40 * TOGETHER, "{messages}");
}
