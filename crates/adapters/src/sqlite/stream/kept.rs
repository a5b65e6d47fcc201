//! How much is kept of what happened, of each organisation unit. Where all together is too much, the oldest
//! of the unit that has most goes: none empties what is kept for the others.
//!
//! Beside it stands up to which place something of each is gone: who follows from an earlier one is told, and
//! who is of another unit is not.
//!
//! All of this is written down each time that [`COUNT_EVERY`] bytes have come, with the batch that is under
//! way. What has come since is counted when it is needed: so many bytes at most, of rows that say their size.
//! The one who writes most of the rows has what it has counted in memory ([`Told`](super::Told)).

use std::collections::BTreeMap;

use narrowgate_platform::{
    ids::{Position, UnixMillis},
    model::happened::StreamPlace,
};
use rusqlite::{Connection, Row, params};

use super::{
    super::{
        healing::healing,
        schema::{
            Stored,
            happened::{HAPPENED_KEPT, KeptRow},
            insert_or, sql,
        },
    },
    Last, ROW_BYTES, last,
};

/// Bytes that come before they are counted, and what is too much goes …
pub(super) const COUNT_EVERY: i64 = 64 << 10;
/// … at most so many rows of it at a time. That is more than comes, so a smaller limit is soon kept too.
const TAKE_AT_ONCE: usize = 4_096;
/// Rows of one unit that go before it is looked again which has most …
const ROWS_OF_ONE: usize = 256;
/// … or bytes of it.
const BYTES_OF_ONE: i64 = 16 << 10;
/// Rows whose time is over are deleted so many at a time.
const FORGET_AT_ONCE: i64 = 2_000;
/// Rows among which one must be whose time is over: the clock may have been ahead when the first came.
const LOOK_AT: i64 = 256;

/// The index by which the oldest of a unit are found.
pub(in crate::sqlite) const INDEX: &str =
    "CREATE INDEX happened_of_unit ON happened (ou, n) WHERE ou IS NOT NULL;\n";

/// What is kept of somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    /// Of whom is not known: an earlier program wrote it.
    Anybody,
    /// Of a unit; empty: of nobody.
    Unit(String),
}

impl Whose {
    fn of(ou: Option<String>) -> Self {
        ou.map_or(Self::Anybody, Self::Unit)
    }

    /// The word for a unit's, or for anybody's.
    fn word(ou: Option<&str>) -> String {
        ou.map_or_else(|| "anybody".to_owned(), |ou| format!("of {ou}"))
    }

    fn of_word(word: &str) -> Self {
        word.strip_prefix("of ").map_or(Self::Anybody, |ou| Self::Unit(ou.to_owned()))
    }
}

/// How much it is, and what of it is gone.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    bytes: i64,
    /// The last one that is not there any more.
    gone: Option<StreamPlace>,
    is_changed: bool,
}

/// Those of all.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// The newest row that is counted.
    counted: i64,
    anybody: Option<Account>,
    units: BTreeMap<String, Account>,
}

/// A row that is to go.
struct Old {
    n: i64,
    whose: Whose,
    bytes: i64,
    place: StreamPlace,
}

/// What is read of one.
const OLD: &str = "h.n, h.ou, ifnull(h.size, 64 + length(h.what)), h.epoch, h.sequence, h.part";

impl Old {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let place = super::read::place_at(row, 3)?;
        Ok(Self { n: row.get(0)?, whose: Whose::of(row.get(1)?), bytes: row.get(2)?, place })
    }
}

impl Accounts {
    /// As they stand, with all that has come.
    pub(super) fn load(file: &Connection) -> rusqlite::Result<Self> {
        let mut accounts = Self::default();
        for row in rows(file)?.into_iter().flatten() {
            let account = Account { bytes: row.bytes, gone: gone_of(&row), is_changed: false };
            *accounts.change(&Whose::of_word(&row.whose)) = account;
            accounts.counted = accounts.counted.max(row.n);
        }
        let behind = sql!("SELECT {OLD} FROM happened h WHERE h.n > ?1 ORDER BY h.n");
        let mut select = file.prepare_cached(behind)?;
        let mut found = select.query([accounts.counted])?;
        while let Some(row) = found.next()? {
            let Old { n, whose, bytes, .. } = Old::read(row)?;
            accounts.change(&whose).bytes += bytes;
            accounts.counted = n;
        }
        Ok(accounts)
    }

    /// Row `n` comes, of a unit and so many bytes.
    pub(super) fn add(&mut self, n: i64, ou: &str, bytes: i64) {
        let account = match self.units.get_mut(ou) {
            Some(account) => account,
            None => self.units.entry(ou.to_owned()).or_default(),
        };
        account.bytes += bytes;
        account.is_changed = true;
        self.counted = n;
    }

