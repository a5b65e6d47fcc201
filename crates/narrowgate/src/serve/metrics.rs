//! Metrics for `/metrics`: the gateway's and the program's.

use std::sync::{Arc, PoisonError};

use narrowgate_http::{Metric, MetricsSource};

use super::SharedGateway;
use crate::output;

pub(super) fn source(gateway: SharedGateway) -> MetricsSource {
    Arc::new(move || {
        let build = Metric::gauge("narrowgate_build_info", "Version of the program; always 1.", 1.0)
            .with("version", env!("CARGO_PKG_VERSION"));
        let gateway = gateway.read().unwrap_or_else(PoisonError::into_inner);
        let mut metrics = gateway.as_ref().map(|gateway| gateway.metrics()).unwrap_or_default();
        metrics.insert(0, build);
        metrics.push(Metric::counter(
            "narrowgate_log_lines_dropped_total",
            "Lines of the log that could not be written: a full disk, a slow reader or none.",
            output::dropped_lines(),
        ));
        metrics
    })
}
