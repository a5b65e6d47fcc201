//! The writer's side of the file of logs: entries of devices and of nobody, and changes of presence.
//!
//! It is committed before the registry, which decides (see "Several files, one batch" in the module
//! `writer`). So nothing may happen in it that cannot be taken back:
//!
//! * **Rows that are added** stand in the footer of their batch (module [`added`]), and go with it.
//! * **Old rows that are trimmed** are those of earlier batches only from the next transaction on, and then
//!   as many as the confirmed rows are too many. A batch may add more than a list holds: its own rows are
//!   trimmed at once.
//! * **Rows of a deleted device** go after the commit of the registry, in a transaction of their own. Until
//!   then the table `gone` names the device. It is a row as others are, so it goes with half a batch; and one
//!   that a crash has left is found at the next open.
//!
//! A transaction begins with the first row: a batch that writes none does not touch the file. Rows wait for
//! others (module [`waiting`]), at most until the commit.

mod added;
mod trim;
mod waiting;

use std::ops::Range;

use narrowgate_platform::{
    ids::{DeviceId, Position, UnixMillis},
    model::{device::DeviceState, log::LogEntry},
};
use rusqlite::{Connection, params};

use self::{
    added::{Added, List},
    trim::{Limits, Trims},
    waiting::Waiting,
};
use super::{
    belonging::Origin,
    day_file::{before, checkpoint},
    error::{OpenError, store_error},
    files::{LOGS, Layout},
    healing::healing,
    options::SqliteOptions,
    schema::{
        Stored, Update,
        log::{FOOTER, FooterRow, GONE, GoneRow, LogRow, PresenceRow},
        sql,
    },
    stream::{self, Tells, Told},
    watch::{Loss, Watched},
};

/// `log.device` of entries that belong to no device; ids begin at 1.
pub(super) const NOBODY: i64 = 0;

/// An open file and what is known of it.
#[derive(Debug)]
pub(super) struct LogFile {
    connection: Connection,
    /// As it was committed last.
    footer: Footer,
    /// The commit of that footer's number is the last one whose batch is complete.
    settled: i64,
    /// Rows of the open transaction.
    added: Added,
    /// Those that are not written yet.
    waiting: Waiting,
    trims: Trims,
    /// Of what happened, so much is kept.
    happenings_bytes: i64,
    /// What is there of it, where that is known: nobody else writes any.
    told: Option<Told>,
    /// Devices may be gone whose rows are still there.
    has_gone: bool,
    watched: Watched,
}

impl LogFile {
    /// Makes the file, with its `origin` and with what `fill` puts into it: complete under its name, or not
    /// at all.
    pub(super) fn create(
        layout: &Layout,
        origin: &Origin,
        fill: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), OpenError> {
        LOGS.create(&layout.log(), |file| {
            Footer::default().row().insert(file)?;
            origin.write(file)?;
            fill(file)
        })
    }

    /// Opens the file.
    pub(super) fn open(layout: &Layout, options: &SqliteOptions) -> Result<Self, OpenError> {
        let file = layout.log();
        let sqlite = |source| OpenError::sqlite(&file, source);
        let connection = LOGS.connect(&file, options)?;
        connection.pragma_update(None, "cache_size", options.log_cache()).map_err(sqlite)?;
        // One that an earlier program made has none.
        stream::make_tables(&connection).map_err(sqlite)?;
        let footer = Footer::read(&connection).map_err(sqlite)?;
        let gone = "SELECT EXISTS (SELECT 1 FROM gone)";
        let has_gone = connection.query_row(gone, [], |row| row.get(0)).map_err(sqlite)?;
        let watched = Watched::new(file.clone())
            .map_err(|source| OpenError::io(&file, "cannot be looked at", source))?;
        let (trims, happenings_bytes) = (Trims::new(Limits::of(options)), options.happenings_kept());
        let (settled, added, waiting) = (footer.serial, Added::default(), Waiting::default());
        Ok(Self {
            connection,
            footer,
            settled,
            added,
            waiting,
            trims,
            happenings_bytes,
            told: None,
            has_gone,
            watched,
        })
    }

