//! Established sessions: what arrives by them, what is sent by them, and how they end.

use std::time::{Duration, Instant};

use narrowgate_coap::{Code, Endpoint, Event, RespondError, Response};
use narrowgate_dtls::{self as dtls, HelloId, Opened, Random, Session};

use super::{BUSY_MAX_AGE_S, Shard, answers, half_open::Hello, stats::Counter, table::HasPath, wheel::Entry};
use crate::{
    event::{CloseCause, SessionId, ShardEvent, Ticket},
    path::Path,
};

/// Authentic records in a row that carry nothing (empty ones, warnings) before a session is closed.
const NOISE_MAX: u8 = 32;
/// How far ahead a timer is set; one for a later deadline is set again when it fires.
const ARMED_AHEAD_MAX: Duration = Duration::from_secs(3600);
/// `close_at_s` of a session that has no end set.
const NEVER: u32 = u32::MAX;

/// An established session with its CoAP state. There are millions of these.
pub(super) struct Established {
    dtls: Session,
    endpoint: Endpoint,
    path: Path,
    /// The ticks that its timers wait for; `u64::MAX`: none. Three of them, because a session has three distances:
    /// an exchange (seconds), its stored answers (minutes), and its idle timeout (days).
    armed: [u64; 3],
    /// What it began with.
    hello: Hello,
    /// When it was last heard, in seconds since the shard's start.
    heard_s: u32,
    /// When it ends by command, in seconds since the shard's start.
    close_at_s: u32,
    /// Requests handed to the platform and not yet answered.
    in_flight: u16,
    /// Authentic records in a row that carried nothing.
    noise: u8,
}

// Design limit: an idle session (DTLS and CoAP) takes at most 512 bytes.
const _: () = assert!(size_of::<Established>() <= 512);

impl HasPath for Established {
    fn path(&self) -> Path {
        self.path
    }
}

/// What the records of one datagram amounted to.
#[derive(Default)]
struct Outcome {
    authentic: bool,
    end: Option<End>,
}

/// How a session ends by what its peer sent.
#[derive(Clone, Copy)]
enum End {
    /// The peer is told by a close_notify.
    Told(CloseCause),
    /// A fatal alert came or went: nothing follows it (RFC 5246, section 7.2.2).
    Silent(CloseCause),
}

impl Shard {
    pub(super) fn establish(&mut self, now: Instant, path: Path, dtls: Session, hello: Hello) -> SessionId {
        if self.sessions.len() >= self.config.sessions_max
            && let Some(oldest) = self.sessions.shed_candidate(|established| established.heard_s)
        {
            self.close_with_notify(oldest, CloseCause::Shed);
        }
        let mut mid = [0; 2];
        self.random.fill(&mut mid);
        let (slot, generation) = self.sessions.insert(Established {
            dtls,
            endpoint: Endpoint::new(u16::from_be_bytes(mid)),
            path,
            armed: [u64::MAX; 3],
            hello,
            heard_s: self.seconds(now),
            close_at_s: NEVER,
            in_flight: 0,
            noise: 0,
        });
        self.arm_session(now, slot);
        SessionId { shard: self.config.shard, slot, generation }
    }

    /// Whether the session of this path grew out of this ClientHello, whose cookie is good.
    pub(super) fn grew_out_of(&mut self, now: Instant, path: Path, hello: HelloId) -> bool {
        let now_s = self.seconds(now);
        let slot = self.sessions.find(path);
        slot.and_then(|slot| self.sessions.at(slot)).is_some_and(|it| it.hello.has_copy(hello, now_s))
    }

    /// Takes the records of one datagram; returns whether any of them was authentic.
    pub(super) fn feed_session(&mut self, now: Instant, slot: u32, datagram: &mut [u8]) -> bool {
        let seconds = self.seconds(now);
        let mut outcome = Outcome::default();
        let mut rest = datagram;
        while let Some((record, tail)) = dtls::split_record(rest) {
            rest = tail;
            self.open_record(now, slot, record, &mut outcome);
            if outcome.end.is_some() {
                break;
            }
        }
        if outcome.authentic
            && let Some(established) = self.sessions.at(slot)
        {
            established.heard_s = seconds;
            if !self.deliver(now, slot) {
                let session = self.session_id(slot);
                self.events.push_back(ShardEvent::Heard { session });
            }
            self.transmit(slot);
            self.arm_session(now, slot);
        }
        match outcome.end {
            Some(End::Told(cause)) => self.close_with_notify(slot, cause),
            Some(End::Silent(cause)) => self.close(slot, cause),
            None => {}
        }
        outcome.authentic
    }

