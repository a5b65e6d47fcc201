//! A product: the kind of device, its secret, and whether its devices may fetch their own secrets.

pub use narrowgate_api::product::{ContentCode, DataFormat, Profile};

use super::retention::RetentionClass;
use crate::{ids::UnixMillis, secret::Secret};

/// Whether, until when and how often devices may fetch their secrets with the product's (SecureMode 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicActivation {
    /// The switch; off by default.
    pub enabled: bool,
    /// Off again from this time on; `None`: no end.
    pub ends_at: Option<UnixMillis>,
    /// Secrets issued per clock hour at most, over all devices of the product.
    pub quota_per_hour: u32,
}

impl DynamicActivation {
    /// Default of `quota_per_hour`: a factory line's day in a few hours, a sweep over key ranges in years.
    pub const QUOTA_PER_HOUR: u32 = 1000;
}

impl Default for DynamicActivation {
    fn default() -> Self {
        Self { enabled: false, ends_at: None, quota_per_hour: Self::QUOTA_PER_HOUR }
    }
}

/// A product as the store keeps it.
#[derive(Debug, Clone)]
pub struct Product {
    /// Organisation unit that owns it.
    pub ou: String,
    /// Key of the product.
    pub product_key: String,
    /// What people call it.
    pub name: String,
    /// The product's secret.
    pub secret: Secret,
    /// Dynamic activation's switch, end and quota.
    pub dynamic_activation: DynamicActivation,
    /// Whether the product's devices may connect, as far as its own switch goes.
    pub enabled: bool,
    /// Whether its organisation unit is suspended. The store knows: what a change says of it is ignored.
    pub is_suspended: bool,
    /// How patient the server is with them.
    pub profile: Profile,
    /// Whether they may use short paths (device protocol, section 13); off by default.
    pub short_paths: bool,
    /// What they speak.
    pub data_format: DataFormat,
    /// The code that answers their GETs.
    pub content_code: ContentCode,
    /// The thing model as the JSON document it was given as; `None`: every point is accepted.
    pub model_json: Option<String>,
    /// How long what its devices report is kept.
    pub retention: RetentionClass,
    /// When it was created.
    pub created: UnixMillis,
}

impl Product {
    /// Whether its devices may connect.
    pub fn may_connect(&self) -> bool {
        self.enabled && !self.is_suspended
    }
}
