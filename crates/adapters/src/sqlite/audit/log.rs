//! The thread that writes: takes what waits, commits it together, answers.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::UnixMillis,
    model::audit::{AuditEntry, AuditOutcome},
    ports::{AUDIT_CUT, AUDIT_FOREIGN, AUDIT_USER, NoteId, StoreError},
    rules::audit::ChainEnd,
};
use rusqlite::{Transaction, TransactionBehavior, ffi};

use super::{
    AuditOptions,
    file::{self, Keeping, Opened},
};
use crate::reply::{Reply, reply};

/// Jobs that are committed together at most.
const GROUP_MAX: usize = 1000;

/// Entries that could not be written and wait for the next commit. Those beyond stay notes, and become
/// entries with the next start.
const OWED_MAX: usize = 10_000;

/// How often they are tried where nothing else is asked for.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// What the thread is asked for.
pub(super) enum Job {
    /// Notes what is about to be done.
    Begin(AuditEntry, Reply<NoteId>),
    /// Appends the entry of it.
    End(Option<NoteId>, AuditEntry, Reply<()>),
    /// Answers once the file is open, and what was asked for before is done.
    Settle(Reply<()>),
}

/// What the thread owns.
pub(super) struct Log {
    options: AuditOptions,
    /// What the clock showed when this process began, or the time of the newest entry then; and when that
    /// was.
    began: (UnixMillis, Instant),
    /// `None` until it could be opened, and after an error.
    opened: Option<Opened>,
    /// Notes of an earlier process have become entries.
    is_swept: bool,
    /// Where the chain was known to end.
    noted: Option<ChainEnd>,
    owed: Vec<(Option<NoteId>, AuditEntry)>,
    /// What changed nothing and has no entry, since the last one that has one: the log is full.
    left_out: u64,
    /// What the log was last said to be in trouble with.
    said: Option<String>,
    /// The file whose last commit the disk did not make durable, and what it said. What was written then
    /// looks durable to the next commit, and is not: the kernel has its pages marked as written.
    unsound: Option<(file::FileId, String)>,
    #[cfg(test)]
    pub(super) fault: Option<i32>,
}

impl Log {
    pub(super) fn new(options: AuditOptions) -> Self {
        let owed = Vec::new();
        let began = ((options.clock)(), Instant::now());
        Self {
            options,
            began,
            opened: None,
            is_swept: false,
            noted: None,
            owed,
            left_out: 0,
            said: None,
            unsound: None,
            #[cfg(test)]
            fault: None,
        }
    }

    /// Works until nobody asks any more.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        // Ignored: it is said in the log, and to whoever asks.
        let _ = self.ready();
        loop {
            let first = match self.owed.is_empty() {
                true => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => jobs.recv_timeout(TRY_EVERY),
            };
            let mut group = Vec::new();
            match first {
                Ok(job) => group.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            group.extend(jobs.try_iter().take(GROUP_MAX - 1));
            self.work(group);
        }
        if !self.owed.is_empty() {
            self.work(Vec::new());
        }
    }

    /// Commits a group, and answers.
    fn work(&mut self, group: Vec<Job>) {
        let needs_commit = !self.owed.is_empty() || group.iter().any(|job| !matches!(job, Job::Settle(_)));
        let done = match needs_commit {
            true => self.commit(&group),
            false => self.ready().map(|_| Vec::new()),
        };
        self.say(done.as_ref().err());
        // What is there can be read, also where nothing can be written.
        let done = if needs_commit { done } else { Ok(Vec::new()) };
        match done {
            Ok(notes) => answer(group, notes),
            Err(error) => {
                for job in group {
                    self.refuse(job, &error);
                }
            }
        }
    }

