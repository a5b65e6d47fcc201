//! Looks into a file before anything is done with it: tables, and the pages of small files.

use std::{fs, path::Path};

use rusqlite::{Connection, ErrorCode};

use super::{
    super::{
        aside::{self, ASIDE},
        error::OpenError,
        registry::damage_of,
    },
    Format, has_table, open_to_look, read_as_it_is, with_suffix,
};

/// A registry or last message file of up to this many bytes is checked when it is opened, pages and indexes:
/// about ten milliseconds.
const CHECKED_BYTES_MAX: u64 = 16 << 20;

/// A file that was checked.
pub(in crate::sqlite) struct Inspected {
    /// Only looks.
    pub(in crate::sqlite) connection: Connection,
    /// Its format.
    pub(in crate::sqlite) format: u32,
    /// An index that does not match its rows, in SQLite's words.
    pub(in crate::sqlite) index_misfit: Option<String>,
    /// Damage to the derived table, in SQLite's words.
    pub(in crate::sqlite) derived_damage: Option<String>,
    /// … and to that of statistics.
    pub(in crate::sqlite) statistics_damage: Option<String>,
}

impl Format {
    /// A connection that only reads, once tables and (for small files) pages were found in order. Leaves
    /// every file as it is.
    pub(in crate::sqlite) fn inspect(&self, file: &Path) -> Result<Inspected, OpenError> {
        let sqlite = |source| OpenError::sqlite(file, source);
        let log_is_empty = fs::metadata(with_suffix(file, "-wal")).map_or(true, |log| log.len() == 0);
        let connection = if log_is_empty {
            // Closed properly: everything is in the file, and it can be read without a log or locks.
            read_as_it_is(file).map_err(sqlite)?
        } else {
            open_to_look(file).map_err(sqlite)?
        };
        let format = self.check_tables(&connection, file)?;
        let (mut index_misfit, mut derived_damage, mut statistics_damage) = (None, None, None);
        if fs::metadata(file).map_or(0, |file| file.len()) <= CHECKED_BYTES_MAX {
            let found = seen_twice(|| findings(&connection)).map_err(sqlite)?;
            let heals = |finding: &str| is_about_an_index(finding) || is_about_an_unused_page(finding);
            if let Some(reason) = found.iter().find(|found| !self.heals_indexes || !heals(found)) {
                let needless = self.damage_without_loss(&connection, format, &found).map_err(sqlite)?;
                let Some(Needless { derived, statistics }) = needless else {
                    return Err(OpenError::Damaged { file: file.to_owned(), reason: reason.clone() });
                };
                derived_damage = derived.then(|| reason.clone());
                statistics_damage = statistics.then(|| reason.clone());
            }
            index_misfit = found.into_iter().find(|found| is_about_an_index(found));
        }
        Ok(Inspected { connection, format, index_misfit, derived_damage, statistics_damage })
    }

    /// Where all that was found is about tables without which the file can be used: the derived one and the
    /// statistics, which are made anew, and those that a migration moves out, which leaves out what cannot be
    /// read.
    fn damage_without_loss(
        &self,
        connection: &Connection,
        format: u32,
        found: &[String],
    ) -> rusqlite::Result<Option<Needless>> {
        if found.iter().any(|found| found.to_ascii_lowercase().contains("freelist")) {
            return Ok(None);
        }
        let is_damaged = |table: &str| -> rusqlite::Result<bool> {
            Ok(damage_of(connection, table)?.is_some_and(|found| !is_about_an_index(&found)))
        };
        let mut needless = Needless { derived: false, statistics: false };
        for table in self.tables_of(format) {
            if is_damaged(table)? {
                if self.derived != Some(table) {
                    return Ok(None);
                }
                needless.derived = true;
            }
        }
        if let Some(table) = self.statistics
            && has_table(connection, table)?
        {
            needless.statistics = is_damaged(table)?;
        }
        let mut is_known = needless.derived || needless.statistics;
        // Its copying goes on.
        is_known |= self.derived.is_some() && aside::stands(connection)? && is_damaged(ASIDE)?;
        for (_, table) in self.moved_out.iter().filter(|(until, _)| format < *until) {
            is_known |= is_damaged(table)?;
        }
        Ok(is_known.then_some(needless))
    }
}

/// Damage to tables that are not needed.
struct Needless {
    /// Also to the derived one.
    derived: bool,
    /// … and to the statistics.
    statistics: bool,
}

/// What a check finds; once more where a page could not be read: SQLite's check tells a failure of the disk
/// as it tells damage, and one that has passed leaves nothing to mend.
fn seen_twice(mut check: impl FnMut() -> rusqlite::Result<Vec<String>>) -> rusqlite::Result<Vec<String>> {
    let found = check()?;
    if found.iter().any(|finding| is_about_reading(finding)) { check() } else { Ok(found) }
}

/// What SQLite's check finds; nothing if all is in order.
fn findings(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA integrity_check")?;
    let mut findings = Vec::new();
    for found in check.query_map([], |row| row.get::<_, String>(0))? {
        match found {
            // The first one has a headline.
            Ok(found) => {
                findings.extend(found.lines().filter(|line| !line.starts_with("***")).map(str::to_owned));
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                findings.push(error.to_string());
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(if findings == ["ok"] { Vec::new() } else { findings })
}

/// Whether a finding says that a page could not be had (`unable to get the page. error code=266`,
/// `failed to get page 9`).
fn is_about_reading(finding: &str) -> bool {
    finding.contains("unable to get the page") || finding.contains("failed to get page")
}

/// Whether a finding says only that space is wasted: the pages of a table that was made anew.
fn is_about_an_unused_page(finding: &str) -> bool {
    finding.starts_with("Page ") && finding.ends_with(": never used")
}

/// Whether a finding says only that an index and its rows differ (`row 3 missing from index …`).
fn is_about_an_index(finding: &str) -> bool {
    let of_row = finding.starts_with("row ")
        && (finding.contains(" missing from index ") || finding.contains(" values differ from index "));
    of_row
        || finding.starts_with("wrong # of entries in index ")
        || finding.starts_with("non-unique entry in index ")
}

#[cfg(test)]
mod tests {
    use super::seen_twice;

    /// What is found, look after look, and how many looks there were.
    fn looks(found: &[&[&str]]) -> (Vec<String>, usize) {
        let mut next = 0;
        let last = seen_twice(|| {
            next += 1;
            Ok(found[next - 1].iter().map(|finding| (*finding).to_owned()).collect())
        });
        (last.unwrap(), next)
    }

    #[test]
    fn a_page_that_could_not_be_read_once_is_no_damage() {
        let unread = "Tree 9 page 9: unable to get the page. error code=266";
        assert_eq!(looks(&[&[unread, "Page 7: never used"], &[]]), (vec![], 2));
        assert_eq!(looks(&[&["Freelist: failed to get page 9"], &[]]), (vec![], 2));
        assert_eq!(looks(&[&[unread], &[unread]]), (vec![unread.to_owned()], 2));
        let torn = "Tree 9 page 9: btreeInitPage() returns error code 11";
        assert_eq!(looks(&[&[torn], &[]]), (vec![torn.to_owned()], 1));
        assert_eq!(looks(&[&[]]), (vec![], 1));
    }
}
