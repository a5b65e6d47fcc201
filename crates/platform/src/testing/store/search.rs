//! Checks of the search for devices.

use super::{
    access::unit,
    fixtures::{
        add_device, add_product, append, at, login, new_device, one_device, presence, product, report,
    },
    properties::{change, edit},
};
use crate::{
    firmware::{FirmwareMove, FirmwareStep},
    ids::{DeviceId, LoginNumber},
    model::{
        command::CommandSession,
        device::DeviceState,
        product::Product,
        property::PropertyKind::{Attribute, Tag},
    },
    ports::{AccessChange, DeviceOrder, DeviceSearch, DevicesFound, SearchPlace, Store, Write},
    testing::block_on,
};

/// All that is found, page by page, with pages of two devices and looks at three rows each.
fn found(store: &dyn Store, search: &DeviceSearch) -> Vec<DeviceId> {
    let mut search = DeviceSearch { limit: 2, looks_max: 3, ..search.clone() };
    let mut found = Vec::new();
    for _ in 0..200 {
        let page = block_on(store.search_devices(search.clone())).expect("the store reads");
        assert!(page.devices.len() <= 2);
        found.extend(page.devices.into_iter().flatten().map(|device| device.id));
        match page.next {
            Some(next) => search.after = Some(next),
            None => return found,
        }
    }
    panic!("the search {search:?} goes on for ever");
}

/// What is found in each order, and all at once.
fn check(store: &dyn Store, what: &str, search: &DeviceSearch, expected: &[DeviceId]) {
    assert_eq!(found(store, search), expected, "{what}");
    let newest = DeviceSearch { order: DeviceOrder::NewestFirst, ..search.clone() };
    let mut turned = expected.to_vec();
    turned.reverse();
    assert_eq!(found(store, &newest), turned, "{what}, the newest first");
    // These have been registered in another order than that of their keys.
    let mut by_key = expected.to_vec();
    let name_of = |id: &DeviceId| {
        let device = block_on(store.device_by_id(*id)).expect("the store reads").expect("it is there");
        (device.device_key, device.ou)
    };
    by_key.sort_by_key(name_of);
    let search_by_key = DeviceSearch { order: DeviceOrder::ByKey, ..search.clone() };
    assert_eq!(found(store, &search_by_key), by_key, "{what}, by key");
    by_key.reverse();
    let down = DeviceSearch { order: DeviceOrder::ByKeyDown, ..search.clone() };
    assert_eq!(found(store, &down), by_key, "{what}, by key, the last first");
    let at_once = DeviceSearch { limit: 1000, looks_max: 20_000, ..search.clone() };
    let page = block_on(store.search_devices(at_once)).expect("the store reads");
    let ids: Vec<_> = page.devices.into_iter().flatten().map(|device| device.id).collect();
    assert_eq!((&*ids, page.next), (expected, None), "{what}, at once");
    // Whether one device is one of them takes a look at one row.
    let last = expected.last().map_or(9, |last| last.0 + 2);
    for id in (1..=last).map(DeviceId) {
        let after = Some(SearchPlace::Id(DeviceId(id.0 + 1)));
        let alone = DeviceSearch { after, limit: 1, looks_max: 1, ..newest.clone() };
        let first = block_on(store.search_devices(alone)).expect("the store reads").devices.pop();
        let is_found = first.is_some_and(|first| first.is_ok_and(|device| device.id == id));
        assert_eq!(is_found, expected.contains(&id), "{what}, {id:?} alone");
    }
}

fn informs(device: DeviceId, version: &str, second: i64) -> Write {
    let session = CommandSession { login: LoginNumber(at(1).0.unsigned_abs()), secret_version: 1 };
    let step = FirmwareStep::Inform { version: version.to_owned() };
    Write::Firmware(FirmwareMove { device, session, step, at: at(second) })
}

fn all() -> DeviceSearch {
    DeviceSearch::default()
}

