//! When a device is online (device protocol, section 4): heard within the lifetime of its login.
//!
//! A pure machine over monotonic time: a jump of the wall clock moves nothing. Hearing a device only stores
//! the time; its timer stays where it is and moves on when it fires, so a report costs one hash look-up. Each
//! device has at most one timer.
//!
//! ```text
//!            handle_login                     handle_timeout at heard + lifetime
//!  (unknown) ------------> online <--------------------------------------------> offline
//!       ^                    |      handle_heard                                    |
//!       +--------------------+------------------------------------------------------+
//!              handle_closed, forget
//! ```
//!
//! Size: 33 bytes per slot of the map and 16 in the set of timers; 60 to 100 bytes per device with the slack
//! of both containers.

use std::{
    collections::{BTreeSet, HashMap, hash_map},
    fmt,
    time::{Duration, Instant},
};

use crate::{ids::DeviceId, model::device::DeviceState};

/// Knows which devices are online, and when each will be silent for too long.
#[derive(Debug)]
pub struct Tracker {
    /// Times are kept as milliseconds from here: half the size of an `Instant`.
    base: Instant,
    devices: HashMap<DeviceId, Entry>,
    /// The timers: when, for whom. Exactly one for each device that has `timer_ms`.
    timers: BTreeSet<(u64, DeviceId)>,
}

/// What is known of a device with a session. 24 bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    heard_ms: u64,
    /// When the timer fires; at or before the deadline. `NO_TIMER` while offline.
    timer_ms: u64,
    lifetime_s: u32,
}

const NO_TIMER: u64 = u64::MAX;
const _: () = assert!(size_of::<Entry>() <= 24);

/// A change of presence that the store and the listeners must hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Who.
    pub device: DeviceId,
    /// `Online` or `Offline`.
    pub state: DeviceState,
    /// Why.
    pub cause: Cause,
}

/// Why presence changed; `Display` gives the words for logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A device that counted as offline was heard again, in the session that it had.
    HeardAgain,
    /// Nothing was heard for the lifetime.
    Silent {
        /// The lifetime, seconds.
        lifetime_s: u32,
    },
    /// The device's session ended.
    Closed,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeardAgain => f.write_str("heard again"),
            Self::Silent { lifetime_s } => write!(f, "silent for {lifetime_s} s"),
            Self::Closed => f.write_str("closed by the device"),
        }
    }
}

impl Entry {
    fn deadline_ms(&self) -> u64 {
        self.heard_ms + u64::from(self.lifetime_s) * 1000
    }
}

impl Tracker {
    /// A tracker that knows nobody. No later call may give a time before `now`; one that does counts as
    /// `now`.
    pub fn new(now: Instant) -> Self {
        Self { base: now, devices: HashMap::new(), timers: BTreeSet::new() }
    }

    /// How many devices have logged in and not left, online and offline ones.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether no device is known.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Whether a device is online.
    pub fn is_online(&self, device: DeviceId) -> bool {
        self.devices.get(&device).is_some_and(|entry| entry.timer_ms != NO_TIMER)
    }

    /// How many devices are online.
    pub fn online(&self) -> usize {
        self.timers.len()
    }

    /// A device logged in, for the first time or again; its lifetime counts from now. The caller has told the
    /// store, so there is no transition.
    pub fn handle_login(&mut self, device: DeviceId, lifetime_s: u32, now: Instant) {
        let heard_ms = self.millis(now);
        let entry = self.devices.entry(device).or_insert(Entry { heard_ms, timer_ms: NO_TIMER, lifetime_s });
        entry.heard_ms = heard_ms;
        entry.lifetime_s = lifetime_s;
        // A timer that fires before the deadline moves on by itself; only one that fires after it has to be
        // moved now.
        if entry.timer_ms > entry.deadline_ms() {
            Self::arm(&mut self.timers, device, entry);
        }
    }

