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
    ids::{DeviceId, DeviceName},
    model::{
        credential::CredentialLookup,
        damaged::{DamagedDevice, DamagedProduct},
        device::Device,
        overview::{Overview, OverviewQuery},
        product::Product,
    },
    ports::{
        Batch, Change, Changed, DeviceQuery, History, HistoryPage, Journal, PortFuture, Query, Recovered,
        Registry, SimilarNames, StoreError, Written,
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

impl Journal for MemoryStore {
    fn append(&self, batch: Batch) -> PortFuture<'static, Result<Vec<Written>, StoreError>> {
        self.with(|state| Ok(state.append(batch)))
    }

    fn recover(&self) -> PortFuture<'_, Result<Recovered, StoreError>> {
        self.with(|state| Ok(state.recover()))
    }

    fn close(&self) -> PortFuture<'static, Result<(), StoreError>> {
        let closed = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        let result =
            closed.map(drop).ok_or_else(|| StoreError::Unavailable("the store is closed".to_owned()));
        Box::pin(std::future::ready(result))
    }
}

impl Registry for MemoryStore {
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

    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>> {
        self.with(|state| Ok(state.product(product_key)))
    }

    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>> {
        self.with(|state| Ok(state.products().into_iter().map(Ok).collect()))
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

    fn overview(&self, query: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>> {
        self.with(|state| Ok(state.overview(query)))
    }

    fn change(&self, change: Change) -> PortFuture<'static, Result<Changed, StoreError>> {
        self.with(|state| state.change(change))
    }
}

impl History for MemoryStore {
    fn read(&self, query: Query) -> PortFuture<'_, Result<HistoryPage, StoreError>> {
        self.with(|state| Ok(state.read(query)))
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
