//! The fleet, the network, the server, and the operator who offers the image, under one virtual clock. Only
//! what has something to do is looked at, so that a thousand devices take a thousand times as long as one.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_coap::format;
use narrowgate_engine::shard::{ShardConfig, throttle::ByteLimit};
use narrowgate_gateway::LiveChange;
use narrowgate_platform::{
    firmware::{Image, ImageId, PausedBy, ServerName, Sha256Sum, UpgradeState},
    ids::{DEFAULT_OU, DeviceId},
    model::{
        device::NewDevice,
        product::{ContentCode, DataFormat, DynamicActivation, Product, Profile},
        retention::RetentionClass,
    },
    ports::{FirmwareReads as _, Images as _, OfferTo, PieceTaken, RegistryChanges as _, Upload},
    secret::Secret,
    testing::block_on,
};
use sha2::{Digest as _, Sha256};

use super::{
    Outcome, Plan,
    agent::{Agent, OLD_VERSION},
};
use crate::{
    device::update::{self, Dialect, step},
    devices::{device_key, device_secret},
    net::{Conditions, Network, Packet},
    random::SeededRandom,
    world::{
        PRODUCT_KEY, SERVER, device_config,
        process::Process,
        server::WallClock,
        shard_config, start,
        store::{Pace, Store, StoreConditions},
    },
};

/// How often the operator's side of the server looks what is due.
const TICK: Duration = Duration::from_secs(5);
/// Nothing takes longer.
const TIME_MAX: Duration = Duration::from_secs(14 * 24 * 3600);
/// Of a thousand devices so many vanish in the middle of their download, for minutes.
const VANISHING_PER_MILLE: u16 = 200;
/// The new version.
const NEW_VERSION: &str = "2.0";
/// The id of its image.
const IMAGE: &str = "Ab3dEf7h";
/// What the store does.
const STORE: StoreConditions =
    StoreConditions { failing_per_mille: 2, slow_per_mille: 5, reads_failing_per_mille: 1 };

/// Runs it.
pub fn run(plan: Plan) -> Outcome {
    let mut fleet = Fleet::new(plan);
    fleet.upload();
    while !fleet.is_over() {
        fleet.step();
    }
    fleet.outcome()
}

struct Fleet {
    plan: Plan,
    now: Instant,
    clock: WallClock,
    random: SeededRandom,
    process: Process,
    store: Store,
    network: Network,
    image: ImageId,
    agents: Vec<Agent>,
    ids: Vec<DeviceId>,
    /// When each device that has something to do is looked at.
    timers: BTreeSet<(Instant, usize)>,
    armed: Vec<Option<Instant>>,
    /// Blocks after which a device vanishes.
    vanish_at: Vec<Option<u64>>,
    tick: Instant,
    ended: usize,
    blocks: u64,
    crashes: u32,
    is_paused: bool,
    pauses: u32,
    answer_bytes_max: usize,
}

fn server_config() -> ShardConfig {
    let device_bytes = Some(ByteLimit { per_second: 10 << 10, burst: 100 << 10 });
    ShardConfig { device_bytes, ..shard_config() }
}

impl Fleet {
    fn new(plan: Plan) -> Self {
        let mut random = SeededRandom::new(plan.seed);
        let (clock, mut store) = (WallClock::new(start()), Store::new(random.next_u64()));
        let process = Process::start([server_config()], store.open(), &mut random, clock.at(start()));
        store.change(Pace::Dice(STORE));
        let delay = Duration::from_millis(40)..Duration::from_millis(250);
        let conditions = Conditions {
            lost_per_mille: plan.lost_per_mille,
            repeated_per_mille: plan.repeated_per_mille,
            delay,
            late_per_mille: 5,
            late_by: Duration::from_secs(4),
            ..Conditions::good()
        };
        let mut fleet = Self {
            plan,
            now: start(),
            clock,
            process,
            store,
            network: Network::new(conditions, random.next_u64()),
            random,
            image: IMAGE.parse().expect("8 letters and digits"),
            agents: Vec::new(),
            ids: Vec::new(),
            timers: BTreeSet::new(),
            armed: Vec::new(),
            vanish_at: Vec::new(),
            tick: start(),
            ended: 0,
            blocks: 0,
            crashes: 0,
            is_paused: false,
            pauses: 0,
            answer_bytes_max: 0,
        };
        fleet.register();
        fleet
    }

