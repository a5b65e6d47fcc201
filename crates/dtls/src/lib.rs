//! DTLS 1.2 with pre-shared keys, server and client, as a state machine without sockets, clock or random
//! source.
//!
//! Bytes, time and randomness go in; bytes and events come out. A server handles a datagram like this:
//!
//! ```text
//!  datagram -> classify
//!     ClientHello, no handshake    -> Listener::handle_datagram         cookie, refusal, or a handshake
//!     epoch 0, a handshake exists  -> ServerHandshake::handle_datagram  PskWanted, Established, Failed, ...
//!     epoch 1, a session exists    -> Session::open, record by record
//! ```
//!
//! A [`ServerHandshake`] is large, short-lived and limited in number; a [`Session`] is at most 112 bytes,
//! because there are millions. A handshake that needs a key stops and asks with
//! [`HandshakeEvent::PskWanted`].
//!
//! A handshake in memory, and one record:
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//!
//! use narrowgate_dtls::{
//!     ClientConfig, ClientEvent, ClientHandshake, DecoySecret, FrontDoor, HandshakeEvent, Listener, Opened,
//!     Psk, PskAnswer, Random, ServerConfig,
//! };
//!
//! /// Stands for a random source.
//! struct Counting(u8);
//!
//! impl Random for Counting {
//!     fn fill(&mut self, out: &mut [u8]) {
//!         out.fill_with(|| { self.0 = self.0.wrapping_add(1); self.0 });
//!     }
//! }
//!
//! let (now, rng, psk) = (Instant::now(), &mut Counting(0), Psk::new(b"a key of sixteen")?);
//! let mut client = ClientHandshake::new(ClientConfig::new(b"meter-0", psk.clone()), now, rng);
//! let config = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
//! let mut listener = Listener::new(config, now, rng);
//! let peer = ([192, 0, 2, 7], 5684).into();
//!
//! // The first ClientHello gets a cookie and leaves nothing behind. The second one begins a handshake.
//! let (mut datagram, mut reply) = (Vec::new(), Vec::new());
//! let mut server = loop {
//!     assert!(client.poll_transmit(&mut datagram));
//!     match listener.handle_datagram(now, peer, &datagram, rng, &mut reply) {
//!         FrontDoor::HelloVerify => client.handle_datagram(now, &mut reply, rng),
//!         FrontDoor::Accept(handshake) => break handshake,
//!         other => panic!("{other:?}"),
//!     };
//! };
//!
//! let (mut device, mut gateway) = (None, None);
//! while device.is_none() || gateway.is_none() {
//!     while server.poll_transmit(&mut datagram) {
//!         client.handle_datagram(now, &mut datagram, rng);
//!     }
//!     while client.poll_transmit(&mut datagram) {
//!         server.handle_datagram(now, &mut datagram, rng);
//!     }
//!     match server.poll_event() {
//!         Some(HandshakeEvent::PskWanted { identity }) => {
//!             assert_eq!(identity, b"meter-0");
//!             server.provide_psk(now, PskAnswer::key(psk.clone()), rng);
//!         }
//!         Some(HandshakeEvent::Established(session)) => gateway = Some(session),
//!         other => assert!(other.is_none(), "{other:?}"),
//!     }
//!     if let Some(ClientEvent::Established(session)) = client.poll_event() {
//!         device = Some(session);
//!     }
//! }
//!
//! let (mut device, mut gateway) = (device.expect("it is set"), gateway.expect("it is set"));
//! let mut record = Vec::new();
//! device.seal(b"21.5", rng, &mut record)?;
//! assert_eq!(gateway.open(&mut record), Ok(Opened::Application(&mut b"21.5".to_vec()[..])));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | RFC | sections | what is left out |
//! |---|---|---|
//! | 6347 DTLS 1.2 | 4.1, 4.2 | path MTU discovery: the datagram size is configured |
//! | 5246 TLS 1.2 | 5, 6.2.3, 6.3, 7.2, 7.4 for PSK | certificates, compression, renegotiation, resumption |
//! | 4279 PSK | 2, 5 | the identity hint: none is sent, a client accepts one |
//! | 6655 CCM_8, 5487 CBC_SHA256 | 4, 3 | |
//! | 7366 encrypt-then-MAC | 2, 3 | |
//! | 7627 extended master secret | 4, 5.1, 5.2 | resumption |
//! | 5746 renegotiation indication | 3.4, 3.6 | renegotiation itself is always refused |
//! | 6066 | 4 max_fragment_length | the other extensions are ignored |

#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

mod client;
mod codes;
mod config;
mod cookie;
mod diagnose;
mod discard;
mod early;
mod error;
mod flight;
pub mod limits;
mod listener;
mod message;
mod negotiation;
mod offered;
mod prf;
mod reassembly;
mod record;
mod refusal;
mod replay;
mod schedule;
mod secret;
mod server;
mod session;
mod suite;
#[cfg(feature = "test-support")]
pub mod test_support;
mod transcript;
mod wire;

pub use client::{ClientEvent, ClientFailure, ClientHandshake};
pub use codes::CipherSuite;
pub use config::{ClientConfig, ExtendedMasterSecretPolicy, ServerConfig};
pub use diagnose::FailedFinished;
pub use discard::Discard;
pub use error::{PskError, SealError};
pub use listener::{FrontDoor, Listener, hello_without_dtls_1_2};
pub use message::client_hello::HelloId;
pub use offered::{OfferedVersions, SuiteMismatch};
pub use record::{DatagramKind, RECORD_HEADER_BYTES, RecordSeen, classify, records_seen, split_record};
pub use refusal::{Missing, Refusal};
pub use secret::{DecoySecret, Psk};
pub use server::{HandshakeEvent, KeyExchangeFault, PskAnswer, RejectedKeyExchange, ServerHandshake};
pub use session::{Opened, SavedSession, SavedSessionError, Session};

/// The caller's cryptographically secure random source. It must never fail and never repeat.
pub trait Random {
    /// Fills all of `out`.
    fn fill(&mut self, out: &mut [u8]);
}

/// Where the unit tests are built, this trait is another one than that which the random source was built
/// with.
#[cfg(test)]
impl Random for narrowgate_testkit::SeededRandom {
    fn fill(&mut self, out: &mut [u8]) {
        self.fill_bytes(out);
    }
}
