//! Metrics as Prometheus reads them (text format 0.0.4). The owner of a counter declares its metric as data
//! and keeps the number; a closure collects them for each scrape.

use std::{fmt::Write as _, sync::Arc};

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A metric as it is declared: everything but its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name with its base unit; that of a counter, and of no other, ends in `_total`.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// What it means, in one line.
    pub help: &'static str,
    /// The label that tells its series apart, with values of a closed set: never one per device.
    pub label: Option<&'static str>,
}

impl Metric {
    /// A counter without a label.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: MetricKind::Counter, help, label: None }
    }

    /// A gauge without a label.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: MetricKind::Gauge, help, label: None }
    }

    /// The same with a label.
    #[must_use]
    pub const fn by(self, label: &'static str) -> Self {
        Self { label: Some(label), ..self }
    }

    /// Its value now.
    pub fn is(self, value: u64) -> Samples {
        self.are([(String::new(), value)])
    }

    /// Its values now, each with that of the label.
    pub fn are(self, values: impl IntoIterator<Item = (impl Into<String>, u64)>) -> Samples {
        let values = values.into_iter().map(|(label, value)| (label.into(), value)).collect();
        Samples { metric: self, explained: String::new(), values }
    }
}

/// A metric with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    /// What they are values of.
    pub metric: Metric,
    /// What follows the help sentence: what values of the label mean.
    pub explained: String,
    /// Values, each with that of the label; without a label there is one.
    pub values: Vec<(String, u64)>,
}

/// Collects all metrics now; called once per scrape.
pub type MetricsSource = Arc<dyn Fn() -> Vec<Samples> + Send + Sync>;

/// The text for a scrape.
pub fn prometheus_text(metrics: &[Samples]) -> String {
    let mut text = String::new();
    for Samples { metric: Metric { name, kind, help, label }, explained, values } in metrics {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let help = format!("{help}{explained}").replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (of, value) in values {
            let _ = match label {
                Some(label) => writeln!(text, "{name}{{{label}=\"{}\"}} {value}", escaped(of)),
                None => writeln!(text, "{name} {value}"),
            };
        }
    }
    text
}

/// The value of a label as it stands between quotation marks.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_share_help_and_type() {
        let metrics = [
            Metric::counter("refused_total", "Refusals.")
                .by("reason")
                .are([("wrong_key", 3), ("a\"b\\c\n", 1)]),
            Metric::gauge("sessions", "Sessions now.").is(7),
        ];
        assert_eq!(
            prometheus_text(&metrics),
            "# HELP refused_total Refusals.\n# TYPE refused_total counter\n\
             refused_total{reason=\"wrong_key\"} 3\nrefused_total{reason=\"a\\\"b\\\\c\\n\"} 1\n\
             # HELP sessions Sessions now.\n# TYPE sessions gauge\nsessions 7\n"
        );
    }

    #[test]
    fn a_help_sentence_stays_on_its_line_and_keeps_its_quotation_marks() {
        let mut samples = Metric::gauge("n", "A \\ and a\nbreak").is(1);
        samples.explained = " of \"lines\"".to_owned();
        let text = prometheus_text(&[samples]);
        assert!(text.starts_with("# HELP n A \\\\ and a\\nbreak of \"lines\"\n# TYPE n gauge\n"), "{text}");
    }

    #[test]
    fn large_counters_are_written_without_an_exponent() {
        let text = prometheus_text(&[Metric::counter("n", "N.").is(u64::MAX)]);
        assert!(text.ends_with("n 18446744073709551615\n"), "{text}");
    }
}
