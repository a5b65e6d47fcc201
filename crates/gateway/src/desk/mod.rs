//! The desk of one shard: its handshakes that wait, its sessions, and whose they are.
//!
//! A desk keeps its state apart from the others; what it shares with them is in [`Shared`].

mod handshake;
mod login;
mod plain;
mod request;
mod sessions;

pub(crate) use self::{
    handshake::LookupAsked, login::LoginAsked, plain::PlainAsked, request::response_after, sessions::Known,
};

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    ops::Range,
};

use narrowgate_engine::{
    event::{CloseCause, HandshakeId, SessionId, ShardCommand, ShardEvent},
    shard::throttle::Spent,
};
use narrowgate_platform::{
    device_api,
    model::product::Profile,
    rules::{admission::Grant, identity::SecureMode, refusal::Refusal},
};

use self::{handshake::Asked, login::Begun, request::Parked, sessions::Sessions};
use crate::{effect::Now, lookups::Waiter, products::Off, refusals, shared::Shared};

/// What a change of a product does to its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It, or its organisation unit, was switched off: they are closed.
    CloseAll(Off),
    /// Its secret was replaced: those that proved it are closed.
    CloseActivating,
    /// Its profile is another one: so is theirs.
    Profile(Profile),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    shard: u16,
    /// Handshakes that asked for their key, until they end. As many as the shard has under way.
    handshakes: BTreeMap<HandshakeId, Asked>,
    sessions: Sessions,
    /// Requests that wait for their product, by the slot of their session.
    parked: BTreeMap<u32, VecDeque<Parked>>,
}

impl Desk {
    pub(crate) fn new(shard: u16) -> Self {
        Self { shard, handshakes: BTreeMap::new(), sessions: Sessions::default(), parked: BTreeMap::new() }
    }

    pub(crate) fn handle_event(&mut self, shared: &mut Shared, now: Now, event: ShardEvent) {
        match event {
            ShardEvent::Request { ticket, request } => self.handle_request(shared, now, ticket, request),
            ShardEvent::Heard { session } => self.hear(shared, now, session),
            ShardEvent::RequestRefused { session, refused } => {
                self.refuse_below(shared, now, session, || device_api::refused_below(&refused));
            }
            ShardEvent::Malformed { session, fault } => {
                self.refuse_below(shared, now, session, || device_api::malformed(fault));
            }
            ShardEvent::AnswerTooLarge { session, bytes, bytes_max } => {
                self.refuse_below(shared, now, session, || device_api::answer_too_large(bytes, bytes_max));
            }
            ShardEvent::MessageIdReused { session, mid, within } => {
                if let Some(known) = self.sessions.find(session) {
                    shared.warn(now, &known.asker, device_api::message_id_reused(mid, within));
                }
            }
            ShardEvent::Forged { session, peer, records } => self.warn_of_forgeries(session, peer, records),
            ShardEvent::PskWanted { handshake, peer, identity } => {
                self.want_psk(shared, now, handshake, peer, &identity);
            }
            ShardEvent::Connected { handshake, session, peer, suite, verified } => {
                let begun = Begun { session, verified, peer, suite: Some(suite), ticket: None };
                self.connect(shared, now, handshake, begun);
            }
            ShardEvent::LoginWanted { handshake, peer, request } => {
                self.want_login(shared, now, handshake, peer, &request);
            }
            ShardEvent::LoginRefused { peer, refused } => shared.note_refused_login(now, peer, &refused),
            ShardEvent::LoggedIn { handshake, ticket, peer, verified } => {
                self.connect(shared, now, handshake, Begun::plain(ticket, peer, verified));
            }
            ShardEvent::Throttled { session, wait_s } => self.throttle(shared, now, session, wait_s),
            ShardEvent::ObservationEnded { session, end } => {
                if let Some(known) = self.sessions.find(session) {
                    shared.end_observation(now, session, &known.asker, end);
                }
            }
            ShardEvent::Spent { session, spent } => self.note_spent(shared, now, session, spent),
            ShardEvent::Closed { session, cause } => self.end(shared, now, session, cause),
            ShardEvent::WrongKey { handshake, peer, failed } => {
                self.handle_wrong_key(shared, now, handshake, peer, failed);
            }
            ShardEvent::Refused { peer, refusal } => {
                let refused = refusals::of_hello(&refusal);
                shared.refusals.record_alert(&mut shared.out, now, refused, peer);
            }
            ShardEvent::KeyExchangeRejected { peer, rejected } => {
                let refused = refusals::of_key_exchange(&rejected);
                shared.refusals.record(&mut shared.out, now, refused, peer);
            }
            ShardEvent::Stray { peer, stray } => {
                shared.refusals.record(&mut shared.out, now, refusals::of_stray(stray), peer);
            }
            ShardEvent::HandshakeEnded { handshake } => self.end_handshake(shared, now, handshake),
        }
    }

