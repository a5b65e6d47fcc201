//! Secrets that were replaced while this process ran: they admit nobody, but show an operator which one a
//! device still uses. In memory only: with a copy of the store, nobody can use them to read what was recorded
//! before.

use std::collections::VecDeque;

use crate::{ids::DeviceId, ports::FORMER_SECRETS_MAX, secret::Secret};

/// The newest [`FORMER_SECRETS_MAX`], oldest first.
#[derive(Debug, Default)]
pub struct FormerSecrets(VecDeque<(DeviceId, Secret)>);

impl FormerSecrets {
    /// Notes that the device has another secret now.
    pub fn note(&mut self, device: DeviceId, replaced: Secret) {
        if self.0.len() >= FORMER_SECRETS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((device, replaced));
    }

    /// Those of a device, newest first.
    pub fn of(&self, device: DeviceId) -> Vec<Secret> {
        let of_device = self.0.iter().rev().filter(|(owner, _)| *owner == device);
        of_device.map(|(_, secret)| secret.clone()).collect()
    }

    /// Forgets a device that was deleted.
    pub fn forget(&mut self, device: DeviceId) {
        self.0.retain(|(owner, _)| *owner != device);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_a_deleted_device_has_none() {
        let mut former = FormerSecrets::default();
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
