//! The commands that wait for devices, as far as the gateway knows them: for each device with an open one, a
//! copy of its queue in the store. What a device asks and what time does is decided on the copy, and the
//! commit decides again; the copy follows the store and is never ahead of it:
//!
//! * A command is in the copy once it was read from the store, so it is committed before a response names it.
//! * A GET is answered when `sent` is durable, each time that it gets a command: one that was taken back or
//!   ran out meanwhile is not handed out. A reply is answered when it is durable.
//! * A GET whose answer its device does not want (No-Response, RFC 7967) gets no command.
//! * What a device gets as bytes and the store has without them is encoded before (`encoding`).
//! * Of one device one thing is under way at a time: a read, a write or a script. Its further requests wait
//!   in their order, as many as the shard has in flight. A write that the store does not permit has the queue
//!   read again, and its GET decided anew.
//! * Operators change the store, and tell the gateway to read it again.
//! * Commands in bytes of a device whose product speaks JSON now are ended when the device is heard next, and
//!   neither named nor handed out from then on.
//! * Where not all that arrived is known, as after a standstill of the process, no command's time is over: a
//!   reply that waits in the socket counts as if it had come before the standstill ([`Unread`]).
//!
//! A device without open commands is not in the map: its responses cost a look at that.
//!
//! Limits: [`DEVICES_AT_ONCE`] devices whose time has come are handled in one go; [`READS_MAX`] queues are
//! read at the same time, one of a device, and the other devices wait in their order; what the store could
//! not read or write is tried again after [`TRY_AGAIN`].

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use narrowgate_coap::Response;
use narrowgate_engine::event::Ticket;
use narrowgate_platform::{
    device_api::{Answer, short},
    ids::{DeviceId, UnixMillis},
    model::{
        command::{Command, CommandId, CommandSession, CommandStep, OpenCommand},
        product::DataFormat,
    },
    rules::commands::{Queue, Way},
};

use crate::{
    effect::{Effect, Now},
    outbox::{Line, Outbox, Pending},
    requests::Asker,
    unread::Unread,
};

mod carry;
mod encoding;
mod moved;
mod punctuality;

use self::{carry::Carry, encoding::Made};
pub(crate) use self::{encoding::CommandEncoding, punctuality::Punctuality};
use narrowgate_platform::{device_api::commands::CommandWanted, model::command::CommandMove, ports::Write};

/// Devices whose time has come that one call handles: about a millisecond.
const DEVICES_AT_ONCE: usize = 256;
/// Queues that are read at the same time, as look-ups are.
pub(crate) const READS_MAX: usize = 16;
/// No timer is shorter: the clock of arrivals may stand still, and then the same time is left when it fires.
const TIMER_MIN: Duration = Duration::from_millis(250);
/// What could not be read or written is tried again after this time.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Commands {
    devices: HashMap<DeviceId, Entry, RandomState>,
    /// Devices whose queues are read, and those that wait for it.
    reads: Line<DeviceId>,
    /// Exactly one for each device that has `timer`.
    timers: BTreeSet<(Instant, DeviceId)>,
    pub(crate) punctuality: Punctuality,
    pub(crate) unread: Unread,
}

/// What is known of a device with commands.
#[derive(Debug, Default)]
struct Entry {
    queue: Queue,
    /// A read, a write or a script is under way.
    is_busy: bool,
    /// When it is to be read again.
    read_at: Option<Instant>,
    /// What is over is not written before.
    write_at: Option<Instant>,
    /// The product speaks JSON now: commands in bytes are refused, and handed out no more.
    refuses_bytes: bool,
    /// What batches that failed since the queue was last read had of these commands, one step of each: it may
    /// be stored all the same.
    unsure: Vec<Unsure>,
    waiting: VecDeque<Ask>,
    /// Responses by plain CoAP that are to carry a command.
    carries: VecDeque<Carry>,
    timer: Option<Instant>,
}

