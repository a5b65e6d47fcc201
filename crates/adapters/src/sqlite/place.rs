//! The order of all events: places are assigned in the order in which the writer applies what it commits.
//! Those of a commit that failed are not assigned again.

use std::sync::atomic::{AtomicU64, Ordering};

use narrowgate_platform::ids::Position;

/// The next place. Only the writer's thread takes places, so two loads cannot interleave.
#[derive(Debug)]
pub(super) struct Places {
    epoch: AtomicU64,
    next: AtomicU64,
    /// The last one of a commit that is complete.
    settled: AtomicU64,
}

impl Places {
    /// Before the store's epoch is known; nothing happens until then.
    pub(super) fn new() -> Self {
        Self { epoch: AtomicU64::new(0), next: AtomicU64::new(1), settled: AtomicU64::new(0) }
    }

    /// Begins an epoch.
    pub(super) fn begin(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// The epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// What [`Self::take`] returns next.
    pub(super) fn upcoming(&self) -> Position {
        Position { epoch: self.epoch(), sequence: self.next.load(Ordering::Relaxed) }
    }

    /// The next place.
    pub(super) fn take(&self) -> Position {
        Position { epoch: self.epoch(), sequence: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// All that has a place by now is committed, or never will be.
    pub(super) fn settle(&self) {
        // What is read behind it sees the commit.
        self.settled.store(self.next.load(Ordering::Relaxed) - 1, Ordering::Release);
    }

    /// Everything up to here is committed in all files.
    pub(super) fn settled(&self) -> Position {
        Position { epoch: self.epoch(), sequence: self.settled.load(Ordering::Acquire) }
    }
}
