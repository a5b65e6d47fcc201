//! The fleet as it was counted last: a count reads every device, some 0.5 to 1 s of a million of them.
//!
//! An answer waits for a count for [`PATIENCE`] and no longer, and not at all where the last one took longer;
//! then it has the one before, which says of when it is. One count goes on at a time, and who asks begins it:
//! always where the last one was quick, else where it is older than [`AGE_IN_COUNTS`] times what it took. So
//! long counts take a tenth of a processor at most, however many ask.
#![expect(clippy::result_large_err, reason = "a problem is what the verbs of an operator return")]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{extract::FromRequestParts, http::request::Parts};
use narrowgate_api::{fleet::FleetView, names::UnixMillis, problem::Problem};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::asked::Door;
use crate::limiter::lock;

/// How long an answer waits for a count that goes on.
const PATIENCE: Duration = Duration::from_millis(40);
/// A count that takes no longer is made for each answer.
const QUICK: Duration = Duration::from_millis(20);
/// One that takes longer is made anew where the last one is older than so many times what it took.
const AGE_IN_COUNTS: u32 = 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Census(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    latest: Option<Latest>,
    /// Of the last count that was begun: its sender goes with the end of the count.
    counting: Option<watch::Receiver<()>>,
}

/// What a count came to.
#[derive(Debug, Clone)]
pub(super) struct Count {
    /// `None`: the store cannot count now.
    pub(super) fleet: Option<FleetView>,
    /// Why it cannot.
    pub(super) unreadable: Option<String>,
    /// When it began.
    pub(super) at: UnixMillis,
}

#[derive(Debug)]
struct Latest {
    count: Result<Count, Problem>,
    took: Duration,
    ended: Instant,
}

impl Latest {
    fn is_old(&self, now: Instant) -> bool {
        self.took <= QUICK || now.duration_since(self.ended) > AGE_IN_COUNTS * self.took
    }
}

impl Census {
    /// What the last count came to; `None`: the first one goes on.
    pub(super) async fn latest<F>(
        self: &Arc<Self>,
        count: impl FnOnce() -> F,
    ) -> Option<Result<Count, Problem>>
    where
        F: Future<Output = Result<Count, Problem>> + Send + 'static,
    {
        let is_long = lock(&self.0).latest.as_ref().is_some_and(|latest| latest.took > PATIENCE);
        if let (Some(mut end), false) = (self.begin(count), is_long) {
            // Ignored: whether it has ended or the time is over, there is what there is.
            let _ = timeout(PATIENCE, end.changed()).await;
        }
        lock(&self.0).latest.as_ref().map(|latest| latest.count.clone())
    }

    /// The end of the count that goes on, or is begun; `None`: the last one is young enough.
    fn begin<F>(self: &Arc<Self>, count: impl FnOnce() -> F) -> Option<watch::Receiver<()>>
    where
        F: Future<Output = Result<Count, Problem>> + Send + 'static,
    {
        let mut state = lock(&self.0);
        if let Some(end) = state.counting.as_ref().filter(|end| end.has_changed().is_ok()) {
            return Some(end.clone());
        }
        if state.latest.as_ref().is_some_and(|latest| !latest.is_old(Instant::now())) {
            return None;
        }
        let (goes_on, end) = watch::channel(());
        state.counting = Some(end.clone());
        let (census, count) = (Arc::clone(self), count());
        tokio::spawn(async move {
            let began = Instant::now();
            let count = count.await;
            let ended = Instant::now();
            lock(&census.0).latest = Some(Latest { count, took: ended.duration_since(began), ended });
            drop(goes_on);
        });
        Some(end)
    }
}

/// That of the routes.
pub(super) struct Counted(pub(super) Arc<Census>);

impl FromRequestParts<Door> for Counted {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, door: &Door) -> Result<Self, Infallible> {
        Ok(Self(Arc::clone(&door.census)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Takes so long, and is of this time.
    async fn counting(takes: Duration, at: i64) -> Result<Count, Problem> {
        sleep(takes).await;
        Ok(Count { fleet: None, unreadable: None, at: UnixMillis(at) })
    }

    async fn latest(census: &Arc<Census>, takes_s: u64, at: i64) -> Option<i64> {
        let found = census.latest(|| counting(Duration::from_secs(takes_s), at)).await;
        found.map(|count| count.expect("it can be counted").at.0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_that_takes_long_is_not_waited_for_and_the_one_before_is_shown() {
        let census = Arc::<Census>::default();
        let began = Instant::now();
        assert_eq!(latest(&census, 1, 1).await, None, "the first one goes on");
        let is_patient = |since: Instant| (PATIENCE..2 * PATIENCE).contains(&since.elapsed());
        assert!(is_patient(began));
        assert_eq!(latest(&census, 1, 2).await, None, "there is no second one beside it");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(latest(&census, 1, 3).await, Some(1));
        sleep(Duration::from_secs(9)).await;
        assert_eq!(latest(&census, 1, 4).await, Some(1), "it is young enough");
        sleep(Duration::from_secs(2)).await;
        let began = Instant::now();
        assert_eq!(latest(&census, 1, 5).await, Some(1), "the next one goes on");
        assert_eq!(began.elapsed(), Duration::ZERO, "it will take as long as the last one");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(latest(&census, 1, 6).await, Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_that_takes_no_time_is_made_for_each_answer() {
        let census = Arc::<Census>::default();
        for at in 1..4 {
            assert_eq!(latest(&census, 0, at).await, Some(at));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_is_told_and_a_count_that_never_ends_is_begun_again_where_its_task_has_ended() {
        let census = Arc::<Census>::default();
        let fault = || async { Err(Problem::new(500, narrowgate_api::problem::Code::Internal, "damaged")) };
        assert!(census.latest(fault).await.is_some_and(|count| count.is_err()));
        assert_eq!(latest(&census, 0, 2).await, Some(2));
        let (gone, end) = watch::channel(());
        lock(&census.0).counting = Some(end);
        drop(gone);
        assert_eq!(latest(&census, 0, 3).await, Some(3));
    }
}
