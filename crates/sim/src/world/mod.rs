//! Devices, a network and a shard of the engine under one virtual clock.
//!
//! Time moves only in [`World::run_for`] and [`World::run_until`], from one thing that is due to the next; a week takes
//! milliseconds. All randomness comes from one seed, so a failure replays from its number.

pub mod platform;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use narrowgate_dtls::{DecoySecret, Psk, Random, ServerConfig};
use narrowgate_engine::shard::{Shard, ShardConfig, stats::Gauges};

use crate::{
    device::{CommandError, Device, DeviceCommand, DeviceConfig, DeviceEvent, Identity},
    key::key_of,
    net::{Conditions, Network, Packet},
    random::SeededRandom,
};
use platform::Platform;

/// Where the shard is.
pub const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 5684);

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostId(usize);

/// See the module.
#[derive(Debug)]
pub struct World {
    now: Instant,
    random: SeededRandom,
    /// The server.
    pub shard: Shard,
    /// The platform behind it.
    pub platform: Platform,
    /// What lies between.
    pub network: Network,
    hosts: Vec<Host>,
}

/// The instant at which every world begins. Which one it is does not matter, and only the clock can make one.
pub fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "an `Instant` has no other beginning; it is read once")]
    *START.get_or_init(Instant::now)
}

/// The settings of a shard with defaults.
pub fn shard_config() -> ShardConfig {
    ShardConfig::new(Arc::new(ServerConfig::new(DecoySecret::new([7; 32]))))
}

impl World {
    /// A world with a server and nobody else.
    pub fn new(config: ShardConfig, conditions: Conditions, seed: u64) -> Self {
        let mut random = SeededRandom::new(seed);
        let mut shard_seed = [0; 32];
        random.fill(&mut shard_seed);
        Self {
            now: start(),
            shard: Shard::new(config, start(), shard_seed),
            platform: Platform::new(),
            network: Network::new(conditions, random.next_u64()),
            random,
            hosts: Vec::new(),
        }
    }

    /// Adds a device that the platform knows, at an address of its own, switched off.
    pub fn add_known(&mut self, device_key: &str) -> HostId {
        let config = device_config(device_key, b"Z5YtZaQpK5IWocakV7zQ");
        self.learn(&config.identity, config.psk.clone());
        let port = 20_000 + self.hosts.len() as u16;
        self.add(SocketAddr::from(([198, 51, 100, 7], port)), config)
    }

    /// Adds a device; several may be at the same address, and all of them get what is sent there.
    pub fn add(&mut self, address: SocketAddr, config: DeviceConfig) -> HostId {
        self.hosts.push(Host { address, device: Device::new(config), events: VecDeque::new() });
        HostId(self.hosts.len() - 1)
    }

    /// Tells the platform a key.
    pub fn learn(&mut self, identity: &Identity, psk: Psk) {
        self.platform.keys.insert(identity.to_string().into_bytes(), psk);
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

    /// Kills the server and starts another one in its place, which knows the keys and no sessions.
    pub fn restart(&mut self, config: ShardConfig) {
        let mut seed = [0; 32];
        self.random.fill(&mut seed);
        self.shard = Shard::new(config, self.now, seed);
        self.platform.forget_open();
    }

    /// What the server holds now.
    pub fn gauges(&mut self) -> Gauges {
        self.shard.stats().gauges
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
        let others = [self.shard.poll_timeout(), self.network.poll_timeout(), self.platform.poll_timeout()];
        devices.chain(others.into_iter().flatten()).min()
    }

    /// Does everything that is due now.
    fn settle(&mut self) {
        let now = self.now;
        while let Some(packet) = self.network.poll_arrival(now) {
            self.deliver(packet);
        }
        self.shard.handle_timeout(now);
        for host in &mut self.hosts {
            if host.device.poll_timeout().is_some_and(|due| due <= now) {
                host.device.handle_timeout(now, &mut self.random);
            }
        }
        loop {
            while let Some(event) = self.shard.poll_event() {
                self.platform.handle_event(now, event);
            }
            let Some(command) = self.platform.poll_command(now) else { break };
            self.shard.handle_command(now, command);
        }
        self.collect();
    }

    fn deliver(&mut self, packet: Packet) {
        let Packet { from, to, mut bytes } = packet;
        if to == SERVER {
            return self.shard.handle_datagram(self.now, from, &mut bytes);
        }
        for host in self.hosts.iter_mut().filter(|host| host.address == to) {
            host.device.handle_datagram(self.now, &mut bytes.clone(), &mut self.random);
        }
    }

    /// Puts on its way what the server and the devices want to send.
    fn collect(&mut self) {
        let Self { now, shard, network, hosts, .. } = self;
        for (path, datagram) in shard.outbox().iter() {
            network.handle_datagram(*now, SERVER, path.peer, datagram);
        }
        shard.outbox().clear();
        for Host { address, device, events } in hosts {
            while let Some(datagram) = device.poll_transmit() {
                network.handle_datagram(*now, *address, SERVER, &datagram);
            }
            while let Some(event) = device.poll_event() {
                events.push_back(event);
            }
        }
    }
}

/// A device of the product that all worlds have.
pub fn device_config(device_key: &str, secret: &[u8]) -> DeviceConfig {
    DeviceConfig::new(Identity::new("MuGsF6W4", device_key), key_of(secret))
}
