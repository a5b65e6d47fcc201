//! Values by time across message files.
//!
//! A report lies in the file of the day on which it arrived, which may be long after its own time. So every file
//! whose time span touches the question is looked at, the latest span first, until the files left cannot hold
//! anything newer than what was found.

use std::cmp::Reverse;

use narrowgate_platform::{ids::UnixMillis, model::message::PointValue, ports::HistoryQuery};
use rusqlite::{Connection, params};

use super::{day::Day, day_file::TimeSpan, readers::Reader, sum};
use crate::latest::for_each_point;

/// A report that was found.
struct Found {
    time: i64,
    /// The later arrival of equal times comes first.
    arrived: (Day, i64),
    values: Vec<PointValue>,
}

/// Values of `device`, newest first; of equal times the later arrival first.
pub(super) fn read(
    reader: &mut Reader,
    mut files: Vec<(Day, TimeSpan)>,
    device: i64,
    query: &HistoryQuery,
) -> rusqlite::Result<Vec<PointValue>> {
    let from = query.from.map_or(i64::MIN, |from| from.0);
    let Some(last) = query.to.map_or(Some(i64::MAX), |to| to.0.checked_sub(1)) else { return Ok(Vec::new()) };
    files.retain(|(_, span)| span.min <= last && span.max >= from);
    files.sort_by_key(|(day, span)| Reverse((span.max, *day)));

    let mut found: Vec<Found> = Vec::new();
    for (day, span) in files {
        // Once there is enough, only what is as new as the oldest of it can matter.
        let needed_from = oldest_that_counts(&found, query.limit).map_or(from, |oldest| oldest.max(from));
        if span.max < needed_from {
            break;
        }
        let point = query.point.as_deref();
        read_file(reader.day(day)?, day, device, (needed_from, last), point, query.limit, &mut found)?;
        found.sort_by_key(|report| Reverse((report.time, report.arrived)));
    }
    let mut values: Vec<PointValue> = found.into_iter().flat_map(|report| report.values).collect();
    values.truncate(query.limit);
    Ok(values)
}

/// Time of the report that completes `limit` values, if there are so many. `found` is sorted.
fn oldest_that_counts(found: &[Found], limit: usize) -> Option<i64> {
    let mut values = 0;
    for report in found {
        values += report.values.len();
        if values >= limit {
            return Some(report.time);
        }
    }
    None
}

fn read_file(
    file: &Connection,
    day: Day,
    device: i64,
    (from, last): (i64, i64),
    point: Option<&str>,
    limit: usize,
    found: &mut Vec<Found>,
) -> rusqlite::Result<()> {
    let sql = "SELECT id, time, points, kind, arrival, sum FROM messages WHERE device = ?1 AND time >= ?2 AND time <= ?3 \
               ORDER BY time DESC, id DESC";
    let mut select = file.prepare_cached(sql)?;
    let mut rows = select.query(params![device, from, last])?;
    let mut count = 0;
    while count < limit {
        let Some(row) = rows.next()? else { break };
        let (id, time): (i64, i64) = (row.get(0)?, row.get(1)?);
        let points = row.get_ref(2)?.as_str()?;
        let right = sum::of_message(id, device, row.get_ref(3)?.as_str()?, (time, row.get(4)?), points);
        sum::check(row.get(5)?, right, || format!("message {id} of {day}"))?;
        let mut values = Vec::new();
        for_each_point(points, |name, value| {
            if point.is_none_or(|wanted| wanted == name) {
                values.push(PointValue {
                    point: name.to_owned(),
                    value: value.into(),
                    time: UnixMillis(time),
                });
            }
        });
        count += values.len();
        if !values.is_empty() {
            found.push(Found { time, arrived: (day, id), values });
        }
    }
    Ok(())
}
