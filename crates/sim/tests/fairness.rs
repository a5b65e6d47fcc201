//! The memory of answers is shared fairly: devices that report without end get 5.03, and no other does,
//! whatever a seed makes of the network, the memory, and how many there are of each.

use std::time::Duration;

use narrowgate_coap::{Code, REFUSED_BYTES_MAX};
use narrowgate_engine::shard::ShardConfig;
use narrowgate_sim::{
    device::{DeviceCommand, DeviceEvent, Report},
    net::Conditions,
    random::SeededRandom,
    world::{HostId, World, shard_config},
};

/// All greedy devices together want to report as often as this: each as fast as its answers come.
const GREEDY_EVERY: Duration = Duration::from_millis(50);
/// In this time they take all that they can get; answers are kept for longer.
const GREEDY_BEFORE: Duration = Duration::from_secs(230);
/// The modest ones follow in this distance.
const MODEST_EVERY: Duration = Duration::from_millis(500);

/// Answers to reports by their code: 2.04 and 5.03.
#[derive(Debug, Default)]
struct Told {
    stored: u32,
    busy: u32,
    /// Reports whose answer was lost, however often both sides repeated.
    unanswered: u32,
}

/// Of the modest devices of a seed, how many may be left without an answer by the network: it loses at most
/// one datagram in ten, and a report is sent five times.
const UNANSWERED_MAX: usize = 1;

struct Fleet {
    world: World,
    greedy: Vec<HostId>,
    modest: Vec<HostId>,
    reports: u64,
}

impl Fleet {
    fn new(seed: u64) -> Self {
        let mut random = SeededRandom::new(seed ^ 0x6772_6565_6479);
        let mut between = |low: u64, high: u64| low + random.below(high - low + 1);
        let (greedy, modest) = (between(5, 8), between(5, 20));
        // What is remembered of refused requests counts, too.
        let coap_budget_bytes = between(10_000, 20_000) as usize + greedy as usize * REFUSED_BYTES_MAX;
        let network = Conditions {
            lost_per_mille: between(0, 100) as u16,
            repeated_per_mille: between(0, 100) as u16,
            ..Conditions::good()
        };
        let config = ShardConfig { coap_budget_bytes, ..shard_config() };
        let mut fleet =
            Self { world: World::new(config, network, seed), greedy: vec![], modest: vec![], reports: 0 };
        fleet.greedy = (0..greedy).map(|number| fleet.connect(&format!("greedy-{number}"))).collect();
        fleet.modest = (0..modest).map(|number| fleet.connect(&format!("modest-{number}"))).collect();
        fleet
    }

    fn connect(&mut self, name: &str) -> HostId {
        let host = self.world.add_known(name);
        for _ in 0..10 {
            self.world.command(host, DeviceCommand::Connect).expect("a device can always try");
            self.world.run_until(Duration::from_secs(120), |world| world.has_event(host));
            if matches!(self.world.take_events(host)[..], [DeviceEvent::Connected { .. }]) {
                return host;
            }
        }
        panic!("{name} does not connect");
    }

    /// Whether a report is sent: not while the device waits for the answers to too many.
    fn report(&mut self, host: HostId) -> bool {
        self.reports += 1;
        let report = Report { id: self.reports, time_ms: None, points: r#"{"temp":21.5}"#.into() };
        self.world.command(host, DeviceCommand::Report(report)).is_ok()
    }

    /// Lets greedy devices report in turns for so long.
    fn greedy_for(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / GREEDY_EVERY.as_millis() {
            // One that waits for answers reports less.
            let _ = self.report(self.greedy[self.reports as usize % self.greedy.len()]);
            self.world.run_for(GREEDY_EVERY);
        }
    }

    fn told(&mut self, host: HostId) -> Told {
        let mut told = Told::default();
        for event in self.world.take_events(host) {
            match event {
                DeviceEvent::Acknowledged { .. } => told.stored += 1,
                DeviceEvent::ReportRefused { response, .. } if response.code == Code::SERVICE_UNAVAILABLE => {
                    told.busy += 1;
                }
                DeviceEvent::Unanswered { .. } => told.unanswered += 1,
                other => panic!("{other:?}"),
            }
        }
        told
    }
}

fn run(seed: u64) {
    let mut fleet = Fleet::new(seed);
    fleet.greedy_for(GREEDY_BEFORE);
    for host in fleet.modest.clone() {
        assert!(fleet.report(host), "seed {seed}: a device that waits for nothing can report");
        fleet.greedy_for(MODEST_EVERY);
    }
    fleet.world.run_for(Duration::from_secs(120));
    let mut unanswered = 0;
    for host in fleet.modest.clone() {
        let told = fleet.told(host);
        assert_eq!(told.busy, 0, "seed {seed}: a device that holds nothing was refused: {told:?}");
        assert_eq!(told.stored + told.unanswered, 1, "seed {seed}: its report has one end: {told:?}");
        unanswered += told.unanswered as usize;
    }
    assert!(unanswered <= UNANSWERED_MAX, "seed {seed}: {unanswered} of {} unserved", fleet.modest.len());
    let told: Vec<Told> = fleet.greedy.clone().into_iter().map(|host| fleet.told(host)).collect();
    assert!(
        told.iter().all(|told| told.stored > 0 && told.busy > 100),
        "seed {seed}: none is greedy: {told:?}"
    );
}

#[test]
fn attack_209_seeds_with_greedy_devices_refuse_no_modest_one() {
    for seed in 1..=10 {
        run(seed);
    }
}
