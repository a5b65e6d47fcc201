//! What the registry says of the whole store: values by name.

use std::os::unix::fs::MetadataExt as _;

use narrowgate_platform::{
    ids::UnixMillis,
    model::{command::CommandId, retention::RetentionClass},
};
use rusqlite::{Connection, OptionalExtension, types::Value};

use super::{
    super::{
        belonging::Origin,
        day::Day,
        retention::Kept,
        schema::{
            Stored, insert_or,
            registry::{DEVICES, DeviceRow, META, MetaRow},
            sql,
        },
        volume::Volume,
    },
    Registry, unless_damaged,
};

/// Raised by every transaction of the writer.
const BATCH: &str = "batch";
/// The last day on which the clock is known to have been.
const CLOCK_DAY: &str = "clock_day";
/// The newest confirmed arrival, up to an hour older; 0: none was confirmed. Stores of older versions
/// have none.
const CONFIRMED_ARRIVAL: &str = "confirmed_arrival";
/// Increased by each process before the first event that it writes down.
const EPOCH: &str = "epoch";
/// Identifies the data key.
const KEY_CHECK: &str = "key_check";
/// The store's name, in every message file too.
const STORE_ID: &str = "store_id";
/// Whether all message files have it.
const FILES_NAMED: &str = "files_named";
/// Begins the name of the last message of a class of the last batch that touched it and the registry; a dot
/// and the class follow, but for the standard class.
const NEWEST: &str = "newest";
/// The last batch that touched the file of logs too.
const LOG_BATCH: &str = "log_batch";
/// Counts repairs after failures.
const REPAIRS: &str = "repairs";
/// Messages of earlier days were deleted after their retention time; a class follows as above.
const KEPT_FROM: &str = "kept_from";
/// While latest values are copied into a new table: below which device all are in it.
const LATEST_COPIED: &str = "latest_copied";
/// The greatest id of a command of a device that has been deleted since.
const COMMAND_OF_GONE: &str = "command_of_gone";
/// Device and inode of the registry when the last epoch began.
const FILE: &str = "file";
/// The longest leap of the epoch of a copy, beyond the greatest that is known.
const LEAP_MAX: u64 = 1 << 20;
/// No epoch leaps beyond this by the clock: numbers of logins have 32 bits for it.
const CLOCK_EPOCH_MAX: u64 = 3 << 30;
/// Begins the name of the trace of a damaged device that was deleted; its key follows.
const TRACE: &str = "damaged:";

/// A value; `what` names it for people.
pub(super) fn get(registry: &Connection, name: &str, what: &str) -> rusqlite::Result<Option<Value>> {
    let sql = sql!("SELECT {} FROM meta WHERE name = ?1", META.list());
    let read = |row: &rusqlite::Row<'_>| Ok(MetaRow::intact(row, 0, || what.to_owned())?.value);
    registry.prepare_cached(sql)?.query_row([name], read).optional()
}

pub(super) fn set(registry: &Connection, name: &str, value: Value) -> rusqlite::Result<()> {
    let sql =
        sql!("{}", insert_or(&META, "ON CONFLICT DO UPDATE SET value = excluded.value, sum = excluded.sum"));
    MetaRow { name: name.to_owned(), value }.insert_or(registry, sql)
}

/// The last day on which the clock is known to have been.
pub(in crate::sqlite) fn clock_day(registry: &Connection) -> rusqlite::Result<Option<Day>> {
    Ok(match get(registry, CLOCK_DAY, "the day of the clock")? {
        Some(Value::Text(day)) => Day::parse(&day),
        _ => None,
    })
}

/// The newest confirmed arrival, up to an hour older, in milliseconds; 0: none was confirmed. `None`: an
/// older version wrote the store, or the row is damaged.
pub(in crate::sqlite) fn confirmed_arrival(registry: &Connection) -> rusqlite::Result<Option<UnixMillis>> {
    Ok(match unless_damaged(get(registry, CONFIRMED_ARRIVAL, "the newest confirmed arrival"))? {
        Some(Value::Integer(ms)) => Some(UnixMillis(ms)),
        _ => None,
    })
}

/// An arrival is confirmed; 0: none is, in a new store.
pub(in crate::sqlite) fn set_confirmed_arrival(
    registry: &Connection,
    at: UnixMillis,
) -> rusqlite::Result<()> {
    set(registry, CONFIRMED_ARRIVAL, Value::Integer(at.0))
}

