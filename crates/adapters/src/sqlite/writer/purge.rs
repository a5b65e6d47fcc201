//! A device that is purged: what it sent is written over, then the device is deleted.
//!
//! One job does one step, some messages of one file, as a transaction of that file; what waits behind the
//! job comes before the next step. A message is not deleted: its row stays, with nobody's number and blanks
//! (see [`FileFormat::blank`]), so that the ids of a file are what they were, by which batches, marks and
//! latest values are found after a crash. A file's footer stays as it is too.
//!
//! Nothing of this is remembered over a restart, and nothing has to be: the device is deleted by the step
//! that finds nothing left of it, so a purge that was cut off is asked for again.
//!
//! The pages of a file show nothing of what was written over. Its log does, until it is emptied: that happens
//! before the device is reported as gone, or where somebody reads in that file, by [`Writer::empty_logs`] as
//! soon as that is over.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::DeviceId,
    ports::{Changed, Purged, StoreError},
};
use rusqlite::Connection;

use super::{
    super::{
        day_file::{DayFile, checkpoint},
        error::{is_fault_of_write, store_error},
        files::open_existing,
        registry::{Registry, missing},
        schema::messages::FileFormat,
        volume::Volume,
    },
    ChangeBy, Job, Purging, Writer,
    job::answer,
    unavailable,
    write_back::Which,
};

/// Messages that one step writes over at most. Each may be in a page of its own, so a step commits about a
/// megabyte.
const STEP_MESSAGES: usize = 256;
/// The time after which a step takes no further message: pages may have to be read from a slow disk.
const STEP_TIME: Duration = Duration::from_millis(15);
/// Pages in the log of an earlier day's file from which on a step writes it back.
const LOG_PAGES_MAX: u32 = 256;
/// How long SQLite waits for somebody who writes: it does so where the writer's connections are opened.
const BUSY_TIME: Duration = Duration::from_secs(5);

/// The purge that was asked for last.
#[derive(Debug, Default)]
pub(super) struct Purge {
    device: Option<DeviceId>,
    /// Files in which nothing of the device is left, and to which nothing is added.
    cleared: BTreeSet<Volume>,
    /// The one of an earlier day that is at work.
    file: Option<DayFile>,
    /// Files of whose logs something may show what was written over or deleted.
    logs: Vec<Which>,
}

impl Purge {
    /// A message file is deleted, or written again.
    pub(super) fn leave(&mut self, volume: Volume) {
        self.cleared.remove(&volume);
        self.file.take_if(|file| file.volume() == volume);
    }

    fn turn_to(&mut self, device: DeviceId) {
        if self.device != Some(device) {
            (self.device, self.file) = (Some(device), None);
            self.cleared.clear();
        }
    }

    fn note_log(&mut self, which: Which) {
        if !self.logs.contains(&which) {
            self.logs.push(which);
        }
    }
}

/// What a step did in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Blanked {
    messages: usize,
    /// Nothing is left there.
    all: bool,
}

impl Writer {
    /// Does a step, and answers.
    pub(super) fn purge(&mut self, Purging { device, at, reply }: Purging) {
        let messages = match self.blank_step(device) {
            Ok(Purged { messages, done: true }) => messages,
            Ok(purged) => return reply.send(Ok(Changed::Purged(purged))),
            Err(error) => return reply.send(Err(error)),
        };
        let job = move |registry: &mut Registry| {
            Ok(registry.delete(device, at)?.map(|_| Changed::Purged(Purged { messages, done: true })))
        };
        let change = ChangeBy { job, result: None, left_out: None, reply };
        let mut group = vec![Job::LoneChange(Box::new(change))];
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("purge-before-delete");
        let committed = self.try_commit(&mut group);
        if committed.is_ok() {
            let logs = self.purge.logs.drain(..);
            self.purge = Purge { logs: logs.collect(), ..Purge::default() };
            self.purge.note_log(Which::Logs);
            self.purge.note_log(Which::Registry);
            self.empty_logs();
        }
        answer(group, &committed, Instant::now(), &mut self.errors);
    }

    /// Writes over some messages; `done`: none is left.
    fn blank_step(&mut self, device: DeviceId) -> Result<Purged, StoreError> {
        if let Some(stopped) = &self.stopped {
            return Err(StoreError::Unavailable(stopped.clone()));
        }
        self.repair()?;
        if !self.registry.has_device(device).map_err(|error| store_error(&error))? {
            return Err(missing(device));
        }
        self.purge.turn_to(device);
        let (mut messages, until) = (0, Instant::now() + STEP_TIME);
        for (volume, _) in self.shared.spans() {
            if self.purge.cleared.contains(&volume) {
                continue;
            }
            let left = STEP_MESSAGES - messages;
            let is_written = self.files.has(volume);
            let blanked = match is_written {
                true => self.blank_in_written(volume, device, (left, until))?,
                false => self.blank_in_earlier(volume, device, (left, until))?,
            };
            messages += blanked.messages;
            // One that is written is looked at again, so with nothing in it no step has come further.
            let is_further = blanked.messages > 0 || !is_written;
            if !blanked.all || (is_further && Instant::now() >= until) {
                return Ok(Purged { messages: messages as u64, done: false });
            }
        }
        Ok(Purged { messages: messages as u64, done: true })
    }

