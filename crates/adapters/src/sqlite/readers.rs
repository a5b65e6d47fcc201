//! Reading: a few connections, each used by one thread at a time, with prepared statements and the message
//! files that were read last.
//!
//! What may read for long has all of them but one ([`Size`]), so that what reads a row or two never waits for
//! it. Where none is free, the first one to become free is waited for.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
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

/// How much a read may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// Some rows that an index finds: any reader does it.
    Short,
    /// As many rows as there are: the reader that is kept for short ones does not.
    Long,
}

impl Size {
    fn index(self) -> usize {
        match self {
            Self::Short => 0,
            Self::Long => 1,
        }
    }
}

/// The connections.
#[derive(Debug)]
pub(super) struct Readers {
    /// The first ones are kept for short reads.
    slots: Vec<Slot>,
    kept: usize,
    /// Where the next search for a free reader begins.
    next: AtomicUsize,
    /// How many wait for one, by [`Size`].
    waiting: Mutex<[usize; 2]>,
    /// They look again.
    freed: [Condvar; 2],
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
    /// Opens so many readers (one at least) of the registry, each for any read.
    pub(super) fn open(layout: &Layout, options: &SqliteOptions, count: usize) -> Result<Self, OpenError> {
        let cache_size = options.reader_cache();
        let reader = |_| {
            let reader = Reader::open(layout, cache_size)?;
            Ok(Slot { reader: Mutex::new(Some(reader)), gone: Mutex::default() })
        };
        let slots = (0..count.max(1)).map(reader).collect::<Result<_, _>>()?;
        let next = AtomicUsize::new(0);
        Ok(Self { slots, kept: 0, next, waiting: Mutex::default(), freed: Default::default() })
    }

    /// The same, and one more, which is kept for short reads.
    pub(super) fn open_with_one_kept(
        layout: &Layout,
        options: &SqliteOptions,
        count: usize,
    ) -> Result<Self, OpenError> {
        let readers = Self::open(layout, options, count.max(1) + 1)?;
        Ok(Self { kept: 1, ..readers })
    }

    /// Reads with a free reader, or with the first one to become free.
    pub(super) fn read<T>(
        &self,
        size: Size,
        job: impl FnOnce(&mut Reader) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut taken = self.take(size);
        let slot = taken.slot;
        let Some(reader) = taken.reader.as_mut() else { return Err(closed()) };
        slot.let_go(reader);
        match reader.as_mut() {
            Some(reader) => job(reader).map_err(|error| store_error(&error)),
            None => Err(closed()),
        }
    }

    /// Releases a message file, which is to be deleted: a reader that is at work does so when it is done.
    /// Until then it reads the file that has lost its name, and keeps its space. Waits for nobody.
    pub(super) fn forget(&self, volume: Volume) {
        for slot in &self.slots {
            lock(&slot.gone).push(volume);
            slot.let_go_if_free();
            self.say_freed();
        }
    }

    /// Closes all; later reads fail.
    pub(super) fn close(&self) {
        for slot in &self.slots {
            *lock(&slot.reader) = None;
            self.say_freed();
        }
    }

    fn take(&self, size: Size) -> Taken<'_> {
        if let Some(taken) = self.find(size) {
            return taken;
        }
        let mut waiting = lock(&self.waiting);
        loop {
            // Looked at while nobody can say that one became free: that is not missed.
            if let Some(taken) = self.find(size) {
                return taken;
            }
            waiting[size.index()] += 1;
            waiting = self.freed[size.index()].wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting[size.index()] -= 1;
        }
    }

    /// A reader that is free and may be used.
    fn find(&self, size: Size) -> Option<Taken<'_>> {
        let (kept, others) = self.slots.split_at(self.kept);
        let kept = kept.iter().filter(|_| size == Size::Short);
        let first = self.next.fetch_add(1, Ordering::Relaxed) % others.len();
        let others = others[first..].iter().chain(&others[..first]);
        kept.chain(others).find_map(|slot| {
            let reader = slot.if_free()?;
            Some(Taken { readers: self, slot, reader: Some(reader) })
        })
    }

    /// A reader was given back: one of those who may use it looks.
    fn say_freed(&self) {
        let waiting = lock(&self.waiting);
        for (waiting, freed) in waiting.iter().zip(&self.freed) {
            if *waiting > 0 {
                freed.notify_one();
            }
        }
    }
}

