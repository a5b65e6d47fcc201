//! A store for the registry's own tests: vectors behind a lock, without the data path's verbs.

use std::{
    future::ready,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{NewProduct, Operator};
use crate::{
    ids::{DEFAULT_OU, DeviceId, DeviceName, UnixMillis},
    model::{
        credential::{CredentialLookup, Credentials},
        damaged::{DamagedDevice, DamagedProduct},
        device::{Device, DeviceState, NewDevice},
        log::{LogEntry, LogEvent},
        overview::{Overview, OverviewQuery},
        product::Product,
    },
    paging::{Collector, Page, Part, Place},
    ports::{
        self, Batch, Change, Changed, DeviceQuery, History, HistoryPage, Journal, PortFuture, Query,
        Recovered, SimilarNames, StoreError, Write, Written,
    },
    secret::Secret,
    testing::{ManualClock, SeededEntropy, block_on},
};

/// When the tests begin.
pub(super) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

pub(super) fn operator_and_clock() -> (Operator, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW));
    (Operator::new(Arc::new(FakeStore::default()), clock.clone(), Arc::new(SeededEntropy::new(1))), clock)
}

pub(super) fn operator() -> Operator {
    operator_and_clock().0
}

/// With the product `pk`, whose secret is one of the protocol's examples.
pub(super) fn operator_with_product() -> Operator {
    operator_with_product_and_store().0
}

/// Also the store, to make it fail.
pub(super) fn operator_with_product_and_store() -> (Operator, Arc<FakeStore>) {
    let store = Arc::new(FakeStore::default());
    let clock = Arc::new(ManualClock::new(NOW));
    let operator = Operator::new(store.clone(), clock, Arc::new(SeededEntropy::new(1)));
    let product = NewProduct {
        name: "meters".into(),
        product_key: Some("pk".into()),
        product_secret: Some(Secret::new("c3PW03srd6c".into())),
        ..NewProduct::default()
    };
    block_on(operator.create_product(product)).expect("it is valid");
    (operator, store)
}

#[derive(Default)]
pub(super) struct FakeStore(Mutex<State>);

#[derive(Default)]
struct State {
    products: Vec<Product>,
    devices: Vec<(Device, Secret)>,
    next_id: i64,
    log: Vec<LogEntry>,
    /// Deletions for products that work before all fail; `None`: all work.
    deletions_left: Option<u32>,
}

impl FakeStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    /// After so many more deletions for products, each of them fails.
    pub(super) fn fail_after(&self, deletions: u32) {
        self.state().deletions_left = Some(deletions);
    }
}

impl State {
    fn pass_deletion(&mut self) -> Result<(), StoreError> {
        match &mut self.deletions_left {
            Some(0) => Err(StoreError::Unavailable("no".to_owned())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn create(&mut self, new: NewDevice, at: UnixMillis) -> Result<Device, StoreError> {
        if self.devices.iter().any(|(device, _)| device.device_key == new.device_key) {
            return Err(StoreError::Exists { what: "device", key: new.device_key });
        }
        if self.devices.iter().any(|(device, _)| device.asset_id == new.asset_id) {
            return Err(StoreError::Exists { what: "asset", key: new.asset_id });
        }
        self.next_id += 1;
        let device = Device {
            id: DeviceId(self.next_id),
            ou: DEFAULT_OU.to_owned(),
            product_key: new.product_key,
            device_key: new.device_key,
            asset_id: new.asset_id,
            name: new.name,
            enabled: true,
            state: DeviceState::Inactive,
            created: at,
            active_time: None,
            last_online_time: None,
            last_offline_time: None,
            last_seen_time: None,
            lifetime_s: None,
        };
        self.devices.push((device.clone(), new.device_secret));
        Ok(device)
    }

    fn entries(&self, part: Part, is_wanted: impl Fn(&LogEntry) -> bool) -> Page<LogEntry> {
        let mut page = Collector::new(part.limit);
        for (number, entry) in self.log.iter().enumerate().rev() {
            let place = Place([number as i64; 4]);
            let follows = part.after.is_none_or(|after| place.0[0] < after.0[0]);
            if follows && is_wanted(entry) && !page.take(place, entry.clone()) {
                break;
            }
        }
        page.finish()
    }

    fn at(&mut self, id: DeviceId) -> Result<&mut (Device, Secret), StoreError> {
        let missing = StoreError::Missing { what: "device", key: id.0.to_string() };
        self.devices.iter_mut().find(|(device, _)| device.id == id).ok_or(missing)
    }
}

fn done<'a, T: Send + 'a>(value: T) -> PortFuture<'a, T> {
    Box::pin(ready(value))
}

impl FakeStore {
    fn create_product(&self, product: Product) -> PortFuture<'static, Result<(), StoreError>> {
        let mut state = self.state();
        if state.products.iter().any(|other| other.product_key == product.product_key) {
            return done(Err(StoreError::Exists { what: "product", key: product.product_key }));
        }
        state.products.push(product);
        done(Ok(()))
    }

    fn update_product(&self, product: Product) -> PortFuture<'static, Result<(), StoreError>> {
        let mut state = self.state();
        let kept = state.products.iter_mut().find(|other| other.product_key == product.product_key);
        *kept.expect("the registry looked for it") = product;
        done(Ok(()))
    }