    fn open_record(&mut self, now: Instant, slot: u32, record: &mut [u8], outcome: &mut Outcome) {
        let Self { sessions, config, budget, stats, random, outbox, .. } = self;
        let Some(established) = sessions.at(slot) else { return };
        let opened = match established.dtls.open(record) {
            Ok(opened) => opened,
            Err(discard) => {
                stats.count_dtls(discard);
                match discard {
                    dtls::Discard::Unauthentic
                        if established.dtls.failed_opens() == dtls::limits::FAILED_OPENS_ALARM =>
                    {
                        stats.count(Counter::ForgeryAlarms);
                    }
                    dtls::Discard::Unauthentic
                        if established.dtls.failed_opens() < dtls::limits::FAILED_OPENS_MAX => {}
                    dtls::Discard::PlaintextTooLong => {
                        // RFC 5246 6.2.3: authentic, so this is no stranger: fatal record_overflow.
                        let path = established.path;
                        outbox.push_with(path, |out| established.dtls.record_overflow(random, out));
                        outcome.end = Some(End::Silent(CloseCause::Abuse));
                    }
                    dtls::Discard::Unauthentic | dtls::Discard::ForgeryBudget | dtls::Discard::EmptyFlood => {
                        outcome.end = Some(End::Told(CloseCause::Abuse));
                    }
                    _ => {}
                }
                return;
            }
        };
        outcome.authentic = true;
        match opened {
            Opened::Application(message) => {
                established.noise = 0;
                established.endpoint.handle_message(now, message, &config.coap, budget);
                return;
            }
            Opened::FinishedAgain => {
                let path = established.path;
                // The last flight is made anew, with new record numbers (RFC 6347, section 4.2.4).
                let sent = outbox.push_with(path, |out| established.dtls.last_flight(random, out));
                if sent.is_err() {
                    outcome.end = Some(End::Told(CloseCause::Abuse));
                }
                return;
            }
            Opened::CloseNotify | Opened::TooManyWarnings => {
                outcome.end = Some(End::Told(CloseCause::ByPeer));
                return;
            }
            Opened::FatalAlert(_) => {
                outcome.end = Some(End::Silent(CloseCause::ByPeer));
                return;
            }
            Opened::RenegotiationAttempt => {
                let path = established.path;
                // RFC 5746 4.5 leaves the choice: the attempt is refused by a warning, the session lives.
                outbox.push_with(path, |out| established.dtls.no_renegotiation(random, out));
            }
            Opened::Empty | Opened::WarningAlert(_) | Opened::Ignored => {}
        }
        established.noise += 1;
        if established.noise >= NOISE_MAX {
            outcome.end = Some(End::Told(CloseCause::Abuse));
        }
    }

    /// Passes on what the CoAP endpoint has to say; returns whether a request was among it.
    fn deliver(&mut self, now: Instant, slot: u32) -> bool {
        let session = self.session_id(slot);
        let mut asked = false;
        loop {
            let Some(established) = self.sessions.at(slot) else { return asked };
            match established.endpoint.poll_event() {
                None => return asked,
                Some(Event::Request { exchange, request }) => {
                    if self.requests_in_flight >= self.config.requests_in_flight_max {
                        self.stats.count(Counter::RequestsBusy);
                        let busy = Response::new(Code::SERVICE_UNAVAILABLE).max_age(BUSY_MAX_AGE_S);
                        let sent = established.endpoint.respond(
                            now,
                            exchange,
                            busy,
                            &self.config.coap,
                            &mut self.budget,
                        );
                        if sent.is_err() {
                            self.stats.count(Counter::ResponsesLate);
                        }
                        continue;
                    }
                    asked = true;
                    established.in_flight += 1;
                    self.requests_in_flight += 1;
                    self.stats.count(Counter::Requests);
                    let ticket = Ticket { session, exchange };
                    self.events.push_back(ShardEvent::Request { ticket, request });
                }
                Some(Event::Refused(refused)) => {
                    self.events.push_back(ShardEvent::RequestRefused { session, refused });
                }
                Some(Event::MessageIdReused { mid }) => {
                    self.events.push_back(ShardEvent::MessageIdReused { session, mid });
                }
                Some(Event::Discarded(discard)) => {
                    self.stats.count_coap(discard);
                    // Nothing was asked, so a response is a request with the wrong code.
                    if discard.is_malformed() || discard == narrowgate_coap::Discard::ResponseUnexpected {
                        self.events.push_back(ShardEvent::Malformed { session, fault: discard });
                    }
                }
                // Nothing here sends requests of its own yet, so nothing else can matter.
                Some(_) => {}
            }
        }
    }

    /// Seals and queues what the CoAP endpoint wants to send.
    fn transmit(&mut self, slot: u32) {
        let Self { sessions, scratch, outbox, random, stats, .. } = self;
        let Some(established) = sessions.at(slot) else { return };
        while established.endpoint.poll_transmit(scratch) {
            let path = established.path;
            let sealed = outbox.push_with(path, |out| established.dtls.seal(scratch, random, out));
            match sealed {
                Ok(()) => {}
                Err(dtls::SealError::TooLarge { .. }) => stats.count(Counter::MessagesTooLarge),
                // No number is left that may be used: nothing can be sent any more, never wrap.
                Err(dtls::SealError::SequenceExhausted | dtls::SealError::NotReserved) => {
                    return self.close(slot, CloseCause::Abuse);
                }
            }
        }
    }

