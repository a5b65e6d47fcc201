//! Slow radio: many devices behind one address of a carrier come back after an outage, with round trips of
//! seconds, and perhaps a neighbour behind the same address who begins thousands of handshakes a second and
//! finishes none. How many devices get in, against what the limit of handshakes allows.
//!
//! ```text
//!   devices ── half a round trip ─────────┐
//!                                         ├── one address ── shard
//!   neighbour ── a round trip of its own ─┘
//! ```
//!
//! The limit allows as many handshakes a second as it has places, divided by the round trip for which a
//! device holds one, and the time that it computes. Where datagrams are lost, it allows what the devices
//! reach without a neighbour. The platform answers at once: it is the shard's admission that is tried.

mod neighbour;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_dtls::{ClientConfig, ClientEvent, ClientHandshake, Psk, PskAnswer};
use narrowgate_engine::{
    event::{ShardCommand, ShardEvent},
    shard::{
        Shard, ShardConfig,
        admission::AdmissionLimits,
        stats::{Counter, Gauges},
    },
};

pub use self::neighbour::{Manner, Neighbour};
use crate::{
    random::SeededRandom,
    world::{shard_config, start},
};

const KEY: &[u8; 16] = b"the key of tests";
/// The carrier's address.
const ADDRESS: [u8; 4] = [198, 51, 100, 7];
/// The first device's port; each has its own.
const DEVICE_PORTS: u32 = 1024;
/// Pause of a device whose handshake failed.
const PAUSE: Duration = Duration::from_secs(5);
/// Where the type of a handshake message is in a datagram that begins with one.
const HANDSHAKE_TYPE_AT: usize = 13;
/// That of a ClientHello.
const CLIENT_HELLO: u8 = 1;
/// After so long nobody waits for the rest.
const TIME_MAX: Duration = Duration::from_secs(900);
/// The neighbour is there for so long before the devices come.
const NEIGHBOUR_BEFORE: Duration = Duration::from_secs(15);

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct SlowRadio {
    /// Devices behind the address; at most 20,000.
    pub devices: u32,
    /// All of them come within this time.
    pub spread: Duration,
    /// From a device to the server and back.
    pub round_trip: Duration,
    /// Handshakes under way per address.
    pub limit: usize,
    /// What it is like to send from there.
    pub radio: Radio,
    /// Who is behind the same address, and finishes nothing.
    pub neighbour: Neighbour,
    /// Where all randomness comes from.
    pub seed: u64,
}

impl SlowRadio {
    /// The first timer of a device: as firmware for such a radio has it, above the round trip.
    pub fn timer(&self) -> Duration {
        self.round_trip + self.round_trip * self.radio.varies_by / 100 + Duration::from_secs(1)
    }
}

/// What the way to the devices, and they, are like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Radio {
    /// Datagrams that are lost, each way.
    pub lost_per_mille: u64,
    /// A datagram takes up to so much longer, in hundredths of its time.
    pub varies_by: u32,
    /// For how long a device computes the answer for which it needs its key.
    pub computes: Duration,
}

impl Radio {
    /// One datagram of fifty is lost, round trips vary by a tenth, and devices compute for half a second.
    pub const ROUGH: Self = Self { lost_per_mille: 20, varies_by: 10, computes: Duration::from_millis(500) };
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// What was tried.
    pub tried: SlowRadio,
    /// Devices that got in.
    pub done: u32,
    /// Seconds until the last one was in, or nobody waited any more.
    pub seconds: f64,
    /// Handshakes done in a second, between the first tenth of the devices and the first half: then there is
    /// always somebody who waits.
    pub per_second: f64,
    /// Handshakes under way at most.
    pub peak: usize,
    /// Handshakes that made room for others.
    pub evicted: u64,
    /// Hellos dropped at the limit.
    pub dropped: u64,
    /// How long it took at most, of the devices from whom or to whom at most one datagram was lost.
    pub latest: Duration,
}

impl Outcome {
    /// Handshakes in a second that the limit allows; no more than come.
    pub fn allowed(&self) -> f64 {
        let SlowRadio { devices, spread, round_trip, limit, radio, .. } = self.tried;
        let comes = f64::from(devices) / spread.as_secs_f64();
        let held = round_trip + round_trip * radio.varies_by / 200 + radio.computes;
        (limit as f64 / held.as_secs_f64()).min(comes)
    }

    /// Share of what the limit allows that was reached.
    pub fn goodput(&self) -> f64 {
        self.per_second / self.allowed()
    }

