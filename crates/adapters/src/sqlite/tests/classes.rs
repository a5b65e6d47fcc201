//! Classes of retention: each has message files of its own, and a batch that touches several is one.

use std::{fs, path::Path};

use narrowgate_platform::{
    ids::DeviceId,
    model::{product::Product, retention::RetentionClass},
    paging::Page,
    ports::{HistoryQuery, HistoryReads as _, Journal as _, Registry as _, RegistryChanges as _, Write},
    testing::{
        block_on,
        store::fixtures::{
            add_device, append, at, batch, device, history, login, one_device, product, report,
        },
    },
};

use super::{SqliteStore, crashed, open, two_classes};
use crate::sqlite::{
    OpenError, SqliteOptions,
    backup::{Alone, BackupOptions, RestoreOptions, restore, take},
    readers::Size,
};

const DAY: i64 = 86_400;

fn class(name: &str) -> RetentionClass {
    RetentionClass::parse(name).unwrap()
}

fn of_class(name: &str, write: Write) -> Write {
    let Write::Message(message) = write else { return write };
    let retention = class(name);
    Write::Message(narrowgate_platform::model::message::Message { retention, ..message })
}

/// A report of `n` at `n` seconds, of a class.
fn numbered(device: DeviceId, n: i64, name: &str) -> Write {
    of_class(name, report(device, at(n), &format!(r#"{{"n":{n}}}"#)))
}

fn open_two(data: &Path) -> SqliteStore {
    SqliteStore::open(two_classes(data)).expect("the directory is in order")
}

/// Names of the message files, without their ending.
fn files(data: &Path) -> Vec<String> {
    let names = fs::read_dir(data.join("messages")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.to_str()?.strip_suffix(".db")?.to_owned())).collect();
    names.sort();
    names
}

/// Numbers that a device has reported, in pages of `limit`.
fn numbers(store: &SqliteStore, device: DeviceId, limit: usize) -> Vec<i64> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let query = HistoryQuery { after, limit, ..HistoryQuery::default() };
        let Page { items, next, .. } = block_on(store.points_history(device, query)).unwrap();
        found.extend(items.iter().map(|value| value.value.get().parse::<i64>().unwrap()));
        match next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

fn latest(store: &SqliteStore, device: DeviceId) -> String {
    block_on(store.points_latest(device)).unwrap().items[0].value.get().to_owned()
}

#[test]
fn messages_of_a_class_have_files_of_their_own_and_one_history() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_two(&data);
    let id = one_device(&store, "dk-1");
    // All of the same time: pages end between files and within them.
    for n in 0..12 {
        let name = ["standard", "short", "unknown"][n as usize % 3];
        let points = format!(r#"{{"n":{n}}}"#);
        append(
            &store,
            vec![
                of_class(name, report(id, at(1), &points)),
                Write::Seen { device: id, login: None, at: at(1) },
            ],
        );
    }
    append(&store, vec![numbered(id, DAY, "standard")]);
    assert_eq!(files(&data), ["2026-01-01", "2026-01-01.short", "2026-01-02"]);
    let whole = numbers(&store, id, 1000);
    let in_turn: Vec<i64> = [DAY].into_iter().chain((0..12).rev()).collect();
    assert_eq!(whole, in_turn, "of equal times the later arrival first");
    for limit in 1..=14 {
        assert_eq!(numbers(&store, id, limit), whole, "in pages of {limit}");
    }
    block_on(store.close()).unwrap();
    // Without its class the file is read as before, and goes on to be.
    let store = open(&data);
    assert_eq!(numbers(&store, id, 1000), whole);
    append(&store, vec![numbered(id, DAY + 1, "short")]);
    assert_eq!(files(&data), ["2026-01-01", "2026-01-01.short", "2026-01-02"]);
    assert_eq!(numbers(&store, id, 1000).len(), 14);
}

/// A month of them, whatever the classes: a device that reports once a day has a rhythm, too.
#[test]
fn arrivals_are_those_of_the_newest_days_of_all_classes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_two(&folder.path().join("data"));
    let id = one_device(&store, "dk-1");
    for day in 0..34 {
        append(&store, vec![numbered(id, day * DAY, "short"), numbered(id, day * DAY + 7, "standard")]);
    }
    let arrivals = block_on(store.arrivals(id, 1000)).unwrap();
    assert_eq!((arrivals.len(), arrivals[0], arrivals[63]), (64, at(33 * DAY + 7), at(2 * DAY)));
    assert!(arrivals.is_sorted_by(|later, earlier| later > earlier), "newest first");
    assert_eq!(block_on(store.arrivals(id, 3)).unwrap(), arrivals[..3]);
}

#[test]
fn half_a_batch_of_two_classes_leaves_nothing_in_any_file_after_a_crash_or_without_one() {
    let failures: [fn(&SqliteStore); 3] = [
        |store| store.fail_after_file_commit(),
        |store| store.fail_log_commits(1),
        |store| store.fail_registry_commits(1),
    ];
    for (number, fail) in failures.into_iter().enumerate() {
        for order in [["standard", "short"], ["short", "standard"]] {
            let folder = tempfile::tempdir().unwrap();
            let data = folder.path().join("data");
            let store = open_two(&data);
            let id = one_device(&store, "dk-1");
            append(&store, vec![login(id, at(1)), numbered(id, 1, order[0])]);
            append(&store, vec![numbered(id, 2, order[1])]);
            let seen = device(&store, id).last_seen_time;
            let both = || batch(vec![numbered(id, 3, order[0]), numbered(id, 4, order[1])]);
            fail(&store);
            block_on(store.append(both())).unwrap_err();
            let copy = open_two(&crashed(&data, "crashed"));
            for store in [copy, store] {
                // The next write takes away what is left of the half.
                append(&store, vec![Write::Seen { device: id, login: None, at: at(2) }]);
                assert_eq!(numbers(&store, id, 100), [2, 1], "{number} {order:?}");
                assert_eq!((latest(&store, id).as_str(), device(&store, id).last_seen_time), ("2", seen));
                // The number of the half hides nothing of what comes.
                append(&store, vec![numbered(id, 5, order[1])]);
                block_on(store.append(both())).unwrap();
                assert_eq!(numbers(&store, id, 100), [5, 4, 3, 2, 1], "{number} {order:?}");
                block_on(store.close()).unwrap();
            }
            let store = open_two(&data);
            assert_eq!(numbers(&store, id, 100), [5, 4, 3, 2, 1]);
        }
    }
}

#[test]
fn a_batch_of_two_classes_whose_commit_is_in_doubt_leaves_files_that_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_two(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![numbered(id, 1, "standard"), numbered(id, 2, "short")]);
    store.doubt_registry_commit();
    let both = batch(vec![numbered(id, 3, "standard"), numbered(id, 4, "short")]);
    block_on(store.append(both)).unwrap_err();
    append(&store, vec![numbered(id, 5, "short")]);
    let copy = open_two(&crashed(&data, "crashed"));
    assert_eq!(numbers(&copy, id, 100), [5, 2, 1]);
    assert_eq!(numbers(&store, id, 100), [5, 2, 1]);
}

