//! What a [`super::MemoryStore`] holds, and every step on it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
};

use narrowgate_platform::{
    ids::{DeviceId, DeviceName, UnixMillis},
    model::{
        credential::{CredentialLookup, Credentials},
        device::{Device, DeviceState, NewDevice},
        log::{LogEntry, LogEvent},
        message::{Message, MessageKind},
        product::Product,
    },
    ports::{
        Batch, Change, Changed, DeviceQuery, Issued, OnlineDevice, PRESENCE_CHANGES_MAX, PresenceChange,
        Recovered, SimilarNames, StoreError, UNKNOWN_REFUSALS_MAX, Write, Written,
    },
    rules::{
        former::FormerSecrets,
        issuing::{IssueCase, NotIssued, clock_hour},
        latest::LatestPoints,
        life::{Life, SWITCHED_OFF},
    },
    secret::Secret,
};

use super::device_log::DeviceLog;

/// Reports that are kept of each device; the oldest arrival goes first. Their points stay in the latest values.
pub const MESSAGES_PER_DEVICE_MAX: usize = 1000;

/// Devices that are looked at for one that is called much like another.
const SIMILAR_LOOKS_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct State {
    /// `None` once deleted, so that indexes stay what they are.
    products: Vec<Option<ProductRow>>,
    /// Index into `products`.
    product_keys: HashMap<String, usize>,
    /// Device `n` at `n - 1`; `None` once deleted, so that no id is used again.
    devices: Vec<Option<Box<DeviceRow>>>,
    /// Devices by key; several units may have one each.
    device_keys: HashMap<Box<str>, Vec<DeviceId>>,
    /// Asset ids of all devices.
    assets: HashSet<Box<str>>,
    /// Refusals of all, oldest first, each with its number.
    pub(super) refusals: VecDeque<(u64, LogEntry)>,
    /// Refusals and reports that were ever written.
    refused: u64,
    reported: u64,
    last_batch: Option<u64>,
    former: FormerSecrets,
}

#[derive(Debug)]
struct ProductRow {
    product: Product,
    /// Clock hour of the last secret issued, and how many were in it.
    issued: (i64, u32),
}

#[derive(Debug)]
pub(super) struct DeviceRow {
    id: DeviceId,
    pub(super) product: usize,
    device_key: Box<str>,
    asset_id: Box<str>,
    name: Box<str>,
    secret: Secret,
    /// `enabled` is the device's own switch here.
    pub(super) life: Life,
    created: UnixMillis,
    pub(super) latest: LatestPoints,
    pub(super) messages: VecDeque<Report>,
    pub(super) log: DeviceLog,
    /// Oldest first, each with its number.
    pub(super) presence: VecDeque<(u64, PresenceChange)>,
    /// Changes of presence that were ever written.
    moved: u64,
}

#[derive(Debug)]
pub(super) struct Report {
    /// The later of two has the greater one.
    pub(super) number: u64,
    pub(super) time: UnixMillis,
    pub(super) arrival: UnixMillis,
    pub(super) points_json: Box<str>,
}

impl State {
    pub(super) fn credentials(&self, product_key: &str, device_key: &str) -> CredentialLookup {
        let Some(&product) = self.product_keys.get(product_key) else {
            return CredentialLookup::ProductUnknown;
        };
        let Some(row) = self.find(product, device_key) else { return CredentialLookup::DeviceUnknown };
        let product = self.product_of(product);
        CredentialLookup::Found(Box::new(Credentials {
            device: row.id,
            asset_id: row.asset_id.to_string(),
            device_secret: row.secret.clone(),
            secret_version: row.life.secret_version,
            device_enabled: row.life.enabled,
            activated: row.life.active_time.is_some(),
            product_secret: product.secret.clone(),
            product_enabled: product.enabled,
            dynamic_activation: product.dynamic_activation.clone(),
        }))
    }

    pub(super) fn former_secrets(&self, device: DeviceId) -> Vec<Secret> {
        self.former.of(device)
    }