    /// After a restart: the device is online according to the store. It gets a full lifetime from now on, so
    /// that no device goes offline because the server was away.
    pub fn restore(&mut self, device: DeviceId, lifetime_s: u32, now: Instant) {
        self.handle_login(device, lifetime_s, now);
    }

    /// Something authentic arrived in a session of the device. Returns the transition back to online, if it
    /// was offline. Timers that are due must be handled first ([`Self::handle_timeout`]): a silence that
    /// nobody noticed before its end does not count.
    pub fn handle_heard(&mut self, device: DeviceId, now: Instant) -> Option<Transition> {
        let heard_ms = self.millis(now);
        let entry = self.devices.get_mut(&device)?;
        entry.heard_ms = entry.heard_ms.max(heard_ms);
        if entry.timer_ms != NO_TIMER {
            return None;
        }
        Self::arm(&mut self.timers, device, entry);
        Some(Transition { device, state: DeviceState::Online, cause: Cause::HeardAgain })
    }

    /// The device's newest session ended. Returns the transition to offline, if it was online; what still
    /// arrives in the old session does not bring it back.
    pub fn handle_closed(&mut self, device: DeviceId, _now: Instant) -> Option<Transition> {
        let was_online = self.remove(device)?.timer_ms != NO_TIMER;
        was_online.then_some(Transition { device, state: DeviceState::Offline, cause: Cause::Closed })
    }

    /// The device was deleted, reset or switched off: no transition will come for it.
    pub fn forget(&mut self, device: DeviceId) {
        self.remove(device);
    }

    /// Appends one transition for each device that has been silent for its lifetime.
    pub fn handle_timeout(&mut self, now: Instant, transitions: &mut Vec<Transition>) {
        let now_ms = self.millis(now);
        while let Some(&(timer_ms, device)) = self.timers.first() {
            if timer_ms > now_ms {
                break;
            }
            self.timers.pop_first();
            let hash_map::Entry::Occupied(mut occupied) = self.devices.entry(device) else { continue };
            let entry = occupied.get_mut();
            entry.timer_ms = NO_TIMER;
            if entry.deadline_ms() > now_ms {
                Self::arm(&mut self.timers, device, entry);
            } else {
                let cause = Cause::Silent { lifetime_s: entry.lifetime_s };
                transitions.push(Transition { device, state: DeviceState::Offline, cause });
            }
        }
    }

