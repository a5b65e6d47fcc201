//! All states of the server against all inputs, as a table; and what a handshake occupies.

use std::{fmt::Write, net::SocketAddr, time::Duration};

use narrowgate_testkit::SeededRandom;

use super::*;
use crate::{
    client::ClientHandshake,
    codes::{ContentType, Version},
    config::ClientConfig,
    limits,
    listener::{FrontDoor, Listener},
    record::{put_plaintext, split_record},
    secret::DecoySecret,
};

/// A server in the state that follows the ClientHello, and what its client would send next.
struct Scene {
    now: Instant,
    rng: SeededRandom,
    server: Box<ServerHandshake>,
    hello: Vec<u8>,
    key_exchange: Vec<u8>,
    change_cipher_spec: Vec<u8>,
    finished: Vec<u8>,
}

fn psk() -> Psk {
    Psk::new(b"0123456789abcdef").expect("16 bytes")
}

#[allow(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn records(datagram: &mut [u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut rest = datagram;
    while let Some((record, tail)) = split_record(rest) {
        records.push(record.to_vec());
        rest = tail;
    }
    records
}

/// Runs a client up to its second ClientHello; gives also all datagrams of that.
fn introduced(
    datagram_bytes_max: usize,
) -> (Instant, SeededRandom, ClientHandshake, Box<ServerHandshake>, Vec<Vec<u8>>) {
    let (now, mut rng) = (start(), SeededRandom::new(0));
    let peer: SocketAddr = "192.0.2.1:1000".parse().expect("an address");
    let config = Arc::new(ServerConfig::new(DecoySecret::new([1; 32])));
    let mut listener = Listener::new(config, now, &mut rng);
    let client = ClientConfig { datagram_bytes_max, ..ClientConfig::new(b"identity", psk()) };
    let mut client = ClientHandshake::new(client, now, &mut rng);
    let (mut datagram, mut reply) = (Vec::new(), Vec::new());
    assert!(client.poll_transmit(&mut datagram));
    let door = listener.handle_datagram(now, peer, &datagram, &mut rng, &mut reply);
    assert!(matches!(door, FrontDoor::HelloVerify));
    client.handle_datagram(now, &mut reply, &mut rng);
    let mut hellos = Vec::new();
    while client.poll_transmit(&mut datagram) {
        hellos.push(datagram.clone());
    }
    match listener.handle_datagram(now, peer, &hellos[0], &mut rng, &mut reply) {
        FrontDoor::Accept(server) => (now, rng, client, server, hellos),
        door => panic!("the front door says {door:?}"),
    }
}

impl Scene {
    fn new() -> Self {
        let (now, mut rng, mut client, mut server, hellos) = introduced(1280);
        let mut datagram = Vec::new();
        assert!(server.poll_transmit(&mut datagram));
        client.handle_datagram(now, &mut datagram, &mut rng);
        assert!(client.poll_transmit(&mut datagram));
        let [key_exchange, change_cipher_spec, finished] =
            records(&mut datagram).try_into().expect("flight 5 has three records");
        let mut hello = hellos[0].clone();
        hello[10] = 99;
        Self { now, rng, server, hello, key_exchange, change_cipher_spec, finished }
    }

    fn give(&mut self, mut datagram: Vec<u8>) -> Option<Discard> {
        self.server.handle_datagram(self.now, &mut datagram, &mut self.rng)
    }

    fn answer(&mut self) {
        self.server.provide_psk(self.now, PskAnswer::key(psk()), &mut self.rng);
    }

    /// Brings the server into a state and forgets what it has said so far.
    fn enter(state: &str) -> Self {
        let mut scene = Self::new();
        let hello = match state {
            "AwaitClientHello" => {
                let (now, _, _, server, hellos) = introduced(80);
                scene.now = now;
                scene.server = server;
                hellos[0].clone()
            }
            _ => scene.hello.clone(),
        };
        scene.hello = hello;
        let depth = ["AwaitPsk", "AwaitPsk ccs", "AwaitFinished", "AwaitFinished ccs", "Established"];
        let depth = depth.iter().position(|&name| name == state).map_or(0, |index| index + 1);
        if depth > 0 {
            scene.give(scene.key_exchange.clone());
        }
        if matches!(depth, 2 | 4 | 5) {
            scene.give(scene.change_cipher_spec.clone());
        }
        if depth > 2 {
            scene.answer();
        }
        if depth == 5 {
            scene.give(scene.finished.clone());
        }
        if state == "Expired" {
            scene.now += Duration::from_secs(60);
            scene.server.handle_timeout(scene.now);
        }
        while scene.server.poll_event().is_some() {}
        while scene.server.poll_transmit(&mut Vec::new()) {}
        scene.now += Duration::from_millis(300);
        scene
    }

