//! What followers of live events read, over failures, restarts, copies and retention.

use std::{path::Path, sync::Arc, thread};

use narrowgate_platform::{
    ids::{DEFAULT_OU, DeviceId},
    model::{
        device::DeviceState,
        happened::{Happened, StreamPlace},
        product::Product,
    },
    ports::{
        AccessChange, HappenedPage, HistoryReads as _, Journal as _, Lost, RegistryChanges as _, WhyLost,
        Write,
    },
    testing::{
        block_on,
        store::{
            access::{change, unit},
            fixtures::{add_device, append, at, batch, login, one_device, presence, product, report},
        },
    },
};

use super::{crashed, open};
use crate::sqlite::{SqliteOptions, SqliteStore};

/// In seconds.
const DAY: i64 = 86_400;

fn page(store: &SqliteStore, after: StreamPlace) -> HappenedPage {
    block_on(store.happened(Some(after), 10_000)).expect("the store reads")
}

fn head(store: &SqliteStore) -> StreamPlace {
    block_on(store.happened(None, 1)).expect("the store reads").head
}

/// Whether it is of messages, and of all else.
pub(super) fn is_of(lost: &Lost) -> (bool, bool) {
    let others = Lost { messages: None, ..lost.clone() };
    (lost.messages.is_some(), others.of(None, false).is_some())
}

/// When, of each.
fn times(page: &HappenedPage) -> Vec<i64> {
    page.items.iter().map(|happened| (happened.happening.time().0 - at(0).0) / 1000).collect()
}

/// A report, and a change of presence: in three files.
fn both(device: DeviceId, seconds: i64) -> Vec<Write> {
    let state = if seconds % 4 == 0 { DeviceState::Offline } else { DeviceState::Online };
    vec![report(device, at(seconds), "{}"), presence(device, state, at(seconds + 1), "test")]
}

/// Lets the next commit fail, in some part of it.
type Fail = fn(&SqliteStore);

#[test]
fn what_a_failed_commit_has_written_is_not_told_and_what_follows_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = one_device(&store, "dk");
    append(&store, vec![login(id, at(1))]);
    let before = head(&store);
    append(&store, both(id, 4));
    let failures: [Fail; 3] = [
        |store| store.fail_registry_commits(1),
        |store| store.fail_log_commits(1),
        SqliteStore::fail_after_file_commit,
    ];
    let mut expected = vec![4, 5];
    for (n, fail) in failures.into_iter().enumerate() {
        let seconds = 10 + 10 * n as i64;
        fail(&store);
        block_on(store.append(batch(both(id, seconds)))).unwrap_err();
        assert_eq!(times(&page(&store, before)), expected, "before it is repaired");
        append(&store, both(id, seconds + 2));
        append(&store, both(id, seconds + 4));
        let found = page(&store, before);
        // What changes nothing is not told: which of both is one depends on what was there.
        let told: Vec<_> = times(&found).into_iter().filter(|time| time % 2 == 0).collect();
        expected.extend([seconds + 2, seconds + 4]);
        let reports: Vec<_> = expected.iter().copied().filter(|time| time % 2 == 0).collect();
        assert_eq!(told, reports);
        expected = times(&found);
    }
}

#[test]
fn a_commit_that_was_doubted_and_is_there_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = one_device(&store, "dk");
    append(&store, vec![login(id, at(1))]);
    let before = head(&store);
    store.doubt_registry_commit();
    let _ = block_on(store.append(batch(both(id, 4))));
    append(&store, both(id, 6));
    let found = times(&page(&store, before));
    let mut once = found.clone();
    once.dedup();
    assert_eq!(found, once);
    assert!(found.ends_with(&[6, 7]) || found.ends_with(&[6]), "{found:?}");
}

