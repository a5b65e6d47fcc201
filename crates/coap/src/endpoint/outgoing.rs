//! Our messages that wait for something from the peer: requests, confirmable responses of their own, and
//! notifications (RFC 7252, sections 4.2, 4.7, 4.8 and 5.2.2; RFC 7641, section 4.5). Each is an
//! [`Outbound`], whose stages are described there.
//!
//! Limits: [`crate::Params::nstart`] messages are on their way at once, the others wait in order; the caller
//! limits how many may wait.

use std::time::Instant;

use super::outbox::{Outbox, Transmit};
use crate::{
    budget::Budget,
    code::Code,
    context::Context,
    discard::Discard,
    event::{Event, FailureCause},
    message::{Message, Token},
    outbound::{Delivery, Due, Outbound, Purpose},
    payload::Payload,
    response::Response,
};

/// The waiting messages of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    messages: Vec<Outbound>,
}

impl Outgoing {
    /// Adds a message, and sends it when NSTART permits, unless it was already sent.
    pub(super) fn add(&mut self, context: &mut Context<'_>, outbound: Outbound, outbox: &mut Outbox) {
        context.budget.charge(Outbound::cost(outbound.bytes.len()));
        self.messages.push(outbound);
        self.start_queued(context, outbox);
    }

    /// Adds a notification, in the place of one to the same observer that is still queued.
    pub(super) fn notify(
        &mut self,
        context: &mut Context<'_>,
        (mid, token): (u16, Token),
        bytes: Payload,
        outbox: &mut Outbox,
    ) {
        let purpose = Purpose::Notification { token };
        self.remove(context.budget, |it| it.delivery == Delivery::Queued && it.purpose == purpose);
        self.add(context, Outbound { mid, purpose, delivery: Delivery::Queued, bytes }, outbox);
    }

    /// Removes the notifications to these observers, and sends what waited behind them.
    pub(super) fn drop_notifications(
        &mut self,
        context: &mut Context<'_>,
        is_gone: impl Fn(Token) -> bool,
        outbox: &mut Outbox,
    ) {
        self.remove(context.budget, |outbound| match outbound.purpose {
            Purpose::Notification { token } => is_gone(token),
            Purpose::Request { .. } | Purpose::Response { .. } => false,
        });
        self.start_queued(context, outbox);
    }

    /// Ends the message with this Message ID, which the peer rejected. Returns the token of its observer if
    /// it was a notification.
    pub(super) fn handle_reset(
        &mut self,
        context: &mut Context<'_>,
        mid: u16,
        outbox: &mut Outbox,
    ) -> Option<Token> {
        let Some(outbound) = self.take(context.budget, |outbound| is_on_its_way(outbound, mid)) else {
            outbox.discard(Discard::ResetUnknown);
            return None;
        };
        outbound.failure_event(FailureCause::Reset).into_iter().for_each(|event| outbox.event(event));
        self.start_queued(context, outbox);
        match outbound.purpose {
            Purpose::Notification { token } => Some(token),
            Purpose::Request { .. } | Purpose::Response { .. } => None,
        }
    }

    /// Handles an acknowledgement of one of our messages, which may hold the response.
    pub(super) fn handle_acknowledgement(
        &mut self,
        context: &mut Context<'_>,
        message: &Message<'_>,
        outbox: &mut Outbox,
    ) {
        let waits = |outbound: &Outbound| is_on_its_way(outbound, message.mid);
        let Some(outbound) = self.messages.iter_mut().find(|outbound| waits(outbound)) else {
            return outbox.discard(Discard::AcknowledgementUnknown);
        };
        match outbound.purpose {
            Purpose::Response { .. } | Purpose::Notification { .. } => {
                self.take(context.budget, waits);
            }
            Purpose::Request { .. } if message.code == Code::EMPTY => {
                if outbound.is_outstanding() {
                    // RFC 7252 5.2.2: the response comes later, in a message of its own.
                    context.budget.refund(outbound.bytes.len());
                    outbound.bytes = Payload::new();
                    let deadline = context.now + context.params.exchange_lifetime;
                    outbound.delivery = Delivery::AwaitingResponse { deadline };
                } else {
                    outbox.discard(Discard::AcknowledgementUnknown);
                }
            }
            Purpose::Request { token, .. } if token == message.token => {
                if let Some(outbound) = self.take(context.budget, waits) {
                    finish_request(&outbound, Response::from_message(message).ok(), false, outbox);
                }
            }
            // RFC 7252 5.3.2: the token of a piggybacked response must match too.
            Purpose::Request { .. } => outbox.discard(Discard::AcknowledgementUnknown),
        }
        self.start_queued(context, outbox);
    }

