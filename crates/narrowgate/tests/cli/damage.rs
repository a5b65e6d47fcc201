//! A damaged row: listed as such, deleted, registered anew; nobody else is the worse for it.

use std::fs;

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{
        message::{Message, MessageKind},
        retention::RetentionClass,
    },
    ports::{Journal as _, Write, Written},
    testing::{block_on, store::fixtures::batch},
};
use serde_json::Value;

use narrowgate_testkit::program::Program;

use crate::harness::program;

const SECRET: &str = "0f8c3e71a5d2964b0f8c3e71a5d2964b";

/// Three devices, of which the second has a name that is easily found in the file.
fn fleet() -> Program {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk", "--product-secret", SECRET]);
    for (key, name) in [("dk-1", "one"), ("dk-2", "second-name"), ("dk-3", "three")] {
        let device = ["--device-key", key, "--name", name, "--device-secret", SECRET];
        program.json(&[&["device", "create", "--product", "pk"], &device[..]].concat());
    }
    program
}

/// Flips a bit in the file wherever this text stands.
fn flip(program: &Program, text: &str) {
    let file = program.data().join("registry.db");
    let mut bytes = fs::read(&file).unwrap();
    let places: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|&at| bytes[at..].starts_with(text.as_bytes())).collect();
    assert!(!places.is_empty(), "{text} is not in the file");
    for place in places {
        bytes[place] ^= 0x10;
    }
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_device_is_listed_deleted_and_registered_anew() {
    for serving in [false, true] {
        let program = fleet();
        let intact = program.json(&["device", "list"]);
        flip(&program, "second-name");
        let server = serving.then(|| program.serve());

        let listed = program.run(&["device", "list", "-o", "json"]);
        assert!(
            listed.stderr.starts_with(
                "warning: 1 row is shown as damaged; first: the row of device 2 is not as it was stored"
            ),
            "{listed:?}"
        );
        let listed = listed.json();
        let rows = listed["devices"].as_array().unwrap();
        assert_eq!((&rows[0], &rows[2]), (&intact["devices"][0], &intact["devices"][2]));
        let damaged = &rows[1];
        assert_eq!(
            (&damaged["damaged"], &damaged["state"], &damaged["name"]),
            (&true.into(), &Value::Null, &Value::Null)
        );
        assert_eq!((&damaged["deviceKey"], &damaged["id"]), (&"dk-2".into(), &"id:2".into()));
        let table = program.run(&["device", "list"]).stdout;
        assert!(
            table.lines().nth(2).unwrap().contains("damaged") && !table.contains("econd-name"),
            "{table}"
        );
        assert_eq!(program.run(&["refused"]).code, 0);

        let words =
            ["the row of device 2 is not as it was stored", "device delete", "--device-secret", "backup"];
        program.run(&["device", "show", "pk/dk-2"]).failed(1, &words);
        program.run(&["device", "disable", "dk-2"]).failed(1, &words);
        program.run(&["device", "delete", "dk-2"]).failed(64, &["--yes"]);

        // By its key, its asset id, or its id.
        let asset = damaged["assetId"].as_str().unwrap();
        let name = if serving { asset } else { "id:2" };
        let deleted = program.json(&["device", "delete", name, "--yes"]);
        assert_eq!((&deleted["damaged"], &deleted["deviceKey"]), (&true.into(), &"dk-2".into()));
        let create =
            ["device", "create", "--product", "pk", "--device-key", "dk-2", "--device-secret", SECRET];
        program.json(&create);
        assert_eq!(program.json(&["device", "secret", "dk-2"])["deviceSecret"], SECRET);
        let log = program.json(&["device", "log", "dk-2"]);
        assert_eq!(log[1]["detail"], "registered anew: its damaged row was deleted");
        let listed = program.run(&["device", "list", "-o", "json"]);
        assert_eq!((listed.stderr.as_str(), listed.json()["devices"].as_array().unwrap().len()), ("", 3));
        drop(server);
    }
}

#[test]
fn a_server_starts_with_a_damaged_row_and_names_it() {
    let program = fleet();
    flip(&program, "second-name");
    let server = program.serve();
    server.signal("TERM");
    let said = server.wait().1;
    assert!(said.contains("3 devices; DAMAGED: the row of device 2 is not as it was stored"), "{said}");
}

#[test]
fn a_damaged_key_is_listed_as_it_is_read_and_the_true_one_can_be_registered_again() {
    let program = fleet();
    // In the row and in the index: both say the same wrong thing.
    flip(&program, "dk-2");
    let listed = program.json(&["device", "list"]);
    let damaged = &listed["devices"][1];
    assert_eq!((&damaged["damaged"], &damaged["deviceKey"]), (&true.into(), &"tk-2".into()));
    program.run(&["device", "show", "dk-2"]).failed(1, &["there is no device dk-2"]);
    program.json(&["device", "delete", "pk/tk-2", "--yes"]);
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-2", "--device-secret", SECRET]);
}

