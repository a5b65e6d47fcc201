//! Questions of many owners that are asked one at a time: the owners take turns, each with its oldest. So one
//! that asks a lot makes nobody wait for more than one question of its own.
//!
//! Limit: [`OF_ONE_MAX`] of one owner wait; more are given back. Who owns none costs nothing.

use std::collections::{BTreeMap, VecDeque};

/// Questions of one owner that wait.
pub(crate) const OF_ONE_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Turns<Q> {
    waiting: BTreeMap<String, VecDeque<Q>>,
    /// Owners with questions, each once: who is next stands first.
    next: VecDeque<String>,
    is_under_way: bool,
}

impl<Q> Turns<Q> {
    pub(crate) fn new() -> Self {
        Self { waiting: BTreeMap::new(), next: VecDeque::new(), is_under_way: false }
    }

    /// Queues a question.
    ///
    /// # Errors
    /// Its owner has too many, and the question comes back.
    pub(crate) fn enter(&mut self, owner: &str, question: Q) -> Result<(), Q> {
        match self.waiting.get_mut(owner) {
            Some(queue) if queue.len() >= OF_ONE_MAX => return Err(question),
            Some(queue) => queue.push_back(question),
            None => {
                self.waiting.insert(owner.to_owned(), VecDeque::from([question]));
                self.next.push_back(owner.to_owned());
            }
        }
        Ok(())
    }

    /// The next one, unless one is under way.
    pub(crate) fn poll(&mut self) -> Option<Q> {
        if self.is_under_way {
            return None;
        }
        let owner = self.next.pop_front()?;
        let queue = self.waiting.get_mut(&owner)?;
        let question = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&owner);
        } else {
            self.next.push_back(owner);
        }
        self.is_under_way = question.is_some();
        question
    }

    /// The one that is under way is answered.
    pub(crate) fn leave(&mut self) {
        self.is_under_way = false;
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.is_under_way && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_take_turns_however_much_one_asks() {
        let mut turns = Turns::new();
        let entered = (0..1000).filter(|n| turns.enter("loud", *n).is_ok()).count();
        assert_eq!(entered, OF_ONE_MAX);
        for n in 5000..5003 {
            assert_eq!(turns.enter("quiet", n), Ok(()));
        }
        assert_eq!(turns.enter("other", 9000), Ok(()));
        let mut asked = Vec::new();
        while let Some(question) = turns.poll() {
            assert_eq!(turns.poll(), None, "one at a time");
            turns.leave();
            asked.push(question);
        }
        assert_eq!(asked[..8], [0, 5000, 9000, 1, 5001, 2, 5002, 3]);
        assert_eq!((asked.len(), turns.next.len()), (OF_ONE_MAX + 4, 0));
        assert!(turns.is_empty() && turns.waiting.is_empty());
    }
}
