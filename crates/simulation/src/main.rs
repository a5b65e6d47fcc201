//! Runs seeds of the simulation, or one again.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use clap::{Parser, Subcommand};
use narrowgate_simulation::{
    plan::{Plan, Scale},
    statistics, world,
};

/// The whole gateway in virtual time: shards, bridge, store and a fleet, from one seed.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs seeds one after the other; ends at the first that breaks a promise.
    Seeds {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// How many.
        #[arg(long, default_value_t = 200)]
        count: u64,
    },
    /// Runs one seed and prints what it holds.
    Replay {
        /// Which.
        #[arg(long)]
        seed: u64,
        /// As the tests run it: with few devices.
        #[arg(long)]
        small: bool,
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
}

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match Cli::parse().command {
        Command::Seeds { first, count } => seeds(first, count, &mut out)?,
        Command::Replay { seed, small } => {
            let scale = if small { Scale::Small } else { Scale::Full };
            writeln!(out, "{:#?}", Plan::new(seed, scale))?;
            writeln!(out, "{:#?}", world::run(seed, scale))?;
        }
        Command::Reports { count, seed } => {
            let outcome = statistics::run(count, seed);
            write!(out, "{outcome}")?;
            if !outcome.holds() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::disallowed_methods, reason = "it tells how long it took")]
fn seeds(first: u64, count: u64, out: &mut impl Write) -> io::Result<()> {
    let begin = Instant::now();
    let mut sums = [0_u64; 14];
    for (done, seed) in (first..first + count).enumerate() {
        let world::Outcome { totals, happened, seconds, digest: _ } = world::run(seed, Scale::Full);
        let one = [
            totals.sent,
            totals.acknowledged,
            totals.stored,
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
            seconds,
        ];
        sums.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
        if (done + 1) % 50 == 0 {
            let each = begin.elapsed().as_secs_f64() / (done + 1) as f64;
            writeln!(io::stderr(), "{} seeds, {each:.3} s each", done + 1)?;
        }
    }
    const NAMES: [&str; 14] = [
        "reports sent",
        "reports acknowledged",
        "reports stored",
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
        "virtual seconds",
    ];
    writeln!(
        out,
        "{count} seeds from {first} on, no promise broken, {:.0} s",
        begin.elapsed().as_secs_f64()
    )?;
    for (name, sum) in NAMES.iter().zip(sums) {
        writeln!(out, "{name:<30} {sum:>14}")?;
    }
    Ok(())
}
