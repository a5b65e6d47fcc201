//! Fair shares of what is limited: no token, no user with all sessions, and no organisation unit takes all of
//! it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use narrowgate_platform::model::access::Caller;

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

    /// Its token and its unit, each with what it may have.
    fn lots(&self, max: ShareMax) -> impl Iterator<Item = (Lot, usize, Full)> {
        let token = self.token.clone().map(|name| (Lot::Token(name), max.token, Full::Token(max.token)));
        let unit = self.unit.clone().map(|ou| (Lot::Unit(ou), max.unit, Full::Unit(max.unit)));
        token.into_iter().chain(unit)
    }
}

/// A token or a user by name, a unit by its key, or the owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lot {
    Owner,
    Token(String),
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
        for (lot, max, full) in self.holder.lots(max) {
            if taken.of.get(&lot).copied().unwrap_or_default() + amount > max {
                return Err(full);
            }
        }
        if taken.all + amount > max.all {
            return Err(Full::All(max.all));
        }
        taken.all += amount;
        for (lot, ..) in self.holder.lots(max) {
            *taken.of.entry(lot).or_default() += amount;
        }
        self.amount += amount;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.lock();
        taken.all -= self.amount;
        for (lot, ..) in self.holder.lots(self.shares.max) {
            if let Some(of) = taken.of.get_mut(&lot) {
                *of -= self.amount;
                if *of == 0 {
                    taken.of.remove(&lot);
                }
            }
        }
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
        drop((first, others, owner));
        assert!(shares.lock().of.is_empty() && shares.lock().all == 0);
    }
}