#[test]
fn latest_values_of_all_classes_are_restored_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_two(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![of_class("standard", report(id, at(1), r#"{"a":1,"b":1}"#))]);
    append(&store, vec![of_class("short", report(id, at(2), r#"{"b":2}"#))]);
    let copy = open_two(&crashed(&data, "crashed"));
    let values: Vec<String> = block_on(copy.points_latest(id))
        .unwrap()
        .items
        .iter()
        .map(|value| format!("{}={}", value.point, value.value.get()))
        .collect();
    assert_eq!(values, ["a=1", "b=2"]);
}

/// A day has a file of each class, and counts as one.
#[test]
fn the_newest_reports_are_those_of_the_newest_days_whatever_classes_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_two(&folder.path().join("data"));
    let ids = [one_device(&store, "dk-1"), add_device(&store, "pk", "dk-2").id];
    for day in 0..20 {
        let id = ids[usize::from(day > 0)];
        append(&store, vec![numbered(id, day * DAY, "standard"), numbered(ids[1], day * DAY, "short")]);
    }
    let newest = |device| {
        let spans = store.shared.spans();
        store
            .shared
            .readers
            .read(Size::Long, |reader| crate::sqlite::history::newest(reader, spans, device))
            .unwrap()
            .len()
    };
    assert_eq!(ids.map(newest), [1, 39]);
}

#[test]
fn each_class_is_deleted_after_its_own_time_and_then_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let lasting = |standard, short, clock| SqliteOptions {
        retention_days: standard,
        retention_classes: vec![(class("short"), short), (class("long"), None)],
        clock,
        ..SqliteOptions::new(&data)
    };
    let store = SqliteStore::open(lasting(None, None, || at(0))).unwrap();
    let id = one_device(&store, "dk-1");
    for day in 0..4 {
        let names = ["standard", "short", "long"];
        append(&store, names.map(|name| numbered(id, day * DAY, name)).to_vec());
    }
    block_on(store.close()).unwrap();
    let left = |options| {
        let store = SqliteStore::open(options).unwrap();
        // The writer deletes one file at a time, before and after it does anything else.
        for _ in 0..12 {
            append(&store, vec![Write::Seen { device: id, login: None, at: at(3 * DAY) }]);
        }
        let values = numbers(&store, id, 100).len();
        block_on(store.close()).unwrap();
        assert_eq!(values, files(&data).len());
        files(&data)
    };
    let long: Vec<String> = (1..=4).map(|day| format!("2026-01-0{day}.long")).collect();
    let with = |others: &[&str]| {
        let mut all: Vec<String> = others.iter().map(|name| (*name).to_owned()).chain(long.clone()).collect();
        all.sort();
        all
    };
    let standard = ["2026-01-02", "2026-01-03", "2026-01-04"];
    assert_eq!(
        left(lasting(Some(2), Some(1), || at(3 * DAY))),
        with(&[&standard[..], &["2026-01-03.short", "2026-01-04.short"]].concat())
    );
    // A start with another configuration misses none of those that were deleted.
    assert_eq!(left(lasting(None, None, || at(3 * DAY))).len(), 9);
    drop(open(&data));
    assert_eq!(files(&data).len(), 9, "files of a class that is not configured are kept");
    // One that was not deleted by its time is missed.
    fs::remove_file(data.join("messages/2026-01-03.short.db")).unwrap();
    let missed = SqliteStore::open(lasting(None, None, || at(3 * DAY))).unwrap_err();
    assert!(
        matches!(missed, OpenError::MessagesMissing { ref file } if file.ends_with("2026-01-03.short.db"))
    );
    drop(SqliteStore::open(lasting(None, Some(0), || at(3 * DAY))).expect("its time explains it"));
}

#[test]
fn a_backup_holds_all_classes() {
    let folder = tempfile::tempdir().unwrap();
    let (data, target) = (folder.path().join("data"), folder.path().join("backup"));
    let store = open_two(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![numbered(id, 1, "short")]);
    append(&store, vec![numbered(id, DAY, "standard"), numbered(id, DAY + 1, "short")]);
    block_on(store.update_product(Product { retention: class("short"), ..product("pk") })).unwrap();
    block_on(store.close()).unwrap();
    let clock = || at(2 * DAY);
    let data_key = data.join("data.key");
    let options =
        BackupOptions { data: data.clone(), data_key, target: target.clone(), with_key: true, clock };
    take(&options, &mut Alone::take(&data).unwrap(), &mut |_, _| {}).unwrap();
    let again = folder.path().join("again");
    let data_key = again.join("data.key");
    let options = RestoreOptions { backup: target, data: again.clone(), data_key, key: None, clock };
    restore(&options, &mut |_, _| {}).unwrap();
    assert_eq!(files(&again), ["2026-01-01.short", "2026-01-02", "2026-01-02.short"]);
    let store = open_two(&again);
    assert_eq!(numbers(&store, id, 100), [DAY + 1, DAY, 1]);
    assert_eq!(block_on(store.product("pk")).unwrap().unwrap().retention, class("short"));
    append(&store, vec![numbered(id, 2 * DAY, "short"), numbered(id, 2 * DAY, "standard")]);
    assert_eq!(history(&store, id, HistoryQuery { limit: 100, ..HistoryQuery::default() }).len(), 5);
}

/// What a report costs: where all products have one class, its files are those that there were before.
#[test]
fn a_store_of_one_class_has_one_message_file_and_commits_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open_two(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![numbered(id, 1, "standard")]);
    store.fail_registry_commits(1);
    append(&store, vec![numbered(id, 2, "standard"), numbered(id, 3, "unknown")]);
    assert_eq!(files(&data), ["2026-01-01"]);
    block_on(store.append(batch(vec![numbered(id, 4, "standard"), numbered(id, 5, "short")])))
        .expect_err("only a batch of two classes touches the registry");
}
