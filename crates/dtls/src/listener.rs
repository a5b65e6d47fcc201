//! The stateless front door (RFC 6347, section 4.2.1): a ClientHello without a good cookie gets a HelloVerifyRequest,
//! which is never larger than its cause, and leaves nothing behind; one with a good cookie becomes a handshake.
//!
//! Before a good cookie nothing but a HelloVerifyRequest is ever sent, no alert either. A fragmented ClientHello is served
//! when its first fragment reaches to the cookie; its other fragments are put together only after a good cookie.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::Random;
use crate::codes::{ContentType, HandshakeType, Version};
use crate::config::ServerConfig;
use crate::cookie::CookieKeys;
use crate::discard::Discard;
use crate::limits;
use crate::message::client_hello::ClientHelloStart;
use crate::message::{MessageHeader, hello_verify};
use crate::record::RecordHeader;
use crate::refusal::Refusal;
use crate::server::ServerHandshake;
use crate::wire::Reader;

/// Answers datagrams that belong to no handshake.
pub struct Listener {
    config: Arc<ServerConfig>,
    cookies: CookieKeys,
}

/// What became of a datagram at the front door.
#[derive(Debug)]
pub enum FrontDoor {
    /// Dropped; there is no reply.
    Discard(Discard),
    /// The reply asks for a cookie. Nothing was kept.
    HelloVerify,
    /// The cookie was good and the ClientHello was not; the reply holds the fatal alert.
    Refuse(Refusal),
    /// The cookie was good. The handshake may want to transmit at once.
    Accept(Box<ServerHandshake>),
}

impl Listener {
    /// Draws the first cookie keys.
    pub fn new(config: Arc<ServerConfig>, now: Instant, rng: &mut dyn Random) -> Self {
        Self { config, cookies: CookieKeys::new(now, rng) }
    }

    /// For datagrams that belong to no handshake and whose first record is a handshake record of epoch 0. `reply` is
    /// cleared and filled with at most one datagram.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        datagram: &[u8],
        rng: &mut dyn Random,
        reply: &mut Vec<u8>,
    ) -> FrontDoor {
        reply.clear();
        self.cookies.rotate(now, rng);
        let hello = match FirstHello::parse(datagram) {
            Ok(hello) => hello,
            Err(reason) => return FrontDoor::Discard(reason),
        };
        match (hello.message_seq, hello.start.cookie) {
            (1, cookie) if !cookie.is_empty() && self.cookies.verify(peer, &hello.start) => {
                self.accept(now, datagram, &hello, rng, reply)
            }
            (1, []) | (2.., _) => FrontDoor::Discard(Discard::MessageSequence),
            _ if datagram.len() < hello_verify::DATAGRAM_BYTES => FrontDoor::Discard(Discard::Amplification),
            _ => {
                hello_verify::put_datagram(reply, hello.sequence, &self.cookies.make(peer, &hello.start));
                FrontDoor::HelloVerify
            }
        }
    }

    fn accept(
        &self,
        now: Instant,
        datagram: &[u8],
        hello: &FirstHello<'_>,
        rng: &mut dyn Random,
        reply: &mut Vec<u8>,
    ) -> FrontDoor {
        let mut handshake = Box::new(ServerHandshake::new(
            Arc::clone(&self.config),
            now,
            hello.sequence,
            *hello.start.random,
        ));
        // The same path as for every later datagram. What it drops besides the ClientHello is of no interest here.
        handshake.handle_datagram(now, &mut datagram.to_vec(), rng);
        match handshake.refusal() {
            Some(refusal) => {
                handshake.poll_transmit(reply);
                FrontDoor::Refuse(refusal)
            }
            None => FrontDoor::Accept(handshake),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Listener").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The client_random of a datagram that starts with a ClientHello: tells a repeated one from a new attempt.
pub fn client_hello_random(datagram: &[u8]) -> Option<&[u8; 32]> {
    FirstHello::parse(datagram).ok().map(|hello| hello.start.random)
}

/// The first fragment of a ClientHello at the start of a datagram.
struct FirstHello<'a> {
    /// Record number.
    sequence: u64,
    message_seq: u16,
    start: ClientHelloStart<'a>,
}

impl<'a> FirstHello<'a> {
    fn parse(datagram: &'a [u8]) -> Result<Self, Discard> {
        let (record, fragment) = RecordHeader::parse_first(datagram)?;
        if record.content_type != ContentType::HANDSHAKE {
            return Err(Discard::NotClientHello);
        }
        // RFC 6347 4.1: a client that does not know the server yet may write DTLS 1.0.
        if record.version != Version::DTLS_1_2 && record.version != Version::DTLS_1_0 {
            return Err(Discard::RecordVersion);
        }
        if record.number.epoch != 0 {
            return Err(Discard::Epoch);
        }
        if record.number.sequence > limits::CLIENT_HELLO_SEQUENCE_MAX {
            return Err(Discard::RecordSequence);
        }
        let (message, body) = MessageHeader::parse(&mut Reader::new(fragment))?;
        if message.message_type != HandshakeType::CLIENT_HELLO || message.fragment_offset != 0 {
            return Err(Discard::NotClientHello);
        }
        let start = ClientHelloStart::read(&mut Reader::new(body)).map_err(|_| {
            if message.fragment_length < message.length {
                Discard::FragmentTooShort
            } else {
                Discard::Malformed
            }
        })?;
        Ok(Self { sequence: record.number.sequence, message_seq: message.message_seq, start })
    }
}
