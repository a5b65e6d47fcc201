//! Handles what comes from the peer.

use super::{Active, Endpoint, bodies::Outcome, incoming::Incoming, outbox::Transmit, turned_away::newest};
use crate::{
    block::BlockOptions,
    cache_key::CacheKey,
    code::Code,
    context::Context,
    dedup::Asked,
    discard::Discard,
    event::{Event, ObservationEnd},
    exchange::{ExchangeId, Stage, Wish},
    fingerprint::{Digest, Fingerprint},
    message::{Kind, Message, empty_message},
    option::OptionNumber,
    payload::Payload,
    refused::{RefusedRequest, RequestFault},
    request::Request,
    response::Response,
};

/// Values of Observe in a request (RFC 7641, section 2); others mean nothing.
const REGISTER: u32 = 0;
const DEREGISTER: u32 = 1;

impl Endpoint {
    /// Handles one datagram from the peer.
    pub fn handle_message(&mut self, context: &mut Context<'_>, datagram: &[u8]) {
        self.handle(context, datagram, None);
    }

    /// Handles one datagram of a peer that is to wait for so many seconds: a new block is answered by 4.29
    /// with this Max-Age, its transfer stays as it is, and [`Discard::HeldBack`] says so. All else is handled
    /// as ever; a whole request is for the user to hold back.
    pub fn handle_message_held_back(&mut self, context: &mut Context<'_>, datagram: &[u8], max_age_s: u32) {
        self.handle(context, datagram, Some(max_age_s));
    }

    fn handle(&mut self, context: &mut Context<'_>, datagram: &[u8], held: Option<u32>) {
        self.answers.expire(context);
        match Message::parse(datagram) {
            Ok(message) => self.receive(context, &message, held),
            Err(error) => {
                let outbox = self.outbox();
                if let Some(mid) = error.reset_mid() {
                    outbox.transmit_empty(Kind::Reset, mid);
                }
                outbox.discard(error.fault.into());
            }
        }
    }

    fn receive(&mut self, context: &mut Context<'_>, message: &Message<'_>, held: Option<u32>) {
        match message.kind {
            Kind::Confirmable if message.code == Code::EMPTY => {
                // RFC 7252 4.3: "CoAP ping".
                let outbox = self.outbox();
                outbox.transmit_empty(Kind::Reset, message.mid);
                outbox.event(Event::Ping);
            }
            Kind::NonConfirmable if message.code == Code::EMPTY => {
                self.outbox().discard(Discard::EmptyMalformed);
            }
            Kind::Confirmable | Kind::NonConfirmable if self.replay(context, message) => {}
            Kind::Confirmable | Kind::NonConfirmable if self.is_outrun(context, message) => {
                self.send_away(context, message, Discard::Duplicate);
            }
            Kind::Confirmable | Kind::NonConfirmable if self.replay_left(context, message) => {}
            Kind::Confirmable | Kind::NonConfirmable if message.code.is_request() => {
                self.receive_request(context, message, held);
            }
            Kind::Confirmable | Kind::NonConfirmable => self.receive_response(context, message),
            Kind::Acknowledgement => {
                let Active { outgoing, outbox, .. } = self.active();
                outgoing.handle_acknowledgement(context, message, outbox);
            }
            Kind::Reset => {
                let Active { outgoing, outbox, .. } = self.active();
                if let Some(token) = outgoing.handle_reset(context, message.mid, outbox) {
                    self.end_observation(context, token, ObservationEnd::Reset);
                }
            }
        }
    }

    /// Handles a message whose Message ID was seen before; `false` if it was not.
    ///
    /// RFC 7252 4.5: each duplicate gets the same answer, and the message is processed once. 4.3: a
    /// non-confirmable message is not acknowledged, not even one that has the Message ID of a confirmable
    /// one. Another request with the same Message ID is not a duplicate, but if it ran, a later duplicate of
    /// the earlier request would run too: the peer has to count.
    fn replay(&mut self, context: &Context<'_>, message: &Message<'_>) -> bool {
        let mid = message.mid;
        let may_acknowledge = message.kind == Kind::Confirmable;
        if let Some(answer) = self.answers.find(context.now, mid) {
            let (known, answer) = (answer.request, answer.message(context.params.answer_frame));
            let is_acknowledgement = Kind::of(&answer) == Some(Kind::Acknowledgement);
            if may_acknowledge || !is_acknowledgement {
                self.outbox().transmit(Transmit::Message(answer));
            }
            let reason = self.duplicate(context, message, known).unwrap_or(Discard::Duplicate);
            self.outbox().discard(reason);
            return true;
        }
        let Some(exchange) = self.active.as_ref().and_then(|active| active.incoming.find(mid)) else {
            return false;
        };
        let known = exchange.digest.fingerprint();
        if may_acknowledge && exchange.stage == Stage::Acknowledged {
            self.outbox().transmit_empty(Kind::Acknowledgement, mid);
        }
        let reason = self.duplicate(context, message, known).unwrap_or(Discard::DuplicateWorking);
        self.outbox().discard(reason);
        true
    }

