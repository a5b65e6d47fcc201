//! A store in the process's memory: for tests, for benchmarks, and for `store.kind = "memory"`.
//!
//! Everything is lost at the end of the process. Per device it keeps the newest [`MESSAGES_PER_DEVICE_MAX`]
//! reports and the port's default numbers of log entries and presence changes; of refusals the newest of all
//! devices together.
//!
//! One lock, held for a batch; every step on the data path is O(1) in the number of devices.

mod device_log;
mod pages;
mod state;

use std::sync::{Mutex, PoisonError};

use narrowgate_platform::{
    ids::{DeviceId, DeviceName, UnixMillis},
    model::{
        credential::CredentialLookup,
        damaged::{DamagedDevice, DamagedProduct},
        device::{Device, NewDevice},
        log::LogEntry,
        message::PointValue,
        overview::{Overview, OverviewQuery},
        product::Product,
    },
    paging::{Page, Part},
    ports::{
        DeviceQuery, HistoryQuery, Issued, OnlineDevice, PortFuture, PresenceChange, SimilarNames, Store,
        StoreError, Write, Written,
    },
    secret::Secret,
};

pub use self::state::MESSAGES_PER_DEVICE_MAX;
use self::state::State;

/// The store. `Default` is an empty one.
#[derive(Debug)]
pub struct MemoryStore {
    /// `None` once closed.
    state: Mutex<Option<State>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { state: Mutex::new(Some(State::default())) }
    }
}

impl MemoryStore {
    /// Runs `job` under the lock and gives its result as a future that is ready.
    fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> PortFuture<'static, Result<T, StoreError>> {
        // A panic under the lock cannot leave a state worse than a batch cut short; reads stay possible.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match state.as_mut() {
            Some(state) => job(state),
            None => Err(StoreError::Unavailable("the store is closed".to_owned())),
        };
        Box::pin(std::future::ready(result))
    }
}

impl Store for MemoryStore {
    fn credentials<'a>(
        &'a self,
        product_key: &'a str,
        device_key: &'a str,
    ) -> PortFuture<'a, Result<CredentialLookup, StoreError>> {
        self.with(|state| Ok(state.credentials(product_key, device_key)))
    }

    fn former_secrets(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Secret>, StoreError>> {
        self.with(|state| Ok(state.former_secrets(device)))
    }

    fn similar_names<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<SimilarNames, StoreError>> {
        self.with(|state| Ok(state.similar_names(name)))
    }

    fn append(&self, batch: Vec<Write>) -> PortFuture<'static, Result<Vec<Written>, StoreError>> {
        self.with(|state| Ok(batch.into_iter().map(|write| state.write(write)).collect()))
    }

    fn issue_secret(
        &self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
        peer: String,
    ) -> PortFuture<'static, Result<Issued, StoreError>> {
        self.with(|state| Ok(state.issue_secret(device, secret, at, peer)))
    }

    fn create_product(&self, product: Product) -> PortFuture<'static, Result<(), StoreError>> {
        self.with(|state| state.create_product(product))
    }

    fn update_product(&self, product: Product) -> PortFuture<'static, Result<(), StoreError>> {
        self.with(|state| state.update_product(product))
    }

    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>> {
        self.with(|state| Ok(state.product(product_key)))
    }

    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>> {
        self.with(|state| Ok(state.products().into_iter().map(Ok).collect()))
    }

    fn delete_devices_of(
        &self,
        product_key: String,
        limit: usize,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<DeviceId>, StoreError>> {
        self.with(|state| state.delete_devices_of(&product_key, limit, at))
    }

    fn delete_product(&self, product_key: String) -> PortFuture<'static, Result<(), StoreError>> {
        self.with(|state| state.delete_product(&product_key))
    }

    fn create_devices(
        &self,
        devices: Vec<NewDevice>,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<Result<Device, StoreError>>, StoreError>> {
        self.with(|state| Ok(devices.into_iter().map(|device| state.create_device(device, at)).collect()))
    }

    fn device<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<Option<Device>, StoreError>> {
        self.with(|state| Ok(state.device(name)))
    }

    fn device_by_id(&self, device: DeviceId) -> PortFuture<'_, Result<Option<Device>, StoreError>> {
        self.with(|state| Ok(state.device_by_id(device)))
    }

    fn devices(
        &self,
        query: DeviceQuery,
    ) -> PortFuture<'_, Result<Vec<Result<Device, DamagedDevice>>, StoreError>> {
        self.with(|state| Ok(state.devices(&query).into_iter().map(Ok).collect()))
    }

    fn rename_device(
        &self,
        device: DeviceId,
        name: String,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        self.with(|state| state.rename_device(device, name, at))
    }

    fn set_device_enabled(
        &self,
        device: DeviceId,
        enabled: bool,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        self.with(|state| state.set_device_enabled(device, enabled, at))
    }

    fn reset_device(
        &self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        self.with(|state| state.reset_device(device, secret, at))
    }

    fn delete_device(&self, device: DeviceId, at: UnixMillis) -> PortFuture<'static, Result<(), StoreError>> {
        self.with(|state| state.delete_device(device, at))
    }

    fn points_latest(&self, device: DeviceId) -> PortFuture<'_, Result<Page<PointValue>, StoreError>> {
        self.with(|state| Ok(Page { items: state.points_latest(device), ..Page::empty() }))
    }

    fn points_history(
        &self,
        device: DeviceId,
        query: HistoryQuery,
    ) -> PortFuture<'_, Result<Page<PointValue>, StoreError>> {
        self.with(|state| Ok(state.points_history(device, &query)))
    }

    fn device_log(&self, device: DeviceId, part: Part) -> PortFuture<'_, Result<Page<LogEntry>, StoreError>> {
        self.with(|state| Ok(state.device_log(device, part)))
    }

    fn refusals(&self, part: Part) -> PortFuture<'_, Result<Page<LogEntry>, StoreError>> {
        self.with(|state| Ok(state.refusals(part)))
    }

    fn presence_history(
        &self,
        device: DeviceId,
        limit: usize,
    ) -> PortFuture<'_, Result<Vec<PresenceChange>, StoreError>> {
        self.with(|state| Ok(state.presence_history(device, limit)))
    }

    fn online_devices(&self) -> PortFuture<'_, Result<Vec<OnlineDevice>, StoreError>> {
        self.with(|state| Ok(state.online_devices()))
    }

    fn overview(&self, query: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>> {
        self.with(|state| Ok(state.overview(query)))
    }

    fn close(&self) -> PortFuture<'static, Result<(), StoreError>> {
        let closed = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        let result =
            closed.map(drop).ok_or_else(|| StoreError::Unavailable("the store is closed".to_owned()));
        Box::pin(std::future::ready(result))
    }
}

#[cfg(test)]
mod conformance {
    use std::sync::Arc;

    use narrowgate_platform::{ports::Store, store_conformance};

    use super::MemoryStore;

    fn make() -> (Arc<dyn Store>, ()) {
        (Arc::new(MemoryStore::default()), ())
    }

    store_conformance!(make);
}
