//! A running gateway whose parts end or hang.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
};

use narrowgate_dtls::{DecoySecret, ServerConfig};
use narrowgate_engine::{event::ShardEvent, shard::ShardConfig};
use narrowgate_engine_io::driver::{EventSink, RunningShard};
use narrowgate_platform::{
    memory::MemoryStore,
    ports::{Batch, Committed, NoScripts, PortFuture, Recovered, StoreError, Stores},
};
use tokio::sync::watch;

use super::*;
use crate::{
    feed::Feed,
    gateway::{Gateway, GatewayOptions},
    system::{SystemClock, SystemEntropy},
};

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that answers no batch before it goes on, or has ended.
pub(crate) struct Hanging {
    store: Arc<MemoryStore>,
    goes_on: watch::Receiver<bool>,
    is_running: bool,
}

impl Hanging {
    /// It hangs until `true` is sent.
    pub(crate) fn new() -> (Self, watch::Sender<bool>) {
        let (go_on, goes_on) = watch::channel(false);
        (Self { store: Arc::default(), goes_on, is_running: true }, go_on)
    }

    /// Its thread has ended.
    pub(crate) fn ended() -> Self {
        Self { is_running: false, ..Self::new().0 }
    }
}

impl Journal for Hanging {
    fn append(&self, batch: Batch) -> PortFuture<'static, Result<Committed, StoreError>> {
        let (store, mut goes_on) = (Arc::clone(&self.store), self.goes_on.clone());
        Box::pin(async move {
            // Nobody can let it go on any more: it hangs for ever.
            if goes_on.wait_for(|goes_on| *goes_on).await.is_err() {
                std::future::pending::<()>().await;
            }
            store.append(batch).await
        })
    }

    fn recover(&self) -> PortFuture<'_, Result<Recovered, StoreError>> {
        self.store.recover()
    }

    fn close(&self) -> PortFuture<'static, Result<(), StoreError>> {
        Box::pin(std::future::pending())
    }

    fn is_running(&self) -> bool {
        self.is_running
    }
}

fn shard_config() -> ShardConfig {
    ShardConfig::new(Arc::new(ServerConfig::new(DecoySecret::new([7; 32]))))
}

pub(crate) async fn gateway(journal: Option<Hanging>) -> Gateway {
    let shard = shard_config();
    let dtls = Arc::clone(&shard.dtls);
    let dtls_listen = "127.0.0.1:0".parse().expect("an address");
    let limits = narrowgate_gateway::Limits::default();
    let options = GatewayOptions {
        dtls_listen,
        public_address: None,
        plain: None,
        shards: 1,
        dtls,
        shard,
        limits,
        trace: None,
    };
    let mut stores = Stores::from(Arc::new(MemoryStore::default()));
    if let Some(journal) = journal {
        stores.journal = Arc::new(journal);
    }
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    Gateway::start(options, stores, clock, entropy, (Feed::new(), Arc::new(NoScripts)))
        .await
        .expect("it starts")
}

/// Another protocol at a port: an event of its shard, which is written down.
pub(crate) fn disturb(address: SocketAddr) {
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    stranger.send_to(b"GET / HTTP/1.1\r\n\r\n", address).expect("it is sent");
}

/// Adds shard 7, whose events go to `sink`; returns where it listens.
pub(crate) fn add_shard(liveness: &mut Liveness, sink: impl EventSink) -> (RunningShard, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_nonblocking(true).expect("it is a socket");
    let address = socket.local_addr().expect("it is bound");
    let config = ShardConfig { shard: 7, ..shard_config() };
    let shard = RunningShard::start(config, socket, [1; 32], sink).expect("it starts");
    liveness.shards.push(shard.handle().clone());
    (shard, address)
}

impl Liveness {
    /// A part is stuck after less time than in earnest.
    pub(crate) fn with_limits(self, silence_max: Duration, batch_time_max: Duration) -> Self {
        Self { limits: (silence_max, batch_time_max), ..self }
    }

    /// With another store.
    pub(crate) fn with_journal(self, journal: Arc<dyn Journal>) -> Self {
        Self { journal, ..self }
    }
}

async fn found(liveness: &Liveness, is_it: fn(&Stuck) -> bool) {
    let begin = Instant::now();
    while !liveness.stuck().iter().any(is_it) {
        assert!(begin.elapsed() < PATIENCE, "{:?}", liveness.stuck());
        liveness.nudge();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_nothing_to_do_is_alive() {
    let gateway = gateway(None).await;
    let liveness = Liveness { limits: (Duration::from_secs(5), Duration::ZERO), ..gateway.liveness() };
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(liveness.stuck(), []);
        liveness.nudge();
    }
    gateway.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_or_has_ended_is_found() {
    let (hangs, _go_on) = Hanging::new();
    let gateway = gateway(Some(hangs)).await;
    let liveness = gateway.liveness().with_limits(PATIENCE, Duration::from_millis(100));
    assert_eq!(liveness.stuck(), []);
    disturb(gateway.dtls_address());
    found(&liveness, |stuck| matches!(stuck, Stuck::Store(_))).await;
    assert!(!liveness.stuck()[0].is_mended_by_a_restart());

    let ended = liveness.with_journal(Arc::new(Hanging::ended()));
    assert_eq!(ended.stuck(), [Stuck::StoreEnded]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ended_is_found() {
    let gateway = gateway(None).await;
    let ends = thread::spawn(|| panic!("as the test wants it"));
    let liveness = Liveness { task: Arc::new(ends), ..gateway.liveness() };
    found(&liveness, |stuck| *stuck == Stuck::TaskEnded).await;
}

/// Ends its shard's thread with the first event.
struct Panics;

impl EventSink for Panics {
    fn deliver(&mut self, _: &mut Vec<ShardEvent>) {
        panic!("as the test wants it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_whose_thread_has_ended_is_found() {
    let gateway = gateway(None).await;
    let mut liveness = gateway.liveness().with_limits(Duration::from_secs(3), PATIENCE);
    let (_shard, address) = add_shard(&mut liveness, Panics);
    for _ in 0..4 {
        thread::sleep(Duration::from_secs(1));
        liveness.nudge();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(liveness.stuck(), [], "it runs");
    disturb(address);
    found(&liveness, |stuck| matches!(stuck, Stuck::Shard(7, _))).await;
    assert_eq!(liveness.stuck().len(), 1, "the other one runs");
    gateway.drain().await;
}
