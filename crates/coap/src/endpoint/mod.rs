//! One side of one association: the message layer for server and client.
//!
//! What an endpoint holds is split by how long it holds it. The answers kept for duplicates stay for minutes in nearly every session and are
//! packed ([`crate::dedup`]). Everything that is in flight stays for milliseconds, and its box is freed when the last of it is gone.
//!
//! | limit | at it |
//! |---|---|
//! | stored answers, their bytes, open exchanges, budget | a new request gets 5.03 with Max-Age if confirmable, else nothing; neither is remembered |
//! | our own requests | [`RequestError::QueueFull`] |
//! | size of our messages | [`RespondError::TooLarge`], [`RequestError::TooLarge`] |

mod receive;
mod send;
mod told;

use std::{collections::VecDeque, time::Instant};

pub use send::{RequestError, RespondError};

use self::told::Told;
use crate::{
    budget::Budget,
    dedup::StoredAnswers,
    discard::Discard,
    event::{Event, FailureCause},
    exchange::{Exchange, ExchangeId, Origin, Stage},
    fingerprint::Fingerprint,
    message::{Kind, empty_message},
    outbound::{Due, Outbound},
    params::Params,
};

/// One side of one association. After every call, events and messages are to be drained.
///
/// Beside what [`Endpoint::is_idle`] asks about it remembers, in some 50 bytes, what was told of its peer.
///
/// All methods of one endpoint must be given the same [`Budget`], and [`Endpoint::release`] must be called before it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    stored: Option<Box<StoredAnswers>>,
    active: Option<Box<Active>>,
    /// Counts exchanges and requests; half of what names each.
    serial: u32,
    next_mid: u16,
    /// In a box of its own, because few peers give rise to it.
    told: Option<Box<Told>>,
}

const _: () = assert!(size_of::<Endpoint>() <= 32, "there is one in each of a million sessions");

/// What is in flight.
#[derive(Debug, Default)]
struct Active {
    exchanges: Vec<Exchange>,
    outbound: Vec<Outbound>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

/// A message that waits to be taken by [`Endpoint::poll_transmit`]. Bytes that lie somewhere else are not copied before that.
#[derive(Debug)]
enum Transmit {
    /// The stored answer to this Message ID of the peer.
    Stored { mid: u16 },
    /// A message of ours that waits for an acknowledgement.
    Outbound { mid: u16 },
    /// A message without content.
    Empty { kind: Kind, mid: u16 },
    /// Any other.
    Message(Vec<u8>),
}

impl Active {
    fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
            && self.outbound.is_empty()
            && self.transmits.is_empty()
            && self.events.is_empty()
    }
}

impl Endpoint {
    /// An endpoint whose first own message has this Message ID; RFC 7252 4.4 advises a random one.
    #[must_use]
    pub const fn new(first_mid: u16) -> Self {
        Self { stored: None, active: None, serial: 0, next_mid: first_mid, told: None }
    }

    /// Does what is due: acknowledges requests that take long, sends again, gives up, forgets answers whose time is over.
    pub fn handle_timeout(&mut self, now: Instant, params: &Params, budget: &mut Budget) {
        self.expire_stored(now, budget);
        self.handle_exchange_timeouts(now, budget);
        self.handle_outbound_timeouts(now, params, budget);
        self.start_queued(now, params);
        self.tidy();
    }

