//! Why our side could not send an answer, a notification or a request.

/// Why an answer was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// The exchange was answered before, has expired, or never existed.
    #[error("no such exchange is open")]
    ExchangeUnknown,
    /// The code is not a response code. The exchange stays open.
    #[error("the code of the response is not a response code")]
    NotAResponse,
    /// Not even the smallest block of it fits into a message of [`crate::Params::message_bytes_max`]; or it
    /// is longer than [`crate::Params::answer_bytes_max`], so that it is not kept, and answers no GET, which
    /// could run again. The exchange stays open.
    #[error("the response has {bytes} bytes and {bytes_max} can be sent, in blocks or not")]
    TooLarge {
        /// Bytes of the message.
        bytes: usize,
        /// The most that are allowed.
        bytes_max: usize,
    },
}

/// Why observers were not notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The code is not that of a success: an error would end the registrations.
    #[error("the code of the notification is not that of a success")]
    NotASuccess,
    /// The message would be larger than [`crate::Params::message_bytes_max`]. Notifications do not go in
    /// blocks.
    #[error("the notification has {bytes} bytes and {bytes_max} can be sent")]
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
