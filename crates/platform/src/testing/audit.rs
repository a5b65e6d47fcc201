//! What every audit log must do.

use std::collections::BTreeMap;

use narrowgate_api::{
    audit::{AuditEntry, AuditOutcome},
    names::UnixMillis,
};

use super::block_on;
use crate::{
    ports::{AUDIT_READ_MAX, AuditLog, AuditPage, AuditRead},
    rules::audit::{Broken, ChainEnd, Verifier},
};

/// The tests of a log. `make(entries_max)` makes an empty one that keeps so many entries, with a function
/// that closes it and opens it again.
#[macro_export]
macro_rules! audit_conformance {
    ($make:ident) => {
        #[test]
        fn entries_follow_each_other_in_the_order_in_which_they_ended() {
            let (log, _) = $make(1000);
            $crate::testing::audit::entries_follow_each_other(&log);
        }

        #[test]
        fn a_note_is_no_entry_before_it_ended_and_one_whose_process_ended_is_unknown() {
            let (log, reopen) = $make(1000);
            $crate::testing::audit::begin_two_and_end_one(&log);
            let log = reopen(log);
            $crate::testing::audit::one_is_unknown(&log);
            let log = reopen(log);
            $crate::testing::audit::one_is_unknown(&log);
        }

        #[test]
        fn the_oldest_entries_go_and_the_chain_begins_behind_them() {
            let (log, reopen) = $make(10);
            $crate::testing::audit::append_many(&log, 50);
            $crate::testing::audit::ten_of_fifty_are_kept(&log);
            let log = reopen(log);
            $crate::testing::audit::ten_of_fifty_are_kept(&log);
        }

        #[test]
        fn a_read_has_so_many_entries_and_no_more() {
            let (log, _) = $make(100_000);
            $crate::testing::audit::append_many(&log, $crate::ports::AUDIT_READ_MAX + 5);
            $crate::testing::audit::reads_are_bounded(&log);
        }
    };
}

/// An entry of this number.
pub fn entry(n: i64) -> AuditEntry {
    AuditEntry {
        seq: 0,
        time: UnixMillis(n),
        user: Some("owner".into()),
        token: None,
        caller_ou: None,
        address: None,
        action: "products.update".into(),
        target: format!("/products/pk-{n}"),
        ou: None,
        outcome: AuditOutcome::Done,
        status: Some(200),
        code: None,
        detail: BTreeMap::new(),
        left_out: None,
        request_id: Some(format!("1-{n:x}")),
        hash: String::new(),
    }
}

/// Reads.
pub fn read(log: &impl AuditLog, read: AuditRead) -> AuditPage {
    block_on(log.read(read)).expect("it reads")
}

/// Follows the whole chain.
///
/// # Errors
/// Where it is broken.
pub fn verify(log: &impl AuditLog) -> Result<ChainEnd, Broken> {
    let mut page = read(log, AuditRead::Behind(0));
    let mut verifier = Verifier::new(page.begin);
    page.noted.map_or(Ok(()), |noted| verifier.must_reach(noted))?;
    while !page.lines.is_empty() {
        page.lines.iter().try_for_each(|line| verifier.take(&line.shown()))?;
        page = read(log, AuditRead::Behind(verifier.end().count));
    }
    verifier.finish()
}

/// Appends so many entries, each after its note.
pub fn append_many(log: &impl AuditLog, count: usize) {
    for n in (1..).take(count) {
        let note = block_on(log.begin(entry(n))).expect("it is noted");
        block_on(log.end(Some(note), entry(n))).expect("it is appended");
    }
}

/// See the macro.
pub fn entries_follow_each_other(log: &impl AuditLog) {
    assert_eq!(verify(log), Ok(ChainEnd::EMPTY));
    let first = block_on(log.begin(entry(1))).expect("it is noted");
    let second = block_on(log.begin(entry(2))).expect("it is noted");
    assert_ne!(first, second);
    assert_eq!(read(log, AuditRead::Behind(0)).lines, []);
    block_on(log.end(Some(second), entry(2))).expect("it is appended");
    block_on(log.end(None, entry(3))).expect("it needs no note");
    let failed = AuditEntry { outcome: AuditOutcome::Failed, status: Some(404), ..entry(1) };
    block_on(log.end(Some(first), failed.clone())).expect("it is appended");
    let page = read(log, AuditRead::Behind(0));
    let entries: Vec<_> = page.lines.iter().map(|line| line.entry().expect("it is one")).collect();
    let seen: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.time.0)).collect();
    assert_eq!(seen, [(1, 2), (2, 3), (3, 1)]);
    let (hash, seq) = (entries[2].hash.clone(), 3);
    assert_eq!(entries[2], AuditEntry { seq, hash, ..failed }, "it is as it ended");
    let end = ChainEnd { count: 3, head: page.lines[2].hash };
    assert_eq!((page.begin, page.end, page.noted), (ChainEnd::EMPTY, end, Some(end)));
    assert_eq!(verify(log), Ok(end));
    let newest = read(log, AuditRead::Newest { before: None }).lines;
    assert_eq!(newest.iter().map(|line| line.seq).collect::<Vec<_>>(), [3, 2, 1]);
    let older = read(log, AuditRead::Newest { before: Some(3) }).lines;
    assert_eq!(older.iter().map(|line| line.seq).collect::<Vec<_>>(), [2, 1]);
    let behind = read(log, AuditRead::Behind(2)).lines;
    assert_eq!(behind.iter().map(|line| line.seq).collect::<Vec<_>>(), [3]);
}

/// See the macro.
pub fn begin_two_and_end_one(log: &impl AuditLog) {
    let note = block_on(log.begin(entry(1))).expect("it is noted");
    let unknown = AuditEntry { outcome: AuditOutcome::Unknown, status: None, ..entry(2) };
    block_on(log.begin(unknown)).expect("it is noted");
    block_on(log.end(Some(note), entry(1))).expect("it is appended");
    assert_eq!(read(log, AuditRead::Behind(0)).lines.len(), 1);
}

/// See the macro.
pub fn one_is_unknown(log: &impl AuditLog) {
    let lines = read(log, AuditRead::Behind(0)).lines;
    let entries: Vec<_> = lines.iter().filter_map(|line| line.entry()).collect();
    let seen: Vec<_> = entries.iter().map(|entry| (entry.time.0, entry.outcome)).collect();
    assert_eq!(seen, [(1, AuditOutcome::Done), (2, AuditOutcome::Unknown)]);
    assert_eq!(verify(log).map(|end| end.count), Ok(2));
}

/// See the macro.
pub fn ten_of_fifty_are_kept(log: &impl AuditLog) {
    let page = read(log, AuditRead::Behind(0));
    let numbers: Vec<_> = page.lines.iter().map(|line| line.seq).collect();
    assert_eq!(numbers, (41..=50).collect::<Vec<_>>());
    assert_eq!((page.begin.count, page.end.count), (40, 50));
    assert_eq!(verify(log), Ok(page.end));
}

/// See the macro.
pub fn reads_are_bounded(log: &impl AuditLog) {
    let first = read(log, AuditRead::Behind(0)).lines;
    assert_eq!((first.len(), first[0].seq), (AUDIT_READ_MAX, 1));
    let newest = read(log, AuditRead::Newest { before: None }).lines;
    assert_eq!((newest.len(), newest[0].seq), (AUDIT_READ_MAX, AUDIT_READ_MAX as u64 + 5));
    assert_eq!(verify(log).map(|end| end.count), Ok(AUDIT_READ_MAX as u64 + 5));
}
