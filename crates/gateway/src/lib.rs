//! Where the engine and the platform meet: the decisions of the product as a machine. No I/O, no clock, no
//! lock.
//!
//! ```text
//!              events                 effects: Command ─────────▶ shards
//!   shards ────────────▶ ┌─────────┐           Lookup, Product, Properties, OnlineOf,
//!                        │         │           Commands, Upgrades, ImagePiece ▶ store (reads)
//!                        │ Gateway │           Write ───────────▶ store (commits)
//!   store  ────────────▶ └─────────┘           Diagnose ────────▶ aside
//!              answers                         Tell ────────────▶ listeners
//! ```
//!
//! Everything that the gateway needs to know or to have done goes out as an [`Effect`] with a [`Token`]; its
//! [`Answer`] carries that token, in any order and at any time. So a slow look-up stalls nothing else: only
//! what needs it waits. The caller drains the effects after every input:
//!
//! * input: [`Gateway::handle_event`], [`Gateway::handle_answer`], [`Gateway::handle_timeout`],
//!   [`Gateway::handle_change`], [`Gateway::handle_entropy`], [`Gateway::handle_settle`];
//! * output: [`Gateway::poll_effect`], [`Gateway::poll_timeout`].
//!
//! Inside: a `desk` for each shard (handshakes that wait, sessions, requests that wait for their product),
//! and what all desks share: the `residence` (who is logged in where, and online), the `products`, the
//! `properties` and the `firmware` that devices ask for, their `upgrades`, the `refusals`, the secrets to be
//! issued (`issuing`), the `commands` that wait for devices, and the `observers` that hear of them at once.
//!
//! ```
//! use std::time::Instant;
//!
//! use narrowgate_engine::event::{HandshakeId, ShardCommand, ShardEvent};
//! use narrowgate_gateway::{Answer, Effect, Gateway, Limits, Now, Options};
//! use narrowgate_platform::{firmware::ServerName, ids::UnixMillis, model::credential::CredentialLookup};
//!
//! let now = Now { instant: Instant::now(), wall: UnixMillis(1_700_000_000_000) };
//! let limits = Limits::default();
//! let (online, commands, newest_arrival) = (Vec::new(), Vec::new(), None);
//! let server = ServerName::default();
//! let (shards, plain_shards, seed, epoch) = (1, 0, [3; 32], 0);
//! let options =
//!     Options { shards, plain_shards, seed, online, commands, epoch, newest_arrival, limits, server };
//! let mut gateway = Gateway::new(options, now);
//!
//! // A handshake asks for the key of an identity, so the gateway asks the store.
//! let handshake = HandshakeId { shard: 0, slot: 1, generation: 1 };
//! let (peer, identity) = (([192, 0, 2, 1], 5684).into(), b"MuGsF6W4,15bBZlRknc,2,60".to_vec());
//! gateway.handle_event(now, 0, ShardEvent::PskWanted { handshake, peer, identity });
//! let Some(Effect::Lookup(token, name)) = gateway.poll_effect() else { panic!("a look-up is due") };
//! assert_eq!(name.device_key, "15bBZlRknc");
//!
//! // Nobody has that name: the handshake runs on with a decoy, as it would with a key.
//! gateway.handle_answer(now, token, Answer::Lookup(Ok(CredentialLookup::DeviceUnknown)));
//! let effect = gateway.poll_effect();
//! assert!(matches!(effect, Some(Effect::Command(0, ShardCommand::ProvidePsk { .. }))));
//! assert!(gateway.is_settled());
//! ```
//!
//! Nothing depends on the order of a hash map: what is iterated is a list or ordered by its key, so that the
//! same inputs give the same effects.
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

mod alive;
mod clock;
mod commands;
mod desk;
pub mod diagnosis;
mod effect;
mod firmware;
mod folds;
mod gateway;
mod issuing;
mod leaving;
mod limits;
mod lookups;
mod observers;
mod options;
mod outbox;
mod pace;
mod products;
mod properties;
mod quotas;
mod rates;
mod raw;
mod refusals;
mod requests;
mod residence;
mod session;
mod shared;
mod spent;
mod turns;
mod unread;
mod unwritten;
mod upgrades;

#[cfg(test)]
mod tests;

pub use self::{
    diagnosis::Diagnosis,
    effect::{Answer, Effect, LiveChange, Now, Outcomes, ProductRead, Token},
    gateway::{Counters, Gateway},
    leaving::OnlineOf,
    options::{Limits, Options},
    outbox::Followers,
    raw::{Decode, Encode, Received},
    unwritten::Unwritten,
};

use std::time::Duration;

/// While the store is bad, an error of one kind is a line of the log this often.
const ERRORS_EVERY: Duration = Duration::from_secs(1);
/// A session with a product's secret ends this long after its handshake (device protocol, section 3).
const ACTIVATION_SESSION: Duration = Duration::from_secs(60);
/// And this long after it was given a secret.
const AFTER_ACTIVATION: Duration = Duration::from_secs(5);
