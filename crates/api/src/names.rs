//! Names of things, and points in time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, as in every JSON field that carries a time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

/// The two keys that name a device everywhere outside a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceName {
    /// Key of the product, 8 of `[A-Za-z0-9]` when generated.
    pub product_key: String,
    /// Key of the device inside its organisation unit, 4 to 64 of `[A-Za-z0-9_.:-]`.
    pub device_key: String,
}
