//! A row that is not as it was stored hides no other one, shows by which name it can be deleted, and can be
//! deleted.

use std::{fs, path::Path, time::Duration};

use narrowgate_platform::{
    firmware::{Image, ServerName, Sha256Sum},
    ids::{DeviceId, UnixMillis},
    model::{
        damaged::DamagedDevice,
        device::{Device, NewDevice},
        log::{LogEntry, LogEvent},
        overview::{DeviceCounts, OverviewQuery},
        product::Product,
    },
    paging::{Page, Part},
    ports::{
        DEVICE_REFUSALS_MAX, DeviceQuery, HistoryQuery, HistoryReads as _, Journal as _, OfferTo,
        Registry as _, RegistryChanges as _, StoreError, Write, Written,
    },
    secret::Secret,
    testing::{
        block_on,
        store::fixtures::{
            add_device, add_product, append, at, credentials, history, log, login, new_device, product,
            products, refusal, refusals, report, write,
        },
    },
};
use rusqlite::Connection;

use super::{SqliteOptions, SqliteStore, open, opening::hurt_registry};

const DAMAGED: &str = "damaged-key";

/// Three devices, of which the second will be damaged. Everybody has refusals, a log and reports.
fn fleet(data: &Path) -> [DeviceId; 3] {
    let store = open(data);
    add_product(&store, "pk");
    let ids = ["first", DAMAGED, "third"].map(|key| add_device(&store, "pk", key).id);
    for (n, id) in (1..).zip(ids) {
        append(
            &store,
            vec![
                login(id, at(n)),
                Write::Log(refusal(Some(id), None, at(10 + n))),
                report(id, at(20 + n), r#"{"n":1}"#),
            ],
        );
    }
    block_on(store.close()).unwrap();
    ids
}

fn rows(store: &SqliteStore) -> Vec<Result<Device, DamagedDevice>> {
    block_on(store.devices(DeviceQuery { limit: 100, ..DeviceQuery::default() })).unwrap()
}

/// Ids of a list, and whether each is intact.
fn shape(listed: &[Result<Device, DamagedDevice>]) -> Vec<(DeviceId, bool)> {
    listed.iter().map(|row| row.as_ref().map_or_else(|gone| (gone.id, false), |it| (it.id, true))).collect()
}

/// The second device is listed as damaged, and no other is affected; it can be deleted, and registered with
/// its old secret.
fn assert_it_hides_nobody_and_goes(data: &Path, ids: [DeviceId; 3], change: &str) {
    let store = open(data);
    let listed = rows(&store);
    assert_eq!(shape(&listed), [(ids[0], true), (ids[1], false), (ids[2], true)], "{change}");
    let damaged = listed[1].as_ref().unwrap_err();
    assert!(damaged.what.contains("not as it was stored"), "{change}: {damaged:?}");
    assert_eq!(refusals(&store, 10).len(), 3, "{change}");
    assert_eq!(log(&store, ids[2]).len(), 4, "{change}");
    assert_eq!(write(&store, login(ids[2], at(30))), Written::Done, "{change}");
    assert_eq!(history(&store, ids[2], HistoryQuery { limit: 9, ..HistoryQuery::default() }).len(), 1);
    assert_ne!(write(&store, login(ids[1], at(30))), Written::Done, "{change}: nobody logs in by it");
    assert!(block_on(store.rename_device(ids[1], "x".into(), at(30))).is_err(), "{change}");
    assert!(block_on(store.reset_device(ids[1], Secret::new("x".into()), at(30))).is_err(), "{change}");

    block_on(store.delete_device(damaged.id, at(40))).unwrap();
    assert_eq!(shape(&rows(&store)), [(ids[0], true), (ids[2], true)], "{change}");
    assert_eq!(refusals(&store, 10).len(), 2, "{change}");
    let anew = NewDevice {
        device_secret: Secret::new("secret of damaged-key".into()),
        asset_id: "anew".into(),
        ..new_device("pk", DAMAGED)
    };
    let anew = block_on(store.create_devices(vec![anew], at(50))).unwrap().remove(0).unwrap();
    assert_eq!(credentials(&store, "pk", DAMAGED).device_secret.expose(), "secret of damaged-key");
    assert_eq!(write(&store, login(anew.id, at(60))), Written::Activated, "{change}");
    let entry = log(&store, anew.id).pop().unwrap();
    assert_eq!(entry.event, LogEvent::Created);
    if damaged.device_key == DAMAGED {
        assert_eq!(entry.detail.as_deref(), Some("registered anew: its damaged row was deleted"), "{change}");
    }
    drop(store);
    assert_eq!(rows(&open(data)).len(), 3, "{change}: after a restart too");
}

#[test]
fn a_damaged_device_hides_no_other_and_can_be_deleted_and_registered_anew() {
    for change in [
        "name = 'x'",
        "name = x'00ff'",
        "enabled = 0",
        "enabled = 'x'",
        "state = 'offline'",
        "state = 'ooline'",
        "secret = x'00'",
        "secret_version = 7",
        "created = 'x'",
        "lifetime_s = -1",
        "asset_id = 'AAAAAAAA'",
        "asset_id = x'ff'",
        "device_key = 'damaged-kex'",
        "device_key = x'ff'",
        "ou = 'o1'",
        "product = 99",
        "product = 2",
        "sum = sum + 1",
        "sum = 'x'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let ids = fleet(folder.path());
        add_product(&open(folder.path()), "other");
        hurt_registry(folder.path(), "devices", &format!("{change} WHERE id = {}", ids[1].0));
        assert_it_hides_nobody_and_goes(folder.path(), ids, change);
    }
}

/// Counts take nothing as true that a list shows as damaged.
#[test]
fn the_fleets_numbers_count_what_is_damaged_apart() {
    let numbers = |data: &Path| {
        let query = OverviewQuery { now: at(50), products_max: 5 };
        let overview = block_on(open(data).overview(query)).unwrap();
        let product = &overview.products[0];
        (overview.devices, product.name.clone(), product.devices)
    };
    let counts = |online, damaged| DeviceCounts { online, damaged, ..DeviceCounts::default() };
    let name = || Some(product("pk").name);
    for (table, change, right) in [
        ("devices", "state = 'offline' WHERE id = 2", (counts(2, 1), name(), counts(2, 1))),
        ("devices", "enabled = 'x' WHERE id = 2", (counts(2, 1), name(), counts(2, 1))),
        ("devices", "sum = 'x' WHERE id < 3", (counts(1, 2), name(), counts(1, 2))),
        ("devices", "product = 9 WHERE id = 2", (counts(2, 1), name(), counts(2, 0))),
        ("devices", "product = 'x' WHERE id = 2", (counts(2, 1), name(), counts(2, 0))),
        ("products", "name = 'x'", (counts(0, 3), None, counts(0, 3))),
        ("products", "name = x'ff'", (counts(0, 3), None, counts(0, 3))),
        ("products", "model_json = '{}'", (counts(3, 0), None, counts(3, 0))),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fleet(folder.path());
        assert_eq!(numbers(folder.path()), (counts(3, 0), name(), counts(3, 0)));
        hurt_registry(folder.path(), table, change);
        assert_eq!(numbers(folder.path()), right, "{change}");
        let listed = rows(&open(folder.path())).iter().filter(|row| row.is_err()).count() as u64;
        assert_eq!(listed, right.0.damaged, "{change}: as in the list");
    }
}

/// Latest values are made from reports: damage to them is logged, stops nothing and ends with the next
/// report.
#[test]
fn damaged_latest_values_are_told_and_replaced_by_the_next_flush() {
    for change in [
        "points = '{}'",
        "points = CAST(x'ff' AS TEXT)",
        "points = x'ff00'",
        "points = 7",
        "seen = 5",
        "seen = 'x'",
        "sum = 0",
        "sum = 'x'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let ids = fleet(folder.path());
        hurt_registry(folder.path(), "latest", &format!("{change} WHERE device = {}", ids[1].0));

        let options = SqliteOptions { flush_interval: Duration::ZERO, ..SqliteOptions::new(folder.path()) };
        let store = SqliteStore::open(options).unwrap();
        let latest = |id| block_on(store.points_latest(id)).unwrap();
        let damaged = latest(ids[1]);
        assert_eq!((damaged.items.len(), damaged.damaged.count), (0, 1), "{change}");
        let what = damaged.damaged.first.unwrap();
        let words = "the row of latest values of device 2 is not as it was stored; it is made anew";
        assert!(what.starts_with(words), "{change}: {what}");
        assert_eq!((latest(ids[2]).items.len(), latest(ids[2]).damaged.count), (1, 0), "{change}");
        // What was seen by the damaged row alone is not shown.
        assert_eq!(rows(&store)[1].as_ref().unwrap().last_seen_time, Some(at(2)), "{change}");

        append(&store, ids.map(|id| report(id, at(40), r#"{"m":2}"#)).into());
        assert_eq!(latest(ids[1]).items.len(), 1, "{change}");
        // Flushes come between two groups.
        let mut tries = 0;
        while latest(ids[1]).damaged.count > 0 {
            tries += 1;
            assert!(tries < 1000, "{change}: the row is never replaced");
            append(&store, vec![report(ids[0], at(41), r#"{"m":3}"#)]);
        }
        assert_eq!(latest(ids[2]).items.len(), 2, "{change}");
        block_on(store.close()).unwrap();
        drop(store);
        let store = open(folder.path());
        let anew = block_on(store.points_latest(ids[1])).unwrap();
        assert_eq!((anew.items.len(), anew.damaged.count), (1, 0), "{change}");
        assert_eq!(rows(&store)[1].as_ref().unwrap().last_seen_time, Some(at(40)), "{change}");
    }
}

/// Where some bytes are in a file.
fn places(file: &[u8], bytes: &[u8]) -> Vec<usize> {
    (0..=file.len() - bytes.len()).filter(|&at| file[at..].starts_with(bytes)).collect()
}

/// Bits flip in the file itself, below SQLite: rows and indexes then differ. Small files are checked when
/// they are opened, large ones are not.
#[test]
fn a_bit_that_flips_in_a_device_or_its_index_hides_no_other() {
    for large in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let ids = fleet(&data);
        if large {
            let store = open(&data);
            for n in 0..17 {
                let padding = Some(format!("\"{}\"", "x".repeat(1 << 20)));
                let large = Product { model_json: padding, ..product(&format!("large-{n}")) };
                block_on(store.create_product(large)).unwrap();
            }
            block_on(store.close()).unwrap();
        }
        let registry = data.join("registry.db");
        let asset_id = rows(&open(&data))[1].clone().unwrap().asset_id;
        let whole = fs::read(&registry).unwrap();
        assert_eq!(whole.len() > 16 << 20, large);
        let mut in_rows = 0;
        for text in [DAMAGED.as_bytes(), asset_id.as_bytes()] {
            // The first asset ids of a run look like the end of the organisation unit, `o00000000000001`.
            let mut places = places(&whole, text);
            places.retain(|at| whole[at - 1] != b'0');
            assert!(places.len() >= 2, "in the row and in an index");
            for place in places {
                let mut hurt = whole.clone();
                hurt[place] ^= 0x10;
                let copy = super::crashed(&data, &format!("{large}-{place}"));
                fs::write(copy.join("registry.db"), &hurt).unwrap();
                let change = format!("large {large}: byte {place}");
                let store = open(&copy);
                let listed = rows(&store);
                if listed.iter().all(Result::is_ok) {
                    // A bit of an index is healed by the start, or does no harm.
                    assert_eq!(listed.len(), 3, "{change}");
                    block_on(store.delete_device(ids[1], at(40))).unwrap();
                    assert_eq!(rows(&store).len(), 2, "{change}");
                    add_device(&store, "pk", DAMAGED);
                } else {
                    in_rows += 1;
                    drop(store);
                    assert_it_hides_nobody_and_goes(&copy, ids, &change);
                }
                fs::remove_dir_all(copy).unwrap();
            }
        }
        assert!(in_rows >= 2, "{in_rows}");
    }
}

#[test]
fn a_damaged_product_hides_no_other_and_can_be_replaced_or_deleted() {
    for change in [
        "name = 'x'",
        "name = x'ff'",
        "secret = x'00'",
        "enabled = 0",
        "model_json = '{}'",
        "ou = 'o1'",
        "issued_count = 9",
        "sum = 'x'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let ids = fleet(folder.path());
        let store = open(folder.path());
        add_product(&store, "other");
        let other = add_device(&store, "other", "dk-9").id;
        drop(store);
        hurt_registry(folder.path(), "products", &format!("{change} WHERE product_key = 'pk'"));

        let store = open(folder.path());
        let listed = block_on(store.products()).unwrap();
        let damaged = listed[0].as_ref().unwrap_err();
        assert_eq!((&*damaged.product_key, damaged.row), ("pk", 1), "{change}");
        assert_eq!(listed[1].as_ref().unwrap().product_key, "other", "{change}");
        let devices = rows(&store);
        assert_eq!(devices.len(), 4, "{change}");
        assert_eq!(devices[3].as_ref().unwrap().id, other);
        if change != "model_json = '{}'" {
            assert!(devices[..3].iter().all(Result::is_err), "{change}");
        }
        assert_eq!(refusals(&store, 10).len(), 3, "{change}");
        assert_eq!(write(&store, login(other, at(30))), Written::Activated);

        // Put right: its devices are as they were.
        block_on(store.create_product(product("pk"))).unwrap();
        assert!(rows(&store).iter().all(Result::is_ok), "{change}");
        assert_eq!(write(&store, login(ids[0], at(31))), Written::Done, "{change}");
        assert_eq!(credentials(&store, "pk", "first").product_secret.expose(), "secret of pk");
        let again = block_on(store.create_product(product("pk")));
        assert!(matches!(again, Err(StoreError::Exists { .. })), "an intact one is not replaced");
        drop(store);

        // Or deleted, with its devices.
        hurt_registry(folder.path(), "products", &format!("{change} WHERE product_key = 'pk'"));
        let store = open(folder.path());
        assert!(matches!(block_on(store.delete_product("id:1".into())), Err(StoreError::Conflict(_))));
        assert_eq!(block_on(store.delete_devices_of("pk".into(), 10, at(32))).unwrap(), ids);
        block_on(store.delete_product("id:1".into())).unwrap();
        assert_eq!(products(&store).len(), 1, "{change}");
        assert_eq!(rows(&store).len(), 1, "{change}");
        let intact = block_on(store.delete_product("id:2".into()));
        assert!(matches!(intact, Err(StoreError::Missing { .. })), "an intact one has its key");
    }
}

/// In a registry that is too large to be checked at the start, the index still knows the right key.
#[test]
fn a_product_whose_key_is_damaged_is_put_right_with_its_devices() {
    const KEY: &str = "key-that-is-hurt";
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    add_product(&store, KEY);
    let device = add_device(&store, KEY, "dk-1").id;
    for n in 0..17 {
        let padding = Some(format!("\"{}\"", "x".repeat(1 << 20)));
        let large = Product { model_json: padding, ..product(&format!("large-{n}")) };
        block_on(store.create_product(large)).unwrap();
    }
    block_on(store.close()).unwrap();
    drop(store);
    let registry = folder.path().join("registry.db");
    let mut file = fs::read(&registry).unwrap();
    // In the row the name follows the key.
    let name = product(KEY).name;
    let places = places(&file, format!("{KEY}{name}").as_bytes());
    assert!(!places.is_empty());
    places.iter().for_each(|place| file[*place] ^= 0x10);
    fs::write(&registry, file).unwrap();

    let store = open(folder.path());
    assert!(rows(&store).iter().all(Result::is_err));
    block_on(store.create_product(product(KEY))).unwrap();
    let listed = rows(&store);
    assert_eq!(listed[0].as_ref().unwrap().product_key, KEY);
    assert_eq!(products(&store).len(), 18);
    assert_eq!(write(&store, login(device, at(1))), Written::Activated);
    assert_eq!(credentials(&store, KEY, "dk-1").product_secret.expose(), format!("secret of {KEY}"));
    block_on(store.close()).unwrap();
    let check = Connection::open(&registry).unwrap();
    let found: String = check.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

/// Items and damaged rows of a list that is read in pages.
fn counted<T>(limit: usize, read: impl Fn(Part) -> Page<T>) -> (Vec<T>, u64) {
    let (mut after, mut items, mut damaged) = (None, Vec::new(), 0);
    loop {
        let page = read(Part { after, limit });
        items.extend(page.items);
        damaged += page.damaged.count;
        after = page.next;
        if after.is_none() {
            return (items, damaged);
        }
    }
}

#[test]
fn a_damaged_entry_of_a_log_hides_no_other_and_is_counted_once() {
    for change in
        ["detail = 'x'", "peer = x'ff'", "event = 'refuset'", "time = time + 1", "code = 'x'", "sum = 'x'"]
    {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        add_product(&store, "pk");
        let id = add_device(&store, "pk", "dk-1").id;
        append(&store, (1..=9).map(|n| Write::Log(refusal(Some(id), None, at(n)))).collect());
        append(&store, (1..=9).map(|n| Write::Log(refusal(None, Some("x"), at(n)))).collect());
        drop(store);
        hurt_registry(folder.path(), "log", &format!("{change} WHERE n = 5"));
        let store = open(folder.path());
        // One of the device's, and one of nobody's; a changed event is not a refusal any more.
        let of_all_damaged = if change.starts_with("event") { 0 } else { 2 };
        for limit in [1, 3, 100] {
            let of_device = |part| block_on(store.device_log(id, part)).unwrap();
            let (entries, damaged): (Vec<LogEntry>, u64) = counted(limit, of_device);
            assert_eq!((entries.len(), damaged), (9, 1), "{change}, in pages of {limit}");
            let (entries, damaged) = counted(limit, |part| block_on(store.refusals(part)).unwrap());
            assert_eq!((entries.len(), damaged), (16, of_all_damaged), "{change}, in pages of {limit}");
        }
        block_on(store.delete_device(id, at(40))).unwrap();
        assert_eq!(refusals(&store, 100).len(), 8, "{change}");
    }
}

/// Trimming meets the damaged row, whose index does not match it.
#[test]
fn a_damaged_entry_of_a_log_does_not_stop_the_writer_when_it_is_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    add_product(&store, "pk");
    let id = add_device(&store, "pk", "dk-1").id;
    append(&store, (1..=9).map(|n| Write::Log(refusal(Some(id), None, at(n)))).collect());
    block_on(store.close()).unwrap();
    let logs = data.join("log.db");
    // Large, so that no start looks at its indexes.
    let padded = Connection::open(&logs).unwrap();
    padded.execute_batch("CREATE TABLE padding AS SELECT zeroblob(17 << 20)").unwrap();
    padded.close().unwrap();
    let whole = fs::read(&logs).unwrap();
    assert!(whole.len() > 16 << 20);
    // The time of the fifth refusal, as SQLite stores a number of six bytes.
    let places = places(&whole, &at(5).0.to_be_bytes()[2..]);
    assert_eq!(places.len(), 3, "in the row, in the index and in what followers are told");
    for place in places {
        let copy = super::crashed(&data, &format!("hurt-{place}"));
        let mut hurt = whole.clone();
        hurt[place + 5] ^= 1;
        fs::write(copy.join("log.db"), &hurt).unwrap();
        let store = open(&copy);
        let later: Vec<Write> = (0..1000).map(|n| Write::Log(refusal(Some(id), None, at(100 + n)))).collect();
        for batch in later.chunks(100) {
            assert!(append(&store, batch.to_vec()).iter().all(|written| *written == Written::Done));
        }
        assert_eq!(log(&store, id).len(), DEVICE_REFUSALS_MAX + 1, "refusals, and that it was created");
    }
}

#[test]
fn a_damaged_report_hides_no_other_and_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    add_product(&store, "pk");
    let id = add_device(&store, "pk", "dk-1").id;
    append(&store, (1..=9).map(|n| report(id, at(n), &format!(r#"{{"a":{n},"b":{n}}}"#))).collect());
    drop(store);
    let file = Connection::open(folder.path().join("messages/2026-01-01.db")).unwrap();
    file.execute("UPDATE messages SET points = '{}' WHERE id IN (1, 4, 5, 9)", []).unwrap();
    drop(file);
    let store = open(folder.path());
    for limit in [1, 2, 3, 4, 100] {
        let (values, damaged) = counted(limit, |Part { after, limit }| {
            block_on(store.points_history(id, HistoryQuery { after, limit, ..HistoryQuery::default() }))
                .unwrap()
        });
        let times: Vec<UnixMillis> = values.into_iter().map(|value| value.time).collect();
        assert_eq!((times, damaged), ([8, 8, 7, 7, 6, 6, 3, 3, 2, 2].map(at).into(), 4), "pages of {limit}");
    }
}

/// Neither its switch nor its reset waits for somebody who repairs the row.
#[test]
fn a_damaged_upgrade_or_image_keeps_nobody_from_switching_a_device_off() {
    for table in ["upgrades", "images"] {
        let folder = tempfile::tempdir().unwrap();
        let ids = fleet(folder.path());
        let store = open(folder.path());
        let (product_key, version) = ("pk".to_owned(), "2.0".to_owned());
        let (size, sha256, uploaded, rollout) = (9, Sha256Sum([7; 32]), at(0), None);
        let id = "IMG00001".parse().expect("letters and digits");
        let image = Image { id, product_key, version, size, sha256, uploaded, rollout };
        block_on(store.add_image(image)).unwrap();
        block_on(store.offer_image(id, OfferTo::Device(ids[0]), at(40))).unwrap();
        block_on(store.advance_upgrades(9, ServerName::default(), at(41))).unwrap();
        block_on(store.close()).unwrap();
        drop(store);
        hurt_registry(folder.path(), table, "sum = 0");
        let store = open(folder.path());
        assert!(
            !block_on(store.set_device_enabled(ids[0], false, at(50))).unwrap().device.enabled,
            "{table}"
        );
        block_on(store.reset_device(ids[0], Secret::new("another".into()), at(51))).unwrap();
    }
}