/// Twelve devices; the odd ones log in, and every third one says a version.
fn fleet(store: &dyn Store) -> Vec<DeviceId> {
    add_product(store, "pk-a");
    add_product(store, "pk-b");
    let product_of = |n| if n % 4 == 0 { "pk-b" } else { "pk-a" };
    let ids: Vec<_> =
        (0..12).map(|n| add_device(store, product_of(n), &format!("{}{n:02}", n % 2)).id).collect();
    for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 2 == 1) {
        append(store, vec![login(*id, at(1)), report(*id, at(10 + n as i64), r#"{"temp":1}"#)]);
    }
    for id in ids.iter().skip(3).step_by(6) {
        append(store, vec![informs(*id, "1.4", 60)]);
    }
    ids
}

/// Each filter alone, and filters together.
pub fn a_search_finds_what_all_of_its_filters_want(store: &dyn Store) {
    let ids = fleet(store);
    let of = |numbers: &[usize]| numbers.iter().map(|n| ids[*n]).collect::<Vec<_>>();
    append(store, vec![presence(ids[11], DeviceState::Offline, at(70), "as the test wants it")]);
    block_on(store.set_device_enabled(ids[5], false, at(71))).expect("it is there");
    block_on(store.rename_device(ids[2], "1st floor".to_owned(), at(72))).expect("it is there");
    let product_key = |key: &str| Some(key.to_owned());
    let online = Some(DeviceState::Online);
    check(store, "all", &all(), &ids);
    let of_b = DeviceSearch { product_key: product_key("pk-b"), ..all() };
    check(store, "a product", &of_b, &of(&[0, 4, 8]));
    check(store, "no product", &DeviceSearch { product_key: product_key("none"), ..all() }, &[]);
    check(store, "online", &DeviceSearch { state: online, ..all() }, &of(&[1, 3, 7, 9]));
    let inactive = DeviceSearch { state: Some(DeviceState::Inactive), ..all() };
    check(store, "inactive", &inactive, &of(&[0, 2, 4, 6, 8, 10]));
    let offline = DeviceSearch { state: Some(DeviceState::Offline), disabled: Some(false), ..all() };
    check(store, "offline", &offline, &of(&[11]));
    check(store, "disabled", &DeviceSearch { disabled: Some(true), ..all() }, &of(&[5]));
    let begins = |prefix: &str| DeviceSearch { prefix: Some(prefix.to_owned()), ..all() };
    check(store, "key or name", &begins("1"), &of(&[1, 2, 3, 5, 7, 9, 11]));
    check(store, "one key", &begins("107"), &of(&[7]));
    check(store, "one name", &begins("1st"), &of(&[2]));
    for nothing in ["x", "1ST", "%", "_07", "07"] {
        check(store, nothing, &begins(nothing), &[]);
    }
    let says = DeviceSearch { firmware: Some("1.4".to_owned()), ..all() };
    check(store, "a version", &says, &of(&[3, 9]));
    check(store, "no version", &DeviceSearch { firmware: Some("1".to_owned()), ..all() }, &[]);
    let together = DeviceSearch { prefix: Some("10".to_owned()), state: online, ..says };
    check(store, "together", &together, &of(&[3, 9]));
    check(store, "nothing together", &DeviceSearch { product_key: product_key("pk-b"), ..together }, &[]);
}

/// By when a device was last heard: from the first time on, before the second. One never heard is none.
pub fn a_search_knows_when_a_device_was_last_heard(store: &dyn Store) {
    let ids = fleet(store);
    let span = |from: Option<i64>, before: Option<i64>| DeviceSearch {
        seen_from: from.map(at),
        seen_before: before.map(at),
        ..all()
    };
    let of = |numbers: &[usize]| numbers.iter().map(|n| ids[*n]).collect::<Vec<_>>();
    check(store, "before", &span(None, Some(15)), &of(&[1, 3]));
    check(store, "from", &span(Some(15), None), &of(&[5, 7, 9, 11]));
    check(store, "between", &span(Some(13), Some(17)), &of(&[3, 5]));
    check(store, "nothing", &span(Some(17), Some(17)), &[]);
    append(store, vec![report(ids[1], at(100), r#"{"temp":2}"#)]);
    check(store, "heard again", &span(Some(100), None), &of(&[1]));
    check(store, "heard again, before", &span(None, Some(15)), &of(&[3]));
}

/// By a tag: its key and its value, whole.
pub fn a_search_finds_tags_by_key_and_value(store: &dyn Store) {
    let first = one_device(store, "dk-1");
    let second = add_device(store, "pk", "dk-2").id;
    let third = add_device(store, "pk", "dk-3").id;
    append(
        store,
        vec![
            change(first, edit(Tag, &[("site", r#""north""#), ("a/b-c", r#""x\"y'é""#)], &[])),
            change(second, edit(Tag, &[("site", r#""north-east""#), ("other", r#""north""#)], &[])),
            change(second, edit(Attribute, &[("site", r#""north""#)], &[])),
            change(third, edit(Tag, &[("site", r#""n\u006frth""#), ("text", r#""{\"site\":\"no\"}""#)], &[])),
        ],
    );
    let tagged = |key: &str, value: &str| DeviceSearch {
        tag: Some((key.to_owned(), value.to_owned())),
        ..DeviceSearch::default()
    };
    check(store, "a value", &tagged("site", "north"), &[first, third]);
    check(store, "odd letters", &tagged("a/b-c", "x\"y'é"), &[first]);
    check(store, "another key", &tagged("other", "north"), &[second]);
    check(store, "no such value", &tagged("site", "no"), &[]);
    check(store, "no such key", &tagged("sit", "north"), &[]);
    append(store, vec![change(first, edit(Tag, &[], &["site"]))]);
    check(store, "taken away", &tagged("site", "north"), &[third]);
    block_on(store.delete_device(third, at(3))).expect("it is there");
    check(store, "deleted", &tagged("site", "north"), &[]);
}

/// What is looked for is text, and never SQL.
pub fn attack_175_what_is_searched_for_is_only_text(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let odd = ["' OR '1'='1", "'; DROP TABLE devices; --", "\"", "%", "_", "*", "?1", ":low", "\\", "名前"];
    for (n, odd) in odd.iter().enumerate() {
        let none = |search: DeviceSearch| check(store, odd, &search, &[]);
        let text = || Some((*odd).to_owned());
        none(DeviceSearch { prefix: text(), ..all() });
        none(DeviceSearch { product_key: text(), ..all() });
        none(DeviceSearch { firmware: text(), ..all() });
        none(DeviceSearch { ou: text(), ..all() });
        none(DeviceSearch { tag: Some(("site".to_owned(), (*odd).to_owned())), ..all() });
        let named = add_device(store, "pk", &format!("odd-{n}")).id;
        block_on(store.rename_device(named, format!("{odd}{n}"), at(1))).expect("it is there");
        let value = serde_json::json!(odd).to_string();
        append(store, vec![change(named, edit(Tag, &[("odd", &value)], &[]))]);
        check(store, odd, &DeviceSearch { prefix: text(), ..all() }, &[named]);
        let tag = Some(("odd".to_owned(), (*odd).to_owned()));
        check(store, odd, &DeviceSearch { tag, ..all() }, &[named]);
    }
    let before = found(store, &all()).len();
    assert_eq!((before, found(store, &all())[0]), (odd.len() + 1, id), "nothing is gone");
}

/// What belongs to another unit is not found, whatever else holds.
pub fn a_search_in_a_unit_finds_nothing_of_others(store: &dyn Store) {
    block_on(store.change_access(AccessChange::AddUnit(unit(3)))).expect("it is new");
    add_product(store, "pk");
    block_on(store.create_product(Product { ou: unit(3).ou, ..product("own") })).expect("it is new");
    let mut own = Vec::new();
    for n in 0..9 {
        // The same keys in both units.
        let wanted = vec![new_device("pk", &format!("dk-{n}"))];
        block_on(store.create_devices(wanted, at(0))).expect("the store writes").remove(0).expect("new");
        if n % 4 == 0 {
            let mut wanted = new_device("own", &format!("dk-{n}"));
            wanted.asset_id = format!("own{n:05}");
            let made = block_on(store.create_devices(vec![wanted], at(0))).expect("the store writes");
            own.push(made.into_iter().flatten().next().expect("new").id);
        }
    }
    let of = |ou: String| DeviceSearch { ou: Some(ou), ..all() };
    let ou = || unit(3).ou;
    check(store, "a unit", &of(ou()), &own);
    check(store, "by key", &DeviceSearch { prefix: Some("dk-".to_owned()), ..of(ou()) }, &own);
    check(store, "one", &DeviceSearch { prefix: Some("dk-4".to_owned()), ..of(ou()) }, &own[1..2]);
    check(store, "foreign", &DeviceSearch { product_key: Some("pk".to_owned()), ..of(ou()) }, &[]);
    check(store, "no unit", &of("o00000000000099".to_owned()), &[]);
}

/// Devices that come and go between the pages change nothing for those that stay.
pub fn a_search_goes_on_while_devices_come_and_go(store: &dyn Store) {
    let first = one_device(store, "dk-0");
    let rest: Vec<_> = (1..7).map(|n| add_device(store, "pk", &format!("dk-{n}")).id).collect();
    let mut search = DeviceSearch { limit: 2, looks_max: 2, ..all() };
    let page = block_on(store.search_devices(search.clone())).expect("the store reads");
    let mut seen: Vec<_> = page.devices.into_iter().flatten().map(|device| device.id).collect();
    assert_eq!(seen, [first, rest[0]]);
    // The one where the page ended goes, one before it, and one behind it; another one comes.
    for gone in [first, rest[0], rest[2]] {
        block_on(store.delete_device(gone, at(1))).expect("it is there");
    }
    let new = add_device(store, "pk", "dk-9").id;
    search.after = page.next;
    while search.after.is_some() {
        let page = block_on(store.search_devices(search.clone())).expect("the store reads");
        seen.extend(page.devices.into_iter().flatten().map(|device| device.id));
        search.after = page.next;
    }
    assert_eq!(seen, [first, rest[0], rest[1], rest[3], rest[4], rest[5], new]);
}

/// In the order of keys, too: where the page ended in the middle of what is deleted then.
pub fn a_search_by_key_goes_on_while_devices_come_and_go(store: &dyn Store) {
    one_device(store, "dk-5");
    for key in ["dk-2", "dk-9", "dk-1", "dk-7"] {
        add_device(store, "pk", key);
    }
    let keys = |page: &DevicesFound| -> Vec<String> {
        page.devices.iter().flatten().map(|device| device.device_key.clone()).collect()
    };
    let mut search = DeviceSearch { limit: 2, looks_max: 2, order: DeviceOrder::ByKey, ..all() };
    let page = block_on(store.search_devices(search.clone())).expect("the store reads");
    assert_eq!(keys(&page), ["dk-1", "dk-2"]);
    let gone: Vec<_> = page.devices.iter().flatten().map(|device| device.id).collect();
    for id in gone {
        block_on(store.delete_device(id, at(1))).expect("it is there");
    }
    // One comes before the place where the page ended, and one behind it.
    add_device(store, "pk", "dk-0");
    add_device(store, "pk", "dk-6");
    search.after = page.next;
    let mut seen = Vec::new();
    while search.after.is_some() {
        let page = block_on(store.search_devices(search.clone())).expect("the store reads");
        seen.extend(keys(&page));
        search.after = page.next;
    }
    assert_eq!(seen, ["dk-5", "dk-6", "dk-7", "dk-9"]);
}
