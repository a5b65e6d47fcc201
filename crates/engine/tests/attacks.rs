//! What strangers do to a whole shard, by the numbers of the catalogue of hostile input: bytes sent to
//! addresses that are not proven (38), sweeps of identities (81), floods of good cookies from one address
//! (95), floods from one distance (207).

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_dtls::{
    CipherSuite, ClientConfig, ClientEvent, ClientHandshake, DecoySecret, Psk, PskAnswer, ServerConfig,
    split_record,
};
use narrowgate_engine::{
    event::{ShardCommand, ShardEvent},
    shard::{Shard, ShardConfig, admission::AdmissionLimits, stats::Counter},
};
use narrowgate_testkit::{SeededRandom, mutate, record::record};

const KEY: &[u8; 16] = b"the key of tests";
const HONEST: &[u8] = b"MuGsF6W4,honest,2,3600";

/// A shard, and a platform that knows one secret for whoever has "honest" in its identity.
struct Server {
    now: Instant,
    shard: Shard,
    rng: SeededRandom,
    connected: usize,
    wrong_keys: usize,
    /// The platform drops every handshake of whom it does not know, as it does with too many.
    drops: bool,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn new(admission: AdmissionLimits) -> Self {
        let now = Instant::now();
        let dtls = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
        let config = ShardConfig { admission, ..ShardConfig::new(dtls) };
        let shard = Shard::new(config, now, [1; 32]);
        Self { now, shard, rng: SeededRandom::new(5), connected: 0, wrong_keys: 0, drops: false }
    }

    /// Gives a datagram to the shard and the platform's answers, too; what is sent then.
    fn give(&mut self, peer: SocketAddr, datagram: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        self.shard.handle_datagram(self.now, peer, &mut datagram.to_vec());
        while let Some(event) = self.shard.poll_event() {
            match event {
                ShardEvent::PskWanted { handshake, identity, .. } => {
                    let known = identity.windows(6).any(|window| window == b"honest");
                    if !known && self.drops {
                        self.shard.handle_command(self.now, ShardCommand::DropHandshake { handshake });
                        continue;
                    }
                    let answer = if known {
                        PskAnswer::key(Psk::new(KEY).expect("16 bytes"))
                    } else {
                        PskAnswer::decoy()
                    };
                    self.shard.handle_command(self.now, ShardCommand::ProvidePsk { handshake, answer });
                }
                ShardEvent::Connected { .. } => self.connected += 1,
                ShardEvent::WrongKey { .. } => self.wrong_keys += 1,
                _ => {}
            }
        }
        let outbox = self.shard.outbox();
        let sent = outbox.iter().map(|(path, datagram)| (path.peer, datagram.to_vec())).collect();
        outbox.clear();
        sent
    }

    fn client(&mut self, identity: &[u8], suite: CipherSuite) -> ClientHandshake {
        let config = ClientConfig {
            suites: vec![suite],
            ..ClientConfig::new(identity, Psk::new(KEY).expect("16 bytes"))
        };
        ClientHandshake::new(config, self.now, &mut self.rng)
    }

    /// Lets a client go so many flights far; returns whether it has a session.
    fn go(&mut self, client: &mut ClientHandshake, peer: SocketAddr, flights: usize) -> bool {
        let mut datagram = Vec::new();
        for _ in 0..flights {
            let mut answers = Vec::new();
            while client.poll_transmit(&mut datagram) {
                answers.extend(self.give(peer, &datagram));
            }
            for (to, mut answer) in answers {
                assert_eq!(to, peer);
                client.handle_datagram(self.now, &mut answer, &mut self.rng);
            }
        }
        matches!(client.poll_event(), Some(ClientEvent::Established(_)))
    }

    fn assert_honest_connects(&mut self, peer: SocketAddr, suite: CipherSuite) {
        let mut client = self.client(HONEST, suite);
        assert!(self.go(&mut client, peer, 3), "{peer} gets in");
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.shard.handle_timeout(self.now);
        while self.shard.poll_event().is_some() {}
        self.shard.outbox().clear();
    }

    fn expire_handshakes(&mut self) {
        self.now += Duration::from_secs(61);
        self.shard.handle_timeout(self.now);
        while self.shard.poll_event().is_some() {}
        let gauges = self.shard.stats().gauges;
        assert_eq!((gauges.handshakes, gauges.lookups), (0, 0));
    }
}

