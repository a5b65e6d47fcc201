//! The lifetime clocks of all devices, and the writes of their changes.
//!
//! The store sees logins and changes of presence in the order in which they were decided. A change names
//! the device's last login that the store has confirmed, so that one which comes after a reset is refused;
//! while a login is being written it names none, for it comes behind that login whether the store takes it
//! or not: one that named a login which was refused in the end would leave the device as it is for ever.
//! Limits: silence is noticed within [`TICK`]; at most [`CHANGES_AT_ONCE`] changes by silence are under way,
//! the others are noticed when the store has written those; one batch of last-seen times is under way at a
//! time.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use narrowgate_api::happening::{self, Happening};
use narrowgate_platform::{
    ids::{DeviceId, LoginNumber, Position, UnixMillis},
    model::device::DeviceState,
    ports::{OnlineDevice, StoreError, Write, Written},
    rules::presence::{Cause, Tracker, Transition},
};

use crate::{
    effect::Now,
    outbox::{Outbox, Pending},
    unread::Unread,
};

/// How often the clocks are checked.
const TICK: Duration = Duration::from_millis(250);
/// How often `lastSeenTime` is written for devices that were heard without reporting, and changes are written
/// again that the store refused.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// Changes by silence, or tried again, that are under way at the same time: a report waits for no more of
/// them in its transaction, which is 2 to 5 ms. Where many devices fall silent at once, the last ones are
/// noticed seconds later. As many as have one deadline after a restart.
pub(crate) const CHANGES_AT_ONCE: usize = 64;
/// Last-seen times that are committed together.
const SEEN_TOGETHER_MAX: usize = 250;

/// See the module.
#[derive(Debug)]
pub(crate) struct Presence {
    tracker: Tracker,
    /// The clocks are checked in whole ticks from here on.
    start: Instant,
    /// When what waits is written.
    next_write: Instant,
    /// The newest login of a device that is being written.
    logins_under_way: BTreeMap<DeviceId, LoginNumber>,
    /// Heard without a report since the last writing, and in the session of which login.
    seen: BTreeMap<DeviceId, (Option<LoginNumber>, UnixMillis)>,
    /// Writes of last-seen times under way.
    seen_under_way: usize,
    /// Changes that the store could not write, by device: they are tried again until a newer one takes their
    /// place.
    unwritten: BTreeMap<DeviceId, Change>,
    /// Counts the changes, so that a late failure does not restore an old one.
    changes: u64,
    /// The number of the newest change of each device whose write is under way.
    newest: BTreeMap<DeviceId, u64>,
    /// Writes of changes under way.
    under_way: usize,
    /// A silence may be none, where not everything that arrived is known.
    unread: Unread,
}

/// A change of presence.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    device: DeviceId,
    login: Option<LoginNumber>,
    state: DeviceState,
    at: UnixMillis,
    cause: String,
}

impl Presence {
    /// Takes up the devices that were online: they get a full lifetime from now on.
    pub(crate) fn new(online: Vec<OnlineDevice>, now: Instant) -> Self {
        let mut tracker = Tracker::new(now);
        for OnlineDevice { device, lifetime_s, login } in online {
            tracker.restore(device, lifetime_s, now);
            if let Some(login) = login {
                tracker.handle_stored(device, login);
            }
        }
        Self {
            tracker,
            start: now,
            next_write: now,
            logins_under_way: BTreeMap::new(),
            seen: BTreeMap::new(),
            seen_under_way: 0,
            unwritten: BTreeMap::new(),
            changes: 0,
            newest: BTreeMap::new(),
            under_way: 0,
            unread: Unread::default(),
        }
    }

    /// See [`crate::Gateway::handle_read_until`].
    pub(crate) fn read_until(&mut self, until: Option<Instant>) {
        self.unread.read_until(until);
    }

    /// A login, which is written next, in its place among the changes of presence.
    pub(crate) fn login(
        &mut self,
        out: &mut Outbox,
        now: Now,
        device: DeviceId,
        lifetime_s: u32,
        number: LoginNumber,
    ) {
        self.time_passes(out, now);
        self.logins_under_way.insert(device, number);
        self.tracker.handle_login(device, lifetime_s, now.instant);
        self.unwritten.remove(&device);
        self.newest.remove(&device);
    }

