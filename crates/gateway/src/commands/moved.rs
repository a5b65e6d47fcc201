//! What devices, time and operators do with commands, and what the store answers.

use narrowgate_api::happening::{CommandMoved, Happening};
use narrowgate_coap::{Code, Response};
use narrowgate_engine::event::Ticket;
use narrowgate_platform::{
    device_api::{
        self, Answer,
        commands::{
            CommandWanted, acknowledge_reply, deliver, deliver_bytes, nothing_waiting, reply_ignored,
        },
        short,
    },
    ids::{DeviceId, Position, UnixMillis},
    model::command::{Command, CommandId, CommandStep},
    ports::{StoreError, Written},
    rules::commands::{Queue, Way, code_of_end},
};
use serde_json::value::RawValue;

use super::{Ask, Moving, Next, TRY_AGAIN, Unsure, without};
use crate::{
    desk::response_after,
    effect::Now,
    outbox::Pending,
    raw::Then,
    requests::{Asker, name_of},
    shared::Shared,
};

impl Shared {
    /// Answers a request. Every response goes this way: it says whether a command waits.
    /// A reply to bytes is written by the product's script before.
    pub(crate) fn respond(&mut self, now: Now, ticket: Ticket, asker: &Asker, response: Response) {
        let response = asker.with_its_code(response);
        if let Some(encode) = asker.to_encode(&response) {
            return self.encode(ticket, asker.clone(), (response, encode), Then::Respond);
        }
        if self.way_of(ticket.session.shard) == Way::Plain {
            return self.respond_and_carry(now, ticket, asker, response);
        }
        let response = self.marked(now, asker, response);
        self.out.respond(ticket, response);
    }

    /// How the devices of a shard reach this server.
    pub(crate) fn way_of(&self, shard: u16) -> Way {
        if shard >= self.plain_from { Way::Plain } else { Way::Protected }
    }

    /// What is sent to a device by DTLS says whether a command waits.
    pub(crate) fn marked(&self, now: Now, asker: &Asker, response: Response) -> Response {
        self.commands.mark(now.wall, (asker, Way::Protected), || self.speaks(asker), response)
    }

    /// A device fetches a command or answers one.
    pub(crate) fn handle_command(&mut self, now: Now, ticket: Ticket, asker: Asker, wanted: CommandWanted) {
        let device = asker.grant.device;
        let (way, speaks) = (self.way_of(ticket.session.shard), self.speaks(&asker));
        let ask = Ask { ticket, asker, way, wanted, speaks, made: None };
        if ticket.exchange.is_unwanted(Code::CONTENT) && self.commands.has_for(&ask, now.wall) {
            // RFC 7967: the answer is not sent, and a command in it would be lost until its time-out.
            return self.respond(now, ticket, &ask.asker, Response::new(Code::CONTENT));
        }
        match self.commands.devices.get_mut(&device) {
            Some(entry) => {
                entry.waiting.push_back(ask);
                self.go_on_with_commands(now, device);
            }
            None => self.answer_without_command(now, &ask),
        }
    }

    /// A device answers a command by a short path: the command that it names says what its numbers stand for.
    pub(crate) fn handle_short_reply(
        &mut self,
        now: Now,
        ticket: Ticket,
        asker: Asker,
        reply: &short::CommandReply,
    ) {
        let entry = self.commands.devices.get(&asker.grant.device);
        let command = reply.id().and_then(|id| entry?.queue.find(id));
        let topic = command.map(|command| &command.order.topic);
        match reply.read(topic, asker.short_model().flatten()) {
            Ok(wanted) => self.handle_command(now, ticket, asker, wanted),
            Err(answer) => self.answer(now, ticket, &asker, answer),
        }
    }

    /// Answers a request, and writes down why it was refused.
    pub(super) fn answer(&mut self, now: Now, ticket: Ticket, asker: &Asker, answer: Answer) {
        let (response, refusal) = answer.into_parts();
        self.respond(now, ticket, asker, response);
        if let Some(refusal) = refusal {
            self.refuse(now, asker, refusal);
        }
    }

    /// An operator sent or took back commands of a device.
    pub(crate) fn change_commands(&mut self, now: Now, device: DeviceId) {
        self.commands.read_again(device, now.instant);
        self.go_on_with_commands(now, device);
    }

    /// A device was reset or deleted, and its commands with it.
    pub(crate) fn change_commands_of_known(&mut self, now: Now, device: DeviceId) {
        if self.commands.is_known(device) {
            self.change_commands(now, device);
        }
    }

    /// A device has sent something. Where its product takes no bytes any more, its commands in bytes end: it
    /// cannot fetch them, and would be told of them in every answer.
    pub(crate) fn note_bytes(&mut self, now: Now, device: DeviceId, are_taken: bool) {
        if self.commands.note_bytes(device, are_taken) {
            self.go_on_with_commands(now, device);
        }
    }

    /// Does what is due.
    pub(crate) fn handle_commands_timeout(&mut self, now: Now) {
        for device in self.commands.take_due(now.instant) {
            self.go_on_with_commands(now, device);
        }
    }

