//! Whether the parts of the running gateway still turn: the threads of the shards and of the task, and the
//! store.

use std::{
    fmt,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use narrowgate_engine_io::handle::ShardHandle;
use narrowgate_platform::ports::Journal;

use super::{changes::Changes, metrics::Published};

/// A part that has not turned for this long stands still. Parts turn about every second when nothing happens.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// A batch that is not durable after this long: its reports wait, and all that came after it. A healthy disk
/// takes milliseconds.
const BATCH_TIME_MAX: Duration = Duration::from_secs(10);

/// A part that stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// The thread of a shard, for so long; or it has ended.
    Shard(u16, Duration),
    /// The task that decides, for so long.
    Task(Duration),
    /// The task that decides has ended.
    TaskEnded,
    /// The store, with one batch for so long.
    Store(Duration),
    /// The store's thread that writes has ended.
    StoreEnded,
}

impl Stuck {
    /// Whether a new process is better than this one. A store that is slow is not made faster by it.
    pub(crate) fn is_mended_by_a_restart(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(number, time) => {
                write!(f, "shard {number} has not run for {} s", time.as_secs())
            }
            Self::Task(time) => write!(f, "the gateway's task has not run for {} s", time.as_secs()),
            Self::TaskEnded => f.write_str("the gateway's task has ended"),
            Self::Store(time) => write!(f, "the store has not answered for {} s", time.as_secs()),
            Self::StoreEnded => f.write_str("the store's writer has ended"),
        }
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Liveness {
    pub(super) shards: Vec<ShardHandle>,
    pub(super) published: Arc<Published>,
    pub(super) changes: Arc<Changes>,
    pub(super) task: Arc<JoinHandle<()>>,
    pub(super) journal: Arc<dyn Journal>,
    /// [`SILENCE_MAX`] and [`BATCH_TIME_MAX`], but in tests.
    pub(super) limits: (Duration, Duration),
}

/// How long a part may be silent, and a batch under way.
pub(super) const LIMITS: (Duration, Duration) = (SILENCE_MAX, BATCH_TIME_MAX);

impl Liveness {
    /// Lets the task turn, so that its silence means something. To be called every second.
    pub(crate) fn nudge(&self) {
        self.changes.nudge();
    }

    /// Whether the store can store nothing until somebody does something about it.
    pub(crate) fn has_trouble(&self) -> bool {
        self.journal.trouble().is_some()
    }

    /// The parts that stand still now.
    pub(crate) fn stuck(&self) -> Vec<Stuck> {
        let (silence_max, batch_time_max) = self.limits;
        let shards = self.shards.iter().map(|shard| (shard.number(), shard.silence()));
        let mut stuck: Vec<_> = shards
            .filter(|(_, silence)| *silence > silence_max)
            .map(|(number, silence)| Stuck::Shard(number, silence))
            .collect();
        let (turned, batch_since) = self.published.turns();
        if self.task.is_finished() {
            stuck.push(Stuck::TaskEnded);
        } else if let Some(silence) = longer_than(silence_max, turned) {
            stuck.push(Stuck::Task(silence));
        }
        if !self.journal.is_running() {
            stuck.push(Stuck::StoreEnded);
        } else if let Some(time) = longer_than(batch_time_max, batch_since) {
            stuck.push(Stuck::Store(time));
        }
        stuck
    }
}

fn longer_than(max: Duration, since: Option<Instant>) -> Option<Duration> {
    since.map(|since| since.elapsed()).filter(|time| *time > max)
}

#[cfg(test)]
pub(crate) mod tests;
