//! The calls of one account that wait: its callers take turns, each with its oldest one. So a device that
//! sends a lot keeps none of its siblings waiting for more than one call of its own.

use std::collections::{BTreeMap, VecDeque};

use narrowgate_platform::ports::Caller;

/// See the module.
#[derive(Debug)]
pub(super) struct Callers<J> {
    of: BTreeMap<Caller, VecDeque<J>>,
    /// Callers with a call, each once: who is next stands first.
    next: VecDeque<Caller>,
    len: usize,
}

impl<J> Callers<J> {
    pub(super) fn new() -> Self {
        Self { of: BTreeMap::new(), next: VecDeque::new(), len: 0 }
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
        if calls.is_empty() {
            self.next.push_back(caller);
        }
        calls.push_back(call);
        self.len += 1;
    }

    /// The oldest call of the caller whose turn it is.
    pub(super) fn take(&mut self) -> Option<J> {
        let caller = self.next.pop_front()?;
        let calls = self.of.get_mut(&caller)?;
        let call = calls.pop_front()?;
        self.len -= 1;
        if calls.is_empty() {
            self.of.remove(&caller);
        } else {
            self.next.push_back(caller);
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
        self.len -= unwanted.len();
        unwanted
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = J> {
        self.of.into_values().flatten()
    }
}
