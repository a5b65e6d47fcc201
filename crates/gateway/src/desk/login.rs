//! Sessions: how they begin, with which secret, and what the store answers.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use narrowgate_api::happening::{self, Happening};
use narrowgate_dtls::CipherSuite;
use narrowgate_engine::event::{HandshakeId, SessionId, ShardCommand, Ticket};
use narrowgate_platform::{
    device_api::{self, Warning, login},
    ids::{LoginNumber, Position, UnixMillis},
    model::{credential::CredentialLookup, log::Reason},
    ports::{StoreError, Write, Written},
    rules::{admission::Grant, identity::SecureMode, psk::mark, rate::Taken, refusal::Refusal},
};

use super::{Desk, handshake::Asked, plain};
use crate::{
    ACTIVATION_SESSION,
    effect::Now,
    limits::Door,
    lookups::Waiter,
    outbox::Pending,
    pace,
    refusals::Refused,
    requests::{Whose, name_of},
    residence::directory::Entered,
    shared::Shared,
};

/// A login that is not durable yet.
#[derive(Debug)]
pub(crate) struct LoginAsked {
    session: SessionId,
    number: LoginNumber,
    asker: Arc<Whose>,
    over: &'static str,
    /// The request to be answered, of a login by plain CoAP.
    ticket: Option<Ticket>,
    at: UnixMillis,
}

impl Desk {
    pub(super) fn connect(&mut self, shared: &mut Shared, now: Now, handshake: HandshakeId, begun: Begun) {
        let Begun { session, peer, .. } = begun;
        let Some(Asked::Admitted(admitted)) = self.handshakes.remove(&handshake) else {
            // A handshake with a decoy key never gets here.
            tracing::error!(%peer, "a session without a grant was closed");
            shared.out.close(session);
            return;
        };
        let grant = admitted.1;
        if !shared.permit_login(now, &begun, &grant) {
            return;
        }
        let number = match grant.mode {
            SecureMode::DeviceSecret => Some(shared.residence.number_login()),
            SecureMode::ProductSecret => None,
        };
        let asker = Whose::new(grant, peer, number);
        // The product may have changed since the look-up: what is in memory is newer.
        let product = shared.products.find(asker.grant.product_key());
        let profile = product.map_or(asker.grant.profile, |product| product.profile);
        let known = self.sessions.insert(session, begun.suite, asker.clone());
        known.set_profile(&mut shared.out, session, profile);
        if let Some(spent) = number.and_then(|_| shared.spent.take(now.instant, asker.grant.device)) {
            shared.out.command(self.shard, ShardCommand::Charge { session, spent });
        }
        match number {
            Some(number) => shared.log_in(now, begun, number, &asker),
            None => shared.activate(now, session, &asker),
        }
    }
}

/// A session that begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    pub(super) session: SessionId,
    /// When its secret was proved.
    pub(super) verified: Instant,
    pub(super) peer: SocketAddr,
    /// The cipher suite; `None`: it is plain CoAP.
    pub(super) suite: Option<CipherSuite>,
    /// The request that is answered once the login is durable, of one by plain CoAP.
    pub(super) ticket: Option<Ticket>,
}

/// What the log says of two devices that end each other's sessions.
fn rivals() -> Warning {
    let detail = "two devices probably use the same secret: each logs in from another address and so ends \
                  the session of the other, again and again within minutes. Find the copy and take it away, \
                  then give the right one a new secret (narrowgate device reset). A single device that \
                  changes its network every few minutes looks the same";
    Warning { reason: Reason::SecretShared, detail: detail.to_owned() }
}

impl Shared {
    /// Whether the pace of its device permits a login. Else its session is closed, and nothing is written but
    /// that the pause begins. A product's secret proves no device: who has it must not hold one back.
    fn permit_login(&mut self, now: Now, begun: &Begun, grant: &Grant) -> bool {
        if grant.mode == SecureMode::ProductSecret {
            return true;
        }
        let pace = if begun.ticket.is_some() { &mut self.plain_pace } else { &mut self.pace };
        let Taken::No { wait, is_first } = pace.permit_login(now.instant, grant.device) else { return true };
        if let Some(ticket) = begun.ticket {
            self.out.respond(ticket, login::too_early(wait.as_secs_f64().ceil() as u32));
        }
        self.out.close(begun.session);
        if is_first {
            let asker = Whose::new(grant.clone(), begun.peer, None);
            self.write_down(now, &asker, pace::too_many_logins(wait));
        }
        false
    }

    /// A session with the product's secret: it lives for a minute, and ends at once if the device or its
    /// product was switched off or the secret replaced during the handshake (a login finds that out when it
    /// is written).
    fn activate(&mut self, now: Now, session: SessionId, asker: &Whose) {
        let grant = &asker.grant;
        let (device, version) = (grant.device, grant.secret_version);
        if let Some(closed) = self.residence.directory.note_activation(now.instant, device, session, version)
        {
            self.out.close(closed);
            let detail = "too many sessions with the product's secret claim to be this device: the one that \
                          needs it least was closed. Was the product's secret stolen? \
                          (narrowgate product rotate-secret)";
            self.write_down(now, asker, Refusal::new(Reason::RateLimited, detail));
            if closed == session {
                return;
            }
        }
        let close = ShardCommand::CloseAfter { session, after: ACTIVATION_SESSION };
        self.out.command(session.shard, close);
        let grant = Arc::new(grant.clone());
        let pending = Pending::Activation { session, grant: Arc::clone(&grant) };
        self.out.look_up(Waiter::Session(session), name_of(&grant), pending);
    }

