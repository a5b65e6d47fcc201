//! Devices: registered, renamed, switched on and off, reset, given another secret. Their removal is in a
//! module of its own.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{
        device::{Device, DeviceState, NewDevice},
        log::{LogEntry, LogEvent},
    },
    ports::{StoreError, Switched},
    rules::life::{SECRET_REPLACED, SWITCHED_OFF},
    secret::Secret,
};
use rusqlite::{OptionalExtension, params};

use super::{
    super::{
        key::SealedRow,
        rows,
        schema::{
            Stored,
            registry::{DEVICES, DeviceRow, PRODUCTS, ProductRow},
            sql,
        },
    },
    Change, Registry, missing,
};

impl Registry {
    pub(in crate::sqlite) fn create_device(&mut self, new: &NewDevice, at: UnixMillis) -> Change<Device> {
        let sql = sql!("SELECT {} FROM products p WHERE p.product_key = ?1", PRODUCTS.list());
        let what = || format!("the row of product {}", new.product_key);
        let product = self
            .connection
            .prepare_cached(sql)?
            .query_row([&new.product_key], |row| ProductRow::intact(row, 0, what));
        let Some(product) = product.optional()? else {
            return Ok(Err(StoreError::Missing { what: "product", key: new.product_key.clone() }));
        };
        if let Some(taken) = self.taken(new, &product.ou)? {
            return Ok(Err(taken));
        }
        if let Err(full) = self.permit_device(&product.ou)? {
            return Ok(Err(full));
        }
        let secret = self.seal(SealedRow::Device(&new.asset_id), &new.device_secret)?;
        let mut row = DeviceRow {
            id: DeviceId(0),
            product: product.id,
            ou: product.ou,
            device_key: new.device_key.clone(),
            asset_id: new.asset_id.clone(),
            name: new.name.clone(),
            secret,
            secret_version: 1,
            enabled: true,
            state: DeviceState::Inactive,
            created: at,
            active_time: None,
            last_online_time: None,
            last_offline_time: None,
            last_seen_time: None,
            lifetime_s: None,
            login_number: None,
        };
        row.id = DeviceId(row.insert_numbered(&self.connection)?);
        row.put_sum(&self.connection)?;
        let ou = &row.ou;
        let detail = self.take_trace_of_damage(ou, &new.device_key)?;
        self.note(LogEntry { detail, ..LogEntry::new(row.id, at, LogEvent::Created) })?;
        for edit in &new.properties {
            // Checked before: they fit a device that has none, and it was made in this transaction.
            let _fits = self.edit_properties(row.id, at, edit, None)?;
        }
        Ok(Ok(rows::device(row, new.product_key.clone())))
    }

    /// Which key of a new device another one has already.
    fn taken(&self, new: &NewDevice, ou: &str) -> rusqlite::Result<Option<StoreError>> {
        let by_key = "SELECT EXISTS (SELECT 1 FROM devices WHERE device_key = ?1 AND ou = ?2)";
        if self.connection.prepare_cached(by_key)?.query_row(params![new.device_key, ou], |row| row.get(0))? {
            return Ok(Some(StoreError::Exists { what: "device", key: new.device_key.clone() }));
        }
        let by_asset = "SELECT EXISTS (SELECT 1 FROM devices WHERE asset_id = ?1)";
        if self.connection.prepare_cached(by_asset)?.query_row([&new.asset_id], |row| row.get(0))? {
            return Ok(Some(StoreError::Exists { what: "asset", key: new.asset_id.clone() }));
        }
        Ok(None)
    }

    pub(in crate::sqlite) fn set_enabled(
        &mut self,
        device: DeviceId,
        enabled: bool,
        at: UnixMillis,
    ) -> Change<Switched> {
        if self.device_and_product(device)?.is_none() {
            return Ok(Err(missing(device)));
        }
        let mut stopped = Vec::new();
        // In one transaction, so that no crash leaves a device online that may not be.
        if !enabled {
            self.presence(device, None, DeviceState::Offline, at, SWITCHED_OFF)?;
            self.cancel_open_commands(device, None, at)?;
            stopped = self.stop_upgrades(device, at)?;
        }
        let Some((row, _)) = self.device_and_product(device)? else { return Ok(Err(missing(device))) };
        DEVICES.update(&["enabled"]).run(&self.connection, &DeviceRow { enabled, ..row })?;
        let event = if enabled { LogEvent::Enabled } else { LogEvent::Disabled };
        self.note(LogEntry::new(device, at, event))?;
        self.forget_standing(device);
        Ok(self.shown(device)?.map(|device| Switched { device, stopped }))
    }

    pub(in crate::sqlite) fn rename(
        &mut self,
        device: DeviceId,
        name: &str,
        at: UnixMillis,
    ) -> Change<Device> {
        let Some((row, _)) = self.device_and_product(device)? else { return Ok(Err(missing(device))) };
        let entry = LogEntry::renamed(device, at, &row.name, name);
        DEVICES.update(&["name"]).run(&self.connection, &DeviceRow { name: name.to_owned(), ..row })?;
        self.note(entry)?;
        self.shown(device)
    }

    /// Needs the latest values to be written: pending ones would restore `last_seen_time`.
    pub(in crate::sqlite) fn reset(
        &mut self,
        device: DeviceId,
        secret: &Secret,
        at: UnixMillis,
    ) -> Change<Switched> {
        let Some((row, product)) = self.device_and_product(device)? else {
            return Ok(Err(missing(device)));
        };
        let mut life = super::life::life_of(&row, super::may_connect(&product));
        if life.state != DeviceState::Inactive {
            self.note_presence(device, at, DeviceState::Inactive, "reset")?;
        }
        life.reset();
        let row = self.put_life(row, &life)?;
        self.replace_secret(row, secret)?;
        self.forget_last_seen(device)?;
        self.cancel_open_commands(device, None, at)?;
        let stopped = self.stop_upgrades(device, at)?;
        self.note(LogEntry::new(device, at, LogEvent::Reset))?;
        Ok(self.shown(device)?.map(|device| Switched { device, stopped }))
    }

    pub(in crate::sqlite) fn rotate_device_secret(
        &mut self,
        device: DeviceId,
        secret: &Secret,
        at: UnixMillis,
    ) -> Change<Device> {
        if self.device_and_product(device)?.is_none() {
            return Ok(Err(missing(device)));
        }
        // In one transaction: what its session says of its end is refused from here on.
        self.presence(device, None, DeviceState::Offline, at, SECRET_REPLACED)?;
        let Some((row, _)) = self.device_and_product(device)? else { return Ok(Err(missing(device))) };
        self.replace_secret(row, secret)?;
        self.note(LogEntry::new(device, at, LogEvent::SecretRotated))?;
        self.shown(device)
    }

    fn shown(&self, device: DeviceId) -> Change<Device> {
        let Some(shown) = rows::device_by_id(&self.connection, device)? else {
            return Ok(Err(missing(device)));
        };
        let last_seen_time = shown.last_seen_time.max(self.seen_aside(device)?);
        Ok(Ok(Device { last_seen_time, ..shown }))
    }
}
