//! Decides who may begin a handshake, with limits in total and per address, so that one peer cannot take what
//! all need. It applies only after a valid cookie, so each address here receives what is sent to it.
//!
//! At a limit a new hello takes the place of the first of these that there is:
//!
//! 1. a handshake whose Finished was rejected, the oldest first;
//! 2. the one that has stood still for longest: its peer was not heard for three of its own round trips,
//!    which its cookie tells, and 1.6 s, or for a slow round trip ([`AdmissionLimits::slow_round_trip`])
//!    where that is less. At the limit of all only what has a place that is kept;
//! 3. at the limit of all, for an address with less than half of what the busiest one has, where that has
//!    one in sixteen of all places or more: the newest of the busiest that has not gone on yet, so a few
//!    addresses cannot keep all others out, and a few devices behind one address are not taken for such;
//! 4. at the limit of all: one that has a passing place, has gone on, and was not heard for longer than its
//!    own round trip; else the oldest that has a passing place and has not gone on yet.
//!
//! Else the hello is dropped, and its client sends it again. A client that was answered and then loses its
//! place is worse off: it repeats what comes next, which nobody answers, until it gives up. Rule 2 takes
//! those that most likely have gone, rule 3 makes the newest devices of a busy address pay, and rule 4 is
//! for the near only. A hello that comes to a handshake under way, again or anew, is heard as all else is,
//! until a slow round trip after the beginning.
//!
//! One in sixteen of all places is passing (`PASSING_PART`): kept only until the next one needs it. When
//! all others are held by handshakes that stand still, whoever is near gets in and through all the same.
//! Such a place is given only to a hello whose round trip, which its cookie tells, is shorter than passing
//! places last at the moment (100 ms, while that is not known); a farther one is dropped. A hello that its
//! client had to repeat looks farther away than it is, so the first copy counts that came here: where that
//! one was lost on its way, its client is treated as one that is far.
//!
//! Peers whose round trips lie within a factor of two are of one class. While hellos of other classes find no
//! place that is free, a class of which most was in vain has a share (module `share`). Where it has all of
//! that, a hello of it takes only the place of one of its class that stands still; where it has more, only of
//! one that has done so for a second (of all places none), and others take places of the class, after rule 2,
//! as soon as its peers' own round trips are over. Of the places of all such a hello may still get a passing
//! one. So a neighbour who finishes nothing, at whatever rate and however his handshakes end, takes a
//! twentieth from those who are of another class. One who waits before he brings his cookie, as if he were as
//! far as the devices, can't be told from them, and takes by his rate.
//!
//! Every step is a fixed number of look-ups in ordered maps, however many handshakes there are.

mod find;
mod line;
mod share;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use narrowgate_dtls::HelloId;

pub(super) use self::line::{Held, Stage};
use self::{
    find::{Comes, Found, busy_from},
    line::{Line, Passing, Place, Seat, patience, with_margin},
    share::{Share, class_of},
};
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
    /// A handshake whose peer was not heard for longer than this makes room at a limit, and a near one
    /// sooner. Above the round trip of the slowest radio, or its devices never get in while others press;
    /// below it a peer that holds places for nothing holds them shorter.
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

/// One in so many of all places is passing. What is near is through one before it is needed again: at 10,000
/// hellos a second 1,250 of them last for 125 ms.
const PASSING_PART: usize = 16;

/// For how long a handshake has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stay {
    /// Until it stands still.
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
    /// Drop it: its class has its share.
    Share,
}

