//! Time, the server's incarnations, the network, and the agents, put together.
//!
//! Time moves in whole milliseconds. What a shard tells the bridge in one step is decided in the next millisecond, when
//! the runtime of the server has run all of its tasks until none could go on.

mod after;
mod trouble;

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate::bridge::{Gateway, feed::Feed};
use narrowgate_api::{
    device::{NamedDevice, NewDeviceRequest},
    product::{NewDynamicActivation, NewProduct},
    secret::SecretText,
};
use narrowgate_dtls::{CipherSuite, DecoySecret, Random, RecordSeen, ServerConfig, records_seen};
use narrowgate_engine::{
    event::ShardEvent,
    shard::{Shard, ShardConfig},
};
use narrowgate_engine_io::{driver::EventSink, handle::ShardHandle, undriven::ShardInputs};
use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::device::DeviceState,
    ports::{Clock, Entropy, Journal as _, NobodyConnected, Registry as _, Write},
    service::Operator,
    testing::{SeededEntropy, block_on},
};
use narrowgate_sim::{
    device::SecureMode,
    net::{Network, Packet},
    random::SeededRandom,
    world::start,
};
use tokio::runtime::Runtime;

use crate::{
    agent::{Agent, Nature, Said, device_key},
    clock::WallClock,
    ledger::{Ledger, Totals, Violation},
    plan::{Limits, Plan, Scale},
    store::{Note, SimulatedStore},
};

/// Where the server is.
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 5684);
const PRODUCTS: [&str; 2] = ["ProdA111", "ProdB222"];
const PRODUCT_SECRET: &str = "product-secret-of-the-fleet";
const MILLISECOND: Duration = Duration::from_millis(1);
/// Time in which nothing goes wrong, long enough for the longest pause of a device and then some.
const CALM: Duration = Duration::from_secs(420);
/// A session that was silent for so long is closed.
const IDLE: Duration = Duration::from_secs(1_800);
/// Datagrams that the stranger remembers.
const REMEMBERED: usize = 64;

/// A server between two crashes.
struct Incarnation {
    runtime: Runtime,
    /// The runtime's instant and the world's at its start.
    base: (Instant, Instant),
    gateway: Gateway,
    shards: Vec<Shard>,
    inputs: Vec<ShardInputs>,
    sinks: Vec<Box<dyn EventSink>>,
    /// What each shard has to tell in this step.
    events: Vec<Vec<ShardEvent>>,
}

/// See the module.
pub struct World {
    plan: Plan,
    now: Instant,
    random: SeededRandom,
    entropy: Arc<SeededEntropy>,
    clock: Arc<WallClock>,
    /// Since when the wall clock has been ahead of the world's beginning by so many milliseconds.
    offsets: Vec<(Instant, i64)>,
    store: SimulatedStore,
    server: Option<Incarnation>,
    network: Network,
    burst: Option<Instant>,
    in_trouble: bool,
    agents: Vec<Agent>,
    due: BTreeSet<(Instant, usize)>,
    timers: Vec<Option<Instant>>,
    addresses: std::collections::HashMap<SocketAddr, usize>,
    next_port: u32,
    ledger: Ledger,
    /// Over every datagram that was sent, with its time and its addresses.
    digest: u64,
    seen: VecDeque<Packet>,
    disabled: BTreeSet<u32>,
    product_off: Option<usize>,
    /// Since when that product is switched off.
    product_off_since: Option<Instant>,
    /// Reports that were sent by a device more than a second after it was switched off.
    hopeless: BTreeSet<(u32, u64)>,
    /// Things that happened, for the summary.
    pub happened: Happened,
}

/// Counts of what went wrong on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Happened {
    /// Crashes of the server.
    pub crashes: u64,
    /// Mishaps of devices.
    pub mishaps: u64,
    /// Acts of operators.
    pub acts: u64,
    /// Jumps of the wall clock.
    pub jumps: u64,
    /// Datagrams of a stranger.
    pub strange: u64,
    /// Bursts of loss.
    pub bursts: u64,
}

