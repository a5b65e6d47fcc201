//! Sends what our side has to say: answers, notifications and requests.

use std::time::Duration;

use super::{
    Active, Endpoint, NotifyError, RequestError, RespondError,
    bodies::{Cut, cut},
    outbox::Transmit,
    part::cut_part,
};
use crate::{
    block::Block,
    code::Code,
    context::Context,
    dedup::Asked,
    exchange::{Exchange, ExchangeId, Origin, Stage, Wish},
    fingerprint::Fingerprint,
    message::{Kind, Token, empty_message},
    option::OptionNumber,
    outbound::{Delivery, Outbound, Purpose, RequestId},
    payload::Payload,
    request::Request,
    response::Response,
};

impl Endpoint {
    /// Answers a request: in the acknowledgement, in a confirmable message of its own, or in a
    /// non-confirmable one. The answer is stored for duplicates of the request, unless it is 4.29 or 5.03:
    /// these say that the request was not carried out for want of room, and a copy may find some, until
    /// something newer has come. Nor is it stored where a GET asks for a later block of its answer: such a
    /// request may run again, and the blocks of a long answer would fill all the room that there is.
    ///
    /// A success that is longer than the peer wishes, or than a message may be, is sent in blocks (RFC 7959,
    /// section 2.4): the first one now, with an ETag; the others are kept until they are fetched. An answer
    /// that the peer does not want (No-Response, RFC 7967) is not sent, and a confirmable request is
    /// acknowledged.
    ///
    /// A success by [`Response::block`] is one block of a body that the application reads anew for each; the
    /// blocks before and behind it are not known here.
    ///
    /// Observe in a response, with any value, says that what was asked for can be observed. A success that
    /// answers a GET with Observe 0 then registers the peer, within [`crate::Params::observers_max`], and
    /// goes out with Observe and its number; every other answer goes out without Observe.
    ///
    /// # Errors
    /// Nothing is sent. [`RespondError::TooLarge`] leaves the exchange open, for a shorter answer.
    pub fn respond(
        &mut self,
        context: &mut Context<'_>,
        exchange: ExchangeId,
        mut response: Response,
    ) -> Result<(), RespondError> {
        let open = self.active.as_ref().and_then(|active| active.incoming.by_id(exchange));
        let &Exchange { token, digest, stage, expires, wish, .. } =
            open.filter(|open| context.now < open.expires).ok_or(RespondError::ExchangeUnknown)?;
        if !response.code.is_response() {
            return Err(RespondError::NotAResponse);
        }
        let is_wanted = !exchange.is_unwanted(response.code);
        let registers = self.number_if_observed(context, &mut response, token, wish.observes && is_wanted);
        let (kind, mid) = self.answer_in(stage, exchange.mid());
        let is_turned_away = matches!(response.code, Code::SERVICE_UNAVAILABLE | Code::TOO_MANY_REQUESTS);
        // As a later block of an answer.
        let is_part = response.is_block();
        let preferred = self.preferred_block(context, &response);
        let (bytes, rest) = match stage {
            _ if is_wanted => emit_in_blocks(response, (kind, mid, token), (&wish, preferred), context)?,
            Stage::Fresh { .. } => (empty_message(Kind::Acknowledgement, mid).to_vec().into(), None),
            Stage::Acknowledged | Stage::Unacknowledgeable => (Payload::new(), None),
        };
        if registers {
            self.observers().insert(token);
        }
        if is_turned_away {
            self.note_turned_away(context, (exchange.mid(), digest.fingerprint()), exchange.serial());
        }
        let Self { answers, active, is_plain, .. } = self;
        let request = (Asked::of(exchange.mid(), digest, wish.is_safe), *is_plain);
        let Active { incoming, outgoing, bodies, outbox, .. } = &mut **active.get_or_insert_default();
        incoming.close(context, exchange);
        if let Some(mut rest) = rest {
            // RFC 7959 2.6: only the first block of a notification has Observe.
            let once = context.params.first_block_options;
            rest.options.retain(|number| number != OptionNumber::OBSERVE && !once.contains(&number));
            bodies.keep(context, wish.key, rest);
        }
        if stage == Stage::Acknowledged {
            // Duplicates of the request get the acknowledgement again; the response is retransmitted by its
            // own timer.
            let acknowledgement = empty_message(Kind::Acknowledgement, exchange.mid());
            answers.insert(context, request, expires, &acknowledgement);
            if is_wanted {
                let purpose = Purpose::Response { exchange };
                outgoing.add(context, Outbound { mid, purpose, delivery: Delivery::Queued, bytes }, outbox);
            }
        } else {
            if !(is_turned_away || is_part || wish.is_for_a_later_block()) {
                answers.insert(context, request, expires, &bytes);
                answers.mark(&bytes);
            }
            // Without bytes nothing is sent.
            outbox.transmit(Transmit::Message(bytes));
        }
        self.report_held_end();
        Ok(())
    }

