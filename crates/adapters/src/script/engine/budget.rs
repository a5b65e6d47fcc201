//! The processor time of a call: what other threads and programs do does not count.

use std::{cell::Cell, rc::Rc, time::Duration};

use nix::time::{ClockId, clock_gettime};

/// Shared by a realm and by the handler that its engine calls every ten thousand steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Budget(Rc<Times>);

#[derive(Debug, Default)]
struct Times {
    end: Cell<Duration>,
    is_over: Cell<bool>,
}

impl Budget {
    /// Begins a call that may take this long.
    pub(super) fn begin(&self, time: Duration) {
        self.0.end.set(processor_time() + time);
        self.0.is_over.set(false);
    }

    /// Whether the call has to end. Once true, it stays so until the next one begins, however often a script
    /// goes on.
    pub(super) fn look(&self) -> bool {
        if !self.0.is_over.get() {
            self.0.is_over.set(processor_time() >= self.0.end.get());
        }
        self.0.is_over.get()
    }

    /// Whether the call was told to end.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_over.get()
    }
}

/// Of this thread. Where the system tells none, no time passes: then the pool ends the process.
pub(in crate::script) fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