    /// When [`Self::handle_timeout`] is due next. Often it only moves a timer.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (timer_ms, _) = self.timers.first()?;
        Some(self.base + Duration::from_millis(*timer_ms))
    }

    fn remove(&mut self, device: DeviceId) -> Option<Entry> {
        let entry = self.devices.remove(&device)?;
        if entry.timer_ms != NO_TIMER {
            self.timers.remove(&(entry.timer_ms, device));
        }
        Some(entry)
    }

    /// Moves the device's only timer to its deadline.
    fn arm(timers: &mut BTreeSet<(u64, DeviceId)>, device: DeviceId, entry: &mut Entry) {
        if entry.timer_ms != NO_TIMER {
            timers.remove(&(entry.timer_ms, device));
        }
        entry.timer_ms = entry.deadline_ms();
        timers.insert((entry.timer_ms, device));
    }

    fn millis(&self, now: Instant) -> u64 {
        // 2^64 ms are half a billion years.
        now.saturating_duration_since(self.base).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: DeviceId = DeviceId(1);
    const B: DeviceId = DeviceId(2);

    #[expect(
        clippy::disallowed_methods,
        reason = "an instant can be made in no other way; the tests count from it"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn timeout(tracker: &mut Tracker, now: Instant) -> Vec<Transition> {
        let mut transitions = Vec::new();
        tracker.handle_timeout(now, &mut transitions);
        transitions
    }

    fn offline(device: DeviceId, lifetime_s: u32) -> Transition {
        Transition { device, state: DeviceState::Offline, cause: Cause::Silent { lifetime_s } }
    }

    #[test]
    fn attack_168_silence_for_the_lifetime_is_one_offline_event_at_the_deadline() {
        let t0 = start();
        let mut tracker = Tracker::new(t0);
        tracker.handle_login(A, 30, t0);
        assert_eq!(tracker.poll_timeout(), Some(t0 + Duration::from_secs(30)));
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_millis(29_999)), []);
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(30)), [offline(A, 30)]);
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(86_400)), [], "it comes exactly once");
        assert_eq!(tracker.poll_timeout(), None);
    }

    #[test]
    fn hearing_a_device_restarts_its_lifetime_without_touching_its_timer() {
        let t0 = start();
        let mut tracker = Tracker::new(t0);
        tracker.handle_login(A, 30, t0);
        assert_eq!(tracker.handle_heard(A, t0 + Duration::from_secs(20)), None);
        assert_eq!(tracker.poll_timeout(), Some(t0 + Duration::from_secs(30)), "the timer stays");
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(30)), []);
        assert_eq!(tracker.poll_timeout(), Some(t0 + Duration::from_secs(50)), "and moves when it fires");
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(50)), [offline(A, 30)]);
    }

    #[test]
    fn an_offline_device_that_is_heard_is_online_again_without_a_login() {
        let t0 = start();
        let mut tracker = Tracker::new(t0);
        tracker.handle_login(A, 30, t0);
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(31)).len(), 1);
        assert_eq!((tracker.len(), tracker.online()), (1, 0));
        let heard = tracker.handle_heard(A, t0 + Duration::from_secs(100)).expect("it was offline");
        assert_eq!((heard.state, heard.cause.to_string()), (DeviceState::Online, "heard again".to_owned()));
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(130)), [offline(A, 30)]);
    }

    #[test]
    fn a_closed_session_is_offline_at_once_and_not_again_later() {
        let t0 = start();
        let mut tracker = Tracker::new(t0);
        tracker.handle_login(A, 30, t0);
        let closed = tracker.handle_closed(A, t0 + Duration::from_secs(1)).expect("it was online");
        assert_eq!((closed.state, closed.cause), (DeviceState::Offline, Cause::Closed));
        assert_eq!(tracker.handle_closed(A, t0 + Duration::from_secs(1)), None);
        assert_eq!(
            tracker.handle_heard(A, t0 + Duration::from_secs(2)),
            None,
            "its last datagrams do not bring it back"
        );
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(100)), []);
        assert!(tracker.is_empty());
    }

    #[test]
    fn a_device_that_is_offline_already_does_not_become_so_by_closing() {
        let t0 = start();
        let mut tracker = Tracker::new(t0);
        tracker.handle_login(A, 30, t0);
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(30)).len(), 1);
        assert_eq!(tracker.handle_closed(A, t0 + Duration::from_secs(31)), None);
    }

    #[test]
    fn a_new_login_may_shorten_and_lengthen_the_lifetime() {
        let t0 = start();
        let mut tracker = Tracker::new(t0);
        tracker.handle_login(A, 86_400, t0);
        tracker.handle_login(A, 30, t0 + Duration::from_secs(1));
        assert_eq!(tracker.poll_timeout(), Some(t0 + Duration::from_secs(31)));
        tracker.handle_login(A, 3600, t0 + Duration::from_secs(2));
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(31)), []);
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(3602)), [offline(A, 3600)]);
    }

    #[test]
    fn a_forgotten_device_makes_no_events() {
        let t0 = start();
        let mut tracker = Tracker::new(t0);
        tracker.handle_login(A, 30, t0);
        tracker.handle_login(B, 40, t0);
        tracker.forget(A);
        assert_eq!(tracker.handle_heard(A, t0), None);
        assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(60)), [offline(B, 40)]);
    }

    #[test]
    fn a_restart_grants_a_full_lifetime() {
        let t0 = start();
        let mut tracker = Tracker::new(t0);
        let ready = t0 + Duration::from_secs(5);
        tracker.restore(A, 30, ready);
        assert_eq!(timeout(&mut tracker, ready + Duration::from_millis(29_999)), []);
        assert_eq!(timeout(&mut tracker, ready + Duration::from_secs(30)), [offline(A, 30)]);
    }

    #[test]
    fn no_device_ever_has_two_timers() {
        let t0 = start();
        let mut tracker = Tracker::new(t0);
        for round in 0..1000_u64 {
            let now = t0 + Duration::from_secs(round);
            tracker.handle_login(A, if round % 2 == 0 { 86_400 } else { 30 }, now);
            if round % 7 == 0 {
                tracker.handle_closed(A, now);
            }
            assert!(tracker.timers.len() <= 1);
        }
    }

    /// The rule itself, without timers: checks every device every time.
    #[derive(Default)]
    struct Naive(std::collections::BTreeMap<DeviceId, (u64, u32, bool)>);

    impl Naive {
        fn timeout(&mut self, now_ms: u64) -> Vec<DeviceId> {
            let mut silent = Vec::new();
            for (device, (heard_ms, lifetime_s, online)) in &mut self.0 {
                if *online && now_ms >= *heard_ms + u64::from(*lifetime_s) * 1000 {
                    *online = false;
                    silent.push(*device);
                }
            }
            silent
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Login(i64, u32),
        Heard(i64),
        Closed(i64),
        Forget(i64),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let device = 0..4_i64;
        prop_oneof![
            (device.clone(), 30..120_u32).prop_map(|(device, lifetime_s)| Step::Login(device, lifetime_s)),
            device.clone().prop_map(Step::Heard),
            device.clone().prop_map(Step::Closed),
            device.prop_map(Step::Forget),
            (0..50_000_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn timers_find_the_same_transitions_as_asking_everyone(
            steps in proptest::collection::vec(step(), 0..100),
        ) {
            let t0 = start();
            let (mut tracker, mut naive, mut now_ms) = (Tracker::new(t0), Naive::default(), 0);
            for step in steps {
                let now = t0 + Duration::from_millis(now_ms);
                match step {
                    Step::Login(device, lifetime_s) => {
                        tracker.handle_login(DeviceId(device), lifetime_s, now);
                        naive.0.insert(DeviceId(device), (now_ms, lifetime_s, true));
                    }
                    Step::Heard(device) => {
                        let again = naive.0.get_mut(&DeviceId(device)).is_some_and(|entry| {
                            entry.0 = now_ms;
                            !std::mem::replace(&mut entry.2, true)
                        });
                        prop_assert_eq!(tracker.handle_heard(DeviceId(device), now).is_some(), again);
                    }
                    Step::Closed(device) => {
                        let was_online = naive.0.remove(&DeviceId(device)).is_some_and(|entry| entry.2);
                        prop_assert_eq!(tracker.handle_closed(DeviceId(device), now).is_some(), was_online);
                    }
                    Step::Forget(device) => {
                        tracker.forget(DeviceId(device));
                        naive.0.remove(&DeviceId(device));
                    }
                    Step::Wait(wait_ms) => {
                        // As a driver does: at each time that the tracker asks for, and at the end.
                        now_ms += wait_ms;
                        let end = t0 + Duration::from_millis(now_ms);
                        let mut transitions = Vec::new();
                        while let Some(at) = tracker.poll_timeout().filter(|at| *at <= end) {
                            tracker.handle_timeout(at, &mut transitions);
                        }
                        let devices = transitions.iter().map(|transition| transition.device);
                        let mut silent: Vec<_> = devices.collect();
                        silent.sort();
                        prop_assert_eq!(silent, naive.timeout(now_ms));
                    }
                }
                prop_assert_eq!(tracker.online(), naive.0.values().filter(|entry| entry.2).count());
                prop_assert_eq!(tracker.len(), naive.0.len());
            }
        }
    }
}
