//! Why our side could not send an answer or a request.

/// Why an answer was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// The exchange was answered before, has expired, or never existed.
    #[error("no such exchange is open")]
    ExchangeUnknown,
    /// The code is not a response code. The exchange stays open.
    #[error("the code of the response is not a response code")]
    NotAResponse,
    /// The message would be larger than [`crate::Params::message_bytes_max`]. The exchange stays open.
    #[error("the response has {bytes} bytes and does not fit into one message of {bytes_max}")]
    TooLarge {
        /// Bytes of the message.
        bytes: usize,
        /// The most that are allowed.
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
    /// The message would be larger than [`crate::Params::message_bytes_max`].
    #[error("the request does not fit into one message")]
    TooLarge,
    /// [`crate::Params::requests_max`] are waiting or on their way.
    #[error("too many requests are waiting for this peer")]
    QueueFull,
    /// The budget is spent.
    #[error("no memory is left in the budget")]
    BudgetSpent,
}
