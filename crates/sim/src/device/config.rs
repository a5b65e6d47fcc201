//! Who a device is and how it behaves.

use std::{fmt, sync::Arc, time::Duration};

use narrowgate_coap::{Params, format};
use narrowgate_dtls::{CipherSuite, Psk};
use narrowgate_platform::{
    ids::DeviceName,
    rules::{identity, sign},
    secret::Secret,
};

/// Whose secret the device proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecureMode {
    /// 2: its own.
    Device,
    /// 3: its product's, to ask for its own.
    Product,
}

/// The four fields of a PSK identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The product.
    pub product_key: String,
    /// The device in the product.
    pub device_key: String,
    /// Whose secret is proven.
    pub mode: SecureMode,
    /// After this many seconds of silence the device counts as offline; 30..=86400 are accepted.
    pub lifetime_s: u32,
}

impl Identity {
    /// A device with a secret of its own and a lifetime of an hour.
    pub fn new(product_key: impl Into<String>, device_key: impl Into<String>) -> Self {
        Self {
            product_key: product_key.into(),
            device_key: device_key.into(),
            mode: SecureMode::Device,
            lifetime_s: 3600,
        }
    }
}

impl fmt::Display for Identity {
    /// As it is sent: `{ProductKey},{DeviceKey},{SecureMode},{Lifetime}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            SecureMode::Device => 2,
            SecureMode::Product => 3,
        };
        write!(f, "{},{},{mode},{}", self.product_key, self.device_key, self.lifetime_s)
    }
}

/// Everything that a device is made of.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// Who it is.
    pub identity: Identity,
    /// Its key.
    pub psk: Psk,
    /// In order of its preference. Default: all.
    pub suites: Vec<CipherSuite>,
    /// Time to the first repetition of a handshake's flight. Default 1 s.
    pub retransmit_initial: Duration,
    /// Timers and limits of CoAP. Default: the RFC's.
    pub coap: Arc<Params>,
    /// The Content-Format that it writes and asks for: JSON or CBOR. Default: JSON.
    pub content_format: u16,
    /// It logs in by plain CoAP with this sign, and has no handshakes. Default: `None`.
    pub sign: Option<Arc<str>>,
}

impl DeviceConfig {
    /// A device with the defaults.
    pub fn new(identity: Identity, psk: Psk) -> Self {
        Self {
            identity,
            psk,
            suites: CipherSuite::ALL.to_vec(),
            retransmit_initial: Duration::from_secs(1),
            coap: Arc::new(Params::default()),
            content_format: format::JSON,
            sign: None,
        }
    }

    /// The same device, which logs in by plain CoAP and proves this secret. Its identity is not changed after
    /// that: the sign holds it.
    #[must_use]
    pub fn plain(mut self, secret: &str) -> Self {
        let Identity { product_key, device_key, lifetime_s, .. } = self.identity.clone();
        let name = DeviceName { product_key, device_key };
        let signed = identity::Identity { name, mode: identity::SecureMode::DeviceSecret, lifetime_s };
        self.sign = Some(sign::sign(&signed, &Secret::new(secret.to_owned())).into());
        self
    }

    /// The same device with this suite only.
    #[must_use]
    pub fn suite(mut self, suite: CipherSuite) -> Self {
        self.suites = vec![suite];
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_written_as_the_protocol_says() {
        let identity = Identity::new("MuGsF6W4", "15bBZlRknc");
        assert_eq!(identity.to_string(), "MuGsF6W4,15bBZlRknc,2,3600");
        let identity = Identity { mode: SecureMode::Product, lifetime_s: 30, ..identity };
        assert_eq!(identity.to_string(), "MuGsF6W4,15bBZlRknc,3,30");
    }
}
