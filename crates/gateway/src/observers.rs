//! Devices that observe how many commands wait for them (RFC 7641; device protocol, section 6): they are told
//! at once when a command begins to wait, and fetch it then as ever. A command counts as sent by that GET
//! alone, so one whose notification is lost waits as it did before.
//!
//! A device is observed for in one session, that of its newest login; the registration ends with it. The
//! tokens and the delivery are the message layer's, which says when nobody observes any more.
//!
//! Limits: one registration of each device that is connected; [`AT_ONCE`] devices are told again in one go.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use foldhash::fast::RandomState;
use narrowgate_coap::ObservationEnd;
use narrowgate_engine::event::{SessionId, ShardCommand, Ticket};
use narrowgate_platform::{
    device_api::{
        CountWanted,
        waiting::{self, TOLD_AGAIN},
    },
    ids::DeviceId,
    model::command::CommandId,
    rules::commands::Way,
};

use crate::{
    effect::Now,
    requests::{Asker, Whose},
    shared::Shared,
};

/// Devices that are told again in one call.
const AT_ONCE: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Observers {
    devices: HashMap<DeviceId, Observer, RandomState>,
    /// Exactly one for each device.
    timers: BTreeSet<(Instant, DeviceId)>,
}

#[derive(Debug)]
struct Observer {
    session: SessionId,
    asker: Asker,
    wanted: CountWanted,
    /// The commands that waited when it was last looked: those that began to wait since are news.
    known: Vec<CommandId>,
    tell_again_at: Instant,
}

impl Observers {
    /// A session asks to observe; `false`: a newer one of its device does already.
    fn insert(&mut self, asker: &Asker, observer: Observer) -> bool {
        let device = asker.grant.device;
        let observed = self.devices.get(&device);
        if observed.is_some_and(|observed| observed.asker.login() > asker.login()) {
            return false;
        }
        self.take(device);
        self.timers.insert((observer.tell_again_at, device));
        self.devices.insert(device, observer);
        true
    }

    /// A session has ended, or nobody observes in it any more; returns whether it did observe.
    pub(crate) fn remove(&mut self, device: DeviceId, session: SessionId) -> bool {
        let observes = self.devices.get(&device).is_some_and(|observer| observer.session == session);
        if observes {
            self.take(device);
        }
        observes
    }

    fn take(&mut self, device: DeviceId) {
        if let Some(observer) = self.devices.remove(&device) {
            self.timers.remove(&(observer.tell_again_at, device));
        }
    }

    /// When [`Shared::handle_observers_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whether a device observes.
    pub(crate) fn observes(&self, device: DeviceId) -> bool {
        self.devices.contains_key(&device)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.devices.len()
    }

    /// Notes which commands wait now; returns whether one of them is news.
    fn note(&mut self, device: DeviceId, waiting: Vec<CommandId>) -> bool {
        let Some(observer) = self.devices.get_mut(&device) else { return false };
        let is_news = waiting.iter().any(|id| !observer.known.contains(id));
        observer.known = waiting;
        is_news
    }
}

impl Shared {
    /// A device asks how many commands wait for it, and may want to observe that.
    pub(crate) fn count_commands(
        &mut self,
        now: Now,
        ticket: Ticket,
        asker: &Asker,
        mut wanted: CountWanted,
    ) {
        let way = self.way_of(ticket.session.shard);
        let known = self.commands.waiting(asker.grant.device, now.wall, way);
        let count = known.len();
        if wanted.observes {
            let (session, tell_again_at) = (ticket.session, now.instant + TOLD_AGAIN);
            let observer = Observer { session, asker: asker.clone(), wanted, known, tell_again_at };
            wanted.observes = self.observers.insert(asker, observer);
        }
        self.respond(now, ticket, asker, waiting::tell(wanted, count));
    }

    /// The commands of a device may have changed: who observes them hears of those that began to wait.
    pub(crate) fn tell_observer(&mut self, now: Now, device: DeviceId) {
        if self.observers.devices.contains_key(&device) {
            let waiting = self.commands.waiting(device, now.wall, Way::Protected);
            if self.observers.note(device, waiting) {
                self.notify(now, device);
            }
        }
    }

    /// Tells those again that have heard nothing for long.
    pub(crate) fn handle_observers_timeout(&mut self, now: Now) {
        let due = self.observers.timers.iter().take_while(|(at, _)| *at <= now.instant).take(AT_ONCE);
        let due: Vec<DeviceId> = due.map(|(_, device)| *device).collect();
        for device in due {
            self.notify(now, device);
        }
    }

    fn notify(&mut self, now: Now, device: DeviceId) {
        let Observers { devices, timers } = &mut self.observers;
        let Some(observer) = devices.get_mut(&device) else { return };
        timers.remove(&(observer.tell_again_at, device));
        observer.tell_again_at = now.instant + TOLD_AGAIN;
        timers.insert((observer.tell_again_at, device));
        let (session, wanted, asker) = (observer.session, observer.wanted, observer.asker.clone());
        observer.known = self.commands.waiting(device, now.wall, Way::Protected);
        let content = waiting::tell(wanted, observer.known.len());
        let response = self.marked(now, &asker, content);
        self.out.command(session.shard, ShardCommand::Notify { session, response });
    }

    /// Nobody observes in a session any more. Where its device did not acknowledge that a command waits, its
    /// log says so.
    pub(crate) fn end_observation(
        &mut self,
        now: Now,
        session: SessionId,
        asker: &Whose,
        end: ObservationEnd,
    ) {
        let device = asker.grant.device;
        let observed = self.observers.remove(device, session);
        let waiting = self.commands.waiting(device, now.wall, Way::Protected).len();
        if observed && end == ObservationEnd::TimedOut && waiting > 0 {
            self.warn(now, asker, waiting::not_delivered(waiting));
        }
    }
}
