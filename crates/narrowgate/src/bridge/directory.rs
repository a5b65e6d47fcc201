//! Which sessions a device has: one by its own secret (the newest wins), any number by its product's.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use narrowgate_engine::event::SessionId;
use narrowgate_platform::ids::DeviceId;

/// See the module. Touched when sessions begin and end, never by a report.
#[derive(Debug, Default)]
pub(super) struct Directory(Mutex<Maps>);

#[derive(Debug, Default)]
struct Maps {
    logins: HashMap<DeviceId, Login>,
    activations: HashMap<DeviceId, Vec<Activation>>,
}

/// A session by the device's own secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Login {
    /// The session.
    pub(super) session: SessionId,
    /// When its Finished was verified: the newest wins, whichever shard speaks first.
    pub(super) verified: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Activation {
    session: SessionId,
    /// Whether it was given a secret.
    answered: bool,
}

/// What a login means for another one of the same device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoggedIn {
    /// It is the device's session now; the older one is to be closed when the login is durable.
    Newest(Option<Login>),
    /// A newer one is there already.
    Outrun,
}

impl Directory {
    /// Notes a login.
    pub(super) fn login(&self, device: DeviceId, login: Login) -> LoggedIn {
        let mut maps = self.maps();
        match maps.logins.get(&device) {
            Some(other) if other.verified > login.verified => LoggedIn::Outrun,
            _ => LoggedIn::Newest(maps.logins.insert(device, login)),
        }
    }

    /// Takes a login back that the store refused; the older session is the device's again. Returns whether the
    /// device has no session now.
    pub(super) fn take_back(&self, device: DeviceId, session: SessionId, older: Option<Login>) -> bool {
        let mut maps = self.maps();
        if maps.logins.get(&device).is_none_or(|login| login.session != session) {
            return false;
        }
        match older {
            Some(older) => {
                maps.logins.insert(device, older);
            }
            None => {
                maps.logins.remove(&device);
            }
        }
        older.is_none()
    }

    /// Notes a session by the product's secret.
    pub(super) fn activation(&self, device: DeviceId, session: SessionId) {
        self.maps().activations.entry(device).or_default().push(Activation { session, answered: false });
    }

    /// Whether a session by the product's secret still stands.
    pub(super) fn is_activating(&self, device: DeviceId, session: SessionId) -> bool {
        self.maps()
            .activations
            .get(&device)
            .is_some_and(|all| all.iter().any(|other| other.session == session))
    }

    /// Notes that a session was given a secret; returns the others that were given one before, which is void now.
    pub(super) fn answered(&self, device: DeviceId, session: SessionId) -> Vec<SessionId> {
        let mut maps = self.maps();
        let Some(all) = maps.activations.get_mut(&device) else { return Vec::new() };
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

    /// Forgets a session that ended; returns whether it was the device's login.
    pub(super) fn ended(&self, device: DeviceId, session: SessionId) -> bool {
        let mut maps = self.maps();
        if let Some(all) = maps.activations.get_mut(&device) {
            all.retain(|other| other.session != session);
            if all.is_empty() {
                maps.activations.remove(&device);
            }
        }
        let was_login = maps.logins.get(&device).is_some_and(|login| login.session == session);
        if was_login {
            maps.logins.remove(&device);
        }
        was_login
    }

    /// All sessions of a device.
    pub(super) fn sessions_of(&self, device: DeviceId) -> Vec<SessionId> {
        let maps = self.maps();
        let activations =
            maps.activations.get(&device).into_iter().flatten().map(|activation| activation.session);
        maps.logins.get(&device).map(|login| login.session).into_iter().chain(activations).collect()
    }

    /// Devices with a login.
    pub(super) fn len(&self) -> usize {
        self.maps().logins.len()
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