#[test]
fn who_reads_while_others_write_sees_every_commit_once() {
    const BATCHES: i64 = 300;
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()));
    let id = one_device(&*store, "dk");
    append(&*store, vec![login(id, at(1))]);
    let mut place = head(&store);
    let reading = thread::spawn({
        let store = Arc::clone(&store);
        move || {
            let mut told = Vec::new();
            while told.len() < 2 * BATCHES as usize {
                let page = block_on(store.happened(Some(place), 7)).expect("the store reads");
                assert_eq!((page.lost.clone(), page.damaged), (None, 0));
                told.extend(times(&page));
                place = page.upto;
            }
            told
        }
    });
    // Each changes the presence: a report in the file of the day, two rows in that of logs.
    (0..BATCHES).for_each(|n| drop(append(&*store, both(id, 4 + 2 * n))));
    let told = reading.join().expect("it reads all");
    assert_eq!(told, (4..4 + 2 * BATCHES).collect::<Vec<_>>());
}

#[test]
fn a_follower_goes_on_between_the_two_that_a_first_login_tells() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (id, other) = (one_device(&store, "dk"), add_device(&store, "pk", "other").id);
    append(&store, vec![login(id, at(1))]);
    append(&store, vec![login(other, at(2)), presence(other, DeviceState::Offline, at(3), "test")]);
    let events = |page: &HappenedPage| -> Vec<_> {
        page.items.iter().map(|told| (told.happening.name(), told.place)).collect()
    };
    let all = events(&page(&store, StreamPlace::START));
    let names: Vec<_> = all.iter().map(|(event, _)| *event).collect();
    assert_eq!(names, ["activated", "login", "activated", "login", "offline"]);
    for (n, (_, place)) in all.iter().enumerate() {
        let found = page(&store, *place);
        assert_eq!((events(&found), found.lost), (all[n + 1..].to_vec(), None), "behind {n}");
        let next = block_on(store.happened(Some(*place), 1)).expect("the store reads");
        assert_eq!(events(&next), all[n + 1..].iter().take(1).copied().collect::<Vec<_>>(), "one behind {n}");
    }
}

#[test]
fn after_a_crash_a_follower_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk");
    append(&store, vec![login(id, at(1))]);
    append(&store, both(id, 4));
    let seen = page(&store, StreamPlace::START);
    let from = seen.items[seen.items.len() - 2].place;
    append(&store, both(id, 6));
    // The files as a crash leaves them, in the place of those of the process that it ended.
    let copy = crashed(&data, "copy");
    drop(store);
    let store = open(&copy);
    let found = page(&store, from);
    assert_eq!(times(&found), [5, 6, 7]);
    block_on(store.recover()).unwrap();
    append(&store, both(id, 8));
    assert!(times(&page(&store, from)).starts_with(&[5, 6, 7, 8]));
}

#[test]
fn a_follower_is_told_that_the_store_was_copied_since() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk");
    append(&store, both(id, 4));
    let from = head(&store);
    let copy = crashed(&data, "copy");
    append(&store, both(id, 6));
    let later = head(&store);
    drop(store);
    let store = open(&copy);
    block_on(store.recover()).unwrap();
    append(&store, vec![report(id, at(8), "{}")]);
    for from in [from, later] {
        let found = page(&store, from);
        assert_eq!(times(&found), [8], "the place of {later:?} was of another branch");
        let Lost { why, upto, .. } = found.lost.unwrap();
        assert_eq!(why, WhyLost::Restored);
        assert!(upto > later && upto <= found.head);
        assert_eq!(page(&store, found.upto).lost, None);
    }
}

fn with_few(data: &Path) -> SqliteStore {
    SqliteStore::open(SqliteOptions { happenings_bytes: 100 << 10, ..SqliteOptions::new(data) }).unwrap()
}

