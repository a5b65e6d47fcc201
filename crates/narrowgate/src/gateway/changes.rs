//! Operators' changes that affect sessions, on their way to the task.
//!
//! Adding a change never blocks and no change is lost, so this is a set and not a queue: it holds at most one
//! change for each device and each product, for its attributes and its tags, and for each upgrade of a
//! device.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use narrowgate_api::device::SessionView;
use narrowgate_gateway::LiveChange;
use narrowgate_platform::{
    firmware::ImageId,
    ids::{DeviceId, DeviceName},
    model::property::{PropertyEdit, PropertyKind},
    ports::{LiveSessions, PortFuture, RawBody, UpgradeMoved},
};
use tokio::{runtime::Handle, sync::oneshot, time::timeout};

use super::recent::Recent;

/// How long an operator waits at most for an answer of the gateway: until it knows of a command, which is
/// stored, and of which the device hears a little later; and until it says whether a device observes, or
/// which session it has.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// The changes that wait; see the module.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<Waiting>, Arc<Recent>);

#[derive(Debug, Default)]
struct Waiting {
    devices: BTreeMap<DeviceId, &'static str>,
    /// Upgrades that moved, each with its device's keys if they are known.
    upgrades: BTreeMap<(DeviceId, ImageId), (Option<DeviceName>, UpgradeMoved)>,
    /// Changes of attributes and tags, those of a device as one.
    edits: BTreeMap<(DeviceId, PropertyKind), (DeviceName, PropertyEdit)>,
    /// Devices whose commands changed.
    commands: BTreeSet<DeviceId>,
    products: BTreeSet<String>,
    /// Products whose secrets were replaced.
    product_secrets: BTreeSet<String>,
    /// Who waits until the commands of a device are known.
    asked: Vec<(DeviceId, oneshot::Sender<()>)>,
    /// Who wants to know whether a device observes its commands.
    asked_observing: Vec<(DeviceId, oneshot::Sender<bool>)>,
    /// Who wants to know the session of a device.
    asked_session: Vec<(DeviceId, oneshot::Sender<Option<SessionView>>)>,
    /// The task's, if it has found nothing.
    waker: Option<Waker>,
}

impl Changes {
    /// All changes since the last call; if there are none, the next one wakes the task.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Vec<LiveChange>> {
        let mut waiting = self.lock();
        let devices = mem::take(&mut waiting.devices).into_iter();
        let products = mem::take(&mut waiting.products).into_iter();
        let closed = devices.map(|(device, cause)| LiveChange::CloseDevice { device, cause });
        let changed = products.map(|product_key| LiveChange::ProductChanged { product_key });
        let secrets = mem::take(&mut waiting.product_secrets).into_iter();
        let replaced = secrets.map(|product_key| LiveChange::ProductSecretReplaced { product_key });
        let commands = mem::take(&mut waiting.commands).into_iter();
        let commands = commands.map(|device| LiveChange::CommandsChanged { device });
        let upgrades = mem::take(&mut waiting.upgrades).into_iter();
        let upgrades =
            upgrades.map(|((device, _), (name, moved))| LiveChange::UpgradeMoved { device, name, moved });
        let edits = mem::take(&mut waiting.edits).into_values();
        let edits = edits.map(|(name, edit)| LiveChange::PropertiesEdited { name, edit });
        // An offer is told before the command that makes it.
        let changes: Vec<_> =
            closed.chain(changed).chain(replaced).chain(edits).chain(upgrades).chain(commands).collect();
        if changes.is_empty() {
            match &mut waiting.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        Poll::Ready(changes)
    }

    /// Tells those who wait until the commands of a device are known, where the task knows them.
    pub(super) fn tell_known(&self, knows: impl Fn(DeviceId) -> bool) {
        let mut waiting = self.lock();
        let asked = mem::take(&mut waiting.asked);
        // Who has given up waits no more.
        for (device, known) in asked.into_iter().filter(|(_, known)| !known.is_closed()) {
            if waiting.commands.contains(&device) || !knows(device) {
                waiting.asked.push((device, known));
            } else {
                // Ignored: who waited may be gone.
                let _ = known.send(());
            }
        }
    }

