//! Turns at the store: who reads much waits for its turn behind everybody else, not before them.
//!
//! Only so many requests read at a time, of one unit (or of one token of all units) fewer; those that wait
//! are served by turns of the units, not in the order in which they came. Who leaves while it waits is
//! forgotten. Only so many requests wait; where that is too many, the newest of the unit that has most
//! leaves, and of a unit the newest of its token that has most.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::shares::{Full, Holder, Lot};

/// Requests that read much at a time. The store has one reader more for that, for the owner's commands, and
/// one for what reads little.
pub(crate) const AT_ONCE: usize = 3;
/// Of one unit, or of one token of all units.
pub(crate) const OF_ONE: usize = 2;
/// Requests that wait; those of exports, which are few, wait beside them.
const WAITING: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub struct Turns(Mutex<State>);

#[derive(Debug)]
struct State {
    /// So many at a time, and of one lot.
    max: (usize, usize),
    taken: usize,
    /// Of those who have one.
    of: BTreeMap<Lot, usize>,
    /// Whose turn is next, each with those of it that wait; none is empty.
    queue: VecDeque<(Lot, Waiters)>,
}

impl State {
    fn new(at_once: usize, of_one: usize) -> Self {
        Self { max: (at_once, of_one), taken: 0, of: BTreeMap::new(), queue: VecDeque::new() }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new(AT_ONCE, OF_ONE)
    }
}

/// Those of a lot that wait, the first of them first.
#[derive(Debug, Default)]
struct Waiters {
    senders: VecDeque<Waiter>,
    /// How many of them have left since they were looked through, at most.
    gone: usize,
}

#[derive(Debug)]
struct Waiter {
    sender: oneshot::Sender<Turn>,
    /// Of which token it is, where it is one of so many; `None`: it is an export.
    of: Option<Option<String>>,
}

impl Waiter {
    fn counts(&self) -> bool {
        self.of.is_some() && !self.sender.is_closed()
    }
}

impl Waiters {
    /// How many there are for which there is a limit.
    fn count(&self) -> usize {
        self.senders.iter().filter(|waiter| waiter.counts()).count()
    }

    /// The newest of the token that has most leaves; of equal ones the one that came last. `least`: only
    /// where it has more.
    fn lose_one(&mut self, least: usize) -> Option<()> {
        let waiting = || self.senders.iter().enumerate().filter(|(_, waiter)| waiter.counts());
        let mut tokens: BTreeMap<&Option<String>, (usize, usize)> = BTreeMap::new();
        for (at, waiter) in waiting() {
            let (count, newest) = tokens.entry(waiter.of.as_ref()?).or_default();
            (*count, *newest) = (*count + 1, at);
        }
        let (count, newest) = tokens.into_values().max()?;
        (count > least).then(|| drop(self.senders.remove(newest)))
    }

    fn of_token(&self, token: Option<&str>) -> usize {
        let is_of = |waiter: &&Waiter| waiter.of.as_ref().is_some_and(|of| of.as_deref() == token);
        self.senders.iter().filter(|waiter| waiter.counts()).filter(is_of).count()
    }
}

impl State {
    /// Makes room for one more of this holder, whose lot it is.
    fn make_room(&mut self, lot: &Lot, token: Option<&str>) -> Result<(), Full> {
        if self.queue.iter().map(|(_, waiters)| waiters.count()).sum::<usize>() < WAITING {
            return Ok(());
        }
        let full = Full::All(WAITING);
        let own = self.queue.iter().position(|(known, _)| known == lot);
        let of_lot = own.map_or(0, |own| self.queue[own].1.count());
        let loud = self.queue.iter_mut().map(|(_, waiters)| waiters).max_by_key(|waiters| waiters.count());
        if let Some(loud) = loud.filter(|loud| loud.count() > of_lot + 1) {
            return loud.lose_one(0).ok_or(full);
        }
        let own = own.map(|own| &mut self.queue[own].1).ok_or(full)?;
        own.lose_one(own.of_token(token) + 1).ok_or(full)
    }

