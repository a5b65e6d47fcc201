//! Which sessions a device has: one by its own secret (the newest wins), any number by its product's.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use narrowgate_engine::event::SessionId;
use narrowgate_platform::ids::DeviceId;

/// See the module. Touched when sessions begin and end, never by a report.
#[derive(Debug, Default)]
pub(super) struct Directory(Mutex<Maps>);

#[derive(Debug, Default)]
struct Maps {
    logins: HashMap<DeviceId, SessionId>,
    activations: HashMap<DeviceId, Vec<SessionId>>,
}

impl Directory {
    /// Notes a login; returns the session that it replaces.
    pub(super) fn login(&self, device: DeviceId, session: SessionId) -> Option<SessionId> {
        self.maps().logins.insert(device, session)
    }

    /// Notes a session by the product's secret.
    pub(super) fn activation(&self, device: DeviceId, session: SessionId) {
        self.maps().activations.entry(device).or_default().push(session);
    }

    /// Forgets a session that ended; returns whether it was the device's login.
    pub(super) fn ended(&self, device: DeviceId, session: SessionId) -> bool {
        let mut maps = self.maps();
        if let Some(sessions) = maps.activations.get_mut(&device) {
            sessions.retain(|other| *other != session);
            if sessions.is_empty() {
                maps.activations.remove(&device);
            }
        }
        if maps.logins.get(&device) == Some(&session) {
            maps.logins.remove(&device);
            return true;
        }
        false
    }

    /// All sessions of a device.
    pub(super) fn sessions_of(&self, device: DeviceId) -> Vec<SessionId> {
        let maps = self.maps();
        let activations = maps.activations.get(&device).into_iter().flatten();
        maps.logins.get(&device).into_iter().chain(activations).copied().collect()
    }

    /// Devices with a login.
    pub(super) fn len(&self) -> usize {
        self.maps().logins.len()
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(slot: u32) -> SessionId {
        SessionId { shard: 0, slot, generation: 1 }
    }

    #[test]
    fn the_newest_login_wins_and_the_end_of_an_older_one_changes_nothing() {
        let directory = Directory::default();
        let device = DeviceId(1);
        assert_eq!(directory.login(device, session(1)), None);
        assert_eq!(directory.login(device, session(2)), Some(session(1)));
        assert!(!directory.ended(device, session(1)));
        assert_eq!(directory.sessions_of(device), [session(2)]);
        assert!(directory.ended(device, session(2)));
        assert!(directory.sessions_of(device).is_empty());
    }

    #[test]
    fn sessions_by_the_products_secret_stand_beside_the_login() {
        let directory = Directory::default();
        let device = DeviceId(1);
        directory.login(device, session(1));
        directory.activation(device, session(2));
        directory.activation(device, session(3));
        assert_eq!(directory.sessions_of(device).len(), 3);
        assert!(!directory.ended(device, session(2)));
        assert_eq!(directory.sessions_of(device), [session(1), session(3)]);
    }
}
