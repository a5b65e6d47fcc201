//! How many refusals are written down and looked into, with room for new sources, however loud the others
//! are.
//!
//! A peer that is refused only claims to be a device. So what a device has is shared by the networks that it
//! is claimed from ([`Claim`]): a stranger elsewhere hides nothing of what the device itself is refused.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use narrowgate_engine::shard::admission;
use narrowgate_platform::{
    ids::DeviceId,
    rules::rate::{Bucket, Buckets, Rate},
};

/// What kind of refusal it is: each has a limit of its own, so that none hides another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Of a peer that names no registered device.
    Stranger,
    /// Of a handshake for a registered device: mostly a wrong key.
    Handshake,
    /// Of a request in a session.
    Request,
    /// Of a login by plain CoAP, whose address and device may be anybody's.
    Plain,
}

impl Class {
    pub(crate) const ALL: [Self; 4] = [Self::Stranger, Self::Handshake, Self::Request, Self::Plain];

    /// Entries at most. Those of strangers and of handshakes, which anybody can cause, come to 20 a second
    /// with a burst of 500; those of plain CoAP, where it is switched on, are 5 a second more.
    const fn entries(self) -> Rate {
        match self {
            Self::Stranger | Self::Handshake => Rate { every: Duration::from_millis(100), burst: 250 },
            Self::Request => Rate { every: Duration::from_millis(50), burst: 500 },
            Self::Plain => Rate { every: Duration::from_millis(200), burst: 100 },
        }
    }
}

/// Entries at most of one source (a device, or an address) in each class: a single loud one does not silence
/// the others.
const ENTRIES_OF_SOURCE: Rate = Rate { every: Duration::from_millis(200), burst: 50 };
/// Entries at most of a device that is only claimed, from all networks together.
const ENTRIES_OF_CLAIMED: Rate = Rate { every: Duration::from_millis(200), burst: 100 };
/// Of these, at most so many from one network: a fifth of what is not kept for new ones. So four loud
/// networks leave a fifth to the device's own.
const ENTRIES_OF_NETWORK: Rate = Rate { every: Duration::from_secs(1), burst: 10 };
/// And from all networks of one site: two fifths. A site has one network, or many (an IPv6 /48).
const ENTRIES_OF_SITE: Rate = Rate { every: Duration::from_millis(500), burst: 20 };
/// Whoever caused no entry in this time is new: half of a class is kept for those.
const NEW_AFTER: Duration = Duration::from_secs(60);
/// Sources that are remembered for each class; beyond it one counts as new and with its whole share. Their
/// number follows from the rate of entries.
const SOURCES_MAX: usize = 4096;

/// The entries of a class.
#[derive(Debug)]
pub(crate) struct Entries {
    all: Bucket,
    burst: u32,
    by_source: Buckets<Source>,
    by_claimed: Buckets<Source>,
    by_network: Buckets<Source>,
    by_site: Buckets<Source>,
    /// Who caused an entry of late.
    known: Buckets<Source>,
}

impl Entries {
    pub(crate) fn new(class: Class) -> Self {
        let rate = class.entries();
        Self {
            all: Bucket::new(rate),
            burst: rate.burst,
            by_source: Buckets::new(ENTRIES_OF_SOURCE, SOURCES_MAX),
            by_claimed: Buckets::new(ENTRIES_OF_CLAIMED, SOURCES_MAX),
            by_network: Buckets::new(ENTRIES_OF_NETWORK, SOURCES_MAX),
            by_site: Buckets::new(ENTRIES_OF_SITE, SOURCES_MAX),
            known: Buckets::new(Rate { every: NEW_AFTER, burst: 1 }, SOURCES_MAX),
        }
    }

