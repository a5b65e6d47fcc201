//! What happens to devices, as it happens: for `listen`, and for `demo`, which waits for the first report.
//!
//! The bridge publishes what is committed, with the times that the device's log has; any number of listeners
//! follow. What goes through `ingest` comes in the order of the commits. A secret that was issued, and the
//! refusal to issue one, are committed beside it: each is published after its commit and before the device is
//! answered, but may change places with what was committed in the same moment, and its time, which is taken
//! before it is committed, may be earlier than that of the event before it. A listener that is slower than the
//! fleet misses events and is told how many; publishing never waits. Limit: [`EVENTS_KEPT`].

use std::sync::Arc;

use narrowgate_platform::{
    ids::{DeviceId, DeviceName, UnixMillis},
    model::log::Reason,
    service::Operator,
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast;

/// Events kept for the slowest listener; what is older is missed and counted. Memory is a pointer each.
pub const EVENTS_KEPT: usize = 4096;

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedEvent {
    /// When: as in the device's log; for `report` the device's own time.
    pub time: UnixMillis,
    /// When a report arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<UnixMillis>,
    /// What: `activated`, `login`, `online`, `offline`, `refused`, `report`, `secret_issued` and the like.
    pub event: &'static str,
    /// Whose, where the keys are still to be looked up: see [`Subscription::next_named`].
    #[serde(skip)]
    pub device: Option<DeviceId>,
    /// Product, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_key: Option<String>,
    /// Device, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_key: Option<String>,
    /// The identity as the peer gave it, for refusals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Why, for refusals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The protocol's number for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The peer's address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Words for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The reported points, for `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<Box<RawValue>>,
}

impl FeedEvent {
    /// `event` at `time`, with nothing else known.
    pub fn new(time: UnixMillis, event: &'static str) -> Self {
        Self {
            time,
            received_at: None,
            event,
            device: None,
            product_key: None,
            device_key: None,
            identity: None,
            reason: None,
            code: None,
            peer: None,
            detail: None,
            points: None,
        }
    }
}

/// The sending side; clones publish to the same listeners.
#[derive(Debug, Clone)]
pub struct Feed(broadcast::Sender<Arc<FeedEvent>>);

impl Feed {
    /// A feed that nobody follows yet.
    pub fn new() -> Self {
        Self(broadcast::Sender::new(EVENTS_KEPT))
    }

    /// Whether anybody follows: lets the caller skip making an event that nobody would see.
    pub fn has_subscribers(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Shows `event` to everybody who follows; without followers it is dropped. Never waits.
    pub fn publish(&self, event: FeedEvent) {
        if self.has_subscribers() {
            // The last follower may have gone meanwhile: then nobody misses it.
            let _ = self.0.send(Arc::new(event));
        }
    }

    /// Follows from now on.
    pub fn subscribe(&self) -> Subscription {
        Subscription(self.0.subscribe())
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}

/// The receiving side.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Arc<FeedEvent>>);

/// What a listener gets next.
#[derive(Debug, Clone)]
pub enum Next {
    /// An event.
    Event(Arc<FeedEvent>),
    /// So many events were missed: the listener was too slow.
    Missed(u64),
    /// There will be no more.
    Ended,
}

impl Subscription {
    /// Waits for the next event.
    pub async fn next(&mut self) -> Next {
        match self.0.recv().await {
            Ok(event) => Next::Event(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Next::Missed(count),
            Err(broadcast::error::RecvError::Closed) => Next::Ended,
        }
    }

    /// Waits for the next event, with the keys of its device. The listener looks them up, so that no
    /// listener costs the bridge more than another, and none changes the order. Events of devices that were
    /// deleted since are left out; where the store cannot say whose it is, the event comes without keys.
    pub async fn next_named(&mut self, registry: &Operator) -> Next {
        loop {
            let event = match self.next().await {
                Next::Event(event) => event,
                other => return other,
            };
            let Some(device) = event.device else { return Next::Event(event) };
            if let Some(event) = named(event, registry.device_name(device).await) {
                return Next::Event(event);
            }
        }
    }
}

/// The event with the keys that were looked up; `None` where the device is gone.
fn named(
    event: Arc<FeedEvent>,
    name: Result<Option<DeviceName>, impl std::fmt::Display>,
) -> Option<Arc<FeedEvent>> {
    match name {
        Ok(Some(name)) => {
            let mut named = FeedEvent::clone(&event);
            named.product_key = Some(name.product_key);
            named.device_key = Some(name.device_key);
            Some(Arc::new(named))
        }
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(%error, event = event.event, "the store cannot tell whose event this is");
            Some(event)
        }
    }
}
