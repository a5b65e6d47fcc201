//! The outcome of a flood.

use std::fmt;

use serde::Serialize;

use crate::outcome::Percentiles;

/// Most violations that are reported.
const VIOLATIONS_MAX: usize = 20;

/// What was done, what it cost, and what was wrong.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FloodOutcome {
    /// ClientHellos without a cookie.
    pub hellos: u32,
    /// How many of them were answered.
    pub answered: u32,
    /// Handshakes given up after the server's flight.
    pub abandoned: u32,
    /// ServerHellos that came, repeated ones included.
    pub server_hellos: u32,
    /// How long the flood took.
    pub seconds: f64,
    /// Bytes of the answers to a hello without a cookie, for each byte of those hellos.
    pub amplification: f64,
    /// Datagrams that the kernel dropped before the server could take them.
    pub kernel_drops: u64,
    /// Handshakes that were evicted for newer ones.
    pub evicted: u64,
    /// Handshakes of the honest device, without a flood and under it.
    pub honest: [HonestHandshakes; 2],
    /// The server's.
    pub memory: FloodMemory,
    /// Processor time of the server during the flood, seconds per second.
    pub server_load: f64,
    /// The same of the sender and the honest device.
    pub sender_load: f64,
    /// The server's when all is over.
    pub gauges: Vec<(&'static str, f64)>,
    /// What should not have happened.
    pub violations: Vec<String>,
}

/// One device's handshakes, one after the other.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct HonestHandshakes {
    /// Done.
    pub done: u32,
    /// Not done.
    pub failed: u32,
    /// How long those took that were done.
    pub latency_ms: Percentiles,
}

/// Resident bytes of the server's process.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FloodMemory {
    /// Before the flood.
    pub before: u64,
    /// The most while the first fifth of it was sent.
    pub early_peak: u64,
    /// The most from then on.
    pub peak: u64,
    /// When it was over and everything left half open had ended.
    pub after: u64,
}

impl FloodMemory {
    /// Growth of `bytes` over the most that it was in the first fifth of the flood, percent.
    pub(super) fn growth_percent(&self, bytes: u64) -> f64 {
        100.0 * (bytes as f64 - self.early_peak as f64) / (self.early_peak as f64).max(1.0)
    }
}

impl FloodOutcome {
    pub(super) fn violate(&mut self, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what);
        }
    }

    /// How much longer half and all but one in a hundred of the honest handshakes took under the flood.
    pub fn slowdown(&self) -> (f64, f64) {
        let [idle, flooded] = &self.honest;
        let ratio = |flooded: f64, idle: f64| flooded / idle.max(1e-3);
        (
            ratio(flooded.latency_ms.p50, idle.latency_ms.p50),
            ratio(flooded.latency_ms.p99, idle.latency_ms.p99),
        )
    }
}

impl fmt::Display for FloodOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let per_second = f64::from(self.hellos) / self.seconds.max(1e-9);
        writeln!(f, "hellos        {} in {:.1} s: {per_second:.0} per second", self.hellos, self.seconds)?;
        writeln!(f, "  answered    {}", self.answered)?;
        writeln!(f, "  dropped     {} by the kernel", self.kernel_drops)?;
        writeln!(f, "amplification {:.3}", self.amplification)?;
        writeln!(f, "abandoned     {}, {} ServerHellos seen", self.abandoned, self.server_hellos)?;
        writeln!(f, "  evicted     {}", self.evicted)?;
        for (name, honest) in ["idle", "flooded"].iter().zip(&self.honest) {
            let Percentiles { p50, p90, p99, max } = honest.latency_ms;
            let HonestHandshakes { done, failed, .. } = honest;
            writeln!(
                f,
                "{name:<13} {done} honest handshakes, {failed} failed: \
                 p50 {p50:.2}, p90 {p90:.2}, p99 {p99:.2}, max {max:.2} ms"
            )?;
        }
        let (median, p99) = self.slowdown();
        writeln!(f, "slowdown      p50 {median:.2}, p99 {p99:.2}")?;
        let FloodMemory { before, early_peak, peak, after } = self.memory;
        writeln!(
            f,
            "resident      {:.2} before, at most {:.2} in the first fifth, {:.2} from then on, \
             {:.2} MiB after",
            mib(before),
            mib(early_peak),
            mib(peak),
            mib(after)
        )?;
        writeln!(
            f,
            "processors    {:.2} for the server, {:.2} for the senders",
            self.server_load, self.sender_load
        )?;
        for (name, value) in &self.gauges {
            writeln!(f, "{name:<22} {value}")?;
        }
        for violation in &self.violations {
            writeln!(f, "VIOLATION     {violation}")?;
        }
        writeln!(f, "violations    {}", self.violations.len())
    }
}
