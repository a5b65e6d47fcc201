//! Handshakes under way: boxed, short-lived, limited in number.

use std::{
    hash::{BuildHasher, Hash},
    time::{Duration, Instant},
};

use narrowgate_dtls::{FrontDoor, HandshakeEvent, ServerHandshake, Session, hello_without_dtls_1_2, limits};

use super::{
    HALF_OPEN_BIT, Shard,
    admission::{Answered, Held, Permit, Stage},
    question::{Answer, Question},
    stats::Counter,
    stray::Stray,
    wheel::Entry,
};
use crate::{
    event::{CloseCause, HandshakeId, ShardEvent},
    path::Path,
    route::Route,
};

/// The ClientHello of a handshake, and of the session that it became: a late copy of it does not begin
/// another handshake.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hello {
    /// The hash of its id, with the shard's seed: a session keeps 8 bytes instead of 34, and a new attempt is
    /// taken for a copy once in 2^64. In halves, so that they need no room between them and others.
    hash: [u32; 2],
    /// When its cookie was found valid, in seconds since the shard's start.
    accepted_s: u32,
}

impl Hello {
    /// Whether a later hello whose cookie is valid can be a copy of this one. It cannot when the cookie of a
    /// copy would be too old: then it is a new attempt of a device whose random never changes.
    pub(super) fn has_copy(&self, later: Self) -> bool {
        self.has_copy_within(later, limits::COOKIE_LIFETIME_MAX)
    }

    /// When it came, in whole seconds.
    pub(super) fn accepted(&self, start: Instant) -> Instant {
        start + Duration::from_secs(self.accepted_s.into())
    }

    /// Whether a later one is the same, and not much later.
    pub(super) fn has_copy_within(&self, later: Self, lifetime: Duration) -> bool {
        let age_s = u64::from(later.accepted_s.saturating_sub(self.accepted_s));
        self.hash == later.hash && age_s <= lifetime.as_secs()
    }
}

/// A handshake and what the shard knows of it.
pub(super) struct HalfOpen {
    machine: Box<ServerHandshake>,
    hello: Hello,
    path: Path,
    generation: u32,
    /// What the admission knows of it.
    held: Held,
    /// Whether another handshake had its place before: then its progress counts for nothing, or a peer that
    /// begins again and again would always be young.
    is_successor: bool,
    /// Whether an earlier one with the same hello was answered and had to make room: the peer may go on with
    /// that one, and a Finished that does not fit then says nothing about its key.
    is_second: bool,
    /// The question to the platform that is not answered yet.
    asked: Option<Question>,
    /// The tick that its timer waits for; `u64::MAX` for none.
    armed: u64,
}

impl Shard {
    pub(super) fn handle_client_hello(&mut self, now: Instant, path: Path, datagram: &mut [u8]) {
        if self.drain.has_begun() {
            return self.stats.count(Counter::HandshakesDeferred);
        }
        self.scratch.clear();
        match self.listener.handle_datagram(now, path.peer, datagram, &mut self.random, &mut self.scratch) {
            FrontDoor::Discard(discard) => match self.handshake_by_path.get(&path) {
                // A later fragment of a ClientHello whose first fragment held the cookie.
                Some(&slot) => self.feed_handshake(now, slot, datagram),
                None => self.stats.count_dtls(discard),
            },
            FrontDoor::HelloVerify => {
                self.stats.count(Counter::HelloVerifies);
                self.outbox.push(path, &self.scratch);
                // A client that speaks only DTLS 1.3 goes no further.
                if self.strays.has_room_for_versions(now) {
                    let offered = hello_without_dtls_1_2(datagram);
                    self.tell_stray(now, path.peer, offered.map(Stray::OtherVersions));
                }
            }
            FrontDoor::Refuse(refusal) => {
                self.stats.count(Counter::HandshakesFailed);
                self.outbox.push(path, &self.scratch);
                self.events.push_back(ShardEvent::Refused { peer: path.peer, refusal });
            }
            FrontDoor::Accept(machine) => self.accept(now, path, machine, datagram),
        }
    }

