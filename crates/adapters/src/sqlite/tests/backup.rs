//! Backups: taken beside a store that is written, and restored as what was acknowledged.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use narrowgate_platform::{
    firmware::{Image, Sha256Sum},
    ids::{DEFAULT_OU, DeviceId, UnixMillis},
    ports::{
        FirmwareReads as _, HistoryQuery, HistoryReads as _, Images as _, Journal as _, Pause, Registry as _,
        RegistryChanges as _, Upload,
    },
    testing::{
        block_on,
        store::fixtures::{add_device, append, at, batch, history, log, login, name, one_device, report},
    },
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{SqliteStore, contents, crashed, open};
use crate::{
    images::ImageFiles,
    sqlite::{
        OpenError, SqliteOptions,
        backup::{Alone, BackupError, BackupOptions, Copied, HOLD_MAX, Quiet, RestoreOptions, restore, take},
    },
};

const DAY: i64 = 86_400;

fn clock() -> UnixMillis {
    at(10)
}

fn to_back_up(data: &Path, target: &Path) -> BackupOptions {
    let (data, data_key) = (data.to_owned(), data.join("data.key"));
    BackupOptions { data, data_key, target: target.to_owned(), with_key: true, clock }
}

fn to_restore(backup: &Path, data: &Path) -> RestoreOptions {
    let (data, data_key) = (data.to_owned(), data.join("data.key"));
    RestoreOptions { backup: backup.to_owned(), data, data_key, key: None, clock }
}

fn take_still(data: &Path, target: &Path) -> Copied {
    take(&to_back_up(data, target), &mut Alone::take(data).unwrap(), &mut |_, _| {}).unwrap()
}

fn restored(backup: &Path, data: &Path) -> SqliteStore {
    restore(&to_restore(backup, data), &mut |_, _| {}).unwrap();
    open(data)
}

fn refused(options: &RestoreOptions) -> BackupError {
    let before = options.data.exists().then(|| contents(&options.data));
    let error = restore(options, &mut |_, _| {}).unwrap_err();
    let after = options.data.exists().then(|| contents(&options.data));
    assert!(before.unwrap_or_default() == after.unwrap_or_default(), "{error}: something was changed");
    assert!(!error.advice().is_empty());
    error
}

/// Numbers that a device has reported.
fn numbers(store: &SqliteStore, device: DeviceId) -> Vec<i64> {
    let query = HistoryQuery { limit: 100_000, ..HistoryQuery::default() };
    let values = history(store, device, query);
    values.iter().rev().map(|value| value.value.get().parse().unwrap()).collect()
}