/// A step, and when it was taken.
type Unsure = (CommandId, CommandStep, UnixMillis);

/// A request of a device.
#[derive(Debug)]
pub(crate) struct Ask {
    ticket: Ticket,
    asker: Asker,
    way: Way,
    wanted: CommandWanted,
    /// What the devices of its product speak.
    speaks: DataFormat,
    /// What a script made of the command that it gets.
    made: Option<Made>,
}

/// Steps of commands of a device that are being written.
#[derive(Debug)]
pub(crate) struct Moving {
    device: DeviceId,
    steps: Vec<(CommandId, CommandStep)>,
    at: UnixMillis,
    /// Whose request it is; `None`: time has passed, or a response carries the command.
    ask: Option<Ask>,
    /// The response that is to carry the command.
    carry: Option<Carry>,
}

/// What is to be done next for a device.
enum Next {
    Nothing,
    Read,
    Write(Moving),
    /// A script makes the bytes of a command for this request.
    Encode(Ask, Command),
    /// No command is there for this request.
    NoneFor(Ask),
    /// This request is refused, and its command is not handed out.
    Refuse(Ask, Box<Answer>),
    /// No command is there for this response.
    NothingToCarry(Carry),
}

impl Commands {
    /// With the commands that are open in the store.
    pub(crate) fn new(open: Vec<OpenCommand>, now: Now) -> Self {
        let reads = Line::new(READS_MAX);
        let (devices, timers, punctuality) = (HashMap::default(), BTreeSet::new(), Punctuality::default());
        let mut commands = Self { devices, reads, timers, punctuality, unread: Unread::default() };
        let mut known = BTreeSet::new();
        for OpenCommand { device, command } in open {
            commands.devices.entry(device).or_default().queue.push(command);
            known.insert(device);
        }
        for device in known {
            commands.set_timer(device, Some(now.instant));
        }
        commands
    }

    /// A response, with the option that says that a command waits, if one does. A session by the product's
    /// secret has no commands. `speaks`: what the devices of its product do.
    fn mark(
        &self,
        now: UnixMillis,
        (asker, way): (&Asker, Way),
        speaks: impl FnOnce() -> DataFormat,
        response: Response,
    ) -> Response {
        let entry = self.devices.get(&asker.grant.device).filter(|_| asker.login().is_some());
        match entry.and_then(|entry| entry.waiting(now, way).next()) {
            Some(oldest) => asker.with_command_waiting(response, oldest.order.fetched_in(speaks())),
            None => response,
        }
    }

