//! The one thread that writes: takes what waits, commits it together, answers, and in between writes the latest
//! values down.
//!
//! # Two files, one batch
//!
//! Everything taken together (a group) is committed to at most two files: messages to the day's file, the rest to
//! the registry. A group that touches one of them is one transaction. For one that touches both:
//!
//! 1. All statements run in both transactions; only then are they committed.
//! 2. The messages are committed first, with the group's number and the first message's id in the file's footer.
//! 3. The registry is committed, with the same number in `meta.batch`.
//! 4. Then, and only then, are the callers answered.
//!
//! A crash between 2 and 3 leaves a number in the footer that the registry does not have. The next open finds it
//! and takes the group's messages away: nobody was answered, so nothing acknowledged is lost, and a device that
//! reports again is stored once. After a crash behind 3 both halves are there. A failure of 3 without a crash is
//! treated in the same way before anything else is written (`Writer::repair`); until that succeeds every
//! write fails, so no later batch can hide a half.
//! Readers may see the messages of such a half until then; nobody was told that they are stored.
//!
//! All messages of a group lie in the file of the group's last arrival, so that one transaction holds them: a
//! report that arrived in the last milliseconds before midnight may lie in the next day's file.
//!
//! # Latest values
//!
//! Reports change a map in memory after their commit. From time to time the map is frozen and put into the table
//! `latest`, some devices after each group; at the end, in the same transaction as the last of them, the mark
//! of the day's file moves to where the map was frozen. At the next open the messages behind the marks are folded
//! in again. Folding twice changes nothing, so a crash at any point is harmless.

mod old_days;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Instant,
};

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::message::{Message, MessageKind},
    ports::{StoreError, Write, Written},
};

use super::{
    Shared,
    day::Day,
    day_file::DayFile,
    error::{OpenError, store_error},
    lock::DataLock,
    pending::Activities,
    registry::{Change, Registry},
    reply::{Reply, closed},
    retention::Retention,
    sum,
};

/// Devices whose latest values are written after one group: some milliseconds.
const FLUSH_STEP: usize = 2048;
/// Messages that are folded in before the latest values are written, after a crash: bounds the memory.
const RESTORE_STEP: usize = 100_000;

/// What the writer is asked for.
pub(super) enum Job {
    /// Writes of the data path.
    Append(Append),
    /// A change of the registry.
    Change(Box<dyn RegistryChange>),
    /// A change of many rows; committed alone.
    LoneChange(Box<dyn RegistryChange>),
    /// A change that needs the latest values to be written down; committed alone.
    SettledChange(Box<dyn RegistryChange>),
    /// The end.
    Close(Reply<()>),
}

/// A batch and what became of it.
pub(super) struct Append {
    pub(super) batch: Vec<Write>,
    pub(super) written: Vec<Written>,
    pub(super) reply: Reply<Vec<Written>>,
}

/// A change of the registry, in two steps around the commit.
pub(super) trait RegistryChange: Send {
    /// Inside the transaction.
    fn apply(&mut self, registry: &mut Registry) -> rusqlite::Result<()>;
    /// After the commit, or after its failure.
    fn finish(self: Box<Self>, failure: Option<StoreError>);
}

/// The change that a closure makes.
pub(super) struct ChangeBy<F, T> {
    pub(super) job: Option<F>,
    pub(super) result: Option<Result<T, StoreError>>,
    pub(super) reply: Reply<T>,
}

impl<F, T> RegistryChange for ChangeBy<F, T>
where
    F: FnOnce(&mut Registry) -> Change<T> + Send,
    T: Send,
{
    fn apply(&mut self, registry: &mut Registry) -> rusqlite::Result<()> {
        if let Some(job) = self.job.take() {
            self.result = Some(match job(registry) {
                // Seen before anything was written; what else is in the group has nothing to do with it.
                Err(error) if sum::is_damage(&error) => Err(store_error(&error)),
                done => done?,
            });
        }
        Ok(())
    }

    fn finish(self: Box<Self>, failure: Option<StoreError>) {
        let result = failure.map_or(self.result, |failure| Some(Err(failure)));
        self.reply.send(result.unwrap_or_else(|| Err(closed())));
    }
}

