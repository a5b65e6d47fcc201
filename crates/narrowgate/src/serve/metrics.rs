//! Metrics for `/metrics`: the gateway's and the program's.

use std::sync::{Arc, PoisonError};

use narrowgate_http::{Health, Metric, MetricsSource};

use super::{SharedGateway, rollouts};
use crate::output;

const BUILD: Metric =
    Metric::gauge("narrowgate_build_info", "Version of the program; always 1.").by("version");

const LOG_LINES_DROPPED: Metric = Metric::counter(
    "narrowgate_log_lines_dropped_total",
    "Lines of the log that could not be written: a full disk, a slow reader or none.",
);

const ROLLOUTS: Metric =
    Metric::gauge("narrowgate_rollouts", "Rollouts of firmware by what they do.").by("state");

const READY: Metric = Metric::gauge("narrowgate_ready", "Whether devices are served: 1, else 0.");

pub(super) fn source(gateway: SharedGateway, health: Health) -> MetricsSource {
    Arc::new(move || {
        let mut metrics = vec![BUILD.are([(env!("CARGO_PKG_VERSION"), 1)])];
        metrics.push(READY.is(u64::from(health.is_ready())));
        let gateway = gateway.read().unwrap_or_else(PoisonError::into_inner);
        metrics.extend(gateway.as_ref().map(|gateway| gateway.metrics()).unwrap_or_default());
        metrics.push(ROLLOUTS.are(rollouts::counted()));
        metrics.push(LOG_LINES_DROPPED.is(output::dropped_lines()));
        metrics
    })
}