/// What identifies the store's data key, whether it is as it was stored or not: a key that does not match is
/// refused in any case.
pub(in crate::sqlite) fn key_check(registry: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT value FROM meta WHERE name = ?1";
    registry.query_row(sql, [KEY_CHECK], |row| row.get(0)).optional()
}

/// The greatest id of a command of a device that has been deleted since; `None`: there is none, or its row is
/// damaged.
pub(super) fn command_of_gone(registry: &Connection) -> rusqlite::Result<Option<CommandId>> {
    let found = unless_damaged(get(registry, COMMAND_OF_GONE, "the last command of a deleted device"))?;
    Ok(match found {
        Some(Value::Integer(id)) => u32::try_from(id).ok().map(CommandId),
        _ => None,
    })
}

/// A device is deleted whose last command had this id.
pub(super) fn raise_command_of_gone(registry: &Connection, id: CommandId) -> rusqlite::Result<()> {
    if command_of_gone(registry)?.is_some_and(|known| known >= id) {
        return Ok(());
    }
    set(registry, COMMAND_OF_GONE, Value::Integer(id.0.into()))
}

/// Writes down what identifies the data key of a new store.
pub(in crate::sqlite) fn set_key_check(registry: &Connection, check: &[u8]) -> rusqlite::Result<()> {
    set(registry, KEY_CHECK, Value::Blob(check.to_vec()))
}

/// Number of the last transaction of the writer that is complete (or given up).
pub(in crate::sqlite) fn batch(registry: &Connection) -> rusqlite::Result<i64> {
    Ok(match get(registry, BATCH, "the number of the last batch")? {
        Some(Value::Integer(batch)) => batch,
        _ => 0,
    })
}

/// Goes on after transaction `last` at least, and after the registry's own last one in any case.
pub(in crate::sqlite) fn raise_batch(registry: &Connection, last: i64) -> rusqlite::Result<()> {
    let own = unless_damaged(batch(registry).map(Some))?.unwrap_or(0);
    set(registry, BATCH, Value::Integer(own.max(last) + 1))
}

/// The epoch that began last; `None`: none has, or its row is damaged.
pub(in crate::sqlite) fn epoch(registry: &Connection) -> rusqlite::Result<Option<u64>> {
    Ok(match unless_damaged(get(registry, EPOCH, "the epoch"))? {
        Some(Value::Integer(epoch)) => Some(epoch.cast_unsigned()),
        _ => None,
    })
}

/// The store's name; `None`: it has none yet, or its row is damaged.
pub(in crate::sqlite) fn store_id(registry: &Connection) -> rusqlite::Result<Option<String>> {
    text(registry, STORE_ID, "the id of the store")
}

/// Gives the store a name.
pub(in crate::sqlite) fn set_store_id(registry: &Connection, id: &str) -> rusqlite::Result<()> {
    set(registry, STORE_ID, Value::Text(id.to_owned()))
}

/// Whether every message file says to which store it belongs.
pub(in crate::sqlite) fn files_are_named(registry: &Connection) -> rusqlite::Result<bool> {
    let found = unless_damaged(get(registry, FILES_NAMED, "whether all files are named"))?;
    Ok(found == Some(Value::Integer(1)))
}

/// From here on they do.
pub(in crate::sqlite) fn set_files_named(registry: &Connection) -> rusqlite::Result<()> {
    set(registry, FILES_NAMED, Value::Integer(1))
}

/// The device with which the copying of latest values goes on; of a damaged row the first one, since copying
/// twice changes nothing.
pub(super) fn latest_copied(registry: &Connection) -> rusqlite::Result<i64> {
    let found = unless_damaged(get(registry, LATEST_COPIED, "how far latest values are copied"))?;
    Ok(if let Some(Value::Integer(next)) = found { next } else { 1 })
}

/// Writes it down, or that nothing is copied any more.
pub(super) fn set_latest_copied(registry: &Connection, next: Option<i64>) -> rusqlite::Result<()> {
    match next {
        Some(next) => set(registry, LATEST_COPIED, Value::Integer(next)),
        None => registry.execute("DELETE FROM meta WHERE name = ?1", [LATEST_COPIED]).map(drop),
    }
}

/// The last messages that were committed together with the registry, of each class that has one.
pub(in crate::sqlite) fn newest(registry: &Connection) -> rusqlite::Result<Vec<(Volume, i64)>> {
    let of_class = |text: String| -> Option<(Volume, i64)> {
        let (volume, id) = text.split_once(' ')?;
        Some((Volume::parse(volume)?, id.parse().ok()?))
    };
    let found = of_classes(registry, NEWEST, "the last message that the registry knows")?;
    Ok(found.into_iter().filter_map(|(_, text)| of_class(text)).collect())
}

