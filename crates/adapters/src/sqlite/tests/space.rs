//! What a device takes at most in the file of logs; docs/operating.md says the figures.

use std::collections::BTreeMap;

use narrowgate_platform::{
    ids::DeviceId,
    model::{
        device::DeviceState,
        log::{LogEntry, LogEvent, Reason},
    },
    ports::{Journal as _, Write},
    testing::{
        block_on,
        store::fixtures::{add_device, add_product, append, at, login, presence},
    },
};
use rusqlite::Connection;

use super::{Path, SqliteOptions, SqliteStore};
use crate::sqlite::Synchronous;

/// Rounds in which each device logs in, goes and is refused: its log and its presence are full for long.
const ROUNDS: i64 = 205;

/// Bytes of each table, in whole pages, over the number of devices.
fn bytes_of_each(file: &Path, devices: i64) -> BTreeMap<String, i64> {
    let file = Connection::open(file).unwrap();
    let mut select = file.prepare("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? / devices))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// A store of devices that have done all that is kept of them, one beside the other.
fn full(data: &Path, devices: i64, words: &str) {
    let options = SqliteOptions { synchronous: Synchronous::Normal, ..SqliteOptions::new(data) };
    let store = SqliteStore::open(options).unwrap();
    add_product(&store, "pk");
    let ids: Vec<_> = (0..devices).map(|n| add_device(&store, "pk", &format!("dk-{n:07}")).id).collect();
    let refused = |device: DeviceId, time| LogEntry {
        reason: Some(Reason::TopicForeign),
        code: None,
        peer: Some("198.51.100.222:50684".to_owned()),
        detail: Some(words.to_owned()),
        ..LogEntry::new(device, time, LogEvent::Refused)
    };
    for round in 0..ROUNDS {
        for some in ids.chunks(300) {
            let all = some.iter().flat_map(|&id| {
                let time = at(3 * round);
                [login(id, time), presence(id, DeviceState::Offline, time, "silent")]
                    .into_iter()
                    .chain([Write::Log(refused(id, time))])
            });
            append(&store, all.collect());
        }
    }
    block_on(store.close()).unwrap();
}

/// By the words of its refusals: usual ones, and long ones.
#[test]
fn a_device_takes_no_more_in_the_logs_than_the_documents_say() {
    const DEVICES: i64 = 20;
    for (words, log_max) in [(80, 38_000), (300, 66_000)] {
        let folder = tempfile::tempdir().unwrap();
        full(folder.path(), DEVICES, &"w".repeat(words));
        let bytes = bytes_of_each(&folder.path().join("log.db"), DEVICES);
        let log = bytes["log"] + bytes["log_refused"];
        assert!(log < log_max, "{words}: {bytes:?}");
        assert!(bytes["presence"] < 11_000, "{words}: {bytes:?}");
    }
}

/// They are trimmed often enough that what waits for it is little beside what is kept.
#[test]
fn a_device_has_few_more_rows_than_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    full(folder.path(), 1, "");
    let logs = Connection::open(folder.path().join("log.db")).unwrap();
    for (table, most) in [("log", 200 + 100 + 16), ("presence", 200 + 16)] {
        let count = format!("SELECT count(*) FROM {table} WHERE device > 0");
        let rows: i64 = logs.query_row(&count, [], |row| row.get(0)).unwrap();
        assert!((200..most).contains(&rows), "{table}: {rows}");
    }
}
