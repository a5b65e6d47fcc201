//! Devices found by what they are, whose list may be long.

use crate::{
    ids::{DeviceId, UnixMillis},
    model::{damaged::DamagedDevice, device::Device, device::DeviceState},
};

/// Which devices to look for, and from where. All that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct DeviceSearch {
    /// Only of this organisation unit.
    pub ou: Option<String>,
    /// Only of this product.
    pub product_key: Option<String>,
    /// Only in this state; disabled ones are found by `disabled`.
    pub state: Option<DeviceState>,
    /// Only disabled (`true`) or only enabled (`false`) ones.
    pub disabled: Option<bool>,
    /// Only those whose key or name begins with this text, letter by letter.
    pub prefix: Option<String>,
    /// Only those with a tag of this key and value.
    pub tag: Option<(String, String)>,
    /// Only those whose firmware has said this version last.
    pub firmware: Option<String>,
    /// Only those last heard at this time or later.
    pub seen_from: Option<UnixMillis>,
    /// Only those last heard before this time. One that was never heard is found by neither.
    pub seen_before: Option<UnixMillis>,
    /// In which order.
    pub order: DeviceOrder,
    /// Only those that follow this one in that order: where the last page ended.
    pub after: Option<SearchPlace>,
    /// At most this many; 1 to 1000.
    pub limit: usize,
    /// A store looks at so many rows for a page, about, where it has no better way to find what is wanted.
    pub looks_max: usize,
}

/// Orders of a list of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceOrder {
    /// In the order of their registration: by id.
    #[default]
    OldestFirst,
    /// The newest first.
    NewestFirst,
    /// By key, byte by byte; of two units with the same key by the unit's.
    ByKey,
    /// The same from the last one on.
    ByKeyDown,
}

impl DeviceOrder {
    /// Whether it is that of keys.
    pub fn is_by_key(self) -> bool {
        matches!(self, Self::ByKey | Self::ByKeyDown)
    }
}

/// Where a page of a search ends. Rows may come and go there: what follows it stays the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchPlace {
    /// In an order of registration: this device.
    Id(DeviceId),
    /// In an order of keys: a device of this key and this organisation unit.
    Key {
        /// Its key.
        device_key: String,
        /// Its unit.
        ou: String,
    },
}

impl DeviceSearch {
    /// Whether the time when a device was last heard is one of those that are wanted.
    pub fn takes_seen(&self, seen: Option<UnixMillis>) -> bool {
        match seen {
            Some(seen) => {
                self.seen_from.is_none_or(|from| seen >= from)
                    && self.seen_before.is_none_or(|before| seen < before)
            }
            None => !self.is_about_seen(),
        }
    }

    /// Whether that time matters at all.
    pub fn is_about_seen(&self) -> bool {
        self.seen_from.is_some() || self.seen_before.is_some()
    }
}

/// A page of what was found.
#[derive(Debug, Default)]
pub struct DevicesFound {
    /// In the order that was asked for. A damaged row is found by its values as they are read.
    pub devices: Vec<Result<Device, DamagedDevice>>,
    /// Behind which place the search goes on, where there may be more: also behind a page that has fewer than
    /// the limit, or none.
    pub next: Option<SearchPlace>,
}
