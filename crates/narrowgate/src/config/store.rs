//! Section `[store]`: what is kept, where and for how long.

use std::path::{Path, PathBuf};

use narrowgate_platform::{firmware::IMAGE_BYTES_FETCHABLE, model::retention::RetentionClass};

use super::{
    accept::{Classes, Days, FileName, Number, OneOf, OrOff, Size},
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

pub(super) static KIND: Key<OneOf<StoreKind>> = Key {
    name: "store.kind",
    default: "sqlite",
    accepts: OneOf(&[
        ("sqlite", StoreKind::Sqlite, "files in the data directory"),
        ("memory", StoreKind::Memory, "nothing is kept, for trying out"),
    ]),
    help: "{accepted}",
};

pub(crate) static DATA_KEY_FILE: Key<FileName> = Key {
    name: "store.data_key_file",
    default: "data.key",
    accepts: FileName,
    help: "key that seals the secrets at rest; relative to the data directory",
};

static CACHE: Key<Size> = Key {
    name: "store.cache",
    default: "64MiB",
    accepts: Size(1 << 20..=64 << 30),
    help: "memory for pages of the registry, and as much for the day's reports; the logs and a reader have a \
           quarter, {accepted}",
};

static RETENTION: Key<OrOff<Days>> = Key {
    name: "store.retention",
    default: "off",
    accepts: OrOff(Days(1..=36_500)),
    help: "reports are deleted after this time, {accepted}; off: never",
};

static RETENTION_CLASSES: Key<Classes> = Key {
    name: "store.retention_classes",
    default: "off",
    accepts: Classes(OrOff(Days(1..=36_500))),
    help: "further times, which products choose by name (product update --retention): {accepted}; off: none. \
           Products that choose none have store.retention",
};

/// Without an end, devices that come and go would fill the disk with the traces of those that are long gone.
static LOG_RETENTION: Key<OrOff<Days>> = Key {
    name: "store.log_retention",
    default: "90d",
    accepts: OrOff(Days(1..=36_500)),
    help: "entries of devices' logs and changes of presence are deleted after this time, {accepted}; \
           off: never",
};

static LOG_ENTRIES: Key<Number<usize>> = Key {
    name: "store.log_entries",
    default: "200",
    accepts: Number(10..=100_000),
    help: "of each device, the newest log entries and changes of presence, this many of each, and half as \
           many refusals, and half as many changes by operators are kept",
};

static LIVE_EVENTS: Key<Size> = Key {
    name: "store.live_events",
    default: "256MiB",
    accepts: Size(64 << 10..=64 << 30),
    help: "what followers of live events are told beside reports is kept up to this size, {accepted}, and \
           commands, upgrades, attributes and tags up to a quarter more: who comes back later has missed \
           some",
};

static FIRMWARE: Key<Size> = Key {
    name: "store.firmware",
    default: "64MiB",
    accepts: Size(1 << 10..=IMAGE_BYTES_FETCHABLE),
    help: "largest image of firmware that is taken, {accepted}",
};

static AUDIT_ENTRIES: Key<Number<u64>> = Key {
    name: "store.audit_entries",
    default: "1000000",
    accepts: Number(1000..=100_000_000),
    help: "entries of the audit log that are kept, some 500 bytes each; the oldest are deleted, \
           those of the last 90 days where there are twice as many",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[
    &KIND,
    &DATA_KEY_FILE,
    &CACHE,
    &RETENTION,
    &RETENTION_CLASSES,
    &LOG_RETENTION,
    &LOG_ENTRIES,
    &LIVE_EVENTS,
    &FIRMWARE,
    &AUDIT_ENTRIES,
];

/// Settings that only a store with files has.
pub(super) static OF_FILES: [&dyn Setting; 8] = [
    &DATA_KEY_FILE,
    &CACHE,
    &RETENTION,
    &RETENTION_CLASSES,
    &LOG_RETENTION,
    &LOG_ENTRIES,
    &LIVE_EVENTS,
    &AUDIT_ENTRIES,
];

/// Section `[store]`.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) kind: StoreKind,
    pub(crate) data_key_file: PathBuf,
    pub(crate) cache_bytes: u64,
    /// `None`: reports are kept for ever.
    pub(crate) retention_days: Option<u32>,
    /// The same of the other classes.
    pub(crate) retention_classes: Vec<(RetentionClass, Option<u32>)>,
    /// `None`: logs and presence are kept for ever.
    pub(crate) log_days: Option<u32>,
    /// Of each kind and device.
    pub(crate) log_entries: usize,
    /// Of what followers of live events are told beside reports.
    pub(crate) live_events_bytes: u64,
    /// Of the largest image.
    pub(crate) firmware_bytes: u64,
    /// Entries of the audit log.
    pub(crate) audit_entries: u64,
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Sqlite,
    Memory,
}

impl Store {
    /// The classes that products may name.
    pub(crate) fn classes(&self) -> Vec<RetentionClass> {
        let others = self.retention_classes.iter().map(|(class, _)| *class);
        std::iter::once(RetentionClass::STANDARD).chain(others).collect()
    }

    /// Reads the section; names of files are relative to the data directory.
    pub(super) fn read(data: &Path, values: &Values) -> Result<Self, Failure> {
        Ok(Self {
            kind: values.read(&KIND)?,
            data_key_file: place_data_key_file(data, &values.read(&DATA_KEY_FILE)?)
                .map_err(|reason| values.refuse(&DATA_KEY_FILE, reason))?,
            cache_bytes: values.read(&CACHE)?,
            retention_days: values.read(&RETENTION)?,
            retention_classes: values.read(&RETENTION_CLASSES)?,
            log_days: values.read(&LOG_RETENTION)?,
            log_entries: values.read(&LOG_ENTRIES)?,
            live_events_bytes: values.read(&LIVE_EVENTS)?,
            firmware_bytes: values.read(&FIRMWARE)?,
            audit_entries: values.read(&AUDIT_ENTRIES)?,
        })
    }
}

/// Files of the data directory that are something else.
const OTHER_FILES: [&str; 16] = [
    "registry.db",
    "registry.db-wal",
    "registry.db-shm",
    "log.db",
    "log.db-wal",
    "log.db-shm",
    "audit.db",
    "audit.db-wal",
    "audit.db-shm",
    "audit.head",
    "messages",
    "firmware",
    "backups",
    "narrowgate.toml",
    "narrowgate.lock",
    "control.sock",
];

fn place_data_key_file(data: &Path, file: &str) -> Result<PathBuf, String> {
    let path = data.join(file);
    let same = |name: &str| path.components().eq(data.join(name).components());
    match OTHER_FILES.into_iter().find(|name| same(name)) {
        Some(name) => Err(format!("{name} is another file of the data directory; choose another name")),
        None if path.is_dir() => Err(format!("{file:?} is a directory; name a file")),
        None => Ok(path),
    }
}