    /// Whether all are in, as fast as nine tenths of what the limit allows: that is what they reach `alone`,
    /// where datagrams are lost.
    pub fn holds(&self, alone: Option<&Self>) -> bool {
        let is_fast = match (self.tried.radio.lost_per_mille, alone) {
            (0, _) => self.goodput() >= 0.9,
            (_, None) => self.goodput() >= 0.8,
            (_, Some(alone)) => self.per_second >= 0.9 * alone.per_second,
        };
        self.done == self.tried.devices && self.peak <= self.tried.limit && is_fast
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlowRadio { devices, round_trip, limit, neighbour, .. } = self.tried;
        write!(f, "{devices} devices, round trip {round_trip:?}, limit {limit}, neighbour {neighbour}: ")?;
        write!(f, "{} in after {:.0} s, ", self.done, self.seconds)?;
        let (goodput, allowed) = (100.0 * self.goodput(), self.allowed());
        write!(f, "{:.0}/s of {allowed:.0}/s ({goodput:.0} %); ", self.per_second)?;
        write!(f, "{} at once, {} evicted, {} hellos dropped; ", self.peak, self.evicted, self.dropped)?;
        write!(f, "the latest with one loss or none after {:.1} s", self.latest.as_secs_f64())
    }
}

/// What happens next.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    ToServer(u32, Vec<u8>),
    ToDevice(u32, Vec<u8>),
    /// A device begins, or its timer is due.
    Wake(u32),
    Neighbour(u32),
    /// What came for the neighbour at a port.
    ToNeighbour(u32, Vec<u8>),
}

struct Run {
    tried: SlowRadio,
    now: Instant,
    random: SeededRandom,
    shard: Shard,
    devices: Vec<Option<ClientHandshake>>,
    /// When each device came, and how many of its datagrams were lost.
    came: Vec<(Instant, u32)>,
    latest: Duration,
    /// What the neighbour goes on with, by its ports.
    goes_on: BTreeMap<u32, ClientHandshake>,
    next: BinaryHeap<Reverse<(Instant, u64, Next)>>,
    planned: u64,
    /// When each handshake was done, in order.
    done: Vec<Instant>,
    peak: usize,
}

/// Runs it.
pub fn run(tried: SlowRadio) -> Outcome {
    let admission = AdmissionLimits { handshakes_per_address_max: tried.limit, ..AdmissionLimits::default() };
    let config = ShardConfig { admission, ..shard_config() };
    let mut run = Run {
        tried,
        now: start(),
        random: SeededRandom::new(tried.seed),
        shard: Shard::new(config, start(), [tried.seed as u8; 32]),
        devices: (0..tried.devices).map(|_| None).collect(),
        came: vec![(start(), 0); tried.devices as usize],
        latest: Duration::ZERO,
        goes_on: BTreeMap::new(),
        next: BinaryHeap::new(),
        planned: 0,
        done: Vec::new(),
        peak: 0,
    };
    run.plan_all();
    let end = start() + NEIGHBOUR_BEFORE + TIME_MAX;
    while run.done.len() < tried.devices as usize && run.now < end {
        run.step();
    }
    run.outcome()
}

impl Run {
    fn plan_all(&mut self) {
        let come = self.now + NEIGHBOUR_BEFORE;
        for device in 0..self.tried.devices {
            let after = self.random.below(self.tried.spread.as_millis() as u64);
            let comes = come + Duration::from_millis(after);
            self.came[device as usize].0 = comes;
            self.plan(comes, Next::Wake(device));
        }
        if self.tried.neighbour.per_second > 0 {
            self.plan(self.now, Next::Neighbour(0));
        }
    }

    fn plan(&mut self, at: Instant, next: Next) {
        self.planned += 1;
        self.next.push(Reverse((at, self.planned, next)));
    }

    /// Does what is due next, the shard's timers included.
    fn step(&mut self) {
        let Some(Reverse((at, ..))) = self.next.peek() else { return };
        if let Some(due) = self.shard.poll_timeout().filter(|due| due < at) {
            self.now = self.now.max(due);
            self.shard.handle_timeout(self.now);
            return self.settle();
        }
        let Some(Reverse((at, _, next))) = self.next.pop() else { return };
        self.now = self.now.max(at);
        match next {
            Next::ToServer(port, datagram) => self.give(port, datagram),
            Next::ToDevice(device, mut datagram) => {
                if let Some(client) = &mut self.devices[device as usize] {
                    client.handle_datagram(self.now, &mut datagram, &mut self.random);
                    self.drive(device, self.tried.radio.computes);
                }
            }
            Next::Wake(device) => self.wake(device),
            Next::Neighbour(number) => self.neighbour(number),
            Next::ToNeighbour(port, datagram) => self.go_on(port, datagram),
        }
        self.settle();
        self.peak = self.peak.max(self.gauges().handshakes);
    }

    fn gauges(&mut self) -> Gauges {
        self.shard.stats().gauges
    }

    fn client(&mut self, identity: &str, key: &[u8]) -> ClientHandshake {
        let config = ClientConfig {
            retransmit_initial: self.tried.timer(),
            ..ClientConfig::new(identity.as_bytes(), Psk::new(key).expect("16 bytes"))
        };
        ClientHandshake::new(config, self.now, &mut self.random)
    }

