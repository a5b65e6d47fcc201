//! A store in the process's memory: the reference that every other store is compared with, and a store for
//! tests, for benchmarks, and for `store.kind = "memory"`. [`Model`] is what it holds; [`MemoryStore`] makes
//! ports of it.
//!
//! Everything is lost at the end of the process. Per device it keeps the newest [`MESSAGES_PER_DEVICE_MAX`]
//! reports and the port's default numbers of log entries and presence changes; of refusals the newest of all
//! devices together.
//!
//! One lock, held for a batch; every step on the data path is O(1) in the number of devices.

mod access;
mod audit;
mod changes;
mod commands;
mod device_log;
mod find;
mod firmware;
mod images;
mod model;
mod model_versions;
mod pages;
mod product_scripts;
mod properties;
mod purge;
mod rates;
mod replay;
mod scripts;
mod search;
mod stream;
mod users;

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    ids::{DeviceId, DeviceName},
    model::{
        command::{Command, CommandId},
        credential::CredentialLookup,
        damaged::{DamagedDevice, DamagedProduct},
        device::Device,
        overview::{Overview, OverviewQuery},
        product::Product,
        property::{Properties, PropertyKind},
        rates::{RatesFound, RatesQuery},
    },
    paging::Page,
    ports::{
        AccessFound, AccessQuery, Batch, Change, Changed, Committed, DeviceQuery, DeviceSearch, DevicesFound,
        FirmwareFound, FirmwareQuery, History, HistoryPage, Journal, PortFuture, Query, Recovered, Registry,
        SimilarNames, StoreError,
    },
    rules::{
        models::{ModelVersion, VersionedModel},
        scripts::{ProductScript, ScriptVersion, VersionedScript},
    },
    secret::Secret,
};

pub use self::{
    audit::MemoryAudit,
    images::MemoryImages,
    model::{MESSAGES_PER_DEVICE_MAX, Model},
    scripts::PlainScripts,
};

/// The store. `Default` is an empty one with the default limits.
#[derive(Debug)]
pub struct MemoryStore {
    /// `None` once closed.
    model: Mutex<Option<Model>>,
    are_counts_damaged: AtomicBool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { model: Mutex::new(Some(Model::default())), are_counts_damaged: AtomicBool::new(false) }
    }
}

impl MemoryStore {
    /// An empty store in which a device may have so many commands that have not ended.
    #[must_use]
    pub fn with_open_commands_max(open_max: usize) -> Self {
        Self { model: Mutex::new(Some(Model::with_open_commands_max(open_max))), ..Self::default() }
    }

    /// From here on the counts of minutes cannot be read, as where their table is damaged.
    pub fn damage_counts(&self) {
        self.are_counts_damaged.store(true, Ordering::Relaxed);
    }

    /// Forgets what another process that opens the store would not find: the former secrets.
    pub fn restart(&self) {
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = model.as_mut() {
            model.restart();
        }
    }

    /// Runs `job` under the lock and returns its result as a ready future.
    fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Model) -> Result<T, StoreError>,
    ) -> PortFuture<'static, Result<T, StoreError>> {
        // A panic under the lock cannot leave a state worse than a batch cut short; reads stay possible.
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match model.as_mut() {
            Some(model) => job(model),
            None => Err(StoreError::Unavailable("the store is closed".to_owned())),
        };
        Box::pin(std::future::ready(result))
    }
}

