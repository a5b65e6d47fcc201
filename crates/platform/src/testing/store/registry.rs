//! Checks of products and devices: create, list, switch, reset, delete.

use super::fixtures::{
    T0, add_device, add_product, append, at, credentials, device, devices, events, history, log, login,
    login_with, moves, name, new_device, one_device, presence, product, products, report, write,
};
use crate::{
    ids::DeviceId,
    model::{
        credential::CredentialLookup,
        device::{Device, DeviceState, NewDevice},
        log::LogEvent,
        product::{ContentCode, DataFormat, DynamicActivation, Product, Profile},
        retention::RetentionClass,
    },
    ports::{DeviceQuery, HistoryQuery, Store, StoreError, Written},
    secret::Secret,
    testing::block_on,
};

/// Product keys are unique.
pub fn a_product_key_is_taken_once(store: &dyn Store) {
    add_product(store, "pk");
    let second = block_on(store.create_product(product("pk")));
    assert!(matches!(second, Err(StoreError::Exists { what: "product", key }) if key == "pk"));
    assert_eq!(products(store).len(), 1);
}

/// What an update may change, and what not.
pub fn an_update_keeps_secret_unit_and_creation(store: &dyn Store) {
    add_product(store, "pk");
    let changed = Product {
        ou: "o99999999999999".to_owned(),
        name: "new name".to_owned(),
        secret: Secret::new("other".to_owned()),
        dynamic_activation: DynamicActivation { enabled: true, ends_at: Some(at(1)), quota_per_hour: 3 },
        enabled: false,
        profile: Profile::Nbiot,
        short_paths: true,
        data_format: DataFormat::Custom,
        content_code: ContentCode::Changed,
        // It has a change of its own.
        model_json: Some("{}".to_owned()),
        retention: RetentionClass::parse("short").expect("it is a name"),
        created: at(99),
        ..product("pk")
    };
    block_on(store.update_product(changed.clone())).unwrap();
    let kept = block_on(store.product("pk")).unwrap().unwrap();
    assert_eq!((kept.ou, kept.created), (product("pk").ou, T0));
    assert_eq!(kept.secret.expose(), "secret of pk");
    assert_eq!((kept.name, kept.enabled, kept.model_json), (changed.name, false, None));
    assert_eq!(
        (kept.profile, kept.short_paths, kept.data_format),
        (Profile::Nbiot, true, DataFormat::Custom)
    );
    assert_eq!(kept.content_code, ContentCode::Changed);
    assert_eq!(kept.dynamic_activation, changed.dynamic_activation);
    assert_eq!(kept.retention, changed.retention);

    let missing = block_on(store.update_product(product("none")));
    assert!(matches!(missing, Err(StoreError::Missing { what: "product", .. })));
    assert!(block_on(store.product("none")).unwrap().is_none());
}

/// The new secret counts from the next look-up on; devices keep theirs.
pub fn a_rotated_secret_replaces_the_product_s_and_nothing_else(store: &dyn Store) {
    add_product(store, "pk");
    add_product(store, "other");
    let device = add_device(store, "pk", "dk-1").id;
    let before = block_on(store.product("pk")).unwrap().unwrap();
    let rotate = |key: &str| {
        block_on(store.rotate_product_secret(key.to_owned(), Secret::new("new".to_owned()), at(5)))
    };
    rotate("pk").unwrap();
    let after = block_on(store.product("pk")).unwrap().unwrap();
    assert_eq!(after.secret.expose(), "new");
    assert_eq!((after.name, after.enabled, after.created), (before.name, before.enabled, before.created));
    assert_eq!(after.dynamic_activation, before.dynamic_activation);
    let found = credentials(store, "pk", "dk-1");
    assert_eq!((found.product_secret.expose(), found.device_secret.expose()), ("new", "secret of dk-1"));
    assert_eq!(found.secret_version, 1);
    assert_eq!(block_on(store.product("other")).unwrap().unwrap().secret.expose(), "secret of other");
    assert_eq!(events(store, device), [LogEvent::Created], "it is no event of a device");
    let missing = rotate("none");
    assert!(matches!(missing, Err(StoreError::Missing { what: "product", key }) if key == "none"));
}

