//! What belongs to a backup, written when everything else is durable.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use narrowgate_platform::firmware::ImageId;
use serde::{Deserialize, Serialize};

use super::{
    super::files::{LOGS_SINCE, sync_parent},
    BackupError,
};

/// Its name.
pub(super) const NAME: &str = "manifest.json";
/// The name under which it is written.
const DRAFT: &str = "manifest.json.new";
/// The present version of its form.
const VERSION: u32 = 1;
/// The largest manifest that is read: 27 years of days.
const BYTES_MAX: u64 = 4 << 20;

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) manifest: u32,
    /// The version of the program that made it.
    pub(super) program: String,
    /// The store, as its files name it.
    pub(super) store_id: String,
    pub(super) epoch: u64,
    /// The number of its last batch.
    pub(super) batch: i64,
    /// When, in Unix milliseconds: everything acknowledged before is in it.
    pub(super) time: i64,
    /// The registry's format.
    pub(super) format: u32,
    pub(super) files: Vec<Entry>,
}

/// A file of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its path in the backup.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Manifest {
    /// Of a backup that is made now.
    pub(super) fn new(store_id: String, epoch: u64, batch: i64, time: i64, format: u32) -> Self {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Self { manifest: VERSION, program, store_id, epoch, batch, time, format, files: Vec::new() }
    }

    /// The bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether it has a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }

    /// Writes it durably under another name; [`publish`] gives it its own.
    pub(super) fn draft(&self, directory: &Path) -> Result<(), BackupError> {
        let draft = directory.join(DRAFT);
        let written = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
            text.push(b'\n');
            let mut open = OpenOptions::new();
            let mut file = open.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(&text)?;
            file.sync_all()
        };
        written().map_err(|source| BackupError::io(&draft, "the manifest cannot be written", source))
    }

    /// Reads that of a backup.
    pub(super) fn read(directory: &Path) -> Result<Self, BackupError> {
        let file = directory.join(NAME);
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => BackupError::NotWhole { directory: directory.to_owned() },
            _ => BackupError::io(&file, "the manifest cannot be read", source),
        };
        let bad = |reason: String| BackupError::BadManifest { file: file.clone(), reason };
        if File::open(&file).and_then(|file| file.metadata()).map_err(io)?.len() > BYTES_MAX {
            return Err(bad("it is too long".to_owned()));
        }
        let text = fs::read(&file).map_err(io)?;
        #[derive(Deserialize)]
        struct Version {
            manifest: u32,
        }
        let version: Version = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if version.manifest > VERSION {
            return Err(BackupError::Newer { file, found: version.manifest, known: VERSION });
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        match manifest.files.iter().find(|entry| !is_safe(&entry.name)) {
            Some(entry) => Err(bad(format!("it names {:?}", entry.name))),
            None if !manifest.has("registry.db") => Err(bad("it names no registry".to_owned())),
            None if manifest.format >= LOGS_SINCE && !manifest.has("log.db") => {
                Err(bad("it names no log.db".to_owned()))
            }
            None => Ok(manifest),
        }
    }
}

/// The manifest that was drafted gets its name: from now on the backup is whole.
pub(super) fn publish(directory: &Path) -> Result<(), BackupError> {
    let (draft, file) = (directory.join(DRAFT), directory.join(NAME));
    let io = |source| BackupError::io(&file, "the manifest cannot be written", source);
    fs::rename(draft, &file).map_err(io)?;
    Ok(sync_parent(&file)?)
}

/// Whether it is the name of a file that a backup has: a manifest may come from anywhere.
fn is_safe(name: &str) -> bool {
    let database = |name: &str| -> Option<String> {
        let name = name.strip_suffix("-wal").unwrap_or(name);
        name.strip_suffix(".db").map(str::to_owned)
    };
    if let Some(image) = name.strip_prefix("firmware/") {
        return image.parse::<ImageId>().is_ok();
    }
    match name.strip_prefix("messages/") {
        Some(file) => database(file).is_some_and(|file| super::super::volume::Volume::parse(&file).is_some()),
        None => name == "data.key" || matches!(database(name).as_deref(), Some("registry" | "log" | "audit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_a_stores_files_are_safe() {
        for name in [
            "registry.db",
            "registry.db-wal",
            "log.db",
            "log.db-wal",
            "audit.db",
            "audit.db-wal",
            "messages/2026-01-31.db-wal",
            "messages/2026-01-31.short.db",
            "data.key",
            "firmware/Ab3dEf7h",
        ] {
            assert!(is_safe(name), "{name}");
        }
        for name in [
            "",
            "..",
            "/etc/passwd",
            "messages/../registry.db",
            "messages/x.db",
            "registry.db-shm",
            "audit.head",
            "messages/2026-01-31.A.db",
            "firmware/../regis",
            "firmware/Ab3dEf7h.part",
        ] {
            assert!(!is_safe(name), "{name}");
        }
    }
}
