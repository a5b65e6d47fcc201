//! What comes from the peer.

use std::time::Instant;

use super::{Active, Endpoint, Transmit};
use crate::{
    budget::Budget,
    code::Code,
    dedup::StoredAnswers,
    discard::Discard,
    event::{Event, FailureCause},
    exchange::{Exchange, ExchangeId, Stage},
    fingerprint::Fingerprint,
    message::{Kind, Message, empty_message},
    outbound::{Delivery, Outbound, Purpose},
    params::Params,
    refused::{RefusedRequest, RequestFault},
    request::Request,
    response::Response,
};

/// What an answer is taken to need when its request is admitted; typical ones have 40 to 60 bytes.
const ANSWER_BYTES_EXPECTED: usize = 64;

impl Endpoint {
    /// Takes one datagram of the peer.
    pub fn handle_message(&mut self, now: Instant, datagram: &[u8], params: &Params, budget: &mut Budget) {
        self.expire_stored(now, budget);
        match Message::parse(datagram) {
            Ok(message) => self.receive(now, &message, params, budget),
            Err(error) => {
                if let Some(mid) = error.reset_mid() {
                    self.transmit_empty(Kind::Reset, mid);
                }
                self.discard(error.fault.into());
            }
        }
    }

    fn receive(&mut self, now: Instant, message: &Message<'_>, params: &Params, budget: &mut Budget) {
        match message.kind {
            Kind::Confirmable if message.code == Code::EMPTY => {
                // RFC 7252 4.3: "CoAP ping".
                self.transmit_empty(Kind::Reset, message.mid);
                self.event(Event::Ping);
            }
            Kind::NonConfirmable if message.code == Code::EMPTY => self.discard(Discard::EmptyMalformed),
            Kind::Confirmable | Kind::NonConfirmable if self.replay(now, message, params) => {}
            Kind::Confirmable | Kind::NonConfirmable if message.code.is_request() => {
                self.receive_request(now, message, params, budget);
            }
            Kind::Confirmable | Kind::NonConfirmable => self.receive_response(now, message, params, budget),
            Kind::Acknowledgement => self.receive_acknowledgement(now, message, params, budget),
            Kind::Reset => {
                match self.take_outbound(budget, |outbound| is_on_its_way(outbound, message.mid)) {
                    Some(outbound) => {
                        self.event(outbound.failed(FailureCause::Reset));
                        self.start_queued(now, params);
                    }
                    None => self.discard(Discard::ResetUnknown),
                }
            }
        }
    }

    /// Deals with a message whose Message ID was seen before; `false` if it was not.
    ///
    /// RFC 7252 4.5: each duplicate gets the same answer, and the message is processed once. 4.3: a
    /// non-confirmable message is not acknowledged, not even one that has the Message ID of a confirmable
    /// one. Another request under the same Message ID is no duplicate, but to run it would let the duplicate
    /// of an earlier request run that follows it: the peer has to count.
    fn replay(&mut self, now: Instant, message: &Message<'_>, params: &Params) -> bool {
        let mid = message.mid;
        let may_acknowledge = message.kind == Kind::Confirmable;
        if let Some(answer) = self.stored_answer(mid) {
            let is_acknowledgement = Kind::of(answer) == Some(Kind::Acknowledgement);
            if may_acknowledge || !is_acknowledgement {
                self.transmit(Transmit::Stored { mid });
            }
            let known = self.stored.as_ref().map_or(Fingerprint::UNKNOWN, |stored| stored.request(mid));
            let reason = self.duplicate(now, message, known, params).unwrap_or(Discard::Duplicate);
            self.discard(reason);
            return true;
        }
        let mut exchanges = self.active.iter().flat_map(|active| &active.exchanges);
        let Some(exchange) = exchanges.find(|exchange| exchange.id.mid() == mid) else { return false };
        let known = exchange.fingerprint;
        if may_acknowledge && exchange.stage == Stage::Acknowledged {
            self.transmit_empty(Kind::Acknowledgement, mid);
        }
        let reason = self.duplicate(now, message, known, params).unwrap_or(Discard::DuplicateWorking);
        self.discard(reason);
        true
    }

    /// Compares a duplicate with the request whose fingerprint is `known`: what it is counted as if it is
    /// another request, which is told.
    fn duplicate(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        known: Fingerprint,
        params: &Params,
    ) -> Option<Discard> {
        if !known.differs(Fingerprint::of(message)) {
            return None;
        }
        if self.told().is_reuse_news(now, params.exchange_lifetime) {
            self.event(Event::MessageIdReused { mid: message.mid });
        }
        Some(Discard::DuplicateDiffers)
    }

    fn receive_request(&mut self, now: Instant, message: &Message<'_>, params: &Params, budget: &mut Budget) {
        let request = match Request::from_message(message, params.options_max) {
            Ok(request) => request,
            Err(fault) => return self.refuse(now, message, fault, params),
        };
        let cost = Exchange::COST + message.content_bytes();
        if let Some(reason) = self.limit_reached(cost, params, budget) {
            if request.confirmable {
                // Not stored: nothing ran, so a later copy may.
                let seconds = u32::try_from(params.retry_after.as_secs()).unwrap_or(u32::MAX);
                self.answer(message, Response::new(Code::SERVICE_UNAVAILABLE).max_age(seconds));
            }
            return self.discard(reason);
        }
        budget.charge(cost);
        let id = ExchangeId::new(self.take_serial(), message.mid);
        let active = self.active();
        active.exchanges.push(Exchange::new(now, id, message, cost, params));
        active.events.push_back(Event::Request { exchange: id, request });
    }

