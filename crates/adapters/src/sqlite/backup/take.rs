//! Taking a backup.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use narrowgate_platform::ids::UnixMillis;

use super::{
    BackupError, Copied, Progress, Quiet, ROUNDS_MAX,
    copy::{Counter, Target, copy, make_empty},
    images::ImageCopies,
    manifest::{self, Entry, Manifest},
    source::{Source, Still, open_beside, probe},
};
use crate::sqlite::{
    audit::AUDIT_NAME,
    error::OpenError,
    files::{LOGS, Layout, MESSAGES, REGISTRY, make_directory, sync_parent},
    key::DataKey,
    registry,
    volume::Volume,
};

/// Name of the registry in the backup.
const REGISTRY_NAME: &str = "registry.db";
/// … and of the file of logs.
const LOG_NAME: &str = "log.db";

/// What to back up, and where to.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// The data directory.
    pub data: PathBuf,
    /// The file with the data key.
    pub data_key: PathBuf,
    /// The directory of the backup: empty, or made.
    pub target: PathBuf,
    /// Whether the backup has the data key.
    pub with_key: bool,
    /// The wall clock.
    pub clock: fn() -> UnixMillis,
}

/// Copies a store as it is at the end of this call; the answer names images of firmware whose files are
/// missing or damaged. Who uses the data directory is stopped by `quiet` for the
/// last part, and continues when the caller releases it: nothing is acknowledged in between.
///
/// # Errors
/// Why there is no backup. What was written for it is removed.
pub fn take(
    options: &BackupOptions,
    quiet: &mut dyn Quiet,
    progress: &mut Progress<'_>,
) -> Result<Copied, BackupError> {
    let layout = Layout { data: options.data.clone() };
    if !layout.registry().exists() {
        return Err(BackupError::NoStore { directory: options.data.clone() });
    }
    check(&layout, options)?;
    let made = make_empty(&options.target)?;
    let taken = Taking::new(layout, options, progress).and_then(|mut taking| taking.run(quiet));
    if taken.is_err() {
        quiet.release();
        remove(&options.target, made);
    }
    taken
}

/// Removes what a failed attempt has written. Without a manifest it is no backup anyway.
fn remove(target: &Path, made: bool) {
    let entries = fs::read_dir(target).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        // Ignored: what stays is no backup, and is in nobody's way.
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
    if made {
        let _ = fs::remove_dir(target);
    }
}

/// What is wrong with an audit log that is no database any more. It must not keep what devices sent from
/// being backed up.
fn damage_of_audit(file: &Path) -> Option<String> {
    let error = file.exists().then(|| probe(file).err()).flatten()?;
    let is_damage = matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt)
    );
    is_damage.then(|| error.to_string())
}

/// Looks whether these files and this key are a store that can be restored.
fn check(layout: &Layout, options: &BackupOptions) -> Result<(), BackupError> {
    let file = layout.registry();
    REGISTRY.check(&file)?;
    let key = DataKey::read(&options.data_key)?;
    let registry = open_beside(&file).map_err(|error| BackupError::sqlite(&file, error))?;
    let check = registry::key_check(&registry).map_err(|error| BackupError::sqlite(&file, error))?;
    if !check.is_some_and(|check| key.is_checked_by(&check)) {
        return Err(OpenError::KeyWrong { file: options.data_key.clone() }.into());
    }
    Ok(())
}

/// A backup under way.
struct Taking<'a, 'b> {
    layout: Layout,
    options: &'a BackupOptions,
    counter: Counter<'a, 'b>,
    registry: Source,
    /// `None`: the registry has the logs, since it is of an older format.
    log: Option<Source>,
    /// `None`: there is none yet.
    audit: Option<Source>,
    /// Why the audit log is left out, where it is.
    audit_damage: Option<String>,
    /// Message files that have a log: they may be written.
    written: BTreeMap<Volume, Source>,
    still: BTreeMap<Volume, Still>,
    images: ImageCopies,
    key: Option<Entry>,
}

impl<'a, 'b> Taking<'a, 'b> {
    fn new(
        layout: Layout,
        options: &'a BackupOptions,
        progress: &'a mut Progress<'b>,
    ) -> Result<Self, BackupError> {
        make_directory(&options.target.join("messages"))?;
        let size = |file: PathBuf| fs::metadata(file).map_or(0, |file| file.len());
        let messages: u64 = layout.volumes()?.iter().map(|volume| size(layout.volume(*volume))).sum();
        let others = [layout.registry(), layout.log(), layout.data.join(AUDIT_NAME)].map(size);
        let mut counter = Counter { done: 0, all: messages + others.iter().sum::<u64>(), progress };
        let mut count = |bytes| counter.add(bytes);
        let registry = Source::copy(&options.data, &options.target, REGISTRY_NAME, &mut count)?;
        let log = match layout.log().exists() {
            true => {
                LOGS.check(&layout.log())?;
                Some(Source::copy(&options.data, &options.target, LOG_NAME, &mut count)?)
            }
            false => None,
        };
        // Its writer does not stand still for the last part: what it has of this moment is whole by itself.
        let audit_damage = damage_of_audit(&layout.data.join(AUDIT_NAME));
        let audit = layout.data.join(AUDIT_NAME).exists() && audit_damage.is_none();
        let audit = audit.then(|| Source::copy(&options.data, &options.target, AUDIT_NAME, &mut count));
        let audit = audit.transpose()?;
        let key = options.with_key.then(|| copy_key(options)).transpose()?;
        let (written, still, images) = (BTreeMap::new(), BTreeMap::new(), ImageCopies::default());
        Ok(Self { layout, options, counter, registry, log, audit, audit_damage, written, still, images, key })
    }

