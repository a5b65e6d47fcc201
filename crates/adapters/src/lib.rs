//! The outside systems behind the platform's ports, one folder each: [`sqlite`] keeps everything in files and
//! passes the platform's conformance suite, [`script`] runs the scripts of products.
#![forbid(unsafe_code)]

#[cfg(feature = "test-hooks")]
pub mod failpoint;
mod reply;
pub mod script;
pub mod sqlite;