impl Job {
    fn finish(self, failure: Option<StoreError>) {
        match self {
            Self::Append(append) => append.reply.send(failure.map_or(Ok(append.written), Err)),
            Self::Change(change) | Self::LoneChange(change) | Self::SettledChange(change) => {
                change.finish(failure);
            }
            Self::Close(reply) => reply.send(failure.map_or(Ok(()), Err)),
        }
    }

    /// How many writes it counts for in a group.
    fn weight(&self) -> usize {
        match self {
            Self::Append(append) => append.batch.len().max(1),
            _ => 1,
        }
    }
}

/// Latest values on their way into the table.
struct Flush {
    frozen: Arc<Activities>,
    /// Devices that are still to be written; by id, as the table is sorted.
    rest: VecDeque<DeviceId>,
    /// Up to which message the table is complete afterwards.
    mark: Option<(Day, i64)>,
}

/// What the thread owns.
pub(super) struct Writer {
    shared: Arc<Shared>,
    registry: Registry,
    /// The file that was written last.
    file: Option<DayFile>,
    flush: Option<Flush>,
    /// When the latest values are to be written, if any have changed.
    flush_at: Option<Instant>,
    retention: Retention,
    /// A write has failed, and what it may have left must be taken away first.
    broken: bool,
    _lock: DataLock,
}

/// What a group touches.
#[derive(Default)]
struct Plan {
    newest_arrival: Option<UnixMillis>,
    registry: bool,
}

impl Plan {
    fn of(group: &[Job]) -> Self {
        let mut plan = Self::default();
        for job in group {
            let Job::Append(append) = job else {
                plan.registry = true;
                continue;
            };
            for write in &append.batch {
                match write {
                    Write::Message(message) => {
                        plan.newest_arrival = plan.newest_arrival.max(Some(message.arrival));
                    }
                    Write::Seen { .. } => {}
                    Write::Login { .. } | Write::Presence { .. } | Write::Log(_) => plan.registry = true,
                }
            }
        }
        plan
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, registry: Registry, lock: DataLock) -> Self {
        // A clock that was not written down, or cannot be read, is known by the files alone.
        let known = registry.clock_day().ok().flatten();
        let retention = Retention::new(shared.options.retention_days, known, Instant::now());
        let (file, flush, flush_at) = (None, None, None);
        Self { shared, registry, file, flush, flush_at, retention, broken: false, _lock: lock }
    }

