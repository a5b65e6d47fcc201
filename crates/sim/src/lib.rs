//! Simulated devices.
//!
//! For tests that must be repeatable: [`device`] is one device's life, [`net`] the network between, and
//! [`world`] puts devices and a shard of the engine under one virtual clock, and [`story`] tells in sentences
//! what they live through. Nothing here has a socket, a clock or a random source of its own; a failure
//! replays from its seed.
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

pub mod campaign;
pub mod device;
pub mod devices;
pub mod key;
pub mod mutation;
pub mod net;
pub mod random;
pub mod statistics;
pub mod story;
pub mod world;
