//! How long the command line waits for a silent server: after a while it prints for whom it waits, and in the
//! end it gives up. Every byte sent or received restarts the time.

use std::time::{Duration, Instant};

use crate::{failure::Failure, output};

/// Silence after which a note says that the command is waiting.
const NOTE_AFTER: Duration = Duration::from_secs(3);

/// Silence after which the command gives up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// Time between two checks of the clock.
pub(super) const STEP: Duration = Duration::from_millis(500);

/// How long something that is there already may take to arrive.
pub(super) const GLANCE: Duration = Duration::from_millis(20);

/// The waiting for one answer.
pub(super) struct Patience {
    /// The server, as `process 123`.
    server: String,
    /// The request changes nothing.
    reads_only: bool,
    /// What to do where a change got no answer.
    afterwards: &'static str,
    last_byte: Instant,
    has_noted: bool,
}

impl Patience {
    pub(super) fn new(server: &str, reads_only: bool, afterwards: &'static str) -> Self {
        let (server, last_byte) = (server.to_owned(), Instant::now());
        Self { server, reads_only, afterwards, last_byte, has_noted: false }
    }

    /// Restarts the time: a byte was sent or received.
    pub(super) fn restart(&mut self) {
        self.last_byte = Instant::now();
    }

    /// Checks the time after a step without a byte.
    ///
    /// # Errors
    /// The server was silent for too long.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        let silent = self.last_byte.elapsed();
        if silent >= GIVE_UP_AFTER {
            return Err(self.gave_up());
        }
        if silent >= NOTE_AFTER && !self.has_noted {
            self.has_noted = true;
            output::note(format_args!("waiting for the server ({}) to answer", self.server));
        }
        Ok(())
    }

    fn gave_up(&self) -> Failure {
        let Self { server, reads_only, afterwards, .. } = self;
        let failure = Failure::failed("the running server does not answer")
            .reason(format_args!("{server} holds the control socket but does not answer"));
        let look = match server.strip_prefix("process ") {
            Some(pid) => format!("look at it (ps -o pid,stat,cmd -p {pid}; state T is a stopped process)"),
            None => "look at the process of the server".to_owned(),
        };
        match reads_only {
            true => failure.hint(format_args!("{look}; let it continue, or stop it and start it again")),
            false => failure
                .part("change", CHANGE_UNKNOWN)
                .hint(format_args!("{look}; when it answers again, {afterwards}")),
        }
    }
}

/// The reason when a change got no answer.
pub(super) const CHANGE_UNKNOWN: &str = "it is not known whether the change was made";
