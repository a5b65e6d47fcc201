//! A search for devices in memory: all of them are looked at.

use super::model::{DeviceRow, Model};
use crate::{
    model::property::{Properties, PropertyKind},
    ports::{DeviceOrder, DeviceSearch, DevicesFound, SearchPlace},
};

impl Model {
    /// See [`crate::ports::Registry::search_devices`].
    pub fn search_devices(&self, search: &DeviceSearch) -> DevicesFound {
        let mut found: Vec<_> = self.rows().filter(|row| self.is_wanted(row, search)).collect();
        let key = |row: &DeviceRow| {
            let ou = &self.product_of(row.product).ou;
            (String::from(&*row.device_key), String::from(&**ou))
        };
        if search.order.is_by_key() {
            found.sort_by_key(|row| key(row));
        }
        if matches!(search.order, DeviceOrder::NewestFirst | DeviceOrder::ByKeyDown) {
            found.reverse();
        }
        let follows = |row: &&DeviceRow| match (&search.after, search.order) {
            (None, _) => true,
            (Some(SearchPlace::Id(after)), DeviceOrder::NewestFirst) => row.id < *after,
            (Some(SearchPlace::Id(after)), _) => row.id > *after,
            (Some(SearchPlace::Key { device_key, ou }), order) => {
                let after = (device_key.clone(), ou.clone());
                if order == DeviceOrder::ByKeyDown { key(row) < after } else { key(row) > after }
            }
        };
        let mut left = found.into_iter().filter(follows);
        let page: Vec<_> = left.by_ref().take(search.limit).collect();
        let place = |row: &&DeviceRow| match search.order.is_by_key() {
            true => {
                let (device_key, ou) = key(row);
                SearchPlace::Key { device_key, ou }
            }
            false => SearchPlace::Id(row.id),
        };
        let next = left.next().and_then(|_| page.last()).map(place);
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
