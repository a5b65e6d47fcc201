//! Floods of ClientHellos from a million addresses, with one honest device beside them that goes on
//! connecting.
//!
//! Two kinds: hellos without a cookie, as sent by somebody who does not receive the answers, and handshakes
//! that are begun with the right cookie and abandoned when the server's flight has arrived. A flood may leave
//! nothing behind: the answer to a hello is no longer than the hello (RFC 6347, section 4.2.1), memory stands
//! still after the first fifth of the flood, and all gauges are back when the lifetime of a handshake is
//! over.

mod honest;
mod outcome;
mod sender;

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use self::{
    honest::Honest,
    sender::{Sender, Sent},
};
use super::{
    LoadConfig, LoadError, check_range,
    metrics::Page,
    outcome::Latencies,
    server::{Measurement, Sample},
    target::Target,
};

pub use self::outcome::{FloodMemory, FloodOutcome, HonestHandshakes};

/// Most hellos of one run.
pub const COUNT_MAX: u32 = 10_000_000;
/// Most hellos per second.
pub const RATE_MAX: u32 = 100_000;
/// Honest handshakes before the flood.
const IDLE_HANDSHAKES: u32 = 1000;
/// Pause of the honest device between its handshakes.
const HONEST_PAUSE: Duration = Duration::from_millis(10);
/// How often memory is sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Beyond the lifetime of a handshake, until the gauges are read.
const SETTLE: Duration = Duration::from_secs(5);
/// The part of the flood in which memory finds its level: some lifetimes of a handshake.
const EARLY_PART: u32 = 5;
/// Growth of resident memory that is allowed, percent.
const GROWTH_MAX: f64 = 2.0;
/// Growth that is allowed beside it, bytes: what the honest device's logins alone let the store's caches grow
/// by.
const GROWTH_BYTES_MAX: u64 = 3 << 20;
/// Growth that is allowed while handshakes are given up and evicted, percent: they have one limit, but not
/// one size, and the allocator keeps pages of them that are partly free.
const ABANDONED_GROWTH_MAX: f64 = 5.0;
/// Gauges that have to return to their earlier values.
const GAUGES: [&str; 5] = ["sessions", "handshakes", "lookups", "requests_in_flight", "stored_answer_bytes"];

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloodKind {
    /// ClientHellos without a cookie.
    Hello,
    /// Handshakes that are given up after the server's flight.
    Abandoned,
}

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Flood {
    /// What is sent.
    pub kind: FloodKind,
    /// Hellos per second.
    pub rate: u32,
    /// Hellos in total, each from an address of its own.
    pub count: u32,
    /// Where the server shows its metrics.
    pub http: Target,
    /// How long the server keeps a handshake that is not done.
    pub handshake_lifetime: Duration,
}