impl Journal for MemoryStore {
    fn append(&self, batch: Batch) -> PortFuture<'static, Result<Committed, StoreError>> {
        self.with(|model| Ok(model.append(batch)))
    }

    fn recover(&self) -> PortFuture<'_, Result<Recovered, StoreError>> {
        self.with(|model| Ok(model.recover()))
    }

    fn close(&self) -> PortFuture<'static, Result<(), StoreError>> {
        let closed = self.model.lock().unwrap_or_else(PoisonError::into_inner).take();
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
        self.with(|model| Ok(model.credentials(product_key, device_key)))
    }

    fn former_secrets(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Secret>, StoreError>> {
        self.with(|model| Ok(model.former_secrets(device)))
    }

    fn similar_names<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<SimilarNames, StoreError>> {
        self.with(|model| Ok(model.similar_names(name)))
    }

    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>> {
        self.with(|model| Ok(model.product(product_key)))
    }

    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>> {
        self.with(|model| Ok(model.products().into_iter().map(Ok).collect()))
    }

    fn model_versions<'a>(
        &'a self,
        product_key: &'a str,
    ) -> PortFuture<'a, Result<Page<ModelVersion>, StoreError>> {
        self.with(|model| Ok(model.model_versions(product_key)))
    }

    fn model_version<'a>(
        &'a self,
        product_key: &'a str,
        version: u32,
    ) -> PortFuture<'a, Result<Option<VersionedModel>, StoreError>> {
        self.with(|model| Ok(model.model_version(product_key, version)))
    }

    fn script<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<ProductScript, StoreError>> {
        self.with(|model| Ok(model.script(product_key)))
    }

    fn script_versions<'a>(
        &'a self,
        product_key: &'a str,
    ) -> PortFuture<'a, Result<Page<ScriptVersion>, StoreError>> {
        self.with(|model| Ok(model.script_versions(product_key)))
    }

    fn script_version<'a>(
        &'a self,
        product_key: &'a str,
        version: u32,
    ) -> PortFuture<'a, Result<Option<VersionedScript>, StoreError>> {
        self.with(|model| Ok(model.script_version(product_key, version)))
    }

    fn device<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<Option<Device>, StoreError>> {
        self.with(|model| Ok(model.device(name)))
    }

    fn device_by_id(&self, device: DeviceId) -> PortFuture<'_, Result<Option<Device>, StoreError>> {
        self.with(|model| Ok(model.device_by_id(device)))
    }

    fn devices(
        &self,
        query: DeviceQuery,
    ) -> PortFuture<'_, Result<Vec<Result<Device, DamagedDevice>>, StoreError>> {
        self.with(|model| Ok(model.devices(&query).into_iter().map(Ok).collect()))
    }

    fn search_devices(&self, search: DeviceSearch) -> PortFuture<'_, Result<DevicesFound, StoreError>> {
        self.with(|model| Ok(model.search_devices(&search)))
    }

    fn properties(
        &self,
        device: DeviceId,
        kind: PropertyKind,
    ) -> PortFuture<'_, Result<Properties, StoreError>> {
        self.with(|model| Ok(model.properties(device, kind)))
    }

    fn command(
        &self,
        device: DeviceId,
        id: CommandId,
    ) -> PortFuture<'_, Result<Option<Command>, StoreError>> {
        self.with(|model| Ok(model.command(device, id)))
    }

    fn open_commands(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Command>, StoreError>> {
        self.with(|model| Ok(model.open_commands(device)))
    }

    fn overview(&self, query: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>> {
        self.with(|model| Ok(model.overview(query)))
    }

    fn rates(&self, query: RatesQuery) -> PortFuture<'_, Result<RatesFound, StoreError>> {
        if self.are_counts_damaged.load(Ordering::Relaxed) {
            let damaged = StoreError::Damaged("what was counted in a minute".to_owned());
            return Box::pin(std::future::ready(Err(damaged)));
        }
        self.with(|model| Ok(model.rates.read(&query)))
    }

    fn firmware(&self, query: FirmwareQuery) -> PortFuture<'_, Result<FirmwareFound, StoreError>> {
        self.with(|model| Ok(model.firmware(query)))
    }

    fn access(&self, query: AccessQuery) -> PortFuture<'_, Result<AccessFound, StoreError>> {
        self.with(|model| Ok(model.access(query)))
    }

    fn change(&self, change: Change) -> PortFuture<'static, Result<Changed, StoreError>> {
        self.with(|model| model.change(change))
    }
}

impl History for MemoryStore {
    fn read(&self, query: Query) -> PortFuture<'_, Result<HistoryPage, StoreError>> {
        self.with(|model| Ok(model.read(query)))
    }
}

#[cfg(test)]
mod conformance {
    use std::sync::Arc;

    use crate::{ports::Store, store_conformance, testing::store::commands as checks};

    use super::MemoryStore;

    fn make() -> (Arc<dyn Store>, ()) {
        (Arc::new(MemoryStore::default()), ())
    }

    store_conformance!(make);

    #[test]
    fn a_device_has_as_many_open_commands_as_the_store_was_told() {
        for open_max in [1, 3] {
            let store = MemoryStore::with_open_commands_max(open_max);
            checks::a_device_has_so_many_open_commands_and_no_more(&store, open_max);
        }
    }
}
