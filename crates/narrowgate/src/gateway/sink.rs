//! How a shard's events reach the task: as batches in a bounded queue, and beside it until when everything
//! that arrived is in them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use narrowgate_engine::event::ShardEvent;
use narrowgate_engine_io::driver::EventSink;
use tokio::sync::mpsc;

/// Batches of events that wait for the task. A busy shard hands over some hundred events at a time.
pub(super) const BATCHES_MAX: usize = 64;

/// What a shard hands over at once.
pub(super) type Events = Vec<ShardEvent>;

/// The sending end, which the shard's thread has.
pub(super) struct Sink {
    batches: mpsc::Sender<Events>,
    sent: u64,
    read: Arc<Mutex<Option<Read>>>,
}

/// All that had arrived `until` then is in the first so many `batches`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Read {
    until: Instant,
    batches: u64,
}

/// The receiving end, which the task has.
#[derive(Debug)]
pub(super) struct Source {
    batches: mpsc::Receiver<Events>,
    taken: u64,
    read: Arc<Mutex<Option<Read>>>,
    /// The next one that counts when its batches are taken.
    awaited: Option<Read>,
    until: Option<Instant>,
}

impl Sink {
    pub(super) fn new() -> (Self, Source) {
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        let read = Arc::default();
        (Self { batches: sender, sent: 0, read: Arc::clone(&read) }, Source::new(receiver, read))
    }
}

impl Source {
    fn new(batches: mpsc::Receiver<Events>, read: Arc<Mutex<Option<Read>>>) -> Self {
        Self { batches, taken: 0, read, awaited: None, until: None }
    }

    /// The next batch.
    pub(super) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Events>> {
        let received = self.batches.poll_recv(context);
        if matches!(received, Poll::Ready(Some(_))) {
            self.taken += 1;
        }
        received
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Everything that arrived until then was taken; `None`: that is not known yet.
    pub(super) fn read_until(&mut self) -> Option<Instant> {
        // The newest one may always be a few batches ahead: it is awaited, not replaced.
        for _ in 0..2 {
            let awaited = self.awaited.or_else(|| *self.read.lock().unwrap_or_else(PoisonError::into_inner));
            match awaited {
                Some(read) if self.taken >= read.batches => {
                    (self.until, self.awaited) = (Some(read.until), None);
                }
                awaited => self.awaited = awaited,
            }
        }
        self.until
    }
}

#[cfg(test)]
impl From<mpsc::Receiver<Events>> for Source {
    /// Of a shard that a test plays.
    fn from(batches: mpsc::Receiver<Events>) -> Self {
        Self::new(batches, Arc::default())
    }
}

impl EventSink for Sink {
    fn deliver(&mut self, events: &mut Events) {
        match self.batches.try_reserve() {
            Ok(place) => {
                place.send(std::mem::take(events));
                self.sent += 1;
            }
            // The shard keeps them.
            Err(mpsc::error::TrySendError::Full(())) => {}
            // The task outlives the shards, except while the process ends.
            Err(mpsc::error::TrySendError::Closed(())) => events.clear(),
        }
    }

    fn caught_up(&mut self, now: Instant) {
        let read = Read { until: now, batches: self.sent };
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use narrowgate_engine::event::SessionId;

    use super::*;

    #[test]
    fn what_finds_no_room_stays_with_the_shard_and_goes_when_there_is_some() {
        let heard = |slot| ShardEvent::Heard { session: SessionId { shard: 0, slot, generation: 1 } };
        let (mut sink, Source { batches: mut receiver, .. }) = Sink::new();
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

    #[test]
    fn what_was_read_counts_when_its_events_are_taken() {
        let (mut sink, mut source) = Sink::new();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let heard = || vec![ShardEvent::Heard { session: SessionId { shard: 0, slot: 1, generation: 1 } }];
        let take = |source: &mut Source| {
            let taken = source.poll_recv(&mut Context::from_waker(std::task::Waker::noop()));
            assert!(matches!(taken, Poll::Ready(Some(_))));
        };
        assert_eq!(source.read_until(), None);
        sink.caught_up(at(1));
        assert_eq!(source.read_until(), Some(at(1)), "nothing arrived");
        sink.deliver(&mut heard());
        sink.caught_up(at(2));
        assert_eq!(source.read_until(), Some(at(1)));
        // More comes all the time: what is awaited is not put off.
        sink.deliver(&mut heard());
        sink.caught_up(at(3));
        assert_eq!(source.read_until(), Some(at(1)));
        take(&mut source);
        assert_eq!(source.read_until(), Some(at(2)));
        take(&mut source);
        assert_eq!(source.read_until(), Some(at(3)));
    }
}
