//! The log of one device in memory.
//!
//! Limits: [`DEVICE_REFUSALS_MAX`] refusals and [`DEVICE_LOG_ENTRIES_MAX`] other entries. Each kind pushes
//! out only its own oldest, so that a thousand refusals erase nothing but refusals.

use std::{cmp::Reverse, collections::VecDeque};

use crate::{
    model::log::{LogEntry, LogEvent},
    paging::{Collector, Page, Part, Place},
    ports::{DEVICE_LOG_ENTRIES_MAX, DEVICE_REFUSALS_MAX},
};

use super::model::push_bounded;

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

    /// A part of both kinds, newest first.
    pub(super) fn part(&self, part: Part) -> Page<LogEntry> {
        let follows = |number: u64| part.after.is_none_or(|after| (number as i64) < after.0[0]);
        let both = self.refusals.iter().chain(&self.others);
        let mut entries: Vec<_> = both.filter(|(number, _)| follows(*number)).collect();
        entries.sort_unstable_by_key(|(number, _)| Reverse(*number));
        let mut page = Collector::new(part.limit);
        for (number, entry) in entries {
            if !page.take(Place([*number as i64, 0, 0, 0]), entry.clone()) {
                break;
            }
        }
        page.finish()
    }
}
