//! What a peer offered that we do not support, in words for an operator: cipher suites and versions by their
//! names, beside what is expected. Only the first few of each are kept, because a stranger sent them.

use std::fmt;

use crate::codes::{CipherSuite, EMPTY_RENEGOTIATION_INFO_SCSV, Version};

/// How many numbers of a list are kept.
const KEPT_MAX: usize = 8;

/// TLS_FALLBACK_SCSV (RFC 7507): a signal, not a suite.
const FALLBACK_SCSV: u16 = 0x5600;

/// The first numbers of a list, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Numbers {
    kept: [u16; KEPT_MAX],
    count: u16,
}

impl Numbers {
    fn of(numbers: impl Iterator<Item = u16>) -> Self {
        let mut all = Self::default();
        for number in numbers {
            if let Some(place) = all.kept.get_mut(usize::from(all.count)) {
                *place = number;
            }
            all.count = all.count.saturating_add(1);
        }
        all
    }

    fn kept(&self) -> &[u16] {
        &self.kept[..KEPT_MAX.min(usize::from(self.count))]
    }

    /// `a, b and 3 more`.
    fn write(&self, f: &mut fmt::Formatter<'_>, name: impl Fn(u16) -> String) -> fmt::Result {
        let names: Vec<String> = self.kept().iter().map(|&number| name(number)).collect();
        f.write_str(&names.join(", "))?;
        match usize::from(self.count) - names.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The cipher suites of both sides if they have none in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SuiteMismatch {
    offered: Numbers,
    expected: [Option<CipherSuite>; CipherSuite::ALL.len()],
}

impl SuiteMismatch {
    pub(crate) fn new(offered: impl Iterator<Item = u16>, expected: &[CipherSuite]) -> Self {
        Self {
            offered: Numbers::of(offered.filter(|&id| is_suite(id))),
            expected: CipherSuite::ALL.map(|suite| expected.contains(&suite).then_some(suite)),
        }
    }

    /// Numbers of the first few suites that the peer offers.
    pub fn offered(&self) -> &[u16] {
        self.offered.kept()
    }
}

impl fmt::Display for SuiteMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer offers ")?;
        match self.offered.count {
            0 => f.write_str("no cipher suite")?,
            _ => self.offered.write(f, suite_name)?,
        }
        let expected = self.expected.iter().flatten().map(|suite| suite_name(suite.id()));
        write!(f, "; expected is {}", expected.collect::<Vec<_>>().join(" or "))
    }
}

/// The versions that a peer offers if DTLS 1.2 is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OfferedVersions(Numbers);

impl OfferedVersions {
    pub(crate) fn new(versions: impl Iterator<Item = u16>) -> Self {
        Self(Numbers::of(versions.filter(|&version| !is_grease(version))))
    }

    pub(crate) fn one(version: Version) -> Self {
        Self(Numbers::of(std::iter::once(version.0)))
    }

    /// Numbers of the first few versions.
    pub fn numbers(&self) -> &[u16] {
        self.0.kept()
    }
}

impl fmt::Display for OfferedVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer offers ")?;
        match self.0.count {
            0 => f.write_str("no version")?,
            _ => self.0.write(f, version_name)?,
        }
        f.write_str("; expected is DTLS 1.2")
    }
}

/// Whether a number in a list of suites is a suite: neither a signal nor one of RFC 8701, which mean nothing.
pub(crate) fn is_suite(id: u16) -> bool {
    id != EMPTY_RENEGOTIATION_INFO_SCSV && id != FALLBACK_SCSV && !is_grease(id)
}

/// 0a0a, 1a1a to fafa (RFC 8701, section 2).
fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

/// Whether a suite belongs to version 1.3 (RFC 8446, appendix B.4), and so to no handshake of 1.2.
pub(crate) fn is_of_version_1_3(id: u16) -> bool {
    id >> 8 == 0x13
}

fn version_name(version: u16) -> String {
    let name = match version {
        0xfefc => "DTLS 1.3",
        0xfefd => "DTLS 1.2",
        0xfeff => "DTLS 1.0",
        0x0304 => "TLS 1.3",
        0x0303 => "TLS 1.2",
        0x0302 => "TLS 1.1",
        0x0301 => "TLS 1.0",
        0x0100 => "a DTLS older than 1.0",
        _ => return format!("version {version:04X}"),
    };
    name.to_owned()
}

