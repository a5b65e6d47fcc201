//! How the platform reaches a shard: a command queue with a waker, and the counters as last published.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc,
};

use crate::{event::ShardCommand, shard::stats::Stats};

/// What the driver's thread takes from other threads.
#[derive(Debug)]
pub(crate) enum Input {
    /// For the shard, in order.
    Commands(Vec<ShardCommand>),
    /// Send what is queued and end the thread.
    Stop,
}

/// What the handle and the driver share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) waker: mio::Waker,
    /// Whether the driver sleeps, or is about to: only then it has to be woken.
    pub(crate) sleeping: AtomicBool,
    /// Inputs queued and not yet taken.
    pub(crate) queued: AtomicUsize,
    pub(crate) stats: Mutex<Stats>,
}

/// A shard, as seen from other threads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ShardHandle {
    pub(crate) shard: u16,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) shared: Arc<Shared>,
}

impl ShardHandle {
    /// The shard's number.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// Queues commands; they are taken in order. Commands to a shard that has stopped are dropped.
    pub fn send(&self, commands: Vec<ShardCommand>) {
        if !commands.is_empty() {
            self.input(Input::Commands(commands));
        }
    }

    /// The counters, at most about a second old.
    pub fn stats(&self) -> Stats {
        self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn input(&self, input: Input) {
        self.shared.queued.fetch_add(1, Ordering::SeqCst);
        if self.inputs.send(input).is_err() {
            return;
        }
        if self.shared.sleeping.swap(false, Ordering::SeqCst)
            && let Err(error) = self.shared.waker.wake()
        {
            tracing::error!(shard = self.shard, %error, "cannot wake the shard");
        }
    }
}
