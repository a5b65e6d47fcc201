//! Tries to tell apart by time what must look alike (attack_023, attack_070): records with bad padding and with a bad MAC,
//! unknown identities and wrong keys. Two kinds in random order, then the difference of their means and Welch's t, which
//! is no evidence below 4.5. `cargo run --release -p narrowgate-dtls --example timing -- [samples of each kind]`.
//!
//! The answer of a look-up is an enum. The jump on it costs some 3 ns for one kind or the other, as the processor's
//! prediction and the layout of the process have it, so t means little there: what counts is that it stays so small.

#![allow(clippy::print_stdout, reason = "it is here to print")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

#[path = "../tests/util/mod.rs"]
mod util;

use std::fmt;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use narrowgate_dtls::{ClientConfig, Discard, PskAnswer, limits, psk_from_secret};
use util::mutation::Dice;
use util::{PROTECTIONS, Protection, ServerSide, TestRandom, World, client_config, key, server_config};

/// t of records from which on a difference is taken for real.
const EVIDENCE: f64 = 4.5;
/// Difference that nobody can see through a look-up, which takes microseconds.
const INVISIBLE_NANOSECONDS: f64 = 20.0;
/// Share of the slowest samples that is left out: what they show are interrupts.
const CROPPED: f64 = 0.1;

fn main() -> ExitCode {
    let samples = std::env::args().nth(1).map_or(100_000, |argument| argument.parse().expect("a number"));
    let mut looks_alike = true;
    for content in [0, 1, 15, 16, 47, 64, 200, 255, 320] {
        let difference = bad_padding_and_bad_mac(content, samples);
        println!("bad padding, bad MAC, {content:>3} bytes                  {difference}");
        looks_alike &= difference.t.abs() < EVIDENCE;
    }
    for protection in PROTECTIONS {
        let difference = unknown_and_wrong(protection, samples / 10);
        println!("unknown identity, wrong key, {:<18}  {difference}", format!("{protection:?}"));
        looks_alike &= difference.nanoseconds.abs() < INVISIBLE_NANOSECONDS;
    }
    if looks_alike { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Records of MAC-then-encrypt with one wrong byte: in the last one of the padding, or in the MAC's first block.
fn bad_padding_and_bad_mac(content: usize, samples: usize) -> Comparison {
    let mut world = World::connected(server_config(), client_config(Protection::CbcMacThenEncrypt));
    let mut rng = TestRandom::new(1);
    let (server, client) = world.sessions();
    let mut record = Vec::new();
    client.seal(&vec![b'x'; content], &mut rng, &mut record).expect("it fits");
    // A change to a block's ciphertext changes the plaintext at the same place of the next block.
    let places = [record.len() - 16 - 1, 13 + 16 + content.saturating_sub(16)];
    let forged = places.map(|place| {
        let mut forged = record.clone();
        forged[place] ^= 1;
        forged
    });
    let mut buffer = record.clone();
    let open = |kind: usize| {
        buffer.copy_from_slice(&forged[kind]);
        let start = Instant::now();
        let outcome = server.open(black_box(&mut buffer)).err();
        let spent = start.elapsed();
        assert_eq!(outcome, Some(Discard::Unauthentic));
        spent
    };
    // Each forgery counts against the session, which ends at 2^20.
    compare(samples.min(limits::FAILED_OPENS_MAX as usize * 2 / 5), open)
}

/// The server's time from the answer of the look-up to the silence.
fn unknown_and_wrong(protection: Protection, samples: usize) -> Comparison {
    let mut world = World::new(server_config(), client_config(protection), 1);
    let mut rng = TestRandom::new(2);
    compare(samples, |kind| {
        let wrong = ClientConfig { psk: psk_from_secret(b"another secret"), ..client_config(protection) };
        world.start_anew(wrong);
        world.lookup = Duration::from_secs(1);
        while world.identities.is_empty() || world.wire.iter().any(|(_, to, _)| *to == util::To::Server) {
            world.turn();
        }
        let ServerSide::Handshake(handshake) = &mut world.server else {
            panic!("the handshake waits for its key");
        };
        // Both are made, and the one that is given lies at the same place, written long before.
        let mut answers = Box::new([PskAnswer::Decoy, PskAnswer::Key(key())]);
        answers.rotate_left(kind);
        for _ in 0..1000 {
            black_box(&mut answers);
        }
        let [answer, _] = *answers;
        let start = Instant::now();
        handshake.provide_psk(world.now, black_box(answer), &mut rng);
        start.elapsed()
    })
}

/// How the times of two kinds differ.
struct Comparison {
    nanoseconds: f64,
    /// Welch's t.
    t: f64,
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>7.2} ns   t {:>7.2}", self.nanoseconds, self.t)
    }
}

fn compare(samples: usize, mut measure: impl FnMut(usize) -> Duration) -> Comparison {
    let mut dice = Dice::new(samples as u64);
    let mut times = [Vec::new(), Vec::new()];
    // The first ones meet cold caches, and do not count.
    for count in 0..2 * samples + samples / 5 {
        let kind = dice.below(2);
        let time = measure(kind).as_nanos() as f64;
        if count >= samples / 5 {
            times[kind].push(time);
        }
    }
    let mut all: Vec<f64> = times.concat();
    all.sort_by(f64::total_cmp);
    let limit = all[(all.len() as f64 * (1.0 - CROPPED)) as usize];
    let [(mean_0, error_0), (mean_1, error_1)] = times.map(|kind| moments(&kind, limit));
    Comparison { nanoseconds: mean_0 - mean_1, t: (mean_0 - mean_1) / (error_0 + error_1).sqrt() }
}

/// Mean, and its squared standard error, of what is below the limit.
fn moments(times: &[f64], limit: f64) -> (f64, f64) {
    let kept: Vec<f64> = times.iter().copied().filter(|&time| time < limit).collect();
    let count = kept.len() as f64;
    let mean = kept.iter().sum::<f64>() / count;
    let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}
