//! Reading: a few connections, each used by one thread at a time, with prepared statements and the message
//! files that were read last.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rusqlite::{CachedStatement, Connection};

use super::{
    error::{OpenError, store_error},
    files::{LOGS, Layout, MESSAGES, REGISTRY},
    options::SqliteOptions,
    reply::closed,
    schema::messages::FileFormat,
    volume::Volume,
};
use narrowgate_platform::{
    model::product::{DynamicActivation, Profile},
    ports::StoreError,
    secret::Secret,
};

/// Message files that a reader holds open; the least recently used is closed for another.
const OPEN_FILES_MAX: usize = 8;
/// Products that a reader knows; beyond them it forgets all.
const KNOWN_PRODUCTS_MAX: usize = 256;

/// The connections.
#[derive(Debug)]
pub(super) struct Readers {
    slots: Vec<Slot>,
    /// Where the next search for a free reader begins.
    next: AtomicUsize,
}

/// A place for a reader.
#[derive(Debug)]
struct Slot {
    /// `None` once the store is closed.
    reader: Mutex<Option<Reader>>,
    /// Message files that were deleted while the reader may have them open.
    gone: Mutex<Vec<Volume>>,
}

impl Readers {
    /// Opens so many readers (one at least) of the registry.
    pub(super) fn open(layout: &Layout, options: &SqliteOptions, count: usize) -> Result<Self, OpenError> {
        let cache_size = options.reader_cache();
        let reader = |_| {
            let reader = Reader::open(layout, cache_size)?;
            Ok(Slot { reader: Mutex::new(Some(reader)), gone: Mutex::default() })
        };
        let slots = (0..count.max(1)).map(reader).collect::<Result<_, _>>()?;
        Ok(Self { slots, next: AtomicUsize::new(0) })
    }

    /// Reads with a free reader, or with the first one to become free.
    pub(super) fn read<T>(
        &self,
        job: impl FnOnce(&mut Reader) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let (slot, mut reader) = self.free();
        slot.let_go(&mut reader);
        let result = match reader.as_mut() {
            Some(reader) => job(reader).map_err(|error| store_error(&error)),
            None => Err(closed()),
        };
        drop(reader);
        // Closes what was deleted meanwhile.
        slot.let_go_if_free();
        result
    }

    /// Releases a message file, which is to be deleted: a reader that is at work does so when it is done.
    /// Until then it reads the file that has lost its name, and keeps its space. Waits for nobody.
    pub(super) fn forget(&self, volume: Volume) {
        for slot in &self.slots {
            lock(&slot.gone).push(volume);
            slot.let_go_if_free();
        }
    }

    /// Closes all; later reads fail.
    pub(super) fn close(&self) {
        for slot in &self.slots {
            *lock(&slot.reader) = None;
        }
    }

    fn free(&self) -> (&Slot, MutexGuard<'_, Option<Reader>>) {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for offset in 0..self.slots.len() {
            let slot = &self.slots[(first + offset) % self.slots.len()];
            if let Some(reader) = slot.if_free() {
                return (slot, reader);
            }
        }
        let slot = &self.slots[first % self.slots.len()];
        (slot, lock(&slot.reader))
    }
}

