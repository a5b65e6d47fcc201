//! The session engine, pure: sessions, handshakes and timers behind a socket, without the socket.
//!
//! Datagrams, commands and time go into a [`shard::Shard`]; datagrams and events come out. The thread around it, with
//! its socket and its clock, is the crate `narrowgate-engine-io`. A shard shares nothing with another one; the platform
//! is reached by events and commands (see [`event`]).
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

pub mod event;
pub mod path;
pub mod route;
pub mod shard;
