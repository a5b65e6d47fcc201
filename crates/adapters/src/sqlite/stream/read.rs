//! Reading what happened from a place on.
//!
//! In each file rows come in the order of their places, so the first one behind a place is found by halving.
//! A page is at most `limit` of each file, merged; where a file has more than that, the page ends with the
//! last one that was read of it.

use std::{collections::BTreeMap, path::Path};

use narrowgate_platform::{
    ids::{DeviceId, Position},
    model::happened::{Happened, StreamPlace},
    ports::{HappenedPage, Lost, WhyLost},
    rules::happened,
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    super::{
        Shared,
        error::OpenError,
        files::MESSAGES,
        log_file::NOBODY,
        readers::Reader,
        registry::stream as noted,
        schema::{
            Stored,
            happened::{HAPPENED, HappenedRow},
            messages::FileFormat,
            sql,
        },
        volume::Volume,
    },
    Extent,
    kept::{Whose, gone},
    text::read_told,
};

/// Most of a page, whatever is asked for.
const LIMIT_MAX: usize = 10_000;
/// Bytes of what was said after which a page ends: a follower that is slow holds one.
const BYTES_MAX: usize = 64 << 10;

/// A page of what happened behind a place.
pub(in crate::sqlite) fn read(
    reader: &mut Reader,
    shared: &Shared,
    after: Option<StreamPlace>,
    limit: usize,
) -> rusqlite::Result<HappenedPage> {
    // First of all: what is committed meanwhile is for the next page.
    let head = head(reader, shared)?;
    let nothing = |lost| HappenedPage { items: Vec::new(), upto: head, head, lost, damaged: 0 };
    let Some(after) = after else { return Ok(nothing(None)) };
    if after > head {
        return Ok(nothing(Some(Lost::all(WhyLost::Unknown, head))));
    }
    if after == head {
        return Ok(nothing(None));
    }
    let mut found = Found { after, bound: head, limit: limit.clamp(1, LIMIT_MAX), items: vec![], damaged: 0 };
    for (volume, _) in shared.spans() {
        let Some(Extent { first, last }) = extent_of(reader, shared, volume)? else { continue };
        if last > after.position && first <= found.bound.position {
            let Some((file, format)) = reader.volume(volume)? else { continue };
            found.add_messages(file, format)?;
        }
    }
    found.add_happened(reader.log()?)?;
    found.add_happened(reader.registry())?;
    // Last: what was deleted while all of this was read is told, too.
    let lost = lost(reader, shared, after)?;
    Ok(found.page(head, lost))
}

/// Behind it nothing is committed yet.
fn head(reader: &Reader, shared: &Shared) -> rusqlite::Result<StreamPlace> {
    let head = shared.places.settled();
    if head.epoch != 0 {
        return Ok(StreamPlace::last(head));
    }
    // Nothing happens before an epoch begins: all that is there is of earlier ones.
    let epoch = super::super::registry::epoch(reader.registry())?.unwrap_or(0);
    Ok(StreamPlace::last(Position { epoch, sequence: if epoch == 0 { 0 } else { u64::MAX } }))
}

/// What is not there any more of what came behind a place.
fn lost(reader: &mut Reader, shared: &Shared, after: StreamPlace) -> rusqlite::Result<Option<Lost>> {
    if let Some(epoch) = noted::leapt(reader.registry())?.filter(|epoch| after.position.epoch < *epoch) {
        let upto = StreamPlace::last(Position { epoch, sequence: 0 });
        return Ok(Some(Lost::all(WhyLost::Restored, upto)));
    }
    let messages = noted::messages_lost(reader.registry())?.max(shared.messages_lost());
    let messages = messages.map(StreamPlace::first).filter(|upto| after < *upto);
    let mut lost =
        Lost { why: WhyLost::Expired, upto: after, messages, others: None, of_units: BTreeMap::new() };
    let of_registry = gone(reader.registry())?;
    for (whose, upto) in of_registry.into_iter().chain(gone(reader.log()?)?) {
        match whose {
            _ if upto <= after => {}
            Whose::Anybody => lost.others = lost.others.max(Some(upto)),
            Whose::Unit(ou) => {
                let known = lost.of_units.entry(ou).or_insert(upto);
                *known = upto.max(*known);
            }
        }
    }
    Ok(lost.of(None, true).map(|upto| Lost { upto, ..lost }))
}

