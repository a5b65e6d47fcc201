//! The writer's side of what goes: devices and products, also those whose rows are damaged, and what a
//! damaged row leaves behind for the one that takes its place.
//!
//! A bit that flips in an indexed column leaves an index that does not fit the row, and SQLite refuses to
//! delete such a row. Rows have sums of their own, indexes are made of them: the index is made anew, and the
//! row goes.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::product::Product,
    ports::StoreError,
};
use rusqlite::{ErrorCode, OptionalExtension, Params, params};

use super::{
    registry::{Change, Registry, missing},
    rows::{self, SELECT_DEVICE, product_intact},
};
use crate::life;

/// `meta.name` of the trace of a damaged device that was deleted: this and its key.
const TRACE: &str = "damaged:";
/// Rows after which a step of a product's deletion takes no further device: some tenths of a second for which
/// the writer does nothing else. One device has 11,500 rows by default, and always goes whole.
const STEP_ROWS: usize = 20_000;

impl Registry {
    /// How many rows went. Latest values that are not written yet are dropped when their turn comes.
    pub(super) fn delete(&mut self, device: DeviceId, at: UnixMillis) -> Change<usize> {
        let sql = format!("{SELECT_DEVICE} WHERE d.id = ?1");
        let found = self.connection.prepare_cached(&sql)?.query_row([device.0], rows::listed_device);
        let Some(found) = found.optional()? else { return Ok(Err(missing(device))) };
        let mut rows = 0;
        for (table, sql) in [
            ("devices", "DELETE FROM devices WHERE id = ?1"),
            ("log", "DELETE FROM log WHERE device = ?1"),
            ("presence", "DELETE FROM presence WHERE device = ?1"),
            ("latest", "DELETE FROM latest WHERE device = ?1"),
        ] {
            rows += self.take_away(table, sql, [device.0])?;
        }
        self.switches.remove(&device);
        self.former.forget(device);
        let entry = match found {
            Ok(gone) => life::deleted_entry((&gone.product_key, &gone.device_key), None, device, at),
            Err(gone) => {
                tracing::warn!(device_key = gone.device_key, what = gone.what, "a damaged device is deleted");
                self.leave_trace_of_damage(&gone.device_key, at)?;
                let product_key = gone.product_key.unwrap_or_default();
                life::deleted_entry((&product_key, &gone.device_key), Some(gone.what), device, at)
            }
        };
        self.note(&entry)?;
        Ok(Ok(rows))
    }

