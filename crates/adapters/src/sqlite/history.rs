//! Values and events by time across message files, page by page.
//!
//! An event is a report with one value, its parameters, under its identifier.
//!
//! A report is in the file of the day on which it arrived, which may be long after its own time. So every
//! file whose time span touches the query is read, the latest span first, until the remaining files cannot
//! hold anything newer than what was found.
//!
//! The order of all reports is by time, and of equal times by their place among all events, the latest commit
//! first; before format 4 a message has none, and its day and id stand for it. A page's place is time and
//! place of its last report, and how many points of that report were returned: reports that arrive meanwhile
//! have places of their own before or after it. A damaged report is left out and counted; consecutive ones
//! are one in memory.
//!
//! Where little is found among many reports, or what is found is large, a page ends early: see [`Bounds`].

mod found;
#[cfg(test)]
mod tests;

use std::cmp::{Ordering, Reverse};

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::message::{EventValue, MessageKind, PointValue, read_event},
    paging::{Page, Place},
    ports::{EventQuery, HistoryQuery},
    rules::latest::for_each_point,
};
use rusqlite::{Connection, Row, params_from_iter};

use self::found::{Found, FoundReports, Order, Values, bytes_of};
use super::{
    day_file::TimeSpan,
    readers::Reader,
    rows::is_fault_of_row,
    schema::messages::{FileFormat, MESSAGES, MessageRow},
    volume::Volume,
};

/// After so many reports, or days, [`newest`] reads no further day.
const NEWEST_REPORTS: usize = 256;
const NEWEST_DAYS: usize = 32;

/// After so many reports, or bytes of them, or bytes of values, a page ends, however little it has: a point
/// that nobody reports must not keep a reader for long, and fat values must not fill the memory.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// With `read_bytes` a fraction of a second's work. Of a file that still matters then, whose times
    /// overlap, a tenth of it is read: a page has to get on.
    reports: usize,
    /// Of reports that are looked at, whether something of them is wanted or not.
    read_bytes: usize,
    /// With their names. The last report may go beyond by its own.
    bytes: usize,
}

const BOUNDS: Bounds = Bounds { reports: 100_000, read_bytes: 32 << 20, bytes: 8 << 20 };

/// Below every epoch.
const BEFORE_EPOCHS: i64 = -(1 << 40);

/// What to look for.
struct Search<'a> {
    device: i64,
    wants: Wants<'a>,
    /// Times from here on.
    from: i64,
    /// The newest report that counts, and how many of its points were returned already.
    newest: Order,
    had: i64,
    /// Values to find: one more than the page holds shows whether another one follows.
    wanted: usize,
    bounds: Bounds,
}

/// Of what kind of messages, and which of their values.
#[derive(Clone, Copy)]
enum Wants<'a> {
    /// Values of this point, or of all.
    Points(Option<&'a str>),
    /// Events with one of these identifiers, or all.
    Events(Option<&'a [String]>),
}

impl Wants<'_> {
    /// Whether messages of this kind are wanted.
    fn is_of(self, is_event: bool) -> bool {
        matches!(self, Self::Events(_)) == is_event
    }
}

/// Values of `device`, newest first; of equal times the later arrival first.
pub(super) fn read(
    reader: &mut Reader,
    files: Vec<(Volume, TimeSpan)>,
    device: i64,
    query: &HistoryQuery,
) -> rusqlite::Result<Page<PointValue>> {
    read_all(reader, files, device, query, Wants::Points(query.point.as_deref()))
}

/// Events of `device`, in the same order.
pub(super) fn events(
    reader: &mut Reader,
    files: Vec<(Volume, TimeSpan)>,
    device: i64,
    query: &EventQuery,
) -> rusqlite::Result<Page<EventValue>> {
    let EventQuery { events, from, to, after, limit } = query;
    let span = HistoryQuery { point: None, from: *from, to: *to, after: *after, limit: *limit };
    let wants = Wants::Events(events.as_deref());
    let Page { items, next, damaged } = read_all(reader, files, device, &span, wants)?;
    let event = |PointValue { point: event, value: output, time }| EventValue { event, time, output };
    Ok(Page { items: items.into_iter().map(event).collect(), next, damaged })
}

