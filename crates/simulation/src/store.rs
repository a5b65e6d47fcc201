//! A store that takes its time, fails at times, and loses what a crash finds under way: around the memory store, which
//! stands for what is durable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use narrowgate_adapters::memory::MemoryStore;
use narrowgate_platform::{
    ids::{DeviceId, DeviceName, UnixMillis},
    model::{
        credential::CredentialLookup,
        damaged::{DamagedDevice, DamagedProduct},
        device::{Device, NewDevice},
        log::LogEntry,
        message::PointValue,
        overview::{Overview, OverviewQuery},
        product::Product,
    },
    paging::{Page, Part},
    ports::{
        DeviceQuery, HistoryQuery, Issued, OnlineDevice, PortFuture, PresenceChange, Store, StoreError,
        Write, Written,
    },
    secret::Secret,
    testing::block_on,
};
use narrowgate_sim::random::SeededRandom;

/// How the store behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreConditions {
    /// Of a thousand batches so many are refused.
    pub failing_per_mille: u16,
    /// Of a thousand batches so many take seconds instead of milliseconds.
    pub slow_per_mille: u16,
    /// Of a thousand look-ups so many fail, and as many take their time.
    pub reads_failing_per_mille: u16,
}

/// A write that is durable now, or a change of presence that was asked for.
#[derive(Debug, Clone)]
pub enum Note {
    /// The batch with this write was handed over.
    Asked(Write),
    /// The write is durable, with this outcome.
    Applied(Write, Written),
    /// A batch was refused.
    Refused,
    /// The device has this secret now.
    Issued(DeviceId, Arc<str>),
}

enum Work {
    Batch(Vec<Write>),
    Issue { device: DeviceId, secret: Secret, at: UnixMillis, peer: String },
}

struct State {
    random: SeededRandom,
    conditions: StoreConditions,
    /// Under way, in the order in which it was handed over; with the runtime's instant at which it is done.
    under_way: BTreeMap<u64, (Instant, Option<Work>)>,
    next: u64,
    notes: Vec<Note>,
}

/// See the module. Cheap to clone; all copies are one store.
#[derive(Clone)]
pub struct SimulatedStore {
    durable: Arc<MemoryStore>,
    state: Arc<Mutex<State>>,
}

impl SimulatedStore {
    /// An empty store.
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: SeededRandom::new(seed),
            conditions: StoreConditions::default(),
            under_way: BTreeMap::new(),
            next: 0,
            notes: Vec::new(),
        };
        Self { durable: Arc::new(MemoryStore::default()), state: Arc::new(Mutex::new(state)) }
    }

    /// From now on it behaves like this.
    pub fn change(&self, conditions: StoreConditions) {
        self.lock().conditions = conditions;
    }

    /// What happened since this was last asked.
    pub fn take_notes(&self) -> Vec<Note> {
        std::mem::take(&mut self.lock().notes)
    }

    /// When something that is under way will be done, by the runtime's clock.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.lock().under_way.values().map(|(due, _)| *due).min()
    }

    /// The server dies. Of what is under way the first few are durable all the same; the dice say how many.
    pub fn crash(&self) {
        let (under_way, kept) = {
            let mut state = self.lock();
            let under_way = std::mem::take(&mut state.under_way);
            let count = under_way.len() as u64;
            (under_way, state.random.below(count + 1) as usize)
        };
        for (_, work) in under_way.into_values().take(kept) {
            match work {
                Some(Work::Batch(batch)) => drop(self.apply(batch)),
                Some(Work::Issue { device, secret, at, peer }) => {
                    drop(self.apply_issue(device, secret, at, peer));
                }
                None => {}
            }
        }
    }

    /// What is durable, without delays and failures.
    pub fn durable(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.durable)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        let written = block_on(self.durable.append(batch.clone()))?;
        let mut state = self.lock();
        for (write, outcome) in batch.into_iter().zip(&written) {
            state.notes.push(Note::Applied(write, *outcome));
        }
        Ok(written)
    }

    fn apply_issue(
        &self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
        peer: String,
    ) -> Result<Issued, StoreError> {
        let text: Arc<str> = secret.expose().into();
        let issued = block_on(self.durable.issue_secret(device, secret, at, peer))?;
        if issued == Issued::Done {
            self.lock().notes.push(Note::Issued(device, text));
        }
        Ok(issued)
    }

    /// Puts work under way; gives its number, when it is done, and whether it will be refused.
    fn begin(&self, work: Work) -> (u64, Instant, bool) {
        let mut state = self.lock();
        let StoreConditions { failing_per_mille, slow_per_mille, .. } = state.conditions;
        let fails = state.random.chance(failing_per_mille);
        let ms = if state.random.chance(slow_per_mille) {
            500 + state.random.below(8_000)
        } else {
            1 + state.random.below(4)
        };
        let now = now();
        let due = now + Duration::from_millis(ms);
        let number = state.next;
        state.next += 1;
        if let Work::Batch(batch) = &work {
            let asked: Vec<_> =
                batch.iter().filter(|write| matches!(write, Write::Presence { .. })).cloned().collect();
            state.notes.extend(asked.into_iter().map(Note::Asked));
        }
        state.under_way.insert(number, (due, (!fails).then_some(work)));
        (number, due, fails)
    }

    /// Takes work that is done off the list; `None`: it is refused.
    fn end(&self, number: u64) -> Option<Work> {
        let mut state = self.lock();
        let work = state.under_way.remove(&number).and_then(|(_, work)| work);
        if work.is_none() {
            state.notes.push(Note::Refused);
        }
        work
    }

    /// Whether a read fails, and how long it takes.
    fn read(&self) -> (bool, Option<Duration>) {
        let mut state = self.lock();
        let per_mille = state.conditions.reads_failing_per_mille;
        let fails = state.random.chance(per_mille);
        let slow = state.random.chance(per_mille);
        let takes = slow.then(|| Duration::from_millis(1 + state.random.below(3_000)));
        (fails, takes)
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the simulated disk is full".to_owned())
}

