//! Cookies of the stateless front door (RFC 6347, section 4.2.1): key and time (2) | start (9) | offer (5),
//! the last two from HMAC-SHA256, which cover the first.
//!
//! The first bit is that of the key's number, the others are the time since the key was drawn, in units of
//! [`TIME_UNIT`]: the cookie's age when it comes back is the round trip of its hello, known without state.
//! A hello that its client repeats has the same cookie, so it looks farther away than its client is. Who
//! delays it looks far, and nobody looks nearer than it is.
//!
//! `start` covers the peer's address and port and the ClientHello up to its session_id: what the first
//! fragment of a ClientHello always holds. `offer` covers the cipher suites and compression methods besides,
//! if the first fragment holds them. It is separate because the second hello is longer by the cookie: its
//! first fragment may end before them although that of the first hello did not, and then they cannot be
//! compared. The extensions are not covered, because some clients change them in the second hello. Two keys
//! are valid at a time; a new one is drawn every [`COOKIE_KEY_LIFETIME`].

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{
    Random,
    limits::{COOKIE_BYTES, COOKIE_KEY_LIFETIME},
    message::client_hello::{ClientHelloOffer, ClientHelloStart},
};

/// Where `offer` begins.
const OFFER_AT: usize = 11;

/// Bytes of key and time.
const HEAD_BYTES: usize = 2;

/// Bytes of `start` and `offer`.
const MAC_BYTES: usize = COOKIE_BYTES - HEAD_BYTES;

/// The bit of the head that tells the keys apart.
const KEY_BIT: u16 = 1 << 15;

/// Unit of the time in a cookie: a key's life has fewer of them than the head has numbers.
const TIME_UNIT: Duration = Duration::from_millis(2);

const _: () = assert!(COOKIE_KEY_LIFETIME.as_millis() / TIME_UNIT.as_millis() < KEY_BIT as u128);

/// What a cookie covers.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) start: ClientHelloStart<'a>,
    /// `None` if the first fragment ends before it.
    pub(crate) offer: Option<ClientHelloOffer<'a>>,
}

/// The current key and the one before it.
pub(crate) struct CookieKeys {
    current: Hmac<Sha256>,
    previous: Hmac<Sha256>,
    number: u8,
    drawn_at: Instant,
}

impl CookieKeys {
    pub(crate) fn new(now: Instant, rng: &mut dyn Random) -> Self {
        Self { current: draw(rng), previous: draw(rng), number: 0, drawn_at: now }
    }

    /// Draws a new key when the current one is too old. Keys change by the clock and not by what arrives;
    /// otherwise a cookie would be valid for longer when little arrives.
    pub(crate) fn rotate(&mut self, now: Instant, rng: &mut dyn Random) {
        let age = now.saturating_duration_since(self.drawn_at);
        if age < COOKIE_KEY_LIFETIME {
            return;
        }
        // After a long silence the current key is too old to become the previous one.
        let current = if age < 2 * COOKIE_KEY_LIFETIME { self.current.clone() } else { draw(rng) };
        self.previous = current;
        self.current = draw(rng);
        self.number = self.number.wrapping_add(1);
        let into_its_time = age.as_nanos() % COOKIE_KEY_LIFETIME.as_nanos();
        self.drawn_at = now - Duration::from_nanos(into_its_time as u64);
    }

    pub(crate) fn make(&self, now: Instant, subject: Subject<'_>) -> [u8; COOKIE_BYTES] {
        let units = now.saturating_duration_since(self.drawn_at).as_millis() / TIME_UNIT.as_millis();
        let time = u16::try_from(units).unwrap_or(KEY_BIT).min(KEY_BIT - 1);
        let head = (time | if self.number & 1 == 0 { 0 } else { KEY_BIT }).to_be_bytes();
        let Macs { start, offer } = Macs::of(&self.current, head, &subject);
        let mut cookie = [0; COOKIE_BYTES];
        cookie[..HEAD_BYTES].copy_from_slice(&head);
        cookie[HEAD_BYTES..].copy_from_slice(&start);
        if let Some(offer) = offer {
            cookie[OFFER_AT..].copy_from_slice(&offer);
        }
        cookie
    }