    /// When to call [`Endpoint::handle_timeout`] next; `None` while nothing is held.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let active = self.active.iter().flat_map(|active| {
            let exchanges = active.exchanges.iter().map(Exchange::deadline);
            exchanges.chain(active.outbound.iter().filter_map(Outbound::deadline))
        });
        active.chain(self.stored.iter().map(|stored| stored.latest_expiry())).min()
    }

    /// When the last of the stored answers expires: what remains of [`Endpoint::poll_timeout`] while nothing is in
    /// flight.
    #[must_use]
    pub fn answers_expiry(&self) -> Option<Instant> {
        self.stored.as_ref().map(|stored| stored.latest_expiry())
    }

    /// Replaces the content of `message` by the next message for the peer; `false` if there is none.
    pub fn poll_transmit(&mut self, message: &mut Vec<u8>) -> bool {
        while let Some(transmit) = self.active.as_mut().and_then(|active| active.transmits.pop_front()) {
            message.clear();
            match transmit {
                Transmit::Stored { mid } => {
                    message.extend_from_slice(self.stored_answer(mid).unwrap_or_default());
                }
                Transmit::Outbound { mid } => {
                    let outbound = self.active.iter().flat_map(|active| &active.outbound);
                    message.extend(
                        outbound.filter(|outbound| outbound.mid == mid).flat_map(|outbound| &outbound.bytes),
                    );
                }
                Transmit::Empty { kind, mid } => message.extend_from_slice(&empty_message(kind, mid)),
                Transmit::Message(bytes) => *message = bytes,
            }
            // An acknowledgement that came in between can have taken the message away.
            if !message.is_empty() {
                return true;
            }
        }
        self.tidy();
        false
    }

    /// The next event, in the order in which they happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.active.as_mut().and_then(|active| active.events.pop_front());
        if event.is_none() {
            self.tidy();
        }
        event
    }

    /// Whether nothing is held: no exchange, no message, no event, no stored answer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.stored.is_none() && self.active.as_ref().is_none_or(|active| active.is_empty())
    }

    /// Type, Message ID and token of the message that opened an exchange; `None` once it is answered or expired.
    #[must_use]
    pub fn origin(&self, exchange: ExchangeId) -> Option<Origin> {
        let mut exchanges = self.active.iter().flat_map(|active| &active.exchanges);
        exchanges.find(|open| open.id == exchange).map(Exchange::origin)
    }

    /// Ends everything and gives what was held back to the budget. Messages and events that were not taken are lost.
    pub fn release(&mut self, budget: &mut Budget) {
        if let Some(stored) = self.stored.take() {
            budget.refund(stored.bytes());
        }
        if let Some(active) = self.active.take() {
            budget.refund(active.exchanges.iter().map(|exchange| exchange.cost).sum());
            budget.refund(active.outbound.iter().map(|outbound| Outbound::cost(outbound.bytes.len())).sum());
        }
    }

    fn handle_exchange_timeouts(&mut self, now: Instant, budget: &mut Budget) {
        let Some(active) = &mut self.active else { return };
        let Active { exchanges, transmits, events, .. } = &mut **active;
        exchanges.retain_mut(|exchange| {
            match exchange.stage {
                Stage::Fresh { acknowledge_at } if acknowledge_at <= now => {
                    // RFC 7252 5.2.2: the acknowledgement goes alone when the response takes long.
                    exchange.stage = Stage::Acknowledged;
                    transmits
                        .push_back(Transmit::Empty { kind: Kind::Acknowledgement, mid: exchange.id.mid() });
                }
                _ => {}
            }
            let is_open = now < exchange.expires;
            if !is_open {
                budget.refund(exchange.cost);
                events.push_back(Event::Discarded(Discard::ExchangeUnanswered));
            }
            is_open
        });
    }

    fn handle_outbound_timeouts(&mut self, now: Instant, params: &Params, budget: &mut Budget) {
        let Some(active) = &mut self.active else { return };
        let Active { outbound, transmits, events, .. } = &mut **active;
        outbound.retain_mut(|outbound| match outbound.handle_timeout(now, params) {
            Due::Nothing => true,
            Due::Retransmit => {
                transmits.push_back(Transmit::Outbound { mid: outbound.mid });
                true
            }
            Due::GiveUp => {
                budget.refund(Outbound::cost(outbound.bytes.len()));
                events.push_back(outbound.failed(FailureCause::TimedOut));
                false
            }
        });
    }

    /// Sends queued messages as far as NSTART permits.
    fn start_queued(&mut self, now: Instant, params: &Params) {
        let Some(active) = &mut self.active else { return };
        let Active { outbound, transmits, .. } = &mut **active;
        let outstanding = outbound.iter().filter(|outbound| outbound.is_outstanding()).count();
        let queued = outbound.iter_mut().filter(|outbound| outbound.deadline().is_none());
        for outbound in queued.take(params.nstart.saturating_sub(outstanding)) {
            outbound.start(now, params);
            transmits.push_back(Transmit::Outbound { mid: outbound.mid });
        }
    }

    /// Takes a message of ours away and refunds it.
    fn take_outbound(&mut self, budget: &mut Budget, is_it: impl Fn(&Outbound) -> bool) -> Option<Outbound> {
        let active = self.active.as_mut()?;
        let index = active.outbound.iter().position(is_it)?;
        let outbound = active.outbound.remove(index);
        budget.refund(Outbound::cost(outbound.bytes.len()));
        Some(outbound)
    }

    fn expire_stored(&mut self, now: Instant, budget: &mut Budget) {
        if let Some(stored) = &mut self.stored {
            budget.refund(stored.expire(now));
        }
        if self.stored.as_ref().is_some_and(|stored| stored.is_empty()) {
            self.stored = None;
        }
    }

    fn stored_answer(&self, mid: u16) -> Option<&[u8]> {
        self.stored.as_ref()?.find(mid)
    }

    fn store_answer(
        &mut self,
        now: Instant,
        (mid, request): (u16, Fingerprint),
        expires: Instant,
        answer: &[u8],
        budget: &mut Budget,
    ) {
        let stored = self.stored.get_or_insert_with(|| Box::new(StoredAnswers::new(now)));
        budget.charge(stored.insert(mid, request, expires, answer));
    }

    fn told(&mut self) -> &mut Told {
        self.told.get_or_insert_default()
    }

    fn active(&mut self) -> &mut Active {
        self.active.get_or_insert_default()
    }

    fn transmit(&mut self, transmit: Transmit) {
        self.active().transmits.push_back(transmit);
    }

    fn transmit_empty(&mut self, kind: Kind, mid: u16) {
        self.transmit(Transmit::Empty { kind, mid });
    }

    fn event(&mut self, event: Event) {
        self.active().events.push_back(event);
    }

    fn discard(&mut self, reason: Discard) {
        self.event(Event::Discarded(reason));
    }

    /// The Message ID for the next message of ours. RFC 7252 4.4 forbids to use one again within its lifetime: with a peer that keeps to
    /// the limits on exchanges and requests, 65536 of them last longer than that.
    fn take_mid(&mut self) -> u16 {
        let is_waiting =
            |mid| self.active.iter().flat_map(|active| &active.outbound).any(|outbound| outbound.mid == mid);
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

    /// Frees the box of what is in flight when nothing is.
    fn tidy(&mut self) {
        if self.active.as_ref().is_some_and(|active| active.is_empty()) {
            self.active = None;
        }
    }
}
