//! Whether two devices use one secret: each login of one ends the session of the other, from another address.
//!
//! A device that comes from another address while its older session still stands does nothing unusual: NAT
//! has moved it, or it was switched off and on. So each such login weighs [`EACH_S`], which passes with time;
//! where [`ALARM_S`] comes together the device's log says so, and for [`PAUSE_S`] nothing weighs anything.
//! Two devices that log in each minute are told of after the sixth time; a device that changes its address
//! every ten minutes or less often never is.
//!
//! Limits: weight and pause are kept with the login, so they are lost where a session ends before the next
//! login; two that fight always find the other's. Addresses are compared by 16 bits of a hash, of IPv6 of
//! the /64: one change in 65,536 is missed, and two devices behind one address are not told from one.

use std::{net::IpAddr, time::Duration};

use narrowgate_engine::shard::admission;

/// What a login that takes the place of a session from another address weighs, in the seconds in which that
/// passes.
const EACH_S: i16 = 600;
/// So much is an alarm: five at once, six within minutes.
const ALARM_S: i16 = 5 * EACH_S;
/// There is one alarm of a device in this time.
const PAUSE_S: i16 = 3600;

/// What is kept with a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rivalry {
    /// Hash of the address that it came from.
    address: u16,
    /// The weight, where it is positive; negative: how long the pause after an alarm lasts.
    weight_s: i16,
}

impl Rivalry {
    /// Of a login that takes no other's place.
    pub(crate) fn new(address: IpAddr) -> Self {
        Self { address: hash(address), weight_s: 0 }
    }

    /// Of the login that takes this one's place so long after it, and whether that is an alarm.
    pub(crate) fn followed_by(self, address: IpAddr, after: Duration) -> (Self, bool) {
        let mut next = Self::new(address);
        let passed = i16::try_from(after.as_secs()).unwrap_or(i16::MAX);
        // Both a weight and a pause pass toward 0.
        next.weight_s = self.weight_s.signum() * (self.weight_s.abs() - passed).max(0);
        if next.address == self.address || next.weight_s < 0 {
            return (next, false);
        }
        next.weight_s += EACH_S;
        let is_alarm = next.weight_s >= ALARM_S;
        if is_alarm {
            next.weight_s = -PAUSE_S;
        }
        (next, is_alarm)
    }
}

/// FNV-1a, folded. Whoever can choose among addresses of one hash hides nothing but their own second device.
fn hash(address: IpAddr) -> u16 {
    let mut hash = 0x811c_9dc5_u32;
    let mut take = |octets: &[u8]| {
        for octet in octets {
            hash = (hash ^ u32::from(*octet)).wrapping_mul(0x0100_0193);
        }
    };
    match admission::group(address) {
        IpAddr::V4(v4) => take(&v4.octets()),
        IpAddr::V6(v6) => take(&v6.octets()),
    }
    (hash >> 16) as u16 ^ hash as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// After how many logins, one in each such time, there are alarms.
    fn alarms(logins: u32, every: Duration, address: impl Fn(u32) -> [u8; 4]) -> Vec<u32> {
        let mut kept = Rivalry::new(address(0).into());
        let mut told = Vec::new();
        for n in 1..logins {
            let (next, is_alarm) = kept.followed_by(address(n).into(), every);
            kept = next;
            told.extend(is_alarm.then_some(n));
        }
        told
    }

    #[test]
    fn two_devices_that_fight_are_told_of_within_minutes_and_once_an_hour() {
        let two = |n: u32| [192, 0, 2, (n % 2) as u8];
        let told = alarms(180, MINUTE, two);
        assert_eq!(told[0], 6, "within ten minutes");
        assert!(told.windows(2).all(|pair| pair[1] - pair[0] >= 60), "{told:?}");
        assert_eq!(told.len(), 3);
        assert_eq!(alarms(20, Duration::ZERO, two), [5], "and where they do not wait");
    }

    /// A sleepy device behind NAT has another address each time, and its older session has not ended.
    #[test]
    fn a_device_that_comes_from_another_address_now_and_then_is_not_told_of() {
        let other = |n: u32| [10, 0, (n >> 8) as u8, n as u8];
        assert_eq!(alarms(24, 60 * MINUTE, other), [0; 0]);
        assert_eq!(alarms(1000, 10 * MINUTE, other), [0; 0]);
        assert_eq!(alarms(1000, Duration::ZERO, |_| [192, 0, 2, 1]), [0; 0], "it starts again and again");
    }

    #[test]
    fn a_host_of_ipv6_may_choose_its_address_within_its_network() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(hash(address("2001:db8::1")), hash(address("2001:db8::ffff")));
        assert_ne!(hash(address("2001:db8::1")), hash(address("2001:db8:0:1::1")));
        assert_eq!(hash(address("::ffff:192.0.2.1")), hash(address("192.0.2.1")));
    }
}
