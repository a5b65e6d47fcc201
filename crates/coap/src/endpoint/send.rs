//! Sends what our side has to say: answers and requests.

use std::time::Duration;

use super::{Active, Endpoint, RequestError, RespondError, outbox::Transmit};
use crate::{
    code::Code,
    context::Context,
    exchange::{Exchange, ExchangeId, Origin, Stage},
    fingerprint::Fingerprint,
    message::{Kind, Token, empty_message},
    outbound::{Delivery, Outbound, Purpose, RequestId},
    request::Request,
    response::Response,
};

impl Endpoint {
    /// Answers a request: in the acknowledgement, in a confirmable message of its own, or in a
    /// non-confirmable one. The answer is stored for duplicates of the request, unless it is 4.29 or 5.03:
    /// these say that the request was not carried out for want of room, and a copy may find some.
    ///
    /// # Errors
    /// Nothing is sent. [`RespondError::TooLarge`] leaves the exchange open, for a shorter answer.
    pub fn respond(
        &mut self,
        context: &mut Context<'_>,
        exchange: ExchangeId,
        response: Response,
    ) -> Result<(), RespondError> {
        let open = self.active.as_ref().and_then(|active| active.incoming.by_id(exchange));
        let &Exchange { token, fingerprint, stage, expires, .. } =
            open.filter(|open| context.now < open.expires).ok_or(RespondError::ExchangeUnknown)?;
        if !response.code.is_response() {
            return Err(RespondError::NotAResponse);
        }
        let (kind, mid) = match stage {
            Stage::Fresh { .. } => (Kind::Acknowledgement, exchange.mid()),
            Stage::Acknowledged => (Kind::Confirmable, self.take_mid()),
            Stage::Unacknowledgeable => (Kind::NonConfirmable, self.take_mid()),
        };
        let may_run_again = matches!(response.code, Code::SERVICE_UNAVAILABLE | Code::TOO_MANY_REQUESTS);
        let bytes = emit_response(response, kind, mid, token, context)?;
        let request = (exchange.mid(), fingerprint);
        let Self { answers, active, .. } = self;
        let Active { incoming, outgoing, outbox } = &mut **active.get_or_insert_default();
        incoming.close(context, exchange);
        if stage == Stage::Acknowledged {
            // Duplicates of the request get the acknowledgement again; the response is retransmitted by its
            // own timer.
            let acknowledgement = empty_message(Kind::Acknowledgement, exchange.mid());
            answers.insert(context, request, expires, &acknowledgement);
            let purpose = Purpose::Response { exchange };
            outgoing.add(context, Outbound { mid, purpose, delivery: Delivery::Queued, bytes }, outbox);
        } else {
            if !may_run_again {
                answers.insert(context, request, expires, &bytes);
            }
            outbox.transmit(Transmit::Message(bytes));
        }
        Ok(())
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
        response: Response,
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
        let bytes = emit_response(response, kind, mid, origin.token, context)?;
        let expires = context.now + left;
        self.answers.insert(context, (origin.mid, Fingerprint::UNKNOWN), expires, &bytes);
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
        let bytes = request.into_message(mid, token);
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
            Outbound { mid, purpose, delivery: Delivery::AwaitingResponse { deadline }, bytes: Vec::new() }
        };
        outgoing.add(context, outbound, outbox);
        Ok(id)
    }
}

/// The message that carries a response.
fn emit_response(
    response: Response,
    kind: Kind,
    mid: u16,
    token: Token,
    context: &Context<'_>,
) -> Result<Vec<u8>, RespondError> {
    let bytes = response.into_message(kind, mid, token);
    // A stored answer has a length of 16 bits, as a datagram has.
    let bytes_max = context.params.message_bytes_max.min(usize::from(u16::MAX));
    if bytes.len() > bytes_max {
        return Err(RespondError::TooLarge { bytes: bytes.len(), bytes_max });
    }
    Ok(bytes)
}