    /// Type and Message ID of the message that the answer goes in.
    fn answer_in(&mut self, stage: Stage, request_mid: u16) -> (Kind, u16) {
        match stage {
            Stage::Fresh { .. } => (Kind::Acknowledgement, request_mid),
            Stage::Acknowledged => (Kind::Confirmable, self.take_mid()),
            Stage::Unacknowledgeable => (Kind::NonConfirmable, self.take_mid()),
        }
    }

    /// The block of an answer to a peer that names none: none where the other blocks would not be kept.
    fn preferred_block(&self, context: &mut Context<'_>, response: &Response) -> Option<Block> {
        let block = context.params.block_bytes.and_then(|bytes| Block::new(0, false, bytes))?;
        let bodies = self.active.as_ref().map(|active| &active.bodies)?;
        (response.payload.len() > block.bytes() && bodies.may_keep(context, response)).then_some(block)
    }

    /// Sends a notification to every observer, now or when NSTART permits; returns how many there are. The
    /// number of each is set by the endpoint. A registration that ends by it is reported by
    /// [`crate::Event::ObservationEnded`].
    ///
    /// They are charged to the budget without regard to its limit: of each observer two wait at most.
    ///
    /// # Errors
    /// Nothing is sent.
    pub fn notify(
        &mut self,
        context: &mut Context<'_>,
        mut response: Response,
    ) -> Result<usize, NotifyError> {
        if !response.code.is_success() {
            return Err(NotifyError::NotASuccess);
        }
        let observers = self.lasting.as_ref().map(|lasting| lasting.observers.tokens().to_vec());
        let tokens = observers.unwrap_or_default();
        let bytes_max = message_bytes_max(context);
        let mut messages = Vec::with_capacity(tokens.len());
        for token in tokens {
            let mid = self.take_mid();
            response.options.remove(OptionNumber::OBSERVE);
            response.options.insert_uint(OptionNumber::OBSERVE, self.observers().take_sequence());
            let bytes = response.to_message(Kind::Confirmable, mid, token);
            if bytes.len() > bytes_max {
                return Err(NotifyError::TooLarge { bytes: bytes.len(), bytes_max });
            }
            messages.push((mid, token, bytes));
        }
        let count = messages.len();
        for (mid, token, bytes) in messages {
            let Active { outgoing, outbox, .. } = self.active();
            outgoing.notify(context, (mid, token), bytes, outbox);
        }
        Ok(count)
    }

    /// Puts a number into an answer to what can be observed, where its peer is registered by it; else takes
    /// Observe out. Returns whether the peer is registered.
    fn number_if_observed(
        &mut self,
        context: &Context<'_>,
        response: &mut Response,
        token: Token,
        is_wished: bool,
    ) -> bool {
        let can_be = response.options.find(OptionNumber::OBSERVE).is_some();
        response.options.remove(OptionNumber::OBSERVE);
        let registers = can_be
            && is_wished
            && response.code.is_success()
            && self.observers().permit(token, context.params.observers_max);
        if registers {
            response.options.insert_uint(OptionNumber::OBSERVE, self.observers().take_sequence());
        } else if can_be && response.options.find(OptionNumber::MAX_AGE).is_some() {
            // It said how long nothing else may be notified; nothing is.
            response.options.remove(OptionNumber::MAX_AGE);
            response.options.insert_uint(OptionNumber::MAX_AGE, 0);
        }
        registers
    }

    /// Stores an answer that an earlier life of this endpoint gave `age` ago, so that duplicates of its
    /// request are answered and not run again. The limits do not apply: they were enforced when the request
    /// was admitted. An answer that is too old, or already stored, changes nothing.
    ///
    /// # Errors
    /// As for [`Endpoint::respond`], except that no exchange is needed.
    pub fn restore_answer(
        &mut self,
        context: &mut Context<'_>,
        origin: Origin,
        age: Duration,
        response: &Response,
    ) -> Result<(), RespondError> {
        if !response.code.is_response() {
            return Err(RespondError::NotAResponse);
        }
        let left = context.params.lifetime(origin.confirmable).saturating_sub(age);
        if left.is_zero() || self.answers.find(context.now, origin.mid).is_some() {
            return Ok(());
        }
        let (kind, mid) = if origin.confirmable {
            (Kind::Acknowledgement, origin.mid)
        } else {
            (Kind::NonConfirmable, self.take_mid())
        };
        let bytes = emit_response(response, (kind, mid, origin.token), context)?;
        let expires = context.now + left;
        let asked = Asked::here(origin.mid, Fingerprint::UNKNOWN);
        self.answers.insert(context, (asked, self.is_plain), expires, &bytes);
        self.answers.mark(&bytes);
        Ok(())
    }

