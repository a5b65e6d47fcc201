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

/// … and one in so many of its places was held in vain for that time.
const WASTED_PART: usize = 10;

/// What is added to a measured round trip: the time that a device needs to compute its answer.
const COMPUTES: Duration = Duration::from_millis(100);

/// A peer is waited for this many of its own round trips at a limit: its answer takes one, and where that is
/// lost a client whose timer is not above two of them, and a second, sends it again in time.
const PATIENT_FOR: u32 = 3;

/// Outside of a flood each is waited for so much longer. The first timer of a client that is near (RFC 6347,
/// section 4.2.4.1) is a second: nearer than 125 ms it comes too late, but longer the neighbour has more.
const EASE: Duration = Duration::from_millis(650);

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
    /// How long it may be silent, in a flood, until it stands still.
    pub(super) patience: Duration,
}

impl Held {
    /// Until when a passing one that has gone on has its place for certain: its peer's next message may take
    /// as long as its hello did.
    pub(super) fn next_due(&self) -> Instant {
        self.last + with_margin(self.round_trip) + COMPUTES
    }

    /// From when it stands still, in a flood.
    fn still(&self) -> Instant {
        self.last + self.patience
    }
}

/// How long a peer that is so far away may be silent, in a flood, until its handshake stands still.
pub(super) fn patience(round_trip: Duration, limits: &AdmissionLimits) -> Duration {
    (PATIENT_FOR * round_trip + COMPUTES).min(limits.slow_round_trip)
}

/// A round trip that may vary by a quarter.
pub(super) fn with_margin(round_trip: Duration) -> Duration {
    round_trip + round_trip / 4
}

/// A flood of the near keeps nobody out who is far, and a peer that is near does not look as if it were far
/// before it has waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Distance {
    Near,
    /// It is waited for half of a slow round trip, or longer.
    Far,
}

impl Distance {
    pub(super) const ALL: [Self; 2] = [Self::Near, Self::Far];

    pub(super) fn of(patience: Duration, limits: &AdmissionLimits) -> Self {
        if patience < limits.slow_round_trip / 2 { Self::Near } else { Self::Far }
    }
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

/// Handshakes that have a passing place, in the order in which they make room.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// Those that have not gone on, by their number of beginning: since when, and their places.
    begun: BTreeMap<u64, (Instant, Seat)>,
    /// How many wait for the platform: none of them makes room.
    asking: usize,
    /// Those that have gone on, by the time when their peer's next message is due.
    gone_on: BTreeMap<(Instant, u64), Seat>,
}

impl Passing {
    pub(super) fn len(&self) -> usize {
        self.begun.len() + self.asking + self.gone_on.len()
    }

    pub(super) fn add(&mut self, held: &Held) {
        let Held { begun, slot, last, stay, .. } = *held;
        let seat = Seat { slot, stay };
        match held.stage {
            Stage::Begun => {
                self.begun.insert(begun, (last, seat));
            }
            Stage::Asks => self.asking += 1,
            Stage::GoneOn => {
                self.gone_on.insert((held.next_due(), begun), seat);
            }
            Stage::Rejected => {}
        }
    }

    /// As it was added.
    pub(super) fn remove(&mut self, held: &Held) {
        match held.stage {
            Stage::Begun => {
                self.begun.remove(&held.begun);
            }
            Stage::Asks => self.asking = self.asking.saturating_sub(1),
            Stage::GoneOn => {
                self.gone_on.remove(&(held.next_due(), held.begun));
            }
            Stage::Rejected => {}
        }
    }

    /// Since when the oldest stands that has not gone on, and its place.
    pub(super) fn oldest_begun(&self) -> Option<(Instant, Seat)> {
        self.begun.values().next().copied()
    }

    /// The place of the one that has gone on and is overdue for longest.
    pub(super) fn overdue(&self, now: Instant) -> Option<Seat> {
        let (&(due, _), &seat) = self.gone_on.first_key_value()?;
        (due < now).then_some(seat)
    }
}

/// Handshakes whose peer is waited for, by the time from which they stand still, in a flood: how long that is
/// after they were last heard, and their slots.
type Awaited = BTreeMap<(Instant, u64), (Duration, u32)>;

/// The handshakes of an address, or of all, in the orders in which they make room.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Those that have not gone on, by their number of beginning.
    begun: BTreeMap<u64, Seat>,
    /// How many wait for the platform: none of them makes room.
    asking: usize,
    /// Those whose peer is waited for and that are kept, then the passing ones.
    awaited: [Awaited; 2],
    rejected: BTreeMap<u64, Seat>,
    pub(super) dropped: Dropped,
}

/// When a peer that stands still was waited for, and kept others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waited {
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) patience: Duration,
}

