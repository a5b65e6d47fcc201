//! The log of one device in memory.
//!
//! Limits: [`DEVICE_REFUSALS_MAX`] refusals, [`DEVICE_CHANGES_MAX`] changes by operators and
//! [`DEVICE_LOG_ENTRIES_MAX`] other entries. Each class pushes out only its own oldest, so that a thousand
//! refusals erase nothing but refusals.

use std::{cmp::Reverse, collections::VecDeque};

use crate::{
    model::log::{LogClass, LogEntry},
    paging::{Collector, Page, Part, Place},
    ports::{DEVICE_CHANGES_MAX, DEVICE_LOG_ENTRIES_MAX, DEVICE_REFUSALS_MAX},
};

use super::model::push_bounded;

/// Entries of each class, each with its number in the whole log.
#[derive(Debug, Default)]
pub(super) struct DeviceLog {
    written: u64,
    refusals: VecDeque<(u64, LogEntry)>,
    changes: VecDeque<(u64, LogEntry)>,
    others: VecDeque<(u64, LogEntry)>,
}

impl DeviceLog {
    pub(super) fn push(&mut self, entry: LogEntry) {
        let (list, max) = match LogClass::of(entry.event) {
            LogClass::Refusals => (&mut self.refusals, DEVICE_REFUSALS_MAX),
            LogClass::Changes => (&mut self.changes, DEVICE_CHANGES_MAX),
            LogClass::Others => (&mut self.others, DEVICE_LOG_ENTRIES_MAX),
        };
        push_bounded(list, (self.written, entry), max);
        self.written += 1;
    }

    /// A part of all classes, newest first.
    pub(super) fn part(&self, part: Part) -> Page<LogEntry> {
        let follows = |number: u64| part.after.is_none_or(|after| (number as i64) < after.0[0]);
        let all = self.refusals.iter().chain(&self.changes).chain(&self.others);
        let mut entries: Vec<_> = all.filter(|(number, _)| follows(*number)).collect();
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
