//! Whether the files of a data directory belong together: looked at before a start changes anything.
//!
//! The file of logs and every message file name the store and the epoch in which they were made ([`Origin`]),
//! and their footer says which transaction of the registry was durable before their last commit. The registry
//! has the number of its last transaction, for each day up to which message it knows the file, and which
//! batch touched the file of logs last. So a start finds:
//!
//! * a registry that is older than its files: its next devices would get the ids of others, and their last
//!   batches would be taken for halves and deleted;
//! * files of another store, which would be shown as reports of other devices;
//! * a file that was moved away, or replaced by an older copy: latest values would go back to older ones.
//!
//! What it cannot find: a registry that lacks nothing but the very last batch of all files, where the process
//! was killed within a few hundredths of a second after it. That is also what a crash between the commits
//! leaves.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension};

use super::{
    day_file::before,
    error::OpenError,
    files::{LOGS_SINCE, Layout, open_to_look, read_as_it_is, with_suffix},
    log_file, registry,
    retention::Kept,
    schema::{
        Stored,
        messages::{FileFormat, ORIGIN, OriginRow},
        sql,
    },
    volume::Volume,
};

/// To which store a file belongs.
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

/// A file beside the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Logs and the history of presence.
    Logs,
    /// Messages.
    Messages(Volume),
}

impl Part {
    pub(super) fn file(self, layout: &Layout) -> PathBuf {
        match self {
            Self::Logs => layout.log(),
            Self::Messages(volume) => layout.volume(volume),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logs => f.write_str("logs"),
            Self::Messages(volume) => write!(f, "messages of {volume}"),
        }
    }
}

/// What a file says about itself.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) origin: Option<Origin>,
    /// Of its last commit, as the footer has it.
    pub(super) batch: i64,
    /// The last message; 0 of logs.
    last_id: i64,
}

/// What the registry says about its files.
#[derive(Debug)]
pub(super) struct Known {
    store_id: Option<String>,
    files_are_named: bool,
    epoch: Option<u64>,
    /// `None`: its row is damaged.
    batch: Option<i64>,
    /// Up to which message it knows each message file.
    last_ids: Vec<(Volume, i64)>,
    /// The last batch that touched the logs, where they have a file.
    log_batch: Option<i64>,
    kept_from: Kept,
}

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// This file knows of a registry that is newer.
    Newer(Part),
    /// It is of another store.
    OfAnotherStore(Part),
    /// It does not say of which store it is.
    OfNoStore(Part),
    /// It is not there.
    Missing(Part),
    /// This file lacks messages.
    Older { volume: Volume, found: i64, known: i64 },
    /// The file of logs lacks batches.
    LogsOlder { found: i64, known: i64 },
}

impl Misfit {
    /// As the reason for which a store cannot be opened.
    fn error(self, layout: &Layout) -> OpenError {
        match self {
            Self::Newer(part) => {
                OpenError::RegistryOlder { file: layout.registry(), newer: part.file(layout) }
            }
            Self::OfAnotherStore(part) => OpenError::OfAnotherStore { file: part.file(layout) },
            Self::OfNoStore(part) => OpenError::OfNoStore { file: part.file(layout) },
            Self::Missing(Part::Messages(volume)) => {
                OpenError::MessagesMissing { file: layout.volume(volume) }
            }
            Self::Missing(Part::Logs) => OpenError::LogMissing { file: layout.log() },
            Self::Older { volume, found, known } => {
                OpenError::MessagesOlder { file: layout.volume(volume), found, known }
            }
            Self::LogsOlder { found, known } => OpenError::LogOlder { file: layout.log(), found, known },
        }
    }

    /// What it means to go on nevertheless.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Newer(part) => format!(
                "{part} are newer than the registry: devices and secrets are as they were when it was \
                 copied; what devices sent that it does not know is not shown"
            ),
            Self::OfAnotherStore(part) => format!("{part} are of another store"),
            Self::OfNoStore(part) => {
                format!("{part} do not say of which store they are, and count as this one's")
            }
            Self::Missing(part) => format!("{part} are missing and given up"),
            Self::Older { volume, found, known } => {
                format!("messages {} to {known} of {volume} are missing and given up", found + 1)
            }
            Self::LogsOlder { .. } => {
                "logs are an older copy: later entries and changes of presence are missing and given up"
                    .to_owned()
            }
        }
    }
}

/// Passes where the file of logs and these message files belong to this registry. Those that are not `kept`
/// may be missing. Returns the message files that have half a batch.
pub(super) fn check(
    connection: &Connection,
    layout: &Layout,
    volumes: &[Volume],
    kept: &Kept,
) -> Result<Vec<Volume>, OpenError> {
    let (known, facts) = read(connection, layout, volumes)?;
    if let Some(misfit) = known.misfits(&facts, kept).first() {
        return Err(misfit.error(layout));
    }
    let half = |(part, facts): &(Part, Facts)| match part {
        Part::Messages(volume) if known.batch.is_some_and(|own| facts.batch > own) => Some(*volume),
        _ => None,
    };
    Ok(facts.iter().filter_map(half).collect())
}

