//! Deletes a product, with its devices if that is asked for; and a device with what it sent.
//!
//! It works in steps, so that a large product or a long history stops no reports. What a step did is reported
//! before the next one can fail. An interrupted deletion is simply asked for again.
//!
//! A product is switched off first, then its devices go, and no step leaves a device without a product. A
//! device that goes with what it sent is switched off first too, and goes with the last of that.

use narrowgate_api::{
    device::DevicePurged,
    product::{ProductDeleted, ProductPatch},
};

use super::{
    devices::with_name_of,
    error::ServiceError,
    find::{Found, id_of},
    registrar::Registrar,
    view,
};
use crate::{
    ids::{DeviceId, UnixMillis},
    ports::{RegistryChanges as _, StoreError, UpgradeMoved},
};

/// Devices that one step deletes at most; fewer where the store has much to delete with them.
pub const DELETE_CHUNK: usize = 500;

/// Messages of a device after which a step of its purge ends.
const PURGE_CHUNK: u64 = 20_000;
/// The time after which it ends, in milliseconds, however little it has removed: who asked for it gives up
/// where a server says nothing for half a minute.
const PURGE_TIME_MS: u64 = 2000;

impl Registrar {
    /// Switches a device off that is to be purged. One that is damaged counts as switched off. Returns the
    /// upgrades that have ended by it.
    ///
    /// # Errors
    /// `Missing` where the device is gone meanwhile.
    pub(super) async fn switch_off_for_purge(
        &self,
        found: &Found,
    ) -> Result<Vec<UpgradeMoved>, ServiceError> {
        if found.as_ref().is_ok_and(|device| device.enabled) {
            let off = self.registry.set_device_enabled(id_of(found), false, self.clock.now()).await;
            return Ok(off.map_err(|error| with_name_of(error, found))?.stopped);
        }
        Ok(Vec::new())
    }

    /// One step of deleting a device, which is switched off, with what it sent. Ask again until it is done.
    ///
    /// # Errors
    /// `Missing` where the device is gone meanwhile.
    pub(super) async fn purge(&self, found: &Found) -> Result<DevicePurged, ServiceError> {
        let device = id_of(found);
        let begun = self.clock.now();
        // A clock that is put back ends it too.
        let is_over = |now: UnixMillis| now.0.abs_diff(begun.0) >= PURGE_TIME_MS;
        let (mut messages_removed, mut done) = (0, false);
        let mut now = begun;
        while !done && messages_removed < PURGE_CHUNK && !is_over(now) {
            let step = self.registry.purge_device(device, now).await;
            let step = step.map_err(|error| with_name_of(error, found))?;
            messages_removed += step.messages;
            done = step.done;
            now = self.clock.now();
        }
        Ok(DevicePurged { device: view::device_row(found), messages_removed, done })
    }

    /// One step of deleting a product: it is switched off, or up to [`DELETE_CHUNK`] of its devices go, and
    /// the product itself once it has none. Ask again until it is done. The second part of the answer is
    /// those devices. A damaged product is named as it is read, or by `id:` and its row id.
    ///
    /// # Errors
    /// `Missing` where there is none; `NotEmpty` where it has devices and `force` is not set.
    pub(super) async fn delete_product(
        &self,
        product_key: &str,
        force: bool,
    ) -> Result<(ProductDeleted, Vec<DeviceId>), ServiceError> {
        let images = self.images_of(product_key).await?;
        let (devices, done) = match self.registry.delete_product(product_key.to_owned()).await {
            Ok(()) => (Vec::new(), true),
            Err(StoreError::Conflict(_)) if !force => {
                return Err(ServiceError::NotEmpty { product_key: product_key.to_owned() });
            }
            // A step of its own: its sessions end now, whatever becomes of the next one.
            Err(StoreError::Conflict(_)) if self.switch_off(product_key).await? => (Vec::new(), false),
            Err(StoreError::Conflict(_)) => {
                let deleted =
                    self.registry.delete_devices_of(product_key.to_owned(), DELETE_CHUNK, self.clock.now());
                let devices = deleted.await?;
                // These devices are gone in any case; a failure shows again in the next step.
                let done = self.registry.delete_product(product_key.to_owned()).await.is_ok();
                (devices, done)
            }
            Err(error) => return Err(error.into()),
        };
        if done {
            for image in images {
                // Ignored: a file that stays is removed before the next upload.
                let _ = self.images.remove(image).await;
            }
            // Ignored: an upload that stays is removed once nobody has continued it for a week.
            let _ = self.images.remove_uploads(product_key.to_owned()).await;
        }
        let step = ProductDeleted {
            product_key: product_key.to_owned(),
            devices: devices.len() as u64,
            done,
            disabled: !done,
            time: self.clock.now(),
        };
        Ok((step, devices))
    }

