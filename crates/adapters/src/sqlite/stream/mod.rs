//! What happened, in the order of the commits: written with what causes it, and read from any place on.
//!
//! Reports and events stand in the message files, in their order already. All else that is told to followers
//! of live events is a row of a table `happened` as well, in a file that its transaction touches anyway: in
//! the file of logs where there is an entry in a log, in the registry for steps of commands and upgrades and
//! for changes of attributes and tags. So no batch makes a further file durable, and a report costs nothing.
//! The rows of half a batch go with it (module `log_file`; what the registry has is never half).
//!
//! A page is merged from all of these by their places (module [`mod@read`]). It never goes beyond the last
//! commit that is complete, so what a failed one leaves until it is removed is not told.
//!
//! Limits: the bytes of those rows, [`SqliteOptions::happenings_bytes`](super::SqliteOptions); the oldest go
//! with those that come. As logs are, they are deleted after `log_days`.

mod read;

use std::{collections::BTreeMap, sync::LazyLock};

use narrowgate_platform::{
    ids::{DeviceId, Position, UnixMillis},
    model::happened::{Happening, StreamPlace},
};
use rusqlite::{Connection, OptionalExtension, Row, params};

pub(super) use self::read::{end_of, read};
use super::{
    log_file::NOBODY,
    schema::{
        Stored, Update,
        happened::{HAPPENED, HappenedRow},
    },
    volume::Volume,
};

/// A row counts as so much beside its text.
const ROW_BYTES: i64 = 64;
/// Whenever so much has come, what is too much goes …
const TRIM_EVERY: i64 = 64 << 10;
/// … at most so many rows of it at a time. That is more than comes, so a smaller limit is soon kept too.
const TRIM_AT_ONCE: i64 = 4_096;
/// Rows whose time is over are deleted so many at a time.
const FORGET_AT_ONCE: i64 = 2_000;

/// The statement that makes the table where there is none.
pub(super) fn make_table(file: &Connection) -> rusqlite::Result<()> {
    let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'happened')";
    if file.query_row(exists, [], |row| row.get(0))? {
        Ok(())
    } else {
        file.execute_batch(&HAPPENED.create())
    }
}

/// What one write has caused, as a row has it: where it is one, itself, else a list. With the time of the
/// first. `None`: it has caused nothing.
pub(super) fn told(happenings: &[Happening]) -> rusqlite::Result<Option<(UnixMillis, String)>> {
    let text = match happenings {
        [] => return Ok(None),
        [one] => serde_json::to_string(one),
        several => serde_json::to_string(several),
    };
    let text = text.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    Ok(happenings.first().map(|first| (first.time(), text)))
}

/// The reverse of [`told`]; `None`: it is damaged. Nothing is told by the empty text of a purged device.
fn read_told(what: &str) -> Option<Vec<Happening>> {
    match what.as_bytes().first() {
        None => Some(Vec::new()),
        Some(b'[') => serde_json::from_str(what).ok(),
        Some(_) => serde_json::from_str(what).ok().map(|one| vec![one]),
    }
}

/// The newest row of a file: its number, and the bytes of all rows up to it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last {
    n: i64,
    bytes: i64,
}

/// The newest row.
pub(super) fn last(file: &Connection) -> rusqlite::Result<Last> {
    let newest = "SELECT n, bytes FROM happened ORDER BY n DESC LIMIT 1";
    let read = |row: &Row<'_>| Ok(Last { n: row.get(0)?, bytes: row.get(1)? });
    Ok(file.prepare_cached(newest)?.query_row([], read).optional()?.unwrap_or_default())
}

/// Adds what one write has caused, behind the newest row: one row. Returns its number in this file, which is
/// the newest one now. `place` is that of the last one; the others have the parts before. About `bytes_max`
/// stay.
pub(super) fn add(
    file: &Connection,
    newest: &mut Last,
    place: StreamPlace,
    device: Option<DeviceId>,
    (time, what): (UnixMillis, String),
    bytes_max: i64,
) -> rusqlite::Result<i64> {
    let StreamPlace { position: Position { epoch, sequence }, part } = place;
    let Last { n: last, bytes: before } = *newest;
    let bytes = before.saturating_add(ROW_BYTES + i64::try_from(what.len()).unwrap_or(i64::MAX >> 1));
    let (n, device) = (last + 1, device.map_or(NOBODY, |device| device.0));
    HappenedRow { n, epoch, sequence, part, device, time, bytes, what }.insert(file)?;
    *newest = Last { n, bytes };
    if before / TRIM_EVERY < bytes / TRIM_EVERY && bytes > bytes_max {
        trim(file, bytes - bytes_max)?;
    }
    Ok(n)
}