    fn apply(&mut self, input: &str) -> Option<Discard> {
        match input {
            "the key" => self.answer(),
            "1 second" => self.server.handle_timeout(self.now + Duration::from_secs(1)),
            "60 seconds" => self.server.handle_timeout(self.now + Duration::from_secs(60)),
            _ => return self.give(self.datagram(input)),
        }
        None
    }

    fn datagram(&self, input: &str) -> Vec<u8> {
        let plaintext = |content_type, fragment: &[u8]| {
            let mut out = Vec::new();
            put_plaintext(&mut out, content_type, Version::DTLS_1_2, 50, fragment);
            out
        };
        match input {
            "the same ClientHello" => {
                let mut hello = self.hello.clone();
                hello[10] = 77;
                hello
            }
            "another ClientHello" => {
                let mut hello = self.hello.clone();
                hello[10] = 78;
                hello[13 + 12 + 5] ^= 1;
                hello
            }
            "ClientKeyExchange" => self.key_exchange.clone(),
            "ClientKeyExchange, malformed" => {
                let mut record = self.key_exchange.clone();
                record[13 + 12] = 0xff;
                record
            }
            "Certificate" => plaintext(ContentType::HANDSHAKE, &[11, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 0]),
            "Finished in epoch 0" => {
                plaintext(ContentType::HANDSHAKE, &[20, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 0])
            }
            "ChangeCipherSpec" => self.change_cipher_spec.clone(),
            "ChangeCipherSpec 2" => plaintext(ContentType::CHANGE_CIPHER_SPEC, &[2]),
            "alert" => plaintext(ContentType::ALERT, &[2, 40]),
            "data in epoch 0" => plaintext(ContentType::APPLICATION_DATA, b"x"),
            "Finished" => self.finished.clone(),
            "Finished, forged" => {
                let mut record = self.finished.clone();
                *record.last_mut().expect("not empty") ^= 1;
                record
            }
            "data in epoch 1" => {
                let mut record = self.finished.clone();
                record[0] = 23;
                record
            }
            "epoch 2" => {
                let mut record = self.finished.clone();
                record[4] = 2;
                record
            }
            _ => panic!("an input without a meaning: {input}"),
        }
    }

    /// State, what was dropped, what is told, what is sent.
    fn outcome(&mut self, dropped: Option<Discard>) -> String {
        let mut out = match &self.server.state {
            State::AwaitPsk(AwaitPsk { change_cipher_spec: true, .. }) => "AwaitPsk ccs".to_owned(),
            State::AwaitFinished(waiting) if waiting.change_cipher_spec => "AwaitFinished ccs".to_owned(),
            _ => format!("{:?}", self.server).split('"').nth(1).unwrap_or_default().to_owned(),
        };
        if !self.server.early.is_empty() {
            out.push_str(" +early");
        }
        if let Some(reason) = dropped {
            write!(out, ", {}", reason.name()).expect("a string takes everything");
        }
        while let Some(event) = self.server.poll_event() {
            let event = format!("{event:?}");
            let name = event.split([' ', '(', '{']).next().unwrap_or_default();
            write!(out, ", {name}").expect("a string takes everything");
        }
        let mut datagram = Vec::new();
        while self.server.poll_transmit(&mut datagram) {
            write!(out, ", sends {}", datagram.len()).expect("a string takes everything");
        }
        out
    }
}

const STATES: [&str; 8] = [
    "AwaitClientHello",
    "AwaitKeyExchange",
    "AwaitPsk",
    "AwaitPsk ccs",
    "AwaitFinished",
    "AwaitFinished ccs",
    "Established",
    "Expired",
];