/// The name of a value that each class has one of.
fn name_of(name: &str, class: RetentionClass) -> String {
    match class.is_standard() {
        true => name.to_owned(),
        false => format!("{name}.{class}"),
    }
}

/// The texts of a name, of each class that has one and whose row is not damaged.
fn of_classes(
    registry: &Connection,
    name: &str,
    what: &str,
) -> rusqlite::Result<Vec<(RetentionClass, String)>> {
    let mut select =
        registry.prepare_cached("SELECT name FROM meta WHERE name = ?1 OR name GLOB ?1 || '.*'")?;
    let names = select.query_map([name], |row| row.get::<_, String>(0))?;
    let mut found = Vec::new();
    for known in names {
        let known = known?;
        let class = match known.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) {
            Some(class) => RetentionClass::parse(class),
            None => Some(RetentionClass::STANDARD),
        };
        found.extend(class.zip(text(registry, &known, what)?));
    }
    Ok(found)
}

/// The number of the last batch that touched the file of logs too; `None`: none has, or its row is damaged.
pub(in crate::sqlite) fn log_batch(registry: &Connection) -> rusqlite::Result<Option<i64>> {
    Ok(match unless_damaged(get(registry, LOG_BATCH, "the last batch of the logs"))? {
        Some(Value::Integer(batch)) => Some(batch),
        _ => None,
    })
}

/// The file of logs has all batches up to this one.
pub(in crate::sqlite) fn set_log_batch(registry: &Connection, batch: i64) -> rusqlite::Result<()> {
    set(registry, LOG_BATCH, Value::Integer(batch))
}

/// The file of logs is begun anew, or an older one is taken.
pub(in crate::sqlite) fn forget_log_batch(registry: &Connection) -> rusqlite::Result<()> {
    registry.execute("DELETE FROM meta WHERE name = ?1", [LOG_BATCH]).map(drop)
}

/// Messages of days before these were deleted after their retention time.
pub(in crate::sqlite) fn kept_from(registry: &Connection) -> rusqlite::Result<Kept> {
    let mut kept = Kept::default();
    for (class, day) in of_classes(registry, KEPT_FROM, "the first day that is kept")? {
        if let Some(day) = Day::parse(&day) {
            kept.raise(class, day);
        }
    }
    Ok(kept)
}

/// Begins a further epoch, after a restore or in a copy: greater than any that the store of which it is a
/// copy can have reached meanwhile. `clock`: a time in seconds, which no count of openings reaches; `random`
/// keeps two copies apart whose clocks are wrong.
pub(in crate::sqlite) fn leap_epoch(registry: &Connection, clock: u64, random: u64) -> rusqlite::Result<u64> {
    let last = epoch(registry)?.unwrap_or(0).max(clock.min(CLOCK_EPOCH_MAX));
    let epoch = last + 1 + random % LEAP_MAX;
    set(registry, EPOCH, Value::Integer(epoch.cast_signed()))?;
    super::stream::set_leapt(registry, epoch)?;
    Ok(epoch)
}

fn text(registry: &Connection, name: &str, what: &str) -> rusqlite::Result<Option<String>> {
    Ok(match unless_damaged(get(registry, name, what))? {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    })
}

/// A name for a store.
pub(in crate::sqlite) fn new_store_id() -> rusqlite::Result<String> {
    let (high, low) = (random()?, random()?);
    Ok(format!("{high:016x}{low:016x}"))
}

pub(in crate::sqlite) fn random() -> rusqlite::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        let failed = std::io::Error::other(error.to_string());
        rusqlite::Error::ToSqlConversionFailure(Box::new(failed))
    })?;
    Ok(u64::from_le_bytes(bytes))
}

/// Forgets the last messages that were committed together with the registry.
pub(in crate::sqlite) fn forget_newest(registry: &Connection) -> rusqlite::Result<()> {
    registry.execute("DELETE FROM meta WHERE name = ?1 OR name GLOB ?1 || '.*'", [NEWEST]).map(drop)
}

/// Forgets it where it is one of this file, from a message after `id` on.
fn forget_newest_after(registry: &Connection, volume: Volume, id: i64) -> rusqlite::Result<()> {
    if newest(registry)?.iter().any(|(known, newest)| *known == volume && *newest > id) {
        registry.execute("DELETE FROM meta WHERE name = ?1", [name_of(NEWEST, volume.class)])?;
    }
    Ok(())
}

