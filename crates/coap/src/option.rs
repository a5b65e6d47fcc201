//! Option numbers and the values that each permits (RFC 7252, sections 3.2, 5.4 and 5.10).

use std::fmt;

/// The number of an option; numbers that have no name here are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionNumber(pub u16);

/// The rule of RFC 7252 for the value of an option that this implementation recognises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionRule {
    /// The shortest value, in bytes.
    pub bytes_min: usize,
    /// The longest value, in bytes.
    pub bytes_max: usize,
    /// Whether the option may occur more than once.
    pub repeatable: bool,
}

/// Why an option is treated as unknown (RFC 7252, sections 5.4.1, 5.4.3 and 5.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OptionFault {
    /// This implementation does not recognise its number.
    Unknown,
    /// Its value is shorter or longer than its rule allows: this many bytes.
    Length(usize),
    /// It may occur once and occurred before.
    Repeated,
    /// Its value is not UTF-8.
    NotText,
}

impl OptionNumber {
    /// If-Match.
    pub const IF_MATCH: Self = Self(1);
    /// Uri-Host.
    pub const URI_HOST: Self = Self(3);
    /// ETag.
    pub const ETAG: Self = Self(4);
    /// If-None-Match.
    pub const IF_NONE_MATCH: Self = Self(5);
    /// Observe (RFC 7641).
    pub const OBSERVE: Self = Self(6);
    /// Uri-Port.
    pub const URI_PORT: Self = Self(7);
    /// Location-Path.
    pub const LOCATION_PATH: Self = Self(8);
    /// Uri-Path.
    pub const URI_PATH: Self = Self(11);
    /// Content-Format.
    pub const CONTENT_FORMAT: Self = Self(12);
    /// Max-Age, in seconds.
    pub const MAX_AGE: Self = Self(14);
    /// Uri-Query.
    pub const URI_QUERY: Self = Self(15);
    /// Accept.
    pub const ACCEPT: Self = Self(17);
    /// Location-Query.
    pub const LOCATION_QUERY: Self = Self(20);
    /// Block2 (RFC 7959).
    pub const BLOCK2: Self = Self(23);
    /// Block1 (RFC 7959).
    pub const BLOCK1: Self = Self(27);
    /// Size2 (RFC 7959).
    pub const SIZE2: Self = Self(28);
    /// Proxy-Uri.
    pub const PROXY_URI: Self = Self(35);
    /// Proxy-Scheme.
    pub const PROXY_SCHEME: Self = Self(39);
    /// Size1.
    pub const SIZE1: Self = Self(60);
    /// Echo (RFC 9175).
    pub const ECHO: Self = Self(252);
    /// No-Response (RFC 7967).
    pub const NO_RESPONSE: Self = Self(258);
    /// Request-Tag (RFC 9175).
    pub const REQUEST_TAG: Self = Self(292);

