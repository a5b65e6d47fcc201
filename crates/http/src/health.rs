//! Whether the process lives and whether it serves devices: the answers of `/health/live` and
//! `/health/ready`.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
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

/// What a look at the parts of the process finds. The words name no device and no secret: everybody may read
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// What keeps devices from being served: the process is not ready.
    pub stuck: Vec<String>,
    /// What an operator should know; devices are served.
    pub warnings: Vec<String>,
}

/// Looks at the parts, at once.
pub type Look = Box<dyn Fn() -> Findings + Send + Sync>;

/// The phase and what is found, shared between the program, which sets them, and the answers, which show
/// them.
#[derive(Clone, Default)]
pub struct Health(Arc<Shared>);

#[derive(Default)]
struct Shared {
    phase: AtomicU8,
    look: OnceLock<Look>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Health {
    /// Moves to `phase`.
    pub fn set(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Release);
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// How the parts of the process are looked at from now on. Only the first call counts.
    pub fn set_look(&self, look: Look) {
        // Ignored: it has one.
        let _ = self.0.look.set(look);
    }

    /// What is found now.
    pub fn findings(&self) -> Findings {
        self.0.look.get().map(|look| look()).unwrap_or_default()
    }

    /// Whether devices are served now.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Ready && self.findings().stuck.is_empty()
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

    #[test]
    fn a_process_that_is_stuck_is_not_ready_and_one_with_a_warning_is() {
        for (findings, is_ready) in [
            (Findings::default(), true),
            (Findings { warnings: vec!["the clock is behind".into()], ..Findings::default() }, true),
            (Findings { stuck: vec!["shard 1 stands still".into()], ..Findings::default() }, false),
        ] {
            let health = Health::default();
            health.set_look(Box::new(move || findings.clone()));
            assert!(!health.is_ready(), "it is starting");
            health.set(Phase::Ready);
            assert_eq!(health.is_ready(), is_ready);
        }
    }
}
