//! The time of arrival: what a wall clock that may be wrong says, checked against what was confirmed before.
//!
//! A server without a clock of its own starts in 1970, or days behind, until a time server is reached; a
//! clock may be set to a wrong year for a minute. Neither may decide what is kept. A pure machine over both
//! clocks:
//!
//! | the wall clock | an arrival |
//! |---|---|
//! | at or after the newest arrival, and no leap | is its time |
//! | before the newest arrival by up to [`BEHIND_TOLD`] | is the newest one: the clock comes there at once |
//! | … by more | goes on from the newest one as time goes by, see below |
//! | ahead by more than [`LEAP_MAX`], for less than [`CONFIRMED_AFTER`] | goes on from the newest one |
//! | … for longer | is its time, and confirmed |
//! | before [`SET_AFTER`], and no arrival is known | is its time, not confirmed |
//!
//! Where this process has believed no clock since its start, an arrival after a leap is the clock's time and
//! not confirmed: the server was off for so long, more likely than not.
//!
//! **Confirmed** is what a clock showed that had gone on for [`CONFIRMED_AFTER`] of monotonic time, and what
//! goes on from there. It is never taken back. Before, in a new store, a clock is believed on trial:
//!
//! * It goes back by itself by more than [`BACK_MIN`]: the lower time is taken. What was stamped meanwhile
//!   loses to what comes later, see [`supersedes`].
//! * A start finds arrivals that were never confirmed, and its own clock is behind them: they count until
//!   that clock has gone on for [`CONFIRMED_AFTER`].
//!
//! While the clock is behind, durations go on: commands, quotas and ends are counted by arrivals. After
//! [`CONFIRMED_AFTER`] the clock behind may be the right one, and arrivals go by an eighth slower, so that
//! the two meet.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::ids::UnixMillis;

/// A clock that is further ahead of what was confirmed has leapt, or the server was off for so long: it is
/// believed after [`CONFIRMED_AFTER`]. A wrong time zone is believed at once.
pub const LEAP_MAX: Duration = Duration::from_secs(24 * 3600);
/// By so much more: the two clocks are not read in one moment, and a clock that was set by just [`LEAP_MAX`]
/// would have leapt or not by chance.
const READ_APART: Duration = Duration::from_secs(10);
/// How long, by the monotonic clock, a clock that has leapt must go on before it is believed: longer than a
/// time server needs to set it right.
pub const CONFIRMED_AFTER: Duration = Duration::from_secs(600);
/// A clock that is less behind than this was corrected: nobody has to look at it.
pub const BEHIND_TOLD: Duration = Duration::from_secs(60);
/// A clock on trial that goes back by more than this is believed: all that was stamped in the trial lies more
/// than [`DRIFT_MAX`] ahead then, and loses to what comes.
pub const BACK_MIN: Duration = Duration::from_secs(900);
/// 2020-01-01: this program is younger, so a clock that shows an earlier time was never set.
pub const SET_AFTER: UnixMillis = UnixMillis(1_577_836_800_000);
/// A time further ahead of an arrival than this is not a clock's drift.
pub const DRIFT_MAX: Duration = Duration::from_secs(300);

const LEAP_MS_MAX: i64 = LEAP_MAX.as_millis() as i64 + READ_APART.as_millis() as i64;
/// No value is believed that is further ahead of a later arrival.
const AHEAD_MS_MAX: i64 = LEAP_MAX.as_millis() as i64;
const DRIFT_MS_MAX: i64 = DRIFT_MAX.as_millis() as i64;
const BACK_MS_MIN: i64 = BACK_MIN.as_millis() as i64;
/// By this part of the time arrivals go slower while a clock stays behind.
const SLOWER: u32 = 8;

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
    /// It shows a time before the newest arrival, or was never set.
    Behind {
        /// How far.
        by: Duration,
    },
    /// It has leapt ahead and is not believed yet.
    Ahead {
        /// How far.
        by: Duration,
    },
    /// It went back while it was on trial, and is believed.
    WentBack {
        /// How far it is behind of what it would show.
        by: Duration,
    },
}

