//! Enums as the words in the tables, so that people can read them and the order of variants can change.

use narrowgate_platform::{
    firmware::{PausedBy, UpgradeFailure, UpgradeState},
    model::{
        access::Role,
        command::{CommandKind, CommandState},
        device::DeviceState,
        log::{LogEvent, Reason},
        product::{ContentCode, DataFormat, Profile},
        property::PropertyKind,
    },
};
use rusqlite::types::{FromSqlError, FromSqlResult};

const STATES: &[(DeviceState, &str)] = &[
    (DeviceState::Inactive, "inactive"),
    (DeviceState::Online, "online"),
    (DeviceState::Offline, "offline"),
];

const ROLES: &[(Role, &str)] =
    &[(Role::Viewer, "viewer"), (Role::Operator, "operator"), (Role::Administrator, "administrator")];

const PROFILES: &[(Profile, &str)] = &[(Profile::Default, "default"), (Profile::Nbiot, "nbiot")];

const PROPERTIES: &[(PropertyKind, &str)] =
    &[(PropertyKind::Attribute, "attribute"), (PropertyKind::Tag, "tag")];

const EVENTS: &[(LogEvent, &str)] = &[
    (LogEvent::Login, "login"),
    (LogEvent::Refused, "refused"),
    (LogEvent::Online, "online"),
    (LogEvent::Offline, "offline"),
    (LogEvent::Activated, "activated"),
    (LogEvent::Warning, "warning"),
    (LogEvent::SecretIssued, "secret_issued"),
    (LogEvent::SecretShown, "secret_shown"),
    (LogEvent::Created, "created"),
    (LogEvent::Disabled, "disabled"),
    (LogEvent::Enabled, "enabled"),
    (LogEvent::Renamed, "renamed"),
    (LogEvent::Reset, "reset"),
    (LogEvent::SecretRotated, "secret_rotated"),
    (LogEvent::Deleted, "deleted"),
    (LogEvent::AttributesChanged, "attributes_changed"),
    (LogEvent::TagsChanged, "tags_changed"),
    (LogEvent::CommandSent, "command_sent"),
    (LogEvent::CommandsCancelled, "commands_cancelled"),
];

const REASONS: &[(Reason, &str)] = &[
    (Reason::IdentityMalformed, "identity_malformed"),
    (Reason::ProductUnknown, "product_unknown"),
    (Reason::DeviceUnknown, "device_unknown"),
    (Reason::ModeUnknown, "mode_unknown"),
    (Reason::LifetimeOutOfRange, "lifetime_out_of_range"),
    (Reason::DynamicActivationOff, "dynamic_activation_off"),
    (Reason::AlreadyActivated, "already_activated"),
    (Reason::DeviceDisabled, "device_disabled"),
    (Reason::ProductDisabled, "product_disabled"),
    (Reason::UnitSuspended, "unit_suspended"),
    (Reason::NoCommonCipherSuite, "no_common_cipher_suite"),
    (Reason::WrongKey, "wrong_key"),
    (Reason::VersionUnsupported, "version_unsupported"),
    (Reason::RateLimited, "rate_limited"),
    (Reason::TopicForeign, "topic_foreign"),
    (Reason::BodyMalformed, "body_malformed"),
    (Reason::ModelInvalid, "model_invalid"),
    (Reason::PathUnknown, "path_unknown"),
    (Reason::MethodWrong, "method_wrong"),
    (Reason::OptionUnsupported, "option_unsupported"),
    (Reason::NotAcceptable, "not_acceptable"),
    (Reason::MessageMalformed, "message_malformed"),
    (Reason::MessageIdReused, "message_id_reused"),
    (Reason::SecretShared, "secret_shared"),
    (Reason::TimeDoubtful, "time_doubtful"),
    (Reason::TooLarge, "too_large"),
    (Reason::NotDtls, "not_dtls"),
    (Reason::CommandNotOpen, "command_not_open"),
    (Reason::NoUpgrade, "no_upgrade"),
    (Reason::NotificationLost, "notification_lost"),
];

const COMMAND_KINDS: &[(CommandKind, &str)] = &[
    (CommandKind::Set, "set"),
    (CommandKind::Get, "get"),
    (CommandKind::Service, "service"),
    (CommandKind::Raw, "raw"),
    (CommandKind::Upgrade, "upgrade"),
];

const COMMAND_STATES: &[(CommandState, &str)] = &[
    (CommandState::Created, "created"),
    (CommandState::Cancelled, "cancelled"),
    (CommandState::Expired, "expired"),
    (CommandState::Sent, "sent"),
    (CommandState::Succeeded, "succeeded"),
    (CommandState::Failed, "failed"),
    (CommandState::TimedOut, "timed_out"),
];

