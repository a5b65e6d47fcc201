//! Decides who may begin a handshake, with limits in total and per address, so that one peer cannot take what
//! all need. It applies only after a valid cookie, so each address here receives what is sent to it.
//!
//! At a limit a new hello takes the place of the first of these that there is:
//!
//! 1. a handshake whose Finished was rejected, the oldest first;
//! 2. the one that has stood still for longest: its peer was not heard for three of its own round trips,
//!    which its cookie tells, and 0.1 s, or for a slow round trip ([`AdmissionLimits::slow_round_trip`])
//!    where that is less; outside of a flood for 0.65 s more. At the limit of all only what has a place that
//!    is kept;
//! 3. at the limit of all, for an address with less than half of what the busiest one has, where that has
//!    one in sixteen of all places or more: the newest of the busiest that has not gone on yet, so a few
//!    addresses cannot keep all others out, and a few devices behind one address are not taken for such;
//! 4. at the limit of all: one that has a passing place, has gone on, and was not heard for longer than its
//!    own round trip; else the oldest that has a passing place and has not gone on yet.
//!
//! Else the hello is dropped, and its client sends it again. A client that was answered and then loses its
//! place is worse off: it repeats what comes next, which nobody answers, until it gives up. Rule 2 takes
//! those that most likely have gone, rule 3 makes the newest devices of a busy address pay, and rule 4 is
//! for the near only:
//!
//! One in sixteen of all places is passing (`PASSING_PART`): kept only until the next one needs it. When
//! all others are held by handshakes that stand still, whoever is near gets in and through all the same.
//! Such a place is given only to a hello whose round trip, which its cookie tells, is shorter than passing
//! places last at the moment (100 ms, while that is not known); a farther one is dropped. A hello that its
//! client had to repeat looks farther away than it is, so the first copy counts that came here: where that
//! one was lost on its way, its client is treated as one that is far.
//!
//! In a flood (`FLOOD_HELLOS_MIN`) only a hello that comes again gets a place that is kept, as it does by RFC
//! 6347, section 4.2.4, and no more than half of all places are. Where an address floods, a hello that comes
//! for the first time is dropped, even where there is a place. Where all together do, it gets a passing one,
//! if it is near. A hello that comes again and has a passing place keeps it, where there is room. All of this
//! is for hellos from as far away as those of the flood: a neighbour who answers at once hinders nobody whose
//! radio is slow. One who waits before he brings his cookie, as if he were far, and repeats his hellos, can't
//! be told from the devices, and shares what there is by his rate.
//!
//! Every step is a fixed number of look-ups in ordered maps, however many handshakes there are.

mod line;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use narrowgate_dtls::HelloId;

use self::line::{Distance, Dropped, Line, Passing, Place, Seat, patience, with_margin};
pub(super) use self::line::{Held, Stage};
use super::hellos::{Hellos, SOON};
use crate::path::Path;

/// Limits of handshakes under way.
#[derive(Debug, Clone)]
pub struct AdmissionLimits {
    /// Handshakes under way per shard: each takes up to 4 KiB.
    pub handshakes_max: usize,
    /// Handshakes under way per IP address (IPv6: per /64). Many devices share a carrier's address, so this
    /// is wide.
    pub handshakes_per_address_max: usize,
    /// Key look-ups that wait for an answer, per shard. At the limit a ClientHello is dropped; the client
    /// retransmits it. Handshakes under way still ask for their key, so there may be as many look-ups as
    /// handshakes.
    pub lookups_max: usize,
    /// A handshake whose peer was not heard for longer than this makes room at a limit. Above the round trip
    /// of the slowest radio, or its devices never get in while others press; below it a peer that holds
    /// places for nothing holds them shorter.
    pub slow_round_trip: Duration,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            handshakes_max: 20_000,
            handshakes_per_address_max: 4_000,
            lookups_max: 4_096,
            slow_round_trip: Duration::from_secs(10),
        }
    }
}

/// One in so many of all places is passing, and in a flood one in two. Each keeps what is far away out of the
/// others; what is near is through one before it is needed again: at 10,000 hellos a second 1,250 of them
/// last for 125 ms, and 10,000 for a second.
const PASSING_PART: usize = 16;

/// An address that has one in so many of all places, or more, may be too busy for others.
const BUSY_PART: usize = 16;

/// For how long a handshake has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stay {
    /// At least for a slow round trip.
    Kept,
    /// Until the next one needs it.
    Passing,
}

