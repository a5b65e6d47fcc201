//! Values of a point by time, bucket by bucket: where buckets begin, and what the values of one come to.
//!
//! Buckets are counted from Monday, 1970-01-05, 00:00, in the time of a zone: those of an hour begin at full
//! hours, those of a day at midnight, those of seven days on Mondays. Where clocks are put forward or back, a
//! bucket lasts shorter or longer; an hour that occurs twice is two buckets.
//!
//! The values come in any order, and only what they come to is kept, so a range of any length takes the
//! memory of its buckets. Limits: [`BUCKETS_MAX`] buckets of a page; where its reports are more than
//! [`REPORTS_MAX`], it ends after fewer buckets; one bucket alone may have [`BUCKET_REPORTS_MAX`].

mod sums;
#[cfg(test)]
mod tests;
mod zone;

use std::collections::BTreeMap;

use self::sums::Sums;
pub use self::{
    sums::{Bucket, Function, Functions},
    zone::{BucketFault, Bucketing},
};
use crate::{
    ids::UnixMillis,
    paging::{DamagedRows, Page, Place},
};

/// Buckets of a page: with their values of up to 10 KiB, three of a bucket, some megabytes.
pub const BUCKETS_MAX: usize = 1000;
/// Reports after which a page gives up half of its buckets, each time. They take a fraction of a second, and
/// a request has some seconds.
pub const REPORTS_MAX: usize = 100_000;
/// Reports of one bucket alone.
pub const BUCKET_REPORTS_MAX: usize = 1_000_000;

/// A page of buckets that is made of values in any order.
#[derive(Debug)]
pub struct Aggregation {
    bucketing: Bucketing,
    functions: Functions,
    limit: usize,
    /// By their begin.
    buckets: BTreeMap<i64, Sums>,
    /// Values before this time do not matter (any more).
    from: i64,
    /// There is something before `from`.
    goes_on: bool,
    /// Reports since the last time that buckets were given up.
    reports: usize,
    /// Begin of a bucket, and a later time that lies in it too.
    known: Option<(i64, i64)>,
    damaged: DamagedRows,
}

/// There are more reports than [`BUCKET_REPORTS_MAX`] in a single bucket, or none of them has the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded {
    /// When that bucket begins.
    pub begins: Option<UnixMillis>,
}

impl Aggregation {
    /// The newest `limit` buckets of values from `from` on.
    pub fn new(bucketing: Bucketing, functions: Functions, from: Option<UnixMillis>, limit: usize) -> Self {
        Self {
            bucketing,
            functions,
            limit,
            buckets: BTreeMap::new(),
            from: from.map_or(i64::MIN, |from| from.0),
            goes_on: false,
            reports: 0,
            known: None,
            damaged: DamagedRows::default(),
        }
    }

    /// Values before this time do not matter. It only grows.
    pub fn needed_from(&self) -> UnixMillis {
        UnixMillis(self.from)
    }

    /// Counts a report, before its values are taken.
    ///
    /// # Errors
    /// There are too many.
    pub fn note_report(&mut self) -> Result<(), Crowded> {
        self.reports += 1;
        if self.reports <= REPORTS_MAX {
            return Ok(());
        }
        match self.buckets.len() {
            0 | 1 if self.reports <= BUCKET_REPORTS_MAX => {}
            0 | 1 => {
                let begins = self.buckets.first_key_value().map(|(begins, _)| UnixMillis(*begins));
                return Err(Crowded { begins });
            }
            buckets => {
                self.keep(buckets / 2);
                self.reports = 0;
            }
        }
        Ok(())
    }

    /// Takes a value. Of two values of equal time, the one of the greater `place` is the later one.
    pub fn take(&mut self, time: UnixMillis, place: [i64; 3], value: &str) {
        if time.0 < self.from || self.limit == 0 {
            return;
        }
        let begins = match self.known {
            Some((begins, in_it)) if (begins..=in_it).contains(&time.0) => begins,
            _ => self.bucketing.begin_of(time).0,
        };
        self.known = Some((begins, time.0));
        self.buckets.entry(begins).or_default().add((time.0, place), value, self.functions);
        if self.buckets.len() > self.limit {
            self.keep(self.limit);
        }
    }

    /// Notes a row that is left out.
    pub fn note_damaged(&mut self, what: String) {
        self.damaged.add(what);
    }

    /// The buckets that have values, newest first. The page's place is the begin of its last bucket.
    pub fn finish(self) -> Page<Bucket> {
        let next = self.goes_on.then(|| Place([self.oldest(), 0, 0, 0]));
        let buckets = self.buckets.into_iter().rev();
        let items = buckets.map(|(begins, sums)| sums.bucket(UnixMillis(begins))).collect();
        Page { items, next, damaged: self.damaged }
    }

    /// Gives up all buckets but the newest.
    fn keep(&mut self, count: usize) {
        while self.buckets.len() > count {
            self.buckets.pop_first();
        }
        self.from = self.from.max(self.oldest());
        self.goes_on = true;
    }

    fn oldest(&self) -> i64 {
        self.buckets.first_key_value().map_or(i64::MIN, |(begins, _)| *begins)
    }
}
