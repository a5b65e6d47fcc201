//! A file that is backed up: a database with its log, or one that nobody writes.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, config::DbConfig};

use super::{
    BackupError,
    copy::{Target, copy},
    manifest::Entry,
    wal::{Log, Since},
};
use crate::sqlite::files::{open_existing, with_suffix};

/// By what a change of a file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Print {
    fn of(file: &Path) -> io::Result<Self> {
        let file = fs::metadata(file)?;
        Ok(Self { inode: file.ino(), bytes: file.len(), changed: (file.mtime(), file.mtime_nsec()) })
    }
}

/// A file and its copy.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    file: PathBuf,
    main: Target,
    print: Print,
    log: Log,
    /// The copy of the log, once there is one.
    log_copy: Option<Target>,
    // Closed in this order: who closes a file that SQLite has open takes SQLite's locks of it away.
    _pin: Connection,
    _file: File,
}

/// A transaction that only reads: SQLite keeps the log as long as it is open.
fn pin(file: &Path) -> rusqlite::Result<Connection> {
    let connection = open_beside(file)?;
    connection.execute_batch("BEGIN")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Whether a file can be read as a database.
pub(super) fn probe(file: &Path) -> rusqlite::Result<()> {
    pin(file).map(drop)
}

/// A connection that reads beside others, and leaves a log as it is. Where there is none, what SQLite makes
/// for it goes with the connection.
pub(super) fn open_beside(file: &Path) -> rusqlite::Result<Connection> {
    let has_log = fs::metadata(with_suffix(file, "-wal")).is_ok_and(|log| log.len() > 0);
    let connection = open_existing(file)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

impl Source {
    /// Copies the file as it is; its log follows by [`Self::follow`].
    pub(super) fn copy(
        data: &Path,
        target: &Path,
        name: &str,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, BackupError> {
        let file = data.join(name);
        let pin = pin(&file).map_err(|error| BackupError::sqlite(&file, error))?;
        let io = |error| BackupError::io(&file, "cannot be read", error);
        let print = Print::of(&file).map_err(io)?;
        let mut open = File::open(&file).map_err(io)?;
        let main = copy(&mut open, (&file, target.join(name)), progress)?;
        let log = Log::new(with_suffix(&file, "-wal"));
        let name = name.to_owned();
        Ok(Self { name, file, main, print, log, log_copy: None, _pin: pin, _file: open })
    }

    /// Copies what was committed since, and makes it durable.
    pub(super) fn follow(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), BackupError> {
        let looked = self.log.look();
        let since = looked.map_err(|error| BackupError::io(self.log.path(), "cannot be read", error))?;
        let path = with_suffix(self.main.path(), "-wal");
        let written = |error| BackupError::io(&path, "the copy cannot be written", error);
        if since == Since::BegunAnew
            && let Some(copy) = &mut self.log_copy
        {
            copy.clear().map_err(written)?;
        }
        let (log, log_copy) = (&mut self.log, &mut self.log_copy);
        let taken = log.take(&mut |bytes| {
            let copy = match log_copy {
                Some(copy) => copy,
                None => log_copy.insert(Target::create(path.clone())?),
            };
            copy.write(bytes)?;
            progress(bytes.len() as u64);
            Ok(())
        });
        taken.and_then(|()| self.log_copy.as_mut().map_or(Ok(()), Target::sync)).map_err(written)
    }

    /// Whether the file is still there, and the same one.
    pub(super) fn is_there(&self) -> bool {
        Print::of(&self.file).is_ok_and(|print| print.inode == self.print.inode)
    }

    /// Removes the copy.
    pub(super) fn discard(self) -> Result<(), BackupError> {
        for copy in [Some(&self.main), self.log_copy.as_ref()].into_iter().flatten() {
            let io = |error| BackupError::io(copy.path(), "the copy cannot be removed", error);
            fs::remove_file(copy.path()).map_err(io)?;
        }
        Ok(())
    }

    /// Its lines in the manifest, as they are now.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let log = self.log_copy.as_ref().filter(|_| self.has_log());
        let log = log.map(|copy| copy.entry(&format!("{}-wal", self.name)));
        [Some(self.main.entry(&self.name)), log].into_iter().flatten().collect()
    }

    /// Lets go of a file that nobody writes: whether it was written nevertheless shows in [`Still`].
    pub(super) fn let_go(self) -> Result<Still, Box<Self>> {
        if self.has_log() {
            return Err(Box::new(self));
        }
        Ok(Still { entry: self.main.entry(&self.name), print: self.print, file: self.file })
    }

    fn has_log(&self) -> bool {
        self.log_copy.as_ref().is_some_and(|copy| copy.entry("").bytes > 0)
    }
}

/// A file that nobody writes, and its copy.
#[derive(Debug)]
pub(super) struct Still {
    pub(super) entry: Entry,
    file: PathBuf,
    print: Print,
}

impl Still {
    /// Whether it is as it was copied.
    pub(super) fn is_as_copied(&self) -> bool {
        let log_is_empty = fs::metadata(with_suffix(&self.file, "-wal")).map_or(true, |log| log.len() == 0);
        log_is_empty && Print::of(&self.file).is_ok_and(|print| print == self.print)
    }

    /// Whether it is still there.
    pub(super) fn is_there(&self) -> bool {
        self.file.exists()
    }
}
