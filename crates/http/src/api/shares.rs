//! Of what takes long, each token may do only so much at a time, and all of them together.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Whose share it is; `None`: the owner's.
pub(super) type Holder = Option<[u8; 32]>;

/// See the module.
#[derive(Debug)]
pub(super) struct Shares {
    each_max: usize,
    all_max: usize,
    taken: Mutex<BTreeMap<Holder, usize>>,
}

impl Shares {
    pub(super) const fn new(each_max: usize, all_max: usize) -> Self {
        Self { each_max, all_max, taken: Mutex::new(BTreeMap::new()) }
    }

    /// A share, until it is dropped.
    ///
    /// # Errors
    /// Who has as many as may be had, for people.
    pub(super) fn take(&'static self, holder: Holder) -> Result<Share, String> {
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= self.all_max {
            return Err(format!("{} of them are under way, as many as may", self.all_max));
        }
        let own = taken.entry(holder).or_default();
        if *own >= self.each_max {
            return Err(format!("{own} of this token are under way, as many as may"));
        }
        *own += 1;
        Ok(Share { shares: self, holder })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Holder, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Shares::take`].
#[derive(Debug)]
pub(super) struct Share {
    shares: &'static Shares,
    holder: Holder,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.lock();
        if let Some(own) = taken.get_mut(&self.holder) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_its_share_and_leaves_the_others_theirs() {
        static SHARES: Shares = Shares::new(2, 3);
        let (first, second) = (Some([1; 32]), Some([2; 32]));
        let one = SHARES.take(first).expect("it is the first");
        let two = SHARES.take(first).expect("it may have two");
        let refused = SHARES.take(first).expect_err("it has two");
        assert_eq!(refused, "2 of this token are under way, as many as may");
        let three = SHARES.take(second).expect("another one has its own");
        let refused = SHARES.take(None).expect_err("all have three");
        assert_eq!(refused, "3 of them are under way, as many as may");
        drop((one, three));
        assert!(SHARES.take(first).is_ok() && SHARES.take(None).is_ok());
        drop(two);
        assert!(SHARES.lock().is_empty());
    }
}
