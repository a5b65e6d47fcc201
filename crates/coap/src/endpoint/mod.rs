//! One side of one association: the message layer for server and client.
//!
//! An endpoint only distributes. Its parts are machines of their own, separated by how long they hold things:
//!
//! ```text
//!             +-> Incoming   requests of the peer that are worked on         milliseconds
//!   message --+-> Outgoing   requests and separate responses on their way    milliseconds
//!             +-> Bodies     bodies and answers in transfer, block by block  seconds, 247 at most unmoved
//!             |   Outbox     messages and events that wait to be taken       until the next poll
//!             +-> Answers    what answered a request, for its duplicates     minutes, in most sessions
//!             +-> Notices    what was reported of a peer that miscounts      minutes, for few peers
//!             +-> TurnedAway what was refused for want of room               minutes, for few peers
//!             +-> Observers  who observes the resource of this endpoint      the session, for few peers
//! ```
//!
//! The first four share a box, which is freed when they are empty. The last three share one that is freed
//! when the first two of them are of no use any more, unless the peer has ever observed.
//!
//! | limit | at it |
//! |---|---|
//! | stored answers, their bytes, open exchanges | a new request is refused with 5.03 and Max-Age |
//! | budget, share of it | the same |
//! | bodies in transfer, the budget's part for them | the oldest ends; 5.03 with Max-Age, and it ends |
//! | bytes of a body | 4.13 with Size1, and it ends |
//! | our own requests | [`RequestError::QueueFull`] |
//! | observers | a plain answer without Observe |
//! | size of our messages | answers go in blocks; [`RespondError::TooLarge`], [`RequestError::TooLarge`] |
//!
//! The answer to a request that is refused at a limit is not stored; a non-confirmable one gets none. Nor is
//! a 4.29 or 5.03 of the application stored: nothing ran, so a copy of the request may, until something
//! newer has run (`TurnedAway`).
//!
//! # Blocks
//!
//! A request with Block1 or Block2 passes `Bodies` between `receive` and `Incoming` if it is a part of a
//! transfer. A block is an exchange like any other: what answered it (2.31, 4.08, 4.13) is stored for its
//! duplicates, but for a block of an answer, which is read again from what is held. The last block becomes
//! [`crate::Event::Request`] with the whole body, and its answer names the block. [`Endpoint::respond`] cuts
//! an answer that is longer than the peer wishes, or than a message may be. Bodies are kept in memory only:
//! after a restart a block meets 4.08, and the peer begins again.
//!
//! A body that is too long to be held is answered block by block by the application
//! ([`crate::Response::block`], `part`): nothing is kept of it here, neither the body nor the answers, and
//! any block may be asked for at any time, also after a restart.
//!
//! # Observe
//!
//! `Observers` keeps the token of a registration when its request is answered. A notification is an
//! `Outbound` with a purpose of its own: `Outgoing` gives it NSTART and retransmission; its Reset ends the
//! registration, and where nothing acknowledges it, all of them end.
//!
//! # Where requests in blocks would go
//!
//! A request of ours with a large body is an `Outbound` that goes through `Outgoing` once for each block. A
//! response in blocks is passed on block by block, with its Block2. No side of the product sends such a
//! request.

mod answers;
mod bodies;
mod error;
mod incoming;
mod notices;
mod observers;
mod outbox;
mod outgoing;
mod part;
mod receive;
mod remains;
mod send;
mod turned_away;

use std::time::{Duration, Instant};

pub use error::{NotifyError, RequestError, RespondError};
pub use remains::Remains;
pub use turned_away::REFUSED_BYTES_MAX;

use zeroize::Zeroize as _;

use self::{
    answers::Answers,
    bodies::Bodies,
    incoming::Incoming,
    notices::Notices,
    observers::Observers,
    outbox::{Outbox, Transmit},
    outgoing::Outgoing,
    turned_away::TurnedAway,
};
use crate::{
    budget::Budget,
    context::Context,
    event::{Event, ObservationEnd},
    exchange::{Exchange, ExchangeId, Origin},
    message::{Token, empty_message},
    params::Profile,
};

