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
//! soon as that is over. A start empties the logs of the registry and of the file of logs, which the process
//! before it may have left; those of message files go with the last connection that it closes.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    write_back::{Which, backlog},
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

/// Pages of a log that are emptied in one go; a longer one is written back by a thread before.
const SHORT_LOG_PAGES: i64 = 400;
/// The time between two looks at whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Looks after which the last step is done, however long a log is: more is written than is written back.
const LOOKS_MAX: u32 = 50;
/// Devices of which it is remembered in which files nothing is left. At the limit all are forgotten.
const DEVICES_MAX: usize = 256;

/// The purges that are under way.
#[derive(Default)]
pub(super) struct Purge {
    /// Files in which nothing of a device is left, and to which nothing is added.
    cleared: BTreeMap<DeviceId, BTreeSet<Volume>>,
    /// The one of an earlier day that is at work.
    file: Option<DayFile>,
    /// Files whose logs may show what was written over or deleted.
    logs: Vec<Which>,
    /// … and those that could not be emptied.
    busy: Vec<Which>,
    /// Last steps that wait until logs are short.
    last: Vec<Last>,
    next_look: Option<Instant>,
}

/// A step that may be the last one of a purge.
struct Last {
    wanted: Purging,
    /// How many messages it has written over.
    messages: u64,
    looks: u32,
}

impl Purge {
    /// Of a store that is opened: one that was killed may have deleted a device and not emptied its logs.
    pub(super) fn at_start() -> Self {
        Self { logs: vec![Which::Logs, Which::Registry], ..Self::default() }
    }

    /// When to look whether logs are short; `None`: nothing waits for that.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// A message file is deleted, or written again.
    pub(super) fn leave(&mut self, volume: Volume) {
        for cleared in self.cleared.values_mut() {
            cleared.remove(&volume);
        }
        self.file.take_if(|file| file.volume() == volume);
    }

    fn is_cleared(&self, volume: Volume, device: DeviceId) -> bool {
        self.cleared.get(&device).is_some_and(|cleared| cleared.contains(&volume))
    }

    fn note_cleared(&mut self, volume: Volume, device: DeviceId) {
        if self.cleared.len() >= DEVICES_MAX && !self.cleared.contains_key(&device) {
            self.cleared.clear();
        }
        self.cleared.entry(device).or_default().insert(volume);
    }

    fn note_log(&mut self, which: Which) {
        self.busy.retain(|other| *other != which);
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
    pub(super) fn purge(&mut self, wanted: Purging) {
        self.purge_on(Last { wanted, messages: 0, looks: 0 });
    }

    /// Does last steps that have waited.
    pub(super) fn continue_purge(&mut self, now: Instant) {
        if self.purge.next_look.take_if(|at| *at <= now).is_some() {
            for last in std::mem::take(&mut self.purge.last) {
                self.purge_on(last);
            }
        }
    }

    fn purge_on(&mut self, mut last: Last) {
        let done = match self.blank_step(last.wanted.device) {
            Ok(Purged { messages, done }) => {
                last.messages += messages;
                done
            }
            Err(error) => return last.wanted.reply.send(Err(error)),
        };
        if !done {
            last.wanted.reply.send(Ok(Changed::Purged(Purged { messages: last.messages, done })));
        } else if let Some(pause) = self.prepare_logs().filter(|_| last.looks < LOOKS_MAX) {
            last.looks += u32::from(!pause.is_zero());
            self.purge.last.push(last);
            self.purge.next_look = Some(Instant::now() + pause);
        } else {
            self.delete_purged(last);
        }
    }

    /// Has a thread write back what is to be emptied and is long, or empties the log of one message file, so
    /// that little is left for the last step. When to do more; `None`: there is nothing to do.
    fn prepare_logs(&mut self) -> Option<Duration> {
        if self.broken || self.stopped.is_some() {
            return None;
        }
        let logs = self.purge.logs.iter().copied().chain([Which::Logs, Which::Registry]);
        let is_long = |which: &Which| {
            let backlog = self.connection_of(*which).map(backlog);
            backlog.is_some_and(|backlog| backlog.is_ok_and(|log| log.waiting() > SHORT_LOG_PAGES))
        };
        if let Some(which) = logs.collect::<Vec<_>>().into_iter().find(is_long) {
            return self.begin_work_early(which).then_some(LOOK_EVERY);
        }
        let of_messages = self.purge.logs.iter().position(|which| matches!(which, Which::Messages(_)))?;
        let which = self.purge.logs.swap_remove(of_messages);
        self.empty(which);
        Some(Duration::ZERO)
    }

    /// Nothing of it is left: deletes the device, empties the logs, and answers.
    fn delete_purged(&mut self, Last { wanted: Purging { device, at, reply }, messages, .. }: Last) {
        let job = move |registry: &mut Registry| {
            registry.forget_happened_of(device)?;
            Ok(registry.delete(device, at)?.map(|_| Changed::Purged(Purged { messages, done: true })))
        };
        let change = ChangeBy { job, result: None, left_out: None, reply };
        let mut group = vec![Job::LoneChange(Box::new(change))];
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("purge-before-delete");
        let committed = self.try_commit(&mut group);
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("purge-deleted");
        if committed.is_ok() {
            self.purge.cleared.remove(&device);
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
        let (mut messages, until) = (0, Instant::now() + STEP_TIME);
        for (volume, _) in self.shared.spans() {
            if self.purge.is_cleared(volume, device) {
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
            true => self.purge.note_cleared(volume, device),
            false => self.purge.file = Some(file),
        }
        Ok(blanked)
    }

    /// Empties logs that may show what is gone.
    pub(super) fn empty_logs(&mut self) {
        if self.broken || self.stopped.is_some() {
            return;
        }
        let mut logs = std::mem::take(&mut self.purge.logs);
        logs.append(&mut self.purge.busy);
        for which in logs {
            self.empty(which);
        }
    }

    /// Empties one; where somebody reads in it, that is tried again every second.
    fn empty(&mut self, which: Which) {
        self.settle_write_back();
        let emptied = match self.connection_of(which) {
            Some(connection) => empty_log(connection),
            None if !self.path_of(which).exists() => Ok(true),
            None => open_existing(&self.path_of(which)).and_then(|file| empty_log(&file)),
        };
        if let Err(error) = &emptied {
            tracing::warn!(%error, ?which, "a log that has what a purged device sent is not emptied yet");
        }
        if !emptied.unwrap_or(false) {
            self.purge.busy.push(which);
        }
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