    /// The store has read the open commands of a device.
    pub(crate) fn handle_commands_read(
        &mut self,
        now: Now,
        device: DeviceId,
        answer: Result<Vec<Command>, StoreError>,
    ) {
        self.commands.end_read(&mut self.out);
        let Some(entry) = self.commands.devices.get_mut(&device) else { return };
        entry.is_busy = false;
        match answer {
            Ok(commands) => {
                let before = std::mem::replace(&mut entry.queue, Queue::new(commands));
                let sent: Vec<Command> = without(&entry.queue, &before).cloned().collect();
                let unsure = std::mem::take(&mut entry.unsure);
                let ended = |command: &Command| ended(command, &unsure, now.wall);
                let gone: Vec<Command> = without(&before, &entry.queue).map(ended).collect();
                for command in gone.iter().chain(&sent) {
                    self.tell_command(now, None, (device, None), command);
                }
            }
            Err(error) => {
                entry.read_at = Some(now.instant + TRY_AGAIN);
                if let Some(left_out) = self.lookup_errors.permit(now.instant) {
                    tracing::error!(%error, left_out, "the store cannot read commands");
                }
            }
        }
        self.go_on_with_commands(now, device);
    }

    /// The store has written steps of commands, or refused them.
    pub(crate) fn handle_commands_moved(
        &mut self,
        now: Now,
        moving: Moving,
        first: Option<Position>,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        let device = moving.device;
        let Some(entry) = self.commands.devices.get_mut(&device) else { return };
        entry.is_busy = false;
        let written = outcomes.unwrap_or_default();
        let asker = moving.asker().cloned();
        let Moving { steps, at, ask, carry, .. } = moving;
        let (mut moved, mut known) = (Vec::new(), Vec::new());
        for (index, ((id, step), outcome)) in steps.iter().zip(written).enumerate() {
            match outcome {
                // The copy follows. Where it cannot, an operator was quicker, and the queue is read again.
                Written::Done | Written::Upgrade(_) => {
                    let before = entry.queue.find(*id).and_then(Command::expected_outcome);
                    if let Ok(Some(command)) = entry.queue.step(*id, step, at) {
                        known.extend(command.expected_outcome().filter(|_| before.is_none()));
                        moved.push((index, command));
                    }
                }
                // It may be that a batch that failed is stored all the same, and the copy is behind.
                Written::Unchanged => {
                    if entry.queue.clone().step(*id, step, at) != Ok(None) {
                        entry.read_at = Some(now.instant);
                    }
                }
                _ => entry.read_at = Some(now.instant),
            }
        }
        if outcomes.is_err() {
            entry.read_at = Some(now.instant);
            entry.unsure.retain(|(known, ..)| steps.iter().all(|(id, _)| id != known));
            entry.unsure.extend(steps.iter().map(|(id, step)| (*id, step.clone(), at)));
        }
        if asker.is_none() && !(outcomes.is_ok() && written.iter().all(is_moved)) {
            // Nobody waits for it: what cannot be written is looked at again, and tried again, later.
            (entry.read_at, entry.write_at) = (Some(now.instant + TRY_AGAIN), Some(now.instant + TRY_AGAIN));
        }
        known.into_iter().for_each(|outcome| self.commands.punctuality.add(outcome));
        for (index, command) in moved {
            let place = first.map(|first| first.after(index));
            self.tell_command(now, place, (device, asker.as_ref()), &command);
        }
        let upgrades = steps.iter().map(|(_, step)| step).zip(written);
        self.note_upgrades_of_commands(now, first, (device, asker.as_ref()), upgrades);
        let id = steps.first().map(|(id, _)| *id);
        if let Some(carry) = carry {
            self.carry(now, (device, carry), id, outcomes);
        }
        if let Some(ask) = ask {
            let command = id.and_then(|id| self.commands.devices.get(&device)?.queue.find(id).cloned());
            self.answer_with_command(now, ask, command.as_ref(), outcomes);
        }
        self.go_on_with_commands(now, device);
    }

    /// Answers a request whose step is durable, or was refused. A command that ran out while its `sent` was
    /// written is not handed out: the request is decided anew, and gets the next one, or none.
    fn answer_with_command(
        &mut self,
        now: Now,
        ask: Ask,
        command: Option<&Command>,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        let response = match (&ask.wanted, outcomes) {
            (
                CommandWanted::Fetch { .. } | CommandWanted::FetchOldest { .. },
                Ok([Written::Done | Written::Unchanged | Written::Upgrade(_)]),
            ) => match command {
                Some(command) if command.is_over(now.wall) => return self.decide_anew(ask),
                Some(command) => {
                    let response = match (&ask.wanted, ask.bytes_of(command.id)) {
                        (_, Some(bytes)) => deliver_bytes(bytes),
                        (CommandWanted::Fetch { content_format, .. }, None) => {
                            deliver(command, *content_format)
                        }
                        _ => short::deliver(command, ask.asker.short_model().flatten()),
                    };
                    return self.hand_out(now, &ask, command.id, response);
                }
                // Another command may have bytes.
                None if ask.made.is_some() => return self.decide_anew(ask),
                None => device_api::unavailable(),
            },
            // The queue is read first.
            (CommandWanted::Fetch { .. } | CommandWanted::FetchOldest { .. }, Ok([Written::CommandOver])) => {
                return self.decide_anew(ask);
            }
            (CommandWanted::Reply { .. }, Ok([Written::Done | Written::Upgrade(_)])) => acknowledge_reply(),
            (CommandWanted::Reply { .. }, Ok([Written::CommandOver])) => {
                return self.answer_without_command(now, &ask);
            }
            (_, outcomes) => {
                self.note(now, &ask.asker, outcomes);
                response_after(outcomes, device_api::unavailable())
            }
        };
        self.respond(now, ask.ticket, &ask.asker, response);
    }