/// The first row of a table.
pub(super) fn first(file: &Connection) -> rusqlite::Result<Option<(i64, StreamPlace)>> {
    let first = "SELECT n, epoch, sequence, part FROM happened ORDER BY n LIMIT 1";
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, place_at(row, 1)?));
    file.prepare_cached(first)?.query_row([], read).optional()
}

/// The place of one of several that a row tells; `last` is the row's own.
fn part_of(last: StreamPlace, one: usize, several: usize) -> StreamPlace {
    let behind = u16::try_from(several.saturating_sub(one + 1)).unwrap_or(u16::MAX);
    StreamPlace { part: last.part.saturating_sub(behind), ..last }
}

pub(super) fn place_at(row: &Row<'_>, column: usize) -> rusqlite::Result<StreamPlace> {
    Ok(StreamPlace { position: position_at(row, column)?, part: row.get(column + 2)? })
}

fn position_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Position> {
    let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(Position { epoch: number(column)?, sequence: number(column + 1)? })
}

/// The extent of a file; `None`: it has no message with a place. It is looked at once, and then the writer
/// notes what comes; it does not wait for who looks. What was committed before the page began is in it.
fn extent_of(reader: &mut Reader, shared: &Shared, volume: Volume) -> rusqlite::Result<Option<Extent>> {
    let known = shared.extents().known.get(&volume).copied();
    if let Some(extent) = known {
        return Ok(extent);
    }
    let Some((file, format)) = reader.volume(volume)? else { return Ok(None) };
    let extent = look_at(file, format)?;
    shared.extents().put(volume, extent);
    Ok(extent)
}

fn look_at(file: &Connection, format: FileFormat) -> rusqlite::Result<Option<Extent>> {
    if format == FileFormat::Two {
        return Ok(None);
    }
    let one = |order: &str| {
        let sql = format!("SELECT epoch, sequence FROM messages ORDER BY id {order} LIMIT 1");
        file.query_row(&sql, [], |row| position_at(row, 0)).optional()
    };
    let (first, last) = (one("ASC")?, one("DESC")?);
    Ok(first.zip(last).map(|(first, last)| Extent { first, last }))
}

/// The place of the last message of a file; `None`: it has none, or is gone.
pub(in crate::sqlite) fn end_of(file: &Path) -> Result<Option<Position>, OpenError> {
    if !file.exists() {
        return Ok(None);
    }
    let sqlite = |source| OpenError::sqlite(file, source);
    let messages = MESSAGES.connect_reader(file, 0)?;
    let format = FileFormat::of(&messages).map_err(sqlite)?;
    Ok(look_at(&messages, format).map_err(sqlite)?.map(|extent| extent.last))
}

/// What was found so far.
struct Found {
    after: StreamPlace,
    /// Nothing behind it counts: it is not committed, or there is more before it than a page holds.
    bound: StreamPlace,
    limit: usize,
    /// Each with the bytes of what was said.
    items: Vec<(usize, Happened)>,
    damaged: usize,
}

impl Found {
    fn add_messages(&mut self, file: &Connection, format: FileFormat) -> rusqlite::Result<()> {
        const LOOK: &str = "SELECT id, epoch, sequence FROM messages WHERE id >= ?1 ORDER BY id LIMIT 1";
        const ENDS: &str = "SELECT min(id), max(id) FROM messages";
        let first = first_behind(file, (ENDS, LOOK), |row| {
            // A position has one message.
            position_at(row, 1).map(|position| position > self.after.position)
        })?;
        let Some(first) = first else { return Ok(()) };
        let list = format.list();
        let sql = format!("SELECT {list} FROM messages m WHERE m.id >= ?1 ORDER BY m.id");
        let mut select = file.prepare_cached(&sql)?;
        let mut rows = select.query([first])?;
        let mut part = Part::default();
        while let Some(row) = rows.next()? {
            let message = match format.read(row, || "a message".to_owned()) {
                Ok(message) => message,
                Err(error) if error.sqlite_error_code().is_some() => return Err(error),
                Err(_) => {
                    self.damaged += 1;
                    continue;
                }
            };
            let (epoch, sequence) = (message.epoch, message.sequence);
            let place = StreamPlace::first(Position { epoch, sequence });
            if place > self.bound {
                return Ok(());
            }
            let times = (message.time, message.arrival);
            let told = happened::of_message(message.kind, times, &message.points);
            // Of a purged device nobody is told; what is no event cannot be told.
            if let Some(happening) = told.filter(|_| message.device.0 != NOBODY) {
                let device = Some(message.device);
                self.items.push((message.points.len(), Happened { place, device, happening }));
            }
            if part.is_full_with(message.points.len(), self.limit) {
                self.bound = place;
                return Ok(());
            }
        }
        Ok(())
    }

