//! The calls of one account that wait: its callers take turns, each with its oldest one. So a device that
//! sends a lot keeps none of its siblings waiting for more than one call of its own.
//!
//! After a limit the product rests. So callers whose last call ran into one stand behind the others: else a
//! few of them, with a rest after each, would keep a sibling waiting for too long.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use narrowgate_platform::ports::Caller;

/// Calls of others that go before one whose caller ran into a limit.
pub(super) const BEFORE_LIMITED_MAX: u32 = 64;

/// So many callers that ran into limits are known.
const LIMITED_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Callers<J> {
    of: BTreeMap<Caller, VecDeque<J>>,
    /// Callers with a call, each once: who is next stands first.
    next: VecDeque<Caller>,
    /// The same of those whose last call ran into a limit.
    behind: VecDeque<Caller>,
    /// Callers whose last call ran into a limit, with a call that waits or without.
    limited: BTreeSet<Caller>,
    /// Calls of others that went before one in `behind`.
    before_limited: u32,
    len: usize,
}

impl<J> Callers<J> {
    pub(super) fn new() -> Self {
        Self {
            of: BTreeMap::new(),
            next: VecDeque::new(),
            behind: VecDeque::new(),
            limited: BTreeSet::new(),
            before_limited: 0,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets a call wait behind those of its caller.
    pub(super) fn put(&mut self, caller: Caller, call: J) {
        let calls = self.of.entry(caller).or_default();
        calls.push_back(call);
        if calls.len() == 1 {
            self.line_up(caller);
        }
        self.len += 1;
    }

    fn line_up(&mut self, caller: Caller) {
        let line = if self.limited.contains(&caller) { &mut self.behind } else { &mut self.next };
        line.push_back(caller);
    }

    /// Says whether the last call of a caller ran into a limit.
    pub(super) fn set_limited(&mut self, caller: Caller, is_limited: bool) {
        if self.limited.contains(&caller) == is_limited {
            return;
        }
        if !is_limited {
            self.limited.remove(&caller);
        } else if self.limited.len() < LIMITED_MAX {
            self.limited.insert(caller);
        }
        if self.of.contains_key(&caller) {
            self.next.retain(|next| *next != caller);
            self.behind.retain(|next| *next != caller);
            self.line_up(caller);
        }
    }

    fn next(&mut self) -> Option<Caller> {
        let is_over = self.before_limited >= BEFORE_LIMITED_MAX;
        if self.behind.is_empty() || (!self.next.is_empty() && !is_over) {
            self.before_limited = if self.behind.is_empty() { 0 } else { self.before_limited + 1 };
            return self.next.pop_front();
        }
        self.before_limited = 0;
        self.behind.pop_front()
    }

    /// The oldest call of the caller whose turn it is.
    pub(super) fn take(&mut self) -> Option<J> {
        let caller = self.next()?;
        let calls = self.of.get_mut(&caller)?;
        let call = calls.pop_front()?;
        self.len -= 1;
        if calls.is_empty() {
            self.of.remove(&caller);
        } else {
            self.line_up(caller);
        }
        Some(call)
    }

    /// Takes out what nobody waits for any more.
    pub(super) fn drop_unwanted(&mut self, is_wanted: impl Fn(&J) -> bool) -> Vec<J> {
        let mut unwanted = Vec::new();
        for calls in self.of.values_mut() {
            let (kept, dropped): (VecDeque<J>, VecDeque<J>) =
                calls.drain(..).partition(|call| is_wanted(call));
            *calls = kept;
            unwanted.extend(dropped);
        }
        self.of.retain(|_, calls| !calls.is_empty());
        self.next.retain(|caller| self.of.contains_key(caller));
        self.behind.retain(|caller| self.of.contains_key(caller));
        self.len -= unwanted.len();
        unwanted
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = J> {
        self.of.into_values().flatten()
    }
}
