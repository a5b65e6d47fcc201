//! Look-ups of credentials: a limited number is under way, the others wait in their order. One that nobody
//! waits for any more is dropped, so there are never more than handshakes under way and sessions with a
//! product's secret, and some for entries of the log ([`ENTRIES_MAX`]).

use std::collections::BTreeMap;

use narrowgate_engine::event::{HandshakeId, SessionId};
use narrowgate_platform::ids::DeviceName;

use crate::outbox::Pending;

/// Look-ups under way at the same time: enough to keep the store's threads busy between two turns. What is
/// under way is not dropped any more.
pub(crate) const LOOKUPS_MAX: usize = 256;

/// Look-ups for entries of the log that wait: a store that hangs costs such entries. Their number in a second
/// is limited too.
const ENTRIES_MAX: usize = 512;

/// For whom a look-up is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Waiter {
    Handshake(HandshakeId),
    Session(SessionId),
    /// A wish for a secret, by its number.
    Wish(u64),
    /// An entry of the log, by its number; the last kind, for it is counted.
    Entry(u64),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    under_way: usize,
    /// By their number.
    waiting: BTreeMap<u64, (Waiter, Pending, DeviceName)>,
    /// The numbers of those that wait.
    numbers: BTreeMap<Waiter, u64>,
    /// How many have waited.
    entered: u64,
    /// How many wishes and entries of the log there were.
    entries: u64,
}

impl Lookups {
    /// Whether one more may be under way at once: then it counts as such.
    pub(crate) fn permit(&mut self) -> bool {
        let may_begin = self.under_way < LOOKUPS_MAX && self.waiting.is_empty();
        self.under_way += usize::from(may_begin);
        may_begin
    }

    /// The waiter for a wish for a secret; few are looked up at a time.
    pub(crate) fn new_wish(&mut self) -> Waiter {
        self.entries += 1;
        Waiter::Wish(self.entries)
    }

    /// The waiter for an entry of the log; `None`: too many wait.
    pub(crate) fn new_entry(&mut self) -> Option<Waiter> {
        let waiting = self.numbers.range(Waiter::Entry(0)..).count();
        self.entries += 1;
        (waiting < ENTRIES_MAX).then_some(Waiter::Entry(self.entries))
    }

    /// Queues one that was not permitted.
    pub(crate) fn enter(&mut self, waiter: Waiter, pending: Pending, name: DeviceName) {
        self.drop_of(waiter);
        self.entered += 1;
        self.waiting.insert(self.entered, (waiter, pending, name));
        self.numbers.insert(waiter, self.entered);
    }

    /// The next one that may be under way.
    pub(crate) fn poll(&mut self) -> Option<(Pending, DeviceName)> {
        if self.under_way >= LOOKUPS_MAX {
            return None;
        }
        let (_, (waiter, pending, name)) = self.waiting.pop_first()?;
        self.numbers.remove(&waiter);
        self.under_way += 1;
        Some((pending, name))
    }

    /// One of those under way is answered.
    pub(crate) fn leave(&mut self) {
        self.under_way -= 1;
    }

    /// Nobody waits for it any more.
    pub(crate) fn drop_of(&mut self, waiter: Waiter) {
        if let Some(number) = self.numbers.remove(&waiter) {
            self.waiting.remove(&number);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.under_way == 0 && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_number_of_look_ups_for_entries_of_the_log_waits() {
        let mut lookups = Lookups::default();
        (0..LOOKUPS_MAX).for_each(|_| assert!(lookups.permit()));
        assert!(!lookups.permit());
        let name = || DeviceName { product_key: "p".into(), device_key: "d".into() };
        let enter = |lookups: &mut Lookups| match lookups.new_entry() {
            Some(waiter) => {
                lookups.enter(waiter, Pending::Seen, name());
                true
            }
            None => false,
        };
        let entered = (0..2 * ENTRIES_MAX).filter(|_| enter(&mut lookups)).count();
        assert_eq!(entered, ENTRIES_MAX);
        lookups.leave();
        assert!(lookups.poll().is_some() && lookups.poll().is_none());
        assert!(enter(&mut lookups), "there is room again");
    }
}