    /// Removes the request that a response with this token answers.
    pub(super) fn take_answered(&mut self, context: &mut Context<'_>, token: Token) -> Option<Outbound> {
        self.take(context.budget, |outbound| outbound.is_answered_by(token))
    }

    /// Ends a request with a response in a message of its own; `None` if that could not be read.
    pub(super) fn finish_separately(
        &mut self,
        context: &mut Context<'_>,
        request: &Outbound,
        response: Option<Response>,
        outbox: &mut Outbox,
    ) {
        finish_request(request, response, true, outbox);
        self.start_queued(context, outbox);
    }

    /// Retransmits what was not acknowledged, and gives up what has waited too long. Returns whether a
    /// notification was given up.
    pub(super) fn handle_timeout(&mut self, context: &mut Context<'_>, outbox: &mut Outbox) -> bool {
        let mut is_dead = false;
        self.messages.retain_mut(|outbound| match outbound.handle_timeout(context.now, context.params) {
            Due::Nothing => true,
            Due::Retransmit => {
                outbox.transmit(Transmit::Outbound { mid: outbound.mid });
                true
            }
            Due::GiveUp => {
                context.budget.refund(Outbound::cost(outbound.bytes.len()));
                match outbound.failure_event(FailureCause::TimedOut) {
                    Some(event) => outbox.event(event),
                    None => is_dead = true,
                }
                false
            }
        });
        self.start_queued(context, outbox);
        is_dead
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.messages.iter().filter_map(Outbound::deadline).min()
    }

    /// The message with this Message ID; `None` or empty once it needs no retransmission.
    pub(super) fn bytes(&self, mid: u16) -> Option<&Payload> {
        self.messages.iter().find(|outbound| outbound.mid == mid).map(|outbound| &outbound.bytes)
    }

    /// Whether a message with this Message ID waits.
    pub(super) fn is_waiting(&self, mid: u16) -> bool {
        self.messages.iter().any(|outbound| outbound.mid == mid)
    }

    /// How many requests wait.
    pub(super) fn requests(&self) -> usize {
        self.messages.iter().filter(|outbound| outbound.is_request()).count()
    }

    /// How many responses wait.
    pub(super) fn responses(&self) -> usize {
        let is_response = |outbound: &&Outbound| matches!(outbound.purpose, Purpose::Response { .. });
        self.messages.iter().filter(is_response).count()
    }

    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns all its bytes to the budget.
    pub(super) fn release(&mut self, budget: &mut Budget) {
        budget.refund(self.messages.drain(..).map(|outbound| Outbound::cost(outbound.bytes.len())).sum());
    }

    /// Sends as many queued messages as NSTART permits.
    fn start_queued(&mut self, context: &Context<'_>, outbox: &mut Outbox) {
        let outstanding = self.messages.iter().filter(|outbound| outbound.is_outstanding()).count();
        let queued = self.messages.iter_mut().filter(|outbound| outbound.delivery == Delivery::Queued);
        for outbound in queued.take(context.params.nstart.saturating_sub(outstanding)) {
            outbound.start(context.now, context.params);
            outbox.transmit(Transmit::Outbound { mid: outbound.mid });
        }
    }

    /// Removes messages and refunds them.
    fn remove(&mut self, budget: &mut Budget, is_gone: impl Fn(&Outbound) -> bool) {
        self.messages.retain(|outbound| {
            let is_gone = is_gone(outbound);
            if is_gone {
                budget.refund(Outbound::cost(outbound.bytes.len()));
            }
            !is_gone
        });
    }

