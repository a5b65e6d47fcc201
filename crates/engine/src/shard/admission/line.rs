//! Handshakes under way in the order in which they make room, and what was dropped where there was none.

use std::{
    cmp::max,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{AdmissionLimits, Stay};

/// At a limit it is a flood when as many hellos as the limit, and no fewer than this, were dropped within a
/// slow round trip. Few clients that cannot get in, and perhaps begin anew each time, are none.
pub(super) const FLOOD_HELLOS_MIN: usize = 1_000;

/// … and one in so many of its places was held by a handshake that stood still.
const WASTED_PART: usize = 16;

/// What is added to a measured round trip: the time that a device needs to compute its answer.
const COMPUTES: Duration = Duration::from_millis(100);

/// A handshake under way, as the admission knows it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Held {
    /// Its number of beginning.
    pub(super) begun: u64,
    /// Its slot.
    pub(super) slot: u32,
    /// When it began, or last went on.
    pub(in super::super) last: Instant,
    pub(in super::super) stage: Stage,
    pub(super) stay: Stay,
    /// How far its peer is at most.
    pub(super) round_trip: Duration,
}

impl Held {
    /// Until when a passing one that has gone on has its place for certain: its peer's next message may take
    /// as long as its hello did.
    pub(super) fn next_due(&self) -> Instant {
        self.last + with_margin(self.round_trip) + COMPUTES
    }
}

/// A round trip that may vary by a quarter.
pub(super) fn with_margin(round_trip: Duration) -> Duration {
    round_trip + round_trip / 4
}

/// How far a handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Stage {
    /// Nothing has come since its hello.
    Begun,
    /// Its peer has named an identity, and waits for the platform's answer.
    Asks,
    /// Its peer has named an identity, and is waited for.
    GoneOn,
    /// Its Finished was rejected.
    Rejected,
}

/// The place of a handshake: its slot, and for how long it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat {
    pub(super) slot: u32,
    pub(super) stay: Stay,
}

/// Handshakes by what they have come to, each in the order in which they make room.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Those that have not gone on, by their number of beginning: since when, and their places.
    begun: BTreeMap<u64, (Instant, Seat)>,
    /// How many wait for the platform: none of them makes room.
    asking: usize,
    /// Those that have gone on, by the time from which they stand still.
    gone_on: BTreeMap<(Instant, u64), Seat>,
    rejected: BTreeMap<u64, Seat>,
}

impl Order {
    pub(super) fn len(&self) -> usize {
        self.begun.len() + self.asking + self.gone_on.len() + self.rejected.len()
    }

    /// `still` is the time from which it stands still, where it has gone on.
    pub(super) fn add(&mut self, held: &Held, still: Instant) {
        let Held { begun, slot, last, stage, stay, .. } = *held;
        let seat = Seat { slot, stay };
        match stage {
            Stage::Begun => {
                self.begun.insert(begun, (last, seat));
            }
            Stage::Asks => self.asking += 1,
            Stage::GoneOn => {
                self.gone_on.insert((still, begun), seat);
            }
            Stage::Rejected => {
                self.rejected.insert(begun, seat);
            }
        }
    }

    /// As it was added.
    pub(super) fn remove(&mut self, held: &Held, still: Instant) {
        match held.stage {
            Stage::Begun => {
                self.begun.remove(&held.begun);
            }
            Stage::Asks => self.asking = self.asking.saturating_sub(1),
            Stage::GoneOn => {
                self.gone_on.remove(&(still, held.begun));
            }
            Stage::Rejected => {
                self.rejected.remove(&held.begun);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn holds(&self, held: &Held) -> bool {
        self.begun.contains_key(&held.begun) || self.gone_on.contains_key(&(held.last, held.begun))
    }

    /// The oldest whose Finished was rejected.
    pub(super) fn rejected(&self) -> Option<Seat> {
        self.rejected.values().next().copied()
    }

    /// Since when the oldest stands that has not gone on, and its place.
    pub(super) fn oldest_begun(&self) -> Option<(Instant, Seat)> {
        self.begun.values().next().copied()
    }

    /// The newest that has not gone on.
    pub(super) fn newest_begun(&self) -> Option<Seat> {
        self.begun.values().next_back().map(|&(_, seat)| seat)
    }

    /// The one that has gone on and stands still for longest: since when, and its place.
    pub(super) fn oldest_gone_on(&self) -> Option<(Instant, Seat)> {
        self.gone_on.first_key_value().map(|(&(still, _), &seat)| (still, seat))
    }
}

/// The handshakes of an address, or of all.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) order: Order,
    pub(super) dropped: Dropped,
}

/// A place for a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Free,
    /// That of one that was rejected.
    Rejected(Seat),
    /// That of one that stood still.
    Still(Seat),
    /// That of the newest of a busy address.
    Busiest(Seat),
    /// A passing one.
    Passing(Seat),
}

impl Place {
    /// Whose it is.
    pub(super) fn seat(self) -> Option<Seat> {
        match self {
            Self::Free => None,
            Self::Rejected(seat) | Self::Still(seat) | Self::Busiest(seat) | Self::Passing(seat) => {
                Some(seat)
            }
        }
    }
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The place of the one that is missed least, if any may be missed.
    pub(super) fn worst(&self, now: Instant, limits: &AdmissionLimits) -> Option<Place> {
        if let Some(seat) = self.order.rejected() {
            return Some(Place::Rejected(seat));
        }
        let oldest = [self.order.oldest_begun(), self.order.oldest_gone_on()];
        let (since, seat) = oldest.into_iter().flatten().min()?;
        let stands_still = now.saturating_duration_since(since) > limits.slow_round_trip;
        stands_still.then_some(Place::Still(seat))
    }

    /// Half of the places are for everybody, flood or not.
    pub(super) fn is_flood(&self, now: Instant, limit: usize) -> bool {
        self.dropped.flood_until.is_some_and(|until| now < until) && self.len() >= limit.div_ceil(2)
    }
}

/// Hellos dropped at a limit within a slow round trip.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    pub(super) limit: usize,
    since: Option<Instant>,
    count: usize,
    /// Handshakes that made room because they stood still, and when the last one did.
    evicted: usize,
    evicted_last: Option<Instant>,
    flood_until: Option<Instant>,
}

impl Dropped {
    pub(super) fn note_evicted(&mut self, now: Instant, slow_round_trip: Duration) {
        if self.evicted_last.is_some_and(|last| now > last + 2 * slow_round_trip) {
            self.evicted = 0;
        }
        self.evicted += 1;
        self.evicted_last = Some(now);
    }

    pub(super) fn count(&mut self, now: Instant, slow_round_trip: Duration) {
        if self.since.is_none_or(|since| now > since + slow_round_trip) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        // Devices that all come at once are none: they finish. A flood goes on as long as hellos are dropped.
        let goes_on = self.flood_until.is_some_and(|until| now < until);
        let is_wasted = self.evicted >= max(self.limit / WASTED_PART, 1)
            && self.evicted_last.is_some_and(|last| now <= last + 2 * slow_round_trip);
        if self.count >= max(self.limit, FLOOD_HELLOS_MIN) && (is_wasted || goes_on) {
            self.flood_until = Some(now + slow_round_trip);
        }
    }
}