/// What to do with a ClientHello that holds a valid cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Begin.
    Yes(Stay),
    /// Begin, but first end the handshake in this slot.
    Evict {
        /// Its slot.
        slot: u32,
        /// For how long the new one has it.
        stay: Stay,
    },
    /// Drop it: a limit is reached.
    No,
    /// Drop it: in a flood only what comes again gets in.
    Again,
}

/// What becomes of a hello, and how far its peer is at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub(super) permit: Permit,
    /// The age of its cookie when the first copy came: that of a later one is older than the round trip, by
    /// the time of a client that waited in between.
    pub(super) round_trip: Duration,
}

/// A hello that comes.
#[derive(Debug, Clone, Copy)]
struct Comes {
    address: IpAddr,
    floods: Floods,
    round_trip: Duration,
    is_again: bool,
}

/// While it is not known how long a passing place lasts: when all come at once, many take what is left of
/// them, so only who is near gets one.
const UNKNOWN_LASTS: Duration = Duration::from_millis(100);

/// What is under way.
#[derive(Debug)]
pub(super) struct Admission {
    all: Line,
    /// Those of all that have a passing place.
    passing: Passing,
    /// When a passing place was last taken from one that had not gone on, and how long that one had it.
    passed: Option<(Instant, Duration)>,
    by_address: BTreeMap<IpAddr, Line>,
    /// Addresses by the number of their handshakes; the last one is the busiest.
    by_rank: BTreeSet<(usize, IpAddr)>,
    begun: u64,
    hellos: Hellos,
    /// Key look-ups that wait for their answer.
    pub(super) lookups: usize,
}

/// Who floods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floods {
    No,
    /// The address that a hello comes from.
    Address,
    /// All together.
    All,
}

