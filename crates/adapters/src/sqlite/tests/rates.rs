//! What was counted minute by minute, over restarts and beside damage.

use std::sync::Arc;

use narrowgate_platform::{
    model::rates::{CountedMinute, RatesFound, RatesQuery, Tally},
    ports::{Batch, Journal as _, Registry as _, Write},
    testing::block_on,
};
use rusqlite::Connection;

use super::*;

fn note(store: &SqliteStore, minute: i64, reports: u64) {
    let all = Tally::of_reports(reports);
    let counted = CountedMinute { minute, since: minute, all, products: Vec::new() };
    let writes = vec![Write::Rates(Arc::new(counted))];
    block_on(store.append(Batch::new(0, writes))).unwrap();
}

fn read(store: &SqliteStore) -> RatesFound {
    block_on(store.rates(RatesQuery { ou: None, from: 0, until: 100 })).unwrap()
}

#[test]
fn what_was_counted_is_there_after_a_restart_and_a_damaged_row_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (1..=3).for_each(|minute| note(&store, minute, 7));
    drop(store);
    let registry = Connection::open(folder.path().join("registry.db")).unwrap();
    assert_eq!(registry.execute("UPDATE rates SET reports = 8 WHERE minute = 2", []).unwrap(), 1);
    drop(registry);
    let store = open(folder.path());
    let found = read(&store);
    assert_eq!(found.minutes.iter().map(|(minute, _)| *minute).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(found.known, [1..2, 3..4]);
    // It begins anew.
    note(&store, 2, 1);
    assert_eq!(read(&store).minutes[1].1.reports, 1);
}

/// The format stays the same: an earlier program goes on with the store, and this one after it.
#[test]
fn a_registry_that_an_earlier_program_made_gets_the_table() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let registry = Connection::open(folder.path().join("registry.db")).unwrap();
    registry.execute_batch("DROP TABLE rates").unwrap();
    drop(registry);
    let store = open(folder.path());
    note(&store, 1, 7);
    assert_eq!(read(&store).minutes.len(), 1);
}
