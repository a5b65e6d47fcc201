//! From when until when certificates are valid (RFC 5280, section 4.1.2.5). Their other parts are for those
//! who connect: they check them.

use std::time::Duration;

use narrowgate_api::time;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// A certificate that ends within this time, or within a third of its own, ends soon.
const SOON: Duration = Duration::from_secs(7 * 86_400);

/// Times since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from_ms: i64,
    pub(super) until_ms: i64,
}

/// How a certificate stands at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is not valid yet.
    NotYet,
    /// It is valid for long.
    Good,
    /// It ends within a week, and is in the last third of its time.
    EndsSoon,
    /// It was valid.
    Ended,
}

impl Validity {
    /// When all of these are valid; `None`: one of them does not say it.
    pub(super) fn of_chain(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let all: Option<Vec<Self>> = chain.iter().map(|certificate| Self::of(certificate)).collect();
        let all = all?;
        let from_ms = all.iter().map(|one| one.from_ms).max()?;
        Some(Self { from_ms, until_ms: all.iter().map(|one| one.until_ms).min()? })
    }

    /// Reads `Certificate`, `TBSCertificate`, and its `Validity`.
    fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = take(certificate, SEQUENCE)?;
        let (signed, _) = take(certificate, SEQUENCE)?;
        let signed = take(signed, VERSION).map_or(signed, |(_, rest)| rest);
        let (_, signed) = take(signed, INTEGER)?;
        let (_algorithm, signed) = take(signed, SEQUENCE)?;
        let (_issuer, signed) = take(signed, SEQUENCE)?;
        let (validity, _) = take(signed, SEQUENCE)?;
        let (from_ms, validity) = time_of(validity)?;
        let (until_ms, _) = time_of(validity)?;
        Some(Self { from_ms, until_ms })
    }

    pub(super) fn standing(self, now_ms: i64) -> Standing {
        let soon_ms = i64::try_from(SOON.as_millis()).unwrap_or(i64::MAX);
        let third_ms = self.until_ms.saturating_sub(self.from_ms) / 3;
        match now_ms {
            now if now < self.from_ms => Standing::NotYet,
            now if now > self.until_ms => Standing::Ended,
            now if self.until_ms.saturating_sub(now) < soon_ms.min(third_ms) => Standing::EndsSoon,
            _ => Standing::Good,
        }
    }
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`; a certificate of version 1 has none.
const VERSION: u8 = 0xa0;

/// The content of an element of DER with this tag, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

/// A time in milliseconds since 1970, and what follows it.
fn time_of(der: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest) = take(der, UTC_TIME).or_else(|| take(der, GENERALIZED_TIME))?;
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    // Two digits of a year are of 1950 to 2049.
    let text = match text.len() {
        13 if text.as_bytes()[0] >= b'5' => format!("19{text}"),
        13 => format!("20{text}"),
        15 => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let date = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let time = format!("{}:{}:{}{}", part(8, 10)?, part(10, 12)?, part(12, 14)?, part(14, 15)?);
    Some((time::parse(&format!("{date}T{time}")).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn first() -> CertificateDer<'static> {
        let pem = include_bytes!("of_tests/first.pem");
        CertificateDer::from_pem_slice(pem).expect("it is a certificate")
    }

    #[test]
    fn a_certificate_says_from_when_until_when_it_is_valid() {
        let validity = Validity::of(&first()).expect("it says it");
        let said = [validity.from_ms, validity.until_ms].map(time::rfc3339);
        assert_eq!(said, ["2026-11-29T23:19:39Z", "2126-11-05T23:19:39Z"]);
    }

    #[test]
    fn a_chain_is_valid_while_all_of_it_is() {
        let ended = CertificateDer::from_pem_slice(include_bytes!("of_tests/ended.pem")).expect("it is one");
        let chain = Validity::of_chain(&[first(), ended]).expect("they say it");
        assert_eq!(time::rfc3339(chain.from_ms), "2026-11-29T23:19:39Z");
        assert_eq!(time::rfc3339(chain.until_ms), "2020-01-02T00:00:00Z");
        assert_eq!(Validity::of_chain(&[first(), vec![0x30, 0].into()]), None);
    }

    #[test]
    fn no_bytes_of_a_certificate_are_read_beyond_its_end() {
        let whole = first();
        for end in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..end]), None, "{end}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.to_vec();
                changed[at] ^= 1 << bit;
                // It does not panic.
                let _ = Validity::of(&changed);
            }
        }
    }

    #[test]
    fn times_of_both_kinds_are_read() {
        let read = |tag: u8, text: &str| {
            let length = u8::try_from(text.len()).expect("it is short");
            let der = [&[tag, length], text.as_bytes()].concat();
            time_of(&der).map(|(ms, _)| time::rfc3339(ms))
        };
        for (tag, text, expected) in [
            (UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59Z")),
            (UTC_TIME, "500101000000Z", Some("1950-01-01T00:00:00Z")),
            (GENERALIZED_TIME, "20500101000000Z", Some("2050-01-01T00:00:00Z")),
            (GENERALIZED_TIME, "99991231235959Z", Some("9999-12-31T23:59:59Z")),
            (UTC_TIME, "261332000000Z", None),
            (UTC_TIME, "2601010000Z", None),
            (INTEGER, "491231235959Z", None),
        ] {
            assert_eq!(read(tag, text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_ends_soon_in_its_last_week_or_its_last_third() {
        let day_ms = 86_400_000;
        for (days, at, expected) in [
            (90, -1, Standing::NotYet),
            (90, 0, Standing::Good),
            (90, 83, Standing::Good),
            (90, 84, Standing::EndsSoon),
            (90, 90, Standing::EndsSoon),
            (90, 91, Standing::Ended),
            (6, 3, Standing::Good),
            (6, 5, Standing::EndsSoon),
        ] {
            let validity = Validity { from_ms: 0, until_ms: days * day_ms };
            assert_eq!(validity.standing(at * day_ms), expected, "{at} of {days}");
        }
    }
}
