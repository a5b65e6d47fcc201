//! How many reports came, and what was refused, minute by minute.

use std::{collections::BTreeMap, ops::Range};

use super::log::Reason;
use crate::ids::UnixMillis;

/// Milliseconds of a minute.
pub const MINUTE_MS: i64 = 60_000;
/// Minutes of which counts are kept: a day.
pub const MINUTES_KEPT: i64 = 24 * 60;
/// Minutes for which something must have been counted before older counts go: a clock may leap ahead, and be
/// set right soon after.
pub const COUNTED_BEFORE: i64 = 60;

/// Named reasons, and one more for refusals without a name.
const REASONS: usize = Reason::ALL.len() + 1;

/// The minute that `at` lies in, counted from 1970.
pub fn minute_of(at: UnixMillis) -> i64 {
    at.0.div_euclid(MINUTE_MS)
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Reports that were stored.
    pub reports: u64,
    /// By the place of their reason, and those without a name behind them.
    refusals: [u64; REASONS],
}

impl Tally {
    /// So many reports.
    pub fn of_reports(reports: u64) -> Self {
        Self { reports, ..Self::default() }
    }

    /// Counts a refusal.
    pub fn refuse(&mut self, reason: Option<Reason>) {
        self.add_refusals(reason, 1);
    }

    /// Counts so many.
    fn add_refusals(&mut self, reason: Option<Reason>, count: u64) {
        let place = reason.map_or(Reason::ALL.len(), |reason| reason as usize);
        self.refusals[place] = self.refusals[place].saturating_add(count);
    }

    /// Reasons for which something was refused, with how often; `None`: those without a name.
    pub fn refusals(&self) -> impl Iterator<Item = (Option<Reason>, u64)> {
        let named = Reason::ALL.into_iter().map(Some).chain([None]);
        named.zip(self.refusals).filter(|(_, count)| *count > 0)
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what was counted elsewhere, or before.
    pub fn add(&mut self, other: &Self) {
        self.reports = self.reports.saturating_add(other.reports);
        for (count, more) in self.refusals.iter_mut().zip(other.refusals) {
            *count = count.saturating_add(more);
        }
    }

    /// The refusals as JSON, for a store: `[["wrong_key",3],[null,1]]`.
    pub fn refusals_json(&self) -> String {
        // Words and numbers can always be written.
        serde_json::to_string(&self.refusals().collect::<Vec<_>>()).unwrap_or_default()
    }

    /// From a store. A reason of a later version has no name.
    pub fn read(reports: u64, refusals_json: &str) -> Option<Self> {
        let refusals: Vec<(Option<String>, u64)> = serde_json::from_str(refusals_json).ok()?;
        let mut tally = Self { reports, ..Self::default() };
        for (word, count) in refusals {
            let reason = word.and_then(|word| serde_json::from_value(word.into()).ok());
            tally.add_refusals(reason, count);
        }
        Some(tally)
    }
}

/// What was counted in a minute, to be added to what is stored of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedMinute {
    /// The minute.
    pub minute: i64,
    /// Since this minute it has been counted without a pause, and nothing but this.
    pub since: i64,
    /// Everything.
    pub all: Tally,
    /// What is known to be of devices of a product, by its key.
    pub products: Vec<(String, Tally)>,
}

/// What the process that counts knows of minutes: what the store does not have of them was not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counting {
    /// Since this minute it has counted.
    pub since: i64,
    /// But for these minutes, each with how many parts of it are not in the store: they are counted, wait for
    /// it, or are lost.
    pub missing: BTreeMap<i64, u32>,
}

/// Which counts somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatesQuery {
    /// Of this organisation unit; `None`: of all, also of strangers.
    pub ou: Option<String>,
    /// Minutes from this one on …
    pub from: i64,
    /// … and before this one.
    pub until: i64,
}

impl RatesQuery {
    /// The minutes that are wanted.
    pub fn minutes(&self) -> Range<i64> {
        self.from..self.until
    }
}

/// What was counted, as a store has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RatesFound {
    /// Minutes with something in them, rising.
    pub minutes: Vec<(i64, Tally)>,
    /// The spans in which it is known what was counted, rising: in their other minutes nothing was, …
    pub known: Vec<Range<i64>>,
    /// … but for these, whose row cannot be read.
    pub damaged: Vec<i64>,
}

impl RatesFound {
    /// Adds a span that is known. Spans come in the order of their ends.
    pub fn know(&mut self, mut span: Range<i64>) {
        if span.is_empty() {
            return;
        }
        while let Some(last) = self.known.pop_if(|last| span.start <= last.end) {
            span = span.start.min(last.start)..span.end.max(last.end);
        }
        self.known.push(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_comes_back_as_it_was_stored_and_a_reason_of_a_later_version_has_no_name() {
        let mut tally = Tally::of_reports(7);
        tally.refuse(Some(Reason::WrongKey));
        tally.refuse(Some(Reason::WrongKey));
        tally.refuse(None);
        let json = tally.refusals_json();
        assert_eq!(json, r#"[["wrong_key",2],[null,1]]"#);
        assert_eq!(Tally::read(7, &json), Some(tally));
        let later = Tally::read(0, r#"[["not_invented_yet",2],[null,1]]"#).expect("it can be read");
        assert_eq!(later.refusals().collect::<Vec<_>>(), [(None, 3)]);
        assert_eq!(Tally::read(0, "[[1,2]]"), None);
        tally.add(&Tally::read(u64::MAX, &json).expect("it can be read"));
        assert_eq!((tally.reports, tally.refusals().next()), (u64::MAX, Some((Some(Reason::WrongKey), 4))));
        assert!(Tally::default().is_empty() && !tally.is_empty());
    }

    #[test]
    fn spans_that_touch_are_one() {
        let mut found = RatesFound::default();
        for span in [1..3, 3..5, 4..5, 9..9, 7..8] {
            found.know(span);
        }
        assert_eq!(found.known, [1..5, 7..8]);
        found.know(2..9);
        assert_eq!(found.known, std::slice::from_ref(&(1..9)));
        assert_eq!([-1, 0, 59_999, 60_000].map(|ms| minute_of(UnixMillis(ms))), [-1, 0, 0, 1]);
    }
}
