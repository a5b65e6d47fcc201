//! What logins that are over leave behind, by path, for late copies of what was sent in them.
//!
//! A peer of plain CoAP is its address and port, and nothing in a message says to which of its logins it
//! belongs. So the answers of a login that is over are given to the next one of the same path: a POST that
//! was carried out is not carried out again ([`narrowgate_coap::Remains`]). And a copy of a login that a
//! newer one of its device has ended, from elsewhere, is not taken for a newer one, which would end the
//! device's own. That copy may be the device itself, which has begun anew at the first path with the same
//! bytes; it repeats what is not answered, and is let in then.
//!
//! Limits: as many paths as there may be sessions; beyond it that goes whose time is over first. Where half
//! of the bytes for stored answers is used no answers are left, so that what stands has room. Nothing is kept
//! for longer than the answers would have been, and [`SWEPT_EVERY`].

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use narrowgate_coap::{Context, Remains};

use super::super::{Shard, channel::Channel, established::Established, half_open::Hello};
use crate::{event::CloseCause, path::Path};

/// The generation of the timer of this sweep, by which it is told from that of logins: each is armed once,
/// and one that armed the other as well would double them each time.
pub(super) const SWEEP_OF_LEAVINGS: u32 = 1;
/// The longest time between two sweeps while anything is left.
const SWEPT_EVERY: Duration = Duration::from_secs(10);

struct Left {
    /// Its place in the order.
    place: (Instant, u32),
    remains: Option<Remains>,
    superseded: Option<Superseded>,
}

/// A login that a newer one of its device has ended.
struct Superseded {
    hello: Hello,
    /// How long copies of it may be under way.
    lifetime: Duration,
    /// When one came.
    copied: Option<Instant>,
}

/// See the module.
#[derive(Default)]
pub(in super::super) struct Leavings {
    by_path: HashMap<Path, Left, foldhash::fast::RandomState>,
    /// By the end of its time.
    in_order: BTreeMap<(Instant, u32), Path>,
    last_id: u32,
    sweep_is_armed: bool,
}

impl Leavings {
    /// What the last login of this path has left.
    pub(super) fn take(&mut self, path: Path) -> Option<Remains> {
        let Left { place, remains, .. } = self.by_path.remove(&path)?;
        self.in_order.remove(&place);
        remains
    }

    /// Whether this is a copy of a login of this path that a newer one has ended, and is to be dropped: the
    /// first one is, and what comes sooner after it than a device repeats its messages.
    pub(super) fn is_late_copy(&mut self, now: Instant, path: Path, hello: Hello, pause: Duration) -> bool {
        let superseded = self.by_path.get_mut(&path).and_then(|left| left.superseded.as_mut());
        let Some(Superseded { hello: first, lifetime, copied }) = superseded else { return false };
        if !first.has_copy_within(hello, *lifetime) {
            return false;
        }
        now < *copied.get_or_insert(now) + pause
    }

    /// Adds what a login has left, until this time; returns what is too much now.
    fn put(
        &mut self,
        path: Path,
        until: Instant,
        (remains, superseded): (Option<Remains>, Option<Superseded>),
        max: usize,
    ) -> Option<Remains> {
        let before = self.take(path);
        self.last_id = self.last_id.wrapping_add(1);
        let place = (until, self.last_id);
        self.in_order.insert(place, path);
        self.by_path.insert(path, Left { place, remains, superseded });
        if self.by_path.len() <= max {
            return before;
        }
        let (_, first) = self.in_order.pop_first()?;
        self.take(first)
    }

    /// Removes those whose time is over, and returns their answers. The timer has fired.
    fn take_expired(&mut self, now: Instant) -> Vec<Remains> {
        self.sweep_is_armed = false;
        let mut taken = Vec::new();
        while let Some(first) = self.in_order.first_entry().filter(|first| first.key().0 <= now) {
            let left = self.by_path.remove(&first.remove());
            taken.extend(left.and_then(|left| left.remains));
        }
        taken
    }

    /// When the timer is to fire, if it is to be armed: one that is added may be over before the others.
    fn arm_sweep(&mut self, now: Instant) -> Option<Instant> {
        let next = self.in_order.keys().next().filter(|_| !self.sweep_is_armed);
        let next = next.map(|(until, _)| (*until).min(now + SWEPT_EVERY));
        self.sweep_is_armed |= next.is_some();
        next
    }
}

impl Shard {
    /// Ends the endpoint of a session that is over.
    pub(in super::super) fn leave(&mut self, path: Path, established: &mut Established, cause: CloseCause) {
        if matches!(established.channel, Channel::Dtls(_)) {
            return established.endpoint.release(&mut self.budget);
        }
        let now = self.start + Duration::from_secs(self.now_s.into());
        let params = self.profiles.of(established.endpoint.profile());
        let lifetime = params.exchange_lifetime;
        let mut context = Context { now, params, budget: &mut self.budget };
        let mut remains = established.endpoint.leave(&mut context);
        if self.budget.bytes_used() > self.budget.bytes_max() / 2
            && let Some(remains) = remains.take()
        {
            remains.release(&mut self.budget);
        }
        let is_superseded = cause == CloseCause::Superseded;
        let hello = is_superseded.then_some(established.hello);
        let superseded = hello.map(|hello| Superseded { hello, lifetime, copied: None });
        let of_login = hello.map(|hello| hello.accepted(self.start) + lifetime + Duration::from_secs(1));
        let Some(until) = of_login.max(remains.as_ref().map(Remains::expires)) else { return };
        if let Some(remains) = self.leavings.put(path, until, (remains, superseded), self.config.sessions_max)
        {
            remains.release(&mut self.budget);
        }
        self.arm_leavings(now);
    }

    /// Forgets what is of no use any more.
    pub(super) fn sweep_leavings(&mut self, now: Instant) {
        for remains in self.leavings.take_expired(now) {
            remains.release(&mut self.budget);
        }
        self.arm_leavings(now);
    }

    fn arm_leavings(&mut self, now: Instant) {
        if let Some(sweep_at) = self.leavings.arm_sweep(now) {
            let tick = self.wheel.tick_of(sweep_at);
            self.wheel.arm(tick, super::super::HALF_OPEN_BIT, SWEEP_OF_LEAVINGS);
        }
    }
}
