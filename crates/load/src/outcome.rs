//! What a run has measured, for people and for programs.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::server::{Sample, ServerCost};

/// How long operations took.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    micros: Vec<u32>,
}

impl Latencies {
    /// Adds one; more than an hour counts as slightly more than an hour.
    pub fn add(&mut self, latency: Duration) {
        self.micros.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.micros.len() as u32
    }

    pub(super) fn percentiles(mut self) -> Percentiles {
        self.micros.sort_unstable();
        let at = |per_mille: usize| {
            let index = (self.micros.len() * per_mille / 1000).min(self.micros.len().saturating_sub(1));
            self.micros.get(index).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        };
        Percentiles { p50: at(500), p90: at(900), p99: at(990), max: at(1000) }
    }
}

/// Milliseconds within which so many of a hundred operations were done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of them.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// All but one of a hundred.
    pub p99: f64,
    /// All.
    pub max: f64,
}

/// What a run has measured.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// What was done: `handshake`, `report` or `session`.
    pub operation: &'static str,
    /// How many succeeded.
    pub done: u32,
    /// How many failed or were not finished in time.
    pub failed: u32,
    /// How long it took.
    pub seconds: f64,
    /// How many succeeded per second.
    pub per_second: f64,
    /// How long one took, milliseconds.
    pub latency_ms: Percentiles,
    /// What it cost the server, where its process was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerCost>,
}

impl Outcome {
    pub(super) fn new(
        operation: &'static str,
        wanted: u32,
        elapsed: Duration,
        latencies: Latencies,
        server: Option<(Sample, Sample)>,
    ) -> Self {
        let done = latencies.count();
        let seconds = elapsed.as_secs_f64();
        Self {
            operation,
            done,
            failed: wanted - done,
            seconds,
            per_second: f64::from(done) / seconds,
            latency_ms: latencies.percentiles(),
            server: server.map(|(before, after)| ServerCost::new(before, after, done)),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, done, failed, seconds, per_second, .. } = self;
        writeln!(
            f,
            "{operation}s  {done} done, {failed} failed in {seconds:.2} s: {per_second:.0} per second"
        )?;
        let Percentiles { p50, p90, p99, max } = self.latency_ms;
        writeln!(f, "latency  p50 {p50:.2} ms  p90 {p90:.2} ms  p99 {p99:.2} ms  max {max:.2} ms")?;
        match &self.server {
            None => Ok(()),
            Some(server) => write!(f, "{server}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let mut latencies = Latencies::default();
        for millis in (1..=1000).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        let expected = Percentiles { p50: 501.0, p90: 901.0, p99: 991.0, max: 1000.0 };
        assert_eq!(latencies.percentiles(), expected);
        assert_eq!(Latencies::default().percentiles().max, 0.0);
    }

    #[test]
    fn what_was_not_done_has_failed() {
        let mut latencies = Latencies::default();
        latencies.add(Duration::from_millis(2));
        let outcome = Outcome::new("report", 3, Duration::from_secs(2), latencies, None);
        assert_eq!((outcome.done, outcome.failed, outcome.per_second), (1, 2, 0.5));
        let text = outcome.to_string();
        assert!(
            text.starts_with("reports  1 done, 2 failed in 2.00 s: 0 per second\nlatency  p50 2.00 ms"),
            "{text}"
        );
    }
}
