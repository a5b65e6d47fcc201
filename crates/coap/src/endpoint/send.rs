//! What our side wants sent: answers and requests.

use std::time::{Duration, Instant};

use super::{Endpoint, Transmit};
use crate::{
    budget::Budget,
    exchange::{Exchange, ExchangeId, Origin, Stage},
    fingerprint::Fingerprint,
    message::{Kind, Token, empty_message},
    outbound::{Delivery, Outbound, Purpose, RequestId},
    params::Params,
    request::Request,
    response::Response,
};

/// Why an answer was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// The exchange was answered before, its lifetime is over, or it never was.
    #[error("no such exchange is open")]
    ExchangeUnknown,
    /// The code is not a response code. The exchange stays open.
    #[error("the code of the response is not a response code")]
    NotAResponse,
    /// The message would be larger than [`Params::message_bytes_max`]. The exchange stays open.
    #[error("the response has {bytes} bytes and does not fit into one message of {bytes_max}")]
    TooLarge {
        /// Bytes of the message.
        bytes: usize,
        /// What it may have.
        bytes_max: usize,
    },
}

/// Why a request was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The code is not a method.
    #[error("the code of the request is not a method")]
    NotARequest,
    /// A path segment or a query argument is longer than 255 bytes.
    #[error("a part of the path or the query is longer than 255 bytes")]
    TargetTooLong,
    /// The message would be larger than [`Params::message_bytes_max`].
    #[error("the request does not fit into one message")]
    TooLarge,
    /// [`Params::requests_max`] are waiting or on their way.
    #[error("too many requests are waiting for this peer")]
    QueueFull,
    /// The budget is spent.
    #[error("no memory is left in the budget")]
    BudgetSpent,
}

impl Endpoint {
    /// Answers a request: in the acknowledgement, in a confirmable message of its own, or in a non-confirmable one.
    /// The answer is stored for duplicates of the request.
    ///
    /// # Errors
    /// Nothing is sent then. [`RespondError::TooLarge`] leaves the exchange open, for a shorter answer.
    pub fn respond(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        response: Response,
        params: &Params,
        budget: &mut Budget,
    ) -> Result<(), RespondError> {
        let open = self.active.as_ref().map_or(&[][..], |active| &active.exchanges);
        let still_open = |open: &&Exchange| open.id == exchange && now < open.expires;
        let &Exchange { token, fingerprint, stage, expires, cost, .. } =
            open.iter().find(still_open).ok_or(RespondError::ExchangeUnknown)?;
        if !response.code.is_response() {
            return Err(RespondError::NotAResponse);
        }
        let (kind, mid) = match stage {
            Stage::Fresh { .. } => (Kind::Acknowledgement, exchange.mid()),
            Stage::Acknowledged => (Kind::Confirmable, self.take_mid()),
            Stage::Unacknowledgeable => (Kind::NonConfirmable, self.take_mid()),
        };
        let bytes = emit_response(response, kind, mid, token, params)?;
        let request = (exchange.mid(), fingerprint);
        self.active().exchanges.retain(|open| open.id != exchange);
        budget.refund(cost);
        if stage == Stage::Acknowledged {
            // Duplicates of the request get the acknowledgement again; the response takes care of itself.
            let acknowledgement = empty_message(Kind::Acknowledgement, exchange.mid());
            self.store_answer(now, request, expires, &acknowledgement, budget);
            let purpose = Purpose::Response { exchange };
            self.keep(Outbound { mid, purpose, delivery: Delivery::Queued, bytes }, budget);
            self.start_queued(now, params);
        } else {
            self.store_answer(now, request, expires, &bytes, budget);
            self.transmit(Transmit::Stored { mid: exchange.mid() });
        }
        Ok(())
    }

    /// Stores the answer to a request of an earlier life of this endpoint, `age` ago, so that its duplicates are answered and not
    /// run again. The limits do not apply: they were kept when the request was admitted. Too old an answer, or one that is there
    /// already, changes nothing.
    ///
    /// # Errors
    /// As for [`Endpoint::respond`], except that there need be no exchange.
    pub fn restore_answer(
        &mut self,
        now: Instant,
        origin: Origin,
        age: Duration,
        response: Response,
        params: &Params,
        budget: &mut Budget,
    ) -> Result<(), RespondError> {
        if !response.code.is_response() {
            return Err(RespondError::NotAResponse);
        }
        let left = params.lifetime(origin.confirmable).saturating_sub(age);
        if left.is_zero() || self.stored_answer(origin.mid).is_some() {
            return Ok(());
        }
        let (kind, mid) = if origin.confirmable {
            (Kind::Acknowledgement, origin.mid)
        } else {
            (Kind::NonConfirmable, self.take_mid())
        };
        let bytes = emit_response(response, kind, mid, origin.token, params)?;
        self.store_answer(now, (origin.mid, Fingerprint::UNKNOWN), now + left, &bytes, budget);
        Ok(())
    }

    /// Sends a request, now or when NSTART permits. It ends with one [`crate::Event::Response`] or [`crate::Event::RequestFailed`].
    /// Non-confirmable requests do not wait for others.
    ///
    /// # Errors
    /// Nothing is sent and nothing is kept then.
    pub fn request(
        &mut self,
        now: Instant,
        request: Request,
        params: &Params,
        budget: &mut Budget,
    ) -> Result<RequestId, RequestError> {
        if !request.method.is_request() {
            return Err(RequestError::NotARequest);
        }
        if !request.is_target_legal() {
            return Err(RequestError::TargetTooLong);
        }
        let ours =
            self.active.iter().flat_map(|active| &active.outbound).filter(|outbound| outbound.is_request());
        if ours.count() >= params.requests_max {
            return Err(RequestError::QueueFull);
        }
        let (id, mid) = (RequestId(self.take_serial()), self.take_mid());
        let token = Token::from(id.0);
        let confirmable = request.confirmable;
        let bytes = request.into_message(mid, token);
        if bytes.len() > params.message_bytes_max {
            return Err(RequestError::TooLarge);
        }
        if !budget.has_room(Outbound::cost(bytes.len())) {
            return Err(RequestError::BudgetSpent);
        }
        let purpose = Purpose::Request { id, token };
        if confirmable {
            self.keep(Outbound { mid, purpose, delivery: Delivery::Queued, bytes }, budget);
            self.start_queued(now, params);
        } else {
            self.transmit(Transmit::Message(bytes));
            let delivery = Delivery::AwaitingResponse { deadline: now + params.non_lifetime };
            self.keep(Outbound { mid, purpose, delivery, bytes: Vec::new() }, budget);
        }
        Ok(id)
    }

    fn keep(&mut self, outbound: Outbound, budget: &mut Budget) {
        budget.charge(Outbound::cost(outbound.bytes.len()));
        self.active().outbound.push(outbound);
    }
}

/// The message that carries a response.
fn emit_response(
    response: Response,
    kind: Kind,
    mid: u16,
    token: Token,
    params: &Params,
) -> Result<Vec<u8>, RespondError> {
    let bytes = response.into_message(kind, mid, token);
    // A stored answer has a length of 16 bits, as a datagram has.
    let bytes_max = params.message_bytes_max.min(usize::from(u16::MAX));
    if bytes.len() > bytes_max {
        return Err(RespondError::TooLarge { bytes: bytes.len(), bytes_max });
    }
    Ok(bytes)
}