    /// No device of it may come back between two steps. A damaged product admits nobody anyway. `false`: it
    /// was off already.
    async fn switch_off(&self, product_key: &str) -> Result<bool, ServiceError> {
        let off = ProductPatch { enabled: Some(false), ..ProductPatch::default() };
        match self.existing_product(product_key).await {
            Ok(product) if product.enabled => self.update_product(product_key, off).await.map(|_| true),
            Ok(_) | Err(ServiceError::Damaged { .. } | ServiceError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::{device::NewDeviceRequest, query::DeviceList};

    use super::*;
    use crate::{
        service::fixtures::{registrar_with_product, registrar_with_product_and_store},
        testing::block_on,
    };

    fn add(registrar: &Registrar, count: usize) {
        for _ in 0..count {
            block_on(registrar.create_device("pk", NewDeviceRequest::default())).expect("it is valid");
        }
    }

    #[test]
    fn a_product_with_devices_goes_only_by_force_and_in_steps() {
        let registrar = registrar_with_product();
        add(&registrar, DELETE_CHUNK + 1);
        let refused = block_on(registrar.delete_product("pk", false)).expect_err("it has devices");
        assert_eq!(refused.to_string(), "product pk has devices");
        assert!(block_on(registrar.product("pk")).expect("it exists").enabled, "nothing was changed");

        let step = || {
            let (step, devices) = block_on(registrar.delete_product("pk", true)).expect("it works");
            assert_eq!(step.disabled, !step.done);
            (step.devices, devices.len(), step.done)
        };
        assert_eq!(step(), (0, 0, false));
        assert!(
            !block_on(registrar.product("pk")).expect("it exists").enabled,
            "nobody comes back meanwhile"
        );
        assert_eq!(step(), (500, DELETE_CHUNK, false));
        assert_eq!(step(), (1, 1, true));
        let error = block_on(registrar.delete_product("pk", true)).expect_err("it is gone");
        assert_eq!(error.to_string(), "there is no product pk");
        let list = DeviceList { limit: Some(1), ..DeviceList::default() };
        assert!(block_on(registrar.devices(&list)).expect("it works").items.is_empty());
    }

    #[test]
    fn a_product_without_devices_goes_at_once() {
        let registrar = registrar_with_product();
        let (step, devices) = block_on(registrar.delete_product("pk", false)).expect("it works");
        assert_eq!((step.devices, devices.len(), step.done), (0, 0, true));
    }

    #[test]
    fn a_step_that_fails_takes_nothing_back_of_what_is_told() {
        let (registrar, store) = registrar_with_product_and_store();
        add(&registrar, 2);
        let step = || block_on(registrar.delete_product("pk", true));
        // Switching off is a step of its own, which a failure of the devices cannot hide.
        store.fail_after(1);
        let (off, devices) = step().expect("it is switched off");
        assert_eq!((off.devices, devices.len(), off.done, off.disabled), (0, 0, false, true));
        store.fail_after(1);
        step().expect_err("the devices stay");
        // The devices are told although the product stays.
        store.fail_after(2);
        let (gone, devices) = step().expect("the devices are gone");
        assert_eq!((gone.devices, devices.len(), gone.done), (2, 2, false));
        store.fail_after(0);
        step().expect_err("the product stays");
        store.fail_after(u32::MAX);
        assert!(step().expect("it works").0.done);
    }
}
