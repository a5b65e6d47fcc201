//! What carries the messages of a session: the records of a DTLS association, or bare datagrams.

use std::time::Duration;

use narrowgate_dtls::{Random, SealError, Session};

/// See the module. A plain one takes no room beside that of a DTLS association.
pub(super) enum Channel {
    /// Records, sealed and opened by this association.
    Dtls(Session),
    /// Datagrams without protection (RFC 7252, section 3).
    Plain {
        /// The login ends after so many seconds of silence.
        lifetime_s: u32,
        /// Nothing was heard since but the login itself.
        is_fresh: bool,
    },
}

impl Channel {
    /// Longest message that fits, bytes, as far as the channel limits it.
    pub(super) fn message_bytes_max(&self) -> usize {
        match self {
            Self::Dtls(session) => session.plaintext_bytes_max(),
            Self::Plain { .. } => usize::MAX,
        }
    }

    /// Silence after which the session ends; `by_default` holds for DTLS.
    pub(super) fn idle_timeout(&self, by_default: Duration) -> Duration {
        match self {
            Self::Dtls(_) => by_default,
            Self::Plain { lifetime_s, .. } => Duration::from_secs((*lifetime_s).into()),
        }
    }

    /// Something else than the login came.
    pub(super) fn note_heard(&mut self) {
        if let Self::Plain { is_fresh, .. } = self {
            *is_fresh = false;
        }
    }

    /// Whether a plain login has sent nothing but itself: then a copy of it asks for its answer.
    pub(super) fn is_fresh(&self) -> bool {
        matches!(self, Self::Plain { is_fresh: true, .. })
    }

    /// Appends the datagram that carries a message.
    ///
    /// # Errors
    /// Those of the DTLS layer; a plain channel has none.
    pub(super) fn seal(
        &mut self,
        message: &[u8],
        random: &mut dyn Random,
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        match self {
            Self::Dtls(session) => session.seal(message, random, out),
            Self::Plain { .. } => {
                out.extend_from_slice(message);
                Ok(())
            }
        }
    }

    /// Appends what tells the peer that the session is over: plain CoAP has no words for that.
    pub(super) fn seal_close_notify(&mut self, random: &mut dyn Random, out: &mut Vec<u8>) {
        match self {
            Self::Dtls(session) => session.seal_close_notify(random, out),
            Self::Plain { .. } => {}
        }
    }
}

const _: () =
    assert!(size_of::<Channel>() == size_of::<Session>(), "DTLS sessions do not pay for plain ones");
