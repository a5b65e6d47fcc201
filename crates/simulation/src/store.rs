//! A store that takes its time, fails at times, and loses what a crash finds under way: around the memory
//! store, which stands for what is durable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use narrowgate_platform::memory::MemoryStore;
use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
    model::{
        credential::CredentialLookup,
        damaged::{DamagedDevice, DamagedProduct},
        device::Device,
        overview::{Overview, OverviewQuery},
        product::Product,
    },
    ports::{
        Batch, Change, Changed, Committed, DeviceQuery, Issued, Journal, PortFuture, Recovered, Registry,
        SimilarNames, StoreError, Stores, Write, Written,
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

struct State {
    random: SeededRandom,
    conditions: StoreConditions,
    /// Under way, in the order in which it was handed over; with the runtime's instant at which it is done.
    under_way: BTreeMap<u64, (Instant, Option<Batch>)>,
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
        for (_, batch) in under_way.into_values().take(kept) {
            if let Some(batch) = batch {
                drop(self.apply(batch));
            }
        }
    }

    /// The ports for a gateway: reading back what happened neither fails nor takes its time.
    pub fn stores(&self) -> Stores {
        let this = Arc::new(self.clone());
        Stores { journal: this.clone(), registry: this, history: self.durable() }
    }

    /// What is durable, without delays and failures.
    pub fn durable(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.durable)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: Batch) -> Result<Committed, StoreError> {
        let written = block_on(self.durable.append(batch.clone()))?;
        let mut state = self.lock();
        for (write, outcome) in batch.writes.into_iter().zip(&written.outcomes) {
            match write {
                Write::IssueSecret { device, secret, .. } => {
                    if *outcome == Written::Issue(Issued::Done) {
                        state.notes.push(Note::Issued(device, secret.expose().into()));
                    }
                }
                write => state.notes.push(Note::Applied(write, *outcome)),
            }
        }
        Ok(written)
    }

    /// Puts a batch under way; gives its number, when it is done, and whether it will be refused.
    fn begin(&self, batch: Batch) -> (u64, Instant, bool) {
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
        let asked = batch.writes.iter().filter(|write| matches!(write, Write::Presence { .. }));
        state.notes.extend(asked.cloned().map(Note::Asked));
        state.under_way.insert(number, (due, (!fails).then_some(batch)));
        (number, due, fails)
    }

    /// Takes a batch that is due off the list; `None`: it is refused.
    fn end(&self, number: u64) -> Option<Batch> {
        let mut state = self.lock();
        let batch = state.under_way.remove(&number).and_then(|(_, batch)| batch);
        if batch.is_none() {
            state.notes.push(Note::Refused);
        }
        batch
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

impl Journal for SimulatedStore {
    fn append(&self, batch: Batch) -> PortFuture<'static, Result<Committed, StoreError>> {
        let this = self.clone();
        let (number, due, fails) = this.begin(batch);
        Box::pin(async move {
            tokio::time::sleep_until(due.into()).await;
            match this.end(number) {
                Some(batch) if !fails => this.apply(batch),
                _ => Err(unavailable()),
            }
        })
    }

    fn recover(&self) -> PortFuture<'_, Result<Recovered, StoreError>> {
        self.durable.recover()
    }

    fn close(&self) -> PortFuture<'static, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Look-ups and products may fail; everything else is as it is durable.
impl Registry for SimulatedStore {
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

    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>> {
        let (fails, _) = self.read();
        if fails {
            Box::pin(std::future::ready(Err(unavailable())))
        } else {
            self.durable.product(product_key)
        }
    }

    fn former_secrets(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<Secret>, StoreError>> {
        self.durable.former_secrets(device)
    }

    fn similar_names<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<SimilarNames, StoreError>> {
        self.durable.similar_names(name)
    }

    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>> {
        self.durable.products()
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

    fn overview(&self, query: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>> {
        self.durable.overview(query)
    }

    fn change(&self, change: Change) -> PortFuture<'static, Result<Changed, StoreError>> {
        self.durable.change(change)
    }
}
