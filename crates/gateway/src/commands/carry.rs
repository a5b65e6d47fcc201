//! Responses by plain CoAP, which carry a waiting command in themselves (device protocol, section 8). The
//! command is sent with them: so a response waits until that is durable, behind whatever of its device is
//! under way. It is offered as by a GET: the oldest of its topic, under one id, and again only when its
//! time-out has passed. A response that can carry nothing goes out at once. Offers of firmware do not go this
//! way, so what rides is encoded already.

use narrowgate_coap::Response;
use narrowgate_engine::event::Ticket;
use narrowgate_platform::{
    device_api::{carried::with_command, commands::with_command_waiting},
    ids::{DeviceId, UnixMillis},
    model::{
        command::{Command, CommandId, CommandStep},
        product::DataFormat,
    },
    ports::{StoreError, Written},
    rules::commands::Way,
};

use super::{Entry, Moving, Next};
use crate::{effect::Now, requests::Asker, shared::Shared};

/// A response that is to carry a command.
#[derive(Debug)]
pub(crate) struct Carry {
    ticket: Ticket,
    pub(super) asker: Asker,
    response: Response,
}

impl Carry {
    fn with(&self, command: &Command) -> Option<Response> {
        with_command(&self.response, &self.asker.grant, command)
    }
}

impl Entry {
    /// What is to be done for the next response that is to carry a command.
    pub(super) fn next_carry(&mut self, device: DeviceId, at: UnixMillis) -> Option<Next> {
        let carry = self.carries.pop_front()?;
        let fits = |command: &&Command| self.serves(command) && carry.with(command).is_some();
        Some(match self.queue.oldest_to_offer(at, Way::Plain).filter(fits) {
            Some(command) => {
                let steps = vec![(command.id, CommandStep::Fetch)];
                Next::Write(Moving { device, steps, at, ask: None, carry: Some(carry) })
            }
            None => Next::NothingToCarry(carry),
        })
    }
}

impl Shared {
    /// Answers a request that came by plain CoAP.
    pub(super) fn respond_and_carry(&mut self, now: Now, ticket: Ticket, asker: &Asker, response: Response) {
        if asker.is_short() {
            // Its form has no place for a command: the option says that one waits.
            let response = self.commands.mark(now.wall, (asker, Way::Plain), DataFormat::default, response);
            return self.out.respond(ticket, response);
        }
        if ticket.exchange.is_unwanted(response.code) {
            // It is not sent, and a command in it would be lost.
            return self.out.respond(ticket, response);
        }
        let device = asker.grant.device;
        let Some(entry) = self.commands.devices.get_mut(&device) else {
            return self.out.respond(ticket, response);
        };
        let offered = entry.queue.oldest_to_offer(now.wall, Way::Plain);
        let Some(command) = offered.filter(|command| entry.serves(command)) else {
            // One of a topic whose oldest the device has already is named, as by DTLS.
            return self.out.respond(
                ticket,
                self.commands.mark(now.wall, (asker, Way::Plain), DataFormat::default, response),
            );
        };
        let carry = Carry { ticket, asker: asker.clone(), response };
        if carry.with(command).is_some() {
            entry.carries.push_back(carry);
            return self.go_on_with_commands(now, device);
        }
        // Too long for one datagram: the device fetches it.
        let named = with_command_waiting(carry.response, &asker.grant, command.order.fetched_at());
        self.out.respond(ticket, named);
    }

    /// What a response was to carry is gone meanwhile.
    pub(super) fn respond_without(&mut self, now: Now, carry: Carry) {
        let Carry { ticket, asker, response } = carry;
        self.respond_and_carry(now, ticket, &asker, response);
    }

    /// The store has written that a command was sent, or refused it. One that ran out meanwhile does not
    /// ride.
    pub(super) fn carry(
        &mut self,
        now: Now,
        (device, carry): (DeviceId, Carry),
        id: Option<CommandId>,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        let entry = self.commands.devices.get_mut(&device);
        let response = match (outcomes, entry) {
            (Ok([Written::CommandOver]), Some(entry)) => {
                // Decided anew, once the queue is read.
                return entry.carries.push_front(carry);
            }
            (Ok([Written::Done | Written::Unchanged | Written::Upgrade(_)]), Some(entry)) => {
                let command = id.and_then(|id| entry.queue.find(id));
                if command.is_some_and(|command| command.is_over(now.wall)) {
                    return entry.carries.push_front(carry);
                }
                command.and_then(|command| carry.with(command))
            }
            _ => None,
        };
        self.out.respond(carry.ticket, response.unwrap_or(carry.response));
    }
}
