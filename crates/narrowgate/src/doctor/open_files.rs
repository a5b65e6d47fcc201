//! The limit of open files: that of the running server, else of this process, which may differ from that of
//! the server's unit.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};

use super::{Finding, Running};
use crate::{config::Config, serve::descriptors};

const CHECK: &str = "openFiles";

/// With fewer a server may not even start.
const START_MIN: u64 = 128;

/// What is known of a process.
#[derive(Debug, Clone, Copy)]
struct Known {
    is_server: bool,
    /// To which it may raise its limit.
    most: u64,
    /// How many files it has open.
    open: Option<u64>,
}

pub(super) fn check(config: &Config, server: Option<&Running>) -> Finding {
    let known = server.and_then(|server| of_process(server.process?));
    let own = || getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(_, most)| most);
    let known = known.unwrap_or_else(|| Known { is_server: false, most: own(), open: None });
    judge(known, descriptors::needed(config))
}

fn of_process(process: u32) -> Option<Known> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let open = fs::read_dir(format!("/proc/{process}/fd")).ok().map(|files| files.count() as u64);
    Some(Known { is_server: true, most: hard_limit(&limits)?, open })
}

/// Of the line `Max open files            1024                 524288               files`.
fn hard_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn judge(known: Known, needed: u64) -> Finding {
    let Known { is_server, most, open } = known;
    let whose = if is_server { "the server" } else { "a server started from here" };
    let more = format!("LimitNOFILE={} in the unit, or ulimit -n", needed.next_power_of_two().max(4096));
    if let Some(open) = open.filter(|open| *open > most / 10 * 9) {
        return Finding::act(CHECK, format!("{whose} has {open} of {most} files open"), more);
    }
    let detail = format!("{whose} may have {most} files open, and needs {needed} at its limits");
    match most {
        _ if most >= needed => Finding::well(CHECK, detail),
        _ if most < START_MIN => Finding::act(CHECK, detail, more),
        _ => Finding::watch(CHECK, detail, more),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    fn state(most: u64, open: Option<u64>) -> State {
        judge(Known { is_server: open.is_some(), most, open }, 700).state
    }

    #[test]
    fn too_few_files_are_named() {
        assert_eq!(state(4096, None), State::Well);
        assert_eq!(state(700, Some(600)), State::Well);
        assert_eq!(state(699, None), State::Watch);
        assert_eq!(state(64, None), State::Act);
        assert_eq!(state(4096, Some(4000)), State::Act);
        let finding = judge(Known { is_server: false, most: 256, open: None }, 700);
        assert!(finding.advice.unwrap().contains("LimitNOFILE=4096"));
    }

    #[test]
    fn the_limits_of_a_process_are_read() {
        assert_eq!(
            hard_limit("Max open files            1024                 524288      files\n"),
            Some(524_288)
        );
        assert_eq!(
            hard_limit("Max open files            1024                 unlimited   files\n"),
            Some(u64::MAX)
        );
        assert_eq!(hard_limit("Max processes             1 2 processes\n"), None);
        let own = of_process(std::process::id()).unwrap();
        assert!(own.most > 0 && own.open.unwrap() > 0, "{own:?}");
    }
}