    /// Compares a duplicate with the request whose fingerprint is `known`. Returns the reason to count, and
    /// reports a request that differs.
    fn duplicate(
        &mut self,
        context: &Context<'_>,
        message: &Message<'_>,
        known: Fingerprint,
    ) -> Option<Discard> {
        if !known.differs(Fingerprint::of(message)) {
            return None;
        }
        let within = context.params.exchange_lifetime;
        if self.lasting_until(context).notices.note_reuse(context.now, within) {
            self.outbox().event(Event::MessageIdReused { mid: message.mid, within });
        }
        Some(Discard::DuplicateDiffers)
    }

    fn receive_request(&mut self, context: &mut Context<'_>, message: &Message<'_>, held: Option<u32>) {
        let mut request = match Request::from_message(message, context.params.options_max) {
            Ok(request) => request,
            Err(fault) => return self.refuse(context, message, fault),
        };
        let blocks = match BlockOptions::take_from(&mut request) {
            Ok(blocks) => blocks,
            Err(fault) => return self.refuse(context, message, fault),
        };
        let cost = Incoming::cost(message, request.payload.len());
        let key = CacheKey::of(message);
        // A block that is held needs no room.
        let is_held = self.active.as_ref().is_some_and(|active| active.bodies.has_block(key, &blocks));
        let mut limit = self.limit_reached(context, cost).filter(|_| !is_held);
        if limit.is_some() {
            self.answers.clean(context);
            limit = self.limit_reached(context, cost);
        }
        if let Some(reason) = limit {
            return self.turn_away(context, message, reason);
        }
        let mut digest = Digest::of(message);
        if blocks.is_part() {
            if let Some(seconds) = held {
                // Not stored, and nothing is dropped: the same block may go on when the time is over.
                self.answer(message, &Response::new(Code::TOO_MANY_REQUESTS).max_age(seconds));
                return self.outbox().discard(Discard::HeldBack);
            }
            let outcome =
                self.active().bodies.handle_request(context, (key, message.token), request, &blocks);
            request = match outcome {
                Outcome::Request(request) => request,
                Outcome::Answer(response) => return self.settle(context, message, &response),
                Outcome::Part(response) => return drop(self.answer(message, &response)),
                Outcome::Refused(fault) => {
                    self.settle(context, message, &fault.response());
                    return self.report(message, fault);
                }
                Outcome::Full => return self.turn_away(context, message, Discard::BodyBudgetSpent),
            };
            if self.is_plain && blocks.block1.is_some() {
                digest = digest.with_body(&request.payload);
                if self.replay_left_body(context, message, digest) {
                    return;
                }
            }
        }
        self.pass_on(context, (message, digest), request, (blocks, key));
    }