/// The newest arrival that a store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestArrival {
    /// When it was.
    pub time: UnixMillis,
    /// Whether it was confirmed. Else it may be of a clock that was wrong for a minute.
    pub is_confirmed: bool,
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArrivalClock {
    /// The newest arrival.
    newest: Option<UnixMillis>,
    is_confirmed: bool,
    /// When something arrived last.
    last: Option<Instant>,
    /// When the clock was last believed in this process, and what it showed.
    base: Option<Shown>,
    /// Since when a leap is doubted, and what the clock showed then.
    doubt: Option<Shown>,
    /// Since when the clock is behind, and the arrival of then.
    behind: Option<Shown>,
    /// Since when a clock on trial goes on, and what it showed then.
    trial: Option<Shown>,
    /// The highest time that a clock on trial has shown before it went back.
    above: Option<Shown>,
    standing: Standing,
}

/// What a clock showed, and when.
type Shown = (Instant, UnixMillis);

impl ArrivalClock {
    /// A clock of a store that knows this newest arrival.
    pub fn new(known: Option<NewestArrival>) -> Self {
        let is_confirmed = known.is_some_and(|known| known.is_confirmed);
        Self { newest: known.map(|known| known.time), is_confirmed, ..Self::default() }
    }

    /// What was last known of the wall clock.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The newest confirmed arrival.
    pub fn confirmed(&self) -> Option<UnixMillis> {
        self.newest.filter(|_| self.is_confirmed)
    }

    /// Something arrives now.
    pub fn read(&mut self, now: Instant, wall: UnixMillis) -> Arrival {
        let arrival = self.stamp(now, wall);
        self.last = Some(now);
        arrival
    }

    fn stamp(&mut self, now: Instant, wall: UnixMillis) -> Arrival {
        let is_tried = self.try_out(now, wall);
        let Some(newest) = self.newest else {
            if wall >= SET_AFTER {
                return self.believe(now, wall, is_tried);
            }
            self.standing = Standing::Behind { by: between(wall, SET_AFTER) };
            return Arrival { time: wall, latest: UnixMillis(i64::MAX) };
        };
        let newest = self.behind.map_or(newest, |behind| waited(behind, now)).max(newest);
        // What a right clock shows, as far as that can be known.
        let expected = self.base.map_or(newest, |base| later(base, now)).max(newest);
        if wall.0.saturating_sub(expected.0) > LEAP_MS_MAX {
            return self.doubt(now, wall, expected);
        }
        self.doubt = None;
        if wall < newest {
            return self.fall_behind(now, wall, (newest, expected), is_tried);
        }
        if expected.0 - wall.0 <= LEAP_MS_MAX || self.base.is_none() || is_tried {
            return self.believe(now, wall, is_tried);
        }
        // It was set back by days, and has come to where arrivals are.
        (self.newest, self.behind) = (Some(wall), None);
        self.standing = Standing::Behind { by: between(wall, expected) };
        Arrival { time: wall, latest: expected }
    }

    /// Whether a clock on trial has gone on for long enough.
    fn try_out(&mut self, now: Instant, wall: UnixMillis) -> bool {
        if self.is_confirmed || wall < SET_AFTER {
            self.trial = None;
            return false;
        }
        let trial = *self.trial.get_or_insert((now, wall));
        if wall.0.abs_diff(later(trial, now).0) > BACK_MS_MIN.unsigned_abs() {
            self.trial = Some((now, wall));
            return false;
        }
        now.saturating_duration_since(trial.0) >= CONFIRMED_AFTER
    }

    fn believe(&mut self, now: Instant, wall: UnixMillis, confirms: bool) -> Arrival {
        let is_confirmed = self.is_confirmed || confirms;
        let above = self.above.filter(|above| !is_confirmed && later(*above, now) > wall);
        let (newest, base, trial) = (Some(wall), Some((now, wall)), self.trial);
        *self = Self { newest, is_confirmed, base, trial, above, ..Self::default() };
        let Some(above) = above else { return wall.into() };
        let latest = later(above, now);
        self.standing = Standing::WentBack { by: between(wall, latest) };
        Arrival { time: wall, latest }
    }

    /// The clock is behind.
    fn fall_behind(
        &mut self,
        now: Instant,
        wall: UnixMillis,
        (newest, expected): (UnixMillis, UnixMillis),
        is_tried: bool,
    ) -> Arrival {
        if !self.is_confirmed && between(wall, newest) > BACK_MIN {
            if is_tried {
                return self.believe(now, wall, true);
            }
            if self.base.is_some() && wall >= SET_AFTER {
                self.above = Some((now, self.highest(now, expected)));
                return self.believe(now, wall, false);
            }
        }
        self.is_confirmed |= is_tried;
        let time = self.go_on(now, wall, newest);
        self.newest = Some(time);
        let by = between(wall, time);
        self.standing = if by > BEHIND_TOLD { Standing::Behind { by } } else { Standing::Right };
        let latest = if self.base.is_some() { self.highest(now, expected) } else { UnixMillis(i64::MAX) };
        Arrival { time, latest }
    }