    fn change(&mut self, whose: &Whose) -> &mut Account {
        let account = match whose {
            Whose::Anybody => self.anybody.get_or_insert_default(),
            Whose::Unit(ou) => self.units.entry(ou.clone()).or_default(),
        };
        account.is_changed = true;
        account
    }

    fn iter(&self) -> impl Iterator<Item = (Option<&String>, &Account)> {
        let anybody = self.anybody.iter().map(|account| (None, account));
        anybody.chain(self.units.iter().map(|(ou, account)| (Some(ou), account)))
    }

    fn total(&self) -> i64 {
        self.iter().map(|(_, account)| account.bytes).sum()
    }

    fn largest(&self) -> Option<Whose> {
        let most = self.iter().filter(|(_, account)| account.bytes > 0);
        most.max_by_key(|(_, account)| account.bytes).map(|(ou, _)| Whose::of(ou.cloned()))
    }

    /// Deletes a row; whoever has not seen it misses it.
    fn take(&mut self, file: &Connection, old: &Old) -> rusqlite::Result<()> {
        let delete = || file.prepare_cached("DELETE FROM happened WHERE n = ?1")?.execute([old.n]);
        healing(file, "happened", delete)?;
        let account = self.change(&old.whose);
        account.bytes -= old.bytes;
        account.gone = account.gone.max(Some(old.place));
        Ok(())
    }

    /// Deletes the oldest of somebody, until so many bytes are gone; how many rows.
    fn take_oldest(
        &mut self,
        file: &Connection,
        whose: &Whose,
        bytes_max: i64,
        newest: i64,
    ) -> rusqlite::Result<usize> {
        // The newest one always stays: its number is the last one.
        let (select, ou) = match whose {
            Whose::Anybody => (
                sql!("SELECT {OLD} FROM happened h WHERE h.ou IS ?1 AND h.n < ?2 ORDER BY h.n LIMIT ?3"),
                None,
            ),
            Whose::Unit(ou) => (
                sql!("SELECT {OLD} FROM happened h WHERE h.ou = ?1 AND h.n < ?2 ORDER BY h.n LIMIT ?3"),
                Some(ou),
            ),
        };
        let limit = i64::try_from(ROWS_OF_ONE).unwrap_or(i64::MAX);
        let mut select = file.prepare_cached(select)?;
        let found = select.query_map(params![ou, newest, limit], Old::read)?;
        let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
        let (mut bytes, mut count) = (0, 0);
        for old in &found {
            if bytes >= bytes_max {
                break;
            }
            self.take(file, old)?;
            bytes += old.bytes;
            count += 1;
        }
        if count == found.len() && count < ROWS_OF_ONE {
            // There is no more of it, whatever was counted.
            self.change(whose).bytes = 0;
        }
        Ok(count)
    }

    fn save(&mut self, file: &Connection) -> rusqlite::Result<()> {
        const PUT: &str = "ON CONFLICT (whose) DO UPDATE SET n = excluded.n, bytes = excluded.bytes, \
                           epoch = excluded.epoch, sequence = excluded.sequence, part = excluded.part, \
                           sum = excluded.sum";
        let put = sql!("{}", insert_or(&HAPPENED_KEPT, PUT));
        let anybody = self.anybody.iter_mut().map(|account| (None, account));
        let units = self.units.iter_mut().map(|(ou, account)| (Some(ou.as_str()), account));
        for (ou, account) in anybody.chain(units).filter(|(_, account)| account.is_changed) {
            let whose = Whose::word(ou);
            let place = account.gone.unwrap_or(StreamPlace::START);
            let Position { epoch, sequence } = place.position;
            let (n, bytes) = (self.counted, account.bytes);
            KeptRow { whose, n, bytes, epoch, sequence, part: place.part }.insert_or(file, put)?;
            account.is_changed = false;
        }
        Ok(())
    }
}

/// Counts what has come, and takes what is too much away.
pub(super) fn settle(
    file: &Connection,
    accounts: &mut Accounts,
    newest: i64,
    bytes_max: i64,
) -> rusqlite::Result<()> {
    let mut taken = 0;
    while taken < TAKE_AT_ONCE {
        let excess = accounts.total() - bytes_max;
        let Some(largest) = accounts.largest().filter(|_| excess > 0) else { break };
        taken += accounts.take_oldest(file, &largest, excess.min(BYTES_OF_ONE), newest)?;
    }
    accounts.save(file)
}

