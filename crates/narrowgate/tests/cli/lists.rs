//! Lists that go on: what is said where more exists, cursors, and all of it.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    ids::{DeviceId, DeviceName, UnixMillis},
    ports::{Journal as _, Registry as _, Write},
    testing::{
        block_on,
        store::fixtures::{append, refusal, report_arriving, shown},
    },
};
use serde_json::Value;

use narrowgate_testkit::program::Program;

use crate::harness::program_with_device;

/// 2026-01-01T00:00:00Z
const T0: i64 = 1_767_225_600_000;
const DAY: i64 = 86_400_000;

/// A device with `values` values over three days (thousands at the same time), and entries of both kinds in
/// its log.
fn filled(values: i64, entries: i64) -> Program {
    let program = program_with_device();
    let store = SqliteStore::open(SqliteOptions::new(program.data())).unwrap();
    let name = DeviceName { product_key: "pk".into(), device_key: "dk-1".into() };
    let id = block_on(store.device(&name)).unwrap().unwrap().id;
    for first in (0..values).step_by(2000) {
        append(&store, (first..values.min(first + 2000)).map(|n| value(id, n, values)).collect());
    }
    let entry = |n: i64| match n % 3 {
        0 => Write::Log(refusal(Some(id), None, UnixMillis(T0 + n / 7))),
        1 => Write::Log(refusal(None, Some("x,y,2,300"), UnixMillis(T0 + n / 7))),
        _ => Write::Log(shown(id, UnixMillis(T0 + n / 7))),
    };
    append(&store, (0..entries).map(entry).collect());
    block_on(store.close()).unwrap();
    program
}

fn value(id: DeviceId, n: i64, values: i64) -> Write {
    let (time, arrival) = (UnixMillis(T0 + n / 3000), UnixMillis(T0 + n * 3 * DAY / values));
    report_arriving(id, time, arrival, &format!(r#"{{"n":{n}}}"#))
}

/// Follows what standard error says until it says nothing more.
fn followed(program: &Program, list: &[&str]) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = None::<String>;
    loop {
        let mut arguments = [list, &["-o", "json"]].concat();
        arguments.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor.as_str()]));
        let ran = program.run(&arguments);
        let document = ran.json();
        let page = if document.is_array() { &document } else { &document["devices"] };
        rows.extend(page.as_array().unwrap().iter().cloned());
        let said = ran.stderr.strip_prefix("more with --cursor ");
        cursor = said.and_then(|said| said.split(' ').next()).map(str::to_owned);
        if cursor.is_none() {
            assert_eq!(ran.stderr, "");
            return rows;
        }
        assert!(ran.stderr.ends_with(" (or all of it with --all)\n"), "{ran:?}");
    }
}

