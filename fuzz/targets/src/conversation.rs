//! A whole server conversation: a shard, an honest device, a network that does what the script says, and a platform that
//! answers when the script says so.

use std::{
    collections::{HashMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_coap::{Code, Params, Response, format};
use narrowgate_dtls::{CipherSuite, DecoySecret, Psk, PskAnswer, ServerConfig};
use narrowgate_engine::{
    event::{HandshakeId, SessionId, ShardCommand, ShardEvent, Ticket},
    shard::{
        Shard, ShardConfig,
        stats::{Counter, Gauges},
    },
};

use crate::device::{Device, DeviceCommand, DeviceConfig};
use crate::script::{Counting, Script, key_of, start};

/// Longest script, in commands.
const COMMANDS_MAX: usize = 96;
/// Datagrams on their way in one direction at most.
const ON_THEIR_WAY_MAX: usize = 12;
/// Lifetimes are a hundredth of the protocol's: the fuzzer's work grows with each tick of the timer wheel.
const EXCHANGE_LIFETIME: Duration = Duration::from_millis(1200);
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

thread_local! {
    static FIXED: Fixed = Fixed::new();
}

/// What does not change from run to run.
struct Fixed {
    shard: ShardConfig,
    device: DeviceConfig,
    stranger: DeviceConfig,
    key: Psk,
    wrong_key: Psk,
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
        let key = key_of(b"Z5YtZaQpK5IWocakV7zQ");
        let coap = Arc::new(coap);
        let config = |device_key| DeviceConfig::new(device_key, key.clone(), Arc::clone(&coap));
        Self {
            shard,
            device: config("15bBZlRknc"),
            stranger: config("liveness00"),
            wrong_key: key_of(b"another"),
            key,
        }
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
    rng: Counting,
    shard: Shard,
    device: Device,
    address: SocketAddr,
    to_server: VecDeque<(SocketAddr, Vec<u8>)>,
    to_device: VecDeque<Vec<u8>>,
    /// The last datagrams that the device sent, for a stranger who plays them again.
    recorded: Vec<Vec<u8>>,
    balances: HashMap<SocketAddr, Balance>,
    wanted: Vec<HandshakeId>,
    waiting: Vec<(Ticket, Response)>,
    /// Handshakes that were given the right key.
    keyed: Vec<HandshakeId>,
    sessions: Vec<SessionId>,
    /// When each report ran, by its number.
    executed: Vec<Option<Instant>>,
    acknowledged: usize,
}

/// Whatever happens: no report runs twice within its lifetime, none is acknowledged that did not run, nobody connects without
/// the right key, nobody gets more bytes than he sent before he shows a cookie; afterwards an honest device connects and is
/// answered; and when all lifetimes are over nothing is held.
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
        let mut conversation = Self {
            fixed,
            now: start(),
            rng: Counting(0),
            shard: Shard::new(fixed.shard.clone(), start(), [5; 32]),
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
        self.answer(0);
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
            30 => {
                if let Some(&session) = self.sessions.last() {
                    let after = Duration::from_millis(100 * argument as u64);
                    let close = if argument == 0 {
                        ShardCommand::Close { session }
                    } else {
                        ShardCommand::CloseAfter { session, after }
                    };
                    self.shard.handle_command(self.now, close);
                    self.drain();
                }
            }
            _ => self.step_honestly(),
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
        let begun = self.shard.stats().value(Counter::HandshakesBegun);
        self.balances.entry(from).or_default().received += datagram.len();
        self.shard.handle_datagram(self.now, from, datagram);
        if self.shard.stats().value(Counter::HandshakesBegun) > begun {
            self.balances.entry(from).or_default().validated = true;
        }
        self.drain();
    }

    /// `how` 0: the right key; 1: another; 2: none; 3: the right one, to a handshake that did not ask (any more).
    fn provide_psk(&mut self, index: usize, how: usize) {
        if index >= self.wanted.len() {
            return;
        }
        let handshake = if how == 3 { self.wanted[index] } else { self.wanted.remove(index) };
        let answer = match how {
            0 | 3 => {
                self.keyed.push(handshake);
                PskAnswer::key(self.fixed.key.clone())
            }
            1 => PskAnswer::key(self.fixed.wrong_key.clone()),
            _ => PskAnswer::decoy(),
        };
        self.shard.handle_command(self.now, ShardCommand::ProvidePsk { handshake, answer });
        self.drain();
    }

    fn answer(&mut self, index: usize) {
        if index < self.waiting.len() {
            let (ticket, response) = self.waiting.remove(index);
            self.shard.handle_command(self.now, ShardCommand::Respond { ticket, response });
            self.drain();
        }
    }

    fn report(&mut self) {
        let id = self.executed.len();
        self.executed.push(None);
        self.command(DeviceCommand::Report(id));
    }

    fn command(&mut self, command: DeviceCommand) {
        self.device.handle_command(self.now, command, &mut self.rng);
        self.collect();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.shard.handle_timeout(self.now);
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
            assert!(self.executed[id].is_some(), "report {id} is acknowledged and did not run");
            self.acknowledged += 1;
        }
    }

    /// What the shard has to say.
    fn drain(&mut self) {
        while let Some(event) = self.shard.poll_event() {
            match event {
                ShardEvent::PskWanted { handshake, .. } => self.wanted.push(handshake),
                ShardEvent::Request { ticket, request } => {
                    self.note_request(&request.payload);
                    let reply = Response::new(Code::CHANGED).content_format(format::JSON);
                    self.waiting.push((ticket, reply.payload(reply_to(&request.payload))));
                }
                ShardEvent::Connected { handshake, session, .. } => {
                    assert!(self.keyed.contains(&handshake), "connected without the key");
                    self.sessions.push(session);
                }
                ShardEvent::Closed { session, .. } => {
                    let index = self.sessions.iter().position(|open| *open == session);
                    self.sessions.remove(index.expect("a session ends once"));
                }
                ShardEvent::Refused { .. }
                | ShardEvent::KeyExchangeRejected { .. }
                | ShardEvent::Stray { .. }
                | ShardEvent::WrongKey { .. }
                | ShardEvent::HandshakeEnded { .. }
                | ShardEvent::RequestRefused { .. }
                | ShardEvent::Malformed { .. }
                | ShardEvent::MessageIdReused { .. }
                | ShardEvent::AnswerTooLarge { .. }
                | ShardEvent::Heard { .. } => {}
            }
        }
        for (path, datagram) in self.shard.outbox().iter() {
            let to = path.peer;
            let balance = self.balances.entry(to).or_default();
            balance.sent += datagram.len();
            assert!(balance.validated || balance.sent <= balance.received, "amplification before a cookie");
            if to == self.address && self.to_device.len() < ON_THEIR_WAY_MAX {
                self.to_device.push_back(datagram.to_vec());
            }
        }
        self.shard.outbox().clear();
        let gauges = self.shard.stats().gauges;
        assert_eq!(gauges.sessions, self.sessions.len(), "every session was announced");
        assert!(gauges.sessions <= self.fixed.shard.sessions_max);
        assert!(gauges.requests_in_flight <= self.fixed.shard.requests_in_flight_max);
    }

    fn note_request(&mut self, payload: &[u8]) {
        let ran = &mut self.executed[id_in(payload)];
        let is_new = ran.is_none_or(|at| at + EXCHANGE_LIFETIME <= self.now);
        assert!(is_new, "a report runs twice");
        *ran = Some(self.now);
    }

    /// An honest device elsewhere, on a good network.
    fn probe(&mut self) {
        self.to_server.clear();
        self.wanted.clear();
        while !self.waiting.is_empty() {
            self.answer(0);
        }
        self.to_device.clear();
        self.device = Device::new(self.fixed.stranger.clone());
        self.address = address(77);
        self.command(DeviceCommand::Connect);
        for _ in 0..4 {
            self.step_honestly();
        }
        assert!(self.device.is_connected(), "an honest device cannot connect: {:?}", self.shard);
        let before = self.acknowledged;
        self.report();
        self.step_honestly();
        self.deliver_to_device(0);
        assert_eq!(self.acknowledged, before + 1, "an honest device is not answered");
    }

    /// All lifetimes pass.
    fn end(&mut self) {
        for _ in 0..400 {
            let Some(due) = self.shard.poll_timeout() else { break };
            self.now = self.now.max(due);
            self.shard.handle_timeout(self.now);
            self.drain();
        }
        assert_eq!(self.shard.stats().gauges, Gauges::default(), "something is held for ever");
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

/// `id` of a report that the device has sent: it is authentic, so it has one.
fn id_in(payload: &[u8]) -> usize {
    let digits =
        payload.iter().skip_while(|byte| !byte.is_ascii_digit()).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |id, digit| id * 10 + usize::from(digit - b'0'))
}

fn reply_to(payload: &[u8]) -> Vec<u8> {
    format!(r#"{{"id":"{}","code":200,"data":{{}}}}"#, id_in(payload)).into_bytes()
}