fn peer(network: u8, number: u32) -> SocketAddr {
    let [_, high, middle, low] = number.to_be_bytes();
    SocketAddr::from(([10, network, high, middle], 1024 + u16::from(low)))
}

/// The datagrams of an honest handshake at another server: its cookie is worth nothing here.
fn foreign_flights() -> Vec<Vec<u8>> {
    let mut flights = Vec::new();
    for suite in CipherSuite::ALL {
        let mut other = Server::new(AdmissionLimits::default());
        let mut client = other.client(HONEST, suite);
        let mut datagram = Vec::new();
        for _ in 0..3 {
            assert!(client.poll_transmit(&mut datagram));
            flights.push(datagram.clone());
            for (_, mut answer) in other.give(peer(1, 1), &datagram) {
                flights.push(answer.clone());
                let mut rng = SeededRandom::new(9);
                client.handle_datagram(other.now, &mut answer, &mut rng);
            }
        }
    }
    flights
}

/// Whatever came from an address that has proven nothing, in whatever order: no more bytes go there than
/// came, and no state is there.
#[test]
fn attack_038_before_a_good_cookie_no_more_bytes_are_sent_than_came() {
    const DATAGRAMS: usize = 60_000;
    const ADDRESSES: usize = 500;
    let flights = foreign_flights();
    let mut server = Server::new(AdmissionLimits::default());
    let mut dice = SeededRandom::new(38);
    let mut balance: HashMap<SocketAddr, (usize, usize)> = HashMap::new();
    let mut answered = 0;
    for _ in 0..DATAGRAMS {
        let from = peer(2, dice.index(ADDRESSES) as u32);
        let datagram = match dice.index(8) {
            // Structured: as it was, changed, several in one datagram, cut, in fragments.
            0 => flights[dice.index(flights.len())].clone(),
            1..=4 => mutate(&flights[dice.index(flights.len())], &flights, &mut dice),
            5 => (0..=dice.index(5)).flat_map(|_| flights[dice.index(flights.len())].clone()).collect(),
            6 => {
                let whole = &flights[dice.index(flights.len())];
                let many = (0..=dice.index(5)).map(|_| mutate(whole, &flights, &mut dice));
                many.collect::<Vec<_>>().concat()
            }
            // Any bytes, with a plausible beginning or none.
            _ => {
                let mut bytes: Vec<u8> = (0..dice.index(100)).map(|_| dice.index(256) as u8).collect();
                if dice.index(2) == 0 && bytes.len() > 13 {
                    bytes[..5].copy_from_slice(&[22, 0xfe, 0xfd, 0, 0]);
                }
                bytes
            }
        };
        let (came, sent) = balance.entry(from).or_default();
        *came += datagram.len();
        for (to, answer) in server.give(from, &datagram) {
            assert_eq!(to, from, "nobody else hears of it");
            *sent += answer.len();
            answered += 1;
            assert!(answer.len() <= datagram.len(), "{} bytes for {}", answer.len(), datagram.len());
        }
        assert!(*sent <= *came, "{sent} bytes for {came}");
        let gauges = server.shard.stats().gauges;
        assert_eq!((gauges.handshakes, gauges.sessions, gauges.timers), (0, 0, 0), "zero state");
    }
    assert!(answered > DATAGRAMS / 20, "cookies were asked for: {answered}");
    server.assert_honest_connects(peer(3, 1), CipherSuite::PskAes128Ccm8);
}

