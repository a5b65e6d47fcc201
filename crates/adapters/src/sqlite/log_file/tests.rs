//! What a batch that is not complete leaves in the file, and what it does not take away.

use narrowgate_platform::model::{happened::StreamPlace, log::LogEvent};
use tempfile::TempDir;

use super::*;

const PLACE: Position = Position { epoch: 1, sequence: 1 };

fn options(folder: &TempDir) -> SqliteOptions {
    SqliteOptions {
        device_log_entries_max: 20,
        presence_changes_max: 20,
        ..SqliteOptions::new(folder.path())
    }
}

fn reopened(folder: &TempDir) -> LogFile {
    let layout = Layout { data: folder.path().to_owned() };
    if !layout.log().exists() {
        let origin = Origin { store_id: "id".to_owned(), epoch: 1 };
        LogFile::create(&layout, &origin, |_| Ok(())).unwrap();
    }
    LogFile::open(&layout, &options(folder)).unwrap()
}

fn add(file: &mut LogFile, device: i64, times: Range<i64>) {
    for time in times {
        let at = UnixMillis(time);
        let entry = LogEntry::new(DeviceId(device), at, LogEvent::Login);
        file.note(entry.device, [entry], PLACE).unwrap();
        file.note_presence(DeviceId(device), at, DeviceState::Online, "login").unwrap();
    }
}

/// A complete batch.
fn commit(file: &mut LogFile, batch: i64, device: i64, times: Range<i64>) {
    add(file, device, times);
    file.commit(batch).unwrap();
    file.settle();
}

/// The times of the entries of a device, which are those of its presence too.
fn times(file: &LogFile, device: i64) -> Vec<i64> {
    let read = |sql| -> Vec<i64> {
        let mut select = file.connection.prepare(sql).unwrap();
        select.query_map([device], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let entries = read("SELECT time FROM log WHERE device = ?1 ORDER BY n");
    assert_eq!(entries, read("SELECT at FROM presence WHERE device = ?1 ORDER BY n"));
    entries
}

#[test]
fn a_half_batch_is_undone_and_a_whole_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = reopened(&folder);
    commit(&mut file, 6, 1, 0..3);
    add(&mut file, 1, 3..5);
    add(&mut file, 2, 3..5);
    file.commit(7).unwrap();
    drop(file);

    let mut file = reopened(&folder);
    assert!(!file.undo_half_batch(7).unwrap());
    assert_eq!((times(&file, 1), times(&file, 2)), (vec![0, 1, 2, 3, 4], vec![3, 4]));
    assert!(file.undo_half_batch(6).unwrap());
    assert_eq!((times(&file, 1), times(&file, 2)), (vec![0, 1, 2], vec![]));
    assert!(!file.undo_half_batch(6).unwrap());
    commit(&mut file, 7, 1, 9..10);
    assert_eq!(times(&reopened(&folder), 1), [0, 1, 2, 9]);
}

/// A list that is full loses no row by a batch that is not complete, and is trimmed by the one after a
/// complete one.
#[test]
fn a_half_batch_trims_nothing_that_was_complete() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = reopened(&folder);
    commit(&mut file, 1, 1, 0..15);
    commit(&mut file, 1, 1, 15..30);
    assert_eq!(times(&file, 1).len(), 30, "trimmed when 32 are there");
    add(&mut file, 1, 30..100);
    file.write_waiting().unwrap();
    assert!(times(&file, 1).len() < 30 + 20 + 16, "what is too many of its own goes at once");
    file.commit(2).unwrap();
    drop(file);

    let mut file = reopened(&folder);
    file.undo_half_batch(1).unwrap();
    assert_eq!(times(&file, 1), (0..30).collect::<Vec<_>>());
    commit(&mut file, 2, 1, 30..33);
    assert_eq!(times(&file, 1).len(), 33);
    commit(&mut file, 3, 2, 0..1);
    assert_eq!(times(&file, 1), (13..33).collect::<Vec<_>>());
}

#[test]
fn a_transaction_that_is_taken_back_trims_nothing_and_the_next_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = reopened(&folder);
    commit(&mut file, 1, 1, 0..16);
    commit(&mut file, 2, 1, 16..32);
    add(&mut file, 1, 32..40);
    file.rollback().unwrap();
    assert_eq!(times(&file, 1).len(), 32);
    commit(&mut file, 3, 1, 32..33);
    assert_eq!(times(&file, 1), (12..33).collect::<Vec<_>>());
}

