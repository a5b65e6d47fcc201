//! Counts of minutes.

use std::collections::BTreeMap;

use super::model::Model;
use crate::{
    model::rates::{CountedMinute, MINUTES_KEPT, RatesFound, RatesQuery, Tally},
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
        self.rates.add(None, counted, &counted.all);
        for (ou, tally) in of_units {
            self.rates.add(Some(ou), counted, &tally);
        }
        Written::Done
    }
}

impl Rates {
    fn add(&mut self, ou: Option<String>, counted: &CountedMinute, tally: &Tally) {
        let minute = counted.minute;
        let rows = self.0.entry(ou).or_default();
        let row = rows.entry(minute).or_insert(Row { since: counted.since, tally: Tally::default() });
        row.since = row.since.min(counted.since);
        row.tally.add(tally);
        rows.retain(|other, _| other.abs_diff(minute) <= MINUTES_KEPT.unsigned_abs());
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
