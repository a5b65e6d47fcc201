//! What a run costs the server's process, according to Linux: processor time of its threads, resident memory.
//!
//! The kernel's work for a datagram is charged to the process that causes it: sending on loopback includes
//! the delivery into the receiver's queue, so the server pays for delivering its answers and the client for
//! delivering its questions.

use std::{
    fmt::{self, Write as _},
    fs,
    time::Duration,
};

use serde::Serialize;

use super::LoadError;

/// Bytes in the `kB` of the proc filesystem.
const KIB: u64 = 1024;
/// The prefix of the names of shard threads.
const SHARD_THREAD: &str = "shard-";

/// Measures a process.
#[derive(Debug, Clone)]
pub struct Measurement {
    pid: u32,
}

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sample {
    /// Processor time of all threads that are alive, nanoseconds.
    processor_ns: u64,
    /// The share of the shards' threads.
    shards_ns: u64,
    resident_bytes: u64,
    proportional_bytes: u64,
}

impl Sample {
    pub(super) const fn resident_bytes(&self) -> u64 {
        self.resident_bytes
    }

    pub(super) fn processor_seconds_since(&self, before: Self) -> f64 {
        Duration::from_nanos(self.processor_ns.saturating_sub(before.processor_ns)).as_secs_f64()
    }
}

impl Measurement {
    /// Measures the process with this number.
    pub const fn new(pid: u32) -> Self {
        Self { pid }
    }

    pub(super) fn take(&self) -> Result<Sample, LoadError> {
        let mut sample = Sample::default();
        let tasks = format!("/proc/{}/task", self.pid);
        let threads =
            fs::read_dir(&tasks).map_err(|source| LoadError::Process { path: tasks.clone(), source })?;
        for thread in threads.flatten() {
            // Skipped: a thread that has ended meanwhile.
            let Ok(schedstat) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let on_processor = first_number(&schedstat);
            sample.processor_ns += on_processor;
            let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            if name.starts_with(SHARD_THREAD) {
                sample.shards_ns += on_processor;
            }
        }
        sample.resident_bytes = field_kib(&self.read("status")?, "VmRSS:") * KIB;
        sample.proportional_bytes = field_kib(&self.read("smaps_rollup")?, "Pss:") * KIB;
        Ok(sample)
    }

    fn read(&self, file: &str) -> Result<String, LoadError> {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path).map_err(|source| LoadError::Process { path, source })
    }
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The value of a line `name  1234 kB`; 0 if there is no such line.
fn field_kib(text: &str, name: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0, first_number)
}

/// What a run has cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerCost {
    /// Processor time per operation, microseconds, kernel included.
    pub processor_us_per_operation: f64,
    /// The share of the shards' threads.
    pub shards_us_per_operation: f64,
    /// Resident bytes before the run.
    pub resident_bytes_before: u64,
    /// Resident bytes after the run.
    pub resident_bytes_after: u64,
    /// Proportional set size before the run, bytes.
    pub proportional_bytes_before: u64,
    /// Proportional set size after the run, bytes.
    pub proportional_bytes_after: u64,
    /// Growth of the resident bytes per operation.
    pub resident_bytes_per_operation: f64,
}

impl ServerCost {
    pub(super) fn new(before: Sample, after: Sample, operations: u32) -> Self {
        let per_operation = |total: f64| total / f64::from(operations.max(1));
        let micros = |after: u64, before: u64| {
            per_operation(Duration::from_nanos(after.saturating_sub(before)).as_secs_f64() * 1e6)
        };
        Self {
            processor_us_per_operation: micros(after.processor_ns, before.processor_ns),
            shards_us_per_operation: micros(after.shards_ns, before.shards_ns),
            resident_bytes_before: before.resident_bytes,
            resident_bytes_after: after.resident_bytes,
            proportional_bytes_before: before.proportional_bytes,
            proportional_bytes_after: after.proportional_bytes,
            resident_bytes_per_operation: per_operation(
                after.resident_bytes as f64 - before.resident_bytes as f64,
            ),
        }
    }
}

impl fmt::Display for ServerCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / (KIB * KIB) as f64;
        let mut text = String::new();
        writeln!(
            text,
            "server   {:.2} us of processor time each, {:.2} us of them in shards",
            self.processor_us_per_operation, self.shards_us_per_operation
        )?;
        writeln!(
            text,
            "memory   resident {:.1} -> {:.1} MiB, proportional {:.1} -> {:.1} MiB: {:.0} bytes each",
            mib(self.resident_bytes_before),
            mib(self.resident_bytes_after),
            mib(self.proportional_bytes_before),
            mib(self.proportional_bytes_after),
            self.resident_bytes_per_operation
        )?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_measured_in_all_its_threads() {
        let sample = Measurement::new(std::process::id()).take().expect("this process is there");
        assert!(sample.processor_ns > 0);
        assert!(sample.resident_bytes > 0);
        assert!(sample.proportional_bytes > 0);
        // No process has number 0.
        assert!(Measurement::new(0).take().is_err());
    }

    #[test]
    fn costs_are_differences_per_operation() {
        let before = Sample { processor_ns: 1000, shards_ns: 0, resident_bytes: 10, proportional_bytes: 5 };
        let after =
            Sample { processor_ns: 21_000, shards_ns: 4000, resident_bytes: 30, proportional_bytes: 6 };
        let cost = ServerCost::new(before, after, 2);
        assert!((cost.processor_us_per_operation - 10.0).abs() < 1e-9);
        assert!((cost.shards_us_per_operation - 2.0).abs() < 1e-9);
        assert!((cost.resident_bytes_per_operation - 10.0).abs() < 1e-9);
    }

    #[test]
    fn fields_are_found_by_their_names() {
        assert_eq!(field_kib("Name:\tx\nVmRSS:\t    5160 kB\n", "VmRSS:"), 5160);
        assert_eq!(field_kib("", "VmRSS:"), 0);
    }
}
