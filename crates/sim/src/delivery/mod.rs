//! How good the expected delivery of commands is: simulated devices, each with a past of reports, are sent a
//! command at a random time, and fetch it when they are heard next.
//!
//! What is expected comes from the operator's real verbs ([`narrowgate_platform::rules::delivery`] under
//! them); reports and steps go through the store in memory alone, or through the whole server ([`Way`]).
//! Devices differ in what they do ([`Kind`]), in interval (1 minute to a day), jitter (0.5 to 8 %), losses (0
//! to 3 %), and in how often and how long they are without coverage: every 12 hours to 4 days on average, and
//! at most once in 40 intervals; for half an hour to 2 hours on average, and at least for two intervals.
//!
//! Of reports only those of the last month are there, as in a store with files.

mod life;
mod world;

use std::{collections::BTreeMap, fmt, sync::Arc};

use narrowgate_api::{
    command::{CommandCreated, Expected, ExpectedOutcome, NewCommand},
    device::NamedDevice,
};
use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    memory::MemoryStore,
    model::command::{CommandMove, CommandStep},
    ports::{NobodyConnected, RegistryChanges as _, Write},
    service::Operator,
    testing::{
        ManualClock, SeededEntropy, block_on,
        store::fixtures::{T0, append, login, new_device, product, report},
    },
};

pub use self::life::Kind;
use self::life::{Heard, Life, fetch_delay};
use crate::random::SeededRandom;

/// How long commands may wait: the longest time that there is.
const PENDING_TTL_S: u32 = 172_800;
/// How far back a store looks for reports, milliseconds: it has files of at least so many days.
const MONTH_MS: i64 = 31 * 86_400_000;
/// Of a hundred devices, so many must come within the spread that was shown.
const WITHIN_PERCENT_MIN: f64 = 90.0;
/// The median spread, in hundredths of the device's interval, to either side: at most this.
const SPREAD_PERCENT_MAX: f64 = 30.0;

/// What reports, commands and GETs go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The store alone, each contact at its time: many devices.
    Store,
    /// A session over a network, shard, gateway and store.
    Server {
        /// Longest interval, minutes: a month of virtual time is long where nothing is optimised.
        interval_min_max: i64,
    },
}

/// Intervals of all lengths.
pub const INTERVAL_MIN_MAX: i64 = 1440;

/// What came of it for devices of one kind, or of all.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    /// Devices.
    pub devices: u32,
    /// … for which something was expected.
    pub expected: u32,
    /// … that fetched the command within the spread.
    pub within: u32,
    /// … before it.
    pub early: u32,
    /// … after it.
    pub late: u32,
    /// Each spread, in hundredths of the device's interval, to either side.
    spreads: Vec<f64>,
}

impl Outcomes {
    fn add(&mut self, expected: Option<(Expected, Option<ExpectedOutcome>)>, interval: i64) {
        self.devices += 1;
        let Some((expected, outcome)) = expected else { return };
        self.expected += 1;
        self.spreads.push(100.0 * expected.spread as f64 / interval as f64);
        match outcome {
            Some(ExpectedOutcome::Within) => self.within += 1,
            Some(ExpectedOutcome::Early) => self.early += 1,
            Some(ExpectedOutcome::Late) | None => self.late += 1,
        }
    }

    /// Devices that came within their spread, of a hundred of all: one for which nothing was expected counts
    /// as one that did not.
    pub fn within_percent(&self) -> f64 {
        100.0 * f64::from(self.within) / f64::from(self.devices.max(1))
    }

    /// Below it lies this part of the spreads, in hundredths of the interval.
    pub fn spread_percent(&self, part: f64) -> f64 {
        let mut sorted = self.spreads.clone();
        sorted.sort_by(f64::total_cmp);
        let index = (part * sorted.len() as f64) as usize;
        sorted.get(index).or(sorted.last()).copied().unwrap_or(f64::INFINITY)
    }

    /// Whether it is as good as promised.
    pub fn holds(&self) -> bool {
        self.within_percent() >= WITHIN_PERCENT_MIN && self.spread_percent(0.5) <= SPREAD_PERCENT_MAX
    }
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// By kind.
    pub kinds: BTreeMap<Kind, Outcomes>,
    /// Of all.
    pub all: Outcomes,
}

