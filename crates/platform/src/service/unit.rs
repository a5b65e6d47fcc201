//! The registry as a caller sees it who belongs to one organisation unit: what belongs to another one does
//! not exist. Everything above asks as ever, so what is foreign is answered by the very words for what is
//! missing.
//!
//! * What is named by a key is looked for in the unit.
//! * What is named by the number of a device's row is handed on: whoever asks has it from a look-up of the
//!   unit, and no number is used twice.
//! * A damaged row of a product says nothing that can be believed about its unit: it does not exist either.
//! * Keys of products are unique in the whole store, so one that another unit has is taken.

use std::{collections::BTreeSet, future::ready, sync::Arc};

use crate::{
    firmware::ImageId,
    ids::{DeviceId, DeviceName},
    model::{
        access::Unit,
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
        AccessChange, AccessFound, AccessQuery, Change, Changed, DeviceQuery, DeviceSearch, DevicesFound,
        FirmwareChange, FirmwareFound, FirmwareQuery, FirmwareReads as _, PortFuture, Registry, SimilarNames,
        StoreError, UserChange, UserFound, UserQuery,
    },
    rules::{
        models::{ModelVersion, VersionedModel},
        scripts::{ProductScript, ScriptVersion, VersionedScript},
    },
    secret::Secret,
};

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct UnitRegistry {
    all: Arc<dyn Registry>,
    ou: Arc<str>,
}

impl UnitRegistry {
    pub(super) fn new(all: Arc<dyn Registry>, ou: &str) -> Self {
        Self { all, ou: ou.into() }
    }

    /// The product, where it is one of the unit.
    async fn own(&self, product_key: &str) -> Result<Option<Product>, StoreError> {
        match self.all.product(product_key).await {
            Err(StoreError::Damaged(_)) => Ok(None),
            found => Ok(found?.filter(|product| *product.ou == *self.ou)),
        }
    }

    /// `Missing`, in the words of a store, where it is not.
    async fn check(&self, product_key: &str) -> Result<(), StoreError> {
        match self.own(product_key).await? {
            Some(_) => Ok(()),
            None => Err(StoreError::Missing { what: "product", key: product_key.to_owned() }),
        }
    }

    async fn check_image(&self, image: ImageId) -> Result<(), StoreError> {
        match self.all.image(image).await? {
            Some(found) if self.own(&found.product_key).await?.is_some() => Ok(()),
            _ => Err(image.is_missing()),
        }
    }