    fn wake(&mut self, device: u32) {
        match &mut self.devices[device as usize] {
            Some(client) if client.poll_timeout().is_some_and(|due| due <= self.now) => {
                client.handle_timeout(self.now);
            }
            Some(_) => return,
            None => {
                let client = self.client(&format!("MuGsF6W4,{device},2,3600"), KEY);
                self.devices[device as usize] = Some(client);
            }
        }
        self.drive(device, Duration::ZERO);
    }

    /// When a datagram of a device, or for it, arrives; `None` where it is lost.
    fn arrives(&mut self, device: u32) -> Option<Instant> {
        let Radio { lost_per_mille, varies_by, .. } = self.tried.radio;
        if self.random.below(1000) < lost_per_mille {
            self.came[device as usize].1 += 1;
            return None;
        }
        let half = self.tried.round_trip / 2;
        let longer = u64::try_from((half * varies_by / 100).as_micros()).unwrap_or(u64::MAX);
        Some(self.now + half + Duration::from_micros(self.random.below(longer + 1)))
    }

    /// Sends what a device wants to send, and notes when it is in. Where it needs its key, it computes first.
    fn drive(&mut self, device: u32, computes: Duration) {
        let Some(client) = &mut self.devices[device as usize] else { return };
        let (mut datagram, mut datagrams) = (Vec::new(), Vec::new());
        while client.poll_transmit(&mut datagram) {
            datagrams.push(datagram.clone());
        }
        let (event, due) = (client.poll_event(), client.poll_timeout());
        for datagram in datagrams {
            let needs_key = datagram.get(HANDSHAKE_TYPE_AT) != Some(&CLIENT_HELLO);
            let Some(arrives) = self.arrives(device) else { continue };
            let arrives = if needs_key { arrives + computes } else { arrives };
            self.plan(arrives, Next::ToServer(DEVICE_PORTS + device, datagram));
        }
        match event {
            Some(ClientEvent::Established(_)) => {
                self.done.push(self.now);
                let (came, lost) = self.came[device as usize];
                if lost <= 1 {
                    self.latest = self.latest.max(self.now.saturating_duration_since(came));
                }
            }
            Some(_) => {
                self.devices[device as usize] = None;
                self.plan(self.now + PAUSE, Next::Wake(device));
            }
            None => {
                if let Some(due) = due {
                    self.plan(due, Next::Wake(device));
                }
            }
        }
    }

    fn give(&mut self, port: u32, mut datagram: Vec<u8>) {
        self.shard.handle_datagram(self.now, peer(port), &mut datagram);
    }

    /// The platform answers at once, and what the shard sends goes on its way.
    fn settle(&mut self) {
        while let Some(event) = self.shard.poll_event() {
            if let ShardEvent::PskWanted { handshake, .. } = event {
                let answer = PskAnswer::key(Psk::new(KEY).expect("16 bytes"));
                self.shard.handle_command(self.now, ShardCommand::ProvidePsk { handshake, answer });
            }
        }
        let devices = DEVICE_PORTS..DEVICE_PORTS + self.tried.devices;
        let outbox = self.shard.outbox();
        let sent = outbox.iter().map(|(path, datagram)| (u32::from(path.peer.port()), datagram));
        let is_heard = |port: &u32| devices.contains(port) || self.goes_on.contains_key(port);
        let sent = sent.filter(|(port, _)| is_heard(port));
        let sent: Vec<_> = sent.map(|(port, datagram)| (port, datagram.to_vec())).collect();
        outbox.clear();
        for (port, datagram) in sent {
            if !devices.contains(&port) {
                let arrives = self.now + self.tried.neighbour.round_trip;
                self.plan(arrives, Next::ToNeighbour(port, datagram));
                continue;
            }
            let device = port - DEVICE_PORTS;
            if let Some(arrives) = self.arrives(device) {
                self.plan(arrives, Next::ToDevice(device, datagram));
            }
        }
    }

    fn outcome(mut self) -> Outcome {
        let come = start() + NEIGHBOUR_BEFORE;
        let devices = self.tried.devices as usize;
        let (first, last) = (devices / 10, devices / 2);
        let per_second = match (self.done.get(first), self.done.get(last)) {
            (Some(begin), Some(end)) => (last - first) as f64 / (*end - *begin).as_secs_f64().max(1e-3),
            _ => 0.0,
        };
        let stats = self.shard.stats();
        Outcome {
            latest: self.latest,
            tried: self.tried,
            done: self.done.len() as u32,
            seconds: self.now.saturating_duration_since(come).as_secs_f64(),
            per_second,
            peak: self.peak,
            evicted: stats.value(Counter::HandshakesEvicted),
            dropped: stats.value(Counter::HandshakesDeferred) + stats.value(Counter::HandshakesBeyondShare),
        }
    }
}

fn peer(port: u32) -> SocketAddr {
    SocketAddr::from((ADDRESS, port as u16))
}

#[cfg(test)]
mod tests;
