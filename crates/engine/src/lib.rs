//! The session engine, pure: sessions, handshakes and timers behind a socket, without the socket.
//!
//! Datagrams, commands and time go into a [`shard::Shard`]; datagrams and events come out. The thread around
//! it, with its socket and its clock, is the crate `narrowgate-engine-io`. Shards share nothing; they reach
//! the platform by events and commands (see [`event`]).
//!
//! A device begins a handshake: its ClientHello goes in, and a HelloVerifyRequest comes out, which costs the
//! shard no memory. The caller says what time it is.
//!
//! ```
//! use std::{net::SocketAddr, sync::Arc, time::{Duration, Instant}};
//!
//! use narrowgate_dtls::{ClientConfig, ClientHandshake, DecoySecret, Psk, Random, ServerConfig};
//! use narrowgate_engine::shard::{Shard, ShardConfig, stats::Gauges};
//!
//! /// Stands for a random source, which a device should have.
//! struct Counting(u8);
//!
//! impl Random for Counting {
//!     fn fill(&mut self, out: &mut [u8]) {
//!         out.fill_with(|| { self.0 = self.0.wrapping_add(1); self.0 });
//!     }
//! }
//!
//! let start = Instant::now();
//! let dtls = Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
//! let mut shard = Shard::new(ShardConfig::new(dtls), start, [1; 32]);
//!
//! let config = ClientConfig::new(b"meter-0", Psk::new(b"a key of sixteen")?);
//! let mut device = ClientHandshake::new(config, start, &mut Counting(0));
//! let mut client_hello = Vec::new();
//! assert!(device.poll_transmit(&mut client_hello));
//!
//! let now = start + Duration::from_millis(40);
//! let address = SocketAddr::from(([192, 0, 2, 7], 5684));
//! shard.handle_datagram(now, address, &mut client_hello);
//!
//! let (path, hello_verify) = shard.outbox().iter().next().expect("it is answered at once");
//! assert_eq!(path.peer, address);
//! // A record of type handshake, and in it a message of type hello_verify_request (RFC 6347, section 4.2.1).
//! assert_eq!((hello_verify[0], hello_verify[13]), (22, 3));
//! assert!(shard.poll_event().is_none(), "nobody is asked for a key yet");
//! assert_eq!(shard.stats().gauges, Gauges::default(), "and nothing is kept");
//! # Ok::<(), narrowgate_dtls::PskError>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

pub mod event;
pub mod path;
pub mod route;
pub mod shard;