    /// How old the cookie of a hello is; `None` if it is not valid.
    pub(crate) fn verify(&self, now: Instant, subject: Subject<'_>) -> Option<Duration> {
        let cookie = <[u8; COOKIE_BYTES]>::try_from(subject.start.cookie).ok()?;
        let head = [cookie[0], cookie[1]];
        let number = u16::from_be_bytes(head);
        let is_current = (number & KEY_BIT != 0) == (self.number & 1 != 0);
        let key = if is_current { &self.current } else { &self.previous };
        let Macs { start, offer } = Macs::of(key, head, &subject);
        let (start, unbound) = start.split_at(OFFER_AT - HEAD_BYTES);
        let fits = start.ct_eq(&cookie[HEAD_BYTES..OFFER_AT]);
        let fits = match offer {
            // The cookie may have been made for a first fragment that ended before the offer.
            Some(offer) => fits & (offer.ct_eq(&cookie[OFFER_AT..]) | unbound.ct_eq(&cookie[OFFER_AT..])),
            None => fits,
        };
        if !bool::from(fits) {
            return None;
        }
        let made = TIME_UNIT * u32::from(number & !KEY_BIT);
        let key_before = if is_current { Duration::ZERO } else { COOKIE_KEY_LIFETIME };
        Some((now.saturating_duration_since(self.drawn_at) + key_before).saturating_sub(made))
    }
}

/// The MACs of one subject under one key.
struct Macs {
    /// The last bytes stand for the offer if it is absent.
    start: [u8; MAC_BYTES],
    offer: Option<[u8; COOKIE_BYTES - OFFER_AT]>,
}

impl Macs {
    fn of(key: &Hmac<Sha256>, head_of_cookie: [u8; HEAD_BYTES], subject: &Subject<'_>) -> Self {
        let Subject { peer, start, offer } = subject;
        let mut mac = key.clone();
        mac.update(&head_of_cookie);
        match peer.ip() {
            IpAddr::V4(address) => mac.update(&address.octets()),
            IpAddr::V6(address) => mac.update(&address.octets()),
        }
        mac.update(&peer.port().to_be_bytes());
        mac.update(&start.version.0.to_be_bytes());
        mac.update(start.random);
        // Lengths come first, so that no two subjects have the same bytes.
        mac.update(&[start.session_id.len() as u8]);
        mac.update(start.session_id);
        let offer = offer.map(|ClientHelloOffer { cipher_suites, compression }| {
            let mut mac = mac.clone();
            mac.update(&(cipher_suites.len() as u16).to_be_bytes());
            mac.update(cipher_suites);
            mac.update(compression);
            head(mac)
        });
        Self { start: head(mac), offer }
    }
}

/// The first bytes of a MAC.
fn head<const N: usize>(mac: Hmac<Sha256>) -> [u8; N] {
    let bytes = mac.finalize().into_bytes();
    std::array::from_fn(|index| bytes[index])
}

fn draw(rng: &mut dyn Random) -> Hmac<Sha256> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    rng.fill(&mut *key);
    <Hmac<Sha256> as KeyInit>::new_from_slice(&*key).expect("HMAC takes any key length")
}

#[cfg(test)]
mod tests {
    use narrowgate_testkit::SeededRandom;

    use super::*;
    use crate::codes::Version;

    fn subject<'a>(peer: &str, random: &'a [u8; 32], cookie: &'a [u8]) -> Subject<'a> {
        Subject {
            peer: peer.parse().expect("an address"),
            start: ClientHelloStart { version: Version::DTLS_1_2, random, session_id: &[], cookie },
            offer: Some(ClientHelloOffer { cipher_suites: &[0xc0, 0xa8], compression: &[0] }),
        }
    }

    fn make(keys: &CookieKeys, subject: Subject<'_>) -> [u8; COOKIE_BYTES] {
        keys.make(keys.drawn_at, subject)
    }

    fn is_good(keys: &CookieKeys, subject: Subject<'_>) -> bool {
        keys.verify(keys.drawn_at, subject).is_some()
    }

    const PEER: &str = "192.0.2.1:1000";

