//! Scripts of products run in processes of this program that do nothing else.

/// The argument that makes this program one of them, alone and first. Nobody but a pool gives it: it is in no
/// help.
const WORKER: &str = "script-worker";

/// Whether this process is one of them.
pub(crate) fn is_worker() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().is_some_and(|first| first == WORKER) && arguments.next().is_none()
}
