//! Decides who may begin a handshake, with limits in total and per address, so that one peer cannot take what
//! all need. It applies only after a valid cookie, so each address here receives what is sent to it.
//!
//! At a limit a new hello takes the place of the first of these that there is:
//!
//! 1. a handshake whose Finished was rejected, the oldest first;
//! 2. one that has stood still for longer than a slow round trip ([`AdmissionLimits::slow_round_trip`]), the
//!    oldest first;
//! 3. at the limit of all, for an address with less than half of what the busiest one has, where that has
//!    one in sixteen of all places or more: the newest of the busiest that has not gone on yet, so a few
//!    addresses cannot keep all others out, and a few devices behind one address are not taken for such;
//! 4. at the limit of all: the oldest that has a passing place and has not gone on yet.
//!
//! Else the hello is dropped, which costs nothing: its client sends it again. So a handshake that is young is
//! left alone, and a peer that is far away can finish however many come behind it.
//!
//! One in sixteen of all places is passing (`PASSING_PART`): kept only until the next one needs it. When
//! all others are held by handshakes that stand still, whoever is near gets in and through all the same.
//!
//! In a flood (`FLOOD_HELLOS_MIN`) only a hello that comes again gets a place that is kept, as it does by RFC
//! 6347, section 4.2.4, and no more than half of all places are. Where an address floods, a hello that comes
//! for the first time is dropped, even where there is a place. Where all together do, it gets a passing one.

use std::{
    cmp::max,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use narrowgate_dtls::HelloId;

use super::hellos::Hellos;
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

/// At a limit it is a flood when as many hellos as the limit, and no fewer than this, were dropped within a
/// slow round trip. Few clients that cannot get in, and perhaps begin anew each time, are none.
const FLOOD_HELLOS_MIN: usize = 1_000;

/// … and one in so many of its places was held by a handshake that stood still.
const WASTED_PART: usize = 16;

/// One in so many of all places is passing, and in a flood one in two. Each keeps what is far away out of the
/// others; what is near is through one before it is needed again: at 10,000 hellos a second 1,250 of them
/// last for 125 ms, and 10,000 for a second.
const PASSING_PART: usize = 16;

/// An address that has one in so many of all places, or more, may be too busy for others.
const BUSY_PART: usize = 16;

/// How many of the oldest handshakes are looked at for one that has stood still. Younger ones may have stood
/// still for longer, but not by more than the time until these are over.
const LOOKED_AT: usize = 16;

/// How far a handshake is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// When it began, or last went on.
    pub(super) last: Instant,
    /// Whether it has gone on since it began: its peer has named an identity.
    pub(super) went_on: bool,
    /// Whether it waits for the platform and not for its peer.
    pub(super) waits_for_us: bool,
}

impl Progress {
    /// A handshake that begins.
    pub(super) const fn begun(now: Instant) -> Self {
        Self { last: now, went_on: false, waits_for_us: false }
    }

    fn stands_still(&self, now: Instant, limits: &AdmissionLimits) -> bool {
        !self.waits_for_us && now.saturating_duration_since(self.last) > limits.slow_round_trip
    }
}

/// For how long a handshake has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What is under way.
#[derive(Debug)]
pub(super) struct Admission {
    all: Line,
    /// Those of all that have a passing place, by their number of beginning.
    passing: BTreeMap<u64, u32>,
    by_address: BTreeMap<IpAddr, Line>,
    /// Addresses by the number of their handshakes; the last one is the busiest.
    by_rank: BTreeSet<(usize, IpAddr)>,
    begun: u64,
    hellos: Hellos,
    /// Key look-ups that wait for their answer.
    pub(super) lookups: usize,
}

/// The handshakes of an address, or of all: their slots, by their number of beginning.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<u64, u32>,
    rejected: BTreeMap<u64, u32>,
    dropped: Dropped,
}

/// Hellos dropped at a limit within a slow round trip.
#[derive(Debug, Default)]
struct Dropped {
    limit: usize,
    since: Option<Instant>,
    count: usize,
    /// Handshakes that made room because they stood still, and when the last one did.
    evicted: usize,
    evicted_last: Option<Instant>,
    flood_until: Option<Instant>,
}