    pub(super) fn similar_names(&self, name: &DeviceName) -> SimilarNames {
        let product_key = self.product_keys.keys().find(|key| key.eq_ignore_ascii_case(&name.product_key));
        let mut keys = self.device_keys.iter().take(SIMILAR_LOOKS_MAX);
        let ids = keys.find(|(key, _)| key.eq_ignore_ascii_case(&name.device_key)).map(|(_, ids)| ids);
        let device = ids.and_then(|ids| self.row(*ids.first()?)).map(|row| DeviceName {
            product_key: self.product_of(row.product).product_key.clone(),
            device_key: row.device_key.to_string(),
        });
        SimilarNames { product_key: product_key.cloned(), device }
    }

    pub(super) fn append(&mut self, batch: Batch) -> Vec<Written> {
        self.last_batch = Some(batch.number);
        batch.writes.into_iter().map(|write| self.write(write)).collect()
    }

    pub(super) fn recover(&self) -> Recovered {
        let online = self.rows().filter(|row| row.life.state == DeviceState::Online);
        let online = online
            .map(|row| OnlineDevice { device: row.id, lifetime_s: row.life.lifetime_s.unwrap_or_default() })
            .collect();
        Recovered { online, last_batch: self.last_batch, epoch: 0 }
    }

    fn write(&mut self, write: Write) -> Written {
        match write {
            Write::Message(message) => self.message(message),
            Write::Login { device, at, lifetime_s, secret_version, peer } => {
                self.login(device, at, lifetime_s, secret_version, peer)
            }
            Write::Presence { device, state, at, cause } => self.presence(device, state, at, cause),
            Write::Seen { device, at } => match self.row_mut(device) {
                Some(row) => {
                    row.life.last_seen_time = row.life.last_seen_time.max(Some(at));
                    Written::Done
                }
                None => Written::DeviceUnavailable,
            },
            Write::Log(entry) => self.log(entry),
            Write::IssueSecret { device, secret, at, peer } => {
                Written::Issue(self.issue_secret(device, secret, at, peer))
            }
        }
    }

