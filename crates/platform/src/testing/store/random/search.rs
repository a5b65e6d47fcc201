//! What searches find, in small pages and with few looks, by filters that depend on the turn.

use super::readout::product_key;
use crate::{
    ids::{DeviceId, UnixMillis},
    model::device::DeviceState,
    ports::{DeviceOrder, DeviceSearch, Store},
    testing::block_on,
};

/// What can be found at `now`.
pub(super) fn read(store: &dyn Store, now: UnixMillis, turn: usize, lines: &mut Vec<String>) {
    let states = [DeviceState::Inactive, DeviceState::Online, DeviceState::Offline];
    let hour_ago = UnixMillis(now.0 - 3_600_000);
    // A tag that was set some turns ago.
    let (key, value) = (["a", "b", "c", "d"][turn % 4].to_owned(), format!("{}.50", turn - turn % 3));
    let filters = [
        DeviceSearch::default(),
        DeviceSearch { state: Some(states[turn % 3]), ..DeviceSearch::default() },
        DeviceSearch { disabled: Some(turn.is_multiple_of(2)), ..DeviceSearch::default() },
        DeviceSearch { prefix: Some(format!("dk-{}", turn % 5)), ..DeviceSearch::default() },
        DeviceSearch { prefix: Some("name 1".to_owned()), ..DeviceSearch::default() },
        DeviceSearch { tag: Some((key, value)), ..DeviceSearch::default() },
        DeviceSearch { firmware: Some(format!("1.{}", turn % 3)), ..DeviceSearch::default() },
        DeviceSearch { seen_from: Some(hour_ago), ..DeviceSearch::default() },
        DeviceSearch { seen_before: Some(hour_ago), ..DeviceSearch::default() },
    ];
    for (n, filter) in filters.into_iter().enumerate() {
        let product = u8::try_from(turn % 3).ok().filter(|_| turn.is_multiple_of(5));
        let order = match turn % 7 {
            0..=2 => DeviceOrder::OldestFirst,
            3 | 4 => DeviceOrder::NewestFirst,
            5 => DeviceOrder::ByKey,
            _ => DeviceOrder::ByKeyDown,
        };
        let search = DeviceSearch {
            product_key: product.map(product_key),
            order,
            limit: 1 + turn % 3,
            looks_max: 1 + turn % 4,
            ..filter
        };
        lines.push(format!("search {n} finds {:?}", found(store, search)));
    }
}

fn found(store: &dyn Store, mut search: DeviceSearch) -> Vec<DeviceId> {
    let mut found = Vec::new();
    loop {
        let page = block_on(store.search_devices(search.clone())).expect("the store reads");
        found.extend(page.devices.into_iter().map(|device| device.expect("it is intact").id));
        match page.next {
            Some(next) => search.after = Some(next),
            None => return found,
        }
    }
}
