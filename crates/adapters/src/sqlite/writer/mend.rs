//! The table of latest values made anew, where its pages are damaged. It is derived from the messages, so
//! neither reports nor a start wait for it: a few rows are looked at or copied between two groups
//! (`registry::rebuild`).

use std::time::{Duration, Instant};

use narrowgate_platform::{ids::DeviceId, ports::StoreError};

use super::{
    super::{aside, error::store_error, pending::Activity, readers::Size},
    Writer,
    latest::Flush,
};

/// The time between two attempts: where the disk goes on damaging it, nothing is gained by more.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// … and between two of a step that has failed, on a full disk for example.
const STEP_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Rows that are looked at or copied in one step. With the reports that one lost row is made of
/// (`history::newest`) some 500: 20 milliseconds.
const ROWS_AT_ONCE: i64 = 256;
/// Devices whose values are read from their reports after their rows were lost. The others' come with the
/// next reports.
const READ_AGAIN_MAX: usize = 1000;
/// Devices that the log names.
const NAMED_MAX: usize = 20;

/// How far that is.
#[derive(Debug, Default)]
pub(super) struct Mending {
    /// A damaged page was met: the next device whose row is looked at.
    search: Option<i64>,
    /// When the table was last made anew, or found in order.
    begun: Option<Instant>,
    /// Nothing is done before.
    again_at: Option<Instant>,
    /// In this process.
    rows_kept: usize,
    rows_lost: usize,
    /// The first of them.
    lost: Vec<DeviceId>,
}

impl Writer {
    /// After a flush that left devices out: keeps their news for the next one.
    pub(super) fn keep_stuck(&mut self, flush: &Flush) {
        if flush.stuck.is_empty() && flush.later.is_empty() {
            return;
        }
        self.shared.pending.change(|changed| {
            let mut bytes = 0;
            for device in flush.stuck.iter().chain(&flush.later) {
                if let Some(news) = flush.frozen.get(device) {
                    changed.entry(*device).or_default().merge_older(news.clone());
                    bytes += news.points.bytes();
                }
            }
            bytes
        });
        self.flush_at.get_or_insert(Instant::now() + self.shared.options.flush_interval);
    }

    /// After a damaged page was met: looks whether it is one of the latest values, some rows at a time.
    pub(super) fn look_at_latest(&mut self) {
        if self.broken || self.registry.is_rebuilding() || self.mending.search.is_some() {
            return;
        }
        if self.shared.take_suspicion() && self.may_rebuild() {
            self.mending.search = Some(1);
        }
    }

    /// Whether it was not done a short time ago.
    pub(super) fn may_rebuild(&self) -> bool {
        !self.registry.is_rebuilding() && self.mending.begun.is_none_or(|at| at.elapsed() >= AGAIN_AFTER)
    }

    /// Sets the table aside, so that it is made anew between the groups. A failure is logged, and stops
    /// nothing.
    pub(in crate::sqlite) fn rebuild_latest(&mut self) {
        self.mending = Mending { begun: Some(Instant::now()), ..Mending::default() };
        if let Err(error) = self.registry.set_latest_aside() {
            let error = store_error(&error);
            tracing::error!(%error, "the table of latest values could not be made anew");
        }
    }

    /// Makes the table of counts of minutes anew, which are lost. A failure is logged, and stops nothing:
    /// what meets the damage is left out then.
    pub(in crate::sqlite) fn make_rates_anew(&mut self, finding: &str) {
        match self.registry.make_rates_anew() {
            Ok(()) => tracing::error!(
                finding,
                "the table rates of the registry was damaged and is made anew: the counts of the last day \
                 are lost, and nothing else"
            ),
            Err(error) => {
                let error = store_error(&error);
                tracing::error!(finding, %error, "the damaged table rates could not be made anew");
            }
        }
    }

    /// Whether there is something to do now.
    pub(super) fn is_mending(&self, now: Instant) -> bool {
        let has_work = self.registry.is_rebuilding() || self.mending.search.is_some();
        has_work && !self.broken && self.mending.again_at.is_none_or(|at| at <= now)
    }

    /// Looks at some rows, or copies some.
    pub(in crate::sqlite) fn continue_mending(&mut self, now: Instant) {
        if !self.is_mending(now) {
            return;
        }
        let done = match self.mending.search {
            Some(first) => self.search_step(first),
            None => self.copy_step(),
        };
        if let Err(error) = done {
            let error = store_error(&error);
            tracing::error!(%error, "the table of latest values is not made anew yet; tried again");
            self.mending.again_at = Some(now + STEP_AGAIN_AFTER);
            self.broken = self.registry.rollback().is_err();
        }
    }

    fn search_step(&mut self, first: i64) -> rusqlite::Result<()> {
        match self.registry.look_for_damage(first, ROWS_AT_ONCE) {
            Ok(next) => {
                self.mending.search = next;
                if next.is_none() {
                    self.mending.begun = Some(Instant::now());
                }
            }
            Err(error) if aside::is_corrupt(&error) => {
                tracing::error!(%error, "the table of latest values is damaged");
                self.rebuild_latest();
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn copy_step(&mut self) -> rusqlite::Result<()> {
        let is_read_again = self.mending.rows_lost < READ_AGAIN_MAX;
        let Some(part) = self.registry.next_part(ROWS_AT_ONCE, is_read_again)? else {
            self.registry.end_rebuild()?;
            let Mending { begun, rows_kept, rows_lost, lost, .. } = &self.mending;
            let named: Vec<i64> = lost.iter().take(NAMED_MAX).map(|device| device.0).collect();
            tracing::error!(
                rows_kept,
                rows_lost,
                of_devices = ?named,
                took_ms = begun.map(|begun| begun.elapsed().as_millis()),
                "the table of latest values was damaged and is made anew; no report is lost"
            );
            return Ok(());
        };
        let mut found = Vec::new();
        for device in part.lost.iter().filter(|_| is_read_again) {
            match self.read_again(*device) {
                Ok(read) => found.push((*device, read)),
                Err(error) => {
                    tracing::error!(device = device.0, %error, "latest values cannot be read from reports");
                }
            }
        }
        self.registry.copy_part(&part, &found)?;
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("latest-part-copied");
        self.mending.rows_kept += part.rows;
        self.mending.rows_lost += part.lost.len();
        let room = READ_AGAIN_MAX.saturating_sub(self.mending.lost.len());
        self.mending.lost.extend(part.lost.iter().take(room));
        Ok(())
    }

    /// Values of a device whose row was lost, from its newest reports.
    fn read_again(&self, device: DeviceId) -> Result<Activity, StoreError> {
        let spans = self.shared.spans();
        self.shared.readers.read(Size::Short, |reader| aside::of_reports(reader, spans, device))
    }

    /// Sets the table aside and copies it to the end: the rows that were kept, and the devices whose rows are
    /// lost.
    #[cfg(test)]
    pub(in crate::sqlite) fn rebuild_for_test(&mut self) -> (usize, Vec<DeviceId>) {
        self.rebuild_latest();
        while self.registry.is_rebuilding() {
            self.continue_mending(Instant::now());
        }
        (self.mending.rows_kept, self.mending.lost.clone())
    }

    /// Nothing more is copied.
    #[cfg(test)]
    fn stop_mending(&mut self) {
        self.mending.again_at = Some(Instant::now() + AGAIN_AFTER);
    }
}

#[cfg(test)]
mod tests;
