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

use std::{fs, path::Path};

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
pub(super) struct Facts {
    pub(super) origin: Option<Origin>,
    /// Of its last commit, as the footer has it.
    pub(super) batch: i64,
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
    /// Up to which message it knows each day's file.
    last_ids: Vec<(Day, i64)>,
    kept_from: Option<Day>,
}

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// The file of this day knows of a registry that is newer.
    Newer(Day),
    /// Its file is of another store.
    OfAnotherStore(Day),
    /// Its file does not say of which store it is.
    OfNoStore(Day),
    /// There is no file of this day.
    Missing(Day),
    /// Its file lacks messages.
    Older { day: Day, found: i64, known: i64 },
}

impl Misfit {
    /// As the reason for which a store cannot be opened.
    fn error(self, layout: &Layout) -> OpenError {
        match self {
            Self::Newer(day) => {
                OpenError::RegistryOlder { file: layout.registry(), messages: layout.day(day) }
            }
            Self::OfAnotherStore(day) => OpenError::OfAnotherStore { file: layout.day(day) },
            Self::OfNoStore(day) => OpenError::OfNoStore { file: layout.day(day) },
            Self::Missing(day) => OpenError::MessagesMissing { file: layout.day(day) },
            Self::Older { day, found, known } => {
                OpenError::MessagesOlder { file: layout.day(day), found, known }
            }
        }
    }

    /// What it means to go on nevertheless.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Newer(day) => format!(
                "messages of {day} are newer than the registry: devices, secrets and logs are as they were \
                 when it was copied; reports of devices that it does not know are not shown"
            ),
            Self::OfAnotherStore(day) => format!("messages of {day} are of another store"),
            Self::OfNoStore(day) => {
                format!("messages of {day} do not say of which store they are, and count as this one's")
            }
            Self::Missing(day) => format!("messages of {day} are missing and given up"),
            Self::Older { day, found, known } => {
                format!("messages {} to {known} of {day} are missing and given up", found + 1)
            }
        }
    }
}

/// Passes where the message files of these days belong to this registry. Messages of days before `expired`
/// may be missing.
pub(super) fn check(
    connection: &Connection,
    layout: &Layout,
    days: &[Day],
    expired: Option<Day>,
) -> Result<(), OpenError> {
    let (known, facts) = read(connection, layout, days)?;
    match known.misfits(&facts, expired).first() {
        Some(misfit) => Err(misfit.error(layout)),
        None => Ok(()),
    }
}

/// What the registry and the files of these days say.
pub(super) fn read(
    connection: &Connection,
    layout: &Layout,
    days: &[Day],
) -> Result<(Known, Vec<(Day, Facts)>), OpenError> {
    let known = Known::read(connection).map_err(|error| OpenError::sqlite(&layout.registry(), error))?;
    let facts = |day: &Day| {
        let file = layout.day(*day);
        Ok((*day, Facts::read(&file).map_err(|error| OpenError::sqlite(&file, error))?))
    };
    Ok((known, days.iter().map(facts).collect::<Result<_, OpenError>>()?))
}

/// The name of the store by its message files, where one of them says it: the registry of an older program
/// does not.
pub(super) fn name_of_files(layout: &Layout) -> Result<Option<String>, OpenError> {
    for day in layout.days()? {
        let file = layout.day(day);
        let origin = open_to_look(&file).and_then(|file| Origin::read(&file));
        if let Some(origin) = origin.map_err(|error| OpenError::sqlite(&file, error))? {
            return Ok(Some(origin.store_id));
        }
    }
    Ok(None)
}

impl Facts {
    /// Reads the file and its log, and changes neither.
    fn read(file: &Path) -> rusqlite::Result<Self> {
        let log_is_empty = fs::metadata(with_suffix(file, "-wal")).map_or(true, |log| log.len() == 0);
        let file = if log_is_empty { read_as_it_is(file)? } else { open_to_look(file)? };
        let footer = FileFormat::of(&file)?.footer(&file)?;
        let last = "SELECT coalesce(max(id), 0) FROM messages";
        let last_id = file.query_row(last, [], |row| row.get(0))?;
        Ok(Self { origin: Origin::read(&file)?, batch: footer.batch, last_id })
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

    /// What does not fit: first of the files that are there, then of those that are not.
    pub(super) fn misfits(&self, facts: &[(Day, Facts)], expired: Option<Day>) -> Vec<Misfit> {
        let there = facts.iter().filter_map(|(day, facts)| self.misfit_of(*day, facts));
        let kept_from = self.kept_from.max(expired);
        let lacking = self.last_ids.iter().filter_map(|(day, known)| {
            let (day, known) = (*day, *known);
            match facts.iter().find(|(found, _)| *found == day) {
                Some((_, Facts { last_id: found, .. })) if *found < known => {
                    Some(Misfit::Older { day, found: *found, known })
                }
                None if kept_from.is_none_or(|kept| day >= kept) => Some(Misfit::Missing(day)),
                _ => None,
            }
        });
        let mut misfits: Vec<Misfit> = there.chain(lacking).collect();
        misfits.dedup();
        misfits
    }

    /// Whether a file is one of this store's, and not newer than the registry.
    fn misfit_of(&self, day: Day, facts: &Facts) -> Option<Misfit> {
        match (&self.store_id, &facts.origin) {
            (Some(store), Some(origin)) if *store != origin.store_id => {
                return Some(Misfit::OfAnotherStore(day));
            }
            (Some(_), None) if self.files_are_named => return Some(Misfit::OfNoStore(day)),
            _ => {}
        }
        let later_epoch = self.epoch.zip(facts.origin.as_ref()).is_some_and(|(own, of)| of.epoch > own);
        let later_batch = self.batch.is_some_and(|own| -before(facts.batch) > own);
        (later_epoch || later_batch).then_some(Misfit::Newer(day))
    }
}
