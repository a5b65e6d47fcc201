//! `backup`, `restore` and `adopt`, without devices.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;

use crate::harness::{names, program, program_with_device};

#[test]
fn a_backup_restores_into_an_empty_directory_and_into_no_other() {
    let program = program_with_device();
    let (there, other) = (program.file("backup", ""), crate::harness::program());
    fs::remove_file(&there).unwrap();
    program.json(&["device", "attributes", "dk-1", "--set", r#"{"size":1.50}"#]);
    program.json(&["device", "tags", "dk-1", "--set", r#"{"site":"north"}"#]);
    let copied = program.json(&["backup", &there]);
    let files = names(there.as_ref());
    assert_eq!(files, ["audit.db", "data.key", "log.db", "manifest.json", "messages", "registry.db"]);
    assert_eq!((copied["files"].as_u64(), copied["batch"].is_u64()), (Some(4), true), "{copied}");
    assert!(copied["bytes"].as_u64() > Some(10_000), "{copied}");
    let key = fs::metadata(format!("{there}/data.key")).unwrap().permissions().mode();
    assert_eq!(key & 0o777, 0o600);
    assert_eq!(fs::metadata(&there).unwrap().permissions().mode() & 0o777, 0o700);

    program.run(&["backup", &there]).failed(1, &["the directory is not empty", "try"]);
    program.run(&["restore", &there]).failed(1, &["has data already: registry.db", "left as it is"]);
    assert_eq!(other.json(&["restore", &there]), copied);
    let shown = |program: &narrowgate_testkit::program::Program| {
        ["show", "secret", "attributes", "tags"].map(|what| program.json(&["device", what, "dk-1"]))
    };
    assert_eq!(shown(&other), shown(&program));
    assert_eq!(shown(&other)[2..], [json!({"size": 1.5}), json!({"site": "north"})]);
    assert!(!names(&other.data()).contains(&"restore.new".to_owned()));
}

#[test]
fn a_backup_beside_a_server_is_the_same() {
    let program = program_with_device();
    let there = program.file("backup", "");
    fs::remove_file(&there).unwrap();
    let server = program.serve();
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-2"]);
    let ran = program.run(&["backup", &there, "-o", "json"]);
    assert!(ran.json()["batch"].as_u64() > Some(1));
    assert!(ran.stderr.contains("data.key is in it: who has this backup can read every secret"), "{ran:?}");
    // The server works on, also where its backup was refused.
    program.run(&["backup", &there]).failed(1, &["not empty"]);
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-3"]);
    program.run(&["restore", &there]).failed(1, &["has data already"]);
    program.run(&["adopt", "--yes"]).failed(1, &["a server runs on them"]);
    server.signal("TERM");
    assert_eq!(server.wait().0, 0);
    let other = crate::harness::program();
    other.json(&["restore", &there]);
    assert_eq!(other.json(&["device", "list"])["devices"].as_array().unwrap().len(), 2);
    let server = other.serve();
    assert!(server.said().contains("\n  registry  1 product, 2 devices\n"), "{}", server.said());
}

#[test]
fn a_backup_without_the_key_needs_it() {
    let program = program_with_device();
    let there = program.file("backup", "");
    fs::remove_file(&there).unwrap();
    let ran = program.run(&["backup", &there, "--without-key", "-o", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(!names(there.as_ref()).contains(&"data.key".to_owned()));
    let other = crate::harness::program();
    other.run(&["restore", &there]).failed(64, &["made without its data key", "--key FILE"]);
    assert!(!other.data().exists());
    let key = program.data().join("data.key").display().to_string();
    other.json(&["restore", &there, "--key", &key]);
    assert_eq!(other.json(&["device", "secret", "dk-1"]), program.json(&["device", "secret", "dk-1"]));
}

#[test]
fn what_is_no_backup_or_no_store_is_said_in_four_parts() {
    let program = program();
    program.run(&["backup", "there"]).failed(1, &["cannot back up the store", "there is no such directory"]);
    assert!(!program.data().exists());
    program.run(&["restore", "there"]).failed(1, &["cannot restore the backup", "its manifest is missing"]);
    program.run(&["adopt"]).failed(1, &["cannot adopt the files", "there is no such directory"]);
    program.run(&["backup"]).failed(64, &["DIR"]);
    let program = program_with_device();
    assert_eq!(program.text(&["adopt"]), "the files belong together; nothing was changed\n");
}
