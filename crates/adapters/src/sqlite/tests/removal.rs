//! What a deletion removes at once, and what it leaves alone.

use narrowgate_platform::{
    model::{
        command::{CommandTopic, Order},
        device::NewDevice,
        product::Product,
    },
    ports::{AccessChange, Journal as _, RegistryChanges as _},
    testing::{
        block_on,
        store::{
            access::unit,
            fixtures::{add_device, append, at, log, login, new_device, one_device, product, report},
        },
    },
};
use rusqlite::Connection;

use super::{open, open_unhurried, opening::hurt_registry};

#[test]
fn a_step_of_a_products_deletion_is_bounded_in_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut devices = vec![one_device(&store, "dk-1")];
    devices.extend((2..=4).map(|n| add_device(&store, "pk", &format!("dk-{n}")).id));
    let logs = Connection::open(folder.path().join("log.db")).unwrap();
    for device in &devices {
        let sql = "WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 9000) \
                   INSERT INTO presence SELECT ?1, n, 0, 'online', '', 0 FROM i";
        logs.execute(sql, [device.0]).unwrap();
    }
    let step = || block_on(store.delete_devices_of("pk".to_owned(), 500, at(3))).unwrap();
    assert_eq!(step(), devices[..3], "27,000 rows, and no further device after 20,000");
    assert_eq!(step(), devices[3..]);
    assert_eq!(step(), []);
}

#[test]
fn a_deletion_writes_no_others_latest_values_and_leaves_none_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_unhurried(folder.path());
    let first = one_device(&store, "dk-1");
    let [second, kept] = ["dk-2", "dk-3"].map(|key| add_device(&store, "pk", key).id);
    append(&store, [first, second, kept].map(|id| report(id, at(1), r#"{"temp":1}"#)).to_vec());
    let registry = Connection::open(folder.path().join("registry.db")).unwrap();
    let written = || -> Vec<i64> {
        let mut select = registry.prepare("SELECT device FROM latest ORDER BY device").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    block_on(store.delete_device(first, at(2))).unwrap();
    assert_eq!(block_on(store.delete_devices_of("pk".to_owned(), 1, at(2))).unwrap(), [second]);
    assert_eq!(written(), [] as [i64; 0], "the values of others stay in memory");
    block_on(store.close()).unwrap();
    assert_eq!(written(), [kept.0]);
}

#[test]
fn a_command_whose_row_is_damaged_keeps_no_device_from_being_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let device = one_device(&store, "dk");
    append(&store, vec![login(device, at(1))]);
    let topic = CommandTopic::Set;
    let order = Order { topic, params_json: "{}".into(), pending_ttl_s: 60, timeout_s: 30, raw: None };
    block_on(store.send_command(device, order, at(2))).unwrap().unwrap();
    let registry = Connection::open(folder.path().join("registry.db")).unwrap();
    assert_eq!(registry.execute("UPDATE commands SET id = -1", []).unwrap(), 1);
    block_on(store.delete_device(device, at(3))).unwrap();
}

#[test]
fn the_trace_of_a_damaged_device_is_one_of_its_unit() {
    let folder = tempfile::tempdir().unwrap();
    let device = one_device(&open(folder.path()), "dk");
    hurt_registry(folder.path(), "devices", &format!("name = 'x' WHERE id = {}", device.0));
    let store = open(folder.path());
    block_on(store.change_access(AccessChange::AddUnit(unit(3)))).unwrap();
    block_on(store.create_product(Product { ou: unit(3).ou, ..product("north") })).unwrap();
    block_on(store.delete_device(device, at(3))).unwrap();
    let detail = |product_key: &str| {
        let new = NewDevice { asset_id: format!("anew-{product_key}"), ..new_device(product_key, "dk") };
        let id = block_on(store.create_devices(vec![new], at(4))).unwrap().remove(0).unwrap().id;
        log(&store, id).pop().unwrap().detail
    };
    assert_eq!(detail("north"), None, "it was of another unit");
    assert_eq!(detail("pk").as_deref(), Some("registered anew: its damaged row was deleted"));
}
