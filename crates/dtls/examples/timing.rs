//! Tries to tell apart by time what must look alike (attack_023, attack_070): records of MAC-then-encrypt
//! with a bad MAC, bad padding and padding longer than the record; unknown identities and wrong keys. All
//! kinds in random order, then for each two of them the difference of their means and Welch's t, which is no
//! evidence below 4.5; exits 1 on evidence.
//!
//! `cargo run --release -p narrowgate-dtls --example timing -- [records of each kind] [handshakes of each
//! kind]`

#![allow(clippy::print_stdout, reason = "it is here to print")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

#[path = "../tests/util/mod.rs"]
mod util;

use std::{
    fmt,
    hint::black_box,
    process::ExitCode,
    time::{Duration, Instant},
};

use narrowgate_dtls::{ClientConfig, Discard, PskAnswer};
use narrowgate_testkit::SeededRandom;
use util::{PROTECTIONS, Protection, ServerSide, World, client_config, key_of, server_config};

/// t from which on a difference is taken for real.
const EVIDENCE: f64 = 4.5;
/// Share of the slowest samples that is left out: what they show are interrupts.
const CROPPED: f64 = 0.1;
/// Lengths of content: around the ends of AES blocks, of SHA-256 blocks, and of the longest padding.
const CONTENTS: [usize; 12] = [0, 1, 15, 16, 31, 47, 48, 64, 111, 200, 255, 320];

fn main() -> ExitCode {
    let argument = |index, default| {
        std::env::args().nth(index).map_or(default, |argument| argument.parse().expect("a number"))
    };
    let (records, handshakes) = (argument(1, 100_000), argument(2, 10_000));
    let mut looks_alike = true;
    println!("records with MAC-then-encrypt, {records} of each kind");
    for content in CONTENTS {
        let times = opening_of_forgeries(content, records);
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let difference = Comparison::of(&times[one], &times[other]);
            println!(
                "  {content:>3} bytes  {:<28} {difference}",
                format!("{}, {}", FORGERIES[one], FORGERIES[other])
            );
            looks_alike &= difference.t.abs() < EVIDENCE;
        }
    }
    println!("flight 5, {handshakes} of each kind");
    for protection in PROTECTIONS {
        let [unknown, wrong] = unknown_and_wrong(protection, handshakes);
        let difference = Comparison::of(&unknown, &wrong);
        println!("  {:<18}  unknown identity, wrong key  {difference}", format!("{protection:?}"));
        looks_alike &= difference.t.abs() < EVIDENCE;
    }
    println!("{}", if looks_alike { "no difference" } else { "a difference" });
    if looks_alike { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const FORGERIES: [&str; 3] = ["bad MAC", "bad padding", "long padding"];

/// How long the server takes to drop each kind of forgery, nanoseconds.
fn opening_of_forgeries(content: usize, samples: usize) -> [Vec<f64>; 3] {
    let mut rng = SeededRandom::new(1);
    let mut world = World::connected(server_config(), client_config(Protection::CbcMacThenEncrypt));
    let mut record = Vec::new();
    world.sessions().1.seal(&vec![b'x'; content], &mut rng, &mut record).expect("it fits");
    // A change to a block's ciphertext changes the plaintext at the same place of the next block.
    let padding_length = (16 - (content + 33) % 16) % 16;
    let changes = [
        (13 + 16 + content.saturating_sub(16), 1),
        (record.len() - 16 - 1, 1),
        (record.len() - 16 - 1, padding_length as u8 ^ 255),
    ];
    let forged = changes.map(|(place, change)| {
        let mut forged = record.clone();
        forged[place] ^= change;
        forged
    });
    measure(samples, |kinds| {
        let mut records: Vec<Vec<u8>> = kinds.iter().map(|&kind| forged[kind].clone()).collect();
        let server = world.sessions().0;
        let mut open = |record: &mut Vec<u8>| {
            let start = Instant::now();
            let outcome = server.open(black_box(record)).err();
            let spent = start.elapsed();
            assert_eq!(outcome, Some(Discard::Unauthentic));
            spent
        };
        records.iter_mut().map(&mut open).collect()
    })
}

/// The server's time from the answer of the look-up to the silence, nanoseconds.
fn unknown_and_wrong(protection: Protection, samples: usize) -> [Vec<f64>; 2] {
    let mut world = World::new(server_config(), client_config(protection), 1);
    let mut rng = SeededRandom::new(2);
    let (mut count, mut device) = (0u32, 0u32);
    measure(samples, |kinds| {
        // Every device has its own identity and key, known or not.
        let mut answer = |&kind: &usize| {
            count += 1;
            let key = key_of(format!("secret {count}").as_bytes());
            if kind == 0 { PskAnswer::decoy() } else { PskAnswer::key(key) }
        };
        let answers: Vec<PskAnswer> = kinds.iter().map(&mut answer).collect();
        let mut provide = |answer| {
            device += 1;
            let wrong = ClientConfig {
                identity: format!("MuGsF6W4,{device:08},2,3600").into_bytes(),
                psk: key_of(b"another secret"),
                ..client_config(protection)
            };
            world.start_anew(wrong);
            world.lookup = Duration::from_secs(1);
            while world.identities.is_empty() || world.wire.iter().any(|(_, to, _)| *to == util::To::Server) {
                world.turn();
            }
            let ServerSide::Handshake(handshake) = &mut world.server else {
                panic!("the handshake waits for its key");
            };
            let start = Instant::now();
            handshake.provide_psk(world.now, black_box(answer), &mut rng);
            start.elapsed()
        };
        answers.into_iter().map(&mut provide).collect()
    })
}

/// How the times of two kinds differ.
struct Comparison {
    nanoseconds: f64,
    /// Welch's t.
    t: f64,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7.2} ns   t {:>7.2}", self.nanoseconds, self.t)
    }
}