#[test]
fn a_damaged_product_is_listed_and_put_right_with_its_devices() {
    let program = fleet();
    program.json(&["product", "create", "others", "--product-key", "pk2"]);
    flip(&program, "meters");
    let server = program.serve();
    let listed = program.run(&["product", "list", "-o", "json"]);
    assert!(listed.stderr.contains("the row of product pk is not as it was stored"), "{listed:?}");
    let listed = listed.json();
    assert_eq!((&listed[0]["damaged"], &listed[0]["productKey"]), (&true.into(), &"pk".into()));
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&Value::Null, &"others".into()));
    program
        .run(&["product", "show", "pk"])
        .failed(1, &["product pk is not as it was stored", "product create"]);
    let devices = program.json(&["device", "list", "--product", "pk"]);
    assert!(devices["devices"].as_array().unwrap().iter().all(|row| row["damaged"] == true), "{devices}");

    let create = ["product", "create", "meters", "--product-key", "pk", "--product-secret", SECRET];
    let created = program.json(&create);
    assert!(created["warnings"].to_string().contains("replaces a damaged row"), "{created}");
    assert_eq!(program.json(&["device", "show", "dk-2"])["name"], "second-name");
    assert_eq!(program.json(&["device", "secret", "dk-2"])["deviceSecret"], SECRET);
    program.run(&create).failed(1, &["exists already"]);
    // In order, so that the file holds it.
    server.signal("TERM");
    server.wait();

    flip(&program, "others");
    program.json(&["product", "delete", "id:2", "--yes"]);
    assert_eq!(program.json(&["product", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn the_status_takes_nothing_damaged_as_true() {
    let program = fleet();
    let intact = program.json(&["status"]);
    assert_eq!(intact["devices"].get("damagedDevices"), None);
    flip(&program, "second-name");
    let status = program.json(&["status"]);
    let counts = |of: &Value| (of["total"].clone(), of["inactive"].clone(), of["damagedDevices"].clone());
    assert_eq!(counts(&status["devices"]), (3.into(), 2.into(), 1.into()));
    assert_eq!(status["products"][0]["name"], "meters");
    flip(&program, "meters");
    let _server = program.serve();
    let status = program.json(&["status"]);
    assert_eq!(counts(&status["devices"]), (3.into(), 0.into(), 3.into()));
    let product = &status["products"][0];
    assert_eq!((&product["damaged"], &product["name"]), (&true.into(), &Value::Null));
    let table = program.run(&["status"]).stdout;
    assert!(table.contains("pk (damaged): 3 (3 damaged)"), "{table}");
}

/// Opens the store in this process, while no server runs, and stores a report of device `id`.
fn report(program: &Program, id: i64, points: &str, time: i64) {
    let store = SqliteStore::open(SqliteOptions::new(program.data())).unwrap();
    let message = Message {
        device: DeviceId(id),
        kind: MessageKind::Points,
        points_json: points.into(),
        time: UnixMillis(time),
        arrival: UnixMillis(time),
        login: None,
        secret_version: 0,
        session: 0,
        retention: RetentionClass::STANDARD,
    };
    let written = block_on(store.append(batch(vec![Write::Message(message)]))).unwrap();
    assert_eq!(written.outcomes, [Written::Done]);
    block_on(store.close()).unwrap();
}

#[test]
fn damaged_latest_values_are_told_and_made_anew() {
    let program = fleet();
    report(&program, 2, r#"{"temperature":21}"#, 1_767_225_600_000);
    report(&program, 3, r#"{"power":1}"#, 1_767_225_600_000);
    flip(&program, "temperature");
    let server = program.serve();
    let points = ["device", "points", "dk-2", "-o", "json"];
    let shown = program.run(&points);
    assert_eq!(shown.json(), serde_json::json!([]));
    let words = "the row of latest values of device 2 is not as it was stored; it is made anew from the next";
    assert!(shown.stderr.starts_with("warning: ") && shown.stderr.contains(words), "{shown:?}");
    assert_eq!(program.run(&["device", "points", "dk-3", "-o", "json"]).stderr, "");
    let history = ["device", "points", "dk-2", "--from", "2025-12-31T00:00:00Z", "-o", "json"];
    assert_eq!(program.run(&history).json()[0]["point"], "temperature");
    assert_eq!(program.run(&["device", "show", "dk-2"]).code, 0);
    server.signal("TERM");
    server.wait();

    report(&program, 2, r#"{"power":5}"#, 1_767_225_700_000);
    let _server = program.serve();
    let shown = program.run(&points);
    assert_eq!((&shown.json()[0]["point"], &*shown.stderr), (&"power".into(), ""));
}

#[test]
fn an_export_counts_what_is_damaged_and_fails_with_all_else_written() {
    let program = fleet();
    for id in 1..4 {
        report(&program, id, r#"{"power":1}"#, 1_767_225_600_000);
    }
    assert_eq!(program.run(&["device", "export", "--values"]).code, 0);
    flip(&program, "second-name");
    for (more, lines) in [(&[][..], 4), (&["--values"][..], 3)] {
        let ran = program.run(&[&["device", "export"][..], more].concat());
        assert_eq!((ran.code, ran.stdout.lines().count()), (1, lines), "{ran:?}");
        let said = "1 device is damaged; all else was written";
        assert!(ran.stderr.contains(said) && ran.stderr.contains("device 2"), "{ran:?}");
    }
}

#[test]
fn an_import_goes_on_beside_a_damaged_device() {
    let program = fleet();
    flip(&program, "second-name");
    let rows = format!("deviceKey,deviceSecret\ndk-1,{SECRET}\ndk-2,{SECRET}\ndk-9,{SECRET}\n");
    let file = program.file("rows.csv", &rows);
    let ran = program.run(&["device", "import", &file, "--product", "pk", "-o", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["created"], &report["skipped"]), (&1.into(), &1.into()), "{report}");
    let failed = report["failed"][0]["message"].as_str().unwrap();
    assert!(failed.contains("is damaged") && failed.contains("delete it first"), "{failed}");
}