    /// A session, where it stands.
    pub(crate) fn known(&self, session: SessionId) -> Option<&Known> {
        self.sessions.find(session)
    }

    fn end(&mut self, shared: &mut Shared, now: Now, session: SessionId, cause: CloseCause) {
        let Some(known) = self.sessions.remove(session) else { return };
        // Nobody is left to be answered.
        self.parked.remove(&session.slot);
        if known.asker.login().is_none() {
            shared.out.drop_look_up(Waiter::Session(session));
        }
        let (device, by_peer) = (known.asker.grant.device, cause == CloseCause::ByPeer);
        shared.drop_command_encoding(now, device, session);
        shared.observers.remove(device, session);
        shared.residence.end_session(&mut shared.out, now, device, session, by_peer);
    }

    /// Does to the sessions of a product, of these slots, what its change asks for; returns how many slots
    /// there are.
    pub(crate) fn change_product(
        &mut self,
        shared: &mut Shared,
        now: Now,
        (product_key, reach): (&str, Reach),
        slots: Range<u32>,
    ) -> u32 {
        match reach {
            Reach::CloseAll(off) => self.close_product(shared, now, (product_key, Some(off)), slots),
            Reach::CloseActivating => self.close_product(shared, now, (product_key, None), slots),
            Reach::Profile(profile) => {
                let (looked_at, sessions) = self.sessions.range_mut(self.shard, slots);
                for (session, known) in sessions {
                    if known.asker.grant.product_key() == product_key {
                        known.set_profile(&mut shared.out, session, profile);
                    }
                }
                looked_at
            }
        }
    }

    /// Ends the sessions of a product that is off; of one that is not, those that have proved its secret.
    fn close_product(
        &self,
        shared: &mut Shared,
        now: Now,
        (product_key, off): (&str, Option<Off>),
        slots: Range<u32>,
    ) -> u32 {
        let (looked_at, sessions) = self.sessions.range(self.shard, slots);
        for (session, known) in sessions {
            let grant = &known.asker.grant;
            let is_activating = grant.mode == SecureMode::ProductSecret;
            if grant.product_key() != product_key || off.is_none() && !is_activating {
                continue;
            }
            shared.out.close(session);
            // What a session with the product's secret still wishes for is not issued.
            shared.residence.directory.remove(grant.device, session);
            if let Some(off) = off {
                shared.residence.presence.forget(&mut shared.out, now, grant.device, off.cause());
            }
        }
        looked_at
    }

    fn hear(&self, shared: &mut Shared, now: Now, session: SessionId) {
        if let Some(known) = self.sessions.find(session) {
            shared.hear(now, &known.asker, false);
        }
    }

    /// Requests of a session come faster than the limit of bytes permits. Each is counted by the shard.
    fn throttle(&self, shared: &mut Shared, now: Now, session: SessionId, wait_s: u32) {
        if let Some(known) = self.sessions.find(session) {
            shared.hear(now, &known.asker, false);
            shared.hold_back(now, &known.asker, wait_s);
        }
    }

    /// What a session that ends has spent is charged to the device's next one, which may be there already.
    fn note_spent(&self, shared: &mut Shared, now: Now, session: SessionId, spent: Spent) {
        let Some(known) = self.sessions.find(session) else { return };
        let Grant { device, mode, .. } = known.asker.grant;
        if mode != SecureMode::DeviceSecret {
            // Who holds a product's secret must not use up what its devices may send.
            return;
        }
        match shared.residence.directory.login_of(device).filter(|login| *login != session) {
            Some(next) => shared.out.command(next.shard, ShardCommand::Charge { session: next, spent }),
            None => shared.spent.note(now.instant, device, spent),
        }
    }

    /// The program's log alone: the device has done nothing.
    fn warn_of_forgeries(&self, session: SessionId, peer: SocketAddr, records: u32) {
        let grant = self.sessions.find(session).map(|known| &known.asker.grant);
        let device = grant.map(|grant| format!("{}/{}", grant.product_key(), grant.device_key()));
        let device = device.as_deref().unwrap_or("unknown");
        tracing::warn!(
            device,
            %peer,
            records,
            "somebody forges records of a device's session; they are dropped, and the session goes on"
        );
    }

    /// A request that was answered by the shard alone.
    fn refuse_below(
        &self,
        shared: &mut Shared,
        now: Now,
        session: SessionId,
        refusal: impl FnOnce() -> Refusal,
    ) {
        if let Some(known) = self.sessions.find(session) {
            shared.refuse(now, &known.asker, refusal());
        }
    }
}
