//! What a seed holds: how many devices, how bad the network and the store are, and what happens when.

use std::time::Duration;

use crate::{net::Conditions, random::SeededRandom, world::store::StoreConditions};

/// The size of what is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// A few devices, some minutes: for tests.
    Small,
    /// Some dozens of devices; one seed in forty has two thousand.
    Full,
}

/// Everything about a run that does not happen by itself.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where all randomness comes from.
    pub seed: u64,
    /// Devices.
    pub devices: u32,
    /// Shards of the server.
    pub shards: u16,
    /// How long things go wrong.
    pub trouble: Duration,
    /// The network meanwhile.
    pub network: Conditions,
    /// Of a thousand datagrams so many begin a burst in which all of their direction are lost.
    pub bursts_per_mille: u16,
    /// Of a thousand datagrams so many arrive cut.
    pub cut_per_mille: u16,
    /// The store meanwhile.
    pub store: StoreConditions,
    /// Mean time between two crashes; none where it is `None`.
    pub crashes: Option<Duration>,
    /// Mean time between two things that happen to a device (power, address, reset).
    pub mishaps: Duration,
    /// Mean time between two acts of an operator.
    pub acts: Option<Duration>,
    /// Mean time between two acts of an operator with commands; where it is not `None`, devices take commands
    /// and say more than their reports.
    pub orders: Option<Duration>,
    /// Mean time between two jumps of the wall clock.
    pub jumps: Option<Duration>,
    /// The wall clock jumps by days and years, and is right at times; some devices tell their own time.
    pub wild_clock: bool,
    /// Mean time between two datagrams of a stranger.
    pub strange: Option<Duration>,
    /// Of a thousand devices so many have only their product's secret.
    pub unactivated_per_mille: u16,
    /// Every device has a twin with the same keys and secrets; operators reset and disable devices while they
    /// log in.
    pub twins: bool,
    /// Devices that talk plain CoAP.
    pub plain: Option<Plain>,
    /// Limits of each shard that a part of the fleet reaches; `None`: nobody does.
    pub limits: Option<Limits>,
}

/// Plain CoAP in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    /// Of a thousand devices so many talk it, once they have a secret of their own.
    pub per_mille: u16,
    /// Shards that serve it, beside the others.
    pub shards: u16,
}

/// Limits of a shard, far too small for the fleet; calm begins with a restart under generous ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// See `ShardConfig` for each of them.
    pub sessions_max: usize,
    /// Handshakes under way.
    pub handshakes_max: usize,
    /// … per address; most devices are behind the same one.
    pub handshakes_per_address_max: usize,
    /// Key look-ups under way.
    pub lookups_max: usize,
    /// Requests that wait for the platform.
    pub requests_in_flight_max: usize,
    /// Bytes of stored answers over all sessions.
    pub coap_budget_bytes: usize,
}

impl Limits {
    fn new(seed: u64, devices: u64, shards: u64) -> Option<Self> {
        // Its own randomness: the rest of a plan does not depend on whether limits are small.
        let mut random = SeededRandom::new(seed ^ 0x6c69_6d69_7473);
        let mut between = |low: u64, high: u64| (low + random.below(high - low + 1)) as usize;
        let each = devices.div_ceil(shards);
        (between(0, 2) == 0).then(|| Self {
            sessions_max: between(1, each + 1),
            handshakes_max: between(1, 8),
            handshakes_per_address_max: between(1, 6),
            lookups_max: between(1, 4),
            requests_in_flight_max: between(1, 6),
            coap_budget_bytes: between(500, 20_000),
        })
    }
}