    fn delete_devices_of(
        &self,
        product_key: String,
        limit: usize,
        _: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<DeviceId>, StoreError>> {
        let mut state = self.state();
        if let Err(error) = state.pass_deletion() {
            return done(Err(error));
        }
        let of_product = state.devices.iter().filter(|(device, _)| device.product_key == product_key);
        let ids: Vec<DeviceId> = of_product.map(|(device, _)| device.id).take(limit).collect();
        state.devices.retain(|(device, _)| !ids.contains(&device.id));
        done(Ok(ids))
    }

    fn delete_product(&self, product_key: String) -> PortFuture<'static, Result<(), StoreError>> {
        let mut state = self.state();
        if let Err(error) = state.pass_deletion() {
            return done(Err(error));
        }
        if state.devices.iter().any(|(device, _)| device.product_key == product_key) {
            return done(Err(StoreError::Conflict(format!("product {product_key} has devices"))));
        }
        let count = state.products.len();
        state.products.retain(|product| product.product_key != product_key);
        let gone = state.products.len() < count;
        done(gone.then_some(()).ok_or(StoreError::Missing { what: "product", key: product_key }))
    }

    fn create_devices(
        &self,
        devices: Vec<NewDevice>,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<Result<Device, StoreError>>, StoreError>> {
        let mut state = self.state();
        done(Ok(devices.into_iter().map(|new| state.create(new, at)).collect()))
    }

    fn rename_device(
        &self,
        device: DeviceId,
        name: String,
        _: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        done(self.state().at(device).map(|(device, _)| {
            device.name = name;
            device.clone()
        }))
    }

    fn set_device_enabled(
        &self,
        device: DeviceId,
        enabled: bool,
        _: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        done(self.state().at(device).map(|(device, _)| {
            device.enabled = enabled;
            device.clone()
        }))
    }

    fn reset_device(
        &self,
        device: DeviceId,
        new: Secret,
        _: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        done(self.state().at(device).map(|(device, secret)| {
            *secret = new;
            device.clone()
        }))
    }

    fn delete_device(&self, device: DeviceId, _: UnixMillis) -> PortFuture<'static, Result<(), StoreError>> {
        let mut state = self.state();
        let exists = state.at(device).map(|_| ());
        state.devices.retain(|(other, _)| other.id != device);
        done(exists)
    }
}

impl Journal for FakeStore {
    fn append(&self, batch: Batch) -> PortFuture<'static, Result<Vec<Written>, StoreError>> {
        let written = batch.writes.into_iter().map(|write| match write {
            Write::Log(entry) => {
                self.state().log.push(entry);
                Written::Done
            }
            other => panic!("the tests write only log entries: {other:?}"),
        });
        done(Ok(written.collect()))
    }

    fn recover(&self) -> PortFuture<'_, Result<Recovered, StoreError>> {
        panic!("the registry does not recover")
    }

    fn close(&self) -> PortFuture<'static, Result<(), StoreError>> {
        done(Ok(()))
    }
}

