//! What happens to devices and why they are refused, by names that are stable (device protocol, section 9).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened. Names are stable: scripts filter by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogEvent {
    /// First login.
    Activated,
    /// A mode-2 handshake was completed.
    Login,
    /// Heard again after silence, without a new handshake.
    Online,
    /// Silent for its lifetime, or closed by the device.
    Offline,
    /// A handshake or a request was refused; `reason` says why.
    Refused,
    /// A request was served, but is probably not what was meant; `reason` says why.
    Warning,
    /// A secret was issued by dynamic activation.
    SecretIssued,
    /// A secret was shown to an operator.
    SecretShown,
    /// Registered.
    Created,
    /// Switched off.
    Disabled,
    /// Switched on.
    Enabled,
    /// Given another name by an operator.
    Renamed,
    /// Made inactive again, with its secret.
    Reset,
    /// An operator replaced a secret: the device's own, or a product's, whose key is the identity then.
    SecretRotated,
    /// Deleted.
    Deleted,
    /// Attributes were changed by an operator.
    AttributesChanged,
    /// Tags were changed by an operator.
    TagsChanged,
    /// An operator sent a command.
    CommandSent,
    /// An operator took commands back.
    CommandsCancelled,
}

/// Why a handshake or a request was refused, or what a warning is about. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation: device protocol, section 9")]
pub enum Reason {
    IdentityMalformed,
    ProductUnknown,
    DeviceUnknown,
    ModeUnknown,
    LifetimeOutOfRange,
    DynamicActivationOff,
    AlreadyActivated,
    DeviceDisabled,
    ProductDisabled,
    UnitSuspended,
    NoCommonCipherSuite,
    WrongKey,
    VersionUnsupported,
    RateLimited,
    TopicForeign,
    BodyMalformed,
    ModelInvalid,
    PathUnknown,
    MethodWrong,
    OptionUnsupported,
    NotAcceptable,
    MessageMalformed,
    MessageIdReused,
    SecretShared,
    TimeDoubtful,
    TooLarge,
    NotDtls,
    CommandNotOpen,
    NotificationLost,
    NoUpgrade,
}

impl Reason {
    /// Every reason, in order.
    pub const ALL: [Self; 30] = [
        Self::IdentityMalformed,
        Self::ProductUnknown,
        Self::DeviceUnknown,
        Self::ModeUnknown,
        Self::LifetimeOutOfRange,
        Self::DynamicActivationOff,
        Self::AlreadyActivated,
        Self::DeviceDisabled,
        Self::ProductDisabled,
        Self::UnitSuspended,
        Self::NoCommonCipherSuite,
        Self::WrongKey,
        Self::VersionUnsupported,
        Self::RateLimited,
        Self::TopicForeign,
        Self::BodyMalformed,
        Self::ModelInvalid,
        Self::PathUnknown,
        Self::MethodWrong,
        Self::OptionUnsupported,
        Self::NotAcceptable,
        Self::MessageMalformed,
        Self::MessageIdReused,
        Self::SecretShared,
        Self::TimeDoubtful,
        Self::TooLarge,
        Self::NotDtls,
        Self::CommandNotOpen,
        Self::NotificationLost,
        Self::NoUpgrade,
    ];

    /// The protocol's number for it, where section 9 of the device protocol has one.
    pub const fn code(self) -> Option<u16> {
        match self {
            Self::DeviceUnknown => Some(705),
            Self::DeviceDisabled | Self::ProductDisabled | Self::UnitSuspended => Some(723),
            Self::WrongKey => Some(742),
            Self::DynamicActivationOff => Some(770),
            Self::AlreadyActivated => Some(771),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_reasons_stand_in_their_order() {
        for (position, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, position, "{reason:?}");
        }
        let schema = schemars::schema_for!(Reason);
        let known = schema.as_value()["enum"].as_array().map(Vec::len);
        assert_eq!(known, Some(Reason::ALL.len()));
    }
}
