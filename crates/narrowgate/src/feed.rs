//! What happens to devices, as it happens: for `demo`, which waits for the first report. Who follows over
//! HTTP reads what is stored (module `live`), and gets from here what is not: [`Feed::subscribe_lone`].
//!
//! The gateway publishes what is committed, with the times of the device's log; any number of listeners may
//! follow. What is written in batches is published in commit order, before its device is answered; what the
//! store could not write comes without a place, and so does what an operator did (a command that was sent or
//! taken back, a rollout). A listener that is slower than the fleet misses events
//! and gets their number; publishing never waits. Limits: [`EVENTS_KEPT`] and [`BYTES_KEPT`].

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use narrowgate_api::happening::Happening;
use narrowgate_gateway::Followers;
use narrowgate_platform::{
    ids::{DeviceId, DeviceName, Position},
    rules::rate::Seldom,
    service::Operator,
};
use tokio::{
    runtime::Handle,
    sync::{OnceCell, broadcast},
    task::spawn_blocking,
};

/// Events kept for the slowest listener; older ones are missed and counted.
pub(crate) const EVENTS_KEPT: usize = 4096;
/// Bytes of the reports and events of devices among them; what is older is missed too. One that follows
/// closely misses nothing: an event has a fraction of it.
const BYTES_KEPT: usize = 16 << 20;

/// While the store cannot say whose events these are, a line of the log comes this often.
const ERRORS_EVERY: Duration = Duration::from_secs(1);

/// What is not stored, for the slowest that follows it; older ones are missed.
const LONE_KEPT: usize = 256;

/// What was published.
#[derive(Debug, Clone)]
struct Published {
    /// What happened.
    happening: Arc<Happening>,
    /// The device, if its keys are still to be looked up.
    device: Option<DeviceId>,
    /// The same with the keys, once the first follower has looked them up for all; `None` within: the device
    /// is not there any more.
    named: Arc<OnceCell<Option<Arc<Happening>>>>,
}

/// What was published, until it is given up for its bytes.
type Slot = Arc<Mutex<Option<Published>>>;

/// What was published last, oldest first, with its bytes.
#[derive(Debug, Default)]
struct Kept {
    slots: VecDeque<(Weak<Mutex<Option<Published>>>, usize)>,
    bytes: usize,
}

impl Kept {
    /// Adds the newest and gives up what is too much.
    fn add(&mut self, slot: &Slot, bytes: usize) {
        self.slots.push_back((Arc::downgrade(slot), bytes));
        self.bytes += bytes;
        while self.slots.len() > EVENTS_KEPT || (self.bytes > BYTES_KEPT && self.slots.len() > 1) {
            let Some((oldest, bytes)) = self.slots.pop_front() else { return };
            self.bytes -= bytes;
            // Otherwise all followers have had it.
            if let Some(oldest) = oldest.upgrade() {
                take(&oldest);
            }
        }
    }
}

fn take(slot: &Mutex<Option<Published>>) -> Option<Published> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Whether nothing but this tells of it.
fn is_lone(happening: &Happening) -> bool {
    matches!(happening, Happening::Rollout(_) | Happening::Refused(_) | Happening::Warning(_))
}

/// Of what a device said: all else is short.
fn bytes_of(happening: &Happening) -> usize {
    let said = match happening {
        Happening::Report(report) => &report.points,
        Happening::Event(event) => &event.output,
        _ => return 0,
    };
    said.as_ref().map_or(0, |said| said.get().len())
}

/// The sending side; clones publish to the same listeners.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    events: broadcast::Sender<Slot>,
    /// What is not stored.
    lone: broadcast::Sender<Arc<Happening>>,
    kept: Arc<Mutex<Kept>>,
    errors: Errors,
}

/// Of events whose device the store cannot say: one line for all followers.
type Errors = Arc<Mutex<Seldom>>;

impl Feed {
    /// A feed without followers.
    pub(crate) fn new() -> Self {
        let errors = Arc::new(Mutex::new(Seldom::new(ERRORS_EVERY)));
        let (events, lone) = (broadcast::Sender::new(EVENTS_KEPT), broadcast::Sender::new(LONE_KEPT));
        Self { events, lone, kept: Arc::default(), errors }
    }

    /// What is followed; the caller need not make other events.
    pub(crate) fn wanted(&self) -> Followers {
        match (self.events.receiver_count(), self.lone.receiver_count()) {
            (0, 0) => Followers::None,
            (0, _) => Followers::OfUnstored,
            _ => Followers::OfAll,
        }
    }