impl ports::Registry for FakeStore {
    fn credentials<'a>(
        &'a self,
        product_key: &'a str,
        device_key: &'a str,
    ) -> PortFuture<'a, Result<CredentialLookup, StoreError>> {
        let state = self.state();
        let Some(product) = state.products.iter().find(|product| product.product_key == product_key) else {
            return done(Ok(CredentialLookup::ProductUnknown));
        };
        let found = state
            .devices
            .iter()
            .find(|(device, _)| device.product_key == product_key && device.device_key == device_key);
        let Some((device, secret)) = found else { return done(Ok(CredentialLookup::DeviceUnknown)) };
        done(Ok(CredentialLookup::Found(Box::new(Credentials {
            device: device.id,
            asset_id: device.asset_id.clone(),
            device_secret: secret.clone(),
            secret_version: 1,
            device_enabled: device.enabled,
            activated: false,
            product_secret: product.secret.clone(),
            product_enabled: product.enabled,
            dynamic_activation: product.dynamic_activation.clone(),
        }))))
    }

    fn former_secrets(&self, _: DeviceId) -> PortFuture<'_, Result<Vec<Secret>, StoreError>> {
        done(Ok(Vec::new()))
    }

    fn similar_names<'a>(&'a self, _: &'a DeviceName) -> PortFuture<'a, Result<SimilarNames, StoreError>> {
        done(Ok(SimilarNames::default()))
    }

    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>> {
        done(Ok(self.state().products.iter().find(|product| product.product_key == product_key).cloned()))
    }

    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>> {
        done(Ok(self.state().products.iter().cloned().map(Ok).collect()))
    }

    fn device<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<Option<Device>, StoreError>> {
        let state = self.state();
        let mut devices = state.devices.iter().map(|(device, _)| device);
        let is_it =
            |device: &&Device| device.product_key == name.product_key && device.device_key == name.device_key;
        done(Ok(devices.find(is_it).cloned()))
    }

    fn device_by_id(&self, device: DeviceId) -> PortFuture<'_, Result<Option<Device>, StoreError>> {
        done(Ok(self.state().at(device).ok().map(|(device, _)| device.clone())))
    }

    fn devices(
        &self,
        query: DeviceQuery,
    ) -> PortFuture<'_, Result<Vec<Result<Device, DamagedDevice>>, StoreError>> {
        let state = self.state();
        let is_wanted = |device: &&Device| {
            query.product_key.as_ref().is_none_or(|product_key| device.product_key == *product_key)
                && query.device_key.as_ref().is_none_or(|device_key| device.device_key == *device_key)
                && query.asset_id.as_ref().is_none_or(|asset_id| device.asset_id == *asset_id)
                && query.state.is_none_or(|state| device.state == state)
                && query.disabled.is_none_or(|disabled| device.enabled != disabled)
                && query.after.is_none_or(|after| device.id > after)
        };
        let devices = state.devices.iter().map(|(device, _)| device);
        done(Ok(devices.filter(is_wanted).take(query.limit).cloned().map(Ok).collect()))
    }

    fn overview(&self, _: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>> {
        done(Ok(Overview::default()))
    }

    fn change(&self, change: Change) -> PortFuture<'static, Result<Changed, StoreError>> {
        let result = match change {
            Change::CreateProduct(product) => block_on(self.create_product(product)).map(|()| Changed::Done),
            Change::UpdateProduct(product) => block_on(self.update_product(product)).map(|()| Changed::Done),
            Change::DeleteProduct { product_key } => {
                block_on(self.delete_product(product_key)).map(|()| Changed::Done)
            }
            Change::DeleteDevicesOf { product_key, limit, at } => {
                block_on(self.delete_devices_of(product_key, limit, at)).map(Changed::Deleted)
            }
            Change::CreateDevices { devices, at } => {
                block_on(self.create_devices(devices, at)).map(Changed::Created)
            }
            Change::RenameDevice { device, name, at } => {
                block_on(self.rename_device(device, name, at)).map(Box::new).map(Changed::Device)
            }
            Change::SetDeviceEnabled { device, enabled, at } => {
                block_on(self.set_device_enabled(device, enabled, at)).map(Box::new).map(Changed::Device)
            }
            Change::ResetDevice { device, secret, at } => {
                block_on(self.reset_device(device, secret, at)).map(Box::new).map(Changed::Device)
            }
            Change::DeleteDevice { device, at } => {
                block_on(self.delete_device(device, at)).map(|()| Changed::Done)
            }
            Change::NoteSecretShown { device, at, detail } => {
                let mut state = self.state();
                state.at(device).map(|_| ()).map(|()| {
                    let device = Some(device);
                    state.log.push(LogEntry {
                        time: at,
                        device,
                        identity: None,
                        event: LogEvent::SecretShown,
                        reason: None,
                        code: None,
                        peer: None,
                        detail,
                    });
                    Changed::Done
                })
            }
        };
        done(result)
    }
}

impl History for FakeStore {
    fn read(&self, query: Query) -> PortFuture<'_, Result<HistoryPage, StoreError>> {
        done(Ok(match query {
            Query::PointsLatest { .. } | Query::PointsHistory { .. } => HistoryPage::Points(Page::empty()),
            Query::DeviceLog { device, part } => {
                HistoryPage::Entries(self.state().entries(part, |entry| entry.device == Some(device)))
            }
            Query::Refusals { part } => {
                HistoryPage::Entries(self.state().entries(part, |entry| entry.event == LogEvent::Refused))
            }
            Query::Presence { .. } => HistoryPage::Presence(Page::empty()),
        }))
    }
}
