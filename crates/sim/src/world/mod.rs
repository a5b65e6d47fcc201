//! Devices, a network, and a server under one virtual clock: a shard of the engine, the gateway with all its
//! rules, and a store.
//!
//! ```text
//!   devices ── network ── shard ── gateway ── store
//! ```
//!
//! Time moves only in [`World::run_for`] and [`World::run_until`], from one thing that is due to the next; a
//! week takes milliseconds. All randomness comes from one seed, so a failure replays from its number. A
//! [`crate::campaign`] makes its course of the same [`process`] and [`store`].

pub mod process;
pub mod server;
pub mod store;
pub mod told;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use narrowgate_coap::Params;
use narrowgate_dtls::{DecoySecret, ServerConfig};
use narrowgate_engine::shard::{Shard, ShardConfig, plain::PlainConfig, stats::Gauges};
use narrowgate_gateway::{LiveChange, Now};
use narrowgate_platform::{
    device_api::{carried::COMMAND, envelope::SUCCESS, login::LOGIN_PATH},
    ids::{DEFAULT_OU, DeviceId, DeviceName},
    memory::MemoryStore,
    model::{
        command::Order,
        device::{Device as DeviceRow, NewDevice},
        message::MessageKind,
        product::{ContentCode, DataFormat, DynamicActivation, Product, Profile},
        retention::RetentionClass,
    },
    ports::{Registry as _, RegistryChanges as _, Write, Written},
    secret::Secret,
    testing::block_on,
};

use crate::{
    device::{CommandError, Device, DeviceCommand, DeviceConfig, DeviceEvent, Identity, SecureMode},
    key::key_of,
    net::{Conditions, Network, Packet},
    random::SeededRandom,
};
use process::Process;
use server::WallClock;
use store::{Note, Store};
use told::Told;

/// Where the shard is.
pub const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 5684);

/// Where the shard of plain CoAP is.
pub const PLAIN_SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 5683);

/// The product that all worlds have, with dynamic activation, and its secret.
pub const PRODUCT_KEY: &str = "MuGsF6W4";
/// See [`PRODUCT_KEY`].
pub const PRODUCT_SECRET: &str = "c3PW03srd6c";

/// Logins by plain CoAP that wait for the platform, as in the product.
const LOGINS_WAITING_MAX: usize = 1024;

/// More steps at one instant mean that something calls for a timeout and does not use it.
const STEPS_AT_ONCE_MAX: u32 = 10_000;

/// A device and where it is.
#[derive(Debug)]
struct Host {
    address: SocketAddr,
    device: Device,
    events: VecDeque<DeviceEvent>,
}

/// Names a device in its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(usize);

/// See the module.
#[derive(Debug)]
pub struct World {
    now: Instant,
    clock: WallClock,
    random: SeededRandom,
    process: Process,
    /// The store behind the server.
    pub store: Store,
    /// What the server's shard told the gateway.
    pub told: Told,
    /// What lies between.
    pub network: Network,
    hosts: Vec<Host>,
    /// Reports that were stored, with their points, in order.
    stored: Vec<(DeviceId, Box<str>)>,
    /// The last secret that each device was issued, as it was received, by its key.
    issued: BTreeMap<String, String>,
}

/// The instant at which every world begins. Which one it is does not matter, and only the clock can make one.
pub fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "an `Instant` has no other beginning; it is read once")]
    *START.get_or_init(Instant::now)
}

/// The settings of a shard with defaults.
pub fn shard_config() -> ShardConfig {
    let config = ShardConfig::new(Arc::new(ServerConfig::new(DecoySecret::new([7; 32]))));
    ShardConfig { coap: coap_params(), ..config }
}

/// The settings of a shard of plain CoAP with this number, otherwise as those of a shard of DTLS.
pub(crate) fn plain_config(number: u16, config: ShardConfig) -> ShardConfig {
    let plain =
        PlainConfig { login_path: LOGIN_PATH, logins_waiting_max: LOGINS_WAITING_MAX, fresh_logins: false };
    ShardConfig { shard: number, plain: Some(plain), ..config }
}

/// The settings of the CoAP layer as the product needs them.
pub(crate) fn coap_params() -> Params {
    Params { answer_frame: Some(&SUCCESS), first_block_options: &[COMMAND], ..Params::default() }
}