    /// Answers a GET with its command, at once: by plain CoAP another one could ride in the response, but
    /// while that is written this one could end. The response names it instead. It does not name its own,
    /// which waits again if it took longer to write than the device has time.
    fn hand_out(&mut self, now: Now, ask: &Ask, id: CommandId, response: Response) {
        let Ask { ticket, asker, way, .. } = ask;
        if *way == Way::Protected {
            return self.respond(now, *ticket, asker, response);
        }
        let response = asker.with_its_code(response);
        let is_other = |oldest: &&Command| oldest.id != id;
        let entry = self.commands.devices.get(&asker.grant.device);
        let response = match entry.and_then(|entry| entry.waiting(now.wall, *way).next()).filter(is_other) {
            Some(oldest) => asker.with_command_waiting(response, oldest.order.fetched_at()),
            None => response,
        };
        self.out.respond(*ticket, response);
    }

    /// A GET comes first once more.
    pub(super) fn decide_anew(&mut self, ask: Ask) {
        if let Some(entry) = self.commands.devices.get_mut(&ask.asker.grant.device) {
            entry.waiting.push_front(ask);
        }
    }

    /// No command is there for a request: a GET is answered 4.04, and a reply changes nothing.
    fn answer_without_command(&mut self, now: Now, ask: &Ask) {
        let response = match &ask.wanted {
            CommandWanted::Fetch { .. } | CommandWanted::FetchOldest { .. } => nothing_waiting(),
            CommandWanted::Reply { id, .. } => {
                self.warn(now, &ask.asker, reply_ignored(*id));
                acknowledge_reply()
            }
        };
        self.respond(now, ask.ticket, &ask.asker, response);
    }

    pub(super) fn go_on_with_commands(&mut self, now: Now, device: DeviceId) {
        loop {
            match self.commands.next(device, now) {
                Next::Nothing => break,
                Next::Read => {
                    self.commands.read(device, &mut self.out);
                    break;
                }
                Next::Write(moving) => {
                    self.out.write(moving.writes(), Pending::CommandsMoved(Box::new(moving)));
                    break;
                }
                Next::Encode(ask, command) => {
                    if self.encode_command(now, device, ask, &command) {
                        break;
                    }
                }
                Next::NoneFor(ask) => self.answer_without_command(now, &ask),
                Next::Refuse(ask, answer) => self.answer(now, ask.ticket, &ask.asker, *answer),
                Next::NothingToCarry(carry) => self.respond_without(now, carry),
            }
        }
        self.tell_observer(now, device);
    }

    fn tell_command(
        &mut self,
        now: Now,
        place: Option<Position>,
        (device, asker): (DeviceId, Option<&Asker>),
        command: &Command,
    ) {
        if !self.out.has_followers {
            return;
        }
        let Command { id, order, state, code, data_json, message, .. } = command;
        let happening = Happening::Command(CommandMoved {
            time: now.wall,
            device: asker.map(|asker| name_of(&asker.grant)),
            id: id.to_string(),
            kind: order.topic.kind(),
            state: *state,
            code: code.or_else(|| code_of_end(*state).map(i64::from)),
            data: data_json.as_ref().and_then(|json| RawValue::from_string(json.to_string()).ok()),
            message: message.as_ref().map(ToString::to_string),
        });
        self.out.tell(place, happening, asker.is_none().then_some(device));
    }
}

/// Whether the store has a step of a command, since now or before.
fn is_moved(outcome: &Written) -> bool {
    matches!(outcome, Written::Done | Written::Unchanged | Written::Upgrade(_))
}

/// How a command ended that the store has open no more: by a step whose batch failed and is stored all the
/// same, by its time, or else because an operator took it back.
fn ended(command: &Command, unsure: &[Unsure], now: UnixMillis) -> Command {
    let written = unsure.iter().filter(|(id, ..)| *id == command.id).map(|(_, step, at)| (step, *at));
    let steps = written.chain([(&CommandStep::TimePasses, now), (&CommandStep::Cancel, now)]);
    let mut ways = steps.filter_map(|(step, at)| {
        let mut command = command.clone();
        command.step(step, at).is_ok().then_some(command).filter(|command| command.state.has_ended())
    });
    ways.next().unwrap_or_else(|| command.clone())
}
