//! The session engine: shards that own their sockets, their sessions and their timers.
//!
//! [`shard::Shard`] is pure: datagrams, commands and time go in; datagrams and events come out. [`io`] is the thin
//! shell around it: one OS thread per shard with its own loop, `recvmmsg`/`sendmmsg`, and `SO_REUSEPORT`.
//! A shard shares nothing with another one; the platform is reached by events and commands (see [`event`]).
#![forbid(unsafe_code)]

pub mod event;
pub mod handle;
pub mod io;
pub mod path;
pub mod shard;