    /// Up to `limit` devices of a product, oldest first; a further one only while fewer than [`STEP_ROWS`] rows
    /// went.
    pub(super) fn delete_devices_of(
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

    pub(super) fn delete_product(&mut self, product_key: &str) -> Change<()> {
        let Some(product) = self.product_id(product_key)? else { return Ok(Err(no_product(product_key))) };
        let devices = "SELECT EXISTS (SELECT 1 FROM devices WHERE product = ?1)";
        if self.connection.prepare_cached(devices)?.query_row([product], |row| row.get(0))? {
            return Ok(Err(StoreError::Conflict(format!("product {product_key} has devices"))));
        }
        self.take_away("products", "DELETE FROM products WHERE id = ?1", [product])?;
        self.switches.clear();
        Ok(Ok(()))
    }

    /// The row of a product by its key as it is read, or by `id:` and the row's id where that row is damaged.
    fn product_id(&self, product_key: &str) -> rusqlite::Result<Option<i64>> {
        let by_key = "SELECT id FROM products WHERE product_key = ?1";
        let found = self.connection.prepare_cached(by_key)?.query_row([product_key], |row| row.get(0));
        let row = product_key.strip_prefix("id:").and_then(|row| row.parse::<i64>().ok());
        match (found.optional()?, row) {
            (None, Some(row)) => {
                let by_row = concat!(
                    "SELECT p.id FROM products p WHERE p.id = ?1 AND NOT (",
                    product_intact!(),
                    " AND p.model_sum IS row_sum('model', p.id, p.model_json))"
                );
                self.connection.prepare_cached(by_row)?.query_row([row], |row| row.get(0)).optional()
            }
            (found, _) => Ok(found),
        }
    }

    /// Puts a product in the place of a damaged row of its key, whose devices it takes over. The row is looked
    /// for by the index, since its key may be what is damaged. `false`: the row is intact.
    pub(super) fn replace_damaged(&mut self, product: &Product, secret: &[u8]) -> rusqlite::Result<bool> {
        let Some(row) = self.product_id(&product.product_key)? else { return Ok(false) };
        let activation = &product.dynamic_activation;
        let sql = concat!(
            "UPDATE products AS p SET ou = ?1, name = ?3, secret = ?4, enabled = ?5, \
             activation_enabled = ?6, activation_ends_at = ?7, activation_quota = ?8, model_json = ?9, \
             created = ?10, product_key = ?2, issued_hour = 0, issued_count = 0 WHERE p.id = ?11 AND NOT (",
            product_intact!(),
            " AND p.model_sum IS row_sum('model', p.id, p.model_json))"
        );
        let values = params![
            product.ou,
            product.product_key,
            product.name,
            secret,
            product.enabled,
            activation.enabled,
            activation.ends_at.map(|end| end.0),
            activation.quota_per_hour,
            product.model_json,
            product.created.0,
            row,
        ];
        let replaced = self.take_away("products", sql, values)?;
        self.switches.clear();
        if replaced > 0 {
            tracing::warn!(product_key = product.product_key, "a damaged product was replaced");
        }
        Ok(replaced > 0)
    }

    /// Remembers that a device of this key was deleted because its row was damaged.
    fn leave_trace_of_damage(&self, device_key: &str, at: UnixMillis) -> rusqlite::Result<()> {
        let sql = "INSERT INTO meta VALUES (?1, ?2, row_sum('meta', ?1, ?2)) \
                   ON CONFLICT DO UPDATE SET value = excluded.value, sum = excluded.sum";
        let name = format!("{TRACE}{device_key}");
        self.connection.prepare_cached(sql)?.execute(params![name, at.0]).map(drop)
    }

    /// What the log of a new device says where it takes the place of a damaged one. The trace has served
    /// then.
    pub(super) fn take_trace_of_damage(&self, device_key: &str) -> rusqlite::Result<Option<String>> {
        let name = format!("{TRACE}{device_key}");
        let exists = "SELECT EXISTS (SELECT 1 FROM meta WHERE name = ?1)";
        if !self.connection.prepare_cached(exists)?.query_row([&name], |row| row.get(0))? {
            return Ok(None);
        }
        self.connection.prepare_cached("DELETE FROM meta WHERE name = ?1")?.execute([&name])?;
        Ok(Some("registered anew: its damaged row was deleted".to_owned()))
    }

    /// Makes all indexes of their rows.
    pub(super) fn make_indexes_anew(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("REINDEX")
    }

    /// Runs a statement that deletes or replaces rows of a table; how many. Where an index does not fit them it is
    /// made anew first.
    pub(super) fn take_away(
        &self,
        table: &'static str,
        sql: &str,
        values: impl Params + Clone,
    ) -> rusqlite::Result<usize> {
        self.connection.prepare_cached("SAVEPOINT removal")?.execute([])?;
        let deleted = self.connection.prepare_cached(sql)?.execute(values.clone());
        let deleted = match deleted {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                tracing::error!(table, %error, "an index does not fit its rows and is made anew");
                self.connection.prepare_cached("ROLLBACK TO removal")?.execute([])?;
                self.connection
                    .execute_batch(&format!("REINDEX {table}"))
                    .and_then(|()| self.connection.prepare_cached(sql)?.execute(values))
            }
            deleted => deleted,
        };
        self.connection.prepare_cached("RELEASE removal")?.execute([])?;
        deleted
    }
}

fn no_product(product_key: &str) -> StoreError {
    StoreError::Missing { what: "product", key: product_key.to_owned() }
}
