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

/// Requests that read much at a time. The store has one reader more for that, for the owner's commands, and
/// one for what reads little.
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
    /// Whose turn is next, each with those of it that wait; none is empty.
    queue: VecDeque<(Lot, Waiters)>,
}

/// Those of a lot that wait, the first of them first.
#[derive(Debug, Default)]
struct Waiters {
    senders: VecDeque<oneshot::Sender<Turn>>,
    /// How many of them have left since they were looked through, at most.
    gone: usize,
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
            Some((_, waiters)) => waiters.senders.push_back(waiter),
            None => self.queue.push_back((lot, Waiters { senders: VecDeque::from([waiter]), gone: 0 })),
        }
    }

    /// One of the lot has left. When half of them have, they are forgotten.
    fn forget(&mut self, lot: &Lot) {
        let Some(at) = self.queue.iter().position(|(known, _)| known == lot) else { return };
        let waiters = &mut self.queue[at].1;
        waiters.gone += 1;
        if waiters.gone * 2 >= waiters.senders.len() {
            waiters.senders.retain(|waiter| !waiter.is_closed());
            waiters.gone = 0;
        }
        if waiters.senders.is_empty() {
            self.queue.remove(at);
        }
    }

    /// Who is next, if anybody may: its turn has begun.
    fn next(&mut self) -> Option<(Lot, oneshot::Sender<Turn>)> {
        let at = self.queue.iter().position(|(lot, _)| self.may(lot))?;
        let (lot, mut waiters) = self.queue.remove(at)?;
        let waiter = waiters.senders.pop_front()?;
        if !waiters.senders.is_empty() {
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
                return Some(Turn { turns: Some(Arc::clone(self)), lot });
            }
            let (waiter, waiting) = oneshot::channel();
            state.wait(lot.clone(), waiter);
            waiting
        };
        let mut leaving = Leaving { turns: self, lot: Some(lot), waiting };
        // A turn that comes while nobody waits for it any more is handed on as it is dropped.
        let turn = (&mut leaving.waiting).await.ok();
        leaving.lot = None;
        turn
    }

    /// Gives a turn to the next one who still waits.
    fn hand_on(self: &Arc<Self>) {
        loop {
            let Some((lot, waiter)) = self.lock().next() else { return };
            let turn = Turn { turns: Some(Arc::clone(self)), lot };
            let Err(mut back) = waiter.send(turn) else { return };
            // Not by its drop, which comes back here: any number may have left.
            back.turns = None;
            self.lock().end(&back.lot);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits, and is forgotten where it leaves before its turn.
struct Leaving<'a> {
    turns: &'a Turns,
    /// `None`: its turn has come.
    lot: Option<Lot>,
    waiting: oneshot::Receiver<Turn>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(lot) = &self.lot {
            self.waiting.close();
            self.turns.lock().forget(lot);
        }
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// `None`: it was given back.
    turns: Option<Arc<Turns>>,
    lot: Lot,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.lock().end(&self.lot);
            turns.hand_on();
        }
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

    #[tokio::test]
    async fn any_number_may_leave_while_they_wait_and_leave_nothing() {
        let turns = Arc::new(Turns::default());
        let held = [turns.take(lot("a")).await, turns.take(lot("a")).await, turns.take(lot("b")).await];
        let mut waits = Box::pin(turns.take(lot("c")));
        assert!(now(&mut waits).await.is_none());
        let mut gone: Vec<_> = (0..100_000).map(|_| Box::pin(turns.take(lot("a")))).collect();
        for waiter in &mut gone {
            assert!(now(waiter).await.is_none());
        }
        // Those that leave now are there when the turn ends; the others are taken out before.
        let rest = gone.split_off(60_000);
        drop(gone);
        let known = turns.lock().queue.iter().map(|(_, it)| it.senders.len()).sum::<usize>();
        assert!(known <= 2 * rest.len() + 1, "{known}");
        drop(rest);
        drop(held);
        assert!(now(&mut waits).await.expect("it is its turn").is_some());
        drop(waits);
        let state = turns.lock();
        assert!(state.taken == 0 && state.of.is_empty() && state.queue.is_empty());
    }

    #[tokio::test]
    async fn those_that_leave_together_with_a_turn_overflow_nothing() {
        let turns = Arc::new(Turns::default());
        for _ in 0..100_000 {
            // As one that left in the very moment: it is still in the queue.
            turns.lock().wait(lot("a"), oneshot::channel().0);
        }
        let turn = turns.take(lot("b")).await;
        drop(turn);
        let state = turns.lock();
        assert!(state.taken == 0 && state.queue.is_empty());
    }
}
