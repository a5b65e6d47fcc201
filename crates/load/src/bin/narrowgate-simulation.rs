//! Runs seeds of the simulation, or one again.

use std::{
    io::{self, Write},
    num::NonZero,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::{Args, Parser, Subcommand};
use narrowgate_sim::{
    campaign::{
        self, Outcome,
        plan::{Plan, Scale},
    },
    delivery,
    slow_radio::{self, Manner, Neighbour, Radio, SlowRadio},
    statistics, update,
};

/// The whole gateway in virtual time: shards, gateway, store and a fleet, from one seed.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs seeds; ends at the first that breaks a promise.
    Seeds {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// How many.
        #[arg(long, default_value_t = 200)]
        count: u64,
        /// Threads that run them; one for each core unless told.
        #[arg(long)]
        jobs: Option<NonZero<usize>>,
        #[command(flatten)]
        kind: Kind,
    },
    /// Runs one seed and prints what it holds.
    Replay {
        /// Which.
        #[arg(long)]
        seed: u64,
        /// As the tests run it: with few devices.
        #[arg(long)]
        small: bool,
        #[command(flatten)]
        kind: Kind,
    },
    /// Commands to devices, with attributes, tags and events beside them, through loss, duplicates, a store
    /// that fails and crashes: seeds of `--commands`, until so many were sent.
    Commands {
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        count: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// Threads that run them; one for each core unless told.
        #[arg(long)]
        jobs: Option<NonZero<usize>>,
        /// To devices that talk plain CoAP.
        #[arg(long)]
        plain: bool,
    },
    /// Confirmable reports over a bad network: how many get through, and whether each is stored once.
    Reports {
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        count: u64,
        /// Where all randomness comes from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Commands to devices with a past of reports: how many fetch theirs within the spread that was shown.
    Delivery {
        /// How many devices.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        devices: u32,
        /// Where all randomness comes from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Through sessions, shard and gateway; else through the store and the operator's verbs alone.
        #[arg(long)]
        server: bool,
    },
    /// New firmware for a fleet: each device fetches an image block by block, with loss and copies, while the
    /// server dies and devices vanish.
    Update {
        /// How many devices.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        devices: u32,
        /// Bytes of the image.
        #[arg(long, default_value_t = 1_000_000)]
        bytes: usize,
        /// Datagrams lost, in percent, each way.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=50))]
        loss: u16,
        /// Devices that cannot burn the image, in percent; the rollout stays paused where it pauses.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=100))]
        failing: u16,
        /// Times that the server dies.
        #[arg(long, default_value_t = 1)]
        crashes: u32,
        /// Where all randomness comes from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Devices with round trips of seconds behind one address, without and with a neighbour who begins
    /// handshakes and finishes none, at several rates: from near and from farther away, each hello once and
    /// twice, or going on with a wrong key. How many get in, against what the limit of handshakes allows. One
    /// datagram of fifty is lost, round trips vary by a tenth, and devices compute for half a second.
    SlowRadio {
        /// How many devices.
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(10..=20_000))]
        devices: u32,
        /// All devices come within so many seconds.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        spread: u64,
        /// Handshakes under way per address.
        #[arg(long, default_value_t = 4_000)]
        limit: usize,
        /// Handshakes that the neighbour begins in a second: none, and each of these.
        #[arg(long, value_delimiter = ',', default_values_t = [100, 200, 400, 800, 2_000, 4_000])]
        neighbour: Vec<u32>,
        /// Round trips of the neighbour, in milliseconds: each of these.
        #[arg(long, value_delimiter = ',', default_values_t = [0, 50, 300, 1_500])]
        away: Vec<u64>,
        /// The neighbour waits so many seconds before it brings its cookie, to look as if it were far away.
        /// With this, no rate of it breaks a promise: see docs/security.md.
        #[arg(long, default_value_t = 0)]
        feigns: u64,
        /// Nothing is lost, round trips do not vary, and devices compute for no time.
        #[arg(long)]
        smooth: bool,
        /// Where all randomness comes from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

/// What every seed holds, besides what it is drawn.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Kind {
    /// A twin for every device, and resets that race logins on a slow store.
    #[arg(long)]
    resets: bool,
    /// A wall clock that jumps by days and years.
    #[arg(long)]
    wild_clock: bool,
    /// Round trips of seconds, a stranger every second, and few handshakes for each address.
    #[arg(long)]
    slow_radio: bool,
    /// Operators who send commands, and devices that take and answer them.
    #[arg(long)]
    commands: bool,
    /// Devices that log in by plain CoAP, one seed in three with resets, one in three with commands.
    #[arg(long)]
    plain: bool,
}

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match Cli::parse().command {
        Command::Seeds { first, count, jobs, kind } => {
            let enough = Enough { seeds: count, commands: u64::MAX };
            seeds(first, enough, jobs, kind.planner(), &mut out)?;
        }
        Command::Commands { count, first, jobs, plain } => {
            let enough = Enough { seeds: u64::MAX, commands: count };
            let plan = if plain { Plan::with_plain_commands } else { Plan::with_commands };
            seeds(first, enough, jobs, plan, &mut out)?;
        }
        Command::Replay { seed, small, kind } => {
            let plan = kind.planner()(seed, if small { Scale::Small } else { Scale::Full });
            writeln!(out, "{plan:#?}")?;
            writeln!(out, "{:#?}", campaign::run_plan(plan))?;
        }
        Command::Reports { count, seed } => {
            let outcome = statistics::run(count, seed);
            write!(out, "{outcome}")?;
            if !outcome.holds() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Delivery { devices, seed, server } => {
            let way = match server {
                true => delivery::Way::Server { interval_min_max: delivery::INTERVAL_MIN_MAX },
                false => delivery::Way::Store,
            };
            let outcome = delivery::run(devices, seed, way);
            write!(out, "{outcome}")?;
            if !outcome.holds() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Update { devices, bytes, loss, failing, crashes, seed } => {
            let (lost_per_mille, failing_per_mille, resumes) = (loss * 10, failing * 10, failing == 0);
            let plan = update::Plan::new(devices, bytes, seed);
            let plan = update::Plan { lost_per_mille, failing_per_mille, crashes, resumes, ..plan };
            return update(plan, &mut out);
        }
        Command::SlowRadio { devices, spread, limit, neighbour, away, feigns, smooth, seed } => {
            let neighbours = match feigns {
                0 => neighbours(&neighbour, &away),
                _ => silent(&neighbour, &[feigns * 1_000]),
            };
            let radio = if smooth { Radio::default() } else { Radio::ROUGH };
            let spread = Duration::from_secs(spread);
            let (round_trip, alone) = (Duration::ZERO, Neighbour::default());
            let tried = SlowRadio { devices, spread, round_trip, limit, radio, neighbour: alone, seed };
            if !slow_radio(tried, &neighbours, &mut out)? && feigns == 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Neighbours of each rate and round trip who are silent once they have brought a cookie, once and twice.
fn silent(rates: &[u32], away: &[u64]) -> Vec<Neighbour> {
    let mut neighbours = Vec::new();
    for (&per_second, &away) in rates.iter().flat_map(|rate| away.iter().map(move |away| (rate, away))) {
        let round_trip = Duration::from_millis(away);
        let once = Neighbour { per_second, round_trip, ..Neighbour::default() };
        neighbours.extend([once, Neighbour { twice: true, ..once }]);
    }
    neighbours
}

/// These, and as many with a wrong key.
fn neighbours(rates: &[u32], away: &[u64]) -> Vec<Neighbour> {
    let mut neighbours = silent(rates, away);
    let once = neighbours.iter().filter(|neighbour| !neighbour.twice);
    let wrong: Vec<_> = once.map(|once| Neighbour { manner: Manner::WrongKey, ..*once }).collect();
    neighbours.extend(wrong);
    neighbours
}

/// Devices of each round trip, without a neighbour and beside each: whether what the limit allows is reached.
fn slow_radio(tried: SlowRadio, neighbours: &[Neighbour], out: &mut impl Write) -> io::Result<bool> {
    let mut holds = true;
    for round_trip in [2, 8].map(Duration::from_secs) {
        let alone = slow_radio::run(SlowRadio { round_trip, ..tried });
        writeln!(out, "{alone}")?;
        holds &= alone.holds(None);
        for &neighbour in neighbours {
            let outcome = slow_radio::run(SlowRadio { round_trip, neighbour, ..tried });
            writeln!(out, "{outcome}")?;
            holds &= outcome.holds(Some(&alone));
        }
    }
    Ok(holds)
}

fn update(plan: update::Plan, out: &mut impl Write) -> io::Result<ExitCode> {
    let outcome = update::run(plan);
    write!(out, "{outcome}")?;
    Ok(if outcome.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How the plan of a seed is made.
type Planner = fn(u64, Scale) -> Plan;

impl Kind {
    const fn planner(&self) -> Planner {
        match self {
            Self { resets: true, .. } => Plan::with_resets,
            Self { wild_clock: true, .. } => Plan::with_wild_clock,
            Self { slow_radio: true, .. } => Plan::with_slow_radio,
            Self { commands: true, .. } => Plan::with_commands,
            Self { plain: true, .. } => Plan::with_plain,
            _ => Plan::new,
        }
    }
}

/// What is counted over all seeds.
const NAMES: [&str; 35] = [
    "commands sent",
    "commands not taken",
    "handed out",
    "... again under their id",
    "answers of devices",
    "answers acknowledged that count",
    "succeeded",
    "failed",
    "cancelled",
    "expired",
    "timed out",
    "responses compared",
    "... that named a command",
    "commands that rode in responses",
    "commands compared with the store",
    "attributes and tags acknowledged",
    "events acknowledged",
    "reports sent",
    "reports acknowledged",
    "reports stored",
    "... again, by plain CoAP",
    "sessions",
    "offline by silence",
    "secrets received",
    "batches refused by the store",
    "record numbers compared",
    "crashes",
    "mishaps of devices",
    "acts of operators",
    "jumps of the wall clock",
    "datagrams of a stranger",
    "datagrams lost, without bursts",
    "datagrams repeated",
    "bursts of loss",
    "virtual seconds",
];
/// Seeds between two lines of progress.
const PROGRESS: u64 = 50;

#[allow(clippy::disallowed_methods, reason = "it tells how long it took")]
fn seeds(
    first: u64,
    enough: Enough,
    jobs: Option<NonZero<usize>>,
    plan: Planner,
    out: &mut impl Write,
) -> io::Result<()> {
    let begin = Instant::now();
    let jobs = jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let (next, sums) = (AtomicU64::new(0), Mutex::new((0_u64, [0_u64; NAMES.len()])));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let _ends = EndsAll(&next, enough.seeds);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= enough.seeds {
                        return;
                    }
                    let one = counts(&campaign::run_plan(plan(first + number, Scale::Full)));
                    let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                    sums.0 += 1;
                    sums.1.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
                    if sums.1[0] >= enough.commands {
                        next.store(enough.seeds, Ordering::Relaxed);
                    }
                    if sums.0.is_multiple_of(PROGRESS) {
                        let took = begin.elapsed().as_secs_f64();
                        // Ignored: if standard error is closed, nobody reads it.
                        let _ = writeln!(io::stderr(), "{} seeds in {took:.0} s", sums.0);
                    }
                }
            });
        }
    });
    let (count, sums) = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = begin.elapsed().as_secs_f64();
    writeln!(out, "{count} seeds from {first} on, no promise broken, {seconds:.0} s")?;
    for (name, sum) in NAMES.iter().zip(sums) {
        writeln!(out, "{name:<33} {sum:>14}")?;
    }
    Ok(())
}

/// When no further seed is begun.
#[derive(Debug, Clone, Copy)]
struct Enough {
    /// So many have begun.
    seeds: u64,
    /// So many commands were sent in those that have ended.
    commands: u64,
}

/// A thread that panics lets the others begin nothing more.
struct EndsAll<'a>(&'a AtomicU64, u64);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(self.1, Ordering::Relaxed);
        }
    }
}

fn counts(outcome: &Outcome) -> [u64; NAMES.len()] {
    let Outcome { totals, commands, happened, seconds, digest: _ } = outcome;
    let [succeeded, failed, cancelled, expired, timed_out] = commands.ended;
    [
        commands.sent,
        commands.not_taken,
        commands.offers,
        commands.repeated_offers,
        commands.answers,
        commands.taken,
        succeeded,
        failed,
        cancelled,
        expired,
        timed_out,
        commands.responses,
        commands.named,
        commands.rode,
        commands.compared,
        commands.edits,
        commands.events,
        totals.sent,
        totals.acknowledged,
        totals.stored,
        totals.stored_again,
        totals.sessions,
        totals.silences,
        totals.secrets,
        totals.refused_batches,
        totals.records,
        happened.crashes,
        happened.mishaps,
        happened.acts,
        happened.jumps,
        happened.strange,
        happened.lost,
        happened.repeated,
        happened.bursts,
        *seconds,
    ]
}
