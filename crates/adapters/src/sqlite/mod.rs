//! A store in SQLite files: one process, no server beside it, files that people can look into.
//!
//! ```text
//! data/                       0700
//!   narrowgate.lock           who uses the directory
//!   data.key                  0600, seals the secrets
//!   registry.db               products, devices, their attributes and tags, latest values
//!   log.db, audit.db          logs of devices, refusals, presence; what operators changed (module `audit`)
//!   messages/2026-01-31.db    reports that arrived on that day (UTC)
//!   messages/2026-01-31.short.db    … of products with the retention class `short`
//! ```
//!
//! * **Writing**: one thread owns all connections that write. It commits everything that waits together
//!   (group commit), with an fsync before anyone is answered; see the module `writer` for what happens
//!   between several files.
//! * **Reading**: a few connections, used directly by the calling thread; a read is a ready future. Look-ups
//!   of the data path have threads and connections of their own (module `lookups`). Reads see every committed
//!   write.
//! * **Latest values** are a digest of the messages that is written lazily and restored after a crash.
//! * **Damage**: messages, footers and latest values have checksums (module `sum`). A row that does not match
//!   its own is an error and never shown as data.
//! * **Retention** deletes message files, each class after its own time: at the start, every hour, and before
//!   a new day's file is opened (module `retention`). A clock that jumps more than two days ahead deletes
//!   nothing until the process has run with it for 24 hours.
//! * **Purge** of a device writes over what it sent, in all message files (module `writer::purge`).
//!
//! Limits, each an option: batches that wait, writes committed together, changed devices in memory, entries
//! of logs and histories. A read returns [`VALUES_MAX`] values or entries at most.
//!
//! Longer than 500 lines: one method for each of the ports.

mod adopt;
mod arrivals;
mod aside;
mod audit;
pub mod backup;
mod belonging;
mod buckets;
mod change;
mod day;
mod day_file;
mod digits;
mod error;
mod files;
mod firmware;
mod healing;
mod history;
mod key;
mod lock;
mod log_file;
mod lookups;
mod migration;
mod names;
mod open;
mod options;
mod overview;
mod pages;
mod pending;
mod place;
mod queries;
mod readers;
mod registry;
mod retention;
mod rows;
mod schema;
mod search;
mod stream;
mod sum;
mod volume;
mod watch;
mod writer;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::ErrorCode;

use narrowgate_platform::{
    ids::{DeviceId, DeviceName, Position},
    model::{
        command::{Command, CommandId},
        credential::CredentialLookup,
        damaged::{DamagedDevice, DamagedProduct},
        device::Device,
        message::PointValue,
        overview::{Overview, OverviewQuery},
        product::Product,
        property::{Properties, PropertyKind},
        rates::{RatesFound, RatesQuery},
    },
    paging::{DamagedRows, Page},
    ports::{
        self, AccessFound, AccessQuery, Batch, Changed, Committed, DeviceQuery, DeviceSearch, DevicesFound,
        FirmwareFound, FirmwareQuery, Journal, Pause, PortFuture, Recovered, SimilarNames, StoreError,
    },
    rules::{
        clock::heard_by_news,
        former::FormerSecrets,
        models::{ModelVersion, VersionedModel},
        scripts::{ProductScript, ScriptVersion, VersionedScript},
    },
    secret::Secret,
};

pub use self::{
    adopt::adopt,
    audit::{AuditFile, AuditOptions, AuditTie},
    error::OpenError,
    files::{FormatFound, key_fits, look_at_format},
    lock::last_process,
    options::{SqliteOptions, Synchronous},
};
use self::{
    day::Day,
    day_file::TimeSpan,
    files::Layout,
    key::DataKey,
    lookups::Lookups,
    pending::Pending,
    place::Places,
    readers::{Readers, Size},
    retention::Kept,
    stream::Extents,
    volume::Volume,
    writer::{Append, Job},
};
use crate::reply::{self, closed, reply};

/// Most values or log entries that one read returns, whatever it asks for.
pub const VALUES_MAX: usize = 100_000;

/// How often devices are looked up where latest values are written down meanwhile, at most: that takes
/// milliseconds, and they are written down every few seconds.
const LOOKS_MAX: usize = 10;