/// Forgets which file the registry is: it was put elsewhere, and its epoch has leapt.
pub(in crate::sqlite) fn forget_file(registry: &Connection) -> rusqlite::Result<()> {
    registry.execute("DELETE FROM meta WHERE name = ?1", [FILE]).map(drop)
}

/// What the store's files say about themselves. A store that has no name gets the one that its files have, or
/// a new one.
pub(in crate::sqlite) fn origin(registry: &Connection, of_files: Option<String>) -> rusqlite::Result<Origin> {
    let store_id = match store_id(registry)? {
        Some(id) => id,
        None => {
            let id = of_files.map_or_else(new_store_id, Ok)?;
            set_store_id(registry, &id)?;
            id
        }
    };
    Ok(Origin { store_id, epoch: epoch(registry)?.unwrap_or(0) })
}

/// Device and inode of a database's file.
fn file_of(registry: &Connection) -> Option<String> {
    let file = std::fs::metadata(registry.path()?).ok()?;
    Some(format!("{}:{}", file.dev(), file.ino()))
}

impl Registry {
    /// Number of the last transaction of the writer that is complete (or given up).
    pub(in crate::sqlite) fn batch(&mut self) -> rusqlite::Result<i64> {
        match self.batch {
            Some(batch) => Ok(batch),
            None => {
                let batch = batch(&self.connection)?;
                self.batch = Some(batch);
                Ok(batch)
            }
        }
    }

    /// Numbers the transaction that is open, and returns the number. After its commit, [`Self::numbered`].
    pub(in crate::sqlite) fn number(&mut self) -> rusqlite::Result<i64> {
        let batch = self.batch()? + 1;
        set(&self.connection, BATCH, Value::Integer(batch))?;
        if self.log.is_touched() {
            set_log_batch(&self.connection, batch)?;
        }
        Ok(batch)
    }

    /// The transaction of this number is committed, and with it what it wrote to the file of logs.
    pub(in crate::sqlite) fn numbered(&mut self, batch: i64) {
        self.batch = Some(batch);
        self.log.settle();
    }

    /// Writes down which message was committed last together with the registry.
    pub(in crate::sqlite) fn set_newest(&self, volume: Volume, id: i64) -> rusqlite::Result<()> {
        set(&self.connection, &name_of(NEWEST, volume.class), Value::Text(format!("{volume} {id}")))
    }