/// Whether the clock of a seed jumps by years: one in four. Its own randomness, as for limits.
fn is_wild(seed: u64) -> bool {
    SeededRandom::new(seed ^ 0x636c_6f63_6b73).below(4) == 0
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64, scale: Scale) -> Self {
        let mut random = SeededRandom::new(seed ^ 0x706c_616e);
        let mut between = |low: u64, high: u64| low + random.below(high - low + 1);
        let large = scale == Scale::Full && seed.is_multiple_of(40);
        let devices = match scale {
            _ if large => 2_000,
            Scale::Small => between(3, 16),
            Scale::Full => between(10, 100),
        };
        let trouble = match scale {
            _ if large => between(120, 240),
            Scale::Small => between(120, 600),
            Scale::Full => between(300, 1_500),
        };
        let delay = Duration::from_millis(between(5, 100));
        let network = Conditions {
            lost_per_mille: between(0, 250) as u16,
            repeated_per_mille: between(0, 150) as u16,
            delay: delay..delay + Duration::from_millis(between(1, 400)),
            late_per_mille: between(0, 100) as u16,
            late_by: Duration::from_millis(between(100, 20_000)),
            flipped_per_mille: between(0, 30) as u16,
            datagram_bytes_max: usize::MAX,
        };
        let store = StoreConditions {
            failing_per_mille: [0, 0, 20, 200][between(0, 3) as usize],
            slow_per_mille: [0, 5, 50][between(0, 2) as usize],
            reads_failing_per_mille: [0, 0, 10, 100][between(0, 3) as usize],
        };
        let mut sometimes = |low: u64, high: u64| match between(0, 2) {
            0 => None,
            _ => Some(Duration::from_secs(between(low, high))),
        };
        let (crashes, acts, jumps, strange) =
            (sometimes(20, 300), sometimes(10, 120), sometimes(30, 300), sometimes(1, 10));
        let wild_clock = is_wild(seed);
        let jumps = if wild_clock { Some(Duration::from_secs(between(5, 60))) } else { jumps };
        let (mean, shards) = (if large { 1 } else { between(2, 60) }, between(1, 4));
        Self {
            seed,
            devices: devices as u32,
            shards: shards as u16,
            trouble: Duration::from_secs(trouble),
            network,
            bursts_per_mille: between(0, 10) as u16,
            cut_per_mille: between(0, 10) as u16,
            store,
            crashes,
            mishaps: Duration::from_secs(mean),
            acts,
            orders: None,
            jumps,
            wild_clock,
            strange,
            unactivated_per_mille: between(0, 300) as u16,
            twins: false,
            plain: None,
            limits: Limits::new(seed, devices, shards),
        }
    }

    /// The plan of a seed with resets that race logins: on a slow store, with a twin for every device.
    pub fn with_resets(seed: u64, scale: Scale) -> Self {
        let mut random = SeededRandom::new(seed ^ 0x7265_7365_7473);
        let plan = Self::new(seed, scale);
        let failing_per_mille = [0, 100][random.below(2) as usize];
        Self {
            devices: 2 + random.below(if scale == Scale::Small { 4 } else { 20 }) as u32,
            store: StoreConditions { failing_per_mille, slow_per_mille: 300, ..plan.store },
            acts: Some(Duration::from_secs(4)),
            jumps: None,
            unactivated_per_mille: 0,
            twins: true,
            limits: None,
            ..plan
        }
    }

    /// The plan of a seed with operators who send commands to devices that take and answer them, on a clock
    /// that is right.
    pub fn with_commands(seed: u64, scale: Scale) -> Self {
        let mut random = SeededRandom::new(seed ^ 0x636f_6d6d_616e_6473);
        let mut between = |low: u64, high: u64| low + random.below(high - low + 1);
        let plan = Self::new(seed, scale);
        let (devices, trouble) = match scale {
            Scale::Small => (between(2, 6), between(100, 300)),
            Scale::Full => (between(10, 50), between(600, 1_500)),
        };
        let orders = Some(Duration::from_millis(between(2_000, 8_000) / devices));
        Self {
            devices: devices as u32,
            trouble: Duration::from_secs(trouble),
            crashes: Some(Duration::from_secs(between(20, 300))),
            mishaps: Duration::from_secs(between(10, 200)),
            acts: [None, Some(Duration::from_secs(between(30, 300)))][between(0, 1) as usize],
            orders,
            jumps: None,
            wild_clock: false,
            unactivated_per_mille: between(0, 100) as u16,
            limits: Limits::new(seed, devices, plan.shards.into()),
            ..plan
        }
    }

    /// The plan of a seed with plain CoAP: one in three with twins and resets, one in three with commands.
    /// UDP has a checksum, so nothing arrives cut or with other bits.
    pub fn with_plain(seed: u64, scale: Scale) -> Self {
        let plan = match seed % 3 {
            0 => Self::with_resets(seed, scale),
            1 => Self::with_commands(seed, scale),
            _ => Self::new(seed, scale),
        };
        plan.plain()
    }

    /// The plan of a seed with commands, to devices that talk plain CoAP.
    pub fn with_plain_commands(seed: u64, scale: Scale) -> Self {
        Self::with_commands(seed, scale).plain()
    }

    /// Whether the device of this number talks plain CoAP.
    pub fn is_plain(&self, number: u32) -> bool {
        let mut random = SeededRandom::new(self.seed ^ u64::from(number) << 20 ^ 0x706c_6169_6e01);
        self.plain.is_some_and(|plain| random.chance(plain.per_mille))
    }

    /// Shards of plain CoAP.
    pub fn plain_shards(&self) -> u16 {
        self.plain.map_or(0, |plain| plain.shards)
    }

    /// All devices, or half of them, talk plain CoAP.
    fn plain(self) -> Self {
        let mut random = SeededRandom::new(self.seed ^ 0x706c_6169_6e00);
        let per_mille = [500, 1000][random.below(2) as usize];
        let plain = Some(Plain { per_mille, shards: 1 + random.below(2) as u16 });
        let network = Conditions { flipped_per_mille: 0, ..self.network };
        Self { plain, network, cut_per_mille: 0, ..self }
    }

    /// The plan of a seed whose wall clock jumps by days and years, every few seconds to a minute.
    pub fn with_wild_clock(seed: u64, scale: Scale) -> Self {
        let mut random = SeededRandom::new(seed ^ 0x636c_6f63_6b73);
        let jumps = Some(Duration::from_secs(5 + random.below(56)));
        Self { jumps, wild_clock: true, ..Self::new(seed, scale) }
    }

    /// The plan of a seed with round trips of 2 to 10 s, a stranger every second, and few handshakes for the
    /// address that most devices share.
    pub fn with_slow_radio(seed: u64, scale: Scale) -> Self {
        let mut random = SeededRandom::new(seed ^ 0x7261_6469_6f73);
        let mut between = |low: u64, high: u64| low + random.below(high - low + 1);
        let plan = Self::new(seed, scale);
        let delay = Duration::from_millis(between(1_000, 4_000));
        let delay = delay..delay + Duration::from_millis(between(1, 1_000));
        let each = plan.devices.div_ceil(u32::from(plan.shards)) as usize;
        let limits = Limits {
            sessions_max: each + 1,
            handshakes_max: between(2, 12) as usize,
            handshakes_per_address_max: between(1, 8) as usize,
            lookups_max: between(1, 4) as usize,
            requests_in_flight_max: between(1, 6) as usize,
            coap_budget_bytes: between(500, 20_000) as usize,
        };
        Self {
            network: Conditions { lost_per_mille: between(0, 50) as u16, delay, ..plan.network },
            bursts_per_mille: 0,
            strange: Some(Duration::from_secs(1)),
            limits: Some(limits),
            ..plan
        }
    }
}