/// The store. Dropped without [`Journal::close`] it is closed properly too, and the drop waits for that.
#[derive(Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    /// `None` only while dropping.
    jobs: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer, the readers and the callers use together.
#[derive(Debug)]
struct Shared {
    options: SqliteOptions,
    layout: Layout,
    key: Arc<DataKey>,
    readers: Readers,
    lookups: Lookups,
    pending: Pending,
    former: Arc<Mutex<FormerSecrets>>,
    places: Arc<Places>,
    audit: Arc<AuditTie>,
    files: RwLock<BTreeMap<Volume, TimeSpan>>,
    /// For what followers of live events read.
    stream_readers: Readers,
    extents: Mutex<Extents>,
    /// Messages up to this place may be gone, also where that is not written down yet.
    messages_lost: Mutex<Option<Position>>,
    /// What happened to the files, so that nothing can be written.
    trouble: Mutex<Option<String>>,
    /// A damaged page was met.
    suspected: AtomicBool,
    #[cfg(test)]
    faults: tests::Faults,
}

impl Shared {
    fn new(
        options: SqliteOptions,
        layout: Layout,
        key: Arc<DataKey>,
        [readers, stream_readers]: [Readers; 2],
        former: Arc<Mutex<FormerSecrets>>,
        (places, audit): (Arc<Places>, Arc<AuditTie>),
    ) -> Self {
        let lookups = Lookups::new(&layout, &options);
        Self {
            options,
            layout,
            key,
            readers,
            lookups,
            pending: Pending::default(),
            former,
            places,
            audit,
            files: RwLock::default(),
            stream_readers,
            extents: Mutex::default(),
            messages_lost: Mutex::default(),
            trouble: Mutex::default(),
            suspected: AtomicBool::new(false),
            #[cfg(test)]
            faults: tests::Faults::default(),
        }
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `true`: it is another one than before.
    fn set_trouble(&self, trouble: Option<String>) -> bool {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *known != trouble;
        *known = trouble;
        changed
    }

    /// A damaged page was met: the writer looks whether it is one of the latest values.
    fn suspect(&self) {
        self.suspected.store(true, Ordering::Relaxed);
    }

    fn take_suspicion(&self) -> bool {
        self.suspected.swap(false, Ordering::Relaxed)
    }

    fn extents(&self) -> MutexGuard<'_, Extents> {
        self.extents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn messages_lost(&self) -> Option<Position> {
        *self.messages_lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages up to this place may be gone from now on.
    fn raise_messages_lost(&self, upto: Position) {
        let mut lost = self.messages_lost.lock().unwrap_or_else(PoisonError::into_inner);
        *lost = (*lost).max(Some(upto));
    }

    /// Lets go of a message file, which is to be deleted.
    fn forget_file(&self, volume: Volume) {
        self.readers.forget(volume);
        self.stream_readers.forget(volume);
        self.extents().forget(volume);
    }

    fn set_span(&self, volume: Volume, span: TimeSpan) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(volume, span);
    }

    /// The days before `day` that have a file, oldest first.
    fn days_before(&self, day: Day) -> Vec<Day> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let mut days: Vec<Day> = files.keys().map(|volume| volume.day).filter(|other| *other < day).collect();
        days.dedup();
        days
    }

    /// Message files with the times of their reports.
    fn spans(&self) -> Vec<(Volume, TimeSpan)> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.iter().map(|(volume, span)| (*volume, *span)).collect()
    }

    /// The files that are not kept.
    fn expired(&self, kept: &Kept) -> Vec<Volume> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.keys().copied().filter(|volume| kept.is_over(*volume)).collect()
    }

    /// Forgets files.
    fn hide(&self, volumes: &[Volume]) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.retain(|volume, _| !volumes.contains(volume));
    }
}