    /// The store has confirmed a login, or refused it.
    pub(crate) fn login_answered(&mut self, device: DeviceId, number: LoginNumber, is_stored: bool) {
        // Of a device that has left meanwhile nothing is kept.
        let Some(newest) = self.logins_under_way.get(&device).copied() else { return };
        if is_stored {
            self.tracker.handle_stored(device, number);
        }
        if newest == number {
            self.logins_under_way.remove(&device);
        }
    }

    /// Something authentic arrived in the session of a login. `reported`: a report is stored with it, which
    /// moves `lastSeenTime` by itself.
    pub(crate) fn hear(
        &mut self,
        out: &mut Outbox,
        now: Now,
        (device, login): (DeviceId, Option<LoginNumber>),
        reported: bool,
    ) {
        if let Some(transition) = self.tracker.handle_heard(device, now.instant) {
            self.write(out, now, transition);
        }
        if !reported {
            self.arm(now.instant);
            self.seen.insert(device, (login, now.wall));
        }
    }

    /// The device ended its session itself.
    pub(crate) fn close(&mut self, out: &mut Outbox, now: Now, device: DeviceId) {
        let login = self.confirmed_login(device);
        if let Some(transition) = self.tracker.handle_closed(device, now.instant) {
            self.write_of(out, now, transition, login);
        }
        self.logins_under_way.remove(&device);
    }

    /// An operator ended it, or it was not admitted: now offline, and its clock stops.
    pub(crate) fn forget(&mut self, out: &mut Outbox, now: Now, device: DeviceId, cause: &str) {
        self.seen.remove(&device);
        self.logins_under_way.remove(&device);
        if self.tracker.handle_closed(device, now.instant).is_some() {
            let (state, at, cause) = (DeviceState::Offline, now.wall, cause.to_owned());
            self.hand_over(out, Change { device, login: None, state, at, cause });
        }
    }

    /// Its product or its organisation unit was switched off, and it has no session: now offline, with this
    /// cause, and its clock stops. One whose login is newer than `until`, or is being written, was let in
    /// again and stays.
    pub(crate) fn leave(
        &mut self,
        out: &mut Outbox,
        now: Now,
        device: DeviceId,
        (until, cause): (LoginNumber, &str),
    ) {
        let is_newer = self.tracker.stored_login(device).is_some_and(|login| login > until);
        if is_newer || self.logins_under_way.contains_key(&device) {
            return;
        }
        let login = self.confirmed_login(device);
        if self.tracker.handle_closed(device, now.instant).is_some() {
            let (state, at, cause) = (DeviceState::Offline, now.wall, cause.to_owned());
            self.hand_over(out, Change { device, login, state, at, cause });
        }
    }

    /// A login was refused, and the session before it is the device's again. Changes that were decided before
    /// the login, or failed, were given up for it: the store hears again that the device is online.
    pub(crate) fn reinstate(&mut self, out: &mut Outbox, now: Now, device: DeviceId) {
        if self.tracker.is_online(device) {
            let cause = Cause::HeardAgain;
            self.write(out, now, Transition { device, state: DeviceState::Online, cause });
        }
    }

    /// The store has written a change; if it could not, the change is kept and tried again.
    pub(crate) fn handle_written(
        &mut self,
        out: &mut Outbox,
        now: Now,
        (change, number): (Change, u64),
        position: Option<Position>,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        self.under_way -= 1;
        if outcomes.is_ok_and(|outcomes| outcomes == [Written::Done]) {
            tell(out, position, &change);
        }
        let is_written = outcomes.is_ok();
        if self.newest.get(&change.device) == Some(&number) {
            self.newest.remove(&change.device);
            if outcomes.is_err() {
                self.arm(now.instant);
                self.unwritten.insert(change.device, change);
            }
        }
        if is_written {
            // The store writes: what waits for it goes on.
            self.try_again(out);
        }
        self.time_passes(out, now);
    }

    /// Last-seen times are written, or could not be: the next ones follow.
    pub(crate) fn handle_seen_written(&mut self) {
        self.seen_under_way -= 1;
    }

    /// Writes everything that is still to be written, last-seen times included.
    pub(crate) fn flush(&mut self, out: &mut Outbox) {
        self.write_seen(out);
        for (_, change) in std::mem::take(&mut self.unwritten) {
            self.hand_over(out, change);
        }
    }

