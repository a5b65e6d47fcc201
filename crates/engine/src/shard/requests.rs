//! Passes the requests of a session to the platform, and the answers back.
//!
//! Records of a session may be as short as 512 bytes (RFC 6066, section 4), and datagrams are short as well:
//! a longer answer goes in blocks (RFC 7959). One that does not fit even so, an error's, is sent shorter. A
//! request always gets some answer; otherwise its device would send it again and again.

use std::time::Instant;

use narrowgate_coap::{Code, Context, Discard, Event, Payload, Request, RespondError, Response};
use narrowgate_dtls::SealError;

use super::{Shard, stats::Counter, table::Row};
use crate::event::{CloseCause, SessionId, ShardEvent, Ticket};

/// Max-Age of a 5.03 at a limit, seconds.
pub(super) const BUSY_MAX_AGE_S: u32 = 5;

impl Shard {
    /// Passes on the events of the CoAP endpoint; returns whether a request was among them. Requests that are
    /// not permitted are answered by when they are.
    pub(super) fn deliver(&mut self, now: Instant, session: SessionId, permitted: Result<(), u32>) -> bool {
        let mut asked = false;
        loop {
            let Some(row) = self.sessions.at(session) else { return asked };
            match row.session.endpoint.poll_event() {
                None => return asked,
                Some(Event::Request { exchange, request }) => {
                    let ticket = Ticket { session, exchange };
                    match permitted {
                        Ok(()) => asked |= self.hand_over(now, ticket, request),
                        Err(wait_s) => {
                            // A flood of these is answered here, and nobody else hears of each.
                            self.hold_back(now, ticket, wait_s);
                            asked = true;
                        }
                    }
                }
                Some(Event::Refused(refused)) => {
                    self.events.push_back(ShardEvent::RequestRefused { session, refused });
                }
                Some(Event::MessageIdReused { mid, within }) => {
                    self.events.push_back(ShardEvent::MessageIdReused { session, mid, within });
                }
                Some(Event::Discarded(discard)) => {
                    self.stats.count_coap(discard);
                    if let (Discard::HeldBack, Err(wait_s)) = (discard, permitted) {
                        self.note_held_back(session, wait_s);
                        asked = true;
                    }
                    // We sent no request, so a response is a request with the wrong code.
                    if discard.is_malformed() || discard == Discard::ResponseUnexpected {
                        self.events.push_back(ShardEvent::Malformed { session, fault: discard });
                    }
                }
                Some(Event::ObservationEnded { end, left }) => self.end_observation(session, end, left),
                // Ignored: nothing here sends requests of its own, so no other event matters.
                Some(_) => {}
            }
        }
    }

    /// Passes a request to the platform; at the limit it is answered with 5.03, and the return value is
    /// false.
    fn hand_over(&mut self, now: Instant, ticket: Ticket, request: Request) -> bool {
        let Some(Row { session, .. }) = self.sessions.at(ticket.session) else { return false };
        if self.requests_in_flight >= self.config.requests_in_flight_max {
            self.stats.count(Counter::RequestsBusy);
            let busy = Response::new(Code::SERVICE_UNAVAILABLE).max_age(BUSY_MAX_AGE_S);
            let params = self.profiles.of(session.endpoint.profile());
            let mut context = Context { now, params, budget: &mut self.budget };
            if session.endpoint.respond(&mut context, ticket.exchange, busy).is_err() {
                self.stats.count(Counter::ResponsesLate);
            }
            return false;
        }
        session.in_flight += 1;
        self.requests_in_flight += 1;
        self.stats.count(Counter::Requests);
        self.events.push_back(ShardEvent::Request { ticket, request });
        true
    }

    /// Seals and queues the messages of the CoAP endpoint.
    pub(super) fn transmit(&mut self, session: SessionId) {
        let Self { sessions, scratch, outbox, random, stats, config, .. } = self;
        let Some(row) = sessions.at(session) else { return };
        while row.session.endpoint.poll_transmit(scratch) {
            row.session.spent.send(config.device_bytes, scratch.len());
            match outbox.push_with(row.path(), |out| row.session.channel.seal(scratch, random, out)) {
                Ok(()) => {}
                Err(SealError::TooLarge { .. }) => stats.count(Counter::MessagesTooLarge),
                // No number is left that may be used, and numbers never wrap: nothing more can be sent.
                Err(SealError::SequenceExhausted | SealError::NotReserved) => {
                    return self.close(session, CloseCause::Abuse);
                }
            }
        }
    }

    /// Handles the platform's response to a request.
    pub(super) fn respond(&mut self, now: Instant, ticket: Ticket, response: Response) {
        let Some(row) = self.sessions.at(ticket.session) else {
            return self.stats.count(Counter::ResponsesLate);
        };
        let established = &mut row.session;
        // A second response to a request finds its exchange closed below; where nothing is in flight, it must
        // not take off anything either.
        if let Some(in_flight) = established.in_flight.checked_sub(1) {
            established.in_flight = in_flight;
            self.requests_in_flight -= 1;
        }
        let mut code = response.code;
        let is_success = code.class() < 4;
        let spent = established.spent;
        // Asked before it is answered, with which its exchange ends.
        let asked_by = response.is_block().then(|| established.endpoint.request_bytes(ticket.exchange));
        let shorter = shorter(&response);
        let params =
            self.profiles.within(established.endpoint.profile(), established.channel.message_bytes_max());
        let mut context = Context { now, params: &params, budget: &mut self.budget };
        let mut respond = |response| established.endpoint.respond(&mut context, ticket.exchange, response);
        let mut sent = respond(response);
        if let Err(RespondError::TooLarge { bytes, bytes_max }) = sent {
            self.stats.count(Counter::MessagesTooLarge);
            code = shorter.code;
            sent = respond(shorter);
            // An error keeps its code; a success has become a failure.
            if is_success {
                let session = ticket.session;
                self.events.push_back(ShardEvent::AnswerTooLarge { session, bytes, bytes_max });
            }
        }
        match sent {
            Ok(_) => self.stats.count_response(code),
            Err(_) => self.stats.count(Counter::ResponsesLate),
        }
        self.transmit(ticket.session);
        if let Some(bytes) = asked_by.flatten() {
            self.forgive(ticket.session, spent, bytes);
        }
        self.arm_session(now, ticket.session);
    }
}

/// The answer if `response` does not fit. The code of an error says enough, so its payload may be left out
/// (RFC 7252, section 5.5.2); a success without its content would be a different answer, so it becomes a
/// 5.00.
fn shorter(response: &Response) -> Response {
    if response.code.class() < 4 {
        return Response::new(Code::INTERNAL_SERVER_ERROR);
    }
    Response { code: response.code, options: response.options.clone(), payload: Payload::new() }
}