impl Admission {
    /// Nothing is under way. `seed` keeps strangers from choosing what they share a note with.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            all: Line::default(),
            passing: Passing::default(),
            passed: None,
            by_address: BTreeMap::new(),
            by_rank: BTreeSet::new(),
            begun: 0,
            hellos: Hellos::new(seed),
            lookups: 0,
        }
    }

    /// Whether one more handshake of this path may begin, with this hello whose cookie is so old: its peer is
    /// no farther away than that.
    pub(super) fn permit(
        &mut self,
        now: Instant,
        path: &Path,
        hello: &HelloId,
        cookie_age: Duration,
        limits: &AdmissionLimits,
    ) -> Answered {
        let far = Answered { permit: Permit::No, round_trip: cookie_age };
        if self.lookups >= limits.lookups_max {
            return far;
        }
        let address = group(path.peer.ip());
        let is_flood =
            Distance::ALL.iter().any(|distance| self.floods(now, address, *distance, limits) != Floods::No);
        let place = self.find_place(now, address, limits);
        // Noted from the first that may be dropped: when it is a flood, those that came before are known.
        let is_crowded = matches!(place, None | Some(Place::Passing(_) | Place::Still(..)))
            || self.kept() >= kept_max(Floods::No, limits)
            || is_flood;
        let known_for =
            if is_crowded { self.hellos.note(now, path, hello, cookie_age) } else { Duration::ZERO };
        let round_trip = cookie_age.saturating_sub(known_for);
        let distance = Distance::of(patience(round_trip, limits), limits);
        let floods = self.floods(now, address, distance, limits);
        let comes = Comes { address, floods, round_trip, is_again: known_for >= SOON };
        Answered { permit: self.permit_place(now, place, comes, limits), round_trip }
    }

    fn permit_place(
        &mut self,
        now: Instant,
        place: Option<Place>,
        comes: Comes,
        limits: &AdmissionLimits,
    ) -> Permit {
        let Comes { address, floods, round_trip, is_again } = comes;
        let Some(place) = place else {
            self.count_dropped(now, address, limits);
            return Permit::No;
        };
        if floods == Floods::Address && !is_again && !matches!(place, Place::Rejected(_)) {
            self.count_dropped(now, address, limits);
            return Permit::Again;
        }
        let evicted = place.seat();
        let stay = self.stay(floods, is_again, evicted, limits);
        if stay == Stay::Passing && with_margin(round_trip) > self.passing_lasts(now, limits) {
            self.count_dropped(now, address, limits);
            return Permit::No;
        }
        match place {
            Place::Still(_, waited) => {
                self.dropped_at(address, limits).note_evicted(now, waited, limits);
            }
            Place::Passing(seat) => {
                // It had no more of a chance than a hello that is dropped.
                self.count_dropped(now, address, limits);
                let oldest = self.passing.oldest_begun().filter(|(_, oldest)| *oldest == seat);
                let lasted = oldest.map(|(since, _)| (now, now.saturating_duration_since(since)));
                self.passed = lasted.or(self.passed);
            }
            Place::Free | Place::Rejected(_) | Place::Busiest(_) => {}
        }
        match evicted {
            None => Permit::Yes(stay),
            Some(Seat { slot, .. }) => Permit::Evict { slot, stay },
        }
    }

    /// How many have a place that is kept.
    fn kept(&self) -> usize {
        self.all.len() - self.passing.len()
    }

    /// Whether there is a place to keep, when this one has gone: passing places are no such.
    fn stay(
        &self,
        floods: Floods,
        comes_again: bool,
        evicted: Option<Seat>,
        limits: &AdmissionLimits,
    ) -> Stay {
        let may_be_kept = floods != Floods::All || comes_again;
        let goes = evicted.is_some_and(|seat| seat.stay == Stay::Kept);
        let kept = self.kept() - usize::from(goes);
        if may_be_kept && kept < kept_max(floods, limits) { Stay::Kept } else { Stay::Passing }
    }

    /// For how long who gets a passing place has it, as far as one can know.
    fn passing_lasts(&self, now: Instant, limits: &AdmissionLimits) -> Duration {
        let oldest = || Some(now.saturating_duration_since(self.passing.oldest_begun()?.0));
        let is_full = self.all.len() >= limits.handshakes_max;
        let recent = self.passed.filter(|(when, _)| now <= *when + limits.slow_round_trip);
        let lasted = recent.map(|(_, lasted)| lasted);
        is_full.then(oldest).flatten().or(lasted).unwrap_or(UNKNOWN_LASTS)
    }

    fn find_place(&self, now: Instant, address: IpAddr, limits: &AdmissionLimits) -> Option<Place> {
        if let Some(own) = self.by_address.get(&address)
            && own.len() >= limits.handshakes_per_address_max
        {
            let still = |stay| own.still(now, limits.handshakes_per_address_max, stay);
            return own.rejected().or_else(|| still(Stay::Kept)).or_else(|| still(Stay::Passing));
        }
        if self.all.len() < limits.handshakes_max {
            return Some(Place::Free);
        }
        let of_busiest = || {
            let busiest = self.by_address.get(&self.much_busier_than(address, limits)?)?;
            busiest.newest_begun().map(Place::Busiest)
        };
        let passing = || {
            let oldest = || self.passing.oldest_begun().map(|(_, seat)| seat);
            self.passing.overdue(now).or_else(oldest).map(Place::Passing)
        };
        // Not what passes: who is far could not use it, and would be dropped although others stand still.
        let still = || self.all.still(now, limits.handshakes_max, Stay::Kept);
        self.all.rejected().or_else(still).or_else(of_busiest).or_else(passing)
    }

    /// The busiest address, if this one has less than half of what that one has, and that is much.
    fn much_busier_than(&self, address: IpAddr, limits: &AdmissionLimits) -> Option<IpAddr> {
        let &(count, busiest) = self.by_rank.last()?;
        let own = self.by_address.get(&address).map_or(0, Line::len);
        (2 * (own + 1) <= count && count >= limits.handshakes_max / BUSY_PART).then_some(busiest)
    }

    /// Whether peers of this address, and as far away, flood, or all together do and this one has its share.
    fn floods(&self, now: Instant, address: IpAddr, distance: Distance, limits: &AdmissionLimits) -> Floods {
        let own = self.by_address.get(&address);
        if own.is_some_and(|own| own.is_flood(now, limits.handshakes_per_address_max, distance)) {
            Floods::Address
        } else if self.all.is_flood(now, limits.handshakes_max, distance)
            && self.much_busier_than(address, limits).is_none()
        {
            Floods::All
        } else {
            Floods::No
        }
    }

    fn count_dropped(&mut self, now: Instant, address: IpAddr, limits: &AdmissionLimits) {
        self.dropped_at(address, limits).count(now, limits.slow_round_trip);
    }

    /// Of the limit that a hello of this address meets: its own, or that of all.
    fn dropped_at(&mut self, address: IpAddr, limits: &AdmissionLimits) -> &mut Dropped {
        let AdmissionLimits { handshakes_max, handshakes_per_address_max, .. } = *limits;
        let (line, limit) = match self.by_address.get_mut(&address) {
            Some(own) if own.len() >= handshakes_per_address_max || self.all.len() < handshakes_max => {
                (own, handshakes_per_address_max)
            }
            _ => (&mut self.all, handshakes_max),
        };
        line.dropped.limit = limit;
        &mut line.dropped
    }

    /// Records that a handshake began in `slot`, whose peer is so far away at most.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        address: IpAddr,
        slot: u32,
        stay: Stay,
        round_trip: Duration,
        limits: &AdmissionLimits,
    ) -> Held {
        self.begun += 1;
        let (begun, patience) = (self.begun, patience(round_trip, limits));
        let held = Held { begun, slot, last: now, stage: Stage::Begun, stay, round_trip, patience };
        let address = group(address);
        let own = self.by_address.entry(address).or_default();
        self.by_rank.remove(&(own.len(), address));
        own.add(&held);
        self.by_rank.insert((own.len(), address));
        self.all.add(&held);
        if stay == Stay::Passing {
            self.passing.add(&held);
        }
        held
    }

    /// Records that a handshake has come to a stage, and since when it stands still. One that was rejected
    /// remains so.
    pub(super) fn go_on(&mut self, address: IpAddr, held: &mut Held, stage: Stage, last: Instant) {
        if held.stage == Stage::Rejected {
            return;
        }
        let next = Held { stage, last, ..*held };
        self.become_as(address, held, next);
    }

    /// Records that the Finished of a handshake was rejected: its place is no passing one any more.
    pub(super) fn reject(&mut self, address: IpAddr, held: &mut Held) {
        let next = Held { stage: Stage::Rejected, stay: Stay::Kept, ..*held };
        self.become_as(address, held, next);
    }

    /// Its hello has come again, which a sender of its own address does: where there is room it keeps its
    /// place.
    pub(super) fn handle_again(
        &mut self,
        now: Instant,
        address: IpAddr,
        held: &mut Held,
        limits: &AdmissionLimits,
    ) {
        let is_late = now.saturating_duration_since(held.last) >= SOON;
        if held.stay == Stay::Passing && held.stage == Stage::Begun && is_late {
            let distance = Distance::of(held.patience, limits);
            let floods = self.floods(now, group(address), distance, limits);
            if self.stay(floods, true, None, limits) == Stay::Kept {
                let next = Held { stay: Stay::Kept, ..*held };
                self.become_as(address, held, next);
            }
        }
    }

    fn become_as(&mut self, address: IpAddr, held: &mut Held, next: Held) {
        let own = self.by_address.get_mut(&group(address));
        for line in own.into_iter().chain([&mut self.all]) {
            line.remove(held);
            line.add(&next);
        }
        if held.stay == Stay::Passing {
            self.passing.remove(held);
        }
        if next.stay == Stay::Passing {
            self.passing.add(&next);
        }
        *held = next;
    }

    /// Records that a handshake ended, for whatever reason.
    pub(super) fn end(&mut self, address: IpAddr, held: &Held) {
        let address = group(address);
        let Some(own) = self.by_address.get_mut(&address) else { return };
        self.by_rank.remove(&(own.len(), address));
        own.remove(held);
        self.all.remove(held);
        if held.stay == Stay::Passing {
            self.passing.remove(held);
        }
        if own.len() == 0 {
            self.by_address.remove(&address);
        } else {
            self.by_rank.insert((own.len(), address));
        }
        if self.by_address.is_empty() {
            self.hellos.forget();
        }
    }

    /// Records that a handshake of this path, which has been answered, had to make room.
    pub(super) fn note_evicted(&mut self, now: Instant, path: &Path, hello: &HelloId) {
        self.hellos.note_evicted(now, path, hello);
    }

    /// Whether there was a handshake with this hello, which has been answered and had to make room.
    pub(super) fn was_evicted(&self, path: &Path, hello: &HelloId) -> bool {
        self.hellos.was_evicted(path, hello)
    }
}

/// How many places are kept at most.
fn kept_max(floods: Floods, limits: &AdmissionLimits) -> usize {
    let part = if floods == Floods::All { 2 } else { PASSING_PART };
    limits.handshakes_max - limits.handshakes_max / part
}

/// The address or prefix that an address counts for: one subscriber owns a whole IPv6 /64.
pub fn group(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => {
                let mut octets = v6.octets();
                octets[8..].fill(0);
                IpAddr::V6(octets.into())
            }
        },
    }
}

#[cfg(test)]
mod storms;
#[cfg(test)]
mod tests;
