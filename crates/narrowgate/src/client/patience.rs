//! How long the command line waits for a server that says nothing: after a while it says that it waits, and
//! for whom; in the end it gives up. Every byte that moves begins the time anew.

use std::time::{Duration, Instant};

use crate::{failure::Failure, output};

/// After so long without a byte a note says that the server is waited for.
const NOTE_AFTER: Duration = Duration::from_secs(3);

/// After so long without a byte the server is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// Between two looks at the clock.
pub(super) const STEP: Duration = Duration::from_millis(500);

/// The waiting for one answer.
pub(super) struct Patience {
    /// The server, as `process 123`.
    server: String,
    /// The request changes nothing.
    reads_only: bool,
    last_byte: Instant,
    told: bool,
}

impl Patience {
    pub(super) fn new(server: &str, reads_only: bool) -> Self {
        Self { server: server.to_owned(), reads_only, last_byte: Instant::now(), told: false }
    }

    /// A byte came or went.
    pub(super) fn moved(&mut self) {
        self.last_byte = Instant::now();
    }

    /// No byte moved for a step.
    ///
    /// # Errors
    /// It was waited for long enough.
    pub(super) fn waited(&mut self) -> Result<(), Failure> {
        let silent = self.last_byte.elapsed();
        if silent >= GIVE_UP_AFTER {
            return Err(self.gave_up());
        }
        if silent >= NOTE_AFTER && !self.told {
            self.told = true;
            output::note(format_args!("waiting for the server ({}) to answer", self.server));
        }
        Ok(())
    }

    fn gave_up(&self) -> Failure {
        let Self { server, reads_only, .. } = self;
        let failure = Failure::failed("the running server does not answer")
            .reason(format_args!("{server} holds the control socket but does not answer"));
        let look = match server.strip_prefix("process ") {
            Some(pid) => format!("look at it (ps -o pid,stat,cmd -p {pid}; state T is a stopped process)"),
            None => "look at the process of the server".to_owned(),
        };
        match reads_only {
            true => failure.hint(format_args!("{look}; let it continue, or stop it and start it again")),
            false => failure.part("change", CHANGE_UNKNOWN).hint(format_args!(
                "{look}; when it answers again, check the present state (product show, device show)"
            )),
        }
    }
}

/// Of a change whose answer did not come.
pub(super) const CHANGE_UNKNOWN: &str = "it is not known whether the change was made";
