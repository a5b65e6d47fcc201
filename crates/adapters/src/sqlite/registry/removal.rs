//! The writer's side of removal: devices and products, also those whose rows are damaged, and the trace that
//! a damaged row leaves for the one that takes its place.

use std::{collections::BTreeSet, sync::PoisonError};

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::log::LogEntry,
    ports::StoreError,
    rules::commands::may_be_remembered,
};
use rusqlite::{OptionalExtension, Params, params};

use super::{
    super::{
        healing::healing,
        rows::{self, select_device},
        schema::sql,
    },
    Change, Registry, meta, missing,
};

/// Rows after which a step of a product's deletion takes no further device: some tenths of a second for which
/// the writer does nothing else. One device has 500 rows by default, and is always deleted whole.
const STEP_ROWS: usize = 20_000;

impl Registry {
    /// Whether there is such a device, damaged or not.
    pub(in crate::sqlite) fn has_device(&self, device: DeviceId) -> rusqlite::Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM devices WHERE id = ?1)";
        self.connection.prepare_cached(sql)?.query_row([device.0], |row| row.get(0))
    }

    /// How many rows are deleted, with those of its log and presence, which go after the commit. Latest
    /// values that are not written yet are dropped when their turn comes.
    pub(in crate::sqlite) fn delete(&mut self, device: DeviceId, at: UnixMillis) -> Change<usize> {
        let sql = sql!("{} WHERE d.id = ?1", select_device());
        let found = self.connection.prepare_cached(sql)?.query_row([device.0], rows::listed_device);
        let Some(found) = found.optional()? else { return Ok(Err(missing(device))) };
        let units = self.units_as_they_stand(device)?;
        // A device that is registered anew may remember it. What is damaged keeps nothing from being deleted.
        if let Ok(Some(last)) = self.last_command(device)
            && may_be_remembered(last, at)
        {
            meta::raise_command_of_gone(&self.connection, last)?;
        }
        let mut rows = self.log.note_gone(device)?;
        for (table, sql) in [
            ("devices", "DELETE FROM devices WHERE id = ?1"),
            ("latest", "DELETE FROM latest WHERE device = ?1"),
            ("properties", "DELETE FROM properties WHERE device = ?1"),
            ("commands", "DELETE FROM commands WHERE device = ?1"),
            ("upgrades", "DELETE FROM upgrades WHERE device = ?1"),
            ("versions", "DELETE FROM versions WHERE device = ?1"),
        ] {
            rows += self.take_away(table, sql, [device.0])?;
        }
        self.forget_standing(device);
        self.former.lock().unwrap_or_else(PoisonError::into_inner).forget(device);
        let entry = match found {
            Ok(gone) => {
                if let Some(has) = self.devices_of_units.get_mut(&gone.ou) {
                    *has = has.saturating_sub(1);
                }
                LogEntry::deleted((&gone.product_key, &gone.device_key), None, device, at)
            }
            Err(gone) => {
                self.devices_of_units.clear();
                tracing::warn!(device_key = gone.device_key, what = gone.what, "a damaged device is deleted");
                for ou in units {
                    self.leave_trace_of_damage(&ou, &gone.device_key, at.0)?;
                }
                let product_key = gone.product_key.unwrap_or_default();
                LogEntry::deleted((&product_key, &gone.device_key), Some(gone.what), device, at)
            }
        };
        self.note(entry)?;
        Ok(Ok(rows))
    }

    /// The units that the row of a device names, damaged or not: its own, and that of its product.
    fn units_as_they_stand(&self, device: DeviceId) -> rusqlite::Result<BTreeSet<String>> {
        let sql = "SELECT d.ou, p.ou FROM devices d LEFT JOIN products p ON p.id = d.product WHERE d.id = ?1";
        let mut select = self.connection.prepare_cached(sql)?;
        // What is no text names none.
        select.query_row([device.0], |row| Ok([0, 1].into_iter().filter_map(|at| row.get(at).ok()).collect()))
    }

    /// Up to `limit` devices of a product, oldest first; a further one only while fewer than [`STEP_ROWS`]
    /// rows were deleted.
    pub(in crate::sqlite) fn delete_devices_of(
        &mut self,
        product_key: &str,
        limit: usize,
        at: UnixMillis,
    ) -> Change<Vec<DeviceId>> {
        let Some(product) = self.product_id(product_key)? else { return Ok(Err(no_product(product_key))) };
        let devices: Vec<DeviceId> = self
            .connection
            .prepare_cached("SELECT id FROM devices WHERE product = ?1 ORDER BY id LIMIT ?2")?
            .query_map(params![product, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                row.get(0).map(DeviceId)
            })?
            .collect::<rusqlite::Result<_>>()?;
        let (mut deleted, mut rows) = (Vec::new(), 0);
        for device in devices {
            if rows >= STEP_ROWS {
                break;
            }
            match self.delete(device, at)? {
                Ok(gone) => rows += gone,
                Err(error) => return Ok(Err(error)),
            }
            deleted.push(device);
        }
        Ok(Ok(deleted))
    }

    pub(in crate::sqlite) fn delete_product(&mut self, product_key: &str) -> Change<()> {
        let Some(product) = self.product_id(product_key)? else { return Ok(Err(no_product(product_key))) };
        let devices = "SELECT EXISTS (SELECT 1 FROM devices WHERE product = ?1)";
        if self.connection.prepare_cached(devices)?.query_row([product], |row| row.get(0))? {
            return Ok(Err(StoreError::Conflict(format!("product {product_key} has devices"))));
        }
        let images =
            "DELETE FROM images WHERE product_key = (SELECT product_key FROM products WHERE id = ?1)";
        self.take_away("images", images, [product])?;
        self.take_away("products", "DELETE FROM products WHERE id = ?1", [product])?;
        self.take_away("models", "DELETE FROM models WHERE product = ?1", [product])?;
        self.take_away("scripts", "DELETE FROM scripts WHERE product = ?1", [product])?;
        self.take_away("model_numbers", "DELETE FROM model_numbers WHERE product = ?1", [product])?;
        self.forget_standings();
        Ok(Ok(()))
    }

    /// Rebuilds all indexes, also those of the logs.
    pub(in crate::sqlite) fn make_indexes_anew(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("REINDEX")?;
        self.log.make_indexes_anew()
    }

    /// Runs a statement that deletes rows of a table; returns how many.
    pub(super) fn take_away(
        &self,
        table: &'static str,
        sql: &str,
        values: impl Params + Copy,
    ) -> rusqlite::Result<usize> {
        healing(&self.connection, table, || self.connection.prepare_cached(sql)?.execute(values))
    }
}

fn no_product(product_key: &str) -> StoreError {
    StoreError::Missing { what: "product", key: product_key.to_owned() }
}