/// One side of one association. After every call, events and messages are to be drained.
///
/// Besides what [`Endpoint::is_idle`] covers, it remembers in some 150 bytes what it reported about its peer,
/// for EXCHANGE_LIFETIME, and by which tokens the peer observes; and of 64 requests at most that it refused
/// for want of room 12 bytes each, which are charged.
///
/// All methods of one endpoint must be given the same [`Budget`], and [`Endpoint::release`] must be called
/// before it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    answers: Answers,
    active: Option<Box<Active>>,
    /// Counts exchanges and requests; a part of their ids.
    serial: u32,
    next_mid: u16,
    profile: Profile,
    /// It may leave its answers to another one: [`Endpoint::leave`].
    is_plain: bool,
    /// In a box of its own, because few peers need it.
    lasting: Option<Box<Lasting>>,
}

const _: () = assert!(size_of::<Endpoint>() <= 32, "there is one in each of a million sessions");

/// What is in flight.
#[derive(Debug, Default)]
struct Active {
    incoming: Incoming,
    outgoing: Outgoing,
    bodies: Bodies,
    outbox: Outbox,
    /// The message that was polled last holds a secret.
    polled_secret: bool,
}

/// What is kept beyond an exchange.
#[derive(Debug, Default)]
struct Lasting {
    notices: Notices,
    observers: Observers,
    turned_away: TurnedAway,
    /// When the notices and what was turned away are of no use any more; `None` if there are none.
    until: Option<Instant>,
}

impl Active {
    fn is_empty(&self) -> bool {
        self.incoming.count() == 0
            && self.outgoing.is_empty()
            && self.bodies.is_empty()
            && self.outbox.is_empty()
            && !self.polled_secret
    }
}

impl Endpoint {
    /// An endpoint whose first own message has this Message ID; RFC 7252 4.4 advises a random one.
    #[must_use]
    pub const fn new(first_mid: u16) -> Self {
        Self::counting_from(first_mid, 0)
    }

    /// The same, for a peer of plain CoAP, which is known by its address alone: what it answers may be left
    /// to a later endpoint of the peer ([`Endpoint::leave`]), so its answers take 7 bytes more each.
    #[must_use]
    pub const fn plain(first_mid: u16) -> Self {
        let mut endpoint = Self::new(first_mid);
        endpoint.is_plain = true;
        endpoint
    }

    /// As [`Endpoint::new`], and its requests count their tokens from this number: without DTLS a random one,
    /// so that no late answer to what an earlier endpoint at its port has asked is taken for one to its own
    /// request (RFC 7252, section 5.3.1).
    #[must_use]
    pub const fn counting_from(first_mid: u16, first_token: u32) -> Self {
        Self {
            answers: Answers::new(),
            active: None,
            serial: first_token,
            next_mid: first_mid,
            profile: Profile::Default,
            is_plain: false,
            lasting: None,
        }
    }