#[test]
fn every_list_says_that_it_goes_on_and_how_and_its_pages_are_the_whole() {
    let program = filled(500, 300);
    for number in 2..=30 {
        program.json(&["device", "create", "--product", "pk", "--device-key", &format!("dk-{number}")]);
    }
    let points: String = (0..30).map(|n| format!(r#""p{n:02}":{n},"#)).collect();
    let store = SqliteStore::open(SqliteOptions::new(program.data())).unwrap();
    let name = DeviceName { product_key: "pk".into(), device_key: "dk-2".into() };
    let id = block_on(store.device(&name)).unwrap().unwrap().id;
    let points = format!("{{{}}}", points.trim_end_matches(','));
    append(&store, vec![report_arriving(id, UnixMillis(T0), UnixMillis(T0), &points)]);
    drop(store);
    for (list, count) in [
        (&["device", "points", "dk-1", "--from", "0"][..], 500),
        (&["device", "points", "dk-2"], 30),
        (&["device", "points", "dk-2", "--from", "0"], 30),
        (&["device", "points", "dk-1", "--from", "0", "--point", "n"], 500),
        (&["device", "log", "dk-1"], 201),
        (&["refused"], 200),
        (&["device", "list"], 30),
        (&["device", "list", "--state", "inactive", "--product", "pk"], 30),
    ] {
        let whole = program.json(&[list, &["--all"]].concat());
        let whole = if whole.is_array() { &whole } else { &whole["devices"] };
        assert_eq!(whole.as_array().unwrap().len(), count, "{list:?}");
        for limit in ["7", "100", &count.to_string()] {
            let paged = followed(&program, &[list, &["--limit", limit]].concat());
            assert_eq!(&Value::from(paged), whole, "{list:?} in pages of {limit}");
        }
        // Tables say it too, and `--all` says nothing.
        let table = program.run(&[list, &["--limit", "3"]].concat());
        assert!(table.stderr.starts_with("more with --cursor "), "{table:?}");
        let table = program.run(&[list, &["--all"]].concat());
        assert_eq!((table.stderr.as_str(), table.stdout.lines().count()), ("", count + 1), "{list:?}");
    }
    let page = program.json(&["device", "list", "--limit", "30"]);
    assert_eq!(page["nextCursor"], Value::Null);
    let page = program.json(&["device", "list", "--all"]);
    assert_eq!(page["nextCursor"], Value::Null);
}

#[test]
fn a_history_of_100_000_values_is_streamed_as_one_document_in_bounded_memory() {
    const VALUES: i64 = 100_000;
    let program = filled(VALUES, 0);
    for serving in [false, true] {
        let server = serving.then(|| program.serve());
        let arguments = ["device", "points", "dk-1", "--from", "0", "--all", "-o", "json"];
        let mut child = program.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        // It writes while it reads: the first values are here long before the last.
        let mut start = vec![0; 65_536];
        std::io::Read::read_exact(&mut reader, &mut start).unwrap();
        let peak = peak_kib(child.id());
        reader.read_line(&mut text).unwrap();
        let text = String::from_utf8(start).unwrap() + &text;
        assert!(child.wait().unwrap().success());
        let values: Vec<Value> = serde_json::from_str(&text).unwrap();
        let mut numbers: Vec<i64> = values.iter().map(|value| value["value"].as_i64().unwrap()).collect();
        let times: Vec<i64> = values.iter().map(|value| value["time"].as_i64().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b));
        numbers.sort_unstable();
        assert_eq!(numbers, Vec::from_iter(0..VALUES), "each once, serving: {serving}");
        // The document has some 5 MB; as values in memory it would be ten times that.
        assert!(peak < 150_000, "{peak} KiB");
        if let Some(server) = server {
            server.signal("TERM");
            assert_eq!(server.wait().0, 0);
        }
    }
    // Who has read enough may go.
    let arguments = ["device", "points", "dk-1", "--from", "0", "--all"];
    let mut child = program.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success());
}

/// The most memory that a process has had, KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn pages_stand_while_entries_come() {
    let program = filled(0, 300);
    let server = program.serve();
    let whole = program.json(&["device", "log", "dk-1", "--all"]);
    let first = program.run(&["device", "log", "dk-1", "--limit", "10", "-o", "json"]);
    let cursor = first.stderr.split(' ').nth(3).unwrap().to_owned();
    for _ in 0..3 {
        program.json(&["device", "secret", "dk-1"]);
    }
    let rest = program.json(&["device", "log", "dk-1", "--all", "--cursor", &cursor]);
    assert_eq!(rest.as_array().unwrap()[..], whole.as_array().unwrap()[10..]);
    drop(server);
}

#[test]
fn limits_are_in_the_help_and_a_cursor_of_another_list_is_refused() {
    let program = filled(10, 30);
    for (list, max) in [
        (&["device", "list"][..], 1000),
        (&["device", "points", "dk-1"], 10_000),
        (&["device", "log", "dk-1"], 10_000),
        (&["refused"], 10_000),
    ] {
        let help = program.run(&[list, &["--help"]].concat()).stdout;
        assert!(help.contains(&format!("1 to {max}")) && help.contains("--all"), "{help}");
        let beyond = (max + 1).to_string();
        program.run(&[list, &["--limit", &beyond]].concat()).failed(64, &["--limit", &max.to_string()]);
        program.run(&[list, &["--limit", "5", "--all"]].concat()).failed(64, &["--all"]);
        program.run(&[list, &["--cursor", "nonsense"]].concat()).failed(64, &["cursor is not one that"]);
    }
    let of_log = program.run(&["device", "log", "dk-1", "--limit", "3"]).stderr;
    let of_log = of_log.split(' ').nth(3).unwrap();
    program.run(&["refused", "--cursor", of_log]).failed(64, &["cursor is not one that"]);
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-2"]);
    program.run(&["device", "log", "dk-2", "--cursor", of_log]).failed(64, &["cursor is not one that"]);
}