    fn may(&self, lot: &Lot) -> bool {
        let (at_once, of_one) = self.max;
        self.taken < at_once && self.of.get(lot).copied().unwrap_or_default() < of_one
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
    fn wait(&mut self, lot: Lot, waiter: Waiter) {
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
            waiters.senders.retain(|waiter| !waiter.sender.is_closed());
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
        Some((lot, waiter.sender))
    }
}

impl Turns {
    /// So many at a time, and of one lot.
    pub fn new(at_once: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::new(at_once, of_one))))
    }

    /// Waits for a turn of this lot, as one of those whose number is limited elsewhere. Cancel safe.
    pub async fn take(self: &Arc<Self>, lot: Lot) -> Option<Turn> {
        self.turn(lot, None).await.ok()
    }

    /// Waits for a turn of whoever asks; the owner needs none. Cancel safe.
    ///
    /// # Errors
    /// Too many wait, and those that wait too many are of this one.
    pub(crate) async fn ask(self: &Arc<Self>, holder: &Holder) -> Result<Option<Turn>, Full> {
        let Some(lot) = holder.lot() else { return Ok(None) };
        self.turn(lot, Some(holder.token().map(str::to_owned))).await.map(Some)
    }

    async fn turn(self: &Arc<Self>, lot: Lot, of: Option<Option<String>>) -> Result<Turn, Full> {
        let waiting = {
            let mut state = self.lock();
            if state.may(&lot) {
                // Nobody of this lot waits, or it could have begun.
                state.begin(&lot);
                return Ok(Turn { turns: Some(Arc::clone(self)), lot });
            }
            if let Some(token) = &of {
                state.make_room(&lot, token.as_deref())?;
            }
            let (sender, waiting) = oneshot::channel();
            state.wait(lot.clone(), Waiter { sender, of });
            waiting
        };
        let mut leaving = Leaving { turns: self, lot: Some(lot), waiting };
        // A turn that comes while nobody waits for it any more is handed on as it is dropped.
        let turn = (&mut leaving.waiting).await.map_err(|_| Full::All(WAITING));
        leaving.lot = None;
        turn
    }

    /// Ends a turn of a lot, and gives it to the next one who still waits, before anybody who comes.
    fn hand_on(self: &Arc<Self>, lot: &Lot) {
        let mut ended = lot.clone();
        loop {
            let next = {
                let mut state = self.lock();
                state.end(&ended);
                state.next()
            };
            let Some((lot, waiter)) = next else { return };
            let turn = Turn { turns: Some(Arc::clone(self)), lot };
            let Err(mut back) = waiter.send(turn) else { return };
            // Not by its drop, which comes back here: any number may have left.
            back.turns = None;
            ended.clone_from(&back.lot);
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
pub struct Turn {
    /// `None`: it was given back.
    turns: Option<Arc<Turns>>,
    lot: Lot,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.hand_on(&self.lot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::Pin, task::Poll};

    use super::*;
    use crate::shares::tests::holder;

    fn lot(name: &str) -> Lot {
        Lot::Unit(name.to_owned())
    }

    fn ask(turns: &Arc<Turns>, holder: Holder) -> Pin<Box<impl Future<Output = Result<Option<Turn>, Full>>>> {
        let turns = Arc::clone(turns);
        Box::pin(async move { turns.ask(&holder).await })
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
    async fn so_many_wait_and_the_newest_of_whoever_has_most_leaves_for_others() {
        let turns = Arc::new(Turns::default());
        let of = |token: &str, ou: &str| holder(token, Some(ou));
        let mut held = Vec::new();
        for ou in ["busy", "busy", "other"] {
            held.push(turns.ask(&of("t", ou)).await);
        }
        let mut waiting: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (ou, tokens) in [("north", ["a", "a", "b"]), ("south", ["c", "d", "d"])] {
            for number in 0..WAITING / 2 {
                let mut asks = ask(&turns, of(tokens[number % 3], ou));
                assert!(now(&mut asks).await.is_none(), "there is room for it");
                waiting.entry(ou.to_owned()).or_default().push(asks);
            }
        }
        let full = now(&mut ask(&turns, of("a", "north"))).await.expect("it has most").expect_err("of it");
        assert_eq!(full, Full::All(WAITING));
        // Another token of the unit: the newest of the first one leaves.
        let mut third = ask(&turns, of("third", "north"));
        assert!(now(&mut third).await.is_none());
        let mut gone = Vec::new();
        for (number, asks) in waiting.get_mut("north").expect("it waits").iter_mut().enumerate() {
            if let Some(Err(full)) = now(asks).await {
                gone.push((number, full));
            }
        }
        assert_eq!(gone, [(WAITING / 2 - 1, Full::All(WAITING))]);
        drop(waiting.get_mut("north").expect("it waits").remove(WAITING / 2 - 1));
        // Other units get in as long as one has more than they.
        let mut quiet = ask(&turns, of("q", "quiet"));
        assert!(now(&mut quiet).await.is_none());
        let waits = turns.lock().queue.iter().map(|(_, waiters)| waiters.count()).sum::<usize>();
        assert_eq!(waits, WAITING);
        // An export waits in any case.
        let mut export = Box::pin(turns.take(lot("north")));
        assert!(now(&mut export).await.is_none());
        drop((waiting, third, export, held));
        assert!(now(&mut quiet).await.expect("it is its turn").is_ok());
        drop(quiet);
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
            turns.lock().wait(lot("a"), Waiter { sender: oneshot::channel().0, of: None });
        }
        let turn = turns.take(lot("b")).await;
        drop(turn);
        let state = turns.lock();
        assert!(state.taken == 0 && state.queue.is_empty());
    }
}
