//! Whether the files of a data directory belong together: looked at before a start changes anything.
//!
//! Every message file names the store and the epoch in which it was made ([`Origin`]), and its footer says
//! which transaction of the registry was durable before its last commit. The registry has the number of its
//! last transaction, and for each day up to which message it knows the file. So a start finds:
//!
//! * a registry that is older than its files: its next devices would get the ids of others, and their last
//!   batches would be taken for halves and deleted;
//! * files of another store, which would be shown as reports of other devices;
//! * a file that was moved away, or replaced by an older copy: latest values would go back to older ones.
//!
//! What it cannot find: a registry that lacks nothing but the very last batch of both files, where the
//! process was killed within a few hundredths of a second after it. That is also what a crash between the two
//! commits leaves.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension};

use super::{
    day::Day,
    day_file::before,
    error::OpenError,
    files::{Layout, open_to_look, read_as_it_is, with_suffix},
    registry,
    schema::{
        Stored,
        messages::{FileFormat, ORIGIN, OriginRow},
        sql,
    },
};

/// To which store a message file belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The store's name.
    pub(super) store_id: String,
    /// The epoch in which the file was made, or got its origin.
    pub(super) epoch: u64,
}

impl Origin {
    /// Of an open file; `None`: an older program made it.
    pub(super) fn read(file: &Connection) -> rusqlite::Result<Option<Self>> {
        let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'origin')";
        if !file.query_row(exists, [], |row| row.get::<_, bool>(0))? {
            return Ok(None);
        }
        let sql = sql!("SELECT {} FROM origin o", ORIGIN.list());
        let what = || "what says to which store it belongs".to_owned();
        let row = file.query_row(sql, [], |row| OriginRow::intact(row, 0, what)).optional()?;
        Ok(row.map(|OriginRow { store_id, epoch, .. }| Self { store_id, epoch }))
    }

    /// Into an open file, in place of what it says.
    pub(super) fn write(&self, file: &Connection) -> rusqlite::Result<()> {
        let transaction = file.is_autocommit().then(|| file.unchecked_transaction()).transpose()?;
        if Self::read(file)?.is_none() {
            file.execute("DROP TABLE IF EXISTS origin", [])?;
            file.execute_batch(&ORIGIN.create())?;
        }
        file.execute("DELETE FROM origin", [])?;
        OriginRow { one: 1, store_id: self.store_id.clone(), epoch: self.epoch }.insert(file)?;
        transaction.map_or(Ok(()), rusqlite::Transaction::commit)
    }
}

/// What a message file says about itself.
#[derive(Debug)]
struct Facts {
    origin: Option<Origin>,
    /// The registry's transaction that was durable before the file's last one; 0: not known.
    registry_batch: i64,
    last_id: i64,
}

/// What the registry says about its files.
struct Known {
    store_id: Option<String>,
    files_are_named: bool,
    epoch: Option<u64>,
    /// `None`: its row is damaged.
    batch: Option<i64>,
    /// Up to which message it knows each day's file.
    last_ids: Vec<(Day, i64)>,
    kept_from: Option<Day>,
}

/// Passes where the message files of these days belong to this registry. Messages of days before `expired`
/// may be missing.
pub(super) fn check(
    connection: &Connection,
    layout: &Layout,
    days: &[Day],
    expired: Option<Day>,
) -> Result<(), OpenError> {
    let known = Known::read(connection).map_err(|error| OpenError::sqlite(&layout.registry(), error))?;
    let mut last_ids = Vec::new();
    for day in days {
        let file = layout.day(*day);
        let facts = Facts::read(&file).map_err(|error| OpenError::sqlite(&file, error))?;
        known.check_file(&facts, layout, &file)?;
        last_ids.push((*day, facts.last_id));
    }
    known.check_days(&last_ids, layout, expired)
}

impl Facts {
    /// Reads the file and its log, and changes neither.
    fn read(file: &Path) -> rusqlite::Result<Self> {
        let log_is_empty = fs::metadata(with_suffix(file, "-wal")).map_or(true, |log| log.len() == 0);
        let file = if log_is_empty { read_as_it_is(file)? } else { open_to_look(file)? };
        let footer = FileFormat::of(&file)?.footer(&file)?;
        let last = "SELECT coalesce(max(id), 0) FROM messages";
        let last_id = file.query_row(last, [], |row| row.get(0))?;
        let registry_batch = -before(footer.batch);
        Ok(Self { origin: Origin::read(&file)?, registry_batch, last_id })
    }
}

impl Known {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut last_ids = registry::marks(connection)?;
        last_ids.extend(registry::newest(connection)?);
        Ok(Self {
            store_id: registry::store_id(connection)?,
            files_are_named: registry::files_are_named(connection)?,
            epoch: registry::epoch(connection)?,
            batch: registry::batch(connection).ok(),
            last_ids,
            kept_from: registry::kept_from(connection)?,
        })
    }

    /// Whether a file is one of this store's, and not newer than the registry.
    fn check_file(&self, facts: &Facts, layout: &Layout, file: &Path) -> Result<(), OpenError> {
        let file = || file.to_owned();
        match (&self.store_id, &facts.origin) {
            (Some(store), Some(origin)) if *store != origin.store_id => {
                return Err(OpenError::OfAnotherStore { file: file() });
            }
            (Some(_), None) if self.files_are_named => return Err(OpenError::OfNoStore { file: file() }),
            _ => {}
        }
        let later_epoch = self.epoch.zip(facts.origin.as_ref()).is_some_and(|(own, of)| of.epoch > own);
        let later_batch = self.batch.is_some_and(|own| facts.registry_batch > own);
        if later_epoch || later_batch {
            return Err(OpenError::RegistryOlder { file: layout.registry(), messages: file() });
        }
        Ok(())
    }

    /// Whether every file that the registry knows is there, with all that it knows of it.
    fn check_days(
        &self,
        found: &[(Day, i64)],
        layout: &Layout,
        expired: Option<Day>,
    ) -> Result<(), OpenError> {
        let kept_from = self.kept_from.max(expired);
        for (day, known) in &self.last_ids {
            let file: PathBuf = layout.day(*day);
            match found.iter().find(|(found, _)| found == day) {
                Some((_, last)) if last < known => {
                    return Err(OpenError::MessagesOlder { file, found: *last, known: *known });
                }
                None if kept_from.is_none_or(|kept| *day >= kept) => {
                    return Err(OpenError::MessagesMissing { file });
                }
                _ => {}
            }
        }
        Ok(())
    }
}
