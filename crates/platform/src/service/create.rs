//! New rows of devices: an asset id that another device has is drawn again.

use super::registrar::Registrar;
use crate::{
    model::device::{Device, NewDevice},
    ports::{RegistryChanges as _, StoreError},
    rules::names,
};

/// How often an asset id is drawn for one device. Among a million devices one in 10^8 draws is taken, so that
/// even two taken ones in a row mean a broken random source.
const ASSET_DRAWS_MAX: usize = 8;

impl Registrar {
    /// Creates devices in one transaction; a result for each, in order.
    pub(super) async fn create_all(
        &self,
        devices: Vec<NewDevice>,
    ) -> Result<Vec<Result<Device, StoreError>>, StoreError> {
        let at = self.clock.now();
        let mut results = self.registry.create_devices(devices.clone(), at).await?;
        for _ in 1..ASSET_DRAWS_MAX {
            let is_taken = |result: &Result<Device, StoreError>| {
                matches!(result, Err(StoreError::Exists { what: "asset", .. }))
            };
            let taken: Vec<usize> =
                (0..results.len()).filter(|&index| results.get(index).is_some_and(is_taken)).collect();
            if taken.is_empty() {
                break;
            }
            let redrawn = |&index: &usize| NewDevice {
                asset_id: names::new_asset_id(&*self.entropy),
                ..devices[index].clone()
            };
            let again = taken.iter().map(redrawn).collect();
            for (index, result) in taken.into_iter().zip(self.registry.create_devices(again, at).await?) {
                results[index] = result;
            }
        }
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use narrowgate_api::{
        device::NewDeviceRequest, import::ImportRow, product::NewProduct, secret::SecretText,
    };

    use super::*;
    use crate::{
        memory::MemoryStore,
        model::{credential::CredentialLookup, device::NewDevice},
        ports::{Clock, Entropy},
        secret::Secret,
        service::fixtures::NOW,
        testing::{ManualClock, SeededEntropy, block_on},
    };

    /// A registrar whose asset ids are those of an earlier one: it gets the same random bytes.
    fn again(store: &Arc<MemoryStore>) -> Registrar {
        Registrar::new(store.clone(), Arc::new(ManualClock::new(NOW)), Arc::new(SeededEntropy::new(1)))
    }

    #[test]
    fn an_asset_id_that_is_taken_is_drawn_again() {
        let store = Arc::new(MemoryStore::default());
        let registrar = again(&store);
        let product = NewProduct {
            product_key: Some("pk".into()),
            product_secret: Some(SecretText::new("c3PW03srd6c".into())),
            name: "meters".into(),
            ..NewProduct::default()
        };
        block_on(registrar.create_product(product)).expect("it is valid");
        let row = |device_key: &str| ImportRow {
            line: 2,
            device_key: device_key.into(),
            device_secret: Some(SecretText::new(format!("secret of {device_key}"))),
            ..ImportRow::default()
        };
        let mut assets = Vec::new();
        for key in ["a", "b", "c"] {
            // The first draw gives the asset id of the device before.
            let report = block_on(again(&store).import_devices("pk", vec![row(key)], false));
            let report = report.expect("the product exists");
            assert_eq!((report.created, report.failed.len()), (1, 0), "{:?}", report.failed);
            let device = block_on(registrar.resolve("pk", Some(key))).expect("it exists");
            let found = block_on(registrar.registry.credentials("pk", key)).expect("it can be read");
            let CredentialLookup::Found(found) = found else { panic!("{key} exists") };
            assert_eq!(found.device_secret.expose(), format!("secret of {key}"));
            assets.push(device.asset_id);
        }
        let request = NewDeviceRequest {
            device_key: Some("d".into()),
            device_secret: Some(SecretText::new("secret of d".into())),
            ..NewDeviceRequest::default()
        };
        assets.push(block_on(again(&store).create_device("pk", request)).expect("it is valid").asset_id);
        assets.sort();
        assets.dedup();
        assert_eq!(assets.len(), 4, "{assets:?}");
    }

    #[test]
    fn a_broken_random_source_ends_in_an_error() {
        struct Zeros;
        impl Entropy for Zeros {
            fn fill(&self, out: &mut [u8]) {
                out.fill(0);
            }
        }
        let store = Arc::new(MemoryStore::default());
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
        let registrar = Registrar::new(store, clock, Arc::new(Zeros));
        let product =
            NewProduct { product_key: Some("pk".into()), name: "n".into(), ..NewProduct::default() };
        block_on(registrar.create_product(product)).expect("it is valid");
        let new = |device_key: &str| NewDevice {
            product_key: "pk".into(),
            device_key: device_key.into(),
            device_secret: Secret::new("s".into()),
            asset_id: "AAAAAAAA".into(),
            name: String::new(),
            properties: Vec::new(),
        };
        let results = block_on(registrar.create_all(vec![new("a"), new("b")])).expect("the store works");
        assert!(results[0].is_ok());
        assert!(matches!(results[1], Err(StoreError::Exists { what: "asset", .. })));
    }
}
