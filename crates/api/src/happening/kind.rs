//! The kinds of happenings: `event:` of a stream, and what a follower may choose.

use super::Happening;

/// Of which kind a happening is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HappeningKind {
    /// Points, attributes or tags.
    Report,
    /// Logins, and changes of presence.
    Presence,
    /// Refusals and warnings.
    Refusal,
    /// Steps of commands.
    Command,
    /// Events of devices, and all else.
    Event,
}

impl HappeningKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Report, Self::Presence, Self::Refusal, Self::Command, Self::Event];

    /// Its stable name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Presence => "presence",
            Self::Refusal => "refusal",
            Self::Command => "command",
            Self::Event => "event",
        }
    }

    /// The kind of this name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl Happening {
    /// Its kind.
    pub fn kind(&self) -> HappeningKind {
        match self {
            Self::Report(_) | Self::Attributes(_) | Self::Tags(_) => HappeningKind::Report,
            Self::Activated(_) | Self::Login(_) | Self::Online(_) | Self::Offline(_) => {
                HappeningKind::Presence
            }
            Self::Refused(_) | Self::Warning(_) => HappeningKind::Refusal,
            Self::Command(_) => HappeningKind::Command,
            Self::Event(_) | Self::SecretIssued(_) | Self::Rollout(_) | Self::Upgrade(_) => {
                HappeningKind::Event
            }
        }
    }
}
