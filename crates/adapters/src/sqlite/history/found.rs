//! The reports that a page of values or events is made of, while they are looked for file by file.

use std::cmp::Reverse;

use narrowgate_platform::{
    model::message::PointValue,
    paging::{Collector, DamagedRows, Page, Place},
};

/// A report's place in the order of all: time, and two numbers by [`super::commit_of`].
pub(super) type Order = (i64, i64, i64);

/// Points of a report that are asked for, each with its number in the report, from 1.
pub(super) type Values = Vec<(i64, PointValue)>;

/// A report that was found, or damaged ones without another between them.
pub(super) struct Found {
    pub(super) order: Order,
    pub(super) values: Result<Values, DamagedRows>,
}

/// What was found so far.
#[derive(Default)]
pub(super) struct FoundReports {
    pub(super) reports: Vec<Found>,
    /// The page ends behind this report at the latest: older ones were not looked for everywhere.
    pub(super) end: Option<Order>,
    /// Reports that were looked at, whether something of them was wanted or not.
    pub(super) looked: usize,
    /// Their bytes.
    pub(super) looked_bytes: usize,
}

impl FoundReports {
    /// The page ends behind this report, or a newer one.
    pub(super) fn end_behind(&mut self, order: Order) {
        self.end = self.end.max(Some(order));
    }

    /// Adds a damaged report behind the last one of its file, whose reports begin at an index.
    pub(super) fn add_damaged(&mut self, begin: usize, order: Order, what: String) {
        match self.reports[begin..].last_mut() {
            Some(Found { values: Err(rows), .. }) => rows.add(what),
            _ => self.reports.push(Found { order, values: Err(DamagedRows::of(what)) }),
        }
    }

    /// Sorts, and takes away what cannot be on the page.
    pub(super) fn cut(&mut self, wanted: usize, bytes_max: usize) {
        self.reports.sort_by_key(|report| Reverse(report.order));
        let (mut values, mut bytes) = (0, 0);
        for report in &self.reports {
            let Ok(own) = &report.values else { continue };
            values += own.len();
            bytes += own.iter().map(|(_, value)| bytes_of(value)).sum::<usize>();
            if values >= wanted || bytes >= bytes_max {
                self.end = self.end.max(Some(report.order));
                break;
            }
        }
        let Some(end) = self.end else { return };
        // Damaged ones are behind the report that they are placed with, and so on the next page.
        self.reports.retain(|report| report.order > end || (report.order == end && report.values.is_ok()));
    }

    pub(super) fn page(self, limit: usize) -> Page<PointValue> {
        let mut page = Collector::new(limit);
        for Found { order: (time, first, second), values } in self.reports {
            match values {
                Err(rows) => page.note_damaged_rows(rows),
                Ok(values) => {
                    for (number, value) in values {
                        if !page.take(Place([time, first, second, number]), value) {
                            return page.finish();
                        }
                    }
                }
            }
        }
        if let Some((time, first, second)) = self.end {
            page.end_behind(Place([time, first, second, i64::MAX]));
        }
        page.finish()
    }
}

pub(super) fn bytes_of(PointValue { point, value, .. }: &PointValue) -> usize {
    point.len() + value.get().len()
}
