//! The events and commands between a shard and the platform.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_coap::{Discard, ExchangeId, ObservationEnd, Profile, RefusedRequest, Request, Response};
use narrowgate_dtls::{CipherSuite, FailedFinished, PskAnswer, Refusal, RejectedKeyExchange};

use crate::shard::{stray::Stray, throttle::Spent};

/// Identifies an established session for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// Which shard owns it.
    pub shard: u16,
    /// Its slot in the shard's table.
    pub slot: u32,
    /// Distinguishes it from earlier and later sessions in the same slot.
    pub generation: u32,
}

impl SessionId {
    /// One number for it, never 0, in the positive half of an `i64`: shard, slot, and the low 20 bits of the
    /// generation. Two sessions of a process have the same one only where 2^20 others had the slot between
    /// them.
    pub const fn number(self) -> u64 {
        let Self { shard, slot, generation } = self;
        let shard = (shard as u64 + 1) & 0x7fff;
        shard << 48 | (slot as u64 & 0x0fff_ffff) << 20 | generation as u64 & 0x000f_ffff
    }
}

/// Identifies a handshake under way, or a login of plain CoAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandshakeId {
    /// Which shard owns it.
    pub shard: u16,
    /// Its slot among the shard's handshakes.
    pub slot: u32,
    /// Distinguishes it from earlier and later handshakes in the same slot.
    pub generation: u32,
}

/// Identifies a request that waits for its response. One response uses it up; a second is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The session that it came by.
    pub session: SessionId,
    /// The CoAP exchange inside the session.
    pub exchange: ExchangeId,
}

