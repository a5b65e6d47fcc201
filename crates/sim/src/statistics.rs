//! Confirmable reports over a bad network: how many get through, and whether each is stored once.
//!
//! A report fails when five transmissions have no answer: RFC 7252, section 4.2, with its default parameters.
//! With a loss of p each way, each transmission and its answer get through with (1-p)², independently, and
//! the report with 1-(1-(1-p)²)⁵. The server is the whole one, with a store that commits at once.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
    time::{Duration, Instant},
};

use narrowgate_platform::ids::DeviceId;

use crate::{
    device::{DeviceCommand, DeviceEvent, Report},
    net::Conditions,
    random::SeededRandom,
    world::{HostId, World, shard_config},
};

/// Loss each way, of a thousand.
const LOST_PER_MILLE: u16 = 200;
/// Devices that report.
const DEVICES: u32 = 64;
/// Reports between two restarts of the server.
const REPORTS_PER_LIFE: u64 = 5_000;
/// After so long every report has its answer or is given up (RFC 7252, section 4.8.2: 93 s). Only reports
/// that were sent so long before the server died count, since those under way are more often the ones that
/// will fail.
const LONGEST: Duration = Duration::from_secs(100);
/// Standard deviations that the rate of success may be off.
const SIGMAS: f64 = 3.0;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Statistics {
    /// Reports sent.
    pub sent: u64,
    /// … that count: sent so long before the server died that each had its answer or was given up.
    pub counted: u64,
    /// … of which were acknowledged.
    pub acknowledged: u64,
    /// Reports under way when the server died: compared with the store like all others, and not counted.
    pub interrupted: u64,
    /// Deaths of the server.
    pub restarts: u64,
    /// Reports stored more than once.
    pub twice: u64,
    /// Reports acknowledged and not stored.
    pub missing: u64,
}

impl Statistics {
    /// The rate that the theory expects.
    pub fn expected() -> f64 {
        let gets_through = 1.0 - f64::from(LOST_PER_MILLE) / 1000.0;
        1.0 - (1.0 - gets_through * gets_through).powi(5)
    }

    /// How many standard deviations the measured rate is off.
    pub fn sigmas(&self) -> f64 {
        let (expected, counted) = (Self::expected(), self.counted as f64);
        let rate = self.acknowledged as f64 / counted;
        (rate - expected) / (expected * (1.0 - expected) / counted).sqrt()
    }

    /// Whether everything is as promised.
    pub fn holds(&self) -> bool {
        self.twice == 0 && self.missing == 0 && self.sigmas().abs() <= SIGMAS
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "reports sent                 {}", self.sent)?;
        writeln!(f, "deaths of the server         {}", self.restarts)?;
        writeln!(f, "under way at one of them     {}", self.interrupted)?;
        writeln!(f, "stored twice                 {}", self.twice)?;
        writeln!(f, "acknowledged and not stored  {}", self.missing)?;
        writeln!(f, "counted                      {}", self.counted)?;
        writeln!(f, "acknowledged                 {}", self.acknowledged)?;
        let rate = self.acknowledged as f64 / self.counted as f64;
        writeln!(
            f,
            "rate                         {rate:.6}, expected {:.6}: {:+.2} sigma",
            Self::expected(),
            self.sigmas()
        )
    }
}

/// A fifth is lost each way, a tenth comes twice, three tenths are overtaken; all of it far below the two
/// seconds after which a device repeats itself, so that each transmission has its own fate.
fn conditions() -> Conditions {
    Conditions {
        lost_per_mille: LOST_PER_MILLE,
        repeated_per_mille: 100,
        delay: Duration::from_millis(10)..Duration::from_millis(60),
        late_per_mille: 300,
        late_by: Duration::from_millis(200),
        flipped_per_mille: 0,
        datagram_bytes_max: usize::MAX,
    }
}

/// Sends `reports` reports that count, and some that are under way when the server dies.
pub fn run(reports: u64, seed: u64) -> Statistics {
    let mut statistics = Statistics::default();
    let mut life = 0;
    while life * REPORTS_PER_LIFE < reports {
        let wanted = REPORTS_PER_LIFE.min(reports - life * REPORTS_PER_LIFE);
        one_life(wanted, SeededRandom::new(seed ^ (life << 32)).next_u64(), &mut statistics);
        life += 1;
    }
    statistics.restarts = life;
    statistics
}

/// From a start of the server to its end; at the end some reports are under way.
fn one_life(wanted: u64, seed: u64, statistics: &mut Statistics) {
    let mut world = World::new(shard_config(), Conditions::good(), seed);
    let hosts: Vec<HostId> = (0..DEVICES).map(|number| world.add_known(&format!("d{number}"))).collect();
    for &host in &hosts {
        world.command(host, DeviceCommand::Connect).expect("a device can always try");
    }
    world.run_for(Duration::from_secs(5));
    world.network.change(conditions());
    let mut under_way: BTreeMap<HostId, u64> = BTreeMap::new();
    let mut acknowledged: BTreeSet<(HostId, u64)> = BTreeSet::new();
    let mut next = 0;
    let mut end: Option<Instant> = None;
    while end.is_none_or(|end| world.now() < end) {
        for &host in &hosts {
            while let Some(event) = world.poll_event(host) {
                let (id, got_through) = match event {
                    DeviceEvent::Acknowledged { id } => (id, true),
                    DeviceEvent::Unanswered { .. } => (under_way[&host], false),
                    _ => continue,
                };
                under_way.remove(&host);
                if id <= wanted {
                    statistics.counted += 1;
                    statistics.acknowledged += u64::from(got_through);
                }
                if got_through {
                    acknowledged.insert((host, id));
                }
            }
            if let Entry::Vacant(free) = under_way.entry(host) {
                next += 1;
                let report = Report { id: next, time_ms: None, points: format!(r#"{{"n":{next}}}"#).into() };
                world.command(host, DeviceCommand::Report(report)).expect("it is connected");
                free.insert(next);
                statistics.sent += 1;
            }
        }
        if next >= wanted && end.is_none() {
            end = Some(world.now() + LONGEST);
        }
        world.run_for(Duration::from_millis(250));
    }
    statistics.interrupted += under_way.len() as u64;
    compare(&world, &acknowledged, statistics);
}

/// What was acknowledged is compared with what the store has taken.
fn compare(world: &World, acknowledged: &BTreeSet<(HostId, u64)>, statistics: &mut Statistics) {
    let hosts: BTreeMap<DeviceId, HostId> = world
        .hosts()
        .filter_map(|host| Some((world.find(&world.device(host).identity().device_key)?.id, host)))
        .collect();
    let mut stored: BTreeMap<(HostId, u64), u32> = BTreeMap::new();
    for (device, points) in world.stored() {
        let number = points.strip_prefix(r#"{"n":"#).and_then(|rest| rest.strip_suffix('}')?.parse().ok());
        if let (Some(number), Some(host)) = (number, hosts.get(device)) {
            *stored.entry((*host, number)).or_insert(0) += 1;
        }
    }
    statistics.twice += stored.values().filter(|count| **count > 1).count() as u64;
    statistics.missing += acknowledged.iter().filter(|report| !stored.contains_key(*report)).count() as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_over_a_bad_network_are_stored_once_and_succeed_as_often_as_theory_says() {
        let statistics = run(20_000, 1);
        assert!(statistics.holds(), "{statistics}");
        assert!(
            statistics.restarts == 4 && statistics.counted == 20_000 && statistics.interrupted > 50,
            "{statistics}"
        );
    }
}