/// The order of the list is the order of creation.
pub fn products_come_by_creation(store: &dyn Store) {
    for key in ["m", "a", "z"] {
        add_product(store, key);
    }
    let keys: Vec<_> = products(store).into_iter().map(|product| product.product_key).collect();
    assert_eq!(keys, ["m", "a", "z"]);
}

/// Asset ids are unique in the whole store; the one of a deleted device is free again.
pub fn an_asset_id_is_taken_once(store: &dyn Store) {
    add_product(store, "pk-a");
    add_product(store, "pk-b");
    let device =
        |product: &str, key: &str| NewDevice { asset_id: "asset001".into(), ..new_device(product, key) };
    let create = |product: &str, key: &str| {
        block_on(store.create_devices(vec![device(product, key)], at(1))).unwrap().remove(0)
    };
    let first = create("pk-a", "dk-1").unwrap();
    for product in ["pk-a", "pk-b"] {
        let second = create(product, "dk-2");
        assert!(matches!(second, Err(StoreError::Exists { what: "asset", key }) if key == "asset001"));
    }
    assert!(block_on(store.devices(DeviceQuery { limit: 9, ..DeviceQuery::default() })).unwrap().len() == 1);
    block_on(store.delete_device(first.id, at(2))).unwrap();
    assert!(create("pk-b", "dk-2").is_ok());
}

/// One bad device of a list does not stop the others.
pub fn devices_are_created_one_by_one_and_refused_one_by_one(store: &dyn Store) {
    add_product(store, "pk-a");
    add_product(store, "pk-b");
    let wanted = vec![
        new_device("pk-a", "dk-1"),
        new_device("none", "dk-2"),
        new_device("pk-a", "dk-1"),
        new_device("pk-b", "dk-1"),
        new_device("pk-b", "dk-3"),
    ];
    let results = block_on(store.create_devices(wanted, at(5))).unwrap();
    assert!(
        matches!(&results[0], Ok(device) if device.created == at(5) && device.state == DeviceState::Inactive)
    );
    assert!(matches!(&results[1], Err(StoreError::Missing { what: "product", key }) if key == "none"));
    assert!(matches!(&results[2], Err(StoreError::Exists { what: "device", key }) if key == "dk-1"));
    assert!(matches!(&results[3], Err(StoreError::Exists { .. })), "a device key is unique in its unit");
    let last = results[4].as_ref().unwrap();
    assert_eq!(events(store, last.id), [LogEvent::Created]);
}

/// Both ways give the same.
pub fn a_device_is_found_by_its_names_and_by_its_id(store: &dyn Store) {
    add_product(store, "pk");
    let created = add_device(store, "pk", "dk-1");
    assert!(created.enabled);
    assert_eq!((created.active_time, created.lifetime_s, created.last_seen_time), (None, None, None));
    assert_eq!(block_on(store.device(&name("pk", "dk-1"))).unwrap().unwrap(), created);
    assert_eq!(device(store, created.id), created);
    assert!(block_on(store.device(&name("pk", "none"))).unwrap().is_none());
    assert!(block_on(store.device(&name("none", "dk-1"))).unwrap().is_none());
    assert!(block_on(store.device_by_id(DeviceId(i64::MAX))).unwrap().is_none());
}

/// Pages by id.
pub fn pages_follow_each_other_without_gap_or_repetition(store: &dyn Store) {
    add_product(store, "pk");
    let wanted = (0..25).map(|n| new_device("pk", &format!("dk-{n:02}"))).collect();
    let created: Vec<_> = block_on(store.create_devices(wanted, T0))
        .unwrap()
        .into_iter()
        .map(|device| device.unwrap().id)
        .collect();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = devices(store, DeviceQuery { after, limit: 10, ..DeviceQuery::default() });
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.iter().map(|device| device.id));
    }
    assert_eq!(seen, created);
    assert!(seen.is_sorted());
}

