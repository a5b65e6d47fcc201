//! Secrets that were replaced while this process ran: they let nobody in, but tell an operator which one a
//! device still uses. In memory only, so that whoever copies the store cannot read with them what was
//! recorded before.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use narrowgate_platform::{ids::DeviceId, ports::FORMER_SECRETS_MAX, secret::Secret};

/// The newest [`FORMER_SECRETS_MAX`], oldest first.
#[derive(Debug, Default)]
pub(crate) struct FormerSecrets(Mutex<VecDeque<(DeviceId, Secret)>>);

impl FormerSecrets {
    /// Notes that the device has another secret now.
    pub(crate) fn note(&self, device: DeviceId, replaced: Secret) {
        let mut list = self.list();
        if list.len() >= FORMER_SECRETS_MAX {
            list.pop_front();
        }
        list.push_back((device, replaced));
    }

    /// Those of a device, newest first.
    pub(crate) fn of(&self, device: DeviceId) -> Vec<Secret> {
        let list = self.list();
        list.iter().rev().filter(|(owner, _)| *owner == device).map(|(_, secret)| secret.clone()).collect()
    }

    /// The device is gone.
    pub(crate) fn forget(&self, device: DeviceId) {
        self.list().retain(|(owner, _)| *owner != device);
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<(DeviceId, Secret)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_a_deleted_device_has_none() {
        let former = FormerSecrets::default();
        let secret = |number: usize| Secret::new(format!("secret-{number}"));
        for number in 0..=FORMER_SECRETS_MAX {
            former.note(DeviceId(number as i64 % 2), secret(number));
        }
        let of_first = former.of(DeviceId(0));
        assert_eq!(of_first.len(), FORMER_SECRETS_MAX / 2);
        assert_eq!(of_first[0], secret(FORMER_SECRETS_MAX));
        assert!(!of_first.contains(&secret(0)));
        former.forget(DeviceId(0));
        assert!(former.of(DeviceId(0)).is_empty());
        assert_eq!(former.of(DeviceId(1)).len(), FORMER_SECRETS_MAX / 2);
    }
}