    /// The store has answered whether a session with the product's secret may stay.
    pub(crate) fn decide_activation(
        &mut self,
        session: SessionId,
        grant: &Grant,
        answer: &Result<CredentialLookup, StoreError>,
    ) {
        let enabled = matches!(answer, Ok(CredentialLookup::Found(found))
            if found.device == grant.device && found.may_connect()
                && mark(&found.product_secret) == grant.product_secret_mark);
        if !enabled {
            self.out.close(session);
        }
    }

    fn log_in(&mut self, now: Now, begun: Begun, number: LoginNumber, asker: &Arc<Whose>) {
        let Begun { session, verified, suite, ticket, .. } = begun;
        let over = suite.map_or(plain::OVER, CipherSuite::name);
        let grant = &asker.grant;
        let from = (session, asker.peer().ip());
        let entered = self.residence.directory.login(grant.device, from, verified, number);
        if entered == Entered::Late {
            if let Some(ticket) = ticket {
                self.out.respond(ticket, login::refused());
            }
            return self.out.close(session);
        }
        self.residence.presence.login(&mut self.out, now, grant.device, grant.lifetime_s, number);
        let write = Write::Login {
            device: grant.device,
            number,
            at: now.wall,
            lifetime_s: grant.lifetime_s,
            secret_version: grant.secret_version,
            peer: asker.peer().to_string(),
            over,
        };
        let asked = LoginAsked { session, number, asker: asker.clone(), over, ticket, at: now.wall };
        self.out.write(vec![write], Pending::Login(Box::new(asked)));
        if entered == Entered::NewestOfRivals {
            self.warn(now, asker, rivals());
        }
    }

    /// The store has written a login, or refused it.
    pub(crate) fn handle_login_written(
        &mut self,
        now: Now,
        asked: &LoginAsked,
        position: Option<Position>,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        let is_first = match outcomes.map(<[Written]>::first) {
            Ok(Some(Written::Activated)) => true,
            Ok(Some(Written::Done)) => false,
            refused => return self.take_back(now, asked, refused.ok().flatten()),
        };
        if let Some(ticket) = asked.ticket {
            self.out.respond(ticket, login::accepted());
        }
        let device = asked.asker.grant.device;
        self.residence.presence.login_answered(device, asked.number, true);
        // The newest session wins, now that it has proved the secret that is valid today.
        self.residence.close_earlier(&mut self.out, device, asked.number);
        // One event for each entry of the log.
        if is_first {
            self.announce("activated", Happening::Activated, position, asked);
        }
        self.announce("login", Happening::Login, position, asked);
    }

    /// The store refused a login: its session is closed, and the one before it, if it stands, is the device's
    /// again.
    fn take_back(&mut self, now: Now, asked: &LoginAsked, outcome: Option<&Written>) {
        let LoginAsked { session, number, asker, ticket, .. } = asked;
        let (grant, peer) = (&asker.grant, asker.peer());
        if let Some(ticket) = ticket {
            let response = match outcome {
                None | Some(Written::Damaged) => device_api::unavailable(),
                Some(_) => login::refused(),
            };
            self.out.respond(*ticket, response);
        }
        self.residence.presence.login_answered(grant.device, *number, false);
        let superseded = outcome == Some(&Written::SecretSuperseded);
        let cause = if superseded {
            "closed: its secret was replaced"
        } else {
            "closed: the login could not be stored"
        };
        self.residence.take_back(&mut self.out, now, grant.device, *session, cause);
        if superseded {
            let refused = Refused {
                door: if ticket.is_some() { Door::Plain } else { Door::Dtls },
                device: Some(grant.device),
                name: Some(name_of(grant)),
                identity: None,
                refusal: Refusal::new(
                    Reason::WrongKey,
                    "the secret was replaced while the handshake was under way",
                ),
            };
            self.refusals.record(&mut self.out, now, refused, peer);
        }
    }

    fn announce(
        &mut self,
        event: &'static str,
        happening: fn(happening::Login) -> Happening,
        position: Option<Position>,
        asked: &LoginAsked,
    ) {
        let LoginAsked { asker, over, at, .. } = asked;
        let (grant, peer) = (&asker.grant, asker.peer());
        let (product_key, device_key) = (grant.product_key(), grant.device_key());
        tracing::debug!(product_key, device_key, %peer, event);
        if self.out.has_followers {
            let told = happening::Login {
                time: *at,
                device: Some(name_of(grant)),
                peer: Some(peer.to_string()),
                detail: Some((*over).to_owned()),
            };
            self.out.tell(position, happening(told), None);
        }
    }
}
