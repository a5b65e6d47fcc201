//! The time of arrival: what a wall clock that may be wrong says, checked against what was confirmed before.
//!
//! A server without a clock of its own starts in 1970, or days behind, until a time server is reached; a
//! clock may be set to a wrong year for a minute. Neither may decide what is kept. A pure machine over both
//! clocks:
//!
//! | the wall clock | an arrival |
//! |---|---|
//! | at or after the newest confirmed arrival, and no leap | is its time, and confirmed |
//! | before the newest confirmed arrival | is the newest confirmed one |
//! | ahead by more than [`LEAP_MAX`], for less than [`CONFIRMED_AFTER`] | goes on from the last confirmed |
//! | … for longer | is its time, and confirmed |
//! | before [`SET_AFTER`], and nothing was ever confirmed | is its time, not confirmed |
//!
//! Where this process has confirmed none since its start, an arrival after a leap is the clock's time and not
//! confirmed: the server was off for so long, more likely than not.
//!
//! What was confirmed is never taken back: a clock that was wrong for longer and is set back stands still for
//! arrivals until it is there again.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::ids::UnixMillis;

/// A clock that is further ahead of what was confirmed has leapt, or the server was off for so long: it is
/// believed after [`CONFIRMED_AFTER`]. A wrong time zone is believed at once.
pub const LEAP_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long, by the monotonic clock, a clock that has leapt must go on before it is believed: longer than a
/// time server needs to set it right.
pub const CONFIRMED_AFTER: Duration = Duration::from_secs(600);
/// A clock that is less behind than this was corrected: nobody has to look at it.
pub const BEHIND_TOLD: Duration = Duration::from_secs(60);
/// 2020-01-01: this program is younger, so a clock that shows an earlier time was never set.
pub const SET_AFTER: UnixMillis = UnixMillis(1_577_836_800_000);
/// A time further ahead of an arrival than this is not a clock's drift.
pub const DRIFT_MAX: Duration = Duration::from_secs(300);

const LEAP_MS_MAX: i64 = LEAP_MAX.as_millis() as i64;
const DRIFT_MS_MAX: i64 = DRIFT_MAX.as_millis() as i64;

/// When something arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// What is written down.
    pub time: UnixMillis,
    /// The latest time that it may really be. A device's time may be compared with it: where the server's
    /// own clock is known to be wrong it lies later than `time`, or nowhere.
    pub latest: UnixMillis,
}

impl From<UnixMillis> for Arrival {
    /// By a clock that is right.
    fn from(time: UnixMillis) -> Self {
        Self { time, latest: time }
    }
}

/// What is known of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It goes on from what was confirmed.
    #[default]
    Right,
    /// It shows a time before the newest confirmed arrival, or was never set.
    Behind {
        /// How far.
        by: Duration,
    },
    /// It has leapt ahead and is not believed yet.
    Ahead {
        /// How far.
        by: Duration,
    },
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArrivalClock {
    /// The newest confirmed arrival.
    confirmed: Option<UnixMillis>,
    /// When the clock was last believed in this process, and what it showed.
    base: Option<(Instant, UnixMillis)>,
    /// Since when a leap is doubted, and what the clock showed then.
    doubt: Option<(Instant, UnixMillis)>,
    standing: Standing,
}

impl ArrivalClock {
    /// A clock of a store whose newest confirmed arrival is this one.
    pub fn new(confirmed: Option<UnixMillis>) -> Self {
        Self { confirmed, ..Self::default() }
    }

    /// What was last known of the wall clock.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Something arrives now.
    pub fn read(&mut self, now: Instant, wall: UnixMillis) -> Arrival {
        let Some(confirmed) = self.confirmed else {
            if wall >= SET_AFTER {
                return self.believe(now, wall);
            }
            self.standing = Standing::Behind { by: between(wall, SET_AFTER) };
            return Arrival { time: wall, latest: UnixMillis(i64::MAX) };
        };
        // What a right clock shows, as far as that can be known.
        let expected = self.base.map_or(confirmed, |(at, shown)| later(shown, now, at)).max(confirmed);
        if wall.0.saturating_sub(expected.0) > LEAP_MS_MAX {
            return self.doubt(now, wall, expected);
        }
        self.doubt = None;
        if wall < confirmed {
            return self.wait(wall, confirmed, expected);
        }
        if expected.0 - wall.0 <= LEAP_MS_MAX || self.base.is_none() {
            return self.believe(now, wall);
        }
        // It was set back by days, and has come to where it was then.
        self.confirmed = Some(wall);
        self.standing = Standing::Behind { by: between(wall, expected) };
        Arrival { time: wall, latest: expected }
    }

    fn believe(&mut self, now: Instant, wall: UnixMillis) -> Arrival {
        *self = Self { confirmed: Some(wall), base: Some((now, wall)), ..Self::default() };
        wall.into()
    }

