//! The peer's requests that the application works on: opened on arrival, acknowledged if the answer takes
//! long, closed with the answer or at the end of their lifetime (RFC 7252, sections 4.5 and 5.2). Each is an
//! [`Exchange`], whose stages are described there.
//!
//! Limit: [`crate::Params::exchanges_open_max`], enforced by the caller that opens them.

use std::time::Instant;

use super::outbox::Outbox;
use crate::{
    budget::Budget,
    context::Context,
    discard::Discard,
    exchange::{Exchange, ExchangeId, Stage, Wish},
    fingerprint::Digest,
    message::{Kind, Message},
};

/// The open exchanges of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    exchanges: Vec<Exchange>,
    /// The serial number of the newest request that changes something, while any is open.
    pub(super) newest: Option<u32>,
}

impl Incoming {
    /// What the request in this message costs the budget while it is open, if its body has `body_bytes`.
    pub(super) const fn cost(message: &Message<'_>, body_bytes: usize) -> usize {
        Exchange::COST + message.options_bytes().len() + body_bytes
    }

    /// Opens an exchange for the request in a message with this digest, whose body has `body_bytes`.
    pub(super) fn open(
        &mut self,
        context: &mut Context<'_>,
        id: ExchangeId,
        (message, digest): (&Message<'_>, Digest),
        (body_bytes, wish): (usize, Wish),
    ) {
        let cost = Self::cost(message, body_bytes);
        context.budget.charge(cost);
        self.exchanges.push(Exchange::new(context.now, id, (message, digest), (cost, wish), context.params));
    }

    /// The exchange whose request has this Message ID.
    pub(super) fn find(&self, mid: u16) -> Option<&Exchange> {
        self.exchanges.iter().find(|exchange| exchange.id.mid() == mid)
    }

    /// The exchange with this id, even if it has expired and no timeout was handled since.
    pub(super) fn by_id(&self, id: ExchangeId) -> Option<&Exchange> {
        self.exchanges.iter().find(|exchange| exchange.id == id)
    }

    /// Closes an exchange that was answered.
    pub(super) fn close(&mut self, context: &mut Context<'_>, id: ExchangeId) {
        if let Some(index) = self.exchanges.iter().position(|exchange| exchange.id == id) {
            context.budget.refund(self.exchanges.remove(index).cost);
        }
    }

    /// Acknowledges the requests that take long, and closes those that have expired.
    pub(super) fn handle_timeout(&mut self, context: &mut Context<'_>, outbox: &mut Outbox) {
        let now = context.now;
        self.exchanges.retain_mut(|exchange| {
            match exchange.stage {
                Stage::Fresh { acknowledge_at } if acknowledge_at <= now => {
                    // RFC 7252 5.2.2: an empty acknowledgement is sent if the response takes long.
                    exchange.stage = Stage::Acknowledged;
                    outbox.transmit_empty(Kind::Acknowledgement, exchange.id.mid());
                }
                _ => {}
            }
            let is_open = now < exchange.expires;
            if !is_open {
                context.budget.refund(exchange.cost);
                outbox.discard(Discard::ExchangeUnanswered);
            }
            is_open
        });
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.exchanges.iter().map(Exchange::deadline).min()
    }

    /// All that are open.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter()
    }

    /// Whether the answer to one of them may register the peer as an observer.
    pub(super) fn may_register(&self) -> bool {
        self.exchanges.iter().any(|exchange| exchange.wish.observes)
    }

    /// How many are open.
    pub(super) const fn count(&self) -> usize {
        self.exchanges.len()
    }

    /// Returns all its bytes to the budget.
    pub(super) fn release(&mut self, budget: &mut Budget) {
        budget.refund(self.exchanges.drain(..).map(|exchange| exchange.cost).sum());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        endpoint::outbox::Transmit,
        event::Event,
        params::Params,
        test_clock::{Bench, start},
    };

    /// A GET with this first byte, opened at the start.
    fn opened(bench: &mut Bench, first: u8) -> (Incoming, ExchangeId) {
        let (mut incoming, id) = (Incoming::default(), ExchangeId::new(0, 1, 0));
        let bytes = [first, 1, 0, 1];
        let message = Message::parse(&bytes).expect("a GET");
        let digest = Digest::of(&message);
        incoming.open(&mut bench.context(), id, (&message, digest), (0, Wish::default()));
        (incoming, id)
    }

    #[test]
    fn a_confirmable_request_is_acknowledged_once_and_ends_with_its_lifetime() {
        let mut bench = Bench::new(Params::default());
        let (mut incoming, id) = opened(&mut bench, 0x40);
        let mut outbox = Outbox::default();
        assert_eq!(incoming.poll_timeout(), Some(start() + Duration::from_secs(2)));
        bench.now += Duration::from_secs(2);
        for _ in 0..2 {
            incoming.handle_timeout(&mut bench.context(), &mut outbox);
        }
        let acknowledgement = Transmit::Empty { kind: Kind::Acknowledgement, mid: 1 };
        assert_eq!((outbox.poll_transmit(), outbox.poll_transmit()), (Some(acknowledgement), None));
        assert_eq!(incoming.by_id(id).map(|exchange| exchange.stage), Some(Stage::Acknowledged));
        assert_eq!(incoming.poll_timeout(), Some(start() + Duration::from_secs(247)));
        bench.now = start() + Duration::from_secs(247);
        incoming.handle_timeout(&mut bench.context(), &mut outbox);
        assert_eq!(outbox.poll_event(), Some(Event::Discarded(Discard::ExchangeUnanswered)));
        assert_eq!((incoming.count(), bench.budget.bytes_used()), (0, 0));
    }

    #[test]
    fn a_non_confirmable_request_is_never_acknowledged_and_gives_its_bytes_back_when_closed() {
        let mut bench = Bench::new(Params::default());
        let (mut incoming, id) = opened(&mut bench, 0x50);
        assert_eq!(incoming.poll_timeout(), Some(start() + Duration::from_secs(145)));
        assert!(incoming.find(1).is_some() && incoming.find(2).is_none());
        assert!(bench.budget.bytes_used() > 0);
        incoming.close(&mut bench.context(), id);
        assert_eq!((incoming.count(), bench.budget.bytes_used()), (0, 0));
    }
}
