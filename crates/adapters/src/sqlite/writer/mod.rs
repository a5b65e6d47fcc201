//! The one thread that writes: takes what waits, commits it together, answers, and in between writes the
//! latest values down.
//!
//! # Several files, one batch
//!
//! Everything taken together (a group) is committed to the files that it touches: messages to the day's file
//! of their class of retention, log entries and changes of presence to the file of logs, the rest to the
//! registry. A group that touches one of them is one transaction. For one that touches more:
//!
//! 1. All statements run in all transactions; only then are they committed.
//! 2. The files before the registry are committed first, in whatever order, each with the group's number in
//!    its footer, and with what the group has added: the first message's id, or the first number of each
//!    list.
//! 3. The registry is committed, with the same number in `meta.batch`. It decides: it is touched wherever
//!    two of the others are.
//! 4. Then, and only then, are the callers answered.
//!
//! Every other transaction of the registry has a number too, and the footer of a group that touches one file
//! alone says which number the registry had before. So a file shows by itself that the registry beside it is
//! an older one (module `belonging`).
//!
//! A crash before 3 leaves a number in one footer or more that the registry does not have. The next open
//! finds it and removes what the group has added there, before the registry gets another number: nobody was
//! answered, so nothing acknowledged is lost, and a device that reports again is stored once. After a crash
//! behind 3 all parts exist. A failure of 2 or 3 without a crash is treated in the same way before anything
//! else is written (`Writer::repair`); until that succeeds every write fails, so no later batch can hide a
//! half. Readers may see what such a half added until then; nobody was told that it is stored.
//!
//! What is added can be taken away again, what is deleted cannot be brought back. So nothing that an earlier
//! group stored is deleted in 2: that waits for the next group, or for a transaction after 3 (module
//! `log_file`).
//!
//! All messages of a group go into files of the day of the group's last arrival, so that one transaction of
//! each class holds them: a report that arrived in the last milliseconds before midnight may be in the next
//! day's file.
//!
//! # Latest values
//!
//! Reports change a map in memory after their commit. From time to time the map is frozen and put into the
//! table `latest`, some devices after each group; at the end, in the same transaction as the last of them,
//! the marks of the files that are written move to where the map was frozen. At the next open the messages
//! behind the marks are folded in again. Folding twice changes nothing, so a crash at any point is harmless.

mod apart;
mod commit;
mod files;
mod job;
mod latest;
mod look;
mod mend;
mod old_days;
mod purge;
mod repair;
mod sweep;
mod write_back;

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::{Position, UnixMillis},
    ports::{Pause, StoreError},
    rules::rate::Seldom,
};

pub(super) use self::job::{Append, ChangeBy, Job, Purging};
use self::{
    files::DayFiles, latest::Flush, mend::Mending, purge::Purge, sweep::Sweep, write_back::WriteBack,
};
use super::{
    Shared,
    day::Day,
    error::{OpenError, store_error},
    lock::DataLock,
    registry::Registry,
    reply::Reply,
    retention::{Kept, Retention},
    volume::Volume,
};

/// While the store is bad, an error of one kind is a line of the log this often.
const ERRORS_EVERY: Duration = Duration::from_secs(1);

