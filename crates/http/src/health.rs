//! Whether the process lives and whether it serves devices: the answers of `/health/live` and
//! `/health/ready`.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Opening its store and sockets.
    Starting,
    /// Serving devices.
    Ready,
    /// Asked to stop: finishing work in progress.
    Draining,
}

impl Phase {
    /// The word in the answer of `/health/ready`.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
        }
    }
}

/// The phase, shared between the program, which sets it, and the answers, which show it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<AtomicU8>);

impl Health {
    /// Moves to `phase`.
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_comes_back_as_it_was_set() {
        let health = Health::default();
        assert_eq!(health.phase(), Phase::Starting);
        for phase in [Phase::Ready, Phase::Draining, Phase::Starting] {
            health.clone().set(phase);
            assert_eq!(health.phase(), phase);
        }
    }
}
