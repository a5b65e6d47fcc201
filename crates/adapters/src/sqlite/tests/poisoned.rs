//! Damaged pages: who meets one is left out, everybody else is served; and the table of latest values, which
//! is derived, is made anew.

use std::{fs, path::Path, time::Duration};

use narrowgate_platform::{
    ids::DeviceId,
    model::product::Product,
    ports::{
        DeviceQuery, HistoryQuery, HistoryReads as _, Issued, Journal as _, Registry as _,
        RegistryChanges as _, StoreError, Write, Written,
    },
    secret::Secret,
    testing::{
        block_on,
        store::fixtures::{
            add_device, add_product, append, at, history, log, login, product, refusal, report,
        },
    },
};
use rusqlite::Connection;

use super::{SqliteOptions, SqliteStore, open};
use crate::sqlite::open as opening;

const DAY: i64 = 86_400;
const DEVICES: usize = 300;
const PAGE: usize = 4096;

/// Devices with a report each; the registry is above 16 MiB, so that no start looks at its pages, or below.
pub(in crate::sqlite) fn fleet(data: &Path, large: bool) -> Vec<DeviceId> {
    let store = open(data);
    add_product(&store, "pk");
    let ids: Vec<DeviceId> = (0..DEVICES).map(|n| add_device(&store, "pk", &format!("dk-{n}")).id).collect();
    let text = "x".repeat(100);
    append(
        &store,
        ids.iter().map(|id| report(*id, at(id.0), &format!(r#"{{"m":"{}-{text}"}}"#, id.0))).collect(),
    );
    for n in 0..if large { 17 } else { 0 } {
        let padding = Some(format!("\"{}\"", "x".repeat(1 << 20)));
        let large = Product { model_json: padding, ..product(&format!("large-{n}")) };
        block_on(store.create_product(large)).unwrap();
    }
    block_on(store.close()).unwrap();
    ids
}

/// Overwrites the leaf page that holds `text`, and is of this type.
pub(super) fn overwrite_page(file: &Path, text: &str, kind: u8) {
    let mut bytes = fs::read(file).unwrap();
    let has = |page: &[u8]| page.windows(text.len()).any(|window| window == text.as_bytes());
    let pages: Vec<usize> = (0..bytes.len() / PAGE)
        .filter(|n| bytes[n * PAGE] == kind && has(&bytes[n * PAGE..(n + 1) * PAGE]))
        .collect();
    assert_eq!(pages.len(), 1, "{text}");
    bytes[pages[0] * PAGE..][..PAGE].fill(0xa5);
    fs::write(file, bytes).unwrap();
}

/// The page of latest values of a device.
pub(in crate::sqlite) fn overwrite_latest(data: &Path, id: DeviceId) {
    overwrite_page(&data.join("registry.db"), &format!("\"value\":\"{}-xxx", id.0), 0x0d);
}

fn latest(store: &SqliteStore, id: DeviceId) -> Option<String> {
    let page = block_on(store.points_latest(id)).unwrap();
    page.items.iter().find(|value| value.point == "m").map(|value| value.value.get()[1..].to_owned())
}

/// Reports of all devices on a day.
fn report_all(store: &SqliteStore, ids: &[DeviceId], day: i64) {
    let written =
        append(store, ids.iter().map(|id| report(*id, at(day * DAY + id.0), r#"{"n":1}"#)).collect());
    assert!(written.iter().all(|written| *written == Written::Done), "day {day}");
}

#[test]
fn attack_212_a_damaged_page_of_latest_values_stops_neither_reports_nor_a_start() {
    for large in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let ids = fleet(folder.path(), large);
        let size = fs::metadata(folder.path().join("registry.db")).unwrap().len();
        assert_eq!(size > 16 << 20, large);
        overwrite_latest(folder.path(), ids[150]);
        let store = open(folder.path());
        report_all(&store, &ids, 0);
        // The day's file is left, and before that all latest values are written.
        report_all(&store, &ids, 1);
        report_all(&store, &ids, 2);
        block_on(store.close()).unwrap();
        drop(store);
        for _ in 0..2 {
            let store = open(folder.path());
            for id in &ids {
                let value = latest(&store, *id).expect("what was lost is read from the reports");
                assert!(value.starts_with(&format!("{}-x", id.0)), "large {large}: {value}");
            }
            let query = DeviceQuery { limit: 1000, ..DeviceQuery::default() };
            assert_eq!(block_on(store.devices(query)).unwrap().len(), DEVICES);
            report_all(&store, &ids, 3);
            block_on(store.close()).unwrap();
        }
    }
}

/// The start folds the messages of a crash in.
#[test]
fn attack_212_a_start_after_a_crash_makes_damaged_latest_values_anew() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ids = fleet(&data, true);
    let store = super::open_unhurried(&data);
    report_all(&store, &ids, 0);
    let copy = super::crashed(&data, "crashed");
    overwrite_latest(&copy, ids[150]);
    let store = open(&copy);
    report_all(&store, &ids, 1);
    assert!(ids.iter().all(|id| latest(&store, *id).is_some()));
}

#[test]
fn a_rebuilt_table_names_the_devices_whose_rows_are_lost_and_keeps_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let ids = fleet(folder.path(), true);
    overwrite_latest(folder.path(), ids[150]);
    let (_, mut writer) = opening::open(&SqliteOptions::new(folder.path())).unwrap();
    let (kept, lost) = writer.rebuild_for_test();
    assert!(lost.contains(&ids[150]), "{lost:?}");
    assert!((5..60).contains(&lost.len()), "a page of them: {lost:?}");
    assert!(lost.is_sorted());
    assert_eq!(kept + lost.len(), DEVICES);
    assert_eq!(writer.rebuild_for_test(), (DEVICES, Vec::new()), "those that were lost are there, too");
}

/// A reader that meets the page has it made anew.
#[test]
fn a_damaged_page_that_only_a_reader_meets_is_made_anew_within_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let ids = fleet(folder.path(), true);
    overwrite_latest(folder.path(), ids[150]);
    let store = open(folder.path());
    assert!(block_on(store.points_latest(ids[150])).unwrap().damaged.count > 0);
    let mut tries = 0;
    while latest(&store, ids[150]).is_none() {
        tries += 1;
        assert!(tries < 1000, "it is never made anew");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A device whose log is on a damaged page, among others. The file is above 16 MiB, so that no start looks at
/// its pages.
fn poisoned(data: &Path) -> Vec<DeviceId> {
    let ids = fleet(data, false);
    let store = open(data);
    let marked = |n: i64| {
        let mut entry = refusal(Some(ids[7]), None, at(n));
        entry.detail = Some(format!("marker-{n} {}", "y".repeat(300)));
        Write::Log(entry)
    };
    append(&store, (1..=40).map(marked).collect());
    block_on(store.close()).unwrap();
    drop(store);
    // The last page of its log, where the next entry goes. WITHOUT ROWID, so that it is a page of an index.
    overwrite_page(&data.join("log.db"), "marker-39 y", 0x0a);
    let padded = Connection::open(data.join("log.db")).unwrap();
    padded.execute_batch("CREATE TABLE padding AS SELECT zeroblob(17 << 20)").unwrap();
    padded.close().unwrap();
    ids
}

#[test]
fn a_write_that_meets_a_damaged_page_is_left_out_and_all_others_of_its_batch_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let ids = poisoned(folder.path());
    let store = open(folder.path());
    let mut batch = Vec::new();
    // Neighbours may be on the damaged page too.
    let some = [ids[0], ids[1], ids[7], ids[200], ids[201]];
    for id in &some {
        batch.push(login(*id, at(DAY)));
        batch.push(report(*id, at(DAY + 1), r#"{"n":1}"#));
    }
    batch.push(Write::IssueSecret {
        device: ids[7],
        secret: Secret::new("another".into()),
        replaces: 1,
        product_secret_mark: 0,
        at: at(DAY),
        peer: "198.51.100.1:1".into(),
    });
    let written = append(&store, batch);
    let mut right = vec![Written::Activated, Written::Done];
    right = right.repeat(5);
    right[4] = Written::Damaged;
    assert_eq!(written[..10], right, "its report touches no damaged page");
    assert_eq!(written[10], Written::Issue(Issued::Damaged));
    for id in &some {
        let query = HistoryQuery { point: Some("n".to_owned()), limit: 10, ..HistoryQuery::default() };
        assert_eq!(history(&store, *id, query).len(), 1, "once");
    }
    assert_eq!(log(&store, ids[0]).len(), 3, "created, activated, login: once each");
    let renamed = block_on(store.rename_device(ids[7], "x".to_owned(), at(DAY)));
    assert!(matches!(renamed, Err(StoreError::Damaged(_))), "{renamed:?}");
    assert!(block_on(store.rename_device(ids[200], "x".to_owned(), at(DAY))).is_ok());
    block_on(store.close()).unwrap();
    drop(store);
    let store = open(folder.path());
    report_all(&store, &ids, 1);
}

/// However many writes of a batch meet damage, those before the limit's last one are stored, and the next
/// batch is tried anew.
#[test]
fn passes_over_a_batch_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let ids = poisoned(folder.path());
    let store = open(folder.path());
    let mut batch = vec![report(ids[0], at(DAY), r#"{"n":1}"#)];
    batch.extend((0..100).map(|n| login(ids[7], at(DAY + n))));
    batch.push(report(ids[1], at(DAY), r#"{"n":1}"#));
    let written = append(&store, batch);
    assert_eq!(written[0], Written::Done);
    assert!(written[1..].iter().all(|written| *written == Written::Damaged), "{written:?}");
    assert_eq!(append(&store, vec![report(ids[1], at(DAY), r#"{"n":1}"#)]), [Written::Done]);
}
