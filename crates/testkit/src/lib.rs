//! What tests of several crates need, one of each: a [seeded random source](SeededRandom),
//! [ClientHellos](hello)
//! written by hand and [records](record) around them, [changes](mutate) to real flights, a look at the
//! [memory] of the test itself, and the [real program](program), started and stopped.
//!
//! Only dev-dependencies name this crate. Unit tests of a crate below it, which it is built against, use what
//! is plain data: in such a test the crate's own types are those of another build.
#![forbid(unsafe_code)]

pub mod hello;
pub mod memory;
pub mod program;
pub mod record;

pub use narrowgate_sim::{mutation::mutate, random::SeededRandom};