    /// The arrival while the clock is behind.
    fn go_on(&mut self, now: Instant, wall: UnixMillis, newest: UnixMillis) -> UnixMillis {
        if between(wall, newest) <= BEHIND_TOLD {
            self.behind = None;
            return newest;
        }
        if self.behind.is_some() {
            return newest;
        }
        let reached = self.last.map_or(newest, |last| later((last, newest), now));
        self.behind = Some((now, reached));
        reached
    }

    /// The clock is more than a leap ahead of what a right one would show.
    fn doubt(&mut self, now: Instant, wall: UnixMillis, expected: UnixMillis) -> Arrival {
        let goes_on = |shown: Shown| wall.0.abs_diff(later(shown, now).0) <= LEAP_MS_MAX.unsigned_abs();
        let shown = *self.doubt.get_or_insert((now, wall));
        if !goes_on(shown) {
            self.doubt = Some((now, wall));
        } else if now.saturating_duration_since(shown.0) >= CONFIRMED_AFTER {
            return self.believe(now, wall, true);
        }
        self.behind = None;
        self.standing = Standing::Ahead { by: between(expected, wall) };
        if self.base.is_none() {
            return wall.into();
        }
        self.newest = Some(expected);
        Arrival { time: expected, latest: self.highest(now, wall) }
    }

    /// The later one of a time and what a clock on trial would show that went back.
    fn highest(&self, now: Instant, time: UnixMillis) -> UnixMillis {
        self.above.map_or(time, |above| later(above, now).max(time))
    }
}

/// What a clock shows now that showed a time at an instant.
fn later((at, shown): Shown, now: Instant) -> UnixMillis {
    after(shown, now.saturating_duration_since(at))
}

/// The arrival now that was another one when the clock fell behind.
fn waited((since, arrival): Shown, now: Instant) -> UnixMillis {
    let passed = now.saturating_duration_since(since);
    after(arrival, passed - passed.saturating_sub(CONFIRMED_AFTER) / SLOWER)
}

fn after(time: UnixMillis, passed: Duration) -> UnixMillis {
    UnixMillis(time.0.saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)))
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
        || ahead(stored) > AHEAD_MS_MAX
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
        (Some(kept), Some(news)) if kept.0.saturating_sub(news.0) > AHEAD_MS_MAX => Some(news),
        (kept, news) => kept.max(news),
    }
}

/// The newest arrival of a store, found by its arrivals: what was confirmed last, and those that go on from
/// there without a leap. Those after a leap are of a clock that nobody has confirmed, however long they
/// cover: each start may have had it for a minute. Where nothing was confirmed, the lower ones count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredArrivals {
    newest: Option<UnixMillis>,
    is_confirmed: bool,
}

impl Extend<UnixMillis> for StoredArrivals {
    fn extend<I: IntoIterator<Item = UnixMillis>>(&mut self, arrivals: I) {
        arrivals.into_iter().for_each(|arrival| self.add(arrival));
    }
}

impl StoredArrivals {
    /// An arrival.
    pub fn add(&mut self, arrival: UnixMillis) {
        if arrival < SET_AFTER {
            return;
        }
        self.newest = Some(match self.newest {
            Some(newest) if arrival.0.saturating_sub(newest.0) > LEAP_MS_MAX => newest,
            Some(newest) if !self.is_confirmed && newest.0 - arrival.0 > LEAP_MS_MAX => arrival,
            Some(newest) => newest.max(arrival),
            None => arrival,
        });
    }

    /// This arrival was confirmed.
    pub fn confirm(&mut self, arrival: UnixMillis) {
        let goes_on =
            |newest: &UnixMillis| self.is_confirmed || newest.0.saturating_sub(arrival.0) <= LEAP_MS_MAX;
        let newest = self.newest.filter(goes_on).map_or(arrival, |newest| newest.max(arrival));
        *self = Self { newest: Some(newest), is_confirmed: true };
    }

    /// The newest one that counts.
    pub fn newest(&self) -> Option<NewestArrival> {
        self.newest.map(|time| NewestArrival { time, is_confirmed: self.is_confirmed })
    }
}
