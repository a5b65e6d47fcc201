//! Writing SQLite's logs back into their files while commits go on.
//!
//! A log that has grown is written back, which takes tens of milliseconds, most of them for the disk. Whoever
//! waits for a commit would wait for that too. So it happens on a thread and a connection of its own: SQLite
//! lets one connection write a log back while another one appends to it
//! (<https://www.sqlite.org/wal.html#concurrency>). What was appended meanwhile is little; the writer writes
//! that back between two batches, and then the log begins anew.
//!
//! Limits: one file at a time. A log that an operator's long read keeps needed is tried again after
//! [`PAUSE`]. A log of [`LOG_PAGES_MAX`](super::super::files::LOG_PAGES_MAX) pages is
//! written back by the writer itself, whatever that takes.

use std::{
    path::PathBuf,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::{Connection, config::DbConfig};

use super::{
    super::{day_file::DayFile, files::open_existing, volume::Volume},
    Writer,
};

/// Pages (of 4 KiB) that are not written back yet, from which on a log is.
const PAGES: i64 = 4000;
/// So many pages the writer writes back itself: a few milliseconds.
const REST_PAGES: i64 = 400;
/// How often a thread goes after what was appended meanwhile, before the writer takes what is left.
const ROUNDS: u32 = 4;
/// The time between two looks at the logs.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The time after an attempt that a reader has cut short.
const PAUSE: Duration = Duration::from_secs(1);

/// One of the files that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Registry,
    Logs,
    Messages(Volume),
}

/// What a thread is at.
#[derive(Debug)]
struct Work {
    which: Which,
    thread: JoinHandle<rusqlite::Result<()>>,
    /// Threads for this log so far.
    rounds: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct WriteBack {
    work: Option<Work>,
    next_look: Instant,
}

/// How far a log is written back, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backlog {
    /// Since it began.
    log: i64,
    /// Of these, in the database.
    done: i64,
}

impl Backlog {
    pub(super) fn waiting(self) -> i64 {
        self.log - self.done
    }
}

impl WriteBack {
    pub(super) fn new(now: Instant) -> Self {
        Self { work: None, next_look: now }
    }

    /// When to look at what a thread does; `None`: there is none.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.work.as_ref().map(|_| self.next_look)
    }
}

impl Writer {
    /// Between two batches: writes back what has grown.
    pub(super) fn continue_write_back(&mut self, now: Instant) {
        if now < self.write_back.next_look || self.broken || self.stopped.is_some() {
            return;
        }
        self.write_back.next_look = now + LOOK_EVERY;
        if self.write_back.work.as_ref().is_some_and(|work| !work.thread.is_finished()) {
            return;
        }
        let went = match self.write_back.work.take() {
            Some(Work { which, thread, rounds }) => self.go_on(which, rounds, joined(thread), now),
            None => self.begin_write_back(),
        };
        if let Err(error) = went {
            tracing::warn!(%error, "a log is not written back yet");
            self.write_back.next_look = now + PAUSE;
        }
    }

    /// Waits for the thread. Before files are closed, copied or read anew, and before a log is emptied.
    pub(super) fn settle_write_back(&mut self) {
        if let Some(work) = self.write_back.work.take()
            && let Err(error) = joined(work.thread)
        {
            tracing::warn!(%error, "a log is not written back yet");
        }
    }

    fn begin_write_back(&mut self) -> rusqlite::Result<()> {
        let messages = self.files.iter().map(|file| Which::Messages(file.volume()));
        let all: Vec<Which> = messages.chain([Which::Logs, Which::Registry]).collect();
        for which in all {
            let Some(connection) = self.connection_of(which) else { continue };
            if backlog(connection)?.waiting() >= PAGES {
                return self.begin_work(which, 1);
            }
        }
        Ok(())
    }

    /// A thread has ended.
    fn go_on(
        &mut self,
        which: Which,
        rounds: u32,
        ended: rusqlite::Result<()>,
        now: Instant,
    ) -> rusqlite::Result<()> {
        ended?;
        let Some(connection) = self.connection_of(which) else { return Ok(()) };
        let waiting = backlog(connection)?.waiting();
        if waiting > REST_PAGES && rounds < ROUNDS {
            return self.begin_work(which, rounds + 1);
        }
        // A reader needs what is left, or more is appended than a thread can write back.
        if waiting > PAGES {
            self.write_back.next_look = now + PAUSE;
            return Ok(());
        }
        checkpoint(connection, "PRAGMA main.wal_checkpoint(PASSIVE)").map(drop)
    }

    /// Writes a log back that is not long enough for it yet, once no thread is at another one; `false`: that
    /// cannot be.
    pub(super) fn begin_work_early(&mut self, which: Which) -> bool {
        self.write_back.work.is_some()
            || (self.begin_work(which, 1).is_ok() && self.write_back.work.is_some())
    }

    fn begin_work(&mut self, which: Which, rounds: u32) -> rusqlite::Result<()> {
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("write-back-begins");
        let connection = connect(&self.path_of(which))?;
        let run = move || checkpoint(&connection, "PRAGMA main.wal_checkpoint(PASSIVE)").map(drop);
        match thread::Builder::new().name("store-write-back".to_owned()).spawn(run) {
            Ok(thread) => self.write_back.work = Some(Work { which, thread, rounds }),
            Err(error) => {
                tracing::warn!(%error, "a thread that writes a log back cannot be started");
                self.write_back.next_look = Instant::now() + PAUSE;
            }
        }
        Ok(())
    }

    pub(super) fn connection_of(&self, which: Which) -> Option<&Connection> {
        match which {
            Which::Registry => Some(self.registry.connection()),
            Which::Logs => Some(self.registry.log_connection()),
            Which::Messages(volume) => {
                self.files.iter().find(|file| file.volume() == volume).map(DayFile::connection)
            }
        }
    }

    pub(super) fn path_of(&self, which: Which) -> PathBuf {
        let layout = &self.shared.layout;
        match which {
            Which::Registry => layout.registry(),
            Which::Logs => layout.log(),
            Which::Messages(volume) => layout.volume(volume),
        }
    }
}

/// A connection that writes back, and does nothing else: closing it leaves the log as it is.
fn connect(file: &std::path::Path) -> rusqlite::Result<Connection> {
    let connection = open_existing(file)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // It opens the log now, while it is known to have its name.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

pub(super) fn backlog(connection: &Connection) -> rusqlite::Result<Backlog> {
    checkpoint(connection, "PRAGMA main.wal_checkpoint(NOOP)")
}

/// Another connection that writes back at the same time is no error: then nothing is done.
fn checkpoint(connection: &Connection, sql: &str) -> rusqlite::Result<Backlog> {
    connection.prepare_cached(sql)?.query_row([], |row| Ok(Backlog { log: row.get(1)?, done: row.get(2)? }))
}

fn joined(thread: JoinHandle<rusqlite::Result<()>>) -> rusqlite::Result<()> {
    thread.join().unwrap_or_else(|_| {
        tracing::error!("a thread that writes a log back has panicked");
        Ok(())
    })
}