    /// How many follow over HTTP.
    pub(crate) fn followers(&self) -> usize {
        self.lone.receiver_count()
    }

    /// Sends `happening` to all followers, with the device whose keys they have to look up; without followers
    /// it is dropped. Never waits.
    pub(crate) fn publish(&self, position: Option<Position>, happening: Happening, device: Option<DeviceId>) {
        if position.is_none() && is_lone(&happening) && self.lone.receiver_count() > 0 {
            // Ignored: the last follower may have left meanwhile.
            let _ = self.lone.send(Arc::new(happening.clone()));
        }
        if self.events.receiver_count() > 0 {
            let bytes = bytes_of(&happening);
            let (happening, named) = (Arc::new(happening), Arc::default());
            let slot = Arc::new(Mutex::new(Some(Published { happening, device, named })));
            // Sent under the lock, so that what is given up is what was sent first.
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.add(&slot, bytes);
            // Ignored: the last follower may have left meanwhile.
            let _ = self.events.send(slot);
        }
    }

    /// Follows what is not stored from now on: rollouts as they stand, and refusals and warnings that could
    /// not be stored. All else without a place is told where it is stored.
    pub(crate) fn subscribe_lone(&self) -> broadcast::Receiver<Arc<Happening>> {
        self.lone.subscribe()
    }

    /// Follows from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        let errors = Arc::clone(&self.errors);
        Subscription { events: self.events.subscribe(), after_missed: None, errors }
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
    events: broadcast::Receiver<Slot>,
    /// What comes behind those that were missed.
    after_missed: Option<Received>,
    errors: Errors,
}

/// What was taken from the feed.
#[derive(Debug)]
enum Received {
    Published(Published),
    Ended,
}

/// What a listener gets next.
#[derive(Debug, Clone)]
pub(crate) enum Next {
    /// An event.
    Event(Arc<Happening>),
    /// The listener was too slow and missed this many events.
    Missed(u64),
    /// There will be no more.
    Ended,
}

impl Subscription {
    /// Waits for the next event, with the keys of its device. The first listener looks them up for all, so
    /// that listeners cost the gateway nothing and do not change the order; and on a thread of its own, since
    /// the store may let it wait. Events of devices deleted since are left out; if the store cannot find the
    /// keys, the event comes without them.
    pub(crate) async fn next_named(&mut self, operator: &Operator) -> Next {
        loop {
            let Published { happening, device, named: known } = match self.receive().await {
                Ok(Received::Published(published)) => published,
                Ok(Received::Ended) => return Next::Ended,
                Err(missed) => return Next::Missed(missed),
            };
            let Some(device) = device else { return Next::Event(happening) };
            let errors = &self.errors;
            let with_keys = known.get_or_init(|| async {
                let name = look_up(operator.clone(), device).await;
                if let Err(error) = &name {
                    note_unnamed(errors, error, &happening);
                }
                named(Arc::clone(&happening), name)
            });
            if let Some(event) = with_keys.await {
                return Next::Event(Arc::clone(event));
            }
        }
    }

    /// What comes next, or how many were missed.
    async fn receive(&mut self) -> Result<Received, u64> {
        if let Some(received) = self.after_missed.take() {
            return Ok(received);
        }
        let mut missed = 0;
        let received = loop {
            // Those that are missed one after another are one number.
            let slot = match missed {
                0 => self.events.recv().await,
                _ => match self.events.try_recv() {
                    Err(broadcast::error::TryRecvError::Empty) => return Err(missed),
                    Err(broadcast::error::TryRecvError::Closed) => Err(broadcast::error::RecvError::Closed),
                    Err(broadcast::error::TryRecvError::Lagged(count)) => {
                        Err(broadcast::error::RecvError::Lagged(count))
                    }
                    Ok(slot) => Ok(slot),
                },
            };
            match slot.map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).clone()) {
                Ok(Some(published)) => break Received::Published(published),
                Ok(None) => missed += 1,
                Err(broadcast::error::RecvError::Lagged(count)) => missed += count,
                Err(broadcast::error::RecvError::Closed) => break Received::Ended,
            }
        };
        if missed == 0 {
            return Ok(received);
        }
        self.after_missed = Some(received);
        Err(missed)
    }
}

