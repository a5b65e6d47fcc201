//! What an endpoint reports to its user.

use std::time::Duration;

use crate::{
    discard::Discard, exchange::ExchangeId, outbound::RequestId, refused::RefusedRequest, request::Request,
    response::Response,
};

/// Something that happened at an [`crate::Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A request of the peer, with its whole body. Answer it once, with [`crate::Endpoint::respond`] for this
    /// exchange.
    Request {
        /// Identifies the exchange in the answer.
        exchange: ExchangeId,
        /// The request.
        request: Request,
    },
    /// The answer to a request of ours. The request is done.
    Response {
        /// What [`crate::Endpoint::request`] returned.
        id: RequestId,
        /// The answer.
        response: Response,
        /// Whether it came in a message of its own and not in an acknowledgement.
        separate: bool,
    },
    /// A request of ours will not be answered. The peer may have acted on it all the same.
    RequestFailed {
        /// What [`crate::Endpoint::request`] returned.
        id: RequestId,
        /// Why.
        cause: FailureCause,
    },
    /// A separate response of ours did not arrive, as far as we know.
    ResponseFailed {
        /// The exchange that it answered.
        exchange: ExchangeId,
        /// Why.
        cause: FailureCause,
    },
    /// A registration of the peer has ended (RFC 7641): see [`crate::Endpoint::notify`]. The end of the last
    /// one is not reported while a GET with Observe waits for its answer: where that registers the peer, one
    /// is left.
    ObservationEnded {
        /// How.
        end: ObservationEnd,
        /// The registrations that are left.
        left: usize,
    },
    /// The peer sent a ping, which is answered: an empty confirmable message (RFC 7252, section 4.3).
    Ping,
    /// A request of the peer was answered with an error of [`crate::RequestFault`] without asking the
    /// application. Not reported again for a retransmission of the last one. An [`Event::Discarded`]
    /// follows.
    Refused(Box<RefusedRequest>),
    /// The peer reused a Message ID for another request, which is treated as a duplicate of the first: it
    /// gets the answer to that one, or none until that one is answered. Firmware that does not count its
    /// messages does this. Reported at most once in [`crate::Params::exchange_lifetime`]. An
    /// [`Event::Discarded`] follows.
    MessageIdReused {
        /// The Message ID.
        mid: u16,
        /// How long it must not be used for another message: EXCHANGE_LIFETIME.
        within: Duration,
    },
    /// A message had no effect.
    Discarded(Discard),
}

/// How a registration of an observer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObservationEnd {
    /// The peer said so: a GET with Observe 1.
    Cancelled,
    /// The peer rejected a notification with a Reset: it does not know its token any more.
    Reset,
    /// A notification was not acknowledged, after MAX_RETRANSMIT retransmissions: all registrations end.
    TimedOut,
}

/// Why a message of ours failed, or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCause {
    /// No acknowledgement after MAX_RETRANSMIT retransmissions, or no response within the exchange's
    /// lifetime.
    TimedOut,
    /// The peer rejected the message with a Reset.
    Reset,
    /// The response has a critical option that is not recognised.
    ResponseUnreadable,
}
