//! That a device fetches an image, however slowly: a sign of life for its upgrade, which is written down
//! rarely.
//!
//! Limit: [`ALIVE_MAX`] devices are remembered.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use narrowgate_platform::ids::DeviceId;

/// Of a device that fetches it is written down at least this often, where it does.
const ALIVE_EVERY: Duration = Duration::from_secs(3600);
/// Devices of which is remembered that this was done. Of further ones a block is written down by its place
/// alone.
const ALIVE_MAX: usize = 65_536;

/// The devices of which it was written down within [`ALIVE_EVERY`] that they fetch.
#[derive(Debug, Default)]
pub(crate) struct Alive {
    devices: BTreeSet<DeviceId>,
    since: VecDeque<(Instant, DeviceId)>,
}

impl Alive {
    /// Whether it is to be written down of a device; then it counts as done.
    pub(crate) fn permit(&mut self, now: Instant, device: DeviceId) -> bool {
        while let Some((since, of)) = self.since.front().copied() {
            if now.saturating_duration_since(since) < ALIVE_EVERY {
                break;
            }
            self.since.pop_front();
            self.devices.remove(&of);
        }
        let is_due = self.devices.len() < ALIVE_MAX && self.devices.insert(device);
        if is_due {
            self.since.push_back((now, device));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_device_fetches_is_written_down_once_an_hour_and_what_is_remembered_has_a_bound() {
        let (mut alive, start) = (Alive::default(), crate::tests::start());
        let one = DeviceId(-1);
        assert!(alive.permit(start, one) && !alive.permit(start + Duration::from_secs(3599), one));
        assert!(alive.permit(start + ALIVE_EVERY, one));
        let last = ALIVE_MAX as i64;
        assert!((1..last).all(|id| alive.permit(start + ALIVE_EVERY, DeviceId(id))));
        assert!(!alive.permit(start + ALIVE_EVERY, DeviceId(last)));
        assert!(alive.permit(start + ALIVE_EVERY * 2, DeviceId(last)));
        assert_eq!((alive.devices.len(), alive.since.len()), (1, 1));
    }
}
