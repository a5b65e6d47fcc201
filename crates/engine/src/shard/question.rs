//! What a handshake asks of the platform while it waits, and the answers. A new kind of question (such as for
//! a session to resume) needs a variant in both, an event and a command.

use narrowgate_dtls::PskAnswer;

/// What a handshake waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// The key of the peer's identity: [`crate::event::ShardEvent::PskWanted`].
    Psk,
}

/// The platform's answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// [`crate::event::ShardCommand::ProvidePsk`].
    Psk(PskAnswer),
}

impl Answer {
    /// The question that it answers.
    pub(super) fn question(&self) -> Question {
        match self {
            Self::Psk(_) => Question::Psk,
        }
    }
}
