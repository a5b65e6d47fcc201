//! The time of arrival of everything that the gateway writes down, and what the log says of the clock.

use std::mem::discriminant;

use narrowgate_platform::rules::clock::{Arrival, ArrivalClock, CONFIRMED_AFTER, Standing};

use crate::effect::Now;

/// See the module.
#[derive(Debug)]
pub(crate) struct Clock {
    arrivals: ArrivalClock,
    now: Arrival,
}

impl Clock {
    pub(crate) fn new(arrivals: ArrivalClock, now: Now) -> Self {
        let mut clock = Self { arrivals, now: now.wall.into() };
        clock.stamp(now);
        clock
    }

    /// What is written down of this moment.
    pub(crate) fn stamp(&mut self, now: Now) -> Now {
        let before = self.arrivals.standing();
        self.now = self.arrivals.read(now.instant, now.wall);
        let standing = self.arrivals.standing();
        if discriminant(&standing) != discriminant(&before) {
            tell(standing);
        }
        Now { wall: self.now.time, ..now }
    }

    /// The arrival of what is handled now.
    pub(crate) fn now(&self) -> Arrival {
        self.now
    }

    pub(crate) fn arrivals(&self) -> ArrivalClock {
        self.arrivals
    }
}

/// One line for each change.
fn tell(standing: Standing) {
    match standing {
        Standing::Right => tracing::info!("the server's clock is right again"),
        Standing::Behind { by } => tracing::warn!(
            by_s = by.as_secs(),
            "the server's clock is behind: what arrives is stamped from the newest time of arrival on, until \
             the clock has passed it; check time synchronisation"
        ),
        Standing::WentBack { by } => tracing::warn!(
            by_s = by.as_secs(),
            "the server's clock went back before it had gone on for {} minutes: the earlier time is taken; \
             check time synchronisation",
            CONFIRMED_AFTER.as_secs() / 60
        ),
        Standing::Ahead { by } => tracing::warn!(
            by_s = by.as_secs(),
            "the server's clock has leapt ahead: it is believed when it has gone on for {} minutes; check \
             time synchronisation",
            CONFIRMED_AFTER.as_secs() / 60
        ),
    }
}
