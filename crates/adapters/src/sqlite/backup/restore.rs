//! Restoring a backup into an empty data directory.
//!
//! Everything is copied, compared with the manifest and changed in a folder beside its place, `restore.new`;
//! then the key, the messages, the images of firmware, the audit log, the logs and at last the registry get
//! their places.
//! What a restore leaves that was cut off is removed by the next one; a start in between finds no registry.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use narrowgate_platform::ids::UnixMillis;
use rusqlite::Connection;

use super::{
    BackupError, Copied, Progress,
    copy::{Counter, copy},
    manifest::{Entry, Manifest},
};
use crate::{
    images::FOLDER,
    sqlite::{
        audit::{AUDIT_NAME, HEAD_NAME, OwnDeed, append_own},
        belonging::Origin,
        day_file::checkpoint,
        error::OpenError,
        files::{
            LOGS, LOGS_SINCE, Layout, MESSAGES, REGISTRY, make_directory, open_existing, sync_parent,
            with_suffix,
        },
        key::DataKey,
        lock::DataLock,
        registry,
    },
};

/// Where a restore works.
const DRAFT: &str = "restore.new";
const KEY_NAME: &str = "data.key";

/// What the audit log says of a restore.
const RESTORED: &str = "store.restore";

/// An audit log of a backup that cannot be written.
const DAMAGED_AUDIT: &str = "audit.db.damaged";

/// What to restore, and where to.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The directory of the backup.
    pub backup: PathBuf,
    /// The data directory: without data, or made.
    pub data: PathBuf,
    /// Where the data key goes.
    pub data_key: PathBuf,
    /// A file with the key, in place of the backup's.
    pub key: Option<PathBuf>,
    /// The wall clock.
    pub clock: fn() -> UnixMillis,
}

/// Restores a backup: a store with the same content, another name and a later epoch.
///
/// # Errors
/// Why nothing was restored. The data directory is as it was then.
pub fn restore(options: &RestoreOptions, progress: &mut Progress<'_>) -> Result<Copied, BackupError> {
    let manifest = Manifest::read(&options.backup)?;
    if manifest.format > REGISTRY.version {
        let (file, known) = (options.backup.join("registry.db"), REGISTRY.version);
        return Err(OpenError::Newer { file, found: manifest.format, known }.into());
    }
    let key_file = match &options.key {
        Some(file) => file.clone(),
        None if manifest.has(KEY_NAME) => options.backup.join(KEY_NAME),
        None => return Err(BackupError::KeyNeeded { directory: options.backup.clone() }),
    };
    let key = DataKey::read(&key_file)?;
    check_empty(options)?;
    if !options.data.exists() {
        make_directory(&options.data)?;
    }
    let lock = DataLock::take(&options.data)?;
    check_empty(options)?;
    let draft = Layout { data: options.data.join(DRAFT) };
    let restored = remove_left(options)
        .and_then(|()| copy_all(options, &manifest, &draft, progress))
        .and_then(|()| make_ready(options, &manifest, &draft, &key))
        .and_then(|()| put_in_place(options, &draft, &key_file));
    if restored.is_err() {
        // Ignored: the next restore removes it too.
        let _ = fs::remove_dir_all(&draft.data);
    }
    lock.undo();
    restored.map(|()| Copied {
        files: manifest.files.len(),
        bytes: manifest.bytes(),
        batch: manifest.batch,
        lacking: Vec::new(),
        audit_damage: None,
    })
}

/// Refuses a directory that has data, unless a restore that was cut off left it.
fn check_empty(options: &RestoreOptions) -> Result<(), BackupError> {
    let layout = Layout { data: options.data.clone() };
    let has_data =
        |found: &str| BackupError::HasData { directory: options.data.clone(), found: found.to_owned() };
    if layout.registry().exists() {
        return Err(has_data("registry.db"));
    }
    let is_left = options.data.join(DRAFT).exists();
    let found = [
        ("messages", layout.messages()),
        ("log.db", layout.log()),
        (AUDIT_NAME, layout.data.join(AUDIT_NAME)),
        (FOLDER, options.data.join(FOLDER)),
    ];
    match found.iter().find(|(_, path)| path.exists() && !is_left) {
        Some((name, _)) => Err(has_data(name)),
        None => Ok(()),
    }
}

