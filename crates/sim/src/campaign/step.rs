//! One step after the other: time, datagrams, what the shards tell, what agents do.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_coap::REFUSED_BYTES_MAX;
use narrowgate_dtls::{RecordSeen, records_seen};
use narrowgate_engine::event::ShardEvent;

use super::{Campaign, Incarnation, PRODUCTS, agent::Said, ledger::Violation, shard_config};
use crate::{
    net::Packet,
    world::{PLAIN_SERVER, SERVER, start},
};

const MILLISECOND: Duration = Duration::from_millis(1);
/// Datagrams that the stranger remembers.
const REMEMBERED: usize = 64;

impl Campaign {
    /// Everything that is due now, and then time, until `end`.
    pub(super) fn run_until(&mut self, end: Instant) {
        while self.now < end {
            let told = self.step();
            let next = if told {
                self.now + MILLISECOND
            } else {
                self.next_due().map_or(end, |due| due.max(self.now + MILLISECOND))
            };
            self.now = whole(next).min(end);
            self.decide();
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let server = self.server.as_ref().and_then(|server| server.process.server.poll_timeout());
        let agents = self.due.first().map(|(due, _)| *due);
        let others = [server, agents, self.store.poll_timeout(), self.network.poll_timeout()];
        others.into_iter().flatten().min()
    }

    /// The gateway decides on what it was told in the step before, and on what the store answers.
    fn decide(&mut self) {
        let now = self.wall();
        if let Some(Incarnation { process, events }) = &mut self.server {
            for (shard, events) in (0..).zip(events) {
                events.drain(..).for_each(|event| process.server.handle_event(now, shard, event));
            }
            process.settle(now, &mut self.store);
            self.take_notes();
        }
    }

    /// Returns whether a shard has told something.
    fn step(&mut self) -> bool {
        let now = self.now;
        while let Some(packet) = self.network.poll_arrival(now) {
            self.deliver(packet);
        }
        if let Some(server) = &mut self.server {
            server.process.server.shards.iter_mut().for_each(|shard| shard.handle_timeout(now));
        }
        while let Some(&(due, index)) = self.due.first() {
            if due > now {
                break;
            }
            let mut said = Vec::new();
            self.agents[index].handle_timeout(now, &mut self.random, &mut said);
            self.say(index, said);
            self.refresh(index);
        }
        let told = self.tell();
        self.collect();
        self.bounded();
        self.ledger.end_of_step();
        told
    }

    /// Nothing in a shard is beyond its limit.
    fn bounded(&mut self) {
        let config = shard_config(0, self.limits());
        let Some(server) = &mut self.server else { return };
        let over = server.process.server.shards.iter_mut().find_map(|shard| {
            let gauges = shard.stats().gauges;
            let held = gauges.sessions <= config.sessions_max
                && gauges.handshakes <= config.admission.handshakes_max
                // Only new handshakes wait for fewer look-ups; those under way may all ask.
                && gauges.lookups <= gauges.handshakes
                && gauges.requests_in_flight <= config.requests_in_flight_max
                // Requests that were let in are answered, and their answers stored, even if these are longer
                // than expected; and what was refused for want of room is remembered without regard to it.
                && gauges.stored_answer_bytes
                    <= config.coap_budget_bytes
                        + config.requests_in_flight_max * config.coap.message_bytes_max
                        + gauges.sessions * REFUSED_BYTES_MAX;
            (!held).then_some(gauges)
        });
        if let Some(gauges) = over {
            self.require(false, None, format_args!("a shard is beyond its limits: {gauges:?}"));
        }
    }

    /// Takes what the shards have told, and shows it to the ledger.
    fn tell(&mut self) -> bool {
        let Some(mut server) = self.server.take() else { return false };
        let Incarnation { process, events } = &mut server;
        for (shard, events) in process.server.shards.iter_mut().zip(&mut *events) {
            shard.drain_events(events);
            for event in &*events {
                let checked = self.ledger.event(event, self.now);
                self.check(checked);
            }
        }
        let told = events.iter().any(|events| !events.is_empty());
        self.server = Some(server);
        told
    }

    /// Puts on its way what the server wants to send.
    fn collect(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        for (number, shard) in (0..).zip(&mut server.process.server.shards) {
            let is_plain = number >= self.plan.shards;
            let sent: Vec<(SocketAddr, Vec<u8>)> =
                shard.outbox().iter().map(|(path, datagram)| (path.peer, datagram.to_vec())).collect();
            shard.outbox().clear();
            for (to, datagram) in sent {
                if is_plain {
                    self.transmit(PLAIN_SERVER, to, datagram);
                    continue;
                }
                let checked = self.ledger.transmitted(to, &datagram);
                self.check(checked);
                self.transmit(SERVER, to, datagram);
            }
        }
        self.server = Some(server);
    }

    fn deliver(&mut self, packet: Packet) {
        let Packet { from, to, mut bytes } = packet;
        if to == SERVER {
            if let Some(server) = &mut self.server {
                // As the kernel does with several sockets on one port: by the peer's address.
                let hash = u64::from(from.port()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                let index = hash as usize % usize::from(self.plan.shards);
                let Incarnation { process, events } = server;
                let sealed = is_sealed(&bytes).then(|| bytes.clone());
                let shard = &mut process.server.shards[index];
                let pending = &mut events[index];
                let before = pending.len();
                shard.handle_datagram(self.now, from, &mut bytes);
                shard.drain_events(pending);
                let took = |event: &ShardEvent| {
                    matches!(event, ShardEvent::Request { .. } | ShardEvent::Heard { .. })
                };
                if let Some(sealed) = sealed.filter(|_| pending[before..].iter().any(took)) {
                    let checked = self.ledger.accepted(from, sealed);
                    self.check(checked);
                }
            }
            return;
        }
        if to == PLAIN_SERVER {
            return self.deliver_plain(from, &mut bytes);
        }
        let Some(&index) = self.addresses.get(&to) else { return };
        let mut said = Vec::new();
        self.agents[index].handle_datagram(self.now, &mut bytes, &mut self.random, &mut said);
        self.say(index, said);
        self.refresh(index);
    }

    /// Drains an agent and notes when it wants to be called.
    pub(super) fn refresh(&mut self, index: usize) {
        if self.agents[index].takes_new_port() {
            self.move_agent(index);
        }
        let server = self.agents[index].server();
        while let Some(datagram) = self.agents[index].poll_transmit() {
            let from = self.agents[index].address;
            self.transmit(from, server, datagram);
        }
        let next = self.agents[index].poll_timeout().map(whole);
        if next != self.timers[index] {
            if let Some(old) = self.timers[index] {
                self.due.remove(&(old, index));
            }
            if let Some(next) = next {
                self.due.insert((next, index));
            }
            self.timers[index] = next;
        }
    }

    fn say(&mut self, index: usize, said: Vec<Said>) {
        let number = self.agents[index].number;
        for word in said {
            let checked = match word {
                Said::Sent(report) => {
                    self.ledger.sent(number, report);
                    if self.is_off_for_long(number) {
                        self.hopeless.insert((number, report));
                    }
                    Ok(())
                }
                Said::Acknowledged(report) if self.hopeless.contains(&(number, report)) => Err(Violation {
                    device: Some(number),
                    what: format!(
                        "report {report} is acknowledged, and it was sent long after it was switched off"
                    ),
                }),
                Said::Acknowledged(report) => self.ledger.acknowledged(number, report),
                Said::Faulted(report) => Err(Violation {
                    device: Some(number),
                    what: format!("report {report} is right, and its content was refused"),
                }),
                Said::Done(done) => self.ledger.done(number, done),
                Said::Received(secret) => self.ledger.received(number, &secret),
            };
            self.check(checked);
        }
    }

    /// Whether a device, or its product, has been switched off for more than a second.
    fn is_off_for_long(&self, number: u32) -> bool {
        let long = |since: Instant| self.now > since + Duration::from_secs(1);
        let product = self.agents[number as usize].product_key();
        let product_off = self.product_off.is_some_and(|off| PRODUCTS[off] == product);
        self.ledger.off_since(number).is_some_and(long)
            || product_off && self.product_off_since.is_some_and(long)
    }

    /// The network takes a datagram, or loses it in a burst, or cuts it.
    fn transmit(&mut self, from: SocketAddr, to: SocketAddr, mut datagram: Vec<u8>) {
        self.digest(from, to, &datagram);
        if self.in_trouble {
            if self.burst.is_some_and(|end| self.now < end) {
                return;
            }
            if self.random.chance(self.plan.bursts_per_mille) {
                self.burst = Some(self.now + Duration::from_millis(200 + self.random.below(15_000)));
                self.happened.bursts += 1;
                return;
            }
            if self.random.chance(self.plan.cut_per_mille) {
                let length = self.random.below(datagram.len() as u64) as usize;
                datagram.truncate(length);
            }
            if self.plan.strange.is_some() {
                if self.seen.len() == REMEMBERED {
                    self.seen.pop_front();
                }
                self.seen.push_back(Packet { from, to, bytes: datagram.clone() });
            }
        }
        self.network.handle_datagram(self.now, from, to, &datagram);
    }

    /// FNV-1a: two runs of a seed are the same only when they sent the same bytes at the same times.
    fn digest(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let at = (self.now - start()).as_millis() as u64;
        let head =
            [at.to_le_bytes(), u64::from(from.port()).to_le_bytes(), u64::from(to.port()).to_le_bytes()];
        for byte in head.iter().flatten().chain(datagram) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Whether a datagram is one record of a session: application data under the session's keys.
fn is_sealed(datagram: &[u8]) -> bool {
    let first = records_seen(datagram).next();
    matches!(first, Some(RecordSeen { content_type: 23, epoch: 1, bytes, .. }) if bytes == datagram.len())
}

/// The next whole millisecond after the beginning.
fn whole(at: Instant) -> Instant {
    let since = at.saturating_duration_since(start());
    let ms = since.as_millis() as u64 + u64::from(!since.subsec_nanos().is_multiple_of(1_000_000));
    start() + Duration::from_millis(ms)
}