impl Slot {
    fn if_free(&self) -> Option<MutexGuard<'_, Option<Reader>>> {
        match self.reader.try_lock() {
            Ok(reader) => Some(reader),
            Err(TryLockError::Poisoned(reader)) => Some(reader.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Closes files that were deleted.
    fn let_go(&self, reader: &mut Option<Reader>) {
        let gone = std::mem::take(&mut *lock(&self.gone));
        if let Some(reader) = reader {
            reader.files.retain(|(open, _)| !gone.contains(open));
        }
    }

    /// A reader that is at work calls this when it is done, so no file stays open.
    fn let_go_if_free(&self) {
        if !lock(&self.gone).is_empty()
            && let Some(mut reader) = self.if_free()
        {
            self.let_go(&mut reader);
        }
    }
}

/// A panic while reading leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection to the registry, and where they are needed one to the file of logs and some to message
/// files.
#[derive(Debug)]
pub(super) struct Reader {
    registry: Connection,
    log: Option<Connection>,
    /// The one used last comes last.
    files: Vec<(Volume, (Connection, FileFormat))>,
    layout: Layout,
    cache_size: i64,
    /// By id, each with the sum of its row.
    products: RefCell<BTreeMap<i64, (i64, Arc<KnownProduct>)>>,
}

/// What look-ups need of a product.
#[derive(Debug)]
pub(super) struct KnownProduct {
    pub(super) secret: Secret,
    pub(super) enabled: bool,
    pub(super) is_suspended: bool,
    pub(super) profile: Profile,
    pub(super) dynamic_activation: DynamicActivation,
}

impl Reader {
    /// Connects to the registry.
    pub(super) fn open(layout: &Layout, cache_size: i64) -> Result<Self, OpenError> {
        let registry = REGISTRY.connect_reader(&layout.registry(), cache_size)?;
        Ok(Self {
            registry,
            log: None,
            files: Vec::new(),
            layout: layout.clone(),
            cache_size,
            products: RefCell::default(),
        })
    }

    /// What is known of a product whose row has this sum, or what `read` says with the sum of what it read. A
    /// sum of 64 bits stands for the whole row: who changes a product changes it.
    pub(super) fn known_product(
        &self,
        id: i64,
        sum: i64,
        read: impl FnOnce() -> rusqlite::Result<(i64, KnownProduct)>,
    ) -> rusqlite::Result<Arc<KnownProduct>> {
        let mut products = self.products.borrow_mut();
        if let Some((_, known)) = products.get(&id).filter(|(of, _)| *of == sum) {
            return Ok(Arc::clone(known));
        }
        let (sum, known) = read()?;
        let known = Arc::new(known);
        if products.len() >= KNOWN_PRODUCTS_MAX {
            products.clear();
        }
        products.insert(id, (sum, Arc::clone(&known)));
        Ok(known)
    }

    /// The registry.
    pub(super) fn registry(&self) -> &Connection {
        &self.registry
    }

    /// A prepared statement on the registry.
    pub(super) fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.registry.prepare_cached(sql)
    }

    /// Begins a transaction of the registry: what is read next sees one moment, and several reads cost less
    /// than each for itself. Where that fails each is for itself.
    pub(super) fn begin(&self) {
        let _ = self.prepare("BEGIN").and_then(|mut begin| begin.execute([]));
    }

    /// Ends it, if there is one.
    pub(super) fn end(&self) {
        if !self.registry.is_autocommit() {
            let ended = self.prepare("COMMIT").and_then(|mut commit| commit.execute([]));
            if ended.is_err() {
                let _ = self.registry.execute_batch("ROLLBACK");
            }
        }
    }

    /// Reads the registry in one transaction.
    pub(super) fn at_one_moment<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.begin();
        let found = read(&self.registry);
        self.end();
        found
    }

    /// The file of logs.
    pub(super) fn log(&mut self) -> rusqlite::Result<&Connection> {
        let log = match self.log.take() {
            Some(log) => log,
            None => LOGS.connect_reader(&self.layout.log(), self.cache_size).map_err(unopened)?,
        };
        Ok(self.log.insert(log))
    }

    /// A message file; `None`: it was deleted meanwhile.
    pub(super) fn volume(&mut self, volume: Volume) -> rusqlite::Result<Option<(&Connection, FileFormat)>> {
        let file = match self.files.iter().position(|(open, _)| *open == volume) {
            Some(index) => self.files.remove(index),
            None => {
                if self.files.len() >= OPEN_FILES_MAX {
                    self.files.remove(0);
                }
                let file = self.layout.volume(volume);
                let opened = match MESSAGES.connect_reader(&file, self.cache_size) {
                    Ok(opened) => opened,
                    Err(_) if !file.exists() => return Ok(None),
                    Err(error) => return Err(unopened(error)),
                };
                let format = FileFormat::of(&opened)?;
                (volume, (opened, format))
            }
        };
        self.files.push(file);
        Ok(self.files.last().map(|(_, (file, format))| (file, *format)))
    }
}

/// Why a file cannot be read, as SQLite would say it.
pub(super) fn unopened(error: OpenError) -> rusqlite::Error {
    match error {
        OpenError::Sqlite { source, .. } => source,
        other => rusqlite::Error::ToSqlConversionFailure(Box::new(other)),
    }
}
