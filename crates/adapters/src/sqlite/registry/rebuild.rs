//! The table of latest values, made anew where a page of it is damaged: what can still be read is kept.
//!
//! The damaged table is set aside under another name ([`ASIDE`]), and from then on an empty one has its
//! place, in one short transaction. Rows are copied a few at a time, each part in a transaction with the
//! device behind it, so a start after a crash goes on where it ended. A row that is in the new table already
//! is newer, and stays. At the end the name of the old table is taken away.
//!
//! SQLite writes nothing more in a transaction that has met a damaged page. So the old table is read by a
//! connection of its own, and a part is looked at before it is copied. SQLite cannot drop a table with a
//! damaged page either: its pages stay unused until the registry is copied (`VACUUM`).
//!
//! Limits: the rows of a part are the caller's; one of them cannot be read, where the caller makes it anew.

use std::path::Path;

use narrowgate_platform::ids::{DeviceId, UnixMillis};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    super::{
        aside::{self, ASIDE, is_corrupt},
        error::OpenError,
        files::REGISTRY,
        pending::Activity,
        readers::unopened,
        rows,
        schema::registry::{LATEST, LatestRow, RATES},
    },
    Registry,
    meta::{latest_copied, set_latest_copied},
};

/// The cache of the connection that reads the old table, in KiB, as SQLite has it.
const CACHE: i64 = -1024;

/// The old table.
#[derive(Debug)]
pub(super) struct Aside {
    /// It alone reads there.
    connection: Connection,
    /// The first device that is not copied.
    next: i64,
}

impl Aside {
    /// Where a table was set aside and is not copied to its end.
    pub(super) fn find(registry: &Connection, file: &Path) -> Result<Option<Self>, OpenError> {
        let sqlite = |error| OpenError::sqlite(file, error);
        if !aside::stands(registry).map_err(sqlite)? {
            return Ok(None);
        }
        let connection = REGISTRY.connect_reader(file, CACHE)?;
        Ok(Some(Self { connection, next: latest_copied(registry).map_err(sqlite)? }))
    }
}

/// Rows that are next.
#[derive(Debug)]
pub(in crate::sqlite) struct Part {
    last: i64,
    /// Those that can be read.
    ranges: Vec<Range>,
    /// How many they are.
    pub(in crate::sqlite) rows: usize,
    /// Devices that exist, and whose row cannot be read.
    pub(in crate::sqlite) lost: Vec<DeviceId>,
}

/// Devices from the first to the last.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: i64,
    last: i64,
}

impl Range {
    /// SQL has no step behind the last row of a single one, which may be on a damaged page.
    fn condition(self) -> &'static str {
        if self.first == self.last { "device = ?1 AND ?2 = ?1" } else { "device BETWEEN ?1 AND ?2" }
    }
}

impl Registry {
    /// Whether rows are still to be copied.
    pub(in crate::sqlite) fn is_rebuilding(&self) -> bool {
        self.aside.is_some()
    }

    /// Looks at so many rows of the table of latest values, outside of a transaction; returns with which
    /// device to go on, if there are more, or how a damaged page fails.
    pub(in crate::sqlite) fn look_for_damage(&self, first: i64, rows: i64) -> rusqlite::Result<Option<i64>> {
        let last = first + rows - 1;
        look(&self.connection, LATEST.name, Range { first, last })?;
        Ok((last < self.last_device()?).then_some(last + 1))
    }

    /// Sets the table aside and begins a new one.
    pub(in crate::sqlite) fn set_latest_aside(&mut self) -> rusqlite::Result<()> {
        self.in_transaction(|registry| {
            if aside::stands(registry)? {
                tracing::error!("the new table of latest values is damaged, too: what is not copied is lost");
                take_name_away(registry, ASIDE)?;
            }
            registry.execute_batch(&format!("ALTER TABLE {} RENAME TO {ASIDE}", LATEST.name))?;
            registry.execute_batch(&LATEST.create())?;
            set_latest_copied(registry, Some(1))
        })?;
        let file = self.connection.path().unwrap_or_default().to_owned();
        self.aside = Aside::find(&self.connection, Path::new(&file)).map_err(unopened)?;
        Ok(())
    }

    /// What is to be copied next, up to so many rows, looked at outside of a transaction; `None`: all is.
    /// Where one cannot be read, halves are looked at; with `one_lost` the part ends with the first such row.
    pub(in crate::sqlite) fn next_part(&self, rows: i64, one_lost: bool) -> rusqlite::Result<Option<Part>> {
        let Some(aside) = &self.aside else { return Ok(None) };
        let (first, end) = (aside.next, self.last_device()?);
        if first > end {
            return Ok(None);
        }
        let last = (first + rows - 1).min(end);
        let mut part = Part { last, ranges: Vec::new(), rows: 0, lost: Vec::new() };
        // The next ones, the lowest on top.
        let mut open = vec![Range { first, last }];
        while let Some(range) = open.pop() {
            let Range { first, last } = range;
            match look(&aside.connection, ASIDE, range) {
                Ok(rows) => {
                    part.rows += rows;
                    part.ranges.push(range);
                }
                Err(error) if !is_corrupt(&error) => return Err(error),
                Err(_) if first < last => {
                    let middle = first + (last - first) / 2;
                    open.push(Range { first: middle + 1, last });
                    open.push(Range { first, last: middle });
                }
                Err(_) => {
                    let lost = existing(&self.connection, first)?;
                    part.lost.extend(lost);
                    if one_lost && lost.is_some() {
                        part.last = first;
                        break;
                    }
                }
            }
        }
        Ok(Some(part))
    }

