//! Which sessions a device has: those by its own secret, in the order of their logins, and those by its
//! product's.
//!
//! A device keeps its older session until its newer login is durable, so it may have several for a while. All
//! of them are known until they are told to close: whoever closes a device closes each of them, and a login
//! that is durable closes every earlier one, whatever became of the logins in between.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use narrowgate_engine::event::SessionId;
use narrowgate_platform::ids::{DeviceId, LoginNumber};

use super::rivals::Rivalry;

/// See the module. Touched when sessions begin and end, never by a report.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Times are kept as nanoseconds from here: half the size of an `Instant`.
    base: Instant,
    /// The newest login of each device.
    newest: HashMap<DeviceId, Login, RandomState>,
    /// Those before it whose sessions stand, oldest first: only while the newest is not durable.
    older: BTreeMap<DeviceId, Vec<Login>>,
    /// At most [`ACTIVATIONS_MAX`] of each device.
    activations: HashMap<DeviceId, Vec<Activation>, RandomState>,
    /// Sessions that were too many of their device.
    pub(crate) too_many: u64,
    /// Alarms that two devices use one secret.
    pub(crate) rivals: u64,
}

/// Sessions by the product's secret that a device has at a time: it needs one, and another where an answer
/// was lost. Whoever has the product's secret can make as many as they like.
const ACTIVATIONS_MAX: usize = 4;
/// A session that is older has had the time to ask for its secret, also over slow radio.
const ACTIVATION_YOUNG: Duration = Duration::from_secs(10);

/// A session by the device's own secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Login {
    /// The session.
    session: SessionId,
    /// When its Finished was verified.
    verified_ns: u64,
    /// Rises with every login that is taken up.
    number: LoginNumber,
    /// What speaks for a second device with the same secret.
    rivalry: Rivalry,
}

// There is one for each device that is connected.
const _: () = assert!(size_of::<Login>() <= 32);

#[derive(Debug, Clone, Copy)]
struct Activation {
    session: SessionId,
    since: Instant,
    /// Whether it was given a secret.
    answered: bool,
    /// The version of the device's secret, as far as it is known.
    version: u32,
}

/// What a login is, at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// A newer one is there already: nothing is noted.
    Late,
    /// The newest of its device.
    Newest,
    /// The newest, and two devices probably use its secret: see [`super::rivals`].
    NewestOfRivals,
}

/// A session that is not the device's any more: what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// No login of the device: it was told to close before, or is one by the product's secret.
    Other,
    /// An older login, or the newest where an older one stands.
    OneOfSeveral {
        /// Whether it was the newest.
        newest: bool,
    },
    /// The device's only login.
    Only,
}

