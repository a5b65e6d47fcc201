//! The share of a class of distance. Peers whose round trips lie within a factor of two are of one class, and
//! of each class it is counted for how long its handshakes held places: those that were finished, and those
//! that came to nothing: rejected, refused, or silent until they made room or expired. While a hello of
//! another class finds no place that is free, a class of which most was in vain has a share of the places
//! (`SHARE_PART`), or twice what was of use, where that is more; of two or more such classes each has a part
//! of that.

use std::{
    cmp::Ordering,
    time::{Duration, Instant},
};

use super::line::Waited;

/// Classes of distance.
pub(super) const CLASSES: usize = 10;

/// The peers of the first class are nearer than this, those of each further one up to twice as far.
const NEAREST: Duration = Duration::from_micros(62_500);

/// Classes of which most was in vain have one in so many of all places.
const SHARE_PART: usize = 20;

/// It takes as much as so many places in vain for a slow round trip, or nothing shows.
const IN_VAIN_MIN: u32 = 3;

/// The class of peers that are so far away.
pub(super) fn class_of(round_trip: Duration) -> usize {
    let is_beyond = |class: &usize| round_trip >= NEAREST * (1_u32 << *class);
    (0..CLASSES - 1).take_while(is_beyond).count()
}

/// What a class has of its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Share {
    /// It may have more.
    Less,
    /// All of it.
    All,
    /// More than that.
    More,
}

/// For how long places were held.
#[derive(Debug, Default)]
pub(super) struct Spent {
    /// Since when hellos find no place, without a pause of a slow round trip, and the last one.
    pressed: Option<(Instant, Instant)>,
    /// When `sums` was begun; for a slow round trip.
    since: Option<Instant>,
    sums: [Sum; CLASSES],
    /// Those before that.
    before: [Sum; CLASSES],
    /// When a hello of each class found no place that was free.
    wanted: [Option<Instant>; CLASSES],
}

/// Times that places were held, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    used: u64,
    in_vain: u64,
}

impl Spent {
    /// A hello found no place.
    pub(super) fn press(&mut self, now: Instant, slow: Duration) {
        let pressed = self.pressed.filter(|(_, last)| now <= *last + slow);
        self.pressed = Some((pressed.map_or(now, |(since, _)| since), now));
    }

    /// A hello of a class found no place that was free.
    pub(super) fn want(&mut self, now: Instant, class: usize) {
        self.wanted[class] = Some(now);
    }

    /// A handshake was finished.
    pub(super) fn add_used(&mut self, now: Instant, class: usize, held: Duration, slow: Duration) {
        let sum = &mut self.turn_to(now, slow)[class];
        sum.used = sum.used.saturating_add(micros(held));
    }

    /// A handshake came to nothing whose peer had been waited for from one time to another.
    pub(super) fn add_in_vain(&mut self, now: Instant, waited: Waited, slow: Duration) {
        let Waited { from, until, class } = waited;
        // While hellos found places it was in nobody's way.
        let Some((pressed, _)) = self.pressed.filter(|(_, last)| now <= *last + slow) else { return };
        let sum = &mut self.turn_to(now, slow)[class];
        sum.in_vain = sum.in_vain.saturating_add(micros(until.saturating_duration_since(pressed.max(from))));
    }

    fn turn_to(&mut self, now: Instant, slow: Duration) -> &mut [Sum; CLASSES] {
        if self.since.is_none_or(|since| now > since + slow) {
            let follows = self.since.is_some_and(|since| now <= since + 2 * slow);
            self.before = if follows { self.sums } else { Default::default() };
            (self.since, self.sums) = (Some(now), Default::default());
        }
        &mut self.sums
    }

    fn of(&self, class: usize) -> Sum {
        let [a, b] = [self.sums[class], self.before[class]];
        Sum { used: a.used.saturating_add(b.used), in_vain: a.in_vain.saturating_add(b.in_vain) }
    }

    /// Whether a class that has so many of the places has its share.
    pub(super) fn share(
        &self,
        now: Instant,
        class: usize,
        has: usize,
        limit: usize,
        slow: Duration,
    ) -> Share {
        if self.since.is_none_or(|since| now > since + 2 * slow) {
            return Share::Less;
        }
        let least = micros(slow * IN_VAIN_MIN);
        let most_was_in_vain = |class: &usize| {
            let Sum { used, in_vain } = self.of(*class);
            in_vain > used && in_vain >= least
        };
        let wants = |other: usize| self.wanted[other].is_some_and(|wanted| now <= wanted + slow);
        let others_want = (0..CLASSES).any(|other| !most_was_in_vain(&other) && wants(other));
        if !most_was_in_vain(&class) || !others_want {
            return Share::Less;
        }
        let classes = (0..CLASSES).filter(most_was_in_vain).count();
        let Sum { used, in_vain } = self.of(class);
        let useful = 2 * u128::from(used) * limit as u128 / (u128::from(used) + u128::from(in_vain));
        let useful = usize::try_from(useful).unwrap_or(limit);
        match has.cmp(&useful.max(limit / (SHARE_PART * classes)).max(1)) {
            Ordering::Less => Share::Less,
            Ordering::Equal => Share::All,
            Ordering::Greater => Share::More,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