/// What the registry, the file of logs and these message files say.
pub(super) fn read(
    connection: &Connection,
    layout: &Layout,
    volumes: &[Volume],
) -> Result<(Known, Vec<(Part, Facts)>), OpenError> {
    let sqlite = |error| OpenError::sqlite(&layout.registry(), error);
    let known = Known::read(connection).map_err(sqlite)?;
    let format: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite)?;
    // One beside an older registry was left by a migration that was cut off, or is of before a way back.
    let logs = (format >= LOGS_SINCE && layout.log().exists()).then_some(Part::Logs);
    let facts = |part: Part| {
        let file = part.file(layout);
        Ok((part, Facts::read(part, &file).map_err(|error| OpenError::sqlite(&file, error))?))
    };
    let messages = volumes.iter().map(|volume| Part::Messages(*volume));
    Ok((known, messages.chain(logs).map(facts).collect::<Result<_, OpenError>>()?))
}

/// The name of the store by its message files, where one of them says it: the registry of an older program
/// does not.
pub(super) fn name_of_files(layout: &Layout) -> Result<Option<String>, OpenError> {
    for volume in layout.volumes()? {
        let file = layout.volume(volume);
        let origin = open_to_look(&file).and_then(|file| Origin::read(&file));
        if let Some(origin) = origin.map_err(|error| OpenError::sqlite(&file, error))? {
            return Ok(Some(origin.store_id));
        }
    }
    Ok(None)
}

impl Facts {
    /// Reads the file and its log, and changes neither.
    fn read(part: Part, file: &Path) -> rusqlite::Result<Self> {
        let log_is_empty = fs::metadata(with_suffix(file, "-wal")).map_or(true, |log| log.len() == 0);
        let file = if log_is_empty { read_as_it_is(file)? } else { open_to_look(file)? };
        let origin = Origin::read(&file)?;
        match part {
            Part::Logs => Ok(Self { origin, batch: log_file::Footer::read(&file)?.batch, last_id: 0 }),
            Part::Messages(_) => {
                let batch = FileFormat::of(&file)?.footer(&file)?.batch;
                let last = "SELECT coalesce(max(id), 0) FROM messages";
                Ok(Self { origin, batch, last_id: file.query_row(last, [], |row| row.get(0))? })
            }
        }
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
            log_batch: registry::log_batch(connection)?,
            kept_from: registry::kept_from(connection)?,
        })
    }

    /// What does not fit: first of the files that are there, then of those that are not.
    pub(super) fn misfits(&self, facts: &[(Part, Facts)], kept: &Kept) -> Vec<Misfit> {
        let there = facts.iter().filter_map(|(part, facts)| self.misfit_of(*part, facts));
        let found = |part: Part| facts.iter().find(|(found, _)| *found == part).map(|(_, facts)| facts);
        let may_lack = |volume| self.kept_from.is_over(volume) || kept.is_over(volume);
        let lacking = self.last_ids.iter().filter_map(|(volume, known)| {
            let (volume, known) = (*volume, *known);
            match found(Part::Messages(volume)) {
                Some(Facts { last_id: found, .. }) if *found < known => {
                    Some(Misfit::Older { volume, found: *found, known })
                }
                None if !may_lack(volume) => Some(Misfit::Missing(Part::Messages(volume))),
                _ => None,
            }
        });
        let logs = self.log_batch.and_then(|known| match found(Part::Logs).map(|facts| facts.batch.abs()) {
            Some(found) if found < known => Some(Misfit::LogsOlder { found, known }),
            None => Some(Misfit::Missing(Part::Logs)),
            Some(_) => None,
        });
        let mut misfits: Vec<Misfit> = there.chain(lacking).chain(logs).collect();
        misfits.dedup();
        misfits
    }

    /// Whether a file is one of this store's, and not newer than the registry.
    fn misfit_of(&self, part: Part, facts: &Facts) -> Option<Misfit> {
        match (&self.store_id, &facts.origin) {
            (Some(store), Some(origin)) if *store != origin.store_id => {
                return Some(Misfit::OfAnotherStore(part));
            }
            (Some(_), None) if self.files_are_named => return Some(Misfit::OfNoStore(part)),
            _ => {}
        }
        let later_epoch = self.epoch.zip(facts.origin.as_ref()).is_some_and(|(own, of)| of.epoch > own);
        let later_batch = self.batch.is_some_and(|own| -before(facts.batch) > own);
        (later_epoch || later_batch).then_some(Misfit::Newer(part))
    }
}