impl Directory {
    /// A directory without sessions. No login was verified before `now`; one that was counts as verified now.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            base: now,
            newest: HashMap::default(),
            older: BTreeMap::new(),
            activations: HashMap::default(),
            too_many: 0,
            rivals: 0,
        }
    }

    /// Takes up a login; the session verified last is the newest, whichever shard speaks first.
    pub(crate) fn login(
        &mut self,
        device: DeviceId,
        (session, peer): (SessionId, IpAddr),
        verified: Instant,
        number: LoginNumber,
    ) -> Entered {
        // 2^64 nanoseconds are 584 years.
        let verified_ns = verified.saturating_duration_since(self.base).as_nanos() as u64;
        let (mut rivalry, mut is_alarm) = (Rivalry::new(peer), false);
        if let Some(older) = self.newest.get(&device) {
            let Some(after_ns) = verified_ns.checked_sub(older.verified_ns) else { return Entered::Late };
            (rivalry, is_alarm) = older.rivalry.followed_by(peer, Duration::from_nanos(after_ns));
        }
        if let Some(older) = self.newest.insert(device, Login { session, verified_ns, number, rivalry }) {
            self.older.entry(device).or_default().push(older);
        }
        self.rivals += u64::from(is_alarm);
        if is_alarm { Entered::NewestOfRivals } else { Entered::Newest }
    }

    /// A login is durable: the sessions of all earlier ones are not the device's any more, and are to be
    /// closed.
    pub(crate) fn take_earlier(&mut self, device: DeviceId, number: LoginNumber) -> Vec<SessionId> {
        let mut earlier = Vec::new();
        if let Some(older) = self.older.get_mut(&device) {
            let count = older.partition_point(|login| login.number < number);
            earlier.extend(older.drain(..count).map(|login| login.session));
            if older.is_empty() {
                self.older.remove(&device);
            }
        }
        // The session of the durable login has ended already.
        if let Some(newest) = self.newest.get(&device).filter(|newest| newest.number < number) {
            earlier.push(newest.session);
            self.newest.remove(&device);
        }
        earlier
    }

    /// Takes all sessions of a device, by either secret: they are to be closed, and are issued nothing more.
    pub(crate) fn take_all(&mut self, device: DeviceId) -> Vec<SessionId> {
        let logins = self.take_logins(device);
        let activations = self.activations.remove(&device).into_iter().flatten();
        logins.into_iter().chain(activations.map(|activation| activation.session)).collect()
    }

    /// Takes the sessions of all logins of a device.
    pub(crate) fn take_logins(&mut self, device: DeviceId) -> Vec<SessionId> {
        let older = self.older.remove(&device).into_iter().flatten();
        older.chain(self.newest.remove(&device)).map(|login| login.session).collect()
    }

    /// Notes a session with the product's secret; `version` is that of the device's own when it was looked
    /// up. Returns the one that is to be closed where there are too many: one that was given its secret, else
    /// the oldest that is not young, else this one.
    pub(crate) fn note_activation(
        &mut self,
        now: Instant,
        device: DeviceId,
        session: SessionId,
        version: u32,
    ) -> Option<SessionId> {
        let all = self.activations.entry(device).or_default();
        let mut closed = None;
        if all.len() >= ACTIVATIONS_MAX {
            self.too_many += 1;
            let is_old = |other: &Activation| now.saturating_duration_since(other.since) >= ACTIVATION_YOUNG;
            let answered = all.iter().position(|other| other.answered);
            let Some(index) = answered.or_else(|| all.iter().position(is_old)) else { return Some(session) };
            closed = Some(all.remove(index).session);
        }
        // It may have been looked up before another one was given a secret.
        let version = all.iter().map(|other| other.version).fold(version, u32::max);
        all.push(Activation { session, since: now, answered: false, version });
        closed
    }

    /// The version of the device's secret that a session with its product's may replace; `None` if the
    /// session does not exist any more.
    pub(crate) fn may_replace(&self, device: DeviceId, session: SessionId) -> Option<u32> {
        let all = self.activations.get(&device)?;
        all.iter().find(|other| other.session == session).map(|other| other.version)
    }

    /// Whether a session was given a secret.
    pub(crate) fn was_issued(&self, device: DeviceId, session: SessionId) -> bool {
        let all = self.activations.get(&device).into_iter().flatten();
        all.into_iter().any(|activation| activation.session == session && activation.answered)
    }

    /// Notes that a session was given a secret, of this version; returns those that are to be closed: the
    /// others that were given one before, which is now void, and the older ones. The device has left these,
    /// so what still arrives there are late copies: they are issued nothing.
    pub(crate) fn note_issued(
        &mut self,
        device: DeviceId,
        session: SessionId,
        version: u32,
    ) -> Vec<SessionId> {
        let Some(all) = self.activations.get_mut(&device) else { return Vec::new() };
        let place = all.iter().position(|other| other.session == session).unwrap_or(0);
        let mut void: Vec<_> = all.drain(..place).map(|older| older.session).collect();
        for activation in all {
            activation.version = version;
            if activation.session == session {
                activation.answered = true;
            } else if activation.answered {
                void.push(activation.session);
            }
        }
        void
    }

    /// Forgets a session that ended or was refused; says what it was.
    pub(crate) fn remove(&mut self, device: DeviceId, session: SessionId) -> Removed {
        if let Some(all) = self.activations.get_mut(&device) {
            all.retain(|other| other.session != session);
            if all.is_empty() {
                self.activations.remove(&device);
            }
        }
        let Some(newest) = self.newest.get_mut(&device) else { return Removed::Other };
        let is_newest = newest.session == session;
        let Some(older) = self.older.get_mut(&device) else {
            if is_newest {
                self.newest.remove(&device);
                return Removed::Only;
            }
            return Removed::Other;
        };
        let before = older.len();
        if is_newest {
            // An entry is never empty.
            newest.clone_from(&older.pop().unwrap_or(*newest));
        } else {
            older.retain(|login| login.session != session);
        }
        let is_known = older.len() < before;
        if older.is_empty() {
            self.older.remove(&device);
        }
        if is_known { Removed::OneOfSeveral { newest: is_newest } } else { Removed::Other }
    }

    /// The session of a device's newest login.
    pub(crate) fn login_of(&self, device: DeviceId) -> Option<SessionId> {
        self.newest.get(&device).map(|login| login.session)
    }

    /// The same, and when its secret was proved.
    pub(crate) fn newest_of(&self, device: DeviceId) -> Option<(SessionId, Instant)> {
        let login = self.newest.get(&device)?;
        Some((login.session, self.base + Duration::from_nanos(login.verified_ns)))
    }

    /// Devices with a login.
    pub(crate) fn len(&self) -> usize {
        self.newest.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DEVICE: DeviceId = DeviceId(1);
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn session(slot: u32) -> SessionId {
        SessionId { shard: 0, slot, generation: 1 }
    }

    /// A device with so many logins, each with the session and the number of its place, from 0 on.
    fn with_logins(count: u32) -> Directory {
        let start = crate::tests::start();
        let mut directory = Directory::new(start);
        for n in 0..count {
            let verified = start + Duration::from_secs(n.into());
            let entered = directory.login(DEVICE, (session(n), PEER), verified, LoginNumber(n.into()));
            assert_eq!(entered, Entered::Newest);
        }
        directory
    }

    #[test]
    fn all_sessions_of_a_device_are_known_until_one_is_durable_or_all_are_closed() {
        let mut directory = with_logins(4);
        assert_eq!(directory.take_earlier(DEVICE, LoginNumber(2)), [session(0), session(1)]);
        assert_eq!(directory.take_earlier(DEVICE, LoginNumber(2)), []);
        assert_eq!(directory.take_logins(DEVICE), [session(2), session(3)]);
        assert_eq!((directory.len(), directory.older.len()), (0, 0));
        assert_eq!(directory.remove(DEVICE, session(3)), Removed::Other, "its end comes later");
        // The third login is refused: the second is not, and closes the first.
        let mut directory = with_logins(3);
        assert_eq!(directory.remove(DEVICE, session(1)), Removed::OneOfSeveral { newest: false });
        assert_eq!(directory.take_earlier(DEVICE, LoginNumber(2)), [session(0)]);
        assert_eq!(directory.take_all(DEVICE), [session(2)]);
    }

    #[test]
    fn a_login_whose_session_has_ended_closes_the_earlier_ones_all_the_same() {
        let mut directory = with_logins(3);
        assert_eq!(directory.remove(DEVICE, session(2)), Removed::OneOfSeveral { newest: true });
        assert_eq!(directory.take_earlier(DEVICE, LoginNumber(2)), [session(0), session(1)]);
        assert_eq!((directory.len(), directory.older.len()), (0, 0));
    }

    #[test]
    fn what_ends_leaves_the_others_in_their_order() {
        let mut directory = with_logins(3);
        assert_eq!(directory.remove(DEVICE, session(9)), Removed::Other);
        assert_eq!(directory.remove(DEVICE, session(2)), Removed::OneOfSeveral { newest: true });
        assert_eq!(directory.remove(DEVICE, session(0)), Removed::OneOfSeveral { newest: false });
        assert_eq!(directory.remove(DEVICE, session(0)), Removed::Other);
        assert_eq!(directory.remove(DEVICE, session(1)), Removed::Only);
        assert_eq!((directory.len(), directory.older.len()), (0, 0));
    }

    #[test]
    fn a_login_that_is_told_late_does_not_replace_a_newer_one() {
        let mut directory = with_logins(2);
        let start = directory.base;
        let entered = directory.login(DEVICE, (session(7), PEER), start, LoginNumber(7));
        assert_eq!(entered, Entered::Late);
        assert_eq!(directory.take_logins(DEVICE), [session(0), session(1)]);
    }

    #[test]
    fn a_device_has_a_few_sessions_with_the_product_s_secret_and_the_one_that_needs_it_is_kept() {
        let (start, second) = (crate::tests::start(), Duration::from_secs(1));
        let mut directory = with_logins(0);
        let mut note =
            |seconds, n| directory.note_activation(start + seconds * second, DEVICE, session(n), 1);
        assert_eq!((0..4).filter_map(|n| note(n, n)).collect::<Vec<_>>(), []);
        assert_eq!(note(9, 4), Some(session(4)), "all are young: the new one goes");
        assert_eq!(note(10, 5), Some(session(0)), "the oldest had time");
        assert_eq!(directory.note_issued(DEVICE, session(1), 2), [], "the others are newer");
        let mut note =
            |seconds, n| directory.note_activation(start + seconds * second, DEVICE, session(n), 1);
        assert_eq!(note(11, 6), Some(session(1)), "it has its secret");
        assert_eq!(directory.too_many, 3);
        assert_eq!(directory.take_all(DEVICE), [2, 3, 5, 6].map(session));
    }

    #[test]
    fn a_session_that_is_older_than_one_with_a_secret_is_closed_and_may_replace_none() {
        let start = crate::tests::start();
        let mut directory = with_logins(0);
        (1..=4).for_each(|n| assert_eq!(directory.note_activation(start, DEVICE, session(n), 1), None));
        assert_eq!(directory.note_issued(DEVICE, session(3), 2), [session(1), session(2)]);
        assert_eq!([1, 2].map(|n| directory.may_replace(DEVICE, session(n))), [None, None]);
        assert_eq!(directory.may_replace(DEVICE, session(4)), Some(2), "it is newer");
        // The session of the wish has ended while it was committed: nothing is known to be older.
        assert_eq!(directory.note_issued(DEVICE, session(9), 3), [session(3)]);
        assert_eq!(directory.may_replace(DEVICE, session(4)), Some(3));
    }

    #[test]
    fn a_second_secret_makes_the_session_void_that_was_given_the_first() {
        let start = crate::tests::start();
        let mut directory = with_logins(0);
        directory.note_activation(start, DEVICE, session(2), 1);
        directory.note_activation(start, DEVICE, session(3), 1);
        assert_eq!(directory.may_replace(DEVICE, session(3)), Some(1));
        assert_eq!(directory.note_issued(DEVICE, session(2), 2), []);
        assert_eq!(directory.may_replace(DEVICE, session(3)), Some(2));
        assert_eq!(directory.note_issued(DEVICE, session(3), 3), [session(2)]);
        assert_eq!(directory.remove(DEVICE, session(2)), Removed::Other);
        assert_eq!(directory.may_replace(DEVICE, session(2)), None);
        // It was looked up before the others were given theirs.
        directory.note_activation(start, DEVICE, session(4), 1);
        assert_eq!(directory.may_replace(DEVICE, session(4)), Some(3));
        assert_eq!(directory.remove(DEVICE, session(4)), Removed::Other);
        assert_eq!(directory.take_all(DEVICE), [session(3)]);
    }
}