    /// Works until the store is closed or nobody is left who could ask.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut held = None;
        self.continue_retention(Instant::now());
        loop {
            let Some(job) = held.take().map_or_else(|| self.next(jobs), Some) else {
                if let Err(error) = self.end() {
                    tracing::error!(%error, "the store was not closed in order; nothing acknowledged is lost");
                }
                return;
            };
            match job {
                Job::Close(reply) => {
                    let ended = self.end();
                    drop(self);
                    return reply.send(ended);
                }
                Job::LoneChange(_) => self.commit(vec![job]),
                Job::SettledChange(_) => self.commit_settled(job),
                _ => self.commit(Self::group(job, jobs, self.shared.options.group_writes_max, &mut held)),
            }
            self.continue_flush();
            self.continue_retention(Instant::now());
        }
    }

    /// The next job; meanwhile what is due is done. `None` at the end.
    fn next(&mut self, jobs: &Receiver<Job>) -> Option<Job> {
        loop {
            // A broken store waits: it is tried again with the next write or after the interval.
            let received = if (self.flush.is_some() && !self.broken) || self.retention.has_work() {
                jobs.try_recv().map_err(|_| RecvTimeoutError::Timeout)
            } else {
                let look = self.retention.next_look();
                let at = self.flush_at.map_or(look, |at| at.min(look));
                jobs.recv_timeout(at.saturating_duration_since(Instant::now()))
            };
            match received {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    self.continue_flush();
                    self.continue_retention(Instant::now());
                }
            }
        }
    }

    /// What waits behind `first` and may be committed with it.
    fn group(first: Job, jobs: &Receiver<Job>, writes_max: usize, held: &mut Option<Job>) -> Vec<Job> {
        let mut weight = first.weight();
        let mut group = vec![first];
        while weight < writes_max {
            match jobs.try_recv() {
                Ok(alone @ (Job::LoneChange(_) | Job::SettledChange(_) | Job::Close(_))) => {
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

    fn commit(&mut self, mut group: Vec<Job>) {
        let committed = self.try_commit(&mut group);
        if committed.is_ok() {
            self.remember(&group);
        }
        answer(group, &committed);
    }

    fn commit_settled(&mut self, job: Job) {
        let mut group = vec![job];
        let committed = self.flush_all().and_then(|()| self.try_commit(&mut group));
        answer(group, &committed);
    }

    fn try_commit(&mut self, group: &mut [Job]) -> Result<(), StoreError> {
        let plan = Plan::of(group);
        let day = plan.newest_arrival.map(Day::of);
        if let Some(day) = day.filter(|day| !self.is_used(*day)) {
            // Before anything that needs space: on a full disk it is the old messages that make room.
            self.look(day, Instant::now());
            self.delete_old_day();
        }
        self.repair()?;
        if let Some(day) = day {
            self.use_file(day)?;
        }
        let committed = self.commit_in_files(group, &plan);
        // Until proved otherwise, both files are in an unknown state.
        self.broken = committed.is_err();
        committed.map_err(|error| store_error(&error))
    }

    fn commit_in_files(&mut self, group: &mut [Job], plan: &Plan) -> rusqlite::Result<()> {
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("batch-before-begin");
        let mut file = self.file.as_mut().filter(|_| plan.newest_arrival.is_some());
        if let Some(file) = &mut file {
            file.begin()?;
        }
        if plan.registry {
            self.registry.begin()?;
        }
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("batch-after-begin");
        for job in group {
            match job {
                Job::Append(append) => {
                    for write in &append.batch {
                        append.written.push(apply(&mut self.registry, file.as_deref_mut(), write)?);
                        #[cfg(feature = "test-hooks")]
                        crate::failpoint::pass("batch-between-writes");
                    }
                }
                Job::Change(change) | Job::LoneChange(change) | Job::SettledChange(change) => {
                    change.apply(&mut self.registry)?;
                }
                Job::Close(_) => {}
            }
        }
        let mut batch = 0;
        if plan.registry && file.is_some() {
            batch = self.registry.batch()? + 1;
            self.registry.set_batch(batch)?;
        }
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("batch-before-commit");
        if let Some(file) = &mut file {
            file.commit(batch)?;
            self.shared.set_span(file.day(), file.span());
        }
        if plan.registry {
            #[cfg(test)]
            self.shared.faults.registry_commit()?;
            #[cfg(feature = "test-hooks")]
            if file.is_some() {
                crate::failpoint::pass("batch-between-commits");
            }
            self.registry.commit()?;
        }
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("batch-after-commit");
        if let Some(file) = file {
            file.settle();
        }
        Ok(())
    }

    /// Folds a committed group into the pending map.
    fn remember(&mut self, group: &[Job]) {
        let changed = self.shared.pending.change(|changed| {
            for job in group {
                let Job::Append(append) = job else { continue };
                for (write, written) in append.batch.iter().zip(&append.written) {
                    if *written == Written::Done {
                        remember(changed, write);
                    }
                }
            }
        });
        if changed > 0 && self.flush_at.is_none() {
            self.flush_at = Some(Instant::now() + self.shared.options.flush_interval);
        }
        if changed >= self.shared.options.changed_devices_max {
            self.flush_at = Some(Instant::now());
        }
    }

    /// Makes `day`'s file the one that is written.
    fn use_file(&mut self, day: Day) -> Result<(), StoreError> {
        if self.is_used(day) {
            return Ok(());
        }
        // The mark of the file that is left must cover all of it.
        self.flush_all()?;
        if let Some(left) = self.file.take()
            && let Err(error) = left.checkpoint()
        {
            tracing::warn!(%error, day = %left.day(), "the day's log is not written back yet");
        }
        self.retention.keep(day);
        if !self.shared.layout.day(day).exists() {
            // Of an earlier file of this name, if there is one.
            self.registry.forget_mark(day).map_err(|error| store_error(&error))?;
        }
        let file = DayFile::open_or_create(&self.shared.layout, day, &self.shared.options)
            .map_err(|error| unavailable(&error))?;
        self.shared.set_span(day, file.span());
        self.file = Some(file);
        Ok(())
    }

    fn is_used(&self, day: Day) -> bool {
        self.file.as_ref().is_some_and(|file| file.day() == day)
    }

    /// Starts to write the latest values when it is time, and writes some of them.
    fn continue_flush(&mut self) {
        let due = self.flush_at.is_some_and(|at| at <= Instant::now());
        if self.flush.is_none() && !due {
            return;
        }
        if let Err(error) = self.flush_step() {
            tracing::error!(%error, "latest values could not be written down; they are kept in memory");
        }
    }

    /// Writes all latest values.
    fn flush_all(&mut self) -> Result<(), StoreError> {
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
        for device in flush.rest.drain(..flush.rest.len().min(FLUSH_STEP)) {
            if let Some(news) = flush.frozen.get(&device) {
                self.registry.put_activity(device, news)?;
            }
        }
        let done = flush.rest.is_empty();
        if done && let Some((day, id)) = flush.mark {
            self.registry.set_mark(day, id)?;
        }
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("latest-before-commit");
        self.registry.commit()?;
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("latest-after-commit");
        if done {
            self.flush = None;
            self.shared.pending.forget_frozen();
        }
        Ok(())
    }

    /// After a failure: opens both files anew and takes away what the failed batch may have left in them.
    fn repair(&mut self) -> Result<(), StoreError> {
        if !self.broken {
            return Ok(());
        }
        let Shared { layout, options, key, former, .. } = &*self.shared;
        let failed = |error: rusqlite::Error| store_error(&error);
        if let Some(file) = &self.file {
            let (day, committed_id) = (file.day(), file.committed_id());
            let mut file = DayFile::open(layout, day, options).map_err(|error| unavailable(&error))?;
            self.file = None;
            let undone = file.undo_after(committed_id);
            // Kept in any case, so that a later attempt knows what was committed.
            file.trust_only(committed_id);
            self.file = Some(file);
            undone.map_err(failed)?;
        }
        self.registry = Registry::open(layout, options, Arc::clone(key), Arc::clone(former))
            .map_err(|error| unavailable(&error))?;
        // Writes a page for certain, see `DayFile::undo_after`; the failed batch's number is not used again.
        let given_up = self.registry.batch().map_err(failed)? + 1;
        self.registry.set_batch(given_up).map_err(failed)?;
        self.broken = false;
        tracing::info!("the store can write again");
        Ok(())
    }

    /// Writes down and back everything.
    fn end(&mut self) -> Result<(), StoreError> {
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("close-begun");
        let flushed = self.repair().and_then(|()| self.flush_all());
        self.shared.readers.close();
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("close-before-checkpoint");
        let file = self.file.as_ref().map_or(Ok(()), DayFile::checkpoint);
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("close-between-checkpoints");
        let registry = self.registry.checkpoint();
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("close-after-checkpoint");
        flushed.and_then(|()| file.and(registry).map_err(|error| store_error(&error)))
    }

    /// At the open: takes away half a batch, reads spans, and folds in what the marks do not cover.
    pub(super) fn restore(&mut self) -> Result<(), OpenError> {
        let registry_file = self.shared.layout.registry();
        let sqlite = |error| OpenError::sqlite(&registry_file, error);
        for day in self.shared.layout.days()? {
            let path = self.shared.layout.day(day);
            let mut file = DayFile::open(&self.shared.layout, day, &self.shared.options)?;
            let batch = self.registry.batch().map_err(sqlite)?;
            if file.undo_half_batch(batch).map_err(|error| OpenError::sqlite(&path, error))? {
                tracing::warn!(%day, "a batch that was not acknowledged was taken away after a crash");
            }
            #[cfg(feature = "test-hooks")]
            crate::failpoint::pass("restore-file-opened");
            self.shared.set_span(day, file.span());
            let mark = self.registry.mark(day).map_err(sqlite)?;
            if mark < file.committed_id() {
                self.restore_latest(file, mark).map_err(|source| OpenError::restore(path, source))?;
                tracing::info!(%day, "latest values restored from messages");
            }
        }
        Ok(())
    }

    /// Folds in the messages of `file` after `mark`, some at a time, and moves the mark at the end.
    fn restore_latest(&mut self, file: DayFile, mark: i64) -> Result<(), StoreError> {
        let mut read = mark;
        while read < file.committed_id() {
            self.flush_all()?;
            let pending = &self.shared.pending;
            let registry = &mut self.registry;
            read = file
                .read_after(read, RESTORE_STEP, |message| {
                    // A device that was deleted since has no latest values.
                    if registry.switched_on(message.device)?.is_some() {
                        pending.change(|changed| remember_message(changed, &message));
                    }
                    Ok(())
                })
                .map_err(|error| store_error(&error))?;
            self.flush_at = Some(Instant::now());
        }
        self.file = Some(file);
        self.flush_all()?;
        self.file = None;
        Ok(())
    }
}

fn answer(group: Vec<Job>, committed: &Result<(), StoreError>) {
    if let Err(error) = committed {
        tracing::error!(%error, "a batch could not be stored");
    }
    for job in group {
        job.finish(committed.as_ref().err().map(copy));
    }
}

/// Applies one write inside the transactions.
fn apply(registry: &mut Registry, file: Option<&mut DayFile>, write: &Write) -> rusqlite::Result<Written> {
    match write {
        Write::Message(message) => match (registry.switched_on(message.device)?, file) {
            (Some(true), Some(file)) => file.add(message).map(|()| Written::Done),
            _ => Ok(Written::DeviceUnavailable),
        },
        Write::Login { device, at, lifetime_s, secret_version, peer } => {
            registry.login(*device, *at, *lifetime_s, *secret_version, peer)
        }
        Write::Presence { device, state, at, cause } => registry.presence(*device, *state, *at, cause),
        Write::Seen { device, .. } => Ok(match registry.switched_on(*device)? {
            Some(_) => Written::Done,
            None => Written::DeviceUnavailable,
        }),
        Write::Log(entry) => registry.log(entry),
    }
}

/// What a committed write changes in the pending map.
fn remember(changed: &mut Activities, write: &Write) {
    match write {
        Write::Message(message) => remember_message(changed, message),
        Write::Seen { device, at } => changed.entry(*device).or_default().see(*at),
        Write::Login { .. } | Write::Presence { .. } | Write::Log(_) => {}
    }
}

fn remember_message(changed: &mut Activities, message: &Message) {
    let activity = changed.entry(message.device).or_default();
    activity.see(message.arrival);
    if message.kind == MessageKind::Points {
        activity.points.report(&message.points_json, message.time);
    }
}

fn unavailable(error: &OpenError) -> StoreError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    StoreError::Unavailable(format!("{error}{cause}"))
}

/// The same failure for each of a group.
fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Damaged(what) => StoreError::Damaged(what.clone()),
        other => StoreError::Unavailable(match other {
            StoreError::Unavailable(what) => what.clone(),
            _ => other.to_string(),
        }),
    }
}