/// One line in [`ERRORS_EVERY`], however many events and followers there are.
fn note_unnamed(errors: &Errors, error: &impl fmt::Display, event: &Happening) {
    if let Some(left_out) = permit(errors, Instant::now()) {
        let event = event.name();
        tracing::warn!(%error, event, left_out, "the store cannot say whose event this is");
    }
}

/// The keys of a device, read where it keeps nobody else waiting.
async fn look_up(operator: Operator, device: DeviceId) -> Result<Option<DeviceName>, String> {
    let read = async move { operator.device_name(device).await.map_err(|problem| problem.to_string()) };
    let read = spawn_blocking(move || Handle::current().block_on(read)).await;
    read.unwrap_or_else(|error| Err(error.to_string()))
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
    use narrowgate_api::{
        device::{NamedDevice, NewDeviceRequest},
        happening::{Presence, Report},
        product::NewProduct,
    };
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
    async fn the_keys_of_an_event_are_looked_up_once_for_all_followers() {
        let (feed, operator) = (Feed::new(), operator());
        let product =
            NewProduct { name: "n".into(), product_key: Some("pk".into()), ..NewProduct::default() };
        operator.create_product(product).await.expect("it is new");
        let device = NewDeviceRequest { device_key: Some("dk".into()), ..NewDeviceRequest::default() };
        operator.create_device("pk", device).await.expect("it is new");
        let name = NamedDevice::by_keys("pk", "dk");
        let id = operator.resolve(&name).await.expect("it is there").id;
        let (mut first, mut second) = (feed.subscribe(), feed.subscribe());
        feed.publish(None, offline(1), Some(id));
        let keys = |next| match next {
            Next::Event(event) => event.device().map(|name| name.device_key.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(keys(first.next_named(&operator).await).as_deref(), Some("dk"));
        // Nobody asks the store again.
        operator.delete_device(&name).await.expect("it is there");
        assert_eq!(keys(second.next_named(&operator).await).as_deref(), Some("dk"));
        feed.publish(None, offline(2), Some(id));
        feed.publish(None, offline(3), None);
        for follower in [&mut first, &mut second] {
            // Those of a device that is not there do not come.
            assert!(matches!(follower.next_named(&operator).await, Next::Event(event)
                if matches!(&*event, Happening::Offline(told) if told.time == UnixMillis(3))));
        }
    }

    #[tokio::test]
    async fn a_follower_gets_what_is_published_after_it_came() {
        let (feed, operator) = (Feed::new(), operator());
        feed.publish(None, offline(1), None);
        assert_eq!(feed.wanted(), Followers::None);
        let mut follower = feed.subscribe();
        assert_eq!(feed.wanted(), Followers::OfAll);
        feed.publish(None, offline(2), None);
        let next = follower.next_named(&operator).await;
        assert!(matches!(next, Next::Event(event)
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
        assert!(matches!(follower.next_named(&operator).await, Next::Event(event)
            if matches!(&*event, Happening::Offline(told) if told.time == UnixMillis(5))));
    }

    #[tokio::test]
    async fn a_slow_follower_holds_a_bounded_number_of_bytes_and_another_one_misses_nothing() {
        let (feed, operator) = (Feed::new(), operator());
        let (mut slow, mut close) = (feed.subscribe(), feed.subscribe());
        let points = RawValue::from_string(format!("\"{}\"", "x".repeat((256 << 10) - 2))).unwrap();
        let reports = 100;
        for time in 0..reports {
            let points = Some(points.clone());
            let report = Report { time: UnixMillis(time), received_at: None, device: None, points };
            feed.publish(None, Happening::Report(report), None);
            assert!(matches!(close.next_named(&operator).await, Next::Event(..)), "{time}");
        }
        let kept = (BYTES_KEPT / (256 << 10)) as i64;
        feed.publish(None, offline(reports), None);
        let Next::Missed(missed) = slow.next_named(&operator).await else { panic!("it misses some") };
        assert_eq!(missed, (reports - kept) as u64);
        for time in reports - kept..reports {
            assert!(
                matches!(slow.next_named(&operator).await, Next::Event(event)
                if matches!(&*event, Happening::Report(report) if report.time == UnixMillis(time))),
                "{time}"
            );
        }
        assert!(matches!(slow.next_named(&operator).await, Next::Event(event)
            if matches!(&*event, Happening::Offline(_))));
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
