//! A server between its start and its death, with its store: questions go to the store, and answers come
//! back, as the shell carries them.
//!
//! Group commit: writes wait while a group is under way, and then go together. Limit: `GROUP_MAX` writes in
//! a group; writes that belong together are never split.

use std::{collections::VecDeque, time::Instant};

use narrowgate_dtls::Random as _;
use narrowgate_engine::shard::{Shard, ShardConfig};
use narrowgate_gateway::{Answer, Decode, Effect, Encode, Limits, LiveChange, Now, Options, Outcomes, Token};
use narrowgate_platform::{
    firmware::ServerName,
    memory::PlainScripts,
    ports::{Batch, Caller, Recovered, Scripts as _, Write},
    rules::clock::NewestArrival,
    testing::block_on,
};

use super::{
    server::Server,
    store::{Done, Store},
};
use crate::random::SeededRandom;

/// Writes in one transaction at most, as in the shell.
const GROUP_MAX: usize = 1000;

/// See the module.
#[derive(Debug)]
pub struct Process {
    /// Its shards and its gateway.
    pub server: Server,
    waiting: VecDeque<(Token, Vec<Write>)>,
    /// The group that is under way: whose writes, and how many.
    under_way: Option<Vec<(Token, usize)>>,
    batches: u64,
}

impl Process {
    /// Starts a server that takes up what the store holds. Shards of plain CoAP come last.
    pub fn start(
        configs: impl IntoIterator<Item = ShardConfig>,
        recovered: Recovered,
        random: &mut SeededRandom,
        now: Now,
    ) -> Self {
        let mut seed = [0; 32];
        let mut draw = || {
            random.fill(&mut seed);
            seed
        };
        let (plain, configs): (Vec<_>, Vec<_>) =
            configs.into_iter().partition(|config: &ShardConfig| config.plain.is_some());
        let mut shards: Vec<_> =
            configs.into_iter().map(|config| Shard::new(config, now.instant, draw())).collect();
        let Recovered { online, commands, epoch, newest_arrival, .. } = recovered;
        // The clock of a new store is on trial, and may take time back: here servers have run before.
        let newest_arrival = newest_arrival.or(Some(NewestArrival { time: now.wall, is_confirmed: true }));
        let seed = draw();
        let plain_shards = plain.len() as u16;
        // Nothing is drawn for these, so that a seed without them gives the same run as before.
        let mut plain_seed = seed;
        for config in plain {
            plain_seed[0] = plain_seed[0].wrapping_add(1);
            shards.push(Shard::new(config, now.instant, plain_seed));
        }
        let (shards_count, limits, server) = (shards.len() as u16, Limits::default(), ServerName::default());
        let options = Options {
            shards: shards_count,
            plain_shards,
            seed,
            online,
            commands,
            epoch,
            newest_arrival,
            limits,
            server,
        };
        Self {
            server: Server::new(shards, options, now),
            waiting: VecDeque::new(),
            under_way: None,
            batches: 0,
        }
    }

    /// An operator changed something that sessions have to feel.
    pub fn handle_change(&mut self, now: Now, change: &LiveChange) {
        self.server.handle_change(now, change);
    }

    /// Carries questions to the store and answers back, until nothing is left to be done now.
    pub fn settle(&mut self, now: Now, store: &mut Store) {
        self.server.handle_timeout(now);
        loop {
            while let Some(question) = self.server.poll_question() {
                self.ask(now, question, store);
            }
            self.commit(now.instant, store);
            store.note_responses(self.server.take_responses());
            let Some(done) = store.poll_done(now.instant) else { break };
            self.answer(now, done);
        }
    }

    /// Whether nothing waits for the store.
    pub fn is_settled(&self) -> bool {
        self.server.gateway().is_settled()
    }

    fn ask(&mut self, now: Now, question: Effect, store: &mut Store) {
        match question {
            Effect::Lookup(token, name) => store.look_up(now.instant, token, name),
            Effect::Product(token, product_key) => store.product(now.instant, token, product_key),
            Effect::Properties(token, device, kind) => store.properties(now.instant, token, device, kind),
            Effect::Commands(token, device) => store.read_commands(now.instant, token, device),
            Effect::Upgrades(token, device) => store.read_upgrades(now.instant, token, device),
            Effect::ImagePiece(token, wanted) => store.read_piece(now.instant, token, wanted),
            Effect::OnlineOf(token, page) => store.list_online(now.instant, token, page),
            Effect::Write(token, writes) => {
                store.note_decided(now.instant, &writes);
                self.waiting.push_back((token, writes));
            }
            Effect::Diagnose(token, diagnosis) => {
                let found = block_on(diagnosis.run(&*store.durable()));
                self.server.handle_answer(now, token, Answer::Diagnosed(found));
            }
            Effect::Decode(token, decode) => {
                let Decode { device, script, body, at } = *decode;
                let decoded = block_on(PlainScripts.decode(&script, &body, at, Caller::Device(device)));
                self.server.handle_answer(now, token, Answer::Decoded(decoded));
            }
            Effect::Encode(token, encode) => {
                let Encode { device, script, json, at } = *encode;
                let encoded = block_on(PlainScripts.encode(&script, &json, at, Caller::Device(device)));
                self.server.handle_answer(now, token, Answer::Encoded(encoded));
            }
            // It was answered at once.
            Effect::GiveUp(_) => {}
            Effect::Command(..) | Effect::Tell(..) | Effect::Entropy | Effect::Received(_) => {}
        }
    }

    /// Begins the next group where none is under way.
    fn commit(&mut self, now: Instant, store: &mut Store) {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return;
        }
        let (mut group, mut writes) = (Vec::new(), Vec::new());
        while let Some((_, next)) = self.waiting.front() {
            if !group.is_empty() && writes.len() + next.len() > GROUP_MAX {
                break;
            }
            let Some((token, next)) = self.waiting.pop_front() else { break };
            group.push((token, next.len()));
            writes.extend(next);
        }
        self.under_way = Some(group);
        let confirmed = self.server.gateway().clock().confirmed();
        let batch = Batch { confirmed, ..Batch::new(self.batches, writes) };
        self.batches += 1;
        store.append(now, batch);
    }

    fn answer(&mut self, now: Now, done: Done) {
        match done {
            Done::Read(token, answer) => self.server.handle_answer(now, token, answer),
            Done::Batch(result) => {
                let mut end = 0;
                let answers = self.under_way.take().unwrap_or_default().into_iter().map(|(token, count)| {
                    let first = end;
                    end += count;
                    let outcomes = result.as_ref().map(|done| Outcomes {
                        first: done.position(first),
                        written: &done.outcomes[first..end],
                    });
                    (token, outcomes)
                });
                self.server.handle_written(now, answers);
            }
        }
    }
}