    /// An entry that cannot be written now is owed.
    fn refuse(&mut self, job: Job, error: &rusqlite::Error) {
        let failed = || StoreError::Unavailable(format!("{}: {error}", self.options.file().display()));
        match job {
            Job::Begin(_, reply) => reply.send(Err(failed())),
            Job::End(note, entry, reply) => {
                if self.owed.len() < OWED_MAX {
                    self.owed.push((note, entry));
                }
                reply.send(Err(failed()));
            }
            Job::Settle(reply) => reply.send(Err(failed())),
        }
    }

    /// Says once what is wrong, and once that it is over.
    fn say(&mut self, error: Option<&rusqlite::Error>) {
        let said = error.map(ToString::to_string);
        match (&said, &self.said) {
            (Some(error), known) if known.as_ref() != Some(error) => {
                let file = self.options.file();
                tracing::error!(file = %file.display(), error, "the audit log cannot be written");
            }
            (None, Some(_)) => tracing::info!("the audit log is written again"),
            _ => {}
        }
        self.said = said;
    }

    /// All of it in one transaction; the notes that were made.
    pub(super) fn commit(&mut self, group: &[Job]) -> rusqlite::Result<Vec<NoteId>> {
        let committed = self.try_commit(group);
        match &committed {
            Ok((end, left_out, _)) => {
                self.owed.clear();
                self.count_left_out(*left_out);
                self.note_end(*end);
            }
            // What is wrong with it may be over for one that is opened anew.
            Err(error) => {
                let opened = self.opened.take();
                if is_not_durable(error) {
                    self.unsound = opened.map(|opened| (opened.id(), error.to_string()));
                }
            }
        }
        committed.map(|(_, _, notes)| notes)
    }

    /// The time by which entries are old. A clock that leaps ahead and comes back must not make them so: it
    /// goes on no faster than this process. One that was not set yet when that began is known by the entries.
    fn sure_time(&self) -> UnixMillis {
        let (began, since) = self.began;
        let later = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
        (self.options.clock)().min(UnixMillis(began.0.saturating_add(later)))
    }

    fn count_left_out(&mut self, left_out: u64) {
        if left_out > 0 && self.left_out == 0 {
            let kept = self.options.entries_max;
            tracing::warn!(kept, "the audit log is full of young entries: what changes nothing gets none");
        }
        self.left_out = left_out;
    }

    /// Where the chain ends then, what has no entry, and the notes that were made.
    fn try_commit(&mut self, group: &[Job]) -> rusqlite::Result<(ChainEnd, u64, Vec<NoteId>)> {
        self.ready()?;
        let now = self.sure_time();
        let Self { opened: Some(opened), options, noted, owed, left_out, .. } = self else {
            // It was opened just now.
            return Err(rusqlite::Error::InvalidQuery);
        };
        let transaction = opened.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let end = end_of(&transaction, options, noted.as_slice())?;
        let keeping = Keeping { kept_max: options.entries_max, now };
        let mut appending = Appending { transaction: &transaction, keeping, end, left_out: *left_out };
        for (note, entry) in &*owed {
            appending.append(*note, entry)?;
        }
        let mut notes = Vec::new();
        for job in group {
            match job {
                Job::Begin(entry, _) => notes.push(file::note(&transaction, entry)?),
                Job::End(note, entry, _) => appending.append(*note, entry)?,
                Job::Settle(_) => {}
            }
        }
        let Appending { end, left_out, .. } = appending;
        keeping.prune(&transaction, end)?;
        transaction.commit()?;
        #[cfg(test)]
        if let Some(code) = self.fault.take() {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        }
        Ok((end, left_out, notes))
    }

    /// Appends one entry, and names the store; nobody else has the file.
    pub(super) fn append_alone(mut self, entry: AuditEntry, store_id: Option<&str>) -> rusqlite::Result<()> {
        let (reply, _) = reply();
        self.commit(&[Job::End(None, entry, reply)])?;
        let opened = self.opened.take();
        match (opened, store_id) {
            (Some(opened), Some(store_id)) => file::set_store(&opened.connection, store_id),
            _ => Ok(()),
        }
    }

