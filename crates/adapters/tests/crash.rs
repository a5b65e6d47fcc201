//! What only a process of its own can show: `kill -9` in the middle of writing, and a disk that is full.
//!
//! A test starts this file's program again, with the directory to work in as an environment variable; the
//! functions that do the child's work are tests too, which do nothing without that variable.

use std::{
    collections::VecDeque,
    env,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    ids::DeviceId,
    model::{message::Message, retention::RetentionClass},
    ports::{
        Batch, HistoryQuery, HistoryReads as _, Journal as _, Registry as _, StoreError, Write as Stored,
    },
    testing::{
        block_on,
        store::fixtures::{at, device, history, login, name, one_device, report},
    },
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const DATA: &str = "NARROWGATE_TEST_DATA";
const BATCH: i64 = 10;

fn child_data() -> Option<PathBuf> {
    env::var_os(DATA).map(PathBuf::from)
}

fn open(data: &Path) -> SqliteStore {
    let retention_classes = vec![(short(), None)];
    SqliteStore::open(SqliteOptions { retention_classes, ..SqliteOptions::new(data) })
        .expect("whatever happened, the store opens")
}

fn the_device(store: &SqliteStore) -> DeviceId {
    block_on(store.device(&name("pk", "dk-1"))).unwrap().unwrap().id
}

fn short() -> RetentionClass {
    RetentionClass::parse("short").expect("it is a name")
}

/// A report, of two classes in turn.
fn numbered(device: DeviceId, k: i64) -> Stored {
    match report(device, at(k), &format!(r#"{{"n":{k}}}"#)) {
        Stored::Message(message) if k % 2 == 1 => Stored::Message(Message { retention: short(), ..message }),
        other => other,
    }
}

/// Batch `n`: messages of two classes and a login, so that all files are written.
fn batch(device: DeviceId, n: i64) -> Batch {
    let mut batch: Vec<_> = (n * BATCH..(n + 1) * BATCH).map(|k| numbered(device, k)).collect();
    batch.push(login(device, at(n * BATCH)));
    Batch::new(n as u64, batch)
}

/// Numbers of the stored batches, each of which is stored whole and once.
fn stored(store: &SqliteStore) -> Vec<i64> {
    let query = HistoryQuery { limit: usize::MAX, ..HistoryQuery::default() };
    let values = history(store, the_device(store), query);
    let numbers: Vec<i64> = values.iter().rev().map(|value| value.value.get().parse().unwrap()).collect();
    let batches: Vec<i64> = numbers.chunks(BATCH as usize).map(|chunk| chunk[0] / BATCH).collect();
    let whole: Vec<i64> = batches.iter().flat_map(|n| n * BATCH..(n + 1) * BATCH).collect();
    assert_eq!(numbers, whole);
    batches
}

#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(data) = child_data() else { return };
    let store = open(&data);
    let device = the_device(&store);
    let first = stored(&store).last().map_or(0, |last| last + 1);
    let mut under_way = VecDeque::new();
    for n in first.. {
        under_way.push_back((n, store.append(batch(device, n))));
        if under_way.len() > 3
            && let Some((n, oldest)) = under_way.pop_front()
        {
            block_on(oldest).unwrap();
            writeln!(std::io::stdout(), "\nacknowledged {n}").unwrap();
        }
    }
}

fn start(program: &mut Command, test: &str, data: &Path) -> Child {
    program
        .args(["--exact", test, "--nocapture"])
        .env(DATA, data)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started again")
}

#[test]
fn kill_minus_nine_loses_nothing_acknowledged_and_stores_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    one_device(&open(&data), "dk-1");
    let mut acknowledged = -1;
    for kill_after in [1, 2, 5, 9, 40, 150] {
        let mut program = Command::new(env::current_exe().unwrap());
        let mut child = start(&mut program, "child_that_writes_until_it_is_killed", &data);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers =
            lines.by_ref().filter_map(|line| line.unwrap().strip_prefix("acknowledged ")?.parse().ok());
        acknowledged = numbers.take(kill_after).last().unwrap_or(acknowledged);
        child.kill().unwrap();
        child.wait().unwrap();
        // What it wrote between the last line read and its end.
        let rest = lines.filter_map(|line| line.unwrap().strip_prefix("acknowledged ")?.parse().ok());
        acknowledged = rest.last().unwrap_or(acknowledged);

        let store = open(&data);
        let found = stored(&store);
        assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>());
        let last = found.last().copied().unwrap_or(-1);
        assert!(last >= acknowledged, "{acknowledged} was acknowledged, {last} is the last stored");
        let latest = block_on(store.points_latest(the_device(&store))).unwrap().items;
        assert_eq!(latest[0].value.get(), (last * BATCH + BATCH - 1).to_string());
        acknowledged = last;
    }
    assert!(acknowledged > 150);
}

/// Between the commits of two message files, and between the last of them and the registry's.
#[cfg(feature = "test-hooks")]
#[test]
fn a_process_that_is_killed_between_the_commits_of_two_classes_leaves_no_half() {
    for passed in 1..=6 {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        one_device(&open(&data), "dk-1");
        let mut program = Command::new(env::current_exe().unwrap());
        program.env("NARROWGATE_KILL_AT", format!("batch-between-commits:{passed}"));
        let mut child = start(&mut program, "child_that_writes_until_it_is_killed", &data);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged =
            lines.filter_map(|line| line.unwrap().strip_prefix("acknowledged ")?.parse().ok()).last();
        assert_eq!(child.wait().unwrap().code(), None, "it ends by a signal");
        let store = open(&data);
        let found = stored(&store);
        assert!(found.last().copied() >= acknowledged, "{found:?} {acknowledged:?}");
        // What was not acknowledged is sent again, and is there once.
        let device = the_device(&store);
        let next = found.last().map_or(0, |last| last + 1);
        block_on(store.append(batch(device, next))).unwrap();
        assert_eq!(stored(&store), (0..=next).collect::<Vec<_>>());
    }
}

#[test]
fn child_whose_disk_is_full() {
    let Some(data) = child_data() else { return };
    let store = open(&data);
    let id = the_device(&store);
    let (mut stored_batches, mut failures, mut n) = (Vec::new(), 0, 0);
    while failures < 5 {
        match block_on(store.append(batch(id, n))) {
            Ok(_) => stored_batches.push(n),
            Err(StoreError::Unavailable(_)) => failures += 1,
            Err(other) => panic!("{other}"),
        }
        n += 1;
    }
    assert!(!stored_batches.is_empty(), "the limit leaves room for something");
    assert_eq!(stored(&store), stored_batches, "reading works on a full disk");

    // There is space again.
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    block_on(store.append(batch(id, n))).unwrap();
    stored_batches.push(n);
    assert_eq!(stored(&store), stored_batches);
    assert_eq!(device(&store, id).last_seen_time, Some(at(n * BATCH + BATCH - 1)));
    block_on(store.close()).unwrap();
    assert_eq!(stored(&open(&data)), stored_batches);
}

#[test]
fn a_full_disk_refuses_stores_nothing_by_halves_and_heals() {
    for kib in [200, 333, 500] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        one_device(&open(&data), "dk-1");
        // Files may not grow beyond the limit; without the signal, writing then fails as on a full disk.
        let script = format!(r#"trap "" XFSZ; ulimit -S -f {}; exec "$@""#, kib * 2);
        let mut program = Command::new("sh");
        program.args(["-c", &script, "sh"]).arg(env::current_exe().unwrap());
        let child = start(&mut program, "child_whose_disk_is_full", &data);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{kib} KiB: {}", String::from_utf8_lossy(&output.stdout));
    }
}
