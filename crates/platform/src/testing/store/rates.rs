//! Checks of what was counted minute by minute.

use std::sync::Arc;

use super::{
    access::{change, unit},
    fixtures::{add_product, append, product},
};
use crate::{
    ids::DEFAULT_OU,
    model::{
        log::Reason,
        product::Product,
        rates::{COUNTED_BEFORE, CountedMinute, MINUTES_KEPT, RatesFound, RatesQuery, Tally},
    },
    ports::{AccessChange, Store, Write},
    testing::block_on,
};

const MINUTE: i64 = 29_453_760;
const NORTH: &str = "o00000000000007";

fn tally(reports: u64, wrong_keys: usize) -> Tally {
    let mut tally = Tally::of_reports(reports);
    (0..wrong_keys).for_each(|_| tally.refuse(Some(Reason::WrongKey)));
    tally
}

fn counted(minute: i64, since: i64, all: Tally, products: &[(&str, Tally)]) -> Write {
    let products = products.iter().map(|(key, tally)| ((*key).to_owned(), *tally)).collect();
    Write::Rates(Arc::new(CountedMinute { minute: MINUTE + minute, since: MINUTE + since, all, products }))
}

/// Minutes count from [`MINUTE`].
fn read(store: &dyn Store, ou: Option<&str>, from: i64, until: i64) -> RatesFound {
    let ou = ou.map(str::to_owned);
    let query = RatesQuery { ou, from: MINUTE + from, until: MINUTE + until };
    let RatesFound { minutes, known, damaged } = block_on(store.rates(query)).unwrap();
    RatesFound {
        minutes: minutes.into_iter().map(|(minute, tally)| (minute - MINUTE, tally)).collect(),
        known: known.into_iter().map(|span| span.start - MINUTE..span.end - MINUTE).collect(),
        damaged,
    }
}

/// Also twice in a minute, and of a product that there is none of for all alone.
pub fn counts_of_a_minute_are_added_up_for_all_and_for_units(store: &dyn Store) {
    assert_eq!(read(store, None, 0, 100), RatesFound::default());
    for key in ["pk-a", "pk-b"] {
        add_product(store, key);
    }
    change(store, AccessChange::AddUnit(unit(7))).expect("it is new");
    let north = Product { ou: NORTH.to_owned(), ..product("pk-n") };
    block_on(store.create_product(north)).unwrap();
    let of_products =
        [("pk-a", tally(1, 0)), ("pk-b", tally(2, 1)), ("pk-n", tally(4, 0)), ("gone", tally(8, 0))];
    append(store, vec![counted(5, 2, tally(15, 3), &of_products)]);
    append(store, vec![counted(5, 5, tally(1, 0), &[("pk-n", tally(1, 0))])]);
    append(store, vec![counted(9, 8, Tally::default(), &[])]);
    let known = vec![2..6, 8..10];
    let found = |minutes| RatesFound { minutes, known: known.clone(), damaged: Vec::new() };
    assert_eq!(read(store, None, 0, 100), found(vec![(5, tally(16, 3))]));
    let of = |ou| read(store, Some(ou), 0, 100);
    assert_eq!(of(DEFAULT_OU), found(vec![(5, tally(3, 1))]));
    assert_eq!(of(NORTH), found(vec![(5, tally(5, 0))]));
    assert_eq!(of("o00000000000009"), found(Vec::new()));
    // What is asked for is cut at both ends.
    let mut cut = RatesFound::default();
    cut.know(3..5);
    assert_eq!(read(store, None, 3, 5), cut);
    assert_eq!(read(store, None, 6, 8), RatesFound::default());
}

/// A clock that was wrong leaves nothing for ever either.
pub fn counts_of_a_day_are_kept(store: &dyn Store) {
    add_product(store, "pk");
    let at = |minute: i64| counted(minute, minute, tally(1, 0), &[("pk", tally(1, 0))]);
    append(store, vec![at(3 * MINUTES_KEPT), at(0), at(1)]);
    let minutes = |ou: Option<&str>| -> Vec<i64> {
        let found = read(store, ou, -10, 10 * MINUTES_KEPT);
        found.minutes.iter().map(|(minute, _)| *minute).collect()
    };
    assert_eq!((minutes(None), minutes(Some(DEFAULT_OU))), (vec![0, 1], vec![0, 1]));
    append(store, vec![at(MINUTES_KEPT)]);
    assert_eq!(minutes(None), [0, 1, MINUTES_KEPT]);
    append(store, vec![at(MINUTES_KEPT + 1)]);
    assert_eq!(minutes(Some(DEFAULT_OU)), [1, MINUTES_KEPT, MINUTES_KEPT + 1]);
}

/// It has to go on for an hour before what it makes old goes.
pub fn a_clock_that_leaps_ahead_forgets_no_counts(store: &dyn Store) {
    add_product(store, "pk");
    let at = |minute: i64| counted(minute, minute, tally(1, 0), &[("pk", tally(1, 0))]);
    let minutes = |ou: Option<&str>| -> Vec<i64> {
        let found = read(store, ou, -10, 1_000_000);
        found.minutes.iter().map(|(minute, _)| *minute).collect()
    };
    append(store, vec![at(100), at(600_000), at(600_001), at(101)]);
    assert_eq!((minutes(None), minutes(Some(DEFAULT_OU))), (vec![100, 101], vec![100, 101]));
    append(store, vec![at(600_000), at(600_000 + COUNTED_BEFORE)]);
    let left = vec![600_000, 600_000 + COUNTED_BEFORE];
    assert_eq!((minutes(None), minutes(Some(DEFAULT_OU))), (left.clone(), left));
}
