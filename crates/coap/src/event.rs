//! What an endpoint tells its user.

use crate::{
    discard::Discard, exchange::ExchangeId, outbound::RequestId, refused::RefusedRequest, request::Request,
    response::Response,
};

/// Something that happened at an [`crate::Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer asks. It is owed one [`crate::Endpoint::respond`] for this exchange.
    Request {
        /// Names the exchange in the answer.
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
    /// The peer asked for a sign of life and gets one: an empty confirmable message (RFC 7252, section 4.3).
    Ping,
    /// A request of the peer was answered by 4.02, 4.05 or 5.05 without asking the application. Not told
    /// again for a retransmission of the last one. An [`Event::Discarded`] follows.
    Refused(Box<RefusedRequest>),
    /// The peer used a Message ID again for another request, which is taken for a duplicate of the first: it
    /// gets the answer to that, or none while that is worked on. This is firmware that does not count.
    /// Once in [`crate::Params::exchange_lifetime`] at most. An [`Event::Discarded`] follows.
    MessageIdReused {
        /// The Message ID.
        mid: u16,
    },
    /// A message did not lead to anything.
    Discarded(Discard),
}

/// Why a message of ours, or the answer to it, came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCause {
    /// No acknowledgement after MAX_RETRANSMIT retransmissions, or no response within the exchange's lifetime.
    TimedOut,
    /// The peer rejected the message by a Reset.
    Reset,
    /// The response has a critical option that is not recognised.
    ResponseUnreadable,
}
