//! When reports arrived: the newest arrival of a store that counts, found without reading much (the first and
//! the last report of some days), and the arrivals of one device.

use std::cmp::Reverse;

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    rules::clock::{NewestArrival, SET_AFTER, StoredArrivals},
};
use rusqlite::{Connection, OptionalExtension};

use super::{day::Day, day_file::TimeSpan, readers::Reader, registry::confirmed_arrival, volume::Volume};

/// Days that are looked at. It bounds the time of a start.
const DAYS_MAX: usize = 32;
/// A store of an older version does not say what was confirmed. So many days in a row, and more than half of
/// all, are not of a clock that was wrong for some minutes after each start.
const DAYS_IN_A_ROW: usize = 3;

/// See the module. `files` are those that there are, the oldest day first.
pub(super) fn newest(
    reader: &mut Reader,
    files: &[(Volume, TimeSpan)],
) -> rusqlite::Result<Option<NewestArrival>> {
    let noted = confirmed_arrival(reader.registry())?;
    let mut days: Vec<Day> = files.iter().map(|(volume, _)| volume.day).collect();
    days.dedup();
    let mut stored = StoredArrivals::default();
    let (looked_at, is_sure) = match noted {
        Some(at) if at >= SET_AFTER => {
            stored.confirm(at);
            days.retain(|day| *day >= Day::of(at));
            days.truncate(DAYS_MAX);
            (&*days, true)
        }
        _ => {
            let run = most_in_a_row(&days);
            let is_sure = noted.is_none() && run.len() >= DAYS_IN_A_ROW && run.len() * 2 > days.len();
            (&run[run.len().saturating_sub(DAYS_MAX)..], is_sure)
        }
    };
    for (volume, _) in files.iter().filter(|(volume, _)| looked_at.contains(&volume.day)) {
        let Some((file, _)) = reader.volume(*volume)? else { continue };
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT arrival FROM messages ORDER BY id {order} LIMIT 1");
            stored.extend(one(file, &sql)?);
        }
    }
    if is_sure && let Some(newest) = stored.newest() {
        stored.confirm(newest.time);
    }
    Ok(stored.newest())
}

/// The most days that follow each other, the earliest ones where there are several: a wrong clock leaves a
/// few beside them, and more often ahead than behind. A clock that was never set counts nowhere.
fn most_in_a_row(days: &[Day]) -> &[Day] {
    let set = days.iter().position(|day| *day >= Day::of(SET_AFTER)).unwrap_or(days.len());
    let runs = days[set..].chunk_by(|day, next| day.next() >= *next);
    runs.reduce(|most, run| if run.len() > most.len() { run } else { most }).unwrap_or_default()
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