/// Every filter, and two at once.
pub fn lists_filter_by_product_key_state_and_switch(store: &dyn Store) {
    add_product(store, "pk-a");
    add_product(store, "pk-b");
    let a1 = add_device(store, "pk-a", "dk-1").id;
    let a2 = add_device(store, "pk-a", "dk-2").id;
    let b3 = add_device(store, "pk-b", "dk-3").id;
    write(store, login(a1, at(1)));
    write(store, login(b3, at(1)));
    block_on(store.set_device_enabled(a2, false, at(2))).unwrap();

    let list = |query: DeviceQuery| -> Vec<DeviceId> {
        let found = devices(store, DeviceQuery { limit: 100, ..query });
        found.into_iter().map(|device| device.id).collect()
    };
    let all = DeviceQuery::default;
    assert_eq!(list(all()), [a1, a2, b3]);
    assert_eq!(list(DeviceQuery { product_key: Some("pk-a".to_owned()), ..all() }), [a1, a2]);
    assert_eq!(list(DeviceQuery { product_key: Some("none".to_owned()), ..all() }), []);
    assert_eq!(list(DeviceQuery { device_key: Some("dk-3".to_owned()), ..all() }), [b3]);
    let asset_id = Some(device(store, a2).asset_id);
    assert_eq!(list(DeviceQuery { asset_id, ..all() }), [a2]);
    assert_eq!(list(DeviceQuery { state: Some(DeviceState::Online), ..all() }), [a1, b3]);
    assert_eq!(list(DeviceQuery { disabled: Some(true), ..all() }), [a2]);
    assert_eq!(list(DeviceQuery { disabled: Some(false), after: Some(a1), ..all() }), [b3]);
    let both = DeviceQuery {
        product_key: Some("pk-a".to_owned()),
        state: Some(DeviceState::Online),
        ..DeviceQuery::default()
    };
    assert_eq!(list(both), [a1]);
}

/// The switch, seen from outside and in the log.
pub fn a_switched_off_device_is_marked_and_logged(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, login(id, at(1)));
    let off = block_on(store.set_device_enabled(id, false, at(2))).unwrap().device;
    assert!(!off.enabled);
    assert_eq!(off.state, DeviceState::Offline, "offline by the same step");
    assert_eq!(device(store, id), off);
    assert!(block_on(store.set_device_enabled(id, true, at(3))).unwrap().device.enabled);
    assert_eq!(events(store, id)[..2], [LogEvent::Enabled, LogEvent::Disabled]);
}

