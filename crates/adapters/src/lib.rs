//! The outside systems behind the platform's ports, one folder each: [`memory`] keeps everything in the process,
//! [`sqlite`] keeps it in files. Both pass the platform's conformance suite.
#![forbid(unsafe_code)]

#[cfg(feature = "test-hooks")]
pub mod failpoint;
pub mod memory;
pub mod sqlite;
