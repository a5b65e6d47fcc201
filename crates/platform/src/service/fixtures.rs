//! Registrars over a store in memory, for the tests of the verbs, and a store whose deletions fail on demand.

use std::{
    future::poll_fn,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use narrowgate_api::{product::NewProduct, secret::SecretText};

use super::registrar::Registrar;
use crate::{
    ids::{DeviceId, DeviceName, UnixMillis},
    memory::MemoryStore,
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
        AccessFound, AccessQuery, Change, Changed, DeviceQuery, DeviceSearch, DevicesFound, FirmwareFound,
        FirmwareQuery, PortFuture, Registry, SimilarNames, StoreError, Stores,
    },
    rules::{
        models::{ModelVersion, VersionedModel},
        scripts::{ProductScript, ScriptVersion, VersionedScript},
    },
    secret::Secret,
    testing::{ManualClock, SeededEntropy, block_on},
};

/// When the tests begin.
pub(super) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

pub(super) fn registrar_and_clock() -> (Registrar, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW));
    (Registrar::new(Arc::new(MemoryStore::default()), clock.clone(), Arc::new(SeededEntropy::new(1))), clock)
}

pub(super) fn registrar() -> Registrar {
    registrar_and_clock().0
}

/// With the product `pk`, whose secret is one of the protocol's examples.
pub(super) fn registrar_with_product() -> Registrar {
    registrar_with_product_and_store().0
}

/// Also the store, to write to it and to make it fail.
pub(super) fn registrar_with_product_and_store() -> (Registrar, Arc<Failing>) {
    let store = Arc::new(Failing::default());
    let clock = Arc::new(ManualClock::new(NOW));
    let registrar = Registrar::new(store.stores(), clock, Arc::new(SeededEntropy::new(1)));
    let product = NewProduct {
        name: "meters".into(),
        product_key: Some("pk".into()),
        product_secret: Some(SecretText::new("c3PW03srd6c".into())),
        ..NewProduct::default()
    };
    block_on(registrar.create_product(product)).expect("it is valid");
    (registrar, store)
}

/// A store in memory whose deletions for products, and steps of purges, can be made to fail, and which can be
/// made to answer late.
pub(super) struct Failing {
    pub(super) memory: Arc<MemoryStore>,
    /// How many deletions and steps work before all fail.
    left: AtomicU32,
    /// Steps of purges that were asked for.
    purge_steps: AtomicU32,
    /// Changes are answered only when they are asked for again.
    is_slow: AtomicBool,
    /// Nothing of firmware can be read.
    is_without_firmware: AtomicBool,
}

impl Default for Failing {
    fn default() -> Self {
        Self {
            memory: Arc::default(),
            left: AtomicU32::new(u32::MAX),
            purge_steps: AtomicU32::new(0),
            is_slow: AtomicBool::new(false),
            is_without_firmware: AtomicBool::new(false),
        }
    }
}

impl Failing {
    /// Its ports.
    pub(super) fn stores(self: &Arc<Self>) -> Stores {
        Stores { registry: self.clone(), ..Stores::from(self.memory.clone()) }
    }

    /// How many steps of purges were asked for.
    pub(super) fn purge_steps(&self) -> u32 {
        self.purge_steps.load(Ordering::Relaxed)
    }

    /// After this many more deletions for products, steps of purges or notes of secrets, each of them fails.
    pub(super) fn fail_after(&self, changes: u32) {
        self.left.store(changes, Ordering::Relaxed);
    }

    /// From now on nothing of firmware can be read.
    pub(super) fn lose_firmware(&self) {
        self.is_without_firmware.store(true, Ordering::Relaxed);
    }

    /// From now on it makes changes at once, and answers later.
    pub(super) fn answer_late(&self) {
        self.is_slow.store(true, Ordering::Relaxed);
    }
}

/// Is pending when it is polled first.
async fn pending_once() {
    let mut was_polled = false;
    let poll = |context: &mut Context<'_>| {
        context.waker().wake_by_ref();
        if mem::replace(&mut was_polled, true) { Poll::Ready(()) } else { Poll::Pending }
    };
    poll_fn(poll).await;
}