    /// What the peer's radio asks for. It changes nothing here: the caller keeps it, to choose the
    /// [`crate::Params`] of each call by it.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// See [`Endpoint::profile`]. What is under way keeps its timers.
    pub const fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
    }

    /// Handles the timers that are due: acknowledges requests that take long, retransmits, gives up, removes
    /// expired answers and bodies.
    pub fn handle_timeout(&mut self, context: &mut Context<'_>) {
        self.answers.expire(context);
        self.forget(context);
        if let Some(active) = &mut self.active {
            let Active { incoming, outgoing, bodies, outbox, .. } = &mut **active;
            incoming.handle_timeout(context, outbox);
            let is_dead = outgoing.handle_timeout(context, outbox);
            bodies.expire(context);
            if is_dead {
                // RFC 7641 4.5: who does not acknowledge is removed. No other registration of this peer is
                // nearer to it.
                outgoing.drop_notifications(context, |_| true, outbox);
                self.observers().clear();
                self.report_end(ObservationEnd::TimedOut);
            }
            self.report_held_end();
        }
        self.tidy();
    }

    /// When to call [`Endpoint::handle_timeout`] next; `None` while nothing is held.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let active = self.active.as_ref();
        let parts = [
            active.and_then(|active| active.incoming.poll_timeout()),
            active.and_then(|active| active.outgoing.poll_timeout()),
            active.and_then(|active| active.bodies.poll_timeout()),
            self.answers.poll_timeout(),
            self.lasting.as_ref().and_then(|lasting| lasting.until),
        ];
        parts.into_iter().flatten().min()
    }

    /// When the last of the stored answers expires: what remains of [`Endpoint::poll_timeout`] while nothing
    /// is in flight.
    #[must_use]
    pub fn answers_expiry(&self) -> Option<Instant> {
        self.answers.poll_timeout()
    }

    /// Replaces the contents of `message` with the next message for the peer; `false` if there is none. A
    /// message with a secret is wiped by the next call, which is to be given the same `message`.
    pub fn poll_transmit(&mut self, message: &mut Vec<u8>) -> bool {
        if let Some(active) = &mut self.active {
            let Active { outgoing, outbox, polled_secret, .. } = &mut **active;
            if std::mem::take(polled_secret) {
                message.zeroize();
            }
            while let Some(transmit) = outbox.poll_transmit() {
                message.clear();
                match transmit {
                    Transmit::Outbound { mid } => {
                        if let Some(bytes) = outgoing.bytes(mid) {
                            message.extend_from_slice(bytes);
                            *polled_secret = bytes.is_secret();
                        }
                    }
                    Transmit::Empty { kind, mid } => message.extend_from_slice(&empty_message(kind, mid)),
                    Transmit::Message(bytes) => {
                        *polled_secret = bytes.is_secret();
                        *message = bytes.take();
                    }
                }
                // Empty if an acknowledgement arrived meanwhile and ended the message.
                if !message.is_empty() {
                    return true;
                }
            }
        }
        self.tidy();
        false
    }

    /// The next event, in order of occurrence.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.active.as_mut().and_then(|active| active.outbox.poll_event());
        if event.is_none() {
            self.tidy();
        }
        event
    }

    /// Whether nothing is held: no exchange, no message, no body, no event, no stored
    /// answer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.answers.is_empty() && self.active.as_ref().is_none_or(|active| active.is_empty())
    }

    /// Type, Message ID and token of the message that opened an exchange; `None` once it is answered or
    /// expired.
    #[must_use]
    pub fn origin(&self, exchange: ExchangeId) -> Option<Origin> {
        self.active.as_ref()?.incoming.by_id(exchange).map(Exchange::origin)
    }

    /// The bytes of the request that opened an exchange: header, token, options, and its whole body; `None`
    /// once it is answered or expired.
    #[must_use]
    pub fn request_bytes(&self, exchange: ExchangeId) -> Option<usize> {
        self.active.as_ref()?.incoming.by_id(exchange).map(Exchange::request_bytes)
    }

    /// Ends everything and returns all bytes to the budget. Messages and events that were not polled are
    /// lost.
    pub fn release(&mut self, budget: &mut Budget) {
        self.answers.release(budget);
        if let Some(lasting) = &mut self.lasting {
            lasting.turned_away.release(budget);
        }
        if let Some(mut active) = self.active.take() {
            active.incoming.release(budget);
            active.outgoing.release(budget);
            active.bodies.release(budget);
        }
    }

    fn active(&mut self) -> &mut Active {
        self.active.get_or_insert_default()
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.active().outbox
    }

    /// What lasts, to which something is added that is of use for EXCHANGE_LIFETIME.
    fn lasting_until(&mut self, context: &Context<'_>) -> &mut Lasting {
        let lasting = self.lasting.get_or_insert_default();
        // Whole seconds are remembered, and rounded down.
        let until = context.now + context.params.exchange_lifetime + Duration::from_secs(2);
        lasting.until = lasting.until.max(Some(until));
        lasting
    }

    /// Frees what lasted, if its time is over.
    fn forget(&mut self, context: &mut Context<'_>) {
        let Some(lasting) = &mut self.lasting else { return };
        if lasting.until.is_none_or(|until| until > context.now) {
            return;
        }
        lasting.turned_away.release(context.budget);
        (lasting.notices, lasting.until) = (Notices::default(), None);
        if lasting.observers.is_unused() {
            self.lasting = None;
        }
    }

    fn observers(&mut self) -> &mut Observers {
        &mut self.lasting.get_or_insert_default().observers
    }

    /// Ends the registration with this token, if there is one.
    fn end_observation(&mut self, context: &mut Context<'_>, token: Token, end: ObservationEnd) {
        let Some(lasting) = &mut self.lasting else { return };
        if lasting.observers.remove(token) {
            let Active { outgoing, outbox, .. } = self.active();
            outgoing.drop_notifications(context, |other| other == token, outbox);
            self.report_end(end);
        }
    }

    /// Reports that a registration has ended. That of the last one is held back while the peer waits for the
    /// answer to a GET that may register it again: the application may have answered already, and would take
    /// the end for that of the new registration.
    fn report_end(&mut self, end: ObservationEnd) {
        self.observers().held_end = Some(end);
        self.report_held_end();
    }

    /// Reports an end that was held back, once a GET has registered the peer or none can any more.
    fn report_held_end(&mut self) {
        let Some(observers) = self.lasting.as_mut().map(|lasting| &mut lasting.observers) else { return };
        let left = observers.tokens().len();
        let may_register = self.active.as_ref().is_some_and(|active| active.incoming.may_register());
        if left == 0 && may_register {
            return;
        }
        if let Some(end) = observers.held_end.take() {
            self.outbox().event(Event::ObservationEnded { end, left });
        }
    }

    /// The Message ID of our next message. RFC 7252 4.4 forbids reusing one within its lifetime: with a peer
    /// that keeps to the limits on exchanges and requests, 65536 of them last longer than that.
    fn take_mid(&mut self) -> u16 {
        let is_waiting = |mid| self.active.as_ref().is_some_and(|active| active.outgoing.is_waiting(mid));
        let mut mid = self.next_mid;
        while is_waiting(mid) {
            mid = mid.wrapping_add(1);
        }
        self.next_mid = mid.wrapping_add(1);
        mid
    }

    fn take_serial(&mut self) -> u32 {
        let serial = self.serial;
        self.serial = serial.wrapping_add(1);
        serial
    }

    /// Frees the box of what is in flight if it is empty.
    fn tidy(&mut self) {
        if self.active.as_ref().is_some_and(|active| active.is_empty()) {
            self.active = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Code, Params, Response,
        message::{Kind, Token},
        test_clock::Bench,
    };

    /// Handles a request, and answers it by this code.
    fn serve(bench: &mut Bench, endpoint: &mut Endpoint, (method, observe): (Code, &[u8]), answer: Response) {
        let mut request = Response::new(method);
        request.options.insert(crate::OptionNumber::OBSERVE, observe);
        let request = request.to_message(Kind::Confirmable, 1, Token::default());
        endpoint.handle_message(&mut bench.context(), &request);
        let Some(Event::Request { exchange, .. }) = endpoint.poll_event() else { panic!("it is new") };
        endpoint.respond(&mut bench.context(), exchange, answer).expect("it is open");
        while endpoint.poll_transmit(&mut Vec::new()) {}
    }

    #[test]
    fn what_lasts_is_freed_after_its_time_unless_the_peer_has_observed() {
        for (method, answer, is_freed) in [
            (Code::POST, Response::new(Code::SERVICE_UNAVAILABLE), true),
            (Code::GET, Response::new(Code::TOO_MANY_REQUESTS), true),
            (Code::GET, Response::new(Code::CONTENT).option(crate::OptionNumber::OBSERVE, []), false),
        ] {
            let (mut bench, mut endpoint) = (Bench::new(Params::default()), Endpoint::new(0));
            serve(&mut bench, &mut endpoint, (method, &[]), answer);
            assert!(endpoint.lasting.is_some());
            bench.now += Duration::from_secs(300);
            assert!(endpoint.poll_timeout().is_some_and(|at| at < bench.now));
            endpoint.handle_timeout(&mut bench.context());
            assert_eq!(endpoint.lasting.is_none(), is_freed, "{method}");
            assert_eq!((endpoint.poll_timeout(), bench.budget.bytes_used()), (None, 0));
        }
    }
}
