//! How the platform reaches a shard: a command queue with a waker, and the last published counters.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use narrowgate_engine::{event::ShardCommand, shard::stats::Stats};

use crate::clock;

/// Batches of commands that wait for the driver. It takes all of them in each of its turns, whatever becomes
/// of its events: so a full queue empties without anybody's help.
pub(crate) const INPUTS_MAX: usize = 256;

/// What the driver's thread takes from other threads.
pub(crate) enum Input {
    /// For the shard, in order.
    Commands(Vec<ShardCommand>),
    /// Stop reading from the socket; call back when all events of what was read are delivered.
    Quiesce(Box<dyn FnOnce() + Send>),
    /// Move the test clock and call back, once everything received before is handled and answered.
    #[cfg(feature = "test-hooks")]
    Advance { by: std::time::Duration, done: Box<dyn FnOnce() + Send> },
    /// End the thread when a drain is over and what is queued is sent.
    Stop,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Commands(_) => "Commands",
            Self::Quiesce(_) => "Quiesce",
            #[cfg(feature = "test-hooks")]
            Self::Advance { .. } => "Advance",
            Self::Stop => "Stop",
        })
    }
}

/// What the handle and the driver share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) waker: mio::Waker,
    /// Whether the driver sleeps or is about to: only then must it be woken.
    pub(crate) sleeping: AtomicBool,
    /// Inputs queued and not yet taken.
    pub(crate) queued: AtomicUsize,
    pub(crate) stats: Mutex<Stats>,
    /// When the driver last published its counters, which it does about every second.
    pub(crate) published: Mutex<Instant>,
}

/// A shard, as seen from other threads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ShardHandle {
    pub(crate) shard: u16,
    pub(crate) inputs: mpsc::SyncSender<Input>,
    pub(crate) shared: Arc<Shared>,
}

impl ShardHandle {
    /// Queues all of `commands`, which are taken in order, and leaves the vector empty; or leaves it as it is
    /// where the queue is full. Commands to a shard that has stopped are dropped. Never waits.
    pub fn send(&self, commands: &mut Vec<ShardCommand>) {
        if commands.is_empty() {
            return;
        }
        self.shared.queued.fetch_add(1, Ordering::SeqCst);
        match self.inputs.try_send(Input::Commands(std::mem::take(commands))) {
            Ok(()) => self.wake(),
            Err(mpsc::TrySendError::Full(input)) => {
                self.shared.queued.fetch_sub(1, Ordering::SeqCst);
                if let Input::Commands(kept) = input {
                    *commands = kept;
                }
            }
            Err(mpsc::TrySendError::Disconnected(_)) => {}
        }
    }

    /// Stops receiving: datagrams that arrive from now on stay in the kernel. `done` is called on the shard's
    /// thread when the events of everything received before have been delivered. Commands are still handled.
    pub fn quiesce(&self, done: impl FnOnce() + Send + 'static) {
        self.input(Input::Quiesce(Box::new(done)));
    }

    /// The counters, at most about a second old.
    pub fn stats(&self) -> Stats {
        self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of the shard.
    pub fn number(&self) -> u16 {
        self.shard
    }

    /// How long ago the shard's thread last published its counters: about a second while it runs, and more
    /// and more once it stands still or has ended.
    pub fn silence(&self) -> Duration {
        let published = *self.shared.published.lock().unwrap_or_else(PoisonError::into_inner);
        clock::now().saturating_duration_since(published)
    }

    /// Queues something else than commands; waits for a turn of the driver where the queue is full.
    pub(crate) fn input(&self, input: Input) {
        self.shared.queued.fetch_add(1, Ordering::SeqCst);
        if self.inputs.send(input).is_ok() {
            self.wake();
        }
    }

    fn wake(&self) {
        if self.shared.sleeping.swap(false, Ordering::SeqCst)
            && let Err(error) = self.shared.waker.wake()
        {
            tracing::error!(shard = self.shard, %error, "cannot wake the shard");
        }
    }
}