    /// Tells those who ask whether a device observes its commands.
    pub(super) fn tell_observing(&self, observes: impl Fn(DeviceId) -> bool) {
        let asked = mem::take(&mut self.lock().asked_observing);
        for (device, told) in asked {
            // Ignored: who asked may be gone.
            let _ = told.send(observes(device));
        }
    }

    /// Tells those who ask for the session of a device.
    pub(super) fn tell_sessions(&self, session: impl Fn(DeviceId) -> Option<SessionView>) {
        let asked = mem::take(&mut self.lock().asked_session);
        for (device, told) in asked {
            // Ignored: who asked may be gone.
            let _ = told.send(session(device));
        }
    }

    /// What devices sent of late.
    pub(super) fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.1)
    }

    /// Wakes the task, which turns once and finds what there is.
    pub(super) fn nudge(&self) {
        self.change(|_| {});
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        change(&mut waiting);
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl LiveSessions for Changes {
    fn close_device(&self, device: DeviceId, cause: &'static str) {
        self.change(|waiting| {
            waiting.devices.insert(device, cause);
        });
    }

    fn commands_changed(&self, device: DeviceId) {
        self.change(|waiting| {
            waiting.commands.insert(device);
        });
    }

    fn upgrade_moved(&self, device: DeviceId, name: Option<DeviceName>, moved: UpgradeMoved) {
        self.change(|waiting| {
            waiting.upgrades.insert((device, moved.image), (name, moved));
        });
    }

    fn properties_edited(&self, device: DeviceId, name: DeviceName, edit: PropertyEdit) {
        self.change(|waiting| {
            let key = (device, edit.kind);
            let edit = match waiting.edits.remove(&key) {
                Some((_, earlier)) => earlier.then(edit),
                None => edit,
            };
            waiting.edits.insert(key, (name, edit));
        });
    }

    fn commands_known(&self, device: DeviceId) -> PortFuture<'static, ()> {
        let (known, is_known) = oneshot::channel();
        self.change(|waiting| waiting.asked.push((device, known)));
        Box::pin(async move {
            // Ignored: it is told later, then, or the gateway has ended.
            let _ = timeout(KNOWN_WITHIN, is_known).await;
        })
    }

    fn observes_commands(&self, device: DeviceId) -> PortFuture<'static, bool> {
        let (told, is_told) = oneshot::channel();
        self.change(|waiting| waiting.asked_observing.push((device, told)));
        Box::pin(async move { matches!(timeout(KNOWN_WITHIN, is_told).await, Ok(Ok(true))) })
    }

    fn session(&self, device: DeviceId) -> PortFuture<'static, Option<SessionView>> {
        let (told, is_told) = oneshot::channel();
        self.change(|waiting| waiting.asked_session.push((device, told)));
        Box::pin(async move { timeout(KNOWN_WITHIN, is_told).await.ok()?.ok()? })
    }

    fn finish(&self, change: PortFuture<'static, ()>) {
        // Without a runtime the server has ended, and nobody listens.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(change);
        }
    }

    fn recent_raw(&self, device: DeviceId) -> Vec<RawBody> {
        self.1.of(device)
    }

    fn is_serving(&self) -> bool {
        true
    }

    fn product_changed(&self, product_key: &str) {
        self.change(|waiting| {
            waiting.products.insert(product_key.to_owned());
        });
    }

    fn product_secret_replaced(&self, product_key: &str) {
        self.change(|waiting| {
            waiting.product_secrets.insert(product_key.to_owned());
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use narrowgate_platform::{ids::UnixMillis, model::json_text::JsonText};

    use super::*;

    #[test]
    fn each_device_and_each_product_waits_once_and_nothing_is_lost() {
        let changes = Changes::default();
        let mut context = Context::from_waker(Waker::noop());
        assert!(changes.poll(&mut context).is_pending());
        for _ in 0..1000 {
            changes.close_device(DeviceId(2), "closed: switched off");
            changes.close_device(DeviceId(1), "closed: deleted");
            changes.commands_changed(DeviceId(3));
            changes.product_changed("p");
            changes.product_secret_replaced("q");
        }
        let Poll::Ready(taken) = changes.poll(&mut context) else { panic!("there is something") };
        let close = |device, cause| LiveChange::CloseDevice { device: DeviceId(device), cause };
        let commands = LiveChange::CommandsChanged { device: DeviceId(3) };
        let product = LiveChange::ProductChanged { product_key: "p".to_owned() };
        let secret = LiveChange::ProductSecretReplaced { product_key: "q".to_owned() };
        assert_eq!(
            taken,
            [close(1, "closed: deleted"), close(2, "closed: switched off"), product, secret, commands]
        );
        assert!(changes.poll(&mut context).is_pending());
        changes.nudge();
        assert!(changes.poll(&mut context).is_pending(), "a nudge is no change");
    }

    #[test]
    fn changes_of_attributes_wait_as_one() {
        let changes = Changes::default();
        let name = DeviceName { product_key: "p".into(), device_key: "d".into() };
        let edit = |value: &str, unset: &[&str]| PropertyEdit {
            kind: PropertyKind::Attribute,
            replaces: false,
            set: vec![("a".to_owned(), JsonText::new(value))],
            unset: unset.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (value, unset) in [("1", &["b"][..]), ("2", &[])] {
            changes.properties_edited(DeviceId(3), name.clone(), edit(value, unset));
        }
        let Poll::Ready(taken) = changes.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("there is something")
        };
        assert_eq!(taken, [LiveChange::PropertiesEdited { name, edit: edit("2", &["b"]) }]);
    }

    #[tokio::test]
    async fn a_change_goes_on_without_its_caller() {
        let (finished, is_finished) = oneshot::channel();
        Changes::default().finish(Box::pin(async move { finished.send(()).expect("it is waited for") }));
        assert_eq!(is_finished.await, Ok(()));
    }

    #[test]
    fn where_no_runtime_is_left_a_change_is_left_alone() {
        Changes::default().finish(Box::pin(async { panic!("nothing runs it") }));
    }

    #[tokio::test]
    async fn who_waits_for_a_devices_commands_is_told_when_they_are_read() {
        let changes = Changes::default();
        let is_ready = |known: &mut PortFuture<'static, ()>| {
            known.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        changes.commands_changed(DeviceId(3));
        let mut known = changes.commands_known(DeviceId(3));
        changes.tell_known(|_| true);
        assert!(!is_ready(&mut known), "the task has not even heard of it");
        assert!(changes.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        changes.tell_known(|device| device != DeviceId(3));
        assert!(!is_ready(&mut known), "it reads them");
        changes.tell_known(|_| true);
        assert!(is_ready(&mut known));
        let began = Instant::now();
        changes.commands_known(DeviceId(3)).await;
        assert!(began.elapsed() >= KNOWN_WITHIN, "not for ever");
    }

    #[tokio::test]
    async fn who_asks_whether_a_device_observes_is_told_in_the_next_turn() {
        let changes = Changes::default();
        let (observes, does_not) =
            (changes.observes_commands(DeviceId(3)), changes.observes_commands(DeviceId(4)));
        changes.tell_observing(|device| device == DeviceId(3));
        assert!(observes.await);
        assert!(!does_not.await);
        let began = Instant::now();
        assert!(!changes.observes_commands(DeviceId(3)).await, "nobody says so");
        assert!(began.elapsed() >= KNOWN_WITHIN);
    }

    #[tokio::test]
    async fn who_asks_for_a_session_is_told_in_the_next_turn() {
        let changes = Changes::default();
        let view =
            SessionView { peer: "192.0.2.1:40000".to_owned(), suite: None, cid: None, since: UnixMillis(7) };
        let (has_one, has_none) = (changes.session(DeviceId(3)), changes.session(DeviceId(4)));
        changes.tell_sessions(|device| (device == DeviceId(3)).then(|| view.clone()));
        assert_eq!((has_one.await, has_none.await), (Some(view), None));
    }
}
