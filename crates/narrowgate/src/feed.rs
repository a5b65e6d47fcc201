//! What happens to devices, as it happens: for `listen`, and for `demo`, which waits for the first report.
//!
//! The gateway publishes what is committed, with the times of the device's log; any number of listeners may
//! follow. What is written in batches is published in commit order, each event with its place in it, before
//! its device is answered; what the store could not write has no place, nor has what an operator did (a
//! command that was sent or taken back, a rollout). A listener that is slower than the fleet misses events
//! and gets their number; publishing never waits. Limit: [`EVENTS_KEPT`].

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use narrowgate_api::happening::Happening;
use narrowgate_platform::{
    ids::{DeviceId, DeviceName, Position},
    rules::rate::Seldom,
    service::Operator,
};
use tokio::sync::broadcast;

/// Events kept for the slowest listener; older ones are missed and counted. Each takes the memory of a
/// pointer.
pub(crate) const EVENTS_KEPT: usize = 4096;

/// While the store cannot say whose events these are, a line of the log comes this often.
const ERRORS_EVERY: Duration = Duration::from_secs(1);

/// Its place in the order of commits if it was committed, what happened, and the device if its keys are still
/// to be looked up.
type Published = (Option<Position>, Arc<Happening>, Option<DeviceId>);

/// The sending side; clones publish to the same listeners.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    events: broadcast::Sender<Published>,
    errors: Errors,
}

/// Of events whose device the store cannot say: one line for all followers.
type Errors = Arc<Mutex<Seldom>>;

impl Feed {
    /// A feed without followers.
    pub(crate) fn new() -> Self {
        let errors = Arc::new(Mutex::new(Seldom::new(ERRORS_EVERY)));
        Self { events: broadcast::Sender::new(EVENTS_KEPT), errors }
    }

    /// Whether there are followers; without them the caller need not make the event.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Sends `happening` to all followers, with the device whose keys they have to look up; without followers
    /// it is dropped. Never waits.
    pub(crate) fn publish(&self, position: Option<Position>, happening: Happening, device: Option<DeviceId>) {
        if self.has_subscribers() {
            // Ignored: the last follower may have left meanwhile.
            let _ = self.events.send((position, Arc::new(happening), device));
        }
    }

    /// Follows from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription { events: self.events.subscribe(), errors: Arc::clone(&self.errors) }
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}

/// The receiving side.
#[derive(Debug)]
pub(crate) struct Subscription {
    events: broadcast::Receiver<Published>,
    errors: Errors,
}

/// What a listener gets next.
#[derive(Debug, Clone)]
pub(crate) enum Next {
    /// An event.
    Event(Option<Position>, Arc<Happening>),
    /// The listener was too slow and missed this many events.
    Missed(u64),
    /// There will be no more.
    Ended,
}

impl Subscription {
    /// Waits for the next event, with the keys of its device. The listener looks them up, so that listeners
    /// cost the gateway nothing and do not change the order. Events of devices deleted since are left out; if
    /// the store cannot find the keys, the event comes without them.
    pub(crate) async fn next_named(&mut self, operator: &Operator) -> Next {
        loop {
            let (position, event, device) = match self.events.recv().await {
                Ok(published) => published,
                Err(broadcast::error::RecvError::Lagged(count)) => return Next::Missed(count),
                Err(broadcast::error::RecvError::Closed) => return Next::Ended,
            };
            let Some(device) = device else { return Next::Event(position, event) };
            let name = operator.device_name(device).await;
            if let Err(error) = &name {
                self.note_unnamed(error, &event);
            }
            if let Some(event) = named(event, name) {
                return Next::Event(position, event);
            }
        }
    }

    /// One line in [`ERRORS_EVERY`], however many events and followers there are.
    fn note_unnamed(&self, error: &impl fmt::Display, event: &Happening) {
        if let Some(left_out) = permit(&self.errors, Instant::now()) {
            let event = event.name();
            tracing::warn!(%error, event, left_out, "the store cannot say whose event this is");
        }
    }
}

/// How many lines were left out since the last one, where another may be written now.
fn permit(errors: &Errors, now: Instant) -> Option<u64> {
    errors.lock().unwrap_or_else(PoisonError::into_inner).permit(now)
}