    /// The product and its devices.
    fn register(&mut self) {
        let at = self.clock.at(self.now).wall;
        let product = Product {
            ou: DEFAULT_OU.to_owned(),
            product_key: PRODUCT_KEY.to_owned(),
            name: String::new(),
            secret: Secret::new("c3PW03srd6c".to_owned()),
            dynamic_activation: DynamicActivation::default(),
            enabled: true,
            is_suspended: false,
            profile: Profile::Default,
            short_paths: true,
            data_format: DataFormat::Json,
            content_code: ContentCode::Content,
            model_json: None,
            retention: RetentionClass::STANDARD,
            created: at,
        };
        let durable = self.store.durable();
        block_on(durable.create_product(product)).expect("the store is empty");
        for number in 1..=self.plan.devices {
            let device = NewDevice {
                product_key: PRODUCT_KEY.to_owned(),
                device_key: device_key(number),
                device_secret: Secret::new(device_secret(number)),
                asset_id: format!("{number:08}"),
                name: String::new(),
                properties: Vec::new(),
            };
            let created = block_on(durable.create_devices(vec![device], at)).expect("the store is open");
            let created = created.into_iter().next().and_then(Result::ok).expect("its key is free");
            self.ids.push(created.id);
            self.add(number);
        }
    }

    fn add(&mut self, number: u32) {
        let random = &mut self.random;
        let key = device_key(number);
        let content_format = if number.is_multiple_of(3) { format::CBOR } else { format::JSON };
        let dialect = match number % 3 {
            1 => Dialect::Short,
            _ => Dialect::Topics { base: format!("/topic/sys/{PRODUCT_KEY}/{key}"), content_format },
        };
        let config = device_config(&key, device_secret(number).as_bytes());
        let begins = self.now + Duration::from_millis(random.below(60_000));
        let block_bytes = random.pick(&[1024, 1024, 1024, 512]);
        let fails = random.chance(self.plan.failing_per_mille).then_some(step::BURN);
        let vanishes = random.chance(VANISHING_PER_MILLE);
        let all = self.plan.bytes.div_ceil(block_bytes) as u64;
        self.vanish_at.push(vanishes.then(|| random.below(all)));
        self.agents.push(Agent::new(config, dialect, block_bytes, begins).that_fails(fails));
        self.armed.push(None);
        self.arm(self.agents.len() - 1);
    }

    /// The operator uploads the image in pieces, and offers it to all devices.
    fn upload(&mut self) {
        let mut bytes = vec![0; self.plan.bytes];
        self.random.fill_bytes(&mut bytes);
        let (images, durable) = (self.store.images(), self.store.durable());
        let sha256 = Sha256Sum(Sha256::digest(&bytes).into());
        let (product_key, version) = (PRODUCT_KEY.to_owned(), NEW_VERSION.to_owned());
        let size = bytes.len() as u64;
        let ou = DEFAULT_OU.to_owned();
        let upload = Upload { ou, product_key: product_key.clone(), version: version.clone(), size, sha256 };
        let mut taken = block_on(images.begin(upload.clone())).expect("the store is open");
        while let PieceTaken::Received(offset) = taken {
            let end = bytes.len().min(offset as usize + 100_000);
            let piece = bytes[offset as usize..end].to_vec();
            let next = images.take(upload.clone(), offset, piece, self.image);
            taken = block_on(next).expect("the store is open");
        }
        assert_eq!(taken, PieceTaken::Complete(self.image));
        let uploaded = self.clock.at(self.now).wall;
        let image = Image { id: self.image, product_key, version, size, sha256, uploaded, rollout: None };
        block_on(durable.add_image(image)).expect("the product has none");
        let to = OfferTo::Share { percent: 100, after: None, limit: usize::MAX };
        block_on(durable.offer_image(self.image, to, uploaded)).expect("it is there");
    }

