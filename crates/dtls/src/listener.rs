//! The stateless front door (RFC 6347, section 4.2.1): a ClientHello without a valid cookie is answered by a
//! HelloVerifyRequest, which is never larger than the hello, and leaves no state; one with a valid cookie
//! starts a handshake.
//!
//! Before a valid cookie nothing is sent but a HelloVerifyRequest, not even an alert. A fragmented
//! ClientHello is accepted if its first fragment reaches the cookie; the other fragments are reassembled only
//! after a valid cookie.
//!
//! A cookie that does not verify counts as none: it has outlived its keys, the peer has moved, or this
//! process has restarted. The client is asked for another hello, so it may send up to
//! [`limits::CLIENT_HELLO_MESSAGE_SEQ_MAX`] hellos after the first.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Random,
    codes::{ContentType, HandshakeType, Version},
    config::ServerConfig,
    cookie::{CookieKeys, Subject},
    discard::Discard,
    limits,
    message::{
        MessageHeader,
        client_hello::{ClientHello, ClientHelloOffer, ClientHelloStart, HelloId},
        hello_verify,
    },
    offered::{self, OfferedVersions},
    record::Layout,
    refusal::Refusal,
    server::ServerHandshake,
    wire::Reader,
};

/// Answers datagrams that belong to no handshake.
pub struct Listener {
    config: Arc<ServerConfig>,
    cookies: CookieKeys,
}

/// What the front door did with a datagram.
#[derive(Debug)]
pub enum FrontDoor {
    /// Dropped; there is no reply.
    Discard(Discard),
    /// The reply asks for a cookie. Nothing was kept.
    HelloVerify,
    /// The cookie was valid but the ClientHello was not; the reply holds the fatal alert.
    Refuse(Refusal),
    /// The cookie was valid. The handshake may have something to send at once.
    Accept(Box<ServerHandshake>),
}

impl Listener {
    /// A listener with fresh cookie keys.
    pub fn new(config: Arc<ServerConfig>, now: Instant, rng: &mut dyn Random) -> Self {
        Self { config, cookies: CookieKeys::new(now, rng) }
    }

    /// Handles a datagram that belongs to no handshake and whose first record is a handshake record of epoch
    /// 0. `reply` is cleared and filled with at most one datagram.
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
        let FirstHello { sequence, message_seq, start, offer } = hello;
        if message_seq > limits::CLIENT_HELLO_MESSAGE_SEQ_MAX {
            return FrontDoor::Discard(Discard::MessageSequence);
        }
        let subject = Subject { peer, start, offer };
        // The first hello of a client has no cookie, or one of an attempt that it has given up.
        if message_seq > 0
            && let Some(round_trip) = self.cookies.verify(now, subject)
        {
            return self.accept(now, datagram, &hello, round_trip, rng, reply);
        }
        // The hello that answers a HelloVerifyRequest has the next number.
        if message_seq == limits::CLIENT_HELLO_MESSAGE_SEQ_MAX {
            return FrontDoor::Discard(Discard::MessageSequence);
        }
        if datagram.len() < hello_verify::DATAGRAM_BYTES {
            return FrontDoor::Discard(Discard::Amplification);
        }
        hello_verify::put_datagram(reply, sequence, message_seq, &self.cookies.make(now, subject));
        FrontDoor::HelloVerify
    }

    fn accept(
        &self,
        now: Instant,
        datagram: &[u8],
        hello: &FirstHello<'_>,
        round_trip: Duration,
        rng: &mut dyn Random,
        reply: &mut Vec<u8>,
    ) -> FrontDoor {
        let mut handshake = Box::new(ServerHandshake::new(
            Arc::clone(&self.config),
            now,
            hello.sequence,
            HelloId { message_seq: hello.message_seq, random: *hello.start.random },
            round_trip,
        ));
        // The same path as for every later datagram. Ignored: what it drops besides the ClientHello.
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a whole ClientHello at the start of a datagram offers, if that is certainly not DTLS 1.2. A client
/// that speaks only DTLS 1.3 gives up at the HelloVerifyRequest, so its first hello is all that we see of it.
/// Cheap for any other datagram.
pub fn hello_without_dtls_1_2(datagram: &[u8]) -> Option<OfferedVersions> {
    let (_, fragment) = Layout::Plain.parse_first(datagram).ok()?;
    let (header, body) = MessageHeader::parse(&mut Reader::new(fragment)).ok()?;
    let mut reader = Reader::new(body);
    ClientHelloStart::read(&mut reader).ok()?;
    let first_suite = *reader.vector16().ok()?.first_chunk()?;
    if header.fragment_length < header.length || !may_be_1_3(u16::from_be_bytes(first_suite)) {
        return None;
    }
    let hello = ClientHello::parse(body).ok()?;
    hello.versions_without_1_2().filter(|_| hello.suites().all(may_be_1_3))
}

/// Whether a number may appear in a list of suites without any for DTLS 1.2.
fn may_be_1_3(id: u16) -> bool {
    offered::is_of_version_1_3(id) || !offered::is_suite(id)
}

/// The first fragment of a ClientHello at the start of a datagram.
pub(crate) struct FirstHello<'a> {
    /// Record number.
    sequence: u64,
    message_seq: u16,
    pub(crate) start: ClientHelloStart<'a>,
    offer: Option<ClientHelloOffer<'a>>,
}

impl<'a> FirstHello<'a> {
    pub(crate) fn parse(datagram: &'a [u8]) -> Result<Self, Discard> {
        let (record, fragment) = Layout::Plain.parse_first(datagram)?;
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
        let mut reader = Reader::new(body);
        let start = ClientHelloStart::read(&mut reader).map_err(|_| {
            if message.fragment_length < message.length {
                Discard::FragmentTooShort
            } else {
                Discard::Malformed
            }
        })?;
        let offer = ClientHelloOffer::read(&mut reader).ok();
        Ok(Self { sequence: record.number.sequence, message_seq: message.message_seq, start, offer })
    }
}