    pub(super) fn change(&mut self, change: Change) -> Result<Changed, StoreError> {
        let device = |device| Changed::Device(Box::new(device));
        match change {
            Change::CreateProduct(product) => self.create_product(product).map(|()| Changed::Done),
            Change::UpdateProduct(product) => self.update_product(product).map(|()| Changed::Done),
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
                self.set_device_enabled(id, enabled, at).map(device)
            }
            Change::ResetDevice { device: id, secret, at } => self.reset_device(id, secret, at).map(device),
            Change::DeleteDevice { device, at } => self.delete_device(device, at).map(|()| Changed::Done),
            Change::NoteSecretShown { device, at, detail } => {
                let row = self.row_mut(device).ok_or_else(|| missing(device))?;
                row.note(LogEntry { detail, ..LogEntry::new(device, at, LogEvent::SecretShown) });
                Ok(Changed::Done)
            }
        }
    }

    fn message(&mut self, message: Message) -> Written {
        let number = self.reported;
        self.reported += 1;
        let Some(row) = self.enabled_row_mut(message.device) else { return Written::DeviceUnavailable };
        if message.kind == MessageKind::Points {
            row.latest.report(&message.points_json, message.time);
        }
        row.life.last_seen_time = row.life.last_seen_time.max(Some(message.arrival));
        let Message { time, arrival, points_json, .. } = message;
        let report = Report { number, time, arrival, points_json };
        push_bounded(&mut row.messages, report, MESSAGES_PER_DEVICE_MAX);
        Written::Done
    }

    fn login(
        &mut self,
        device: DeviceId,
        at: UnixMillis,
        lifetime_s: u32,
        secret_version: u32,
        peer: String,
    ) -> Written {
        let Some(row) = self.enabled_row_mut(device) else { return Written::DeviceUnavailable };
        let step = match row.life.login(at, lifetime_s, secret_version) {
            Ok(step) => step,
            Err(refused) => return refused,
        };
        if step.came_online {
            row.note_presence(at, DeviceState::Online, "login".to_owned());
        }
        if step.activated {
            row.note(LogEntry { peer: Some(peer.clone()), ..LogEntry::new(device, at, LogEvent::Activated) });
        }
        row.note(LogEntry { peer: Some(peer), ..LogEntry::new(device, at, LogEvent::Login) });
        if step.activated { Written::Activated } else { Written::Done }
    }

    fn presence(&mut self, device: DeviceId, state: DeviceState, at: UnixMillis, cause: String) -> Written {
        let product_enabled = self.enabled_row_mut(device).is_some();
        let Some(row) = self.row_mut(device) else { return Written::DeviceUnavailable };
        let mut life = Life { enabled: product_enabled, ..row.life };
        match life.presence(state, at) {
            Ok(false) => return Written::Unchanged,
            Ok(true) => {}
            Err(refused) => return refused,
        }
        row.life = Life { enabled: row.life.enabled, ..life };
        let event = if state == DeviceState::Online { LogEvent::Online } else { LogEvent::Offline };
        row.note(LogEntry { detail: Some(cause.clone()), ..LogEntry::new(device, at, event) });
        row.note_presence(at, state, cause);
        Written::Done
    }

    fn log(&mut self, entry: LogEntry) -> Written {
        if let Some(device) = entry.device
            && self.row_mut(device).is_none()
        {
            return Written::DeviceUnavailable;
        }
        self.note(entry);
        Written::Done
    }

    /// Files an entry with its device, and with the refusals if it is one.
    fn note(&mut self, entry: LogEntry) {
        if entry.event == LogEvent::Refused {
            push_bounded(&mut self.refusals, (self.refused, entry.clone()), UNKNOWN_REFUSALS_MAX);
            self.refused += 1;
        }
        if let Some(row) = entry.device.and_then(|device| self.row_mut(device)) {
            row.note(entry);
        }
    }

    fn issue_secret(&mut self, device: DeviceId, secret: Secret, at: UnixMillis, peer: String) -> Issued {
        let Some(row) = slot(device).and_then(|slot| self.devices.get_mut(slot)?.as_deref_mut()) else {
            return Issued::Refused(NotIssued::DeviceUnavailable);
        };
        let Some(ProductRow { product, issued }) = &mut self.products[row.product] else {
            return Issued::Refused(NotIssued::DeviceUnavailable);
        };
        let hour = clock_hour(at);
        let issued_this_hour = if issued.0 == hour { issued.1 } else { 0 };
        let case = IssueCase {
            device_enabled: row.life.enabled,
            product_enabled: product.enabled,
            activated: row.life.active_time.is_some(),
            dynamic_activation: &product.dynamic_activation,
            issued_this_hour,
            at,
        };
        if let Err(why) = case.permit() {
            self.note(LogEntry::refused(device, at, peer, why.refusal()));
            return Issued::Refused(why);
        }
        *issued = (hour, issued_this_hour + 1);
        self.former.note(device, mem::replace(&mut row.secret, secret));
        row.life.secret_version += 1;
        row.note(LogEntry { peer: Some(peer), ..LogEntry::new(device, at, LogEvent::SecretIssued) });
        Issued::Done
    }

    fn create_product(&mut self, product: Product) -> Result<(), StoreError> {
        if self.product_keys.contains_key(&product.product_key) {
            return Err(StoreError::Exists { what: "product", key: product.product_key });
        }
        self.product_keys.insert(product.product_key.clone(), self.products.len());
        self.products.push(Some(ProductRow { product, issued: (0, 0) }));
        Ok(())
    }

    fn update_product(&mut self, product: Product) -> Result<(), StoreError> {
        let index = self.product_keys.get(&product.product_key);
        let Some(row) = index.and_then(|&index| self.products[index].as_mut()) else {
            return Err(StoreError::Missing { what: "product", key: product.product_key });
        };
        let kept = &mut row.product;
        kept.name = product.name;
        kept.dynamic_activation = product.dynamic_activation;
        kept.enabled = product.enabled;
        kept.model_json = product.model_json;
        Ok(())
    }

    pub(super) fn product(&self, product_key: &str) -> Option<Product> {
        self.product_keys.get(product_key).map(|&index| self.product_of(index).clone())
    }

    pub(super) fn products(&self) -> Vec<Product> {
        self.products.iter().flatten().map(|row| row.product.clone()).collect()
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
            messages: VecDeque::new(),
            log: DeviceLog::default(),
            presence: VecDeque::new(),
            moved: 0,
        });
        row.note(LogEntry::new(id, at, LogEvent::Created));
        let device = self.shown(&row);
        self.devices.push(Some(row));
        Ok(device)
    }

    pub(super) fn device(&self, name: &DeviceName) -> Option<Device> {
        let product = *self.product_keys.get(&name.product_key)?;
        self.find(product, &name.device_key).map(|row| self.shown(row))
    }

    pub(super) fn device_by_id(&self, device: DeviceId) -> Option<Device> {
        self.row(device).map(|row| self.shown(row))
    }

    pub(super) fn devices(&self, query: &DeviceQuery) -> Vec<Device> {
        let product = match &query.product_key {
            Some(key) => match self.product_keys.get(key) {
                Some(&product) => Some(product),
                None => return Vec::new(),
            },
            None => None,
        };
        let first =
            query.after.map_or(0, |after| usize::try_from(after.0).unwrap_or(0)).min(self.devices.len());
        let rows = self.devices[first..].iter().flatten().filter(|row| {
            product.is_none_or(|product| row.product == product)
                && query.device_key.as_deref().is_none_or(|key| *row.device_key == *key)
                && query.asset_id.as_deref().is_none_or(|asset_id| *row.asset_id == *asset_id)
                && query.state.is_none_or(|state| row.life.state == state)
                && query.disabled.is_none_or(|disabled| row.life.enabled != disabled)
        });
        rows.take(query.limit).map(|row| self.shown(row)).collect()
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
    ) -> Result<Device, StoreError> {
        // In one step, so that no crash leaves a device online that may not be.
        if !enabled {
            self.presence(device, DeviceState::Offline, at, SWITCHED_OFF.to_owned());
        }
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        row.life.enabled = enabled;
        let event = if enabled { LogEvent::Enabled } else { LogEvent::Disabled };
        row.note(LogEntry::new(device, at, event));
        self.device_by_id(device).ok_or_else(|| missing(device))
    }

    fn reset_device(
        &mut self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
    ) -> Result<Device, StoreError> {
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        if row.life.state != DeviceState::Inactive {
            row.note_presence(at, DeviceState::Inactive, "reset".to_owned());
        }
        row.life.reset();
        let replaced = mem::replace(&mut row.secret, secret);
        row.note(LogEntry::new(device, at, LogEvent::Reset));
        self.former.note(device, replaced);
        self.device_by_id(device).ok_or_else(|| missing(device))
    }

    fn delete_device(&mut self, device: DeviceId, at: UnixMillis) -> Result<(), StoreError> {
        let slot = slot(device).and_then(|slot| self.devices.get_mut(slot));
        let row = slot.and_then(mem::take).ok_or_else(|| missing(device))?;
        if let Some(ids) = self.device_keys.get_mut(&row.device_key) {
            ids.retain(|&id| id != device);
            if ids.is_empty() {
                self.device_keys.remove(&row.device_key);
            }
        }
        self.assets.remove(&row.asset_id);
        self.refusals.retain(|(_, entry)| entry.device != Some(device));
        self.former.forget(device);
        let product_key = &self.product_of(row.product).product_key;
        tracing::info!(product_key, device_key = &*row.device_key, at = at.0, "device deleted");
        Ok(())
    }

    /// Devices that are there.
    pub(super) fn rows(&self) -> impl Iterator<Item = &DeviceRow> {
        self.devices.iter().flatten().map(|row| &**row)
    }

    /// Products that are there, by their index.
    pub(super) fn products_by_index(&self) -> impl Iterator<Item = (usize, &Product)> {
        let rows = self.products.iter().enumerate();
        rows.filter_map(|(index, row)| Some((index, &row.as_ref()?.product)))
    }

    pub(super) fn row(&self, device: DeviceId) -> Option<&DeviceRow> {
        self.devices.get(slot(device)?)?.as_deref()
    }

    fn row_mut(&mut self, device: DeviceId) -> Option<&mut DeviceRow> {
        self.devices.get_mut(slot(device)?)?.as_deref_mut()
    }

    /// The device, if its own switch and its product's are on.
    fn enabled_row_mut(&mut self, device: DeviceId) -> Option<&mut DeviceRow> {
        let row = self.devices.get_mut(slot(device)?)?.as_deref_mut()?;
        let product = self.products[row.product].as_ref()?;
        (row.life.enabled && product.product.enabled).then_some(row)
    }

    /// The product of a device or of a key: it stays as long as either does.
    fn product_of(&self, index: usize) -> &Product {
        &self.products[index].as_ref().expect("a product that has a key or a device is there").product
    }

    fn find(&self, product: usize, device_key: &str) -> Option<&DeviceRow> {
        let ids = self.device_keys.get(device_key)?;
        ids.iter().filter_map(|&id| self.row(id)).find(|row| row.product == product)
    }

    fn shown(&self, row: &DeviceRow) -> Device {
        let product = self.product_of(row.product);
        Device {
            id: row.id,
            ou: product.ou.clone(),
            product_key: product.product_key.clone(),
            device_key: row.device_key.to_string(),
            asset_id: row.asset_id.to_string(),
            name: row.name.to_string(),
            enabled: row.life.enabled,
            state: row.life.state,
            created: row.created,
            active_time: row.life.active_time,
            last_online_time: row.life.last_online_time,
            last_offline_time: row.life.last_offline_time,
            last_seen_time: row.life.last_seen_time,
            lifetime_s: row.life.lifetime_s,
        }
    }
}