/// A place for a handshake.
#[derive(Debug, Clone, Copy)]
enum Place {
    Free,
    /// That of a handshake that was rejected.
    Rejected(Held),
    /// That of another one.
    Taken(Held),
    /// A passing one.
    Passing(Held),
}

/// A handshake under way: its number of beginning, and its slot.
#[derive(Debug, Clone, Copy)]
struct Held {
    begun: u64,
    slot: u32,
}

impl Held {
    fn new((&begun, &slot): (&u64, &u32)) -> Self {
        Self { begun, slot }
    }
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
            passing: BTreeMap::new(),
            by_address: BTreeMap::new(),
            by_rank: BTreeSet::new(),
            begun: 0,
            hellos: Hellos::new(seed),
            lookups: 0,
        }
    }

    /// Whether one more handshake of this path may begin, with this hello. `progress` says how far the one in
    /// a slot is.
    pub(super) fn permit(
        &mut self,
        now: Instant,
        path: &Path,
        hello: &HelloId,
        limits: &AdmissionLimits,
        progress: impl Fn(u32) -> Progress,
    ) -> Permit {
        if self.lookups >= limits.lookups_max {
            return Permit::No;
        }
        let address = group(path.peer.ip());
        let floods = self.floods(now, address, limits);
        let place = self.find_place(now, address, limits, progress);
        // Noted from the first that is dropped: when it is a flood, those that came before are known.
        let is_crowded = matches!(place, None | Some(Place::Passing(_)));
        let comes_again = (is_crowded || floods != Floods::No) && self.hellos.note(now, path, hello);
        let Some(place) = place else {
            self.count_dropped(now, address, limits);
            return Permit::No;
        };
        if floods == Floods::Address && !comes_again && !matches!(place, Place::Rejected(_)) {
            self.count_dropped(now, address, limits);
            return Permit::Again;
        }
        let evicted = match place {
            Place::Free => None,
            Place::Rejected(held) => Some(held),
            Place::Taken(held) => {
                self.dropped_at(address, limits).note_evicted(now, limits.slow_round_trip);
                Some(held)
            }
            Place::Passing(held) => {
                // It had no more of a chance than a hello that is dropped.
                self.count_dropped(now, address, limits);
                Some(held)
            }
        };
        let stay = self.stay(floods, comes_again, evicted, limits);
        match evicted {
            None => Permit::Yes(stay),
            Some(Held { slot, .. }) => Permit::Evict { slot, stay },
        }
    }

    /// Whether there is a place to keep, when this one has gone: passing places are no such.
    fn stay(
        &self,
        floods: Floods,
        comes_again: bool,
        evicted: Option<Held>,
        limits: &AdmissionLimits,
    ) -> Stay {
        let goes = evicted.is_some_and(|held| !self.passing.contains_key(&held.begun));
        let kept = self.all.len() - self.passing.len() - usize::from(goes);
        let (part, may_be_kept) = match floods {
            Floods::All => (2, comes_again),
            Floods::Address | Floods::No => (PASSING_PART, true),
        };
        let kept_max = limits.handshakes_max - limits.handshakes_max / part;
        if may_be_kept && kept < kept_max { Stay::Kept } else { Stay::Passing }
    }

    fn find_place(
        &self,
        now: Instant,
        address: IpAddr,
        limits: &AdmissionLimits,
        progress: impl Fn(u32) -> Progress,
    ) -> Option<Place> {
        let stands_still = |slot| progress(slot).stands_still(now, limits);
        if let Some(own) = self.by_address.get(&address)
            && own.len() >= limits.handshakes_per_address_max
        {
            return own.worst(stands_still);
        }
        if self.all.len() < limits.handshakes_max {
            return Some(Place::Free);
        }
        let waits = |held: &Held| !progress(held.slot).went_on;
        let of_busiest = || {
            let busiest = self.by_address.get(&self.much_busier_than(address, limits)?)?;
            let mut newest = busiest.waiting.iter().rev().take(LOOKED_AT).map(Held::new);
            newest.find(waits).map(Place::Taken)
        };
        let passing = || {
            let mut oldest = self.passing.iter().take(LOOKED_AT).map(Held::new);
            oldest.find(waits).map(Place::Passing)
        };
        self.all.worst(stands_still).or_else(of_busiest).or_else(passing)
    }

    /// The busiest address, if this one has less than half of what that one has, and that is much.
    fn much_busier_than(&self, address: IpAddr, limits: &AdmissionLimits) -> Option<IpAddr> {
        let &(count, busiest) = self.by_rank.last()?;
        let own = self.by_address.get(&address).map_or(0, Line::len);
        (2 * (own + 1) <= count && count >= limits.handshakes_max / BUSY_PART).then_some(busiest)
    }

    /// Whether this address floods, or all together do and this one has its share.
    fn floods(&self, now: Instant, address: IpAddr, limits: &AdmissionLimits) -> Floods {
        let own = self.by_address.get(&address);
        if own.is_some_and(|own| own.is_flood(now, limits.handshakes_per_address_max)) {
            Floods::Address
        } else if self.all.is_flood(now, limits.handshakes_max)
            && self.much_busier_than(address, limits).is_none()
        {
            Floods::All
        } else {
            Floods::No
        }
    }

    fn count_dropped(&mut self, now: Instant, address: IpAddr, limits: &AdmissionLimits) {
        let round_trip = limits.slow_round_trip;
        self.dropped_at(address, limits).count(now, round_trip);
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

    /// Records that a handshake began in `slot`; returns the number for [`Self::end`].
    pub(super) fn begin(&mut self, address: IpAddr, slot: u32, stay: Stay) -> u64 {
        self.begun += 1;
        if stay == Stay::Passing {
            self.passing.insert(self.begun, slot);
        }
        let address = group(address);
        let own = self.by_address.entry(address).or_default();
        self.by_rank.remove(&(own.len(), address));
        own.waiting.insert(self.begun, slot);
        self.by_rank.insert((own.len(), address));
        self.all.waiting.insert(self.begun, slot);
        self.begun
    }

    /// Records that the Finished of a handshake was rejected.
    pub(super) fn reject(&mut self, address: IpAddr, begun: u64) {
        let own = self.by_address.get_mut(&group(address));
        self.passing.remove(&begun);
        for line in own.into_iter().chain([&mut self.all]) {
            if let Some(slot) = line.waiting.remove(&begun) {
                line.rejected.insert(begun, slot);
            }
        }
    }

    /// Records that a handshake ended, for whatever reason.
    pub(super) fn end(&mut self, address: IpAddr, begun: u64) {
        let address = group(address);
        self.passing.remove(&begun);
        self.all.remove(begun);
        let Some(own) = self.by_address.get_mut(&address) else { return };
        self.by_rank.remove(&(own.len(), address));
        own.remove(begun);
        if own.len() == 0 {
            self.by_address.remove(&address);
        } else {
            self.by_rank.insert((own.len(), address));
        }
        if self.by_address.is_empty() {
            self.hellos.forget();
        }
    }
}

