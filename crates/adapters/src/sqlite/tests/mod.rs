//! What the SQLite store promises beyond the port; and the port's conformance suite.

mod access;
mod age;
mod backup;
mod belonging;
mod buckets;
mod classes;
mod damage;
mod durability;
mod fat;
mod halves;
mod logs;
mod lost;
mod models;
mod online;
mod opening;
pub(super) mod poisoned;
mod properties;
mod purge;
mod rates;
mod removal;
mod scripts;
mod space;
mod stream;
mod write_back;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use narrowgate_platform::{
    model::retention::RetentionClass,
    ports::Store,
    store_conformance,
    testing::store::{
        commands,
        random::{Subject, check_seed},
    },
};
use tempfile::TempDir;

use super::{SqliteOptions, SqliteStore};

/// Failures that tests switch on.
#[derive(Debug, Default)]
pub(super) struct Faults {
    registry_commits_to_fail: AtomicU32,
    log_commits_to_fail: AtomicU32,
    registry_commits_to_doubt: AtomicU32,
    files_committed_to_fail: AtomicU32,
    lost_notes_to_fail: AtomicU32,
}

impl Faults {
    /// After the commit of a message file.
    pub(super) fn file_committed(&self) -> rusqlite::Result<()> {
        Self::take(&self.files_committed_to_fail)
    }

    pub(super) fn registry_commit(&self) -> rusqlite::Result<()> {
        Self::take(&self.registry_commits_to_fail)
    }

    pub(super) fn log_commit(&self) -> rusqlite::Result<()> {
        Self::take(&self.log_commits_to_fail)
    }

    /// After a commit of the registry: says that it has failed.
    pub(super) fn registry_committed(&self) -> rusqlite::Result<()> {
        Self::take(&self.registry_commits_to_doubt)
    }

    /// Where it is written down which messages are gone.
    pub(super) fn lost_noted(&self) -> rusqlite::Result<()> {
        Self::take(&self.lost_notes_to_fail)
    }

    pub(super) fn fail_lost_notes(&self, count: u32) {
        self.lost_notes_to_fail.store(count, Ordering::Relaxed);
    }

    fn take(to_fail: &AtomicU32) -> rusqlite::Result<()> {
        let left = to_fail.load(Ordering::Relaxed);
        if left == 0 {
            return Ok(());
        }
        to_fail.store(left - 1, Ordering::Relaxed);
        Err(rusqlite::Error::InvalidQuery)
    }
}

impl SqliteStore {
    /// The next `count` commits of the registry fail.
    fn fail_registry_commits(&self, count: u32) {
        self.shared.faults.registry_commits_to_fail.store(count, Ordering::Relaxed);
    }

    /// The next commit of the registry is made, and said to have failed.
    fn doubt_registry_commit(&self) {
        self.shared.faults.registry_commits_to_doubt.store(1, Ordering::Relaxed);
    }

    /// After the next commit of a message file, the batch fails.
    fn fail_after_file_commit(&self) {
        self.shared.faults.files_committed_to_fail.store(1, Ordering::Relaxed);
    }

    /// The next `count` commits of the file of logs fail, also of groups that do not touch it.
    fn fail_log_commits(&self, count: u32) {
        self.shared.faults.log_commits_to_fail.store(count, Ordering::Relaxed);
    }
}

pub(super) fn open(data: &Path) -> SqliteStore {
    SqliteStore::open(SqliteOptions::new(data)).expect("the directory is in order")
}

/// Latest values are written down at the end only.
fn open_unhurried(data: &Path) -> SqliteStore {
    let flush_interval = Duration::from_secs(3600);
    SqliteStore::open(SqliteOptions { flush_interval, ..SqliteOptions::new(data) })
        .expect("the directory is in order")
}

/// Every file below `folder` with what is in it; the store may take one away meanwhile.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
            continue;
        }
        match fs::read(&path) {
            Ok(bytes) => files.push((path, bytes)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}", path.display()),
        }
    }
    files.sort();
    files
}

/// What a crash would leave at this moment: a copy of all files while the store is open.
pub(super) fn crashed(data: &Path, name: &str) -> PathBuf {
    let copy = data.with_file_name(name);
    // What is written back behind a commit moves bytes from one file to another.
    let mut all = contents(data);
    loop {
        let again = contents(data);
        if again == all {
            break;
        }
        all = again;
    }
    for (path, bytes) in all {
        let target = copy.join(path.strip_prefix(data).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(&target, bytes).unwrap();
        if let Ok(metadata) = fs::metadata(&path) {
            fs::set_permissions(&target, metadata.permissions()).unwrap();
        }
    }
    copy
}

/// Of the three classes that random operations name, one has files of its own.
fn two_classes(data: &Path) -> SqliteOptions {
    let short = RetentionClass::parse("short").expect("it is a name");
    SqliteOptions { retention_classes: vec![(short, None)], ..SqliteOptions::new(data) }
}

fn make() -> (Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let store = SqliteStore::open(two_classes(&folder.path().join("data"))).expect("the folder is empty");
    (Arc::new(store), folder)
}

fn reopen(store: Arc<dyn Store>, folder: &TempDir) -> Arc<dyn Store> {
    narrowgate_platform::testing::block_on(store.close()).expect("it was open");
    drop(store);
    Arc::new(SqliteStore::open(two_classes(&folder.path().join("data"))).expect("it was closed properly"))
}

#[test]
fn a_device_has_as_many_open_commands_as_the_store_was_told() {
    for open_commands_max in [1, 3] {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let options = SqliteOptions { open_commands_max, ..two_classes(&folder.path().join("data")) };
        let store = SqliteStore::open(options).expect("the folder is empty");
        commands::a_device_has_so_many_open_commands_and_no_more(&store, open_commands_max);
    }
}

#[test]
fn whatever_happens_a_store_with_short_queues_does_what_the_model_does() {
    const OPEN_MAX: usize = 2;
    let options = |folder: &TempDir| SqliteOptions {
        open_commands_max: OPEN_MAX,
        ..two_classes(&folder.path().join("data"))
    };
    let mut make = || {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let store = SqliteStore::open(options(&folder)).expect("the folder is empty");
        Subject::lasting(Arc::new(store), folder).with_open_commands_max(OPEN_MAX)
    };
    for seed in 1000..1008 {
        check_seed(seed, &mut make);
    }
}

mod conformance {
    use super::*;
    store_conformance!(make, reopen);
}
