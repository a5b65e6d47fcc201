//! A shard at the port of plain CoAP: a peer is known by its address and port alone, after a login.
//!
//! ```text
//!   POST /{login path} --> Logins --> LoginWanted --> AdmitLogin ---> a session
//!                |            |                   \-> RefuseLogin --> an answer, and nothing is kept
//!                \-> 4.01 with Echo, where a login has to bring a fresh one, and nothing is kept
//!   any other message --> the session of its path, or an answer to a stranger, and nothing is kept
//! ```
//!
//! A login is a session like one over DTLS, with the same endpoint, timers and limits; its silence may last
//! as long as the platform says ([`crate::event::ShardCommand::AdmitLogin`]). A further login from the same
//! path is decided beside the session, which goes on until the new one is admitted; a repetition of the
//! message that a session began with is that session's, as long as it has sent nothing else. What was posted
//! in a login is not carried out again in a later one of the same path (module `leavings`).
//!
//! Nothing proves that a stranger's address is its own. So an answer to one is never longer than what it
//! answers, there is at most one, and a body in blocks is refused (4.13), because its parts would have to be
//! kept.
//!
//! Limits: [`PlainConfig`]; a login that the platform does not decide within [`LOGIN_LIFETIME`] is dropped.
//! At the limit of sessions, or of requests that wait, a login is answered 5.03: none that stands is ended
//! for it.

pub mod echo;
mod leavings;
mod logins;

use std::time::{Duration, Instant};

use narrowgate_coap::{
    Code, Context, Endpoint, Event, ExchangeId, Message, MessageWriter, OptionNumber, RefusedRequest,
    Request, Response,
};

pub(super) use self::{echo::EchoKeys, leavings::Leavings, logins::Logins};
use super::{Shard, channel::Channel, requests::BUSY_MAX_AGE_S, stats::Counter, table::Row};
use crate::{
    event::{CloseCause, HandshakeId, SessionId, ShardEvent, Ticket},
    path::Path,
    route::Route,
};

/// A login that is not decided by then is dropped.
pub const LOGIN_LIFETIME: Duration = Duration::from_secs(30);

/// What makes a shard one of plain CoAP.
#[derive(Debug, Clone)]
pub struct PlainConfig {
    /// The first segment of the path to which logins are posted.
    pub login_path: &'static str,
    /// Logins that wait for the platform; further ones are dropped, and their clients send them again.
    pub logins_waiting_max: usize,
    /// A login without a fresh Echo is answered 4.01 with one (module [`echo`]).
    pub fresh_logins: bool,
}

/// What a message of a stranger came to.
enum Greeted {
    /// A request, which waits for its answer.
    Request(Endpoint, ExchangeId, Box<Request>),
    /// It is answered, or no answer is due.
    Done(Option<Box<RefusedRequest>>),
}

impl Shard {
    /// Handles one datagram at the port of plain CoAP.
    pub(super) fn handle_plain(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let session = self.sessions.find(&Route::Peer(path));
        let message = Message::parse(datagram).ok();
        match (message, session) {
            (Some(message), _) if message.code == Code::POST && self.is_at_login_path(&message) => {
                self.handle_login(now, path, session, datagram);
            }
            (Some(_), Some(session)) => {
                if let Some(row) = self.sessions.at(session) {
                    row.session.channel.note_heard();
                }
                self.feed_plain(now, session, datagram);
            }
            // What is no message does not keep a login alive.
            (None, _) | (Some(_), None) => self.answer_stranger(now, path, datagram),
        }
    }

    fn is_at_login_path(&self, message: &Message<'_>) -> bool {
        let login_path = self.config.plain.as_ref().map(|plain| plain.login_path.as_bytes());
        let first = message.options().find(|(number, _)| *number == OptionNumber::URI_PATH);
        first.is_some_and(|(_, segment)| Some(segment) == login_path)
    }

    /// Handles a message of a peer that is logged in.
    fn feed_plain(&mut self, now: Instant, session: SessionId, datagram: &[u8]) {
        let now_s = self.seconds(now);
        let Self { sessions, config, profiles, budget, .. } = self;
        let Some(row) = sessions.at(session) else { return };
        let permitted = row.session.handle_message((now, now_s), datagram, (config, profiles), budget);
        if !self.deliver(now, session, permitted) {
            self.events.push_back(ShardEvent::Heard { session });
        }
        self.transmit(session);
        self.arm_session(now, session);
    }