impl SqliteStore {
    /// Opens the store in a data directory, or makes one where there is none. A failure changes nothing on
    /// disk.
    ///
    /// After a crash this takes as long as folding in the reports of the last seconds.
    #[allow(clippy::needless_pass_by_value, reason = "the store keeps them")]
    pub fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let waiting_max = options.waiting_batches_max.max(1);
        let (shared, writer) = open::open(&options)?;
        let (jobs, waiting) = sync_channel(waiting_max);
        let spawned =
            thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run(&waiting));
        let writer = spawned.map_err(|source: io::Error| {
            OpenError::io(&shared.layout.data, "the writer's thread cannot be started", source)
        })?;
        Ok(Self { shared, jobs: Some(jobs), writer: Some(writer) })
    }

    /// The server's own secret, from which keys for unknown identities are derived (RFC 4279, section 2): the
    /// same after every start with the same data key.
    pub fn decoy_secret(&self) -> Secret {
        self.shared.key.decoy_secret()
    }

    /// What ties the audit log beside it to this store.
    pub fn audit_tie(&self) -> Arc<AuditTie> {
        Arc::clone(&self.shared.audit)
    }

    /// Queues a job at once, so that jobs are done in the order of the calls.
    fn send(&self, job: Job) -> Result<(), StoreError> {
        let Some(jobs) = &self.jobs else { return Err(closed()) };
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Unavailable("too many batches wait already".to_owned()),
            TrySendError::Disconnected(_) => closed(),
        })
    }

    /// A device of the table with what is not written down yet. Used inside of [`Self::consistent`].
    fn current(&self, mut device: Device) -> Device {
        device.last_seen_time = heard_by_news(device.last_seen_time, self.shared.pending.seen(device.id));
        device
    }

    /// Looks into the table and then at the news, until none was written down in between: it would be missed
    /// in both.
    fn consistent<T>(&self, mut look: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let mut looks = 1;
        loop {
            let written = self.shared.pending.written();
            let found = look()?;
            if looks == LOOKS_MAX || self.shared.pending.written() == written {
                return Ok(found);
            }
            looks += 1;
        }
    }

    /// Reads some rows that an index finds, which waits for nothing that reads for long.
    fn read<'a, T: Send + 'a>(
        &'a self,
        job: impl FnOnce(&mut readers::Reader) -> rusqlite::Result<T> + Send + 'a,
    ) -> PortFuture<'a, Result<T, StoreError>> {
        self.read_sized(Size::Short, job)
    }

    /// Reads as much as there is.
    fn read_long<'a, T: Send + 'a>(
        &'a self,
        job: impl FnOnce(&mut readers::Reader) -> rusqlite::Result<T> + Send + 'a,
    ) -> PortFuture<'a, Result<T, StoreError>> {
        self.read_sized(Size::Long, job)
    }

    fn read_sized<'a, T: Send + 'a>(
        &'a self,
        size: Size,
        job: impl FnOnce(&mut readers::Reader) -> rusqlite::Result<T> + Send + 'a,
    ) -> PortFuture<'a, Result<T, StoreError>> {
        Box::pin(async move {
            self.shared.readers.read(size, |reader| {
                job(reader).inspect_err(|error| {
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) {
                        self.shared.suspect();
                    }
                })
            })
        })
    }

    /// As [`Self::read`], for followers of live events, who keep nobody else waiting.
    fn read_stream<'a, T: Send + 'a>(
        &'a self,
        job: impl FnOnce(&mut readers::Reader) -> rusqlite::Result<T> + Send + 'a,
    ) -> PortFuture<'a, Result<T, StoreError>> {
        Box::pin(async move { self.shared.stream_readers.read(Size::Long, job) })
    }

    /// The latest values, with what is not written down yet.
    fn latest_points(
        &self,
        reader: &mut readers::Reader,
        device: DeviceId,
    ) -> rusqlite::Result<Page<PointValue>> {
        // News first: what is written down between the two look-ups is then found twice, and never missed.
        let mut latest = self.shared.pending.of(device).points;
        if !queries::has_device(reader, device)? {
            // A deleted device may still have news that is not written down.
            return Ok(Page::empty());
        }
        let mut damaged = DamagedRows::default();
        match aside::latest(reader, self.shared.spans(), device) {
            Ok(older) => {
                latest.merge_older(older);
            }
            // They are made of reports alone: the next ones replace the row.
            Err(error) if rows::is_fault_of_row(&error) => {
                damaged.add(format!("{}; it is made anew from the next reports", rows::text_of(&error)));
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                self.shared.suspect();
                damaged.add(format!("the latest values of device {} are damaged: {error}", device.0));
            }
            Err(error) => return Err(error),
        }
        Ok(Page { items: latest.values(), next: None, damaged })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked; nothing acknowledged is lost");
        }
    }
}

