//! What operators and programs say to narrowgate, and what they are told: the types of requests, answers and
//! happenings, both ways. Nothing here behaves; every crate that speaks to the outside shares these types, the
//! command line among them. Keys are camelCase, times Unix milliseconds.
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

pub mod happening;
pub mod log;
pub mod names;
