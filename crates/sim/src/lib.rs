//! The simulation: devices, a network and the whole server in one thread, under one virtual clock.
//!
//! [`device`] is one device's life, [`net`] the network between, [`world`] the server (shards of the engine,
//! the gateway and a store) with devices around it. [`story`] tells in sentences what they live through, and
//! a [`campaign`] lets go wrong what can, from one seed, beside a ledger of what really happened. Nothing
//! here has a socket, a clock or a random source of its own; a failure replays from its seed.
//!
//! ```
//! use narrowgate_sim::story::Story;
//!
//! let text = "# A report is stored once, though its answer was lost.\n\
//!             device a psk=k1\na connects\nnetwork loses the next 1 to a\n\
//!             a posts temp=21.5\nexpect a 2.04 within 30s\nexpect store a temp=21.5\n";
//! Story::parse("once.story", text).and_then(|story| story.run()).expect("it is so");
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

pub mod campaign;
pub mod delivery;
pub mod device;
pub mod devices;
pub mod key;
pub mod mutation;
pub mod net;
pub mod random;
pub mod slow_radio;
pub mod statistics;
pub mod story;
pub mod update;
pub mod world;
