//! The lifetime clocks of all devices: one task owns the tracker, gives it real time, and has the changes written.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::device::DeviceState,
    ports::{Clock, OnlineDevice, Store, Write},
    rules::presence::{Tracker, Transition},
};
use tokio::sync::{mpsc, oneshot};

use super::ingest::{After, Gathered, Ingest};
use crate::feed::{Feed, FeedEvent};

/// How often `lastSeenTime` is written for devices that were heard without reporting.
const SEEN_INTERVAL: Duration = Duration::from_secs(10);

enum Input {
    Login { device: DeviceId, lifetime_s: u32 },
    Heard(Vec<Heard>),
    Closed(DeviceId),
    Forget { device: DeviceId, cause: String },
    Flush(oneshot::Sender<()>),
}

/// A device that was heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// Who.
    pub(super) device: DeviceId,
    /// Whether a report is stored with it, which moves `lastSeenTime` by itself.
    pub(super) reported: bool,
}

/// The sending side.
#[derive(Debug)]
pub(super) struct Presence {
    sender: mpsc::UnboundedSender<Input>,
    online: Arc<AtomicUsize>,
}

impl Presence {
    /// Starts the task; devices that were online get a full lifetime from now on.
    pub(super) fn start(
        online: Vec<OnlineDevice>,
        ingest: Ingest,
        clock: Arc<dyn Clock>,
        feed: Feed,
        store: Arc<dyn Store>,
    ) -> Self {
        let now = Instant::now();
        let mut tracker = Tracker::new(now);
        for OnlineDevice { device, lifetime_s } in online {
            tracker.restore(device, lifetime_s, now);
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let count = Arc::new(AtomicUsize::new(tracker.online()));
        let task =
            Task { tracker, ingest, clock, feed, store, seen: HashMap::new(), online: Arc::clone(&count) };
        tokio::spawn(task.run(receiver));
        Self { sender, online: count }
    }

    pub(super) fn login(&self, device: DeviceId, lifetime_s: u32) {
        self.send(Input::Login { device, lifetime_s });
    }

    pub(super) fn heard(&self, heard: Vec<Heard>) {
        if !heard.is_empty() {
            self.send(Input::Heard(heard));
        }
    }

    /// The device ended its session itself.
    pub(super) fn closed(&self, device: DeviceId) {
        self.send(Input::Closed(device));
    }

    /// An operator ended it: offline now, and no clock runs on.
    pub(super) fn forget(&self, device: DeviceId, cause: &str) {
        self.send(Input::Forget { device, cause: cause.to_owned() });
    }

    /// Returns when everything said before has been handed to ingest, last-seen times included.
    pub(super) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        self.send(Input::Flush(done));
        // The task ends only with the process.
        let _ = wait.await;
    }

    /// Devices online.
    pub(super) fn online(&self) -> usize {
        self.online.load(Ordering::Relaxed)
    }

    fn send(&self, input: Input) {
        // The task ends only with the process.
        let _ = self.sender.send(input);
    }
}

struct Task {
    tracker: Tracker,
    ingest: Ingest,
    clock: Arc<dyn Clock>,
    feed: Feed,
    store: Arc<dyn Store>,
    /// Heard without a report since the last writing.
    seen: HashMap<DeviceId, UnixMillis>,
    online: Arc<AtomicUsize>,
}

impl Task {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Input>) {
        let mut seen_interval = tokio::time::interval(SEEN_INTERVAL);
        let mut transitions = Vec::new();
        loop {
            let next = self.tracker.poll_timeout().map(tokio::time::Instant::from_std);
            let timer = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                input = receiver.recv() => {
                    let Some(input) = input else { return };
                    // Silence is noticed before the word that ends it.
                    self.tracker.handle_timeout(Instant::now(), &mut transitions);
                    self.take(input, &mut transitions);
                    // Many inputs wait together under load: one turn for all of them.
                    while let Ok(input) = receiver.try_recv() {
                        self.take(input, &mut transitions);
                    }
                }
                () = timer => self.tracker.handle_timeout(Instant::now(), &mut transitions),
                _ = seen_interval.tick() => self.write_seen(),
            }
            for transition in transitions.drain(..) {
                self.write(transition);
            }
            self.online.store(self.tracker.online(), Ordering::Relaxed);
        }
    }

    fn take(&mut self, input: Input, transitions: &mut Vec<Transition>) {
        let now = Instant::now();
        match input {
            Input::Login { device, lifetime_s } => self.tracker.handle_login(device, lifetime_s, now),
            Input::Heard(heard) => {
                let wall = self.clock.now();
                for Heard { device, reported } in heard {
                    transitions.extend(self.tracker.handle_heard(device, now));
                    if !reported {
                        self.seen.insert(device, wall);
                    }
                }
            }
            Input::Closed(device) => transitions.extend(self.tracker.handle_closed(device, now)),
            Input::Forget { device, cause } => {
                let was_online = self.tracker.handle_closed(device, now).is_some();
                self.seen.remove(&device);
                if was_online {
                    let at = self.clock.now();
                    self.ingest.write(
                        Write::Presence { device, state: DeviceState::Offline, at, cause },
                        After::Nothing,
                    );
                }
            }
            Input::Flush(done) => {
                for transition in transitions.drain(..) {
                    self.write(transition);
                }
                self.write_seen();
                // Whoever waited may have gone.
                let _ = done.send(());
            }
        }
    }

    fn write(&self, transition: Transition) {
        let Transition { device, state, cause } = transition;
        let (at, cause) = (self.clock.now(), cause.to_string());
        tracing::debug!(device = device.0, ?state, cause, "presence");
        self.publish(device, state, at, cause.clone());
        self.ingest.write(Write::Presence { device, state, at, cause }, After::Nothing);
    }

    fn write_seen(&mut self) {
        let mut gathered = Gathered::default();
        for (device, at) in self.seen.drain() {
            gathered.push(Write::Seen { device, at }, After::Nothing);
        }
        self.ingest.submit(&mut gathered);
    }

    /// Tells the listeners; the device's names are read only when somebody listens.
    fn publish(&self, device: DeviceId, state: DeviceState, at: UnixMillis, cause: String) {
        if !self.feed.has_subscribers() {
            return;
        }
        let (store, feed) = (Arc::clone(&self.store), self.feed.clone());
        tokio::spawn(async move {
            let Ok(Some(device)) = store.device_by_id(device).await else { return };
            let event = if state == DeviceState::Online { "online" } else { "offline" };
            feed.publish(FeedEvent {
                product_key: Some(device.product_key),
                device_key: Some(device.device_key),
                detail: Some(cause),
                ..FeedEvent::new(at, event)
            });
        });
    }
}
