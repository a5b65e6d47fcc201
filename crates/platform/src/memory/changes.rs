//! The operator's changes of a [`Model`].

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use super::{
    commands::Commands,
    device_log::DeviceLog,
    model::{DeviceRow, Model, ProductRow, missing, slot},
    model_versions::Models,
    product_scripts::Scripts,
};
use crate::{
    ids::{DeviceId, UnixMillis},
    model::{
        device::{Device, DeviceState, NewDevice},
        log::{LogEntry, LogEvent},
        product::Product,
    },
    ports::{Change, Changed, Quota, StoreError, Switched},
    rules::{
        commands::may_be_remembered,
        latest::LatestPoints,
        life::{Life, SECRET_REPLACED, SWITCHED_OFF},
        quotas::permit_one_more,
    },
    secret::Secret,
};

impl Model {
    /// Makes a change, as [`crate::ports::Registry::change`] does.
    ///
    /// # Errors
    /// `Exists`, `Missing` or `Conflict`; nothing is changed then.
    pub fn change(&mut self, change: Change) -> Result<Changed, StoreError> {
        let device = |device| Changed::Device(Box::new(device));
        let switched = |switched| Changed::Switched(Box::new(switched));
        self.take_place();
        match change {
            Change::CreateProduct(product) => self.create_product(product).map(|()| Changed::Done),
            Change::UpdateProduct(product) => self.update_product(product).map(|()| Changed::Done),
            Change::PutModel { product_key, put, with, at } => {
                self.put_model(product_key, &put, with.map(|product| *product), at).map(Changed::Model)
            }
            Change::PutScript { product_key, put, at } => {
                self.put_script(&product_key, &put, at).map(Changed::Script)
            }
            Change::RotateProductSecret { product_key, secret, at } => {
                self.rotate_product_secret(&product_key, secret, at).map(|()| Changed::Done)
            }
            Change::DeleteProduct { product_key } => {
                self.delete_product(&product_key).map(|()| Changed::Done)
            }
            Change::DeleteDevicesOf { product_key, limit, at } => {
                self.delete_devices_of(&product_key, limit, at).map(Changed::Deleted)
            }
            Change::CreateDevices { devices, at } => {
                let created = devices.into_iter().map(|device| self.create_device(device, at));
                Ok(Changed::Created(created.collect()))
            }
            Change::RenameDevice { device: id, name, at } => self.rename_device(id, name, at).map(device),
            Change::SetDeviceEnabled { device: id, enabled, at } => {
                self.set_device_enabled(id, enabled, at).map(switched)
            }
            Change::ResetDevice { device: id, secret, at } => self.reset_device(id, secret, at).map(switched),
            Change::RotateDeviceSecret { device: id, secret, at } => {
                self.rotate_device_secret(id, secret, at).map(device)
            }
            Change::DeleteDevice { device, at } => self.delete_device(device, at).map(|()| Changed::Done),
            Change::PurgeDevice { device, at } => self.purge_device(device, at).map(Changed::Purged),
            Change::EditProperties { device, at, edit, only_from } => {
                self.edit_properties(device, at, &edit, only_from).map(Changed::Properties)
            }
            Change::SendCommand { device, order, only_id, expected, at } => {
                self.send_command(device, (order, expected), only_id, at).map(Changed::Sent)
            }
            Change::CancelCommands { device, id, at } => {
                self.cancel_commands(device, id, at).map(Changed::Cancelled)
            }
            Change::Firmware(change) => self.change_firmware(change),
            Change::Access(change) => self.change_access(&change),
            Change::NoteSecretShown { device, at, detail } => {
                let row = self.row_mut(device).ok_or_else(|| missing(device))?;
                row.note(LogEntry { detail, ..LogEntry::new(device, at, LogEvent::SecretShown) });
                Ok(Changed::Done)
            }
        }
    }

