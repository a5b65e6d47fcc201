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
//! Limits: the bytes of those rows, [`SqliteOptions::happenings_bytes`](super::SqliteOptions); with those
//! that come the oldest go of the organisation unit that has most (module [`kept`]). As logs are, they are
//! deleted after `log_days`.

mod kept;
mod read;
mod text;

use std::{collections::BTreeMap, sync::LazyLock};

use narrowgate_platform::{
    ids::{DeviceId, Position, UnixMillis},
    model::happened::StreamPlace,
};
use rusqlite::{Connection, OptionalExtension, Row};

use self::kept::{Accounts, COUNT_EVERY};
pub(super) use self::{
    kept::{INDEX, forget_before, has_before, undo, upgrade},
    read::{end_of, read},
    text::told,
};
use super::{
    log_file::NOBODY,
    schema::{
        Stored, Update,
        happened::{HAPPENED, HAPPENED_KEPT, HappenedRow},
    },
    volume::Volume,
};

/// A row counts as so much beside its text.
const ROW_BYTES: i64 = 64;

/// Makes the tables where there are none, and those of an earlier program into what they are now.
pub(super) fn make_tables(file: &Connection) -> rusqlite::Result<()> {
    let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    let exists = |name: &str| file.query_row(exists, [name], |row| row.get::<_, bool>(0));
    let transaction = file.unchecked_transaction()?;
    match (exists("happened")?, exists("happened_kept")?) {
        (true, true) => return Ok(()),
        (true, false) => upgrade(file)?,
        (false, _) => file.execute_batch(&(HAPPENED.create() + &HAPPENED_KEPT.create() + INDEX))?,
    }
    transaction.commit()
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

/// What one write has caused to a device, and the unit that this is of, or to nobody. `place` is that of the
/// last one; the others have the parts before.
#[derive(Debug)]
pub(super) struct Tells<'a> {
    pub(super) place: StreamPlace,
    pub(super) device: Option<DeviceId>,
    pub(super) ou: &'a str,
    /// Made by [`told`].
    pub(super) told: (UnixMillis, String),
}

impl Last {
    /// The row behind this one, which is the newest one then; and whether it is time to count.
    fn next(&mut self, tells: Tells<'_>) -> (HappenedRow, bool) {
        let Tells { place, device, ou, told: (time, what) } = tells;
        let StreamPlace { position: Position { epoch, sequence }, part } = place;
        let size = ROW_BYTES + i64::try_from(what.len()).unwrap_or(i64::MAX >> 1);
        let (n, bytes) = (self.n + 1, self.bytes.saturating_add(size));
        let is_time = self.bytes / COUNT_EVERY < bytes / COUNT_EVERY;
        *self = Self { n, bytes };
        let device = device.map_or(NOBODY, |device| device.0);
        let (ou, size) = (Some(ou.to_owned()), Some(size));
        (HappenedRow { n, epoch, sequence, part, device, time, bytes, what, ou, size }, is_time)
    }
}

/// Adds one row to a file, behind the newest one. About `bytes_max` stay.
pub(super) fn add(file: &Connection, tells: Tells<'_>, bytes_max: i64) -> rusqlite::Result<()> {
    let mut newest = last(file)?;
    let (row, is_time) = newest.next(tells);
    row.insert(file)?;
    if is_time {
        kept::settle(file, &mut Accounts::load(file)?, newest.n, bytes_max)?;
    }
    Ok(())
}

/// What is known of a file by the one who writes it: its newest row, and how much of each unit is there.
#[derive(Debug)]
pub(super) struct Told {
    newest: Last,
    accounts: Accounts,
}

impl Told {
    pub(super) fn load(file: &Connection) -> rusqlite::Result<Self> {
        Ok(Self { newest: last(file)?, accounts: Accounts::load(file)? })
    }

    /// The next row, which is to be added; and whether [`Self::settle`] must follow then.
    pub(super) fn next(&mut self, tells: Tells<'_>) -> (HappenedRow, bool) {
        let (ou, before) = (tells.ou, self.newest.bytes);
        let (row, is_time) = self.newest.next(tells);
        self.accounts.add(row.n, ou, row.bytes - before);
        (row, is_time)
    }

    /// Writes down what is counted, and takes what is more than about `bytes_max` away.
    pub(super) fn settle(&mut self, file: &Connection, bytes_max: i64) -> rusqlite::Result<()> {
        kept::settle(file, &mut self.accounts, self.newest.n, bytes_max)
    }
}

/// Blanks all of a device, which is purged. The rows stay, and count as they did.
pub(super) fn forget_device(file: &Connection, device: DeviceId) -> rusqlite::Result<()> {
    static BLANK: LazyLock<Update> = LazyLock::new(|| HAPPENED.update(&["device", "time", "what"]));
    let mut select = file
        .prepare_cached("SELECT n, epoch, sequence, part, bytes, ou, size FROM happened WHERE device = ?1")?;
    let rows = select.query_map([device.0], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        let (n, part, bytes) = (row.get(0)?, row.get(3)?, row.get(4)?);
        let (time, what) = (UnixMillis(0), String::new());
        let (ou, size) = (row.get(5)?, row.get(6)?);
        let (epoch, sequence) = (number(1)?, number(2)?);
        Ok(HappenedRow { n, epoch, sequence, part, device: NOBODY, time, bytes, what, ou, size })
    })?;
    let rows: Vec<HappenedRow> = rows.collect::<rusqlite::Result<_>>()?;
    rows.iter().try_for_each(|row| BLANK.run(file, row).map(drop))
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