impl Store for SimulatedStore {
    fn credentials<'a>(
        &'a self,
        product_key: &'a str,
        device_key: &'a str,
    ) -> PortFuture<'a, Result<CredentialLookup, StoreError>> {
        let (fails, takes) = self.read();
        let Some(takes) = takes else {
            return if fails {
                Box::pin(std::future::ready(Err(unavailable())))
            } else {
                self.durable.credentials(product_key, device_key)
            };
        };
        let (product_key, device_key) = (product_key.to_owned(), device_key.to_owned());
        let this = self.clone();
        let number = {
            let mut state = this.lock();
            let number = state.next;
            state.next += 1;
            state.under_way.insert(number, (now() + takes, None));
            number
        };
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            this.lock().under_way.remove(&number);
            if fails { Err(unavailable()) } else { this.durable.credentials(&product_key, &device_key).await }
        })
    }

    fn append(&self, batch: Vec<Write>) -> PortFuture<'static, Result<Vec<Written>, StoreError>> {
        let this = self.clone();
        let (number, due, fails) = this.begin(Work::Batch(batch));
        Box::pin(async move {
            tokio::time::sleep_until(due.into()).await;
            match this.end(number) {
                Some(Work::Batch(batch)) if !fails => this.apply(batch),
                _ => Err(unavailable()),
            }
        })
    }

    fn issue_secret(
        &self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
        peer: String,
    ) -> PortFuture<'static, Result<Issued, StoreError>> {
        let this = self.clone();
        let (number, due, _) = this.begin(Work::Issue { device, secret, at, peer });
        Box::pin(async move {
            tokio::time::sleep_until(due.into()).await;
            match this.end(number) {
                Some(Work::Issue { device, secret, at, peer }) => this.apply_issue(device, secret, at, peer),
                _ => Err(unavailable()),
            }
        })
    }

    fn create_product(&self, product: Product) -> PortFuture<'static, Result<(), StoreError>> {
        self.durable.create_product(product)
    }

    fn update_product(&self, product: Product) -> PortFuture<'static, Result<(), StoreError>> {
        self.durable.update_product(product)
    }

    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>> {
        let (fails, _) = self.read();
        if fails {
            Box::pin(std::future::ready(Err(unavailable())))
        } else {
            self.durable.product(product_key)
        }
    }

    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>> {
        self.durable.products()
    }

    fn delete_devices_of(
        &self,
        product_key: String,
        limit: usize,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<DeviceId>, StoreError>> {
        self.durable.delete_devices_of(product_key, limit, at)
    }

    fn delete_product(&self, product_key: String) -> PortFuture<'static, Result<(), StoreError>> {
        self.durable.delete_product(product_key)
    }

    fn create_devices(
        &self,
        devices: Vec<NewDevice>,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<Result<Device, StoreError>>, StoreError>> {
        self.durable.create_devices(devices, at)
    }

    fn device<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<Option<Device>, StoreError>> {
        self.durable.device(name)
    }

    fn device_by_id(&self, device: DeviceId) -> PortFuture<'_, Result<Option<Device>, StoreError>> {
        self.durable.device_by_id(device)
    }

    fn devices(
        &self,
        query: DeviceQuery,
    ) -> PortFuture<'_, Result<Vec<Result<Device, DamagedDevice>>, StoreError>> {
        self.durable.devices(query)
    }

    fn rename_device(
        &self,
        device: DeviceId,
        name: String,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        self.durable.rename_device(device, name, at)
    }

    fn set_device_enabled(
        &self,
        device: DeviceId,
        enabled: bool,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        self.durable.set_device_enabled(device, enabled, at)
    }

    fn reset_device(
        &self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>> {
        self.durable.reset_device(device, secret, at)
    }

    fn delete_device(&self, device: DeviceId, at: UnixMillis) -> PortFuture<'static, Result<(), StoreError>> {
        self.durable.delete_device(device, at)
    }

    fn points_latest(&self, device: DeviceId) -> PortFuture<'_, Result<Page<PointValue>, StoreError>> {
        self.durable.points_latest(device)
    }

    fn points_history(
        &self,
        device: DeviceId,
        query: HistoryQuery,
    ) -> PortFuture<'_, Result<Page<PointValue>, StoreError>> {
        self.durable.points_history(device, query)
    }

    fn device_log(&self, device: DeviceId, part: Part) -> PortFuture<'_, Result<Page<LogEntry>, StoreError>> {
        self.durable.device_log(device, part)
    }

    fn refusals(&self, part: Part) -> PortFuture<'_, Result<Page<LogEntry>, StoreError>> {
        self.durable.refusals(part)
    }

    fn presence_history(
        &self,
        device: DeviceId,
        limit: usize,
    ) -> PortFuture<'_, Result<Vec<PresenceChange>, StoreError>> {
        self.durable.presence_history(device, limit)
    }

    fn online_devices(&self) -> PortFuture<'_, Result<Vec<OnlineDevice>, StoreError>> {
        self.durable.online_devices()
    }

    fn overview(&self, query: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>> {
        self.durable.overview(query)
    }

    fn close(&self) -> PortFuture<'static, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