/// A place for a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Free,
    /// That of one that was rejected.
    Rejected(Seat),
    /// That of one that stands still, and when it was waited for.
    Still(Seat, Waited),
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
            Self::Still(seat, _) | Self::Rejected(seat) | Self::Busiest(seat) | Self::Passing(seat) => {
                Some(seat)
            }
        }
    }
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.awaited.iter().map(Awaited::len).sum::<usize>() + self.asking + self.rejected.len()
    }

    pub(super) fn add(&mut self, held: &Held) {
        let Held { begun, slot, stage, stay, patience, .. } = *held;
        let seat = Seat { slot, stay };
        if stage == Stage::Begun {
            self.begun.insert(begun, seat);
        }
        match stage {
            Stage::Begun | Stage::GoneOn => {
                self.awaited[stay as usize].insert((held.still(), begun), (patience, slot));
            }
            Stage::Asks => self.asking += 1,
            Stage::Rejected => {
                self.rejected.insert(begun, seat);
            }
        }
    }

    /// As it was added.
    pub(super) fn remove(&mut self, held: &Held) {
        if held.stage == Stage::Begun {
            self.begun.remove(&held.begun);
        }
        match held.stage {
            Stage::Begun | Stage::GoneOn => {
                self.awaited[held.stay as usize].remove(&(held.still(), held.begun));
            }
            Stage::Asks => self.asking = self.asking.saturating_sub(1),
            Stage::Rejected => {
                self.rejected.remove(&held.begun);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn awaits(&self, held: &Held) -> bool {
        self.awaited[held.stay as usize].contains_key(&(held.still(), held.begun))
    }

    /// The newest that has not gone on.
    pub(super) fn newest_begun(&self) -> Option<Seat> {
        self.begun.values().next_back().copied()
    }

    /// The place of the oldest whose Finished was rejected.
    pub(super) fn rejected(&self) -> Option<Place> {
        self.rejected.values().next().copied().map(Place::Rejected)
    }

    /// That of the one that has stood still for longest, of those that stay so.
    pub(super) fn still(&self, now: Instant, limit: usize, stay: Stay) -> Option<Place> {
        let (&(still, _), &(patience, slot)) = self.awaited[stay as usize].first_key_value()?;
        let is_flood = Distance::ALL.map(|distance| self.is_flood(now, limit, distance));
        let ease = if is_flood.contains(&true) { Duration::ZERO } else { EASE };
        let stands_still = now.saturating_duration_since(still) > ease;
        let waited = Waited { from: still - patience, until: still + ease, patience };
        stands_still.then_some(Place::Still(Seat { slot, stay }, waited))
    }

    /// Whether there is a flood of peers at this distance. Half of the places are for all, flood or not.
    pub(super) fn is_flood(&self, now: Instant, limit: usize, distance: Distance) -> bool {
        let until = self.dropped.flood_until[distance as usize];
        until.is_some_and(|until| now < until) && self.len() >= limit.div_ceil(2)
    }
}

/// Hellos that were in vain at a limit: dropped, or of a handshake that stood still.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    pub(super) limit: usize,
    /// Since when hellos are in vain, without a pause of a slow round trip, and the last one.
    pressed: Option<(Instant, Instant)>,
    /// Begins anew after a slow round trip.
    count: Count,
    /// What was counted before that.
    before: Count,
    /// By distance.
    flood_until: [Option<Instant>; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    since: Option<Instant>,
    hellos: usize,
    /// How long those were waited for that stood still, in all, by distance.
    waited: [Duration; 2],
}

impl Dropped {
    pub(super) fn note_evicted(&mut self, now: Instant, waited: Waited, limits: &AdmissionLimits) {
        self.turn_to(now, limits.slow_round_trip);
        // What had stood still before was in nobody's way.
        let from = self.pressed.map_or(now, |(since, _)| since.max(waited.from));
        let all = &mut self.count.waited[Distance::of(waited.patience, limits) as usize];
        *all = all.saturating_add(waited.until.saturating_duration_since(from));
        self.count(now, limits.slow_round_trip);
    }

    pub(super) fn count(&mut self, now: Instant, slow_round_trip: Duration) {
        self.turn_to(now, slow_round_trip);
        self.count.hellos += 1;
        if self.count.hellos < max(self.limit, FLOOD_HELLOS_MIN) {
            return;
        }
        let places = max(self.limit / WASTED_PART, 1) as u32;
        let much = slow_round_trip.saturating_mul(places);
        let waited = self.count.waited.iter().zip(self.before.waited);
        for (until, (waited, before)) in self.flood_until.iter_mut().zip(waited) {
            // Devices that all come at once are none: they finish. It goes on while hellos are in vain.
            let goes_on = until.is_some_and(|until| now < until);
            if goes_on || before.max(*waited) >= much {
                *until = Some(now + slow_round_trip);
            }
        }
    }

    fn turn_to(&mut self, now: Instant, slow_round_trip: Duration) {
        let pressed = self.pressed.filter(|(_, last)| now <= *last + slow_round_trip);
        self.pressed = Some((pressed.map_or(now, |(since, _)| since), now));
        let is_over = |since: Instant| now > since + slow_round_trip;
        if self.count.since.is_none_or(is_over) {
            let follows = self.count.since.is_some_and(|since| now <= since + 2 * slow_round_trip);
            self.before = if follows { self.count } else { Count::default() };
            self.count = Count { since: Some(now), ..Count::default() };
        }
    }
}
