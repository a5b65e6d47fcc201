//! What devices sent of late that was not JSON: in memory, for who tries scripts on it.
//!
//! Limits: [`OF_DEVICE_MAX`] bodies of a device, [`BYTES_MAX`] bytes of all devices; the oldest are dropped
//! first. It is gone with the process.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use narrowgate_gateway::Received;
use narrowgate_platform::{ids::DeviceId, ports::RawBody};

/// Bodies that are kept of a device.
const OF_DEVICE_MAX: usize = 8;

/// Bytes that are kept of all devices, with what each body costs beside them.
const BYTES_MAX: usize = 4 << 20;

/// What a body costs beside its bytes.
const EACH_BYTES: usize = 128;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first, each with its number.
    devices: BTreeMap<DeviceId, VecDeque<(u64, RawBody)>>,
    /// Whose body has which number.
    order: BTreeMap<u64, DeviceId>,
    next: u64,
    bytes: usize,
}

impl Recent {
    /// Keeps a body.
    pub(super) fn keep(&self, Received { device, body }: Received) {
        let mut kept = self.lock();
        let number = kept.next;
        kept.next += 1;
        kept.bytes += EACH_BYTES + body.bytes.len();
        kept.order.insert(number, device);
        let of_device = kept.devices.entry(device).or_default();
        of_device.push_back((number, body));
        if of_device.len() > OF_DEVICE_MAX {
            kept.drop_oldest_of(device);
        }
        while kept.bytes > BYTES_MAX
            && let Some(device) = kept.order.first_key_value().map(|(_, device)| *device)
        {
            kept.drop_oldest_of(device);
        }
    }

    /// Those of a device, newest first.
    pub(super) fn of(&self, device: DeviceId) -> Vec<RawBody> {
        let kept = self.lock();
        let of_device = kept.devices.get(&device).into_iter().flatten();
        of_device.rev().map(|(_, body)| body.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn drop_oldest_of(&mut self, device: DeviceId) {
        let Some(of_device) = self.devices.get_mut(&device) else { return };
        if let Some((number, body)) = of_device.pop_front() {
            self.order.remove(&number);
            self.bytes -= EACH_BYTES + body.bytes.len();
        }
        if of_device.is_empty() {
            self.devices.remove(&device);
        }
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_platform::ids::UnixMillis;

    use super::*;

    fn received(device: i64, n: i64, bytes: usize) -> Received {
        let body = RawBody { arrival: UnixMillis(n), bytes: vec![7; bytes].into() };
        Received { device: DeviceId(device), body }
    }

    fn kept(recent: &Recent, device: i64) -> Vec<i64> {
        recent.of(DeviceId(device)).iter().map(|body| body.arrival.0).collect()
    }

    #[test]
    fn the_newest_bodies_of_each_device_are_kept() {
        let recent = Recent::default();
        for n in 0..OF_DEVICE_MAX as i64 + 3 {
            recent.keep(received(1, n, 10));
        }
        recent.keep(received(2, 50, 10));
        assert_eq!(kept(&recent, 1), (3..OF_DEVICE_MAX as i64 + 3).rev().collect::<Vec<_>>());
        assert_eq!((kept(&recent, 2), kept(&recent, 3)), (vec![50], vec![]));
    }

    #[test]
    fn all_of_them_together_keep_within_their_limit() {
        let recent = Recent::default();
        for n in 0..2000 {
            recent.keep(received(n, n, 10_240));
            assert!(recent.lock().bytes <= BYTES_MAX);
        }
        assert_eq!((kept(&recent, 0), kept(&recent, 1999)), (vec![], vec![1999]));
        let held = recent.lock();
        assert_eq!(held.devices.len(), held.order.len());
        let bytes: usize =
            held.devices.values().flatten().map(|(_, body)| EACH_BYTES + body.bytes.len()).sum();
        assert_eq!(held.bytes, bytes);
    }
}