    /// Passes what changes something of the unit, or of a device whose number the caller knows.
    async fn permit(&self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::CreateProduct(Product { ou, product_key, .. }) if **ou == *self.ou => {
                match self.all.product(product_key).await {
                    // It would be replaced, and may be another unit's.
                    Err(StoreError::Damaged(_)) => {
                        Err(StoreError::Exists { what: "product", key: product_key.clone() })
                    }
                    _ => Ok(()),
                }
            }
            Change::CreateProduct(Product { ou, .. }) => Err(AccessChange::no_unit(ou)),
            Change::UpdateProduct(Product { product_key, .. })
            | Change::PutModel { product_key, .. }
            | Change::PutScript { product_key, .. }
            | Change::RotateProductSecret { product_key, .. }
            | Change::DeleteProduct { product_key }
            | Change::DeleteDevicesOf { product_key, .. } => self.check(product_key).await,
            Change::CreateDevices { devices, .. } => {
                let products: BTreeSet<_> = devices.iter().map(|new| &new.product_key).collect();
                for product_key in products {
                    self.check(product_key).await?;
                }
                Ok(())
            }
            Change::Firmware(FirmwareChange::Add(image)) => self.check(&image.product_key).await,
            Change::Firmware(
                FirmwareChange::Delete { image }
                | FirmwareChange::Offer { image, .. }
                | FirmwareChange::Switch { image, .. },
            ) => self.check_image(*image).await,
            Change::Access(
                AccessChange::AddUnit(Unit { ou, .. })
                | AccessChange::SuspendUnit { ou, .. }
                | AccessChange::SetQuotas { ou, .. },
            ) => Err(AccessChange::no_unit(ou)),
            Change::Access(AccessChange::AddToken(token)) => Err(AccessChange::no_token(&token.name)),
            Change::Access(AccessChange::RevokeToken { name }) => Err(AccessChange::no_token(name)),
            Change::Access(AccessChange::User(change)) => Err(UserChange::no_user(change.whom())),
            // Requests are remembered for all units by the way in.
            Change::Access(AccessChange::Request(_)) => Ok(()),
            Change::RenameDevice { .. }
            | Change::SetDeviceEnabled { .. }
            | Change::ResetDevice { .. }
            | Change::RotateDeviceSecret { .. }
            | Change::DeleteDevice { .. }
            | Change::PurgeDevice { .. }
            | Change::EditProperties { .. }
            | Change::SendCommand { .. }
            | Change::CancelCommands { .. }
            | Change::NoteSecretShown { .. }
            // What time does is not the caller's.
            | Change::Firmware(FirmwareChange::Advance { .. }) => Ok(()),
        }
    }

    async fn own_firmware(&self, query: FirmwareQuery) -> Result<FirmwareFound, StoreError> {
        match &query {
            FirmwareQuery::Images { product_key: Some(product_key) } => {
                if self.own(product_key).await?.is_none() {
                    return Ok(FirmwareFound::Images(Page::empty()));
                }
            }
            FirmwareQuery::Image { image } => match self.check_image(*image).await {
                Err(StoreError::Missing { .. }) => return Ok(FirmwareFound::Image(None)),
                checked => checked?,
            },
            FirmwareQuery::Counts { image }
            | FirmwareQuery::Failures { image, .. }
            | FirmwareQuery::Upgrades { image, .. } => {
                self.check_image(*image).await?;
            }
            FirmwareQuery::Images { product_key: None } => {
                let own = self.products().await?;
                let own: BTreeSet<_> =
                    own.into_iter().filter_map(Result::ok).map(|product| product.product_key).collect();
                let mut page = self.all.images(None).await?;
                page.items.retain(|image| own.contains(&image.product_key));
                return Ok(FirmwareFound::Images(Page { items: page.items, ..Page::empty() }));
            }
            FirmwareQuery::Device { .. } | FirmwareQuery::Version { .. } | FirmwareQuery::Due { .. } => {}
        }
        self.all.firmware(query).await
    }
}

