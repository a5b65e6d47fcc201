//! Where the engine and the platform meet: the decisions of the product as a machine. No I/O, no clock, no
//! lock.
//!
//! ```text
//!              events                 effects: Command ─────────▶ shards
//!   shards ────────────▶ ┌─────────┐           Lookup, Product ─▶ store (reads)
//!                        │ Gateway │           Write, Issue ────▶ store (commits)
//!   store  ────────────▶ └─────────┘           Diagnose ────────▶ aside
//!              answers                         Tell ────────────▶ listeners
//! ```
//!
//! Whatever the gateway wants to know or to have done goes out as an [`Effect`] with a [`Token`]; its
//! [`Answer`] comes back with that token, in any order and at any time. So a slow look-up stalls nobody: what
//! needs it waits, all else goes on. The caller drains the effects after every input:
//!
//! * input: [`Gateway::handle_event`], [`Gateway::handle_answer`], [`Gateway::handle_timeout`],
//!   [`Gateway::handle_change`], [`Gateway::handle_settle`];
//! * output: [`Gateway::poll_effect`], [`Gateway::poll_timeout`].
//!
//! Inside: a `desk` for each shard (handshakes that wait, sessions, requests that wait for their product),
//! and what all desks share: the `residence` (who is logged in where, and online), the `products`, the
//! `refusals`, the secrets to be issued (`issuing`).
//!
//! Nothing depends on the order of a hash map: what is iterated is a list or ordered by its key, so that the
//! same inputs give the same effects.
#![forbid(unsafe_code)]

mod desk;
pub mod diagnosis;
mod effect;
mod gateway;
mod issuing;
mod limits;
mod outbox;
mod products;
mod refusals;
mod requests;
mod residence;
mod shared;
mod unwritten;

#[cfg(test)]
mod tests;

pub use self::{
    diagnosis::Diagnosis,
    effect::{Answer, Effect, Issue, LiveChange, Now, Token},
    gateway::{Counters, Gateway, Options},
    unwritten::Unwritten,
};

use std::time::Duration;

/// A session with a product's secret ends so long after its handshake (device protocol, section 3).
const ACTIVATION_SESSION: Duration = Duration::from_secs(60);
/// And so long after it was given a secret.
const AFTER_ACTIVATION: Duration = Duration::from_secs(5);