fn remove_left(options: &RestoreOptions) -> Result<(), BackupError> {
    let draft = options.data.join(DRAFT);
    if !draft.exists() {
        return Ok(());
    }
    // The draft last: without it the others would look like a store that has lost its registry.
    let names = ["messages", FOLDER, HEAD_NAME, DAMAGED_AUDIT, AUDIT_NAME, "log.db"];
    for left in names.map(|name| options.data.join(name)).into_iter().chain([draft]) {
        let removed = if left.is_file() { fs::remove_file(&left) } else { fs::remove_dir_all(&left) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BackupError::io(&left, "what an earlier restore left cannot be removed", error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Copies all databases and their logs, and compares them with the manifest.
fn copy_all(
    options: &RestoreOptions,
    manifest: &Manifest,
    draft: &Layout,
    progress: &mut Progress<'_>,
) -> Result<(), BackupError> {
    make_directory(&draft.messages())?;
    if manifest.files.iter().any(|entry| entry.name.starts_with(FOLDER)) {
        make_directory(&draft.data.join(FOLDER))?;
    }
    let mut counter = Counter { done: 0, all: manifest.bytes(), progress };
    for entry in manifest.files.iter().filter(|entry| entry.name != KEY_NAME || options.key.is_none()) {
        copy_one(options, entry, draft, &mut counter)?;
    }
    Ok(())
}

fn copy_one(
    options: &RestoreOptions,
    entry: &Entry,
    draft: &Layout,
    counter: &mut Counter<'_, '_>,
) -> Result<(), BackupError> {
    let from = options.backup.join(&entry.name);
    let differs = |reason: String| BackupError::Differs { file: from.clone(), reason };
    let mut file = File::open(&from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => differs("it is missing".to_owned()),
        _ => BackupError::io(&from, "cannot be read", error),
    })?;
    let target = copy(&mut file, (&from, draft.data.join(&entry.name)), &mut |bytes| counter.add(bytes))?;
    let copied = target.entry(&entry.name);
    if copied.bytes != entry.bytes {
        return Err(differs(format!("it has {} bytes and had {}", copied.bytes, entry.bytes)));
    }
    if copied.sha256 != entry.sha256 {
        return Err(differs("its SHA-256 is another one".to_owned()));
    }
    Ok(())
}

/// Takes the logs into the files, checks the key, and gives the store its new name and epoch.
fn make_ready(
    options: &RestoreOptions,
    manifest: &Manifest,
    draft: &Layout,
    key: &DataKey,
) -> Result<(), BackupError> {
    let file = draft.registry();
    REGISTRY.check(&file)?;
    let origin = with_database(&file, |registry| {
        let Some(check) = registry::key_check(registry)? else { return Ok(None) };
        if !key.is_checked_by(&check) {
            return Ok(None);
        }
        let now = (options.clock)().0.max(manifest.time).div_euclid(1000);
        let transaction = registry.unchecked_transaction()?;
        let random = registry::random()?;
        let epoch = registry::leap_epoch(&transaction, u64::try_from(now).unwrap_or(0), random)?;
        let store_id = registry::new_store_id()?;
        registry::set_store_id(&transaction, &store_id)?;
        registry::set_files_named(&transaction)?;
        registry::forget_file(&transaction)?;
        transaction.commit()?;
        Ok(Some(Origin { store_id, epoch }))
    })?;
    let Some(origin) = origin else {
        let file = options.key.clone().unwrap_or_else(|| options.backup.join(KEY_NAME));
        return Err(OpenError::KeyWrong { file }.into());
    };
    for volume in draft.volumes()? {
        let file = draft.volume(volume);
        MESSAGES.check(&file)?;
        with_database(&file, |messages| origin.write(messages))?;
    }
    if manifest.format >= LOGS_SINCE {
        let file = draft.log();
        LOGS.check(&file)?;
        with_database(&file, |logs| origin.write(logs))?;
    }
    note_restore(options, manifest, draft, &origin)?;
    sync_parent(&draft.messages().join("any"))?;
    if draft.data.join(FOLDER).exists() {
        sync_parent(&draft.data.join(FOLDER).join("any"))?;
    }
    Ok(sync_parent(&file)?)
}

/// The audit log says that its store was restored, from what and when, and knows the store by its new name.
/// One that cannot be written is kept beside a new one.
fn note_restore(
    options: &RestoreOptions,
    manifest: &Manifest,
    draft: &Layout,
    origin: &Origin,
) -> Result<(), BackupError> {
    let detail = |log: &str| {
        let taken = manifest.time.to_string();
        let fields = [("backupOf", &*manifest.store_id), ("takenAt", &*taken), ("log", log)];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect()
    };
    let append = |log: &str| {
        let (data, store_id) = (&*draft.data, Some(&*origin.store_id));
        append_own(OwnDeed { data, action: RESTORED, clock: options.clock, detail: detail(log), store_id })
    };
    let file = draft.data.join(AUDIT_NAME);
    let found = if file.exists() { "of the backup" } else { "new" };
    if let Err(error) = append(found) {
        tracing::error!(%error, "the audit log of the backup is damaged: it is kept as {DAMAGED_AUDIT}");
        let aside = draft.data.join(DAMAGED_AUDIT);
        fs::rename(&file, &aside).map_err(|error| BackupError::io(&file, "cannot be kept", error))?;
        for rest in ["-wal", "-shm"].map(|rest| with_suffix(&file, rest)) {
            // Ignored: what belongs to it is of no use without it.
            let _ = fs::remove_file(rest);
        }
        append("damaged").map_err(|error| BackupError::sqlite(&file, error))?;
    }
    with_database(&file, |_| Ok(()))
}

/// Changes a database durably, and leaves no log of it.
fn with_database<T>(
    file: &Path,
    change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, BackupError> {
    let changed = || -> rusqlite::Result<T> {
        let database = open_existing(file)?;
        database.pragma_update(None, "synchronous", "full")?;
        let changed = change(&database)?;
        checkpoint(&database)?;
        database.close().map_err(|(_, error)| error)?;
        Ok(changed)
    };
    let changed = changed().map_err(|error| BackupError::sqlite(file, error))?;
    let synced = File::open(file).and_then(|file| file.sync_all());
    synced.map_err(|error| BackupError::io(file, "cannot be made durable", error))?;
    Ok(changed)
}

/// The key, the messages, the images of firmware, the audit log, the logs, and at last the registry.
fn put_in_place(options: &RestoreOptions, draft: &Layout, key_file: &Path) -> Result<(), BackupError> {
    let layout = Layout { data: options.data.clone() };
    put_key(options, draft, key_file)?;
    let places = [
        (draft.messages(), layout.messages()),
        (draft.data.join(FOLDER), layout.data.join(FOLDER)),
        // One that was left there is that of another log.
        (draft.data.join(HEAD_NAME), layout.data.join(HEAD_NAME)),
        (draft.data.join(DAMAGED_AUDIT), layout.data.join(DAMAGED_AUDIT)),
        (draft.data.join(AUDIT_NAME), layout.data.join(AUDIT_NAME)),
        (draft.log(), layout.log()),
        (draft.registry(), layout.registry()),
    ];
    for (from, to) in places.into_iter().filter(|(from, _)| from.exists()) {
        fs::rename(&from, &to).map_err(|error| BackupError::io(&to, "cannot be put in place", error))?;
        sync_parent(&to)?;
    }
    // Ignored: what is left of it is in nobody's way.
    let _ = fs::remove_dir_all(&draft.data);
    Ok(())
}

/// Puts the key where the store looks for it, unless it is there already.
fn put_key(options: &RestoreOptions, draft: &Layout, from: &Path) -> Result<(), BackupError> {
    let to = &options.data_key;
    let io = |error| BackupError::io(to, "the data key cannot be written", error);
    if to.try_exists().map_err(io)? {
        let same = fs::read(to).and_then(|there| Ok(there.trim_ascii() == fs::read(from)?.trim_ascii()));
        return match same.map_err(io)? {
            true => Ok(()),
            false => Err(BackupError::KeyThere { file: to.clone() }),
        };
    }
    let mut file = File::open(from).map_err(io)?;
    let draft = draft.data.join("key.new");
    copy(&mut file, (from, draft.clone()), &mut |_| {})?;
    match fs::rename(&draft, to) {
        // The key has its place on another file system.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            file = File::open(from).map_err(io)?;
            copy(&mut file, (from, to.clone()), &mut |_| {})?;
        }
        renamed => renamed.map_err(io)?,
    }
    Ok(sync_parent(to)?)
}
