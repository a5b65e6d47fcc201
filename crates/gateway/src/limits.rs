//! How many refusals per second are written down and looked into, with room for new sources, however loud the
//! others are.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use narrowgate_engine::shard::admission;
use narrowgate_platform::{ids::DeviceId, model::log::Reason};

/// What kind of refusal it is: each has a limit of its own, so that none hides another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Of a peer that names no registered device.
    Stranger,
    /// Of a handshake for a registered device: mostly a wrong key.
    Handshake,
    /// Of a request in a session.
    Request,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Stranger, Self::Handshake, Self::Request];

    /// Entries per second at most.
    pub(crate) const fn entries_max(self) -> u32 {
        match self {
            Self::Stranger | Self::Request => 150,
            Self::Handshake => 200,
        }
    }
}

/// Who caused a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Device(DeviceId),
    Address(IpAddr),
}

/// Who caused a refusal, as far as that is proven: limits are counted by this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// Whose share it is.
    source: Source,
    /// Who counts as new or not new in this second.
    proven: Source,
}

impl Origin {
    /// A handshake that was refused. The device is only what the peer claims: a peer that names many devices
    /// is still one peer. All addresses of one IPv6 network (/64) are one peer, too.
    pub(crate) fn peer(address: IpAddr, claimed: Option<DeviceId>) -> Self {
        let proven = Source::Address(admission::group(address));
        Self { source: claimed.map_or(proven, Source::Device), proven }
    }

    /// A device in its session.
    pub(crate) fn device(device: DeviceId) -> Self {
        Self { source: Source::Device(device), proven: Source::Device(device) }
    }
}

/// What was done in this second, in total and for each source. The first of each peer may take all of it, the
/// others half. As many sources are kept as twice the total at most.
#[derive(Debug)]
pub(crate) struct Bucket {
    total_max: u32,
    per_source_max: u32,
    taken: u32,
    /// How many of these, by peers that had taken some before.
    again: u32,
    by_source: HashMap<Source, u32>,
    second: Instant,
}

impl Bucket {
    pub(crate) fn new(total_max: u32, per_source_max: u32, now: Instant) -> Self {
        Self { total_max, per_source_max, taken: 0, again: 0, by_source: HashMap::new(), second: now }
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
        let has_room = self.taken < self.total_max && of(origin.source) < self.per_source_max;
        if !has_room || !(is_new || self.again < self.total_max / 2) {
            return false;
        }
        self.taken += 1;
        self.again += u32::from(!is_new);
        *self.by_source.entry(origin.source).or_default() += 1;
        if origin.proven != origin.source {
            *self.by_source.entry(origin.proven).or_default() += 1;
        }
        true
    }
}

/// The same refusal of the same peer is one entry in this time.
const COPIES_FOR: Duration = Duration::from_secs(10);
/// Refusals that are remembered for it.
const REMEMBERED_MAX: usize = 64;

/// The last refusals by an alert, mostly of ClientHellos: a peer that repeats one, or somebody who copies it,
/// is refused each time and written down once.
#[derive(Debug, Default)]
pub(crate) struct Copies(VecDeque<(Instant, SocketAddr, u64)>);

impl Copies {
    /// Whether this refusal is in an entry already; if not, it is remembered.
    pub(crate) fn has(
        &mut self,
        peer: SocketAddr,
        reason: Option<Reason>,
        detail: &str,
        now: Instant,
    ) -> bool {
        while self.0.front().is_some_and(|(at, ..)| now.saturating_duration_since(*at) >= COPIES_FOR) {
            self.0.pop_front();
        }
        let mut hasher = DefaultHasher::new();
        (reason.map(|reason| reason as u8), detail).hash(&mut hasher);
        let hash = hasher.finish();
        if self.0.iter().any(|(_, other, before)| (*other, *before) == (peer, hash)) {
            return true;
        }
        if self.0.len() == REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, peer, hash));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn peer(n: u32) -> Origin {
        Origin::peer(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), None)
    }

    fn taken(bucket: &mut Bucket, now: Instant, origins: impl Iterator<Item = Origin>) -> usize {
        origins.filter(|origin| bucket.take(*origin, now)).count()
    }

    #[test]
    fn a_flood_is_bounded_and_the_next_second_begins_anew() {
        let start = crate::tests::start();
        let mut bucket = Bucket::new(100, 10, start);
        assert_eq!(taken(&mut bucket, start, (0..10_000).map(peer)), 100);
        assert!(bucket.by_source.len() <= 200);
        assert!(!bucket.take(peer(20_000), start + SECOND - Duration::from_nanos(1)));
        assert!(bucket.take(peer(20_000), start + SECOND));
    }

    #[test]
    fn one_loud_source_leaves_room_for_the_others() {
        let start = crate::tests::start();
        let mut bucket = Bucket::new(100, 10, start);
        assert_eq!(taken(&mut bucket, start, std::iter::repeat_n(peer(1), 1000)), 10);
        assert!(bucket.take(peer(2), start));
    }

    /// However many sources begin the second with all that they may take.
    #[test]
    fn half_is_kept_for_those_who_have_nothing_in_this_second() {
        let start = crate::tests::start();
        let mut bucket = Bucket::new(100, 10, start);
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
        let mut bucket = Bucket::new(100, 10, start);
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
        let mut bucket = Bucket::new(100, 10, start);
        let claims = |address: u8, devices: std::ops::Range<i64>| {
            let address = IpAddr::from([10, 0, 0, address]);
            devices.map(move |device| Origin::peer(address, Some(DeviceId(device))))
        };
        assert_eq!(taken(&mut bucket, start, claims(1, 0..1000)), 1 + 50);
        assert_eq!(taken(&mut bucket, start, claims(2, 5..6)), 1, "an honest one");
        // And a peer that uses many addresses for one device gets the share of one.
        let start = start + SECOND;
        let many = (0..100).flat_map(|address| claims(address, 7..8));
        assert_eq!(taken(&mut bucket, start, many), 10);
    }

    #[test]
    fn copies_are_told_once_in_ten_seconds_and_what_is_remembered_is_bounded() {
        let start = crate::tests::start();
        let mut copies = Copies::default();
        let at = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let reason = Some(Reason::NoCommonCipherSuite);
        assert!(!copies.has(at(1), reason, "a", start));
        assert!(copies.has(at(1), reason, "a", start + COPIES_FOR - SECOND));
        for (port, reason, detail) in [(2, reason, "a"), (1, None, "a"), (1, reason, "b")] {
            assert!(!copies.has(at(port), reason, detail, start), "another refusal");
        }
        assert!(!copies.has(at(1), reason, "a", start + COPIES_FOR), "told anew");
        for port in 0..10_000 {
            copies.has(at(port), reason, "a", start + COPIES_FOR);
        }
        assert_eq!(copies.0.len(), REMEMBERED_MAX);
    }
}
