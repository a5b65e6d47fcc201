//! Scripts of products run in processes of this program that do nothing else.

use std::sync::Arc;

use narrowgate_adapters::script::{Command, Limits, Options, Pool};
use narrowgate_platform::ports::{NoScripts, Scripts};

/// The argument that makes this program one of them, alone and first. Nobody but a pool gives it: it is in no
/// help.
const WORKER: &str = "script-worker";

/// Processes of a server that run scripts: one may be busy with a bad script while the others go on.
const WORKERS: usize = 3;

/// Calls of one product that wait; more are answered 5.03.
const WAITING_MAX: usize = 64;

/// What runs the scripts of products in a server. No process is started before one is run.
pub(crate) fn of_server() -> Arc<dyn Scripts> {
    start(WORKERS)
}

/// The same for a command that works on the store itself.
pub(crate) fn of_command() -> Arc<dyn Scripts> {
    start(1)
}

fn start(workers: usize) -> Arc<dyn Scripts> {
    let (limits, command) = (Limits::default(), Command::this_program(WORKER));
    match Pool::start(Options { limits, workers, waiting_max: WAITING_MAX, command }) {
        Ok(pool) => Arc::new(pool),
        Err(error) => {
            tracing::error!(%error, "scripts cannot be run: the system gives no thread");
            Arc::new(NoScripts)
        }
    }
}

/// Whether this process is one of them.
pub(crate) fn is_worker() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().is_some_and(|first| first == WORKER) && arguments.next().is_none()
}