/// What becomes of a hello, and how far its peer is at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub(super) permit: Permit,
    /// The age of its cookie when the first copy came: that of a later one is older than the round trip, by
    /// the time of a client that waited in between.
    pub(super) round_trip: Duration,
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
    /// Addresses by the number of their handshakes, of those that have or had so many that it matters; the
    /// last one is the busiest.
    by_rank: BTreeSet<(usize, IpAddr)>,
    begun: u64,
    hellos: Hellos,
    /// Key look-ups that wait for their answer.
    pub(super) lookups: usize,
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
        let address = group(path.peer.ip());
        let own = self.by_address.get(&address);
        // Noted from the first that may be dropped.
        let known_for = if self.is_crowded(own, limits) {
            self.hellos.note(now, path, hello, cookie_age)
        } else {
            Duration::ZERO
        };
        let round_trip = cookie_age.saturating_sub(known_for);
        if self.lookups >= limits.lookups_max {
            return Answered { permit: Permit::No, round_trip };
        }
        let comes = Comes { address, round_trip, class: class_of(round_trip) };
        let found = self.find(now, own, comes, limits);
        Answered { permit: self.permit_found(now, found, comes, limits), round_trip }
    }

    /// Whether half of the places are taken, of any limit.
    fn is_crowded(&self, own: Option<&Line>, limits: &AdmissionLimits) -> bool {
        let own = own.map_or(0, Line::len);
        2 * own >= limits.handshakes_per_address_max
            || 2 * self.all.len() >= limits.handshakes_max
            || self.lookups >= limits.lookups_max
    }

    fn permit_found(&mut self, now: Instant, found: Found, comes: Comes, limits: &AdmissionLimits) -> Permit {
        let Found { place, is_own, share } = found;
        let dropped = if share == Share::Less { Permit::No } else { Permit::Share };
        if share == Share::Less && place != Some(Place::Free) {
            self.line_of(comes.address, is_own).spent.want(now, comes.class);
        }
        let Some(place) = place else {
            self.press(now, comes.address, is_own, limits);
            return dropped;
        };
        let may_be_kept = is_own || share == Share::Less || matches!(place, Place::Still(..));
        let stay = if may_be_kept { self.stay(place.seat(), limits) } else { Stay::Passing };
        if stay == Stay::Passing && !self.passes(now, comes.round_trip, limits) {
            let line = self.line_of(comes.address, is_own);
            line.spent.press(now, limits.slow_round_trip);
            line.spent.want(now, comes.class);
            return dropped;
        }
        match place {
            Place::Still(_, waited) => {
                let spent = &mut self.line_of(comes.address, is_own).spent;
                spent.press(now, limits.slow_round_trip);
                spent.add_in_vain(now, waited, limits.slow_round_trip);
            }
            Place::Passing(seat) => {
                self.press(now, comes.address, is_own, limits);
                let oldest = self.passing.oldest_begun().filter(|(_, oldest)| *oldest == seat);
                let lasted = oldest.map(|(since, _)| (now, now.saturating_duration_since(since)));
                self.passed = lasted.or(self.passed);
            }
            Place::Free | Place::Rejected(_) | Place::Busiest(_) => {}
        }
        match place.seat() {
            None => Permit::Yes(stay),
            Some(Seat { slot, .. }) => Permit::Evict { slot, stay },
        }
    }

    /// How many have a place that is kept.
    fn kept(&self) -> usize {
        self.all.len() - self.passing.len()
    }

    /// Whether there is a place to keep, when this one has gone: passing places are no such.
    fn stay(&self, evicted: Option<Seat>, limits: &AdmissionLimits) -> Stay {
        let goes = evicted.is_some_and(|seat| seat.stay == Stay::Kept);
        let kept = self.kept() - usize::from(goes);
        let kept_max = limits.handshakes_max - limits.handshakes_max / PASSING_PART;
        if kept < kept_max { Stay::Kept } else { Stay::Passing }
    }

    /// Whether one who is so far away can use a passing place.
    fn passes(&self, now: Instant, round_trip: Duration, limits: &AdmissionLimits) -> bool {
        with_margin(round_trip) <= self.passing_lasts(now, limits)
    }

    /// For how long who gets a passing place has it, as far as one can know.
    fn passing_lasts(&self, now: Instant, limits: &AdmissionLimits) -> Duration {
        let oldest = || Some(now.saturating_duration_since(self.passing.oldest_begun()?.0));
        let is_full = self.all.len() >= limits.handshakes_max;
        let recent = self.passed.filter(|(when, _)| now <= *when + limits.slow_round_trip);
        let lasted = recent.map(|(_, lasted)| lasted);
        is_full.then(oldest).flatten().or(lasted).unwrap_or(UNKNOWN_LASTS)
    }

    /// A hello was in vain, at the limit of its address or at that of all.
    fn press(&mut self, now: Instant, address: IpAddr, is_own: bool, limits: &AdmissionLimits) {
        self.line_of(address, is_own).spent.press(now, limits.slow_round_trip);
    }

    fn line_of(&mut self, address: IpAddr, is_own: bool) -> &mut Line {
        match self.by_address.get_mut(&address) {
            Some(own) if is_own => own,
            _ => &mut self.all,
        }
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
        let held = Held {
            begun: self.begun,
            slot,
            since: now,
            last: now,
            stage: Stage::Begun,
            stay,
            round_trip,
            patience: patience(round_trip, limits),
            class: class_of(round_trip),
        };
        let address = group(address);
        let own = self.by_address.entry(address).or_default();
        let is_ranked = self.by_rank.remove(&(own.len(), address));
        own.add(&held);
        if is_ranked || own.len() >= busy_from(limits) {
            self.by_rank.insert((own.len(), address));
        }
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
    pub(super) fn reject(
        &mut self,
        now: Instant,
        address: IpAddr,
        held: &mut Held,
        limits: &AdmissionLimits,
    ) {
        self.fail(now, address, held, limits);
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
        let is_late = now.saturating_duration_since(held.since) >= SOON;
        if held.stage != Stage::Begun || !is_late {
            return;
        }
        if held.stay == Stay::Passing
            && self.share_of_all(now, group(address), held.class, limits) == Share::Less
            && self.stay(None, limits) == Stay::Kept
        {
            let next = Held { stay: Stay::Kept, ..*held };
            self.become_as(address, held, next);
        }
        self.hear(now, address, held, limits);
    }

    /// A hello has come to a handshake: its peer was heard, unless it has begun long ago.
    pub(super) fn hear(&mut self, now: Instant, address: IpAddr, held: &mut Held, limits: &AdmissionLimits) {
        if now <= held.since + limits.slow_round_trip {
            let next = Held { last: now, ..*held };
            self.become_as(address, held, next);
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

    /// Records that a handshake was finished, before it ends.
    pub(super) fn finish(&mut self, now: Instant, address: IpAddr, held: &Held, limits: &AdmissionLimits) {
        let own = self.by_address.get_mut(&group(address));
        for line in own.into_iter().chain([&mut self.all]) {
            let time = now.saturating_duration_since(held.since);
            line.spent.add_used(now, held.class, time, limits.slow_round_trip);
        }
    }

    /// Records that a handshake comes to nothing, and has not made room for another.
    pub(super) fn fail(&mut self, now: Instant, address: IpAddr, held: &Held, limits: &AdmissionLimits) {
        if held.stage == Stage::Rejected {
            // It was counted when it was rejected.
            return;
        }
        let own = self.by_address.get_mut(&group(address));
        for line in own.into_iter().chain([&mut self.all]) {
            line.spent.add_in_vain(now, held.waited(now), limits.slow_round_trip);
        }
    }

    /// Records that a handshake ended, for whatever reason.
    pub(super) fn end(&mut self, address: IpAddr, held: &Held) {
        let address = group(address);
        let Some(own) = self.by_address.get_mut(&address) else { return };
        let is_ranked = self.by_rank.remove(&(own.len(), address));
        own.remove(held);
        self.all.remove(held);
        if held.stay == Stay::Passing {
            self.passing.remove(held);
        }
        if own.len() == 0 {
            self.by_address.remove(&address);
        } else if is_ranked {
            self.by_rank.insert((own.len(), address));
        }
        if self.by_address.is_empty() {
            self.hellos.forget();
        }
    }

    /// Records that a handshake of this path, which has been answered, had to make room.
    pub(super) fn note_evicted(&mut self, held: &Held, path: &Path, hello: &HelloId) {
        self.hellos.note_evicted(held.since, path, hello);
    }

    /// Whether there was a handshake with this hello, which has been answered and had to make room.
    pub(super) fn was_evicted(&self, path: &Path, hello: &HelloId) -> bool {
        self.hellos.was_evicted(path, hello)
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
mod storms;
#[cfg(test)]
mod tests;