    /// Whether one more may be written.
    pub(crate) fn take(&mut self, origin: Origin, now: Instant) -> bool {
        let kept = |source, burst| if self.known.holds_back(source, now) { burst / 2 } else { 0 };
        let kept_of_all = kept(origin.proven, self.burst);
        let kept_of_source = origin.claim.map_or(0, |claim| kept(claim.site, ENTRIES_OF_CLAIMED.burst));
        let is_held_back = origin.claim.is_some_and(|Claim { network, site }| {
            self.by_network.holds_back(network, now) || self.by_site.holds_back(site, now)
        });
        let by_source = if origin.claim.is_some() { &mut self.by_claimed } else { &mut self.by_source };
        if is_held_back
            || !self.all.has_more_than(kept_of_all, now)
            || !by_source.has_more_than(origin.source, kept_of_source, now)
        {
            return false;
        }
        by_source.take(origin.source, now);
        if let Some(claim) = origin.claim {
            self.by_network.take(claim.network, now);
            self.by_site.take(claim.site, now);
            self.known.take(claim.site, now);
        }
        self.known.take(origin.proven, now);
        self.all.take(now)
    }
}

/// Who caused a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Device(DeviceId),
    /// Who claims to be this device, from this network.
    Claimed(DeviceId, IpAddr),
    Address(IpAddr),
    /// Of plain CoAP, where both the device and the address are only claimed.
    PlainDevice(DeviceId),
    PlainAddress(IpAddr),
    /// Everybody who comes by plain CoAP.
    Plain,
}

/// By which port a refusal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// DTLS: the peer has the address that it sends from.
    Dtls,
    /// Plain CoAP: anybody can write any address.
    Plain,
}

/// Who caused a refusal, as far as that is proven: limits are counted by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// Whose share it is.
    source: Source,
    /// From where, if the source is a device that is only claimed.
    claim: Option<Claim>,
    /// Who counts as new or not new in this second.
    proven: Source,
}

/// From where a device is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Claim {
    /// Whose part of the device's share it is: a /24, or an IPv6 /64, as one subscriber has it.
    network: Source,
    /// What has at most two parts, and counts as new or not new: a /24, or an IPv6 /48, as one customer has
    /// it, with 65,536 of /64.
    site: Source,
}

impl Claim {
    fn of(device: DeviceId, address: IpAddr) -> Self {
        let prefix = |octets| Source::Claimed(device, prefix(address, octets));
        match admission::group(address) {
            IpAddr::V4(_) => Self { network: prefix(3), site: prefix(3) },
            IpAddr::V6(_) => Self { network: prefix(8), site: prefix(6) },
        }
    }
}

/// The first octets of an address.
fn prefix(address: IpAddr, octets: usize) -> IpAddr {
    match admission::group(address) {
        IpAddr::V4(address) => {
            let mut all = address.octets();
            all[octets..].fill(0);
            all.into()
        }
        IpAddr::V6(address) => {
            let mut all = address.octets();
            all[octets..].fill(0);
            all.into()
        }
    }
}

impl Origin {
    /// A handshake that was refused. The device is only what the peer claims: a peer that names many devices
    /// is still one peer. All addresses of one IPv6 network (/64) are one peer, too.
    pub(crate) fn peer(address: IpAddr, claimed: Option<DeviceId>) -> Self {
        let proven = Source::Address(admission::group(address));
        let claim = claimed.map(|device| Claim::of(device, address));
        Self { source: claimed.map_or(proven, Source::Device), claim, proven }
    }

    /// A login by plain CoAP that was refused. Its address may be forged, so none is new for it: all of them
    /// are one peer, and take nothing from the share of a device or an address that comes by DTLS.
    pub(crate) fn plain(address: IpAddr, claimed: Option<DeviceId>) -> Self {
        let source = match claimed {
            Some(device) => Source::PlainDevice(device),
            None => Source::PlainAddress(admission::group(address)),
        };
        Self { source, claim: None, proven: Source::Plain }
    }

    /// A device in its session.
    pub(crate) fn device(device: DeviceId) -> Self {
        let device = Source::Device(device);
        Self { source: device, claim: None, proven: device }
    }
}

/// What was done in this second, in total and for each source. The first of each peer may take all of it, the
/// others half. The last of what a device has that is only claimed are kept for sites that had none. As many
/// sources are kept as three times the total at most.
#[derive(Debug)]
pub(crate) struct PerSecond {
    total_max: u32,
    per_source_max: u32,
    taken: u32,
    /// How many of these, by peers that had taken some before.
    again: u32,
    by_source: HashMap<Source, u32, RandomState>,
    second: Instant,
}

