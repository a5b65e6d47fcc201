//! What the process measures of itself, as far as the overview shows it: how long commits took lately, and
//! how many writes wait for one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use crate::{
    limiter::lock,
    metrics::{self, Detail, MetricsSource, Samples, Value},
};

const COMMITS: &str = "narrowgate_store_commit_seconds";
const WAITING: &str = "narrowgate_store_writes_waiting";

/// What is said of commits is about this time at most.
const WINDOW: Duration = Duration::from_secs(300);
/// How far readings are apart that are kept.
const APART: Duration = Duration::from_secs(15);

/// How often a reading is taken by itself, so that there is one of lately where nobody has looked.
const TAKEN_EVERY: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Vitals {
    source: MetricsSource,
    /// When each reading was made, and the commits that had taken up to each bound by then.
    readings: Mutex<VecDeque<(Instant, Vec<u64>)>>,
}

/// What was measured; `None`: there is nothing to be measured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Vital {
    /// Of a hundred commits 99 took no longer than so many seconds, as the metric writes it; `+Inf`: more
    /// than it tells apart.
    pub(super) commit_s: Option<String>,
    /// Writes that wait.
    pub(super) waiting: Option<u64>,
}

impl Vitals {
    pub(super) fn new(source: MetricsSource) -> Self {
        Self { source, readings: Mutex::default() }
    }

    /// Takes readings by itself as long as somebody holds them; outside of a runtime it does not.
    pub(super) fn watched(self) -> Arc<Self> {
        let vitals = Arc::new(self);
        let watched = Arc::downgrade(&vitals);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                loop {
                    sleep(TAKEN_EVERY).await;
                    let Some(vitals) = watched.upgrade() else { return };
                    vitals.read(Instant::now()).await;
                }
            });
        }
        vitals
    }

    /// What is measured now: commits since the oldest reading of the window, where there is none since the
    /// newest one before it, and of the first minutes since the start.
    pub(super) async fn read(&self, now: Instant) -> Vital {
        // A fault of ours leaves the page without them.
        let samples = metrics::read(&self.source, Detail::Totals).await.unwrap_or_default();
        let of = |name| samples.iter().find(|samples: &&Samples| samples.metric.name == name);
        let waiting = of(WAITING).and_then(|samples| whole(samples.values.first()?.value));
        let Some(commits) = of(COMMITS) else { return Vital { commit_s: None, waiting } };
        let buckets = commits.values.iter().filter(|sample| sample.suffix == "_bucket");
        let (bounds, counts): (Vec<&str>, Vec<u64>) = buckets
            .filter_map(|sample| Some((sample.labels.first()?.1.as_str(), whole(sample.value)?)))
            .unzip();
        let before = self.since(&counts, now);
        let lately: Vec<u64> =
            counts.iter().zip(before).map(|(count, before)| count.saturating_sub(before)).collect();
        Vital { commit_s: bound_of_99(&bounds, &lately), waiting }
    }

    /// All that the process counts, but nothing that names a product.
    pub(super) async fn samples(&self) -> Vec<Samples> {
        metrics::read(&self.source, Detail::Totals).await.unwrap_or_default()
    }

    /// Keeps a reading; the oldest one that is young enough, or one of the beginning.
    fn since(&self, counts: &[u64], now: Instant) -> Vec<u64> {
        let mut readings = lock(&self.readings);
        let is_old = |(read, _): &(Instant, Vec<u64>)| now.duration_since(*read) > WINDOW;
        while readings.len() > 1 && readings.front().is_some_and(is_old) {
            readings.pop_front();
        }
        let before = readings.front().map_or_else(|| vec![0; counts.len()], |(_, counts)| counts.clone());
        if readings.back().is_none_or(|(read, _)| now.duration_since(*read) >= APART) {
            readings.push_back((now, counts.to_vec()));
        }
        before
    }
}

fn whole(value: Value) -> Option<u64> {
    match value {
        Value::Whole(number) => Some(number),
        Value::Time(_) => None,
    }
}

/// The first bound below which 99 of a hundred are; `None`: there is none.
fn bound_of_99(bounds: &[&str], counts: &[u64]) -> Option<String> {
    let all = counts.last().copied().filter(|all| *all > 0)?;
    let enough = all - all / 100;
    let at = counts.iter().position(|count| *count >= enough)?;
    bounds.get(at).map(|bound| (*bound).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metric, Times};

    #[tokio::test]
    async fn commits_are_judged_by_those_of_the_last_minutes() {
        let times = Arc::new(Mutex::new(Times::default()));
        let shared = Arc::clone(&times);
        let vitals = Vitals::new(Arc::new(move |_| {
            let commits = Metric::histogram(COMMITS, "C.").took(&lock(&shared));
            vec![commits, Metric::gauge(WAITING, "W.").is(7)]
        }));
        let start = Instant::now();
        assert_eq!(vitals.read(start).await, Vital { commit_s: None, waiting: Some(7) });
        (0..200).for_each(|_| lock(&times).add(Duration::from_millis(700)));
        let slow = vitals.read(start + APART).await.commit_s;
        assert_eq!(slow.as_deref(), Some("1"));
        (0..200).for_each(|_| lock(&times).add(Duration::from_millis(4)));
        let later = vitals.read(start + WINDOW + Duration::from_secs(1)).await.commit_s;
        assert_eq!(later.as_deref(), Some("0.005"), "the slow ones were before");
        let none = Vitals::new(Arc::new(|_| Vec::new()));
        assert_eq!(none.read(start).await, Vital::default());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_slow_lately_is_seen_at_the_first_look() {
        let times = Arc::new(Mutex::new(Times::default()));
        let shared = Arc::clone(&times);
        let source: MetricsSource =
            Arc::new(move |_| vec![Metric::histogram(COMMITS, "C.").took(&lock(&shared))]);
        let vitals = Vitals::new(source).watched();
        (0..100_000).for_each(|_| lock(&times).add(Duration::from_millis(4)));
        sleep(12 * WINDOW).await;
        (0..200).for_each(|_| lock(&times).add(Duration::from_millis(700)));
        sleep(TAKEN_EVERY).await;
        assert_eq!(vitals.read(Instant::now()).await.commit_s.as_deref(), Some("1"));
    }
}
