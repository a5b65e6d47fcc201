//! Counts of minutes.

use std::collections::BTreeMap;

use super::model::Model;
use crate::{
    model::rates::{COUNTED_BEFORE, CountedMinute, MINUTES_KEPT, RatesFound, RatesQuery, Tally},
    ports::Written,
};

/// By organisation unit and minute; those of all have no unit.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<Option<String>, BTreeMap<i64, Row>>);

#[derive(Debug, Clone, Copy)]
struct Row {
    since: i64,
    tally: Tally,
}

impl Model {
    /// See [`crate::ports::Write::Rates`].
    pub(super) fn note_rates(&mut self, counted: &CountedMinute) -> Written {
        let mut of_units: BTreeMap<String, Tally> = BTreeMap::new();
        for (product_key, tally) in &counted.products {
            let product = self.product_keys.get(product_key).and_then(|index| self.products[*index].as_ref());
            if let Some(row) = product {
                of_units.entry(row.product.ou.clone()).or_default().add(tally);
            }
        }
        let has_gone_on = self.rates.has_gone_on(counted.minute);
        self.rates.add(None, counted, &counted.all, has_gone_on);
        for (ou, tally) in of_units {
            self.rates.add(Some(ou), counted, &tally, has_gone_on);
        }
        Written::Done
    }
}

impl Rates {
    /// Whether something was counted in the day up to an hour before.
    fn has_gone_on(&self, minute: i64) -> bool {
        let span = minute - MINUTES_KEPT..=minute - COUNTED_BEFORE;
        self.0.get(&None).is_some_and(|rows| rows.range(span).next().is_some())
    }

    /// `has_gone_on`: what is older than a day goes. What is further ahead goes in any case.
    fn add(&mut self, ou: Option<String>, counted: &CountedMinute, tally: &Tally, has_gone_on: bool) {
        let minute = counted.minute;
        let rows = self.0.entry(ou).or_default();
        let row = rows.entry(minute).or_insert(Row { since: counted.since, tally: Tally::default() });
        row.since = row.since.min(counted.since);
        row.tally.add(tally);
        let is_kept = |other: i64| !has_gone_on || other >= minute - MINUTES_KEPT;
        rows.retain(|other, _| is_kept(*other) && *other <= minute + MINUTES_KEPT);
    }

    /// See [`crate::ports::Registry::rates`].
    pub(super) fn read(&self, query: &RatesQuery) -> RatesFound {
        let mut found = RatesFound::default();
        for (minute, row) in self.0.get(&None).into_iter().flat_map(|rows| rows.range(query.from..)) {
            found.know(row.since.max(query.from)..minute.saturating_add(1).min(query.until));
        }
        let rows = self.0.get(&query.ou).into_iter().flat_map(|rows| rows.range(query.from..));
        let rows = rows.filter(|(minute, row)| **minute < query.until && !row.tally.is_empty());
        found.minutes = rows.map(|(minute, row)| (*minute, row.tally)).collect();
        found
    }
}