impl World {
    /// A world with a server and nobody else.
    pub fn new(config: ShardConfig, conditions: Conditions, seed: u64) -> Self {
        let mut random = SeededRandom::new(seed);
        let (clock, store) = (WallClock::new(start()), Store::new(random.next_u64()));
        let configs = [config.clone(), plain_config(1, config)];
        let process = Process::start(configs, store.open(), &mut random, clock.at(start()));
        let world = Self {
            now: start(),
            clock,
            process,
            store,
            told: Told::default(),
            network: Network::new(conditions, random.next_u64()),
            random,
            hosts: Vec::new(),
            stored: Vec::new(),
            issued: BTreeMap::new(),
        };
        world.create_product();
        world
    }

    fn create_product(&self) {
        let dynamic_activation = DynamicActivation { enabled: true, ..DynamicActivation::default() };
        let product = Product {
            ou: DEFAULT_OU.to_owned(),
            product_key: PRODUCT_KEY.to_owned(),
            name: String::new(),
            secret: Secret::new(PRODUCT_SECRET.to_owned()),
            dynamic_activation,
            enabled: true,
            is_suspended: false,
            profile: Profile::Default,
            short_paths: false,
            data_format: DataFormat::Json,
            content_code: ContentCode::Content,
            model_json: None,
            retention: RetentionClass::STANDARD,
            created: self.wall().wall,
        };
        block_on(self.store.durable().create_product(product)).expect("there is no product yet");
    }

    /// Adds a device that the platform knows, at an address of its own, switched off.
    pub fn add_known(&mut self, device_key: &str) -> HostId {
        let secret = "Z5YtZaQpK5IWocakV7zQ";
        let config = device_config(device_key, secret.as_bytes());
        self.register(&config.identity, secret);
        let port = 20_000 + self.hosts.len() as u16;
        self.add(SocketAddr::from(([198, 51, 100, 7], port)), config)
    }

    /// Adds a device; several may be at the same address, and all of them get what is sent there.
    pub fn add(&mut self, address: SocketAddr, config: DeviceConfig) -> HostId {
        self.hosts.push(Host { address, device: Device::new(config), events: VecDeque::new() });
        HostId(self.hosts.len() - 1)
    }

    /// Registers a device with its secret, unless it is registered. One that proves its product's secret has
    /// another one of its own, which nobody knows; all of them have the same product.
    pub fn register(&mut self, identity: &Identity, secret: &str) {
        if self.find(&identity.device_key).is_some() {
            return;
        }
        let secret = match identity.mode {
            SecureMode::Device => secret.to_owned(),
            SecureMode::Product => format!("own-{:016x}", self.random.next_u64()),
        };
        let device = NewDevice {
            product_key: identity.product_key.clone(),
            device_key: identity.device_key.clone(),
            device_secret: Secret::new(secret),
            asset_id: format!("{:08}", self.random.below(100_000_000)),
            name: String::new(),
            properties: Vec::new(),
        };
        let created = block_on(self.durable().create_devices(vec![device], self.wall().wall));
        created.expect("the store is open").remove(0).expect("nobody has its key");
    }

    /// What the store holds of a device.
    pub fn find(&self, device_key: &str) -> Option<DeviceRow> {
        let name = DeviceName { product_key: PRODUCT_KEY.to_owned(), device_key: device_key.to_owned() };
        block_on(self.durable().device(&name)).expect("the store is open")
    }

    /// Replaces the secret of a device, as an operator does; its session ends.
    pub fn reset(&mut self, device_key: &str, secret: &str) {
        if let Some(DeviceRow { id, .. }) = self.find(device_key) {
            let secret = Secret::new(secret.to_owned());
            block_on(self.durable().reset_device(id, secret, self.wall().wall)).expect("it is registered");
            self.close(id, "closed: its secret was replaced");
        }
    }

    /// Switches a device on or off, as an operator does; where it is off its session ends.
    pub fn switch_device(&mut self, device_key: &str, enabled: bool) {
        if let Some(DeviceRow { id, .. }) = self.find(device_key) {
            let switched = self.durable().set_device_enabled(id, enabled, self.wall().wall);
            block_on(switched).expect("it is registered");
            if !enabled {
                self.close(id, "closed: switched off");
            }
        }
    }

    /// Switches the product of all devices on or off, as an operator does; where it is off their sessions
    /// end.
    pub fn switch_product(&mut self, enabled: bool) {
        self.change_product(|product| Product { enabled, ..product });
    }

