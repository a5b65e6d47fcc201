//! Rows that are not as they were stored: what can be read of them, so that people can name and delete them.
//! None of it need be true.

use crate::ids::DeviceId;

/// A device that cannot be shown: its own row, or its product's, is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedDevice {
    /// Row id.
    pub id: DeviceId,
    /// Key of its product, as it is read; `None`: it leads to no product.
    pub product_key: Option<String>,
    /// Its own key, as it is read.
    pub device_key: String,
    /// Its asset id, as it is read.
    pub asset_id: String,
    /// Which row, for people: `the row of device 42 is not as it was stored`.
    pub what: String,
}

/// A product whose row is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedProduct {
    /// Row id.
    pub row: i64,
    /// Its key, as it is read.
    pub product_key: String,
    /// Which row, for people.
    pub what: String,
}
