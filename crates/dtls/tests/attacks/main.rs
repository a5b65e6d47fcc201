//! Sections A, B and C of the catalogue of hostile input, by the numbers of its cases. After each case the
//! same session and another one work at once: see [`util::bystander`]. What needs the inside of the crate to
//! be tried stands in the unit tests under its number; what identities mean and who may connect is decided
//! elsewhere.

mod handshake;
mod hello;
mod memory;
mod psk;
mod record;
mod second_cookie;
#[path = "../util/mod.rs"]
mod util;
