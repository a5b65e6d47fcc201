//! Which sessions a device has: one by its own secret (the newest wins), any number by its product's.

use std::{collections::HashMap, time::Instant};

use narrowgate_engine::event::SessionId;
use narrowgate_platform::ids::DeviceId;

/// See the module. Touched when sessions begin and end, never by a report.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    logins: HashMap<DeviceId, Login>,
    activations: HashMap<DeviceId, Vec<Activation>>,
}

/// A session by the device's own secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Login {
    /// The session.
    pub(crate) session: SessionId,
    /// When its Finished was verified: the newest wins, whichever shard speaks first.
    pub(crate) verified: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Activation {
    session: SessionId,
    /// Whether it was given a secret.
    answered: bool,
}

/// What a login means for another one of the same device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoggedIn {
    /// It is the device's session now; the older one is to be closed when the login is durable.
    Newest(Option<Login>),
    /// A newer one is there already.
    Outrun,
}

impl Directory {
    /// Notes a login.
    pub(crate) fn login(&mut self, device: DeviceId, login: Login) -> LoggedIn {
        match self.logins.get(&device) {
            Some(other) if other.verified > login.verified => LoggedIn::Outrun,
            _ => LoggedIn::Newest(self.logins.insert(device, login)),
        }
    }

    /// Takes back a login that the store refused; the older session is the device's again. Returns whether
    /// the device has no session now.
    pub(crate) fn take_back(&mut self, device: DeviceId, session: SessionId, older: Option<Login>) -> bool {
        if self.logins.get(&device).is_none_or(|login| login.session != session) {
            return false;
        }
        match older {
            Some(older) => {
                self.logins.insert(device, older);
            }
            None => {
                self.logins.remove(&device);
            }
        }
        older.is_none()
    }

    /// Notes a session with the product's secret.
    pub(crate) fn note_activation(&mut self, device: DeviceId, session: SessionId) {
        self.activations.entry(device).or_default().push(Activation { session, answered: false });
    }

    /// Whether a session with the product's secret still exists.
    pub(crate) fn is_activating(&self, device: DeviceId, session: SessionId) -> bool {
        self.activations.get(&device).is_some_and(|all| all.iter().any(|other| other.session == session))
    }

    /// Notes that a session was given a secret; returns the others that were given one before, which is now
    /// void.
    pub(crate) fn note_issued(&mut self, device: DeviceId, session: SessionId) -> Vec<SessionId> {
        let Some(all) = self.activations.get_mut(&device) else { return Vec::new() };
        let mut void = Vec::new();
        for activation in all {
            if activation.session == session {
                activation.answered = true;
            } else if activation.answered {
                void.push(activation.session);
            }
        }
        void
    }

    /// Forgets a device's sessions by the product's secret: they are closed, and are issued nothing more.
    pub(crate) fn end_activations(&mut self, device: DeviceId) {
        self.activations.remove(&device);
    }

    /// Forgets a session that ended; returns whether it was the device's login.
    pub(crate) fn remove(&mut self, device: DeviceId, session: SessionId) -> bool {
        if let Some(all) = self.activations.get_mut(&device) {
            all.retain(|other| other.session != session);
            if all.is_empty() {
                self.activations.remove(&device);
            }
        }
        let was_login = self.logins.get(&device).is_some_and(|login| login.session == session);
        if was_login {
            self.logins.remove(&device);
        }
        was_login
    }

    /// All sessions of a device.
    pub(crate) fn sessions_of(&self, device: DeviceId) -> Vec<SessionId> {
        let activations =
            self.activations.get(&device).into_iter().flatten().map(|activation| activation.session);
        self.logins.get(&device).map(|login| login.session).into_iter().chain(activations).collect()
    }

    /// Devices with a login.
    pub(crate) fn len(&self) -> usize {
        self.logins.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DEVICE: DeviceId = DeviceId(1);

    fn session(slot: u32) -> SessionId {
        SessionId { shard: 0, slot, generation: 1 }
    }

    fn logins<const N: usize>() -> [Login; N] {
        let start = crate::tests::start();
        std::array::from_fn(|n| Login {
            session: session(n as u32),
            verified: start + Duration::from_secs(n as u64),
        })
    }

    #[test]
    fn the_newest_login_wins_and_the_end_of_an_older_one_changes_nothing() {
        let mut directory = Directory::default();
        let [first, second] = logins();
        assert_eq!(directory.login(DEVICE, first), LoggedIn::Newest(None));
        assert_eq!(directory.login(DEVICE, second), LoggedIn::Newest(Some(first)));
        assert!(!directory.remove(DEVICE, first.session));
        assert_eq!(directory.sessions_of(DEVICE), [second.session]);
        assert!(directory.remove(DEVICE, second.session));
        assert!(directory.sessions_of(DEVICE).is_empty());
    }

    #[test]
    fn a_login_that_is_told_late_does_not_replace_a_newer_one() {
        let mut directory = Directory::default();
        let [first, second] = logins();
        directory.login(DEVICE, second);
        assert_eq!(directory.login(DEVICE, first), LoggedIn::Outrun);
        assert_eq!(directory.sessions_of(DEVICE), [second.session]);
    }

    #[test]
    fn a_login_that_the_store_refused_gives_the_place_back() {
        let mut directory = Directory::default();
        let [first, second, third] = logins();
        directory.login(DEVICE, first);
        directory.login(DEVICE, second);
        assert!(!directory.take_back(DEVICE, second.session, Some(first)));
        assert_eq!(directory.sessions_of(DEVICE), [first.session]);
        directory.login(DEVICE, third);
        assert!(
            !directory.take_back(DEVICE, second.session, Some(first)),
            "the third is the device's by now"
        );
        assert!(directory.take_back(DEVICE, third.session, None));
    }

    #[test]
    fn a_second_secret_makes_the_session_void_that_was_given_the_first() {
        let mut directory = Directory::default();
        directory.note_activation(DEVICE, session(2));
        directory.note_activation(DEVICE, session(3));
        assert_eq!(directory.note_issued(DEVICE, session(2)), []);
        assert_eq!(directory.note_issued(DEVICE, session(3)), [session(2)]);
        assert!(!directory.remove(DEVICE, session(2)));
        assert!(!directory.is_activating(DEVICE, session(2)));
        assert_eq!(directory.sessions_of(DEVICE), [session(3)]);
    }
}