/// Runs the flood; the outcome says what is wrong.
///
/// # Errors
/// When the socket, the process or the metrics cannot be read, or the honest device cannot connect even
/// without a flood.
pub fn run(config: &LoadConfig, flood: &Flood, server: &Measurement) -> Result<FloodOutcome, LoadError> {
    check_range("count", flood.count, COUNT_MAX)?;
    check_range("rate", flood.rate, RATE_MAX)?;
    let mut honest = Honest::new(config).map_err(LoadError::Socket)?;
    let page_before = Page::fetch(flood.http).map_err(LoadError::Exchange)?;
    let idle = Handshakes::while_idle(&mut honest)?;
    let before = server.take()?;
    let (sent, flooded, memory, load) = under_fire(config, flood, server, &mut honest, before)?;
    honest.close().map_err(LoadError::Exchange)?;
    thread::sleep(flood.handshake_lifetime + SETTLE);
    let page = Page::fetch(flood.http).map_err(LoadError::Exchange)?;
    let counted = |name| page.counter(name).saturating_sub(page_before.counter(name));
    let mut outcome = FloodOutcome {
        hellos: sent.hellos,
        answered: sent.verifies,
        abandoned: sent.abandoned,
        server_hellos: sent.server_hellos,
        seconds: sent.elapsed.as_secs_f64(),
        amplification: sent.bytes_of_verifies as f64 / (sent.bytes_of_answered as f64).max(1.0),
        kernel_drops: counted(r#"dropped_datagrams_total{reason="receive_buffer_full"}"#),
        evicted: counted(r#"handshakes_total{outcome="evicted"}"#),
        honest: [idle.outcome(), flooded.outcome()],
        memory: FloodMemory { after: server.take()?.resident_bytes(), ..memory },
        server_load: load[0],
        sender_load: load[1],
        gauges: GAUGES.map(|name| (name, page.gauge(name).unwrap_or(f64::NAN))).to_vec(),
        violations: Vec::new(),
    };
    judge(&mut outcome, flood.kind, &page_before);
    Ok(outcome)
}

/// The flood, the honest device and the watch over the server's memory.
fn under_fire(
    config: &LoadConfig,
    flood: &Flood,
    server: &Measurement,
    honest: &mut Honest,
    before: Sample,
) -> Result<(Sent, Handshakes, FloodMemory, [f64; 2]), LoadError> {
    let (progress, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let sender = Sender {
        target: config.target,
        suite: config.suite,
        kind: flood.kind,
        rate: flood.rate,
        count: flood.count,
        time_limit: config.time_limit,
        progress: &progress,
        over: &over,
    };
    let own = Measurement::new(std::process::id());
    let own_before = own.take()?;
    let begun = Instant::now();
    thread::scope(|scope| {
        let sender = scope.spawn(|| sender.run());
        let mut handshakes = Handshakes::default();
        let mut memory = FloodMemory { before: before.resident_bytes(), ..FloodMemory::default() };
        let (mut sampled, mut last, mut own_last) = (begun, (before, begun), own_before);
        while !over.load(Ordering::SeqCst) {
            handshakes.one(honest)?;
            if sampled.elapsed() >= SAMPLE_INTERVAL && progress.load(Ordering::Relaxed) < flood.count {
                sampled = Instant::now();
                let sample = server.take()?;
                own_last = own.take()?;
                last = (sample, Instant::now());
                memory.watch(
                    sample.resident_bytes(),
                    progress.load(Ordering::Relaxed) < flood.count / EARLY_PART,
                );
            }
            thread::sleep(HONEST_PAUSE);
        }
        let seconds = (last.1 - begun).as_secs_f64().max(1e-9);
        let load = [last.0.processor_seconds_since(before), own_last.processor_seconds_since(own_before)]
            .map(|spent| spent / seconds);
        let sent = sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((sent.map_err(LoadError::Exchange)?, handshakes, memory, load))
    })
}

fn judge(outcome: &mut FloodOutcome, kind: FloodKind, before: &Page) {
    if outcome.amplification > 1.0 {
        outcome.violate(format!(
            "{:.3} bytes are answered for each byte of a hello without a cookie",
            outcome.amplification
        ));
    }
    if outcome.answered == 0 {
        outcome.violate("no hello was answered".to_owned());
    }
    let FloodMemory { peak, after, .. } = outcome.memory;
    let growth_max = match kind {
        FloodKind::Hello => GROWTH_MAX,
        FloodKind::Abandoned => ABANDONED_GROWTH_MAX,
    };
    for (when, bytes) in [("during the flood", peak), ("after the flood", after)] {
        let growth = outcome.memory.growth_percent(bytes.saturating_sub(GROWTH_BYTES_MAX));
        if growth > growth_max {
            outcome.violate(format!(
                "resident memory {when} is {growth:.1} % above the most in its first fifth, \
                 caches not counted"
            ));
        }
    }
    for (name, value) in outcome.gauges.clone() {
        let expected = before.gauge(name);
        if expected != Some(value) {
            outcome.violate(format!("narrowgate_{name} is {value} instead of {expected:?} when all is over"));
        }
    }
    let failed = outcome.honest[1].failed;
    if failed > 0 {
        outcome.violate(format!("{failed} honest handshakes failed under the flood"));
    }
}

/// Handshakes of the honest device.
#[derive(Debug, Default)]
struct Handshakes {
    latencies: Latencies,
    failed: u32,
}

impl Handshakes {
    fn while_idle(honest: &mut Honest) -> Result<Self, LoadError> {
        let mut handshakes = Self::default();
        for _ in 0..IDLE_HANDSHAKES {
            handshakes.one(honest)?;
            if handshakes.failed > 0 {
                return Err(LoadError::NotConnected { failed: 1, count: 1 });
            }
            thread::sleep(HONEST_PAUSE);
        }
        Ok(handshakes)
    }

    fn one(&mut self, honest: &mut Honest) -> Result<(), LoadError> {
        match honest.connect().map_err(LoadError::Exchange)? {
            Some(latency) => self.latencies.add(latency),
            None => self.failed += 1,
        }
        Ok(())
    }

    fn outcome(self) -> HonestHandshakes {
        let done = self.latencies.count();
        HonestHandshakes { done, failed: self.failed, latency_ms: self.latencies.percentiles() }
    }
}

impl FloodMemory {
    fn watch(&mut self, resident_bytes: u64, is_early: bool) {
        let peak = if is_early { &mut self.early_peak } else { &mut self.peak };
        *peak = resident_bytes.max(*peak);
    }
}