    /// Whether the open transaction has written something.
    pub(super) fn is_touched(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Adds entries of the same device, which exists, or nobody's, in this order and with the same `place`.
    pub(super) fn note(
        &mut self,
        device: Option<DeviceId>,
        entries: impl IntoIterator<Item = LogEntry>,
        place: Position,
    ) -> rusqlite::Result<()> {
        self.begin()?;
        let device = device.map_or(NOBODY, |device| device.0);
        let (n, epoch, sequence) = (0, Some(place.epoch), Some(place.sequence));
        for entry in entries {
            let LogEntry { time, device: _, identity, event, reason, code, peer, detail } = entry;
            let row =
                LogRow { device, n, time, event, identity, reason, code, peer, detail, epoch, sequence };
            self.add_entry(row)?;
        }
        Ok(())
    }

    /// Adds what followers of live events are told of a device, and the unit that it is of.
    pub(super) fn tell(&mut self, tells: Tells<'_>) -> rusqlite::Result<()> {
        self.begin()?;
        let mut told = match self.told.take() {
            Some(told) => told,
            None => Told::load(&self.connection)?,
        };
        let (row, is_time) = told.next(tells);
        self.add_happened(row)?;
        if is_time {
            self.write_waiting()?;
            told.settle(&self.connection, self.happenings_bytes)?;
        }
        self.told = Some(told);
        Ok(())
    }

    /// Nothing is told of a device any more, which is purged with the batch under way.
    pub(super) fn forget_happened_of(&mut self, device: DeviceId) -> rusqlite::Result<()> {
        self.begin()?;
        self.write_waiting()?;
        stream::forget_device(&self.connection, device)
    }

    /// Deletes some of what happened before a time. Where there is nothing, nothing is written.
    pub(super) fn forget_happened_before(
        &mut self,
        before: UnixMillis,
        registry_batch: i64,
    ) -> rusqlite::Result<()> {
        if !stream::has_before(&self.connection, before)? {
            return Ok(());
        }
        self.begin()?;
        self.told = None;
        stream::forget_before(&self.connection, before)?;
        self.commit(-registry_batch)?;
        self.settle();
        Ok(())
    }

    /// Adds a change of presence.
    pub(super) fn note_presence(
        &mut self,
        device: DeviceId,
        at: UnixMillis,
        state: DeviceState,
        cause: &str,
    ) -> rusqlite::Result<()> {
        self.begin()?;
        self.add_change(PresenceRow { device, n: 0, at, state, cause: cause.to_owned() })
    }

    /// A device is deleted with the batch under way: its rows go by [`Self::forget_gone`] after the commit of
    /// the registry. How many they are.
    pub(super) fn note_gone(&mut self, device: DeviceId) -> rusqlite::Result<usize> {
        self.begin()?;
        self.write_waiting()?;
        GoneRow { device }.insert(&self.connection)?;
        self.added.add(List::Gone, device.0, 0);
        self.has_gone = true;
        let mut rows = 0;
        for sql in
            ["SELECT count(*) FROM log WHERE device = ?1", "SELECT count(*) FROM presence WHERE device = ?1"]
        {
            rows += self.connection.prepare_cached(sql)?.query_row([device.0], |row| row.get::<_, i64>(0))?;
        }
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    /// Deletes the rows of devices that are gone. `registry_batch` is the last transaction of the registry,
    /// which is durable.
    pub(super) fn forget_gone(&mut self, registry_batch: i64) -> rusqlite::Result<()> {
        if !self.has_gone {
            return Ok(());
        }
        self.begin()?;
        for device in gone(&self.connection)? {
            for (table, sql) in [
                ("log", "DELETE FROM log WHERE device = ?1"),
                ("presence", "DELETE FROM presence WHERE device = ?1"),
            ] {
                healing(&self.connection, table, || {
                    self.connection.prepare_cached(sql)?.execute([device.0])
                })?;
            }
        }
        self.connection.prepare_cached("DELETE FROM gone")?.execute([])?;
        self.commit(-registry_batch)?;
        self.settle();
        self.has_gone = false;
        Ok(())
    }

    /// Deletes what is older than `before` of the devices whose ids lie in a range; returns how many rows.
    /// Where there is nothing, nothing is written. `registry_batch`: see [`Self::forget_gone`].
    pub(super) fn forget_before(
        &mut self,
        devices: Range<i64>,
        before: UnixMillis,
        registry_batch: i64,
    ) -> rusqlite::Result<usize> {
        let values = params![devices.start, devices.end, before.0];
        let old = "SELECT EXISTS (SELECT 1 FROM log WHERE device >= ?1 AND device < ?2 AND +time < ?3) \
                   OR EXISTS (SELECT 1 FROM presence WHERE device >= ?1 AND device < ?2 AND at < ?3)";
        if !self.connection.prepare_cached(old)?.query_row(values, |row| row.get::<_, bool>(0))? {
            return Ok(0);
        }
        self.begin()?;
        let mut rows = 0;
        for (table, sql) in [
            ("log", "DELETE FROM log WHERE device >= ?1 AND device < ?2 AND +time < ?3"),
            ("presence", "DELETE FROM presence WHERE device >= ?1 AND device < ?2 AND at < ?3"),
        ] {
            rows +=
                healing(&self.connection, table, || self.connection.prepare_cached(sql)?.execute(values))?;
        }
        self.commit(-registry_batch)?;
        self.settle();
        Ok(rows)
    }

    /// Begins a transaction, unless one is open, and trims in it what the one before made too long.
    fn begin(&mut self) -> rusqlite::Result<()> {
        if self.is_touched() {
            return Ok(());
        }
        self.added.clear();
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        if let Err(error) = self.trims.run(&self.connection) {
            // Nobody's write is to fail by the row of another device.
            let error = store_error(&error);
            tracing::error!(%error, "a log is not trimmed, and is tried again when it has grown");
            self.trims.give_up();
            self.rollback()?;
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        }
        Ok(())
    }

    /// Commits, where something was written. `batch`: the batch's number where it touches the registry too,
    /// else the negative number of the registry's last one; see [`before`].
    pub(super) fn commit(&mut self, batch: i64) -> rusqlite::Result<()> {
        if !self.is_touched() {
            return Ok(());
        }
        self.write_waiting()?;
        let footer = Footer { batch, serial: self.footer.serial + 1, added: std::mem::take(&mut self.added) };
        footer.write(&self.connection)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.footer = footer;
        Ok(())
    }

    /// The batch of the last [`Self::commit`] is complete.
    pub(super) fn settle(&mut self) {
        if self.settled != self.footer.serial {
            self.settled = self.footer.serial;
            self.trims.settle();
        }
    }

    /// Takes back what the open transaction has written, if there is one.
    pub(super) fn rollback(&mut self) -> rusqlite::Result<()> {
        self.added.clear();
        self.waiting.clear();
        self.told = None;
        self.trims.rollback();
        if self.is_touched() { self.connection.execute_batch("ROLLBACK") } else { Ok(()) }
    }

    /// The number of the last commit whose batch is complete.
    pub(super) fn settled(&self) -> i64 {
        self.settled
    }

    /// Counts commits after `settled` as not complete, whether what they wrote can be removed yet or not.
    pub(super) fn trust_only(&mut self, settled: i64) {
        self.settled = settled;
    }

    /// After a failure: removes what a commit wrote that is not complete, unless the registry, whose last
    /// batch is `registry_batch`, has its other half. Writes a page in any case: what a failed commit may
    /// have left at the end of SQLite's log is overwritten by it.
    pub(super) fn undo_unsettled(&mut self, registry_batch: i64) -> rusqlite::Result<()> {
        let is_whole =
            self.footer.serial <= self.settled || (1..=registry_batch).contains(&self.footer.batch);
        self.undo(!is_whole)
    }

    /// After a crash: removes the last batch where its other half is not in the registry, whose last batch is
    /// `registry_batch`. `true` if there was one.
    pub(super) fn undo_half_batch(&mut self, registry_batch: i64) -> rusqlite::Result<bool> {
        let is_half = self.footer.batch > registry_batch;
        if is_half {
            self.undo(true)?;
        }
        Ok(is_half)
    }

    /// Commits a new footer, and removes the last batch's rows before, if they are to go.
    fn undo(&mut self, takes_rows: bool) -> rusqlite::Result<()> {
        self.told = None;
        let mut footer = Footer { serial: self.footer.serial + 1, ..self.footer.clone() };
        let transaction = self.connection.unchecked_transaction()?;
        if takes_rows {
            for (list, device, first) in self.footer.added.iter() {
                let (table, sql) = match list {
                    List::Happened => {
                        stream::undo(&transaction, first)?;
                        continue;
                    }
                    List::Log => ("log", "DELETE FROM log WHERE device = ?1 AND n >= ?2"),
                    List::Presence => ("presence", "DELETE FROM presence WHERE device = ?1 AND n >= ?2"),
                    List::Gone => ("gone", "DELETE FROM gone WHERE device = ?1 AND ?2 = 0"),
                };
                healing(&transaction, table, || transaction.prepare_cached(sql)?.execute([device, first]))?;
            }
            footer.batch = before(footer.batch);
            footer.added.clear();
        }
        footer.write(&transaction)?;
        transaction.commit()?;
        self.settled = footer.serial;
        self.footer = footer;
        Ok(())
    }

    /// Says in the footer that the registry has durably got as far as transaction `number`, so that the last
    /// batch is complete. Not fsynced: nothing is wrong where that is lost.
    pub(super) fn note_registry(&mut self, number: i64) -> rusqlite::Result<()> {
        if self.footer.batch <= 0 || self.is_touched() {
            return Ok(());
        }
        let footer = Footer { batch: -number, added: Added::default(), ..self.footer.clone() };
        let level: i64 = self.connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
        self.connection.pragma_update(None, "synchronous", "normal")?;
        let written = footer.write(&self.connection);
        self.connection.pragma_update(None, "synchronous", level)?;
        written?;
        self.footer = footer;
        Ok(())
    }

    /// Rebuilds all indexes.
    pub(super) fn make_indexes_anew(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("REINDEX")
    }

    /// Whether the file that is written still has its name.
    pub(super) fn look(&mut self) -> Result<(), Loss> {
        self.watched.look()
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Writes SQLite's log back into the file; `false`: another program reads it.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<bool> {
        checkpoint(&self.connection)
    }
}

/// Devices that are gone. A row that is not as it was stored names none: it could be another one.
fn gone(file: &Connection) -> rusqlite::Result<Vec<DeviceId>> {
    let mut select = file.prepare_cached(sql!("SELECT {} FROM gone", GONE.list()))?;
    let rows = select
        .query_map([], |row| Ok(GoneRow::intact(row, 0, || "the row of a deleted device".to_owned()).ok()))?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().map(|row| row.device).collect())
}

/// The one row that says how far the file's batches are complete.
#[derive(Debug, Clone, Default)]
pub(super) struct Footer {
    pub(super) batch: i64,
    serial: i64,
    added: Added,
}

impl Footer {
    pub(super) fn read(file: &Connection) -> rusqlite::Result<Self> {
        let sql = sql!("SELECT {} FROM footer f", FOOTER.list());
        let row = file
            .prepare_cached(sql)?
            .query_row([], |row| FooterRow::intact(row, 0, || "the footer".to_owned()))?;
        let added = Added::parse(&row.added).ok_or(rusqlite::Error::InvalidQuery)?;
        Ok(Self { batch: row.batch, serial: row.serial, added })
    }

    fn write(&self, file: &Connection) -> rusqlite::Result<()> {
        static PUT: std::sync::LazyLock<Update> =
            std::sync::LazyLock::new(|| FOOTER.update(&["batch", "serial", "added"]));
        PUT.run(file, &self.row()).map(drop)
    }

    fn row(&self) -> FooterRow {
        FooterRow { one: 1, batch: self.batch, serial: self.serial, added: self.added.text() }
    }
}

#[cfg(test)]
mod tests;
