//! The table of latest values made anew, where its pages are damaged. It is derived from the messages, so
//! neither reports nor a start wait for it.

use std::time::{Duration, Instant};

use narrowgate_platform::{ids::DeviceId, ports::StoreError};

use super::{
    super::{error::store_error, history, pending::Activity},
    Writer,
    latest::Flush,
};

/// The time between two attempts: where the disk goes on damaging it, nothing is gained by more.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// Devices whose values are read from their reports after their rows were lost. The others' come with the
/// next reports.
const READ_AGAIN_MAX: usize = 1000;
/// Devices that the log names.
const NAMED_MAX: usize = 20;

impl Writer {
    /// After a flush that left devices out: keeps their news for the next one.
    pub(super) fn keep_stuck(&mut self, flush: &Flush) {
        if flush.stuck.is_empty() {
            return;
        }
        self.shared.pending.change(|changed| {
            let mut bytes = 0;
            for device in &flush.stuck {
                if let Some(news) = flush.frozen.get(device) {
                    changed.entry(*device).or_default().merge_older(news.clone());
                    bytes += news.points.bytes();
                }
            }
            bytes
        });
        self.flush_at.get_or_insert(Instant::now() + self.shared.options.flush_interval);
    }

    /// After a damaged page was met: if it is one of the latest values, they are made anew.
    pub(super) fn look_at_latest(&mut self) {
        if self.broken || !self.shared.take_suspicion() || !self.may_rebuild() {
            return;
        }
        match self.registry.damage_of_latest() {
            Ok(None) => self.rebuilt_at = Some(Instant::now()),
            Ok(Some(finding)) => {
                tracing::error!(finding, "the table of latest values is damaged");
                self.rebuild_latest();
            }
            Err(error) => tracing::error!(%error, "the table of latest values cannot be looked at"),
        }
    }

    /// Whether it was not done a short time ago.
    pub(super) fn may_rebuild(&self) -> bool {
        self.rebuilt_at.is_none_or(|at| at.elapsed() >= AGAIN_AFTER)
    }

    /// Makes the table anew. A failure is logged, and stops nothing.
    pub(in crate::sqlite) fn rebuild_latest(&mut self) {
        let begun = Instant::now();
        self.rebuilt_at = Some(begun);
        match self.registry.rebuild_latest() {
            Err(error) => {
                let error = store_error(&error);
                tracing::error!(%error, "the table of latest values could not be made anew");
            }
            Ok(rebuilt) => {
                let lost: Vec<i64> = rebuilt.lost.iter().take(NAMED_MAX).map(|device| device.0).collect();
                tracing::error!(
                    rows_kept = rebuilt.kept,
                    rows_lost = rebuilt.lost.len(),
                    of_devices = ?lost,
                    took_ms = begun.elapsed().as_millis(),
                    "the table of latest values was damaged and is made anew; no report is lost"
                );
                self.lost_rows.extend(rebuilt.lost.iter().take(READ_AGAIN_MAX));
            }
        }
    }

    /// Values of devices whose rows were lost, from their newest reports.
    pub(super) fn read_again(&mut self) {
        for device in std::mem::take(&mut self.lost_rows) {
            if let Err(error) = self.read_again_one(device) {
                tracing::error!(device = device.0, %error, "latest values could not be read from reports");
            }
        }
    }

    fn read_again_one(&mut self, device: DeviceId) -> Result<(), StoreError> {
        let spans = self.shared.spans();
        let mut newest = self.shared.readers.read(|reader| history::newest(reader, spans, device))?;
        // As they came: what arrives later decides.
        newest.sort_by_key(|report| (report.arrival, report.id));
        let mut read = Activity::default();
        for report in newest {
            read.see(report.arrival);
            read.report(&report.points, report.time, report.arrival);
        }
        self.shared.pending.change(|changed| {
            let activity = changed.entry(device).or_default();
            let before = activity.points.bytes();
            activity.merge_older(read);
            activity.points.bytes().saturating_sub(before)
        });
        self.flush_at.get_or_insert(Instant::now() + self.shared.options.flush_interval);
        Ok(())
    }

    /// The rows that were kept, and the devices whose rows are lost.
    #[cfg(test)]
    pub(in crate::sqlite) fn rebuild_for_test(&mut self) -> rusqlite::Result<(usize, Vec<DeviceId>)> {
        self.registry.rebuild_latest().map(|rebuilt| (rebuilt.kept, rebuilt.lost))
    }
}