/// What a shard reports to the platform.
#[derive(Debug)]
pub enum ShardEvent {
    /// A handshake waits for the key of this identity. Answer with [`ShardCommand::ProvidePsk`].
    PskWanted {
        /// Which handshake asks.
        handshake: HandshakeId,
        /// Where the peer is.
        peer: SocketAddr,
        /// The PSK identity, as the peer sent it.
        identity: Vec<u8>,
    },
    /// A peer of plain CoAP, whose address nothing proves, posts a login. Answer with
    /// [`ShardCommand::AdmitLogin`] or [`ShardCommand::RefuseLogin`]; [`Self::HandshakeEnded`] follows where
    /// it becomes no session.
    LoginWanted {
        /// Which login asks.
        handshake: HandshakeId,
        /// Where it appears to come from.
        peer: SocketAddr,
        /// The request.
        request: Box<Request>,
    },
    /// A login of plain CoAP was refused by the CoAP layer and is answered already.
    LoginRefused {
        /// Where it appears to come from.
        peer: SocketAddr,
        /// What was asked, and why it was refused.
        refused: Box<RefusedRequest>,
    },
    /// A login of plain CoAP became a session.
    LoggedIn {
        /// The login that it was.
        handshake: HandshakeId,
        /// The session that it is, and its request, which waits for its response.
        ticket: Ticket,
        /// Where the peer is.
        peer: SocketAddr,
        /// When it was admitted.
        verified: Instant,
    },
    /// A ClientHello with a good cookie could not be served.
    Refused {
        /// Where the peer is.
        peer: SocketAddr,
        /// Why.
        refusal: Refusal,
    },
    /// A ClientKeyExchange could not be used. Reported once in a handshake, for the first such message.
    KeyExchangeRejected {
        /// Where the peer is.
        peer: SocketAddr,
        /// What is wrong with it.
        rejected: Box<RejectedKeyExchange>,
    },
    /// A datagram of another protocol than DTLS 1.2 arrived. The address is not proven. Reported for each
    /// protocol at most twice a minute, after a few at once.
    Stray {
        /// Where it appears to come from.
        peer: SocketAddr,
        /// What it is.
        stray: Stray,
    },
    /// The peer's Finished did not verify. Reported once in a handshake, for the first such record.
    WrongKey {
        /// Which handshake; it continues until its lifetime ends.
        handshake: HandshakeId,
        /// Where the peer is.
        peer: SocketAddr,
        /// What the platform needs to find out which mistake fits.
        failed: Box<FailedFinished>,
    },
    /// A handshake is gone without a session: expired, failed, or replaced by a newer one of the same path.
    HandshakeEnded {
        /// Which one.
        handshake: HandshakeId,
    },
    /// A handshake became a session.
    Connected {
        /// The handshake that it was.
        handshake: HandshakeId,
        /// The session that it is.
        session: SessionId,
        /// Where the peer is.
        peer: SocketAddr,
        /// The negotiated cipher suite.
        suite: CipherSuite,
        /// When its Finished was verified.
        verified: Instant,
    },
    /// A request waits for its response.
    Request {
        /// Identifies it in [`ShardCommand::Respond`].
        ticket: Ticket,
        /// What is asked.
        request: Request,
    },
    /// A request was refused by the CoAP layer and is answered already.
    RequestRefused {
        /// From whom.
        session: SessionId,
        /// What was asked, and why it was refused.
        refused: Box<RefusedRequest>,
    },
    /// A message was not a CoAP message; it was answered by a Reset, or not at all.
    Malformed {
        /// From whom.
        session: SessionId,
        /// What is wrong with it.
        fault: Discard,
    },
    /// The peer reused a Message ID for another request, which was treated as a duplicate of the first: it
    /// got the answer to that one, if there was one yet. Reported at most once in a session and
    /// EXCHANGE_LIFETIME.
    MessageIdReused {
        /// Who.
        session: SessionId,
        /// The Message ID.
        mid: u16,
        /// How long it must not be used for another message: EXCHANGE_LIFETIME.
        within: Duration,
    },
    /// The answer to a request did not fit a record of its session, or a datagram, not even in blocks: the
    /// request was answered with 5.00.
    AnswerTooLarge {
        /// Whose.
        session: SessionId,
        /// Bytes of the answer's message.
        bytes: usize,
        /// The most that are allowed.
        bytes_max: usize,
    },
    /// Requests of a session come faster than its device may send bytes, and are answered 4.29. Reported once
    /// in a pause, which ends when half of the burst is there again.
    Throttled {
        /// Whose.
        session: SessionId,
        /// When the request that was held back would be served, in seconds from now.
        wait_s: u32,
    },
    /// What a session that ends has spent of its device's bytes, where that is much. [`Self::Closed`]
    /// follows.
    Spent {
        /// Which session.
        session: SessionId,
        /// How much.
        spent: Spent,
    },
    /// Somebody forges records of a session, which goes on. Reported for a session at most once a minute, and
    /// for all sessions of a shard at most ten times a minute.
    Forged {
        /// Whose.
        session: SessionId,
        /// Where the session's peer is: the address that the forgeries carry.
        peer: SocketAddr,
        /// How many there were since the session began, modulo 2^32.
        records: u32,
    },
    /// Nobody observes in a session any more (RFC 7641).
    ObservationEnded {
        /// In which one.
        session: SessionId,
        /// How the last registration ended.
        end: ObservationEnd,
    },
    /// Something authentic arrived that was not a request (a ping, a duplicate, an acknowledgement).
    Heard {
        /// From whom.
        session: SessionId,
    },
    /// A session ended.
    Closed {
        /// Which one.
        session: SessionId,
        /// Why.
        cause: CloseCause,
    },
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCause {
    /// The peer sent close_notify or a fatal alert.
    ByPeer,
    /// The platform closed it.
    ByCommand,
    /// The platform closed it, because a newer login of its device is durable.
    Superseded,
    /// A new handshake or login from the same address and port, to the same address, was completed (RFC 6347,
    /// section 4.2.8).
    Replaced,
    /// Nothing was heard for the session's idle timeout.
    Idle,
    /// The table was full and this session the longest idle.
    Shed,
    /// Too many authentic records that carry nothing, one that is too long, or no record number left.
    Abuse,
    /// The server is shutting down.
    Drained,
}

/// What the platform tells a shard to do.
#[derive(Debug)]
pub enum ShardCommand {
    /// Answers [`ShardEvent::PskWanted`].
    ProvidePsk {
        /// Which handshake asked.
        handshake: HandshakeId,
        /// The key, or that the handshake must continue with a decoy.
        answer: PskAnswer,
    },
    /// Answers [`ShardEvent::PskWanted`] too: the handshake ends silently.
    DropHandshake {
        /// Which handshake asked.
        handshake: HandshakeId,
    },
    /// Answers [`ShardEvent::LoginWanted`]: the login becomes a session, which ends after so long a silence,
    /// and its request waits for its response. At the limit of sessions, or of requests that wait, it is
    /// answered 5.03 instead.
    AdmitLogin {
        /// Which login asked.
        handshake: HandshakeId,
        /// In whole seconds.
        lifetime: Duration,
    },
    /// Answers [`ShardEvent::LoginWanted`] too: the login gets this response, and is forgotten.
    RefuseLogin {
        /// Which login asked.
        handshake: HandshakeId,
        /// The response, without a payload.
        response: Response,
    },
    /// Charges a session with what its device has spent in an earlier one: [`ShardEvent::Spent`].
    Charge {
        /// Which session.
        session: SessionId,
        /// How much.
        spent: Spent,
    },
    /// What the radio of a session's device asks for. Messages that are under way keep their timers.
    SetProfile {
        /// Which session.
        session: SessionId,
        /// Its profile from now on.
        profile: Profile,
    },
    /// Answers [`ShardEvent::Request`].
    Respond {
        /// Which request.
        ticket: Ticket,
        /// The response.
        response: Response,
    },
    /// Notifies those who observe in a session (RFC 7641); without effect if nobody does.
    Notify {
        /// In which session.
        session: SessionId,
        /// The new content.
        response: Response,
    },
    /// Ends a session with close_notify.
    Close {
        /// Which session.
        session: SessionId,
    },
    /// The same, because a newer login of its device is durable: of a login by plain CoAP, a late copy is
    /// then dropped.
    Supersede {
        /// Which session.
        session: SessionId,
    },
    /// Ends a session with close_notify after a while, unless it has ended by then.
    CloseAfter {
        /// Which session.
        session: SessionId,
        /// From now.
        after: Duration,
    },
    /// Ends all sessions with close_notify, at a pace and within seconds, and refuses new handshakes. See
    /// [`crate::shard::Shard::is_draining`].
    Drain,
}
