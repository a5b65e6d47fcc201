//! Deletes a product, with its devices where that is wished.
//!
//! Devices go in steps, so that a large product stops nobody's reports: the product is switched off first,
//! and no step leaves a device without a product. One that was cut off is simply asked for again.

use super::{Registry, RegistryError, products::ProductPatch};
use crate::{ids::DeviceId, ports::StoreError, service::rows::ProductDeleted};

/// Devices that one step deletes.
pub const DELETE_CHUNK: usize = 500;

impl Registry {
    /// One step of deleting a product: up to [`DELETE_CHUNK`] of its devices, and the product itself once it
    /// has none. Ask again until it is done. The caller ends the sessions of the devices, and of the product.
    /// A damaged product is named as it is read, or by `id:` and its row id.
    ///
    /// # Errors
    /// `Missing` where there is none; `NotEmpty` where it has devices and `force` is not set.
    pub async fn delete_product(
        &self,
        product_key: &str,
        force: bool,
    ) -> Result<(ProductDeleted, Vec<DeviceId>), RegistryError> {
        let mut devices = Vec::new();
        let mut deleted = self.store.delete_product(product_key.to_owned()).await;
        if matches!(deleted, Err(StoreError::Conflict(_))) && force {
            self.switch_off(product_key).await?;
            devices =
                self.store.delete_devices_of(product_key.to_owned(), DELETE_CHUNK, self.clock.now()).await?;
            if devices.len() < DELETE_CHUNK {
                deleted = self.store.delete_product(product_key.to_owned()).await;
            }
        }
        let done = match deleted {
            Ok(()) => true,
            Err(StoreError::Conflict(_)) if force => false,
            Err(StoreError::Conflict(_)) => {
                return Err(RegistryError::NotEmpty { product_key: product_key.to_owned() });
            }
            Err(error) => return Err(error.into()),
        };
        let step = ProductDeleted {
            product_key: product_key.to_owned(),
            devices: devices.len() as u64,
            done,
            time: self.clock.now(),
        };
        Ok((step, devices))
    }

    /// No device of it may come back between two steps. A damaged product lets nobody in anyway.
    async fn switch_off(&self, product_key: &str) -> Result<(), RegistryError> {
        let off = ProductPatch { enabled: Some(false), ..ProductPatch::default() };
        match self.existing_product(product_key).await {
            Ok(product) if product.enabled => self.update_product(product_key, off).await.map(drop),
            Ok(_) | Err(RegistryError::Damaged { .. } | RegistryError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        service::registry::{DeviceList, NewDeviceRequest, fake::registry_with_product},
        testing::block_on,
    };

    fn add(registry: &Registry, count: usize) {
        for _ in 0..count {
            let request = NewDeviceRequest { product_key: "pk".into(), ..NewDeviceRequest::default() };
            block_on(registry.create_device(request)).expect("it is valid");
        }
    }

    #[test]
    fn a_product_with_devices_goes_only_by_force_and_in_steps() {
        let registry = registry_with_product();
        add(&registry, DELETE_CHUNK + 1);
        let refused = block_on(registry.delete_product("pk", false)).expect_err("it has devices");
        assert_eq!(refused.to_string(), "product pk has devices");
        assert!(block_on(registry.product("pk")).expect("it exists").enabled, "nothing was changed");

        let (step, devices) = block_on(registry.delete_product("pk", true)).expect("it works");
        assert_eq!((step.devices, devices.len(), step.done), (500, DELETE_CHUNK, false));
        assert!(!block_on(registry.product("pk")).expect("it exists").enabled, "nobody comes back meanwhile");
        let (step, devices) = block_on(registry.delete_product("pk", true)).expect("it works");
        assert_eq!((step.devices, devices.len(), step.done), (1, 1, true));
        let error = block_on(registry.delete_product("pk", true)).expect_err("it is gone");
        assert_eq!(error.to_string(), "there is no product pk");
        let list = DeviceList { limit: 1, ..DeviceList::default() };
        assert!(block_on(registry.devices(&list)).expect("it works").devices.is_empty());
    }

    #[test]
    fn a_product_without_devices_goes_at_once() {
        let registry = registry_with_product();
        let (step, devices) = block_on(registry.delete_product("pk", false)).expect("it works");
        assert_eq!((step.devices, devices.len(), step.done), (0, 0, true));
    }
}
