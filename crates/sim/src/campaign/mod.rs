//! The whole server, a fleet of devices and a network under virtual time, from one seed.
//!
//! ```text
//!   agents ── network ── shards ── gateway ── store
//!      └───────── ledger: what was sent, acknowledged, stored; who was heard ────┘
//! ```
//!
//! A crash drops the shards and the gateway; what the store had applied stays. The [`ledger`] compares all
//! along, and the campaign panics with the seed, the time and the device's last moments when a promise is
//! broken:
//!
//! | promise | checked |
//! |---|---|
//! | an acknowledged report is stored exactly once, and nothing that was not sent | at each of both |
//! | … by plain CoAP once from an address between two crashes: only so are its copies told | at each |
//! | by plain CoAP a login ends with its lifetime, and proves the secret that is valid | at each |
//! | nothing is stored of a session whose secret was replaced | at each report that is stored |
//! | such a session ends, and so does one with a newer login | at each request |
//! | no record number is used twice by the server | at each datagram of a session |
//! | nothing is delivered that its device did not seal | at each request |
//! | a command is what its operator, its device and time made of it | at each step, each start, the end |
//! | no command is lost | at each start, after calm, and at the end |
//! | the oldest of a topic is handed out, under one id, not after its answer was taken | at each response |
//! | a response names the oldest command that waits, once it is durable | at each response |
//! | attributes and tags are what was acknowledged last, events are stored once | at each of them |
//! | silence makes offline at the lifetime's end, not before | at each change of presence, and at the end |
//! | everything that was opened is closed | gauges at the end |
//! | after calm everybody is back | at the end |
//!
//! Time moves in whole milliseconds. What a shard tells the gateway in one step is decided in the next
//! millisecond, so that much can happen in between, as between threads.

mod after;
pub mod agent;
mod fleet;
pub mod ledger;
mod notes;
mod orders;
mod plain;
pub mod plan;
mod step;
mod trouble;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_dtls::{DecoySecret, ServerConfig};
use narrowgate_engine::{event::ShardEvent, shard::ShardConfig};
use narrowgate_gateway::Now;
use narrowgate_platform::testing::{ManualClock, SeededEntropy};

use self::{
    agent::Agent,
    ledger::{Ledger, commands::CommandTotals},
    plan::{Limits, Plan, Scale},
};
use crate::{
    net::{Network, Packet},
    random::SeededRandom,
    world::{
        coap_params,
        process::Process,
        server::{LiveChanges, WallClock},
        start,
        store::{Pace, Store},
    },
};

/// The products of the fleet, and the secret of both.
const PRODUCTS: [&str; 2] = ["ProdA111", "ProdB222"];
const PRODUCT_SECRET: &str = "product-secret-of-the-fleet";
/// Time in which nothing goes wrong, long enough for the longest pause of a device and then some.
const CALM: Duration = Duration::from_secs(420);
/// A session that was silent for so long is closed.
const IDLE: Duration = Duration::from_secs(1_800);

/// A server between two crashes.
struct Incarnation {
    process: Process,
    /// What each shard has told in this step.
    events: Vec<Vec<ShardEvent>>,
}

/// See the module.
struct Campaign {
    plan: Plan,
    now: Instant,
    random: SeededRandom,
    entropy: Arc<SeededEntropy>,
    clock: WallClock,
    /// The clock that operators look at.
    operators_clock: Arc<ManualClock>,
    /// What operators changed that sessions have to feel.
    live: Arc<LiveChanges>,
    store: Store,
    server: Option<Incarnation>,
    network: Network,
    burst: Option<Instant>,
    in_trouble: bool,
    agents: Vec<Agent>,
    due: BTreeSet<(Instant, usize)>,
    timers: Vec<Option<Instant>>,
    addresses: BTreeMap<SocketAddr, usize>,
    next_port: u32,
    ledger: Ledger,
    /// Over every datagram that was sent, with its time and its addresses.
    digest: u64,
    seen: VecDeque<Packet>,
    disabled: BTreeSet<u32>,
    product_off: Option<usize>,
    /// Commands that operators have tried to send.
    orders: u64,
    /// Since when that product is switched off.
    product_off_since: Option<Instant>,
    /// Reports that were sent by a device more than a second after it was switched off.
    hopeless: BTreeSet<(u32, u64)>,
    /// Things that happened, for the summary.
    happened: Happened,
}

