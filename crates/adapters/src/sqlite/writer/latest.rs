//! Latest values: kept in memory after each commit, written down from time to time, some devices after each
//! group.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use rusqlite::ErrorCode;

use narrowgate_platform::{
    ids::DeviceId,
    model::{
        device::DeviceState,
        message::{Message, MessageKind},
        retention::RetentionClass,
    },
    ports::{StoreError, Write},
};

use super::{
    super::{
        error::{is_fault_of_write, store_error},
        pending::Activities,
        registry::Put,
        volume::Volume,
    },
    Writer,
    commit::QUIET,
};

/// Devices whose latest values are written after one group: some milliseconds …
const FLUSH_STEP: usize = 2048;
/// … and bytes of their rows, after which a step takes no further device: few devices may have much. Each
/// large row is read, put together and written anew, with pages that are blanked, and is synced, while the
/// reports of all others wait.
const STEP_BYTES_AMID_GROUPS: usize = 256 << 10;
/// The same where a flush goes on to its end and all wait for that anyway: fewer steps are fewer syncs.
const STEP_BYTES_AT_ONCE: usize = 1 << 20;
/// Devices that a flush leaves out because their rows cannot be written; each costs a pass over its step.
const STUCK_MAX: usize = 64;

/// Latest values on their way into the table.
pub(super) struct Flush {
    pub(super) frozen: Arc<Activities>,
    /// Devices that are still to be written; by id, as the table is sorted.
    rest: VecDeque<DeviceId>,
    /// Up to which messages the table is complete afterwards.
    pub(super) marks: Vec<(Volume, i64)>,
    /// Devices whose rows cannot be written.
    pub(super) stuck: Vec<DeviceId>,
    /// Those that wait until what they had before is made anew.
    pub(super) later: Vec<DeviceId>,
    /// The one that the step under way writes.
    at: Option<DeviceId>,
}

impl Writer {
    /// Starts to write the latest values when it is time, and writes some of them.
    pub(super) fn continue_flush(&mut self) {
        let due = self.flush_at.is_some_and(|at| at <= Instant::now());
        if self.flush.is_none() && !due {
            return;
        }
        if let Err(error) = self.flush_step(STEP_BYTES_AMID_GROUPS) {
            tracing::error!(%error, "latest values could not be written down; they are kept in memory");
        }
    }

    /// Writes all latest values but those that cannot be written now: these wait for a later flush.
    pub(super) fn flush_all(&mut self) -> Result<(), StoreError> {
        self.end_flush()?;
        if self.flush_at.is_some() {
            self.flush_step(STEP_BYTES_AT_ONCE)?;
            self.end_flush()?;
        }
        Ok(())
    }

    fn end_flush(&mut self) -> Result<(), StoreError> {
        while self.flush.is_some() {
            self.flush_step(STEP_BYTES_AT_ONCE)?;
        }
        Ok(())
    }

    /// Writes all latest values before the file of a class is left, so that its mark covers all of it.
    /// Reports do not wait for values that cannot be written: a later flush moves the mark.
    pub(super) fn flush_before_leaving(&mut self, class: RetentionClass) {
        if let Err(error) = self.flush_all() {
            tracing::error!(%error, "latest values could not be written down; they are kept in memory");
            let left = self.files.committed().into_iter().filter(|(volume, _)| volume.class == class);
            self.unmarked.extend(left);
        }
    }

    fn flush_step(&mut self, bytes_max: usize) -> Result<(), StoreError> {
        let flushed = self.repair().and_then(|()| {
            let stepped =
                self.try_flush_step(bytes_max).or_else(|error| self.flush_without(bytes_max, error));
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

    fn begin_flush(&mut self) -> Flush {
        self.flush_at = None;
        let frozen = self.shared.pending.freeze();
        let mut rest: Vec<DeviceId> = frozen.keys().copied().collect();
        rest.sort_unstable();
        let marks = self.unmarked.iter().copied().chain(self.files.committed());
        // What could not be folded in at the start is folded in at the next.
        let marks = marks.filter(|(volume, _)| !self.unfolded.contains(volume)).collect();
        Flush { frozen, rest: rest.into(), marks, stuck: Vec::new(), later: Vec::new(), at: None }
    }

    fn try_flush_step(&mut self, bytes_max: usize) -> rusqlite::Result<()> {
        if self.flush.is_none() {
            self.flush = Some(self.begin_flush());
        }
        let Some(flush) = &mut self.flush else { return Ok(()) };
        self.registry.begin()?;
        let (mut devices, mut bytes) = (0, 0);
        for device in flush.rest.iter().take(FLUSH_STEP) {
            if bytes >= bytes_max {
                break;
            }
            devices += 1;
            if let Some(news) = flush.frozen.get(device)
                && !flush.stuck.contains(device)
            {
                flush.at = Some(*device);
                match self.registry.put_activity(*device, news)? {
                    Put::Done(more) => bytes += more,
                    Put::Later => flush.later.push(*device),
                }
            }
        }
        flush.at = None;
        let done = devices == flush.rest.len();
        if done {
            for (volume, id) in &flush.marks {
                self.registry.set_mark(*volume, *id)?;
            }
        }
        let number = self.registry.number()?;
        self.registry.commit_log(number)?;
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("latest-before-commit");
        self.registry.commit()?;
        self.registry.numbered(number);
        self.note_at = Some(Instant::now() + QUIET);
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("latest-after-commit");
        flush.rest.drain(..devices);
        if done && let Some(flush) = self.flush.take() {
            self.unmarked.clear();
            self.shared.pending.forget_frozen();
            self.keep_stuck(&flush);
        }
        Ok(())
    }

    /// A step that met damage: the table is made anew. Where that does not help, the step is done without the
    /// device whose row that is.
    fn flush_without(&mut self, bytes_max: usize, mut error: rusqlite::Error) -> rusqlite::Result<()> {
        if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) && self.may_rebuild() {
            self.registry.rollback()?;
            self.rebuild_latest();
            match self.try_flush_step(bytes_max) {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
        while is_fault_of_write(&error)
            && let Some(flush) = &mut self.flush
            && flush.stuck.len() < STUCK_MAX
            && let Some(device) = flush.at.take()
        {
            let (device_id, what) = (device.0, store_error(&error));
            tracing::error!(device = device_id, error = %what, "latest values cannot be written");
            flush.stuck.push(device);
            self.registry.rollback()?;
            match self.try_flush_step(bytes_max) {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
        Err(error)
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
        Write::Login { device, at, .. } | Write::Presence { device, state: DeviceState::Online, at, .. } => {
            // It is in the device's row. Where there is news, its time is the last one.
            if let Some(activity) = changed.get_mut(device) {
                activity.see(*at);
            }
            0
        }
        Write::Presence { .. }
        | Write::UnitReports { .. }
        | Write::Rates(_)
        | Write::Properties(_)
        | Write::Log(_)
        | Write::Command(_)
        | Write::Firmware(_)
        | Write::IssueSecret { .. } => 0,
    }
}

pub(super) fn remember_message(changed: &mut Activities, message: &Message) -> usize {
    let activity = changed.entry(message.device).or_default();
    activity.see(message.arrival);
    match message.kind {
        MessageKind::Points => activity.report(&message.points_json, message.time, message.arrival),
        MessageKind::PointsResumed | MessageKind::Event => 0,
    }
}