/// What is wanted of `device` in the span of a query, from its place on.
fn read_all(
    reader: &mut Reader,
    mut files: Vec<(Volume, TimeSpan)>,
    device: i64,
    query: &HistoryQuery,
    wants: Wants<'_>,
) -> rusqlite::Result<Page<PointValue>> {
    let Some(last) = query.to.map_or(Some(i64::MAX), |to| to.0.checked_sub(1)) else {
        return Ok(Page::empty());
    };
    let (newest, had) = match query.after {
        Some(Place([time, ..])) if time > last => ((last, i64::MAX, i64::MAX), 0),
        Some(Place([time, first, second, had])) => ((time, first, second), had),
        None => ((last, i64::MAX, i64::MAX), 0),
    };
    let search = Search {
        device,
        wants,
        from: query.from.map_or(i64::MIN, |from| from.0),
        newest,
        had,
        wanted: query.limit.saturating_add(1),
        bounds: BOUNDS,
    };
    files.retain(|(_, span)| span.min <= newest.0 && span.max >= search.from);
    files.sort_by_key(|(volume, span)| Reverse((span.max, *volume)));

    let mut found = FoundReports::default();
    for (volume, span) in files {
        // Only reports as new as the one that the page ends behind can matter.
        let needed_from = found.end.map_or(search.from, |(time, ..)| time.max(search.from));
        if span.max < needed_from {
            break;
        }
        let Some(file) = reader.volume(volume)? else { continue };
        search.read_file(file, volume, needed_from, &mut found)?;
        found.cut(search.wanted, search.bounds.bytes);
    }
    Ok(found.page(query.limit))
}

/// The newest reports of a device, damaged ones left out, from its newest days: enough for the latest values
/// of all points that it reports often.
pub(super) fn newest(
    reader: &mut Reader,
    mut files: Vec<(Volume, TimeSpan)>,
    device: DeviceId,
) -> rusqlite::Result<Vec<MessageRow>> {
    files.sort_by_key(|(volume, _)| Reverse(*volume));
    let mut newest = Vec::new();
    // A day has a file for each class of retention: all of them are read, or none.
    for day in files.chunk_by(|one, next| one.0.day == next.0.day).take(NEWEST_DAYS) {
        for (volume, _) in day {
            let Some((file, format)) = reader.volume(*volume)? else { continue };
            let sql = format!(
                "SELECT {} FROM messages m WHERE device = ?1 AND kind = 'points' ORDER BY time DESC LIMIT ?2",
                format.list()
            );
            let mut select = file.prepare_cached(&sql)?;
            let mut rows = select.query([device.0, NEWEST_REPORTS as i64])?;
            while let Some(row) = rows.next()? {
                newest.extend(format.read(row, || format!("a message of {volume}")).ok());
            }
        }
        if newest.len() >= NEWEST_REPORTS {
            break;
        }
    }
    Ok(newest)
}