const INPUTS: [&str; 17] = [
    "the same ClientHello",
    "another ClientHello",
    "ClientKeyExchange",
    "ClientKeyExchange, malformed",
    "Certificate",
    "Finished in epoch 0",
    "ChangeCipherSpec",
    "ChangeCipherSpec 2",
    "alert",
    "data in epoch 0",
    "Finished",
    "Finished, forged",
    "data in epoch 1",
    "epoch 2",
    "the key",
    "1 second",
    "60 seconds",
];

#[test]
fn every_state_meets_every_input() {
    let mut table = String::new();
    for state in STATES {
        writeln!(table, "{state}").expect("a string takes everything");
        for input in INPUTS {
            let mut scene = Scene::enter(state);
            let dropped = scene.apply(input);
            writeln!(table, "  {input} -> {}", scene.outcome(dropped)).expect("a string takes everything");
        }
    }
    let expected = include_str!("table.txt");
    assert!(table == expected, "the table of states has changed; it is now\n{table}");
}

#[test]
fn attack_097_a_half_open_handshake_stays_below_its_limit() {
    let mut scene = Scene::enter("AwaitKeyExchange");
    // The most that a peer can make a server keep: a message in pieces, and early records.
    let mut fragment = vec![16, 0, 8, 0, 0, 2, 0, 0, 0, 0, 7, 0];
    fragment.resize(12 + 0x700, 1);
    let mut record = Vec::new();
    put_plaintext(&mut record, ContentType::HANDSHAKE, Version::DTLS_1_2, 60, &fragment);
    scene.give(record);
    for _ in 0..10 {
        let mut early = scene.finished.clone();
        early.resize(limits::EARLY_RECORD_BYTES_MAX, 0);
        let length = (early.len() - 13) as u16;
        early[11..13].copy_from_slice(&length.to_be_bytes());
        scene.give(early);
    }
    scene.server.send_flight();
    assert_eq!(scene.server.early.heap_bytes(), 3 * limits::EARLY_RECORD_BYTES_MAX);
    assert!(scene.server.memory_bytes() > 3000, "{}", scene.server.memory_bytes());
    assert!(scene.server.memory_bytes() <= limits::HANDSHAKE_BYTES_MAX, "{}", scene.server.memory_bytes());

    let scene = Scene::enter("AwaitFinished ccs");
    assert!(scene.server.memory_bytes() <= limits::HANDSHAKE_BYTES_MAX, "{}", scene.server.memory_bytes());
}

#[test]
fn attack_054_a_finished_of_the_right_key_with_wrong_content_is_refused_with_decrypt_error() {
    let mut scene = Scene::enter("AwaitFinished ccs");
    // The server's view of the handshake differs: somebody changed a message on the way.
    if let State::AwaitFinished(waiting) = &mut scene.server.state {
        waiting.transcript_hash[0] ^= 1;
    }
    assert_eq!(scene.give(scene.finished.clone()), None);
    assert!(matches!(scene.server.poll_event(), Some(HandshakeEvent::Failed(Refusal::DecryptError))));
    let mut datagram = Vec::new();
    assert!(scene.server.poll_transmit(&mut datagram));
    assert_eq!((datagram[0], &datagram[13..]), (21, &[2, 51][..]));
    assert!(scene.server.is_over() && scene.server.poll_timeout().is_none());
}

#[test]
fn a_decoy_establishes_nothing_even_if_its_key_is_guessed() {
    let mut scene = Scene::enter("AwaitPsk ccs");
    let (_, mut rng, mut client, mut server, _) = introduced(1280);
    // A client that, against all odds, has the decoy's key.
    let decoy = ServerConfig::new(DecoySecret::new([1; 32])).decoy.psk(b"identity");
    client.replace_psk(decoy);
    let mut datagram = Vec::new();
    assert!(server.poll_transmit(&mut datagram));
    client.handle_datagram(scene.now, &mut datagram, &mut rng);
    assert!(client.poll_transmit(&mut datagram));
    server.handle_datagram(scene.now, &mut datagram, &mut rng);
    scene.server = server;
    scene.server.provide_psk(scene.now, PskAnswer::decoy(), &mut rng);
    assert!(scene.outcome(None).ends_with("AwaitFinished ccs, PskWanted, FinishedRejected"));
}