    /// The limit that a new request would pass, if any. Nothing is evicted for it: an answer that is forgotten
    /// before its time would let a replay of its request run.
    fn limit_reached(&self, cost: usize, params: &Params, budget: &Budget) -> Option<Discard> {
        let (open, separate) = self.active.as_ref().map_or((0, 0), |active| {
            let separate = active.outbound.iter().filter(|outbound| !outbound.is_request()).count();
            (active.exchanges.len(), separate)
        });
        let (answers, answer_bytes) =
            self.stored.as_ref().map_or((0, 0), |stored| (stored.count(), stored.bytes()));
        let expected = StoredAnswers::cost(ANSWER_BYTES_EXPECTED);
        if open + separate >= params.exchanges_open_max {
            Some(Discard::ExchangesFull)
        } else if answers + open >= params.stored_answers_max
            || answer_bytes + (open + 1) * expected > params.stored_bytes_max
        {
            Some(Discard::AnswersFull)
        } else if !budget.has_room(cost + expected) {
            Some(Discard::BudgetSpent)
        } else {
            None
        }
    }

    /// Answers a request that the application does not get to see. The answer depends on nothing but the
    /// request, so it need not be stored; a retransmission is answered again and told no more.
    fn refuse(&mut self, now: Instant, message: &Message<'_>, fault: RequestFault, params: &Params) {
        self.answer(message, fault.response());
        let request = Fingerprint::of(message);
        if !self.told().is_refusal_news(now, params.exchange_lifetime, message.mid, request) {
            return self.discard(Discard::Duplicate);
        }
        self.event(Event::Refused(Box::new(RefusedRequest::new(message, fault))));
        self.discard(fault.into());
    }

    /// Answers without keeping anything.
    fn answer(&mut self, message: &Message<'_>, response: Response) {
        let (kind, mid) = match message.kind {
            Kind::Confirmable => (Kind::Acknowledgement, message.mid),
            _ => (Kind::NonConfirmable, self.take_mid()),
        };
        let bytes = response.into_message(kind, mid, message.token);
        self.transmit(Transmit::Message(bytes));
    }

    fn receive_response(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        params: &Params,
        budget: &mut Budget,
    ) {
        let confirmable = message.kind == Kind::Confirmable;
        let Some(outbound) = self.take_outbound(budget, |outbound| outbound.is_answered_by(message.token))
        else {
            if confirmable {
                self.transmit_empty(Kind::Reset, message.mid);
            }
            return self.discard(Discard::ResponseUnexpected);
        };
        let response = Response::from_message(message);
        if confirmable {
            let kind = if response.is_ok() { Kind::Acknowledgement } else { Kind::Reset };
            self.transmit_empty(kind, message.mid);
            // A duplicate finds its token gone. It is to be acknowledged all the same, if there is room to remember that.
            let room = self.stored.as_ref().is_none_or(|stored| stored.count() < params.stored_answers_max);
            if room && budget.has_room(StoredAnswers::cost(4)) {
                let answer = empty_message(kind, message.mid);
                let response = (message.mid, Fingerprint::UNKNOWN);
                self.store_answer(now, response, now + params.exchange_lifetime, &answer, budget);
            }
        }
        self.finish_request(&outbound, response.ok(), true);
        self.start_queued(now, params);
    }

    fn receive_acknowledgement(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        params: &Params,
        budget: &mut Budget,
    ) {
        let waits = |outbound: &Outbound| is_on_its_way(outbound, message.mid);
        let Some(outbound) =
            self.active.iter_mut().flat_map(|active| &mut active.outbound).find(|it| waits(it))
        else {
            return self.discard(Discard::AcknowledgementUnknown);
        };
        match outbound.purpose {
            Purpose::Response { .. } => {
                self.take_outbound(budget, waits);
            }
            Purpose::Request { .. } if message.code == Code::EMPTY => {
                if outbound.is_outstanding() {
                    // RFC 7252 5.2.2: the response comes later, in a message of its own.
                    budget.refund(outbound.bytes.len());
                    outbound.bytes = Vec::new();
                    outbound.delivery =
                        Delivery::AwaitingResponse { deadline: now + params.exchange_lifetime };
                } else {
                    self.discard(Discard::AcknowledgementUnknown);
                }
            }
            Purpose::Request { token, .. } if token == message.token => {
                if let Some(outbound) = self.take_outbound(budget, waits) {
                    self.finish_request(&outbound, Response::from_message(message).ok(), false);
                }
            }
            // RFC 7252 5.3.2: the token of a piggybacked response must match too.
            Purpose::Request { .. } => self.discard(Discard::AcknowledgementUnknown),
        }
        self.start_queued(now, params);
    }

    /// Tells the user about the end of a request; `response` is `None` if it could not be read.
    fn finish_request(&mut self, outbound: &Outbound, response: Option<Response>, separate: bool) {
        match (outbound.purpose, response) {
            (Purpose::Request { id, .. }, Some(response)) => {
                self.event(Event::Response { id, response, separate });
            }
            _ => {
                let Active { events, .. } = self.active();
                events.push_back(outbound.failed(FailureCause::ResponseUnreadable));
                events.push_back(Event::Discarded(Discard::ResponseUnreadable));
            }
        }
    }
}

/// Whether `outbound` is a message that was sent with this Message ID.
fn is_on_its_way(outbound: &Outbound, mid: u16) -> bool {
    outbound.mid == mid && outbound.delivery != Delivery::Queued
}