/// The event with the keys that were looked up; `None` if the device was deleted.
fn named(
    event: Arc<Happening>,
    name: Result<Option<DeviceName>, impl fmt::Display>,
) -> Option<Arc<Happening>> {
    match name {
        Ok(Some(name)) => Some(Arc::new(Happening::clone(&event).with_device(name))),
        Ok(None) => None,
        Err(_) => Some(event),
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::happening::{Presence, Report};
    use narrowgate_platform::{ids::UnixMillis, memory::MemoryStore, ports::NobodyConnected};
    use serde_json::value::RawValue;

    use super::*;
    use crate::system::{SystemClock, SystemEntropy};

    fn offline(time: i64) -> Happening {
        Happening::Offline(Presence { time: UnixMillis(time), device: None, detail: None })
    }

    fn operator() -> Operator {
        let (store, clock, entropy) =
            (Arc::new(MemoryStore::default()), Arc::new(SystemClock), Arc::new(SystemEntropy));
        Operator::new(store, clock, entropy, Arc::new(NobodyConnected))
    }

    #[test]
    fn an_event_whose_keys_cannot_be_read_comes_without_and_that_of_a_deleted_device_does_not_come() {
        let event = Arc::new(offline(1));
        let name = DeviceName { product_key: "p".into(), device_key: "d".into() };
        let found = named(Arc::clone(&event), Ok::<_, &str>(Some(name.clone()))).expect("it comes");
        assert_eq!(found.device(), Some(&name));
        let unread = named(Arc::clone(&event), Err("a bad page")).expect("it comes");
        assert_eq!((unread.name(), unread.device()), ("offline", None));
        assert!(named(event, Ok::<_, &str>(None)).is_none());
    }

    #[test]
    fn all_followers_together_write_a_line_a_second_of_what_they_cannot_name() {
        let (feed, start) = (Feed::new(), Instant::now());
        let followers = [feed.subscribe(), feed.subscribe()];
        let lines = |ms: u64| {
            let now = start + Duration::from_millis(ms);
            followers.iter().filter_map(|follower| permit(&follower.errors, now)).collect::<Vec<_>>()
        };
        assert_eq!(lines(0), [0]);
        assert!((1..1000).all(|ms| lines(ms).is_empty()));
        assert_eq!(lines(1000), [1999], "the number of those that were left out");
    }

    #[tokio::test]
    async fn a_follower_gets_what_is_published_after_it_came() {
        let (feed, operator) = (Feed::new(), operator());
        feed.publish(None, offline(1), None);
        assert!(!feed.has_subscribers());
        let mut follower = feed.subscribe();
        assert!(feed.has_subscribers());
        feed.publish(None, offline(2), None);
        let next = follower.next_named(&operator).await;
        assert!(matches!(next, Next::Event(_, event)
            if matches!(&*event, Happening::Offline(told) if told.time == UnixMillis(2))));
        drop(feed);
        assert!(matches!(follower.next_named(&operator).await, Next::Ended));
    }

    #[tokio::test]
    async fn a_slow_follower_is_told_how_much_it_missed() {
        let (feed, operator) = (Feed::new(), operator());
        let mut follower = feed.subscribe();
        for time in 0..EVENTS_KEPT as i64 + 5 {
            feed.publish(None, offline(time), None);
        }
        assert!(matches!(follower.next_named(&operator).await, Next::Missed(5)));
        assert!(matches!(follower.next_named(&operator).await, Next::Event(_, event)
            if matches!(&*event, Happening::Offline(told) if told.time == UnixMillis(5))));
    }

    #[test]
    fn an_event_is_camel_case_json_without_nulls() {
        let event = Happening::Report(Report {
            time: UnixMillis(7),
            received_at: Some(UnixMillis(9)),
            device: Some(DeviceName { product_key: "p".into(), device_key: "d".into() }),
            points: Some(RawValue::from_string("{\"temp\":21.5}".into()).unwrap()),
        });
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            concat!(
                r#"{"time":7,"receivedAt":9,"event":"report","productKey":"p","deviceKey":"d","#,
                r#""points":{"temp":21.5}}"#
            )
        );
    }
}
