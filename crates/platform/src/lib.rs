//! What narrowgate *is*, without sockets, clocks, threads or databases: products, devices, their secrets and
//! states, the rules of the device protocol, and the ports through which the outside is reached.
//!
//! Pure: bytes, time and randomness come in as arguments or through a port; `async` appears only as futures
//! that a port returns.
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

pub mod device_api;
pub mod ids;
pub mod memory;
pub mod model;
pub mod paging;
pub mod ports;
pub mod rules;
pub mod secret;
pub mod service;
pub mod testing;