    /// Goes on to what is due next, and does all that is due then.
    fn step(&mut self) {
        let timers = self.timers.first().map(|(at, _)| *at);
        let others = [
            self.process.server.poll_timeout(),
            self.network.poll_timeout(),
            self.store.poll_timeout(),
            timers,
            Some(self.tick),
        ];
        self.now = self.now.max(others.into_iter().flatten().min().unwrap_or(self.tick));
        if self.tick <= self.now {
            self.operate();
            self.tick = self.now + TICK;
        }
        let now = self.now;
        let mut touched = BTreeSet::new();
        while let Some(Packet { from, to, mut bytes }) = self.network.poll_arrival(now) {
            match index_of(to) {
                None => self.process.server.shards[0].handle_datagram(now, from, &mut bytes),
                Some(index) => {
                    let Self { agents, random, .. } = self;
                    agents[index].device.handle_datagram(now, &mut bytes, random);
                    touched.insert(index);
                }
            }
        }
        while let Some((_, index)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.pop_first();
            self.armed[index] = None;
            touched.insert(index);
        }
        touched.into_iter().for_each(|index| self.drive(index));
        self.serve();
    }

    fn drive(&mut self, index: usize) {
        let Self { agents, random, now, .. } = self;
        let agent = &mut agents[index];
        let (had_ended, blocks) = (agent.end.is_some(), agent.blocks);
        agent.drive(*now, random);
        if self.vanish_at[index].is_some_and(|at| agent.is_fetching() && agent.blocks >= at) {
            self.vanish_at[index] = None;
            let until = *now + Duration::from_secs(30 + random.below(900));
            agent.vanish(*now, until, random);
        }
        self.ended += usize::from(agent.end.is_some() && !had_ended);
        self.blocks += agent.blocks - blocks;
        while let Some(datagram) = agent.device.poll_transmit() {
            self.network.handle_datagram(*now, address_of(index), SERVER, &datagram);
        }
        self.arm(index);
        let blocks_of_all = (self.plan.bytes as u64).div_ceil(1024) * u64::from(self.plan.devices);
        let next = u64::from(self.crashes + 1) * blocks_of_all / u64::from(self.plan.crashes + 1);
        if self.crashes < self.plan.crashes && self.blocks >= next {
            self.crash();
        }
    }

