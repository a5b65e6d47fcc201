//! Two endpoints under one virtual clock: what tests tell their stories with.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod bystander;
pub(crate) mod campaign;
pub(crate) mod door;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_dtls::{
    CipherSuite, ClientConfig, ClientEvent, ClientFailure, ClientHandshake, DecoySecret, Discard,
    FailedFinished, FrontDoor, HandshakeEvent, Listener, Opened, Psk, PskAnswer, Refusal,
    RejectedKeyExchange, ServerConfig, ServerHandshake, Session, split_record,
};
use narrowgate_testkit::SeededRandom;
use sha2::{Digest, Sha256};

/// Time that a datagram needs.
const LATENCY: Duration = Duration::from_millis(20);

pub(crate) const IDENTITY: &[u8] = b"MuGsF6W4,15bBZlRknc,2,3600";
pub(crate) const SECRET: &[u8] = b"Z5YtZaQpK5IWocakV7zQ";

pub(crate) fn key() -> Psk {
    key_of(SECRET)
}

/// The key of a secret, as the product makes it: bytes 9 to 24 of its hash.
pub(crate) fn key_of(secret: &[u8]) -> Psk {
    Psk::new(&Sha256::digest(secret)[8..24]).expect("16 bytes are within 1 to 64")
}

pub(crate) fn peer() -> SocketAddr {
    "192.0.2.7:49152".parse().expect("an address")
}

#[allow(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn server_config() -> ServerConfig {
    ServerConfig::new(DecoySecret::new([0x5a; 32]))
}

/// The three ways to protect a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    Ccm8,
    CbcEncryptThenMac,
    CbcMacThenEncrypt,
}

pub(crate) const PROTECTIONS: [Protection; 3] =
    [Protection::Ccm8, Protection::CbcEncryptThenMac, Protection::CbcMacThenEncrypt];

pub(crate) fn client_config(protection: Protection) -> ClientConfig {
    let suite = match protection {
        Protection::Ccm8 => CipherSuite::PskAes128Ccm8,
        _ => CipherSuite::PskAes128CbcSha256,
    };
    ClientConfig {
        suites: vec![suite],
        encrypt_then_mac: protection == Protection::CbcEncryptThenMac,
        ..ClientConfig::new(IDENTITY, key())
    }
}

/// The datagrams of a handshake, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Hello,
    HelloVerify,
    HelloWithCookie,
    ServerHello,
    KeyExchange,
    ServerFinished,
    Other,
}

pub(crate) fn kind(datagram: &[u8]) -> Kind {
    match (datagram[0], datagram.get(13)) {
        (22, Some(1)) if datagram.get(60) == Some(&0) => Kind::Hello,
        (22, Some(1)) => Kind::HelloWithCookie,
        (22, Some(2)) => Kind::ServerHello,
        (22, Some(3)) => Kind::HelloVerify,
        (22, Some(16)) => Kind::KeyExchange,
        (20, _) => Kind::ServerFinished,
        _ => Kind::Other,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Server,
    Client,
}

/// What the server has of its peer.
pub(crate) enum ServerSide {
    Listening,
    Handshake(Box<ServerHandshake>),
    Established(Box<Session>),
}

/// What the client has.
pub(crate) enum ClientSide {
    Handshake(Box<ClientHandshake>),
    Established(Box<Session>),
    Failed(ClientFailure),
    Expired,
}

/// A server, a client and the network between them.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) rng: SeededRandom,
    pub(crate) listener: Listener,
    /// Where the client is, as the server sees it.
    pub(crate) peer: SocketAddr,
    pub(crate) server: ServerSide,
    pub(crate) client: ClientSide,
    pub(crate) wire: VecDeque<(Instant, To, Vec<u8>)>,
    /// What `SECRET`'s owner has at the server; `None` stands for an unknown identity.
    pub(crate) answer: Option<Psk>,
    /// Answers that wait: the key is looked up for this long.
    pub(crate) lookup: Duration,
    lookup_due: Option<Instant>,
    /// All datagrams that were sent, also those lost.
    pub(crate) sent: Vec<(To, Vec<u8>)>,
    attempts: BTreeMap<Kind, u32>,
    /// Replies of the front door and of the server's session that wait to be sent.
    replies: Vec<Vec<u8>>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) rejected: Vec<FailedFinished>,
    pub(crate) key_exchanges_rejected: Vec<RejectedKeyExchange>,
    pub(crate) expired: bool,
    pub(crate) identities: Vec<Vec<u8>>,
    pub(crate) at_server: Vec<Vec<u8>>,
    pub(crate) at_client: Vec<Vec<u8>>,
    pub(crate) discards: Vec<Discard>,
}