    pub(super) fn respond(&mut self, now: Instant, ticket: Ticket, response: Response) {
        let SessionId { slot, generation, .. } = ticket.session;
        let Some(established) = self.sessions.at_generation(slot, generation) else {
            return self.stats.count(Counter::ResponsesLate);
        };
        established.in_flight -= 1;
        self.requests_in_flight -= 1;
        let is_success = response.code.class() < 4;
        let shorter = answers::shorter(&response);
        let params = answers::params(&self.config.coap, established.dtls.plaintext_bytes_max());
        let mut respond = |response| {
            established.endpoint.respond(now, ticket.exchange, response, &params, &mut self.budget)
        };
        let mut sent = respond(response);
        if let Err(RespondError::TooLarge { bytes, bytes_max }) = sent {
            self.stats.count(Counter::MessagesTooLarge);
            sent = respond(shorter);
            // An error says by its code what it is; a success has become a failure.
            if is_success {
                let session = ticket.session;
                self.events.push_back(ShardEvent::AnswerTooLarge { session, bytes, bytes_max });
            }
        }
        self.stats.count(if sent.is_ok() { Counter::Responses } else { Counter::ResponsesLate });
        self.transmit(slot);
        self.arm_session(now, slot);
    }

    pub(super) fn close_after(&mut self, now: Instant, session: SessionId, after: Duration) {
        let at = self.seconds(now + after) + 1;
        if let Some(established) = self.sessions.at_generation(session.slot, session.generation) {
            established.close_at_s = established.close_at_s.min(at);
            self.arm_session(now, session.slot);
        }
    }

    pub(super) fn close_by_command(&mut self, session: SessionId, cause: CloseCause) {
        if self.sessions.at_generation(session.slot, session.generation).is_some() {
            self.close_with_notify(session.slot, cause);
        }
    }

    /// Tells the peer and ends the session.
    pub(super) fn close_with_notify(&mut self, slot: u32, cause: CloseCause) {
        let Self { sessions, outbox, random, .. } = self;
        if let Some(established) = sessions.at(slot) {
            let path = established.path;
            // A session whose numbers are used up ends without a word.
            outbox.push_with(path, |out| established.dtls.close_notify(random, out));
        }
        self.close(slot, cause);
    }

    pub(super) fn close(&mut self, slot: u32, cause: CloseCause) {
        let session = self.session_id(slot);
        let Some(mut established) = self.sessions.take(slot) else { return };
        established.endpoint.release(&mut self.budget);
        self.requests_in_flight -= usize::from(established.in_flight);
        self.stats.count(match cause {
            CloseCause::ByPeer => Counter::ClosedByPeer,
            CloseCause::ByCommand => Counter::ClosedByCommand,
            CloseCause::Replaced => Counter::ClosedReplaced,
            CloseCause::Idle => Counter::ClosedIdle,
            CloseCause::Shed => Counter::ClosedShed,
            CloseCause::Abuse => Counter::ClosedAbuse,
            CloseCause::Drained => Counter::ClosedDrained,
        });
        self.events.push_back(ShardEvent::Closed { session, cause });
    }

    pub(super) fn session_timer(&mut self, now: Instant, entry: Entry) {
        let seconds = self.seconds(now);
        let idle_s = self.config.idle_timeout.as_secs() as u32;
        let established = self
            .sessions
            .at_generation(entry.slot, entry.generation)
            .filter(|established| established.armed.contains(&entry.tick));
        let Some(established) = established else { return };
        for armed in established.armed.iter_mut().filter(|armed| **armed == entry.tick) {
            *armed = u64::MAX;
        }
        if established.close_at_s <= seconds {
            return self.close_with_notify(entry.slot, CloseCause::ByCommand);
        }
        if seconds.saturating_sub(established.heard_s) > idle_s {
            return self.close_with_notify(entry.slot, CloseCause::Idle);
        }
        if established.endpoint.poll_timeout().is_some_and(|deadline| deadline <= now) {
            established.endpoint.handle_timeout(now, &self.config.coap, &mut self.budget);
            self.deliver(now, entry.slot);
            self.transmit(entry.slot);
        }
        self.arm_session(now, entry.slot);
    }

    fn arm_session(&mut self, now: Instant, slot: u32) {
        let Some(generation) = self.sessions.generation(slot) else { return };
        let Some(established) = self.sessions.at(slot) else { return };
        let idle_at = u64::from(established.heard_s) + self.config.idle_timeout.as_secs() + 1;
        let at = idle_at.min(u64::from(established.close_at_s));
        // A session that ends leaves its timers behind until they fire, so none is set far ahead.
        let mut deadline = (self.start + Duration::from_secs(at)).min(now + ARMED_AHEAD_MAX);
        if let Some(exchange) = established.endpoint.poll_timeout() {
            deadline = deadline.min(exchange);
        }
        let tick = self.wheel.tick_of(deadline);
        if established.armed.iter().all(|armed| tick < *armed) {
            // A free place, or that of the nearest, whose entry then fires for nobody.
            let free = established.armed.iter().position(|armed| *armed == u64::MAX);
            let nearest = (0..3).min_by_key(|index| established.armed[*index]).unwrap_or(0);
            established.armed[free.unwrap_or(nearest)] = self.wheel.arm(deadline, slot, generation);
        }
    }
}