impl Journal for SqliteStore {
    fn append(&self, batch: Batch) -> PortFuture<'static, Result<Committed, StoreError>> {
        let (reply, answer) = reply();
        let Batch { writes: batch, confirmed, .. } = batch;
        let written = Vec::with_capacity(batch.len());
        let sent = self.send(Job::Append(Append { batch, confirmed, written, first: None, reply }));
        Box::pin(async move {
            sent?;
            answer.await
        })
    }

    fn recover(&self) -> PortFuture<'_, Result<Recovered, StoreError>> {
        let (reply, answer) = reply();
        let sent = self.send(Job::Begin(reply));
        Box::pin(async move {
            sent?;
            answer.await?;
            let (epoch, readers) = (self.shared.places.epoch(), &self.shared.readers);
            let online = readers.read(Size::Short, |reader| queries::online_devices(reader))?;
            let commands = readers.read(Size::Short, |reader| queries::all_open_commands(reader))?;
            let spans = self.shared.spans();
            let newest_arrival = readers.read(Size::Short, |reader| arrivals::newest(reader, &spans))?;
            Ok(Recovered { online, commands, last_batch: None, epoch, newest_arrival })
        })
    }

    fn hold(&self, limit: Duration) -> PortFuture<'static, Result<Pause, StoreError>> {
        let (reply, answer) = reply();
        let sent = self.send(Job::Hold(limit, reply));
        Box::pin(async move {
            sent?;
            answer.await
        })
    }

    fn close(&self) -> PortFuture<'static, Result<(), StoreError>> {
        let (reply, answer) = reply();
        let sent = self.send(Job::Close(reply));
        Box::pin(async move {
            sent?;
            answer.await
        })
    }

    fn is_running(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| !writer.is_finished())
    }

    /// Files of the store were removed or replaced while it was open.
    fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }
}

