//! Latest values: kept in memory after each commit, written down from time to time, some devices after each
//! group.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use narrowgate_platform::{
    ids::DeviceId,
    model::message::{Message, MessageKind},
    ports::{StoreError, Write},
};

use super::{
    super::{day::Day, error::store_error, pending::Activities},
    Writer,
    commit::QUIET,
};

/// Devices whose latest values are written after one group: some milliseconds …
const FLUSH_STEP: usize = 2048;
/// … and bytes of their rows, after which a step takes no further device: few devices may have much.
const FLUSH_STEP_BYTES: usize = 1 << 20;

/// Latest values on their way into the table.
pub(super) struct Flush {
    frozen: Arc<Activities>,
    /// Devices that are still to be written; by id, as the table is sorted.
    rest: VecDeque<DeviceId>,
    /// Up to which message the table is complete afterwards.
    mark: Option<(Day, i64)>,
}

impl Writer {
    /// Starts to write the latest values when it is time, and writes some of them.
    pub(super) fn continue_flush(&mut self) {
        let due = self.flush_at.is_some_and(|at| at <= Instant::now());
        if self.flush.is_none() && !due {
            return;
        }
        if let Err(error) = self.flush_step() {
            tracing::error!(%error, "latest values could not be written down; they are kept in memory");
        }
    }

    /// Writes all latest values.
    pub(super) fn flush_all(&mut self) -> Result<(), StoreError> {
        while self.flush.is_some() || self.flush_at.is_some() {
            self.flush_step()?;
        }
        Ok(())
    }

    fn flush_step(&mut self) -> Result<(), StoreError> {
        let flushed = self.repair().and_then(|()| {
            let stepped = self.try_flush_step();
            self.broken = stepped.is_err();
            stepped.map_err(|error| store_error(&error))
        });
        if flushed.is_err() {
            self.flush = None;
            self.shared.pending.thaw();
            self.flush_at = Some(Instant::now() + self.shared.options.flush_interval);
        }
        flushed
    }

    fn try_flush_step(&mut self) -> rusqlite::Result<()> {
        let flush = match &mut self.flush {
            Some(flush) => flush,
            None => {
                self.flush_at = None;
                let frozen = self.shared.pending.freeze();
                let mut rest: Vec<DeviceId> = frozen.keys().copied().collect();
                rest.sort_unstable();
                let mark = self.file.as_ref().map(|file| (file.day(), file.committed_id()));
                self.flush.insert(Flush { frozen, rest: rest.into(), mark })
            }
        };
        self.registry.begin()?;
        let (mut devices, mut bytes) = (0, 0);
        while devices < FLUSH_STEP
            && bytes < FLUSH_STEP_BYTES
            && let Some(device) = flush.rest.pop_front()
        {
            devices += 1;
            if let Some(news) = flush.frozen.get(&device) {
                bytes += self.registry.put_activity(device, news)?;
            }
        }
        let done = flush.rest.is_empty();
        if done && let Some((day, id)) = flush.mark {
            self.registry.set_mark(day, id)?;
        }
        let number = self.registry.number()?;
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("latest-before-commit");
        self.registry.commit()?;
        self.registry.numbered(number);
        self.note_at = Some(Instant::now() + QUIET);
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("latest-after-commit");
        if done {
            self.flush = None;
            self.shared.pending.forget_frozen();
        }
        Ok(())
    }
}

/// What a committed write changes in the pending map; by how many bytes values have grown.
pub(super) fn remember(changed: &mut Activities, write: &Write) -> usize {
    match write {
        Write::Message(message) => remember_message(changed, message),
        Write::Seen { device, at, .. } => {
            changed.entry(*device).or_default().see(*at);
            0
        }
        Write::Login { .. } | Write::Presence { .. } | Write::Log(_) | Write::IssueSecret { .. } => 0,
    }
}

pub(super) fn remember_message(changed: &mut Activities, message: &Message) -> usize {
    let activity = changed.entry(message.device).or_default();
    activity.see(message.arrival);
    match message.kind {
        MessageKind::Points => activity.report(&message.points_json, message.time),
        MessageKind::PointsResumed => 0,
    }
}
