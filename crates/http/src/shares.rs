//! Fair shares of what is limited: no token, no user with all sessions, and no organisation unit takes all of
//! it. Of all, and of what a unit may have, a part is kept for those who have none yet: a few loud ones leave
//! something to everybody else.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use narrowgate_platform::model::access::Caller;

/// The part that is kept for those who have none yet.
const KEPT: usize = 8;

/// How much there is, and how much of it at most is one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShareMax {
    pub(crate) all: usize,
    /// Of one token, or of one user.
    pub(crate) token: usize,
    /// Of all tokens and users of one organisation unit together.
    pub(crate) unit: usize,
}

impl ShareMax {
    /// What is kept of all for units, and tokens of all units, that have none yet.
    const fn kept(self) -> usize {
        if self.all > self.token { self.all.div_ceil(KEPT) } else { 0 }
    }

    /// What is kept of a unit's for tokens of it that have none yet.
    const fn kept_of_unit(self) -> usize {
        if self.unit > self.token { self.unit / KEPT } else { 0 }
    }

    /// Half for a token, and no more for its unit.
    pub(crate) const fn half(all: usize) -> Self {
        Self { all, token: all.div_ceil(2), unit: all.div_ceil(2) }
    }

    /// A quarter for a token, and half for a unit.
    pub(crate) const fn quarter(all: usize) -> Self {
        Self { all, token: all.div_ceil(4), unit: all.div_ceil(2) }
    }
}

/// Whose a share is. The owner of the data directory has none of his own: only what there is limits him.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Holder {
    token: Option<String>,
    unit: Option<String>,
}

impl Holder {
    /// The one who asks.
    pub(crate) fn of(caller: &Caller) -> Self {
        let token = match caller {
            Caller::Owner => None,
            Caller::Token { name, .. } => Some(format!("token {name}")),
            Caller::User { name, .. } => Some(format!("user {name}")),
        };
        Self { token, unit: caller.unit().map(str::to_owned) }
    }

    /// Who takes turns with others: a unit, or a token that is of all units; `None`: the owner.
    pub(crate) fn lot(&self) -> Option<Lot> {
        let unit = self.unit.clone().map(Lot::Unit);
        unit.or_else(|| self.token.clone().map(Lot::Token))
    }

    /// Its token or user by name.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Its token and its unit.
    fn lots(&self) -> [Option<Lot>; 2] {
        [self.token.clone().map(Lot::Token), self.unit.clone().map(Lot::Unit)]
    }
}

/// A token or a user by name, a unit by its key, or the owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lot {
    /// The owner of the data directory.
    Owner,
    /// A token or a user of all units.
    Token(String),
    /// All of a unit.
    Unit(String),
}

/// What is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All of so much.
    All(usize),
    /// What one token or one user may have.
    Token(usize),
    /// What one unit may have.
    Unit(usize),
}

impl Full {
    /// How many of what may be, and whose.
    pub(crate) fn told(self, what: &str) -> String {
        match self {
            Self::All(max) => format!("at most {max} {what} may be under way"),
            Self::Token(max) => format!("this token or user may have at most {max} {what} under way"),
            Self::Unit(max) => format!("its organisation unit may have at most {max} {what} under way"),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shares {
    max: ShareMax,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of those who have some.
    of: BTreeMap<Lot, usize>,
}

impl Shares {
    pub(crate) fn new(max: ShareMax) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default() })
    }

    /// Takes so much for this holder, until the result is dropped.
    ///
    /// # Errors
    /// Who has too much then.
    pub(crate) fn take(self: &Arc<Self>, holder: &Holder, amount: usize) -> Result<Share, Full> {
        let mut share = Share { shares: Arc::clone(self), holder: holder.clone(), amount: 0 };
        share.more(amount)?;
        Ok(share)
    }