    /// Copies a part, with what was found of a row that is lost.
    pub(in crate::sqlite) fn copy_part(
        &mut self,
        part: &Part,
        found: &[(DeviceId, Activity)],
    ) -> rusqlite::Result<()> {
        let next = part.last + 1;
        if part.rows > 0 || !found.is_empty() {
            self.in_transaction(|registry| {
                part.ranges.iter().try_for_each(|range| copy(registry, *range))?;
                found.iter().try_for_each(|(device, older)| put_older(registry, *device, older))?;
                set_latest_copied(registry, Some(next))
            })?;
        }
        if let Some(aside) = &mut self.aside {
            aside.next = next;
        }
        Ok(())
    }

    /// All is copied.
    pub(in crate::sqlite) fn end_rebuild(&mut self) -> rusqlite::Result<()> {
        self.in_transaction(|registry| {
            take_name_away(registry, ASIDE)?;
            set_latest_copied(registry, None)
        })?;
        self.aside = None;
        Ok(())
    }

    /// Makes the table of counts of minutes anew, without a row.
    pub(in crate::sqlite) fn make_rates_anew(&mut self) -> rusqlite::Result<()> {
        self.in_transaction(|registry| {
            take_name_away(registry, RATES.name)?;
            registry.execute_batch(&RATES.create())
        })
    }

    /// The row of a device in the old table, where it is not copied yet.
    pub(super) fn row_aside(&self, device: DeviceId) -> rusqlite::Result<Option<LatestRow>> {
        match &self.aside {
            Some(Aside { connection, next }) if device.0 >= *next => aside::row(connection, device),
            _ => Ok(None),
        }
    }

    /// When a device was last heard, where that stands in the old table alone.
    pub(super) fn seen_aside(&self, device: DeviceId) -> rusqlite::Result<Option<UnixMillis>> {
        match &self.aside {
            Some(Aside { connection, .. }) if !aside::has_new_row(&self.connection, device)? => {
                aside::seen(connection, device)
            }
            _ => Ok(None),
        }
    }

    fn in_transaction(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.begin()?;
        let changed = change(&self.connection).and_then(|()| self.number());
        match changed.and_then(|number| self.commit().map(|()| number)) {
            Ok(number) => {
                self.numbered(number);
                Ok(())
            }
            Err(error) => {
                self.connection.execute_batch("PRAGMA writable_schema = off")?;
                self.rollback()?;
                Err(error)
            }
        }
    }
}

/// What SQLite's check finds first in the pages of one table, if anything.
pub(in crate::sqlite) fn damage_of(registry: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
    let sql = format!("PRAGMA integrity_check({table})");
    match registry.query_row(&sql, [], |row| row.get::<_, String>(0)) {
        Ok(first) => Ok((first != "ok").then_some(first)),
        Err(error) if is_corrupt(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Reads all of some rows; how many they are.
fn look(registry: &Connection, table: &str, range: Range) -> rusqlite::Result<usize> {
    let columns = "count(*), sum(length(points)), total(sum)";
    let sql = format!("SELECT {columns} FROM {table} WHERE {}", range.condition());
    let mut count = registry.prepare_cached(&sql)?;
    count.query_row(params![range.first, range.last], |row| row.get::<_, i64>(0)).map(|rows| rows as usize)
}

fn existing(registry: &Connection, device: i64) -> rusqlite::Result<Option<DeviceId>> {
    let sql = "SELECT id FROM devices WHERE id = ?1";
    registry.prepare_cached(sql)?.query_row([device], |row| row.get(0).map(DeviceId)).optional()
}

/// Rows of devices that were deleted meanwhile stay behind. The plus keeps SQLite from going through all
/// devices, and so over pages outside of the range.
fn copy(registry: &Connection, range: Range) -> rusqlite::Result<()> {
    let columns = LATEST.list().replace("l.", "");
    let sql = format!(
        "INSERT INTO {} ({columns}) SELECT {columns} FROM {ASIDE} \
         WHERE {} AND +device IN (SELECT id FROM devices) ON CONFLICT DO NOTHING",
        LATEST.name,
        range.condition()
    );
    registry.prepare_cached(&sql)?.execute(params![range.first, range.last]).map(drop)
}

/// What is older than a device's row, if it has one.
fn put_older(registry: &Connection, device: DeviceId, older: &Activity) -> rusqlite::Result<()> {
    let mut activity = match rows::latest(registry, device) {
        Err(error) if rows::is_fault_of_row(&error) => Activity::default(),
        found => found?.unwrap_or_default(),
    };
    activity.merge_older(older.clone());
    super::latest::write(registry, device, &activity).map(drop)
}

fn take_name_away(registry: &Connection, table: &str) -> rusqlite::Result<()> {
    registry.execute_batch("PRAGMA writable_schema = on")?;
    registry.execute("DELETE FROM sqlite_schema WHERE type = 'table' AND name = ?1", [table])?;
    registry.execute_batch("PRAGMA writable_schema = reset")
}
