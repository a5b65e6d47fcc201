//! A shard without a thread, for a caller that owns the shard and calls it itself, as a simulation does.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::Instant,
};

use narrowgate_engine::shard::Shard;

use crate::handle::{INPUTS_MAX, Input, ShardHandle, Shared};

impl ShardHandle {
    /// A handle of a shard that no thread drives, and the queue behind it.
    ///
    /// # Errors
    /// Those of the operating system: no more file descriptors.
    pub fn undriven(shard: u16) -> io::Result<(Self, ShardInputs)> {
        let poll = mio::Poll::new()?;
        let (sender, receiver) = mpsc::sync_channel(INPUTS_MAX);
        let shared = Arc::new(Shared {
            waker: mio::Waker::new(poll.registry(), mio::Token(0))?,
            sleeping: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            stats: Mutex::default(),
        });
        let handle = Self { shard, inputs: sender, shared: Arc::clone(&shared) };
        Ok((handle, ShardInputs { receiver, shared, _poll: poll }))
    }
}

/// The inputs that were queued by a [`ShardHandle::undriven`].
#[derive(Debug)]
pub struct ShardInputs {
    receiver: mpsc::Receiver<Input>,
    shared: Arc<Shared>,
    /// Keeps the waker alive, although nobody waits for it.
    _poll: mio::Poll,
}

impl ShardInputs {
    /// Handles everything that is queued. Returns whether the shard has to stop.
    pub fn apply(&mut self, now: Instant, shard: &mut Shard) -> bool {
        while let Ok(input) = self.receiver.try_recv() {
            self.shared.queued.fetch_sub(1, Ordering::SeqCst);
            match input {
                Input::Commands(commands) => {
                    commands.into_iter().for_each(|command| shard.handle_command(now, command));
                }
                Input::Quiesce(done) => done(),
                #[cfg(feature = "test-hooks")]
                Input::Advance { done, .. } => done(),
                Input::Stop => return true,
            }
        }
        false
    }

    /// Publishes the shard's counters, as [`ShardHandle::stats`] gives them.
    pub fn publish(&self, shard: &mut Shard) {
        *self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner) = shard.stats().clone();
    }
}
