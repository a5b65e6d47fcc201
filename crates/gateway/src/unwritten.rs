//! Requests that were answered 5.03 because the store could not write: how many in the last minute, since
//! when, and why, for `status`. A minute is kept, second by second.

use std::collections::VecDeque;

use narrowgate_api::fleet::RefusedByStore;
use narrowgate_platform::ids::UnixMillis;

const MINUTE_MS: i64 = 60_000;

/// What is noted.
#[derive(Debug, Clone, Default)]
pub struct Unwritten {
    /// Seconds with their counts, oldest first: those of the last minute.
    seconds: VecDeque<(i64, u64)>,
    since: Option<UnixMillis>,
    /// Whether the store has written since.
    writes_again: bool,
    reason: String,
    /// Adds up what was noted.
    changes: u64,
}

impl Unwritten {
    /// The store could not write; this many requests are answered 5.03.
    pub(crate) fn fail(&mut self, now: UnixMillis, requests: u64, reason: &str) {
        self.changes += 1;
        self.seconds.retain(|(second, _)| is_of_last_minute(*second, now));
        if std::mem::take(&mut self.writes_again) {
            self.since = None;
        }
        self.since.get_or_insert(now);
        reason.clone_into(&mut self.reason);
        let second = now.0.div_euclid(1000);
        match self.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += requests,
            _ => self.seconds.push_back((second, requests)),
        }
    }

    /// The store wrote.
    pub(crate) fn succeed(&mut self) {
        self.changes += u64::from(!self.writes_again);
        self.writes_again = true;
    }

    /// Updates a copy, which costs nothing if nothing was noted.
    pub fn copy_to(&self, copy: &mut Self) {
        if copy.changes != self.changes {
            copy.clone_from(self);
        }
    }

    /// `None`: all was written in the last minute.
    pub fn shown(&self, now: UnixMillis) -> Option<RefusedByStore> {
        let of_last_minute = self.seconds.iter().filter(|(second, _)| is_of_last_minute(*second, now));
        let last_minute = of_last_minute.map(|(_, count)| count).sum();
        // Without reports, a store whose last write failed still counts.
        if last_minute == 0 && self.writes_again {
            return None;
        }
        self.since.map(|since| RefusedByStore { last_minute, since, reason: self.reason.clone() })
    }
}

/// A clock that was set back leaves seconds in the future: they belong to no minute.
fn is_of_last_minute(second: i64, now: UnixMillis) -> bool {
    let oldest = (now.0 - MINUTE_MS).div_euclid(1000);
    (oldest + 1..=oldest + 60).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_refusals_is_kept_with_its_beginning_and_its_reason() {
        let mut unwritten = Unwritten::default();
        unwritten.succeed();
        assert_eq!(unwritten.shown(UnixMillis(0)), None);
        for second in 0..100 {
            unwritten.fail(UnixMillis(second * 1000), 2, "the disk is full");
        }
        let shown = |unwritten: &Unwritten, at| {
            unwritten.shown(UnixMillis(at)).map(|shown| (shown.last_minute, shown.since.0))
        };
        assert_eq!(shown(&unwritten, 99_000), Some((120, 0)));
        assert_eq!(shown(&unwritten, 500_000), Some((0, 0)), "nothing was written since");
        unwritten.fail(UnixMillis(600_000), 1, "the disk is full");
        unwritten.succeed();
        assert_eq!(shown(&unwritten, 601_000), Some((1, 0)));
        assert_eq!(shown(&unwritten, 661_000), None);
        unwritten.fail(UnixMillis(700_000), 3, "an fsync failed");
        let shown = unwritten.shown(UnixMillis(700_000)).unwrap();
        assert_eq!(
            serde_json::to_string(&shown).unwrap(),
            r#"{"lastMinute":3,"since":700000,"reason":"an fsync failed"}"#
        );
    }
}
