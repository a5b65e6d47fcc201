//! Values of a point by time, bucket by bucket: where buckets begin, and what the values of one come to.
//!
//! Buckets are counted from Monday, 1970-01-05, 00:00, in the time of a zone: those of an hour begin at full
//! hours, those of a day at midnight, those of seven days on Mondays. Where clocks are put forward or back, a
//! bucket lasts shorter or longer; an hour that occurs twice is two buckets.
//!
//! The values come in any order, and only what they come to is kept, so a range of any length takes the
//! memory of its buckets. Limits: [`BUCKETS_MAX`] buckets of a page, and [`PAGE_BYTES_MAX`] bytes of their
//! values; after [`REPORTS_MAX`] messages it ends with those that are complete, even if there is none yet;
//! one bucket may have [`BUCKET_REPORTS_MAX`]. A page is largest where each source is read from its newest
//! message on.

mod sums;
#[cfg(test)]
mod tests;
mod zone;

use std::{collections::BTreeMap, ops::Bound};

use self::sums::Sums;
pub use self::{
    sums::{Bucket, Function, Functions},
    zone::{BucketFault, Bucketing, clock_time},
};
use crate::{
    ids::UnixMillis,
    paging::{DamagedRows, PAGE_BYTES_MAX, Page, Place},
};

/// Buckets of a page.
pub const BUCKETS_MAX: usize = 1000;
/// Messages after which a page ends as soon as it can, be they reports, events or damaged. One of more than a
/// KiB counts once more for each KiB. They take a fraction of a second, and a request has some seconds.
pub const REPORTS_MAX: usize = 100_000;
/// Messages of one bucket: reports with the point or without it, events, and what is damaged, counted in the
/// same way.
pub const BUCKET_REPORTS_MAX: usize = 1_000_000;

/// A message counts once more for each of so many bytes.
const COUNTED_BYTES: usize = 1 << 10;

/// A page of buckets that is made of values in any order.
#[derive(Debug)]
pub struct Aggregation {
    bucketing: Bucketing,
    functions: Functions,
    limit: usize,
    /// By their begin.
    buckets: BTreeMap<i64, Sums>,
    /// Of the values that they hold.
    bytes: usize,
    /// Values before this time do not matter (any more).
    from: i64,
    /// There may be something before `from`, which is the begin of a bucket then.
    goes_on: bool,
    /// Messages since `from` was raised for their sake.
    messages: usize,
    /// The bucket of the last message by its begin, and how many messages it has.
    current: (i64, usize),
    /// How many those have that were current before, by their begin.
    others: BTreeMap<i64, usize>,
    /// Begin of a bucket, and a later time that lies in it too.
    known: Option<(i64, i64)>,
    damaged: DamagedRows,
}

/// There are more messages than [`BUCKET_REPORTS_MAX`] in a single bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded {
    /// When that bucket begins.
    pub begins: UnixMillis,
}

impl Aggregation {
    /// The newest `limit` buckets of values from `from` on.
    pub fn new(bucketing: Bucketing, functions: Functions, from: Option<UnixMillis>, limit: usize) -> Self {
        Self {
            bucketing,
            functions,
            limit,
            buckets: BTreeMap::new(),
            bytes: 0,
            from: from.map_or(i64::MIN, |from| from.0),
            goes_on: false,
            messages: 0,
            current: (i64::MIN, 0),
            others: BTreeMap::new(),
            known: None,
            damaged: DamagedRows::default(),
        }
    }

    /// Values before this time do not matter. It only grows.
    pub fn needed_from(&self) -> UnixMillis {
        UnixMillis(self.from)
    }

    /// Counts a message of so many bytes that was looked at, whether it has values or not, before they are
    /// taken.
    ///
    /// # Errors
    /// There are too many.
    pub fn note_message(&mut self, time: UnixMillis, bytes: usize) -> Result<(), Crowded> {
        let counts = 1 + bytes / COUNTED_BYTES;
        let begins = self.begin_of(time);
        if self.current.0 != begins {
            let (before, count) = self.current;
            self.others.insert(before, count);
            self.current = (begins, self.others.remove(&begins).unwrap_or(0));
        }
        self.current.1 += counts;
        if self.current.1 > BUCKET_REPORTS_MAX {
            return Err(Crowded { begins: UnixMillis(begins) });
        }
        self.messages += counts;
        if self.messages > REPORTS_MAX {
            // Where sources are read from their newest message on, only the bucket of this one still grows.
            let newer = self.buckets.range((Bound::Excluded(begins), Bound::Unbounded)).next();
            let from = newer.map_or(begins, |(newer, _)| *newer);
            if from > self.from {
                self.give_up_before(from);
                self.messages = 0;
            }
        }
        Ok(())
    }

    /// Takes a value. Of two values of equal time, the one of the greater `place` is the later one.
    pub fn take(&mut self, time: UnixMillis, place: [i64; 3], value: &str) {
        if time.0 < self.from || self.limit == 0 {
            return;
        }
        let begins = self.begin_of(time);
        let bucket = self.buckets.entry(begins).or_default();
        let before = bucket.bytes();
        bucket.add((time.0, place), value, self.functions);
        self.bytes = self.bytes - before + bucket.bytes();
        while (self.buckets.len() > self.limit || self.bytes > PAGE_BYTES_MAX)
            && let Some(begins) = self.buckets.keys().nth(1).copied()
        {
            self.give_up_before(begins);
        }
    }

    fn begin_of(&mut self, time: UnixMillis) -> i64 {
        let begins = match self.known {
            Some((begins, in_it)) if (begins..=in_it).contains(&time.0) => begins,
            _ => self.bucketing.begin_of(time).0,
        };
        self.known = Some((begins, time.0));
        begins
    }

    /// Notes a row that is left out.
    pub fn note_damaged(&mut self, what: String) {
        self.damaged.add(what);
    }

    /// The buckets that have values, newest first. All that have values from the page's place on are there;
    /// there may be none, and a place.
    pub fn finish(self) -> Page<Bucket> {
        let next = self.goes_on.then_some(Place([self.from, 0, 0, 0]));
        let buckets = self.buckets.into_iter().rev();
        let items = buckets.map(|(begins, sums)| sums.bucket(UnixMillis(begins))).collect();
        Page { items, next, damaged: self.damaged }
    }

    /// The page ends with the bucket that begins here.
    fn give_up_before(&mut self, begins: i64) {
        self.bytes -= self.buckets.range(..begins).map(|(_, given_up)| given_up.bytes()).sum::<usize>();
        self.buckets = self.buckets.split_off(&begins);
        self.others = self.others.split_off(&begins);
        self.from = self.from.max(begins);
        self.goes_on = true;
    }
}