impl Registry for UnitRegistry {
    fn credentials<'a>(
        &'a self,
        product_key: &'a str,
        device_key: &'a str,
    ) -> PortFuture<'a, Result<CredentialLookup, StoreError>> {
        Box::pin(async move {
            match self.own(product_key).await? {
                Some(_) => self.all.credentials(product_key, device_key).await,
                None => Ok(CredentialLookup::ProductUnknown),
            }
        })
    }

    fn former_secrets(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Secret>, StoreError>> {
        self.all.former_secrets(device)
    }

    fn similar_names<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<SimilarNames, StoreError>> {
        Box::pin(async move {
            let mut similar = self.all.similar_names(name).await?;
            if let Some(product_key) = &similar.product_key
                && self.own(product_key).await?.is_none()
            {
                similar.product_key = None;
            }
            if let Some(device) = &similar.device
                && self.own(&device.product_key).await?.is_none()
            {
                similar.device = None;
            }
            Ok(similar)
        })
    }

    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>> {
        Box::pin(self.own(product_key))
    }

    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>> {
        Box::pin(async move {
            let mut all = self.all.products().await?;
            all.retain(|product| product.as_ref().is_ok_and(|product| *product.ou == *self.ou));
            Ok(all)
        })
    }

    fn model_versions<'a>(
        &'a self,
        product_key: &'a str,
    ) -> PortFuture<'a, Result<Page<ModelVersion>, StoreError>> {
        Box::pin(async move {
            match self.own(product_key).await? {
                Some(_) => self.all.model_versions(product_key).await,
                None => Ok(Page::empty()),
            }
        })
    }

    fn model_version<'a>(
        &'a self,
        product_key: &'a str,
        version: u32,
    ) -> PortFuture<'a, Result<Option<VersionedModel>, StoreError>> {
        Box::pin(async move {
            match self.own(product_key).await? {
                Some(_) => self.all.model_version(product_key, version).await,
                None => Ok(None),
            }
        })
    }

    fn script<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<ProductScript, StoreError>> {
        Box::pin(async move {
            match self.own(product_key).await? {
                Some(_) => self.all.script(product_key).await,
                None => Ok(ProductScript::default()),
            }
        })
    }

    fn script_versions<'a>(
        &'a self,
        product_key: &'a str,
    ) -> PortFuture<'a, Result<Page<ScriptVersion>, StoreError>> {
        Box::pin(async move {
            match self.own(product_key).await? {
                Some(_) => self.all.script_versions(product_key).await,
                None => Ok(Page::empty()),
            }
        })
    }

    fn script_version<'a>(
        &'a self,
        product_key: &'a str,
        version: u32,
    ) -> PortFuture<'a, Result<Option<VersionedScript>, StoreError>> {
        Box::pin(async move {
            match self.own(product_key).await? {
                Some(_) => self.all.script_version(product_key, version).await,
                None => Ok(None),
            }
        })
    }

    fn device<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<Option<Device>, StoreError>> {
        Box::pin(async move {
            let found = self.all.device(name).await?;
            Ok(found.filter(|device| *device.ou == *self.ou))
        })
    }

    fn device_by_id(&self, device: DeviceId) -> PortFuture<'_, Result<Option<Device>, StoreError>> {
        Box::pin(async move {
            let found = self.all.device_by_id(device).await?;
            Ok(found.filter(|device| *device.ou == *self.ou))
        })
    }

    fn devices(
        &self,
        query: DeviceQuery,
    ) -> PortFuture<'_, Result<Vec<Result<Device, DamagedDevice>>, StoreError>> {
        self.all.devices(DeviceQuery { ou: Some(self.ou.to_string()), ..query })
    }

    fn search_devices(&self, search: DeviceSearch) -> PortFuture<'_, Result<DevicesFound, StoreError>> {
        self.all.search_devices(DeviceSearch { ou: Some(self.ou.to_string()), ..search })
    }

    fn properties(
        &self,
        device: DeviceId,
        kind: PropertyKind,
    ) -> PortFuture<'_, Result<Properties, StoreError>> {
        self.all.properties(device, kind)
    }

    fn command(
        &self,
        device: DeviceId,
        id: CommandId,
    ) -> PortFuture<'_, Result<Option<Command>, StoreError>> {
        self.all.command(device, id)
    }

    fn open_commands(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Command>, StoreError>> {
        self.all.open_commands(device)
    }

    /// The counts are of all units: there are none.
    fn overview(&self, _: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>> {
        Box::pin(ready(Ok(Overview::default())))
    }

    /// Those of the unit, whatever is asked for.
    fn rates(&self, query: RatesQuery) -> PortFuture<'_, Result<RatesFound, StoreError>> {
        self.all.rates(RatesQuery { ou: Some(self.ou.as_ref().to_owned()), ..query })
    }

    fn firmware(&self, query: FirmwareQuery) -> PortFuture<'_, Result<FirmwareFound, StoreError>> {
        Box::pin(self.own_firmware(query))
    }

    /// Units, tokens and users are those of all: there are none.
    fn access(&self, query: AccessQuery) -> PortFuture<'_, Result<AccessFound, StoreError>> {
        Box::pin(ready(Ok(match query {
            AccessQuery::Units => AccessFound::Units(Page::empty()),
            AccessQuery::Unit(_) => AccessFound::Unit(None),
            AccessQuery::Request(_) => AccessFound::Request(None),
            AccessQuery::Tokens => AccessFound::Tokens(Page::empty()),
            AccessQuery::TokenOf(_) => AccessFound::Token(None),
            AccessQuery::User(UserQuery::All) => AccessFound::User(UserFound::All(Page::empty())),
            AccessQuery::User(UserQuery::Named(_) | UserQuery::OfLink(_)) => {
                AccessFound::User(UserFound::One(None))
            }
            AccessQuery::User(UserQuery::OfSession(_)) => AccessFound::User(UserFound::Session(None)),
            AccessQuery::User(UserQuery::SessionsOf(_)) => AccessFound::User(UserFound::Sessions(Vec::new())),
        })))
    }

    fn change(&self, change: Change) -> PortFuture<'static, Result<Changed, StoreError>> {
        let registry = self.clone();
        Box::pin(async move {
            registry.permit(&change).await?;
            registry.all.change(change).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        memory::MemoryStore,
        ports::{AccessReads as _, RegistryChanges as _},
        service::fixtures::Failing,
        testing::{
            block_on,
            store::{
                access::{token, unit},
                fixtures::{at, new_device, product},
            },
        },
    };

    /// Two units with a product and a device each, and the registry as the second one sees it.
    fn registries() -> (Arc<MemoryStore>, UnitRegistry) {
        let all = Arc::new(MemoryStore::default());
        block_on(all.change_access(AccessChange::AddUnit(unit(3)))).expect("it is new");
        let own = Product { ou: unit(3).ou, ..product("own") };
        for (product, key) in [(product("foreign"), "dk-f"), (own, "dk-o")] {
            let product_key = product.product_key.clone();
            block_on(all.create_product(product)).expect("it is new");
            block_on(all.create_devices(vec![new_device(&product_key, key)], at(0))).expect("it is new");
        }
        let unit = UnitRegistry::new(all.clone(), &unit(3).ou);
        (all, unit)
    }

    #[test]
    fn what_belongs_to_another_unit_does_not_exist() {
        let (_, unit) = registries();
        let found = |key: &str| block_on(unit.product(key)).expect("it reads").is_some();
        assert_eq!((found("own"), found("foreign"), found("none")), (true, false, false));
        let listed = block_on(unit.products()).expect("it reads").len();
        assert_eq!(listed, 1);
        let devices = block_on(unit.devices(DeviceQuery { limit: 9, ..DeviceQuery::default() }));
        let devices = devices.expect("it reads");
        let keys: Vec<_> = devices.iter().flatten().map(|device| &*device.device_key).collect();
        assert_eq!(keys, ["dk-o"]);
        let of = |product_key: &str, device_key: &str| {
            let name = DeviceName { product_key: product_key.into(), device_key: device_key.into() };
            block_on(unit.device(&name)).expect("it reads").is_some()
        };
        assert_eq!((of("own", "dk-o"), of("foreign", "dk-f")), (true, false));
        let credentials = block_on(unit.credentials("foreign", "dk-f")).expect("it reads");
        assert!(matches!(credentials, CredentialLookup::ProductUnknown));
    }

    #[test]
    fn an_image_that_cannot_be_read_is_not_one_that_is_missing() {
        let failing = Arc::new(Failing::default());
        let unit = UnitRegistry::new(failing.clone(), "o1");
        let image = "Ab3dEf7h".parse().expect("it is an id");
        let read = || block_on(unit.firmware(FirmwareQuery::Image { image }));
        assert!(matches!(read(), Ok(FirmwareFound::Image(None))));
        failing.lose_firmware();
        assert!(matches!(read(), Err(StoreError::Unavailable(_))));
    }

    #[test]
    fn a_change_of_what_belongs_to_another_unit_is_refused_as_of_what_is_missing() {
        let (all, unit) = registries();
        for key in ["foreign", "none"] {
            let missing = StoreError::Missing { what: "product", key: key.to_owned() }.to_string();
            let of = |change| block_on(unit.change(change)).expect_err("it is not there").to_string();
            assert_eq!(of(Change::UpdateProduct(product(key))), missing);
            assert_eq!(of(Change::DeleteProduct { product_key: key.into() }), missing);
            let (product_key, limit, at) = (key.to_owned(), 9, at(0));
            assert_eq!(of(Change::DeleteDevicesOf { product_key, limit, at }), missing);
            assert_eq!(of(Change::CreateDevices { devices: vec![new_device(key, "dk")], at }), missing);
        }
        let refused = block_on(unit.create_product(product("new")));
        assert!(matches!(refused, Err(StoreError::Missing { what: "organisation unit", .. })));
        block_on(all.change_access(AccessChange::AddToken(token("t", 1)))).expect("it is new");
        assert_eq!(block_on(unit.tokens()).expect("it reads").items, []);
        for change in [
            AccessChange::AddToken(token("other", 2)),
            AccessChange::RevokeToken { name: "t".into() },
            AccessChange::AddUnit(crate::testing::store::access::unit(9)),
        ] {
            assert!(block_on(unit.change_access(change)).is_err());
        }
        assert_eq!(block_on(all.products()).expect("it reads").len(), 2);
    }
}
