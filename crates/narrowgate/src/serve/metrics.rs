//! Metrics for `/metrics`: the gateway's and the program's.

use std::{
    sync::{Arc, PoisonError},
    time::SystemTime,
};

use narrowgate_api::fleet::Disk;
use narrowgate_http::{Detail, Health, Metric, MetricsSource, Samples, tls::Certificate};
use narrowgate_platform::service::Operator;

use super::{SharedGateway, census::Census, process, rollouts};
use crate::{feed::Feed, host::Host, output};

const BUILD: Metric =
    Metric::gauge("narrowgate_build_info", "Version of the program; always 1.").by("version");

const LOG_LINES_DROPPED: Metric = Metric::counter(
    "narrowgate_log_lines_dropped_total",
    "Lines of the log that could not be written: a full disk, a slow reader or none.",
);

const ROLLOUTS: Metric =
    Metric::gauge("narrowgate_rollouts", "Rollouts of firmware by what they do.").by("state");

const READY: Metric = Metric::gauge("narrowgate_ready", "Whether devices are served: 1, else 0.");

const FOLLOWERS: Metric = Metric::gauge("narrowgate_followers", "Streams of live events that are open.");

const STORE_BYTES: Metric = Metric::gauge(
    "narrowgate_store_bytes",
    "Bytes of files in the data directory. registry: products, devices, latest values; logs: logs and \
     presence; messages: reports by day; backups: those that were asked for over HTTP, where they are on the \
     same disk; other: images of firmware, keys and all else.",
)
.by("files");

const DISK_FREE: Metric = Metric::gauge(
    "narrowgate_disk_free_bytes",
    "Bytes that can still be written where the data directory is.",
);

const CERTIFICATE_EXPIRES: Metric = Metric::gauge(
    "narrowgate_https_certificate_expires_timestamp_seconds",
    "When the certificate of HTTPS ends, or one of those that lead to its issuer, since 1970.",
);

/// What the metrics of the program are made of.
pub(super) struct Parts {
    pub(super) gateway: SharedGateway,
    pub(super) health: Health,
    pub(super) feed: Feed,
    pub(super) operator: Operator,
    pub(super) data: std::path::PathBuf,
    pub(super) certificate: Option<Arc<Certificate>>,
}

pub(super) fn source(parts: Parts) -> MetricsSource {
    let Parts { gateway, health, feed, operator, data, certificate } = parts;
    let (census, started) = (Census::new(operator), SystemTime::now());
    Arc::new(move |detail| {
        let mut metrics = vec![BUILD.are([(env!("CARGO_PKG_VERSION"), 1)])];
        metrics.push(READY.is(u64::from(health.is_ready())));
        {
            let gateway = gateway.read().unwrap_or_else(PoisonError::into_inner);
            metrics.extend(gateway.as_ref().map(|gateway| gateway.metrics()).unwrap_or_default());
        }
        metrics.extend(census.samples(detail == Detail::Products));
        metrics.push(ROLLOUTS.are(rollouts::counted()));
        metrics.push(FOLLOWERS.is(feed.followers() as u64));
        metrics.extend(stored(Host::disk(&data)));
        let expires_s = certificate.as_ref().and_then(|certificate| certificate.expires_s());
        metrics.push(CERTIFICATE_EXPIRES.may_be(expires_s));
        metrics.push(LOG_LINES_DROPPED.is(output::dropped_lines()));
        metrics.extend(process::samples(started));
        metrics
    })
}

fn stored(disk: Disk) -> Vec<Samples> {
    let Disk { registry_bytes, logs_bytes, messages_bytes, backups_bytes, other_bytes, free_bytes } = disk;
    let files = [
        ("registry", registry_bytes),
        ("logs", logs_bytes),
        ("messages", messages_bytes),
        ("backups", backups_bytes),
        ("other", other_bytes),
    ];
    let mut samples = vec![STORE_BYTES.are(files)];
    samples.extend(free_bytes.map(|bytes| DISK_FREE.is(bytes)));
    samples
}
