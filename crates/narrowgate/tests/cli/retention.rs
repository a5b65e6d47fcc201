//! Products choose how long what their devices send is kept.

use std::fs;

use narrowgate_testkit::program::Program;
use serde_json::json;

use crate::harness::program_with_device;

/// With a class beside the standard one.
fn configured() -> Program {
    let program = program_with_device();
    let text = "[store]\nretention = \"400d\"\nretention_classes = [\"short=30d\", \"long=off\"]\n";
    fs::write(program.data().join("narrowgate.toml"), text).unwrap();
    program
}

#[test]
fn a_product_names_its_class_and_shows_it() {
    let program = configured();
    for serving in [false, true] {
        let _server = serving.then(|| program.serve());
        assert_eq!(program.json(&["product", "show", "pk"])["retention"], json!("standard"));
        let updated = program.json(&["product", "update", "pk", "--retention", "short"]);
        assert_eq!(updated["retention"], json!("short"));
        assert_eq!(program.json(&["product", "show", "pk"])["retention"], json!("short"));
        let renamed = program.json(&["product", "update", "pk", "--name", "others"]);
        assert_eq!(renamed["retention"], json!("short"), "another change leaves it");
        let key = if serving { "served" } else { "alone" };
        program.json(&["product", "create", "more", "--product-key", key, "--retention", "long"]);
        let list = program.json(&["product", "list"]);
        let of_new = list.as_array().unwrap().iter().find(|row| row["productKey"] == key).unwrap();
        assert_eq!(of_new["retention"], json!("long"));
        assert!(program.text(&["product", "list"]).contains("RETENTION"));
        program
            .run(&["product", "update", "pk", "--retention", "week"])
            .failed(64, &["retention is \"week\"", "store.retention_classes: standard, short, long"]);
        program.json(&["product", "update", "pk", "--retention", "standard"]);
    }
}

#[test]
fn classes_that_are_none_are_refused_with_what_is_right() {
    let program = program_with_device();
    for (classes, said) in [
        ("short", "such as short=30d"),
        ("Short=30d", "NAME a letter and up to 7 letters or digits"),
        ("short=0d", "whole days from 1d to 36500d"),
        ("standard=30d", "is store.retention"),
        ("a=1d,b=2d,c=3d,d=4d", "at most 4"),
    ] {
        let mut command = program.command(&["config"]);
        let ran = command.env("NARROWGATE_STORE_RETENTION_CLASSES", classes).output().unwrap();
        let error = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(78), "{classes}: {error}");
        assert!(error.contains(said), "{classes}: {error}");
    }
    let shown = program.json(&["product", "show", "pk"]);
    assert_eq!(shown["retention"], json!("standard"), "without a configuration there is one class");
}

#[test]
fn a_start_says_what_becomes_of_a_class_that_is_not_configured_any_more() {
    let program = configured();
    program.json(&["product", "update", "pk", "--retention", "long"]);
    assert!(!program.serve().said().contains("class"));
    fs::write(program.data().join("narrowgate.toml"), "[store]\nretention = \"7d\"\n").unwrap();
    let server = program.serve();
    let said = server.said();
    for words in ["class=long", "is kept as long as the class standard"] {
        assert!(said.contains(words), "{said}");
    }
    drop(server);
    // No product names it, and no file is of it.
    program.json(&["product", "update", "pk", "--retention", "standard"]);
    assert!(!program.serve().said().contains("class=long"));
}