    /// Opens the file, if it is not open. The first time notes of an earlier process become entries: nobody
    /// in this one has made any yet.
    fn ready(&mut self) -> rusqlite::Result<()> {
        let file = self.options.file();
        if self.opened.as_ref().is_some_and(|opened| opened.is_in_place(&file)) {
            return Ok(());
        }
        if let Some((id, said)) = &self.unsound
            && file::id_of(&file) == Some(*id)
        {
            let words = format!("the disk lost what was written ({said}): start anew, or move the file away");
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR), Some(words)));
        }
        // The old one first, which would be in the way of one that was put in its place.
        self.opened = None;
        let mut opened = file::open(&file, (self.options.clock)())?;
        if !self.is_swept {
            self.noted = file::read_head(&self.options.head());
            let known: Vec<_> = self.noted.into_iter().chain(self.options.tie.end()).collect();
            let transaction = opened.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut end = end_of(&transaction, &self.options, &known)?;
            take_as_own(&transaction, &self.options, &mut end)?;
            for (note, entry) in file::notes(&transaction)? {
                let left = entry.unwrap_or_else(|| of_the_log(&self.options, "audit.note", "/audit".into()));
                let unknown = AuditEntry { outcome: AuditOutcome::Unknown, ..left };
                append(&transaction, &mut end, Some(note), &unknown)?;
            }
            let newest = file::newest(&transaction)?;
            transaction.commit()?;
            self.began.0 = newest.map_or(self.began.0, |newest| newest.max(self.began.0));
            self.is_swept = true;
            self.note_end(end);
        }
        self.opened = Some(opened);
        Ok(())
    }

    fn note_end(&mut self, end: ChainEnd) {
        self.options.tie.note(end);
        if self.noted.replace(end) != Some(end)
            && let Err(error) = file::write_head(&self.options.head(), end)
        {
            tracing::debug!(%error, "the end of the audit log cannot be noted");
        }
    }
}

/// Whether what was committed may be lost with a power cut, although it can be read.
fn is_not_durable(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}

/// Entries on their way into the chain.
struct Appending<'a> {
    transaction: &'a Transaction<'a>,
    keeping: Keeping,
    end: ChainEnd,
    left_out: u64,
}

impl Appending<'_> {
    /// Appends an entry, where there is room for one of its kind: what changed nothing pushes nothing out.
    fn append(&mut self, note: Option<NoteId>, entry: &AuditEntry) -> rusqlite::Result<()> {
        if !matches!(entry.outcome, AuditOutcome::Refused | AuditOutcome::Failed) {
            return append(self.transaction, &mut self.end, note, entry);
        }
        let left_out = entry.left_out.unwrap_or(0).saturating_add(self.left_out);
        if self.keeping.is_full(self.transaction, self.end)? {
            self.left_out = left_out.saturating_add(1);
            return note.map_or(Ok(()), |note| file::forget(self.transaction, note));
        }
        self.left_out = 0;
        let entry = AuditEntry { left_out: (left_out > 0).then_some(left_out), ..entry.clone() };
        append(self.transaction, &mut self.end, note, &entry)
    }
}

/// Answers a group that was committed.
fn answer(group: Vec<Job>, notes: Vec<NoteId>) {
    let mut notes = notes.into_iter();
    for job in group {
        match job {
            Job::Begin(_, reply) => {
                // As many as there are of these.
                if let Some(note) = notes.next() {
                    reply.send(Ok(note));
                }
            }
            Job::End(_, _, reply) | Job::Settle(reply) => reply.send(Ok(())),
        }
    }
}

fn append(
    transaction: &Transaction<'_>,
    end: &mut ChainEnd,
    note: Option<NoteId>,
    entry: &AuditEntry,
) -> rusqlite::Result<()> {
    note.map_or(Ok(()), |note| file::forget(transaction, note))?;
    file::append(transaction, end, entry)
}

