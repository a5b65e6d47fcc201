//! Simulated devices.
//!
//! Pure, for tests that must be repeatable: [`device`] is one device's life, [`net`] the network between, and [`world`]
//! puts devices and a shard of the engine under one virtual clock, and [`story`] tells in sentences what they live
//! through. Nothing there has a socket, a clock or a random source of its own; a failure replays from its seed.
//!
//! Shell: [`load`] drives thousands of the same devices over real UDP sockets, on loopback only.
#![forbid(unsafe_code)]

pub mod device;
pub mod key;
pub mod load;
pub mod net;
pub mod random;
pub mod story;
pub mod world;