    #[test]
    fn a_cookie_is_good_for_its_address_port_and_hello_only() {
        let keys = CookieKeys::new(start(), &mut SeededRandom::new(0));
        let cookie = make(&keys, subject(PEER, &[1; 32], &[]));
        assert!(is_good(&keys, subject(PEER, &[1; 32], &cookie)));
        assert!(!is_good(&keys, subject(PEER, &[2; 32], &cookie)));
        for other in ["192.0.2.1:1001", "192.0.2.2:1000", "[2001:db8::1]:1000"] {
            assert!(!is_good(&keys, subject(other, &[1; 32], &cookie)));
        }
        assert!(!is_good(&keys, subject(PEER, &[1; 32], &cookie[..15])));
        assert!(!is_good(&keys, subject(PEER, &[1; 32], &[])));
        for bit in 0..8 * COOKIE_BYTES {
            let mut changed = cookie;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_good(&keys, subject(PEER, &[1; 32], &changed)), "bit {bit}");
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_suites_and_compression_where_both_hellos_show_them() {
        let keys = CookieKeys::new(start(), &mut SeededRandom::new(0));
        let plain = subject(PEER, &[1; 32], &[]);
        let other_suites = ClientHelloOffer { cipher_suites: &[0, 0xae], compression: &[0] };
        let other_compression = ClientHelloOffer { cipher_suites: &[0xc0, 0xa8], compression: &[1, 0] };
        let offers = [plain.offer, None, Some(other_suites), Some(other_compression)];
        for (made, shown) in (0..16).map(|n| (offers[n / 4], offers[n % 4])) {
            let cookie = make(&keys, Subject { offer: made, ..plain });
            let second = Subject { offer: shown, ..subject(PEER, &[1; 32], &cookie) };
            let same = |a: ClientHelloOffer<'_>, b: ClientHelloOffer<'_>| {
                (a.cipher_suites, a.compression) == (b.cipher_suites, b.compression)
            };
            let good = made.is_none_or(|made| shown.is_none_or(|shown| same(made, shown)));
            assert_eq!(is_good(&keys, second), good, "{made:?} then {shown:?}");
        }
    }

    #[test]
    fn attack_035_a_cookie_outlives_one_change_of_keys_but_not_two() {
        let (mut rng, now) = (SeededRandom::new(0), start());
        let mut keys = CookieKeys::new(now, &mut rng);
        let cookie = make(&keys, subject(PEER, &[1; 32], &[]));
        keys.rotate(now + Duration::from_secs(59), &mut rng);
        assert!(is_good(&keys, subject(PEER, &[1; 32], &cookie)));
        keys.rotate(now + Duration::from_secs(60), &mut rng);
        assert!(is_good(&keys, subject(PEER, &[1; 32], &cookie)));
        keys.rotate(now + Duration::from_secs(120), &mut rng);
        assert!(!is_good(&keys, subject(PEER, &[1; 32], &cookie)));
    }

    #[test]
    fn attack_035_no_cookie_is_good_for_two_lifetimes_of_a_key_however_little_arrives() {
        let cookies = [0, 30, 59].map(|made| (made, 120));
        for (made, end) in cookies {
            for quiet_until in 0..end {
                let (mut rng, now) = (SeededRandom::new(0), start());
                let mut keys = CookieKeys::new(now, &mut rng);
                let at = |seconds: u64| now + Duration::from_secs(seconds);
                keys.rotate(at(made), &mut rng);
                let cookie = make(&keys, subject(PEER, &[1; 32], &[]));
                // Something may arrive in between, or nothing.
                keys.rotate(at(quiet_until.max(made)), &mut rng);
                keys.rotate(at(end - 1), &mut rng);
                assert!(is_good(&keys, subject(PEER, &[1; 32], &cookie)));
                keys.rotate(at(end), &mut rng);
                assert!(!is_good(&keys, subject(PEER, &[1; 32], &cookie)), "{made} {quiet_until}");
            }
        }
    }

    #[test]
    fn a_cookie_tells_how_old_it_is_also_after_a_change_of_keys() {
        for made_ms in [0, 1, 700, 29_998, 59_999] {
            let (mut rng, now) = (SeededRandom::new(0), start());
            let mut keys = CookieKeys::new(now, &mut rng);
            let made = now + Duration::from_millis(made_ms);
            let cookie = keys.make(made, subject(PEER, &[1; 32], &[]));
            for age_ms in [0, 20, 500, 8_000, 25_600, 59_000] {
                let comes = made + Duration::from_millis(age_ms);
                keys.rotate(comes, &mut rng);
                let age = keys.verify(comes, subject(PEER, &[1; 32], &cookie)).expect("it is good");
                let off = age.as_millis() as i128 - i128::from(age_ms);
                assert!((0..2).contains(&off), "made at {made_ms}, {age_ms} old: {age:?}");
            }
        }
    }

    #[test]
    fn after_a_long_silence_no_old_cookie_is_good() {
        let (mut rng, now) = (SeededRandom::new(0), start());
        let mut keys = CookieKeys::new(now, &mut rng);
        let cookie = make(&keys, subject(PEER, &[1; 32], &[]));
        keys.rotate(now + Duration::from_secs(3600), &mut rng);
        assert!(!is_good(&keys, subject(PEER, &[1; 32], &cookie)));
    }

    #[allow(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn start() -> Instant {
        Instant::now()
    }
}
