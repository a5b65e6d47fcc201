//! How often one identity may begin handshakes from one address, and how often one device may log in (device
//! protocol, section 12).
//!
//! What an identity claims is not proved yet. So it is counted together with the address that it comes from,
//! never alone: a stranger elsewhere cannot lock a device out. Who shares the address of a device (a
//! carrier's NAT) can. Beyond the limit a ClientKeyExchange is dropped before any look-up, whether the
//! identity is known or not.
//!
//! Who has proved the device's secret is counted by device, whatever the address: one secret from many
//! networks ends sessions and causes writes no faster than one device does. Beyond the limit the new session
//! is closed before anything is written, and the one that stands stays.
//!
//! Limits: [`PAIRS_MAX`] and [`DEVICES_MAX`]; beyond them a new pair or device is not counted, and nobody is
//! held back for that.
//!
//! Logins by plain CoAP have a [`Pace`] of their own: their address may be forged and their sign played
//! again, and neither must hold a handshake back.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    time::{Duration, Instant},
};

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use narrowgate_engine::shard::admission;
use narrowgate_platform::{
    ids::DeviceId,
    model::log::Reason,
    rules::{
        identity::{Identity, IdentityFault},
        rate::{Buckets, Rate, Taken},
        refusal::Refusal,
    },
};

/// Pairs of identity and address that are counted at a time, some 7 MiB. A pair is counted until its bucket
/// is full again, ten seconds after one handshake; so that is 26,000 handshakes a second.
const PAIRS_MAX: usize = 1 << 18;
/// Devices whose logins are counted at a time, as long as a pair is.
const DEVICES_MAX: usize = 1 << 18;
/// How often buckets are looked at as long as there are some, so that those are forgotten that are full again
/// also where nobody comes any more.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Buckets of each table that are looked at then: some ten microseconds, a full table within five minutes.
const LOOKED_AT: usize = 1024;
/// Stream of the seed that the key of the hash is drawn from; secrets are drawn from the first one.
const STREAM: u64 = 1;

/// See the module.
pub(crate) struct Pace {
    /// `None`: any number of handshakes.
    pairs: Option<Buckets<u64>>,
    /// Of those that have proved their device's secret.
    devices: Option<Buckets<DeviceId>>,
    /// When buckets are looked at next; `None`: there are none.
    looks_at: Option<Instant>,
    /// Makes the hash of a pair unpredictable: nobody can share a bucket on purpose.
    key: [u8; 16],
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pace").field("pairs", &self.pairs.as_ref().map(Buckets::len)).finish_non_exhaustive()
    }
}

impl Pace {
    pub(crate) fn new(rate: Option<Rate>, seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        random.set_stream(STREAM);
        let mut key = [0; 16];
        random.fill_bytes(&mut key);
        let pairs = rate.map(|rate| Buckets::new(rate, PAIRS_MAX));
        Self { pairs, devices: rate.map(|rate| Buckets::new(rate, DEVICES_MAX)), looks_at: None, key }
    }

    /// Whether a handshake of this identity may go on.
    pub(crate) fn permit(
        &mut self,
        now: Instant,
        address: IpAddr,
        identity: &Result<Identity, IdentityFault>,
        bytes: &[u8],
    ) -> Taken {
        let Some(pairs) = &mut self.pairs else { return Taken::Yes };
        let mut hasher = DefaultHasher::new();
        (self.key, admission::group(address)).hash(&mut hasher);
        // Not the lifetime: it would make many identities of one device.
        let (name, mode) = match identity {
            Ok(identity) => (Some(&identity.name), Some(identity.mode.digit())),
            Err(fault) => (fault.name.as_ref(), None),
        };
        match name {
            Some(name) => (&name.product_key, &name.device_key, mode).hash(&mut hasher),
            None => bytes.hash(&mut hasher),
        }
        self.looks_at.get_or_insert(now + LOOK_EVERY);
        pairs.take(hasher.finish(), now)
    }

    /// Whether a device that has proved its secret may log in.
    pub(crate) fn permit_login(&mut self, now: Instant, device: DeviceId) -> Taken {
        let Some(devices) = &mut self.devices else { return Taken::Yes };
        self.looks_at.get_or_insert(now + LOOK_EVERY);
        devices.take(device, now)
    }

    /// Forgets some of what rests, where that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.looks_at.is_none_or(|at| at > now) {
            return;
        }
        let (pairs, devices) = (self.pairs.as_mut(), self.devices.as_mut());
        let pairs_kept = pairs.is_some_and(|pairs| {
            pairs.forget_full(now, LOOKED_AT);
            !pairs.is_empty()
        });
        let devices_kept = devices.is_some_and(|devices| {
            devices.forget_full(now, LOOKED_AT);
            !devices.is_empty()
        });
        self.looks_at = (pairs_kept || devices_kept).then(|| now + LOOK_EVERY);
    }

    /// When [`Self::handle_timeout`] is due next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.looks_at
    }

    /// Handshakes and logins that were not counted because a table was full.
    pub(crate) fn uncounted(&self) -> u64 {
        let pairs = self.pairs.as_ref().map_or(0, |pairs| pairs.unkept);
        pairs + self.devices.as_ref().map_or(0, |devices| devices.unkept)
    }
}

