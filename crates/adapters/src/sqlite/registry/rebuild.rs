//! The table of latest values, made anew where a page of it is damaged: what can still be read is kept.
//!
//! SQLite writes nothing more in a transaction that has met a damaged page. So it is found out first, outside
//! of one, which rows can be read. It cannot drop a table with a damaged page either: only its name is taken
//! away, and its pages stay unused until the registry is copied (`VACUUM`).

use narrowgate_platform::ids::DeviceId;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::{
    super::schema::{registry::LATEST, sql},
    Registry,
};

/// Rows that are looked at and copied at once; where one of them cannot be read, halves of it.
const COPIED_AT_ONCE: i64 = 4096;
/// The new table until it has the name of the old one.
const DRAFT: &str = "latest_anew";

/// What became of the rows.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Rebuilt {
    pub(in crate::sqlite) kept: usize,
    /// Devices that exist, and whose row could not be read.
    pub(in crate::sqlite) lost: Vec<DeviceId>,
}

/// Devices from the first to the last, whose rows can be read.
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
    /// What is wrong with the pages of the table, if anything is.
    pub(in crate::sqlite) fn damage_of_latest(&self) -> rusqlite::Result<Option<String>> {
        damage_of(&self.connection, LATEST.name)
    }

    /// Makes the table anew of the rows that can be read, in one transaction. Nothing else is written
    /// meanwhile: about a second for 500,000 devices.
    pub(in crate::sqlite) fn rebuild_latest(&mut self) -> rusqlite::Result<Rebuilt> {
        let (ranges, lost) = readable(&self.connection)?;
        self.begin()?;
        match replace(&self.connection, &ranges) {
            Ok(kept) => {
                let number = self.number()?;
                self.commit()?;
                self.numbered(number);
                Ok(Rebuilt { kept, lost })
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

/// Which rows can be read, and the devices whose row cannot.
fn readable(registry: &Connection) -> rusqlite::Result<(Vec<Range>, Vec<DeviceId>)> {
    let end: i64 = registry.query_row("SELECT coalesce(max(id), 0) FROM devices", [], |row| row.get(0))?;
    let (mut ranges, mut lost) = (Vec::new(), Vec::new());
    for first in (1..=end).step_by(COPIED_AT_ONCE as usize) {
        // The next ones, the lowest on top.
        let mut open = vec![Range { first, last: (first + COPIED_AT_ONCE - 1).min(end) }];
        while let Some(range) = open.pop() {
            let Range { first, last } = range;
            match look(registry, range) {
                Ok(()) => ranges.push(range),
                Err(error) if !is_corrupt(&error) => return Err(error),
                Err(_) if first < last => {
                    let middle = first + (last - first) / 2;
                    open.push(Range { first: middle + 1, last });
                    open.push(Range { first, last: middle });
                }
                Err(_) => lost.extend(existing(registry, first)?),
            }
        }
    }
    Ok((ranges, lost))
}

/// Reads all of some rows.
fn look(registry: &Connection, range: Range) -> rusqlite::Result<()> {
    let sql = format!("SELECT sum(length(points)), total(sum) FROM latest WHERE {}", range.condition());
    registry.prepare_cached(&sql)?.query_row(params![range.first, range.last], |_| Ok(()))
}

fn existing(registry: &Connection, device: i64) -> rusqlite::Result<Option<DeviceId>> {
    let sql = "SELECT id FROM devices WHERE id = ?1";
    registry.prepare_cached(sql)?.query_row([device], |row| row.get(0).map(DeviceId)).optional()
}

/// Puts these rows into a new table, and that in the place of the old one; how many they are.
fn replace(registry: &Connection, ranges: &[Range]) -> rusqlite::Result<usize> {
    registry.execute_batch(&LATEST.create().replacen(LATEST.name, DRAFT, 1))?;
    let mut kept = 0;
    for range in ranges {
        let columns = sql!("{}", LATEST.list().replace("l.", ""));
        let condition = range.condition();
        let sql = format!("INSERT INTO {DRAFT} ({columns}) SELECT {columns} FROM latest WHERE {condition}");
        kept += registry.prepare_cached(&sql)?.execute(params![range.first, range.last])?;
    }
    registry.execute_batch("PRAGMA writable_schema = on")?;
    registry.execute("DELETE FROM sqlite_schema WHERE type = 'table' AND name = ?1", [LATEST.name])?;
    registry.execute_batch("PRAGMA writable_schema = reset")?;
    registry.execute_batch(&format!("ALTER TABLE {DRAFT} RENAME TO {}", LATEST.name))?;
    Ok(kept)
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}
