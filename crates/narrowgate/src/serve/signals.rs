//! The signals of a server. SIGTERM and SIGINT end it: the first begins the stop, the second ends the process
//! at once. What a terminal sends by itself does not:
//!
//! * SIGHUP, when it goes away. A demonstration, which is for the one who sits there, ends by it as by
//!   SIGTERM.
//! * SIGTTOU, when a job in the background writes and `stty tostop` is set. The thread that writes blocks it,
//!   so that the write goes through; here it is caught for what others of the job write.

use std::{fs, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// A second signal within this time belongs to the first: some senders (timeout, a terminal's job control)
/// signal the process and its group.
const ONE_WISH: Duration = Duration::from_millis(500);

/// Its number on Linux (x86, Arm, RISC-V, POWER, s390).
const SIGTTOU: i32 = 22;

/// What SIGHUP does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// It is logged, and that is all.
    GoesOn,
    /// It ends the server, unless the process was started with SIGHUP ignored (`nohup`).
    Ends,
}

/// The signals, caught from its creation on.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    at_hangup: Hangup,
    /// Never waited for: that it is caught is all.
    _ttou: Signal,
}

impl Signals {
    /// Begins to catch; to be called inside the runtime.
    ///
    /// # Errors
    /// When the system does not let it.
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

    /// Waits for the next one that ends the server; its name.
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

    /// Waits for the next one that is a wish of its own, after one that just came. SIGHUP is none: nobody
    /// asked for haste.
    pub(crate) async fn another(&mut self) -> &'static str {
        self.at_hangup = Hangup::GoesOn;
        let echo = tokio::time::sleep(ONE_WISH);
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

/// Whether this process was started with SIGHUP ignored. Where the system does not say, it was not.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // A bit per signal, from 1 on: SIGHUP is the first.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
