//! The shell of a shard: sockets, system calls in batches, and the loop of its thread.

mod address;
mod clock;
pub mod driver;
mod mmsg;
pub mod socket;