    /// Sends a request, now or when NSTART permits. It ends with one [`crate::Event::Response`] or
    /// [`crate::Event::RequestFailed`]. Non-confirmable requests do not wait for others.
    ///
    /// # Errors
    /// Nothing is sent and nothing is kept.
    pub fn request(
        &mut self,
        context: &mut Context<'_>,
        request: Request,
    ) -> Result<RequestId, RequestError> {
        if !request.method.is_request() {
            return Err(RequestError::NotARequest);
        }
        if !request.is_target_legal() {
            return Err(RequestError::TargetTooLong);
        }
        let ours = self.active.as_ref().map_or(0, |active| active.outgoing.requests());
        if ours >= context.params.requests_max {
            return Err(RequestError::QueueFull);
        }
        let (id, mid) = (RequestId(self.take_serial()), self.take_mid());
        let token = Token::from(id.0);
        let confirmable = request.confirmable;
        let bytes = Payload::from(request.into_message(mid, token));
        if bytes.len() > context.params.message_bytes_max {
            return Err(RequestError::TooLarge);
        }
        if !context.budget.has_room(Outbound::cost(bytes.len())) {
            return Err(RequestError::BudgetSpent);
        }
        let purpose = Purpose::Request { id, token };
        let Active { outgoing, outbox, .. } = self.active();
        let outbound = if confirmable {
            Outbound { mid, purpose, delivery: Delivery::Queued, bytes }
        } else {
            outbox.transmit(Transmit::Message(bytes));
            let deadline = context.now + context.params.non_lifetime;
            Outbound {
                mid,
                purpose,
                delivery: Delivery::AwaitingResponse { deadline },
                bytes: Payload::new(),
            }
        };
        outgoing.add(context, outbound, outbox);
        Ok(id)
    }
}

/// The message that carries a response.
fn emit_response(
    response: &Response,
    (kind, mid, token): (Kind, u16, Token),
    context: &Context<'_>,
) -> Result<Payload, RespondError> {
    let bytes = response.to_message(kind, mid, token);
    let bytes_max = message_bytes_max(context);
    if bytes.len() > bytes_max {
        return Err(RespondError::TooLarge { bytes: bytes.len(), bytes_max });
    }
    Ok(bytes)
}

/// A stored answer has a length of 16 bits, as a datagram has.
pub(super) fn message_bytes_max(context: &Context<'_>) -> usize {
    context.params.message_bytes_max.min(usize::from(u16::MAX))
}

/// The message that carries a response, or its first block; with the response, if others follow.
fn emit_in_blocks(
    mut response: Response,
    header: (Kind, u16, Token),
    (wish, preferred): (&Wish, Option<Block>),
    context: &Context<'_>,
) -> Result<(Payload, Option<Response>), RespondError> {
    if response.is_block() {
        let part = cut_part(response, header.2, wish, context)?;
        return Ok((emit_response(&part, header, context)?, None));
    }
    let blocks = &wish.blocks;
    // RFC 7959 2.3: the answer to the last block of a body names that block.
    let echo = blocks.block1.map(|block| block.with_more(false).value());
    let wanted = blocks.block2.or(preferred);
    let fits_wish = wanted.is_none_or(|it| it.number == 0 && response.payload.len() <= it.bytes());
    if fits_wish || !response.code.is_success() {
        if let Some(echo) = echo {
            response.options.insert_uint(OptionNumber::BLOCK1, echo);
        }
        match emit_response(&response, header, context) {
            Err(RespondError::TooLarge { .. }) if response.code.is_success() => {}
            emitted => return Ok((emitted?, None)),
        }
        response.options.remove(OptionNumber::BLOCK1);
    }
    // The rest of a longer one is not kept, and only a GET may ask again.
    let bytes_kept_max = context.params.answer_bytes_max;
    let bytes_max = message_bytes_max(context);
    // One more is the marker of the payload.
    let bytes = response.head_bytes(header.2) + 1 + response.payload.len();
    if bytes_kept_max < response.payload.len() && !wish.is_safe {
        return Err(RespondError::TooLarge { bytes: response.payload.len(), bytes_max: bytes_kept_max });
    }
    let wanted = wanted.unwrap_or(Block::LARGEST);
    let (mut part, rest) = match cut(response, wanted, blocks.wants_size2, (header.2, bytes_max)) {
        Cut::Block(part, rest) => (part, rest),
        Cut::PastTheEnd => (Response::new(Code::BAD_REQUEST), None),
        Cut::TooLarge => return Err(RespondError::TooLarge { bytes, bytes_max }),
    };
    if let Some(echo) = echo {
        part.options.insert_uint(OptionNumber::BLOCK1, echo);
    }
    Ok((emit_response(&part, header, context)?, rest))
}
