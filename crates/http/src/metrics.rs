//! Metrics as Prometheus reads them (text format 0.0.4). The owner of a counter declares its metric as data
//! and keeps the number; a closure collects them for each scrape.

use std::{fmt, fmt::Write as _, sync::Arc, time::Duration};

use tokio::task::{JoinError, spawn_blocking};

/// What a source says now. It is read on a thread that may wait: sources look at files and take locks.
///
/// # Errors
/// Reading it has failed, which is a fault of ours.
pub(crate) async fn read(source: &MetricsSource, detail: Detail) -> Result<Vec<Samples>, JoinError> {
    let source = Arc::clone(source);
    spawn_blocking(move || source(detail)).await
}

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often something took how long, until a restart.
    Histogram,
}

impl MetricKind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric as it is declared: everything but its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name with its base unit; that of a counter, and of no other, ends in `_total`.
    pub name: &'static str,
    /// Counter, gauge or histogram.
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

    /// A histogram of times in seconds, without a label.
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: MetricKind::Histogram, help, label: None }
    }

    /// The same with a label.
    #[must_use]
    pub const fn by(self, label: &'static str) -> Self {
        Self { label: Some(label), ..self }
    }

    /// Its value now.
    pub fn is(self, value: impl Into<Value>) -> Samples {
        self.may_be(Some(value))
    }

    /// Its value now, if it has one.
    pub fn may_be(self, value: Option<impl Into<Value>>) -> Samples {
        self.of(value.map(|value| Sample { suffix: "", labels: Vec::new(), value: value.into() }))
    }

    /// Its values now, each with that of the label.
    pub fn are(self, values: impl IntoIterator<Item = (impl Into<String>, u64)>) -> Samples {
        let label = self.label.unwrap_or_default();
        self.of(values.into_iter().map(|(of, value)| Sample {
            suffix: "",
            labels: vec![(label, of.into())],
            value: value.into(),
        }))
    }

    /// Its values now, each with those of the label and of a second one, `second`.
    pub fn are_by<A: Into<String>, B: Into<String>>(
        self,
        second: &'static str,
        values: impl IntoIterator<Item = (A, B, u64)>,
    ) -> Samples {
        let label = self.label.unwrap_or_default();
        self.of(values.into_iter().map(|(of, by, value)| Sample {
            suffix: "",
            labels: vec![(label, of.into()), (second, by.into())],
            value: value.into(),
        }))
    }

    /// The times that were measured until now.
    pub fn took(self, times: &Times) -> Samples {
        let mut below = 0;
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain(["+Inf".to_owned()]);
        let mut samples: Vec<Sample> = bounds
            .zip(times.counts)
            .map(|(bound, count)| {
                below += count;
                Sample { suffix: "_bucket", labels: vec![("le", bound)], value: below.into() }
            })
            .collect();
        samples.push(Sample { suffix: "_sum", labels: Vec::new(), value: times.sum.into() });
        samples.push(Sample { suffix: "_count", labels: Vec::new(), value: below.into() });
        self.of(samples)
    }

    fn of(self, values: impl IntoIterator<Item = Sample>) -> Samples {
        Samples { metric: self, explained: String::new(), values: values.into_iter().collect() }
    }
}

/// The upper bounds of classes of times; one more class has none.
const BOUNDS: [Duration; 13] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// How often something took how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Times {
    /// Counts one that took so long.
    pub fn add(&mut self, took: Duration) {
        let class = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        self.counts[class] += 1;
        self.sum = self.sum.saturating_add(took);
    }
}

/// A number of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number of things, or of bytes.
    Whole(u64),
    /// A time, shown in seconds.
    Time(Duration),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Time(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Time(time) => f.write_str(&seconds(*time)),
        }
    }
}

/// A time in seconds, to the microsecond.
fn seconds(time: Duration) -> String {
    let text = format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// One series of a metric, with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// What follows the metric's name: empty but in histograms.
    pub suffix: &'static str,
    /// Names of labels with their values.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: Value,
}

/// A metric with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    /// What they are values of.
    pub metric: Metric,
    /// What follows the help sentence: what values of the label mean.
    pub explained: String,
    /// Each series; without a label there is one.
    pub values: Vec<Sample>,
}

/// How much whoever scrapes may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Nothing that names a product.
    Totals,
    /// Devices by product too.
    Products,
}

/// Collects all metrics now; called once per scrape.
pub type MetricsSource = Arc<dyn Fn(Detail) -> Vec<Samples> + Send + Sync>;

/// The text for a scrape.
pub fn prometheus_text(metrics: &[Samples]) -> String {
    let mut text = String::new();
    for Samples { metric: Metric { name, kind, help, .. }, explained, values } in metrics {
        let help = format!("{help}{explained}").replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
        for Sample { suffix, labels, value } in values {
            let labels: Vec<String> =
                labels.iter().map(|(label, of)| format!("{label}=\"{}\"", escaped(of))).collect();
            let _ = match labels.is_empty() {
                true => writeln!(text, "{name}{suffix} {value}"),
                false => writeln!(text, "{name}{suffix}{{{}}} {value}", labels.join(",")),
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

    #[test]
    fn times_are_counted_in_classes_that_hold_the_smaller_ones() {
        let mut times = Times::default();
        for millis in [1, 3, 3, 700, 60_000] {
            times.add(Duration::from_millis(millis));
        }
        let text = prometheus_text(&[Metric::histogram("took_seconds", "Times.").took(&times)]);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines[0], "# TYPE took_seconds histogram");
        assert_eq!(lines[1], "took_seconds_bucket{le=\"0.001\"} 1");
        assert_eq!(lines[3], "took_seconds_bucket{le=\"0.005\"} 3");
        assert_eq!(lines[10], "took_seconds_bucket{le=\"1\"} 4");
        let last = ["took_seconds_bucket{le=\"+Inf\"} 5", "took_seconds_sum 60.707", "took_seconds_count 5"];
        assert_eq!(lines[14..], last);
    }

    #[test]
    fn a_series_may_have_two_labels() {
        let samples = Metric::gauge("devices", "D.").by("product").are_by("state", [("a", "online", 2)]);
        assert!(prometheus_text(&[samples]).ends_with("devices{product=\"a\",state=\"online\"} 2\n"));
    }
}
