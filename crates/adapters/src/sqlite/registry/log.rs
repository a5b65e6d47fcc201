//! The logs of devices, and of nobody.

use narrowgate_platform::{model::log::LogEntry, ports::Written};
use rusqlite::params;

use super::{
    super::schema::{Stored, registry::LogRow},
    Limits, NOBODY, Registry, is_time_to_trim,
};

/// Traces of deleted devices that are kept; they are nobody's, as refusals of unknown devices are.
const DELETIONS_MAX: i64 = 10_000;

impl Registry {
    /// Adds an entry to a device's log, or to nobody's.
    pub(in crate::sqlite) fn log(&mut self, entry: &LogEntry) -> rusqlite::Result<Written> {
        if let Some(device) = entry.device
            && self.standing(device)?.is_none()
        {
            return Ok(Written::DeviceUnavailable);
        }
        self.note(entry)?;
        Ok(Written::Done)
    }

    /// Adds an entry of a device that exists, or nobody's.
    pub(super) fn note(&self, entry: &LogEntry) -> rusqlite::Result<()> {
        let LogEntry { time, device, identity, event, reason, code, peer, detail } = entry.clone();
        let device = device.map_or(NOBODY, |device| device.0);
        let n = self.next_number("SELECT n FROM log WHERE device = ?1 ORDER BY n DESC LIMIT 1", device)?;
        let (epoch, sequence) = (Some(self.place.epoch), Some(self.place.sequence));
        let row = LogRow { device, n, time, event, identity, reason, code, peer, detail, epoch, sequence };
        row.insert(&self.connection)?;
        self.trim_log(device, n)
    }

    /// After entry `n` of a device: keeps the newest refusals and the newest others, each by its own limit.
    fn trim_log(&self, device: i64, n: i64) -> rusqlite::Result<()> {
        let Limits { device_log, device_refusals, unknown_refusals, .. } = self.limits;
        let (others_max, refusals_max) = match device {
            NOBODY => (DELETIONS_MAX, unknown_refusals),
            _ => (device_log, device_refusals),
        };
        let sql = "DELETE FROM log WHERE device = ?1 AND (event = 'refused') = ?2 AND n <= \
                   (SELECT n FROM log WHERE device = ?1 AND (event = 'refused') = ?2 \
                     ORDER BY n DESC LIMIT 1 OFFSET ?3)";
        for (refused, max) in [(false, others_max), (true, refusals_max)] {
            if is_time_to_trim(n, max) {
                self.take_away("log", sql, params![device, refused, max])?;
            }
        }
        Ok(())
    }
}
