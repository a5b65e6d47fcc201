//! A search for devices in memory: all of them are looked at.

use super::model::{DeviceRow, Model};
use crate::{
    model::property::{Properties, PropertyKind},
    ports::{DeviceOrder, DeviceSearch, DevicesFound},
};

impl Model {
    /// See [`crate::ports::Registry::search_devices`].
    pub fn search_devices(&self, search: &DeviceSearch) -> DevicesFound {
        let mut found: Vec<_> = self.rows().filter(|row| self.is_wanted(row, search)).collect();
        if search.order == DeviceOrder::NewestFirst {
            found.reverse();
        }
        let follows = |row: &&DeviceRow| match (search.after, search.order) {
            (None, _) => true,
            (Some(after), DeviceOrder::OldestFirst) => row.id > after,
            (Some(after), DeviceOrder::NewestFirst) => row.id < after,
        };
        let mut left = found.into_iter().filter(follows);
        let page: Vec<_> = left.by_ref().take(search.limit).collect();
        let next = left.next().and_then(|_| page.last()).map(|row| row.id);
        DevicesFound { devices: page.into_iter().map(|row| Ok(self.shown(row))).collect(), next }
    }

    fn is_wanted(&self, row: &DeviceRow, search: &DeviceSearch) -> bool {
        let product = self.product_of(row.product);
        let has_tag = |(key, value): &(String, String)| {
            let tags = row.properties.get(&PropertyKind::Tag);
            let tag = tags.and_then(|tags: &Properties| tags.find(key));
            tag.and_then(|tag| serde_json::from_str::<String>(tag.get()).ok()).as_ref() == Some(value)
        };
        search.ou.as_ref().is_none_or(|ou| product.ou == *ou)
            && search.product_key.as_ref().is_none_or(|key| product.product_key == *key)
            && search.state.is_none_or(|state| row.life.state == state)
            && search.disabled.is_none_or(|disabled| row.life.enabled != disabled)
            && search.prefix.as_ref().is_none_or(|prefix| {
                row.device_key.starts_with(prefix.as_str()) || row.name.starts_with(prefix.as_str())
            })
            && search.tag.as_ref().is_none_or(has_tag)
            && search.firmware.as_ref().is_none_or(|version| self.firmware.says(row.id, version))
            && search.takes_seen(self.shown(row).last_seen_time)
    }
}
