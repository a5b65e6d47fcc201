//! `device delete --purge`: what a device sent is gone, from what can be read and from every file.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    ids::DeviceName,
    ports::{Journal as _, Registry as _},
    testing::{
        block_on,
        store::{
            events::event,
            fixtures::{append, at, report},
        },
    },
};
use narrowgate_testkit::program::{Program, Ran};
use serde_json::json;

use crate::harness::program_with_device;

/// What the device says that is purged.
const SAID: &str = "canary-of-cellar-3";
const REPORTS: i64 = 700;

/// Two devices with reports and an event each, of two days.
fn filled() -> Program {
    let program = program_with_device();
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-2"]);
    fill(&program, "dk-1", SAID, REPORTS);
    fill(&program, "dk-2", "cellar-4", REPORTS);
    program
}

fn fill(program: &Program, device_key: &str, said: &str, reports: i64) {
    let store = SqliteStore::open(SqliteOptions::new(program.data())).unwrap();
    let name = DeviceName { product_key: "pk".into(), device_key: device_key.into() };
    let id = block_on(store.device(&name)).unwrap().unwrap().id;
    append(&store, (0..reports).map(|n| report(id, at(n), &format!(r#"{{"n":"{said}-{n}"}}"#))).collect());
    append(&store, vec![event(id, at(90_000), "warn", &format!(r#"{{"what":"{said}"}}"#))]);
    block_on(store.close()).unwrap();
}

fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if path.is_file()
            && fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

fn sent(program: &Program, device: &str) -> [usize; 3] {
    let history = ["device", "points", device, "--from", "2025-12-31T00:00:00Z", "--all"];
    let [latest, events] = ["points", "events"].map(|what| program.json(&["device", what, device]));
    [program.json(&history), latest, events].map(|list| list.as_array().unwrap().len())
}

#[test]
fn a_purged_device_leaves_nothing_in_any_file_with_and_without_a_server() {
    for serving in [false, true] {
        let program = filled();
        let _server = serving.then(|| program.serve());
        program.json(&["device", "attributes", "dk-1", "--set", &format!(r#"{{"place":"{SAID}"}}"#)]);
        assert_eq!(sent(&program, "dk-1"), [REPORTS as usize, 1, 1]);
        assert!(files_with(&program.data(), SAID).len() >= 2);
        let purged = program.json(&["device", "delete", "dk-1", "--purge", "--yes"]);
        assert_eq!(
            (&purged["deviceKey"], &purged["messagesRemoved"], &purged["done"], &purged["enabled"]),
            (&json!("dk-1"), &json!(REPORTS + 1), &json!(true), &json!(true)),
            "the device is shown as it was"
        );
        assert_eq!(files_with(&program.data(), SAID), [] as [String; 0], "with a server: {serving}");
        program.run(&["device", "show", "dk-1"]).failed(1, &["there is no device dk-1"]);
        let again = program.run(&["device", "delete", "dk-1", "--purge", "--yes"]);
        again.failed(1, &["cannot delete the device with what it sent", "there is no device dk-1"]);
        program.json(&["device", "create", "--product", "pk", "--device-key", "dk-1"]);
        assert_eq!(sent(&program, "dk-1"), [0; 3], "under its key there is nothing either");
        assert_eq!(sent(&program, "dk-2"), [REPORTS as usize, 1, 1]);
    }
}

#[test]
fn without_purge_what_it_sent_stays_in_its_files_and_is_not_read() {
    let program = filled();
    let deleted = program.json(&["device", "delete", "dk-1", "--yes"]);
    assert_eq!((&deleted["deviceKey"], &deleted["messagesRemoved"]), (&json!("dk-1"), &json!(null)));
    assert!(!files_with(&program.data(), SAID).is_empty());
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-1"]);
    assert_eq!(sent(&program, "dk-1"), [0; 3]);
}

#[test]
fn a_purge_is_asked_for_on_a_terminal_and_says_what_goes() {
    let program = filled();
    let refused = program.run(&["device", "delete", "dk-1", "--purge"]);
    refused.failed(64, &["nothing was deleted", "--yes"]);
    // script(1) runs a command on a terminal of its own; what the command says comes out there.
    let answer = |input: &str| -> Ran {
        let command = program.command(&["device", "delete", "dk-1", "--purge"]);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let mut script = Command::new("script");
        script.args(["-qec", &line.join(" "), "/dev/null"]);
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // It may end without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    };
    let no = answer("n\n");
    assert_eq!(no.code, 1);
    assert!(no.stdout.contains("delete pk/dk-1 with its secret and log, and all that it sent?"), "{no:?}");
    assert_eq!(sent(&program, "dk-1"), [REPORTS as usize, 1, 1]);
    assert_eq!(answer("y\n").code, 0);
    assert_eq!(files_with(&program.data(), SAID), [] as [String; 0]);
}

#[test]
fn a_long_purge_says_how_far_it_is_and_adds_up_its_parts() {
    let program = program_with_device();
    // One request ends after some 20,000, or after two seconds.
    let reports = 20_400;
    fill(&program, "dk-1", SAID, reports);
    let _server = program.serve();
    let ran = program.run(&["device", "delete", "dk-1", "--purge", "--yes", "-o", "json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let said: Vec<&str> = ran.stderr.lines().collect();
    let is_progress = |line: &&str| line.ends_with(" messages are removed so far");
    assert!(!said.is_empty() && said.iter().all(is_progress), "{said:?}");
    let purged = ran.json();
    assert_eq!((&purged["messagesRemoved"], &purged["done"]), (&json!(reports + 1), &json!(true)));
    assert_eq!(purged["enabled"], json!(true), "as it was before the first of them");
    assert_eq!(files_with(&program.data(), SAID), [] as [String; 0]);
}
