//! Requests that were answered 5.03 because the store could not write: how many in the last minute, since when,
//! and why, for `status`. A minute is kept, second by second.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use narrowgate_platform::ids::UnixMillis;
use serde::Serialize;

const MINUTE_MS: i64 = 60_000;

/// What `status` shows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefusedByStore {
    /// Requests that were answered 5.03 in the last minute.
    last_minute: u64,
    /// When the first of them that nothing written followed was refused.
    since: UnixMillis,
    /// What the store said last.
    reason: String,
}

/// What is noted of it.
#[derive(Debug, Default)]
pub(super) struct Unwritten(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Seconds with their counts, oldest first: those of the last minute.
    seconds: VecDeque<(i64, u64)>,
    since: Option<UnixMillis>,
    /// The store has written since.
    writes_again: bool,
    reason: String,
}

impl Unwritten {
    /// The store could not write; so many requests are answered 5.03.
    pub(super) fn failed(&self, now: UnixMillis, requests: u64, reason: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget(now);
        if std::mem::take(&mut state.writes_again) {
            state.since = None;
        }
        state.since.get_or_insert(now);
        reason.clone_into(&mut state.reason);
        let second = now.0.div_euclid(1000);
        match state.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += requests,
            _ => state.seconds.push_back((second, requests)),
        }
    }

    /// The store wrote.
    pub(super) fn written(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).writes_again = true;
    }

    /// `None`: all was written in the last minute.
    pub(super) fn shown(&self, now: UnixMillis) -> Option<RefusedByStore> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget(now);
        let last_minute = state.seconds.iter().map(|(_, count)| count).sum();
        // Where nobody reports, a store that could not write last is still one.
        if last_minute == 0 && state.writes_again {
            return None;
        }
        state.since.map(|since| RefusedByStore { last_minute, since, reason: state.reason.clone() })
    }
}

impl State {
    fn forget(&mut self, now: UnixMillis) {
        let oldest = (now.0 - MINUTE_MS).div_euclid(1000);
        // A clock that was set back leaves seconds to come: they are forgotten too.
        self.seconds.retain(|(second, _)| (oldest + 1..=oldest + 60).contains(second));
    }
}
