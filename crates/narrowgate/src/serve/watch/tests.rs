//! What the service manager hears, and what `/health/ready` finds, of parts that really stand still.

use std::sync::{Arc, mpsc};

use narrowgate_engine::event::ShardEvent;
use narrowgate_engine_io::driver::EventSink;

use super::*;
use crate::gateway::staged::{Hanging, add_shard, disturb, gateway};

/// How often the service manager wants to hear that all is well; it is told twice as often.
const WATCHDOG: Duration = Duration::from_millis(100);

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A watch, and what it tells.
struct Watch {
    liveness: Liveness,
    task: AbortHandle,
    told: mpsc::Receiver<String>,
}

impl Watch {
    fn of(liveness: Liveness) -> Self {
        Self::over(liveness, false)
    }

    /// While the server stops, or not.
    fn over(liveness: Liveness, is_stopping: bool) -> Self {
        let (tell, told) = mpsc::channel();
        let tell = move |state: &str| tell.send(state.to_owned()).expect("the test listens");
        let watch = run(liveness.clone(), Some(WATCHDOG), tell, move || is_stopping);
        let task = tokio::spawn(watch).abort_handle();
        Self { liveness, task, told }
    }

    fn stuck(&self) -> Vec<String> {
        findings(&self.liveness, Vec::new()).stuck
    }

    /// Waits until `/health/ready` finds this, or nothing.
    async fn finds(&self, words: Option<&str>) {
        let begin = Instant::now();
        loop {
            let stuck = self.stuck();
            match words {
                None if stuck.is_empty() => return,
                Some(words) if stuck.len() == 1 && stuck[0].starts_with(words) => return,
                _ => assert!(begin.elapsed() < PATIENCE, "{words:?}: {stuck:?}"),
            }
            tokio::time::sleep(WATCHDOG / 2).await;
        }
    }

    /// How many messages come within ten times the time in which one is wanted, after two more in which what
    /// was under way comes.
    async fn hears(&self) -> usize {
        tokio::time::sleep(2 * WATCHDOG).await;
        self.told.try_iter().for_each(drop);
        tokio::time::sleep(10 * WATCHDOG).await;
        self.told.try_iter().inspect(|state| assert_eq!(state, "WATCHDOG=1")).count()
    }

    /// Waits until so many messages have come.
    async fn goes_on(&self) {
        let begin = Instant::now();
        let mut heard = 0;
        while heard < 10 {
            heard += self.told.try_iter().count();
            assert!(begin.elapsed() < PATIENCE, "{heard}");
            tokio::time::sleep(WATCHDOG / 2).await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps its shard's thread until it is released.
struct StandsStill(mpsc::Receiver<()>);

impl EventSink for StandsStill {
    fn deliver(&mut self, events: &mut Vec<ShardEvent>) {
        events.clear();
        // Both are a release.
        let _ = self.0.recv();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_stands_still_silences_the_watchdog_until_it_runs_again() {
    let gateway = gateway(None).await;
    let mut liveness = gateway.liveness().with_limits(Duration::from_secs(3), PATIENCE);
    let (release, stands_still) = mpsc::channel();
    let (shard, address) = add_shard(&mut liveness, StandsStill(stands_still));
    let watch = Watch::of(liveness);
    watch.finds(None).await;
    watch.goes_on().await;
    disturb(address);
    watch.finds(Some("shard 7 has not run for ")).await;
    assert_eq!(watch.hears().await, 0, "{:?}", watch.stuck());
    drop(release);
    watch.finds(None).await;
    watch.goes_on().await;
    shard.stop();
    gateway.drain().await;
}

/// A restart would not make it faster.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_not_committed_ends_readiness_and_not_the_messages() {
    let (hangs, go_on) = Hanging::new();
    let gateway = gateway(Some(hangs)).await;
    let watch = Watch::of(gateway.liveness().with_limits(PATIENCE, Duration::from_millis(200)));
    watch.finds(None).await;
    disturb(gateway.dtls_address());
    watch.finds(Some("the store has not answered for ")).await;
    assert_ne!(watch.hears().await, 0, "{:?}", watch.stuck());
    watch.finds(Some("the store has not answered for ")).await;
    go_on.send(true).expect("the store waits");
    watch.finds(None).await;
    watch.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_has_ended_silences_the_watchdog() {
    let gateway = gateway(None).await;
    let watch = Watch::of(gateway.liveness().with_journal(Arc::new(Hanging::ended())));
    watch.finds(Some("the store's writer has ended")).await;
    assert_eq!(watch.hears().await, 0);
    drop(watch);
    gateway.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_because_the_server_stops_does_not_stand_still() {
    let gateway = gateway(None).await;
    let liveness = gateway.liveness().with_journal(Arc::new(Hanging::ended()));
    let watch = Watch::over(liveness, true);
    watch.finds(Some("the store's writer has ended")).await;
    watch.goes_on().await;
    drop(watch);
    gateway.drain().await;
}
