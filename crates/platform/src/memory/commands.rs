//! The commands of a device in a [`Model`].

use std::collections::VecDeque;

use super::model::{Model, missing};
use crate::{
    ids::{DeviceId, UnixMillis},
    model::{
        command::{Command, CommandId, CommandMove, CommandStep, Expected, OpenCommand, Order},
        device::DeviceState,
        log::LogEntry,
    },
    paging::{Collector, Page, Part, Place},
    ports::{StoreError, Written},
    rules::{
        commands::{NotSent, OPEN_MAX_DEFAULT, SendCase, ended_kept, kept_from, next_id},
        happened::of_command,
    },
};

/// Most commands of a device that have not ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenMax(pub(super) usize);

impl Default for OpenMax {
    fn default() -> Self {
        Self(OPEN_MAX_DEFAULT)
    }
}

/// Commands that are kept of a device, in the order of their sending, each with its number.
#[derive(Debug, Default)]
pub(super) struct Commands {
    kept: VecDeque<(u64, Command)>,
    sent: u64,
}

impl Commands {
    fn open(&self) -> impl Iterator<Item = &Command> {
        self.kept.iter().map(|(_, command)| command).filter(|command| !command.state.has_ended())
    }

    /// Those that are open at this time, whether that is written down or not.
    pub(super) fn open_count(&self, at: UnixMillis) -> usize {
        self.open().filter(|command| !command.is_over(at)).count()
    }

    fn find_mut(&mut self, id: CommandId) -> Option<&mut Command> {
        self.kept.iter_mut().map(|(_, command)| command).find(|command| command.id == id)
    }

    /// Takes back one or all that have not ended; returns them.
    pub(super) fn cancel(&mut self, id: Option<CommandId>, at: UnixMillis) -> Vec<Command> {
        self.step_open(id, &CommandStep::Cancel, at)
    }

    /// The last one's id.
    pub(super) fn last_id(&self) -> Option<CommandId> {
        self.kept.back().map(|(_, command)| command.id)
    }

    /// One or all that have not ended; returns those that have changed.
    fn step_open(&mut self, id: Option<CommandId>, step: &CommandStep, at: UnixMillis) -> Vec<Command> {
        let wanted = self.kept.iter_mut().map(|(_, command)| command);
        wanted
            .filter(|command| id.is_none_or(|id| command.id == id))
            .filter_map(|command| (command.step(step, at) == Ok(true)).then(|| command.clone()))
            .collect()
    }

    /// The id of the next one.
    fn next(&self, of_gone: Option<CommandId>, at: UnixMillis) -> CommandId {
        let last = self.last_id().max(of_gone);
        next_id(last, at, |id| self.kept.iter().any(|(_, command)| command.id == id))
    }

    fn send(
        &mut self,
        (order, expected): (Order, Option<Expected>),
        id: CommandId,
        at: UnixMillis,
    ) -> Command {
        let command = Command { expected, ..Command::new(id, order, at) };
        self.sent += 1;
        self.kept.push_back((self.sent, command.clone()));
        self.drop_old(at);
        command
    }

    fn drop_old(&mut self, at: UnixMillis) {
        let from = kept_from(at);
        let rows = self.kept.iter();
        let mut ended: Vec<(UnixMillis, u64, usize)> =
            rows.filter_map(|(number, it)| Some((it.ended?, *number, it.reply_bytes()))).collect();
        ended.sort_unstable_by(|one, other| other.cmp(one));
        let surplus = ended.get(ended_kept(ended.iter().map(|(.., bytes)| *bytes)));
        let newest_surplus = surplus.map(|(ended, number, _)| (*ended, *number));
        self.kept.retain(|(number, command)| {
            command.ended.is_none_or(|ended| ended >= from && Some((ended, *number)) > newest_surplus)
        });
    }

    /// Newest first.
    pub(super) fn part(&self, part: Part) -> Page<Command> {
        let follows = |number: u64| part.after.is_none_or(|after| (number as i64) < after.0[0]);
        let mut page = Collector::new(part.limit);
        for (number, command) in self.kept.iter().rev().filter(|(number, _)| follows(*number)) {
            let place = Place([*number as i64, 0, 0, 0]);
            if !page.take_long(place, command.clone(), command.reply_bytes()) {
                break;
            }
        }
        page.finish()
    }
}

