//! The time of rollouts: every few seconds, what is due of upgrades is done; and how far they are is told to
//! listeners, to the log where one pauses by itself, and to the metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use narrowgate_api::{
    firmware::{ImageFile, ImageView, PausedBy, RolloutView},
    happening::{Happening, RolloutMoved},
    problem::Problem,
};
use narrowgate_gateway::Followers;
use narrowgate_platform::{ports::Clock as _, service::Operator};
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{feed::Feed, system::SystemClock};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Looks after which is told how far rollouts are, where nobody listens: that counts the upgrades of each.
const LOOKS_PER_TELLING: u32 = 5;
/// Steps of one look: after them devices get their turn, however many upgrades are due.
const STEPS_MAX: usize = 5;

/// Rollouts that go on, that an operator has paused, and that have paused by themselves; at the last telling.
static ROLLOUTS: [AtomicU64; 3] = [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];

/// How many rollouts there are, by the words of the metric's label.
pub(super) fn counted() -> [(&'static str, u64); 3] {
    let [running, by_operator, by_failures] = ROLLOUTS.each_ref().map(|count| count.load(Ordering::Relaxed));
    [("running", running), ("paused_by_operator", by_operator), ("paused_by_failures", by_failures)]
}

/// Begins; until the task is aborted.
pub(super) fn begin(operator: Operator, feed: Feed) -> AbortHandle {
    tokio::spawn(Rollouts { operator, feed, known: None, lacking: BTreeSet::new() }.run()).abort_handle()
}

struct Rollouts {
    operator: Operator,
    feed: Feed,
    /// What was told last; `None` before the first telling, which says nothing new.
    known: Option<BTreeMap<String, RolloutMoved>>,
    /// Images without a whole file that were told.
    lacking: BTreeSet<String>,
}

impl Rollouts {
    async fn run(mut self) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut looks, mut has_failed) = (0_u32, false);
        loop {
            look.tick().await;
            let mut looked = self.advance().await;
            let is_time = looks.is_multiple_of(LOOKS_PER_TELLING) || self.feed.wanted() != Followers::None;
            if looked.is_ok() && is_time {
                looked = self.tell().await;
            }
            looks = looks.wrapping_add(1);
            match looked {
                Ok(()) => has_failed = false,
                // One line, however long the store cannot work.
                Err(error) if !has_failed => {
                    has_failed = true;
                    tracing::warn!(%error, "firmware is not offered now");
                }
                Err(_) => {}
            }
        }
    }

    async fn advance(&self) -> Result<(), Problem> {
        for _ in 0..STEPS_MAX {
            if !self.operator.advance_upgrades().await?.more {
                break;
            }
        }
        Ok(())
    }

    /// Tells what has changed of rollouts since the last time.
    async fn tell(&mut self) -> Result<(), Problem> {
        let images = self.operator.list_images(None).await?.items;
        self.tell_files(&images);
        let mut now = BTreeMap::new();
        let mut counts = [0; 3];
        for image in images.iter().filter(|image| image.rollout.is_some()) {
            counts[place_of(image)] += 1;
            // It may have been deleted meanwhile.
            let Ok(rollout) = self.operator.show_rollout(&image.image_id).await else { continue };
            now.insert(image.image_id.clone(), moved(rollout));
        }
        for (shown, count) in ROLLOUTS.iter().zip(counts) {
            shown.store(count, Ordering::Relaxed);
        }
        let Some(before) = self.known.replace(now.clone()) else { return Ok(()) };
        for (image, moved) in now {
            let was = before.get(&image);
            let is_the_same =
                was.is_some_and(|was| RolloutMoved { time: moved.time, ..was.clone() } == moved);
            if is_the_same {
                continue;
            }
            let has_paused = moved.paused_by == Some(PausedBy::Failures);
            if has_paused && was.is_none_or(|was| was.paused_by != moved.paused_by) {
                let (failed, done) = (moved.failed, moved.done);
                tracing::warn!(image, failed, done, "a rollout has paused: too many upgrades failed");
            }
            self.feed.publish(None, Happening::Rollout(moved), None);
        }
        Ok(())
    }
}

impl Rollouts {
    /// Says in the log which images no device gets, each once.
    fn tell_files(&mut self, images: &[ImageView]) {
        let lacking = images.iter().filter(|image| image.file != ImageFile::Stored);
        let lacking: BTreeSet<String> = lacking.map(|image| image.image_id.clone()).collect();
        for image in lacking.difference(&self.lacking) {
            tracing::error!(image, "a firmware image has no whole file: upload the same file again");
        }
        self.lacking = lacking;
    }
}

fn place_of(image: &ImageView) -> usize {
    match image.rollout.and_then(|rollout| rollout.paused_by) {
        None => 0,
        Some(PausedBy::Operator) => 1,
        Some(PausedBy::Failures) => 2,
    }
}

fn moved(rollout: RolloutView) -> RolloutMoved {
    RolloutMoved {
        image_id: rollout.image_id,
        version: rollout.version,
        paused_by: rollout.paused_by,
        waiting: rollout.waiting + rollout.offered,
        under_way: rollout.sent
            + rollout.accepted
            + rollout.downloading
            + rollout.verifying
            + rollout.burning,
        done: rollout.done,
        failed: rollout.failed,
        time: SystemClock.now(),
        product_key: rollout.product_key,
    }
}
