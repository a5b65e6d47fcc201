//! The audit log in a file of its own, `audit.db`, beside the store.
//!
//! * **Why its own file**: it is written by a thread of its own, so that no batch of the data path waits for
//!   it; it is kept longer than most else; and an entry can be written while a backup holds the store.
//! * **Why a note before and an entry after**: a change and its entry are in different files, so no
//!   transaction holds both. A note is durable before the change begins, and becomes the entry before its
//!   answer goes out. What a crash leaves are notes: the next process makes entries of them, `unknown`.
//!   A change that cannot be noted is not made.
//! * **An entry that cannot be written** (a full disk) stays a note, and is written with the next that can.
//! * **Together**: everything that waits is committed at once, with one fsync.
//! * **Its end** is also in `audit.head`, written after each commit and not made durable. So a file that was
//!   cut short, or replaced by an older one, is noticed: the log goes on with an entry that says so.
//! * **A file that has lost its name** (moved away, deleted) is not written any more: a new one is begun.
//! * **Its store** is named in it, and the registry knows where the chain ended when it was committed to last
//!   ([`AuditTie`]): an older log, or one of another store, is noticed at the start.
//! * **Two processes** never write one chain apart: each commit reads where the chain ends.
//!
//! * **What changed nothing pushes nothing out**: refusals and failures get no entry while the log is full
//!   and its oldest entry is young (`file::Keeping`); the next one that gets one counts them.
//!
//! Limits: entries that are kept are an option, of the last 90 days twice as many; [`WAITING_MAX`] jobs wait.

mod file;
mod log;
mod tie;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::UnixMillis,
    model::audit::{AuditEntry, AuditOutcome},
    ports::{AuditLog, AuditPage, AuditRead, NoteId, PortFuture, StoreError},
    rules::audit::{Broken, ChainEnd, Verifier},
};

use self::log::{Job, Log};
pub use self::tie::AuditTie;
use super::error::store_error;
use crate::reply::{Reply, closed, reply};

/// Its name.
pub(super) const AUDIT_NAME: &str = "audit.db";

/// Where its end is noted.
pub(super) const HEAD_NAME: &str = "audit.head";

/// Jobs that may wait; more than there are callers at a time.
const WAITING_MAX: usize = 4096;

/// Whose deeds those of a command without a server are.
const OWNER: &str = "owner";

/// How many times as long as it works a thread rests that verifies a chain in the background.
const REST: u32 = 3;

/// How long its thread may take to end: it may hang in a system call, and what was answered is durable.
const END_TIME_MAX: Duration = Duration::from_secs(1);

/// Where and how [`AuditFile`] keeps its entries.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// The data directory.
    pub data: PathBuf,
    /// Entries that are kept. Older ones are deleted, those of the last 90 days only where there are twice as
    /// many; where these fill it, what was refused or failed gets no entry.
    pub entries_max: u64,
    /// The wall clock.
    pub clock: fn() -> UnixMillis,
    /// To which store it belongs: [`super::SqliteStore::audit_tie`].
    pub tie: Arc<AuditTie>,
}

impl AuditOptions {
    fn file(&self) -> PathBuf {
        self.data.join(AUDIT_NAME)
    }

    fn head(&self) -> PathBuf {
        self.data.join(HEAD_NAME)
    }
}

/// What is done to a data directory as a whole, by its owner.
pub(super) struct OwnDeed<'a> {
    pub(super) data: &'a Path,
    /// A stable word.
    pub(super) action: &'static str,
    /// The wall clock.
    pub(super) clock: fn() -> UnixMillis,
    pub(super) detail: BTreeMap<String, String>,
    /// The name that its store has from now on.
    pub(super) store_id: Option<&'a str>,
}

/// Appends the entry of such a deed, where no server and no command has the log open; makes the log where
/// there is none.
pub(super) fn append_own(deed: OwnDeed<'_>) -> rusqlite::Result<()> {
    let OwnDeed { data, action, clock, detail, store_id } = deed;
    // Nothing is deleted here, and the end that the registry knows is looked at with the next start.
    let options = AuditOptions { data: data.to_owned(), entries_max: u64::MAX, clock, tie: Arc::default() };
    let entry = AuditEntry {
        user: Some(OWNER.to_owned()),
        outcome: AuditOutcome::Done,
        detail,
        ..log::of_the_log(&options, action, "/store".to_owned())
    };
    Log::new(options).append_alone(entry, store_id)
}