    fn run(&mut self, quiet: &mut dyn Quiet) -> Result<Copied, BackupError> {
        for _ in 0..ROUNDS_MAX {
            self.catch_up()?;
            quiet.hold().map_err(|reason| BackupError::NotHeld { reason })?;
            if let Some(copied) = self.finish(quiet)? {
                return Ok(copied);
            }
            quiet.release();
        }
        Err(BackupError::TooSlow)
    }

    /// Copies all that is there now, beside who writes it.
    fn catch_up(&mut self) -> Result<(), BackupError> {
        let volumes = self.layout.volumes()?;
        let newest = volumes.last().map(|volume| volume.day);
        for volume in volumes {
            if self.written.contains_key(&volume) || self.still.get(&volume).is_some_and(Still::is_as_copied)
            {
                continue;
            }
            MESSAGES.check(&self.layout.volume(volume))?;
            let (data, target) = (&self.options.data, &self.options.target);
            let name = format!("messages/{volume}.db");
            let mut count = |bytes| self.counter.add(bytes);
            let mut source = match Source::copy(data, target, &name, &mut count) {
                Ok(source) => source,
                // Its retention time has ended just now.
                Err(_) if !self.layout.volume(volume).exists() => continue,
                Err(error) => return Err(error),
            };
            source.follow(&mut count)?;
            match if newest == Some(volume.day) { Err(Box::new(source)) } else { source.let_go() } {
                Ok(still) => drop(self.still.insert(volume, still)),
                Err(source) => {
                    self.still.remove(&volume);
                    self.written.insert(volume, *source);
                }
            }
        }
        let mut count = |bytes| self.counter.add(bytes);
        self.images.catch_up(&self.layout, &self.options.target, &mut count)?;
        self.follow()
    }

    /// Copies what was committed to the files that are written.
    fn follow(&mut self) -> Result<(), BackupError> {
        let mut count = |bytes| self.counter.add(bytes);
        self.registry.follow(&mut count)?;
        let others = self.log.iter_mut().chain(&mut self.audit);
        others.chain(self.written.values_mut()).try_for_each(|source| source.follow(&mut count))
    }

    /// The last part, while nobody writes. `None`: it was not possible in time, or there is more to copy.
    fn finish(&mut self, quiet: &mut dyn Quiet) -> Result<Option<Copied>, BackupError> {
        self.drop_deleted()?;
        let is_copied = |volume: &Volume| {
            self.written.contains_key(volume) || self.still.get(volume).is_some_and(Still::is_as_copied)
        };
        if !self.layout.volumes()?.iter().all(is_copied) {
            return Ok(None);
        }
        let images = self.images.entries(&self.layout, &self.options.target)?;
        let Some((images, lacking)) = images else { return Ok(None) };
        self.follow()?;
        let mut manifest = self.describe()?;
        manifest.files.extend(images);
        manifest.files.extend(self.registry.entries());
        manifest.files.extend(self.log.iter().chain(&self.audit).flat_map(Source::entries));
        manifest.files.extend(self.still.values().map(|still| still.entry.clone()));
        manifest.files.extend(self.written.values().flat_map(Source::entries));
        manifest.files.extend(self.key.clone());
        manifest.files.sort_by(|a, b| a.name.cmp(&b.name));
        let target = &self.options.target;
        manifest.draft(target)?;
        sync_parent(&target.join("messages/any"))?;
        sync_parent(&target.join("any"))?;
        if !quiet.is_held() {
            return Ok(None);
        }
        manifest::publish(target)?;
        Ok(Some(Copied {
            files: manifest.files.len(),
            bytes: manifest.bytes(),
            batch: manifest.batch,
            lacking,
            audit_damage: self.audit_damage.clone(),
        }))
    }

    /// Messages that were deleted meanwhile after their retention time do not belong to the backup.
    fn drop_deleted(&mut self) -> Result<(), BackupError> {
        let gone: Vec<Volume> =
            self.written.iter().filter(|(_, s)| !s.is_there()).map(|(volume, _)| *volume).collect();
        for volume in gone {
            self.written.remove(&volume).map_or(Ok(()), Source::discard)?;
        }
        let target = self.options.target.join("messages");
        let gone: Vec<Volume> =
            self.still.iter().filter(|(_, s)| !s.is_there()).map(|(volume, _)| *volume).collect();
        for volume in gone {
            self.still.remove(&volume);
            let copy = target.join(format!("{volume}.db"));
            let io = |error| BackupError::io(&copy, "the copy cannot be removed", error);
            fs::remove_file(&copy).map_err(io)?;
        }
        Ok(())
    }

    /// What the registry says of the store now.
    fn describe(&self) -> Result<Manifest, BackupError> {
        let file = self.layout.registry();
        let read = || -> rusqlite::Result<Manifest> {
            let registry = open_beside(&file)?;
            let format = registry.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            let store_id = registry::store_id(&registry)?.unwrap_or_default();
            let epoch = registry::epoch(&registry)?.unwrap_or(0);
            let time = (self.options.clock)().0;
            Ok(Manifest::new(store_id, epoch, registry::batch(&registry)?, time, format))
        };
        read().map_err(|error| BackupError::sqlite(&file, error))
    }
}

fn copy_key(options: &BackupOptions) -> Result<Entry, BackupError> {
    let from = &options.data_key;
    let mut file: File =
        File::open(from).map_err(|error: io::Error| BackupError::io(from, "cannot be read", error))?;
    let target: Target = copy(&mut file, (from, options.target.join("data.key")), &mut |_| {})?;
    Ok(target.entry("data.key"))
}
