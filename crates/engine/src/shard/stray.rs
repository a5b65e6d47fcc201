//! Other protocols at our port: plain CoAP, TLS, HTTP, DTLS of other versions. None is answered, but an
//! operator should learn which device speaks the wrong one. The addresses are not proven, so the reports are
//! bounded, whatever arrives.
//!
//! Limits, per shard: `BURST` reports at once for each protocol and one more every `REFILL`, so that scanners
//! do not suppress the report about a device; one every `QUIET` for each address (IPv6: /64) and protocol.
//! All are counted, those of other versions among the HelloVerifyRequests that answer them.

use std::{
    collections::VecDeque,
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

use narrowgate_coap as coap;
use narrowgate_dtls::OfferedVersions;

use super::admission::group;

/// How many protocols are distinguished.
const KINDS: usize = 5;
/// Reports at once, for one protocol.
const BURST: u32 = 8;
/// Time until one more report of that protocol is permitted.
const REFILL: Duration = Duration::from_secs(30);
/// An address is reported again after this time.
const QUIET: Duration = Duration::from_secs(600);
/// Reports that are remembered: there are no more in `QUIET`.
const REMEMBERED_MAX: usize = KINDS * (BURST as usize + (QUIET.as_secs() / REFILL.as_secs()) as usize);

/// The record versions of every DTLS begin with this byte.
const DTLS_MAJOR: u8 = 0xfe;

/// What arrived instead of DTLS 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// CoAP without DTLS.
    PlainCoap,
    /// A request of HTTP.
    Http,
    /// A record of TLS.
    Tls,
    /// A ClientHello that offers no DTLS 1.2.
    OtherVersions(OfferedVersions),
    /// Anything else, by its first bytes.
    Unknown([u8; 4]),
}

/// The kind of [`Stray::OtherVersions`].
const OTHER_VERSIONS: usize = 3;

impl Stray {
    /// Classifies a datagram that is not DTLS; `None` if it is too short to classify, and for broken DTLS.
    pub(super) fn of(datagram: &[u8]) -> Option<Self> {
        let first = *datagram.first_chunk::<4>()?;
        let [kind, major, ..] = first;
        if is_http(datagram) {
            return Some(Self::Http);
        }
        if is_coap(datagram) {
            return Some(Self::PlainCoap);
        }
        if (20..=23).contains(&kind) && major == 3 {
            return Some(Self::Tls);
        }
        (major != DTLS_MAJOR).then_some(Self::Unknown(first))
    }

    /// Which protocol, below `KINDS`.
    const fn kind(&self) -> usize {
        match self {
            Self::PlainCoap => 0,
            Self::Http => 1,
            Self::Tls => 2,
            Self::OtherVersions(_) => OTHER_VERSIONS,
            Self::Unknown(_) => 4,
        }
    }
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainCoap => f.write_str(
                "this looks like plain CoAP; this port speaks CoAP over DTLS 1.2: \
                 use coaps:// instead of coap://",
            ),
            Self::Http => f.write_str("this looks like HTTP; this port speaks CoAP over DTLS 1.2"),
            Self::Tls => f.write_str("this looks like TLS; use DTLS 1.2 over UDP"),
            Self::OtherVersions(offered) => offered.fmt(f),
            Self::Unknown([a, b, c, d]) => {
                write!(f, "this is not DTLS (it begins with {a:02x} {b:02x} {c:02x} {d:02x}); ")?;
                f.write_str("this port speaks DTLS 1.2")
            }
        }
    }
}

/// Checked before CoAP, because the first bytes of most methods are a CoAP header, too.
fn is_http(datagram: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 10] = [
        b"GET ",
        b"POST ",
        b"PUT ",
        b"HEAD ",
        b"DELETE ",
        b"OPTIONS ",
        b"PATCH ",
        b"CONNECT ",
        b"PRI * HTTP/",
        b"HTTP/",
    ];
    BEGINNINGS.iter().any(|beginning| datagram.starts_with(beginning))
}

/// A whole message with a code that exists (RFC 7252, section 12.1).
fn is_coap(datagram: &[u8]) -> bool {
    let Ok(message) = coap::Message::parse(datagram) else { return false };
    match message.code.class() {
        // Empty, GET to iPATCH (RFC 8132).
        0 => message.code.0 <= 7,
        class => matches!(class, 2 | 4 | 5),
    }
}

/// Decides which of them are reported.
#[derive(Debug)]
pub(super) struct StrayLog {
    buckets: [Bucket; KINDS],
    /// Time, address and kind, in order of time.
    reported: VecDeque<(Instant, IpAddr, usize)>,
}

/// The reports of one protocol.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u32,
    refilled: Instant,
}

impl Bucket {
    fn has_room(&mut self, now: Instant) -> bool {
        let periods = now.saturating_duration_since(self.refilled).as_secs() / REFILL.as_secs();
        if let Ok(periods @ 1..) = u32::try_from(periods) {
            self.left = self.left.saturating_add(periods).min(BURST);
            self.refilled += REFILL * periods;
        }
        self.left > 0
    }
}

