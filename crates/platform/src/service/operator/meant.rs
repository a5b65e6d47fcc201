//! What was probably meant by a name that does not exist: a product's name instead of its key, or the right
//! device under the wrong product.

use narrowgate_api::{device::NamedDevice, product::ProductRow, query::EventsQuery};

use crate::service::{error::ServiceError, registrar::Registrar, view};

/// What a request names.
#[derive(Debug)]
pub(super) struct Named {
    product: String,
    device: Option<String>,
}

impl Named {
    /// A product.
    pub(super) fn product(product_key: &str) -> Option<Self> {
        Some(Self { product: product_key.to_owned(), device: None })
    }

    /// A device; `None`: the name has no product in it.
    pub(super) fn device(name: &NamedDevice) -> Option<Self> {
        let (product, device) = match name.parts() {
            (product, Some(device)) => (product, device),
            (name, None) => name.split_once('/')?,
        };
        Some(Self { product: product.to_owned(), device: Some(device.to_owned()) })
    }

    /// Either, or nothing.
    pub(super) fn events(query: &EventsQuery) -> Option<Self> {
        match (&query.product, &query.device) {
            (Some(product), device) => Some(Self { product: product.clone(), device: device.clone() }),
            (None, Some(device)) => Self::device(&NamedDevice::by_name(device)),
            (None, None) => None,
        }
    }

    /// What was meant, where something is found. Products are looked through only when something is wrong.
    pub(super) async fn meant(&self, registrar: &Registrar, error: &ServiceError) -> Option<String> {
        let ServiceError::Missing { what, key } = error else { return None };
        let no_product = *what == "product" && *key == self.product;
        let no_device = *what == "device"
            && self
                .device
                .as_deref()
                .is_some_and(|device| key == device || *key == format!("{}/{device}", self.product));
        if no_product && let Some(key) = self.key_of_name(registrar).await {
            return Some(key);
        }
        if no_product || no_device { self.elsewhere(registrar).await } else { None }
    }

    async fn key_of_name(&self, registrar: &Registrar) -> Option<String> {
        let products = registrar.products().await.ok()?.items;
        let mut keys = products.iter().filter_map(|row| match row {
            ProductRow::Intact(product) if product.name == self.product => Some(&product.product_key),
            ProductRow::Intact(_) | ProductRow::Damaged(_) => None,
        });
        let (key, more) = (keys.next()?, keys.next().is_some());
        Some(match more {
            false => format!("{} is a name; its key is {key}", self.product),
            true => format!(
                "{} is the name of several products; one has the key {key} (product list)",
                self.product
            ),
        })
    }

    async fn elsewhere(&self, registrar: &Registrar) -> Option<String> {
        let device = self.device.as_deref()?;
        let row = view::device_row(&registrar.find(device, None).await.ok()?);
        let product = row.product_key().filter(|product| *product != self.product)?;
        Some(format!(
            "device {device} is one of product {product}: {product}/{device}   (narrowgate device list)"
        ))
    }
}
