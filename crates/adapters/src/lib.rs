//! The outside systems behind the platform's ports, one folder each: [`sqlite`] keeps everything in files. It
//! passes the platform's conformance suite.
#![forbid(unsafe_code)]

#[cfg(feature = "test-hooks")]
pub mod failpoint;
pub mod sqlite;