    /// Changes the product of all devices, as an operator does.
    pub fn change_product(&mut self, change: impl FnOnce(Product) -> Product) {
        let product = block_on(self.durable().product(PRODUCT_KEY)).expect("the store is open");
        let product = change(product.expect("every world has it"));
        block_on(self.durable().update_product(product)).expect("it is there");
        self.change(&LiveChange::ProductChanged { product_key: PRODUCT_KEY.to_owned() });
    }

    /// Sends a device a command, as an operator does.
    ///
    /// # Errors
    /// Why it is not sent.
    pub fn send_command(&mut self, device_key: &str, order: Order) -> Result<(), String> {
        let device = self.find(device_key).ok_or("nobody has registered it")?.id;
        let sent = block_on(self.durable().send_command(device, order, self.wall().wall));
        sent.expect("it is registered").map_err(|why| format!("the command is not sent: {why:?}"))?;
        self.change(&LiveChange::CommandsChanged { device });
        Ok(())
    }

    /// The server hears that an operator has changed the commands of a device in the store.
    pub fn tell_of_commands(&mut self, device_key: &str) {
        if let Some(DeviceRow { id: device, .. }) = self.find(device_key) {
            self.change(&LiveChange::CommandsChanged { device });
        }
    }

    fn close(&mut self, device: DeviceId, cause: &'static str) {
        self.change(&LiveChange::CloseDevice { device, cause });
    }

    fn change(&mut self, change: &LiveChange) {
        self.process.handle_change(self.wall(), change);
        self.settle();
    }

    /// The server ends all sessions and takes no new handshakes.
    pub fn drain(&mut self) {
        self.process.server.drain(self.now);
        self.settle();
    }

    /// What is durable.
    pub fn durable(&self) -> Arc<MemoryStore> {
        self.store.durable()
    }

    /// Reports that were stored, with their points, in order.
    pub fn stored(&self) -> &[(DeviceId, Box<str>)] {
        &self.stored
    }

    /// The secret that a device was issued last, as it received it.
    pub fn issued(&self, device_key: &str) -> Option<&str> {
        self.issued.get(device_key).map(String::as_str)
    }

    /// The server's shard of DTLS.
    pub fn shard(&mut self) -> &mut Shard {
        &mut self.process.server.shards[0]
    }

    /// Both of its shards, that of plain CoAP last.
    pub fn shards(&mut self) -> &mut [Shard] {
        &mut self.process.server.shards
    }

