//! Slow radio: many devices behind one address of a carrier come back after an outage, with round trips of
//! seconds, and perhaps a neighbour behind the same address who begins thousands of handshakes a second and
//! finishes none. How many devices get in, against what the limit of handshakes allows.
//!
//! ```text
//!   devices ── half a round trip ──┐
//!                                  ├── one address ── shard
//!   neighbour ── no time at all ───┘
//! ```
//!
//! The limit allows as many handshakes a second as it has places, divided by the round trip for which a
//! device holds one. The platform answers at once: it is the shard's admission that is tried.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
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

use crate::{
    random::SeededRandom,
    world::{shard_config, start},
};

const KEY: &[u8; 16] = b"the key of tests";
/// The carrier's address.
const ADDRESS: [u8; 4] = [198, 51, 100, 7];
/// The first device's port; each has its own.
const DEVICE_PORTS: u32 = 1024;
/// The neighbour's ports: it takes one after the other, and begins again.
const NEIGHBOUR_PORTS: std::ops::Range<u32> = 25_000..65_000;
/// Pause of a device whose handshake failed.
const PAUSE: Duration = Duration::from_secs(5);
/// The neighbour sends a hello again after this.
const AGAIN: Duration = Duration::from_millis(600);
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
    /// Who is behind the same address, and finishes nothing.
    pub neighbour: Neighbour,
    /// Where all randomness comes from.
    pub seed: u64,
}

/// One who begins handshakes and finishes none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Neighbour {
    /// Handshakes that it begins in a second; 0 for nobody.
    pub per_second: u32,
    /// Whether it sends each hello twice, as a client that waits for an answer does.
    pub twice: bool,
    /// How long it waits before it brings the cookie, to look as if it were far away.
    pub feigns: Duration,
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_second)?;
        if self.twice {
            write!(f, " twice")?;
        }
        if !self.feigns.is_zero() {
            write!(f, " from {:?} away", self.feigns)?;
        }
        Ok(())
    }
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
}

impl Outcome {
    /// Handshakes in a second that the limit allows; no more than come.
    pub fn allowed(&self) -> f64 {
        let SlowRadio { devices, spread, round_trip, limit, .. } = self.tried;
        let comes = f64::from(devices) / spread.as_secs_f64();
        (limit as f64 / round_trip.as_secs_f64()).min(comes)
    }

    /// Share of what the limit allows that was reached.
    pub fn goodput(&self) -> f64 {
        self.per_second / self.allowed()
    }

