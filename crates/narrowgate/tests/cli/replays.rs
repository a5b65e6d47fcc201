//! Idempotency keys and quotas at the real binary.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use narrowgate_testkit::program::{Program, Server};
use serde_json::{Value, json};

use crate::{harness::program, simulate::eventually};

/// A POST with this key: the head and the body of the answer.
fn post(server: &Server, path: &str, token: &str, (key, body): (&str, &str)) -> (String, Value) {
    let mut stream = TcpStream::connect(server.address("http")).expect("it is served");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends");
    (head.to_lowercase(), serde_json::from_str(body).expect("it is JSON"))
}

fn token(program: &Program, name: &str) -> String {
    let made = program.json(&["token", "create", name, "--role", "administrator"]);
    made["token"].as_str().expect("it is shown once").to_owned()
}

#[test]
fn a_post_that_is_sent_again_after_a_restart_gets_its_answer_and_the_secret_is_kept_sealed() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let server = program.serve();
    let token = token(&program, "ci");
    let (path, asked) = ("/api/v1/products/pk/devices", ("first try", r#"{"deviceKey":"dk-1"}"#));
    let (head, made) = post(&server, path, &token, asked);
    assert!(head.starts_with("http/1.1 201") && !head.contains("idempotent-replayed"), "{head}");
    let secret = made["deviceSecret"].as_str().expect("it is shown").to_owned();
    let mut server = server;
    server.stop();
    let server = program.serve();
    let (head, again) = post(&server, path, &token, asked);
    assert!(head.starts_with("http/1.1 201") && head.contains("\r\nidempotent-replayed: true"), "{head}");
    assert_eq!(again, made);
    assert_eq!(program.json(&["device", "list"])["devices"].as_array().map(Vec::len), Some(1));
    let (head, problem) = post(&server, path, &token, ("first try", r#"{"deviceKey":"dk-2"}"#));
    assert!(head.starts_with("http/1.1 409"), "{head}");
    assert_eq!(problem["code"], "idempotency_key_reused");
    drop(server);
    for file in fs::read_dir(program.data()).expect("it is there").flatten() {
        let bytes = fs::read(file.path()).unwrap_or_default();
        let is_in = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!is_in, "{}", file.path().display());
    }
}

#[test]
fn a_unit_with_quotas_takes_as_much_and_an_import_says_which_rows_are_beyond() {
    let program = program();
    program.json(&["product", "create", "others", "--product-key", "pk"]);
    let unit = program.json(&["ou", "create", "north", "--max-products", "1", "--max-devices", "2"]);
    assert_eq!(unit["quotas"], json!({"products": 1, "devices": 2, "reportsPerDay": null}));
    program.json(&["product", "create", "n", "--product-key", "pn", "--ou", "north"]);
    program
        .run(&["product", "create", "m", "--ou", "north"])
        .failed(1, &["1 products by its quota", "ou update"]);
    let file = program.file("devices.csv", "deviceKey\na\nb\nc\nd\n");
    let secrets = program.data().join("secrets.csv").display().to_string();
    let import = ["device", "import", &file, "--product", "pn", "--secrets-out", &secrets];
    let ran = program.run(&[&import[..], &["-o", "json"]].concat());
    assert_eq!(ran.code, 1, "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    assert_eq!((&report["created"], report["failed"].as_array().map(Vec::len)), (&json!(2), Some(2)));
    for (failed, line) in report["failed"].as_array().expect("a list").iter().zip([4, 5]) {
        let message = failed["message"].as_str().expect("it says why");
        assert!(failed["line"] == line && message.contains("2 devices by its quota"), "{failed}");
    }
    // It is raised, and taken away.
    let unit = program.json(&["ou", "update", "north", "--max-devices", "3", "--max-reports", "500"]);
    assert_eq!(unit["quotas"], json!({"products": 1, "devices": 3, "reportsPerDay": 500}));
    assert_eq!(unit["reportsToday"], 0);
    assert_eq!(program.json(&["ou", "show", "north"]), unit);
    program.json(&["device", "create", "--product", "pn", "--device-key", "c"]);
    program
        .run(&["device", "create", "--product", "pn", "--device-key", "d"])
        .failed(1, &["3 devices by its quota"]);
    program.json(&["device", "create", "--product", "pk", "--device-key", "d"]);
    program.json(&["ou", "update", "north", "--max-devices", "none"]);
    program.json(&["device", "create", "--product", "pn", "--device-key", "d"]);
    program.run(&["ou", "update", "default", "--max-devices", "3"]).failed(1, &["has no quotas"]);
    program.run(&["ou", "update", "north", "--max-devices", "some"]).failed(64, &["or none"]);
    program.run(&["ou", "update", "north"]).failed(64, &["nothing to change"]);
}

#[test]
fn reports_beyond_the_quota_of_the_day_are_refused_also_after_a_restart() {
    let program = program();
    program.json(&["product", "create", "others", "--product-key", "pk"]);
    program.json(&["ou", "create", "north", "--max-reports", "3"]);
    program.json(&["product", "create", "n", "--product-key", "pn", "--ou", "north"]);
    program.json(&["device", "create", "--product", "pn", "--device-key", "dk"]);
    let shown = program.json(&["device", "secret", "pn/dk"]);
    let secret = shown["deviceSecret"].as_str().expect("it is shown");
    let report = |server: &Server, count: &str| {
        let address = server.address("coaps");
        let more = ["--secret", secret, "--server", &address, "--count", count, "--interval", "0"];
        program.run(&[&["device", "simulate", "pn/dk"][..], &more].concat())
    };
    let server = program.serve();
    assert_eq!(report(&server, "3").code, 0);
    let mut server = server;
    server.stop();
    let server = program.serve();
    let units = program.json(&["ou", "list"]);
    assert_eq!(units[1]["reportsToday"], 3, "{units}");
    let ran = report(&server, "1");
    assert!(ran.stdout.contains("4.29") || ran.stderr.contains("4.29"), "{ran:?}");
    eventually("its log says why", || {
        let log = program.json(&["device", "log", "pn/dk"]).to_string();
        log.contains("rate_limited") && log.contains("3 reports")
    });
    let values = program.json(&["device", "points", "pn/dk", "--from", "2020-01-01T00:00:00Z"]);
    assert_eq!(values.to_string().matches("\"time\"").count() % 3, 0, "{values}");
}
