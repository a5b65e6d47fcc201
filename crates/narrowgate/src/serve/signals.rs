//! The signals of a server. SIGTERM and SIGINT end it: the first one begins the stop, a second one ends the
//! process at once. Signals that a terminal sends by itself do not end it:
//!
//! * SIGHUP, when the terminal closes. Only a demonstration, which is for the person at the terminal, ends on
//!   it as on SIGTERM.
//! * SIGTTOU, when a background job writes and `stty tostop` is set. The thread that writes blocks it, so
//!   that the write succeeds; here it is caught for writes by other processes of the job.

use std::{fs, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// A second signal within this time belongs to the first: some senders (timeout, a terminal's job control)
/// signal the process and its group.
const ECHO_TIME: Duration = Duration::from_millis(500);

/// Its number on Linux (x86, Arm, RISC-V, POWER, s390).
const SIGTTOU: i32 = 22;

/// What SIGHUP does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// It is only logged.
    GoesOn,
    /// It ends the server, unless the process was started with SIGHUP ignored (`nohup`).
    Ends,
}

/// Catches the signals from its creation on.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    at_hangup: Hangup,
    /// Never waited for; it only has to be caught.
    _ttou: Signal,
}

impl Signals {
    /// Begins to catch; must be called inside the runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn catch(at_hangup: Hangup) -> Result<Self, Failure> {
        let catch =
            |kind| signal(kind).map_err(|error| Failure::failed("cannot catch signals").reason(error));
        let at_hangup = if is_hangup_ignored() { Hangup::GoesOn } else { at_hangup };
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hangup: catch(SignalKind::hangup())?,
            at_hangup,
            _ttou: catch(SignalKind::from_raw(SIGTTOU))?,
        })
    }

    /// Waits for the next signal that ends the server; returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => match self.at_hangup {
                    Hangup::Ends => return "SIGHUP",
                    Hangup::GoesOn => tracing::info!("SIGHUP changes nothing; SIGTERM ends the server"),
                },
            }
        }
    }

    /// Waits for a second signal after one that just came, ignoring its echo. SIGHUP does not count: it does
    /// not ask for haste.
    pub(crate) async fn another(&mut self) -> &'static str {
        self.at_hangup = Hangup::GoesOn;
        let echo = tokio::time::sleep(ECHO_TIME);
        tokio::pin!(echo);
        loop {
            tokio::select! {
                () = &mut echo => break,
                _ = self.next() => {}
            }
        }
        self.next().await
    }
}

/// Whether this process was started with SIGHUP ignored; `false` if the system does not say.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // One bit per signal; SIGHUP is signal 1, the lowest bit.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
