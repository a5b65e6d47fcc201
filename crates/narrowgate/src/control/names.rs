//! What was probably meant by a name that nothing has: a product's name instead of its key, or the right device
//! under the wrong product.

use narrowgate_platform::service::{Operator, rows::DeviceRow};
use serde_json::Value;

use super::{DeviceName, Request};
use crate::failure::Failure;

/// What a request names.
pub(super) struct Named {
    product: String,
    device: Option<String>,
}

impl Named {
    /// `None`: it names no product.
    pub(super) fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Product { product_key }
            | Request::UpdateProduct { product_key, .. }
            | Request::DeleteProduct { product_key, .. }
            | Request::CreateDevice { product_key, .. }
            | Request::ImportDevices { product_key, .. } => Some(Self::product(product_key)),
            Request::Devices { product_key, .. } => product_key.as_deref().map(Self::product),
            Request::Device { device }
            | Request::DeviceRow { device }
            | Request::RenameDevice { device, .. }
            | Request::DeviceSecret { device }
            | Request::SetDeviceEnabled { device, .. }
            | Request::ResetDevice { device }
            | Request::DeleteDevice { device }
            | Request::PointsLatest { device, .. }
            | Request::PointsHistory { device, .. }
            | Request::DeviceLog { device, .. } => Self::device(device),
            Request::Listen { product_key: Some(product), device_key } => {
                Some(Self { product: product.clone(), device: device_key.clone() })
            }
            Request::Listen { product_key: None, device_key: Some(device) } => {
                Self::device(&DeviceName { product: None, device: device.clone() })
            }
            _ => None,
        }
    }

    fn product(product_key: &str) -> Self {
        Self { product: product_key.to_owned(), device: None }
    }

    fn device(name: &DeviceName) -> Option<Self> {
        let (product, device) = match name.parts() {
            (product, Some(device)) => (product, device),
            (name, None) => name.split_once('/')?,
        };
        Some(Self { product: product.to_owned(), device: Some(device.to_owned()) })
    }

    /// Says in a failure what was meant, where something is found.
    pub(super) async fn explain(self, registry: &Operator, failure: Failure) -> Failure {
        let says = |text: &str| failure.parts.iter().any(|(label, said)| label == "reason" && said == text);
        let no_product = says(&format!("there is no product {}", self.product));
        let no_device = self.device.as_deref().is_some_and(|device| {
            says(&format!("there is no device {}/{device}", self.product))
                || says(&format!("there is no device {device}"))
        });
        let key = if no_product { self.key_of_name(registry).await } else { None };
        let elsewhere = if no_product || no_device { self.elsewhere(registry).await } else { None };
        match key.or(elsewhere) {
            Some(meant) => {
                let mut failure = failure;
                failure.parts.retain(|(label, _)| label != "try");
                failure.hint(meant)
            }
            None => failure,
        }
    }

    /// Products are looked through only when something is wrong.
    async fn key_of_name(&self, registry: &Operator) -> Option<String> {
        let products = serde_json::to_value(registry.products().await.ok()?).ok()?;
        let named = |product: &&Value| product["name"] == *self.product;
        let mut keys = products.as_array()?.iter().filter(named).filter_map(|row| row["productKey"].as_str());
        let (key, more) = (keys.next()?, keys.next().is_some());
        Some(match more {
            false => format!("{} is a name; its key is {key}", self.product),
            true => format!(
                "{} is the name of several products; one has the key {key} (product list)",
                self.product
            ),
        })
    }

    async fn elsewhere(&self, registry: &Operator) -> Option<String> {
        let device = self.device.as_deref()?;
        let found = registry.find(device, None).await.ok()?;
        let row = serde_json::to_value(DeviceRow::from(&found)).ok()?;
        let product = row["productKey"].as_str().filter(|product| *product != self.product)?;
        Some(format!(
            "device {device} is one of product {product}: {product}/{device}   (narrowgate device list)"
        ))
    }
}