    /// How much is taken by all.
    pub(crate) fn taken(&self) -> u64 {
        self.lock().all as u64
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What somebody has taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    holder: Holder,
    amount: usize,
}

impl Share {
    /// Takes so much more.
    ///
    /// # Errors
    /// Who has too much then; nothing more is taken.
    pub(crate) fn more(&mut self, amount: usize) -> Result<(), Full> {
        let max = self.shares.max;
        let mut taken = self.shares.lock();
        let has = |lot: Option<&Lot>| lot.and_then(|lot| taken.of.get(lot)).copied().unwrap_or_default();
        let [token, unit] = self.holder.lots();
        let kept = |kept, has| if has > 0 { kept } else { 0 };
        let of_token = has(token.as_ref());
        if token.is_some() && of_token + amount > max.token {
            return Err(Full::Token(max.token));
        }
        let of_unit = has(unit.as_ref());
        if unit.is_some() && of_unit + amount > max.unit - kept(max.kept_of_unit(), of_token) {
            return Err(Full::Unit(max.unit));
        }
        let of_lot = if unit.is_some() { of_unit } else { of_token };
        if taken.all + amount > max.all - kept(max.kept(), of_lot) {
            return Err(Full::All(max.all));
        }
        taken.all += amount;
        for lot in self.holder.lots().into_iter().flatten() {
            *taken.of.entry(lot).or_default() += amount;
        }
        self.amount += amount;
        Ok(())
    }
}

impl Share {
    /// Keeps so much at most, and gives back the rest.
    pub(crate) fn keep(&mut self, amount: usize) {
        let rest = self.amount.saturating_sub(amount);
        self.amount -= rest;
        let mut taken = self.shares.lock();
        taken.all -= rest;
        for lot in self.holder.lots().into_iter().flatten() {
            if let Some(of) = taken.of.get_mut(&lot) {
                *of -= rest;
                if *of == 0 {
                    taken.of.remove(&lot);
                }
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.keep(0);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use narrowgate_platform::model::access::{Role, Scope};

    use super::*;

    /// The holder of a token.
    pub(crate) fn holder(name: &str, ou: Option<&str>) -> Holder {
        let scope = ou.map_or(Scope::All, |ou| Scope::Unit(ou.to_owned()));
        Holder::of(&Caller::Token { name: name.to_owned(), role: Role::Viewer, scope })
    }

    #[test]
    fn a_few_loud_ones_leave_something_to_whoever_has_none() {
        let shares = Shares::new(ShareMax { all: 128, token: 32, unit: 64 });
        let take = |name: &str, ou: Option<&str>| shares.take(&holder(name, ou), 1);
        let mut held = Vec::new();
        for unit in ["north", "south", "west"] {
            for name in ["a", "b", "c"] {
                held.extend(std::iter::from_fn(|| take(&format!("{unit} {name}"), Some(unit)).ok()));
            }
        }
        // An eighth is kept, of which the last one has begun to take.
        assert_eq!(held.len(), 113);
        assert_eq!(take("north a", Some("north")).expect_err("it has its share"), Full::Token(32));
        assert_eq!(take("west a", Some("west")).expect_err("it has some"), Full::All(128));
        for number in 0..15 {
            let name = format!("quiet {number}");
            held.push(take(&name, Some(&name)).expect("it has none"));
        }
        // And so the tokens of one unit.
        let shares = Shares::new(ShareMax { all: 128, token: 32, unit: 64 });
        let take = |name: &str| shares.take(&holder(name, Some("north")), 1);
        let mut held: Vec<_> = std::iter::from_fn(|| take("a").ok()).collect();
        held.extend(std::iter::from_fn(|| take("b").ok()));
        assert_eq!(held.len(), 56);
        assert_eq!(take("b").expect_err("it has some"), Full::Unit(64));
        take("c").expect("it has none");
    }

    #[test]
    fn neither_a_token_nor_a_unit_takes_all_and_what_is_given_back_is_free_again() {
        let shares = Shares::new(ShareMax { all: 8, token: 2, unit: 4 });
        let take = |name, ou| shares.take(&holder(name, ou), 1);
        let first = [take("a", None), take("a", None)];
        assert_eq!(take("a", None).expect_err("it has its share"), Full::Token(2));
        let of_unit = ["b", "b", "c", "c"].map(|name| take(name, Some("north")).expect("there is room"));
        assert_eq!(take("d", Some("north")).expect_err("its unit has its share"), Full::Unit(4));
        let others = ["e", "f"].map(|name| take(name, None).expect("others have their share"));
        assert_eq!(take("g", None).expect_err("there is no more"), Full::All(8));
        assert_eq!(shares.take(&Holder::default(), 1).expect_err("nor for the owner"), Full::All(8));
        drop(of_unit);
        let mut owner = shares.take(&Holder::default(), 3).expect("the owner has no share of his own");
        assert_eq!(owner.more(2).expect_err("that is too much"), Full::All(8));
        owner.more(1).expect("and this is not");
        owner.keep(2);
        owner.more(2).expect("it gave two back");
        drop((first, others, owner));
        assert!(shares.lock().of.is_empty() && shares.lock().all == 0);
    }
}