/// Counts of what went wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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
    /// Datagrams that the network has lost, without bursts.
    pub lost: u64,
    /// Datagrams that the network has repeated.
    pub repeated: u64,
}

/// Totals, for a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Totals {
    /// Reports sent.
    pub sent: u64,
    /// … acknowledged.
    pub acknowledged: u64,
    /// … stored.
    pub stored: u64,
    /// … by plain CoAP a second time, from a late copy: a crash had taken the memory of the first, or the
    /// device had another address by then.
    pub stored_again: u64,
    /// Sessions that came about.
    pub sessions: u64,
    /// Changes to offline because of silence.
    pub silences: u64,
    /// Secrets received by dynamic activation.
    pub secrets: u64,
    /// Batches that the store refused.
    pub refused_batches: u64,
    /// Records of sessions whose numbers were compared.
    pub records: u64,
}

/// What came of a run without a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// What the ledger counted.
    pub totals: Totals,
    /// … of commands, attributes, tags and events.
    pub commands: CommandTotals,
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
    run_plan(Plan::new(seed, scale))
}

/// Runs a plan from its beginning to its end.
///
/// # Panics
/// As [`run`].
pub fn run_plan(plan: Plan) -> Outcome {
    let mut campaign = Campaign::new(plan);
    campaign.trouble();
    campaign.calm();
    campaign.end();
    let seconds = (campaign.now - start()).as_secs();
    let (lost, repeated) = campaign.network.lost_and_repeated();
    let Campaign { ledger, happened, digest, .. } = campaign;
    let happened = Happened { lost, repeated, ..happened };
    Outcome { totals: ledger.totals, commands: ledger.commands.totals, happened, seconds, digest }
}

fn shard_config(number: u16, limits: Option<Limits>) -> ShardConfig {
    let dtls = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
    let coap = coap_params();
    let mut config = ShardConfig { shard: number, idle_timeout: IDLE, coap, ..ShardConfig::new(dtls) };
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

impl Campaign {
    fn new(plan: Plan) -> Self {
        let mut random = SeededRandom::new(plan.seed);
        let clock = WallClock::new(start());
        let mut campaign = Self {
            now: start(),
            entropy: Arc::new(SeededEntropy::new(random.next_u64())),
            operators_clock: Arc::new(ManualClock::new(clock.at(start()).wall)),
            live: Arc::new(LiveChanges::default()),
            clock,
            store: Store::new(random.next_u64()),
            server: None,
            network: Network::new(plan.network.clone(), random.next_u64()),
            burst: None,
            in_trouble: true,
            agents: Vec::new(),
            due: BTreeSet::new(),
            timers: Vec::new(),
            addresses: BTreeMap::new(),
            next_port: 0,
            ledger: Ledger::new(plan.devices, plan.limits.is_some()),
            digest: 0xcbf2_9ce4_8422_2325,
            seen: VecDeque::new(),
            disabled: BTreeSet::new(),
            product_off: None,
            orders: 0,
            product_off_since: None,
            hopeless: BTreeSet::new(),
            happened: Happened::default(),
            random,
            plan,
        };
        campaign.start_server();
        campaign.register();
        campaign.store.change(Pace::Dice(campaign.plan.store));
        campaign
    }

    /// The time, by both clocks of the server.
    fn wall(&self) -> Now {
        self.clock.at(self.now)
    }

    fn start_server(&mut self) {
        let dtls = (0..self.plan.shards).map(|number| shard_config(number, self.limits()));
        let configs = dtls.chain(self.plain_configs());
        let now = self.clock.at(self.now);
        let configs: Vec<_> = configs.collect();
        let recovered = self.store.open();
        self.ledger.restarted(self.now, &recovered.online);
        self.commands_are_recovered(&recovered.commands);
        let mut process = Process::start(configs, recovered, &mut self.random, now);
        if self.plan.orders.is_some() {
            process.server.keep_responses();
        }
        let events = process.server.shards.iter().map(|_| Vec::new()).collect();
        self.server = Some(Incarnation { process, events });
    }

    /// Small ones hold while there is trouble.
    fn limits(&self) -> Option<Limits> {
        self.plan.limits.filter(|_| self.in_trouble)
    }

    /// kill -9: shards, gateway and what is under way are gone.
    fn crash(&mut self) {
        if self.server.take().is_some() {
            self.store.crash();
            self.take_notes();
            self.ledger.crashed();
            self.happened.crashes += 1;
        }
    }
}