impl Line {
    fn len(&self) -> usize {
        self.waiting.len() + self.rejected.len()
    }

    fn remove(&mut self, begun: u64) {
        if self.waiting.remove(&begun).is_none() {
            self.rejected.remove(&begun);
        }
    }

    /// The place of the one that is missed least, if any may be missed.
    fn worst(&self, stands_still: impl Fn(u32) -> bool) -> Option<Place> {
        if let Some(rejected) = self.rejected.iter().next() {
            return Some(Place::Rejected(Held::new(rejected)));
        }
        let mut oldest = self.waiting.iter().take(LOOKED_AT).map(Held::new);
        oldest.find(|held| stands_still(held.slot)).map(Place::Taken)
    }

    /// Half of the places are for everybody, flood or not.
    fn is_flood(&self, now: Instant, limit: usize) -> bool {
        self.dropped.flood_until.is_some_and(|until| now < until) && self.len() >= limit.div_ceil(2)
    }
}

impl Dropped {
    fn note_evicted(&mut self, now: Instant, slow_round_trip: Duration) {
        if self.evicted_last.is_some_and(|last| now > last + 2 * slow_round_trip) {
            self.evicted = 0;
        }
        self.evicted += 1;
        self.evicted_last = Some(now);
    }

    fn count(&mut self, now: Instant, slow_round_trip: Duration) {
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
mod tests;
