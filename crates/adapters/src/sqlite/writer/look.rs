//! What the writer does about files that lose their names while it writes them: after each commit and every
//! second.
//!
//! | what is gone | what happens |
//! |---|---|
//! | a day's message file, or its folder | one group at most is refused; a new file is begun |
//! | the registry, the logs, or the data directory | everything is refused until it is back |
//! | a file has another one's place | everything is refused until the server is started again |
//! | SQLite's log of one of them | it is written back, and everything is refused until the next start |

use std::time::{Duration, Instant};

use narrowgate_platform::ports::StoreError;

use super::{super::watch::Loss, Writer};

/// The time between two looks while nothing is committed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Writer {
    /// When the next look is due.
    pub(super) fn next_watch(&self) -> Instant {
        self.watched_at + LOOK_EVERY
    }

    /// Looks at the files when it is due, and tries again what a loss has stopped.
    pub(super) fn continue_watch(&mut self, now: Instant) {
        if now < self.next_watch() {
            return;
        }
        self.watched_at = now;
        self.look_at_latest();
        if self.stopped.is_some() {
            return;
        }
        self.continue_sweep(now);
        self.empty_logs();
        let found = self.look_at_files();
        if found.is_err() || (self.broken && self.shared.trouble().is_some()) {
            // A failure is known already.
            let _: Result<(), StoreError> = self.repair();
        }
    }

    /// Whether all that is written still has its name. If not, nothing that was written since the last look
    /// may be acknowledged.
    pub(super) fn look_at_files(&mut self) -> Result<(), StoreError> {
        let registry = self.registry.look();
        let found = registry.and(self.files.look());
        let Err(loss) = found else { return Ok(()) };
        if matches!(loss, Loss::Log(_)) && self.write_logs_back() {
            let words = "what was acknowledged is saved; stop the server and start it again";
            let text = format!("{loss}; {words}");
            tracing::error!("{text}");
            self.shared.set_trouble(Some(text.clone()));
            self.stopped = Some(text);
            return Ok(());
        }
        self.broken = true;
        let text = loss.to_string();
        if self.shared.set_trouble(Some(text.clone())) {
            tracing::error!("{text}");
        }
        Err(StoreError::Unavailable(text))
    }

    /// A log without a name is lost with the process: what it holds goes into the databases.
    fn write_logs_back(&mut self) -> bool {
        self.settle_write_back();
        let done = |checkpoint: rusqlite::Result<bool>| checkpoint.is_ok_and(|done| done);
        done(self.files.checkpoint())
            && done(self.registry.checkpoint_log())
            && done(self.registry.checkpoint())
    }

    /// Message files are gone, and with them their reports: nothing is written to what is left of them.
    /// Returns whether there are such.
    pub(super) fn leave_lost_files(&mut self) -> Result<bool, Loss> {
        self.settle_write_back();
        let mut lost = Vec::new();
        for file in self.files.iter_mut() {
            match file.look() {
                Err(Loss::Removed(_)) => lost.push(file.volume()),
                found => found?,
            }
        }
        for volume in &lost {
            let volume = *volume;
            self.files.take(volume.class);
            tracing::error!(file = %volume, "the message file is gone with its reports; a new one is begun");
            self.shared.forget_file(volume);
            self.unmarked.retain(|(marked, _)| *marked != volume);
            if let Some(flush) = &mut self.flush {
                flush.marks.retain(|(marked, _)| *marked != volume);
            }
        }
        Ok(!lost.is_empty())
    }
}