#[test]
fn attack_081_a_sweep_of_identities_leaves_room_for_devices_behind_the_same_address() {
    const SWEEP: u32 = 10_000;
    let limits = AdmissionLimits { handshakes_per_address_max: 300, ..AdmissionLimits::default() };
    let mut server = Server::new(limits);
    let at = |port: u32| SocketAddr::from(([10, 0, 0, 1], port as u16));
    let mut tried = 0;
    for number in 0..SWEEP {
        let suite = CipherSuite::ALL[number as usize % 2];
        let identity = format!("MuGsF6W4,86772503{number:07},2,3600");
        let mut stranger = server.client(identity.as_bytes(), suite);
        assert!(!server.go(&mut stranger, at(1024 + number), 3));
        if number % 50 == 0 {
            // In the midst of it, with some of the sweep between its flights.
            let mut honest = server.client(HONEST, suite);
            let own = at(20_000 + number);
            server.go(&mut honest, own, 1);
            for more in 0..100 {
                let mut stranger = server.client(b"MuGsF6W4,nobody,2,3600", suite);
                server.go(&mut stranger, at(40_000 + more), 2);
            }
            tried += 1;
            server.go(&mut honest, own, 1);
            assert!(server.go(&mut honest, own, 1), "an honest device gets in");
        }
        assert!(server.shard.stats().gauges.handshakes <= 300);
    }
    assert_eq!(server.connected, tried);
    assert!(server.shard.stats().value(Counter::HandshakesEvicted) > 9000);
    server.expire_handshakes();
}

#[test]
fn attack_095_one_address_with_a_thousand_good_cookies_pays_alone() {
    let limits = AdmissionLimits {
        handshakes_per_address_max: 100,
        handshakes_max: 150,
        ..AdmissionLimits::default()
    };
    let mut server = Server::new(limits);
    // Another one is half way in already.
    let mut waiting = server.client(HONEST, CipherSuite::PskAes128CbcSha256);
    server.go(&mut waiting, peer(7, 1), 2);
    let at = |port: u32| SocketAddr::from(([10, 0, 0, 1], port as u16));
    let mut first = server.client(HONEST, CipherSuite::PskAes128Ccm8);
    server.go(&mut first, at(1023), 2);
    for number in 0..1000 {
        let mut stranger = server.client(b"whoever", CipherSuite::ALL[number as usize % 2]);
        server.go(&mut stranger, at(1024 + number), 2);
        assert!(server.shard.stats().gauges.handshakes <= 101);
        server.pass(Duration::from_micros(600));
        if number % 100 == 0 {
            server.assert_honest_connects(peer(8, number), CipherSuite::ALL[number as usize / 100 % 2]);
        }
    }
    let counted = [Counter::HandshakesEvicted, Counter::HandshakesDeferred];
    assert_eq!(counted.map(|counter| server.shard.stats().value(counter)), [0, 901], "hellos are dropped");
    assert!(server.go(&mut first, at(1023), 1), "the oldest of this address is young and goes on");
    assert!(server.go(&mut waiting, peer(7, 1), 1), "another address has lost nothing");
    // Its place is taken, and when the others, who are near, have stood still for a while, theirs are.
    let mut next = server.client(HONEST, CipherSuite::PskAes128Ccm8);
    server.go(&mut next, at(5000), 2);
    server.pass(Duration::from_secs(2));
    for number in 0..99 {
        server.assert_honest_connects(at(6000 + number), CipherSuite::PskAes128Ccm8);
        let mut stranger = server.client(b"whoever", CipherSuite::PskAes128Ccm8);
        server.go(&mut stranger, at(7000 + number), 2);
    }
    assert_eq!(server.shard.stats().value(Counter::HandshakesEvicted), 99);
    assert!(server.go(&mut next, at(5000), 1), "it is young");
    server.expire_handshakes();
}

/// Forty places, for a second by handshakes that the platform then drops; then the near have their share.
#[test]
fn attack_207_handshakes_that_the_platform_drops_were_in_vain() {
    let limits = AdmissionLimits { handshakes_per_address_max: 40, ..AdmissionLimits::default() };
    let mut server = Server::new(limits);
    server.drops = true;
    let suite = CipherSuite::PskAes128Ccm8;
    let at = |port: u32| SocketAddr::from(([10, 0, 0, 1], port as u16));
    let mut far = server.client(HONEST, suite);
    server.go(&mut far, at(1023), 1);
    server.pass(Duration::from_secs(3));
    let mut strangers: Vec<_> = (0..40).map(|_| server.client(b"whoever", suite)).collect();
    for (stranger, port) in strangers.iter_mut().zip(2000..) {
        server.go(stranger, at(port), 2);
    }
    // One hello from far away, which finds no place.
    server.go(&mut far, at(1023), 1);
    server.pass(Duration::from_secs(1));
    // All but one go on: with the last one of an address it would be forgotten.
    for (stranger, port) in strangers.iter_mut().zip(2000..).skip(1) {
        server.go(stranger, at(port), 1);
    }
    assert_eq!(server.shard.stats().value(Counter::HandshakesLimited), 39);
    for number in 0..10 {
        let mut stranger = server.client(b"whoever", suite);
        server.go(&mut stranger, at(3000 + number), 2);
    }
    assert_eq!(server.shard.stats().gauges.handshakes, 2, "one in twenty");
    assert_eq!(server.shard.stats().value(Counter::HandshakesBeyondShare), 9);
    server.expire_handshakes();
}

