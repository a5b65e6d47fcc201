//! The newest confirmed arrival of a store, found without reading much: the first and the last report of the
//! newest days.

use narrowgate_platform::{ids::UnixMillis, rules::clock::StoredArrivals};
use rusqlite::{Connection, OptionalExtension};

use super::{day::Day, day_file::TimeSpan, readers::Reader};

/// Days that are looked at, the newest: enough to see past those that a wrong clock may have made. It bounds
/// the time of a start.
const DAYS_MAX: usize = 32;

/// See the module. `files` are the days that have a file, oldest first.
pub(super) fn newest_confirmed(
    reader: &mut Reader,
    files: &[(Day, TimeSpan)],
) -> rusqlite::Result<Option<UnixMillis>> {
    let mut stored = StoredArrivals::default();
    for (day, _) in &files[files.len().saturating_sub(DAYS_MAX)..] {
        let Some((file, _)) = reader.day(*day)? else { continue };
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT arrival FROM messages ORDER BY id {order} LIMIT 1");
            stored.extend(one(file, &sql)?);
        }
    }
    Ok(stored.confirmed())
}

/// A time that is not a number is damage, which others report.
fn one(connection: &Connection, sql: &str) -> rusqlite::Result<Option<UnixMillis>> {
    let time = connection.query_row(sql, [], |row| Ok(row.get(0).ok().map(UnixMillis))).optional()?;
    Ok(time.flatten())
}