/// What the thread owns.
pub(super) struct Writer {
    shared: Arc<Shared>,
    registry: Registry,
    /// The message files that were written last.
    files: DayFiles,
    flush: Option<Flush>,
    /// When the latest values are to be written, if any have changed.
    flush_at: Option<Instant>,
    /// When the day's file is to be told how far the registry has got.
    note_at: Option<Instant>,
    retention: Retention,
    /// Messages of earlier days are known to be deleted on purpose.
    kept_from: Kept,
    /// Messages up to this place are written down as gone.
    lost_noted: Option<Position>,
    /// The newest confirmed arrival that is written down.
    confirmed: Option<UnixMillis>,
    /// A write has failed, and what it may have left must be removed first.
    broken: bool,
    /// Why nothing is written any more until the next start.
    stopped: Option<String>,
    /// The write of a group that is being applied, by its place in it.
    at: Option<usize>,
    /// Files that were left before their latest values were written, and their last messages.
    unmarked: Vec<(Volume, i64)>,
    /// Files whose messages could not all be folded in at the start.
    unfolded: Vec<Volume>,
    /// The table of latest values is looked at, or made anew.
    mending: Mending,
    /// The logs of deleted devices could not be deleted.
    gone_is_stuck: bool,
    /// When the files were last looked at.
    watched_at: Instant,
    sweep: Sweep,
    purge: Purge,
    write_back: WriteBack,
    /// Of batches that could not be stored.
    errors: Seldom,
    _lock: DataLock,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, registry: Registry, lock: DataLock) -> Self {
        // A clock that was not written down, or cannot be read, is known by the files alone.
        let known = registry.clock_day().ok().flatten();
        let kept_from = registry.kept_from().unwrap_or_default();
        let confirmed = registry.confirmed_arrival().ok().flatten();
        let retention = Retention::new(shared.options.classes(), known, Instant::now());
        Self {
            shared,
            registry,
            files: DayFiles::default(),
            flush: None,
            flush_at: None,
            note_at: None,
            retention,
            kept_from,
            lost_noted: None,
            confirmed,
            broken: false,
            stopped: None,
            at: None,
            unmarked: Vec::new(),
            unfolded: Vec::new(),
            mending: Mending::default(),
            gone_is_stuck: false,
            watched_at: Instant::now(),
            sweep: Sweep::default(),
            purge: Purge::at_start(),
            write_back: WriteBack::new(Instant::now()),
            errors: Seldom::new(ERRORS_EVERY),
            _lock: lock,
        }
    }

    /// Works until the store is closed or no caller is left.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut held = None;
        self.continue_retention(Instant::now());
        loop {
            let Some(job) = held.take().map_or_else(|| self.next(jobs), Some) else {
                if let Err(error) = self.end() {
                    let words = "the store was not closed properly; nothing acknowledged is lost";
                    tracing::error!(%error, "{words}");
                }
                return;
            };
            match job {
                Job::Close(reply) => {
                    let ended = self.end();
                    drop(self);
                    return reply.send(ended);
                }
                Job::Begin(reply) => reply.send(self.begin_epoch_with_room()),
                Job::Hold(limit, reply) => self.hold(limit, reply),
                Job::Purge(wanted) => self.purge(wanted),
                Job::LoneChange(_) => self.commit(vec![job]),
                Job::SettledChange(_) => self.commit_settled(job),
                _ => self.commit(Self::group(job, jobs, self.shared.options.group_writes_max, &mut held)),
            }
            self.continue_flush();
            self.continue_rest();
        }
    }

    /// The next job; meanwhile what is due is done. `None` at the end.
    fn next(&mut self, jobs: &Receiver<Job>) -> Option<Job> {
        loop {
            // A broken store waits: it is tried again with the next write or after the interval.
            let is_flushing = self.flush.is_some() && !self.broken;
            let is_mending = self.is_mending(Instant::now());
            let received = if is_flushing || is_mending || self.retention.has_work() {
                jobs.try_recv().map_err(|_| RecvTimeoutError::Timeout)
            } else {
                let look = self.retention.next_look().min(self.next_watch());
                let at = [self.flush_at, self.note_at, self.write_back.next_look(), self.purge.next_look()];
                let at = at.into_iter().flatten().fold(look, Instant::min);
                jobs.recv_timeout(at.saturating_duration_since(Instant::now()))
            };
            match received {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    if self.note_at.is_some_and(|at| at <= Instant::now()) {
                        self.note_registry();
                    }
                    self.continue_flush();
                    self.continue_rest();
                }
            }
        }
    }

    /// Some of all that is due beside the groups.
    fn continue_rest(&mut self) {
        let now = Instant::now();
        self.continue_retention(now);
        self.continue_watch(now);
        self.continue_mending(now);
        self.continue_write_back(now);
        self.continue_purge(now);
    }

    /// Stands still between two batches, until what is answered is dropped or the time is over. What fails is
    /// not known to be removed from the files, so a broken store is mended first.
    fn hold(&mut self, limit: Duration, reply: Reply<Pause>) {
        self.settle_write_back();
        if let Err(error) = self.repair() {
            return reply.send(Err(error));
        }
        let number = match self.registry.batch() {
            Ok(number) => number,
            Err(error) => return reply.send(Err(store_error(&error))),
        };
        let (resume, resumed) = channel::<()>();
        reply.send(Ok(Pause::new(number, resume)));
        if resumed.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(?limit, "a backup took too long for its last part; writing goes on");
        }
    }

    /// What waits behind `first` and may be committed with it.
    fn group(first: Job, jobs: &Receiver<Job>, writes_max: usize, held: &mut Option<Job>) -> Vec<Job> {
        let mut weight = first.weight();
        let mut group = vec![first];
        while weight < writes_max {
            match jobs.try_recv() {
                Ok(
                    alone @ (Job::Begin(_)
                    | Job::Hold(..)
                    | Job::Purge(_)
                    | Job::LoneChange(_)
                    | Job::SettledChange(_)
                    | Job::Close(_)),
                ) => {
                    *held = Some(alone);
                    break;
                }
                Ok(job) => {
                    weight += job.weight();
                    group.push(job);
                }
                Err(_) => break,
            }
        }
        group
    }
}

fn unavailable(error: &OpenError) -> StoreError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    StoreError::Unavailable(format!("{error}{cause}"))
}