    /// The clock is behind: it waits for the newest confirmed arrival.
    fn wait(&mut self, wall: UnixMillis, confirmed: UnixMillis, expected: UnixMillis) -> Arrival {
        let by = between(wall, confirmed);
        self.standing = if by > BEHIND_TOLD { Standing::Behind { by } } else { Standing::Right };
        let latest = if self.base.is_some() { expected } else { UnixMillis(i64::MAX) };
        Arrival { time: confirmed, latest }
    }

    /// The clock is more than a leap ahead of what a right one would show.
    fn doubt(&mut self, now: Instant, wall: UnixMillis, expected: UnixMillis) -> Arrival {
        let goes_on = |(since, shown): &(Instant, UnixMillis)| {
            wall.0.abs_diff(later(*shown, now, *since).0) <= LEAP_MS_MAX.unsigned_abs()
        };
        let (since, shown) = *self.doubt.get_or_insert((now, wall));
        if !goes_on(&(since, shown)) {
            self.doubt = Some((now, wall));
        } else if now.saturating_duration_since(since) >= CONFIRMED_AFTER {
            return self.believe(now, wall);
        }
        self.standing = Standing::Ahead { by: between(expected, wall) };
        if self.base.is_none() {
            return wall.into();
        }
        self.confirmed = Some(expected);
        Arrival { time: expected, latest: wall }
    }
}

/// What a clock shows now that showed a time at an instant.
fn later(shown: UnixMillis, now: Instant, at: Instant) -> UnixMillis {
    let passed = now.saturating_duration_since(at).as_millis();
    UnixMillis(shown.0.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX)))
}

fn between(earlier: UnixMillis, later: UnixMillis) -> Duration {
    Duration::from_millis(u64::try_from(later.0.saturating_sub(earlier.0)).unwrap_or(0))
}

/// Whether a value of this `time`, which arrived at `arrival`, takes the place of one whose time is `stored`
/// and which arrived before.
///
/// The newer time does. So that a value from a wrong clock, the device's or the server's, does not stand for
/// years, one that lies ahead of a later arrival loses: by more than a day always, by more than
/// [`DRIFT_MAX`] to a value that does not.
pub fn supersedes(time: UnixMillis, arrival: UnixMillis, stored: UnixMillis) -> bool {
    let ahead = |of: UnixMillis| of.0.saturating_sub(arrival.0);
    time >= stored
        || ahead(stored) > LEAP_MS_MAX
        || (ahead(stored) > DRIFT_MS_MAX && ahead(time) <= DRIFT_MS_MAX)
}

/// When a device was last heard that was heard at `earlier` and again at `later`: the greater one, unless
/// `earlier` is of a clock that was wrong.
pub fn last_heard(earlier: Option<UnixMillis>, later: Option<UnixMillis>) -> Option<UnixMillis> {
    match (earlier, later) {
        (Some(earlier), Some(later)) if !supersedes(later, later, earlier) => Some(earlier),
        (earlier, later) => later.or(earlier),
    }
}

/// When a device was last heard, where two places know a time: `news` is what was not written down yet, which
/// may be a little older than what `kept` has. A day older it is not: then `kept` is of a clock that was
/// wrong.
pub fn heard_by_news(kept: Option<UnixMillis>, news: Option<UnixMillis>) -> Option<UnixMillis> {
    match (kept, news) {
        (Some(kept), Some(news)) if kept.0.saturating_sub(news.0) > LEAP_MS_MAX => Some(news),
        (kept, news) => kept.max(news),
    }
}

/// The newest confirmed arrival of a store, found by its arrivals in the order of time. Arrivals that lie
/// more than [`LEAP_MAX`] after the others are confirmed when they cover [`CONFIRMED_AFTER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredArrivals {
    confirmed: Option<UnixMillis>,
    /// The first and the last one after a leap.
    doubted: Option<(UnixMillis, UnixMillis)>,
}

impl Extend<UnixMillis> for StoredArrivals {
    fn extend<I: IntoIterator<Item = UnixMillis>>(&mut self, arrivals: I) {
        arrivals.into_iter().for_each(|arrival| self.add(arrival));
    }
}

impl StoredArrivals {
    /// The next arrival.
    pub fn add(&mut self, arrival: UnixMillis) {
        let Some(confirmed) = self.confirmed else {
            self.confirmed = (arrival >= SET_AFTER).then_some(arrival);
            return;
        };
        let is_near = |before: UnixMillis| arrival.0.saturating_sub(before.0) <= LEAP_MS_MAX;
        if is_near(confirmed) {
            self.confirmed = Some(confirmed.max(arrival));
            return;
        }
        let (first, last) = match self.doubted {
            Some((first, last)) if arrival >= first && is_near(last) => (first, last.max(arrival)),
            _ => (arrival, arrival),
        };
        self.doubted = Some((first, last));
        if between(first, last) >= CONFIRMED_AFTER {
            *self = Self { confirmed: Some(last), doubted: None };
        }
    }

    /// The newest one that is confirmed.
    pub fn confirmed(&self) -> Option<UnixMillis> {
        self.confirmed
    }
}
