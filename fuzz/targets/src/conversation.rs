//! A whole server conversation: a shard and the gateway, an honest device, a network that does what the
//! script says, and a store that answers when the script says so.
//!
//! Longer than 500 lines: one state, and every step of a script needs nearly all of it.

use std::{
    collections::{HashMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_coap::Params;
use narrowgate_dtls::{CipherSuite, DecoySecret, ServerConfig};
use narrowgate_engine::{
    event::{HandshakeId, SessionId, ShardCommand, ShardEvent},
    shard::{
        Shard, ShardConfig,
        stats::{Counter, Gauges},
    },
};
use narrowgate_gateway::{Answer, Effect, Limits, LiveChange, Now, Options, Outcomes, ProductRead, Token};
use narrowgate_platform::{
    firmware::ServerName,
    ids::{DEFAULT_OU, DeviceId, DeviceName, Position, UnixMillis},
    model::{
        credential::{CredentialLookup, Credentials},
        product::{ContentCode, DataFormat, DynamicActivation, Product, Profile},
        property::Properties,
        retention::RetentionClass,
    },
    ports::{Write, Written},
    secret::Secret,
};
use narrowgate_sim::world::server::{Server, WallClock};

use crate::{
    device::{Device, DeviceCommand, DeviceConfig},
    script::{Counting, Script, key_of, start},
};

/// Longest script, in commands.
const COMMANDS_MAX: usize = 96;
/// Datagrams on their way in one direction at most.
const ON_THEIR_WAY_MAX: usize = 12;
/// Lifetimes are a hundredth of the protocol's: the fuzzer's work grows with each tick of the timer wheel.
const EXCHANGE_LIFETIME: Duration = Duration::from_millis(1200);
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// The secret of all devices.
const SECRET: &str = "Z5YtZaQpK5IWocakV7zQ";
/// The devices that are registered.
const DEVICES: [&str; 2] = ["15bBZlRknc", "liveness00"];

thread_local! {
    static FIXED: Fixed = Fixed::new();
}

/// What does not change from run to run.
struct Fixed {
    shard: ShardConfig,
    device: DeviceConfig,
    stranger: DeviceConfig,
}

impl Fixed {
    fn new() -> Self {
        let mut dtls = ServerConfig::new(DecoySecret::new([7; 32]));
        dtls.handshake_lifetime = Duration::from_millis(600);
        dtls.retransmit_initial = Duration::from_millis(50);
        dtls.retransmits_max = 2;
        let coap = Params {
            ack_timeout: Duration::from_millis(20),
            separate_after: Duration::from_millis(20),
            exchange_lifetime: EXCHANGE_LIFETIME,
            non_lifetime: Duration::from_millis(700),
            ..Params::default()
        };
        let mut shard = ShardConfig::new(Arc::new(dtls));
        shard.coap = coap.clone();
        shard.idle_timeout = IDLE_TIMEOUT;
        shard.sessions_max = 8;
        shard.requests_in_flight_max = 4;
        let key = key_of(SECRET.as_bytes());
        let coap = Arc::new(coap);
        let config = |device_key| DeviceConfig::new(device_key, key.clone(), Arc::clone(&coap));
        Self { shard, device: config(DEVICES[0]), stranger: config(DEVICES[1]) }
    }
}

/// An address's balance while it has not shown a cookie.
#[derive(Default)]
struct Balance {
    received: usize,
    sent: usize,
    validated: bool,
}

struct Conversation<'a> {
    fixed: &'a Fixed,
    now: Instant,
    clock: WallClock,
    rng: Counting,
    server: Server,
    device: Device,
    address: SocketAddr,
    to_server: VecDeque<(SocketAddr, Vec<u8>)>,
    to_device: VecDeque<Vec<u8>>,
    /// The last datagrams that the device sent, for a stranger who plays them again.
    recorded: Vec<Vec<u8>>,
    balances: HashMap<SocketAddr, Balance>,
    /// Look-ups without an answer, with the handshakes that asked.
    wanted: Vec<(Token, DeviceName, HandshakeId)>,
    /// Writes without an answer.
    waiting: Vec<(Token, Vec<Write>)>,
    /// Handshakes that were given the right key.
    keyed: Vec<HandshakeId>,
    sessions: Vec<SessionId>,
    /// When each report was given to the store, by its number.
    executed: Vec<Option<Instant>>,
    /// Whether the store has it.
    stored: Vec<bool>,
    acknowledged: usize,
}

/// Whatever happens: no report is stored twice within its lifetime, none is acknowledged that is not stored,
/// nobody connects without the right key, nobody gets more bytes than he sent before he shows a cookie;
/// afterwards an honest device connects and is answered; and when all lifetimes are over neither shard nor
/// gateway holds anything.
pub fn conversation(data: &[u8]) {
    FIXED.with(|fixed| {
        let mut script = Script::new(data);
        let first = script.byte();
        let mut config = fixed.device.clone();
        match first & 3 {
            1 => config = config.suite(CipherSuite::PskAes128CbcSha256),
            2 => config = config.suite(CipherSuite::PskAes128Ccm8),
            _ => {}
        }
        let mut conversation = Conversation::new(fixed, config);
        if first & 4 == 0 {
            conversation.run_honestly(first >> 3);
        }
        for _ in 0..COMMANDS_MAX {
            let Some(command) = script.next() else { break };
            conversation.run(command, &mut script);
        }
        conversation.probe();
        conversation.end();
    });
}

impl<'a> Conversation<'a> {
    fn new(fixed: &'a Fixed, config: DeviceConfig) -> Self {
        let (online, newest_arrival, limits) = (Vec::new(), None, Limits::default());
        let (seed, commands) = ([6; 32], Vec::new());
        let (shards, plain_shards, epoch) = (1, 0, 1);
        let server = ServerName::default();
        let options =
            Options { shards, plain_shards, seed, online, commands, epoch, newest_arrival, limits, server };
        let now = WallClock::new(start()).at(start());
        let mut conversation = Self {
            fixed,
            now: start(),
            clock: WallClock::new(start()),
            rng: Counting(0),
            server: Server::new(vec![Shard::new(fixed.shard.clone(), start(), [5; 32])], options, now),
            device: Device::new(config),
            address: address(0),
            to_server: VecDeque::new(),
            to_device: VecDeque::new(),
            recorded: Vec::new(),
            balances: HashMap::new(),
            wanted: Vec::new(),
            waiting: Vec::new(),
            keyed: Vec::new(),
            sessions: Vec::new(),
            executed: Vec::new(),
            stored: Vec::new(),
            acknowledged: 0,
        };
        conversation.command(DeviceCommand::Connect);
        conversation
    }

    /// So many steps on a good network, so that scripts reach what lies deep.
    fn run_honestly(&mut self, steps: u8) {
        for _ in 0..steps {
            if self.device.is_connected() {
                return self.report();
            }
            self.step_honestly();
        }
    }

    fn step_honestly(&mut self) {
        self.deliver_to_server(0);
        self.deliver_to_device(0);
        self.provide_psk(0, 0);
        self.answer_all();
    }

    fn run(&mut self, command: u8, script: &mut Script<'_>) {
        let argument = usize::from(command >> 5);
        match command & 31 {
            0..=3 => self.deliver_to_server(argument % 2),
            4..=7 => self.deliver_to_device(argument % 2),
            8 | 9 => self.provide_psk(argument & 1, argument >> 1),
            10 | 11 => self.answer(argument),
            12 => drop(self.to_server.remove(argument % 2)),
            13 => drop(self.to_device.remove(argument % 2)),
            14 => self.to_server.extend(self.to_server.front().cloned()),
            15 => self.to_device.extend(self.to_device.front().cloned()),
            16 | 17 => {
                if let Some((_, datagram)) = self.to_server.front_mut() {
                    change(datagram, script);
                }
            }
            18 => {
                if let Some(datagram) = self.to_device.front_mut() {
                    change(datagram, script);
                }
            }
            19 => {
                let length = usize::from(script.byte() % 64);
                let mut datagram = script.take(length).to_vec();
                self.receive(address(argument as u16), &mut datagram);
            }
            20 | 21 => {
                if let Some(index) = script.choose(self.recorded.len()) {
                    let mut datagram = self.recorded[index].clone();
                    if argument & 4 != 0 {
                        change(&mut datagram, script);
                    }
                    self.receive(address((argument & 3) as u16), &mut datagram);
                }
            }
            22..=24 => {
                // Long enough once for the keys of the cookies to change.
                let long = if command & 31 == 24 { 61_000 } else { 3_000 };
                self.pass(Duration::from_millis([1, 10, 25, 60, 150, 400, 1_200, long][argument]));
            }
            25 => self.address = address((argument & 3) as u16),
            26 | 27 => self.report(),
            28 => self.command(DeviceCommand::Connect),
            29 => self.command(match argument % 3 {
                0 => DeviceCommand::Close,
                1 => DeviceCommand::Ping,
                _ => DeviceCommand::PowerOff,
            }),
            30 => self.close_newest(argument),
            _ => self.step_honestly(),
        }
    }

    /// The newest session ends: at once by an operator, or after a while.
    fn close_newest(&mut self, argument: usize) {
        if let Some(&session) = self.sessions.last() {
            let after = Duration::from_millis(100 * argument as u64);
            if argument == 0 {
                let change = LiveChange::CloseDevice { device: DeviceId(1), cause: "closed" };
                self.server.handle_change(self.both(), &change);
            } else {
                let close = ShardCommand::CloseAfter { session, after };
                self.server.shards[0].handle_command(self.now, close);
            }
            self.drain();
        }
    }

    fn deliver_to_server(&mut self, index: usize) {
        if let Some((from, mut datagram)) = self.to_server.remove(index) {
            self.receive(from, &mut datagram);
        }
    }

    fn deliver_to_device(&mut self, index: usize) {
        if let Some(mut datagram) = self.to_device.remove(index) {
            self.device.handle_datagram(self.now, &mut datagram, &mut self.rng);
            self.collect();
        }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &mut [u8]) {
        let begun = self.shard().stats().value(Counter::HandshakesBegun);
        self.balances.entry(from).or_default().received += datagram.len();
        let now = self.now;
        self.shard().handle_datagram(now, from, datagram);
        if self.shard().stats().value(Counter::HandshakesBegun) > begun {
            self.balances.entry(from).or_default().validated = true;
        }
        self.drain();
    }

    /// `how` 0: what the store has; 1: another secret; 2: nothing; 3: what it has, to be answered once more
    /// later.
    fn provide_psk(&mut self, index: usize, how: usize) {
        if index >= self.wanted.len() {
            return;
        }
        let (token, name, handshake) =
            if how == 3 { self.wanted[index].clone() } else { self.wanted.remove(index) };
        let device = DEVICES.iter().position(|device_key| *device_key == name.device_key);
        let found = match (device, how) {
            (Some(device), 0 | 3) => {
                self.keyed.push(handshake);
                credentials(device, SECRET)
            }
            (Some(device), 1) => credentials(device, "another"),
            _ => CredentialLookup::DeviceUnknown,
        };
        self.server.handle_answer(self.both(), token, Answer::Lookup(Ok(found)));
        self.drain();
    }

    /// The store has committed these writes.
    fn answer(&mut self, index: usize) {
        if index < self.waiting.len() {
            let (token, writes) = self.waiting.remove(index);
            for write in &writes {
                if let Write::Message(message) = write {
                    self.stored[number_in(&message.points_json)] = true;
                }
            }
            let written = vec![Written::Done; writes.len()];
            let outcomes = Outcomes { first: Position { epoch: 1, sequence: 1 }, written: &written };
            self.server.handle_answer(self.both(), token, Answer::Written(Ok(outcomes)));
            self.drain();
        }
    }

    fn answer_all(&mut self) {
        while !self.waiting.is_empty() {
            self.answer(0);
        }
    }

    fn shard(&mut self) -> &mut Shard {
        &mut self.server.shards[0]
    }

    /// Both clocks.
    fn both(&self) -> Now {
        self.clock.at(self.now)
    }

    fn report(&mut self) {
        let id = self.executed.len();
        self.executed.push(None);
        self.stored.push(false);
        self.command(DeviceCommand::Report(id));
    }

    fn command(&mut self, command: DeviceCommand) {
        self.device.handle_command(self.now, command, &mut self.rng);
        self.collect();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.time_passes();
        self.device.handle_timeout(self.now, &mut self.rng);
        self.drain();
        self.collect();
    }

    /// What the device has to say.
    fn collect(&mut self) {
        while let Some(datagram) = self.device.poll_transmit() {
            if self.recorded.len() < 16 {
                self.recorded.push(datagram.clone());
            }
            if self.to_server.len() < ON_THEIR_WAY_MAX {
                self.to_server.push_back((self.address, datagram));
            }
        }
        while let Some(id) = self.device.poll_acknowledged() {
            assert!(self.stored[id], "report {id} is acknowledged and not stored");
            self.acknowledged += 1;
        }
    }

    /// What the shard has to say.
    fn drain(&mut self) {
        loop {
            self.take_questions(None);
            let Some(event) = self.shard().poll_event() else { break };
            let mut wanted = None;
            match &event {
                ShardEvent::PskWanted { handshake, .. } => wanted = Some(*handshake),
                ShardEvent::Connected { handshake, session, .. } => {
                    assert!(self.keyed.contains(handshake), "connected without the key");
                    self.sessions.push(*session);
                }
                ShardEvent::Closed { session, .. } => {
                    let index = self.sessions.iter().position(|open| open == session);
                    self.sessions.remove(index.expect("a session ends once"));
                }
                _ => {}
            }
            self.server.handle_event(self.both(), 0, event);
            self.take_questions(wanted);
        }
        for (path, datagram) in self.server.shards[0].outbox().iter() {
            let to = path.peer;
            let balance = self.balances.entry(to).or_default();
            balance.sent += datagram.len();
            assert!(balance.validated || balance.sent <= balance.received, "amplification before a cookie");
            if to == self.address && self.to_device.len() < ON_THEIR_WAY_MAX {
                self.to_device.push_back(datagram.to_vec());
            }
        }
        self.shard().outbox().clear();
        let gauges = self.shard().stats().gauges;
        assert_eq!(gauges.sessions, self.sessions.len(), "every session was announced");
        assert!(gauges.sessions <= self.fixed.shard.sessions_max);
        assert!(gauges.requests_in_flight <= self.fixed.shard.requests_in_flight_max);
    }

    /// What the gateway asks. Look-ups and writes wait for the script; a look-up is that of the handshake
    /// that `wanted`.
    fn take_questions(&mut self, wanted: Option<HandshakeId>) {
        while let Some(question) = self.server.poll_question() {
            match question {
                Effect::Lookup(token, name) => {
                    let handshake = wanted.expect("only a handshake causes a look-up");
                    self.wanted.push((token, name, handshake));
                }
                Effect::Write(token, writes) => {
                    self.note_reports(&writes);
                    self.waiting.push((token, writes));
                }
                Effect::Product(token, product_key) => {
                    self.server.handle_answer(
                        self.both(),
                        token,
                        Answer::Product(Ok(Some(ProductRead {
                            product: product(product_key),
                            script: Ok(None),
                            unit: None,
                        }))),
                    );
                }
                Effect::Properties(token, ..) => {
                    let none = Answer::Properties(Ok(Properties::default()));
                    self.server.handle_answer(self.both(), token, none);
                }
                // Nobody sends any.
                Effect::Commands(token, _) => {
                    self.server.handle_answer(self.both(), token, Answer::Commands(Ok(Vec::new())));
                }
                // Nobody offers any.
                Effect::Upgrades(token, _) => {
                    self.server.handle_answer(self.both(), token, Answer::Upgrades(Ok(Vec::new())));
                }
                Effect::ImagePiece(token, _) => {
                    self.server.handle_answer(self.both(), token, Answer::ImagePiece(Ok(None)));
                }
                // Only of a product that is off, and none is.
                Effect::OnlineOf(token, _) => {
                    self.server.handle_answer(self.both(), token, Answer::OnlineOf(Ok(Vec::new())));
                }
                // Of no product, as its data format is JSON.
                Effect::Decode(..) | Effect::Encode(..) | Effect::GiveUp(_) | Effect::Received(_) => {
                    unreachable!("the product has no script")
                }
                Effect::Diagnose(token, _) => {
                    self.server.handle_answer(self.both(), token, Answer::Diagnosed(None));
                }
                Effect::Command(..) | Effect::Tell(..) | Effect::Entropy => {}
            }
        }
    }

    fn note_reports(&mut self, writes: &[Write]) {
        for write in writes {
            if let Write::Message(message) = write {
                let ran = &mut self.executed[number_in(&message.points_json)];
                let is_new = ran.is_none_or(|at| at + EXCHANGE_LIFETIME <= self.now);
                assert!(is_new, "a report is stored twice");
                *ran = Some(self.now);
            }
        }
    }

    fn time_passes(&mut self) {
        let now = self.now;
        self.shard().handle_timeout(now);
        self.server.handle_timeout(self.both());
    }

    /// An honest device elsewhere, on a good network.
    fn probe(&mut self) {
        self.to_server.clear();
        while !self.wanted.is_empty() {
            self.provide_psk(0, 2);
        }
        self.answer_all();
        self.to_server.clear();
        self.to_device.clear();
        self.device = Device::new(self.fixed.stranger.clone());
        self.address = address(77);
        self.command(DeviceCommand::Connect);
        for _ in 0..4 {
            self.step_honestly();
        }
        assert!(self.device.is_connected(), "an honest device cannot connect: {:?}", self.server);
        let before = self.acknowledged;
        self.report();
        self.step_honestly();
        self.deliver_to_device(0);
        assert_eq!(self.acknowledged, before + 1, "an honest device is not answered");
    }

    /// All lifetimes pass.
    fn end(&mut self) {
        for _ in 0..400 {
            self.answer_all();
            let Some(due) = self.server.poll_timeout() else { break };
            self.now = self.now.max(due);
            self.time_passes();
            self.drain();
        }
        assert_eq!(self.shard().stats().gauges, Gauges::default(), "something is held for ever");
        let gateway = self.server.gateway();
        let counters = gateway.counters();
        let left = (counters.online, counters.connected, gateway.is_settled());
        assert_eq!(left, (0, 0, true), "the gateway holds something for ever");
    }
}

/// What the store has of a device.
fn credentials(device: usize, secret: &str) -> CredentialLookup {
    CredentialLookup::Found(Box::new(Credentials {
        device: DeviceId(1 + device as i64),
        asset_id: "asset000".to_owned(),
        device_secret: Secret::new(secret.to_owned()),
        secret_version: 1,
        device_enabled: true,
        activated: true,
        product_secret: Secret::new("c3PW03srd6c".to_owned()),
        product_enabled: true,
        unit_suspended: false,
        profile: Profile::Default,
        dynamic_activation: DynamicActivation::default(),
    }))
}

/// The product that there is, whatever its key.
fn product(product_key: String) -> Product {
    Product {
        ou: DEFAULT_OU.to_owned(),
        product_key,
        name: String::new(),
        secret: Secret::new("c3PW03srd6c".to_owned()),
        dynamic_activation: DynamicActivation::default(),
        enabled: true,
        is_suspended: false,
        profile: Profile::Default,
        short_paths: false,
        data_format: DataFormat::Json,
        content_code: ContentCode::Content,
        model_json: None,
        retention: RetentionClass::STANDARD,
        created: UnixMillis(0),
    }
}

fn address(number: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(198, 51, 100, 7 + (number & 1) as u8), 20_000 + number))
}

/// One byte becomes another, or the end is cut off, or more is appended.
fn change(datagram: &mut Vec<u8>, script: &mut Script<'_>) {
    let (position, value) = (usize::from(script.byte()), script.byte());
    match datagram.len() {
        0 => datagram.push(value),
        length if value == 0 => datagram.truncate(position % length),
        length => datagram[position % length] ^= value,
    }
}

/// The number of a report that the device has sent: it is authentic, so it has one.
fn number_in(points: &str) -> usize {
    let digits = points.bytes().skip_while(|byte| !byte.is_ascii_digit()).take_while(u8::is_ascii_digit);
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}
