//! Lists that have grown too long: which they are, and their oldest rows.

use std::collections::BTreeSet;

use narrowgate_platform::model::log::LogClass;
use rusqlite::{Connection, params};

use super::{
    super::{healing::healing, options::SqliteOptions},
    NOBODY,
};

/// Lists are trimmed every this many rows (or every sixteenth part of their limit, where that is more), with
/// the next batch: so they may exceed their limit by that much, and by what one batch adds.
const TRIM_EVERY: i64 = 16;
/// Traces of deleted devices that are kept; they are nobody's, as refusals of unknown devices are.
const DELETIONS_MAX: i64 = 10_000;

/// A class of entries, as [`number`] has it.
macro_rules! class {
    () => {
        "CASE event WHEN 'refused' THEN 1 WHEN 'attributes_changed' THEN 2 WHEN 'tags_changed' THEN 2 \
         WHEN 'command_sent' THEN 2 WHEN 'commands_cancelled' THEN 2 ELSE 0 END"
    };
}

/// The newest `?3` entries of class `?2` stay, and what is older than `?4`.
const TRIM_LOG: &str = concat!(
    "DELETE FROM log WHERE device = ?1 AND ",
    class!(),
    " = ?2 AND n >= ?4 AND n <= (SELECT n FROM log WHERE device = ?1 AND ",
    class!(),
    " = ?2 ORDER BY n DESC LIMIT 1 OFFSET ?3)"
);
/// The newest `?2` changes stay, and what is older than `?3`.
const TRIM_PRESENCE: &str = "DELETE FROM presence WHERE device = ?1 AND n >= ?3 AND n <= \
                             (SELECT max(n) FROM presence WHERE device = ?1) - ?2";

/// Numbers of rows that are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    device_log: i64,
    device_refusals: i64,
    device_changes: i64,
    unknown_refusals: i64,
    presence: i64,
}

impl Limits {
    pub(super) fn of(options: &SqliteOptions) -> Self {
        let rows = |max: usize| i64::try_from(max).unwrap_or(i64::MAX);
        Self {
            device_log: rows(options.device_log_entries_max),
            device_refusals: rows(options.device_refusals_max),
            device_changes: rows(options.device_changes_max),
            unknown_refusals: rows(options.unknown_refusals_max),
            presence: rows(options.presence_changes_max),
        }
    }
}

/// A list that is to be trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Trim {
    /// A class of entries of a log.
    Log {
        device: i64,
        class: LogClass,
    },
    Presence {
        device: i64,
    },
}

impl Trim {
    /// Deletes what is too much, but nothing before row `from`.
    fn run(self, file: &Connection, limits: &Limits, from: i64) -> rusqlite::Result<()> {
        let deleted = match self {
            Self::Log { device, class } => {
                let values = params![device, number(class), limits.of_log(device, class), from];
                healing(file, "log", || file.prepare_cached(TRIM_LOG)?.execute(values))
            }
            Self::Presence { device } => {
                let values = params![device, limits.presence, from];
                healing(file, "presence", || file.prepare_cached(TRIM_PRESENCE)?.execute(values))
            }
        };
        deleted.map(drop)
    }
}

impl Limits {
    fn of_log(&self, device: i64, class: LogClass) -> i64 {
        match (device, class) {
            (NOBODY, LogClass::Refusals) => self.unknown_refusals,
            (NOBODY, _) => DELETIONS_MAX,
            (_, LogClass::Refusals) => self.device_refusals,
            (_, LogClass::Changes) => self.device_changes,
            (_, LogClass::Others) => self.device_log,
        }
    }
}

/// What [`TRIM_LOG`] calls a class.
const fn number(class: LogClass) -> i64 {
    match class {
        LogClass::Others => 0,
        LogClass::Refusals => 1,
        LogClass::Changes => 2,
    }
}

/// Lists that are to be trimmed, by the batch that made them too long.
#[derive(Debug)]
pub(super) struct Trims {
    limits: Limits,
    /// Of complete batches.
    due: BTreeSet<Trim>,
    /// Of the one under way.
    next: BTreeSet<Trim>,
}

impl Trims {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, due: BTreeSet::new(), next: BTreeSet::new() }
    }

    /// Entry `n` of a log was added, in a transaction whose first one `first` tells.
    pub(super) fn after_entry(
        &mut self,
        file: &Connection,
        device: i64,
        n: i64,
        first: impl Fn() -> i64,
    ) -> rusqlite::Result<()> {
        for class in LogClass::ALL {
            let max = self.limits.of_log(device, class);
            self.after(file, Trim::Log { device, class }, max, (n, &first))?;
        }
        Ok(())
    }

    /// Change `n` of presence was added, in a transaction whose first one `first` tells.
    pub(super) fn after_presence(
        &mut self,
        file: &Connection,
        device: i64,
        n: i64,
        first: impl Fn() -> i64,
    ) -> rusqlite::Result<()> {
        self.after(file, Trim::Presence { device }, self.limits.presence, (n, &first))
    }

    fn after(
        &mut self,
        file: &Connection,
        trim: Trim,
        max: i64,
        (n, first): (i64, &impl Fn() -> i64),
    ) -> rusqlite::Result<()> {
        if !is_time_to_trim(n, max) {
            return Ok(());
        }
        self.next.insert(trim);
        let first = first();
        // Only then does a transaction have too many of its own.
        if n - first >= max { trim.run(file, &self.limits, first) } else { Ok(()) }
    }

    /// Trims what complete batches made too long, before anything else is written.
    pub(super) fn run(&self, file: &Connection) -> rusqlite::Result<()> {
        self.due.iter().try_for_each(|trim| trim.run(file, &self.limits, 0))
    }

    /// They cannot be trimmed.
    pub(super) fn give_up(&mut self) {
        self.due.clear();
    }

    /// The transaction is undone.
    pub(super) fn rollback(&mut self) {
        self.next.clear();
    }

    /// The transaction, in which [`Self::run`] was called, is complete.
    pub(super) fn settle(&mut self) {
        self.due = std::mem::take(&mut self.next);
    }
}

/// Whether a list of at most `max` rows, of which number `n` was just written, is due to be trimmed.
fn is_time_to_trim(n: i64, max: i64) -> bool {
    n > max && n % TRIM_EVERY.max(max / 16) == 0
}
