//! The outside systems behind the platform's ports, one folder each: [`sqlite`] keeps everything in files and
//! passes the platform's conformance suite, [`images`] keeps images of firmware beside it, [`script`] runs
//! the scripts of products, [`passwords`] hashes those of users.
#![forbid(unsafe_code)]

#[cfg(feature = "test-hooks")]
pub mod failpoint;
pub mod images;
pub mod passwords;
mod reply;
pub mod script;
pub mod sqlite;