impl Registry for Failing {
    fn change(&self, change: Change) -> PortFuture<'static, Result<Changed, StoreError>> {
        let is_purge = matches!(change, Change::PurgeDevice { .. });
        self.purge_steps.fetch_add(u32::from(is_purge), Ordering::Relaxed);
        let is_note = matches!(change, Change::NoteSecretShown { .. });
        let is_deletion = matches!(change, Change::DeleteProduct { .. } | Change::DeleteDevicesOf { .. });
        if is_purge || is_note || is_deletion {
            match self.left.load(Ordering::Relaxed) {
                0 => {
                    return Box::pin(std::future::ready(Err(StoreError::Unavailable("no".to_owned()))));
                }
                left => self.left.store(left - 1, Ordering::Relaxed),
            }
        }
        if self.is_slow.load(Ordering::Relaxed) {
            let outcome = block_on(self.memory.change(change));
            return Box::pin(async move {
                pending_once().await;
                outcome
            });
        }
        self.memory.change(change)
    }

    fn credentials<'a>(
        &'a self,
        product_key: &'a str,
        device_key: &'a str,
    ) -> PortFuture<'a, Result<CredentialLookup, StoreError>> {
        self.memory.credentials(product_key, device_key)
    }

    fn firmware(&self, query: FirmwareQuery) -> PortFuture<'_, Result<FirmwareFound, StoreError>> {
        if self.is_without_firmware.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(StoreError::Unavailable("no".to_owned()))));
        }
        self.memory.firmware(query)
    }

    fn access(&self, query: AccessQuery) -> PortFuture<'_, Result<AccessFound, StoreError>> {
        self.memory.access(query)
    }

    fn former_secrets(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Secret>, StoreError>> {
        self.memory.former_secrets(device)
    }

    fn similar_names<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<SimilarNames, StoreError>> {
        self.memory.similar_names(name)
    }

    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>> {
        self.memory.product(product_key)
    }

    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>> {
        self.memory.products()
    }

    fn model_versions<'a>(
        &'a self,
        product_key: &'a str,
    ) -> PortFuture<'a, Result<Page<ModelVersion>, StoreError>> {
        self.memory.model_versions(product_key)
    }

    fn model_version<'a>(
        &'a self,
        product_key: &'a str,
        version: u32,
    ) -> PortFuture<'a, Result<Option<VersionedModel>, StoreError>> {
        self.memory.model_version(product_key, version)
    }

    fn script<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<ProductScript, StoreError>> {
        self.memory.script(product_key)
    }

    fn script_versions<'a>(
        &'a self,
        product_key: &'a str,
    ) -> PortFuture<'a, Result<Page<ScriptVersion>, StoreError>> {
        self.memory.script_versions(product_key)
    }

    fn script_version<'a>(
        &'a self,
        product_key: &'a str,
        version: u32,
    ) -> PortFuture<'a, Result<Option<VersionedScript>, StoreError>> {
        self.memory.script_version(product_key, version)
    }

    fn device<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<Option<Device>, StoreError>> {
        self.memory.device(name)
    }

    fn device_by_id(&self, device: DeviceId) -> PortFuture<'_, Result<Option<Device>, StoreError>> {
        self.memory.device_by_id(device)
    }

    fn devices(
        &self,
        query: DeviceQuery,
    ) -> PortFuture<'_, Result<Vec<Result<Device, DamagedDevice>>, StoreError>> {
        self.memory.devices(query)
    }

    fn search_devices(&self, search: DeviceSearch) -> PortFuture<'_, Result<DevicesFound, StoreError>> {
        self.memory.search_devices(search)
    }

    fn properties(
        &self,
        device: DeviceId,
        kind: PropertyKind,
    ) -> PortFuture<'_, Result<Properties, StoreError>> {
        self.memory.properties(device, kind)
    }

    fn command(
        &self,
        device: DeviceId,
        id: CommandId,
    ) -> PortFuture<'_, Result<Option<Command>, StoreError>> {
        self.memory.command(device, id)
    }

    fn open_commands(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Command>, StoreError>> {
        self.memory.open_commands(device)
    }

    fn overview(&self, query: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>> {
        self.memory.overview(query)
    }

    fn rates(&self, query: RatesQuery) -> PortFuture<'_, Result<RatesFound, StoreError>> {
        self.memory.rates(query)
    }
}