#[test]
fn a_deleted_device_keeps_its_rows_until_its_batch_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = reopened(&folder);
    commit(&mut file, 1, 1, 0..3);
    commit(&mut file, 2, 2, 0..3);
    assert_eq!(file.note_gone(DeviceId(1)).unwrap(), 6);
    file.commit(3).unwrap();
    drop(file);

    let mut file = reopened(&folder);
    assert!(file.undo_half_batch(2).unwrap());
    file.forget_gone(2).unwrap();
    assert_eq!(times(&file, 1), [0, 1, 2], "the registry does not know of the deletion");

    file.note_gone(DeviceId(1)).unwrap();
    file.commit(3).unwrap();
    drop(file);
    let mut file = reopened(&folder);
    assert!(!file.undo_half_batch(3).unwrap());
    file.forget_gone(3).unwrap();
    assert_eq!((times(&file, 1), times(&file, 2)), (vec![], vec![0, 1, 2]));
    assert!(!reopened(&folder).has_gone);
}

/// What a failed commit has left is found by the number of the commit, also where no registry decides.
#[test]
fn after_a_failure_what_is_not_complete_goes_and_what_the_registry_has_stays() {
    // The batch's number in the footer, the registry's last one, and whether the rows stay.
    for (batch, registry, stays) in [(7, 6, false), (7, 7, true), (-6, 6, false)] {
        let folder = tempfile::tempdir().unwrap();
        let mut file = reopened(&folder);
        commit(&mut file, 6, 1, 0..3);
        let settled = file.settled();
        add(&mut file, 1, 3..5);
        file.commit(batch).unwrap();
        drop(file);
        let mut file = reopened(&folder);
        file.trust_only(settled);
        let before = file.footer.serial;
        file.undo_unsettled(registry).unwrap();
        let right: Vec<i64> = (0..if stays { 5 } else { 3 }).collect();
        assert_eq!(times(&file, 1), right, "{batch}, {registry}");
        assert!(file.footer.serial > before, "a page is written in any case");
        assert!(!reopened(&folder).undo_half_batch(registry).unwrap());
    }
}

#[test]
fn what_is_noted_as_complete_is_no_half_beside_an_older_registry() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = reopened(&folder);
    commit(&mut file, 7, 1, 0..3);
    file.note_registry(8).unwrap();
    drop(file);
    let mut file = reopened(&folder);
    assert!(!file.undo_half_batch(5).unwrap());
    assert_eq!((times(&file, 1).len(), file.footer.batch), (3, -8));
}

#[test]
fn what_is_deleted_by_age_leaves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = reopened(&folder);
    for device in 1..=3 {
        commit(&mut file, device, device, 0..6);
    }
    assert_eq!(file.forget_before(1..3, UnixMillis(4), 3).unwrap(), 16);
    assert_eq!([1, 2, 3].map(|device| times(&file, device).len()), [2, 2, 6]);
    assert_eq!(file.footer.batch, -3);
    let serial = file.footer.serial;
    assert_eq!(file.forget_before(1..3, UnixMillis(4), 3).unwrap(), 0);
    assert_eq!(file.footer.serial, serial, "nothing is written for nothing");
}

/// Rows of a table, each as text.
fn rows(file: &LogFile, table: &str) -> Vec<String> {
    let mut select = file.connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let width = select.column_count();
    let text = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
        (0..width).map(|column| Ok(format!("{:?} ", row.get_ref(column)?))).collect()
    };
    select.query_map([], text).unwrap().map(Result::unwrap).collect()
}

#[test]
fn rows_that_wait_for_others_are_as_if_each_was_written_alone() {
    let written = [true, false].map(|one_by_one| {
        let folder = tempfile::tempdir().unwrap();
        let mut file = reopened(&folder);
        file.write_one_by_one(one_by_one);
        let mut place = 0_u64;
        for (batch, devices) in (1..).zip([1_i64, 15, 16, 17, 33, 400]) {
            for n in 0..devices {
                let device = DeviceId(1 + n * 7 % 50);
                place += 1;
                let position = Position { epoch: 1, sequence: place };
                let what = (UnixMillis(n), format!(r#"{{"n":"{}"}}"#, "x".repeat(300)));
                let ou = ["", "a", "b"][usize::try_from(n % 3).unwrap()];
                let place = StreamPlace::first(position);
                add(&mut file, device.0, n..n + 2);
                file.tell(Tells { place, device: Some(device), ou, told: what }).unwrap();
                file.note(None, [LogEntry::new(device, UnixMillis(n), LogEvent::Refused)], position).unwrap();
            }
            file.commit(batch).unwrap();
            file.settle();
        }
        drop(file);
        let mut file = reopened(&folder);
        let tables = ["log", "presence", "happened", "happened_kept", "footer"];
        let written = tables.map(|table| rows(&file, table));
        assert!(file.undo_half_batch(5).unwrap());
        (written, tables.map(|table| rows(&file, table)))
    });
    assert!(written[0].0.iter().all(|rows| !rows.is_empty()));
    assert!(written[0] == written[1]);
    assert!(written[0].0[2].len() > written[0].1[2].len() + 300, "the last batch was half");
}