/// What came of a run without a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// What the ledger counted.
    pub totals: Totals,
    /// What went wrong on purpose.
    pub happened: Happened,
    /// Virtual seconds.
    pub seconds: u64,
    /// Of every datagram that was sent, with its time and its addresses.
    pub digest: u64,
}

/// Runs a seed from its beginning to its end.
///
/// # Panics
/// A promise is broken; the message tells which, when, and how to replay it.
pub fn run(seed: u64, scale: Scale) -> Outcome {
    let mut world = World::new(Plan::new(seed, scale));
    world.trouble();
    world.calm();
    world.end();
    let seconds = (world.now - start()).as_secs();
    Outcome { totals: world.ledger.totals, happened: world.happened, seconds, digest: world.digest }
}

fn shard_config(number: u16, limits: Option<Limits>) -> ShardConfig {
    let dtls = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
    let mut config = ShardConfig { shard: number, idle_timeout: IDLE, ..ShardConfig::new(dtls) };
    if let Some(limits) = limits {
        config.sessions_max = limits.sessions_max;
        config.admission.handshakes_max = limits.handshakes_max;
        config.admission.handshakes_per_address_max = limits.handshakes_per_address_max;
        config.admission.lookups_max = limits.lookups_max;
        config.requests_in_flight_max = limits.requests_in_flight_max;
        config.coap_budget_bytes = limits.coap_budget_bytes;
    }
    config
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut random = SeededRandom::new(plan.seed);
        let mut world = Self {
            now: start(),
            entropy: Arc::new(SeededEntropy::new(random.next_u64())),
            clock: Arc::new(WallClock::new(start(), UnixMillis(0))),
            offsets: vec![(start(), 1_800_000_000_000)],
            store: SimulatedStore::new(random.next_u64()),
            server: None,
            network: Network::new(plan.network.clone(), random.next_u64()),
            burst: None,
            in_trouble: true,
            agents: Vec::new(),
            due: BTreeSet::new(),
            timers: Vec::new(),
            addresses: std::collections::HashMap::new(),
            next_port: 0,
            ledger: Ledger::default(),
            digest: 0xcbf2_9ce4_8422_2325,
            seen: VecDeque::new(),
            disabled: BTreeSet::new(),
            product_off: None,
            product_off_since: None,
            hopeless: BTreeSet::new(),
            happened: Happened::default(),
            random,
            plan,
        };
        world.start_server();
        world.register();
        world.store.change(world.plan.store);
        world
    }

    /// Creates products and devices, and switches the devices on one after the other.
    fn register(&mut self) {
        for key in PRODUCTS {
            let new = NewProduct {
                name: key.to_owned(),
                product_key: Some(key.to_owned()),
                product_secret: Some(SecretText::new(PRODUCT_SECRET.to_owned())),
                dynamic_activation: NewDynamicActivation {
                    enabled: true,
                    quota_per_hour: Some(100_000),
                    ..NewDynamicActivation::default()
                },
                ..NewProduct::default()
            };
            self.administer(|operator| block_on_ready(operator.create_product(new))).expect("a new product");
        }
        for number in 0..self.plan.devices {
            let product = self.random.below(2) as usize;
            let secret = format!("secret-{number}-{:016x}", self.random.next_u64());
            let request = NewDeviceRequest {
                device_key: Some(device_key(number)),
                device_secret: Some(SecretText::new(secret.clone())),
                name: None,
            };
            self.administer(|operator| block_on_ready(operator.create_device(PRODUCTS[product], request)))
                .expect("a new device");
            let id = self.device(number, |device| device);
            let lifetime_s = [30, 60, 120, 300, 600][self.random.below(5) as usize];
            self.ledger.register(number, id, lifetime_s);
            let unactivated = self.random.chance(self.plan.unactivated_per_mille);
            let suite = CipherSuite::ALL[self.random.below(2) as usize];
            let (mode, secret) = if unactivated {
                (SecureMode::Product, PRODUCT_SECRET.to_owned())
            } else {
                (SecureMode::Device, secret)
            };
            let address = self.new_address();
            let begins = self.now + Duration::from_millis(self.random.below(30_000));
            let interval = Duration::from_millis(2_000 + self.random.below(60_000));
            self.agents.push(Agent::new(Nature {
                number,
                address,
                product_key: PRODUCTS[product].to_owned(),
                secret,
                mode,
                lifetime_s,
                suite,
                interval,
                begins,
            }));
            self.addresses.insert(address, number as usize);
            self.timers.push(None);
            self.refresh(number as usize);
        }
    }

    fn new_address(&mut self) -> SocketAddr {
        self.next_port += 1;
        let host = 1 + (self.next_port / 60_000) as u8;
        SocketAddr::from(([198, 51, 100, host], 1_024 + (self.next_port % 60_000) as u16))
    }

    /// Does something that operators do, in the runtime of the server.
    fn administer<T>(&self, act: impl FnOnce(Operator) -> T) -> T {
        let server = self.server.as_ref().expect("operators work while the server runs");
        // Operators wait for the store; here they find it free.
        let store = self.store.durable();
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (self.clock.clone(), self.entropy.clone());
        let _inside = server.runtime.enter();
        // Sessions are ended by the world itself, in words of its own.
        let operator = Operator::new(store, clock, entropy, Arc::new(NobodyConnected));
        server.runtime.block_on(async { act(operator) })
    }

    fn device<T>(&self, number: u32, read: impl FnOnce(DeviceId) -> T) -> T {
        let found = self.administer(|operator| {
            block_on_ready(operator.resolve(&NamedDevice::by_name(device_key(number))))
        });
        read(found.expect("it is registered").id)
    }

    fn wall_ms(&self) -> i64 {
        let offset_ms = self.offsets.last().map_or(0, |(_, offset_ms)| *offset_ms);
        offset_ms + (self.now - start()).as_millis() as i64
    }

    fn start_server(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without threads and sockets");
        let base = runtime.block_on(async { tokio::time::Instant::now().into_std() });
        self.clock.set(base, UnixMillis(self.wall_ms()));
        let (mut handles, mut inputs, mut shards) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..self.plan.shards {
            let (handle, queued): (ShardHandle, ShardInputs) =
                ShardHandle::undriven(number).expect("file descriptors are left");
            let mut seed = [0; 32];
            self.random.fill(&mut seed);
            handles.push(handle);
            inputs.push(queued);
            shards.push(Shard::new(shard_config(number, self.limits()), self.now, seed));
        }
        let started = runtime.block_on(Gateway::start_undriven(
            handles,
            self.store.stores(),
            self.clock.clone(),
            self.entropy.clone(),
            Feed::new(),
        ));
        let (gateway, sinks) = started.expect("the list of devices online can be read");
        let recovered = block_on(self.store.durable().recover()).unwrap_or_default();
        self.ledger.restarted(self.now, &recovered.online);
        let events = shards.iter().map(|_| Vec::new()).collect();
        self.server =
            Some(Incarnation { runtime, base: (base, self.now), gateway, shards, inputs, sinks, events });
    }

    /// Small ones hold while there is trouble.
    fn limits(&self) -> Option<Limits> {
        self.plan.limits.filter(|_| self.in_trouble)
    }

    /// kill -9: shards, tasks and what is under way are gone.
    fn crash(&mut self) {
        let Some(server) = self.server.take() else { return };
        // The tasks end with their runtime, before the store decides what became of their writes.
        drop(server.gateway);
        drop(server.runtime);
        self.store.crash();
        self.take_notes();
        self.ledger.crashed();
        self.happened.crashes += 1;
    }

    /// Everything that is due now, and then time, until `end`.
    fn run_until(&mut self, end: Instant) {
        while self.now < end {
            let told = self.step();
            let next = if told {
                self.now + MILLISECOND
            } else {
                self.next_due().map_or(end, |due| due.max(self.now + MILLISECOND))
            };
            self.advance(whole(next).min(end));
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let server = self.server.as_ref();
        let shards =
            server.into_iter().flat_map(|server| server.shards.iter().filter_map(Shard::poll_timeout));
        let store = server.and_then(|server| {
            self.store.poll_timeout().map(|due| server.base.1 + due.saturating_duration_since(server.base.0))
        });
        let agents = self.due.first().map(|(due, _)| *due);
        shards.chain(store).chain(agents).chain(self.network.poll_timeout()).min()
    }

    /// Lets the server's tasks run while time passes.
    fn advance(&mut self, to: Instant) {
        self.now = to;
        if let Some(server) = &self.server {
            let until = tokio::time::Instant::from_std(server.base.0 + (to - server.base.1));
            server.runtime.block_on(async { tokio::time::sleep_until(until).await });
            self.take_notes();
        }
    }

    /// Returns whether the bridge has been told something.
    fn step(&mut self) -> bool {
        let now = self.now;
        if let Some(server) = &mut self.server {
            for (inputs, shard) in server.inputs.iter_mut().zip(&mut server.shards) {
                inputs.apply(now, shard);
            }
        }
        while let Some(packet) = self.network.poll_arrival(now) {
            self.deliver(packet);
        }
        if let Some(server) = &mut self.server {
            server.shards.iter_mut().for_each(|shard| shard.handle_timeout(now));
        }
        while let Some(&(due, index)) = self.due.first() {
            if due > now {
                break;
            }
            let mut said = Vec::new();
            self.agents[index].handle_timeout(now, &mut self.random, &mut said);
            self.say(index, said);
            self.refresh(index);
        }
        let told = self.tell();
        self.collect();
        self.bounded();
        self.ledger.end_of_step();
        told
    }

    /// Nothing in a shard is beyond its limit.
    fn bounded(&mut self) {
        let config = shard_config(0, self.limits());
        let Some(server) = &mut self.server else { return };
        let over = server.shards.iter_mut().find_map(|shard| {
            let gauges = shard.stats().gauges;
            let held = gauges.sessions <= config.sessions_max
                && gauges.handshakes <= config.admission.handshakes_max
                // Only new handshakes wait for fewer look-ups; those under way may all ask.
                && gauges.lookups <= gauges.handshakes
                && gauges.requests_in_flight <= config.requests_in_flight_max
                // Requests that were let in are answered, and their answers stored, even if these are longer than expected.
                && gauges.stored_answer_bytes
                    <= config.coap_budget_bytes + config.requests_in_flight_max * config.coap.message_bytes_max;
            (!held).then_some(gauges)
        });
        if let Some(gauges) = over {
            self.require(false, None, format_args!("a shard is beyond its limits: {gauges:?}"));
        }
    }

    /// Passes the shards' events to the ledger and to the bridge.
    fn tell(&mut self) -> bool {
        let Some(mut server) = self.server.take() else { return false };
        let mut told = false;
        let Incarnation { shards, sinks, events, .. } = &mut server;
        for ((shard, sink), events) in shards.iter_mut().zip(sinks).zip(events) {
            shard.drain_events(events);
            if events.is_empty() {
                continue;
            }
            told = true;
            for event in &*events {
                let checked = self.ledger.event(event, self.now);
                self.check(checked);
            }
            sink.deliver(events);
            events.clear();
        }
        self.server = Some(server);
        told
    }

    /// Puts on its way what the server wants to send.
    fn collect(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        for shard in &mut server.shards {
            let sent: Vec<(SocketAddr, Vec<u8>)> =
                shard.outbox().iter().map(|(path, datagram)| (path.peer, datagram.to_vec())).collect();
            shard.outbox().clear();
            for (to, datagram) in sent {
                let checked = self.ledger.transmitted(to, &datagram);
                self.check(checked);
                self.transmit(SERVER, to, datagram);
            }
        }
        self.server = Some(server);
    }

    fn deliver(&mut self, packet: Packet) {
        let Packet { from, to, mut bytes } = packet;
        if to == SERVER {
            if let Some(server) = &mut self.server {
                // As the kernel does with several sockets on one port: by the peer's address.
                let hash = u64::from(from.port()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                let index = hash as usize % server.shards.len();
                let sealed = is_sealed(&bytes).then(|| bytes.clone());
                let shard = &mut server.shards[index];
                let pending = &mut server.events[index];
                let before = pending.len();
                shard.handle_datagram(self.now, from, &mut bytes);
                shard.drain_events(pending);
                let took = |event: &ShardEvent| {
                    matches!(event, ShardEvent::Request { .. } | ShardEvent::Heard { .. })
                };
                if let Some(sealed) = sealed.filter(|_| pending[before..].iter().any(took)) {
                    let checked = self.ledger.accepted(from, sealed);
                    self.check(checked);
                }
            }
            return;
        }
        let Some(&index) = self.addresses.get(&to) else { return };
        let mut said = Vec::new();
        self.agents[index].handle_datagram(self.now, &mut bytes, &mut self.random, &mut said);
        self.say(index, said);
        self.refresh(index);
    }

    /// Drains an agent and notes when it wants to be called.
    fn refresh(&mut self, index: usize) {
        while let Some(datagram) = self.agents[index].poll_transmit() {
            let from = self.agents[index].address;
            self.transmit(from, SERVER, datagram);
        }
        let next = self.agents[index].poll_timeout().map(whole);
        if next != self.timers[index] {
            if let Some(old) = self.timers[index] {
                self.due.remove(&(old, index));
            }
            if let Some(next) = next {
                self.due.insert((next, index));
            }
            self.timers[index] = next;
        }
    }

    fn say(&mut self, index: usize, said: Vec<Said>) {
        let number = index as u32;
        for word in said {
            let checked = match word {
                Said::Sent(report) => {
                    self.ledger.sent(number, report);
                    if self.is_off_for_long(number) {
                        self.hopeless.insert((number, report));
                    }
                    Ok(())
                }
                Said::Acknowledged(report) if self.hopeless.contains(&(number, report)) => Err(Violation {
                    device: Some(number),
                    what: format!(
                        "report {report} is acknowledged, and it was sent long after it was switched off"
                    ),
                }),
                Said::Acknowledged(report) => self.ledger.acknowledged(number, report),
                Said::Received(secret) => self.ledger.received(number, &secret),
            };
            self.check(checked);
        }
    }

    /// Whether a device, or its product, has been switched off for more than a second.
    fn is_off_for_long(&self, number: u32) -> bool {
        let long = |since: Instant| self.now > since + Duration::from_secs(1);
        let product = self.agents[number as usize].product_key();
        let product_off = self.product_off.is_some_and(|off| PRODUCTS[off] == product);
        self.ledger.off_since(number).is_some_and(long)
            || product_off && self.product_off_since.is_some_and(long)
    }

    /// The network takes a datagram, or loses it in a burst, or cuts it.
    fn transmit(&mut self, from: SocketAddr, to: SocketAddr, mut datagram: Vec<u8>) {
        self.digest(from, to, &datagram);
        if self.in_trouble {
            if self.burst.is_some_and(|end| self.now < end) {
                return;
            }
            if self.random.chance(self.plan.bursts_per_mille) {
                self.burst = Some(self.now + Duration::from_millis(200 + self.random.below(15_000)));
                self.happened.bursts += 1;
                return;
            }
            if self.random.chance(self.plan.cut_per_mille) {
                let length = self.random.below(datagram.len() as u64) as usize;
                datagram.truncate(length);
            }
            if self.plan.strange.is_some() {
                if self.seen.len() == REMEMBERED {
                    self.seen.pop_front();
                }
                self.seen.push_back(Packet { from, to, bytes: datagram.clone() });
            }
        }
        self.network.handle_datagram(self.now, from, to, &datagram);
    }

    /// FNV-1a: two runs of a seed are the same only when they sent the same bytes at the same times.
    fn digest(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let at = (self.now - start()).as_millis() as u64;
        let head =
            [at.to_le_bytes(), u64::from(from.port()).to_le_bytes(), u64::from(to.port()).to_le_bytes()];
        for byte in head.iter().flatten().chain(datagram) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn take_notes(&mut self) {
        for note in self.store.take_notes() {
            let checked = match note {
                Note::Asked(write) => self.decided(&write),
                Note::Applied(write, outcome) => self.ledger.applied(&write, outcome),
                Note::Refused => {
                    self.ledger.refused();
                    Ok(())
                }
                Note::Issued(device, secret) => {
                    self.ledger.issued(device, &secret);
                    Ok(())
                }
            };
            self.check(checked);
        }
    }

    /// The store is asked to note a change of presence. Its wall-clock time tells when it was decided.
    fn decided(&mut self, write: &Write) -> Result<(), Violation> {
        let Write::Presence { at, .. } = write else { return Ok(()) };
        let mut until = self.now;
        let what = format!("a change of presence at a time that no clock has shown: {write:?}");
        let mut wrong = Err(Violation { device: None, what });
        // Where a clock was set back it has shown a time twice: one of the two has to be right.
        for &(since, offset_ms) in self.offsets.iter().rev() {
            let decided = u64::try_from(at.0 - offset_ms).ok().map(|ms| start() + Duration::from_millis(ms));
            if let Some(decided) = decided.filter(|decided| *decided >= since && *decided <= until) {
                wrong = self.ledger.presence_decided(write, decided);
                if wrong.is_ok() {
                    break;
                }
            }
            until = since;
        }
        wrong
    }

    /// What the store holds of a device's presence.
    fn is_online(&self, number: u32) -> bool {
        let device = block_on(self.store.durable().device_by_id(self.ledger.id_of(number)));
        device.ok().flatten().is_some_and(|device| device.state == DeviceState::Online)
    }

    fn check(&self, checked: Result<(), Violation>) {
        if let Err(violation) = checked {
            self.violated(&violation);
        }
    }

    fn violated(&self, violation: &Violation) -> ! {
        let Violation { device, what } = violation;
        let seconds = (self.now - start()).as_secs_f64();
        let whose = device.map_or_else(String::new, |number| format!("device {number}: "));
        let trace =
            device.and_then(|number| self.agents.get(number as usize)).map(|agent| agent.trace(start()));
        panic!(
            "seed {}, {seconds:.3} s: {whose}{what}\n{}replay it: narrowgate-simulation replay --seed {} ({} devices)",
            self.plan.seed,
            trace.unwrap_or_default(),
            self.plan.seed,
            self.plan.devices,
        )
    }

    fn require(&self, holds: bool, device: Option<u32>, what: impl fmt::Display) {
        if !holds {
            self.violated(&Violation { device, what: what.to_string() });
        }
    }
}

/// Whether a datagram is one record of a session: application data under the session's keys.
fn is_sealed(datagram: &[u8]) -> bool {
    let first = records_seen(datagram).next();
    matches!(first, Some(RecordSeen { content_type: 23, epoch: 1, bytes, .. }) if bytes == datagram.len())
}

/// The next whole millisecond after the beginning.
fn whole(at: Instant) -> Instant {
    let since = at.saturating_duration_since(start());
    let ms = since.as_millis() as u64 + u64::from(!since.subsec_nanos().is_multiple_of(1_000_000));
    start() + Duration::from_millis(ms)
}

/// The registry's work is done at once, since the store that it asks is memory.
fn block_on_ready<F: Future>(future: F) -> F::Output {
    block_on(future)
}
