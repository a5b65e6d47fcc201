//! Ends all sessions, each with a close_notify, at a pace: a million of them at once would be a burst of tens
//! of megabytes, most of which the kernel or the next router drops.
//!
//! Limits: a step every [`STEP`], each through a part of the table that is small, and a [`STEPS_MAX`]th of it
//! at most: a drain of any number of sessions takes five seconds or less.

use std::time::{Duration, Instant};

use super::Shard;
use crate::event::CloseCause;

/// Pause between two steps.
const STEP: Duration = Duration::from_millis(10);
/// Steps of the longest drain.
const STEPS_MAX: u32 = 500;
/// Slots of the table in a step, where it is small.
const STEP_SLOTS_MIN: u32 = 64;

/// How far the drain is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Drain {
    /// It has not begun.
    #[default]
    No,
    /// The next step is due.
    Next {
        /// When.
        at: Instant,
        /// The first slot.
        slot: u32,
        /// How many slots.
        slots: u32,
    },
    /// All sessions are closed.
    Done,
}

impl Drain {
    /// Whether handshakes are refused.
    pub(super) const fn has_begun(&self) -> bool {
        !matches!(self, Self::No)
    }

    /// When the next step is due.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Next { at, .. } => Some(*at),
            Self::No | Self::Done => None,
        }
    }
}

impl Shard {
    /// Refuses handshakes from now on, and takes the first step.
    pub(super) fn begin_to_drain(&mut self, now: Instant) {
        if !self.drain.has_begun() {
            let slots = self.sessions.slots().div_ceil(STEPS_MAX).max(STEP_SLOTS_MIN);
            self.drain = Drain::Next { at: now, slot: 0, slots };
            self.drain_step(now);
        }
    }

    /// Takes the next step if it is due.
    pub(super) fn drain_step(&mut self, now: Instant) {
        let Drain::Next { at, slot, slots } = self.drain else { return };
        if now < at {
            return;
        }
        let end = slot.saturating_add(slots);
        for session in self.sessions.ids_in(slot..end) {
            self.close_with_notify(session, CloseCause::Drained);
        }
        self.drain = if end < self.sessions.slots() {
            Drain::Next { at: now + STEP, slot: end, slots }
        } else {
            Drain::Done
        };
    }
}
