//! The real binary as a server: start, stop, and the command line beside it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    process::Stdio,
};

use narrowgate_testkit::program::signal;
use serde_json::{Value, json};

use crate::harness::{names, program, program_with_device};

pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_serves_health_and_ends_with_0_at_sigterm() {
    let program = program();
    let server = program.serve();
    let http = server.address("http");
    assert!(get(&http, "/health/ready").starts_with("HTTP/1.1 200"), "{}", get(&http, "/health/ready"));
    assert!(get(&http, "/metrics").contains("# TYPE narrowgate_sessions gauge"));
    assert!(program.data().join("control.sock").exists());
    server.signal("TERM");
    let (code, said) = server.wait();
    assert_eq!(code, 0, "{said}");
    assert!(!names(&program.data()).iter().any(|name| name.starts_with("control")), "the socket is gone");
    assert!(said.contains("narrowgate 0.1.0\n  devices   coaps://127.0.0.1:"), "{said}");
}

#[test]
fn a_server_without_http_serves_and_says_so() {
    let program = program_with_device();
    let server = program.serve_with(&["serve", "--dtls", "127.0.0.1:0", "--http", "off"]);
    assert!(server.said().contains("\n  http      off\n  control"), "{}", server.said());
    assert!(server.said().contains("\n  registry  1 product, 1 device\n"), "{}", server.said());
    assert_eq!(program.json(&["device", "show", "dk-1"])["state"], "inactive");
    server.signal("TERM");
    let (code, said) = server.wait();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("http="), "{said}");
}

#[test]
fn the_command_line_gives_the_same_with_a_server_and_without() {
    let program = program_with_device();
    let asked: [&[&str]; 8] = [
        &["product", "list"],
        &["product", "show", "pk"],
        &["device", "list"],
        &["device", "show", "dk-1"],
        &["device", "log", "dk-1"],
        &["device", "points", "pk/dk-1"],
        &["device", "show", "other"],
        &["product", "create", "n", "--product-key", "a,b"],
    ];
    let answers = || -> Vec<(i32, String, String)> {
        asked
            .iter()
            .map(|arguments| {
                let ran = program.run(&[arguments, &["-o", "json"][..]].concat());
                (ran.code, ran.stdout, ran.stderr)
            })
            .collect()
    };
    let without = answers();
    let server = program.serve();
    assert_eq!(answers(), without);
    program.json(&["device", "disable", "dk-1"]);
    server.signal("TERM");
    assert_eq!(server.wait().0, 0);
    assert_eq!(program.json(&["device", "show", "dk-1"])["state"], "disabled");
}

#[test]
fn an_import_goes_through_the_server() {
    let program = program_with_device();
    let _server = program.serve();
    let rows: String = (0..700)
        .map(|number| format!("imported-{number},0f8c3e71a5d2964b0f8c3e71a5d{number:05}\n"))
        .collect();
    let file = program.file("rows.csv", &format!("deviceKey,deviceSecret\n{rows}"));
    let summary = program.json(&["device", "import", &file, "--product", "pk"]);
    assert_eq!(summary["created"], 700);
}

#[test]
fn a_busy_port_is_named_and_nothing_is_touched() {
    let program = program();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap().to_string();
    let port = udp.local_addr().unwrap().port();
    program.run(&["serve", "--dtls", &address, "--http", "127.0.0.1:0"]).failed(
        1,
        &["cannot listen for devices", &address, "in use", &format!("ss -lunp 'sport = :{port}'"), "--dtls"],
    );
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    program
        .run(&["serve", "--dtls", "127.0.0.1:0", "--http", &address])
        .failed(1, &["cannot listen for HTTP", &address, "ss -ltnp", "--http"]);
    assert!(!program.data().exists());
}

#[test]
fn a_second_server_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let program = program_with_device();
    let server = program.serve();
    program
        .run(&["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .failed(1, &["the data directory is in use", &format!("process {}", server.pid()), "--data"]);
    assert_eq!(program.json(&["device", "show", "dk-1"])["state"], "inactive");
    server.signal("INT");
    assert_eq!(server.wait().0, 0);
}

#[test]
fn a_killed_server_leaves_nothing_that_hinders() {
    let program = program_with_device();
    let server = program.serve();
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-2"]);
    server.signal("KILL");
    server.wait();
    assert!(program.data().join("control.sock").exists(), "the leftover that this test is about");
    assert_eq!(program.json(&["device", "list"])["devices"].as_array().unwrap().len(), 2);
    program.serve();
}

#[test]
fn a_listener_is_told_what_operators_change_of_attributes_and_tags() {
    let program = program_with_device();
    let _server = program.serve();
    let listener = program.listen(&[]);
    let change =
        |what: &str, arguments: &[&str]| program.json(&[&["device", what, "dk-1"], arguments].concat());
    change("attributes", &["--set", r#"{"place":"cellar","size":1.50}"#]);
    let told = listener.next_event();
    assert_eq!((&told["event"], &told["deviceKey"]), (&json!("attributes"), &json!("dk-1")), "{told}");
    assert_eq!(told["set"], json!({"place": "cellar", "size": 1.5}));
    change("tags", &["--set", r#"{"site":"north"}"#]);
    assert_eq!(listener.next_event()["set"], json!({"site": "north"}));
    change("tags", &["--unset", "site"]);
    let told = listener.next_event();
    assert_eq!((&told["event"], &told["deleted"]), (&json!("tags"), &json!(["site"])), "{told}");
}

#[test]
fn a_listener_ends_when_the_server_stops_if_it_is_to() {
    let program = program_with_device();
    let server = program.serve();
    let mut listener = program
        .command(&["listen", "--no-resume"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stderr = BufReader::new(listener.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert!(said.starts_with("listening"), "{said}");
    server.signal("TERM");
    assert_eq!(server.wait().0, 0);
    stderr.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("the server stopped\n"), "{said}");
    assert!(listener.wait().unwrap().success());
}

#[test]
fn the_memory_store_works_through_the_server_only() {
    let program = program();
    let config = program.file(
        "n.toml",
        "[store]\nkind = \"memory\"\n[dtls]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
    );
    let create = ["product", "create", "n", "--product-key", "pk", "--config", &config];
    program.run(&create).failed(1, &["store.kind is memory", "narrowgate serve"]);
    let mut server = program.serve_with(&["serve", "--config", &config]);
    assert!(server.said().contains("nothing is kept"), "{}", server.said());
    assert_eq!(program.run(&create).code, 0);
    program.run(&["serve", "--config", &config]).failed(1, &["in use"]);
    server.stop();
}

#[test]
fn the_demonstration_prints_one_document_and_its_lines() {
    let program = program();
    let mut demo = program
        .command(&["demo", "-o", "json", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(demo.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let document: Value = serde_json::from_str(&line).unwrap();
    let devices = document["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2);
    for device in devices {
        let key = device["pskHex"].as_str().unwrap();
        assert!(key.as_bytes().chunks(2).all(|byte| byte != b"00"), "a NUL cannot be typed: {key}");
        assert_eq!(device["lines"].as_array().unwrap().len(), 4);
        let [product, name] = ["productKey", "deviceKey"].map(|name| device[name].as_str().unwrap());
        let page = device["page"].as_str().unwrap();
        assert!(page.starts_with("http://127.0.0.1:"), "{page}");
        assert!(page.ends_with(&format!("/console/devices/{product}/{name}")), "{page}");
    }
    assert_eq!(program.json(&["device", "list"])["devices"].as_array().unwrap().len(), 2);
    signal(demo.id(), "TERM");
    assert!(demo.wait().unwrap().success());
}
