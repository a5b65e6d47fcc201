//! Where the engine and the platform meet: shards' events become the platform's decisions, and these become commands.
//!
//! ```text
//!   shard thread ──events──▶ shard task ──writes──▶ ingest ──batch──▶ store
//!        ▲                    │   │                    │
//!        │                    │   └──heard──▶ presence ┘
//!        └─────commands───────┴──answers after the commit
//! ```
//!
//! One task per shard decides (`shard_task`); one task commits, in groups (`ingest`); one keeps the lifetime
//! clocks (`presence`); one issues secrets in the order in which they were committed (`issuer`).

mod diagnosis;
mod directory;
pub mod feed;
mod ingest;
mod issuer;
mod limits;
mod metrics;
mod presence;
mod products;
mod refusals;
mod requests;
mod shard_task;
mod unwritten;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_engine::event::{SessionId, ShardCommand, ShardEvent};
use narrowgate_engine_io::{
    driver::{EventSink, RunningShard},
    handle::ShardHandle,
};
use narrowgate_platform::{
    ids::DeviceId,
    ports::{Clock, Entropy, StoreError, Stores},
};
use tokio::sync::mpsc;

use narrowgate_http::metrics::Metric;

use self::feed::Feed;
use self::{
    directory::Directory,
    ingest::{BatchNumbers, Ingest},
    issuer::Issuer,
    presence::Presence,
    products::Products,
    refusals::Refusals,
    requests::Requests,
};

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The devices that were online could not be read.
    #[error("cannot read the state of the devices")]
    Store(#[from] StoreError),
}

/// What all tasks of the bridge share.
struct Core {
    stores: Stores,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    feed: Feed,
    directory: Arc<Directory>,
    products: Products,
    refusals: Arc<Refusals>,
    requests: Arc<Requests>,
    ingest: Ingest,
    presence: Arc<Presence>,
    issuer: Issuer,
}

/// The running gateway.
pub struct Gateway {
    address: SocketAddr,
    core: Arc<Core>,
    shards: Vec<RunningShard>,
    handles: Arc<Shards>,
    tasks: Vec<mpsc::UnboundedSender<shard_task::Input>>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

/// All shards' handles: commands find their way by the shard's number. Filled once, when the shards have started.
#[derive(Debug, Default)]
pub(crate) struct Shards(std::sync::OnceLock<Vec<ShardHandle>>);

impl Shards {
    /// Queues commands for one shard.
    pub(crate) fn send(&self, shard: u16, commands: Vec<ShardCommand>) {
        if let Some(handle) = self.all().get(usize::from(shard)) {
            let mut commands = commands;
            handle.send(&mut commands);
            assert!(commands.is_empty(), "the simulation takes them in every step");
        }
    }

    /// Ends a session with close_notify.
    pub(crate) fn close(&self, session: SessionId) {
        self.send(session.shard, vec![ShardCommand::Close { session }]);
    }

    fn all(&self) -> &[ShardHandle] {
        self.0.get().map_or(&[], Vec::as_slice)
    }
}

impl Gateway {
    /// Starts everything but the shards, which the caller has and drives: shard number n is reached by `reached[n]`, and
    /// its events go to the n-th sink. [`Gateway::drain`] is not for such a gateway.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start_undriven(
        reached: Vec<ShardHandle>,
        stores: Stores,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        feed: Feed,
    ) -> Result<(Self, Vec<Box<dyn EventSink>>), StartError> {
        let (core, handles) = Self::core(stores, clock, entropy, feed).await?;
        let prepared: Vec<_> = reached.iter().map(|_| shard_task::Prepared::new()).collect();
        let sink = |task: &shard_task::Prepared| Box::new(task.sink()) as Box<dyn EventSink>;
        let sinks = prepared.iter().map(sink).collect();
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        Ok((Self::begin(address, core, Vec::new(), reached, &handles, prepared), sinks))
    }

    /// What all shards share. The handles are filled in later, when the shards have started.
    async fn core(
        stores: Stores,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        feed: Feed,
    ) -> Result<(Arc<Core>, Arc<Shards>), StartError> {
        let handles = Arc::new(Shards::default());
        let online = stores.journal.recover().await?.online;
        let numbers = Arc::new(BatchNumbers::default());
        let journal = &stores.journal;
        let ingest = Ingest::start(
            Arc::clone(journal),
            Arc::clone(&numbers),
            Arc::clone(&clock),
            Arc::clone(&handles),
        );
        let presence = Presence::start(online, ingest.clone(), Arc::clone(&clock), feed.clone());
        let directory = Arc::new(Directory::default());
        let refusals = Arc::new(Refusals::new(Arc::clone(&clock), ingest.clone(), feed.clone()));
        let requests = Arc::new(Requests::new(Arc::clone(&refusals)));
        let core = Arc::new(Core {
            issuer: Issuer::start(
                Arc::clone(journal),
                numbers,
                Arc::clone(&clock),
                Arc::clone(&handles),
                feed.clone(),
                Arc::clone(&directory),
                Arc::clone(&requests),
            ),
            refusals,
            requests,
            products: Products::new(Arc::clone(&stores.registry)),
            directory,
            stores,
            clock,
            entropy,
            feed,
            ingest,
            presence,
        });
        Ok((core, handles))
    }

    /// Tasks run only now that every shard can be reached; what arrived meanwhile waits in their queues.
    fn begin(
        address: SocketAddr,
        core: Arc<Core>,
        shards: Vec<RunningShard>,
        reached: Vec<ShardHandle>,
        handles: &Arc<Shards>,
        prepared: Vec<shard_task::Prepared>,
    ) -> Self {
        let _ = handles.0.set(reached);
        let tasks = prepared.iter().map(|task| task.sender.clone()).collect();
        for (number, task) in (0..).zip(prepared) {
            task.start(Arc::clone(&core), Arc::clone(handles), number);
        }
        Self { address, core, shards, handles: Arc::clone(handles), tasks }
    }

    /// Ends the sessions of a device that was disabled, reset or deleted.
    pub fn close_device(&self, device: DeviceId, cause: &str) {
        for session in self.core.directory.sessions_of(device) {
            self.handles.close(session);
        }
        self.core.presence.forget(device, cause);
    }

    /// Takes up a change of a product: its model, and its sessions where it was disabled.
    pub fn product_changed(&self, product_key: &str) {
        self.core.products.forget(product_key);
        for task in &self.tasks {
            // A task that has ended serves nobody.
            let _ = task.send(shard_task::Input::ProductChanged(product_key.to_owned()));
        }
    }

    /// Counters and gauges of everything on the devices' side.
    pub fn metrics(&self) -> Vec<Metric> {
        metrics::collect(self.handles.all(), &self.core)
    }
}

/// Passes a shard's events to its task.
struct TaskSink {
    sender: mpsc::UnboundedSender<shard_task::Input>,
    backlog: Arc<std::sync::atomic::AtomicUsize>,
}

impl EventSink for TaskSink {
    fn deliver(&mut self, events: &mut Vec<ShardEvent>) {
        self.backlog.fetch_add(events.len(), std::sync::atomic::Ordering::Relaxed);
        let batch = std::mem::take(events);
        // The task outlives the shards, except while the process ends.
        let _ = self.sender.send(shard_task::Input::Events(batch));
    }
}

/// Now, by the clock of the runtime: the operating system's, or a test's that runs in virtual time.
fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A session with a product's secret ends so long after its handshake (device protocol, section 3).
const ACTIVATION_SESSION: Duration = Duration::from_secs(60);
/// And so long after it was given a secret.
const AFTER_ACTIVATION: Duration = Duration::from_secs(5);
