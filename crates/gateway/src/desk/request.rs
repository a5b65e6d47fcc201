//! Requests: each is decided by the device API, as soon as the product of its session is known.

use std::sync::Arc;

use narrowgate_api::happening::{self, Happening};
use narrowgate_coap::{Code, Request, Response};
use narrowgate_engine::event::{SessionId, Ticket};
use narrowgate_platform::{
    device_api::{self, Action, ProductState},
    ids::Position,
    model::{
        message::{MessageKind, read_event},
        retention::RetentionClass,
    },
    ports::{StoreError, Write, Written},
    rules::{admission::Grant, clock::Arrival, identity::SecureMode},
};
use serde_json::value::RawValue;

use super::Desk;
use crate::{
    effect::Now,
    outbox::Pending,
    products::{CachedProduct, Off},
    requests::{Asker, Whose, name_of},
    shared::Shared,
};

/// A request that waits for its product. As many wait as the shard has in flight: it limits those of a
/// session and their memory.
#[derive(Debug)]
pub(crate) struct Parked {
    ticket: Ticket,
    request: Request,
    arrived: Arrival,
}

impl Desk {
    pub(super) fn handle_request(&mut self, shared: &mut Shared, now: Now, ticket: Ticket, request: Request) {
        let Some(known) = self.sessions.find(ticket.session) else { return };
        let product_key = known.asker.grant.product_key();
        if let Some(product) = shared.products.find(product_key) {
            let product = Arc::clone(product);
            let arrived = shared.clock.now();
            return self.serve(shared, now, ticket, &request, arrived, Some(&product));
        }
        let parked = self.parked.entry(ticket.session.slot).or_default();
        if parked.is_empty() {
            shared.products.wait(&mut shared.out, product_key, ticket.session);
        }
        parked.push_back(Parked { ticket, request, arrived: shared.clock.now() });
    }

    /// The product for which requests of this session wait was read; `None`: it could not be.
    pub(crate) fn serve_parked(
        &mut self,
        shared: &mut Shared,
        now: Now,
        session: SessionId,
        product: Option<&Arc<CachedProduct>>,
    ) {
        // The requests of a session that ended meanwhile are gone with it.
        if self.sessions.find(session).is_none() {
            return;
        }
        for Parked { ticket, request, arrived } in self.parked.remove(&session.slot).unwrap_or_default() {
            self.serve(shared, now, ticket, &request, arrived, product);
        }
    }

    fn serve(
        &mut self,
        shared: &mut Shared,
        now: Now,
        ticket: Ticket,
        request: &Request,
        arrived: Arrival,
        product: Option<&Arc<CachedProduct>>,
    ) {
        let Some(known) = self.sessions.find_mut(ticket.session) else { return };
        let short = product.filter(|product| product.short_paths && device_api::short::is_for(&request.path));
        let content_code = product.map(|product| product.content_code).unwrap_or_default();
        let asker = Asker::new(&known.asker, short.cloned(), content_code);
        if let Some(product) = product.filter(|product| product.off().is_none()) {
            shared.note_bytes(now, asker.grant.device, product.custom.is_some());
        }
        let action = device_api::handle_within(
            shared.message_limit,
            &asker.grant,
            request,
            state_of(product),
            arrived,
        );
        self.act(shared, now, ticket, asker, action, arrived, product);
    }

    /// Does what was decided.
    #[allow(clippy::too_many_arguments, reason = "one for each thing that a request is decided by")]
    pub(crate) fn act(
        &mut self,
        shared: &mut Shared,
        now: Now,
        ticket: Ticket,
        asker: Asker,
        action: Action,
        arrived: Arrival,
        product: Option<&Arc<CachedProduct>>,
    ) {
        let Some(known) = self.sessions.find_mut(ticket.session) else { return };
        let retention = product.map(|product| product.retention).unwrap_or_default();
        let counted = match shared.take_reports(now, &asker, &action, product, arrived) {
            Ok(counted) => counted,
            Err(used_up) => {
                shared.hear(now, &asker, false);
                return shared.refuse_reports(now, ticket, &asker, used_up);
            }
        };
        // A refusal is an exchange too: the device was heard.
        shared.hear(now, &asker, matches!(action, Action::Store { .. }));
        match action {
            Action::Store { writes, response, warning } => {
                if let Some(warning) = warning
                    && !known.warned
                {
                    // What the limits suppress is said at the next report.
                    known.warned = shared.warn(now, &asker, warning);
                }
                shared.store_with_reply(ticket, asker, (retention, counted), writes, response);
            }
            Action::Edit(wanted) => shared.edit_with_reply(ticket, asker, wanted, arrived),
            Action::Decode(body) => {
                if let Some(product) = product {
                    shared.decode(now, ticket, asker, body, arrived, product);
                }
            }
            Action::Query(wanted) => shared.query(now, ticket, asker, *wanted),
            Action::Ota(wanted) => shared.handle_ota(now, ticket, asker, *wanted, arrived),
            Action::ReadBlock(wanted) => shared.fetch_block(now, ticket, asker, wanted),
            Action::Respond(answer) => {
                let (response, refusal) = answer.into_parts();
                shared.respond(now, ticket, &asker, response);
                if let Some(refusal) = refusal {
                    shared.refuse(now, &asker, refusal);
                }
            }
            Action::Unavailable(response) => {
                shared.requests.count_unavailable();
                shared.respond(now, ticket, &asker, response);
            }
            Action::Command(wanted) => shared.handle_command(now, ticket, asker, wanted),
            Action::ShortReply(reply) => shared.handle_short_reply(now, ticket, asker, &reply),
            Action::CountCommands(wanted) => shared.count_commands(now, ticket, &asker, wanted),
            Action::IssueSecret(wanted) => shared.wish(now, ticket, asker, wanted),
        }
    }
}

