//! Damage to units, tokens and users.

use narrowgate_platform::{
    ids::DeviceName,
    model::product::Product,
    ports::{
        AccessChange, AccessReads as _, DeviceQuery, Registry as _, RegistryChanges as _, Spares, StoreError,
        TakenFor, UserChange, UserReads as _,
    },
    testing::{
        block_on,
        store::{
            access::{change, token, unit},
            fixtures::{at, new_device, product},
            users::{self, password, session, user},
        },
    },
};

use rusqlite::Connection;

use super::{open, opening::hurt_registry};
use crate::sqlite::{queries::devices_sql, sum};

#[test]
fn a_damaged_token_opens_nothing_is_counted_and_can_be_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    for (name, hash) in [("a", 1), ("b", 2)] {
        change(&store, AccessChange::AddToken(token(name, hash))).unwrap();
    }
    drop(store);
    hurt_registry(&data, "tokens", "role = 'administrator' WHERE name = 'a'");
    let store = open(&data);
    let found = block_on(store.token_of(token("a", 1).hash));
    assert!(matches!(&found, Err(StoreError::Damaged(what)) if what.contains("token a")), "{found:?}");
    assert_eq!(block_on(store.token_of(token("b", 2).hash)).unwrap(), Some(token("b", 2)));
    let page = block_on(store.tokens()).unwrap();
    assert_eq!((page.items, page.damaged.count), (vec![token("b", 2)], 1));
    block_on(store.change_access(AccessChange::RevokeToken { name: "a".to_owned() })).unwrap();
    assert_eq!(block_on(store.tokens()).unwrap().damaged.count, 0);
}

#[test]
fn a_damaged_user_is_nobody_is_counted_and_can_be_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    for (name, number) in [("a", 1), ("b", 2)] {
        users::change(&store, UserChange::Add(Box::new(user(name)))).unwrap();
        let (session, who) = (session(number, name), TakenFor::Password(password(name)));
        users::change(&store, UserChange::BeginSession { session, who }).unwrap();
    }
    drop(store);
    hurt_registry(&data, "users", "role = 'administrator' WHERE name = 'a'");
    let store = open(&data);
    let found = block_on(store.user("a"));
    assert!(matches!(&found, Err(StoreError::Damaged(what)) if what.contains("user a")), "{found:?}");
    assert!(matches!(block_on(store.session_of(session(1, "a").hash)), Err(StoreError::Damaged(_))));
    assert_eq!(block_on(store.session_of(session(2, "b").hash)).unwrap(), Some((session(2, "b"), user("b"))));
    let page = block_on(store.users()).unwrap();
    assert_eq!((page.items, page.damaged.count), (vec![user("b")], 1));
    users::change(&store, UserChange::Delete { name: "a".to_owned(), spares: Spares::Nobody }).unwrap();
    assert_eq!(block_on(store.users()).unwrap().damaged.count, 0);
    assert_eq!(block_on(store.session_of(session(1, "a").hash)).unwrap(), None);
}

#[test]
fn a_damaged_unit_is_counted_and_its_key_and_name_stay_taken() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    for number in [3, 5] {
        change(&store, AccessChange::AddUnit(unit(number))).unwrap();
    }
    drop(store);
    hurt_registry(&data, "units", "created = created + 1 WHERE name = 'unit 3'");
    let store = open(&data);
    let page = block_on(store.units()).unwrap();
    assert_eq!((page.items, page.damaged.count), (vec![unit(5)], 1));
    let again = change(&store, AccessChange::AddUnit(unit(3)));
    assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
}

#[test]
fn a_product_that_replaces_a_damaged_one_belongs_to_the_unit_of_its_devices() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    change(&store, AccessChange::AddUnit(unit(3))).unwrap();
    block_on(store.create_product(Product { ou: unit(3).ou, ..product("pk") })).unwrap();
    block_on(store.create_devices(vec![new_device("pk", "dk")], at(0))).unwrap().remove(0).unwrap();
    drop(store);
    hurt_registry(&data, "products", "name = 'x'");
    let store = open(&data);
    block_on(store.create_product(product("pk"))).unwrap();
    let name = DeviceName { product_key: "pk".to_owned(), device_key: "dk".to_owned() };
    let found = block_on(store.device(&name)).unwrap().expect("its product is there again");
    assert_eq!((found.ou, block_on(store.product("pk")).unwrap().unwrap().ou), (unit(3).ou, unit(3).ou));
}

#[test]
fn a_unit_finds_its_devices_without_a_walk_over_those_of_others() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let registry = Connection::open(folder.path().join("registry.db")).unwrap();
    sum::teach(&registry).unwrap();
    let of_unit = DeviceQuery { ou: Some("o1".to_owned()), limit: 1, ..DeviceQuery::default() };
    let (key, product_key) = (Some("k".to_owned()), Some("p".to_owned()));
    for (query, index) in [
        (of_unit.clone(), "d USING INDEX devices_by_unit (ou=? AND rowid>?)"),
        (
            DeviceQuery { product_key, ..of_unit.clone() },
            "d USING INDEX devices_product (product=? AND rowid>?)",
        ),
        (DeviceQuery { device_key: key.clone(), ..of_unit.clone() }, "(device_key=?"),
        (DeviceQuery { asset_id: key, ..of_unit }, "(asset_id=?"),
    ] {
        let sql = format!("EXPLAIN QUERY PLAN {}", devices_sql(&query));
        let mut explain = registry.prepare(&sql).unwrap();
        let plan: Vec<String> = explain
            .query_map([None::<i64>; 8], |row| row.get("detail"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let plan = plan.join("; ");
        assert!(plan.contains(index), "{plan}");
    }
}
