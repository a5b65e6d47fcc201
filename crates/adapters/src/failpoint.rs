//! Named points at which a test ends the process as `kill -9` does: the way to see a crash at each step.
//!
//! `NARROWGATE_KILL_AT=batch-before-commit:17` ends it when that point is passed for the 17th time. Only in
//! builds with the feature `test-hooks`, which are for tests and never shipped. The crate `fail` would bring
//! actions, a registry and a macro at every point; one action, chosen before the start, is enough here.

use std::{
    env,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The environment variable: a name, and after a colon how often the point is passed; without a number once.
const VARIABLE: &str = "NARROWGATE_KILL_AT";

struct Target {
    name: String,
    left: AtomicU64,
}

/// Passes the point `name`: ends the process if that point was named and has now been passed often enough.
pub fn pass(name: &str) {
    static TARGET: OnceLock<Option<Target>> = OnceLock::new();
    let Some(target) = TARGET.get_or_init(|| parse(&env::var(VARIABLE).ok()?)) else { return };
    if target.name != name || target.left.fetch_sub(1, Ordering::Relaxed) != 1 {
        return;
    }
    // The signal cannot be caught; the thread waits for the end and does nothing more.
    let _ = kill(Pid::this(), Signal::SIGKILL);
    loop {
        thread::park();
    }
}

fn parse(text: &str) -> Option<Target> {
    let (name, count) = text.split_once(':').unwrap_or((text, "1"));
    let count: u64 = count.parse().ok().filter(|count| *count > 0)?;
    Some(Target { name: name.to_owned(), left: AtomicU64::new(count) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_a_count_or_without() {
        let read = |text| parse(text).map(|target| (target.name, target.left.into_inner()));
        assert_eq!(read("batch-before-commit:17"), Some(("batch-before-commit".to_owned(), 17)));
        assert_eq!(read("closed"), Some(("closed".to_owned(), 1)));
        assert_eq!(read("closed:0"), None);
        assert_eq!(read("closed:x"), None);
    }
}
