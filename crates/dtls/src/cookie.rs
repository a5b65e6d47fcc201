//! Cookies of the stateless front door (RFC 6347, section 4.2.1): key number (1) | HMAC-SHA256 (15).
//!
//! The MAC covers the peer's address and port and the ClientHello up to its session_id: what the first fragment of a
//! ClientHello surely holds. The extensions stay out because some clients offer others the second time. Two keys live
//! at a time; a new one is drawn every [`COOKIE_KEY_LIFETIME`].

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::Random;
use crate::limits::{COOKIE_BYTES, COOKIE_KEY_LIFETIME};
use crate::message::client_hello::ClientHelloStart;

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

    /// Draws a new key when it is time.
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
        self.drawn_at = now;
    }

    pub(crate) fn make(&self, peer: SocketAddr, hello: &ClientHelloStart<'_>) -> [u8; COOKIE_BYTES] {
        compute(&self.current, self.number, peer, hello)
    }

    pub(crate) fn verify(&self, peer: SocketAddr, hello: &ClientHelloStart<'_>) -> bool {
        let key = match hello.cookie.first() {
            Some(&number) if number == self.number => &self.current,
            Some(&number) if number == self.number.wrapping_sub(1) => &self.previous,
            _ => return false,
        };
        compute(key, hello.cookie[0], peer, hello).ct_eq(hello.cookie).into()
    }
}

fn draw(rng: &mut dyn Random) -> Hmac<Sha256> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    rng.fill(&mut *key);
    <Hmac<Sha256> as KeyInit>::new_from_slice(&*key).expect("HMAC takes any key length")
}

fn compute(
    key: &Hmac<Sha256>,
    number: u8,
    peer: SocketAddr,
    hello: &ClientHelloStart<'_>,
) -> [u8; COOKIE_BYTES] {
    let mut mac = key.clone();
    match peer.ip() {
        IpAddr::V4(address) => mac.update(&address.octets()),
        IpAddr::V6(address) => mac.update(&address.octets()),
    }
    mac.update(&peer.port().to_be_bytes());
    mac.update(&hello.version.0.to_be_bytes());
    mac.update(hello.random);
    mac.update(hello.session_id);
    let mut cookie = [0; COOKIE_BYTES];
    cookie[0] = number;
    cookie[1..].copy_from_slice(&mac.finalize().into_bytes()[..COOKIE_BYTES - 1]);
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Version;
    use std::time::Duration;

    struct Counter(u8);

    impl Random for Counter {
        fn fill(&mut self, out: &mut [u8]) {
            self.0 += 1;
            out.fill(self.0);
        }
    }

    fn hello<'a>(random: &'a [u8; 32], cookie: &'a [u8]) -> ClientHelloStart<'a> {
        ClientHelloStart { version: Version::DTLS_1_2, random, session_id: &[], cookie }
    }

    #[test]
    fn a_cookie_is_good_for_its_address_port_and_hello_only() {
        let keys = CookieKeys::new(start(), &mut Counter(0));
        let peer: SocketAddr = "192.0.2.1:1000".parse().expect("an address");
        let cookie = keys.make(peer, &hello(&[1; 32], &[]));
        assert!(keys.verify(peer, &hello(&[1; 32], &cookie)));
        assert!(!keys.verify(peer, &hello(&[2; 32], &cookie)));
        for other in ["192.0.2.1:1001", "192.0.2.2:1000", "[2001:db8::1]:1000"] {
            assert!(!keys.verify(other.parse().expect("an address"), &hello(&[1; 32], &cookie)));
        }
        assert!(!keys.verify(peer, &hello(&[1; 32], &cookie[..15])));
        assert!(!keys.verify(peer, &hello(&[1; 32], &[])));
    }

    #[test]
    fn attack_035_a_cookie_outlives_one_change_of_keys_but_not_two() {
        let (mut rng, now) = (Counter(0), start());
        let mut keys = CookieKeys::new(now, &mut rng);
        let peer: SocketAddr = "192.0.2.1:1000".parse().expect("an address");
        let cookie = keys.make(peer, &hello(&[1; 32], &[]));
        keys.rotate(now + Duration::from_secs(59), &mut rng);
        assert!(keys.verify(peer, &hello(&[1; 32], &cookie)));
        keys.rotate(now + Duration::from_secs(60), &mut rng);
        assert!(keys.verify(peer, &hello(&[1; 32], &cookie)));
        keys.rotate(now + Duration::from_secs(120), &mut rng);
        assert!(!keys.verify(peer, &hello(&[1; 32], &cookie)));
    }

    #[test]
    fn after_a_long_silence_no_old_cookie_is_good() {
        let (mut rng, now) = (Counter(0), start());
        let mut keys = CookieKeys::new(now, &mut rng);
        let peer: SocketAddr = "192.0.2.1:1000".parse().expect("an address");
        let cookie = keys.make(peer, &hello(&[1; 32], &[]));
        keys.rotate(now + Duration::from_secs(3600), &mut rng);
        assert!(!keys.verify(peer, &hello(&[1; 32], &cookie)));
    }

    #[allow(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn start() -> Instant {
        Instant::now()
    }
}
