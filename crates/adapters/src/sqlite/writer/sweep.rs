//! Old log entries, changes of presence and commands go, also of devices that say nothing any more: once a
//! day all devices are looked at, some of them every second.

use std::time::{Duration, Instant};

use narrowgate_platform::{ids::UnixMillis, ports::REQUEST_LIFE_MS};

use super::{
    super::{
        error::{is_fault_of_write, store_error},
        log_file::NOBODY,
    },
    Writer,
};

/// Devices that are looked at every second: some milliseconds. A hundred thousand take seven minutes.
const DEVICES_AT_ONCE: i64 = 256;
/// Time from the beginning of one pass over all devices to that of the next.
const PASS_EVERY: Duration = Duration::from_secs(86_400);

/// How far the pass has got.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The next device; `None`: this pass is done.
    next: Option<i64>,
    begun: Option<Instant>,
}

impl Writer {
    /// Looks at some devices, where it is time.
    pub(in crate::sqlite) fn continue_sweep(&mut self, now: Instant) {
        self.forget_requests(now);
        let [log, commands] = self.oldest_kept();
        if self.broken || (log.is_none() && commands.is_none()) {
            return;
        }
        self.forget_happened(log);
        if self.broken {
            return;
        }
        let sweep = &mut self.sweep;
        if sweep.next.is_none() {
            if sweep.begun.is_some_and(|begun| now.saturating_duration_since(begun) < PASS_EVERY) {
                return;
            }
            (sweep.begun, sweep.next) = (Some(now), Some(NOBODY));
        }
        let Some(first) = sweep.next else { return };
        let end = first + DEVICES_AT_ONCE;
        let log = log.map_or(Ok(0), |before| self.registry.forget_before(first..end, before));
        let forget = |before| self.registry.forget_commands_before(first..end, before);
        let commands = if log.is_ok() { commands.map_or(Ok(0), forget) } else { Ok(0) };
        if let Err(error) = log.and(commands) {
            // The others go on; these are tried again with the next pass. A commit that failed may have left
            // its frames.
            let may_have_left_some = !is_fault_of_write(&error);
            let error = store_error(&error);
            tracing::error!(%error, first, "old entries of some devices could not be deleted");
            self.broken = self.registry.rollback().is_err() || may_have_left_some;
        }
        self.sweep.next = self.registry.last_device().ok().filter(|last| *last >= end).map(|_| end);
    }

    /// Deletes requests with idempotency keys whose time is over, also where nobody sends any more. The wall
    /// clock counts at the start alone, and no further than what was confirmed before: one that leaps and
    /// comes back must not forget what was carried out.
    fn forget_requests(&mut self, now: Instant) {
        let at_start = || {
            let shown = self.retention.believable((self.shared.options.clock)());
            // 0: none was, in a new store.
            let confirmed = self.confirmed.filter(|confirmed| confirmed.0 > 0);
            confirmed.map_or(shown, |confirmed| shown.min(confirmed))
        };
        let before = UnixMillis(self.registry.request_time(now, at_start).0.saturating_sub(REQUEST_LIFE_MS));
        if self.broken {
            return;
        }
        if let Err(error) = self.registry.forget_requests_before(before) {
            let may_have_left_some = !is_fault_of_write(&error);
            let error = store_error(&error);
            tracing::error!(%error, "old answers to requests could not be deleted");
            self.broken = self.registry.rollback().is_err() || may_have_left_some;
        }
    }

    /// Deletes some of what happened before a time.
    fn forget_happened(&mut self, before: Option<UnixMillis>) {
        let Some(before) = before else { return };
        if let Err(error) = self.registry.forget_happened_before(before) {
            let may_have_left_some = !is_fault_of_write(&error);
            let error = store_error(&error);
            tracing::error!(%error, "what happened long ago could not be deleted");
            self.broken = self.registry.rollback().is_err() || may_have_left_some;
        }
    }

    /// What is older goes, of logs and presence and of commands; `None`: nothing. Counted from the last day
    /// on which the clock is known to have been right.
    fn oldest_kept(&self) -> [Option<UnixMillis>; 2] {
        let (known, options) = (self.retention.known(), &self.shared.options);
        [options.log_days, options.command_days].map(|days| Some(known?.minus(days?).begins()))
    }
}