impl Model {
    pub(super) fn send_command(
        &mut self,
        device: DeviceId,
        order: (Order, Option<Expected>),
        only_id: Option<CommandId>,
        at: UnixMillis,
    ) -> Result<Result<Command, NotSent>, StoreError> {
        let of_gone = self.last_command_of_gone;
        let OpenMax(open_max) = self.open_max;
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        let mut case = SendCase {
            activated: row.life.active_time.is_some(),
            online: row.life.state == DeviceState::Online,
            open: row.commands.open().count(),
            open_max,
            pending_ttl_s: order.0.pending_ttl_s,
        };
        if case.is_full() {
            // What is over by its time makes room, also where no server has written that down.
            let over = row.commands.step_open(None, &CommandStep::TimePasses, at);
            case.open -= over.len();
            self.tell_commands(device, at, &over);
            self.commands_moved(device, &over, at);
        }
        if let Err(why) = case.permit() {
            return Ok(Err(why));
        }
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        let id = row.commands.next(of_gone, at);
        if only_id.is_some_and(|only| only != id) {
            return Ok(Err(NotSent::OtherId(id)));
        }
        let command = row.commands.send(order, id, at);
        row.note(LogEntry::command_sent(device, at, &command));
        self.tell(device, of_command(at, &command));
        Ok(Ok(command))
    }

    pub(super) fn cancel_commands(
        &mut self,
        device: DeviceId,
        id: Option<CommandId>,
        at: UnixMillis,
    ) -> Result<Vec<Command>, StoreError> {
        let row = self.row_mut(device).ok_or_else(|| missing(device))?;
        if let Some(id) = id
            && row.commands.find_mut(id).is_none()
        {
            return Err(StoreError::Missing { what: "command", key: id.to_string() });
        }
        let cancelled = row.commands.cancel(id, at);
        LogEntry::commands_cancelled(device, at, &cancelled).into_iter().for_each(|entry| row.note(entry));
        self.tell_commands(device, at, &cancelled);
        self.commands_moved(device, &cancelled, at);
        Ok(cancelled)
    }

    pub(super) fn move_command(&mut self, wanted: &CommandMove) -> Written {
        let enabled = self.enabled_row_mut(wanted.device).is_some();
        let Some(row) = self.row_mut(wanted.device) else { return Written::DeviceUnavailable };
        if let Some(session) = wanted.session {
            let standing = crate::rules::life::Standing { enabled, ..row.life.standing() };
            if let Err(refused) = standing.permit_report(Some(session.login), session.secret_version) {
                return refused;
            }
        }
        let Some(command) = row.commands.find_mut(wanted.id) else { return Written::CommandOver };
        match command.step(&wanted.step, wanted.at) {
            Ok(true) => {
                let moved = command.clone();
                self.tell(wanted.device, of_command(wanted.at, &moved));
                let upgrade = self.commands_moved(wanted.device, &[moved], wanted.at);
                upgrade.map_or(Written::Done, Written::Upgrade)
            }
            Ok(false) => Written::Unchanged,
            Err(_) => Written::CommandOver,
        }
    }

    /// Followers are told of commands that have changed.
    pub(super) fn tell_commands(&mut self, device: DeviceId, at: UnixMillis, moved: &[Command]) {
        moved.iter().for_each(|command| self.tell(device, of_command(at, command)));
    }

    pub(super) fn command(&self, device: DeviceId, id: CommandId) -> Option<Command> {
        let kept = &self.row(device)?.commands.kept;
        kept.iter().map(|(_, command)| command).find(|command| command.id == id).cloned()
    }

    pub(super) fn open_commands(&self, device: DeviceId) -> Vec<Command> {
        self.row(device).map_or_else(Vec::new, |row| row.commands.open().cloned().collect())
    }

    /// Those of all devices.
    pub(super) fn all_open_commands(&self) -> Vec<OpenCommand> {
        let of = |device| move |command: &Command| OpenCommand { device, command: command.clone() };
        self.rows().flat_map(|row| row.commands.open().map(of(row.id))).collect()
    }
}