impl ports::Registry for SqliteStore {
    fn credentials<'a>(
        &'a self,
        product_key: &'a str,
        device_key: &'a str,
    ) -> PortFuture<'a, Result<CredentialLookup, StoreError>> {
        let key = Arc::clone(&self.shared.key);
        let (product_key, device_key) = (product_key.to_owned(), device_key.to_owned());
        self.shared
            .lookups
            .look_up(move |reader| queries::credentials(reader, &key, &product_key, &device_key))
    }

    fn former_secrets(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Secret>, StoreError>> {
        let former = self.shared.former.lock().unwrap_or_else(PoisonError::into_inner).of(device);
        Box::pin(std::future::ready(Ok(former)))
    }

    fn similar_names<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<SimilarNames, StoreError>> {
        self.read_long(move |reader| queries::similar_names(reader, name))
    }

    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>> {
        let (key, product_key) = (Arc::clone(&self.shared.key), product_key.to_owned());
        self.shared.lookups.look_up(move |reader| queries::product(reader, &key, &product_key))
    }

    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>> {
        self.read_long(|reader| queries::products(reader, &self.shared.key))
    }

    fn model_versions<'a>(
        &'a self,
        product_key: &'a str,
    ) -> PortFuture<'a, Result<Page<ModelVersion>, StoreError>> {
        self.read(move |reader| registry::models::versions(reader.registry(), product_key))
    }

    fn model_version<'a>(
        &'a self,
        product_key: &'a str,
        version: u32,
    ) -> PortFuture<'a, Result<Option<VersionedModel>, StoreError>> {
        self.read(move |reader| registry::models::version(reader.registry(), product_key, version))
    }

    fn script<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<ProductScript, StoreError>> {
        let product_key = product_key.to_owned();
        self.shared.lookups.look_up(move |reader| registry::scripts::script(reader.registry(), &product_key))
    }

    fn script_versions<'a>(
        &'a self,
        product_key: &'a str,
    ) -> PortFuture<'a, Result<Page<ScriptVersion>, StoreError>> {
        self.read(move |reader| registry::scripts::versions(reader.registry(), product_key))
    }

    fn script_version<'a>(
        &'a self,
        product_key: &'a str,
        version: u32,
    ) -> PortFuture<'a, Result<Option<VersionedScript>, StoreError>> {
        self.read(move |reader| registry::scripts::version(reader.registry(), product_key, version))
    }

    fn device<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<Option<Device>, StoreError>> {
        self.read(move |reader| {
            self.consistent(|| Ok(queries::device(reader, name)?.map(|device| self.current(device))))
        })
    }

    fn device_by_id(&self, device: DeviceId) -> PortFuture<'_, Result<Option<Device>, StoreError>> {
        self.read(move |reader| {
            self.consistent(|| Ok(queries::device_by_id(reader, device)?.map(|device| self.current(device))))
        })
    }

    fn devices(
        &self,
        query: DeviceQuery,
    ) -> PortFuture<'_, Result<Vec<Result<Device, DamagedDevice>>, StoreError>> {
        self.read_long(move |reader| {
            self.consistent(|| {
                let devices = queries::devices(reader, &query)?;
                Ok(devices.into_iter().map(|row| row.map(|device| self.current(device))).collect())
            })
        })
    }

    fn search_devices(&self, search: DeviceSearch) -> PortFuture<'_, Result<DevicesFound, StoreError>> {
        self.read_long(move |reader| {
            let heard = |kept, device| heard_by_news(kept, self.shared.pending.seen(device));
            self.consistent(|| {
                let mut found = search::devices(reader, &search, &heard)?;
                let devices = std::mem::take(&mut found.devices).into_iter();
                found.devices = devices.map(|row| row.map(|device| self.current(device))).collect();
                Ok(found)
            })
        })
    }

    fn properties(
        &self,
        device: DeviceId,
        kind: PropertyKind,
    ) -> PortFuture<'_, Result<Properties, StoreError>> {
        self.shared.lookups.look_up(move |reader| rows::properties(reader.registry(), device, kind))
    }

    fn command(
        &self,
        device: DeviceId,
        id: CommandId,
    ) -> PortFuture<'_, Result<Option<Command>, StoreError>> {
        self.read(move |reader| queries::command(reader, device, id))
    }

    fn open_commands(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Command>, StoreError>> {
        // The gateway asks for them: a device must not wait behind what operators read.
        self.shared.lookups.look_up(move |reader| queries::open_commands(reader, device))
    }

    fn overview(&self, query: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>> {
        self.read_long(move |reader| overview::read(reader, &self.shared.spans(), query))
    }

    fn rates(&self, query: RatesQuery) -> PortFuture<'_, Result<RatesFound, StoreError>> {
        self.read(move |reader| registry::rates::read(reader.registry(), &query))
    }

    fn access(&self, query: AccessQuery) -> PortFuture<'_, Result<AccessFound, StoreError>> {
        let key = Arc::clone(&self.shared.key);
        self.shared.lookups.look_up(move |reader| registry::access::read(reader.registry(), &key, query))
    }

    fn firmware(&self, query: FirmwareQuery) -> PortFuture<'_, Result<FirmwareFound, StoreError>> {
        // Devices ask for them too.
        self.shared.lookups.look_up(move |reader| firmware::read(reader.registry(), query))
    }

    fn change(&self, change: ports::Change) -> PortFuture<'static, Result<Changed, StoreError>> {
        // News first: what is written down before the change is made is then found twice, and never missed.
        let news = match &change {
            ports::Change::SetDeviceEnabled { device, .. }
            | ports::Change::RenameDevice { device, .. }
            | ports::Change::RotateDeviceSecret { device, .. } => self.shared.pending.seen(*device),
            _ => None,
        };
        let (reply, answer) = reply();
        let sent = self.send(change::job(change, reply));
        Box::pin(async move {
            sent?;
            let mut changed = answer.await?;
            let shown = match &mut changed {
                Changed::Device(device) => Some(&mut **device),
                Changed::Switched(switched) => Some(&mut switched.device),
                _ => None,
            };
            if let Some(device) = shown {
                device.last_seen_time = heard_by_news(device.last_seen_time, news);
            }
            Ok(changed)
        })
    }
}

#[cfg(test)]
mod tests;