impl Search<'_> {
    /// Adds the newest reports of a file, until there are enough, a bound is reached, or they are older than
    /// `from`.
    fn read_file(
        &self,
        (file, format): (&Connection, FileFormat),
        volume: Volume,
        from: i64,
        found: &mut FoundReports,
    ) -> rusqlite::Result<()> {
        let (sql, places) = self.statement(volume, format);
        let mut select = file.prepare_cached(&sql)?;
        let values = [self.device, self.newest.0, from].into_iter().chain(places);
        let mut rows = select.query(params_from_iter(values))?;
        let begin = found.reports.len();
        let mut looking = Looking::new(self.bounds, found);
        let (mut count, mut bytes) = (0, 0);
        let mut order = self.newest;
        while count < self.wanted
            && let Some(row) = rows.next()?
        {
            looking.look(format.bytes(row));
            let is_wanted = self.wants.is_of(format.is_event(row));
            if !is_wanted && !looking.is_enough() {
                continue;
            }
            let values = match self.values(row, volume, format) {
                Ok((found, values)) => {
                    order = found;
                    values
                }
                Err(error) if is_fault_of_row(&error) => {
                    if is_wanted {
                        // Placed with the one before it: its own time may be what is damaged.
                        let id: i64 = row.get(0)?;
                        let what = format!("message {id} of {volume} is not as it was stored");
                        found.add_damaged(begin, order, what);
                    }
                    let behind = looking.is_enough().then(|| raw_order(row, volume, format)).flatten();
                    if let Some(behind) = behind.map(just_below).filter(|behind| *behind < self.newest) {
                        found.end_behind(behind);
                        break;
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !values.is_empty() {
                count += values.len();
                bytes += values.iter().map(|(_, value)| bytes_of(value)).sum::<usize>();
                found.reports.push(Found { order, values: Ok(values) });
            }
            // Behind the place at which the page begins: each goes on.
            let is_at_bound = looking.is_enough() || bytes >= self.bounds.bytes;
            if is_at_bound && order < self.newest {
                found.end_behind(order);
                break;
            }
        }
        found.looked += looking.reports;
        found.looked_bytes += looking.bytes;
        Ok(())
    }

    /// What is selected of a file, and the values behind device, last and first time.
    fn statement(&self, volume: Volume, format: FileFormat) -> (String, Vec<i64>) {
        let (_, first, second) = self.newest;
        let (behind, places) = match format {
            FileFormat::Four => ("(time, epoch, sequence) <= (?2, ?4, ?5)", vec![first, second]),
            FileFormat::Two => {
                // Of the reports of the exact time that the last page ended with, those of later days came
                // before.
                let last_id = match (BEFORE_EPOCHS + volume.day.number()).cmp(&first) {
                    Ordering::Less => i64::MAX,
                    Ordering::Equal => second,
                    Ordering::Greater => i64::MIN,
                };
                ("(time, id) <= (?2, ?4)", vec![last_id])
            }
        };
        // Kinds are not told apart here: SQLite would go on without end for one that is rare.
        let sql = format!(
            "SELECT {} FROM messages m WHERE device = ?1 AND {behind} AND time >= ?3 \
             ORDER BY time DESC, id DESC",
            format.list()
        );
        (sql, places)
    }

    /// The place of a report, and the points of it that are asked for.
    fn values(&self, row: &Row<'_>, volume: Volume, format: FileFormat) -> rusqlite::Result<(Order, Values)> {
        let id: i64 = row.get(0)?;
        let message = format.read(row, || format!("message {id} of {volume}"))?;
        let (first, second) = commit_of(&message, volume, format);
        let MessageRow { kind, time, points, .. } = message;
        let order = (time.0, first, second);
        let had = if order == self.newest { self.had } else { 0 };
        let values = match self.wants {
            wants if !wants.is_of(kind == MessageKind::Event) => Vec::new(),
            Wants::Points(point) => points_of(&points, point, had, time),
            Wants::Events(_) if had > 0 => Vec::new(),
            Wants::Events(events) => {
                let event = read_event(&points)
                    .filter(|(event, _)| events.is_none_or(|events| events.contains(event)))
                    .map(|(point, value)| (1, PointValue { point, value, time }));
                event.into_iter().collect()
            }
        };
        Ok((order, values))
    }
}

/// How much of a file was looked at, and how much may be.
struct Looking {
    reports: usize,
    reports_max: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Looking {
    fn new(bounds: Bounds, found: &FoundReports) -> Self {
        let left = |bound: usize, looked| bound.saturating_sub(looked).max(bound / 10);
        Self {
            reports: 0,
            reports_max: left(bounds.reports, found.looked),
            bytes: 0,
            bytes_max: left(bounds.read_bytes, found.looked_bytes),
        }
    }

    fn look(&mut self, bytes: usize) {
        self.reports += 1;
        self.bytes += bytes;
    }

    fn is_enough(&self) -> bool {
        self.reports >= self.reports_max || self.bytes >= self.bytes_max
    }
}

/// The order of a row as it stands, whether it is the one that was stored or not: by this it was found.
fn raw_order(row: &Row<'_>, volume: Volume, format: FileFormat) -> Option<Order> {
    let number = |column| row.get::<_, i64>(column).ok();
    let time = format.time(row).ok()?;
    match format {
        FileFormat::Four => {
            let [epoch, sequence] = ["epoch", "sequence"].map(|column| MESSAGES.position(column));
            Some((time, number(epoch)?, number(sequence)?))
        }
        FileFormat::Two => Some((time, BEFORE_EPOCHS + volume.day.number(), number(0)?)),
    }
}

/// A place behind which a report of this order is not found again.
fn just_below((time, first, second): Order) -> Order {
    (time, first, second.saturating_sub(1))
}

/// Two numbers that rise with the commits: epoch and sequence, or the day and the id where a file has none.
pub(super) fn commit_of(message: &MessageRow, volume: Volume, format: FileFormat) -> (i64, i64) {
    match format {
        FileFormat::Four => (message.epoch.cast_signed(), message.sequence.cast_signed()),
        FileFormat::Two => (BEFORE_EPOCHS + volume.day.number(), message.id),
    }
}

/// The points of a report that are asked for, but for the first `had`.
fn points_of(points_json: &str, point: Option<&str>, had: i64, time: UnixMillis) -> Values {
    let mut values = Vec::new();
    let mut number = 0;
    for_each_point(points_json, |name, value| {
        number += 1;
        if number > had && point.is_none_or(|wanted| wanted == name) {
            let value = PointValue { point: name.to_owned(), value: value.into(), time };
            values.push((number, value));
        }
    });
    values
}
