//! The table of latest values is made anew beside all other work: a few rows between two groups, further
//! after a crash, and what is read meanwhile is right.

use std::{
    path::Path,
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::Instant,
};

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    ports::{DeviceQuery, HistoryReads as _, Journal as _, Registry as _, RegistryChanges as _, Write},
    secret::Secret,
    testing::{
        block_on,
        store::fixtures::{append, at, login, report},
    },
};
use rusqlite::Connection;

use super::{
    super::{Append, Job, Shared},
    ROWS_AT_ONCE, Writer,
};
use crate::sqlite::{
    SqliteOptions, SqliteStore, open as opening,
    reply::reply,
    tests::{
        crashed, open,
        poisoned::{fleet, overwrite_latest},
    },
};

const DAY: i64 = 86_400;

/// A fleet of which a device in the middle, and others on its page, have lost their rows.
fn damaged(data: &Path) -> Vec<DeviceId> {
    let ids = fleet(data, true);
    overwrite_latest(data, ids[150]);
    ids
}

fn opened(data: &Path) -> (Arc<Shared>, Writer) {
    opening::open(&SqliteOptions::new(data)).unwrap()
}

/// The device with which a start would go on; `None`: nothing is to be copied.
fn next(data: &Path) -> Option<i64> {
    let registry = Connection::open(data.join("registry.db")).unwrap();
    let sql = "SELECT max(CASE WHEN name = 'latest_copied' THEN value END) FROM meta";
    registry.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn commit(writer: &mut Writer, batch: Vec<Write>) {
    let (reply, answer) = reply();
    writer.commit(vec![Job::Append(Append {
        batch,
        confirmed: None,
        written: Vec::new(),
        first: None,
        reply,
    })]);
    block_on(answer).unwrap();
}

/// A store that copies nothing.
fn still(data: &Path) -> SqliteStore {
    let (shared, mut writer) = opened(data);
    writer.stop_mending();
    let (jobs, waiting) = sync_channel(64);
    let writer = thread::spawn(move || writer.run(&waiting));
    SqliteStore { shared, jobs: Some(jobs), writer: Some(writer) }
}

/// What a device last said of `m`, when it was last heard, and that in the list of devices.
fn shown(store: &SqliteStore, id: DeviceId) -> (Option<String>, Option<UnixMillis>) {
    let values = block_on(store.points_latest(id)).unwrap();
    assert_eq!(values.damaged.count, 0, "{id:?}");
    let seen = block_on(store.device_by_id(id)).unwrap().unwrap().last_seen_time;
    let query = DeviceQuery { after: Some(DeviceId(id.0 - 1)), limit: 1, ..DeviceQuery::default() };
    let listed = block_on(store.devices(query)).unwrap().remove(0).unwrap();
    assert_eq!((listed.id, listed.last_seen_time), (id, seen));
    let value = values.items.iter().find(|value| value.point == "m");
    (value.map(|value| value.value.get()[1..].split('-').next().unwrap().to_owned()), seen)
}

#[test]
fn each_step_copies_few_rows_and_groups_are_committed_between_two() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ids = damaged(&data);
    let (shared, mut writer) = opened(&data);
    writer.rebuild_latest();
    assert_eq!(next(&data), Some(1));
    let (mut from, mut steps) = (1, 0);
    while let Some(place) = next(&data) {
        assert!(place - from <= ROWS_AT_ONCE, "from {from} to {place}");
        assert!(steps == 0 || place > from, "a start would not go on behind {from}");
        from = place;
        commit(&mut writer, vec![report(ids[steps % ids.len()], at(steps as i64), r#"{"n":1}"#)]);
        // As long as its time is not over, nothing else is done than one step.
        writer.continue_mending(Instant::now());
        steps += 1;
        assert!(steps < 100, "it does not end");
    }
    // A lost row is made of its reports in a step of its own.
    assert!(steps > 1 + ids.len() / ROWS_AT_ONCE as usize, "{steps}");
    writer.flush_all().unwrap();
    drop((writer, shared));
    let store = open(&data);
    for id in &ids {
        assert_eq!(shown(&store, *id).0, Some(id.0.to_string()));
    }
    assert_eq!(block_on(store.points_latest(ids[0])).unwrap().items.len(), 2, "with what came meanwhile");
}

#[test]
fn without_a_lost_row_a_step_ends_after_its_number_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let ids = fleet(folder.path(), false);
    assert!(ids.len() as i64 > ROWS_AT_ONCE);
    let (_, mut writer) = opened(folder.path());
    writer.rebuild_latest();
    writer.continue_mending(Instant::now());
    assert_eq!(next(folder.path()), Some(1 + ROWS_AT_ONCE));
}

#[test]
fn a_start_after_a_crash_goes_on_where_it_ended_and_reads_are_right_at_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ids = damaged(&data);
    let (shared, mut writer) = opened(&data);
    writer.rebuild_latest();
    let mut step = 0;
    while let Some(place) = next(&data) {
        let copy = crashed(&data, &format!("crashed-{step}"));
        let store = still(&copy);
        for id in [ids[0], ids[100], ids[149], ids[150], ids[151], ids[299]] {
            assert_eq!(shown(&store, id).0, Some(id.0.to_string()), "step {step}");
        }
        block_on(store.close()).unwrap();
        drop(store);
        assert_eq!(next(&copy), Some(place), "it is not begun anew");
        let (_, mut after) = opened(&copy);
        while next(&copy).is_some() {
            after.continue_mending(Instant::now());
        }
        drop(after);
        let store = open(&copy);
        for id in &ids {
            assert_eq!(shown(&store, *id).0, Some(id.0.to_string()), "step {step}");
        }
        writer.continue_mending(Instant::now());
        step += 1;
    }
    drop((writer, shared));
    assert!(step > 3, "{step}");
}

#[test]
fn what_happens_meanwhile_is_not_undone_by_what_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ids = damaged(&data);
    let [reset, deleted, heard] = [ids[10], ids[20], ids[150]];
    let (_, mut writer) = opened(&data);
    writer.rebuild_latest();
    drop(writer);
    let store = still(&data);
    assert_eq!(shown(&store, heard).0, Some(heard.0.to_string()), "from its reports");
    assert_eq!(shown(&store, reset).1, Some(at(reset.0)), "by its row in the table that was set aside");
    append(&store, vec![login(reset, at(DAY)), report(heard, at(DAY), r#"{"m":"9-x"}"#)]);
    let after = block_on(store.reset_device(reset, Secret::new("s".into()), at(DAY))).unwrap().device;
    assert_eq!(after.last_seen_time, None);
    block_on(store.delete_device(deleted, at(DAY))).unwrap();
    assert_eq!(next(&data), Some(1), "nothing is copied yet");
    block_on(store.close()).unwrap();
    drop(store);
    let (_, mut writer) = opened(&data);
    while next(&data).is_some() {
        writer.continue_mending(Instant::now());
    }
    drop(writer);
    let store = open(&data);
    assert_eq!(shown(&store, reset), (Some(reset.0.to_string()), None));
    assert_eq!(shown(&store, heard), (Some("9".to_owned()), Some(at(DAY))));
    block_on(store.close()).unwrap();
    let registry = Connection::open(data.join("registry.db")).unwrap();
    let sql = "SELECT count(*) FROM latest WHERE device = ?1";
    assert_eq!(registry.query_row(sql, [deleted.0], |row| row.get::<_, i64>(0)), Ok(0));
}

/// A page that is damaged again within the hour.
#[test]
fn a_row_that_cannot_be_written_waits_for_a_later_flush_and_ends_each() {
    let folder = tempfile::tempdir().unwrap();
    let ids = damaged(folder.path());
    let (shared, mut writer) = opened(folder.path());
    writer.mending.begun = Some(Instant::now());
    commit(&mut writer, vec![report(ids[0], at(DAY), r#"{"n":1}"#), report(ids[150], at(DAY), r#"{"n":2}"#)]);
    writer.flush_all().unwrap();
    assert!(!writer.registry.is_rebuilding());
    assert!(shared.pending.seen(ids[0]).is_none(), "it is written down");
    assert_eq!(shared.pending.seen(ids[150]), Some(at(DAY)), "it is kept");
    assert!(writer.flush_at.is_some());
}

/// Between groups of reports others wait for a step; at the end there is nobody.
#[test]
fn a_flush_that_goes_on_to_its_end_takes_larger_steps() {
    let folder = tempfile::tempdir().unwrap();
    let ids = fleet(folder.path(), false);
    let (shared, mut writer) = opened(folder.path());
    writer.flush_all().unwrap();
    let text = "x".repeat(10_000);
    let points = format!(r#"{{"a":"{text}","b":"{text}","c":"{text}"}}"#);
    // 900 kB of latest values.
    let commits = |flush: fn(&mut Writer), writer: &mut Writer, second: i64| {
        commit(writer, ids[..30].iter().map(|id| report(*id, at(DAY + second), &points)).collect());
        let before = writer.registry.batch().unwrap();
        flush(writer);
        assert!(shared.pending.seen(ids[0]).is_none(), "it is written down");
        writer.registry.batch().unwrap() - before
    };
    let at_once = commits(|writer| writer.flush_all().unwrap(), &mut writer, 1);
    let amid_groups = |writer: &mut Writer| {
        writer.flush_at = Some(Instant::now());
        writer.continue_flush();
        while writer.flush.is_some() {
            writer.continue_flush();
        }
    };
    assert_eq!((at_once, commits(amid_groups, &mut writer, 2)), (1, 4));
}