impl StrayLog {
    pub(super) fn new(now: Instant) -> Self {
        Self { buckets: [Bucket { left: BURST, refilled: now }; KINDS], reported: VecDeque::new() }
    }

    /// Whether a hello of other versions can be reported now. Cheap, so it is checked before the hello is
    /// read.
    pub(super) fn has_room_for_versions(&mut self, now: Instant) -> bool {
        self.buckets[OTHER_VERSIONS].has_room(now)
    }

    /// Whether to report this one.
    pub(super) fn permit(&mut self, now: Instant, address: IpAddr, stray: Stray) -> bool {
        let kind = stray.kind();
        if !self.buckets[kind].has_room(now) {
            return false;
        }
        while self.reported.front().is_some_and(|(at, ..)| now.saturating_duration_since(*at) >= QUIET) {
            self.reported.pop_front();
        }
        let address = group(address);
        if self.reported.iter().any(|(_, other, before)| *other == address && *before == kind) {
            return false;
        }
        self.buckets[kind].left -= 1;
        if self.reported.len() == REMEMBERED_MAX {
            self.reported.pop_front();
        }
        self.reported.push_back((now, address, kind));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn any_start() -> Instant {
        Instant::now()
    }

    #[test]
    fn protocols_are_named_by_their_first_bytes() {
        let coap = hex_bytes("40010001b474657374");
        assert_eq!(Stray::of(&coap), Some(Stray::PlainCoap));
        assert_eq!(Stray::of(&[0x40, 0, 0x12, 0x34]), Some(Stray::PlainCoap), "a ping");
        assert_eq!(Stray::of(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Some(Stray::Http));
        assert_eq!(Stray::of(b"PUT /a HTTP/1.1\r\n\r\n"), Some(Stray::Http));
        assert_eq!(Stray::of(&hex_bytes("16030100a5010000a10303")), Some(Stray::Tls));
        assert_eq!(Stray::of(&hex_bytes("000100082112a442")), Some(Stray::Unknown([0, 1, 0, 8])));
        assert_eq!(Stray::of(b"hello, world"), Some(Stray::Unknown(*b"hell")), "text is no CoAP");
        for nothing in [&b""[..], b"\0", b"abc", &hex_bytes("19fefd0001000000000001")] {
            assert_eq!(Stray::of(nothing), None, "{nothing:02x?}");
        }
    }

    fn hex_bytes(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks_exact(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    #[test]
    fn one_address_is_told_once_per_protocol_until_it_is_news_again() {
        let now = any_start();
        let mut log = StrayLog::new(now);
        assert!(log.permit(now, address(1), Stray::PlainCoap));
        assert!(!log.permit(now + QUIET / 2, address(1), Stray::PlainCoap));
        assert!(log.permit(now + QUIET / 2, address(1), Stray::Http));
        assert!(log.permit(now + QUIET / 2, address(2), Stray::PlainCoap));
        assert!(log.permit(now + QUIET, address(1), Stray::PlainCoap));
        let v6 = |text: &str| text.parse().expect("an address");
        assert!(log.permit(now, v6("2001:db8::1"), Stray::Tls));
        assert!(!log.permit(now, v6("2001:db8::2"), Stray::Tls), "one subscriber");
    }

    #[test]
    fn a_flood_of_forged_addresses_is_told_in_bounded_number_and_kept_in_bounded_memory() {
        let now = any_start();
        let mut log = StrayLog::new(now);
        let flood = |log: &mut StrayLog, at: Instant, from: u32| {
            (0..100_000).filter(|n| log.permit(at, address(from + n), Stray::Tls)).count()
        };
        assert_eq!(flood(&mut log, now, 0), BURST as usize);
        let told: usize = (1..=3600 / 5)
            .map(|n| (n, now + Duration::from_secs(5 * n)))
            .map(|(n, at)| (0..50).filter(|k| log.permit(at, address(n as u32 * 50 + k), Stray::Tls)).count())
            .sum();
        assert_eq!(told, 120, "an hour");
        assert!(log.reported.len() <= REMEMBERED_MAX);
        assert!(!log.buckets[Stray::Tls.kind()].has_room(now + Duration::from_secs(3600)));
    }

    #[test]
    fn the_noise_of_scanners_takes_no_report_from_a_device() {
        let now = any_start();
        let mut log = StrayLog::new(now);
        let noise = [Stray::Unknown([9; 4]), Stray::Tls, Stray::Http];
        for second in 0..3600 {
            let at = now + Duration::from_secs(second);
            for stray in noise {
                (0..10).for_each(|n| _ = log.permit(at, address(second as u32 * 10 + n), stray));
            }
        }
        let at = now + Duration::from_secs(3600);
        assert!(log.permit(at, address(1), Stray::PlainCoap), "a device");
        assert!(log.has_room_for_versions(at));
    }

    #[test]
    fn every_kind_has_a_bucket_of_its_own() {
        let kinds = [Stray::PlainCoap, Stray::Http, Stray::Tls, Stray::Unknown([0; 4])].map(|it| it.kind());
        assert_eq!(kinds, [0, 1, 2, 4]);
        assert_eq!((OTHER_VERSIONS, KINDS), (3, 5));
    }
}