    fn create_product(&mut self, mut product: Product) -> Result<(), StoreError> {
        self.check_unit(&product.ou)?;
        if self.product_keys.contains_key(&product.product_key) {
            return Err(StoreError::Exists { what: "product", key: product.product_key });
        }
        let quota = self.quotas(&product.ou).products;
        let has = self.products_by_index().filter(|(_, other)| other.ou == product.ou).count();
        permit_one_more(Quota::Products, has as u64, quota)?;
        product.is_suspended = self.is_suspended(&product.ou);
        self.product_keys.insert(product.product_key.clone(), self.products.len());
        let models = Models::of(&mut product);
        self.products.push(Some(ProductRow { product, models, scripts: Scripts::default(), issued: (0, 0) }));
        Ok(())
    }

    pub(super) fn update_product(&mut self, product: Product) -> Result<(), StoreError> {
        let Some(row) = self.product_row_mut(&product.product_key) else {
            return Err(StoreError::Missing { what: "product", key: product.product_key });
        };
        let kept = &mut row.product;
        kept.name = product.name;
        kept.dynamic_activation = product.dynamic_activation;
        kept.enabled = product.enabled;
        kept.retention = product.retention;
        kept.profile = product.profile;
        kept.short_paths = product.short_paths;
        kept.data_format = product.data_format;
        kept.content_code = product.content_code;
        Ok(())
    }

    fn rotate_product_secret(
        &mut self,
        product_key: &str,
        secret: Secret,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        let index = self.product_keys.get(product_key);
        let Some(row) = index.and_then(|&index| self.products[index].as_mut()) else {
            return Err(StoreError::Missing { what: "product", key: product_key.to_owned() });
        };
        row.product.secret = secret;
        self.note(LogEntry::product_secret_rotated(product_key, at));
        Ok(())
    }

    fn delete_devices_of(
        &mut self,
        product_key: &str,
        limit: usize,
        at: UnixMillis,
    ) -> Result<Vec<DeviceId>, StoreError> {
        let Some(&product) = self.product_keys.get(product_key) else {
            return Err(StoreError::Missing { what: "product", key: product_key.to_owned() });
        };
        let of_product = self.devices.iter().flatten().filter(|row| row.product == product);
        let ids: Vec<DeviceId> = of_product.take(limit).map(|row| row.id).collect();
        for &id in &ids {
            self.delete_device(id, at)?;
        }
        Ok(ids)
    }

    fn delete_product(&mut self, product_key: &str) -> Result<(), StoreError> {
        let Some(&product) = self.product_keys.get(product_key) else {
            return Err(StoreError::Missing { what: "product", key: product_key.to_owned() });
        };
        if self.devices.iter().flatten().any(|row| row.product == product) {
            return Err(StoreError::Conflict(format!("product {product_key} has devices")));
        }
        self.product_keys.remove(product_key);
        self.firmware.forget_product(product_key);
        self.products[product] = None;
        Ok(())
    }

    fn create_device(&mut self, new: NewDevice, at: UnixMillis) -> Result<Device, StoreError> {
        let Some(&product) = self.product_keys.get(&new.product_key) else {
            return Err(StoreError::Missing { what: "product", key: new.product_key });
        };
        let unit = &self.product_of(product).ou;
        let same_key = self.device_keys.get(&*new.device_key).map_or(&[][..], Vec::as_slice);
        if same_key.iter().filter_map(|&id| self.row(id)).any(|row| self.product_of(row.product).ou == *unit)
        {
            return Err(StoreError::Exists { what: "device", key: new.device_key });
        }
        if let quota @ Some(_) = self.quotas(unit).devices {
            let has = self.rows().filter(|row| self.product_of(row.product).ou == *unit).count();
            permit_one_more(Quota::Devices, has as u64, quota)?;
        }
        if !self.assets.insert(new.asset_id.as_str().into()) {
            return Err(StoreError::Exists { what: "asset", key: new.asset_id });
        }
        let id = DeviceId(self.devices.len() as i64 + 1);
        let device_key: Box<str> = new.device_key.into();
        self.device_keys.entry(device_key.clone()).or_default().push(id);
        let mut row = Box::new(DeviceRow {
            id,
            product,
            device_key,
            asset_id: new.asset_id.into(),
            name: new.name.into(),
            secret: new.device_secret,
            life: Life::default(),
            created: at,
            latest: LatestPoints::default(),
            properties: BTreeMap::new(),
            forgets_points: false,
            messages: VecDeque::new(),
            log: DeviceLog::default(),
            presence: VecDeque::new(),
            moved: 0,
            commands: Commands::default(),
        });
        row.note(LogEntry::new(id, at, LogEvent::Created));
        let device = self.shown(&row);
        self.devices.push(Some(row));
        for edit in &new.properties {
            // Checked before: they fit a device that has none.
            let _fits = self.edit_properties(id, at, edit, None)?;
        }
        Ok(device)
    }