    /// Removes a message and refunds it.
    fn take(&mut self, budget: &mut Budget, is_it: impl Fn(&Outbound) -> bool) -> Option<Outbound> {
        let index = self.messages.iter().position(is_it)?;
        let outbound = self.messages.remove(index);
        budget.refund(Outbound::cost(outbound.bytes.len()));
        Some(outbound)
    }
}

/// Reports the end of a request; `response` is `None` if it could not be read.
fn finish_request(request: &Outbound, response: Option<Response>, separate: bool, outbox: &mut Outbox) {
    match (request.purpose, response) {
        (Purpose::Request { id, .. }, Some(response)) => {
            outbox.event(Event::Response { id, response, separate });
        }
        _ => {
            let failed = request.failure_event(FailureCause::ResponseUnreadable);
            failed.into_iter().for_each(|event| outbox.event(event));
            outbox.discard(Discard::ResponseUnreadable);
        }
    }
}

/// Whether `outbound` is a message that was sent with this Message ID.
fn is_on_its_way(outbound: &Outbound, mid: u16) -> bool {
    outbound.mid == mid && outbound.delivery != Delivery::Queued
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outbound::RequestId, params::Params, test_clock::Bench};

    fn request(number: u32) -> Outbound {
        let purpose = Purpose::Request { id: RequestId(number), token: Token::from(number) };
        Outbound {
            mid: number as u16,
            purpose,
            delivery: Delivery::Queued,
            bytes: vec![number as u8; 8].into(),
        }
    }

    /// Three requests, of which NSTART permits the first.
    fn waiting() -> (Bench, Outgoing, Outbox) {
        let (mut bench, mut outgoing, mut outbox) =
            (Bench::new(Params::default()), Outgoing::default(), Outbox::default());
        for number in 1..=3 {
            outgoing.add(&mut bench.context(), request(number), &mut outbox);
        }
        assert_eq!(started(&mut outbox), [1]);
        (bench, outgoing, outbox)
    }

    /// The Message IDs of what is sent.
    fn started(outbox: &mut Outbox) -> Vec<u16> {
        let transmits = std::iter::from_fn(|| outbox.poll_transmit());
        transmits
            .filter_map(|it| if let Transmit::Outbound { mid } = it { Some(mid) } else { None })
            .collect()
    }

    #[test]
    fn messages_go_one_after_the_other_in_their_order() {
        let (mut bench, mut outgoing, mut outbox) = waiting();
        let bytes = [0x60, 0, 0, 1];
        let acknowledgement = Message::parse(&bytes).expect("an empty acknowledgement");
        outgoing.handle_acknowledgement(&mut bench.context(), &acknowledgement, &mut outbox);
        assert_eq!((started(&mut outbox), outgoing.bytes(1)), (vec![2], Some(&Payload::new())));
        outgoing.handle_reset(&mut bench.context(), 3, &mut outbox);
        assert_eq!(outbox.poll_event(), Some(Event::Discarded(Discard::ResetUnknown)), "it was not sent yet");
        outgoing.handle_reset(&mut bench.context(), 2, &mut outbox);
        assert_eq!(started(&mut outbox), [3]);
        assert_eq!((outgoing.requests(), outgoing.responses()), (2, 0));
    }

    #[test]
    fn whatever_becomes_of_a_message_its_bytes_go_back_to_the_budget() {
        let (mut bench, mut outgoing, mut outbox) = waiting();
        let request = outgoing.take_answered(&mut bench.context(), Token::from(1)).expect("it was sent");
        outgoing.finish_separately(&mut bench.context(), &request, None, &mut outbox);
        assert_eq!(outgoing.take_answered(&mut bench.context(), Token::from(3)).map(|it| it.mid), None);
        while let Some(deadline) = outgoing.poll_timeout() {
            bench.now = deadline;
            outgoing.handle_timeout(&mut bench.context(), &mut outbox);
        }
        assert_eq!(started(&mut outbox), [2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
        assert_eq!((outgoing.is_empty(), bench.budget.bytes_used()), (true, 0));
        let (mut bench, mut outgoing, _) = waiting();
        outgoing.release(&mut bench.budget);
        assert_eq!((outgoing.is_empty(), bench.budget.bytes_used()), (true, 0));
    }
}
