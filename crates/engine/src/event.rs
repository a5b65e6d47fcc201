//! What a shard and the platform say to each other.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_coap::{Discard, ExchangeId, RefusedRequest, Request, Response};
use narrowgate_dtls::{CipherSuite, FailedFinished, PskAnswer, Refusal, RejectedKeyExchange};

use crate::shard::stray::Stray;

/// Names an established session for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// Which shard owns it.
    pub shard: u16,
    /// Its slot in the shard's table.
    pub slot: u32,
    /// Tells it from earlier and later sessions in the same slot.
    pub generation: u32,
}

/// Names a handshake under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandshakeId {
    /// Which shard owns it.
    pub shard: u16,
    /// Its slot among the shard's handshakes.
    pub slot: u32,
    /// Tells it from earlier and later handshakes in the same slot.
    pub generation: u32,
}

/// Names a request that waits for its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The session it came by.
    pub session: SessionId,
    /// The CoAP exchange inside the session.
    pub exchange: ExchangeId,
}

/// What a shard tells the platform.
#[derive(Debug)]
pub enum ShardEvent {
    /// A handshake stopped and asks for the key of this identity. Answer with [`ShardCommand::ProvidePsk`].
    PskWanted {
        /// Which handshake asks.
        handshake: HandshakeId,
        /// Where the peer is.
        peer: SocketAddr,
        /// The PSK identity, as the peer sent it.
        identity: Vec<u8>,
    },
    /// A ClientHello with a good cookie could not be served.
    Refused {
        /// Where the peer is.
        peer: SocketAddr,
        /// Why.
        refusal: Refusal,
    },
    /// A ClientKeyExchange could not be used: at the first such message of a handshake, once.
    KeyExchangeRejected {
        /// Where the peer is.
        peer: SocketAddr,
        /// What is wrong with it.
        rejected: Box<RejectedKeyExchange>,
    },
    /// Another protocol than DTLS 1.2 came. The address is not proven; of each protocol it comes twice a
    /// minute at most, after a few at once.
    Stray {
        /// Where it seems to have come from.
        peer: SocketAddr,
        /// What it is.
        stray: Stray,
    },
    /// The peer's Finished did not verify: at the first such record of a handshake, once.
    WrongKey {
        /// Which handshake; it goes on until its lifetime ends.
        handshake: HandshakeId,
        /// Where the peer is.
        peer: SocketAddr,
        /// Lets the platform try which mistake fits.
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
        /// To answer it by [`ShardCommand::Respond`].
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
    /// A message is no CoAP message; it was answered by a Reset, or not at all.
    Malformed {
        /// From whom.
        session: SessionId,
        /// What is wrong with it.
        fault: Discard,
    },
    /// The peer used a Message ID again for another request, which was taken for a duplicate of the first: it
    /// got the answer to that, if there was one yet. Once in a session and EXCHANGE_LIFETIME at most.
    MessageIdReused {
        /// Who.
        session: SessionId,
        /// The Message ID.
        mid: u16,
    },
    /// The answer to a request did not fit a record of its session, or a datagram: it was answered 5.00.
    AnswerTooLarge {
        /// Whose.
        session: SessionId,
        /// Bytes of the answer's message.
        bytes: usize,
        /// What it may have.
        bytes_max: usize,
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
    /// The platform said so.
    ByCommand,
    /// A new handshake from the same address and port, to the same address, was completed (RFC 6347, section
    /// 4.2.8).
    Replaced,
    /// Nothing was heard for the session's idle timeout.
    Idle,
    /// The table was full and this session the longest idle.
    Shed,
    /// Too many records that did not verify, or too much authentic noise.
    Abuse,
    /// The server is shutting down.
    Drained,
}

/// What the platform tells a shard.
#[derive(Debug)]
pub enum ShardCommand {
    /// Answers [`ShardEvent::PskWanted`].
    ProvidePsk {
        /// Which handshake asked.
        handshake: HandshakeId,
        /// The key, or that the handshake must run on with a decoy.
        answer: PskAnswer,
    },
    /// Answers [`ShardEvent::Request`].
    Respond {
        /// Which request.
        ticket: Ticket,
        /// The response.
        response: Response,
    },
    /// Ends a session with close_notify.
    Close {
        /// Which session.
        session: SessionId,
    },
    /// Ends a session with close_notify after a while, unless it ended before.
    CloseAfter {
        /// Which session.
        session: SessionId,
        /// From now.
        after: Duration,
    },
    /// Ends all sessions with close_notify and refuses new handshakes.
    Drain,
}
