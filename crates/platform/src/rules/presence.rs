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
//! After a restart all devices that were online would have one deadline: it is spread over
//! [`SPREAD_PERCENT`] of their lifetime, and a call of `handle_timeout` does bounded work: what is due and
//! was not done yet stays due.
//!
//! Size: 33 bytes per slot of the map and 16 in the set of timers; 65 to 105 bytes per device with the slack
//! of both containers.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, hash_map},
    fmt,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use crate::{
    ids::{DeviceId, LoginNumber},
    model::device::DeviceState,
};

/// Knows which devices are online, and when each will be silent for too long.
#[derive(Debug)]
pub struct Tracker {
    /// Times are kept as milliseconds from here: half the size of an `Instant`.
    base: Instant,
    devices: HashMap<DeviceId, Entry, RandomState>,
    /// The timers: when, for whom. Exactly one for each device that has `timer`.
    timers: BTreeSet<(u64, DeviceId)>,
}

/// What is known of a device with a session. 24 bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// When it was heard, in milliseconds, times two; and 1 if that is a restart, since which it was not
    /// heard: then it may be silent for longer than its lifetime ([`grace_ms`]).
    heard: Bits48,
    /// When the timer fires; at or before the deadline. `NO_TIMER` while offline.
    timer: Bits48,
    lifetime_s: u32,
    /// The last login that is known to be stored.
    stored_login: Option<NonZeroU64>,
}

/// A number of 48 bits, the lowest first. So many milliseconds are 8,900 years.
#[derive(Debug, Clone, Copy)]
struct Bits48([u16; 3]);

impl Bits48 {
    fn new(number: u64) -> Self {
        Self([0, 16, 32].map(|shift| (number >> shift) as u16))
    }

    fn number(self) -> u64 {
        let [low, middle, high] = self.0.map(u64::from);
        high << 32 | middle << 16 | low
    }
}

/// The deadlines of devices that are taken up after a restart lie so much of a lifetime apart at most. They
/// only become later: nobody is offline before a full lifetime. A larger part would show silent devices as
/// online for longer; a smaller one brings more changes at once.
pub const SPREAD_PERCENT: u64 = 10;
/// Devices that were registered one after the other stand on the same pages of a store. So many of them have
/// one deadline after a restart: a transaction that changes them writes a tenth of the pages of one that
/// changes as many others.
const NEIGHBOURS: u64 = 64;
/// Timers that one call moves at most: about a millisecond.
const TIMERS_AT_ONCE: usize = 4096;

const NO_TIMER: u64 = (1 << 48) - 1;
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
    fn heard_ms(&self) -> u64 {
        self.heard.number() >> 1
    }

    fn hear(&mut self, heard_ms: u64) {
        self.heard = Bits48::new(heard_ms << 1);
    }

    /// It counts as heard at a restart.
    fn give_grace(&mut self) {
        self.heard = Bits48::new(self.heard.number() | 1);
    }

    fn timer_ms(&self) -> u64 {
        self.timer.number()
    }

    fn set_timer(&mut self, timer_ms: u64) {
        self.timer = Bits48::new(timer_ms);
    }

    fn deadline_ms(&self, device: DeviceId) -> u64 {
        let deadline_ms = self.heard_ms() + u64::from(self.lifetime_s) * 1000;
        let has_grace = self.heard.number() & 1 == 1;
        deadline_ms + if has_grace { u64::from(grace_ms(device, self.lifetime_s)) } else { 0 }
    }
}

/// A device's part of the spread, the same after each restart, and the same as that of its neighbours.
fn grace_ms(device: DeviceId, lifetime_s: u32) -> u32 {
    // The upper half of a Fibonacci hash: blocks of neighbours lie far apart.
    let block = device.0.cast_unsigned() / NEIGHBOURS + 1;
    let part = block.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let spread_ms = u64::from(lifetime_s) * 1000 * SPREAD_PERCENT / 100;
    u32::try_from((part * spread_ms) >> 32).unwrap_or(u32::MAX)
}

impl Tracker {
    /// A tracker that knows nobody. No later call may give a time before `now`; one that does counts as
    /// `now`.
    pub fn new(now: Instant) -> Self {
        Self { base: now, devices: HashMap::default(), timers: BTreeSet::new() }
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
        self.devices.get(&device).is_some_and(|entry| entry.timer_ms() != NO_TIMER)
    }

