//! Who asks the provider: so many logins at a time, and some that wait for that. Each of them has a place of
//! a connection meanwhile.
//!
//! Who is next is the first of the network that asks least at the moment. Where too many wait, the newest of
//! the network that has most of them is sent away for one that has less, or else the one that comes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;

use crate::limiter::lock;

/// Logins that ask the provider at the same time.
const ASKED_AT_ONCE: usize = 8;
/// Logins that wait for that: together they take few of all places, and wait for seconds.
const WAITING_MAX: usize = 32;

/// Too many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many ask of each network that does.
    asking: BTreeMap<u64, usize>,
    /// In the order in which they came.
    waiting: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    network: u64,
    begin: oneshot::Sender<Asking>,
}

/// Permits to ask, until it is dropped.
#[derive(Debug)]
pub(super) struct Asking {
    line: Arc<Line>,
    network: u64,
}

impl State {
    fn asking_of(&self, network: u64) -> usize {
        self.asking.get(&network).copied().unwrap_or_default()
    }

    fn begin(&mut self, network: u64) {
        *self.asking.entry(network).or_default() += 1;
    }

    fn end(&mut self, network: u64) {
        if let Some(count) = self.asking.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.asking.remove(&network);
            }
        }
    }

    /// Whether one more may ask.
    fn has_room(&self) -> bool {
        self.asking.values().sum::<usize>() < ASKED_AT_ONCE
    }

    /// Forgets those who have left.
    fn forget(&mut self) {
        self.waiting.retain(|waiter| !waiter.begin.is_closed());
    }

    /// Who is next, if anybody may.
    fn next(&mut self) -> Option<Waiter> {
        self.forget();
        let all = self.waiting.iter().enumerate();
        let (at, _) = all.min_by_key(|(at, waiter)| (self.asking_of(waiter.network), *at))?;
        if !self.has_room() {
            return None;
        }
        let waiter = self.waiting.remove(at);
        self.begin(waiter.network);
        Some(waiter)
    }

    /// Makes room for one more of this network that waits.
    fn make_room(&mut self, network: u64) -> Result<(), TooMany> {
        self.forget();
        if self.waiting.len() < WAITING_MAX {
            return Ok(());
        }
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        self.waiting.iter().for_each(|waiter| *counts.entry(waiter.network).or_default() += 1);
        let own = counts.get(&network).copied().unwrap_or_default();
        let (loud, most) = counts.into_iter().max_by_key(|(_, count)| *count).ok_or(TooMany)?;
        if most <= own + 1 {
            return Err(TooMany);
        }
        let newest = self.waiting.iter().rposition(|waiter| waiter.network == loud).ok_or(TooMany)?;
        self.waiting.remove(newest);
        Ok(())
    }
}

impl Line {
    /// Waits until one more of this network may ask. Cancel safe.
    ///
    /// # Errors
    /// Too many wait.
    pub(super) async fn wait(self: &Arc<Self>, network: u64) -> Result<Asking, TooMany> {
        let begun = {
            let mut state = lock(&self.0);
            // Where there is room nobody waits: who ends hands it on.
            if state.has_room() {
                state.begin(network);
                return Ok(Asking { line: Arc::clone(self), network });
            }
            state.make_room(network)?;
            let (begin, begun) = oneshot::channel();
            state.waiting.push(Waiter { network, begin });
            begun
        };
        begun.await.map_err(|_| TooMany)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let next = {
            let mut state = lock(&self.line.0);
            state.end(self.network);
            state.next()
        };
        if let Some(Waiter { network, begin }) = next {
            // Who has left meanwhile drops it, and so hands it on.
            drop(begin.send(Self { line: Arc::clone(&self.line), network }));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_network_that_asks_all_the_time_leaves_others_their_turn() {
        let line = Arc::new(Line::default());
        let mut asking = Vec::new();
        for _ in 0..ASKED_AT_ONCE {
            asking.push(line.wait(1).await.expect("there is room"));
        }
        let mut loud: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(line.wait(1))).collect();
        assert!(loud.iter_mut().all(|waits| waits.now_or_never().is_none()));
        assert_eq!(line.wait(1).now_or_never().map(|asking| asking.err()), Some(Some(TooMany)));
        // The newest of them goes for one of another network, who is the next.
        let mut quiet = Box::pin(line.wait(2));
        assert!(quiet.as_mut().now_or_never().is_none());
        let newest = loud.pop().expect("there are some").now_or_never();
        assert!(matches!(newest, Some(Err(TooMany))));
        asking.pop();
        assert!(matches!(quiet.as_mut().now_or_never(), Some(Ok(_))), "its turn came before the others'");
        // It has ended by that, and one of the others has begun.
        let begun: Vec<_> = loud.iter_mut().filter_map(|waits| waits.as_mut().now_or_never()).collect();
        assert_eq!(begun.len(), 1);
    }

    #[tokio::test]
    async fn who_leaves_is_forgotten_and_what_was_given_to_it_goes_on() {
        let line = Arc::new(Line::default());
        let mut asking = Vec::new();
        for _ in 0..ASKED_AT_ONCE {
            asking.push(line.wait(1).await.expect("there is room"));
        }
        let [mut first, mut second, mut third] = [2, 3, 4].map(|network| Box::pin(line.wait(network)));
        for waits in [&mut first, &mut second, &mut third] {
            assert!(waits.as_mut().now_or_never().is_none());
        }
        drop(first);
        // It is given to the second, who leaves without having looked.
        asking.pop();
        drop(second);
        assert!(matches!(third.as_mut().now_or_never(), Some(Ok(_))));
        drop(asking);
        let free = lock(&line.0);
        assert!(free.asking.is_empty() && free.waiting.is_empty(), "{free:?}");
    }
}
