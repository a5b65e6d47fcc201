//! What logins that are over leave behind, by path, for late copies of what was sent in them.
//!
//! A peer of plain CoAP is its address and port, and nothing in a message says to which of its logins it
//! belongs. So the answers of a login that is over are given to the next one of the same path: a POST that
//! was carried out is not carried out again ([`narrowgate_coap::Remains`]). And a copy of a login in whose
//! place another one came, from elsewhere, is not taken for a newer one, which would end the device's own.
//!
//! Limits: as many paths as there may be sessions; beyond it the oldest goes. Where half of the bytes for
//! stored answers is used nothing is left, so that what stands has room. Nothing is kept for longer than the
//! answers would have been.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use narrowgate_coap::Remains;

use super::super::{Shard, channel::Channel, established::Established, half_open::Hello};
use crate::{event::CloseCause, path::Path};

/// The generation of the timer of this sweep, by which it is told from that of logins: each is armed once,
/// and one that armed the other as well would double them each time.
pub(super) const SWEEP_OF_LEAVINGS: u32 = 1;
/// Places in the order that may be of no use before they are looked through.
const SPARE: usize = 1024;

struct Left {
    id: u32,
    remains: Remains,
    /// The login itself, where another one came in its place from elsewhere.
    replaced: Option<Hello>,
}

/// See the module.
#[derive(Default)]
pub(in super::super) struct Leavings {
    by_path: HashMap<Path, Left, foldhash::fast::RandomState>,
    /// Oldest first; one whose id is another's was taken.
    in_order: VecDeque<(Instant, Path, u32)>,
    last_id: u32,
    sweep_is_armed: bool,
}

impl Leavings {
    /// What the last login of this path has left.
    pub(super) fn take(&mut self, path: Path) -> Option<Remains> {
        self.by_path.remove(&path).map(|left| left.remains)
    }

    /// Whether this is a copy of a login of this path in whose place another one came from elsewhere.
    pub(super) fn has_copy(&self, path: Path, hello: Hello, lifetime: Duration) -> bool {
        let replaced = self.by_path.get(&path).and_then(|left| left.replaced);
        replaced.is_some_and(|replaced| replaced.has_copy_within(hello, lifetime))
    }

    /// Adds what a login has left; returns what is too much now.
    fn put(&mut self, path: Path, remains: Remains, replaced: Option<Hello>, max: usize) -> Option<Remains> {
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        if self.in_order.len() > 2 * self.by_path.len() + SPARE {
            let Self { by_path, in_order, .. } = self;
            in_order.retain(|(_, path, id)| by_path.get(path).is_some_and(|left| left.id == *id));
        }
        self.in_order.push_back((remains.expires(), path, id));
        let before = self.by_path.insert(path, Left { id, remains, replaced });
        if before.is_some() {
            return before.map(|left| left.remains);
        }
        while self.by_path.len() > max {
            let (_, oldest, id) = self.in_order.pop_front()?;
            if let Some(remains) = self.take_if(oldest, id) {
                return Some(remains);
            }
        }
        None
    }

    fn take_if(&mut self, path: Path, id: u32) -> Option<Remains> {
        self.by_path.get(&path).filter(|left| left.id == id)?;
        self.take(path)
    }

    /// Whose time is over. The timer has fired.
    fn take_expired(&mut self, now: Instant) -> Option<Remains> {
        self.sweep_is_armed = false;
        while self.in_order.front().is_some_and(|(until, ..)| *until <= now) {
            let (_, path, id) = self.in_order.pop_front()?;
            if let Some(remains) = self.take_if(path, id) {
                return Some(remains);
            }
        }
        None
    }

    /// When the timer is to fire, if it is to be armed.
    fn arm_sweep(&mut self) -> Option<Instant> {
        let next = self.in_order.front().map(|(until, ..)| *until).filter(|_| !self.sweep_is_armed);
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
        let Some(remains) = established.endpoint.leave(&mut self.budget) else { return };
        if self.budget.bytes_used() > self.budget.bytes_max() / 2 {
            return remains.release(&mut self.budget);
        }
        let is_replaced = cause == CloseCause::ByCommand && !established.channel.is_fresh();
        let replaced = is_replaced.then_some(established.hello);
        if let Some(remains) = self.leavings.put(path, remains, replaced, self.config.sessions_max) {
            remains.release(&mut self.budget);
        }
        self.arm_leavings();
    }

    /// Forgets what is of no use any more.
    pub(super) fn sweep_leavings(&mut self, now: Instant) {
        while let Some(remains) = self.leavings.take_expired(now) {
            remains.release(&mut self.budget);
        }
        self.arm_leavings();
    }

    fn arm_leavings(&mut self) {
        if let Some(sweep_at) = self.leavings.arm_sweep() {
            let tick = self.wheel.tick_of(sweep_at);
            self.wheel.arm(tick, super::super::HALF_OPEN_BIT, SWEEP_OF_LEAVINGS);
        }
    }
}
