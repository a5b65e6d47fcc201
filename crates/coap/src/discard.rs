//! Why a datagram had no effect: reasons for counters, not errors.

use crate::{message::Fault, refused::RequestFault};

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal,)*) => {
        /// A reason not to process a message, or to stop processing it. The session goes on in every case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Discard {
            $($(#[$doc])* $reason,)*
        }

        impl Discard {
            /// All reasons, in the order of [`Discard::index`].
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            /// The name for metrics and logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// Shorter than a header. Ignored.
    TooShort = "too_short",
    /// Not version 1. Ignored.
    VersionUnknown = "version_unknown",
    /// Token longer than 8 bytes or cut off. RST if confirmable.
    TokenMalformed = "token_malformed",
    /// Empty message with content, or a non-confirmable empty one. RST if confirmable.
    EmptyMalformed = "empty_malformed",
    /// An option that cannot be read. RST if confirmable.
    OptionMalformed = "option_malformed",
    /// Payload marker at the end. RST if confirmable.
    PayloadMissing = "payload_missing",
    /// Reserved class, or a code that the type cannot carry. RST if confirmable.
    CodeMisplaced = "code_misplaced",
    /// A method that RFC 7252 does not have. 4.05.
    MethodUnknown = "method_unknown",
    /// A critical option that is unknown, out of range or repeated too often. 4.02.
    OptionCritical = "option_critical",
    /// More options than [`crate::Params::options_max`]. 4.02.
    OptionsTooMany = "options_too_many",
    /// Proxy-Uri or Proxy-Scheme. 5.05.
    Proxying = "proxying",
    /// Block1 or Block2 with the reserved size, another length than the payload's, or past the end. 4.00.
    BlockMalformed = "block_malformed",
    /// A block of a body without those before it, or of an answer that is not kept any more. 4.08.
    BlockMissing = "block_missing",
    /// A body that is longer than [`crate::Params::body_bytes_max`]. 4.13.
    BodyTooLarge = "body_too_large",
    /// The part of the [`crate::Budget`] that bodies in transfer may take is spent, or little of it is left
    /// and this session holds more than its share. 5.03 if confirmable; the transfer is over.
    BodyBudgetSpent = "body_budget_spent",
    /// A block of a peer that is to wait: [`crate::Endpoint::handle_message_held_back`]. 4.29.
    HeldBack = "held_back",
    /// Seen before and answered: the same answer is sent again.
    Duplicate = "duplicate",
    /// Its Message ID was seen before, with another request: answered as a duplicate of that one, or not at
    /// all until that one is answered.
    DuplicateDiffers = "duplicate_differs",
    /// Seen before, and not answered yet.
    DuplicateWorking = "duplicate_working",
    /// [`crate::Params::stored_answers_max`] or `stored_bytes_max` is reached. 5.03 if confirmable.
    AnswersFull = "answers_full",
    /// [`crate::Params::exchanges_open_max`] is reached. 5.03 if confirmable.
    ExchangesFull = "exchanges_full",
    /// The [`crate::Budget`] is spent. 5.03 if confirmable.
    BudgetSpent = "budget_spent",
    /// Little of the [`crate::Budget`] is left, and this session holds more than its share of that. 5.03 if
    /// confirmable.
    ShareSpent = "share_spent",
    /// A response to no request of ours, or a second one. RST if confirmable.
    ResponseUnexpected = "response_unexpected",
    /// A response with a critical option that is not recognised. RST if confirmable.
    ResponseUnreadable = "response_unreadable",
    /// An acknowledgement of a message that we did not send, or with a token that is not ours.
    AcknowledgementUnknown = "acknowledgement_unknown",
    /// A Reset of a message that is not waiting.
    ResetUnknown = "reset_unknown",
    /// The application did not answer within the exchange's lifetime.
    ExchangeUnanswered = "exchange_unanswered",
}

impl Discard {
    /// Whether the message could not be read at all.
    #[must_use]
    pub const fn is_malformed(self) -> bool {
        matches!(
            self,
            Self::TooShort
                | Self::VersionUnknown
                | Self::TokenMalformed
                | Self::EmptyMalformed
                | Self::OptionMalformed
                | Self::PayloadMissing
                | Self::CodeMisplaced
        )
    }

    /// The place in an array of counters, below `ALL.len()`.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl From<Fault> for Discard {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooShort => Self::TooShort,
            Fault::Version => Self::VersionUnknown,
            Fault::Token => Self::TokenMalformed,
            Fault::EmptyWithContent => Self::EmptyMalformed,
            Fault::OptionReserved | Fault::OptionTruncated | Fault::OptionNumber => Self::OptionMalformed,
            Fault::PayloadMissing => Self::PayloadMissing,
            Fault::Code => Self::CodeMisplaced,
        }
    }
}

impl From<RequestFault> for Discard {
    fn from(fault: RequestFault) -> Self {
        match fault {
            RequestFault::MethodUnknown => Self::MethodUnknown,
            RequestFault::Proxying(_) => Self::Proxying,
            RequestFault::Option { .. } => Self::OptionCritical,
            RequestFault::OptionsTooMany { .. } => Self::OptionsTooMany,
            RequestFault::Block { .. } => Self::BlockMalformed,
            RequestFault::BlockMissing { .. } | RequestFault::AnswerGone { .. } => Self::BlockMissing,
            RequestFault::BodyTooLarge { .. } => Self::BodyTooLarge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_index_under_a_name_of_its_own() {
        for (index, reason) in Discard::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            let same = Discard::ALL.iter().filter(|other| other.name() == reason.name()).count();
            assert_eq!(same, 1, "{}", reason.name());
        }
    }
}
