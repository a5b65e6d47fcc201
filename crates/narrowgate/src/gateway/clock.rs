//! The gateway's clock of arrivals for the rest of the program, and what is said of a clock that is wrong.

use std::sync::Arc;

use narrowgate_platform::{
    ids::UnixMillis,
    ports::Clock,
    rules::clock::{CONFIRMED_AFTER, Standing},
};

use super::{metrics::Published, now};

/// Shows what the gateway would write down now: what an operator changes stands in one order with what
/// devices cause.
pub(super) struct ArrivalClock {
    system: Arc<dyn Clock>,
    published: Arc<Published>,
}

impl ArrivalClock {
    pub(super) fn new(system: Arc<dyn Clock>, published: Arc<Published>) -> Self {
        Self { system, published }
    }
}

impl Clock for ArrivalClock {
    fn now(&self) -> UnixMillis {
        self.published.read_clock(now(&*self.system)).1
    }
}

/// For the answer of `/health/ready`.
pub(super) fn warning(standing: Standing) -> Option<String> {
    match standing {
        Standing::Right => None,
        Standing::Behind { by } => Some(format!(
            "the server's clock is {} s behind the newest arrival; arrivals go on from there until it has \
             passed",
            by.as_secs()
        )),
        Standing::WentBack { by } => Some(format!(
            "the server's clock is {} s behind what it showed before; it is believed, and confirmed after {} \
             minutes",
            by.as_secs(),
            CONFIRMED_AFTER.as_secs() / 60
        )),
        Standing::Ahead { by } => Some(format!(
            "the server's clock is {} s ahead of what is confirmed; it is believed after {} minutes",
            by.as_secs(),
            CONFIRMED_AFTER.as_secs() / 60
        )),
    }
}
