//! A hierarchical timer wheel: one coarse deadline per session, a million sessions, constant work per tick.
//!
//! Entries are never searched for and never cancelled. An entry that fires carries the generation of its
//! slot; the owner compares it, looks at the real deadline and arms again if that lies later. So a deadline
//! that moves later costs nothing extra, and one that moves earlier costs a second entry.
//!
//! Limits: a tick is 10 ms; the farthest deadline is about 7.7 days ahead, later ones fire then and are armed
//! again.

use std::time::{Duration, Instant};

/// Length of a tick. Deadlines are rounded up to it, so a timer never fires early.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Ticks in a second.
pub(super) const TICKS_PER_SECOND: u64 = 1000 / TICK.as_millis() as u64;

/// log2 of the number of slots of each level: 2.56 s, 164 s, 2.9 h, 7.7 days.
const LEVEL_BITS: [u32; 4] = [8, 6, 6, 6];

/// What fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Index of the owner's slot.
    pub(super) slot: u32,
    /// Generation of the slot when it was armed.
    pub(super) generation: u32,
    /// The tick that it was armed for: the owner ignores an entry for another tick than the one that it waits
    /// for.
    pub(super) tick: u64,
}

const _: () = assert!(size_of::<Entry>() <= 16, "each session has one at least");

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    start: Instant,
    /// Every tick before this one has fired.
    current: u64,
    levels: [Vec<Vec<Entry>>; 4],
    armed: usize,
}

impl Wheel {
    /// An empty wheel whose first tick is at `now`.
    pub(super) fn new(now: Instant) -> Self {
        let level = |bits: u32| vec![Vec::new(); 1 << bits];
        Self { start: now, current: 0, levels: LEVEL_BITS.map(level), armed: 0 }
    }

    /// The tick at or after `deadline`.
    pub(super) fn tick_of(&self, deadline: Instant) -> u64 {
        let since_start = deadline.saturating_duration_since(self.start);
        since_start.as_secs() * TICKS_PER_SECOND
            + u64::from(since_start.subsec_nanos().div_ceil(TICK.subsec_nanos()))
    }

    /// Arms a timer for this tick; if it has passed, for the next one.
    pub(super) fn arm(&mut self, tick: u64, slot: u32, generation: u32) {
        self.armed += 1;
        self.place(Entry { slot, generation, tick });
    }

    /// Number of entries armed, stale ones included.
    pub(super) fn len(&self) -> usize {
        self.armed
    }

