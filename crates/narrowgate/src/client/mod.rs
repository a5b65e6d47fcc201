//! How the command line reaches the operator's service: through the control socket of a running server, or by
//! opening the store itself.
//!
//! Either way a [`Call`] is an HTTP request for the same router, `narrowgate_http`'s: sent over the socket,
//! or handed to it in this process. So every request has one meaning, every answer has one shape, and there
//! is one table of problems; a command gets the same words either way.

mod access;
mod audit;
mod call;
mod connection;
mod firmware;
mod patience;
mod problem;
mod stream;
#[cfg(test)]
mod tests;
mod units;
#[cfg(test)]
mod verbs;

pub(crate) use access::{Access, LOCK_WAIT_MAX, LOCK_WAIT_STEP, open_store_waiting};
pub(crate) use call::{Call, IMPORT_ROWS_MAX};
pub(crate) use connection::Client;
pub(crate) use stream::StreamEvent;