fn state_of(product: Option<&Arc<CachedProduct>>) -> ProductState<'_> {
    let Some(product) = product else { return ProductState::Unreadable };
    match product.off() {
        Some(Off::Product) => ProductState::Off,
        Some(Off::Unit) => ProductState::Suspended,
        None if product.custom.is_some() => {
            ProductState::OnWithBytes { model: product.model.as_ref(), short_paths: product.short_paths }
        }
        None if product.short_paths => ProductState::OnWithShortPaths(product.model.as_ref()),
        None => ProductState::On(product.model.as_ref()),
    }
}

impl Shared {
    /// Something authentic arrived in a session. A session with the product's secret makes no device online.
    pub(super) fn hear(&mut self, now: Now, asker: &Whose, reported: bool) {
        if asker.grant.mode == SecureMode::DeviceSecret {
            let heard = (asker.grant.device, asker.login());
            self.residence.presence.hear(&mut self.out, now, heard, reported);
        }
    }

    /// Has reports written; the answer, and events for listeners if there are any, follow when they are
    /// durable.
    pub(crate) fn store(
        &mut self,
        ticket: Ticket,
        asker: Asker,
        (retention, counted): (RetentionClass, u32),
        mut writes: Vec<Write>,
        response: Response,
    ) {
        let mut reports = 0;
        for write in &mut writes {
            if let Write::Message(message) = write {
                reports += 1;
                message.login = asker.login();
                message.secret_version = asker.grant.secret_version;
                message.session = ticket.session.number();
                message.retention = retention;
            }
        }
        let happenings = if self.out.has_followers {
            let happening = |(index, write)| Some((index, happening_of(write, &asker.grant)?));
            writes.iter().enumerate().filter_map(happening).collect()
        } else {
            Vec::new()
        };
        self.out.write(writes, Pending::Report { ticket, response, asker, happenings, reports, counted });
    }

    /// Tells of reports that are durable, each in its place; `first` is that of the first write.
    pub(crate) fn tell_reports(
        &mut self,
        first: Option<Position>,
        happenings: Vec<(usize, Happening)>,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        if outcomes.is_ok_and(|outcomes| outcomes.iter().all(|outcome| *outcome == Written::Done)) {
            for (index, happening) in happenings {
                self.out.tell(first.map(|first| first.after(index)), happening, None);
            }
        }
    }

    /// Reports are durable, or the store has refused them.
    pub(crate) fn handle_stored(
        &mut self,
        now: Now,
        (ticket, response): (Ticket, Response),
        (asker, reports): (&Asker, u32),
        outcomes: Result<&[Written], &StoreError>,
    ) {
        if outcomes.is_ok_and(|outcomes| outcomes.iter().all(|outcome| *outcome == Written::Done)) {
            self.refusals.rates.count_reports(now, asker.grant.product_key(), reports);
        }
        self.note(now, asker, outcomes);
        self.respond(now, ticket, asker, response_after(outcomes, response));
    }
}

/// The answer to a request whose writes came to this.
pub(crate) fn response_after(outcomes: Result<&[Written], &StoreError>, response: Response) -> Response {
    match outcomes {
        Ok(outcomes) if outcomes.iter().all(|outcome| *outcome == Written::Done) => response,
        // The store's fault. The device is to try again, in the session that it then has.
        Ok(outcomes) if outcomes.contains(&Written::LoginUnknown) || outcomes.contains(&Written::Damaged) => {
            device_api::unavailable()
        }
        Ok(_) => Response::new(Code::FORBIDDEN),
        Err(_) => device_api::unavailable(),
    }
}

fn happening_of(write: &Write, grant: &Grant) -> Option<Happening> {
    let Write::Message(message) = write else { return None };
    if message.kind == MessageKind::Event {
        let (event_id, output) = read_event(&message.points_json)?;
        return Some(Happening::Event(happening::Event {
            time: message.time,
            received_at: Some(message.arrival),
            device: Some(name_of(grant)),
            event_id,
            output: Some(output.into_raw()),
        }));
    }
    Some(Happening::Report(happening::Report {
        time: message.time,
        received_at: Some(message.arrival),
        device: Some(name_of(grant)),
        points: RawValue::from_string(message.points_json.to_string()).ok(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_report_that_was_stored_is_acknowledged() {
        let code = |outcomes| response_after(outcomes, Response::new(Code::CHANGED)).code;
        let full = StoreError::Unavailable("the disk is full".into());
        assert_eq!(code(Ok(&[Written::Done, Written::Done])), Code::CHANGED);
        assert_eq!(code(Ok(&[Written::Done, Written::DeviceUnavailable])), Code::FORBIDDEN);
        assert_eq!(code(Err(&full)), Code::SERVICE_UNAVAILABLE);
        assert_eq!(code(Ok(&[Written::LoginUnknown])), Code::SERVICE_UNAVAILABLE);
        assert_eq!(code(Ok(&[Written::Done, Written::Damaged])), Code::SERVICE_UNAVAILABLE);
    }
}