    fn handle_login(&mut self, now: Instant, path: Path, session: Option<SessionId>, datagram: &[u8]) {
        let hello = self.hello(now, datagram);
        if let Some(session) = session
            && let Some(Row { session: established, .. }) = self.sessions.at(session)
            && established.channel.is_fresh()
            && let lifetime = self.profiles.of(established.endpoint.profile()).exchange_lifetime
            && established.hello.has_copy_within(hello, lifetime)
        {
            // Its answer was lost: the session has it. A device that has sent more has its answer, so it has
            // begun anew, perhaps with the same Message IDs for other reports.
            return self.feed_plain(now, session, datagram);
        }
        let pause = self.config.coap.ack_timeout;
        let is_late = session.is_none() && self.leavings.is_late_copy(now, path, hello, pause);
        if self.drain.has_begun() || is_late || self.logins.has(path) {
            // Another login of this path is being decided: its copy, or one that comes again. Or the device
            // has logged in from elsewhere since.
            return self.stats.count(Counter::LoginsRepeated);
        }
        let is_stale = self.is_stale(now, path, datagram);
        let limit = self.config.plain.as_ref().map_or(0, |plain| plain.logins_waiting_max);
        if !is_stale && self.logins.len() >= limit {
            return self.stats.count(Counter::LoginsDeferred);
        }
        match self.greet(now, path, datagram) {
            Greeted::Request(endpoint, exchange, _) if is_stale => {
                self.stats.count(Counter::LoginsChallenged);
                let whose = (self.seconds(now), path.peer);
                let echo = self.echo_keys.make(whose, &mut self.random);
                let answer = Response::new(Code::UNAUTHORIZED).option(OptionNumber::ECHO, echo);
                self.answer_and_forget(now, (path, datagram.len()), (endpoint, exchange), answer);
            }
            Greeted::Request(endpoint, exchange, request) => {
                let generation = self.next_generation();
                let slot =
                    self.logins.begin(now, (path, datagram.len()), hello, (endpoint, exchange), generation);
                if let Some(sweep_at) = self.logins.arm_sweep() {
                    let tick = self.wheel.tick_of(sweep_at);
                    self.wheel.arm(tick, super::HALF_OPEN_BIT, 0);
                }
                let handshake = self.handshake_id(slot, generation);
                self.events.push_back(ShardEvent::LoginWanted { handshake, peer: path.peer, request });
            }
            Greeted::Done(Some(refused)) => {
                self.stats.count(Counter::LoginsRefused);
                self.events.push_back(ShardEvent::LoginRefused { peer: path.peer, refused });
            }
            Greeted::Done(None) => {}
        }
    }

    /// Whether a login lacks the fresh Echo that it has to bring.
    fn is_stale(&mut self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        if !self.config.plain.as_ref().is_some_and(|plain| plain.fresh_logins) {
            return false;
        }
        let message = Message::parse(datagram).ok();
        let echo =
            message.and_then(|message| message.options().find(|(number, _)| *number == OptionNumber::ECHO));
        let whose = (self.seconds(now), path.peer);
        !echo.is_some_and(|(_, echo)| self.echo_keys.verify(echo, whose, &mut self.random))
    }

    /// Answers a message of a peer that is not logged in.
    fn answer_stranger(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if let Greeted::Request(endpoint, exchange, request) = self.greet(now, path, datagram) {
            self.stats.count(Counter::Unauthorized);
            let login_path = self.config.plain.as_ref().map(|plain| plain.login_path);
            let is_login_path = request.path.segments().next().as_deref() == login_path;
            let code = if is_login_path { Code::METHOD_NOT_ALLOWED } else { Code::UNAUTHORIZED };
            let answer = Response::new(code);
            self.answer_and_forget(now, (path, datagram.len()), (endpoint, exchange), answer);
        }
    }

    /// Answers the request of a stranger, who sent so many bytes, and ends its endpoint.
    fn answer_and_forget(
        &mut self,
        now: Instant,
        (path, question_bytes): (Path, usize),
        (mut endpoint, exchange): (Endpoint, ExchangeId),
        response: Response,
    ) {
        let mut context = Context { now, params: &self.config.coap, budget: &mut self.budget };
        // Ignored: a client that wants no answer gets none.
        let _ = endpoint.respond(&mut context, exchange, response);
        self.dismiss(path, endpoint, question_bytes);
    }

