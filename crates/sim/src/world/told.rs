//! What the shards told the gateway, for those who look on.

use std::net::SocketAddr;

use narrowgate_coap::Request;
use narrowgate_dtls::{CipherSuite, Refusal};
use narrowgate_engine::event::{CloseCause, HandshakeId, SessionId, ShardEvent};

/// A session as it was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connected {
    /// The handshake that it was.
    pub handshake: HandshakeId,
    /// The session.
    pub session: SessionId,
    /// Where the device is.
    pub peer: SocketAddr,
    /// The suite in use.
    pub suite: CipherSuite,
}

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Whose it was.
    pub session: SessionId,
    /// What was asked.
    pub request: Request,
}

/// See the module. All of it in the order in which it was told.
#[derive(Debug, Default)]
pub struct Told {
    /// What became a session.
    pub connected: Vec<Connected>,
    /// What ended, and why.
    pub closed: Vec<(SessionId, CloseCause)>,
    /// Handshakes that ended without a session.
    pub handshakes_ended: Vec<HandshakeId>,
    /// Who was refused by an alert.
    pub refused: Vec<(SocketAddr, Refusal)>,
    /// Who had the wrong key.
    pub wrong_keys: Vec<SocketAddr>,
    /// Requests carried out.
    pub executed: Vec<Executed>,
    /// Signs of life that were no requests.
    pub heard: u64,
}

impl Told {
    /// Notes what a shard tells.
    pub fn note(&mut self, event: &ShardEvent) {
        match event {
            ShardEvent::Request { ticket, request } => {
                self.executed.push(Executed { session: ticket.session, request: request.clone() });
            }
            ShardEvent::Connected { handshake, session, peer, suite, .. } => {
                let (handshake, session, peer, suite) = (*handshake, *session, *peer, *suite);
                self.connected.push(Connected { handshake, session, peer, suite });
            }
            ShardEvent::Closed { session, cause } => self.closed.push((*session, *cause)),
            ShardEvent::HandshakeEnded { handshake } => self.handshakes_ended.push(*handshake),
            ShardEvent::Refused { peer, refusal } => self.refused.push((*peer, *refusal)),
            ShardEvent::WrongKey { peer, .. } => self.wrong_keys.push(*peer),
            ShardEvent::Heard { .. } => self.heard += 1,
            ShardEvent::PskWanted { .. }
            | ShardEvent::KeyExchangeRejected { .. }
            | ShardEvent::Stray { .. }
            | ShardEvent::Forged { .. }
            | ShardEvent::RequestRefused { .. }
            | ShardEvent::Malformed { .. }
            | ShardEvent::MessageIdReused { .. }
            | ShardEvent::AnswerTooLarge { .. }
            | ShardEvent::Throttled { .. }
            | ShardEvent::ObservationEnded { .. }
            | ShardEvent::Spent { .. }
            | ShardEvent::LoginWanted { .. }
            | ShardEvent::LoginRefused { .. }
            | ShardEvent::LoggedIn { .. } => {}
        }
    }
}
