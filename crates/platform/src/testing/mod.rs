//! For tests of everything that stands on the platform: a clock that stands still, randomness that repeats,
//! a way to wait for a port's future without a runtime, and the suite that every store must pass.
//!
//! Nothing here is for production: [`SeededEntropy`] is predictable on purpose.

pub mod audit;
mod passwords;
pub mod store;

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

pub use self::passwords::PlainPasswords;
use crate::{
    ids::UnixMillis,
    ports::{Clock, Entropy},
};

/// Waits on the current thread until `future` ends. For tests and for programs without a runtime.
#[expect(
    clippy::disallowed_methods,
    reason = "who calls this has a thread to wait on, and nothing else to do"
)]
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // A wake-up between `poll` and `park` makes `park` return at once.
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A wall clock that moves only when a test moves it.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at `now`.
    pub fn new(now: UnixMillis) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves forward by `ms` milliseconds (back, when negative).
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// Jumps to `now`.
    pub fn set(&self, now: UnixMillis) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

/// Bytes that look random and are the same in every run (SplitMix64). Never for secrets.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        for chunk in out.chunks_mut(8) {
            let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_it_is_moved() {
        let clock = ManualClock::new(UnixMillis(1000));
        assert_eq!(clock.now(), UnixMillis(1000));
        clock.advance_ms(500);
        assert_eq!(clock.now(), UnixMillis(1500));
        clock.set(UnixMillis(7));
        assert_eq!(clock.now(), UnixMillis(7));
    }

    #[test]
    fn seeded_entropy_repeats_with_its_seed_and_differs_without() {
        let bytes = |seed| {
            let mut out = [0; 29];
            SeededEntropy::new(seed).fill(&mut out);
            out
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
        assert_ne!(bytes(1)[..8], bytes(1)[8..16]);
    }

    #[test]
    fn block_on_waits_for_a_future_that_wakes_itself() {
        let mut polled = 0;
        let answer = block_on(std::future::poll_fn(|context| {
            polled += 1;
            if polled == 3 {
                return Poll::Ready(7);
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        assert_eq!((answer, polled), (7, 3));
    }
}
