//! What a handshake needs to know of a product and a device.

use crate::{
    ids::DeviceId,
    model::product::{DynamicActivation, Profile},
    secret::Secret,
};

/// Answer of a credential look-up by the two keys of an identity.
#[derive(Debug, Clone)]
pub enum CredentialLookup {
    /// No such product.
    ProductUnknown,
    /// The product exists, the device does not.
    DeviceUnknown,
    /// Both exist.
    Found(Box<Credentials>),
}

/// Secrets and switches of a device and its product, read together.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The device.
    pub device: DeviceId,
    /// The device's asset id.
    pub asset_id: String,
    /// The device's secret.
    pub device_secret: Secret,
    /// Counts the secrets that this device has had; a session is bound to the one it logged in with.
    pub secret_version: u32,
    /// Whether the device may connect.
    pub device_enabled: bool,
    /// Whether it has logged in since registration or reset: its secret is fixed then.
    pub activated: bool,
    /// The product's secret.
    pub product_secret: Secret,
    /// Whether the product's devices may connect, as far as its own switch goes.
    pub product_enabled: bool,
    /// Whether the organisation unit of both is suspended.
    pub unit_suspended: bool,
    /// How patient the server is with the product's devices.
    pub profile: Profile,
    /// The product's dynamic activation.
    pub dynamic_activation: DynamicActivation,
}

impl Credentials {
    /// Whether the device may connect: nothing of it is switched off.
    pub fn may_connect(&self) -> bool {
        self.device_enabled && self.product_enabled && !self.unit_suspended
    }
}