/// Name and number of a suite; the number alone if the suite is rare on devices.
fn suite_name(id: u16) -> String {
    match NAMES.iter().find(|(known, _)| *known == id) {
        Some((_, name)) => format!("{name} ({id:04X})"),
        None => format!("{id:04X}"),
    }
}

/// From the IANA registry: those with a pre-shared key, and what the usual libraries offer first.
const NAMES: &[(u16, &str)] = &[
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"),
    (0x008c, "TLS_PSK_WITH_AES_128_CBC_SHA"),
    (0x008d, "TLS_PSK_WITH_AES_256_CBC_SHA"),
    (0x0090, "TLS_DHE_PSK_WITH_AES_128_CBC_SHA"),
    (0x0091, "TLS_DHE_PSK_WITH_AES_256_CBC_SHA"),
    (0x00a8, "TLS_PSK_WITH_AES_128_GCM_SHA256"),
    (0x00a9, "TLS_PSK_WITH_AES_256_GCM_SHA384"),
    (0x00aa, "TLS_DHE_PSK_WITH_AES_128_GCM_SHA256"),
    (0x00ab, "TLS_DHE_PSK_WITH_AES_256_GCM_SHA384"),
    (0x00ae, "TLS_PSK_WITH_AES_128_CBC_SHA256"),
    (0x00af, "TLS_PSK_WITH_AES_256_CBC_SHA384"),
    (0x00b2, "TLS_DHE_PSK_WITH_AES_128_CBC_SHA256"),
    (0x00b3, "TLS_DHE_PSK_WITH_AES_256_CBC_SHA384"),
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0x1304, "TLS_AES_128_CCM_SHA256"),
    (0x1305, "TLS_AES_128_CCM_8_SHA256"),
    (0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    (0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xc035, "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA"),
    (0xc037, "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256"),
    (0xc0a4, "TLS_PSK_WITH_AES_128_CCM"),
    (0xc0a5, "TLS_PSK_WITH_AES_256_CCM"),
    (0xc0a6, "TLS_DHE_PSK_WITH_AES_128_CCM"),
    (0xc0a7, "TLS_DHE_PSK_WITH_AES_256_CCM"),
    (0xc0a8, "TLS_PSK_WITH_AES_128_CCM_8"),
    (0xc0a9, "TLS_PSK_WITH_AES_256_CCM_8"),
    (0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
    (0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"),
    (0xccab, "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256"),
    (0xd001, "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256"),
    (0xd003, "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256"),
    (0xd005, "TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn mismatch(offered: &[u16], expected: &[CipherSuite]) -> String {
        SuiteMismatch::new(offered.iter().copied(), expected).to_string()
    }

    #[test]
    fn suites_are_named_beside_what_is_expected() {
        assert_eq!(
            mismatch(&[0x00a9, 0xabcd, 0x00ff, 0x5600, 0x1a1a], &CipherSuite::ALL),
            "the peer offers TLS_PSK_WITH_AES_256_GCM_SHA384 (00A9), ABCD; expected is \
             TLS_PSK_WITH_AES_128_CCM_8 (C0A8) or TLS_PSK_WITH_AES_128_CBC_SHA256 (00AE)"
        );
        assert_eq!(
            mismatch(&[0x00ff], &[CipherSuite::PskAes128CbcSha256]),
            "the peer offers no cipher suite; expected is TLS_PSK_WITH_AES_128_CBC_SHA256 (00AE)"
        );
        let many: Vec<u16> = (0x4000..0x4000 + 1000).filter(|&id| is_suite(id)).collect();
        let shown = mismatch(&many, &CipherSuite::ALL);
        assert!(shown.contains(" and 992 more;") && shown.len() < 300, "{shown}");
    }

    #[test]
    fn versions_are_named() {
        let shown = |versions: &[u16]| OfferedVersions::new(versions.iter().copied()).to_string();
        assert_eq!(shown(&[0x2a2a, 0xfefc]), "the peer offers DTLS 1.3; expected is DTLS 1.2");
        assert_eq!(shown(&[0xfeff]), "the peer offers DTLS 1.0; expected is DTLS 1.2");
        assert_eq!(shown(&[0x7777, 0x0304]), "the peer offers version 7777, TLS 1.3; expected is DTLS 1.2");
        assert_eq!(shown(&[]), "the peer offers no version; expected is DTLS 1.2");
    }

    #[test]
    fn names_are_sorted_and_ours_are_among_them() {
        assert!(NAMES.is_sorted_by_key(|(id, _)| *id));
        for suite in CipherSuite::ALL {
            assert!(NAMES.contains(&(suite.id(), suite.name())));
        }
    }
}
