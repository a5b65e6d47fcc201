//! How a shard's events reach the task: as batches in a bounded queue.

use narrowgate_engine::event::ShardEvent;
use narrowgate_engine_io::driver::EventSink;
use tokio::sync::mpsc;

/// Batches of events that wait for the task. A busy shard hands over some hundred events at a time.
pub(super) const BATCHES_MAX: usize = 64;

/// What a shard hands over at once.
pub(super) type Events = Vec<ShardEvent>;

/// The sending end, which the shard's thread has.
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

#[cfg(test)]
mod tests {
    use narrowgate_engine::event::SessionId;

    use super::*;

    #[test]
    fn what_finds_no_room_stays_with_the_shard_and_goes_when_there_is_some() {
        let heard = |slot| ShardEvent::Heard { session: SessionId { shard: 0, slot, generation: 1 } };
        let (mut sink, mut receiver) = Sink::new();
        for slot in 0..BATCHES_MAX as u32 {
            let mut events = vec![heard(slot)];
            sink.deliver(&mut events);
            assert!(events.is_empty());
        }
        let mut kept = vec![heard(1000), heard(1001)];
        sink.deliver(&mut kept);
        assert_eq!(kept.len(), 2, "there is no room");
        receiver.try_recv().expect("the oldest batch");
        sink.deliver(&mut kept);
        assert!(kept.is_empty());
        // While the process ends nobody takes them.
        drop(receiver);
        kept.push(heard(1002));
        sink.deliver(&mut kept);
        assert!(kept.is_empty());
    }
}
