//! The lifetime clocks of all devices, and the writes of their changes.
//!
//! The store sees logins and changes of presence in the order in which they were decided. A change names
//! the device's last login that the store has confirmed, so that one which comes after a reset is refused;
//! while a login is being written it names none, for it comes behind that login whether the store takes it
//! or not: one that named a login which was refused in the end would leave the device as it is for ever.
//! Limits: silence is noticed within [`TICK`]; at most [`CHANGES_AT_ONCE`] changes by silence are under way,
//! the others are noticed when the store has written those; one batch of last-seen times is under way at a
//! time.

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
};

/// How often the clocks are checked.
const TICK: Duration = Duration::from_millis(250);
/// How often `lastSeenTime` is written for devices that were heard without reporting, and changes are written
/// again that the store refused.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// Changes by silence, or tried again, that are under way at the same time: a report waits for no more of
/// them in its transaction, which is some milliseconds. Where many devices fall silent at once, the last ones
/// are noticed seconds later.
const CHANGES_AT_ONCE: usize = 128;
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
    /// The last login of each device that the store has confirmed.
    logins: BTreeMap<DeviceId, LoginNumber>,
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
        let mut logins = BTreeMap::new();
        for OnlineDevice { device, lifetime_s, login } in online {
            tracker.restore(device, lifetime_s, now);
            logins.extend(login.map(|login| (device, login)));
        }
        Self {
            tracker,
            start: now,
            next_write: now,
            logins,
            logins_under_way: BTreeMap::new(),
            seen: BTreeMap::new(),
            seen_under_way: 0,
            unwritten: BTreeMap::new(),
            changes: 0,
            newest: BTreeMap::new(),
            under_way: 0,
        }
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
            self.logins.insert(device, number);
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
        if let Some(transition) = self.tracker.handle_closed(device, now.instant) {
            self.write(out, now, transition);
        }
        self.forget_logins(device);
    }

    /// An operator ended it, or it was not admitted: now offline, and its clock stops.
    pub(crate) fn forget(&mut self, out: &mut Outbox, now: Now, device: DeviceId, cause: &str) {
        self.seen.remove(&device);
        self.forget_logins(device);
        if self.tracker.handle_closed(device, now.instant).is_some() {
            let (state, at, cause) = (DeviceState::Offline, now.wall, cause.to_owned());
            self.hand_over(out, Change { device, login: None, state, at, cause });
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

    /// How many changes by silence may be handed over now.
    fn room(&self) -> usize {
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
        self.tracker.handle_timeout(now.instant, self.room(), &mut transitions);
        for transition in transitions {
            self.write(out, now, transition);
        }
    }

    fn write(&mut self, out: &mut Outbox, now: Now, transition: Transition) {
        let Transition { device, state, cause } = transition;
        let cause = cause.to_string();
        tracing::debug!(device = device.0, new = ?state, cause, "presence");
        let login = self.confirmed_login(device);
        self.hand_over(out, Change { device, login, state, at: now.wall, cause });
    }

    /// What a change names that is decided now.
    fn confirmed_login(&self, device: DeviceId) -> Option<LoginNumber> {
        let is_under_way = self.logins_under_way.contains_key(&device);
        self.logins.get(&device).copied().filter(|_| !is_under_way)
    }

    fn forget_logins(&mut self, device: DeviceId) {
        self.logins.remove(&device);
        self.logins_under_way.remove(&device);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effect;

    const DEVICE: DeviceId = DeviceId(1);

    /// Logins that the written changes of presence name.
    fn named(out: &mut Outbox) -> Vec<Option<LoginNumber>> {
        let effects = std::iter::from_fn(|| out.poll());
        let writes = effects.flat_map(|effect| match effect {
            Effect::Write(_, writes) => writes,
            other => panic!("only changes are written: {other:?}"),
        });
        let names = writes.map(|write| match write {
            Write::Presence { login, .. } | Write::Seen { login, .. } => login,
            other => panic!("only changes are written: {other:?}"),
        });
        names.collect()
    }

    #[test]
    fn a_change_names_the_login_that_the_store_has() {
        let start = crate::tests::start();
        let now = Now { instant: start, wall: UnixMillis(0) };
        let [first, second, third] = [1, 2, 3].map(LoginNumber);
        // What became of logins, and what a change after that names. One under way is stored or refused
        // before the change is written.
        type Became = (LoginNumber, Option<bool>);
        let table: [(&[Became], Option<LoginNumber>); 6] = [
            (&[], Some(first)),
            (&[(second, Some(true))], Some(second)),
            (&[(second, Some(false))], Some(first)),
            (&[(second, None)], None),
            (&[(second, Some(true)), (third, Some(false))], Some(second)),
            (&[(second, Some(false)), (third, None)], None),
        ];
        for (logins, right) in table {
            let restarted = || {
                let online = OnlineDevice { device: DEVICE, lifetime_s: 30, login: Some(first) };
                let (mut out, mut presence) = (Outbox::new(), Presence::new(vec![online], start));
                for (number, stored) in logins {
                    presence.login(&mut out, now, DEVICE, 30, *number);
                    if let Some(stored) = stored {
                        presence.login_answered(DEVICE, *number, *stored);
                    }
                }
                (out, presence)
            };
            let (mut out, mut presence) = restarted();
            let silent = Now { instant: start + Duration::from_secs(40), wall: UnixMillis(40_000) };
            presence.handle_timeout(&mut out, silent);
            presence.hear(&mut out, silent, (DEVICE, Some(first)), true);
            assert_eq!(named(&mut out), [right; 2], "silent and heard again: {logins:?}");
            let (mut out, mut presence) = restarted();
            presence.close(&mut out, now, DEVICE);
            assert_eq!(named(&mut out), [right], "closed by the device: {logins:?}");
        }
    }

    /// Takes what is written, and answers it as a store that writes everything.
    fn commit(out: &mut Outbox, presence: &mut Presence, now: Now) -> usize {
        let effects: Vec<_> = std::iter::from_fn(|| out.poll()).collect();
        let mut written = 0;
        for effect in effects {
            let Effect::Write(token, writes) = effect else { panic!("only changes are written") };
            written += writes.len();
            match out.take(token) {
                Some(Pending::Presence(change, number)) => {
                    presence.handle_written(out, now, (change, number), None, Ok(&[Written::Done]));
                }
                other => panic!("a change was asked for: {other:?}"),
            }
        }
        written
    }

    #[test]
    fn a_fleet_that_falls_silent_at_once_never_fills_a_transaction() {
        let start = crate::tests::start();
        let lifetime_s = 30;
        let online = |device| OnlineDevice { device: DeviceId(device), lifetime_s, login: None };
        let devices = 100_000;
        let (mut out, mut presence) =
            (Outbox::new(), Presence::new((1..=devices).map(online).collect(), start));
        let (mut silent, mut transactions) = (0, 0);
        let mut now = Now { instant: start, wall: UnixMillis(0) };
        while silent < devices as usize {
            assert!(transactions < 2 * devices, "it comes to an end");
            // A transaction takes some milliseconds.
            now.instant += Duration::from_millis(5);
            if presence.poll_timeout().is_some_and(|at| at <= now.instant) {
                presence.handle_timeout(&mut out, now);
            }
            let written = commit(&mut out, &mut presence, now);
            assert!(written <= CHANGES_AT_ONCE, "{written} changes in one transaction");
            assert!(written == 0 || now.instant >= start + Duration::from_secs(lifetime_s.into()));
            silent += written;
            transactions += 1;
        }
        assert_eq!(presence.online(), 0);
        let took = now.instant - start;
        assert!(took < Duration::from_secs(40), "noticed in time: {took:?}");
    }

    #[test]
    fn changes_that_were_refused_are_tried_again_some_at_a_time() {
        let start = crate::tests::start();
        let online = |device| OnlineDevice { device: DeviceId(device), lifetime_s: 30, login: None };
        let (mut out, mut presence) = (Outbox::new(), Presence::new((1..=1000).map(online).collect(), start));
        let mut now = Now { instant: start, wall: UnixMillis(0) };
        let refused = StoreError::Unavailable("the disk is full".to_owned());
        for _ in 0..120 {
            now.instant += TICK;
            presence.handle_timeout(&mut out, now);
            for effect in std::iter::from_fn(|| out.poll()).collect::<Vec<_>>() {
                let Effect::Write(token, _) = effect else { panic!("only changes are written") };
                let Some(Pending::Presence(change, number)) = out.take(token) else { panic!("a change") };
                presence.handle_written(&mut out, now, (change, number), None, Err(&refused));
            }
        }
        while !presence.unwritten.is_empty() || presence.under_way > 0 || presence.online() > 0 {
            now.instant += TICK;
            presence.handle_timeout(&mut out, now);
            let written = commit(&mut out, &mut presence, now);
            assert!(written <= CHANGES_AT_ONCE, "{written}");
            assert!(now.instant < start + Duration::from_secs(60), "it comes to an end");
        }
    }

    #[test]
    fn logins_are_kept_no_longer_than_their_device_is_there() {
        let start = crate::tests::start();
        let now = Now { instant: start, wall: UnixMillis(0) };
        let (mut out, mut presence) = (Outbox::new(), Presence::new(Vec::new(), start));
        for number in [1, 2].map(LoginNumber) {
            presence.login(&mut out, now, DEVICE, 30, number);
        }
        presence.login_answered(DEVICE, LoginNumber(1), true);
        presence.close(&mut out, now, DEVICE);
        presence.login_answered(DEVICE, LoginNumber(2), true);
        assert!(presence.logins.is_empty() && presence.logins_under_way.is_empty());
    }

    #[test]
    fn what_is_heard_names_the_login_of_its_session_and_an_operator_names_none() {
        let start = crate::tests::start();
        let now = Now { instant: start, wall: UnixMillis(0) };
        let mut out = Outbox::new();
        let mut presence = Presence::new(Vec::new(), start);
        let [older, newer] = [1, 2].map(LoginNumber);
        presence.login(&mut out, now, DEVICE, 30, newer);
        presence.login_answered(DEVICE, newer, true);
        presence.hear(&mut out, now, (DEVICE, Some(older)), false);
        presence.flush(&mut out);
        presence.forget(&mut out, now, DEVICE, "reset by an operator");
        assert_eq!(named(&mut out), [Some(older), None]);
    }
}