/// Where the chain ends. One that does not reach an end that it had goes on with an entry that says so.
fn end_of(
    transaction: &Transaction<'_>,
    options: &AuditOptions,
    known: &[ChainEnd],
) -> rusqlite::Result<ChainEnd> {
    let mut end = file::end(transaction)?;
    let mut missing: Option<ChainEnd> = None;
    for known in known {
        if !file::has_reached(transaction, *known)? && missing.is_none_or(|other| other.count < known.count) {
            missing = Some(*known);
        }
    }
    if let Some(ChainEnd { count, head }) = missing {
        tracing::error!(count, %head, found = end.count, "the audit log lacks entries that it had");
        let cut = of_the_log(options, AUDIT_CUT, format!("/audit/{count}/{head}"));
        file::append(transaction, &mut end, &cut)?;
    }
    Ok(end)
}

/// Makes a log that is of no store yet this one's. One of another store goes on with an entry that says so.
fn take_as_own(
    transaction: &Transaction<'_>,
    options: &AuditOptions,
    end: &mut ChainEnd,
) -> rusqlite::Result<()> {
    let Some(own) = options.tie.store_id() else { return Ok(()) };
    let found = file::store(transaction)?;
    if found.as_deref() == Some(own) {
        return Ok(());
    }
    if let Some(other) = found {
        tracing::error!(found = other, own, "the audit log is that of another store");
        let foreign = of_the_log(options, AUDIT_FOREIGN, "/audit".to_owned());
        let detail = BTreeMap::from([("storeId".to_owned(), other)]);
        file::append(transaction, end, &AuditEntry { detail, ..foreign })?;
    }
    file::set_store(transaction, own)
}

/// An entry that the log writes by itself.
pub(super) fn of_the_log(options: &AuditOptions, action: &str, target: String) -> AuditEntry {
    AuditEntry {
        seq: 0,
        time: (options.clock)(),
        user: Some(AUDIT_USER.to_owned()),
        token: None,
        caller_ou: None,
        address: None,
        action: action.to_owned(),
        target,
        ou: None,
        outcome: AuditOutcome::Failed,
        status: None,
        code: None,
        detail: BTreeMap::new(),
        left_out: None,
        request_id: None,
        hash: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
        },
    };

    use narrowgate_platform::testing::audit::entry;

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    static NOW: AtomicI64 = AtomicI64::new(0);

    /// Up to ten entries, of a process that begins on a day.
    fn begun(data: &Path, day: i64) -> Log {
        let clock = || UnixMillis(NOW.load(Ordering::Relaxed));
        NOW.store(day * DAY_MS, Ordering::Relaxed);
        Log::new(AuditOptions { data: data.to_owned(), entries_max: 10, clock, tie: Arc::default() })
    }

    fn append(log: &mut Log, day: i64, outcome: AuditOutcome) {
        NOW.store(day * DAY_MS, Ordering::Relaxed);
        let (reply, _) = reply();
        let entry = AuditEntry { time: UnixMillis(day * DAY_MS), outcome, ..entry(1) };
        log.commit(&[Job::End(None, entry, reply)]).expect("it is written");
    }

    #[test]
    fn a_process_that_began_before_its_clock_was_set_finds_old_entries_old() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = begun(folder.path(), 300);
        (0..9).for_each(|_| append(&mut log, 300, AuditOutcome::Done));
        append(&mut log, 499, AuditOutcome::Done);
        drop(log);
        let mut log = begun(folder.path(), 0);
        log.ready().expect("it opens");
        append(&mut log, 500, AuditOutcome::Refused);
        assert_eq!(log.left_out, 0, "the oldest entry makes room");
        // A leap makes none of them so.
        for _ in 0..8 {
            append(&mut log, 500, AuditOutcome::Done);
        }
        append(&mut log, 5_000, AuditOutcome::Refused);
        assert_eq!(log.left_out, 1);
    }
}