    /// When [`Self::take_due`] has something.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| self.unread.look_at(*at))
    }

    /// Devices whose time has come.
    fn take_due(&mut self, now: Instant) -> Vec<DeviceId> {
        let until = self.unread.known_until(self.timers.first().map(|(at, _)| *at), now);
        let due = self.timers.iter().take_while(|(at, _)| *at <= until).take(DEVICES_AT_ONCE);
        let due: Vec<DeviceId> = due.map(|(_, device)| *device).collect();
        for device in &due {
            self.set_timer(*device, None);
        }
        due
    }

    fn set_timer(&mut self, device: DeviceId, at: Option<Instant>) {
        let Some(entry) = self.devices.get_mut(&device) else { return };
        if let Some(before) = std::mem::replace(&mut entry.timer, at) {
            self.timers.remove(&(before, device));
        }
        if let Some(at) = at {
            self.timers.insert((at, device));
        }
    }

    /// Notes whether the product of a device takes bytes; returns whether commands of it are to be refused.
    pub(crate) fn note_bytes(&mut self, device: DeviceId, are_taken: bool) -> bool {
        let Some(entry) = self.devices.get_mut(&device) else { return false };
        entry.refuses_bytes = !are_taken && entry.queue.iter().any(|command| command.order.raw.is_some());
        entry.refuses_bytes
    }

    /// The commands of a device that wait, oldest first.
    pub(crate) fn waiting(&self, device: DeviceId, now: UnixMillis, way: Way) -> Vec<CommandId> {
        let entry = self.devices.get(&device).into_iter();
        entry.flat_map(|entry| entry.waiting(now, way)).map(|command| command.id).collect()
    }

    /// Whether a GET would be given a command.
    fn has_for(&self, ask: &Ask, now: UnixMillis) -> bool {
        let entry = self.devices.get(&ask.asker.grant.device);
        entry.is_some_and(|entry| entry.to_fetch(ask, now).is_some())
    }

    /// The queue is to be read again, now.
    fn read_again(&mut self, device: DeviceId, now: Instant) {
        self.devices.entry(device).or_default().read_at = Some(now);
    }

    /// See [`crate::Gateway::knows_commands`].
    pub(crate) fn are_known(&self, device: DeviceId) -> bool {
        self.devices.get(&device).is_none_or(|entry| !entry.is_busy && entry.read_at.is_none())
    }

    fn is_known(&self, device: DeviceId) -> bool {
        self.devices.contains_key(&device)
    }

    /// Has the queue of a device read, now or when fewer are.
    fn read(&mut self, device: DeviceId, out: &mut Outbox) {
        self.reads.enter(device);
        self.ask(out);
    }

    /// A queue is read, or could not be.
    fn end_read(&mut self, out: &mut Outbox) {
        self.reads.leave();
        self.ask(out);
    }

    fn ask(&mut self, out: &mut Outbox) {
        while let Some(device) = self.reads.poll() {
            out.ask(Pending::Commands(device), |token| Effect::Commands(token, device));
        }
    }

    /// What is to be done next for a device, which is then under way.
    fn next(&mut self, device: DeviceId, now: Now) -> Next {
        let Some(entry) = self.devices.get_mut(&device).filter(|entry| !entry.is_busy) else {
            return Next::Nothing;
        };
        let unknown = now.instant - self.unread.known(now.instant);
        let known = UnixMillis(now.wall.0 - i64::try_from(unknown.as_millis()).unwrap_or(i64::MAX));
        let next = entry.next(device, now, known);
        entry.is_busy = matches!(next, Next::Read | Next::Write(_) | Next::Encode(..));
        if matches!(next, Next::Nothing) {
            let is_idle = entry.queue.is_empty() && entry.read_at.is_none();
            let timer = if is_idle { None } else { entry.next_timer(now, known) };
            self.set_timer(device, timer);
            if is_idle {
                self.devices.remove(&device);
            }
        }
        next
    }
}

impl Entry {
    /// What had arrived by `known` is known.
    fn next(&mut self, device: DeviceId, now: Now, known: UnixMillis) -> Next {
        let at = now.wall;
        if self.read_at.is_some_and(|at| at <= now.instant) {
            self.read_at = None;
            return Next::Read;
        }
        if let Some(ask) = self.waiting.pop_front() {
            if let Some(answer) = self.refusal_of(&ask, at) {
                return Next::Refuse(ask, Box::new(answer));
            }
            if let Some(command) = self.to_fetch(&ask, at).filter(|command| ask.lacks_bytes_of(command)) {
                return Next::Encode(ask, command.clone());
            }
            return match self.step_for(&ask, at, known) {
                Some((step, at)) => {
                    Next::Write(Moving { device, steps: vec![step], at, ask: Some(ask), carry: None })
                }
                None => Next::NoneFor(ask),
            };
        }
        if let Some(next) = self.next_carry(device, at) {
            return next;
        }
        if self.write_at.is_some_and(|at| at > now.instant) {
            return Next::Nothing;
        }
        self.write_at = None;
        let over = self.queue.over(known).map(|command| (command.id, CommandStep::TimePasses));
        let refused = self.queue.iter().filter(|command| !self.serves(command) && !command.is_over(known));
        let refused = refused.map(|command| (command.id, CommandStep::RefuseBytes));
        let steps: Vec<_> = over.chain(refused).collect();
        if steps.is_empty() {
            self.refuses_bytes = false;
            return Next::Nothing;
        }
        Next::Write(Moving { device, steps, at, ask: None, carry: None })
    }