impl Comparison {
    fn of(one: &[f64], other: &[f64]) -> Self {
        let mut all = [one, other].concat();
        all.sort_by(f64::total_cmp);
        let limit = all[(all.len() as f64 * (1.0 - CROPPED)) as usize];
        let [(mean_0, error_0), (mean_1, error_1)] = [one, other].map(|times| moments(times, limit));
        Self { nanoseconds: mean_0 - mean_1, t: (mean_0 - mean_1) / (error_0 + error_1).sqrt() }
    }
}

/// How many are made before the first of them is timed, so that making them leaves no traces in the times.
const BLOCK: usize = 64;

/// `samples` times of each kind, in nanoseconds; `take` gets kinds in random order.
fn measure<const KINDS: usize>(
    samples: usize,
    mut take: impl FnMut(&[usize]) -> Vec<Duration>,
) -> [Vec<f64>; KINDS] {
    let mut dice = SeededRandom::new(samples as u64);
    let mut times = std::array::from_fn(|_| Vec::with_capacity(samples + BLOCK));
    // The first ones meet cold caches, and do not count.
    let mut cold = samples * KINDS / 10;
    while times.iter().any(|times| times.len() < samples) {
        let kinds: Vec<usize> = (0..BLOCK).map(|_| dice.index(KINDS)).collect();
        let taken = take(&kinds);
        cold = cold.saturating_sub(BLOCK);
        if cold == 0 {
            for (&kind, time) in kinds.iter().zip(taken) {
                times[kind].push(time.as_nanos() as f64);
            }
        }
    }
    times
}

/// Mean, and its squared standard error, of what is below the limit.
fn moments(times: &[f64], limit: f64) -> (f64, f64) {
    let kept: Vec<f64> = times.iter().copied().filter(|&time| time < limit).collect();
    let count = kept.len() as f64;
    let mean = kept.iter().sum::<f64>() / count;
    let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}
