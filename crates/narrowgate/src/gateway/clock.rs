//! The gateway's clock of arrivals for the rest of the program, and what is said of a clock that is wrong.

use std::{sync::Arc, time::Instant};

use narrowgate_gateway::Now;
use narrowgate_platform::{
    ids::UnixMillis,
    ports::Clock,
    rules::clock::{CONFIRMED_AFTER, NewestArrival, Standing},
};

use super::{metrics::Published, now};

/// Shows what the gateway would write down now: what an operator changes stands in one order with what
/// devices cause.
pub(super) struct ArrivalClock {
    system: Arc<dyn Clock>,
    published: Arc<Published>,
    steady: Steady,
}

impl ArrivalClock {
    pub(super) fn new(system: Arc<dyn Clock>, published: Arc<Published>, steady: Steady) -> Self {
        Self { system, published, steady }
    }
}

/// A time that no leap of the wall clock moves, not even one before the start: what was confirmed then, and
/// as much later as the process has run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steady {
    began: Instant,
    time: UnixMillis,
}

impl Steady {
    /// That of a store that knows this newest arrival.
    pub(super) fn new(known: Option<NewestArrival>, now: Now) -> Self {
        let time = match known {
            Some(NewestArrival { time, is_confirmed: true }) => time,
            Some(NewestArrival { time, is_confirmed: false }) => time.min(now.wall),
            None => now.wall,
        };
        Self { began: now.instant, time }
    }

    fn at(self, now: Instant) -> UnixMillis {
        UnixMillis(self.time.0.saturating_add(self.ran_ms(now)))
    }

    /// When the process began, by what another clock shows now.
    pub(super) fn began_at(self, now: Instant, shown: UnixMillis) -> UnixMillis {
        UnixMillis(shown.0.saturating_sub(self.ran_ms(now)))
    }

    fn ran_ms(self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(i64::MAX)
    }
}

impl Clock for ArrivalClock {
    fn now(&self) -> UnixMillis {
        self.published.read_clock(now(&*self.system)).1
    }

    fn steady(&self) -> UnixMillis {
        self.steady.at(Instant::now())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn attack_206_a_start_with_the_clock_ahead_makes_nothing_old() {
        let began = Instant::now();
        let wall = |ms| Now { instant: began, wall: UnixMillis(ms) };
        let known = |is_confirmed| Some(NewestArrival { time: UnixMillis(1_000), is_confirmed });
        for (known, shown, expected) in [
            (known(true), 86_401_000, 1_000),
            (known(true), 0, 1_000),
            (known(false), 86_401_000, 1_000),
            (known(false), 10, 10),
            (None, 10, 10),
        ] {
            let steady = Steady::new(known, wall(shown));
            assert_eq!(steady.at(began).0, expected, "{known:?}, {shown}");
            let later = began + Duration::from_secs(7);
            assert_eq!(steady.at(later).0, expected + 7_000);
            assert_eq!(steady.began_at(later, UnixMillis(90_000)).0, 83_000);
        }
    }
}