impl Delivery {
    /// Whether it is as good as promised.
    pub fn holds(&self) -> bool {
        self.all.holds()
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>7} {:>8} {:>6} {:>5} {:>5} {:>8} {:>13} {:>10}",
            "kind",
            "devices",
            "expected",
            "within",
            "early",
            "late",
            "within %",
            "median spread",
            "90 % below"
        )?;
        let kinds = self.kinds.iter().map(|(kind, outcomes)| (format!("{kind:?}"), outcomes));
        for (name, outcomes) in kinds.chain([("all".to_owned(), &self.all)]) {
            let Outcomes { devices, expected, within, early, late, .. } = outcomes;
            writeln!(
                f,
                "{name:<10} {devices:>7} {expected:>8} {within:>6} {early:>5} {late:>5} {:>8.1} {:>11.1} % \
                 {:>8.1} %",
                outcomes.within_percent(),
                outcomes.spread_percent(0.5),
                outcomes.spread_percent(0.9)
            )?;
        }
        Ok(())
    }
}

/// Lets `devices` devices live, and sends each a command.
pub fn run(devices: u32, seed: u64, way: Way) -> Delivery {
    let mut random = SeededRandom::new(seed);
    let mut delivery = Delivery::default();
    for number in 0..devices {
        let kind = Kind::ALL[number as usize % Kind::ALL.len()];
        let mut own = SeededRandom::new(random.next_u64());
        let longest = match way {
            Way::Store => INTERVAL_MIN_MAX,
            Way::Server { interval_min_max } => interval_min_max,
        };
        let life = Life::draw(kind, longest, &mut own);
        // Each at another time of its first day.
        let begin = T0.0 + own.below(86_400_000).cast_signed();
        let mut heard = life.live(begin, &mut own);
        let month = heard.now - MONTH_MS;
        heard.before.retain(|arrival| *arrival >= month);
        let outcome = match way {
            Way::Store => send(&heard, heard.next + fetch_delay(&mut own)),
            Way::Server { .. } => world::send(&heard, &mut own),
        };
        for outcomes in [delivery.kinds.entry(kind).or_default(), &mut delivery.all] {
            outcomes.add(outcome, life.interval);
        }
    }
    delivery
}

/// A command to a device that was heard so, fetched then; what was expected, and how good that was.
fn send(heard: &Heard, fetched: i64) -> Option<(Expected, Option<ExpectedOutcome>)> {
    let store = Arc::new(MemoryStore::default());
    let clock = Arc::new(ManualClock::new(UnixMillis(heard.now)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let operator = Operator::new(store.clone(), clock, entropy, Arc::new(NobodyConnected));
    block_on(store.create_product(product("p"))).expect("the store is empty");
    let created = block_on(store.create_devices(vec![new_device("p", "d")], T0)).expect("the store writes");
    let device = created.into_iter().next().and_then(Result::ok).expect("its key is free").id;
    let begin = UnixMillis(heard.before.first().copied().unwrap_or(heard.now));
    let reports = heard.before.iter().map(|arrival| report(device, UnixMillis(*arrival), r#"{"n":1}"#));
    append(&*store, [login(device, begin)].into_iter().chain(reports).collect());
    let name = NamedDevice::by_keys("p", "d");
    let CommandCreated { id, expected, .. } =
        block_on(operator.send_command(&name, get())).expect("it may be sent");
    fetch(&store, device, &id, heard.now, fetched);
    let shown = block_on(operator.show_command(&name, &id)).expect("it is kept");
    assert_eq!(shown.expected, expected, "what was said stays said");
    expected.map(|expected| (expected, shown.expected_outcome))
}

fn get() -> NewCommand {
    let json = format!(r#"{{"kind":"get","ids":["n"],"pendingTtl":{PENDING_TTL_S}}}"#);
    serde_json::from_str(&json).expect("it has the form of a command")
}

/// The device fetches the command, or its time is over before.
fn fetch(store: &MemoryStore, device: DeviceId, id: &str, sent: i64, fetched: i64) {
    let until = sent + i64::from(PENDING_TTL_S) * 1000;
    let (step, at) = match fetched < until {
        true => (CommandStep::Fetch, fetched),
        false => (CommandStep::TimePasses, until),
    };
    let id = id.parse().expect("an id is a number");
    append(store, vec![Write::Command(CommandMove { device, id, session: None, step, at: UnixMillis(at) })]);
}