    /// Whether a peer that does not know the option must refuse the message (5.4.1).
    #[must_use]
    pub const fn is_critical(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether a proxy that does not know the option must not forward it (5.4.2).
    #[must_use]
    pub const fn is_unsafe(self) -> bool {
        self.0 & 2 == 2
    }

    /// Whether the option is no part of the cache key, because it concerns the transfer alone (5.4.2).
    #[must_use]
    pub const fn is_no_cache_key(self) -> bool {
        self.0 & 0x1e == 0x1c
    }

    /// The rule for the value; `None` for options that are not recognised (table 4 of RFC 7252; Observe;
    /// block-wise transfer with Request-Tag; No-Response).
    #[must_use]
    pub const fn rule(self) -> Option<OptionRule> {
        let (bytes_min, bytes_max, repeatable) = match self {
            Self::IF_MATCH => (0, 8, true),
            Self::URI_HOST => (1, 255, false),
            Self::ETAG => (1, 8, true),
            Self::IF_NONE_MATCH => (0, 0, false),
            Self::OBSERVE => (0, 3, false),
            Self::URI_PORT | Self::CONTENT_FORMAT | Self::ACCEPT => (0, 2, false),
            Self::LOCATION_PATH | Self::URI_PATH | Self::URI_QUERY | Self::LOCATION_QUERY => (0, 255, true),
            Self::MAX_AGE | Self::SIZE1 | Self::SIZE2 => (0, 4, false),
            Self::BLOCK1 | Self::BLOCK2 => (0, 3, false),
            Self::REQUEST_TAG => (0, 8, true),
            Self::NO_RESPONSE => (0, 1, false),
            Self::PROXY_URI => (1, 1034, false),
            Self::PROXY_SCHEME => (1, 255, false),
            _ => return None,
        };
        Some(OptionRule { bytes_min, bytes_max, repeatable })
    }

    /// Checks that a value of `bytes` bytes can be read as this option. `repeated` says that the option
    /// occurred before.
    ///
    /// Sections 5.4.3 and 5.4.5: a length out of range, and one occurrence too many, make an option
    /// unrecognised.
    pub(crate) const fn check(self, bytes: usize, repeated: bool) -> Result<(), OptionFault> {
        match self.rule() {
            None => Err(OptionFault::Unknown),
            Some(rule) if bytes < rule.bytes_min || bytes > rule.bytes_max => Err(OptionFault::Length(bytes)),
            Some(rule) if repeated && !rule.repeatable => Err(OptionFault::Repeated),
            Some(_) => Ok(()),
        }
    }

    /// The name of the option in its RFC; `None` for numbers that this implementation does not know. For
    /// display only.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "If-Match",
            3 => "Uri-Host",
            4 => "ETag",
            5 => "If-None-Match",
            6 => "Observe",
            7 => "Uri-Port",
            8 => "Location-Path",
            9 => "OSCORE",
            11 => "Uri-Path",
            12 => "Content-Format",
            13 => "Uri-Path-Abbrev",
            14 => "Max-Age",
            15 => "Uri-Query",
            16 => "Hop-Limit",
            17 => "Accept",
            19 => "Q-Block1",
            20 => "Location-Query",
            21 => "EDHOC",
            23 => "Block2",
            27 => "Block1",
            28 => "Size2",
            31 => "Q-Block2",
            35 => "Proxy-Uri",
            39 => "Proxy-Scheme",
            60 => "Size1",
            252 => "Echo",
            258 => "No-Response",
            292 => "Request-Tag",
            _ => return None,
        })
    }
}

impl fmt::Debug for OptionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OptionNumber({})", self.0)
    }
}

impl fmt::Display for OptionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An option value of format uint: big-endian without leading zeros, nothing at all for 0 (section 3.2).
pub(crate) struct Uint {
    bytes: [u8; 4],
    start: usize,
}

impl Uint {
    pub(crate) const fn new(value: u32) -> Self {
        Self { bytes: value.to_be_bytes(), start: value.leading_zeros() as usize / 8 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Reads an option value of format uint; leading zeros are accepted, more than four bytes give `None`.
pub(crate) fn parse_uint(value: &[u8]) -> Option<u32> {
    if value.len() > 4 {
        return None;
    }
    Some(value.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_whether_they_are_critical_and_unsafe() {
        assert!(OptionNumber::URI_PATH.is_critical() && OptionNumber::URI_PATH.is_unsafe());
        assert!(!OptionNumber::SIZE1.is_critical() && !OptionNumber::SIZE1.is_unsafe());
        assert!(OptionNumber(2101).is_critical() && !OptionNumber(2100).is_critical());
    }

    #[test]
    fn an_integer_takes_the_fewest_bytes() {
        let cases: [(u32, &[u8]); 5] =
            [(0, &[]), (1, &[1]), (0x1633, &[0x16, 0x33]), (1 << 16, &[1, 0, 0]), (u32::MAX, &[255; 4])];
        for (value, bytes) in cases {
            assert_eq!(Uint::new(value).as_bytes(), bytes);
            assert_eq!(parse_uint(bytes), Some(value));
        }
        assert_eq!(parse_uint(&[0, 0, 0x16, 0x33]), Some(0x1633));
        assert_eq!(parse_uint(&[0; 5]), None);
    }
}
