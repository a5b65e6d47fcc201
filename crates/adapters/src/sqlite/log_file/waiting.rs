//! Rows of the open transaction that are not written yet: several of them go with one statement, which costs
//! much less than one for each. They get their numbers when they are written, and that is before anything is
//! read that they are to be among, and before the commit.
//!
//! Where that fails it is not known whose row is to blame, so a group of writes that fails is written again
//! one by one (module `writer::apart`).

use narrowgate_platform::ids::DeviceId;
use rusqlite::{CachedStatement, OptionalExtension};

use super::{
    super::schema::{
        happened::HappenedRow,
        insert_all,
        log::{LogRow, PresenceRow},
    },
    LogFile, NOBODY,
    added::List,
};

/// So many wait at most: a batch may have more, which are trimmed as they come.
const WAIT_MAX: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Their numbers are not known yet.
    entries: Vec<LogRow>,
    /// Nor are these.
    changes: Vec<PresenceRow>,
    happened: Vec<HappenedRow>,
    /// None waits.
    one_by_one: bool,
}

impl Waiting {
    pub(super) fn clear(&mut self) {
        *self = Self { one_by_one: self.one_by_one, ..Self::default() };
    }

    fn len(&self) -> usize {
        self.entries.len() + self.changes.len() + self.happened.len()
    }
}

impl LogFile {
    /// From here on rows are written one by one, or wait for others. None waits now.
    pub(in crate::sqlite) fn write_one_by_one(&mut self, one_by_one: bool) {
        self.waiting.one_by_one = one_by_one;
    }

    pub(super) fn add_entry(&mut self, row: LogRow) -> rusqlite::Result<()> {
        self.waiting.entries.push(row);
        self.write_if_many()
    }

    pub(super) fn add_change(&mut self, row: PresenceRow) -> rusqlite::Result<()> {
        self.waiting.changes.push(row);
        self.write_if_many()
    }

    /// This one has its number.
    pub(super) fn add_happened(&mut self, row: HappenedRow) -> rusqlite::Result<()> {
        self.waiting.happened.push(row);
        self.write_if_many()
    }

    fn write_if_many(&mut self) -> rusqlite::Result<()> {
        let is_time = self.waiting.one_by_one || self.waiting.len() >= WAIT_MAX;
        if is_time { self.write_waiting() } else { Ok(()) }
    }

    /// Writes all that wait.
    pub(in crate::sqlite) fn write_waiting(&mut self) -> rusqlite::Result<()> {
        self.write_entries()?;
        self.write_changes()?;
        let rows = std::mem::take(&mut self.waiting.happened);
        insert_all(&self.connection, &rows)?;
        if let Some(first) = rows.first() {
            self.added.add(List::Happened, NOBODY, first.n);
        }
        Ok(())
    }

    fn write_entries(&mut self) -> rusqlite::Result<()> {
        if self.waiting.entries.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.waiting.entries);
        let last = "SELECT n FROM log WHERE device = ?1 ORDER BY n DESC LIMIT 1";
        let mut last = self.connection.prepare_cached(last)?;
        for row in &mut rows {
            row.n = self.added.next(List::Log, row.device, || last_number(&mut last, row.device))?;
        }
        insert_all(&self.connection, &rows)?;
        for row in &rows {
            let first = || self.added.first(List::Log, row.device);
            self.trims.after_entry(&self.connection, row.device, row.n, first)?;
        }
        Ok(())
    }

    fn write_changes(&mut self) -> rusqlite::Result<()> {
        if self.waiting.changes.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.waiting.changes);
        let last = "SELECT n FROM presence WHERE device = ?1 ORDER BY n DESC LIMIT 1";
        let mut last = self.connection.prepare_cached(last)?;
        for row in &mut rows {
            let device = row.device.0;
            row.n = self.added.next(List::Presence, device, || last_number(&mut last, device))?;
        }
        insert_all(&self.connection, &rows)?;
        for PresenceRow { device: DeviceId(device), n, .. } in &rows {
            let first = || self.added.first(List::Presence, *device);
            self.trims.after_presence(&self.connection, *device, *n, first)?;
        }
        Ok(())
    }
}

/// The last number of a device's list; 0: it has none. A statement of its own: `INSERT … RETURNING` with a
/// sub-select makes a temporary table each time, which costs more than both statements.
fn last_number(last: &mut CachedStatement<'_>, device: i64) -> rusqlite::Result<i64> {
    Ok(last.query_row([device], |row| row.get(0)).optional()?.unwrap_or(0))
}
