//! The outside systems behind the platform's ports, one folder each: [`sqlite`] keeps everything in files and
//! passes the platform's conformance suite, [`images`] keeps images of firmware beside it, [`script`] runs
//! the scripts of products.
#![forbid(unsafe_code)]

#[cfg(feature = "test-hooks")]
pub mod failpoint;
pub mod images;
mod reply;
pub mod script;
pub mod sqlite;