/// A peer that begins again and again at its own ports keeps no place longer than one that waits.
#[test]
fn a_handshake_that_begins_anew_is_as_old_as_the_one_before_it() {
    let limits = AdmissionLimits { handshakes_per_address_max: 4, ..AdmissionLimits::default() };
    let mut server = Server::new(limits);
    let at = |port: u32| SocketAddr::from(([10, 0, 0, 1], port as u16));
    for _ in 0..12 {
        for port in 0..4 {
            let mut stranger = server.client(b"whoever", CipherSuite::PskAes128Ccm8);
            server.go(&mut stranger, at(2000 + port), 2);
        }
        server.pass(Duration::from_secs(1));
    }
    assert_eq!(server.shard.stats().gauges.handshakes, 4);
    assert_eq!(server.shard.stats().value(Counter::HandshakesReplaced), 44);
    server.assert_honest_connects(at(3000), CipherSuite::PskAes128Ccm8);
    server.expire_handshakes();
}

/// A device whose timer is shorter than its round trip: the copy of its hello comes when the handshake that
/// answered the first one is gone, and its Finished is for that one.
#[test]
fn a_finished_of_a_handshake_that_had_to_make_room_is_no_wrong_key() {
    let limits =
        AdmissionLimits { handshakes_max: 2, handshakes_per_address_max: 2, ..AdmissionLimits::default() };
    let mut server = Server::new(limits);
    let (suite, own) = (CipherSuite::PskAes128Ccm8, peer(11, 1));
    let mut honest = server.client(HONEST, suite);
    server.go(&mut honest, own, 1);
    let mut hello = Vec::new();
    assert!(honest.poll_transmit(&mut hello));
    let answers = server.give(own, &hello);
    for number in 2..4 {
        let mut stranger = server.client(b"whoever", suite);
        server.go(&mut stranger, peer(11, number * 256), 2);
        server.pass(Duration::from_secs(11));
    }
    assert_eq!(server.shard.stats().value(Counter::HandshakesEvicted), 1, "the device's");
    server.give(own, &hello);
    for (_, mut answer) in answers {
        honest.handle_datagram(server.now, &mut answer, &mut server.rng);
    }
    let mut finished = Vec::new();
    while honest.poll_transmit(&mut finished) {
        server.give(own, &finished);
    }
    let counted = [Counter::FinishedRejected, Counter::FinishedOutdated];
    assert_eq!(counted.map(|counter| server.shard.stats().value(counter)), [1, 1]);
    assert_eq!((server.wrong_keys, server.connected), (0, 0), "its key is right");
    server.assert_honest_connects(own, suite);
}

#[test]
fn a_record_too_short_for_a_tag_in_a_handshake_says_nothing_about_the_key() {
    let mut server = Server::new(AdmissionLimits::default());
    for suite in CipherSuite::ALL {
        let mut honest = server.client(HONEST, suite);
        let own = peer(9, suite as u32);
        server.go(&mut honest, own, 2);
        let mut flight = Vec::new();
        assert!(honest.poll_transmit(&mut flight));
        // Its ClientKeyExchange and ChangeCipherSpec come first, its Finished last.
        let mut records = Vec::new();
        let mut rest = flight.as_mut_slice();
        while let Some((record, tail)) = split_record(rest) {
            records.push(record.to_vec());
            rest = tail;
        }
        let finished = records.pop().expect("there is one");
        server.give(own, &records.concat());
        for length in 0..16 {
            server.give(own, &record(22, 0xfefd, 1, 7, &vec![0; length]));
        }
        assert_eq!(server.shard.stats().value(Counter::FinishedRejected), 0);
        let answers = server.give(own, &finished);
        assert_eq!(answers.len(), 1, "it is still welcome");
    }
    assert_eq!(server.connected, 2);
}
