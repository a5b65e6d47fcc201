//! A device: its names, its state, and the times that tell its life.

use serde::{Deserialize, Serialize};

use super::property::PropertyEdit;
use crate::{
    ids::{DeviceId, UnixMillis},
    secret::Secret,
};

/// What a device is doing, as far as the server can know (device protocol, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeviceState {
    /// Registered, never logged in.
    Inactive,
    /// Logged in and heard within its lifetime.
    Online,
    /// Logged in once, silent since.
    Offline,
}

/// A device as the store keeps it, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Row id.
    pub id: DeviceId,
    /// Organisation unit that owns it.
    pub ou: String,
    /// Key of its product.
    pub product_key: String,
    /// Its own key, unique inside the organisation unit.
    pub device_key: String,
    /// 8 of `[A-Za-z0-9]`, stable for the device's life.
    pub asset_id: String,
    /// What people call it; empty when nobody gave a name.
    pub name: String,
    /// Whether it may connect.
    pub enabled: bool,
    /// Last known state; see `enabled` for the switch.
    pub state: DeviceState,
    /// Created in the registry.
    pub created: UnixMillis,
    /// First login since registration or reset.
    pub active_time: Option<UnixMillis>,
    /// Last change to online.
    pub last_online_time: Option<UnixMillis>,
    /// Last change to offline.
    pub last_offline_time: Option<UnixMillis>,
    /// Last authenticated datagram that was written down (may lag behind by some seconds).
    pub last_seen_time: Option<UnixMillis>,
    /// Lifetime of the last login, seconds.
    pub lifetime_s: Option<u32>,
}

/// A device to be created.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Key of its product, which exists.
    pub product_key: String,
    /// Its key, already checked or generated.
    pub device_key: String,
    /// Its secret, already checked or generated.
    pub device_secret: Secret,
    /// Its asset id, generated.
    pub asset_id: String,
    /// What people call it; may be empty.
    pub name: String,
    /// The tags and attributes that it begins with, already checked: a change of each kind at most, of a
    /// device that has none.
    pub properties: Vec<PropertyEdit>,
}