#[test]
fn what_is_too_much_goes_and_who_has_not_seen_it_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_few(folder.path());
    let id = one_device(&store, "dk");
    append(&store, vec![report(id, at(0), "{}")]);
    let (from, mut places) = (head(&store), Vec::new());
    for n in 1..=2000 {
        append(&store, vec![login(id, at(n))]);
        places.push(head(&store));
    }
    let mut found = page(&store, from);
    let lost = found.lost.expect("much is lost");
    assert_eq!((lost.why, is_of(&lost)), (WhyLost::Expired, (false, true)));
    assert!(lost.upto <= found.items[0].place, "all that is behind it is there");
    let mut items = Vec::new();
    while !found.items.is_empty() {
        items.append(&mut found.items);
        found = page(&store, found.upto);
        assert_eq!(found.lost, None);
    }
    let bytes = |happened: &Happened| 64 + serde_json::to_string(&happened.happening).unwrap().len();
    let kept: usize = items.iter().map(bytes).sum();
    assert!((99 << 10..165 << 10).contains(&kept), "{kept}");
    let whole = places.iter().filter(|place| page(&store, **place).lost.is_none()).count();
    assert!(
        whole >= items.len() - 1,
        "who has seen what is lost is told nothing: {whole} of {}",
        items.len()
    );
}

#[test]
fn who_makes_much_loses_its_own_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = with_few(folder.path());
    let loud = one_device(&store, "dk");
    change(&store, AccessChange::AddUnit(unit(3))).unwrap();
    block_on(store.create_product(Product { ou: unit(3).ou, ..product("other") })).unwrap();
    let quiet = add_device(&store, "other", "dk").id;
    let from = head(&store);
    append(&store, vec![login(quiet, at(1))]);
    for n in 2..=3_000 {
        append(&store, vec![login(loud, at(n))]);
        if n == 1_500 {
            block_on(store.close()).unwrap();
            drop(store);
            store = with_few(folder.path());
        }
    }
    append(&store, vec![login(quiet, at(3_001))]);
    let (mut found, mut seen) = (page(&store, from), Vec::new());
    let lost = found.lost.clone().expect("much is lost");
    assert!(lost.of(Some(DEFAULT_OU), false) > Some(from), "{lost:?}");
    assert_eq!(lost.of(Some(&unit(3).ou), true), None, "of the quiet one nothing is");
    while !found.items.is_empty() {
        found.items.retain(|happened| happened.device == Some(quiet));
        seen.extend(times(&found));
        found = page(&store, found.upto);
    }
    seen.dedup();
    assert_eq!(seen, [1, 3_001]);
}

#[test]
fn a_page_is_small_however_much_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = one_device(&store, "dk");
    append(&store, vec![login(id, at(1))]);
    let mut place = head(&store);
    let points = format!("{{\"text\":\"{}\"}}", "x".repeat(20_000));
    for n in 0..20 {
        append(&store, vec![report(id, at(10 + n), &points)]);
    }
    let mut told = Vec::new();
    while place < head(&store) {
        let found = page(&store, place);
        assert!(found.items.len() <= 4, "{}", found.items.len());
        told.extend(times(&found));
        place = found.upto;
    }
    assert_eq!(told, (10..30).collect::<Vec<_>>());
}

#[test]
fn what_the_retention_deletes_is_told_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { clock: || at(0), ..SqliteOptions::new(folder.path()) };
    let store = SqliteStore::open(options.clone()).unwrap();
    let id = one_device(&store, "dk");
    let start = head(&store);
    append(&store, vec![report(id, at(0), "{}")]);
    let first = head(&store);
    append(&store, vec![report(id, at(DAY), "{}")]);
    append(&store, vec![report(id, at(2 * DAY), "{}")]);
    block_on(store.close()).unwrap();
    let options = SqliteOptions { retention_days: Some(1), clock: || at(2 * DAY), ..options };
    let store = SqliteStore::open(options).unwrap();
    // The writer deletes before it does anything else.
    append(&store, vec![Write::Seen { device: id, login: None, at: at(2 * DAY) }]);
    let found = page(&store, start);
    let lost = found.lost.clone().expect("the first day is lost");
    assert_eq!((lost.why, is_of(&lost)), (WhyLost::Expired, (true, false)));
    assert_eq!(times(&found), [DAY, 2 * DAY]);
    assert_eq!(page(&store, first).lost, None, "who has seen that day is told nothing");
}
