//! When reports arrived: the newest confirmed arrival of a store, found without reading much (the first and
//! the last report of the newest days), and the arrivals of one device.

use std::cmp::Reverse;

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    rules::clock::StoredArrivals,
};
use rusqlite::{Connection, OptionalExtension};

use super::{day::Day, day_file::TimeSpan, readers::Reader, volume::Volume};

/// Days that are looked at, the newest: enough to see past those that a wrong clock may have made. It bounds
/// the time of a start.
const DAYS_MAX: usize = 32;

/// See the module. `files` are those that there are, the oldest day first.
pub(super) fn newest_confirmed(
    reader: &mut Reader,
    files: &[(Volume, TimeSpan)],
) -> rusqlite::Result<Option<UnixMillis>> {
    let mut stored = StoredArrivals::default();
    let mut days: Vec<Day> = files.iter().map(|(volume, _)| volume.day).collect();
    days.dedup();
    let first = days.get(days.len().saturating_sub(DAYS_MAX)).copied();
    for (volume, _) in files.iter().filter(|(volume, _)| Some(volume.day) >= first) {
        let Some((file, _)) = reader.volume(*volume)? else { continue };
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT arrival FROM messages ORDER BY id {order} LIMIT 1");
            stored.extend(one(file, &sql)?);
        }
    }
    Ok(stored.confirmed())
}

/// When reports of a device arrived in the newest days, newest first. In each file those with the newest
/// times of their own are read, because the index has these. Sums are not compared: one wrong time among many
/// does no harm, and reports are not read for it.
pub(super) fn of_device(
    reader: &mut Reader,
    files: &[(Volume, TimeSpan)],
    device: DeviceId,
    limit: usize,
) -> rusqlite::Result<Vec<UnixMillis>> {
    let mut arrivals: Vec<UnixMillis> = Vec::new();
    // A day has a file for each class of retention: all of them are read, or none.
    for day in files.chunk_by(|one, next| one.0.day == next.0.day).rev().take(DAYS_MAX) {
        for (volume, _) in day {
            let Some((file, _)) = reader.volume(*volume)? else { continue };
            let sql = "SELECT arrival FROM messages WHERE device = ?1 ORDER BY time DESC LIMIT ?2";
            let mut select = file.prepare_cached(sql)?;
            let mut rows = select.query([device.0, limit as i64])?;
            while let Some(row) = rows.next()? {
                arrivals.extend(row.get(0).ok().map(UnixMillis));
            }
        }
        if arrivals.len() >= limit {
            break;
        }
    }
    arrivals.sort_unstable_by_key(|arrival| Reverse(*arrival));
    arrivals.truncate(limit);
    Ok(arrivals)
}

/// A time that is not a number is damage, which others report.
fn one(connection: &Connection, sql: &str) -> rusqlite::Result<Option<UnixMillis>> {
    let time = connection.query_row(sql, [], |row| Ok(row.get(0).ok().map(UnixMillis))).optional()?;
    Ok(time.flatten())
}