/// Deletes what half a batch has added, from a number on: it was never told.
pub(in crate::sqlite) fn undo(file: &Connection, first: i64) -> rusqlite::Result<()> {
    let mut accounts = Accounts::load(file)?;
    let added = sql!("SELECT {OLD} FROM happened h WHERE h.n >= ?1");
    let mut select = file.prepare_cached(added)?;
    let mut found = select.query([first])?;
    while let Some(row) = found.next()? {
        let Old { whose, bytes, .. } = Old::read(row)?;
        accounts.change(&whose).bytes -= bytes;
    }
    drop(found);
    healing(file, "happened", || {
        file.prepare_cached("DELETE FROM happened WHERE n >= ?1")?.execute([first])
    })?;
    if accounts.counted >= first {
        accounts.counted = first - 1;
        // None may say that it was counted up to a later one.
        let all = accounts.anybody.iter_mut().chain(accounts.units.values_mut());
        all.for_each(|account| account.is_changed = true);
    }
    accounts.save(file)
}

/// Whether one of the oldest rows is older.
pub(in crate::sqlite) fn has_before(file: &Connection, before: UnixMillis) -> rusqlite::Result<bool> {
    let old = "SELECT EXISTS (SELECT 1 FROM (SELECT n, time FROM happened ORDER BY n LIMIT ?2) \
               WHERE time < ?1 AND n < (SELECT max(n) FROM happened))";
    file.prepare_cached(old)?.query_row(params![before.0, LOOK_AT], |row| row.get(0))
}

/// Deletes some rows that are older, of the oldest ones. The newest one always stays.
pub(in crate::sqlite) fn forget_before(file: &Connection, before: UnixMillis) -> rusqlite::Result<()> {
    let mut accounts = Accounts::load(file)?;
    let old = sql!(
        "SELECT {OLD} FROM (SELECT * FROM happened ORDER BY n LIMIT ?2) h \
         WHERE h.time < ?1 AND h.n < (SELECT max(n) FROM happened) ORDER BY h.n"
    );
    let mut select = file.prepare_cached(old)?;
    let found = select.query_map(params![before.0, FORGET_AT_ONCE], Old::read)?;
    for old in found.collect::<rusqlite::Result<Vec<_>>>()? {
        accounts.take(file, &old)?;
    }
    accounts.save(file)
}

/// Up to which places something of each is gone.
pub(super) fn gone(file: &Connection) -> rusqlite::Result<Vec<(Whose, StreamPlace)>> {
    let mut gone = Vec::new();
    for row in rows(file)? {
        match row {
            Some(row) => gone.extend(gone_of(&row).map(|place| (Whose::of_word(&row.whose), place))),
            // It is not known whose, nor up to where: all before the first row may be.
            None => gone.extend(super::read::first(file)?.map(|(_, place)| (Whose::Anybody, place))),
        }
    }
    Ok(gone)
}

/// What is written down; `None`: it is not as it was.
fn rows(file: &Connection) -> rusqlite::Result<Vec<Option<KeptRow>>> {
    let sql = sql!("SELECT {} FROM happened_kept k", HAPPENED_KEPT.list());
    let mut select = file.prepare_cached(sql)?;
    let what = || "what is kept of a unit".to_owned();
    let rows = select.query_map([], |row| Ok(KeptRow::intact(row, 0, what).ok()))?;
    rows.collect()
}

fn gone_of(row: &KeptRow) -> Option<StreamPlace> {
    let position = Position { epoch: row.epoch, sequence: row.sequence };
    // Nothing happens in this one.
    (row.epoch > 0).then_some(StreamPlace { position, part: row.part })
}

/// From a table as it was made before: what is there is anybody's, and so is what is gone.
pub(in crate::sqlite) fn upgrade(file: &Connection) -> rusqlite::Result<()> {
    file.execute_batch(&format!(
        "ALTER TABLE happened ADD COLUMN ou TEXT; ALTER TABLE happened ADD COLUMN size INTEGER; {}{INDEX}",
        HAPPENED_KEPT.create()
    ))?;
    let Some((first_n, first)) = super::read::first(file)? else { return Ok(()) };
    let Last { n, bytes } = last(file)?;
    let begin: i64 =
        file.query_row("SELECT bytes FROM happened WHERE n = ?1", [first_n], |row| row.get(0))?;
    let gone = (first_n > 1).then_some(first);
    let account = Account { bytes: bytes - begin + ROW_BYTES, gone, is_changed: true };
    Accounts { counted: n, anybody: Some(account), units: BTreeMap::new() }.save(file)
}

#[cfg(test)]
mod tests;
