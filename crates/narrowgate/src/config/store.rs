//! Section `[store]`: what is kept, where and for how long.

use std::path::{Path, PathBuf};

use super::{
    accept::{Days, FileName, OneOf, OrOff, Size},
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
    help: "memory for pages of the registry, and as much for the day's reports; a reader keeps a quarter, \
           {accepted}",
};

static RETENTION: Key<OrOff<Days>> = Key {
    name: "store.retention",
    default: "off",
    accepts: OrOff(Days(1..=36_500)),
    help: "reports are deleted after this time, {accepted}; off: never",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[&KIND, &DATA_KEY_FILE, &CACHE, &RETENTION];

/// Settings that only a store with files has.
pub(super) static OF_FILES: [&dyn Setting; 3] = [&DATA_KEY_FILE, &CACHE, &RETENTION];

/// Section `[store]`.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) kind: StoreKind,
    pub(crate) data_key_file: PathBuf,
    pub(crate) cache_bytes: u64,
    /// `None`: reports are kept for ever.
    pub(crate) retention_days: Option<u32>,
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Sqlite,
    Memory,
}

impl Store {
    /// Reads the section; names of files are relative to the data directory.
    pub(super) fn read(data: &Path, values: &Values) -> Result<Self, Failure> {
        Ok(Self {
            kind: values.read(&KIND)?,
            data_key_file: place_data_key_file(data, &values.read(&DATA_KEY_FILE)?)
                .map_err(|reason| values.refuse(&DATA_KEY_FILE, reason))?,
            cache_bytes: values.read(&CACHE)?,
            retention_days: values.read(&RETENTION)?,
        })
    }
}

/// Files of the data directory that are something else.
const OTHER_FILES: [&str; 7] = [
    "registry.db",
    "registry.db-wal",
    "registry.db-shm",
    "messages",
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