    /// What a session remembers of the message that it began with.
    pub(super) fn hello(&self, now: Instant, id: impl Hash) -> Hello {
        let hash = self.hello_hasher.hash_one(id);
        Hello { hash: [hash as u32, (hash >> 32) as u32], accepted_s: self.seconds(now) }
    }

    fn accept(&mut self, now: Instant, path: Path, machine: Box<ServerHandshake>, datagram: &mut [u8]) {
        let hello = self.hello(now, machine.hello_id());
        if let Some(&slot) = self.handshake_by_path.get(&path) {
            if self.handshakes[slot as usize].hello.has_copy(hello) {
                // The same ClientHello again: our flight was lost.
                let Self { admission, config, handshakes, .. } = self;
                let held = &mut handshakes[slot as usize].held;
                admission.handle_again(now, path.peer.ip(), held, &config.admission);
                return self.feed_handshake(now, slot, datagram);
            }
            return self.succeed(now, slot, machine, hello);
        }
        if self.grew_out_of(path, hello) {
            // A late copy of the ClientHello of the existing session.
            return self.stats.count(Counter::HandshakesRepeated);
        }
        let (id, cookie_age) = (machine.hello_id(), machine.round_trip());
        let limits = &self.config.admission;
        let Answered { permit, round_trip } = self.admission.permit(now, &path, &id, cookie_age, limits);
        let stay = match permit {
            Permit::Yes(stay) => stay,
            Permit::Evict { slot, stay } => {
                self.evict(slot);
                stay
            }
            Permit::No => return self.stats.count(Counter::HandshakesDeferred),
            Permit::Share => return self.stats.count(Counter::HandshakesBeyondShare),
        };
        let generation = self.next_generation();
        let entry = self.handshakes.vacant_entry();
        let slot = entry.key() as u32;
        entry.insert(HalfOpen {
            machine,
            hello,
            path,
            generation,
            held: self.admission.begin(now, path.peer.ip(), slot, stay, round_trip, &self.config.admission),
            is_successor: false,
            is_second: self.admission.was_evicted(&path, &id),
            asked: None,
            armed: u64::MAX,
        });
        self.widen_paths();
        self.handshake_by_path.insert(path, slot);
        self.stats.count(Counter::HandshakesBegun);
        self.drive_handshake(now, slot);
    }

    fn evict(&mut self, slot: u32) {
        self.stats.count(Counter::HandshakesEvicted);
        let HalfOpen { path, machine, held, .. } = &self.handshakes[slot as usize];
        self.admission.note_evicted(held, path, &machine.hello_id());
        self.end_handshake(slot);
    }

    /// Records that a handshake has come to a stage.
    fn go_on(&mut self, now: Instant, slot: u32, stage: Stage) {
        let Self { admission, handshakes, .. } = self;
        let half_open = &mut handshakes[slot as usize];
        let last = if half_open.is_successor { half_open.held.last } else { now };
        admission.go_on(half_open.path.peer.ip(), &mut half_open.held, stage, last);
    }

    /// Makes room for twice as many as there are, at most for twice as many as may be. Where they come and
    /// go, places of those that went are not always free at once, and a map that is more than half full grows
    /// for it.
    fn widen_paths(&mut self) {
        let room = self.path_room;
        let wanted = (2 * room).max(64).min(2 * self.config.admission.handshakes_max);
        if 2 * self.handshakes.len() > room && wanted > room {
            self.path_room = wanted;
            self.handshake_by_path.reserve(wanted.saturating_sub(self.handshake_by_path.len()));
        }
    }

