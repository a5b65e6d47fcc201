//! What the engine itself costs: handshakes and reports through a shard in this process, without sockets,
//! platform or store.
//!
//! Only the shard's calls are timed, in batches of 64 datagrams; the devices' share is not. Time is virtual:
//! each device reports once a minute, so a session keeps four or five answers for duplicates, as in the
//! field.
//!
//! `cargo run --release -p narrowgate-benches --bin engine_cost -- [HANDSHAKES] [REPORTS]`; for instruction
//! counts: `valgrind --tool=callgrind --toggle-collect='*Shard::handle_datagram*' engine_cost 1000 1000`.

use std::{
    env,
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_benches::respond;
use narrowgate_dtls::{CipherSuite, PskAnswer};
use narrowgate_engine::{
    event::{ShardCommand, ShardEvent},
    shard::Shard,
};
use narrowgate_sim::{
    device::{Device, DeviceCommand, DeviceEvent, Report},
    devices,
    random::SeededRandom,
    world::{shard_config, start},
};

/// Devices that are served together, as in a batch of the driver.
const BATCH: usize = 64;
const PRODUCT_KEY: &str = "MuGsF6W4";

struct Bench {
    shard: Shard,
    devices: Vec<Device>,
    random: SeededRandom,
    now: Instant,
    /// Time in the shard's calls.
    spent: Duration,
}

impl Bench {
    fn new(suite: CipherSuite) -> Self {
        let device = |number| Device::new(devices::device_config(PRODUCT_KEY, number, suite));
        Self {
            shard: Shard::new(shard_config(), start(), [1; 32]),
            devices: (1..=BATCH as u32).map(device).collect(),
            random: SeededRandom::new(1),
            now: start(),
            spent: Duration::ZERO,
        }
    }

    /// Gives every device a command, lets them and the shard talk until all is said, and returns what the
    /// devices told.
    fn round(
        &mut self,
        round: u32,
        command: impl Fn() -> DeviceCommand,
    ) -> Result<Vec<DeviceEvent>, Box<dyn Error>> {
        for device in &mut self.devices {
            device.handle_command(self.now, command(), &mut self.random)?;
        }
        while self.exchange(round) {}
        Ok(self.devices.iter_mut().filter_map(Device::poll_event).collect())
    }

    /// Lets time pass, and the timers of all run.
    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        for device in &mut self.devices {
            device.handle_timeout(self.now, &mut self.random);
        }
        let begin = Instant::now();
        self.shard.handle_timeout(self.now);
        self.spent += begin.elapsed();
    }

    /// One way there and back; false when nobody had anything to send.
    fn exchange(&mut self, round: u32) -> bool {
        let Self { shard, devices, random, now, spent } = self;
        let now = *now;
        let mut datagrams: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        for (index, device) in devices.iter_mut().enumerate() {
            datagrams.extend(
                std::iter::from_fn(|| device.poll_transmit()).map(|bytes| (peer(round, index), bytes)),
            );
        }
        if datagrams.is_empty() {
            return false;
        }
        let mut events = Vec::new();
        let begin = Instant::now();
        for (peer, datagram) in &mut datagrams {
            shard.handle_datagram(now, *peer, datagram);
        }
        shard.drain_events(&mut events);
        *spent += begin.elapsed();
        let commands: Vec<_> = events.drain(..).filter_map(answer).collect();
        let begin = Instant::now();
        for command in commands {
            shard.handle_command(now, command);
        }
        shard.drain_events(&mut events);
        *spent += begin.elapsed();
        for (path, datagram) in shard.outbox().iter() {
            let index = usize::from(path.peer.port() - 1);
            devices[index].handle_datagram(now, &mut datagram.to_vec(), random);
        }
        shard.outbox().clear();
        true
    }
}

/// An address of its own for every device in every round, so that sessions pile up as in a server.
fn peer(round: u32, index: usize) -> SocketAddr {
    SocketAddr::from((round.to_be_bytes(), index as u16 + 1))
}

/// The answer of a platform that needs no time.
fn answer(event: ShardEvent) -> Option<ShardCommand> {
    match event {
        ShardEvent::PskWanted { handshake, identity, .. } => {
            let identity = String::from_utf8(identity).ok()?;
            let number = devices::device_number(identity.split(',').nth(1)?)?;
            let psk = devices::device_config(PRODUCT_KEY, number, CipherSuite::PskAes128Ccm8).psk;
            Some(ShardCommand::ProvidePsk { handshake, answer: PskAnswer::key(psk) })
        }
        ShardEvent::Request { ticket, request } => {
            Some(ShardCommand::Respond { ticket, response: respond(&request) })
        }
        _ => None,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = env::args().skip(1).map(|argument| argument.parse::<u32>());
    let handshakes = numbers.next().transpose()?.unwrap_or(20_000);
    let reports = numbers.next().transpose()?.unwrap_or(200_000);
    for suite in CipherSuite::ALL {
        let mut bench = Bench::new(suite);
        let rounds = handshakes.div_ceil(BATCH as u32);
        for round in 0..rounds {
            let events = bench.round(round, || DeviceCommand::Connect)?;
            let connected = |event: &DeviceEvent| matches!(event, DeviceEvent::Connected { .. });
            assert!(events.len() == BATCH && events.iter().all(connected), "a device did not get in");
        }
        print(suite, "handshake", bench.spent, rounds)?;
        bench.spent = Duration::ZERO;
        let last = rounds.saturating_sub(1);
        let points = r#"{"temperature":21.5,"battery":3.61}"#;
        let rounds = reports.div_ceil(BATCH as u32);
        for id in 0..rounds {
            let report =
                || DeviceCommand::Report(Report { id: u64::from(id), time_ms: None, points: points.into() });
            bench.pass(Duration::from_secs(60));
            let events = bench.round(last, report)?;
            let acknowledged = |event: &DeviceEvent| matches!(event, DeviceEvent::Acknowledged { .. });
            assert!(
                events.len() == BATCH && events.iter().all(acknowledged),
                "a report was not acknowledged"
            );
        }
        print(suite, "report", bench.spent, rounds)?;
    }
    Ok(())
}

fn print(suite: CipherSuite, what: &str, spent: Duration, rounds: u32) -> io::Result<()> {
    let count = u64::from(rounds) * BATCH as u64;
    let nanos = spent.as_nanos() as f64 / count.max(1) as f64;
    writeln!(io::stdout(), "{:<34} {what:<9} {nanos:>8.0} ns, {count} times", suite.name())
}
