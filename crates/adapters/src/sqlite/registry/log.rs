//! What a change writes to the file of logs, and what becomes of that when it is complete or not.

use std::ops::Range;

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{device::DeviceState, log::LogEntry},
    ports::Written,
    rules::happened::of_entry,
};

use super::Registry;

impl Registry {
    /// Adds an entry to a device's log, or to nobody's.
    pub(in crate::sqlite) fn log(&mut self, entry: &LogEntry) -> rusqlite::Result<Written> {
        if let Some(device) = entry.device
            && self.standing(device)?.is_none()
        {
            return Ok(Written::DeviceUnavailable);
        }
        self.note_and_tell(entry.clone())?;
        Ok(Written::Done)
    }

    /// Adds an entry of a device that exists, or nobody's, and tells it.
    pub(super) fn note_and_tell(&mut self, entry: LogEntry) -> rusqlite::Result<()> {
        if let told @ Some(_) = of_entry(&entry) {
            let ou = entry.device.map_or_else(|| Ok(String::new()), |device| self.unit_told(device))?;
            self.tell_in_log(entry.device, &ou, told.as_slice())?;
        }
        self.note(entry)
    }

    /// Adds an entry of a device that exists, or nobody's.
    pub(super) fn note(&mut self, entry: LogEntry) -> rusqlite::Result<()> {
        self.log.note(entry.device, [entry], self.place)
    }

    /// Adds entries of one device, which exists, in this order.
    pub(super) fn note_all(
        &mut self,
        device: DeviceId,
        entries: impl IntoIterator<Item = LogEntry>,
    ) -> rusqlite::Result<()> {
        self.log.note(Some(device), entries, self.place)
    }

    /// Adds a change of presence.
    pub(super) fn note_presence(
        &mut self,
        device: DeviceId,
        at: UnixMillis,
        state: DeviceState,
        cause: &str,
    ) -> rusqlite::Result<()> {
        self.log.note_presence(device, at, state, cause)
    }

    /// Whether rows of the file of logs are written one by one; else they wait for others.
    pub(in crate::sqlite) fn write_log_one_by_one(&mut self, one_by_one: bool) {
        self.log.write_one_by_one(one_by_one);
    }

    /// Writes those that wait.
    pub(in crate::sqlite) fn write_waiting_log(&mut self) -> rusqlite::Result<()> {
        self.log.write_waiting()
    }

    /// What was written to the file of logs alone is committed.
    pub(in crate::sqlite) fn settle_log(&mut self) {
        self.log.settle();
    }

    /// Deletes the logs of devices whose deletion is complete.
    pub(in crate::sqlite) fn forget_gone(&mut self) -> rusqlite::Result<()> {
        let batch = self.batch()?;
        self.log.forget_gone(batch)
    }

    /// Deletes entries and changes of presence that are older than `before`, of the devices whose ids lie in
    /// a range; returns how many rows. Where there is nothing, nothing is written.
    pub(in crate::sqlite) fn forget_before(
        &mut self,
        devices: Range<i64>,
        before: UnixMillis,
    ) -> rusqlite::Result<usize> {
        let batch = self.batch()?;
        self.log.forget_before(devices, before, batch)
    }

    /// The greatest id of a device; 0: there is none.
    pub(in crate::sqlite) fn last_device(&self) -> rusqlite::Result<i64> {
        let sql = "SELECT coalesce(max(id), 0) FROM devices";
        self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
    }

    /// Says in the file of logs that this registry has durably got as far as its last transaction.
    pub(in crate::sqlite) fn note_in_log(&mut self) -> rusqlite::Result<()> {
        let batch = self.batch()?;
        self.log.note_registry(batch)
    }

    /// At the open: removes half a batch from the file of logs. `true` if there was one.
    pub(in crate::sqlite) fn undo_half_batch(&mut self) -> rusqlite::Result<bool> {
        let batch = self.batch()?;
        self.log.undo_half_batch(batch)
    }

    /// After a failure and a new opening: what [`Self::settled_log`] said before is right, whatever the file
    /// says.
    pub(in crate::sqlite) fn trust_only(&mut self, settled: i64) {
        self.log.trust_only(settled);
    }

    /// … then removes from the file of logs what is not complete.
    pub(in crate::sqlite) fn undo_unsettled(&mut self) -> rusqlite::Result<()> {
        let batch = self.batch()?;
        self.log.undo_unsettled(batch)
    }

    /// The last commit of the file of logs whose batch is complete.
    pub(in crate::sqlite) fn settled_log(&self) -> i64 {
        self.log.settled()
    }
}