const UPGRADE_STATES: &[(UpgradeState, &str)] = &[
    (UpgradeState::Waiting, "waiting"),
    (UpgradeState::Offered, "offered"),
    (UpgradeState::Sent, "sent"),
    (UpgradeState::Accepted, "accepted"),
    (UpgradeState::Downloading, "downloading"),
    (UpgradeState::Verifying, "verifying"),
    (UpgradeState::Burning, "burning"),
    (UpgradeState::Done, "done"),
    (UpgradeState::Failed, "failed"),
    (UpgradeState::Cancelled, "cancelled"),
];

const UPGRADE_FAILURES: &[(UpgradeFailure, &str)] = &[
    (UpgradeFailure::Upgrade, "upgrade"),
    (UpgradeFailure::Download, "download"),
    (UpgradeFailure::Verify, "verify"),
    (UpgradeFailure::Burn, "burn"),
    (UpgradeFailure::Refused, "refused"),
    (UpgradeFailure::Silent, "silent"),
];

const PAUSED_BY: &[(PausedBy, &str)] = &[(PausedBy::Operator, "operator"), (PausedBy::Failures, "failures")];

/// An enum that has a word for each variant.
pub(super) trait Named: Copy + PartialEq + std::fmt::Debug + 'static {
    /// All variants with their words.
    const WORDS: &'static [(Self, &'static str)];

    /// The variant's word.
    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(variant, _)| *variant == self);
        found.expect("a test proves that the table is complete").1
    }

    /// The variant of a word.
    fn of_word(word: &str) -> FromSqlResult<Self> {
        let found = Self::WORDS.iter().find(|(_, known)| *known == word);
        found
            .map(|(variant, _)| *variant)
            .ok_or_else(|| FromSqlError::Other(format!("unknown word {word:?}").into()))
    }
}

impl Named for DeviceState {
    const WORDS: &'static [(Self, &'static str)] = STATES;
}

impl Named for Role {
    const WORDS: &'static [(Self, &'static str)] = ROLES;
}

impl Named for Profile {
    const WORDS: &'static [(Self, &'static str)] = PROFILES;
}

impl Named for DataFormat {
    const WORDS: &'static [(Self, &'static str)] =
        &[(DataFormat::Json, "json"), (DataFormat::Custom, "custom")];
}

impl Named for ContentCode {
    const WORDS: &'static [(Self, &'static str)] =
        &[(ContentCode::Content, "2.05"), (ContentCode::Changed, "2.04")];
}

impl Named for PropertyKind {
    const WORDS: &'static [(Self, &'static str)] = PROPERTIES;
}

impl Named for LogEvent {
    const WORDS: &'static [(Self, &'static str)] = EVENTS;
}

impl Named for Reason {
    const WORDS: &'static [(Self, &'static str)] = REASONS;
}

impl Named for CommandKind {
    const WORDS: &'static [(Self, &'static str)] = COMMAND_KINDS;
}

impl Named for CommandState {
    const WORDS: &'static [(Self, &'static str)] = COMMAND_STATES;
}

impl Named for UpgradeState {
    const WORDS: &'static [(Self, &'static str)] = UPGRADE_STATES;
}

impl Named for UpgradeFailure {
    const WORDS: &'static [(Self, &'static str)] = UPGRADE_FAILURES;
}

impl Named for PausedBy {
    const WORDS: &'static [(Self, &'static str)] = PAUSED_BY;
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    /// Serde knows all variants and lists them when it meets a word that it does not know.
    fn check<T: Named + DeserializeOwned>() {
        let error = serde_json::from_str::<T>("\"?\"").unwrap_err().to_string();
        let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(known.len(), T::WORDS.len(), "{error}");
        for (variant, word) in T::WORDS {
            assert_eq!(serde_json::from_str::<T>(&format!("{word:?}")).unwrap(), *variant);
            assert_eq!((variant.word(), T::of_word(word).unwrap()), (*word, *variant));
        }
        assert!(T::of_word("?").is_err());
    }

    #[test]
    fn the_tables_are_complete_and_use_the_stable_names() {
        check::<DeviceState>();
        check::<Role>();
        check::<PropertyKind>();
        check::<LogEvent>();
        check::<Reason>();
        check::<DataFormat>();
        check::<CommandKind>();
        check::<CommandState>();
        check::<UpgradeState>();
        check::<UpgradeFailure>();
        check::<PausedBy>();
    }
}