    fn rename_device(
        &mut self,
        device: DeviceId,
        name: String,
        at: UnixMillis,
    ) -> Result<Device, StoreError> {
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        row.note(LogEntry::renamed(device, at, &row.name, &name));
        row.name = name.into();
        self.device_by_id(device).ok_or_else(|| missing(device))
    }

    fn set_device_enabled(
        &mut self,
        device: DeviceId,
        enabled: bool,
        at: UnixMillis,
    ) -> Result<Switched, StoreError> {
        // In one step, so that no crash leaves a device online that may not be.
        if !enabled {
            self.presence(device, None, DeviceState::Offline, at, SWITCHED_OFF.to_owned());
        }
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        row.life.enabled = enabled;
        let event = if enabled { LogEvent::Enabled } else { LogEvent::Disabled };
        row.note(LogEntry::new(device, at, event));
        let mut stopped = Vec::new();
        if !enabled {
            let cancelled = row.commands.cancel(None, at);
            self.tell_commands(device, at, &cancelled);
            stopped = self.stop_upgrades(device, at);
        }
        let device = self.device_by_id(device).ok_or_else(|| missing(device))?;
        Ok(Switched { device, stopped })
    }

    fn reset_device(
        &mut self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
    ) -> Result<Switched, StoreError> {
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        if row.life.state != DeviceState::Inactive {
            row.note_presence(at, DeviceState::Inactive, "reset".to_owned());
        }
        row.life.reset();
        let cancelled = row.commands.cancel(None, at);
        let replaced = mem::replace(&mut row.secret, secret);
        row.note(LogEntry::new(device, at, LogEvent::Reset));
        self.tell_commands(device, at, &cancelled);
        let stopped = self.stop_upgrades(device, at);
        self.former.note(device, replaced);
        let device = self.device_by_id(device).ok_or_else(|| missing(device))?;
        Ok(Switched { device, stopped })
    }

    fn rotate_device_secret(
        &mut self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
    ) -> Result<Device, StoreError> {
        // In one step: what its session says of its end is refused from here on.
        self.presence(device, None, DeviceState::Offline, at, SECRET_REPLACED.to_owned());
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        row.life.secret_version += 1;
        let replaced = mem::replace(&mut row.secret, secret);
        row.note(LogEntry::new(device, at, LogEvent::SecretRotated));
        self.former.note(device, replaced);
        self.device_by_id(device).ok_or_else(|| missing(device))
    }

    pub(super) fn delete_device(&mut self, device: DeviceId, at: UnixMillis) -> Result<(), StoreError> {
        let slot = slot(device).and_then(|slot| self.devices.get_mut(slot));
        let row = slot.and_then(mem::take).ok_or_else(|| missing(device))?;
        if let Some(ids) = self.device_keys.get_mut(&row.device_key) {
            ids.retain(|&id| id != device);
            if ids.is_empty() {
                self.device_keys.remove(&row.device_key);
            }
        }
        self.assets.remove(&row.asset_id);
        self.firmware.forget_device(device);
        self.outlive(row.messages.iter().map(|report| report.arrival));
        self.refusals.retain(|(_, entry)| entry.device != Some(device));
        self.former.forget(device);
        let last = row.commands.last_id().filter(|last| may_be_remembered(*last, at));
        self.last_command_of_gone = self.last_command_of_gone.max(last);
        Ok(())
    }
}