/// Deletes the oldest rows, up to so many bytes of all that ever came.
fn trim(file: &Connection, upto: i64) -> rusqlite::Result<()> {
    let old = "DELETE FROM happened WHERE n < min( \
               (SELECT min(n) FROM happened) + ?2, \
               (SELECT n FROM happened WHERE bytes > ?1 ORDER BY n LIMIT 1))";
    file.prepare_cached(old)?.execute([upto, TRIM_AT_ONCE]).map(drop)
}

/// Deletes what half a batch has added, from a number on.
pub(super) fn undo(file: &Connection, first: i64) -> rusqlite::Result<()> {
    file.prepare_cached("DELETE FROM happened WHERE n >= ?1")?.execute([first]).map(drop)
}

/// Blanks all of a device, which is purged. The rows stay: that the first ones are not there says that they
/// were too many.
pub(super) fn forget_device(file: &Connection, device: DeviceId) -> rusqlite::Result<()> {
    static BLANK: LazyLock<Update> = LazyLock::new(|| HAPPENED.update(&["device", "time", "what"]));
    let mut select =
        file.prepare_cached("SELECT n, epoch, sequence, part, bytes FROM happened WHERE device = ?1")?;
    let rows = select.query_map([device.0], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        let (n, part, bytes) = (row.get(0)?, row.get(3)?, row.get(4)?);
        let (time, what) = (UnixMillis(0), String::new());
        let (epoch, sequence) = (number(1)?, number(2)?);
        Ok(HappenedRow { n, epoch, sequence, part, device: NOBODY, time, bytes, what })
    })?;
    let rows: Vec<HappenedRow> = rows.collect::<rusqlite::Result<_>>()?;
    rows.iter().try_for_each(|row| BLANK.run(file, row).map(drop))
}

/// Whether the oldest row is older.
pub(super) fn has_before(file: &Connection, before: UnixMillis) -> rusqlite::Result<bool> {
    // The newest one always stays: by it the others are known to be gone.
    let oldest = "SELECT time FROM happened WHERE n < (SELECT max(n) FROM happened) ORDER BY n LIMIT 1";
    let oldest: Option<i64> = file.prepare_cached(oldest)?.query_row([], |row| row.get(0)).optional()?;
    Ok(oldest.is_some_and(|oldest| oldest < before.0))
}

/// Deletes some rows that are older, the oldest first.
pub(super) fn forget_before(file: &Connection, before: UnixMillis) -> rusqlite::Result<()> {
    let old = "DELETE FROM happened WHERE n < (SELECT max(n) FROM happened) AND n < ( \
               SELECT ifnull((SELECT n FROM happened WHERE time >= ?1 ORDER BY n LIMIT 1), max(n)) \
               FROM happened) AND n < (SELECT min(n) FROM happened) + ?2";
    file.prepare_cached(old)?.execute(params![before.0, FORGET_AT_ONCE]).map(drop)
}

/// The places of a message file's first and last message, or beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    first: Position,
    last: Position,
}

/// The extents of message files, as far as somebody has asked for them.
#[derive(Debug, Default)]
pub(super) struct Extents {
    /// `None`: of one without places.
    known: BTreeMap<Volume, Option<Extent>>,
    /// Nothing that this process has committed to a file is later.
    noted: BTreeMap<Volume, Position>,
}

impl Extents {
    /// A batch with messages of this file was committed; none of its places is later than `last`.
    pub(super) fn note(&mut self, volume: Volume, last: Position) {
        self.noted.insert(volume, last);
        match self.known.get_mut(&volume) {
            Some(Some(extent)) => extent.last = extent.last.max(last),
            // It had no message when somebody asked: it has to be looked at again.
            Some(None) => drop(self.known.remove(&volume)),
            None => {}
        }
    }

    /// What somebody has found in a file, while the writer went on.
    fn put(&mut self, volume: Volume, found: Option<Extent>) {
        match (found, self.noted.get(&volume)) {
            (Some(Extent { first, last }), Some(noted)) => {
                self.known.insert(volume, Some(Extent { first, last: last.max(*noted) }));
            }
            (None, Some(_)) => {}
            (found, None) => drop(self.known.insert(volume, found)),
        }
    }

    /// A file is to be deleted.
    pub(super) fn forget(&mut self, volume: Volume) {
        self.known.remove(&volume);
        self.noted.remove(&volume);
    }
}
