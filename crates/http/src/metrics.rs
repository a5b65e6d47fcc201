//! Metrics as Prometheus reads them (text format 0.0.4). Counters live with their owners; a closure collects
//! them for each scrape.

use std::{fmt::Write as _, sync::Arc};

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One sample: a name with labels and its value now.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Name with unit, such as `narrowgate_handshakes_total`.
    pub name: &'static str,
    /// What it means, in one line.
    pub help: &'static str,
    /// Labels; never one per device.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
    /// Counter or gauge.
    pub kind: MetricKind,
}

impl Metric {
    /// A counter without labels.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, labels: Vec::new(), value: value as f64, kind: MetricKind::Counter }
    }

    /// A gauge without labels.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, labels: Vec::new(), value, kind: MetricKind::Gauge }
    }

    /// The same with one more label.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}

/// Collects all metrics now; called once per scrape.
pub type MetricsSource = Arc<dyn Fn() -> Vec<Metric> + Send + Sync>;

/// The text for a scrape: samples of one name are grouped under one HELP and TYPE.
pub fn prometheus_text(metrics: &[Metric]) -> String {
    let mut text = String::new();
    let mut names: Vec<&str> = Vec::new();
    for first in metrics {
        if names.contains(&first.name) {
            continue;
        }
        names.push(first.name);
        let kind = match first.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let help = first.help.replace('\\', "\\\\").replace('\n', "\\n");
        // Ignored: writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {} {help}\n# TYPE {} {kind}", first.name, first.name);
        for metric in metrics.iter().filter(|metric| metric.name == first.name) {
            let _ = writeln!(text, "{}{} {}", metric.name, labels(&metric.labels), number(metric.value));
        }
    }
    text
}

fn labels(labels: &[(&'static str, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", pairs.join(","))
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_share_help_and_type() {
        let metrics = [
            Metric::counter("refused_total", "Refusals.", 3).with("reason", "wrong_key"),
            Metric::gauge("sessions", "Sessions now.", 7.5),
            Metric::counter("refused_total", "Refusals.", 1).with("reason", "a\"b\\c\n"),
        ];
        assert_eq!(
            prometheus_text(&metrics),
            "# HELP refused_total Refusals.\n# TYPE refused_total counter\n\
             refused_total{reason=\"wrong_key\"} 3\nrefused_total{reason=\"a\\\"b\\\\c\\n\"} 1\n\
             # HELP sessions Sessions now.\n# TYPE sessions gauge\nsessions 7.5\n"
        );
    }

    #[test]
    fn large_counters_are_written_without_an_exponent() {
        let text = prometheus_text(&[Metric::counter("n", "N.", 1 << 52)]);
        assert!(text.ends_with("n 4503599627370496\n"), "{text}");
        assert_eq!(number(f64::NEG_INFINITY), "-Inf");
    }
}