    /// Has a message of a stranger handled by an endpoint of its own, which answers what is no request that
    /// somebody else has to answer.
    fn greet(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Greeted {
        let mut endpoint = Endpoint::plain(self.first_mid());
        let mut context = Context { now, params: &self.config.coap, budget: &mut self.budget };
        endpoint.handle_message(&mut context, datagram);
        let mut refused = None;
        while let Some(event) = endpoint.poll_event() {
            match event {
                Event::Request { exchange, request } => {
                    return Greeted::Request(endpoint, exchange, Box::new(request));
                }
                Event::Refused(fault) => refused = Some(fault),
                Event::Discarded(discard) => self.stats.count_coap(discard),
                _ => {}
            }
        }
        self.dismiss(path, endpoint, datagram.len());
        Greeted::Done(refused)
    }

    /// Sends what an endpoint has for a stranger, who sent so many bytes, and ends it.
    fn dismiss(&mut self, path: Path, mut endpoint: Endpoint, question_bytes: usize) {
        let Self { scratch, outbox, budget, .. } = self;
        while endpoint.poll_transmit(scratch) {
            outbox.push_with(path, |out| put_for_stranger(scratch, question_bytes, out));
        }
        endpoint.release(budget);
    }

    /// The platform admits a login: it becomes the session of its path.
    pub(super) fn admit_login(&mut self, now: Instant, handshake: HandshakeId, lifetime: Duration) {
        let Some(login) = self.logins.take(handshake) else { return self.stats.count(Counter::LookupsLate) };
        let path = login.path;
        let old = self.sessions.find(&Route::Peer(path));
        let is_full = old.is_none() && self.sessions.len() >= self.config.sessions_max;
        if is_full || self.requests_in_flight >= self.config.requests_in_flight_max {
            self.stats.count(if is_full { Counter::LoginsFull } else { Counter::RequestsBusy });
            let busy = Response::new(Code::SERVICE_UNAVAILABLE).max_age(BUSY_MAX_AGE_S);
            self.turn_away(now, login, busy);
            return self.events.push_back(ShardEvent::HandshakeEnded { handshake });
        }
        if let Some(old) = old {
            self.close(old, CloseCause::Replaced);
        }
        self.stats.count(Counter::LoginsAccepted);
        let lifetime_s = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        let channel = Channel::Plain { lifetime_s, is_fresh: true };
        let session = self.add_session(now, path, channel, (login.endpoint, login.hello));
        let Self { sessions, leavings, profiles, budget, .. } = self;
        if let Some(row) = sessions.at(session) {
            row.session.in_flight = 1;
            if let Some(remains) = leavings.take(path) {
                let params = profiles.of(row.session.endpoint.profile());
                row.session.endpoint.inherit(&mut Context { now, params, budget }, remains);
            }
        }
        self.requests_in_flight += 1;
        self.stats.count(Counter::Requests);
        let ticket = Ticket { session, exchange: login.exchange };
        self.events.push_back(ShardEvent::LoggedIn { handshake, ticket, peer: path.peer, verified: now });
        self.arm_session(now, session);
    }

    /// The platform refuses a login.
    pub(super) fn refuse_login(&mut self, now: Instant, handshake: HandshakeId, response: Response) {
        let Some(login) = self.logins.take(handshake) else { return self.stats.count(Counter::LookupsLate) };
        let is_early = response.code == Code::TOO_MANY_REQUESTS;
        self.stats.count(if is_early { Counter::LoginsLimited } else { Counter::LoginsRefused });
        self.turn_away(now, login, response);
        self.events.push_back(ShardEvent::HandshakeEnded { handshake });
    }

    /// Answers a login and forgets it. An answer to one is shorter than any login.
    fn turn_away(&mut self, now: Instant, login: logins::Login, response: Response) {
        let logins::Login { path, endpoint, exchange, bytes, .. } = login;
        self.answer_and_forget(now, (path, bytes), (endpoint, exchange), response);
    }

    /// One of the two timers that are no session's has fired.
    pub(super) fn plain_timer(&mut self, now: Instant, generation: u32) {
        match generation {
            leavings::SWEEP_OF_LEAVINGS => self.sweep_leavings(now),
            _ => self.sweep_logins(now),
        }
    }

    /// Drops the logins that the platform has not decided in time.
    fn sweep_logins(&mut self, now: Instant) {
        for (slot, login) in self.logins.take_expired(now) {
            self.stats.count(Counter::LoginsExpired);
            let mut endpoint = login.endpoint;
            endpoint.release(&mut self.budget);
            let handshake = self.handshake_id(slot, login.generation);
            self.events.push_back(ShardEvent::HandshakeEnded { handshake });
        }
        if let Some(sweep_at) = self.logins.arm_sweep() {
            let tick = self.wheel.tick_of(sweep_at);
            self.wheel.arm(tick, super::HALF_OPEN_BIT, 0);
        }
    }
}

/// Appends an answer to a stranger, no longer than the question: options and payload are left out where they
/// would make it longer. That a part of a body is taken (2.31) is never said, because it is not.
fn put_for_stranger(answer: &[u8], question_bytes: usize, out: &mut Vec<u8>) {
    let Ok(message) = Message::parse(answer) else { return };
    let code = if message.code.class() == 2 { Code::REQUEST_ENTITY_TOO_LARGE } else { message.code };
    if code == message.code && answer.len() <= question_bytes {
        return out.extend_from_slice(answer);
    }
    // Header and token: every request has them too.
    let begin = out.len();
    MessageWriter::new(out, message.kind, code, message.mid, message.token).payload(&[]);
    if out.len() - begin > question_bytes {
        out.truncate(begin);
    }
}
