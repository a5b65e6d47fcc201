//! Our messages that wait for something from the peer: requests, separate responses and notifications (RFC
//! 7252, sections 4.2, 4.7, 4.8; RFC 7641, section 4.5).
//!
//! ```text
//!   Queued -- NSTART permits --> Unacknowledged -- empty ACK --> AwaitingResponse
//!                                 |    |    |                        |        |
//!                                ACK  RST  timeout x (1 + 4)      response   RST, lifetime over
//! ```
//!
//! A separate response or a notification does not await a response: the empty ACK ends it.

use std::time::{Duration, Instant};

use crate::{
    event::Event, event::FailureCause, exchange::ExchangeId, message::Token, params::Params, payload::Payload,
};

/// Identifies a request of ours to the peer of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub(crate) u32);

impl RequestId {
    /// Its number, unique among the requests of one endpoint.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// One message of ours and its stage.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) mid: u16,
    pub(crate) purpose: Purpose,
    pub(crate) delivery: Delivery,
    /// The message, until it needs no retransmission.
    pub(crate) bytes: Payload,
}

/// What the message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Request {
        id: RequestId,
        token: Token,
    },
    Response {
        exchange: ExchangeId,
    },
    /// To the observer that registered with this token.
    Notification {
        token: Token,
    },
}

/// The stage of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Not sent yet: NSTART others are on their way.
    Queued,
    /// Sent, and to be sent again at the deadline.
    Unacknowledged { retransmits: u8, timeout: Duration, deadline: Instant },
    /// A request that was acknowledged, or needs no acknowledgement: its response is due by the deadline.
    AwaitingResponse { deadline: Instant },
}

/// What is to be done when a deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Retransmit,
    GiveUp,
}

impl Outbound {
    /// What a message costs the budget.
    pub(crate) const fn cost(bytes: usize) -> usize {
        size_of::<Self>() + bytes
    }

    /// Whether a response with this token answers it.
    pub(crate) fn is_answered_by(&self, answer: Token) -> bool {
        let is_sent = self.delivery != Delivery::Queued;
        is_sent && matches!(self.purpose, Purpose::Request { token, .. } if token == answer)
    }

    /// Whether it is a request of ours.
    pub(crate) const fn is_request(&self) -> bool {
        matches!(self.purpose, Purpose::Request { .. })
    }

    /// Whether it counts against NSTART.
    pub(crate) const fn is_outstanding(&self) -> bool {
        matches!(self.delivery, Delivery::Unacknowledged { .. })
    }

    /// Starts the timer of the first transmission.
    pub(crate) fn start(&mut self, now: Instant, params: &Params) {
        let timeout = params.first_timeout(self.mid);
        self.delivery = Delivery::Unacknowledged { retransmits: 0, timeout, deadline: now + timeout };
    }

    /// Advances if a deadline has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, params: &Params) -> Due {
        match &mut self.delivery {
            Delivery::Unacknowledged { retransmits, timeout, deadline } if *deadline <= now => {
                if *retransmits >= params.max_retransmit {
                    return Due::GiveUp;
                }
                // RFC 7252 4.2: the timeout doubles with each retransmission.
                *retransmits += 1;
                *timeout = timeout.saturating_mul(2);
                *deadline = now + *timeout;
                Due::Retransmit
            }
            Delivery::AwaitingResponse { deadline } if *deadline <= now => Due::GiveUp,
            _ => Due::Nothing,
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        match self.delivery {
            Delivery::Queued => None,
            Delivery::Unacknowledged { deadline, .. } | Delivery::AwaitingResponse { deadline } => {
                Some(deadline)
            }
        }
    }

    /// The event that reports its failure; `None`: the end of a registration is reported instead.
    pub(crate) const fn failure_event(&self, cause: FailureCause) -> Option<Event> {
        match self.purpose {
            Purpose::Request { id, .. } => Some(Event::RequestFailed { id, cause }),
            Purpose::Response { exchange } => Some(Event::ResponseFailed { exchange, cause }),
            Purpose::Notification { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start;

    #[test]
    fn a_message_is_sent_again_four_times_with_doubling_pauses_and_then_given_up() {
        let params = Params::default();
        let purpose = Purpose::Request { id: RequestId(0), token: Token::default() };
        let mut outbound = Outbound { mid: 9, purpose, delivery: Delivery::Queued, bytes: Payload::new() };
        outbound.start(start(), &params);
        let mut now = start();
        let mut pauses = Vec::new();
        loop {
            let deadline = outbound.deadline().expect("it is on its way");
            assert_eq!(outbound.handle_timeout(deadline - Duration::from_nanos(1), &params), Due::Nothing);
            pauses.push(deadline - now);
            now = deadline;
            if outbound.handle_timeout(now, &params) == Due::GiveUp {
                break;
            }
        }
        assert_eq!(pauses.len(), 5);
        assert!(pauses[0] >= Duration::from_secs(2) && pauses[0] < Duration::from_secs(3));
        assert!(pauses.windows(2).all(|pair| pair[1] == pair[0] * 2), "{pauses:?}");
    }
}