/// What is said of handshakes that come too fast.
pub(crate) fn refusal(address: IpAddr, wait: Duration) -> Refusal {
    let group = admission::group(address);
    let network = if group.is_ipv6() { "/64" } else { "" };
    let wait_s = wait.as_secs_f64().ceil();
    let detail = format!(
        "this identity begins handshakes from {group}{network} faster than limits.device_handshakes permits: \
         they are dropped, and the next one is served in {wait_s} s. Let the device wait between its attempts"
    );
    Refusal::new(Reason::RateLimited, detail)
}

/// What is said of logins of one device that come too fast, each from an address that does not.
pub(crate) fn too_many_logins(wait: Duration) -> Refusal {
    let wait_s = wait.as_secs_f64().ceil();
    let detail = format!(
        "this device logs in faster than limits.device_handshakes permits, from all addresses together: its \
         new sessions are closed, the one that stands stays, and the next login is served in {wait_s} s. \
         Does somebody else have its secret? (narrowgate device reset)"
    );
    Refusal::new(Reason::RateLimited, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { every: Duration::from_secs(10), burst: 20 };

    fn passed(pace: &mut Pace, address: &str, identity: &str, times: usize) -> usize {
        let now = crate::tests::start();
        let (address, bytes) = (address.parse().expect("an address"), identity.as_bytes());
        let identity = Identity::parse(bytes);
        (0..times).filter(|_| pace.permit(now, address, &identity, bytes) == Taken::Yes).count()
    }

    #[test]
    fn a_stranger_elsewhere_cannot_lock_a_device_out() {
        let mut pace = Pace::new(Some(RATE), [7; 32]);
        assert_eq!(passed(&mut pace, "192.0.2.1", "p,d,2,60", 1000), 20);
        assert_eq!(passed(&mut pace, "192.0.2.2", "p,d,2,60", 1000), 20, "from another address");
        assert_eq!(
            passed(&mut pace, "192.0.2.1", "p,e,2,60", 1000),
            20,
            "another device behind the same one"
        );
        assert_eq!(passed(&mut pace, "192.0.2.1", "p,d,3,60", 1000), 20, "with the product's secret");
        assert_eq!(passed(&mut Pace::new(None, [7; 32]), "192.0.2.1", "p,d,2,60", 1000), 1000);
    }

    /// Another lifetime, another address of one network, a fault of the identity: none makes another pair.
    #[test]
    fn a_pair_has_one_bucket_however_it_is_written() {
        let mut pace = Pace::new(Some(RATE), [7; 32]);
        let lifetimes = (30..130).map(|lifetime| format!("p,d,2,{lifetime}"));
        assert_eq!(lifetimes.map(|identity| passed(&mut pace, "192.0.2.1", &identity, 1)).sum::<usize>(), 20);
        assert_eq!(passed(&mut pace, "::ffff:192.0.2.1", "p,d,2,60", 1), 0);
        let faults = (1000..1100).map(|lifetime| format!("p,d,2,{lifetime}000"));
        assert_eq!(faults.map(|identity| passed(&mut pace, "192.0.2.1", &identity, 1)).sum::<usize>(), 20);
        let network = (0..100).map(|host| format!("2001:db8::{host:x}"));
        assert_eq!(network.map(|address| passed(&mut pace, &address, "p,d,2,60", 1)).sum::<usize>(), 20);
        assert_eq!(passed(&mut pace, "192.0.2.1", "nonsense", 1000), 20);
    }

    #[test]
    fn what_is_full_again_is_forgotten_where_nobody_comes_any_more() {
        let mut pace = Pace::new(Some(RATE), [7; 32]);
        let now = crate::tests::start();
        for device in 0..1000 {
            let bytes = format!("p,d{device},2,60").into_bytes();
            let (address, identity) = (std::net::Ipv4Addr::LOCALHOST.into(), Identity::parse(&bytes));
            assert_eq!(pace.permit(now, address, &identity, &bytes), Taken::Yes);
            assert_eq!(pace.permit_login(now, DeviceId(device)), Taken::Yes);
        }
        let kept =
            |pace: &Pace| (pace.pairs.as_ref().map(Buckets::len), pace.devices.as_ref().map(Buckets::len));
        pace.handle_timeout(now + RATE.every - Duration::from_nanos(1));
        assert_eq!(kept(&pace), (Some(1000), Some(1000)), "none is full");
        let due = pace.poll_timeout().expect("there are buckets");
        assert!(due < now + RATE.every + LOOK_EVERY);
        pace.handle_timeout(due);
        assert_eq!((kept(&pace), pace.poll_timeout()), ((Some(0), Some(0)), None), "nothing is left to do");
    }

    #[test]
    fn the_words_say_who_and_when_again() {
        let said = |address: &str| {
            let address = address.parse().expect("an address");
            refusal(address, Duration::from_millis(6001)).detail.into_owned()
        };
        assert!(said("192.0.2.1").contains("from 192.0.2.1 faster than limits.device_handshakes permits"));
        let network = said("2001:db8::5");
        assert!(network.contains("from 2001:db8::/64 ") && network.contains("in 7 s"), "{network}");
    }
}
