//! `audit`: what operators changed, exported and verified, beside a server and without one.

use std::{fs, path::Path};

use narrowgate_testkit::program::Program;
use serde_json::{Value, json};

use crate::harness::{program, program_with_device};

/// Entries, newest first, as their actions and targets.
fn listed(program: &Program, more: &[&str]) -> Vec<String> {
    let list = program.json(&[&["audit", "list"], more].concat());
    let text = |entry: &Value, field: &str| entry[field].as_str().expect("a text").to_owned();
    let entries = list.as_array().expect("a list").iter();
    entries.map(|entry| format!("{} {}", text(entry, "action"), text(entry, "target"))).collect()
}

/// Exports into a new file.
fn export(program: &Program, name: &str) -> (String, Value) {
    let file = program.file(name, "");
    fs::remove_file(&file).expect("it is there");
    let ends = program.json(&["audit", "export", &file]);
    (file, ends)
}

#[test]
fn deeds_are_listed_exported_and_verified_beside_a_server_and_without_one() {
    let program = program();
    program.run(&["audit", "list"]).failed(1, &["there is no store"]);
    let program = program_with_device();
    let secret = program.json(&["device", "secret", "dk-1"])["deviceSecret"].clone();
    let device = "/products/pk/devices/dk-1";
    let made = [
        format!("devices.secret.read {device}/secret"),
        format!("devices.create {device}"),
        "products.create /products/pk".to_owned(),
    ];
    assert_eq!(listed(&program, &[]), made);
    let (file, ends) = export(&program, "first.ndjson");
    let text = fs::read_to_string(&file).expect("it is text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), ends["count"].as_u64(), ends["pruned"].as_u64()), (4, Some(3), Some(0)));
    assert!(!text.contains(secret.as_str().expect("a text")), "{text}");
    let first: Value = serde_json::from_str(lines[0]).expect("it is JSON");
    assert_eq!(
        (&first["user"], &first["outcome"], &first["status"]),
        (&json!("owner"), &json!("done"), &json!(201))
    );
    let last: Value = serde_json::from_str(lines[2]).expect("it is JSON");
    let written: Value = serde_json::from_str(lines[3]).expect("it is JSON");
    assert_eq!((&last["hash"], written), (&ends["head"], ends.clone()));
    program.run(&["audit", "export", &file]).failed(1, &["cannot write the export", "does not exist yet"]);

    let server = program.serve();
    program.json(&["device", "disable", "dk-1"]);
    program.run(&["device", "disable", "nothing"]).failed(1, &["there is no device"]);
    assert_eq!(
        listed(&program, &["--limit", "2"]),
        ["devices.disable /devices/nothing".to_owned(), format!("devices.disable {device}")]
    );
    assert_eq!(listed(&program, &["--action", "devices.secret"]), made[..1]);
    assert_eq!(listed(&program, &["--target", device, "--actor", "owner", "--all"]).len(), 3);
    let failed = &program.json(&["audit", "list", "--limit", "1"])[0];
    assert_eq!(
        (&failed["outcome"], &failed["code"], failed["requestId"].is_string()),
        (&json!("failed"), &json!("missing"), true)
    );
    let verified = program.json(&["audit", "verify"]);
    // With the link of the start.
    assert_eq!((verified["count"].as_u64(), verified["entries"].as_u64()), (Some(6), Some(6)));
    let head = ends["head"].as_str().expect("a text");
    program.json(&["audit", "verify", "--head", head, "--count", "3"]);
    let (second, _) = export(&program, "second.ndjson");
    drop(server);
    assert_eq!(program.json(&["audit", "verify"]), verified);
    assert_eq!(program.json(&["audit", "verify", &second]), verified);
    program.json(&["audit", "verify", &second, "--head", head, "--count", "3"]);
}

#[test]
fn what_the_demonstration_makes_and_what_is_exported_is_in_the_log_and_a_list_is_not() {
    let program = program();
    let mut demo = program.serve_with(&["demo", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let product = program.json(&["product", "list"])[0]["productKey"].as_str().expect("a key").to_owned();
    program.text(&["device", "export"]);
    program.text(&["device", "list"]);
    let path = |rest: &str| format!("/products/{product}{rest}");
    let first = [
        "devices.export /devices".to_owned(),
        "users.create /users/admin".to_owned(),
        format!("products.secret.read {}", path("/secret")),
        format!("devices.secret.read {}", path("/devices/demo-meter/secret")),
        format!("devices.create {}", path("/devices/demo-factory")),
        format!("devices.create {}", path("/devices/demo-meter")),
        format!("products.create {}", path("")),
    ];
    assert_eq!(listed(&program, &[]), first);
    demo.stop();
    // The second one makes nothing.
    let _demo = program.serve_with(&["demo", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    // Nor does it print another link, where no terminal shows it.
    let second = [first[2].clone(), first[3].clone(), first[0].clone()];
    assert_eq!(listed(&program, &["--limit", "3"]), second);
    let entries = program.json(&["audit", "list", "--all"]);
    let entries = entries.as_array().expect("a list");
    let is_owners = |entry: &Value| entry["user"] == "owner" && entry["outcome"] == "done";
    assert!(entries.iter().all(is_owners), "{entries:?}");
    program.json(&["audit", "verify"]);
}

#[test]
fn what_was_tampered_with_is_named_with_exit_code_1() {
    let program = program_with_device();
    program.json(&["device", "disable", "dk-1"]);
    let (file, ends) = export(&program, "whole.ndjson");
    let text = fs::read_to_string(&file).expect("it is text");
    let lines: Vec<&str> = text.lines().collect();
    let broken = |name: &str, lines: &[&str], entry: &str| {
        let file = program.file(name, &(lines.join("\n") + "\n"));
        let ran = program.run(&["audit", "verify", &file]);
        ran.failed(1, &["the audit log is broken", &format!("entry   {entry}\n")]);
    };
    let first: Value = serde_json::from_str(lines[0]).expect("it is JSON");
    let changed = lines[1].replace("devices.create", "devices.delete");
    broken("changed", &[lines[0], &changed, lines[2], lines[3]], "2");
    broken("removed", &[lines[0], lines[2], lines[3]], "2");
    broken("reordered", &[lines[1], lines[0], lines[2], lines[3]], "1");
    broken("shortened", &[lines[0], lines[1], lines[3]], "3");
    // Entries that fit, and that the last line does not know of.
    let earlier =
        json!({"head": first["hash"], "count": 1, "pruned": 0, "anchor": "0".repeat(64)}).to_string();
    broken("lengthened", &[lines[0], lines[1], &earlier], "2");
    let cut = program.file("cut", &(lines[..3].join("\n") + "\n"));
    program.run(&["audit", "verify", &cut]).failed(1, &["its last line", "cut short"]);
    // An older export is whole by itself, and does not reach the head that was kept.
    let (head, other) = (ends["head"].as_str().expect("a text"), "0".repeat(64));
    program.run(&["audit", "verify", &file, "--head", head, "--count", "4"]).failed(1, &["entry   4\n"]);
    program.run(&["audit", "verify", "--head", &other, "--count", "3"]).failed(1, &["entry   3\n"]);
    program.run(&["audit", "verify", "--head", head]).failed(64, &["--count"]);
    program.run(&["audit", "verify", "--head", "x", "--count", "3"]).failed(64, &["64 hexadecimal digits"]);
}

/// Writes other bytes of the same length into the files of the log.
fn replace(data: &Path, from: &str, to: &str) {
    let mut found = 0;
    for name in ["audit.db", "audit.db-wal"].map(|name| data.join(name)) {
        let Ok(mut bytes) = fs::read(&name) else { continue };
        for at in 0..bytes.len().saturating_sub(from.len()) {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
                found += 1;
            }
        }
        fs::write(&name, bytes).expect("it is written");
    }
    assert!(found > 0, "{from} is nowhere");
}

#[test]
fn a_server_on_a_broken_log_says_so_and_serves() {
    let program = program_with_device();
    replace(&program.data(), "products.create", "products.update");
    program.run(&["audit", "verify"]).failed(1, &["the audit log is broken", "entry   1\n"]);
    let server = program.serve();
    program.json(&["device", "disable", "dk-1"]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !server.said().contains("the audit log is broken") {
        assert!(std::time::Instant::now() < end, "{}", server.said());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(listed(&program, &["--limit", "1"]), ["devices.disable /products/pk/devices/dk-1"]);
    program.run(&["audit", "verify"]).failed(1, &["entry   1\n"]);
}

#[test]
fn a_log_that_is_put_back_to_an_older_one_is_noticed() {
    let program = program_with_device();
    let file = program.data().join("audit.db");
    let older = fs::read(&file).expect("it is there");
    program.json(&["device", "disable", "dk-1"]);
    fs::write(&file, older).expect("it is written");
    program.run(&["audit", "verify"]).failed(1, &["entry   3\n", "entries before it are missing"]);
    assert_eq!(listed(&program, &["--limit", "1"])[0].split('/').take(3).last(), Some("3"));
    // Who keeps an end behind that knows of it, and is not told for ever.
    program.json(&["device", "enable", "dk-1"]);
    let (_, ends) = export(&program, "after.ndjson");
    let (head, count) = (ends["head"].as_str().expect("a text"), ends["count"].to_string());
    let ran = program.run(&["audit", "verify", "--head", head, "--count", &count]);
    assert!(ran.code == 0 && ran.stderr.contains("entries before it are missing"), "{ran:?}");
    program.run(&["audit", "verify"]).failed(1, &["entry   3\n"]);
}

#[test]
fn an_older_log_is_noticed_without_its_head_by_what_the_registry_knows() {
    let program = program_with_device();
    let data = program.data();
    let (file, head) = (data.join("audit.db"), data.join("audit.head"));
    let older = fs::read(&file).expect("it is there");
    program.json(&["device", "disable", "dk-1"]);
    fs::write(&file, older).expect("it is written");
    fs::remove_file(&head).expect("it is there");
    assert_eq!(listed(&program, &["--limit", "1"])[0].split('/').take(3).last(), Some("3"));
    program.run(&["audit", "verify"]).failed(1, &["entry   3\n", "entries before it are missing"]);
    // The log of another store says that it is none of this one.
    let other = program_with_device();
    fs::copy(&file, other.data().join("audit.db")).expect("it is copied");
    fs::copy(&head, other.data().join("audit.head")).expect("it is copied");
    let actions: Vec<_> = listed(&other, &["--limit", "2"])
        .iter()
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(actions, ["audit.foreign", "audit.cut"]);
}

#[test]
fn a_log_that_is_no_database_does_not_keep_the_rest_from_being_backed_up() {
    let program = program_with_device();
    let file = program.data().join("audit.db");
    fs::write(&file, "not a database".repeat(100)).expect("it is written");
    for rest in ["-wal", "-shm"] {
        // Ignored: a store that was closed has none.
        let _ = fs::remove_file(program.data().join(format!("audit.db{rest}")));
    }
    let there = program.file("backup", "");
    fs::remove_file(&there).expect("it is there");
    let ran = program.run(&["backup", &there, "-o", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for word in ["the audit log is damaged", "move audit.db away"] {
        assert!(ran.stderr.contains(word), "{ran:?}");
    }
    let other = crate::harness::program();
    other.json(&["restore", &there]);
    assert_eq!(other.json(&["device", "show", "dk-1"])["deviceKey"], "dk-1");
    other.json(&["device", "disable", "dk-1"]);
    let refused = program.run(&["device", "disable", "dk-1"]);
    refused.failed(1, &["cannot write the audit log", "move audit.db away and keep it"]);
}

#[test]
fn a_restore_is_an_entry_and_puts_the_end_of_another_log_away() {
    let program = program_with_device();
    let there = program.file("backup", "");
    fs::remove_file(&there).expect("it is there");
    program.json(&["backup", &there]);
    let other = program_with_device();
    (0..9).for_each(|_| drop(other.json(&["device", "disable", "dk-1"])));
    let data = other.data();
    // All but the end of the log that was there.
    let is_kept = |name: &str| name == "audit.head";
    for name in crate::harness::names(&data).iter().filter(|name| !is_kept(name)) {
        let path = data.join(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it is removed");
    }
    other.json(&["restore", &there]);
    let entry = &other.json(&["audit", "list", "--limit", "1"])[0];
    assert_eq!(
        (&entry["action"], &entry["user"], &entry["outcome"]),
        (&json!("store.restore"), &json!("owner"), &json!("done"))
    );
    assert_eq!(entry["detail"]["log"], "of the backup");
    assert_eq!(entry["detail"]["backupOf"].as_str().map(str::is_empty), Some(false), "{entry}");
    other.json(&["device", "disable", "dk-1"]);
    other.json(&["audit", "verify"]);
    assert_eq!(other.json(&["audit", "list", "--limit", "1"])[0]["seq"], 4);
}

#[test]
fn a_backup_has_the_log_and_a_restored_one_goes_on() {
    let program = program_with_device();
    let server = program.serve();
    program.json(&["device", "disable", "dk-1"]);
    let there = program.file("backup", "");
    fs::remove_file(&there).expect("it is there");
    program.json(&["backup", &there]);
    drop(server);
    let other = crate::harness::program();
    other.json(&["restore", &there]);
    let verified = other.json(&["audit", "verify"]);
    assert!(verified["count"].as_u64() >= Some(3), "{verified}");
    other.json(&["device", "enable", "dk-1"]);
    assert_eq!(listed(&other, &["--limit", "1"]), ["devices.enable /products/pk/devices/dk-1"]);
    other.json(&["audit", "verify"]);
    let ran = crate::harness::program().run(&["restore", &there]);
    assert!(!ran.stderr.contains("warning: the audit log"), "{ran:?}");
}

#[test]
fn a_deed_that_cannot_be_noted_is_not_done() {
    let program = program_with_device();
    fs::write(program.data().join("audit.db"), "not a database".repeat(100)).expect("it is written");
    let server = program.serve();
    for arguments in [&["device", "disable", "dk-1"][..], &["device", "secret", "dk-1"]] {
        program.run(arguments).failed(1, &["cannot write the audit log", "not a database"]);
    }
    assert_eq!(program.json(&["device", "show", "dk-1"])["enabled"], true);
    // Moved away, it is begun anew, without a restart; that entries are missing is its first one.
    fs::remove_file(program.data().join("audit.db")).expect("it is there");
    program.json(&["device", "disable", "dk-1"]);
    let entries = listed(&program, &[]);
    assert_eq!(entries[0], "devices.disable /products/pk/devices/dk-1");
    assert!(entries[1].starts_with("audit.cut /audit/2/"), "{entries:?}");
    drop(server);
}
