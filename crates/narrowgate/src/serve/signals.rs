//! SIGTERM and SIGINT: the first begins the stop, the second ends the process at once.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// A second signal within this time belongs to the first: some senders (timeout, a terminal's job control) signal the
/// process and its group.
const ONE_WISH: Duration = Duration::from_millis(500);

/// The signals, caught from its creation on.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to catch; to be called inside the runtime.
    ///
    /// # Errors
    /// When the system does not let it.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let catch =
            |kind| signal(kind).map_err(|error| Failure::failed("cannot catch signals").reason(error));
        Ok(Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? })
    }

    /// Waits for the next one; its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for the next one that is a wish of its own, after one that just came.
    pub(crate) async fn another(&mut self) -> &'static str {
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
