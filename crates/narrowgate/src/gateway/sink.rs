//! How a shard's events come to the task: batches in a bounded queue.

use narrowgate_engine::event::ShardEvent;
use narrowgate_engine_io::driver::EventSink;
use tokio::sync::mpsc;

/// Batches of events that wait for the task. A shard hands over some hundred events at a time when it has
/// many.
pub(super) const BATCHES_MAX: usize = 64;

/// What a shard hands over at once.
pub(super) type Events = Vec<ShardEvent>;

/// The end that the shard's thread has.
pub(super) struct Sink(mpsc::Sender<Events>);

impl Sink {
    pub(super) fn new() -> (Self, mpsc::Receiver<Events>) {
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        (Self(sender), receiver)
    }
}

impl EventSink for Sink {
    fn deliver(&mut self, events: &mut Events) {
        match self.0.try_reserve() {
            Ok(place) => place.send(std::mem::take(events)),
            // The shard keeps them.
            Err(mpsc::error::TrySendError::Full(())) => {}
            // The task outlives the shards, except while the process ends.
            Err(mpsc::error::TrySendError::Closed(())) => events.clear(),
        }
    }
}