/// A reader that is at work.
struct Taken<'a> {
    readers: &'a Readers,
    slot: &'a Slot,
    /// `None` only while it is given back.
    reader: Option<MutexGuard<'a, Option<Reader>>>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        drop(self.reader.take());
        // Closes what was deleted meanwhile.
        self.slot.let_go_if_free();
        self.readers.say_freed();
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

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{channel, sync_channel},
        thread,
        time::Duration,
    };

    use super::*;
    use crate::sqlite::tests::open;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_short_read_waits_for_no_long_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let readers = &store.shared.readers;
        let long = store.shared.options.readers;
        let (began, begun) = channel();
        let (end, ended) = sync_channel::<()>(0);
        let ended = Mutex::new(ended);
        thread::scope(|scope| {
            // More of them than readers: those that find none wait, and take none that is kept.
            for _ in 0..long + 3 {
                let (began, ended) = (began.clone(), &ended);
                scope.spawn(move || {
                    let read = readers.read(Size::Long, |_| {
                        began.send(()).unwrap();
                        lock(ended).recv().unwrap();
                        Ok(())
                    });
                    read.unwrap();
                });
            }
            (0..long).for_each(|_| begun.recv_timeout(SOON).unwrap());
            let (done, is_done) = channel();
            for _ in 0..20 {
                let done = done.clone();
                scope.spawn(move || done.send(readers.read(Size::Short, |_| Ok(()))).unwrap());
            }
            (0..20).for_each(|_| is_done.recv_timeout(SOON).unwrap().unwrap());
            assert!(begun.try_recv().is_err(), "the kept one is for no long read");
            (0..long + 3).for_each(|_| end.send(()).unwrap());
        });
    }

    #[test]
    fn who_finds_no_reader_gets_the_first_one_that_becomes_free() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let readers = &store.shared.readers;
        let long = store.shared.options.readers;
        thread::scope(|scope| {
            let (began, begun) = channel();
            let ends: Vec<_> = (0..long)
                .map(|_| {
                    let (began, (end, ended)) = (began.clone(), channel::<()>());
                    scope.spawn(move || {
                        let read = readers.read(Size::Long, |_| {
                            began.send(()).unwrap();
                            // The sender is gone.
                            assert!(ended.recv().is_err());
                            Ok(())
                        });
                        read.unwrap();
                    });
                    begun.recv_timeout(SOON).unwrap();
                    end
                })
                .collect();
            let (done, is_done) = channel();
            for _ in 0..2 * long {
                let done = done.clone();
                scope.spawn(move || done.send(readers.read(Size::Long, |_| Ok(()))).unwrap());
            }
            while lock(&readers.waiting)[Size::Long.index()] < 2 * long {
                thread::yield_now();
            }
            // One of them ends, whichever it is: all that wait go on with it.
            let mut ends = ends;
            drop(ends.remove(long / 2));
            (0..2 * long).for_each(|_| is_done.recv_timeout(SOON).unwrap().unwrap());
            drop(ends);
        });
    }

    #[test]
    fn who_waits_goes_on_where_a_read_panics_or_the_store_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let readers = Readers::open(&store.shared.layout, &store.shared.options, 1).unwrap();
        thread::scope(|scope| {
            let (began, begun) = channel();
            let (end, ended) = channel::<()>();
            let readers = &readers;
            let panics = scope.spawn(move || {
                let read = readers.read::<()>(Size::Short, |_| {
                    began.send(()).unwrap();
                    ended.recv().unwrap();
                    panic!("as a fault of ours would");
                });
                drop(read);
            });
            begun.recv_timeout(SOON).unwrap();
            let waits = scope.spawn(|| readers.read(Size::Long, |_| Ok(())));
            while lock(&readers.waiting)[Size::Long.index()] == 0 {
                thread::yield_now();
            }
            end.send(()).unwrap();
            waits.join().unwrap().unwrap();
            assert!(panics.join().is_err());
        });
        readers.close();
        readers.read(Size::Short, |_| Ok(())).unwrap_err();
    }
}
