//! What devices have spent of their bytes when a session of theirs ends, so that a new session is no new
//! bucket. It is forgotten when the bucket would be full again, some seconds later. Limit: [`KEPT_MAX`];
//! beyond it a device begins its next session with a full bucket.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use foldhash::fast::RandomState;
use narrowgate_engine::shard::throttle::{ByteLimit, Spent};
use narrowgate_platform::ids::DeviceId;

/// Devices whose last session ended with a bucket that was not full. Some 4 MiB.
const KEPT_MAX: usize = 1 << 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct SpentBytes {
    /// `None`: nothing is counted.
    limit: Option<ByteLimit>,
    by_device: HashMap<DeviceId, (Spent, Instant), RandomState>,
    /// In the order in which they came; a device may stand here twice.
    order: VecDeque<DeviceId>,
}

impl SpentBytes {
    pub(crate) fn new(limit: Option<ByteLimit>) -> Self {
        Self { limit, by_device: HashMap::default(), order: VecDeque::new() }
    }

    /// Notes what a device spent in a session that ends.
    pub(crate) fn note(&mut self, now: Instant, device: DeviceId, spent: Spent) {
        let Some(limit) = self.limit else { return };
        while let Some(oldest) = self.order.front()
            && self.rest(limit, now, *oldest).is_none_or(|rest| rest == Spent::default())
        {
            self.by_device.remove(oldest);
            self.order.pop_front();
        }
        let rest = self.rest(limit, now, device).unwrap_or_default();
        if self.order.len() < KEPT_MAX {
            self.by_device.insert(device, (rest.and(spent, limit), now));
            self.order.push_back(device);
        }
    }

    /// What a device that begins a session has still spent.
    pub(crate) fn take(&mut self, now: Instant, device: DeviceId) -> Option<Spent> {
        let rest = self.rest(self.limit?, now, device);
        self.by_device.remove(&device);
        rest.filter(|rest| *rest != Spent::default())
    }

    fn rest(&self, limit: ByteLimit, now: Instant, device: DeviceId) -> Option<Spent> {
        let (spent, at) = self.by_device.get(&device)?;
        let seconds = now.saturating_duration_since(*at).as_secs();
        Some(spent.after(limit, u32::try_from(seconds).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_spent_is_remembered_until_the_bucket_is_full_and_within_bounds() {
        let (start, second) = (crate::tests::start(), Duration::from_secs(1));
        let mut spent = SpentBytes::new(Some(ByteLimit { per_second: 100, burst: 1000 }));
        let up = |up| Spent { up, down: 0 };
        spent.note(start, DeviceId(1), up(900));
        spent.note(start, DeviceId(1), up(900));
        assert_eq!(spent.take(start + 3 * second, DeviceId(1)), Some(up(700)), "a bucket and no more");
        assert_eq!(spent.take(start + 3 * second, DeviceId(1)), None, "it is the new session's now");
        spent.note(start, DeviceId(2), up(900));
        assert_eq!(spent.take(start + 9 * second, DeviceId(2)), None);
        for device in 0..1_000_000 {
            spent.note(start, DeviceId(device), up(900));
        }
        assert!(spent.by_device.len() <= KEPT_MAX && spent.order.len() <= KEPT_MAX);
        spent.note(start + 10 * second, DeviceId(1), up(500));
        assert_eq!((spent.by_device.len(), spent.order.len()), (1, 1));
    }
}