    /// Whether the device is given a command, which it may not be yet.
    fn serves(&self, command: &Command) -> bool {
        !self.refuses_bytes || command.order.raw.is_none()
    }

    /// The commands that wait to be fetched, oldest first.
    fn waiting(&self, at: UnixMillis, way: Way) -> impl Iterator<Item = &Command> {
        self.queue.waiting(at, way).filter(|command| self.serves(command))
    }

    /// The command that a GET gets.
    fn to_fetch(&self, ask: &Ask, at: UnixMillis) -> Option<&Command> {
        match &ask.wanted {
            CommandWanted::Fetch { topic, .. } => self.queue.oldest_of((topic, ask.speaks), at, ask.way),
            CommandWanted::FetchOldest { .. } => {
                self.queue.oldest(at, ask.way, |command| self.serves(command))
            }
            CommandWanted::Reply { .. } => None,
        }
    }

    /// Why a GET does not get the command that is there for it.
    fn refusal_of(&self, ask: &Ask, at: UnixMillis) -> Option<Answer> {
        let CommandWanted::FetchOldest { accept } = &ask.wanted else { return None };
        short::not_acceptable(self.to_fetch(ask, at)?, ask.speaks, *accept)
    }

    /// The step that a request causes, and when; `None`: there is no command for it. A reply may have arrived
    /// at any time since `known`.
    fn step_for(
        &self,
        ask: &Ask,
        at: UnixMillis,
        known: UnixMillis,
    ) -> Option<((CommandId, CommandStep), UnixMillis)> {
        match &ask.wanted {
            CommandWanted::Fetch { .. } | CommandWanted::FetchOldest { .. } => {
                self.to_fetch(ask, at).map(|command| ((command.id, CommandStep::Fetch), at))
            }
            CommandWanted::Reply { topic, id, step } => {
                let command = self.queue.answered(*id, topic.as_ref())?;
                let earliest = command.sent.map_or(known, |sent| sent.max(known));
                let at = [at, earliest].into_iter().find(|at| command.clone().step(step, *at).is_ok())?;
                Some(((command.id, step.clone()), at))
            }
        }
    }

    /// When something is due without a request.
    fn next_timer(&self, now: Now, known: UnixMillis) -> Option<Instant> {
        let due = self.queue.due(known).map(|due| {
            let ms = due.0.saturating_sub(now.wall.0).max(0).unsigned_abs();
            now.instant + Duration::from_millis(ms).max(TIMER_MIN)
        });
        let due = match (due, self.write_at) {
            (Some(due), Some(write_at)) => Some(due.max(write_at)),
            (due, _) => due,
        };
        due.into_iter().chain(self.read_at).min()
    }
}

impl Moving {
    /// Whose session moves them; `None`: time does.
    fn asker(&self) -> Option<&Asker> {
        let carry = self.carry.as_ref().map(|carry| &carry.asker);
        self.ask.as_ref().map(|ask| &ask.asker).or(carry)
    }

    fn writes(&self) -> Vec<Write> {
        let session = self.asker().and_then(|asker| {
            let secret_version = asker.grant.secret_version;
            asker.login().map(|login| CommandSession { login, secret_version })
        });
        let of = |(id, step): &(CommandId, CommandStep)| {
            let (device, at, step) = (self.device, self.at, step.clone());
            Write::Command(CommandMove { device, id: *id, session, step, at })
        };
        self.steps.iter().map(of).collect()
    }
}

/// Commands of one list that are not in another.
fn without<'a>(these: &'a Queue, those: &'a Queue) -> impl Iterator<Item = &'a Command> {
    these.iter().filter(|command| those.find(command.id).is_none())
}
