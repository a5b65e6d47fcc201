//! What can be found in the registry of a [`Model`].

use super::model::Model;
use crate::{
    ids::{DeviceId, DeviceName},
    model::{
        credential::{CredentialLookup, Credentials},
        device::Device,
        product::Product,
    },
    ports::{DeviceQuery, SimilarNames},
    secret::Secret,
};

/// Devices that are searched for one with a similar name.
const SIMILAR_LOOKS_MAX: usize = 100_000;

impl Model {
    /// See [`crate::ports::Registry::credentials`].
    pub fn credentials(&self, product_key: &str, device_key: &str) -> CredentialLookup {
        let Some(&product) = self.product_keys.get(product_key) else {
            return CredentialLookup::ProductUnknown;
        };
        let Some(row) = self.find(product, device_key) else { return CredentialLookup::DeviceUnknown };
        let product = self.product_of(product);
        CredentialLookup::Found(Box::new(Credentials {
            device: row.id,
            asset_id: row.asset_id.to_string(),
            device_secret: row.secret.clone(),
            secret_version: row.life.secret_version,
            device_enabled: row.life.enabled,
            activated: row.life.active_time.is_some(),
            product_secret: product.secret.clone(),
            product_enabled: product.enabled,
            unit_suspended: product.is_suspended,
            profile: product.profile,
            dynamic_activation: product.dynamic_activation.clone(),
        }))
    }

    /// See [`crate::ports::Registry::former_secrets`].
    pub fn former_secrets(&self, device: DeviceId) -> Vec<Secret> {
        self.former.of(device)
    }

    /// See [`crate::ports::Registry::similar_names`]; of several, the oldest.
    pub fn similar_names(&self, name: &DeviceName) -> SimilarNames {
        let mut products = self.products_by_index().map(|(_, product)| &product.product_key);
        let product_key = products.find(|key| key.eq_ignore_ascii_case(&name.product_key));
        let mut devices = self.rows().take(SIMILAR_LOOKS_MAX);
        let device = devices.find(|row| row.device_key.eq_ignore_ascii_case(&name.device_key));
        let device = device.map(|row| DeviceName {
            product_key: self.product_of(row.product).product_key.clone(),
            device_key: row.device_key.to_string(),
        });
        SimilarNames { product_key: product_key.cloned(), device }
    }

    /// One product.
    pub fn product(&self, product_key: &str) -> Option<Product> {
        self.product_keys.get(product_key).map(|&index| self.product_of(index).clone())
    }

    /// All products, in order of creation.
    pub fn products(&self) -> Vec<Product> {
        self.products.iter().flatten().map(|row| row.product.clone()).collect()
    }

    /// One device by its names.
    pub fn device(&self, name: &DeviceName) -> Option<Device> {
        let product = *self.product_keys.get(&name.product_key)?;
        self.find(product, &name.device_key).map(|row| self.shown(row))
    }

    /// One device by its id.
    pub fn device_by_id(&self, device: DeviceId) -> Option<Device> {
        self.row(device).map(|row| self.shown(row))
    }

    /// A page of devices, by id.
    pub fn devices(&self, query: &DeviceQuery) -> Vec<Device> {
        let product = match &query.product_key {
            Some(key) => match self.product_keys.get(key) {
                Some(&product) => Some(product),
                None => return Vec::new(),
            },
            None => None,
        };
        let first =
            query.after.map_or(0, |after| usize::try_from(after.0).unwrap_or(0)).min(self.devices.len());
        let rows = self.devices[first..].iter().flatten().filter(|row| {
            product.is_none_or(|product| row.product == product)
                && query.ou.as_deref().is_none_or(|ou| self.product_of(row.product).ou == ou)
                && query.device_key.as_deref().is_none_or(|key| *row.device_key == *key)
                && query.asset_id.as_deref().is_none_or(|asset_id| *row.asset_id == *asset_id)
                && query.state.is_none_or(|state| row.life.state == state)
                && query.disabled.is_none_or(|disabled| row.life.enabled != disabled)
        });
        rows.take(query.limit).map(|row| self.shown(row)).collect()
    }
}