    /// After a failure and a new opening: writes a page for certain, so that what a failed commit may have
    /// left at the end of SQLite's log is overwritten by it. The last number stays, so that a half is still
    /// known by its own. `committed` are the files that are written, with their last messages that count.
    pub(in crate::sqlite) fn overwrite_failed(&self, committed: &[(Volume, i64)]) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let repairs = match unless_damaged(get(&transaction, REPAIRS, "the number of repairs"))? {
            Some(Value::Integer(repairs)) => repairs,
            _ => 0,
        };
        set(&transaction, REPAIRS, Value::Integer(repairs.wrapping_add(1)))?;
        for (volume, id) in committed {
            // Where the commit that failed is there all the same, its messages go.
            forget_newest_after(&transaction, *volume, *id)?;
        }
        transaction.commit()
    }

    /// A file is begun anew: nothing is known of it.
    pub(in crate::sqlite) fn forget_newest(&self, volume: Volume) -> rusqlite::Result<()> {
        forget_newest_after(&self.connection, volume, i64::MIN)
    }

    /// Messages of earlier days were deleted after their retention time.
    pub(in crate::sqlite) fn kept_from(&self) -> rusqlite::Result<Kept> {
        kept_from(&self.connection)
    }

    /// Messages of a class of days before `day` are deleted.
    pub(in crate::sqlite) fn set_kept_from(&self, class: RetentionClass, day: Day) -> rusqlite::Result<()> {
        set(&self.connection, &name_of(KEPT_FROM, class), Value::Text(day.to_string()))
    }

    /// See [`origin`].
    pub(in crate::sqlite) fn origin(&self, of_files: Option<String>) -> rusqlite::Result<Origin> {
        origin(&self.connection, of_files)
    }

    /// Whether every message file says to which store it belongs.
    pub(in crate::sqlite) fn files_are_named(&self) -> rusqlite::Result<bool> {
        files_are_named(&self.connection)
    }

    /// From here on they do.
    pub(in crate::sqlite) fn set_files_named(&self) -> rusqlite::Result<()> {
        set_files_named(&self.connection)
    }

    /// Increases the epoch durably, and returns it. Where the one before cannot be read, it becomes `clock`,
    /// the time in seconds, or what makes new logins' numbers greater than all that are stored, if a wrong
    /// clock has made `clock` too small for that. In a copy of the store it leaps, see [`leap_epoch`]: the
    /// store goes on or went on elsewhere.
    pub(in crate::sqlite) fn raise_epoch(&mut self, clock: u64) -> rusqlite::Result<u64> {
        let level: i64 = self.connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
        self.connection.pragma_update(None, "synchronous", "full")?;
        let raised = self.raise_epoch_in_transaction(clock);
        self.connection.pragma_update(None, "synchronous", level)?;
        let (epoch, batch) = raised?;
        self.numbered(batch);
        Ok(epoch)
    }

    /// The new epoch, and the number of the transaction that wrote it.
    fn raise_epoch_in_transaction(&mut self, clock: u64) -> rusqlite::Result<(u64, i64)> {
        let batch = self.batch()? + 1;
        let transaction = self.connection.unchecked_transaction()?;
        set(&transaction, BATCH, Value::Integer(batch))?;
        let file = file_of(&transaction);
        let is_copy = text(&transaction, FILE, "which file the registry is")?
            .zip(file.as_ref())
            .is_some_and(|(noted, file)| noted != *file);
        let epoch = match unless_damaged(get(&transaction, EPOCH, "the epoch").map(Some))? {
            Some(Some(Value::Integer(_))) if is_copy => leap_epoch(&transaction, clock, random()?)?,
            Some(None) => 1,
            Some(Some(Value::Integer(epoch))) => epoch.cast_unsigned() + 1,
            Some(Some(_)) | None => clock.max(self.epoch_of_last_login()? + 1),
        };
        set(&transaction, EPOCH, Value::Integer(epoch.cast_signed()))?;
        if let Some(file) = file {
            set(&transaction, FILE, Value::Text(file))?;
        }
        transaction.commit()?;
        Ok((epoch, batch))
    }

    /// The epoch in which the last login was numbered, of devices whose rows are as they were stored.
    fn epoch_of_last_login(&self) -> rusqlite::Result<u64> {
        let sql = sql!("SELECT {} FROM devices d WHERE d.login_number IS NOT NULL", DEVICES.list());
        let mut select = self.connection.prepare(sql)?;
        let mut rows = select.query([])?;
        let mut last = 0;
        while let Some(row) = rows.next()? {
            // One that is damaged cannot log in anyway.
            if let Ok(DeviceRow { login_number: Some(number), .. }) =
                DeviceRow::intact(row, 0, || "the row of a device".to_owned())
            {
                last = last.max(number.0 >> 32);
            }
        }
        Ok(last)
    }

    /// The last day on which the clock is known to have been.
    pub(in crate::sqlite) fn clock_day(&self) -> rusqlite::Result<Option<Day>> {
        clock_day(&self.connection)
    }

    pub(in crate::sqlite) fn set_clock_day(&self, day: Day) -> rusqlite::Result<()> {
        set(&self.connection, CLOCK_DAY, Value::Text(day.to_string()))
    }

    /// See [`confirmed_arrival`].
    pub(in crate::sqlite) fn confirmed_arrival(&self) -> rusqlite::Result<Option<UnixMillis>> {
        confirmed_arrival(&self.connection)
    }

    pub(in crate::sqlite) fn set_confirmed_arrival(&self, at: UnixMillis) -> rusqlite::Result<()> {
        set_confirmed_arrival(&self.connection, at)
    }

    /// Remembers that a device of this key in this unit was deleted because its row was damaged.
    pub(super) fn leave_trace_of_damage(&self, ou: &str, key: &str, at: i64) -> rusqlite::Result<()> {
        set(&self.connection, &format!("{TRACE}{ou}:{key}"), Value::Integer(at))
    }

    /// What the log of a new device says where it takes the place of a damaged one. That uses up the trace.
    pub(super) fn take_trace_of_damage(&self, ou: &str, key: &str) -> rusqlite::Result<Option<String>> {
        let name = format!("{TRACE}{ou}:{key}");
        let exists = "SELECT EXISTS (SELECT 1 FROM meta WHERE name = ?1)";
        if !self.connection.prepare_cached(exists)?.query_row([&name], |row| row.get(0))? {
            return Ok(None);
        }
        self.connection.prepare_cached("DELETE FROM meta WHERE name = ?1")?.execute([&name])?;
        Ok(Some("registered anew: its damaged row was deleted".to_owned()))
    }
}