/// The audit log of a data directory, whose lock this process has. Dropped, it waits a moment for what was
/// asked of it.
pub struct AuditFile {
    options: AuditOptions,
    /// `None` only while dropping.
    jobs: Option<SyncSender<Job>>,
    /// Ends with the thread.
    ended: Mutex<Receiver<()>>,
    reader: Mutex<Option<file::Opened>>,
}

impl AuditFile {
    /// Begins to open the log, or to make one where there is none. Whoever asks waits for that, and hears why
    /// it is not possible.
    ///
    /// # Errors
    /// Its thread cannot be started.
    pub fn new(options: AuditOptions) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let log = Log::new(options.clone());
        let (ends, ended) = channel();
        let run = move || {
            log.run(&waiting);
            drop(ends);
        };
        thread::Builder::new().name("store-audit".to_owned()).spawn(run)?;
        Ok(Self { options, jobs: Some(jobs), ended: Mutex::new(ended), reader: Mutex::default() })
    }

    /// Follows the whole chain of a data directory, slowly: it takes a part of one processor. `None`: there
    /// is none yet.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn verify(data: &Path) -> Result<Option<Result<ChainEnd, Broken>>, StoreError> {
        let file = data.join(AUDIT_NAME);
        if !file.exists() {
            return Ok(None);
        }
        let verified = file::open_reader(&file).and_then(|opened| {
            if !opened.is_made()? {
                return Ok(None);
            }
            follow(|after| file::read(&opened.connection, AuditRead::Behind(after))).map(Some)
        });
        verified.map_err(|error| store_error(&error))
    }

    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> PortFuture<'static, Result<T, StoreError>> {
        let (reply, answer) = reply();
        let sent = match &self.jobs {
            Some(jobs) => jobs.try_send(job(reply)).map_err(|error| match error {
                TrySendError::Full(_) => StoreError::Unavailable("too many entries wait already".to_owned()),
                TrySendError::Disconnected(_) => closed(),
            }),
            None => Err(closed()),
        };
        Box::pin(async move {
            sent?;
            answer.await
        })
    }

    fn read_now(&self, read: AuditRead) -> Result<AuditPage, StoreError> {
        // First what is noted: the chain reaches that, and may have gone on.
        let noted = file::read_head(&self.options.head());
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.options.file();
        let opened = match reader.take().filter(|opened| opened.is_in_place(&file)) {
            Some(opened) => opened,
            None => file::open_reader(&file).map_err(|error| store_error(&error))?,
        };
        let page = file::read(&opened.connection, read).map_err(|error| store_error(&error))?;
        // One that has failed is opened anew.
        *reader = Some(opened);
        Ok(AuditPage { noted, ..page })
    }
}

/// Follows a chain to its end.
fn follow(read: impl Fn(u64) -> rusqlite::Result<AuditPage>) -> rusqlite::Result<Result<ChainEnd, Broken>> {
    let mut page = read(0)?;
    let mut verifier = Verifier::new(page.begin);
    while !page.lines.is_empty() {
        let began = Instant::now();
        if let Err(broken) = page.lines.iter().try_for_each(|line| verifier.take(&line.shown())) {
            return Ok(Err(broken));
        }
        page = read(verifier.end().count)?;
        thread::sleep(began.elapsed() * REST);
    }
    Ok(verifier.finish())
}

impl AuditLog for AuditFile {
    fn begin(&self, entry: AuditEntry) -> PortFuture<'static, Result<NoteId, StoreError>> {
        self.ask(|reply| Job::Begin(entry, reply))
    }

    fn end(&self, note: Option<NoteId>, entry: AuditEntry) -> PortFuture<'static, Result<(), StoreError>> {
        self.ask(|reply| Job::End(note, entry, reply))
    }

    fn read(&self, read: AuditRead) -> PortFuture<'_, Result<AuditPage, StoreError>> {
        let settled = self.ask(Job::Settle);
        Box::pin(async move {
            settled.await?;
            self.read_now(read)
        })
    }
}

impl Drop for AuditFile {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Ignored: what was not answered is still noted.
        let _ = ended.recv_timeout(END_TIME_MAX);
    }
}

impl fmt::Debug for AuditFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditFile")
    }
}