/// Reset: inactive, no times, a secret of a new version.
pub fn a_reset_device_is_as_new_with_another_secret(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    append(store, vec![login(id, at(1)), report(id, at(2), r#"{"temp":1}"#)]);
    let reset = block_on(store.reset_device(id, Secret::new("second".to_owned()), at(3))).unwrap().device;
    assert_eq!(reset.state, DeviceState::Inactive);
    assert_eq!((reset.active_time, reset.last_online_time, reset.last_offline_time), (None, None, None));
    assert_eq!((reset.last_seen_time, reset.lifetime_s), (None, None));
    assert_eq!(device(store, id), reset);

    let found = credentials(store, "pk", "dk-1");
    assert_eq!((found.device_secret.expose(), found.secret_version, found.activated), ("second", 2, false));
    assert_eq!(events(store, id)[0], LogEvent::Reset);
    assert_eq!(write(store, login_with(id, at(4), 1)), Written::SecretSuperseded);
    assert_eq!(write(store, login_with(id, at(5), 2)), Written::Activated);
}

/// The secret is another one, and the device is offline; all else stays.
pub fn a_device_whose_secret_is_replaced_is_the_same_device(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    append(store, vec![login(id, at(1)), report(id, at(2), r#"{"temp":1}"#)]);
    let before = device(store, id);
    let rotated = block_on(store.rotate_device_secret(id, Secret::new("second".to_owned()), at(3))).unwrap();
    let expected = Device { state: DeviceState::Offline, last_offline_time: Some(at(3)), ..before };
    assert_eq!((&rotated, &device(store, id)), (&expected, &expected));
    let found = credentials(store, "pk", "dk-1");
    assert_eq!((found.device_secret.expose(), found.secret_version, found.activated), ("second", 2, true));
    assert_eq!(events(store, id)[..2], [LogEvent::SecretRotated, LogEvent::Offline]);
    assert_eq!(moves(store, id, 1)[0].cause, "its secret was replaced by an operator");
    assert_eq!(block_on(store.former_secrets(id)).unwrap()[0].expose(), "secret of dk-1");
    assert_eq!(block_on(store.points_latest(id)).unwrap().items.len(), 1);
    assert_eq!(write(store, login_with(id, at(4), 1)), Written::SecretSuperseded);
    assert_eq!(write(store, login_with(id, at(5), 2)), Written::Done, "it was active before");
    // One that has never logged in stays so.
    let new = add_device(store, "pk", "dk-2").id;
    let rotated = block_on(store.rotate_device_secret(new, Secret::new("second".to_owned()), at(6))).unwrap();
    assert_eq!((rotated.state, rotated.active_time), (DeviceState::Inactive, None));
    assert!(moves(store, new, 1).is_empty());
    let nobody = DeviceId(12_345);
    let missing = block_on(store.rotate_device_secret(nobody, Secret::new("x".to_owned()), at(7)));
    assert!(matches!(missing, Err(StoreError::Missing { what: "device", .. })));
}

/// Nothing of a deleted device is found, and what was under way for it is refused.
pub fn a_deleted_device_leaves_nothing_and_its_id_is_not_used_again(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    append(store, vec![login(id, at(1)), report(id, at(2), r#"{"temp":1}"#)]);
    block_on(store.delete_device(id, at(3))).unwrap();
    assert!(block_on(store.device_by_id(id)).unwrap().is_none());
    assert!(matches!(block_on(store.credentials("pk", "dk-1")).unwrap(), CredentialLookup::DeviceUnknown));
    assert!(log(store, id).is_empty());
    assert!(moves(store, id, 10).is_empty());
    assert!(block_on(store.points_latest(id)).unwrap().items.is_empty());
    assert_eq!(
        append(store, vec![login(id, at(4)), presence(id, DeviceState::Offline, at(5), "late")]),
        [Written::DeviceUnavailable; 2]
    );

    let again = add_device(store, "pk", "dk-1");
    assert!(again.id > id);
    assert!(block_on(store.points_latest(again.id)).unwrap().items.is_empty());
    let everything = HistoryQuery { limit: 10, ..HistoryQuery::default() };
    assert!(history(store, again.id, everything).is_empty());
}

/// Another name, and nothing else; the log says both.
pub fn a_renamed_device_keeps_all_but_its_name(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, login(id, at(1)));
    let before = device(store, id);
    let renamed = block_on(store.rename_device(id, "cellar 3".to_owned(), at(2))).unwrap();
    assert_eq!(renamed, Device { name: "cellar 3".to_owned(), ..before });
    assert_eq!(device(store, id), renamed);
    let entry = log(store, id).remove(0);
    assert_eq!(
        (entry.event, entry.detail.as_deref()),
        (LogEvent::Renamed, Some("from \"\" to \"cellar 3\""))
    );
    let missing = block_on(store.rename_device(DeviceId(12_345), String::new(), at(3))).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { what: "device", .. }));
}

/// A product is removed in steps, its devices first, and leaves nothing behind.
pub fn a_deleted_product_leaves_no_device_and_its_key_is_free(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    add_product(store, "other");
    let kept = add_device(store, "other", "dk-9").id;
    let second = add_device(store, "pk", "dk-2").id;
    append(store, vec![login(id, at(1)), report(id, at(2), r#"{"temp":1}"#)]);
    let delete = || block_on(store.delete_product("pk".to_owned()));
    let step = |limit| block_on(store.delete_devices_of("pk".to_owned(), limit, at(3))).unwrap();
    assert!(matches!(delete(), Err(StoreError::Conflict(_))));
    assert_eq!(step(1), [id]);
    assert!(matches!(delete(), Err(StoreError::Conflict(_))), "one is left");
    assert_eq!(step(10), [second]);
    assert_eq!(step(10), []);
    assert!(block_on(store.device_by_id(id)).unwrap().is_none());
    assert!(log(store, id).is_empty());
    assert_eq!(write(store, login(id, at(4))), Written::DeviceUnavailable);
    delete().unwrap();
    assert!(block_on(store.product("pk")).unwrap().is_none());
    assert!(matches!(block_on(store.credentials("pk", "dk-1")).unwrap(), CredentialLookup::ProductUnknown));
    assert!(matches!(delete(), Err(StoreError::Missing { what: "product", .. })));
    assert_eq!(products(store).len(), 1);
    assert_eq!(device(store, kept).product_key, "other");

    // The key is free, and the new product knows nothing of the old one's devices.
    add_product(store, "pk");
    let again = add_device(store, "pk", "dk-1");
    assert!(again.id > kept && again.id > second);
    assert_eq!(write(store, login(again.id, at(5))), Written::Activated);
}

/// A device that does not exist cannot be changed.
pub fn changes_of_unknown_devices_are_refused(store: &dyn Store) {
    let nobody = DeviceId(12_345);
    let missing = |error: StoreError| matches!(error, StoreError::Missing { what: "device", .. });
    assert!(missing(block_on(store.set_device_enabled(nobody, true, T0)).unwrap_err()));
    assert!(missing(block_on(store.reset_device(nobody, Secret::new("x".to_owned()), T0)).unwrap_err()));
    assert!(missing(block_on(store.delete_device(nobody, T0)).unwrap_err()));
}

/// Names are data, never syntax.
pub fn names_with_quotes_and_any_script_are_only_names(store: &dyn Store) {
    for (n, odd) in
        ["'; DROP TABLE devices; --", "\"%_\\", "名前😀", "a\tb\nc", "x' OR '1'='1"].iter().enumerate()
    {
        let key = format!("pk{n}{odd}");
        block_on(store.create_product(Product { name: (*odd).to_owned(), ..product(&key) })).unwrap();
        let mut wanted = new_device(&key, &format!("dk{n}{odd}"));
        wanted.name = (*odd).to_owned();
        wanted.device_secret = Secret::new((*odd).to_owned());
        let made = block_on(store.create_devices(vec![wanted], T0)).unwrap().remove(0).unwrap();
        assert_eq!(made.name, *odd);
        assert_eq!(credentials(store, &key, &made.device_key).device_secret.expose(), *odd);
        write(store, login(made.id, at(1)));
        write(store, presence(made.id, DeviceState::Offline, at(2), odd));
        assert_eq!(moves(store, made.id, 1)[0].cause, *odd);
        let points = serde_json::json!({ *odd: odd }).to_string();
        write(store, report(made.id, at(3), &points));
        let latest = block_on(store.points_latest(made.id)).unwrap().items;
        assert_eq!(
            (latest[0].point.as_str(), latest[0].value.get()),
            (*odd, &*serde_json::json!(odd).to_string())
        );
        let query = HistoryQuery { point: Some((*odd).to_owned()), limit: 5, ..HistoryQuery::default() };
        assert_eq!(history(store, made.id, query), latest);
    }
    assert_eq!(products(store).len(), 5);
}