    /// Hands over changes that the store refused before, as many as there is room for.
    fn try_again(&mut self, out: &mut Outbox) {
        for _ in 0..self.room() {
            let Some((_, change)) = self.unwritten.pop_first() else { break };
            self.hand_over(out, change);
        }
    }

    /// How many changes by silence, or of a product that was switched off, may be handed over now.
    pub(crate) fn room(&self) -> usize {
        CHANGES_AT_ONCE.saturating_sub(self.under_way)
    }

    /// Devices online.
    pub(crate) fn online(&self) -> usize {
        self.tracker.online()
    }

    /// When [`Self::handle_timeout`] is due next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let waits = !self.unwritten.is_empty() || !self.seen.is_empty();
        // Without room it is the store's answer that goes on.
        let silence = self.tracker.poll_timeout().filter(|_| self.room() > 0).map(|at| self.tick_at(at));
        let silence = silence.map(|at| self.unread.look_at(at));
        silence.into_iter().chain(waits.then_some(self.next_write)).min()
    }

    /// Checks the clocks, and writes what is due.
    pub(crate) fn handle_timeout(&mut self, out: &mut Outbox, now: Now) {
        self.time_passes(out, now);
        if now.instant < self.next_write {
            return;
        }
        self.next_write = now.instant + WRITE_INTERVAL;
        if self.seen_under_way == 0 {
            self.write_seen(out);
        }
        self.try_again(out);
    }

    /// The first tick that is not before `at`.
    fn tick_at(&self, at: Instant) -> Instant {
        let ticks = at.saturating_duration_since(self.start).as_nanos().div_ceil(TICK.as_nanos());
        // 2^32 ticks are 34 years.
        self.start + TICK * ticks as u32
    }

    /// What begins to wait is written an interval later at the latest.
    fn arm(&mut self, now: Instant) {
        if self.seen.is_empty() && self.unwritten.is_empty() && self.next_write <= now {
            self.next_write = now + WRITE_INTERVAL;
        }
    }

    fn time_passes(&mut self, out: &mut Outbox, now: Now) {
        let mut transitions = Vec::new();
        let until = self.unread.known_until(self.tracker.poll_timeout(), now.instant);
        self.tracker.handle_timeout(until, self.room(), &mut transitions);
        for transition in transitions {
            self.write(out, now, transition);
        }
    }

    fn write(&mut self, out: &mut Outbox, now: Now, transition: Transition) {
        let login = self.confirmed_login(transition.device);
        self.write_of(out, now, transition, login);
    }

    fn write_of(&mut self, out: &mut Outbox, now: Now, transition: Transition, login: Option<LoginNumber>) {
        let Transition { device, state, cause } = transition;
        let cause = cause.to_string();
        tracing::debug!(device = device.0, new = ?state, cause, "presence");
        self.hand_over(out, Change { device, login, state, at: now.wall, cause });
    }

    /// What a change names that is decided now.
    fn confirmed_login(&self, device: DeviceId) -> Option<LoginNumber> {
        let is_under_way = self.logins_under_way.contains_key(&device);
        self.tracker.stored_login(device).filter(|_| !is_under_way)
    }

    fn hand_over(&mut self, out: &mut Outbox, change: Change) {
        let Change { device, login, state, at, cause } = change.clone();
        self.changes += 1;
        self.under_way += 1;
        self.newest.insert(device, self.changes);
        self.unwritten.remove(&device);
        let write = Write::Presence { device, login, state, at, cause };
        out.write(vec![write], Pending::Presence(change, self.changes));
    }

    fn write_seen(&mut self, out: &mut Outbox) {
        // By device, in the order of the store's pages.
        let seen = std::mem::take(&mut self.seen).into_iter();
        let mut seen = seen.map(|(device, (login, at))| Write::Seen { device, login, at }).peekable();
        while seen.peek().is_some() {
            self.seen_under_way += 1;
            out.write(seen.by_ref().take(SEEN_TOGETHER_MAX).collect(), Pending::Seen);
        }
    }
}

/// Sends an event to the listeners, who look up the device's names.
fn tell(out: &mut Outbox, position: Option<Position>, change: &Change) {
    if out.has_followers {
        let told = happening::Presence { time: change.at, device: None, detail: Some(change.cause.clone()) };
        let is_online = change.state == DeviceState::Online;
        let happening = if is_online { Happening::Online(told) } else { Happening::Offline(told) };
        out.tell(position, happening, Some(change.device));
    }
}
