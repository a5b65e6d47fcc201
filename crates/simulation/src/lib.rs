//! The whole gateway in one thread, under virtual time, from one seed: shards of the engine, the bridge, the platform's
//! rules, a store that is slow, fails and outlives crashes, a fleet of devices, and a network that does what networks do.
//!
//! ```text
//!   devices ── network ── shards ── bridge (tasks of a runtime whose clock the world moves) ── store
//!      └──────────────────── ledger: what was sent, acknowledged, stored; who was heard ────────┘
//! ```
//!
//! A crash drops the shards and the runtime with all its tasks; what the store had applied stays. The [`ledger`] compares
//! all along, and panics with the seed, the time and the device's last moments when a promise is broken:
//!
//! | promise | checked |
//! |---|---|
//! | an acknowledged report is stored exactly once, and nothing that was not sent | at each acknowledgement and each write |
//! | no record number is used twice by the server | at each datagram of a session |
//! | nothing is delivered that its device did not seal | at each request |
//! | silence makes offline at the lifetime's end and not before | at each change of presence, and at the end |
//! | everything that was opened is closed | gauges at the end |
//! | after calm everybody is back | at the end |
#![forbid(unsafe_code)]

pub mod agent;
pub mod clock;
pub mod ledger;
pub mod plan;
pub mod statistics;
pub mod store;
pub mod world;
