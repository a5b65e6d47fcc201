//! How many requests that change nothing get an entry of their own: those that the caller's role does not
//! permit, and exports. Who may do the least could else fill the log in some hours, and so push out of it
//! what others changed. The next entry of the caller says how many before it have none.
//!
//! What changes something or shows a secret always has its entry, and so has all that the owner does.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    sync::Mutex,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    model::access::Caller,
    ports::{TOKENS_MAX, USERS_MAX},
    rules::rate::Rate,
};

use crate::limiter::{Limiter, lock};

/// Of one token or user: 2,880 a day.
const OF_CALLER: Rate = Rate { every: Duration::from_secs(30), burst: 100 };
/// Of all callers of one organisation unit, and of those of all units: 8,640 a day.
const OF_UNIT: Rate = Rate { every: Duration::from_secs(10), burst: 400 };
/// Of all: 21,600 a day.
const OF_ALL: Rate = Rate { every: Duration::from_secs(4), burst: 1000 };

/// Callers and units that are counted.
const KEPT_MAX: usize = 2 * (TOKENS_MAX + USERS_MAX);

/// See the module.
#[derive(Debug)]
pub(in crate::api) struct Sparing {
    callers: Limiter<u64>,
    units: Limiter<u64>,
    all: Limiter<()>,
    /// Of each caller, since its last entry.
    left_out: Mutex<BTreeMap<u64, u64>>,
    hasher: RandomState,
}

impl Default for Sparing {
    fn default() -> Self {
        Self {
            callers: Limiter::new(OF_CALLER, KEPT_MAX),
            units: Limiter::new(OF_UNIT, KEPT_MAX),
            all: Limiter::new(OF_ALL, 1),
            left_out: Mutex::default(),
            hasher: RandomState::new(),
        }
    }
}

impl Sparing {
    /// Whether a request gets an entry now, and how many before it have none; `None`: it has none either, and
    /// is counted.
    pub(super) fn take(&self, caller: &Caller, now: Instant) -> Option<u64> {
        if *caller == Caller::Owner {
            return Some(0);
        }
        // With what it is: a token and a user may have the same name.
        let who = self.hasher.hash_one(caller.to_string());
        let unit = self.hasher.hash_one(caller.unit());
        let mut left_out = lock(&self.left_out);
        if self.permit(who, unit, now) {
            return Some(left_out.remove(&who).unwrap_or(0));
        }
        if left_out.len() < KEPT_MAX || left_out.contains_key(&who) {
            *left_out.entry(who).or_default() += 1;
        }
        None
    }

    fn permit(&self, who: u64, unit: u64, now: Instant) -> bool {
        if self.callers.permit(who, now).is_err() {
            return false;
        }
        if self.units.permit(unit, now).is_err() {
            self.callers.give_back(who);
            return false;
        }
        let passed = self.all.permit((), now).is_ok();
        if !passed {
            self.callers.give_back(who);
            self.units.give_back(unit);
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::access::Role;
    use narrowgate_platform::model::access::Scope;

    use super::*;

    fn token(name: &str, unit: Option<&str>) -> Caller {
        let scope = unit.map_or(Scope::All, |unit| Scope::Unit(unit.to_owned()));
        Caller::Token { name: name.to_owned(), role: Role::Viewer, scope }
    }

    fn count(sparing: &Sparing, caller: &Caller, tries: usize, now: Instant) -> usize {
        (0..tries).filter(|_| sparing.take(caller, now).is_some()).count()
    }

    #[test]
    fn a_token_gets_so_many_entries_and_the_next_one_counts_the_rest() {
        let (sparing, now) = (Sparing::default(), Instant::now());
        let (loud, other) = (token("a", Some("north")), token("b", Some("north")));
        assert_eq!(count(&sparing, &loud, 1000, now), 100);
        assert_eq!(count(&sparing, &other, 1, now), 1, "others have their own");
        let later = now + Duration::from_secs(30);
        assert_eq!(sparing.take(&loud, later), Some(900));
        assert_eq!(sparing.take(&loud, later), None);
        assert_eq!(sparing.take(&loud, later + Duration::from_secs(30)), Some(1));
        // An hour of a hundred a second.
        let ticks = (0..360_000u32).map(|n| later + Duration::from_secs(60) + Duration::from_millis(10) * n);
        assert_eq!(ticks.filter(|now| sparing.take(&loud, *now).is_some()).count(), 120);
    }

    #[test]
    fn tokens_of_one_unit_take_nothing_of_another_and_the_owner_has_all() {
        let (sparing, now) = (Sparing::default(), Instant::now());
        let of = |unit: &'static str| {
            let sparing = &sparing;
            (0..20)
                .map(move |n| count(sparing, &token(&format!("{unit}{n}"), Some(unit)), 100, now))
                .sum::<usize>()
        };
        assert_eq!((of("north"), of("south")), (400, 400));
        assert_eq!(count(&sparing, &Caller::Owner, 5000, now), 5000);
        assert_eq!(count(&sparing, &token("all", None), 100, now), 100);
        assert_eq!(of("east"), 100, "of all units 1,000");
    }
}
