//! Values of the Echo option (RFC 9175, section 2), which a login has to bring back: they show that it was
//! sent a short while ago, and that who sends it receives what is sent to its address.
//!
//! Nothing is kept for one: time (4) | MAC (8), the latter from HMAC-SHA256 over the time and the peer's
//! address and port. The time is seconds from a random number on, so that it does not tell how long the
//! server runs. A value is good for [`ECHO_LIFETIME`]; a new key is drawn every three minutes, and the one
//! before it is good as long as its values are.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use narrowgate_dtls::Random;
use sha2::Sha256;

/// How long a value is good: more than a slow radio needs for a message and its repetitions.
pub const ECHO_LIFETIME: Duration = Duration::from_secs(150);
/// Longer than [`ECHO_LIFETIME`], so that a value is always of the present key or the one before it.
const KEY_LIFETIME_S: u32 = 180;
/// Bytes of the time.
const TIME_BYTES: usize = 4;
/// Bytes of a value.
const ECHO_BYTES: usize = 12;

/// When a value is made or looked at, in seconds since the shard's start, and whose it is.
pub(super) type Whose = (u32, SocketAddr);

/// See the module. Nothing is drawn before the first value is asked for.
#[derive(Default)]
pub(in super::super) struct EchoKeys(Option<Drawn>);

struct Drawn {
    current: Hmac<Sha256>,
    previous: Hmac<Sha256>,
    /// How many lifetimes of a key have passed.
    number: u32,
    /// Added to each time.
    offset: u32,
}

impl EchoKeys {
    /// A value for a peer.
    pub(super) fn make(&mut self, (now_s, peer): Whose, random: &mut dyn Random) -> [u8; ECHO_BYTES] {
        let drawn = self.at(now_s, random);
        let time = now_s.wrapping_add(drawn.offset).to_be_bytes();
        let mac = mac_of(&drawn.current, time, peer).finalize().into_bytes();
        let mut value = [0; ECHO_BYTES];
        value[..TIME_BYTES].copy_from_slice(&time);
        value[TIME_BYTES..].copy_from_slice(&mac[..ECHO_BYTES - TIME_BYTES]);
        value
    }

    /// Whether a value was made for this peer, a short while ago.
    pub(super) fn verify(&mut self, value: &[u8], (now_s, peer): Whose, random: &mut dyn Random) -> bool {
        let Ok(value) = <&[u8; ECHO_BYTES]>::try_from(value) else { return false };
        let Some((time, mac)) = value.split_first_chunk::<TIME_BYTES>() else { return false };
        let drawn = self.at(now_s, random);
        let made_s = u32::from_be_bytes(*time).wrapping_sub(drawn.offset);
        let age_s = now_s.checked_sub(made_s).map(u64::from);
        if age_s.is_none_or(|age_s| age_s > ECHO_LIFETIME.as_secs()) {
            return false;
        }
        let is_current = made_s / KEY_LIFETIME_S == drawn.number;
        let key = if is_current { &drawn.current } else { &drawn.previous };
        mac_of(key, *time, peer).verify_truncated_left(mac).is_ok()
    }

    /// The keys of a time, which never goes back.
    fn at(&mut self, now_s: u32, random: &mut dyn Random) -> &Drawn {
        let number = now_s / KEY_LIFETIME_S;
        let drawn = match self.0.take() {
            Some(drawn) if drawn.number == number => drawn,
            // After a long silence the current key is too old to become the previous one.
            Some(Drawn { current, number: last, offset, .. }) => {
                let previous = if number.wrapping_sub(last) == 1 { current } else { draw(random) };
                Drawn { current: draw(random), previous, number, offset }
            }
            None => {
                let mut offset = [0; TIME_BYTES];
                random.fill(&mut offset);
                let offset = u32::from_be_bytes(offset);
                Drawn { current: draw(random), previous: draw(random), number, offset }
            }
        };
        self.0.insert(drawn)
    }
}

/// The address comes last, because its length differs.
fn mac_of(key: &Hmac<Sha256>, time: [u8; TIME_BYTES], peer: SocketAddr) -> Hmac<Sha256> {
    let mut mac = key.clone();
    mac.update(&time);
    mac.update(&peer.port().to_be_bytes());
    match peer.ip() {
        IpAddr::V4(address) => mac.update(&address.octets()),
        IpAddr::V6(address) => mac.update(&address.octets()),
    }
    mac
}

fn draw(random: &mut dyn Random) -> Hmac<Sha256> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    random.fill(&mut *key);
    <Hmac<Sha256> as KeyInit>::new_from_slice(&*key).expect("HMAC takes any key length")
}

#[cfg(test)]
mod tests {
    use narrowgate_testkit::SeededRandom;

    use super::*;

    const PEER: &str = "192.0.2.1:1000";
    const LIFETIME_S: u32 = ECHO_LIFETIME.as_secs() as u32;

    fn peer(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_value_is_good_for_its_address_and_port_only() {
        let (mut keys, mut random) = (EchoKeys::default(), SeededRandom::new(0));
        let value = keys.make((7, peer(PEER)), &mut random);
        let mut is_good = |value: &[u8], of: &str| keys.verify(value, (8, peer(of)), &mut random);
        assert!(is_good(&value, PEER));
        for other in ["192.0.2.1:1001", "192.0.2.2:1000", "[2001:db8::1]:1000"] {
            assert!(!is_good(&value, other), "{other}");
        }
        for length in 0..ECHO_BYTES {
            assert!(!is_good(&value[..length], PEER), "{length} bytes");
        }
        assert!(!is_good(&[&value[..], &[0]].concat(), PEER));
        for bit in 0..8 * ECHO_BYTES {
            let mut changed = value;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_good(&changed, PEER), "bit {bit}");
        }
    }

    #[test]
    fn a_value_is_good_for_its_lifetime_whenever_it_was_made_and_however_little_arrives() {
        for made in [0, 1, 29, 30, 31, 179, 180, 181, 359, 360, 1000] {
            for looked_at in [made, made + 1, made + LIFETIME_S - 1, made + LIFETIME_S] {
                let (mut keys, mut random) = (EchoKeys::default(), SeededRandom::new(0));
                let value = keys.make((made, peer(PEER)), &mut random);
                // Something may arrive in between, or nothing.
                keys.make((looked_at, peer("192.0.2.9:9")), &mut random);
                assert!(keys.verify(&value, (looked_at, peer(PEER)), &mut random), "{made} {looked_at}");
                for late in [1, 2, 30, 180, 360, 100_000] {
                    let at = made + LIFETIME_S + late;
                    assert!(!keys.verify(&value, (at, peer(PEER)), &mut random), "{made} {at}");
                }
            }
        }
    }

    #[test]
    fn another_process_takes_no_value_of_this_one() {
        let (mut one, mut two) = (EchoKeys::default(), EchoKeys::default());
        let value = one.make((7, peer(PEER)), &mut SeededRandom::new(0));
        assert!(!two.verify(&value, (8, peer(PEER)), &mut SeededRandom::new(1)));
    }
}