    /// In a file that is written: it is looked at in every step, since reports may come to it.
    fn blank_in_written(
        &mut self,
        volume: Volume,
        device: DeviceId,
        bounds: (usize, Instant),
    ) -> Result<Blanked, StoreError> {
        let Some(file) = self.files.iter().find(|file| file.volume() == volume) else {
            return Ok(Blanked { messages: 0, all: true });
        };
        let blanked = blank_some(file.connection(), file.format(), device, bounds);
        match &blanked {
            Ok(Blanked { messages: 0, .. }) => {}
            Ok(_) => self.purge.note_log(Which::Messages(volume)),
            // A commit that failed may have left its frames.
            Err(error) => self.broken = !is_fault_of_write(error) || !file.connection().is_autocommit(),
        }
        blanked.map_err(|error| store_error(&error))
    }

    fn blank_in_earlier(
        &mut self,
        volume: Volume,
        device: DeviceId,
        bounds: (usize, Instant),
    ) -> Result<Blanked, StoreError> {
        let file = match self.purge.file.take_if(|file| file.volume() == volume) {
            Some(file) => file,
            None if !self.shared.layout.volume(volume).exists() => {
                return Ok(Blanked { messages: 0, all: true });
            }
            None => {
                let file = DayFile::open(&self.shared.layout, volume, &self.shared.options)
                    .map_err(|error| unavailable(&error))?;
                let bound = file.connection().pragma_update(None, "wal_autocheckpoint", LOG_PAGES_MAX);
                bound.map_err(|error| store_error(&error))?;
                file
            }
        };
        let blanked = blank_some(file.connection(), file.format(), device, bounds)
            .map_err(|error| store_error(&error))?;
        if blanked.messages > 0 {
            self.purge.note_log(Which::Messages(volume));
        }
        match blanked.all {
            true => drop(self.purge.cleared.insert(volume)),
            false => self.purge.file = Some(file),
        }
        Ok(blanked)
    }

    /// Empties logs that may show what is gone. One that somebody reads in is tried again every second.
    pub(super) fn empty_logs(&mut self) {
        if self.purge.logs.is_empty() || self.broken || self.stopped.is_some() {
            return;
        }
        self.settle_write_back();
        let logs = std::mem::take(&mut self.purge.logs);
        let left = logs.into_iter().filter(|which| {
            let emptied = match self.connection_of(*which) {
                Some(connection) => empty_log(connection),
                None if !self.path_of(*which).exists() => Ok(true),
                None => open_existing(&self.path_of(*which)).and_then(|file| empty_log(&file)),
            };
            !emptied.unwrap_or_else(|error| {
                tracing::warn!(%error, ?which, "a log that has what a purged device sent is not emptied yet");
                false
            })
        });
        self.purge.logs = left.collect();
    }
}

/// Writes over the messages of a device in a file: at most `max`, and none after `until`.
fn blank_some(
    file: &Connection,
    format: FileFormat,
    device: DeviceId,
    (max, until): (usize, Instant),
) -> rusqlite::Result<Blanked> {
    let mut select =
        file.prepare_cached("SELECT id FROM messages WHERE device = ?1 ORDER BY time LIMIT ?2")?;
    let limit = i64::try_from(max + 1).unwrap_or(i64::MAX);
    let ids =
        select.query_map([device.0, limit], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    if ids.is_empty() {
        return Ok(Blanked { messages: 0, all: true });
    }
    let transaction = file.unchecked_transaction()?;
    let mut messages = 0;
    for id in ids.iter().take(max) {
        format.blank(&transaction, *id)?;
        messages += 1;
        if Instant::now() >= until {
            break;
        }
    }
    #[cfg(feature = "test-hooks")]
    crate::failpoint::pass("purge-before-commit");
    transaction.commit()?;
    #[cfg(feature = "test-hooks")]
    crate::failpoint::pass("purge-after-commit");
    Ok(Blanked { messages, all: messages == ids.len() })
}

/// Writes a log back and cuts it to nothing; `false`: somebody reads in it. Waits for nobody.
fn empty_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(Duration::ZERO)?;
    let emptied = checkpoint(connection);
    connection.busy_timeout(BUSY_TIME)?;
    emptied
}