    /// The peer has begun anew: the new handshake has the place of the old one, and has begun when that did.
    fn succeed(&mut self, now: Instant, slot: u32, machine: Box<ServerHandshake>, hello: Hello) {
        let generation = self.next_generation();
        let half_open = &mut self.handshakes[slot as usize];
        let old = std::mem::replace(&mut half_open.generation, generation);
        (half_open.machine, half_open.hello, half_open.armed) = (machine, hello, u64::MAX);
        (half_open.is_successor, half_open.is_second) = (true, false);
        if half_open.asked.take().is_some() {
            self.admission.lookups -= 1;
        }
        if self.handshakes[slot as usize].held.stage == Stage::Asks {
            self.go_on(now, slot, Stage::GoneOn);
        }
        let Self { admission, handshakes, config, .. } = self;
        let HalfOpen { path, held, .. } = &mut handshakes[slot as usize];
        admission.hear(now, path.peer.ip(), held, &config.admission);
        let handshake = self.handshake_id(slot, old);
        self.events.push_back(ShardEvent::HandshakeEnded { handshake });
        self.stats.count(Counter::HandshakesReplaced);
        self.stats.count(Counter::HandshakesBegun);
        self.drive_handshake(now, slot);
    }

    pub(super) fn next_generation(&mut self) -> u32 {
        self.handshakes_begun = self.handshakes_begun.wrapping_add(1);
        self.handshakes_begun
    }

    pub(super) fn feed_handshake(&mut self, now: Instant, slot: u32, datagram: &mut [u8]) {
        self.handshakes[slot as usize].machine.handle_datagram(now, datagram, &mut self.random);
        self.drive_handshake(now, slot);
    }

    /// Ends a handshake that asked for its key, before it gets one, silently.
    pub(super) fn drop_handshake(&mut self, now: Instant, handshake: HandshakeId) {
        let half_open = self.handshakes.get(handshake.slot as usize);
        let asks = half_open.is_some_and(|half_open| {
            half_open.generation == handshake.generation && half_open.asked == Some(Question::Psk)
        });
        if asks {
            self.stats.count(Counter::HandshakesLimited);
            self.fail_handshake(now, handshake.slot);
        }
    }

    /// Handles the platform's answer to the question of a handshake.
    pub(super) fn handle_answer(&mut self, now: Instant, handshake: HandshakeId, answer: Answer) {
        let half_open = self.handshakes.get_mut(handshake.slot as usize).filter(|half_open| {
            half_open.generation == handshake.generation && half_open.asked == Some(answer.question())
        });
        let Some(half_open) = half_open else { return self.stats.count(Counter::LookupsLate) };
        half_open.asked = None;
        match answer {
            Answer::Psk(answer) => half_open.machine.provide_psk(now, answer, &mut self.random),
        }
        self.go_on(now, handshake.slot, Stage::GoneOn);
        self.admission.lookups -= 1;
        self.drive_handshake(now, handshake.slot);
    }

    pub(super) fn handshake_timer(&mut self, now: Instant, entry: Entry) {
        if self.config.plain.is_some() {
            return self.plain_timer(now, entry.generation);
        }
        let half_open = self
            .handshakes
            .get_mut(entry.slot as usize)
            .filter(|half_open| half_open.generation == entry.generation && half_open.armed == entry.tick);
        let Some(half_open) = half_open else { return };
        half_open.armed = u64::MAX;
        if half_open.machine.poll_timeout().is_some_and(|deadline| deadline <= now) {
            half_open.machine.handle_timeout(now);
        }
        self.drive_handshake(now, entry.slot);
    }