    /// Opens an exchange for a request that is whole, and passes it to the application.
    fn pass_on(
        &mut self,
        context: &mut Context<'_>,
        (message, digest): (&Message<'_>, Digest),
        request: Request,
        (blocks, key): (BlockOptions, CacheKey),
    ) {
        let unwanted = request.options.find_uint(OptionNumber::NO_RESPONSE).unwrap_or(0) as u8;
        let is_safe = request.method == Code::GET;
        if is_safe && request.observe == Some(DEREGISTER) {
            self.end_observation(context, message.token, ObservationEnd::Cancelled);
        }
        let observes = is_safe && request.observe == Some(REGISTER);
        let wish = Wish { blocks, key, is_safe, observes };
        let id = ExchangeId::new(self.take_serial(), message.mid, unwanted);
        if !is_safe {
            self.note_run((message.mid, digest.fingerprint()), id.serial());
        }
        let Active { incoming, outbox, .. } = self.active();
        incoming.open(context, id, (message, digest), (request.payload.len(), wish));
        outbox.event(Event::Request { exchange: id, request });
    }

    /// Refuses a request at a limit. The answer is not stored: nothing ran, so a copy may run, until
    /// something newer has.
    fn turn_away(&mut self, context: &mut Context<'_>, message: &Message<'_>, reason: Discard) {
        if message.kind == Kind::Confirmable {
            let serial = self.take_serial();
            self.note_turned_away(context, (message.mid, Fingerprint::of(message)), serial);
        }
        self.send_away(context, message, reason);
    }

    /// Remembers a request that is refused, and may be tried again.
    pub(super) fn note_turned_away(
        &mut self,
        context: &mut Context<'_>,
        request: (u16, Fingerprint),
        serial: u32,
    ) {
        let ran = self.active.as_ref().and_then(|active| active.incoming.newest);
        self.lasting_until(context).turned_away.note(context, request, serial, ran);
    }

    /// Remembers that a request runs which changes something.
    fn note_run(&mut self, request: (u16, Fingerprint), serial: u32) {
        let turned_away = self.lasting.as_mut().map(|lasting| &mut lasting.turned_away);
        let serial = turned_away.map_or(serial, |turned_away| turned_away.run(request, serial));
        let incoming = &mut self.active().incoming;
        incoming.newest = newest(incoming.newest, Some(serial));
    }

    /// Whether this is a copy of a request that was refused before something newer ran.
    fn is_outrun(&mut self, context: &mut Context<'_>, message: &Message<'_>) -> bool {
        let Some(lasting) = &mut self.lasting else { return false };
        lasting.turned_away.is_outrun(context, (message.mid, Fingerprint::of(message)))
    }

    fn send_away(&mut self, context: &Context<'_>, message: &Message<'_>, reason: Discard) {
        if message.kind == Kind::Confirmable {
            let seconds = u32::try_from(context.params.retry_after.as_secs()).unwrap_or(u32::MAX);
            self.answer(message, &Response::new(Code::SERVICE_UNAVAILABLE).max_age(seconds));
        }
        self.outbox().discard(reason);
    }

    /// The limit that a new request would exceed, if any.
    fn limit_reached(&self, context: &Context<'_>, cost: usize) -> Option<Discard> {
        let count = |active: &Active| (active.incoming.count(), active.outgoing.responses());
        let (open, separate) = self.active.as_deref().map_or((0, 0), count);
        if open + separate >= context.params.exchanges_open_max {
            return Some(Discard::ExchangesFull);
        }
        self.answers.limit_reached(context, open, cost)
    }

    /// Answers a request without passing it to the application. The answer depends on nothing but the
    /// request, so it need not be stored; a retransmission is answered again, and not reported again.
    fn refuse(&mut self, context: &Context<'_>, message: &Message<'_>, fault: RequestFault) {
        self.answer(message, &fault.response());
        let (request, lifetime) = (Fingerprint::of(message), context.params.exchange_lifetime);
        let notices = &mut self.lasting_until(context).notices;
        if !notices.note_refusal(context.now, lifetime, message.mid, request) {
            return self.outbox().discard(Discard::Duplicate);
        }
        self.report(message, fault);
    }

    /// Reports a request that was refused.
    fn report(&mut self, message: &Message<'_>, fault: RequestFault) {
        let outbox = self.outbox();
        outbox.event(Event::Refused(Box::new(RefusedRequest::new(message, fault))));
        outbox.discard(fault.into());
    }

    /// Answers without the application, and stores the answer: it depends on more than the request.
    fn settle(&mut self, context: &mut Context<'_>, message: &Message<'_>, response: &Response) {
        let answer = self.answer(message, response);
        let expires = context.now + context.params.lifetime(message.kind == Kind::Confirmable);
        let asked = Asked::here(message.mid, Fingerprint::of(message));
        self.answers.insert(context, (asked, self.is_plain), expires, &answer);
        self.answers.mark(&answer);
    }

    /// Answers without storing anything; returns the answer.
    fn answer(&mut self, message: &Message<'_>, response: &Response) -> Payload {
        let (kind, mid) = match message.kind {
            Kind::Confirmable => (Kind::Acknowledgement, message.mid),
            _ => (Kind::NonConfirmable, self.take_mid()),
        };
        let bytes = response.to_message(kind, mid, message.token);
        self.outbox().transmit(Transmit::Message(bytes.clone()));
        bytes
    }

    fn receive_response(&mut self, context: &mut Context<'_>, message: &Message<'_>) {
        let Self { answers, active, is_plain, .. } = self;
        let Active { outgoing, outbox, .. } = &mut **active.get_or_insert_default();
        let confirmable = message.kind == Kind::Confirmable;
        let Some(request) = outgoing.take_answered(context, message.token) else {
            if confirmable {
                outbox.transmit_empty(Kind::Reset, message.mid);
            }
            return outbox.discard(Discard::ResponseUnexpected);
        };
        let response = Response::from_message(message);
        if confirmable {
            let kind = if response.is_ok() { Kind::Acknowledgement } else { Kind::Reset };
            outbox.transmit_empty(kind, message.mid);
            let answer = empty_message(kind, message.mid);
            // The token of a duplicate is gone. The duplicate is acknowledged all the same, if the limits
            // permit storing that.
            if answers.has_room_for(context, answer.len()) {
                let expires = context.now + context.params.exchange_lifetime;
                let asked = Asked::here(message.mid, Fingerprint::UNKNOWN);
                answers.insert(context, (asked, *is_plain), expires, &answer);
            }
        }
        outgoing.finish_separately(context, &request, response.ok(), outbox);
    }
}
