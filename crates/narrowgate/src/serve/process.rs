//! Metrics of the process, by the names that all programs have for Prometheus.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use narrowgate_http::{Metric, Samples};
use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeVal,
};

const CPU: Metric = Metric::counter(
    "process_cpu_seconds_total",
    "Time that processors spent on the program and on the system for it.",
);
const RESIDENT: Metric =
    Metric::gauge("process_resident_memory_bytes", "Memory of the program that is in use, bytes.");
const VIRTUAL: Metric =
    Metric::gauge("process_virtual_memory_bytes", "Addresses that the program has reserved, bytes.");
const THREADS: Metric = Metric::gauge("process_threads", "Threads.");
const OPEN_FILES: Metric = Metric::gauge("process_open_fds", "Open files and sockets.");
const MOST_FILES: Metric =
    Metric::gauge("process_max_fds", "Open files and sockets that the program may have.");
const STARTED: Metric =
    Metric::gauge("process_start_time_seconds", "When the server started, since 1970, by its clock then.");

/// What the system tells about this process; what it does not tell is left out.
pub(super) fn samples(started: SystemTime) -> Vec<Samples> {
    let mut samples = vec![STARTED.is(started.duration_since(UNIX_EPOCH).unwrap_or_default())];
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        samples.push(CPU.is(time(usage.user_time()) + time(usage.system_time())));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = |name| of_status(&status, name).map(|number| number.saturating_mul(1024));
    samples.extend(kibibytes("VmRSS").map(|bytes| RESIDENT.is(bytes)));
    samples.extend(kibibytes("VmSize").map(|bytes| VIRTUAL.is(bytes)));
    samples.extend(of_status(&status, "Threads").map(|count| THREADS.is(count)));
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // The directory itself is open meanwhile.
        samples.push(OPEN_FILES.is(files.count().saturating_sub(1) as u64));
    }
    if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        samples.push(MOST_FILES.is(most));
    }
    samples
}

fn time(of: TimeVal) -> Duration {
    let seconds = u64::try_from(of.tv_sec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(of.tv_usec()).unwrap_or(0))
}

/// The number on the line `name:` of `/proc/self/status`.
fn of_status(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_measured() {
        let names: Vec<_> = samples(SystemTime::now()).iter().map(|it| it.metric.name).collect();
        assert_eq!(names.len(), 7, "{names:?}");
        let status = "Name:\tx\nVmRSS:\t  512 kB\nThreads:\t9\n";
        assert_eq!(of_status(status, "VmRSS"), Some(512));
        assert_eq!(of_status(status, "Threads"), Some(9));
        assert_eq!(of_status(status, "VmSize"), None);
    }
}
