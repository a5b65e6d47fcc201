//! Errors of our caller. A fault of the peer is a [`crate::Discard`] or a [`crate::Refusal`].

use thiserror::Error;

/// A record could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// The plaintext does not fit one record of this session.
    #[error("seal a record: at most {max} bytes fit")]
    TooLarge {
        /// Most bytes that fit.
        max: usize,
    },
    /// All 2^48 record numbers are used. The session must be closed, because a number is never used twice.
    #[error("seal a record: the sequence numbers are used up")]
    SequenceExhausted,
    /// The session was saved, and the next number is not reserved in the copy: see [`crate::Session::save`].
    #[error("seal a record: its sequence number is not reserved in the saved copy")]
    NotReserved,
}

/// Bytes that cannot be a pre-shared key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PskError {
    /// Zero bytes would make the keys known to everybody.
    #[error("take a pre-shared key: it is empty")]
    Empty,
    /// Longer than [`crate::limits::PSK_BYTES_MAX`].
    #[error("take a pre-shared key: it has {bytes} bytes, at most {max} are possible")]
    TooLong {
        /// Length of the given key.
        bytes: usize,
        /// Longest possible key.
        max: usize,
    },
}