    /// When to call [`Wheel::advance`] next: perhaps too early (a slot of a coarser level has to be spread),
    /// never too late.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.armed == 0 {
            return None;
        }
        let slots = 1_u64 << LEVEL_BITS[0];
        let boundary = (self.current / slots + 1) * slots;
        let tick = (self.current..boundary)
            .find(|tick| !self.levels[0][(tick % slots) as usize].is_empty())
            .unwrap_or(boundary);
        Some(self.start + Duration::from_millis(tick.saturating_mul(TICK.as_millis() as u64)))
    }

    /// Moves the wheel to `now` and appends what fired to `fired`.
    pub(super) fn advance(&mut self, now: Instant, fired: &mut Vec<Entry>) {
        let since_start = now.saturating_duration_since(self.start);
        let target = since_start.as_secs() * TICKS_PER_SECOND
            + u64::from(since_start.subsec_nanos() / TICK.subsec_nanos());
        if self.armed == 0 {
            self.current = self.current.max(target + 1);
            return;
        }
        while self.current <= target {
            let slot = (self.current & ((1 << LEVEL_BITS[0]) - 1)) as usize;
            self.current += 1;
            // Most ticks have no entry.
            if !self.levels[0][slot].is_empty() {
                self.fire(slot, fired);
            }
            if self.current & ((1 << LEVEL_BITS[0]) - 1) == 0 {
                self.spread(self.current);
            }
        }
    }

    /// Moves what is due from a slot of the finest level to `fired`.
    fn fire(&mut self, slot: usize, fired: &mut Vec<Entry>) {
        for armed in std::mem::take(&mut self.levels[0][slot]) {
            if armed.tick < self.current {
                self.armed -= 1;
                fired.push(armed);
            } else {
                self.place(armed);
            }
        }
    }

    fn place(&mut self, armed: Entry) {
        let tick = armed.tick.max(self.current);
        let distance = tick - self.current;
        let mut shift = 0;
        for (level, bits) in LEVEL_BITS.iter().enumerate() {
            let last = level == LEVEL_BITS.len() - 1;
            if distance < 1 << (shift + bits) || last {
                let farthest = self.current + (1 << (shift + bits)) - 1;
                let index = (tick.min(farthest) >> shift) & ((1 << bits) - 1);
                self.levels[level][index as usize].push(armed);
                return;
            }
            shift += bits;
        }
    }

    /// Moves the entries of a coarser slot to finer levels when the wheel arrives at it, so that what is due
    /// next is always in the finest.
    fn spread(&mut self, tick: u64) {
        let mut shift = LEVEL_BITS[0];
        for (level, bits) in LEVEL_BITS.iter().enumerate().skip(1) {
            if tick & ((1 << shift) - 1) != 0 {
                return;
            }
            let index = (tick >> shift) & ((1 << bits) - 1);
            for armed in std::mem::take(&mut self.levels[level][index as usize]) {
                self.place(armed);
            }
            shift += bits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn any_start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_deadline_fires_within_a_tick_and_never_early() {
        let start = any_start();
        let delays = [
            0,
            1,
            9,
            10,
            11,
            2_550,
            2_560,
            2_570,
            163_840,
            163_850,
            200_000,
            10_485_760,
            86_400_000,
            604_800_000,
        ];
        for (slot, delay) in (0..).zip(delays) {
            let mut wheel = Wheel::new(start);
            let mut fired = Vec::new();
            // A wheel that has already turned, by an odd amount.
            wheel.advance(start + Duration::from_millis(12_345), &mut fired);
            let now = start + Duration::from_millis(12_345);
            let deadline = now + Duration::from_millis(delay);
            wheel.arm(wheel.tick_of(deadline), slot, 7);
            let mut at = now;
            while fired.is_empty() {
                at = wheel.poll_timeout().expect("something is armed").max(at + Duration::from_micros(1));
                wheel.advance(at, &mut fired);
            }
            assert_eq!((fired.len(), fired[0].slot, fired[0].generation), (1, slot, 7));
            assert!(at >= deadline, "{delay} ms fired early");
            assert!(at <= deadline + 2 * TICK, "{delay} ms fired {:?} late", at - deadline);
            assert_eq!(wheel.len(), 0);
        }
    }

    #[test]
    fn many_deadlines_fire_in_the_order_of_their_ticks() {
        let start = any_start();
        let mut wheel = Wheel::new(start);
        for slot in 0..10_000_u32 {
            let delay = Duration::from_millis(u64::from(slot.wrapping_mul(2_654_435_761) % 400_000));
            wheel.arm(wheel.tick_of(start + delay), slot, 0);
        }
        let (mut fired, mut seen, mut at) = (Vec::new(), 0, start);
        while let Some(next) = wheel.poll_timeout() {
            at = next.max(at);
            wheel.advance(at, &mut fired);
            for Entry { slot, .. } in fired.drain(..) {
                let deadline =
                    start + Duration::from_millis(u64::from(slot.wrapping_mul(2_654_435_761) % 400_000));
                assert!(at >= deadline && at <= deadline + 2 * TICK);
                seen += 1;
            }
        }
        assert_eq!(seen, 10_000);
    }

    #[test]
    fn a_long_pause_fires_everything_that_was_due() {
        let start = any_start();
        let mut wheel = Wheel::new(start);
        for slot in 0..100 {
            wheel.arm(u64::from(slot) * TICKS_PER_SECOND, slot, 0);
        }
        let mut fired = Vec::new();
        wheel.advance(start + Duration::from_secs(3600), &mut fired);
        assert_eq!(fired.len(), 100);
    }
}