/// A closed store of two days with a device.
fn lived() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    append(&store, vec![report(id, at(DAY), r#"{"n":2}"#), login(id, at(DAY))]);
    block_on(store.close()).unwrap();
    (folder, data)
}

/// Stops a store in this process.
struct Hold {
    store: Arc<SqliteStore>,
    pause: Option<Pause>,
    /// How often it was asked for, and how often it was too slow.
    held: u32,
    fails: u32,
}

impl Quiet for Hold {
    fn hold(&mut self) -> Result<(), String> {
        self.held += 1;
        self.pause = Some(block_on(self.store.hold(HOLD_MAX)).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn is_held(&mut self) -> bool {
        self.held > self.fails
    }

    fn release(&mut self) {
        self.pause = None;
    }
}

/// Tells others that it is the end, also after a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes until it is told to stop: batches of reports, every third with a login, over two days.
fn write(store: &SqliteStore, device: DeviceId, end: &AtomicBool, acknowledged: &Mutex<BTreeSet<i64>>) {
    for n in 0.. {
        if end.load(Ordering::Relaxed) {
            return;
        }
        let day = if n < 60 { 0 } else { DAY };
        let numbers: Vec<i64> = (n * 20..(n + 1) * 20).collect();
        let text = |k: &i64| format!(r#"{{"n":{k}}}"#);
        let mut writes: Vec<_> = numbers.iter().map(|k| report(device, at(day + n), &text(k))).collect();
        if n % 3 == 0 {
            writes.push(login(device, at(day + n)));
        }
        block_on(store.append(batch(writes))).unwrap();
        acknowledged.lock().unwrap().extend(numbers);
    }
}

#[test]
fn attack_213_what_is_acknowledged_before_the_end_of_a_backup_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = Arc::new(open(&data));
    let id = one_device(&*store, "dk-1");
    append(&*store, vec![login(id, at(0))]);
    let (end, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let count = || acknowledged.lock().unwrap().len();
    thread::scope(|scope| {
        scope.spawn(|| write(&store, id, &end, &acknowledged));
        let _ends = Ends(&end);
        while count() < 400 {
            thread::sleep(Duration::from_millis(5));
        }
        for round in 0..6 {
            let backup = folder.path().join(format!("backup-{round}"));
            // Every second one needs a second attempt.
            let mut hold = Hold { store: Arc::clone(&store), pause: None, held: 0, fails: round % 2 };
            let copied = take(&to_back_up(&data, &backup), &mut hold, &mut |_, _| {}).unwrap();
            let before_the_end = acknowledged.lock().unwrap().clone();
            hold.release();
            let after = folder.path().join(format!("restored-{round}"));
            let store = restored(&backup, &after);
            let found = numbers(&store, id);
            let set: BTreeSet<i64> = found.iter().copied().collect();
            assert_eq!(set.len(), found.len(), "nothing is there twice");
            assert!(set.is_superset(&before_the_end), "round {round}: {:?}", before_the_end.difference(&set));
            assert!(copied.files >= 3 && copied.batch > 0, "{copied:?}");
            let latest = block_on(store.points_latest(id)).unwrap().items;
            assert_eq!(latest[0].value.get(), found.iter().max().unwrap().to_string());
            let reached = count();
            while count() < reached + 400 {
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    // The store went on, and its logs are emptied again.
    append(&*store, vec![report(id, at(DAY), r#"{"n":-1}"#)]);
    assert!(numbers(&store, id).len() > 1200);
}

#[test]
fn a_backup_of_a_store_that_was_killed_restores_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"n":1}"#)]);
    append(&store, vec![report(id, at(DAY), r#"{"n":2}"#)]);
    let killed = crashed(&data, "killed");
    let before = contents(&killed);
    let backup = folder.path().join("backup");
    take_still(&killed, &backup);
    let files = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<_> {
        // Who uses the directory, and since which second, is written into the lock's file.
        let is_other =
            |path: &Path| path.ends_with("narrowgate.lock") || path.to_string_lossy().ends_with("-shm");
        files.into_iter().filter(|(path, _)| !is_other(path)).collect()
    };
    assert!(files(contents(&killed)) == files(before), "the original is as it was");
    let store = restored(&backup, &folder.path().join("restored"));
    assert_eq!(numbers(&store, id), [1, 2]);
    assert_eq!(block_on(store.device(&name("pk", "dk-1"))).unwrap().unwrap().id, id);
}

#[test]
fn a_restored_store_has_all_its_files_a_later_epoch_and_another_name() {
    let (folder, data) = lived();
    let (backup, second) = (folder.path().join("backup"), folder.path().join("second"));
    let copied = take_still(&data, &backup);
    assert_eq!(copied.files, 5, "registry, logs, two days, key");
    assert_eq!(contents(&data).len(), contents(&crashed(&data, "same")).len());
    let store = open(&data);
    let device = block_on(store.device(&name("pk", "dk-1"))).unwrap().unwrap();
    let first = block_on(store.recover()).unwrap().epoch;
    append(&store, vec![report(device.id, at(2 * DAY), r#"{"n":3}"#)]);
    block_on(store.close()).unwrap();
    let epochs: Vec<u64> = (0..3)
        .map(|n| {
            let data = folder.path().join(format!("restored-{n}"));
            let store = restored(&backup, &data);
            assert_eq!(numbers(&store, device.id), [1, 2]);
            assert_eq!(log(&store, device.id).len(), 4, "created, activated, two logins");
            block_on(store.recover()).unwrap().epoch
        })
        .collect();
    let different: BTreeSet<u64> = epochs.iter().copied().chain([first, first + 1]).collect();
    assert_eq!(different.len(), 5, "{epochs:?} {first}");
    assert!(epochs.iter().all(|epoch| *epoch > first + 1_000_000), "{epochs:?} {first}");

    // Neither its logs nor a day of the original that came after the backup are taken for its own.
    restore(&to_restore(&backup, &second), &mut |_, _| {}).unwrap();
    let logs = fs::read(second.join("log.db")).unwrap();
    fs::copy(data.join("log.db"), second.join("log.db")).unwrap();
    let error = SqliteStore::open(SqliteOptions::new(&second)).unwrap_err();
    assert!(matches!(error, OpenError::OfAnotherStore { .. }), "{error}");
    fs::write(second.join("log.db"), logs).unwrap();
    let day = "messages/2026-01-03.db";
    fs::copy(data.join(day), second.join(day)).unwrap();
    let error = SqliteStore::open(SqliteOptions::new(&second)).unwrap_err();
    assert!(matches!(error, OpenError::OfAnotherStore { .. }), "{error}");
}

#[test]
fn a_backup_without_its_key_needs_the_key() {
    let (folder, data) = lived();
    let (backup, target) = (folder.path().join("backup"), folder.path().join("restored"));
    let options = BackupOptions { with_key: false, ..to_back_up(&data, &backup) };
    take(&options, &mut Alone::take(&data).unwrap(), &mut |_, _| {}).unwrap();
    assert!(!backup.join("data.key").exists());
    let error = refused(&to_restore(&backup, &target));
    assert!(matches!(error, BackupError::KeyNeeded { .. }) && error.is_usage(), "{error}");
    let other = folder.path().join("other.key");
    fs::write(&other, "00112233445566778899aabbccddeeff".repeat(2)).unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let wrong = RestoreOptions { key: Some(other), ..to_restore(&backup, &target) };
    let error = refused(&wrong);
    assert!(matches!(error, BackupError::Open(OpenError::KeyWrong { .. })), "{error}");
    let right = RestoreOptions { key: Some(data.join("data.key")), ..to_restore(&backup, &target) };
    restore(&right, &mut |_, _| {}).unwrap();
    assert_eq!(fs::read(target.join("data.key")).unwrap(), fs::read(data.join("data.key")).unwrap());
    open(&target);
}

#[test]
fn a_backup_that_is_not_whole_or_was_changed_is_refused() {
    let (folder, data) = lived();
    let backup = folder.path().join("backup");
    take_still(&data, &backup);
    let target = folder.path().join("restored");
    let whole = contents(&backup);
    let put =
        |files: &[(PathBuf, Vec<u8>)]| files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    for (path, bytes) in &whole {
        let is_manifest = path.ends_with("manifest.json");
        fs::remove_file(path).unwrap();
        let error = refused(&to_restore(&backup, &target));
        match is_manifest {
            true => assert!(matches!(error, BackupError::NotWhole { .. }), "{error}"),
            false if path.ends_with("data.key") => {}
            false => assert!(matches!(&error, BackupError::Differs { file, .. } if file == path), "{error}"),
        }
        let mut changed = bytes.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        put(&[(path.clone(), changed)]);
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        refused(&to_restore(&backup, &target));
        put(&[(path.clone(), bytes.clone())]);
    }
    put(&whole);
    restore(&to_restore(&backup, &target), &mut |_, _| {}).unwrap();
    open(&target);
}

#[test]
fn nothing_is_written_over() {
    let (folder, data) = lived();
    let backup = folder.path().join("backup");
    take_still(&data, &backup);
    let again = take(&to_back_up(&data, &backup), &mut Alone::take(&data).unwrap(), &mut |_, _| {});
    assert!(matches!(again, Err(BackupError::NotEmpty { .. })));
    assert!(matches!(refused(&to_restore(&backup, &data)), BackupError::HasData { .. }));
    let other = folder.path().join("other");
    fs::create_dir_all(other.join("messages")).unwrap();
    assert!(matches!(refused(&to_restore(&backup, &other)), BackupError::HasData { .. }));
    fs::remove_dir(other.join("messages")).unwrap();
    fs::write(other.join("data.key"), "another").unwrap();
    assert!(matches!(refused(&to_restore(&backup, &other)), BackupError::KeyThere { .. }));
    fs::remove_file(other.join("data.key")).unwrap();
    // A configuration does not count as data.
    fs::write(other.join("narrowgate.toml"), "").unwrap();
    restore(&to_restore(&backup, &other), &mut |_, _| {}).unwrap();
    open(&other);
    let nothing = to_back_up(&folder.path().join("nothing"), &folder.path().join("backup-2"));
    let error = take(&nothing, &mut Alone::take(folder.path()).unwrap(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, BackupError::NoStore { .. }));
    assert!(!folder.path().join("backup-2").exists());
}

#[test]
fn what_a_restore_leaves_that_was_cut_off_goes_with_the_next_one() {
    let (folder, data) = lived();
    let (backup, target) = (folder.path().join("backup"), folder.path().join("restored"));
    take_still(&data, &backup);
    // Killed right before the registry gets its place.
    fs::create_dir_all(target.join("restore.new")).unwrap();
    fs::create_dir_all(target.join("messages")).unwrap();
    fs::copy(backup.join("registry.db"), target.join("restore.new/registry.db")).unwrap();
    fs::copy(backup.join("log.db"), target.join("log.db")).unwrap();
    fs::copy(backup.join("messages/2026-01-01.db"), target.join("messages/2026-01-01.db")).unwrap();
    fs::copy(backup.join("data.key"), target.join("data.key")).unwrap();
    let started = SqliteStore::open(SqliteOptions::new(&target)).unwrap_err();
    assert!(matches!(started, OpenError::RegistryMissing { .. }));
    let store = restored(&backup, &target);
    let id = block_on(store.device(&name("pk", "dk-1"))).unwrap().unwrap().id;
    assert_eq!(numbers(&store, id), [1, 2]);
    assert!(!target.join("restore.new").exists());
}

#[test]
fn a_store_that_is_held_continues_by_itself_when_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1))]);
    let pause = block_on(store.hold(Duration::from_millis(200))).unwrap();
    let begun = std::time::Instant::now();
    append(&store, vec![report(id, at(2), r#"{"n":1}"#)]);
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
    drop(pause);
    let pause = block_on(store.hold(Duration::from_secs(60))).unwrap();
    assert!(pause.batch > 0);
    let waiting = store.append(batch(vec![report(id, at(3), r#"{"n":2}"#)]));
    drop(pause);
    block_on(waiting).unwrap();
    // Who has stopped waiting for it holds nothing.
    drop(store.hold(Duration::from_secs(60)));
    append(&store, vec![report(id, at(4), r#"{"n":3}"#)]);
    assert_eq!(numbers(&store, id), [1, 2, 3]);
    add_device(&store, "pk", "dk-2");
}

#[test]
fn images_of_firmware_are_in_a_backup_and_one_that_is_gone_is_named() {
    let (folder, data) = lived();
    let registry: Arc<SqliteStore> = Arc::new(open(&data));
    let images = ImageFiles::new(&data, registry.clone());
    let product_key = block_on(registry.products()).unwrap()[0].as_ref().unwrap().product_key.clone();
    let add = |name: &str, bytes: &[u8]| {
        let (id, sha256) = (name.parse().unwrap(), Sha256Sum(Sha256::digest(bytes).into()));
        let (version, size) = (name.to_owned(), bytes.len() as u64);
        let (ou, product_key) = (DEFAULT_OU.to_owned(), product_key.clone());
        let upload = Upload { ou, product_key: product_key.clone(), version: version.clone(), size, sha256 };
        block_on(images.take(upload, 0, bytes.to_vec(), id)).unwrap();
        let image = Image { id, product_key, version, size, sha256, uploaded: at(0), rollout: None };
        block_on(registry.add_image(image)).unwrap();
        id
    };
    let (kept, lost) = (add("IMAGE001", b"the first"), add("IMAGE002", b"the second"));
    fs::remove_file(data.join("firmware/IMAGE002")).unwrap();
    fs::write(data.join("firmware/ORPHAN01"), "an upload that was cut off").unwrap();
    block_on(registry.close()).unwrap();
    drop((images, registry));
    let backup = folder.path().join("backup");
    let [lacking] = take_still(&data, &backup).lacking.try_into().unwrap();
    assert_eq!((&*lacking.image, &*lacking.version), ("IMAGE002", "IMAGE002"));
    assert!(lacking.reason.ends_with("firmware/IMAGE002 is missing"), "{lacking:?}");
    let copy = folder.path().join("copy");
    let store = restored(&backup, &copy);
    assert_eq!(fs::read(copy.join("firmware/IMAGE001")).unwrap(), b"the first");
    assert_eq!(fs::read_dir(copy.join("firmware")).unwrap().count(), 1);
    for image in [kept, lost] {
        assert!(block_on(store.image(image)).unwrap().is_some());
    }
    fs::write(backup.join("firmware/IMAGE001"), "the First").unwrap();
    let other = refused(&to_restore(&backup, &folder.path().join("other")));
    assert!(matches!(other, BackupError::Differs { file, .. } if file.ends_with("firmware/IMAGE001")));
}
