//! Logins by plain CoAP: the same look-up, pace, reasons and words as for handshakes, and a sign in place of
//! the key. A login that is refused is answered 4.03 whatever the reason, and what is written down about it
//! comes after its answer.

use std::{net::SocketAddr, time::Instant};

use narrowgate_coap::{RefusedRequest, Request, Response, UriPath};
use narrowgate_engine::event::{HandshakeId, ShardCommand, Ticket};
use narrowgate_platform::{
    device_api::{
        self,
        login::{self, LoginDecision, LoginRequest},
    },
    ids::{DeviceId, DeviceName},
    model::credential::CredentialLookup,
    ports::StoreError,
    rules::{identity::Identity, rate::Taken, refusal::Refusal},
};

use super::{Desk, handshake::Asked, login::Begun};
use crate::{
    effect::Now,
    limits::Door,
    lookups::Waiter,
    outbox::Pending,
    pace,
    refusals::{Refused, shown_identity},
    shared::Shared,
};

/// What the log says of a login in the place of a cipher suite.
pub(super) const OVER: &str = "plain CoAP, without encryption";

/// A look-up for a login.
#[derive(Debug)]
pub(crate) struct PlainAsked {
    pub(crate) handshake: HandshakeId,
    peer: SocketAddr,
    login: LoginRequest,
}

/// A login whose sign is not the one of its device's secret.
#[derive(Debug)]
pub(crate) struct WrongSign {
    pub(super) claimed: (Identity, DeviceId),
    pub(super) peer: SocketAddr,
    pub(super) sign: Box<str>,
}

impl Desk {
    pub(super) fn want_login(
        &mut self,
        shared: &mut Shared,
        now: Now,
        handshake: HandshakeId,
        peer: SocketAddr,
        request: &Request,
    ) {
        let login = match login::read(request, shared.message_limit) {
            Ok(login) => login,
            Err(answer) => {
                let (response, refusal) = answer.into_parts();
                self.refuse_login(shared, handshake, response);
                if let Some(refusal) = refusal {
                    shared.record_claimed_login(now, &request.path, peer, refusal);
                }
                return;
            }
        };
        let bytes = login.shown.as_bytes();
        if let Taken::No { wait, is_first } =
            shared.plain_pace.permit(now.instant, peer.ip(), &login.identity, bytes)
        {
            let wait_s = wait.as_secs_f64().ceil() as u32;
            self.refuse_login(shared, handshake, login::too_early(wait_s));
            if is_first {
                let refusal = pace::refusal(peer.ip(), wait);
                shared.record_claimed_login(now, &request.path, peer, refusal);
            }
            return;
        }
        // Every login causes a look-up, also one that cannot be served.
        let nobody = DeviceName { product_key: String::new(), device_key: String::new() };
        let name = login::name_in(&request.path).unwrap_or(nobody);
        self.handshakes.insert(handshake, Asked::Waiting);
        let asked = PlainAsked { handshake, peer, login };
        shared.out.look_up(Waiter::Handshake(handshake), name, Pending::Plain(Box::new(asked)));
    }

    /// The store has answered.
    pub(crate) fn decide_login(
        &mut self,
        shared: &mut Shared,
        now: Now,
        asked: PlainAsked,
        answer: Result<CredentialLookup, StoreError>,
    ) {
        let PlainAsked { handshake, peer, login } = asked;
        let Some(state) = self.handshakes.get_mut(&handshake) else {
            // The login ended before the store answered.
            return;
        };
        *state = Asked::Refused(None);
        let lookup = match answer {
            Ok(lookup) => lookup,
            Err(error) => {
                if let Some(left_out) = shared.lookup_errors.permit(now.instant) {
                    tracing::error!(%error, left_out, "the store cannot look up credentials");
                }
                return self.refuse_login(shared, handshake, device_api::unavailable());
            }
        };
        let name =
            login.identity.as_ref().map_or_else(|fault| fault.name.clone(), |it| Some(it.name.clone()));
        let (shown, sign) = (shown_identity(login.shown.as_bytes()), login.sign.clone());
        // What is written down waits for the end of the login: its answer has left then.
        match login::decide(login, &lookup) {
            LoginDecision::Admit(identity, grant) => {
                let lifetime = std::time::Duration::from_secs(grant.lifetime_s.into());
                *state = Asked::Admitted(Box::new((identity, grant)));
                shared.out.command(self.shard, ShardCommand::AdmitLogin { handshake, lifetime });
            }
            LoginDecision::WrongSign(identity, device) => {
                *state = Asked::WrongSign(Box::new(WrongSign { claimed: (identity, device), peer, sign }));
                self.refuse_login(shared, handshake, login::refused());
            }
            LoginDecision::Refuse { refusal, device } => {
                let refused = Refused { door: Door::Plain, device, name, identity: Some(shown), refusal };
                *state = Asked::Refused(Some(Box::new((refused, peer))));
                self.refuse_login(shared, handshake, login::refused());
            }
        }
    }

    fn refuse_login(&self, shared: &mut Shared, handshake: HandshakeId, response: Response) {
        shared.out.command(self.shard, ShardCommand::RefuseLogin { handshake, response });
    }
}

impl Begun {
    /// A login that became a session.
    pub(super) fn plain(ticket: Ticket, peer: SocketAddr, verified: Instant) -> Self {
        Self { session: ticket.session, verified, peer, suite: None, ticket: Some(ticket) }
    }
}

impl Shared {
    /// A login was refused by the CoAP layer.
    pub(super) fn note_refused_login(&mut self, now: Now, peer: SocketAddr, refused: &RefusedRequest) {
        self.record_claimed_login(now, &refused.path, peer, login::refused_below(refused));
    }

    /// Writes down the refusal of a login for which nothing was looked up.
    fn record_claimed_login(&mut self, now: Now, path: &UriPath, peer: SocketAddr, refusal: Refusal) {
        let name = login::name_in(path);
        let shown = |name: &DeviceName| {
            shown_identity(format!("{}/{}", name.product_key, name.device_key).as_bytes())
        };
        let (door, identity) = (Door::Plain, name.as_ref().map(shown));
        let refused = Refused { door, device: None, identity, name, refusal };
        self.refusals.record_claimed(&mut self.out, now, refused, peer);
    }
}
