//! Why a handshake was refused by a fatal alert, after the peer's address was proven by its cookie.

use std::fmt;

use crate::{
    codes::AlertDescription,
    offered::{OfferedVersions, SuiteMismatch},
};

/// A handshake that we end with an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// We support none of the offered cipher suites.
    NoCommonCipherSuite(SuiteMismatch),
    /// The peer does not speak DTLS 1.2.
    VersionUnsupported(OfferedVersions),
    /// A field has a value that the protocol forbids.
    IllegalParameter,
    /// A message does not parse.
    DecodeError,
    /// A protection that our policy requires is missing.
    InsufficientSecurity(Missing),
    /// A renegotiation_info that is not empty in a first handshake (RFC 5746, section 3.6).
    RenegotiationInfo,
    /// A message that is not allowed in this state.
    UnexpectedMessage,
    /// A Finished under the right keys with the wrong content: somebody changed the handshake.
    DecryptError,
}

/// What was missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// The extended_master_secret extension (RFC 7627).
    ExtendedMasterSecret,
    /// The encrypt_then_mac extension (RFC 7366), and CBC is the only common suite.
    EncryptThenMac,
}

impl Refusal {
    /// Description byte of its alert (RFC 5246, section 7.2).
    pub const fn alert(self) -> u8 {
        self.description().0
    }

    /// The table from refusal to alert.
    pub(crate) const fn description(self) -> AlertDescription {
        match self {
            Self::NoCommonCipherSuite(_) => AlertDescription::HANDSHAKE_FAILURE,
            Self::VersionUnsupported(_) => AlertDescription::PROTOCOL_VERSION,
            Self::IllegalParameter => AlertDescription::ILLEGAL_PARAMETER,
            Self::DecodeError => AlertDescription::DECODE_ERROR,
            // RFC 7627 5.2 names handshake_failure.
            Self::InsufficientSecurity(Missing::ExtendedMasterSecret) => AlertDescription::HANDSHAKE_FAILURE,
            Self::InsufficientSecurity(Missing::EncryptThenMac) => AlertDescription::INSUFFICIENT_SECURITY,
            Self::RenegotiationInfo => AlertDescription::HANDSHAKE_FAILURE,
            Self::UnexpectedMessage => AlertDescription::UNEXPECTED_MESSAGE,
            Self::DecryptError => AlertDescription::DECRYPT_ERROR,
        }
    }

    /// The reason in words, without a full stop.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoCommonCipherSuite(_) => "no common cipher suite",
            Self::VersionUnsupported(_) => "the peer does not offer DTLS 1.2",
            Self::IllegalParameter => "illegal value in a handshake message",
            Self::DecodeError => "malformed handshake message",
            Self::InsufficientSecurity(Missing::ExtendedMasterSecret) => "extended_master_secret is required",
            Self::InsufficientSecurity(Missing::EncryptThenMac) => "encrypt_then_mac is required with CBC",
            Self::RenegotiationInfo => "renegotiation_info is not empty",
            Self::UnexpectedMessage => "unexpected handshake message",
            Self::DecryptError => "the Finished message does not fit the handshake",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())?;
        match self {
            Self::NoCommonCipherSuite(mismatch) => write!(f, ": {mismatch}"),
            Self::VersionUnsupported(offered) => write!(f, ": {offered}"),
            _ => Ok(()),
        }
    }
}
