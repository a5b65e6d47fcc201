//! The server's wall clock is wrong, and right again (206), while devices with right clocks report; and the
//! whole process stands still.
//!
//! libfaketime, of Debian's package `faketime`, plays the clock: it reads from a file by how many seconds it
//! is off. Where it is missing the tests of the clock say so on the terminal and try nothing.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    client::{Client, Protection},
    coap,
    harness::{PRODUCT_KEY, Server},
};

const DAY_S: i64 = 86_400;
/// How far a time in the store may be from the one that the test knows.
const NEAR_MS: i64 = 60_000;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}

/// The library, or a word to whoever runs the tests: not by `eprintln`, which is shown only on a failure.
fn library() -> Option<PathBuf> {
    let found = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut found = found.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let library = found.find(|library| library.exists());
    if library.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "\nNOT TRIED: wrong clocks of a running server, because libfaketime is missing; \
             apt-get install faketime\n"
        );
    }
    library
}

/// A wall clock that is off by so many seconds.
struct Clock {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl Clock {
    fn new() -> Option<Self> {
        let library = library()?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let clock = Self { folder, library };
        clock.set(0);
        Some(clock)
    }

    fn set(&self, seconds: i64) {
        let draft = self.folder.path().join("draft");
        fs::write(&draft, format!("{seconds:+}\n")).expect("there is room");
        fs::rename(draft, self.folder.path().join("offset")).expect("it is the same folder");
    }

    fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.folder.path().join("offset").display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

/// A report is stored, with the time of the device's right clock and without one.
#[track_caller]
fn assert_stored(client: &mut Client, value: u32) {
    for time in [format!(r#","time":{}"#, now_ms()), String::new()] {
        let body = format!(r#"{{"id":"1","params":{{"measurepoints":{{"temp":{value}}}{time}}}}}"#);
        let mid = client.next_mid();
        let answer = client.exchange(&coap::post(mid, &client.device.report_path(), &body));
        assert_eq!(coap::code_of(&answer, mid), 0x44, "{answer:02x?}");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains(r#""code":200"#), "{text}");
    }
}

/// The latest value is this one, and it and the device's last sign of life are of now.
#[track_caller]
fn assert_latest(server: &Server, key: &str, value: u32) {
    let points: Value = server.json(&["device", "points", PRODUCT_KEY, key]);
    let text = points.to_string();
    assert!(text.contains(&format!(r#""value":{value}"#)), "{text}");
    let device = server.json(&["device", "show", PRODUCT_KEY, key]);
    let times = [&device["lastSeenTime"], find(&points, "time")];
    for time in times {
        let time = time.as_i64().unwrap_or_else(|| panic!("{points} {device}"));
        assert!((time - now_ms()).abs() < NEAR_MS, "{time}: {points} {device}");
    }
}

/// The first member of this name.
fn find<'a>(value: &'a Value, name: &str) -> &'a Value {
    fn inside<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
        match value {
            Value::Object(members) => {
                members.get(name).or_else(|| members.values().find_map(|member| inside(member, name)))
            }
            Value::Array(items) => items.iter().find_map(|item| inside(item, name)),
            _ => None,
        }
    }
    inside(value, name).unwrap_or(&Value::Null)
}

#[test]
fn attack_206_a_running_server_refuses_nothing_and_freezes_nothing_for_its_clock() {
    let Some(clock) = Clock::new() else { return };
    let server = Server::start_in(&clock.environment());
    let mut client = server.connect(Protection::Ccm8);
    let key = client.device.key.clone();
    assert_stored(&mut client, 1);
    assert_latest(&server, &key, 1);
    let in_1970 = 1_000 - now_ms() / 1000;
    for (value, seconds) in (2..).zip([in_1970, 12 * 365 * DAY_S, 3 * DAY_S, 0]) {
        clock.set(seconds);
        assert_stored(&mut client, value);
        assert_latest(&server, &key, value);
        let ready = server.get("/health/ready");
        let is_wrong = seconds != 0;
        assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        assert_eq!(ready.contains("the server's clock is"), is_wrong, "{seconds} s: {ready}");
        let direction = if seconds < 0 { "behind" } else { "ahead" };
        let metric = format!(r#"narrowgate_clock_wrong_seconds{{direction="{direction}"}}"#);
        assert_eq!(server.metric(&metric) > 0, is_wrong, "{seconds} s");
    }
    // A clock that has gone on for less than ten minutes, ever, goes back: the earlier time is taken.
    clock.set(-2 * DAY_S);
    assert_stored(&mut client, 6);
    let ready = server.get("/health/ready");
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("behind what it showed before"), "{ready}");
    let said = server.said();
    for words in ["the server's clock is behind", "has leapt ahead", "the server's clock is right again"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn attack_206_a_start_with_a_wrong_clock_leaves_nothing_that_a_right_one_has_to_wait_for() {
    let Some(clock) = Clock::new() else { return };
    let mut server = Server::start_in(&clock.environment());
    let mut client = server.connect(Protection::Ccm8);
    assert_stored(&mut client, 1);
    let device = client.device;
    let in_1970 = 1_000 - now_ms() / 1000;
    for (value, seconds) in (2..).zip([12 * 365 * DAY_S, 0, 3 * DAY_S, 0, in_1970, -2 * DAY_S, 0]) {
        clock.set(seconds);
        server.restart(&clock.environment());
        let mut client = server.connect_again(device.clone(), Protection::Ccm8);
        assert_stored(&mut client, value);
        if seconds <= 0 {
            assert_latest(&server, &device.key, value);
        }
    }
}

/// Its datagram waits in the socket while its lifetime ends.
#[test]
fn a_server_that_stood_still_reads_what_waits_before_it_takes_anybody_for_silent() {
    let server = Server::start();
    let mut client = server.client(Protection::Ccm8);
    client.identity = format!("{PRODUCT_KEY},{},2,30", client.device.key).into_bytes();
    client.connect();
    let heard = std::time::Instant::now();
    thread::sleep(Duration::from_secs(26));
    server.signal("STOP");
    let mid = client.next_mid();
    client.say(&coap::report(mid, &client.device.report_path(), 7));
    thread::sleep(Duration::from_secs(34).saturating_sub(heard.elapsed()));
    server.signal("CONT");
    let (_, mut answer) = client.hear();
    // On a busy machine the answer follows its acknowledgement.
    if answer[1] == 0 {
        (_, answer) = client.hear();
    }
    assert_eq!(answer[1], 0x44, "{answer:02x?}");
    thread::sleep(Duration::from_secs(2));
    let log = server.json(&["device", "log", PRODUCT_KEY, &client.device.key]).to_string();
    assert!(!log.contains("silent for"), "{log}");
    let device = server.json(&["device", "show", PRODUCT_KEY, &client.device.key]);
    assert_eq!(device["state"], "online", "{device}");
}
