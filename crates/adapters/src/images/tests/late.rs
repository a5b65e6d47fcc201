//! A registry whose answer may be older than what has happened since.

use std::{
    future::poll_fn,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
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
        FirmwareQuery, PortFuture, Registry, SimilarNames, StoreError,
    },
    rules::{
        models::{ModelVersion, VersionedModel},
        scripts::{ProductScript, ScriptVersion, VersionedScript},
    },
    secret::Secret,
    testing::block_on,
};

/// A store in memory; the next answer about firmware, as it is now, is given by the second poll.
pub(super) struct Late {
    pub(super) memory: Arc<MemoryStore>,
    pub(super) is_late: AtomicBool,
}

impl Registry for Late {
    fn change(&self, change: Change) -> PortFuture<'static, Result<Changed, StoreError>> {
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
        let found = block_on(self.memory.firmware(query));
        let mut is_late = self.is_late.swap(false, Ordering::Relaxed);
        Box::pin(async move {
            let wait = poll_fn(|context| match mem::take(&mut is_late) {
                true => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                false => Poll::Ready(()),
            });
            wait.await;
            found
        })
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