/// Of what a claimed device has in a second, so many are kept for sites that had none.
const KEPT_FOR_NEW_SITES: u32 = 2;

impl PerSecond {
    pub(crate) fn new(total_max: u32, per_source_max: u32, now: Instant) -> Self {
        Self { total_max, per_source_max, taken: 0, again: 0, by_source: HashMap::default(), second: now }
    }

    pub(crate) fn take(&mut self, origin: Origin, now: Instant) -> bool {
        if now.saturating_duration_since(self.second).as_secs() >= 1 {
            self.taken = 0;
            self.again = 0;
            self.by_source.clear();
            self.second = now;
        }
        let of = |source| self.by_source.get(&source).copied().unwrap_or(0);
        let is_new = of(origin.proven) == 0;
        let is_known_site = origin.claim.is_some_and(|claim| of(claim.site) > 0);
        let kept = if is_known_site { KEPT_FOR_NEW_SITES } else { 0 };
        let has_room = self.taken < self.total_max && of(origin.source) + kept < self.per_source_max;
        if !has_room || !(is_new || self.again < self.total_max / 2) {
            return false;
        }
        self.taken += 1;
        self.again += u32::from(!is_new);
        let proven = Some(origin.proven).filter(|proven| *proven != origin.source);
        let site = origin.claim.map(|claim| claim.site);
        for source in [Some(origin.source), proven, site].into_iter().flatten() {
            *self.by_source.entry(source).or_default() += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn peer(n: u32) -> Origin {
        Origin::peer(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), None)
    }

    fn taken(bucket: &mut PerSecond, now: Instant, origins: impl Iterator<Item = Origin>) -> usize {
        origins.filter(|origin| bucket.take(*origin, now)).count()
    }

    #[test]
    fn a_flood_is_bounded_and_the_next_second_begins_anew() {
        let start = crate::tests::start();
        let mut bucket = PerSecond::new(100, 10, start);
        assert_eq!(taken(&mut bucket, start, (0..10_000).map(peer)), 100);
        assert!(bucket.by_source.len() <= 200);
        assert!(!bucket.take(peer(20_000), start + SECOND - Duration::from_nanos(1)));
        assert!(bucket.take(peer(20_000), start + SECOND));
    }

    #[test]
    fn one_loud_source_leaves_room_for_the_others() {
        let start = crate::tests::start();
        let mut bucket = PerSecond::new(100, 10, start);
        assert_eq!(taken(&mut bucket, start, std::iter::repeat_n(peer(1), 1000)), 10);
        assert!(bucket.take(peer(2), start));
    }

    /// However many sources begin the second with all that they may take.
    #[test]
    fn half_is_kept_for_those_who_have_nothing_in_this_second() {
        let start = crate::tests::start();
        let mut bucket = PerSecond::new(100, 10, start);
        for second in 0..5 {
            let now = start + second * SECOND;
            let loud = (0..1000).flat_map(|_| (0..20).map(peer));
            assert_eq!(taken(&mut bucket, now, loud), 20 + 50, "the first of each, and half");
            assert_eq!(taken(&mut bucket, now, (100..1000).map(peer)), 30, "all that is left");
        }
    }

    #[test]
    fn attack_210_a_whole_ipv6_network_is_one_source() {
        let start = crate::tests::start();
        let mut bucket = PerSecond::new(100, 10, start);
        let of_network = |n: u64| {
            Origin::peer((0x2001_0db8_0000_0001_u128 << 64 | u128::from(n)).to_be_bytes().into(), None)
        };
        assert_eq!(taken(&mut bucket, start, (0..10_000).map(of_network)), 10);
        let neighbour: IpAddr = "2001:db8:0:2::1".parse().expect("an address");
        assert!(bucket.take(Origin::peer(neighbour, None), start));
        // An IPv4 address is the same one on a socket for both.
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().expect("an address");
        assert_eq!(taken(&mut bucket, start, std::iter::repeat_n(peer(1), 9)), 9);
        assert_eq!(taken(&mut bucket, start, std::iter::repeat_n(Origin::peer(mapped, None), 9)), 1);
    }

    #[test]
    fn who_names_many_devices_is_still_one_peer() {
        let start = crate::tests::start();
        let mut bucket = PerSecond::new(100, 10, start);
        let claims = |address: u8, devices: std::ops::Range<i64>| {
            let address = IpAddr::from([10, 0, 0, address]);
            devices.map(move |device| Origin::peer(address, Some(DeviceId(device))))
        };
        assert_eq!(taken(&mut bucket, start, claims(1, 0..1000)), 1 + 50);
        assert_eq!(taken(&mut bucket, start, claims(2, 5..6)), 1, "an honest one");
        // And a peer that uses many addresses for one device gets the share of one.
        let start = start + SECOND;
        let many = (0..100).flat_map(|address| claims(address, 7..8));
        assert_eq!(taken(&mut bucket, start, many), 10 - 2, "and two are kept for other networks");
    }

    #[test]
    fn entries_of_strangers_come_to_twenty_a_second_and_a_burst_of_five_hundred() {
        let start = crate::tests::start();
        let rates = [Class::Stranger, Class::Handshake].map(Class::entries);
        assert_eq!(rates.iter().map(|rate| rate.burst).sum::<u32>(), 500);
        assert_eq!(rates.iter().map(|rate| 1.0 / rate.every.as_secs_f64()).sum::<f64>(), 20.0);
        let mut entries = Entries::new(Class::Stranger);
        let mut written = 0;
        for second in 0..100 {
            let now = start + second * SECOND;
            // Ten thousand addresses, each of a network of its own, and none twice.
            written += (0..10_000).filter(|n| entries.take(peer(10_000 * second + n), now)).count();
        }
        assert_eq!(written, 250 + 99 * 10);
        assert!(entries.known.len() <= SOURCES_MAX && entries.by_source.len() <= SOURCES_MAX);
    }

    #[test]
    fn half_of_the_entries_is_kept_for_those_who_had_none_of_late() {
        let start = crate::tests::start();
        let mut entries = Entries::new(Class::Stranger);
        let loud = |entries: &mut Entries, now| (0..2000).filter(|n| entries.take(peer(n % 20), now)).count();
        // The first of each may take from the other half.
        assert_eq!(loud(&mut entries, start), 125);
        for second in 1..=50 {
            let now = start + second * SECOND;
            assert!(loud(&mut entries, now) <= 10);
            assert!(entries.take(peer(1000 + second), now), "an honest one in second {second}");
        }
        assert_eq!((0..1000).filter(|n| entries.take(peer(5000 + n), start + 50 * SECOND)).count(), 124);
    }

    #[test]
    fn one_source_has_its_share_and_a_device_that_is_claimed_is_none() {
        let start = crate::tests::start();
        let mut entries = Entries::new(Class::Handshake);
        let claimed =
            |address: u8, device| Origin::peer(IpAddr::from([10, 0, 0, address]), Some(DeviceId(device)));
        assert_eq!((0..1000).filter(|_| entries.take(claimed(1, 7), start)).count(), 10);
        assert!(!entries.take(claimed(2, 7), start), "of one network");
        assert!(entries.take(claimed(2, 8), start));
        // Who names many devices is still one peer.
        assert_eq!((0..1000).filter(|n| entries.take(claimed(1, 100 + n), start)).count(), 125 - 11);
    }

    fn claims(address: &str) -> Origin {
        Origin::peer(address.parse().expect("an address"), Some(DeviceId(7)))
    }

    #[test]
    fn who_names_a_device_from_elsewhere_hides_nothing_that_the_device_is_refused() {
        for [own, loud] in [["192.0.2.1", "10.0.0"], ["2001:db8:1:1::1", "2001:db8:2:2:"]] {
            let start = crate::tests::start();
            let mut entries = Entries::new(Class::Handshake);
            let mut written = 0;
            for second in 0..1000 {
                let now = start + second * SECOND;
                let dot = if own.contains(':') { ":" } else { "." };
                let strangers = (0..250).map(|n| claims(&format!("{loud}{dot}{n}")));
                written += strangers.filter(|origin| entries.take(*origin, now)).count();
                assert!(entries.take(claims(own), now), "{own} in second {second}");
            }
            assert_eq!(written, 10 + 999, "one network, however many addresses");
        }
    }

    /// Four /24, four /64 of as many /48, or two /48 with many /64; some go on all the time, others pause.
    #[test]
    fn four_loud_networks_hide_nothing_that_the_device_is_refused() {
        type Loud = fn(u32) -> String;
        let networks: Loud = |n| format!("10.0.{}.{}", n % 4, n % 250);
        let subnets: Loud = |n| format!("2001:db8:{}::{n:x}", 2 + n % 4);
        let customers: Loud = |n| format!("2001:db8:{}:{:x}::1", 2 + n % 2, n % 65_536);
        let ways = [("192.0.2.1", networks), ("2001:db8:1::1", subnets), ("2001:db8:1::1", customers)];
        for (own, loud) in ways {
            for (noise_s, pause_s) in [(1000, 0), (40, 20), (5, 5), (1, 9), (1, 70), (62, 58)] {
                let start = crate::tests::start();
                let mut entries = Entries::new(Class::Handshake);
                for tenth in 0..3000 {
                    let now = start + tenth * SECOND / 10;
                    let is_loud = tenth / 10 % (noise_s + pause_s) < noise_s;
                    for n in (0..12).filter(|_| is_loud) {
                        entries.take(claims(&loud(12 * tenth + n)), now);
                    }
                    let is_tried = tenth % 10 == 9 || tenth < 4;
                    assert!(!is_tried || entries.take(claims(own), now), "{own} after {tenth}, {noise_s} s");
                }
            }
        }
    }

    /// They use up all that one device has: it is the same as ever, and the network that had none of late is
    /// seen.
    #[test]
    fn who_names_a_device_from_hundreds_of_networks_leaves_one_entry_a_minute_to_each_other_one() {
        type Loud = fn(u32) -> String;
        let sites: Loud = |n| format!("10.0.{}.1", n % 250);
        let subnets: Loud = |n| format!("2001:db8:2:{:x}::1", n % 65_536);
        for (own, loud) in [("192.0.2.1", sites), ("2001:db8:1:1::1", subnets)] {
            let start = crate::tests::start();
            let mut entries = Entries::new(Class::Handshake);
            let (mut written, mut seen, mut last) = (0, 0, 0);
            for second in 0..600 {
                let now = start + second * SECOND;
                let strangers = (0..250).map(|n| claims(&loud(250 * second + n)));
                written += strangers.filter(|origin| entries.take(*origin, now)).count();
                if entries.take(claims(own), now) {
                    (seen, last) = (seen + 1, second);
                }
                assert!(second - last <= 75, "{own}: none after second {last}");
            }
            assert!(seen >= 8, "{own}: {seen}");
            assert!((1000..=100 + 600 * 5).contains(&(written + seen)), "{own}: {written}");
            let kept = [&entries.known, &entries.by_network, &entries.by_site, &entries.by_claimed];
            let kept = kept.map(Buckets::len);
            assert!(kept.iter().all(|kept| *kept <= SOURCES_MAX), "{kept:?}");
        }
    }

    #[test]
    fn a_device_that_is_named_from_two_networks_is_still_looked_into() {
        let start = crate::tests::start();
        let mut bucket = PerSecond::new(20, 5, start);
        let mut take =
            |address: String, times| (0..times).filter(|_| bucket.take(claims(&address), start)).count();
        let first: usize = (0..100).map(|n| take(format!("10.0.0.{n}"), 3)).sum();
        let second: usize = (0..100).map(|n| take(format!("10.0.1.{n}"), 3)).sum();
        assert_eq!((first, second), (3, 1), "two are kept for networks that had none");
        assert_eq!(take("192.0.2.1".into(), 100), 1);
        assert_eq!(take("198.51.100.1".into(), 1), 0, "these are all of one device");
        // Who names two devices has the share of two, and no more from whatever addresses.
        let start = start + SECOND;
        let claims = |n: u32| {
            let address = IpAddr::from([10, 0, (n % 2) as u8, n as u8]);
            Origin::peer(address, Some(DeviceId((n / 2 % 2).into())))
        };
        assert_eq!(taken(&mut bucket, start, (0..200).map(claims)), 2 * 3);
        let device = Origin::peer("192.0.2.1".parse().expect("an address"), Some(DeviceId(1)));
        assert!(bucket.take(device, start));
    }
}
