//! Attributes and tags: what devices change of their own is written like a report, and what they ask for is
//! read from the store.
//!
//! Limits: [`READS_MAX`] reads at the same time, [`WAITING_MAX`] that wait for them; further queries are
//! answered 5.03.

use narrowgate_api::happening::{self, Happening};
use narrowgate_engine::event::Ticket;
use narrowgate_platform::{
    device_api::{self, EditWanted, QueryWanted, short},
    ids::{DeviceName, Position, UnixMillis},
    model::property::{Properties, PropertyEdit, PropertyKind, PropertyWrite},
    ports::{StoreError, Write, Written},
    rules::{clock::Arrival, rate::Seldom},
};
use serde_json::value::RawValue;

use crate::{
    ERRORS_EVERY,
    desk::response_after,
    effect::{Effect, Now},
    outbox::{Line, Outbox, Pending},
    requests::{Asker, name_of},
    shared::Shared,
};

/// Queries that are read at the same time: fewer than look-ups of handshakes, which they must not delay.
pub(crate) const READS_MAX: usize = 64;
/// Queries that wait for those. A device has some requests in flight, so this is many devices.
pub(crate) const WAITING_MAX: usize = 1024;

/// A change under way.
#[derive(Debug)]
pub(crate) struct Edited {
    ticket: Ticket,
    asker: Asker,
    wanted: EditWanted,
    happening: Option<Happening>,
}

/// A query under way.
#[derive(Debug)]
pub(crate) struct Queried {
    ticket: Ticket,
    asker: Asker,
    wanted: QueryWanted,
}

/// Queries that are read, and those that wait.
#[derive(Debug)]
pub(crate) struct Queries {
    line: Line<Queried>,
    errors: Seldom,
}

impl Queries {
    pub(crate) fn new() -> Self {
        Self { line: Line::new(READS_MAX), errors: Seldom::new(ERRORS_EVERY) }
    }

    fn ask(&mut self, out: &mut Outbox) {
        while let Some(queried) = self.line.poll() {
            let (device, kind) = (queried.asker.grant.device, queried.wanted.kind);
            out.ask(Pending::Query(Box::new(queried)), |token| Effect::Properties(token, device, kind));
        }
    }
}

impl Shared {
    /// Has a change written; the answer, and the event for listeners, follow when it is durable.
    pub(crate) fn edit(&mut self, ticket: Ticket, asker: Asker, wanted: EditWanted, arrived: Arrival) {
        let at = arrived.time;
        let happening = self.out.has_followers.then(|| happening_of(&wanted.edit, name_of(&asker.grant), at));
        let write = Write::Properties(Box::new(PropertyWrite {
            device: asker.grant.device,
            login: asker.login(),
            secret_version: asker.grant.secret_version,
            at,
            edit: wanted.edit.clone(),
        }));
        self.out.write(vec![write], Pending::Edit(Box::new(Edited { ticket, asker, wanted, happening })));
    }

    /// An operator has made a change.
    pub(crate) fn tell_edit(&mut self, now: Now, name: &DeviceName, edit: &PropertyEdit) {
        if self.out.has_followers {
            self.out.tell(None, happening_of(edit, name.clone(), now.wall), None);
        }
    }

    /// A change is durable, or the store has refused it.
    pub(crate) fn handle_edited(
        &mut self,
        now: Now,
        edited: Edited,
        first: Option<Position>,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        let Edited { ticket, asker, wanted, happening } = edited;
        match outcomes {
            Ok(&[Written::TooMuch(bytes)]) => {
                let (response, refusal) = asker.in_its_form(wanted.too_much(bytes)).into_parts();
                if let Some(refusal) = refusal {
                    self.refuse(now, &asker, refusal);
                }
                self.respond(now, ticket, &asker, response);
            }
            outcomes => {
                if let (Ok([Written::Done]), Some(happening)) = (outcomes, happening) {
                    self.out.tell(first, happening, None);
                }
                self.note(now, &asker, outcomes);
                self.respond(now, ticket, &asker, response_after(outcomes, wanted.response));
            }
        }
    }

    /// Has what a device asks for read; the answer follows.
    pub(crate) fn query(&mut self, now: Now, ticket: Ticket, asker: Asker, wanted: QueryWanted) {
        if self.queries.line.waiting() >= WAITING_MAX {
            self.requests.count_unavailable();
            return self.respond(now, ticket, &asker, device_api::unavailable());
        }
        self.queries.line.enter(Queried { ticket, asker, wanted });
        self.queries.ask(&mut self.out);
    }

    /// A query is read, or could not be.
    pub(crate) fn handle_properties(
        &mut self,
        now: Now,
        queried: Queried,
        answer: Result<Properties, StoreError>,
    ) {
        let Queried { ticket, asker, wanted } = queried;
        self.queries.line.leave();
        self.queries.ask(&mut self.out);
        match answer {
            Ok(all) => {
                let answer = match asker.short_model() {
                    Some(model) => short::answer_query(&wanted, &all, model),
                    None => wanted.answer(&all),
                };
                let (response, refusal) = answer.into_parts();
                if let Some(refusal) = refusal {
                    self.refuse(now, &asker, refusal);
                }
                self.respond(now, ticket, &asker, response);
            }
            Err(error) => {
                if let Some(left_out) = self.queries.errors.permit(now.instant) {
                    let device = asker.grant.device.0;
                    tracing::error!(device, %error, left_out, "the store cannot read what a device asks for");
                }
                self.requests.count_unavailable();
                self.respond(now, ticket, &asker, device_api::unavailable());
            }
        }
    }
}

fn happening_of(edit: &PropertyEdit, name: DeviceName, time: UnixMillis) -> Happening {
    let set = Properties::default().or(edit.set.iter().cloned());
    let set = (!edit.set.is_empty()).then(|| RawValue::from_string(set.to_json()).ok()).flatten();
    let edited = happening::Edit { time, device: Some(name), set, deleted: edit.unset.clone() };
    match edit.kind {
        PropertyKind::Attribute => Happening::Attributes(edited),
        PropertyKind::Tag => Happening::Tags(edited),
    }
}