    /// The time, by both clocks of the server.
    pub fn wall(&self) -> Now {
        self.clock.at(self.now)
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Where a device is.
    pub fn address(&self, host: HostId) -> SocketAddr {
        self.hosts[host.0].address
    }

    /// A device.
    pub fn device(&self, host: HostId) -> &Device {
        &self.hosts[host.0].device
    }

    /// All devices, in the order in which they were added.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// What a device told since it was last asked.
    pub fn take_events(&mut self, host: HostId) -> Vec<DeviceEvent> {
        std::mem::take(&mut self.hosts[host.0].events).into()
    }

    /// The next thing that a device told and nobody has taken.
    pub fn poll_event(&mut self, host: HostId) -> Option<DeviceEvent> {
        self.hosts[host.0].events.pop_front()
    }

    /// Whether a device told something that nobody has taken.
    pub fn has_event(&self, host: HostId) -> bool {
        !self.hosts[host.0].events.is_empty()
    }

    /// From now on a device is elsewhere; it does not notice.
    pub fn move_to(&mut self, host: HostId, address: SocketAddr) {
        self.hosts[host.0].address = address;
    }

    /// Kills the server and starts another one in its place, which knows what the store knows and no
    /// sessions.
    pub fn restart(&mut self, config: ShardConfig) {
        self.store.crash();
        let (configs, at) = ([config.clone(), plain_config(1, config)], self.clock.at(self.now));
        self.process = Process::start(configs, self.store.open(), &mut self.random, at);
        self.settle();
    }

    /// What the server holds now.
    pub fn gauges(&mut self) -> Gauges {
        let [dtls, plain] = [0, 1].map(|number| self.shards()[number].stats().gauges);
        Gauges {
            sessions: dtls.sessions + plain.sessions,
            handshakes: dtls.handshakes + plain.handshakes,
            lookups: dtls.lookups + plain.lookups,
            requests_in_flight: dtls.requests_in_flight + plain.requests_in_flight,
            stored_answer_bytes: dtls.stored_answer_bytes + plain.stored_answer_bytes,
            timers: dtls.timers + plain.timers,
        }
    }

    /// Gives a command to a device.
    ///
    /// # Errors
    /// The device's.
    pub fn command(&mut self, host: HostId, command: DeviceCommand) -> Result<(), CommandError> {
        let Self { now, random, hosts, .. } = self;
        hosts[host.0].device.handle_command(*now, command, random)?;
        self.settle();
        Ok(())
    }

    /// Puts a datagram on its way to the server, as anybody can who forges `from`.
    pub fn inject(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.network.handle_datagram(self.now, from, SERVER, datagram);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run(end, |_| false);
        self.now = end;
        self.settle();
    }

    /// Lets time pass until `done`, but no longer than `limit`; returns whether it came to that.
    pub fn run_until(&mut self, limit: Duration, done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        self.run(end, done)
    }

    fn run(&mut self, end: Instant, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let mut steps_at_once = 0;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            let Some(next) = self.poll_timeout().filter(|next| *next <= end) else { return false };
            steps_at_once = if next > self.now { 0 } else { steps_at_once + 1 };
            assert!(
                steps_at_once < STEPS_AT_ONCE_MAX,
                "time stands still: a timeout is asked for again and again"
            );
            self.now = self.now.max(next);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let devices = self.hosts.iter().filter_map(|host| host.device.poll_timeout());
        let others =
            [self.process.server.poll_timeout(), self.network.poll_timeout(), self.store.poll_timeout()];
        devices.chain(others.into_iter().flatten()).min()
    }

    /// Does everything that is due now.
    fn settle(&mut self) {
        let now = self.now;
        while let Some(packet) = self.network.poll_arrival(now) {
            self.deliver(packet);
        }
        self.shards().iter_mut().for_each(|shard| shard.handle_timeout(now));
        for host in &mut self.hosts {
            if host.device.poll_timeout().is_some_and(|due| due <= now) {
                host.device.handle_timeout(now, &mut self.random);
            }
        }
        loop {
            self.process.settle(self.clock.at(now), &mut self.store);
            let told = (0..).zip(self.shards()).find_map(|(n, shard)| Some((n, shard.poll_event()?)));
            let Some((number, event)) = told else { break };
            self.told.note(&event);
            self.process.server.handle_event(self.clock.at(now), number, event);
        }
        for note in self.store.take_notes() {
            if let Note::Applied(Write::Message(message), Written::Done) = note
                && message.kind != MessageKind::Event
            {
                self.stored.push((message.device, message.points_json));
            }
        }
        self.collect();
    }

    fn deliver(&mut self, packet: Packet) {
        let Packet { from, to, mut bytes } = packet;
        if let Some(number) = [SERVER, PLAIN_SERVER].iter().position(|server| *server == to) {
            let now = self.now;
            return self.shards()[number].handle_datagram(now, from, &mut bytes);
        }
        for host in self.hosts.iter_mut().filter(|host| host.address == to) {
            host.device.handle_datagram(self.now, &mut bytes.clone(), &mut self.random);
        }
    }

    /// Puts on its way what the server and the devices want to send.
    fn collect(&mut self) {
        let Self { now, process, network, hosts, issued, .. } = self;
        for (server, shard) in [SERVER, PLAIN_SERVER].into_iter().zip(&mut process.server.shards) {
            for (path, datagram) in shard.outbox().iter() {
                network.handle_datagram(*now, server, path.peer, datagram);
            }
            shard.outbox().clear();
        }
        for Host { address, device, events } in hosts {
            let server = if device.is_plain() { PLAIN_SERVER } else { SERVER };
            while let Some(datagram) = device.poll_transmit() {
                network.handle_datagram(*now, *address, server, &datagram);
            }
            while let Some(event) = device.poll_event() {
                if let DeviceEvent::Activated(secret) = &event {
                    let secret = String::from_utf8_lossy(secret.as_bytes()).into_owned();
                    issued.insert(device.identity().device_key.clone(), secret);
                }
                events.push_back(event);
            }
        }
    }
}

/// A device of the product that all worlds have.
pub fn device_config(device_key: &str, secret: &[u8]) -> DeviceConfig {
    DeviceConfig::new(Identity::new(PRODUCT_KEY, device_key), key_of(secret))
}