    /// Whether all are in, as fast as nine tenths of what the limit allows.
    pub fn holds(&self) -> bool {
        self.done == self.tried.devices && self.peak <= self.tried.limit && self.goodput() >= 0.9
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlowRadio { devices, round_trip, limit, neighbour, .. } = self.tried;
        write!(f, "{devices} devices, round trip {round_trip:?}, limit {limit}, neighbour {neighbour}: ")?;
        write!(f, "{} in after {:.0} s, ", self.done, self.seconds)?;
        let (goodput, allowed) = (100.0 * self.goodput(), self.allowed());
        write!(f, "{:.0}/s of {allowed:.0}/s ({goodput:.0} %); ", self.per_second)?;
        write!(f, "{} at once, {} evicted, {} hellos dropped", self.peak, self.evicted, self.dropped)
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
}

struct Run {
    tried: SlowRadio,
    now: Instant,
    random: SeededRandom,
    shard: Shard,
    devices: Vec<Option<ClientHandshake>>,
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
            self.plan(come + Duration::from_millis(after), Next::Wake(device));
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
                    self.drive(device);
                }
            }
            Next::Wake(device) => self.wake(device),
            Next::Neighbour(number) => self.neighbour(number),
        }
        self.settle();
        self.peak = self.peak.max(self.gauges().handshakes);
    }

    fn gauges(&mut self) -> Gauges {
        self.shard.stats().gauges
    }

    fn client(&mut self, identity: &str) -> ClientHandshake {
        let config = ClientConfig {
            // As firmware for such a radio has it: above the round trip.
            retransmit_initial: self.tried.round_trip + Duration::from_secs(1),
            ..ClientConfig::new(identity.as_bytes(), Psk::new(KEY).expect("16 bytes"))
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
                let client = self.client(&format!("MuGsF6W4,{device},2,3600"));
                self.devices[device as usize] = Some(client);
            }
        }
        self.drive(device);
    }

    /// Sends what a device wants to send, and notes when it is in.
    fn drive(&mut self, device: u32) {
        let Some(client) = &mut self.devices[device as usize] else { return };
        let arrives = self.now + self.tried.round_trip / 2;
        let (mut datagram, mut datagrams) = (Vec::new(), Vec::new());
        while client.poll_transmit(&mut datagram) {
            datagrams.push(datagram.clone());
        }
        let (event, due) = (client.poll_event(), client.poll_timeout());
        for datagram in datagrams {
            self.plan(arrives, Next::ToServer(DEVICE_PORTS + device, datagram));
        }
        match event {
            Some(ClientEvent::Established(_)) => self.done.push(self.now),
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

    /// It asks for a cookie, brings it, perhaps twice, and then goes on to the next port.
    fn neighbour(&mut self, number: u32) {
        let Neighbour { per_second, twice, feigns } = self.tried.neighbour;
        let apart = Duration::from_secs(1) / per_second;
        self.plan(self.now + apart, Next::Neighbour(number.wrapping_add(1)));
        let port = NEIGHBOUR_PORTS.start + number % NEIGHBOUR_PORTS.len() as u32;
        let mut client = self.client("MuGsF6W4,neighbour,2,3600");
        let mut hello = Vec::new();
        assert!(client.poll_transmit(&mut hello));
        self.shard.handle_datagram(self.now, peer(port), &mut hello);
        let outbox = self.shard.outbox();
        let verify = outbox.iter().next().map(|(_, datagram)| datagram.to_vec());
        outbox.clear();
        if let Some(mut verify) = verify {
            client.handle_datagram(self.now, &mut verify, &mut self.random);
        }
        if client.poll_transmit(&mut hello) {
            let brings = self.now + feigns;
            if twice {
                self.plan(brings + AGAIN, Next::ToServer(port, hello.clone()));
            }
            self.plan(brings, Next::ToServer(port, hello));
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
        let arrives = self.now + self.tried.round_trip / 2;
        let devices = DEVICE_PORTS..DEVICE_PORTS + self.tried.devices;
        let sent: Vec<_> = self
            .shard
            .outbox()
            .iter()
            .map(|(path, datagram)| (u32::from(path.peer.port()), datagram.to_vec()))
            .filter(|(port, _)| devices.contains(port))
            .collect();
        self.shard.outbox().clear();
        for (port, datagram) in sent {
            self.plan(arrives, Next::ToDevice(port - DEVICE_PORTS, datagram));
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
            tried: self.tried,
            done: self.done.len() as u32,
            seconds: self.now.saturating_duration_since(come).as_secs_f64(),
            per_second,
            peak: self.peak,
            evicted: stats.value(Counter::HandshakesEvicted),
            dropped: stats.value(Counter::HandshakesDeferred) + stats.value(Counter::HandshakesAgain),
        }
    }
}

fn peer(port: u32) -> SocketAddr {
    SocketAddr::from((ADDRESS, port as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A twentieth of what the program `narrowgate-simulation slow-radio` tries.
    fn assert_all_get_in(round_trip: u64, neighbour: Neighbour) {
        let outcome = run(SlowRadio {
            devices: 1000,
            spread: Duration::from_secs(20),
            round_trip: Duration::from_secs(round_trip),
            limit: 200,
            neighbour,
            seed: 1,
        });
        assert!(outcome.holds(), "{outcome}");
    }

    #[test]
    fn attack_207_slow_devices_get_in_as_fast_as_the_limit_allows_beside_a_rude_neighbour() {
        for round_trip in [2, 8] {
            for per_second in [0, 10, 20, 50, 100, 200] {
                assert_all_get_in(round_trip, Neighbour { per_second, ..Neighbour::default() });
            }
        }
    }

    #[test]
    fn attack_207_also_where_the_neighbour_sends_each_hello_twice() {
        for round_trip in [2, 8] {
            for per_second in [10, 20, 50, 100, 200] {
                assert_all_get_in(round_trip, Neighbour { per_second, twice: true, ..Neighbour::default() });
            }
        }
    }
}
