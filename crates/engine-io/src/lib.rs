//! The shell of the engine: one OS thread per shard with its own loop, `recvmmsg`/`sendmmsg`, and
//! `SO_REUSEPORT`.
//!
//! [`narrowgate_engine::shard::Shard`], which is pure, makes all decisions. Here are the sockets, the system
//! calls in batches, the operating system's clock, and the queue by which other threads reach a shard.
#![forbid(unsafe_code)]

mod address;
mod clock;
pub mod driver;
pub mod handle;
mod mmsg;
mod port;
pub mod socket;
