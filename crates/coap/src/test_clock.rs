//! Virtual time for the unit tests, and what else an endpoint is told.

use std::{sync::OnceLock, time::Instant};

use crate::{budget::Budget, context::Context, params::Params};

static START: OnceLock<Instant> = OnceLock::new();

/// The instant from which every test counts. Which one it is does not matter, and only the clock can make
/// one.
#[expect(clippy::disallowed_methods, reason = "an arbitrary origin, read once")]
pub(crate) fn start() -> Instant {
    *START.get_or_init(Instant::now)
}

/// What a [`Context`] is made of.
pub(crate) struct Bench {
    pub(crate) now: Instant,
    pub(crate) params: Params,
    pub(crate) budget: Budget,
}

impl Bench {
    pub(crate) fn new(params: Params) -> Self {
        Self { now: start(), params, budget: Budget::new(1 << 20) }
    }

    pub(crate) fn context(&mut self) -> Context<'_> {
        Context { now: self.now, params: &self.params, budget: &mut self.budget }
    }
}