impl World {
    pub(crate) fn new(server: ServerConfig, client: ClientConfig, seed: u64) -> Self {
        let mut rng = SeededRandom::new(seed);
        let now = start();
        Self {
            now,
            listener: Listener::new(Arc::new(server), now, &mut rng),
            peer: peer(),
            server: ServerSide::Listening,
            client: ClientSide::Handshake(Box::new(ClientHandshake::new(client, now, &mut rng))),
            rng,
            wire: VecDeque::new(),
            answer: Some(key()),
            lookup: Duration::ZERO,
            lookup_due: None,
            sent: Vec::new(),
            attempts: BTreeMap::new(),
            replies: Vec::new(),
            refusals: Vec::new(),
            rejected: Vec::new(),
            key_exchanges_rejected: Vec::new(),
            expired: false,
            identities: Vec::new(),
            at_server: Vec::new(),
            at_client: Vec::new(),
            discards: Vec::new(),
        }
    }

    /// Another client at the same server, which has forgotten the last one; the time goes on.
    pub(crate) fn start_anew(&mut self, client: ClientConfig) {
        self.server = ServerSide::Listening;
        self.client = ClientSide::Handshake(Box::new(ClientHandshake::new(client, self.now, &mut self.rng)));
        self.wire.clear();
        self.lookup_due = None;
        self.sent.clear();
        self.attempts.clear();
        self.replies.clear();
        self.refusals.clear();
        self.rejected.clear();
        self.key_exchanges_rejected.clear();
        self.expired = false;
        self.identities.clear();
        self.at_server.clear();
        self.at_client.clear();
    }

    /// A pair that is connected without any loss.
    pub(crate) fn connected(server: ServerConfig, client: ClientConfig) -> Self {
        let mut world = Self::new(server, client, 1);
        world.run(|_, _| false);
        assert!(world.is_connected());
        world
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!((&self.server, &self.client), (ServerSide::Established(_), ClientSide::Established(_)))
    }

    pub(crate) fn sessions(&mut self) -> (&mut Session, &mut Session) {
        match (&mut self.server, &mut self.client) {
            (ServerSide::Established(server), ClientSide::Established(client)) => (server, client),
            _ => panic!("not connected"),
        }
    }

    /// Runs until nothing is due any more. `lose` is asked for each datagram and how often its kind was sent,
    /// from 1.
    pub(crate) fn run(&mut self, mut lose: impl FnMut(Kind, u32) -> bool) {
        for _ in 0..10_000 {
            self.drain(&mut lose);
            let Some(next) = self.next_time() else {
                return;
            };
            self.now = self.now.max(next);
            self.step();
        }
        panic!("the world does not come to rest");
    }

    fn next_time(&self) -> Option<Instant> {
        let wire = self.wire.iter().map(|&(at, ..)| at).min();
        let server = match &self.server {
            ServerSide::Handshake(handshake) => handshake.poll_timeout(),
            _ => None,
        };
        let client = match &self.client {
            ClientSide::Handshake(handshake) => handshake.poll_timeout(),
            _ => None,
        };
        [wire, server, client, self.lookup_due].into_iter().flatten().min()
    }

    fn step(&mut self) {
        if self.lookup_due.is_some_and(|due| due <= self.now) {
            self.lookup_due = None;
            self.answer_lookup();
        }
        while let Some(index) = self.wire.iter().position(|&(at, ..)| at <= self.now) {
            let (_, to, datagram) = self.wire.remove(index).expect("the index was just found");
            match to {
                To::Server => self.deliver_to_server(datagram),
                To::Client => self.deliver_to_client(datagram),
            }
        }
        if let ServerSide::Handshake(handshake) = &mut self.server {
            handshake.handle_timeout(self.now);
        }
        if let ClientSide::Handshake(handshake) = &mut self.client {
            handshake.handle_timeout(self.now);
        }
    }

    /// Takes out what both ends have to say.
    pub(crate) fn drain(&mut self, lose: &mut impl FnMut(Kind, u32) -> bool) {
        self.drain_server(lose);
        for reply in std::mem::take(&mut self.replies) {
            self.send(To::Client, reply, lose);
        }
        self.drain_client(lose);
    }

    fn drain_server(&mut self, lose: &mut impl FnMut(Kind, u32) -> bool) {
        let mut datagram = Vec::new();
        let mut established = None;
        if let ServerSide::Handshake(handshake) = &mut self.server {
            while let Some(event) = handshake.poll_event() {
                match event {
                    HandshakeEvent::PskWanted { identity } => {
                        self.identities.push(identity);
                        self.lookup_due = Some(self.now + self.lookup);
                    }
                    HandshakeEvent::Established(session) => established = Some(session),
                    HandshakeEvent::FinishedRejected(failed) => self.rejected.push(*failed),
                    HandshakeEvent::KeyExchangeRejected(rejected) => {
                        self.key_exchanges_rejected.push(*rejected);
                    }
                    HandshakeEvent::Failed(refusal) => self.refusals.push(refusal),
                    HandshakeEvent::Expired => self.expired = true,
                }
            }
            let mut out = Vec::new();
            while handshake.poll_transmit(&mut datagram) {
                out.push(datagram.clone());
            }
            out.into_iter().for_each(|datagram| self.send(To::Client, datagram, lose));
        }
        if let Some(session) = established {
            self.server = ServerSide::Established(session);
        } else if self.expired {
            self.server = ServerSide::Listening;
        }
    }

