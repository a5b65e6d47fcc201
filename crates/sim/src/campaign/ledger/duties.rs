//! What devices do beside their reports, shown to the parts of the ledger.

use std::time::Instant;

use narrowgate_coap::Response;
use narrowgate_engine::event::Ticket;
use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::property::{Properties, PropertyKind},
};

use super::{Checked, Ledger, Standing, broken};
use crate::campaign::agent::duties::Done;

impl Ledger {
    /// A device says what it does.
    pub fn done(&mut self, number: u32, done: Done) -> Checked {
        match done {
            Done::Got { id, number: order, topic } => self.commands.received(number, (id, order, &topic)),
            Done::Answers { id, code } => {
                self.commands.answers(number, id, code);
                Ok(())
            }
            Done::AnswerTaken { id } => self.commands.answer_taken(number, id),
            Done::Edits(which, value) => {
                self.traits.asked(number, which, value);
                Ok(())
            }
            Done::EditTaken(which, value) => {
                self.commands.totals.edits += 1;
                self.traits.acknowledged(number, which, value)
            }
            Done::Told(which, value) => self.traits.told(number, which, value),
            Done::Tells(event) => {
                self.sent.insert((number, event));
                Ok(())
            }
            Done::TellingTaken(event) => {
                self.commands.totals.events += 1;
                match self.stored.get(&(number, event)) {
                    Some(1) => Ok(()),
                    other => broken(number, format!("event {event} is acknowledged and stored: {other:?}")),
                }
            }
            Done::Puzzled(what) => broken(number, what),
        }
    }

    /// The gateway has answered a request.
    pub fn responded(
        &mut self,
        ticket: Ticket,
        response: &Response,
        (at, now): (UnixMillis, Instant),
    ) -> Checked {
        // The answer to a login is empty, whatever waits.
        if self.logins.remove(&ticket) {
            return Ok(());
        }
        match self.sessions.get(&ticket.session) {
            Some(Standing { number, is_plain: true, .. }) => {
                self.commands.responded_plainly(*number, ticket, response, (at, now))
            }
            Some(standing) => {
                let device = (standing.number, standing.is_login);
                self.commands.responded(device, ticket, response, (at, now))
            }
            None => Ok(()),
        }
    }

    /// What the store holds of what a device is like.
    pub fn compare_traits(&self, number: u32, kind: PropertyKind, stored: &Properties) -> Checked {
        self.traits.compare(number, kind, stored)
    }

    /// The number of a device of the store.
    pub fn number_of(&self, device: DeviceId) -> u32 {
        self.devices.get(&device).map_or(0, |known| known.number)
    }
}