    /// Passes on the output of the handshake, which may be gone afterwards.
    fn drive_handshake(&mut self, now: Instant, slot: u32) {
        let mut ended = None;
        while let Some(event) = self.handshakes[slot as usize].machine.poll_event() {
            let half_open = &mut self.handshakes[slot as usize];
            let (peer, generation) = (half_open.path.peer, half_open.generation);
            let handshake = HandshakeId { shard: self.config.shard, slot, generation };
            match event {
                HandshakeEvent::PskWanted { identity } => {
                    half_open.asked = Some(Question::Psk);
                    self.go_on(now, slot, Stage::Asks);
                    self.admission.lookups += 1;
                    self.events.push_back(ShardEvent::PskWanted { handshake, peer, identity });
                }
                HandshakeEvent::FinishedRejected(failed) => {
                    self.stats.count(Counter::FinishedRejected);
                    let limits = &self.config.admission;
                    self.admission.reject(now, peer.ip(), &mut half_open.held, limits);
                    if half_open.is_second {
                        self.stats.count(Counter::FinishedOutdated);
                    } else {
                        self.events.push_back(ShardEvent::WrongKey { handshake, peer, failed });
                    }
                }
                HandshakeEvent::KeyExchangeRejected(rejected) => {
                    self.events.push_back(ShardEvent::KeyExchangeRejected { peer, rejected });
                }
                HandshakeEvent::Established(session) => ended = Some(Ended::Established(session)),
                HandshakeEvent::Failed(refusal) => {
                    self.stats.count(Counter::HandshakesFailed);
                    self.events.push_back(ShardEvent::Refused { peer, refusal });
                    ended = Some(Ended::Failed);
                }
                HandshakeEvent::Expired => {
                    self.stats.count(Counter::HandshakesExpired);
                    ended = Some(Ended::Failed);
                }
            }
        }
        let half_open = &mut self.handshakes[slot as usize];
        while half_open.machine.poll_transmit(&mut self.scratch) {
            self.outbox.push(half_open.path, &self.scratch);
        }
        match ended {
            None => self.arm_handshake(slot),
            Some(Ended::Failed) => self.fail_handshake(now, slot),
            Some(Ended::Established(session)) => self.promote(now, slot, *session),
        }
    }

    fn promote(&mut self, now: Instant, slot: u32, session: Session) {
        let HalfOpen { path, held, .. } = &self.handshakes[slot as usize];
        self.admission.finish(now, path.peer.ip(), held, &self.config.admission);
        let half_open = self.remove_handshake(slot);
        self.now_s = self.seconds(now);
        let path = half_open.path;
        if let Some(old) = self.sessions.find(&Route::Peer(path)) {
            // RFC 6347 4.2.8: only now, after the new Finished verified, the old association ends.
            self.close(old, CloseCause::Replaced);
        }
        self.stats.count(Counter::HandshakesCompleted);
        let suite = session.suite();
        let session = self.establish(now, path, session, half_open.hello);
        let handshake = self.handshake_id(slot, half_open.generation);
        self.events.push_back(ShardEvent::Connected {
            handshake,
            session,
            peer: path.peer,
            suite,
            verified: now,
        });
        if self.drain.has_begun() {
            self.close_with_notify(session, CloseCause::Drained);
        }
    }

    /// Ends a handshake that has come to nothing.
    fn fail_handshake(&mut self, now: Instant, slot: u32) {
        let HalfOpen { path, held, .. } = &self.handshakes[slot as usize];
        self.admission.fail(now, path.peer.ip(), held, &self.config.admission);
        self.end_handshake(slot);
    }

    fn end_handshake(&mut self, slot: u32) {
        let half_open = self.remove_handshake(slot);
        let handshake = self.handshake_id(slot, half_open.generation);
        self.events.push_back(ShardEvent::HandshakeEnded { handshake });
    }

    fn remove_handshake(&mut self, slot: u32) -> HalfOpen {
        let half_open = self.handshakes.remove(slot as usize);
        self.handshake_by_path.remove(&half_open.path);
        self.admission.end(half_open.path.peer.ip(), &half_open.held);
        if half_open.asked.is_some() {
            self.admission.lookups -= 1;
        }
        if self.handshakes.is_empty() && self.handshakes.capacity() > 4096 {
            // After a flood: free the memory.
            self.handshakes.shrink_to_fit();
            self.handshake_by_path.shrink_to_fit();
            self.path_room = 0;
        }
        half_open
    }

    fn arm_handshake(&mut self, slot: u32) {
        let half_open = &mut self.handshakes[slot as usize];
        let Some(deadline) = half_open.machine.poll_timeout() else { return };
        let tick = self.wheel.tick_of(deadline);
        if tick < half_open.armed {
            half_open.armed = tick;
            self.wheel.arm(tick, slot | HALF_OPEN_BIT, half_open.generation);
        }
    }
}

enum Ended {
    Failed,
    Established(Box<Session>),
}