impl DeviceRow {
    fn note(&mut self, entry: LogEntry) {
        self.log.push(entry);
    }

    fn note_presence(&mut self, at: UnixMillis, state: DeviceState, cause: String) {
        let change = PresenceChange { at, state, cause };
        push_bounded(&mut self.presence, (self.moved, change), PRESENCE_CHANGES_MAX);
        self.moved += 1;
    }
}

fn slot(device: DeviceId) -> Option<usize> {
    usize::try_from(device.0).ok()?.checked_sub(1)
}

fn missing(device: DeviceId) -> StoreError {
    StoreError::Missing { what: "device", key: device.0.to_string() }
}

/// Adds to the end; the oldest goes where there would be more than `max`.
pub(super) fn push_bounded<T>(list: &mut VecDeque<T>, item: T, max: usize) {
    if list.len() >= max {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrowgate_platform::{
        ports::{HistoryQuery, HistoryReads as _},
        testing::{
            block_on,
            store::fixtures::{append, at, history, one_device, report},
        },
    };

    #[test]
    fn reports_beyond_the_limit_push_out_the_oldest_and_leave_the_latest_values() {
        let store = crate::memory::MemoryStore::default();
        let id = one_device(&store, "dk-1");
        append(&store, vec![report(id, at(0), r#"{"first":0}"#)]);
        let count = MESSAGES_PER_DEVICE_MAX as i64;
        append(&store, (1..=count).map(|n| report(id, at(n), &format!(r#"{{"n":{n}}}"#))).collect());
        let query = HistoryQuery { limit: usize::MAX, ..HistoryQuery::default() };
        let kept = history(&store, id, query);
        assert_eq!(kept.len(), MESSAGES_PER_DEVICE_MAX);
        assert!(kept.iter().all(|value| value.point == "n"));
        assert_eq!(block_on(store.points_latest(id)).unwrap().items.len(), 2);
    }
}
