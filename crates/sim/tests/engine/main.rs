//! Simulated devices against a shard of the engine, under virtual time.

mod duplicates;
mod handshakes;
mod life;
mod limits;
mod strangers;
mod support;
