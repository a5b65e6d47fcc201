//! The same through the whole server: a device with a session reports over a network, is sent a command, and
//! fetches it with the answer to its next report. So contacts are what the gateway writes of them: arrivals
//! by its own clock, logins, presence, repetitions.

use std::{sync::Arc, time::Duration};

use narrowgate_api::{
    command::{Expected, ExpectedOutcome},
    device::NamedDevice,
};
use narrowgate_coap::Request;
use narrowgate_platform::{
    ports::NobodyConnected,
    service::Operator,
    testing::{ManualClock, SeededEntropy, block_on},
};

use super::{PENDING_TTL_S, get, life::Heard};
use crate::{
    device::{DeviceCommand, DeviceEvent, Report},
    net::Conditions,
    random::SeededRandom,
    world::{HostId, PRODUCT_KEY, World, device_config, shard_config},
};

const DEVICE_KEY: &str = "meter";
const SECRET: &str = "Z5YtZaQpK5IWocakV7zQ";
/// A handshake, and a request, take no longer than all their repetitions.
const PATIENCE: Duration = Duration::from_secs(150);
/// The device thinks about an answer for so long, milliseconds.
const THINKS_MS: u64 = 500;
/// Times that it begins a new session for one report.
const SESSIONS_MAX: u32 = 5;

/// A cell of a slow radio: round trips of up to 3 s, and one datagram of fifty is lost.
fn conditions() -> Conditions {
    let delay = Duration::from_millis(100)..Duration::from_millis(1_500);
    Conditions { lost_per_mille: 20, delay, ..Conditions::good() }
}

/// A device in a world.
struct Walk {
    world: World,
    host: HostId,
    reports: u64,
    /// Its own time is so much later than the world's, milliseconds.
    ahead: i64,
}

/// A command to a device that is heard so; what was expected, and how good that was.
pub(super) fn send(heard: &Heard, random: &mut SeededRandom) -> Option<(Expected, Option<ExpectedOutcome>)> {
    let mut walk = Walk::begin(heard, random);
    for arrival in &heard.before {
        walk.wait_until(*arrival);
        walk.report();
    }
    walk.wait_until(heard.now);
    let (name, operator) = (NamedDevice::by_keys(PRODUCT_KEY, DEVICE_KEY), walk.operator());
    let created = block_on(operator.send_command(&name, get())).expect("it may be sent");
    walk.world.tell_of_commands(DEVICE_KEY);
    walk.wait_until(heard.next);
    walk.report();
    walk.fetch(random);
    let shown = |walk: &Walk| block_on(walk.operator().show_command(&name, &created.id)).expect("it is kept");
    if shown(&walk).sent_at.is_none() {
        // Nobody has fetched it: its time comes to its end.
        walk.wait_until(heard.now + i64::from(PENDING_TTL_S) * 1000 + 1_000);
    }
    let shown = shown(&walk);
    assert_eq!(shown.expected, created.expected, "what was said stays said");
    created.expected.map(|expected| (expected, shown.expected_outcome))
}

impl Walk {
    fn begin(heard: &Heard, random: &mut SeededRandom) -> Self {
        let mut world = World::new(shard_config(), conditions(), random.next_u64());
        let mut config = device_config(DEVICE_KEY, SECRET.as_bytes());
        config.identity.lifetime_s = random.pick(&[600, 3_600, 86_400]);
        world.register(&config.identity, SECRET);
        let host = world.add(([198, 51, 100, 7], 20_000).into(), config);
        let first = heard.before.first().copied().unwrap_or(heard.now);
        // It logs in before its first report, or where it has none before the command.
        let ahead = first - 60_000 - world.wall().wall.0;
        let mut walk = Self { world, host, reports: 0, ahead };
        walk.connect();
        walk
    }

    fn operator(&self) -> Operator {
        let clock = Arc::new(ManualClock::new(self.world.wall().wall));
        let entropy = Arc::new(SeededEntropy::new(1));
        Operator::new(self.world.durable(), clock, entropy, Arc::new(NobodyConnected))
    }

    /// Lets time pass until then, by the device's time; nothing where that has passed.
    fn wait_until(&mut self, at: i64) {
        let ms = at - self.ahead - self.world.wall().wall.0;
        self.world.run_for(Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
    }

    fn command(&mut self, command: DeviceCommand) {
        self.world.command(self.host, command).expect("nothing else is under way");
    }

    /// What comes of what it asked.
    fn outcome(&mut self) -> DeviceEvent {
        let host = self.host;
        assert!(self.world.run_until(PATIENCE, |world| world.has_event(host)), "something comes of it");
        self.world.poll_event(host).expect("there is one")
    }

    fn connect(&mut self) {
        for _ in 0..SESSIONS_MAX {
            self.command(DeviceCommand::Connect);
            if matches!(self.outcome(), DeviceEvent::Connected { .. }) {
                return;
            }
        }
        panic!("no session came about");
    }

    /// Reports; where that is not answered, the session is gone, and another one begins.
    fn report(&mut self) {
        for _ in 0..SESSIONS_MAX {
            if !self.world.device(self.host).is_connected() {
                self.connect();
            }
            self.reports += 1;
            let report = Report { id: self.reports, time_ms: None, points: r#"{"n":1}"#.into() };
            self.command(DeviceCommand::Report(report));
            match self.outcome() {
                DeviceEvent::Acknowledged { .. } => return,
                DeviceEvent::Unanswered { .. } => self.command(DeviceCommand::Close),
                other => assert_eq!(other, DeviceEvent::Closed),
            }
        }
        panic!("no report came through");
    }

    /// Fetches the command, if the last answer named one.
    fn fetch(&mut self, random: &mut SeededRandom) {
        let Some(topic) = self.world.device(self.host).command_waiting().map(str::to_owned) else { return };
        self.world.run_for(Duration::from_millis(random.below(THINKS_MS)));
        self.command(DeviceCommand::Request(Request::get(&topic)));
        match self.outcome() {
            DeviceEvent::Answered(response) => assert!(response.code.is_success(), "{response:?}"),
            // It may have been fetched all the same, or is not, as it happens to any device.
            other => assert!(matches!(other, DeviceEvent::Unanswered { .. }), "{other:?}"),
        }
    }
}