    /// Notes when a device is to be looked at.
    fn arm(&mut self, index: usize) {
        let due = self.agents[index].poll_timeout().map(|due| due.max(self.now));
        if self.armed[index] == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut self.armed[index], due) {
            self.timers.remove(&(before, index));
        }
        if let Some(due) = due {
            self.timers.insert((due, index));
        }
    }

    /// The server does what is due, and sends.
    fn serve(&mut self) {
        let (now, at) = (self.now, self.clock.at(self.now));
        let server = &mut self.process.server;
        if server.shards[0].poll_timeout().is_some_and(|due| due <= now) {
            server.shards[0].handle_timeout(now);
        }
        loop {
            self.process.settle(at, &mut self.store);
            let Some(event) = self.process.server.shards[0].poll_event() else { break };
            self.process.server.handle_event(at, 0, event);
        }
        self.store.take_notes();
        let shard = &mut self.process.server.shards[0];
        for (path, datagram) in shard.outbox().iter() {
            self.network.handle_datagram(now, SERVER, path.peer, datagram);
        }
        shard.outbox().clear();
    }

    /// The server dies, and another one takes up what is durable.
    fn crash(&mut self) {
        self.crashes += 1;
        self.store.crash();
        let at = self.clock.at(self.now);
        self.process = Process::start([server_config()], self.store.open(), &mut self.random, at);
    }

    /// What runs beside the gateway: queues what is due, and an operator who looks at the rollout.
    fn operate(&mut self) {
        let (durable, at) = (self.store.durable(), self.clock.at(self.now));
        let mut goes_on = block_on(durable.upgrades_due(at.wall)).expect("the store is open");
        while goes_on {
            let advanced = block_on(durable.advance_upgrades(1000, ServerName::default(), at.wall))
                .expect("the store is open");
            for device in advanced.devices {
                self.process.handle_change(at, &LiveChange::CommandsChanged { device });
            }
            goes_on = advanced.more;
        }
        let bytes = self.process.server.shards[0].stats().gauges.stored_answer_bytes;
        self.answer_bytes_max = self.answer_bytes_max.max(bytes);
        let is_paused = self.rollout_is_paused();
        self.pauses += u32::from(is_paused && !self.is_paused);
        self.is_paused = is_paused;
        if is_paused && self.plan.resumes {
            block_on(durable.switch_rollout(self.image, true)).expect("it is there");
            self.is_paused = false;
        }
    }

    fn rollout_is_paused(&self) -> bool {
        let image = block_on(self.store.durable().image(self.image)).expect("the store is open");
        let rollout = image.and_then(|image| image.rollout);
        rollout.is_some_and(|rollout| rollout.paused == Some(PausedBy::Failures))
    }

    fn is_over(&self) -> bool {
        let is_late = self.now >= start() + TIME_MAX;
        let stands_still = || self.agents.iter().all(Agent::is_at_rest);
        is_late
            || self.ended == self.agents.len()
            || (self.is_paused && stands_still() && self.is_withdrawn())
    }

    /// Nothing is offered any more to anybody who has not taken it.
    fn is_withdrawn(&self) -> bool {
        let counts = block_on(self.store.durable().upgrade_counts(self.image)).expect("the store is open");
        counts.iter().all(|(state, _)| *state == UpgradeState::Waiting || state.has_ended())
    }

    fn outcome(&mut self) -> Outcome {
        let mut outcome = Outcome {
            plan: self.plan,
            updated: 0,
            failed: 0,
            spared: 0,
            unlike: 0,
            stuck: 0,
            blocks: self.blocks,
            blocks_needed: 0,
            sessions: self.agents.iter().map(|agent| agent.sessions).sum(),
            went_on: self.agents.iter().map(|agent| agent.went_on).sum(),
            crashes: self.crashes,
            pauses: self.pauses,
            throttled: self.agents.iter().map(|agent| agent.throttled).sum(),
            lost_and_repeated: self.network.lost_and_repeated(),
            answer_bytes_max: self.answer_bytes_max,
            took: self.now - start(),
        };
        let durable = self.store.durable();
        for (agent, device) in self.agents.iter().zip(&self.ids) {
            let (version, state) = match &agent.end {
                Some(update::Outcome::Updated) => {
                    outcome.updated += 1;
                    outcome.blocks_needed += agent.blocks_of(self.plan.bytes);
                    (NEW_VERSION, UpgradeState::Done)
                }
                Some(update::Outcome::Failed(step::BURN)) => {
                    outcome.failed += 1;
                    (OLD_VERSION, UpgradeState::Failed)
                }
                None if self.is_paused && !agent.is_at_work() => {
                    outcome.spared += 1;
                    (OLD_VERSION, UpgradeState::Waiting)
                }
                _ => {
                    outcome.stuck += 1;
                    continue;
                }
            };
            let said = block_on(durable.version_of(*device)).expect("the store is open");
            let upgrades = block_on(durable.upgrades_of(*device)).expect("the store is open");
            let [offered] = &upgrades[..] else { panic!("one image is offered: {upgrades:?}") };
            let is_alike = offered.upgrade.state == state && said.as_deref() == Some(version);
            outcome.unlike += u32::from(!is_alike);
        }
        outcome
    }
}

/// Each device has an address of its own.
fn address_of(index: usize) -> SocketAddr {
    let [_, high, middle, low] = (index as u32).to_be_bytes();
    SocketAddr::from(([10, high, middle, low], 5684))
}

/// The device at an address; `None`: the server is there.
fn index_of(address: SocketAddr) -> Option<usize> {
    match address {
        SocketAddr::V4(address) if address.ip().octets()[0] == 10 => {
            let [_, high, middle, low] = address.ip().octets();
            Some(u32::from_be_bytes([0, high, middle, low]) as usize)
        }
        _ => None,
    }
}