    /// How many devices are online.
    pub fn online(&self) -> usize {
        self.timers.len()
    }

    /// A device logged in, for the first time or again; its lifetime counts from now. The caller has told the
    /// store, so there is no transition.
    pub fn handle_login(&mut self, device: DeviceId, lifetime_s: u32, now: Instant) {
        let heard_ms = self.millis(now);
        let entry = self.devices.entry(device).or_insert(Entry {
            heard: Bits48::new(0),
            timer: Bits48::new(NO_TIMER),
            lifetime_s,
            stored_login: None,
        });
        entry.hear(heard_ms);
        entry.lifetime_s = lifetime_s;
        // A timer that fires before the deadline moves on by itself; only one that fires after it has to be
        // moved now.
        if entry.timer_ms() > entry.deadline_ms(device) {
            Self::arm(&mut self.timers, device, entry);
        }
    }

    /// The store has confirmed a login of the device. No number is 0.
    pub fn handle_stored(&mut self, device: DeviceId, login: LoginNumber) {
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.stored_login = NonZeroU64::new(login.0);
        }
    }

    /// The last login of a device that the store has confirmed, until the device leaves.
    pub fn stored_login(&self, device: DeviceId) -> Option<LoginNumber> {
        self.devices.get(&device)?.stored_login.map(|number| LoginNumber(number.get()))
    }

    /// After a restart: the device is online according to the store. It gets a full lifetime from now on, so
    /// that no device goes offline because the server was away, and its part of the spread.
    pub fn restore(&mut self, device: DeviceId, lifetime_s: u32, now: Instant) {
        self.handle_login(device, lifetime_s, now);
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.give_grace();
        }
    }

    /// Something authentic arrived in a session of the device. Returns the transition back to online, if it
    /// was offline. Timers that are due must be handled first ([`Self::handle_timeout`]): a silence that
    /// nobody noticed before its end does not count.
    pub fn handle_heard(&mut self, device: DeviceId, now: Instant) -> Option<Transition> {
        let heard_ms = self.millis(now);
        let entry = self.devices.get_mut(&device)?;
        entry.hear(entry.heard_ms().max(heard_ms));
        if entry.timer_ms() != NO_TIMER {
            return None;
        }
        Self::arm(&mut self.timers, device, entry);
        Some(Transition { device, state: DeviceState::Online, cause: Cause::HeardAgain })
    }

    /// The device's newest session ended. Returns the transition to offline, if it was online; what still
    /// arrives in the old session does not bring it back.
    pub fn handle_closed(&mut self, device: DeviceId, _now: Instant) -> Option<Transition> {
        let was_online = self.remove(device)?.timer_ms() != NO_TIMER;
        was_online.then_some(Transition { device, state: DeviceState::Offline, cause: Cause::Closed })
    }

    /// The device was deleted, reset or switched off: no transition will come for it.
    pub fn forget(&mut self, device: DeviceId) {
        self.remove(device);
    }

    /// Appends a transition for each device that has been silent for its lifetime, at most `max`. The others
    /// are still due, and are online again if they are heard first.
    pub fn handle_timeout(&mut self, now: Instant, max: usize, transitions: &mut Vec<Transition>) {
        let now_ms = self.millis(now);
        let full = transitions.len() + max;
        for _ in 0..TIMERS_AT_ONCE {
            let Some(&(timer_ms, device)) = self.timers.first() else { break };
            if timer_ms > now_ms || transitions.len() == full {
                break;
            }
            self.timers.pop_first();
            let hash_map::Entry::Occupied(mut occupied) = self.devices.entry(device) else { continue };
            let entry = occupied.get_mut();
            entry.set_timer(NO_TIMER);
            if entry.deadline_ms(device) > now_ms {
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
        if entry.timer_ms() != NO_TIMER {
            self.timers.remove(&(entry.timer_ms(), device));
        }
        Some(entry)
    }

    /// Moves the device's only timer to its deadline.
    fn arm(timers: &mut BTreeSet<(u64, DeviceId)>, device: DeviceId, entry: &mut Entry) {
        if entry.timer_ms() != NO_TIMER {
            timers.remove(&(entry.timer_ms(), device));
        }
        entry.set_timer(entry.deadline_ms(device));
        timers.insert((entry.timer_ms(), device));
    }

    fn millis(&self, now: Instant) -> u64 {
        // 2^64 ms are half a billion years.
        now.saturating_duration_since(self.base).as_millis() as u64
    }
}