    fn add_happened(&mut self, file: &Connection) -> rusqlite::Result<()> {
        const LOOK: &str = "SELECT n, epoch, sequence, part FROM happened WHERE n >= ?1 ORDER BY n LIMIT 1";
        const ENDS: &str = "SELECT min(n), max(n) FROM happened";
        let first = first_behind(file, (ENDS, LOOK), |row| place_at(row, 1).map(|place| place > self.after))?;
        let Some(first) = first else { return Ok(()) };
        let sql = sql!("SELECT {} FROM happened h WHERE h.n >= ?1 ORDER BY h.n", HAPPENED.list());
        let mut select = file.prepare_cached(sql)?;
        let mut rows = select.query([first])?;
        let mut part = Part::default();
        while let Some(row) = rows.next()? {
            let Ok(row) = HappenedRow::intact(row, 0, || "what happened".to_owned()) else {
                self.damaged += 1;
                continue;
            };
            let position = Position { epoch: row.epoch, sequence: row.sequence };
            let last = StreamPlace { position, part: row.part };
            let device = (row.device != NOBODY).then_some(DeviceId(row.device));
            let Some(told) = read_told(&row.what) else {
                self.damaged += 1;
                continue;
            };
            let several = told.len();
            let bytes = row.what.len() / several.max(1);
            if several == 0 && part.is_full_with(0, self.limit) {
                self.bound = self.bound.min(last);
                return Ok(());
            }
            for (one, happening) in told.into_iter().enumerate() {
                let place = part_of(last, one, several);
                // Somebody goes on between two of a row.
                if place <= self.after {
                    continue;
                }
                if place > self.bound {
                    return Ok(());
                }
                self.items.push((bytes, Happened { place, device, happening }));
                if part.is_full_with(bytes, self.limit) {
                    self.bound = place;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn page(mut self, head: StreamPlace, lost: Option<Lost>) -> HappenedPage {
        self.items.retain(|(_, happened)| happened.place <= self.bound);
        self.items.sort_by_key(|(_, happened)| happened.place);
        let mut part = Part::default();
        let limit = self.limit;
        let last = self.items.iter().position(|(bytes, _)| part.is_full_with(*bytes, limit));
        let kept = last.map_or(self.items.len(), |last| last + 1);
        let upto = match self.items.get(kept) {
            Some(_) => self.items[kept - 1].1.place,
            None => self.bound,
        };
        self.items.truncate(kept);
        let items = self.items.into_iter().map(|(_, happened)| happened).collect();
        HappenedPage { items, upto, head, lost, damaged: self.damaged }
    }
}

/// How much was read of a file.
#[derive(Default)]
struct Part {
    rows: usize,
    bytes: usize,
}

impl Part {
    /// Counts a row; `true`: no more is read.
    fn is_full_with(&mut self, bytes: usize, limit: usize) -> bool {
        self.rows += 1;
        self.bytes += bytes;
        self.rows >= limit || self.bytes >= BYTES_MAX
    }
}

/// The key of the first row behind a place. `ENDS` tells the least and the greatest key, `LOOK` a row from a
/// key on, its key first.
fn first_behind(
    file: &Connection,
    (ends, look): (&str, &str),
    is_behind: impl Fn(&Row<'_>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<Option<i64>> {
    let ends = file
        .prepare_cached(ends)?
        .query_row([], |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?)))?;
    let Some((mut low, last)) = ends else { return Ok(None) };
    let mut high = last + 1;
    let mut look = file.prepare_cached(look)?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found =
            look.query_row([middle], |row| Ok((row.get::<_, i64>(0)?, is_behind(row)?))).optional()?;
        match found {
            Some((_, true)) | None => high = middle,
            Some((key, false)) => low = key + 1,
        }
    }
    Ok((low <= last).then_some(low))
}
