//! Reading: a few connections, each used by one thread at a time, with prepared statements and the message files
//! that were read last.

use std::sync::{
    Mutex, MutexGuard, PoisonError, TryLockError,
    atomic::{AtomicUsize, Ordering},
};

use rusqlite::{CachedStatement, Connection};

use super::{
    day::Day,
    error::{OpenError, store_error},
    files::{Layout, MESSAGES, REGISTRY},
    options::SqliteOptions,
    reply::closed,
};
use narrowgate_platform::ports::StoreError;

/// Message files that a reader holds open; the one used longest ago is closed for another.
const OPEN_FILES_MAX: usize = 8;

/// The connections.
#[derive(Debug)]
pub(super) struct Readers {
    /// `None` once the store is closed.
    slots: Vec<Mutex<Option<Reader>>>,
    /// Where the next search for a free reader begins.
    next: AtomicUsize,
}

impl Readers {
    /// Opens the readers (one at least) of the registry.
    pub(super) fn open(layout: &Layout, options: &SqliteOptions) -> Result<Self, OpenError> {
        let cache_size = options.reader_cache();
        let reader = |_| {
            let registry = REGISTRY.connect_reader(&layout.registry(), cache_size)?;
            Ok(Mutex::new(Some(Reader { registry, files: Vec::new(), layout: layout.clone(), cache_size })))
        };
        let slots = (0..options.readers.max(1)).map(reader).collect::<Result<_, _>>()?;
        Ok(Self { slots, next: AtomicUsize::new(0) })
    }

    /// Reads with a free reader, or with the first that becomes free.
    pub(super) fn read<T>(
        &self,
        job: impl FnOnce(&mut Reader) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        match self.free().as_mut() {
            Some(reader) => job(reader).map_err(|error| store_error(&error)),
            None => Err(closed()),
        }
    }

    /// Lets go of a day's file, which is to be deleted.
    pub(super) fn forget(&self, day: Day) {
        for slot in &self.slots {
            if let Some(reader) = lock(slot).as_mut() {
                reader.files.retain(|(open, _)| *open != day);
            }
        }
    }

    /// Closes all; later reads fail.
    pub(super) fn close(&self) {
        for slot in &self.slots {
            *lock(slot) = None;
        }
    }

    fn free(&self) -> MutexGuard<'_, Option<Reader>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for offset in 0..self.slots.len() {
            match self.slots[(first + offset) % self.slots.len()].try_lock() {
                Ok(reader) => return reader,
                Err(TryLockError::Poisoned(reader)) => return reader.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        lock(&self.slots[first % self.slots.len()])
    }
}

/// A panic while reading leaves nothing half done.
fn lock(slot: &Mutex<Option<Reader>>) -> MutexGuard<'_, Option<Reader>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection to the registry, and some to message files.
#[derive(Debug)]
pub(super) struct Reader {
    registry: Connection,
    /// The one used last comes last.
    files: Vec<(Day, Connection)>,
    layout: Layout,
    cache_size: i64,
}

impl Reader {
    /// The registry.
    pub(super) fn registry(&self) -> &Connection {
        &self.registry
    }

    /// A prepared statement on the registry.
    pub(super) fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.registry.prepare_cached(sql)
    }

    /// A day's messages.
    pub(super) fn day(&mut self, day: Day) -> rusqlite::Result<&Connection> {
        let file = match self.files.iter().position(|(open, _)| *open == day) {
            Some(index) => self.files.remove(index),
            None => {
                if self.files.len() >= OPEN_FILES_MAX {
                    self.files.remove(0);
                }
                let opened = MESSAGES.connect_reader(&self.layout.day(day), self.cache_size);
                let opened = opened.map_err(|error| match error {
                    OpenError::Sqlite { source, .. } => source,
                    other => rusqlite::Error::ToSqlConversionFailure(Box::new(other)),
                })?;
                (day, opened)
            }
        };
        self.files.push(file);
        Ok(&self.files[self.files.len() - 1].1)
    }
}
