//! The bodies of the fuzz targets: each takes any bytes, and panics if the product breaks a promise.
//!
//! `fuzz/fuzz_targets` gives them to libFuzzer, `tests/corpora.rs` runs them over what libFuzzer found worth
//! keeping.
#![forbid(unsafe_code)]

mod cbor;
mod client_hello;
mod coap;
mod coap_blocks;
mod coap_exchange;
mod conversation;
mod decoded;
mod device;
mod envelope;
mod handshake;
mod identity;
mod record;
mod script;
mod script_results;
mod server_handshake;
mod session_state;
mod short;

pub use cbor::cbor;
pub use client_hello::{client_hello, extension};
pub use coap::coap;
pub use coap_blocks::coap_blocks;
pub use coap_exchange::coap_exchange;
pub use conversation::conversation;
pub use decoded::decoded;
pub use envelope::envelope;
pub use handshake::handshake;
pub use identity::identity;
pub use record::record;
pub use script_results::script_results;
pub use server_handshake::server_handshake;
pub use session_state::session_state;
pub use short::short;

/// A target's name and body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: [Target; 16] = [
    ("record", record),
    ("handshake", handshake),
    ("server_handshake", server_handshake),
    ("client_hello", client_hello),
    ("extension", extension),
    ("identity", identity),
    ("coap", coap),
    ("envelope", envelope),
    ("cbor", cbor),
    ("short", short),
    ("decoded", decoded),
    ("session_state", session_state),
    ("script_results", script_results),
    ("coap_exchange", coap_exchange),
    ("coap_blocks", coap_blocks),
    ("conversation", conversation),
];
