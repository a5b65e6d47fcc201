//! The sliding window of received record numbers (RFC 6347, section 4.1.2.6), 64 wide.
//!
//! ```text
//!   too old | 63 numbers, each seen or not | highest | new
//! ```

use crate::discard::Discard;

/// Which numbers of one epoch were received. Call `check` first, and `mark` only after the record was
/// authenticated.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReplayWindow {
    /// Highest number seen, plus one; zero when none was.
    next: u64,
    /// Bit 0 is the highest number seen, bit n the one n below it.
    seen: u64,
}

/// Width of the window.
pub(crate) const WINDOW: u64 = u64::BITS as u64;

impl ReplayWindow {
    /// A window in which everything below `next` counts as seen.
    pub(crate) fn closed_below(next: u64) -> Self {
        Self { next, seen: u64::MAX }
    }

    /// Highest number seen, plus one; zero when none was.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether a record with this number may still be accepted.
    pub(crate) fn check(&self, sequence: u64) -> Result<(), Discard> {
        if sequence >= self.next {
            return Ok(());
        }
        match self.next - 1 - sequence {
            behind if behind >= WINDOW => Err(Discard::TooOld),
            behind if self.seen >> behind & 1 == 1 => Err(Discard::Replayed),
            _ => Ok(()),
        }
    }

    /// Marks a number that `check` accepted.
    pub(crate) fn mark(&mut self, sequence: u64) {
        if sequence >= self.next {
            let ahead = sequence + 1 - self.next;
            self.seen = if ahead >= WINDOW { 0 } else { self.seen << ahead };
            self.seen |= 1;
            self.next = sequence + 1;
        } else if self.next - 1 - sequence < WINDOW {
            self.seen |= 1 << (self.next - 1 - sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn receive(window: &mut ReplayWindow, sequence: u64) -> Result<(), Discard> {
        window.check(sequence)?;
        window.mark(sequence);
        Ok(())
    }

    #[test]
    fn the_left_edge_is_63_below_the_highest() {
        let mut window = ReplayWindow::default();
        assert_eq!(receive(&mut window, 100), Ok(()));
        assert_eq!(receive(&mut window, 37), Ok(()));
        assert_eq!(receive(&mut window, 37), Err(Discard::Replayed));
        assert_eq!(receive(&mut window, 36), Err(Discard::TooOld));
    }

    #[test]
    fn a_large_gap_forgets_the_past() {
        let mut window = ReplayWindow::default();
        for sequence in [0, 1 << 20, 1 << 40, (1 << 48) - 1] {
            assert_eq!(receive(&mut window, sequence), Ok(()));
            assert_eq!(receive(&mut window, sequence), Err(Discard::Replayed));
        }
        assert_eq!(receive(&mut window, 1 << 40), Err(Discard::TooOld));
    }

    #[test]
    fn a_window_that_begins_closed_accepts_only_what_is_new() {
        let mut window = ReplayWindow::closed_below(100);
        for sequence in [0, 36, 37, 99] {
            assert!(receive(&mut window, sequence).is_err());
        }
        assert_eq!(receive(&mut window, 101), Ok(()));
        assert_eq!(receive(&mut window, 100), Ok(()));
        assert_eq!(receive(&mut window, 99), Err(Discard::Replayed));
        assert_eq!(receive(&mut ReplayWindow::closed_below(0), 0), Ok(()));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_numbers(numbers in proptest::collection::vec(0u64..200, 0..300)) {
            let mut window = ReplayWindow::default();
            let mut seen = HashSet::new();
            let mut highest = None::<u64>;
            for number in numbers {
                let expected = match highest {
                    Some(highest) if highest >= number + WINDOW => Err(Discard::TooOld),
                    _ if seen.contains(&number) => Err(Discard::Replayed),
                    _ => Ok(()),
                };
                prop_assert_eq!(receive(&mut window, number), expected);
                if expected.is_ok() {
                    seen.insert(number);
                    highest = highest.max(Some(number));
                }
            }
        }
    }
}
