//! What was counted minute by minute, over restarts and beside damage.

use std::sync::Arc;

use narrowgate_platform::{
    model::{
        log::Reason,
        rates::{CountedMinute, RatesFound, RatesQuery, Tally},
    },
    ports::{Batch, Journal as _, Registry as _, Write, Written},
    testing::{
        block_on,
        store::fixtures::{append, at, report},
    },
};
use rusqlite::Connection;

use super::*;
use crate::sqlite::OpenError;

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
    assert_eq!((found.known, found.damaged), (vec![1..2, 3..4], vec![2]));
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

/// Statistics of a day stop no start.
#[test]
fn attack_212_a_damaged_page_of_what_was_counted_stops_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ids = poisoned::fleet(&data, false);
    let store = open(&data);
    for minute in 0..300 {
        let mut all = Tally::of_reports(1_000_000_000_000);
        (0..9).for_each(|_| all.refuse(Some(Reason::WrongKey)));
        let counted = CountedMinute { minute, since: minute, all, products: Vec::new() };
        block_on(store.append(Batch::new(0, vec![Write::Rates(Arc::new(counted))]))).unwrap();
    }
    block_on(store.close()).unwrap();
    drop(store);
    let registry = data.join("registry.db");
    let whole = fs::read(&registry).unwrap();
    assert!(whole.len() < 16 << 20, "a start looks at its pages");
    let is_leaf = |page: &&usize| whole[**page * 4096] == 0x0a;
    let pages: Vec<usize> = pages_of(&registry, "rates").iter().filter(is_leaf).copied().collect();
    assert!(pages.len() > 1, "{pages:?}");
    for page in pages {
        let mut hurt = whole.clone();
        hurt[page * 4096..][..4096].fill(0xa5);
        let copy = crashed(&data, &format!("hurt-{page}"));
        fs::write(copy.join("registry.db"), hurt).unwrap();
        for round in 0..2 {
            let store = open(&copy);
            let counted = read(&store).minutes.len();
            assert_eq!(counted, round, "what was counted before is lost");
            note(&store, 1, 7);
            let written = append(&store, vec![report(ids[0], at(1), r#"{"n":1}"#)]);
            assert_eq!(written, [Written::Done], "page {page}");
            block_on(store.close()).unwrap();
        }
    }
}

/// Where something is damaged that is needed, nothing is opened.
#[test]
fn a_damaged_page_of_devices_beside_one_of_counts_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    poisoned::fleet(folder.path(), false);
    let store = open(folder.path());
    note(&store, 1, 7);
    block_on(store.close()).unwrap();
    drop(store);
    let registry = folder.path().join("registry.db");
    let mut hurt = fs::read(&registry).unwrap();
    for table in ["rates", "devices"] {
        let page = *pages_of(&registry, table).last().unwrap();
        hurt[page * 4096..][..4096].fill(0xa5);
    }
    fs::write(&registry, hurt).unwrap();
    let error = SqliteStore::open(SqliteOptions::new(folder.path())).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

/// The pages of a table, from 0.
fn pages_of(file: &Path, table: &str) -> Vec<usize> {
    let file = Connection::open(file).unwrap();
    let mut select = file.prepare("SELECT pageno - 1 FROM dbstat WHERE name = ?1 ORDER BY pageno").unwrap();
    let pages = select.query_map([table], |row| row.get::<_, i64>(0)).unwrap();
    pages.map(|page| usize::try_from(page.unwrap()).unwrap()).collect()
}

/// A full disk keeps the table from being made, and a start that would free the disk must come.
#[test]
fn a_start_without_the_table_goes_on_without_it() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let registry = Connection::open(folder.path().join("registry.db")).unwrap();
    // No table of this name can be made.
    registry.execute_batch("DROP TABLE rates; CREATE INDEX rates ON meta (name)").unwrap();
    drop(registry);
    let store = open(folder.path());
    assert_eq!(read(&store), RatesFound::default());
    drop(store);
    let registry = Connection::open(folder.path().join("registry.db")).unwrap();
    registry.execute_batch("DROP INDEX rates").unwrap();
    drop(registry);
    let store = open(folder.path());
    let other = Connection::open(folder.path().join("registry.db")).unwrap();
    other.execute_batch("DROP TABLE rates").unwrap();
    assert_eq!(read(&store), RatesFound::default());
    note(&store, 1, 7);
    assert_eq!(read(&store).minutes.len(), 1, "it is made with the next minute");
}
