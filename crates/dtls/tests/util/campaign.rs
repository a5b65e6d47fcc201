//! A long row of handshakes and sessions of one server, each under fire of mutated datagrams. It panics when
//! something is wrong: the server panics, a session is stuck, forged data is delivered, memory exceeds its
//! limit, an answer to a stranger is larger than the question.

use std::collections::HashSet;

use narrowgate_dtls::{Discard, limits};
use narrowgate_testkit::{SeededRandom, mutate};

use super::{PROTECTIONS, ServerSide, To, World, bystander::Bystander, client_config, server_config};

/// Most datagrams kept to mutate later, of other handshakes than the current one.
const CORPUS_MAX: usize = 200;

pub(crate) struct Campaign {
    world: World,
    dice: SeededRandom,
    corpus: Vec<Vec<u8>>,
    bystander: Bystander,
    pub(crate) report: Report,
}

/// What was done, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) mutations: u64,
    pub(crate) handshakes: u64,
    /// Handshakes that the mutations have ruined, so that the client had to begin anew.
    pub(crate) ruined: u64,
    /// By the index of the reason.
    pub(crate) discards: Vec<u64>,
    /// Most bytes that a handshake has occupied.
    pub(crate) handshake_bytes: usize,
}

impl Report {
    /// Reasons for dropping that were met.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let named = Discard::ALL.iter().map(|reason| (reason.name(), self.discards[reason.index()]));
        named.filter(|&(_, count)| count > 0)
    }
}

impl Campaign {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = World::new(server_config(), client_config(PROTECTIONS[0]), seed);
        let bystander = Bystander::connect(&mut world.listener, world.now);
        let report = Report { discards: vec![0; Discard::ALL.len()], ..Report::default() };
        Self { world, dice: SeededRandom::new(seed), corpus: Vec::new(), bystander, report }
    }

    /// Goes on until this many mutations were tried.
    pub(crate) fn run(&mut self, mutations: u64) {
        while self.report.mutations < mutations {
            self.round();
        }
    }

    /// One device's handshake and session, both under fire.
    fn round(&mut self) {
        let protection = self.dice.pick(&PROTECTIONS);
        self.world.start_anew(client_config(protection));
        self.report.handshakes += 1;
        let mut steps = 0;
        while !self.world.is_connected() && steps < 12 {
            self.fire_at_handshake();
            self.world.turn();
            self.check_handshake();
            steps += 1;
        }
        self.world.run(|_, _| false);
        if !self.world.is_connected() {
            // A forged ClientHello or identity can ruin a handshake. The next one has to work.
            self.report.ruined += 1;
            self.world.start_anew(client_config(protection));
            self.world.run(|_, _| false);
            assert!(self.world.is_connected(), "a new attempt connects");
        }
        assert!(self.world.at_server.is_empty(), "nobody has sent any data yet");
        self.keep_sent();
        self.fire_at_session();
        self.world.assert_data_flows();
        self.bystander.assert_alive();
        self.world.assert_others_live();
        let discards = std::mem::take(&mut self.world.discards);
        discards.iter().for_each(|reason| self.report.discards[reason.index()] += 1);
    }

    /// Before the datagram that comes next, some that look like it or like others.
    fn fire_at_handshake(&mut self) {
        for _ in 0..self.dice.index(5) {
            let due = self.world.wire.iter().find(|(_, to, _)| *to == To::Server);
            let template = match due {
                Some((_, _, datagram)) if self.dice.index(4) > 0 => datagram.clone(),
                _ if self.corpus.is_empty() => continue,
                _ => self.corpus[self.dice.index(self.corpus.len())].clone(),
            };
            self.fire(&template);
            self.check_handshake();
        }
    }

    fn fire_at_session(&mut self) {
        let mut sent = HashSet::new();
        for number in 0..8u8 {
            let payload = [b"report ", &[number][..]].concat();
            let mut record = Vec::new();
            let World { client, rng, .. } = &mut self.world;
            let super::ClientSide::Established(client) = client else {
                panic!("the world is connected");
            };
            client.seal(&payload, rng, &mut record).expect("it fits");
            sent.insert(payload);
            self.fire(&record);
            if self.dice.index(2) == 0 {
                self.world.deliver_to_server(record);
            }
        }
        for payload in std::mem::take(&mut self.world.at_server) {
            assert!(sent.remove(&payload), "delivered what was not sent, or twice: {payload:?}");
        }
        self.world.replies.clear();
    }

    fn fire(&mut self, template: &[u8]) {
        let datagram = mutate(template, &self.corpus, &mut self.dice);
        self.report.mutations += 1;
        let bytes = datagram.len();
        let is_listening = matches!(self.world.server, ServerSide::Listening);
        let refused = self.world.refusals.len();
        self.world.deliver_to_server(datagram);
        if is_listening {
            // Only a good cookie is worth more than its own bytes; the answer goes to whoever sent the
            // mutation.
            let replied: usize = self.world.replies.drain(..).map(|reply| reply.len()).sum();
            assert!(replied <= bytes || self.world.refusals.len() > refused, "{replied} bytes for {bytes}");
        }
    }

    fn check_handshake(&mut self) {
        if let ServerSide::Handshake(handshake) = &self.world.server {
            let bytes = handshake.memory_bytes();
            assert!(bytes <= limits::HANDSHAKE_BYTES_MAX, "a handshake occupies {bytes} bytes");
            self.report.handshake_bytes = self.report.handshake_bytes.max(bytes);
        }
    }

    fn keep_sent(&mut self) {
        for (to, datagram) in self.world.sent.drain(..) {
            if to == To::Client && self.dice.index(4) > 0 {
                continue;
            }
            if self.corpus.len() < CORPUS_MAX {
                self.corpus.push(datagram);
            } else {
                let index = self.dice.index(CORPUS_MAX);
                self.corpus[index] = datagram;
            }
        }
    }
}
