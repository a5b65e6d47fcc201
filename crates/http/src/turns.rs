//! Turns at the store: who reads much waits for its turn behind everybody else, not before them.
//!
//! Only so many requests read at a time, of one unit (or of one token of all units) fewer; those that wait
//! are served by turns of the units, not in the order in which they came. Who leaves while it waits is
//! forgotten.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::shares::Lot;

/// Requests that read at a time. The store has one reader more, for the owner's commands.
pub(crate) const AT_ONCE: usize = 3;
/// Of one unit, or of one token of all units.
pub(crate) const OF_ONE: usize = 2;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Of those who have one.
    of: BTreeMap<Lot, usize>,
    /// Whose turn is next, each with those of it that wait, the first of them first; none is empty.
    queue: VecDeque<(Lot, VecDeque<oneshot::Sender<Turn>>)>,
}

impl State {
    fn may(&self, lot: &Lot) -> bool {
        self.taken < AT_ONCE && self.of.get(lot).copied().unwrap_or_default() < OF_ONE
    }

    fn begin(&mut self, lot: &Lot) {
        self.taken += 1;
        *self.of.entry(lot.clone()).or_default() += 1;
    }

    fn end(&mut self, lot: &Lot) {
        self.taken -= 1;
        if let Some(of) = self.of.get_mut(lot) {
            *of -= 1;
            if *of == 0 {
                self.of.remove(lot);
            }
        }
    }

    /// Puts somebody to the end of the queue of its lot.
    fn wait(&mut self, lot: Lot, waiter: oneshot::Sender<Turn>) {
        match self.queue.iter_mut().find(|(known, _)| *known == lot) {
            Some((_, waiters)) => waiters.push_back(waiter),
            None => self.queue.push_back((lot, VecDeque::from([waiter]))),
        }
    }

    /// Who is next, if anybody may: its turn has begun.
    fn next(&mut self) -> Option<(Lot, oneshot::Sender<Turn>)> {
        let at = self.queue.iter().position(|(lot, _)| self.may(lot))?;
        let (lot, mut waiters) = self.queue.remove(at)?;
        let waiter = waiters.pop_front()?;
        if !waiters.is_empty() {
            self.queue.push_back((lot.clone(), waiters));
        }
        self.begin(&lot);
        Some((lot, waiter))
    }
}

impl Turns {
    /// Waits for a turn of this lot. Cancel safe.
    pub(crate) async fn take(self: &Arc<Self>, lot: Lot) -> Option<Turn> {
        let waiting = {
            let mut state = self.lock();
            if state.may(&lot) {
                // Nobody of this lot waits, or it could have begun.
                state.begin(&lot);
                return Some(Turn { turns: Arc::clone(self), lot });
            }
            let (waiter, waiting) = oneshot::channel();
            state.wait(lot, waiter);
            waiting
        };
        // A turn that comes while nobody waits for it any more is handed on as it is dropped.
        waiting.await.ok()
    }

    fn hand_on(self: &Arc<Self>) {
        let next = self.lock().next();
        if let Some((lot, waiter)) = next {
            let turn = Turn { turns: Arc::clone(self), lot };
            // Who has left gives it back at once.
            drop(waiter.send(turn));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    lot: Lot,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().end(&self.lot);
        self.turns.hand_on();
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::Pin, task::Poll};

    use super::*;

    fn lot(name: &str) -> Lot {
        Lot::Unit(name.to_owned())
    }

    /// What it completed with, if it has.
    async fn now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        std::future::poll_fn(|task| match Pin::new(&mut *future).poll(task) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn one_unit_leaves_turns_for_others_and_those_that_wait_take_turns_by_unit() {
        let turns = Arc::new(Turns::default());
        let first = turns.take(lot("loud")).await;
        let second = turns.take(lot("loud")).await;
        assert!(first.is_some() && second.is_some());
        let mut loud = [Box::pin(turns.take(lot("loud"))), Box::pin(turns.take(lot("loud")))];
        for waiting in &mut loud {
            assert!(now(waiting).await.is_none(), "it has its share");
        }
        let quiet = turns.take(lot("quiet")).await;
        assert!(quiet.is_some(), "there is one for others");
        let mut other = Box::pin(turns.take(lot("other")));
        assert!(now(&mut other).await.is_none(), "all are taken");
        drop(quiet);
        let other = now(&mut other).await.expect("it is next: the loud one has its share");
        drop(first);
        let [one, two] = &mut loud;
        let third = now(one).await.expect("it was the first to wait");
        assert!(now(two).await.is_none());
        drop((second, other, third));
        assert!(now(two).await.is_some());
    }

    #[tokio::test]
    async fn who_leaves_while_it_waits_takes_no_turn() {
        let turns = Arc::new(Turns::default());
        let held = [turns.take(lot("a")).await, turns.take(lot("a")).await, turns.take(lot("b")).await];
        let mut gone = Box::pin(turns.take(lot("c")));
        let mut also = Box::pin(turns.take(lot("d")));
        let mut waits = Box::pin(turns.take(lot("e")));
        assert!(now(&mut gone).await.is_none());
        assert!(now(&mut also).await.is_none());
        assert!(now(&mut waits).await.is_none());
        drop(gone);
        drop(held);
        drop(also);
        assert!(now(&mut waits).await.expect("it is its turn").is_some());
        drop(waits);
        let state = turns.lock();
        assert!(state.taken == 0 && state.of.is_empty() && state.queue.is_empty());
    }
}
