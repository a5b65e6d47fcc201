//! What is asked of a [`super::Registry`], and what it finds.

use crate::{
    ids::{DeviceId, DeviceName},
    model::device::DeviceState,
};

/// Which devices to list.
#[derive(Debug, Clone, Default)]
pub struct DeviceQuery {
    /// Only of this organisation unit.
    pub ou: Option<String>,
    /// Only of this product.
    pub product_key: Option<String>,
    /// Only with this key (several organisation units may have one each).
    pub device_key: Option<String>,
    /// Only with this asset id.
    pub asset_id: Option<String>,
    /// Only in this state; disabled ones are listed by `disabled`.
    pub state: Option<DeviceState>,
    /// Only disabled (`true`) or only enabled (`false`) ones.
    pub disabled: Option<bool>,
    /// Only ids greater than this one: where the last page ended.
    pub after: Option<DeviceId>,
    /// At most this many; 1 to 1000.
    pub limit: usize,
}

/// Keys that exist, and equal those of a name except for case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SimilarNames {
    /// Of a product.
    pub product_key: Option<String>,
    /// Of a device, of any product.
    pub device: Option<DeviceName>,
}

/// Former secrets that a store keeps in memory, of all devices together; the oldest are dropped first.
pub const FORMER_SECRETS_MAX: usize = 4096;
