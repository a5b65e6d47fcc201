//! How many refusals are written down, and how many looked into: so many per second, with room for those
//! that were not heard yet, however loud the others are.

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
pub(super) enum Class {
    /// Of a peer that names no registered device.
    Stranger,
    /// Of a handshake for a registered device: a wrong key mostly.
    Handshake,
    /// Of a request in a session.
    Request,
}

impl Class {
    pub(super) const ALL: [Self; 3] = [Self::Stranger, Self::Handshake, Self::Request];

    /// Entries per second at most.
    pub(super) const fn entries_max(self) -> u32 {
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

/// Who caused a refusal, as far as it is proven: its limits are counted by that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// Whose share it is.
    source: Source,
    /// Who is new or not new in this second.
    proven: Source,
}

impl Origin {
    /// A handshake that was refused. The device is only what the peer claims: who names many devices is
    /// still one peer. Of one IPv6 network (/64) all addresses are one peer, too.
    pub(super) fn peer(address: IpAddr, claimed: Option<DeviceId>) -> Self {
        let proven = Source::Address(admission::group(address));
        Self { source: claimed.map_or(proven, Source::Device), proven }
    }

    /// A device in its session.
    pub(super) fn device(device: DeviceId) -> Self {
        Self { source: Source::Device(device), proven: Source::Device(device) }
    }
}

/// What was done in this second, in total and for each source. The first of each peer may take all of it, the
/// others half. As many sources are kept as twice the total at most.
#[derive(Debug)]
pub(super) struct Bucket {
    total_max: u32,
    per_source_max: u32,
    taken: u32,
    /// Of these, by peers that had taken before.
    again: u32,
    by_source: HashMap<Source, u32>,
    second: Instant,
}

impl Bucket {
    pub(super) fn new(total_max: u32, per_source_max: u32, now: Instant) -> Self {
        Self { total_max, per_source_max, taken: 0, again: 0, by_source: HashMap::new(), second: now }
    }

    pub(super) fn take(&mut self, origin: Origin, now: Instant) -> bool {
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

/// The last refusals by an alert, of ClientHellos mostly: a peer that repeats one, or somebody who copies it,
/// is refused each time and told once.
#[derive(Debug, Default)]
pub(super) struct Copies(VecDeque<(Instant, SocketAddr, u64)>);

impl Copies {
    /// Whether this refusal is in an entry already; if not, it is remembered.
    pub(super) fn has(
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
