//! What a device sent goes, and then the device.

use super::model::{Model, missing};
use crate::{
    ids::{DeviceId, UnixMillis},
    ports::{Purged, StoreError},
};

/// Messages that one step removes at most.
const STEP_MESSAGES: usize = 100;

impl Model {
    /// The oldest messages first. What has arrived is counted in overviews all the same.
    pub(super) fn purge_device(&mut self, device: DeviceId, at: UnixMillis) -> Result<Purged, StoreError> {
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        let count = row.messages.len().min(STEP_MESSAGES);
        let arrivals: Vec<_> = row.messages.drain(..count).map(|report| report.arrival).collect();
        let done = row.messages.is_empty();
        self.outlive(arrivals);
        if done {
            self.stream.forget(device);
            self.delete_device(device, at)?;
        }
        Ok(Purged { messages: count as u64, done })
    }
}
