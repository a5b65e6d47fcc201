//! Backups: a copy of all files as they were at one moment, taken while a server writes them, and the way
//! back.
//!
//! ```text
//! backup/                      0700
//!   manifest.json              what belongs to it, with sizes and SHA-256; written last
//!   registry.db, registry.db-wal
//!   log.db, log.db-wal
//!   audit.db, audit.db-wal
//!   messages/2026-01-31.db, …  with the log of the day that was being written
//!   firmware/ID, …             images of firmware
//!   data.key                   unless it was left out
//! ```
//!
//! * **How it reads beside a server.** In a process of its own, so that no lock of the server's SQLite is
//!   lost when a file is closed. A read transaction keeps SQLite from emptying a log; then the file is copied
//!   as it is, and after it the committed part of its log (module `wal`), again and again until little is
//!   left. For that rest the writer stops between two batches: so the files are of one moment, and that
//!   moment is the end of the backup, not its begin.
//! * **What it costs.** Reading and writing all bytes once. The server's logs grow by what is written
//!   meanwhile, and it pauses for as long as the last part takes, [`HOLD_MAX`] at most.
//! * **The way back** is a restore into an empty directory: everything is compared with the manifest and made
//!   complete beside the place where it goes. The restored store gets another name and a later epoch, so no
//!   position is repeated, and no file of the original is taken for one of its own.
//!
//! Limits: [`ROUNDS_MAX`] attempts at the last part.

mod copy;
mod images;
mod manifest;
mod restore;
mod source;
mod take;
mod wal;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{
    restore::{RestoreOptions, restore},
    take::{BackupOptions, take},
};
use narrowgate_platform::ports::HOLD_TIME_MAX;

use super::{error::OpenError, lock::DataLock};

/// The longest time for which a backup stops the writer.
pub const HOLD_MAX: Duration = HOLD_TIME_MAX;

/// How often a backup tries to copy the last part within [`HOLD_MAX`].
pub const ROUNDS_MAX: u32 = 5;

/// Stops and continues the one who writes the store.
pub trait Quiet {
    /// Stops the writer between two batches, for [`HOLD_MAX`] at most.
    ///
    /// # Errors
    /// Why it does not stop, for people.
    fn hold(&mut self) -> Result<(), String>;
    /// Whether it has stood still since [`Self::hold`].
    fn is_held(&mut self) -> bool;
    /// Lets it continue.
    fn release(&mut self);
}

/// Nobody else uses the data directory, as long as this is there.
#[derive(Debug)]
pub struct Alone(Option<DataLock>);

impl Alone {
    /// Takes the lock of a data directory.
    ///
    /// # Errors
    /// Another process has it.
    pub fn take(data: &Path) -> Result<Self, OpenError> {
        let mut lock = DataLock::take(data)?;
        lock.sign()?;
        Ok(Self(Some(lock)))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(lock) = self.0.take() {
            lock.undo();
        }
    }
}

impl Quiet for Alone {
    fn hold(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn is_held(&mut self) -> bool {
        true
    }

    fn release(&mut self) {}
}

/// Bytes done, and all of them as far as is known.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The store's last batch in them.
    pub batch: i64,
    /// Images of firmware that are registered, and whose files are not whole in the backup.
    pub lacking: Vec<Lacking>,
    /// Why the audit log is not in the backup, where it is damaged.
    pub audit_damage: Option<String>,
}

/// An image of firmware whose file is missing, or not as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Its id.
    pub image: String,
    /// For the devices of which product.
    pub product_key: String,
    /// Its version.
    pub version: String,
    /// Its file, and what is wrong with it.
    pub reason: String,
}

/// Why there is no backup, or nothing was restored. [`BackupError::advice`] says what to try.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum BackupError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{}: the directory is not empty", directory.display())]
    NotEmpty { directory: PathBuf },
    #[error("{}: the data directory has data already: {found}", directory.display())]
    HasData { directory: PathBuf, found: String },
    #[error("{}: there is no store to back up", directory.display())]
    NoStore { directory: PathBuf },
    #[error("{}: not a whole backup: its manifest is missing", directory.display())]
    NotWhole { directory: PathBuf },
    #[error("{}: not a manifest of a backup: {reason}", file.display())]
    BadManifest { file: PathBuf, reason: String },
    #[error("{}: made by a newer narrowgate (manifest {found}, this one knows {known})", file.display())]
    Newer { file: PathBuf, found: u32, known: u32 },
    #[error("{}: not as it was backed up: {reason}", file.display())]
    Differs { file: PathBuf, reason: String },
    #[error("{}: this backup was made without its data key", directory.display())]
    KeyNeeded { directory: PathBuf },
    #[error("{}: there is another key already", file.display())]
    KeyThere { file: PathBuf },
    #[error("the server does not stop writing for a moment: {reason}")]
    NotHeld { reason: String },
    #[error("the disk was too slow: the last part could not be copied within {} s", HOLD_MAX.as_secs())]
    TooSlow,
}

impl BackupError {
    /// The file or directory with the problem, if there is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Open(error) => Some(error.file()),
            Self::NotEmpty { directory }
            | Self::HasData { directory, .. }
            | Self::NoStore { directory }
            | Self::NotWhole { directory }
            | Self::KeyNeeded { directory } => Some(directory),
            Self::BadManifest { file, .. }
            | Self::Newer { file, .. }
            | Self::Differs { file, .. }
            | Self::KeyThere { file } => Some(file),
            Self::NotHeld { .. } | Self::TooSlow => None,
        }
    }

    /// What to try.
    pub fn advice(&self) -> String {
        match self {
            Self::Open(error) => error.advice(),
            Self::NotEmpty { .. } => "name a directory that does not exist yet, or an empty one".to_owned(),
            Self::HasData { .. } => {
                "name an empty directory with --data; what is there was left as it is".to_owned()
            }
            Self::NoStore { .. } => "check --data and NARROWGATE_DATA".to_owned(),
            Self::NotWhole { .. } => {
                "name the directory of a backup that was finished; this one was cut off, \
                                      or is none"
                    .to_owned()
            }
            Self::BadManifest { .. } | Self::Differs { .. } => {
                "take another backup, or another copy of this one; nothing was restored".to_owned()
            }
            Self::Newer { .. } => "restore it with the narrowgate that made it, or a newer one".to_owned(),
            Self::KeyNeeded { .. } => "name the key of this store: --key FILE".to_owned(),
            Self::KeyThere { .. } => {
                "move it away, or choose another store.data_key_file; nothing was restored".to_owned()
            }
            Self::NotHeld { .. } => "look at the server's log, then try again".to_owned(),
            Self::TooSlow => "try again when the disk has less to do, or back up to another disk".to_owned(),
        }
    }

    /// Whether the command line itself lacks something.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::KeyNeeded { .. })
    }

    fn io(file: &Path, doing: &'static str, source: io::Error) -> Self {
        Self::Open(OpenError::io(file, doing, source))
    }

    fn sqlite(file: &Path, source: rusqlite::Error) -> Self {
        Self::Open(OpenError::sqlite(file, source))
    }
}
