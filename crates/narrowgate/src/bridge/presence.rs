//! The lifetime clocks of all devices, and the writes that tell the store of their changes.
//!
//! The tracker is behind a lock, and what it decides is handed to ingest before the lock is released: so the store
//! sees logins and changes of presence in the order in which they were decided. Limit: silence is noticed within
//! [`TICK`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::device::DeviceState,
    ports::{Clock, OnlineDevice, StoreError, Write, Written},
    rules::presence::{Tracker, Transition},
};

use super::feed::{Feed, FeedEvent};
use super::ingest::{After, Gathered, Ingest};

/// How often the clocks are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often `lastSeenTime` is written for devices that were heard without reporting, and changes are written again
/// that the store refused.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// A device that was heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// Who.
    pub(super) device: DeviceId,
    /// Whether a report is stored with it, which moves `lastSeenTime` by itself.
    pub(super) reported: bool,
}

/// See the module.
pub(super) struct Presence {
    state: Mutex<State>,
    ingest: Ingest,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

struct State {
    tracker: Tracker,
    /// Heard without a report since the last writing.
    seen: HashMap<DeviceId, UnixMillis>,
    /// Changes that the store could not write, by device: they are tried again until a newer one takes their place.
    unwritten: BTreeMap<DeviceId, Change>,
    /// Counts the changes, so that a late failure does not bring back an old one.
    changes: u64,
    /// The number of the newest change of each device whose write is under way.
    newest: HashMap<DeviceId, u64>,
}

#[derive(Debug, Clone)]
struct Change {
    device: DeviceId,
    state: DeviceState,
    at: UnixMillis,
    cause: String,
}

impl Presence {
    /// Takes up the devices that were online (they get a full lifetime from now on) and starts the clocks.
    pub(super) fn start(
        online: Vec<OnlineDevice>,
        ingest: Ingest,
        clock: Arc<dyn Clock>,
        feed: Feed,
    ) -> Arc<Self> {
        let now = super::monotonic();
        let mut tracker = Tracker::new(now);
        for OnlineDevice { device, lifetime_s, .. } in online {
            tracker.restore(device, lifetime_s, now);
        }
        let state = State {
            tracker,
            seen: HashMap::new(),
            unwritten: BTreeMap::new(),
            changes: 0,
            newest: HashMap::new(),
        };
        let presence = Arc::new(Self { state: Mutex::new(state), ingest, clock, feed });
        tokio::spawn(run(Arc::clone(&presence)));
        presence
    }

    /// A login: its write goes to the store in its place among the changes of presence.
    pub(super) fn login(self: &Arc<Self>, device: DeviceId, lifetime_s: u32, write: Write, after: After) {
        let mut state = self.lock();
        self.time_passes(&mut state);
        state.tracker.handle_login(device, lifetime_s, super::monotonic());
        state.unwritten.remove(&device);
        state.newest.remove(&device);
        self.ingest.write(write, after);
    }

    /// Something authentic arrived.
    pub(super) fn heard(self: &Arc<Self>, heard: Vec<Heard>) {
        if heard.is_empty() {
            return;
        }
        let (now, wall) = (super::monotonic(), self.clock.now());
        let mut state = self.lock();
        for Heard { device, reported } in heard {
            if let Some(transition) = state.tracker.handle_heard(device, now) {
                self.write(&mut state, transition);
            }
            if !reported {
                state.seen.insert(device, wall);
            }
        }
    }

    /// The device ended its session itself.
    pub(super) fn closed(self: &Arc<Self>, device: DeviceId) {
        let mut state = self.lock();
        if let Some(transition) = state.tracker.handle_closed(device, super::monotonic()) {
            self.write(&mut state, transition);
        }
    }

    /// An operator ended it, or it could not be let in: offline now, and no clock runs on.
    pub(super) fn forget(self: &Arc<Self>, device: DeviceId, cause: &str) {
        let mut state = self.lock();
        state.seen.remove(&device);
        if state.tracker.handle_closed(device, super::monotonic()).is_some() {
            let at = self.clock.now();
            let change = Change { device, state: DeviceState::Offline, at, cause: cause.to_owned() };
            self.hand_over(&mut state, change);
        }
    }

    /// Hands everything to ingest that is still to be written, last-seen times included.
    pub(super) fn flush(self: &Arc<Self>) {
        let mut state = self.lock();
        self.write_remaining(&mut state);
    }

    /// Devices online.
    pub(super) fn online(&self) -> usize {
        self.lock().tracker.online()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time_passes(self: &Arc<Self>, state: &mut State) {
        let mut transitions = Vec::new();
        state.tracker.handle_timeout(super::monotonic(), &mut transitions);
        for transition in transitions {
            self.write(state, transition);
        }
    }

    fn write(self: &Arc<Self>, state: &mut State, transition: Transition) {
        let Transition { device, state: new, cause } = transition;
        let change = Change { device, state: new, at: self.clock.now(), cause: cause.to_string() };
        tracing::debug!(device = device.0, ?new, cause = change.cause, "presence");
        self.hand_over(state, change);
    }

    /// Hands a change to ingest, and tells the listeners when it is committed; where the store refuses it,
    /// it is kept and tried again.
    fn hand_over(self: &Arc<Self>, state: &mut State, change: Change) {
        let Change { device, state: new, at, cause } = change.clone();
        state.changes += 1;
        let number = state.changes;
        state.newest.insert(device, number);
        state.unwritten.remove(&device);
        let this = Arc::clone(self);
        let after = After::Call(Box::new(move |written: Result<&[Written], &StoreError>| {
            if written.is_ok_and(|outcomes| outcomes == [Written::Done]) {
                this.publish(&change);
            }
            let mut state = this.lock();
            if state.newest.get(&device) == Some(&number) {
                state.newest.remove(&device);
                if written.is_err() {
                    state.unwritten.insert(device, change);
                }
            }
        }));
        self.ingest.write(Write::Presence { device, login: None, state: new, at, cause }, after);
    }

    fn write_remaining(self: &Arc<Self>, state: &mut State) {
        let mut gathered = Gathered::default();
        // By device, as the store's pages lie, and so that a run of the simulation can be repeated.
        let mut seen: Vec<_> = state.seen.drain().collect();
        seen.sort_unstable_by_key(|(device, _)| *device);
        for (device, at) in seen {
            gathered.push(Write::Seen { device, login: None, at }, After::Nothing);
        }
        self.ingest.submit(&mut gathered);
        for (_, change) in std::mem::take(&mut state.unwritten) {
            self.hand_over(state, change);
        }
    }

    /// Tells the listeners, who look the device's names up.
    fn publish(&self, change: &Change) {
        if self.feed.has_subscribers() {
            let event = if change.state == DeviceState::Online { "online" } else { "offline" };
            self.feed.publish(FeedEvent {
                device: Some(change.device),
                detail: Some(change.cause.clone()),
                ..FeedEvent::new(change.at, event)
            });
        }
    }
}

async fn run(presence: Arc<Presence>) {
    let mut ticks = tokio::time::interval(TICK);
    let mut written = super::monotonic();
    loop {
        ticks.tick().await;
        let mut state = presence.lock();
        presence.time_passes(&mut state);
        if super::monotonic() - written >= WRITE_INTERVAL {
            written = super::monotonic();
            presence.write_remaining(&mut state);
        }
    }
}