    fn drain_client(&mut self, lose: &mut impl FnMut(Kind, u32) -> bool) {
        let mut datagram = Vec::new();
        let mut end = None;
        if let ClientSide::Handshake(handshake) = &mut self.client {
            let mut out = Vec::new();
            while handshake.poll_transmit(&mut datagram) {
                out.push(datagram.clone());
            }
            while let Some(event) = handshake.poll_event() {
                end = Some(match event {
                    ClientEvent::Established(session) => ClientSide::Established(session),
                    ClientEvent::Failed(failure) => ClientSide::Failed(failure),
                    ClientEvent::Expired => ClientSide::Expired,
                });
            }
            out.into_iter().for_each(|datagram| self.send(To::Server, datagram, lose));
        }
        if let Some(end) = end {
            self.client = end;
        }
    }

    fn send(&mut self, to: To, datagram: Vec<u8>, lose: &mut impl FnMut(Kind, u32) -> bool) {
        let kind = kind(&datagram);
        let attempt = self.attempts.entry(kind).or_default();
        *attempt += 1;
        self.sent.push((to, datagram.clone()));
        if !lose(kind, *attempt) {
            self.wire.push_back((self.now + LATENCY, to, datagram));
        }
    }

    fn answer_lookup(&mut self) {
        let answer = self.answer.clone().map_or_else(PskAnswer::decoy, PskAnswer::key);
        if let ServerSide::Handshake(handshake) = &mut self.server {
            handshake.provide_psk(self.now, answer, &mut self.rng);
        }
    }

    /// Gives a datagram to the server at once.
    pub(crate) fn deliver_to_server(&mut self, mut datagram: Vec<u8>) {
        match &mut self.server {
            ServerSide::Listening => {
                let mut reply = Vec::new();
                let door =
                    self.listener.handle_datagram(self.now, self.peer, &datagram, &mut self.rng, &mut reply);
                match door {
                    FrontDoor::Accept(handshake) => self.server = ServerSide::Handshake(handshake),
                    FrontDoor::Refuse(refusal) => self.refusals.push(refusal),
                    FrontDoor::Discard(reason) => self.discards.push(reason),
                    FrontDoor::HelloVerify => {}
                }
                self.replies.extend(Some(reply).filter(|reply| !reply.is_empty()));
            }
            ServerSide::Handshake(handshake) => {
                self.discards.extend(handshake.handle_datagram(self.now, &mut datagram, &mut self.rng));
            }
            ServerSide::Established(session) => {
                let mut reply = Vec::new();
                let mut rest = datagram.as_mut_slice();
                while let Some((record, tail)) = split_record(rest) {
                    match session.open(record) {
                        Ok(Opened::Application(data)) => self.at_server.push(data.to_vec()),
                        Ok(Opened::FinishedAgain) => {
                            session.seal_last_flight(&mut self.rng, &mut reply).expect("numbers are left");
                        }
                        Ok(_) => {}
                        Err(reason) => self.discards.push(reason),
                    }
                    rest = tail;
                }
                self.replies.extend(Some(reply).filter(|reply| !reply.is_empty()));
            }
        }
    }

    /// Gives a datagram to the client at once.
    pub(crate) fn deliver_to_client(&mut self, mut datagram: Vec<u8>) {
        match &mut self.client {
            ClientSide::Handshake(handshake) => {
                handshake.handle_datagram(self.now, &mut datagram, &mut self.rng);
            }
            ClientSide::Established(session) => {
                let mut rest = datagram.as_mut_slice();
                while let Some((record, tail)) = split_record(rest) {
                    if let Ok(Opened::Application(data)) = session.open(record) {
                        self.at_client.push(data.to_vec());
                    }
                    rest = tail;
                }
            }
            _ => {}
        }
    }

    /// One step of time, without loss.
    pub(crate) fn turn(&mut self) {
        self.drain(&mut |_, _| false);
        if let Some(next) = self.next_time() {
            self.now = self.now.max(next);
            self.step();
        }
        self.drain(&mut |_, _| false);
    }

    /// Another device connects and reports, through the same front door.
    pub(crate) fn assert_others_live(&mut self) {
        bystander::Bystander::connect(&mut self.listener, self.now).assert_alive();
    }

    /// A short report arrives, for sessions with little room.
    pub(crate) fn assert_data_flows_for(&mut self, data: &[u8]) {
        let mut rng = SeededRandom::new(99);
        let (server, client) = self.sessions();
        let mut up = Vec::new();
        client.seal(data, &mut rng, &mut up).expect("it fits");
        assert_eq!(server.open(&mut up), Ok(Opened::Application(&mut data.to_vec())));
    }

    /// Application data in both directions arrives.
    pub(crate) fn assert_data_flows(&mut self) {
        let mut rng = SeededRandom::new(99);
        let (server, client) = self.sessions();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        client.seal(b"temp=21.5", &mut rng, &mut up).expect("it fits");
        server.seal(b"ok", &mut rng, &mut down).expect("it fits");
        assert_eq!(server.open(&mut up), Ok(Opened::Application(&mut b"temp=21.5".to_owned())));
        assert_eq!(client.open(&mut down), Ok(Opened::Application(&mut b"ok".to_owned())));
    }
}
