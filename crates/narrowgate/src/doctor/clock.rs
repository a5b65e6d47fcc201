//! The clock: whether it is synchronised, and whether it is behind what the store has seen.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use narrowgate_api::{names::UnixMillis, time};
use narrowgate_platform::ports::Clock as _;

use super::Finding;
use crate::system::SystemClock;

/// How long the system's time service may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// A clock that is behind by this is waited for by the server.
const BEHIND_MS_MAX: i64 = 60_000;

/// 2026-01-01: this program is younger, so a clock before that was never set.
const FIRST_MS: i64 = 1_767_225_600_000;

/// What the system says of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Synchronised {
    Yes,
    No,
    Unknown,
}

pub(super) fn check(data: &Path) -> [Finding; 2] {
    let now = SystemClock.now();
    [judge(now, synchronised()), judge_store(now, newest_write(data))]
}

fn synchronised() -> Synchronised {
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    match asked.ok().and_then(answer_in_time).as_deref().map(str::trim) {
        Some("yes") => Synchronised::Yes,
        Some("no") => Synchronised::No,
        // What systemd-timesyncd leaves there once it has set the clock.
        _ if Path::new("/run/systemd/timesync/synchronized").exists() => Synchronised::Yes,
        _ => Synchronised::Unknown,
    }
}

/// What a program prints; `None` where it fails or takes too long.
fn answer_in_time(mut program: Child) -> Option<String> {
    let ends = Instant::now() + ANSWER_TIME_MAX;
    while program.try_wait().ok()?.is_none() {
        if Instant::now() > ends {
            // Ignored: it has just ended by itself.
            let _ = program.kill();
            let _ = program.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let ended = program.wait_with_output().ok()?;
    String::from_utf8(ended.stdout).ok().filter(|_| ended.status.success())
}

fn judge(now: UnixMillis, synchronised: Synchronised) -> Finding {
    let (check, shown) = ("clock", shown(now));
    match synchronised {
        _ if now.0 < FIRST_MS => Finding::act(
            check,
            format!("it shows {shown}: it was never set"),
            "set it, and let a time service keep it (systemd-timesyncd, chrony)",
        ),
        Synchronised::Yes => Finding::well(check, format!("it shows {shown} and is synchronised")),
        Synchronised::No => Finding::watch(
            check,
            format!("it shows {shown} and is not synchronised"),
            "let a time service keep it (systemd-timesyncd, chrony): reports have its times",
        ),
        Synchronised::Unknown => Finding::watch(
            check,
            format!("it shows {shown}; whether it is synchronised cannot be seen from here"),
            "look at the machine's time service (timedatectl, chronyc tracking)",
        ),
    }
}

/// To the second.
fn shown(time: UnixMillis) -> String {
    time::rfc3339(time.0.div_euclid(1000) * 1000)
}

/// When a file of the store was written last, by its own time or, for messages, by the day in its name.
fn newest_write(data: &Path) -> Option<UnixMillis> {
    let is_store =
        |name: &str| ["registry.db", "log.db", "audit.db"].iter().any(|part| name.starts_with(part));
    let at_top = files(data).into_iter().filter(|(name, _)| is_store(name));
    let messages = files(&data.join("messages")).into_iter().filter(|(name, _)| name.contains(".db"));
    let times = at_top.chain(messages).flat_map(|(name, written)| [written, begin_of_day(&name)]);
    times.flatten().max().map(UnixMillis)
}

/// Files of a folder with the time of their last write, ms since 1970.
fn files(folder: &Path) -> Vec<(String, Option<i64>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let written = |entry: &fs::DirEntry| {
        let since = entry.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    };
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), written(&entry))).collect()
}

/// The begin of the day of `2026-11-30.db`; `None`: the name has no day.
fn begin_of_day(name: &str) -> Option<i64> {
    let day = name.get(..10)?;
    time::parse(day).ok()
}

fn judge_store(now: UnixMillis, newest: Option<UnixMillis>) -> Finding {
    let check = "storeClock";
    let Some(newest) = newest else { return Finding::well(check, "nothing is stored yet") };
    if now.0.saturating_add(BEHIND_MS_MAX) >= newest.0 {
        let detail = format!("the clock is not behind the store, whose newest file is of {}", shown(newest));
        return Finding::well(check, detail);
    }
    let detail = format!("the clock shows {}, and the store was written to at {}", shown(now), shown(newest));
    Finding::act(check, detail, "set the clock; where it was ahead then, see docs/operating.md, Clock")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::{super::State, *};

    #[test]
    fn a_clock_that_nobody_keeps_is_named() {
        let now = UnixMillis(FIRST_MS);
        assert_eq!(judge(now, Synchronised::Yes).state, State::Well);
        assert_eq!(judge(now, Synchronised::No).state, State::Watch);
        assert_eq!(judge(now, Synchronised::Unknown).state, State::Watch);
        let unset = judge(UnixMillis(1_000), Synchronised::Yes);
        assert!(unset.state == State::Act && unset.detail.contains("1970-01-01"), "{unset:?}");
    }

    #[test]
    fn a_clock_behind_the_store_is_named_and_a_minute_is_waited_for() {
        let now = UnixMillis(FIRST_MS);
        assert_eq!(judge_store(now, None).state, State::Well);
        assert_eq!(judge_store(now, Some(UnixMillis(FIRST_MS + BEHIND_MS_MAX))).state, State::Well);
        let behind = judge_store(now, Some(UnixMillis(FIRST_MS + BEHIND_MS_MAX + 1)));
        assert!(behind.state == State::Act && behind.detail.contains("2026-01-01T00:01:00"), "{behind:?}");
    }

    #[test]
    fn the_newest_write_is_a_files_time_or_the_day_in_its_name() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(newest_write(data.path()), None);
        let at = |ms: u64| UNIX_EPOCH + Duration::from_millis(ms);
        let write = |name: &str, time: SystemTime| {
            let file = fs::File::create(data.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        };
        fs::create_dir(data.path().join("messages")).unwrap();
        write("other.txt", at(9_000_000));
        write("registry.db-wal", at(5_000));
        assert_eq!(newest_write(data.path()), Some(UnixMillis(5_000)));
        write("messages/2026-01-01.short.db", at(1_000));
        assert_eq!(newest_write(data.path()), Some(UnixMillis(FIRST_MS)));
    }

    #[test]
    fn a_program_that_hangs_is_not_waited_for() {
        let spawn = |program: &str, argument: &str| {
            Command::new(program).arg(argument).stdout(Stdio::piped()).spawn().unwrap()
        };
        assert_eq!(answer_in_time(spawn("echo", "yes")).as_deref(), Some("yes\n"));
        let began = Instant::now();
        assert_eq!(answer_in_time(spawn("sleep", "60")), None);
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
