//! Values in the columns in which they are drawn.

use super::TimeSpan;

/// Values beyond this are drawn at it: the distance of two of them is a number still.
const VALUE_MAX: f64 = 1e300;
/// So many times the usual distance of two values apart, nothing is drawn between them.
const GAP_FACTOR: i64 = 4;

/// A value at a time, or what several come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// When, Unix milliseconds.
    pub(crate) time: i64,
    /// The smallest value.
    pub(crate) min: f64,
    /// The greatest value.
    pub(crate) max: f64,
    /// Their mean.
    pub(crate) mean: f64,
}

impl Sample {
    /// One value.
    pub(crate) fn one(time: i64, value: f64) -> Self {
        Self { time, min: value, max: value, mean: value }
    }

    fn is_finite(&self) -> bool {
        self.min.is_finite() && self.max.is_finite() && self.mean.is_finite()
    }

    fn within(self) -> Self {
        let within = |value: f64| value.clamp(-VALUE_MAX, VALUE_MAX);
        Self { min: within(self.min), max: within(self.max), mean: within(self.mean), ..self }
    }
}

/// What is drawn in a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Column {
    pub(super) index: usize,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
    /// When its last value was.
    last: i64,
    count: f64,
}

/// Values as they are drawn: runs of columns, between which there are gaps.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Runs {
    pub(super) runs: Vec<Vec<Column>>,
}

impl Runs {
    /// The smallest and the greatest value.
    pub(super) fn extent(&self) -> Option<(f64, f64)> {
        let mut columns = self.runs.iter().flatten();
        let first = columns.next()?;
        Some(
            columns.fold((first.min, first.max), |(min, max), column| {
                (min.min(column.min), max.max(column.max))
            }),
        )
    }

    /// Whether some column has several values: then it is drawn how far they go.
    pub(super) fn has_envelope(&self) -> bool {
        self.runs.iter().flatten().any(|column| column.min < column.max)
    }
}

/// Puts samples, in any order, into columns. What is no number is left out.
///
/// Two samples further apart than `gap` milliseconds are not joined. Where that is not said, it is four times
/// the median of their distances, so that one that is late leaves no gap.
pub(super) fn runs(samples: &[Sample], span: TimeSpan, columns: usize, gap: Option<i64>) -> Runs {
    let inside = |sample: &&Sample| sample.is_finite() && span.column(sample.time, columns).is_some();
    let mut inside: Vec<Sample> = samples.iter().filter(inside).map(|sample| sample.within()).collect();
    inside.sort_by_key(|sample| sample.time);
    let gap = gap.unwrap_or_else(|| usual_gap(inside.iter().map(|sample| sample.time)));
    let mut runs: Vec<Vec<Column>> = Vec::new();
    for sample in inside {
        let Some(index) = span.column(sample.time, columns) else { continue };
        let is_joined = match runs.last_mut().and_then(|run| run.last_mut()) {
            Some(column) if column.index == index => {
                column.add(sample);
                continue;
            }
            Some(column) => sample.time.saturating_sub(column.last) <= gap,
            None => false,
        };
        let column = Column::of(index, sample);
        match runs.last_mut() {
            Some(run) if is_joined => run.push(column),
            _ => runs.push(vec![column]),
        }
    }
    Runs { runs }
}

impl Column {
    fn of(index: usize, Sample { time, min, max, mean }: Sample) -> Self {
        Self { index, min, max, mean, last: time, count: 1.0 }
    }

    fn add(&mut self, sample: Sample) {
        self.min = self.min.min(sample.min);
        self.max = self.max.max(sample.max);
        self.count += 1.0;
        // Never beyond the two, whatever they are.
        self.mean += sample.mean / self.count - self.mean / self.count;
        self.last = sample.time;
    }
}

/// From how far apart on two of these times, which are in order, are not joined.
pub(super) fn usual_gap(times: impl Iterator<Item = i64> + Clone) -> i64 {
    let pairs = times.clone().zip(times.skip(1));
    let mut distances: Vec<i64> = pairs.map(|(one, next)| next.saturating_sub(one)).collect();
    if distances.is_empty() {
        return i64::MAX;
    }
    let middle = distances.len() / 2;
    let (_, median, _) = distances.select_nth_unstable(middle);
    median.saturating_mul(GAP_FACTOR).max(1)
}
