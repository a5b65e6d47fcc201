//! The rules of the device protocol, each a pure function or a small machine: names, identities, who is let in,
//! what a wrong key was probably meant to be, and when a device counts as online.

pub mod admission;
pub mod identity;
pub mod mistakes;
pub mod names;
pub mod presence;
pub mod psk;
pub mod similar;
