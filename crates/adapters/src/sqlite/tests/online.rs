//! The index by which a start finds the devices that are online.

use narrowgate_platform::{
    model::device::DeviceState,
    ports::Journal as _,
    testing::{
        block_on,
        store::fixtures::{add_device, add_product, at, login, online, presence, write},
    },
};
use rusqlite::Connection;

use super::open;

fn plan(registry: &Connection) -> String {
    let sql = "EXPLAIN QUERY PLAN SELECT * FROM devices d WHERE d.state = 'online'";
    registry.query_row(sql, [], |row| row.get("detail")).unwrap()
}

#[test]
fn a_start_finds_the_devices_that_are_online_by_an_index_and_makes_it_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    add_product(&store, "pk");
    let devices = ["a", "b", "c"].map(|key| add_device(&store, "pk", key).id);
    for device in devices {
        write(&store, login(device, at(1)));
    }
    // Once more, in the same state; and one goes and comes again.
    write(&store, login(devices[0], at(2)));
    for state in [DeviceState::Offline, DeviceState::Online, DeviceState::Offline] {
        write(&store, presence(devices[1], state, at(3), "as the test wants it"));
    }
    let are_online = |store: &super::SqliteStore| {
        let mut found: Vec<_> = online(store).into_iter().map(|online| online.device).collect();
        found.sort();
        found
    };
    assert_eq!(are_online(&store), [devices[0], devices[2]]);
    block_on(store.close()).unwrap();
    drop(store);

    let registry = Connection::open(data.join("registry.db")).unwrap();
    assert!(plan(&registry).contains("devices_by_online"), "{}", plan(&registry));
    // As an earlier program made it.
    let before = "DROP INDEX devices_by_online; \
                  CREATE INDEX devices_online ON devices (state) WHERE state = 'online'";
    registry.execute_batch(before).unwrap();
    drop(registry);
    let store = open(&data);
    assert_eq!(are_online(&store), [devices[0], devices[2]]);
    block_on(store.close()).unwrap();
    drop(store);
    let registry = Connection::open(data.join("registry.db")).unwrap();
    assert!(plan(&registry).contains("devices_by_online"), "{}", plan(&registry));
    let before = "SELECT count(*) FROM sqlite_schema WHERE name = 'devices_online'";
    assert_eq!(registry.query_row(before, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}
