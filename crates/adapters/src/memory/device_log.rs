//! The log of one device in memory.
//!
//! Limits: [`DEVICE_REFUSALS_MAX`] refusals and [`DEVICE_LOG_ENTRIES_MAX`] other entries. Each kind pushes out its
//! own oldest only, so that whoever is refused a thousand times erases nothing but refusals.

use std::{cmp::Reverse, collections::VecDeque};

use narrowgate_platform::{
    model::log::{LogEntry, LogEvent},
    ports::{DEVICE_LOG_ENTRIES_MAX, DEVICE_REFUSALS_MAX},
};

use super::state::push_bounded;

/// Entries of both kinds, each with its number in the whole log.
#[derive(Debug, Default)]
pub(super) struct DeviceLog {
    written: u64,
    refusals: VecDeque<(u64, LogEntry)>,
    others: VecDeque<(u64, LogEntry)>,
}

impl DeviceLog {
    pub(super) fn push(&mut self, entry: LogEntry) {
        let (list, max) = match entry.event {
            LogEvent::Refused => (&mut self.refusals, DEVICE_REFUSALS_MAX),
            _ => (&mut self.others, DEVICE_LOG_ENTRIES_MAX),
        };
        push_bounded(list, (self.written, entry), max);
        self.written += 1;
    }

    /// The newest `limit` entries of both kinds, newest first.
    pub(super) fn newest(&self, limit: usize) -> Vec<LogEntry> {
        let mut entries: Vec<_> = self.refusals.iter().chain(&self.others).collect();
        entries.sort_unstable_by_key(|(number, _)| Reverse(*number));
        entries.into_iter().take(limit).map(|(_, entry)| entry.clone()).collect()
    }
}
