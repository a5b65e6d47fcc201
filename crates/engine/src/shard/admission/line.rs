//! Handshakes under way in the order in which they make room.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    AdmissionLimits, Stay,
    share::{CLASSES, Share, Spent},
};

/// What is added to a measured round trip: the time that a device needs to compute its answer.
const COMPUTES: Duration = Duration::from_millis(100);

/// A peer is waited for this many of its own round trips at a limit, and for [`EASE`]: its answer takes one,
/// and where that is lost a client whose timer is not above two of them, and a second, sends it again in
/// time.
const PATIENT_FOR: u32 = 3;

/// The first timer of RFC 6347, section 4.2.4.1, which is a second, half a second in which a slow device
/// computes its answer, and a tenth by which round trips vary.
const EASE: Duration = Duration::from_millis(1_600);

/// A handshake under way, as the admission knows it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Held {
    /// Its number of beginning.
    pub(super) begun: u64,
    /// Its slot.
    pub(super) slot: u32,
    /// When it began.
    pub(super) since: Instant,
    /// When its peer was last heard.
    pub(in super::super) last: Instant,
    pub(in super::super) stage: Stage,
    pub(super) stay: Stay,
    /// How far its peer is at most.
    pub(super) round_trip: Duration,
    /// How long it may be silent until it stands still.
    pub(super) patience: Duration,
    /// Its class of distance.
    pub(super) class: usize,
}

impl Held {
    /// When its peer's next message is due, which may take as long as its hello did: until then a passing one
    /// that has gone on has its place for certain.
    pub(super) fn next_due(&self) -> Instant {
        self.last + with_margin(self.round_trip) + COMPUTES
    }

    /// From when it stands still.
    fn still(&self) -> Instant {
        self.last + self.patience
    }

    /// For how long its peer was waited for, where it comes to nothing.
    pub(super) fn waited(&self, now: Instant) -> Waited {
        Waited { from: self.since, until: self.still().min(now), class: self.class }
    }
}

/// How long a peer that is so far away may be silent until its handshake stands still.
pub(super) fn patience(round_trip: Duration, limits: &AdmissionLimits) -> Duration {
    (PATIENT_FOR * round_trip + EASE).min(limits.slow_round_trip)
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
        let Held { begun, slot, since, stay, .. } = *held;
        let seat = Seat { slot, stay };
        match held.stage {
            Stage::Begun => {
                self.begun.insert(begun, (since, seat));
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

/// Handshakes whose peer is waited for, by their lane and the time from which they stand still.
type Awaited = BTreeMap<(usize, Option<Instant>, u64), Awaits>;

/// One that waits for its peer.
#[derive(Debug, Clone, Copy)]
struct Awaits {
    /// When it began.
    since: Instant,
    /// When its peer's next message is due.
    due: Instant,
    slot: u32,
}

/// The handshakes of an address, or of all, in the orders in which they make room.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Those that have not gone on, by their number of beginning.
    begun: BTreeMap<u64, Seat>,
    /// How many wait for the platform: none of them makes room.
    asking: usize,
    /// Those whose peer is waited for.
    awaited: Awaited,
    rejected: BTreeMap<u64, Seat>,
    /// How many there are of each class of distance, without those that were rejected.
    of_class: [usize; CLASSES],
    pub(super) spent: Spent,
}

/// The lane of a class, first those that are kept.
const fn lane(stay: Stay, class: usize) -> usize {
    stay as usize * CLASSES + class
}

/// For how long a peer of whom nothing came kept others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waited {
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) class: usize,
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
        self.awaited.len() + self.asking + self.rejected.len()
    }

    pub(super) fn add(&mut self, held: &Held) {
        let Held { begun, slot, since, stage, stay, class, .. } = *held;
        let seat = Seat { slot, stay };
        if stage == Stage::Begun {
            self.begun.insert(begun, seat);
        }
        match stage {
            Stage::Begun | Stage::GoneOn => {
                let awaits = Awaits { since, due: held.next_due(), slot };
                self.awaited.insert((lane(stay, class), Some(held.still()), begun), awaits);
            }
            Stage::Asks => self.asking += 1,
            Stage::Rejected => {
                self.rejected.insert(begun, seat);
            }
        }
        self.of_class[class] += usize::from(stage != Stage::Rejected);
    }

    /// As it was added.
    pub(super) fn remove(&mut self, held: &Held) {
        let Held { begun, stage, stay, class, .. } = *held;
        if stage == Stage::Begun {
            self.begun.remove(&begun);
        }
        match stage {
            Stage::Begun | Stage::GoneOn => {
                self.awaited.remove(&(lane(stay, class), Some(held.still()), begun));
            }
            Stage::Asks => self.asking = self.asking.saturating_sub(1),
            Stage::Rejected => {
                self.rejected.remove(&begun);
            }
        }
        let counts = usize::from(stage != Stage::Rejected);
        self.of_class[class] = self.of_class[class].saturating_sub(counts);
    }

    #[cfg(test)]
    pub(super) fn awaits(&self, held: &Held) -> bool {
        self.awaited.contains_key(&(lane(held.stay, held.class), Some(held.still()), held.begun))
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
    pub(super) fn still(&self, now: Instant, stay: Stay) -> Option<Place> {
        let of_each = (0..CLASSES).filter_map(|class| self.first(stay, class));
        let longest = of_each.min_by_key(|(_, waited, _)| waited.until);
        longest
            .filter(|(_, waited, _)| waited.until < now)
            .map(|(seat, waited, _)| Place::Still(seat, waited))
    }

    /// The same of a class of distance, of those that are kept and have stood still for so long.
    pub(super) fn still_of(&self, now: Instant, class: usize, stood: Duration) -> Option<Place> {
        let first = self.first(Stay::Kept, class).filter(|(_, waited, _)| waited.until + stood < now);
        first.map(|(seat, waited, _)| Place::Still(seat, waited))
    }

    /// That of one of a class that has more than its share, whose peer's own round trip is over.
    pub(super) fn overdue(&self, now: Instant, limit: usize, slow: Duration) -> Option<Place> {
        let has_more = |class: &usize| self.share(now, *class, limit, slow) == Share::More;
        let first = |class| self.first(Stay::Kept, class).filter(|(.., due)| *due < now);
        let longest = (0..CLASSES).filter(has_more).filter_map(first).min_by_key(|(.., due)| *due);
        longest.map(|(seat, waited, _)| Place::Still(seat, Waited { until: waited.until.min(now), ..waited }))
    }

    /// Of a class the one that stands still first, when it is waited for, and when its next message is due.
    fn first(&self, stay: Stay, class: usize) -> Option<(Seat, Waited, Instant)> {
        let lane = lane(stay, class);
        let mut awaited = self.awaited.range((lane, None, 0)..(lane + 1, None, 0));
        let (&(_, until, _), &Awaits { since, due, slot }) = awaited.next()?;
        Some((Seat { slot, stay }, Waited { from: since, until: until?, class }, due))
    }

    /// What this class has of its share of the places, where it has one.
    pub(super) fn share(&self, now: Instant, class: usize, limit: usize, slow: Duration) -> Share {
        self.spent.share(now, class, self.of_class[class], limit, slow)
    }
}
