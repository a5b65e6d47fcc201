//! What the caller passes to an endpoint with each call.

use std::time::Instant;

use crate::{budget::Budget, params::Params};

/// The time, the limits and the memory with which an endpoint works. All calls of one endpoint name the same
/// [`Budget`].
#[derive(Debug)]
pub struct Context<'a> {
    /// The time of the call. It never goes back.
    pub now: Instant,
    /// Timers and limits.
    pub params: &'a Params,
    /// The memory that the endpoint shares with others.
    pub budget: &'a mut Budget,
}
