//! What the registry says of the whole store: values by name.

use rusqlite::{Connection, OptionalExtension, types::Value};

use super::{
    super::{
        day::Day,
        schema::{
            Stored, insert_or,
            registry::{DEVICES, DeviceRow, META, MetaRow},
            sql,
        },
    },
    Registry, unless_damaged,
};

/// Number of the last batch that touched messages and registry.
const BATCH: &str = "batch";
/// The last day on which the clock is known to have been.
const CLOCK_DAY: &str = "clock_day";
/// Increased by each process before the first event that it writes down.
const EPOCH: &str = "epoch";
/// Identifies the data key.
const KEY_CHECK: &str = "key_check";
/// Begins the name of the trace of a damaged device that was deleted; its key follows.
const TRACE: &str = "damaged:";

/// A value; `what` names it for people.
fn get(registry: &Connection, name: &str, what: &str) -> rusqlite::Result<Option<Value>> {
    let sql = sql!("SELECT {} FROM meta WHERE name = ?1", META.list());
    let read = |row: &rusqlite::Row<'_>| Ok(MetaRow::intact(row, 0, || what.to_owned())?.value);
    registry.prepare_cached(sql)?.query_row([name], read).optional()
}

fn set(registry: &Connection, name: &str, value: Value) -> rusqlite::Result<()> {
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

/// What identifies the store's data key, whether it is as it was stored or not: a key that does not match is
/// refused in any case.
pub(in crate::sqlite) fn key_check(registry: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT value FROM meta WHERE name = ?1";
    registry.query_row(sql, [KEY_CHECK], |row| row.get(0)).optional()
}

/// Writes down what identifies the data key of a new store.
pub(in crate::sqlite) fn set_key_check(registry: &Connection, check: &[u8]) -> rusqlite::Result<()> {
    set(registry, KEY_CHECK, Value::Blob(check.to_vec()))
}

impl Registry {
    /// Number of the last batch that touched messages and registry and is complete (or given up).
    pub(in crate::sqlite) fn batch(&self) -> rusqlite::Result<i64> {
        Ok(match get(&self.connection, BATCH, "the number of the last batch")? {
            Some(Value::Integer(batch)) => batch,
            _ => 0,
        })
    }

    pub(in crate::sqlite) fn set_batch(&self, batch: i64) -> rusqlite::Result<()> {
        set(&self.connection, BATCH, Value::Integer(batch))
    }

    /// Increases the epoch durably, and returns it. Where the one before cannot be read, it becomes
    /// `otherwise`, or what makes new logins' numbers greater than all that are stored, if a wrong clock has
    /// made `otherwise` too small for that.
    pub(in crate::sqlite) fn raise_epoch(&self, otherwise: u64) -> rusqlite::Result<u64> {
        let epoch = match unless_damaged(get(&self.connection, EPOCH, "the epoch").map(Some))? {
            Some(None) => 1,
            Some(Some(Value::Integer(epoch))) => epoch.cast_unsigned() + 1,
            Some(Some(_)) | None => otherwise.max(self.epoch_of_last_login()? + 1),
        };
        let level: i64 = self.connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
        self.connection.pragma_update(None, "synchronous", "full")?;
        let written = set(&self.connection, EPOCH, Value::Integer(epoch.cast_signed()));
        self.connection.pragma_update(None, "synchronous", level)?;
        written.map(|()| epoch)
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

    /// Remembers that a device of this key was deleted because its row was damaged.
    pub(super) fn leave_trace_of_damage(&self, device_key: &str, at: i64) -> rusqlite::Result<()> {
        set(&self.connection, &format!("{TRACE}{device_key}"), Value::Integer(at))
    }

    /// What the log of a new device says where it takes the place of a damaged one. That uses up the trace.
    pub(super) fn take_trace_of_damage(&self, device_key: &str) -> rusqlite::Result<Option<String>> {
        let name = format!("{TRACE}{device_key}");
        let exists = "SELECT EXISTS (SELECT 1 FROM meta WHERE name = ?1)";
        if !self.connection.prepare_cached(exists)?.query_row([&name], |row| row.get(0))? {
            return Ok(None);
        }
        self.connection.prepare_cached("DELETE FROM meta WHERE name = ?1")?.execute([&name])?;
        Ok(Some("registered anew: its damaged row was deleted".to_owned()))
    }
}
