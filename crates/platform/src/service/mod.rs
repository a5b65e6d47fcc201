//! The operator's verbs over the ports: products, devices, their secrets, what they reported, what happened to them.
//!
//! Nothing here knows who asks: the command line, the control socket and HTTP give the same arguments and get the same answers.
//! Whoever runs sessions is told by the caller when a device or a product changed.

mod create;
mod cursor;
mod devices;
mod error;
mod find;
#[cfg(test)]
mod fixtures;
pub mod fleet;
mod history;
mod import;
mod overview;
mod products;
mod removal;
pub mod rows;
pub mod view;

use std::{fmt, sync::Arc};

pub use self::{
    devices::{DeviceList, NewDeviceRequest},
    error::ServiceError,
    find::{Found, id_of},
    history::Paging,
    import::{IMPORT_CHUNK, ImportRow},
    products::{NewProduct, ProductPatch},
    removal::DELETE_CHUNK,
};
use crate::{
    ids::{DeviceId, DeviceName},
    model::product::Product,
    ports::{Clock, Entropy, History, Registry, StoreError, Stores},
    rules::names,
    secret::Secret,
};

/// Most entries that one call returns.
pub const LIMIT_MAX: usize = 10_000;

/// The verbs. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    registry: Arc<dyn Registry>,
    history: Arc<dyn History>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Operator {
    /// Verbs over these ports.
    pub fn new(stores: impl Into<Stores>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let Stores { registry, history, .. } = stores.into();
        Self { registry, history, clock, entropy }
    }

    /// The keys of a device; `None` where it is gone.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn device_name(&self, device: DeviceId) -> Result<Option<DeviceName>, ServiceError> {
        let device = self.registry.device_by_id(device).await?;
        Ok(device.map(|device| DeviceName { product_key: device.product_key, device_key: device.device_key }))
    }

    async fn existing_product(&self, product_key: &str) -> Result<Product, ServiceError> {
        let product = self.registry.product(product_key).await.map_err(|error| match error {
            StoreError::Damaged(what) => ServiceError::Damaged {
                what,
                hint: "put it right (product create NAME --product-key PK --product-secret OLD keeps its \
                       devices), or restore a backup: docs/operating.md, Damage",
            },
            other => other.into(),
        })?;
        product.ok_or_else(|| ServiceError::Missing { what: "product", key: product_key.to_owned() })
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operator")
    }
}

/// Checks a field that somebody filled in.
fn checked(field: &'static str, result: Result<(), names::NameError>) -> Result<(), ServiceError> {
    result.map_err(|fault| ServiceError::Invalid { field, message: fault.to_string() })
}

/// Checks how many entries somebody wants.
fn checked_limit(limit: usize, limit_max: usize) -> Result<usize, ServiceError> {
    if (1..=limit_max).contains(&limit) {
        Ok(limit)
    } else {
        Err(ServiceError::Invalid {
            field: "limit",
            message: format!("is {limit}; it must be 1 to {limit_max}"),
        })
    }
}

/// The secret that somebody brought, checked, with warnings if it is weaker than those that are made here or
/// its key has a zero byte; or a new one.
fn checked_or_new(
    field: &'static str,
    brought: Option<Secret>,
    new: impl FnOnce() -> Secret,
) -> Result<(Secret, Vec<String>), ServiceError> {
    let Some(secret) = brought else { return Ok((new(), Vec::new())) };
    checked(field, names::check_secret(secret.expose()))?;
    let weakness = names::weakness(&secret).filter(|_| !names::is_as_generated(&secret));
    let warnings = weakness.into_iter().chain(names::cut_by_text(&secret)).collect();
    Ok((secret, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_generated_is_not_warned_about_when_it_is_given_back() {
        let warned = |secret: &str| {
            checked_or_new("deviceSecret", Some(Secret::new(secret.to_owned())), || unreachable!()).unwrap().1
        };
        assert_eq!(warned("Z5YtZaQpK5IWocakV7zQ"), Vec::<String>::new());
        assert!(warned("12345678")[0].starts_with("the secret has about 14 bits"));
    }

    #[test]
    fn every_verb_can_run_on_any_thread() {
        fn is_send<T: Send>(_: &T) {}

        let operator = fixtures::operator();
        is_send(&operator.create_product(NewProduct::default()));
        is_send(&operator.update_product("pk", ProductPatch::default()));
        is_send(&operator.create_device(NewDeviceRequest::default()));
        is_send(&operator.resolve("dk", None));
        is_send(&operator.devices(&DeviceList::default()));
        is_send(&operator.import_devices("pk", Vec::new(), false));
        is_send(&operator.refusals(&Paging::first(1)));
        is_send(&operator.delete_product("pk", true));
        is_send(&operator.overview());
    }
}
