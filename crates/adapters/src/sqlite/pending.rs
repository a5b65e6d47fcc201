//! What changed since the latest values were last written: in memory, because it can be restored from the
//! messages.
//!
//! Only the writer changes it; readers merge it over the table. Two maps: `changed` takes reports, `flushing`
//! is the frozen part that the writer is putting into the table.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    rules::{clock::last_heard, latest::LatestPoints},
};

use super::schema::registry::LatestRow;

/// News of one device.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Activity {
    /// Values reported since.
    pub(super) points: LatestPoints,
    /// Last time heard, if since.
    pub(super) seen: Option<UnixMillis>,
    /// Points were forgotten, because a limit of the latest values was reached.
    pub(super) forgot: bool,
}

impl Activity {
    /// Folds in a report; returns by how many bytes it has grown.
    pub(super) fn report(&mut self, points_json: &str, time: UnixMillis, arrival: UnixMillis) -> usize {
        let before = self.points.bytes();
        self.forgot |= self.points.report(points_json, time, arrival);
        self.points.bytes().saturating_sub(before)
    }

    pub(super) fn see(&mut self, at: UnixMillis) {
        self.seen = last_heard(self.seen, Some(at));
    }

    /// Applies itself to what was known before.
    pub(super) fn merge_older(&mut self, older: Self) {
        self.forgot |= self.points.merge_older(older.points) | older.forgot;
        self.seen = last_heard(older.seen, self.seen);
    }
}

impl From<LatestRow> for Activity {
    fn from(LatestRow { seen, points, .. }: LatestRow) -> Self {
        Self { seen, points: LatestPoints::from_json(&points), forgot: false }
    }
}

pub(super) type Activities = HashMap<DeviceId, Activity>;

/// How much has changed since the latest values were last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) devices: usize,
    /// By which their values have grown: never less than they take.
    pub(super) bytes: usize,
}

/// The two maps.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<Maps>);

#[derive(Debug, Default)]
struct Maps {
    changed: Activities,
    /// By which its values have grown.
    bytes: usize,
    flushing: Arc<Activities>,
    /// How often a frozen part was written down.
    written: u64,
}

impl Pending {
    /// Changes several devices under one lock. `change` returns by how many bytes their values have grown.
    pub(super) fn change(&self, change: impl FnOnce(&mut Activities) -> usize) -> Changed {
        let mut maps = self.lock();
        maps.bytes += change(&mut maps.changed);
        Changed { devices: maps.changed.len(), bytes: maps.bytes }
    }

    /// News of a device.
    pub(super) fn of(&self, device: DeviceId) -> Activity {
        let maps = self.lock();
        let mut activity = maps.changed.get(&device).cloned().unwrap_or_default();
        if let Some(older) = maps.flushing.get(&device) {
            activity.merge_older(older.clone());
        }
        activity
    }

    /// Last time heard of a device, if there is news.
    pub(super) fn seen(&self, device: DeviceId) -> Option<UnixMillis> {
        let maps = self.lock();
        let seen = |map: &Activities| map.get(&device).and_then(|activity| activity.seen);
        last_heard(seen(&maps.flushing), seen(&maps.changed))
    }

    /// How often news was written down. Where that stays the same, none has gone from here to the table.
    pub(super) fn written(&self) -> u64 {
        self.lock().written
    }

    /// Freezes the changes for writing. Called only while nothing is frozen.
    pub(super) fn freeze(&self) -> Arc<Activities> {
        let mut maps = self.lock();
        maps.bytes = 0;
        maps.flushing = Arc::new(mem::take(&mut maps.changed));
        Arc::clone(&maps.flushing)
    }

    /// The frozen part is in the table.
    pub(super) fn forget_frozen(&self) {
        let frozen = {
            let mut maps = self.lock();
            maps.written += 1;
            mem::take(&mut maps.flushing)
        };
        // Freed outside the lock: it may be large.
        drop(frozen);
    }

    /// The frozen part could not be written: it counts as changed again.
    pub(super) fn thaw(&self) {
        let mut maps = self.lock();
        let frozen = mem::take(&mut maps.flushing);
        for (device, older) in frozen.iter() {
            maps.bytes += older.points.bytes();
            maps.changed.entry(*device).or_default().merge_older(older.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Maps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId(1);

    fn report(pending: &Pending, points: &str, time: i64) {
        pending.change(|changed| {
            let activity = changed.entry(DEVICE).or_default();
            activity.see(UnixMillis(time));
            activity.report(points, UnixMillis(time), UnixMillis(time))
        });
    }

    #[test]
    fn a_frozen_part_is_seen_until_it_is_written_and_comes_back_when_it_is_not() {
        let pending = Pending::default();
        report(&pending, r#"{"a":1,"b":1}"#, 1);
        let frozen = pending.freeze();
        assert_eq!(frozen.len(), 1);
        report(&pending, r#"{"b":2}"#, 2);
        let both = r#"{"a":{"time":1,"value":1},"b":{"time":2,"value":2}}"#;
        assert_eq!(pending.of(DEVICE).points.to_json(), both);
        pending.thaw();
        assert_eq!(pending.of(DEVICE).points.to_json(), both);
        assert_eq!(pending.seen(DEVICE), Some(UnixMillis(2)));

        pending.freeze();
        pending.forget_frozen();
        assert_eq!(pending.of(DEVICE), Activity::default());
        assert_eq!(pending.seen(DEVICE), None);
    }
}
