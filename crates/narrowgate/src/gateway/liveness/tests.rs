//! A running gateway whose parts end or hang.

use std::{net::UdpSocket, thread};

use narrowgate_dtls::{DecoySecret, ServerConfig};
use narrowgate_engine::{event::ShardEvent, shard::ShardConfig};
use narrowgate_engine_io::driver::{EventSink, RunningShard};
use narrowgate_platform::{
    memory::MemoryStore,
    ports::{Batch, Committed, NoScripts, PortFuture, Recovered, StoreError, Stores},
};

use super::*;
use crate::{
    feed::Feed,
    gateway::{Gateway, GatewayOptions},
    system::{SystemClock, SystemEntropy},
};

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that never answers a batch, or has ended.
struct Hanging {
    store: MemoryStore,
    is_running: bool,
}

impl Journal for Hanging {
    fn append(&self, _: Batch) -> PortFuture<'static, Result<Committed, StoreError>> {
        Box::pin(std::future::pending())
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

async fn gateway(journal: Option<Hanging>) -> Gateway {
    let shard = shard_config();
    let dtls = Arc::clone(&shard.dtls);
    let dtls_listen = "127.0.0.1:0".parse().expect("an address");
    let limits = narrowgate_gateway::Limits::default();
    let options =
        GatewayOptions { dtls_listen, public_address: None, plain: None, shards: 1, dtls, shard, limits };
    let mut stores = Stores::from(Arc::new(MemoryStore::default()));
    if let Some(journal) = journal {
        stores.journal = Arc::new(journal);
    }
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    Gateway::start(options, stores, clock, entropy, (Feed::new(), Arc::new(NoScripts)))
        .await
        .expect("it starts")
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
    let hangs = Hanging { store: MemoryStore::default(), is_running: true };
    let gateway = gateway(Some(hangs)).await;
    let limits = (PATIENCE, Duration::from_millis(100));
    let liveness = Liveness { limits, ..gateway.liveness() };
    assert_eq!(liveness.stuck(), []);
    // Another protocol at the port is written down.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(b"GET / HTTP/1.1\r\n\r\n", gateway.dtls_address()).unwrap();
    found(&liveness, |stuck| matches!(stuck, Stuck::Store(_))).await;
    assert!(!liveness.stuck()[0].is_mended_by_a_restart());

    let ended = Hanging { store: MemoryStore::default(), is_running: false };
    let ended = Liveness { journal: Arc::new(ended), ..liveness };
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
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let config = ShardConfig { shard: 7, ..shard_config() };
    let shard = RunningShard::start(config, socket, [1; 32], Panics).unwrap();
    let limits = (Duration::from_secs(3), PATIENCE);
    let mut liveness = Liveness { limits, ..gateway.liveness() };
    liveness.shards.push(shard.handle().clone());
    for _ in 0..4 {
        thread::sleep(Duration::from_secs(1));
        liveness.nudge();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(liveness.stuck(), [], "it runs");
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"GET / HTTP/1.1\r\n\r\n", address).unwrap();
    found(&liveness, |stuck| matches!(stuck, Stuck::Shard(7, _))).await;
    assert_eq!(liveness.stuck().len(), 1, "the other one runs");
    gateway.drain().await;
}
