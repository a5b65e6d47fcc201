//! The audit log of a server that is killed, and of one whose disk is full: the real program over HTTP.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Program, Ran, Server};
use serde_json::{Value, json};

use crate::harness::{program, program_with_device};

/// Devices, each of which is switched off once.
const DEVICES: usize = 600;

/// An answer whose head was read to its end.
struct Answered {
    status: u16,
    head: String,
    body: Value,
}

impl Answered {
    /// The value of a header.
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Asks a server that may be gone.
fn ask(address: &str, token: &str, method: &str, path: &str) -> Option<Answered> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let head = format!("{method} /api/v1{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
    write!(stream, "{head}Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n").ok()?;
    let mut answer = String::new();
    // Ignored: what counts is whether the head is there.
    let _ = stream.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let head = head.to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answered { status, head, body: serde_json::from_str(body).unwrap_or_default() })
}

fn token(program: &Program, name: &str, role: &str) -> String {
    let made = program.json(&["token", "create", name, "--role", role]);
    made["token"].as_str().expect("it is shown once").to_owned()
}

/// Switches devices off, as fast as four programs can, until so many were acknowledged, and kills the server
/// meanwhile. The devices that were acknowledged, by the names of the requests.
fn kill_after(
    acknowledged: usize,
    mut server: Server,
    token: &str,
    next: &AtomicUsize,
) -> BTreeMap<String, usize> {
    let (address, done) = (server.address("http"), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    assert!(number < DEVICES, "the server was not killed");
                    let path = format!("/products/pk/devices/dk-{number}:disable");
                    let Some(answer) = ask(&address, token, "POST", &path) else { break };
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let id = answer.header("x-request-id").expect("it has a name").to_owned();
                    done.lock().expect("nobody panics").insert(id, number);
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(60);
        while done.lock().expect("nobody panics").len() < acknowledged {
            assert!(Instant::now() < end, "the server does not answer");
            thread::sleep(Duration::from_millis(1));
        }
        server.kill();
    });
    done.into_inner().expect("nobody panics")
}

/// Entries of the log, oldest first, from a file that was verified.
fn exported(program: &Program) -> Vec<Value> {
    let file = program.file("export.ndjson", "");
    fs::remove_file(&file).expect("it is there");
    program.json(&["audit", "export", &file]);
    program.json(&["audit", "verify", &file]);
    let text = fs::read_to_string(&file).expect("it is text");
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    lines.pop();
    lines
}

#[test]
fn kill_minus_nine_loses_no_entry_of_what_was_acknowledged_and_no_change_is_without_one() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let rows: String = (0..DEVICES).map(|number| format!("dk-{number}\n")).collect();
    let file = program.file("devices.csv", &format!("deviceKey\n{rows}"));
    program.json(&["device", "import", &file, "--product", "pk", "--secrets-out", "secrets.csv"]);
    let token = token(&program, "ci", "administrator");
    let (next, mut acknowledged) = (AtomicUsize::new(0), BTreeMap::new());
    for round in [1, 7, 23, 60, 90] {
        let kept = program.json(&["audit", "verify"]);
        let (head, count) = (kept["head"].as_str().expect("a hash"), kept["count"].to_string());
        acknowledged.extend(kill_after(round, program.serve(), &token, &next));
        let after = program.json(&["audit", "verify", "--head", head, "--count", &count]);
        assert!(after["count"].as_u64() >= kept["count"].as_u64().map(|count| count + round as u64));
    }
    let _server = program.serve();
    let entries = exported(&program);
    for (id, number) in &acknowledged {
        let named: Vec<_> = entries.iter().filter(|entry| entry["requestId"] == **id).collect();
        assert_eq!(named.len(), 1, "{id}");
        let said = ["action", "target", "outcome", "token", "address"].map(|name| named[0][name].clone());
        let target = format!("/products/pk/devices/dk-{number}");
        assert_eq!(said, ["devices.disable", &target, "done", "ci", "127.0.0.1"].map(Value::from));
    }
    let disabled = program.json(&["device", "list", "--product", "pk", "--state", "disabled", "--all"]);
    let disabled = disabled["devices"].as_array().or(disabled.as_array()).expect("a list").clone();
    assert!(disabled.len() >= acknowledged.len());
    for device in &disabled {
        let target = format!("/products/pk/devices/{}", device["deviceKey"].as_str().expect("a key"));
        let named: Vec<_> = entries.iter().filter(|entry| entry["target"] == *target).collect();
        // What was not acknowledged may have been done: then nobody knew it, or the answer was on its way.
        assert!(named.iter().any(|entry| entry["outcome"] == "done" || entry["outcome"] == "unknown"));
        assert_eq!(named.len(), 1, "{named:?}");
    }
    let unknown: Vec<_> = entries.iter().filter(|entry| entry["outcome"] == "unknown").collect();
    let is_acknowledged =
        |entry: &Value| entry["requestId"].as_str().is_some_and(|id| acknowledged.contains_key(id));
    assert!(unknown.iter().all(|entry| entry["status"].is_null() && !is_acknowledged(entry)), "{unknown:?}");
}

/// The server with files that cannot grow beyond so many KiB. Without the signal, writing then fails as on a
/// full disk.
fn serve_with_small_files(program: &Program, kib: u32) -> Server {
    let serve =
        program.command(&["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0", "--shards", "1"]);
    let script = format!(r#"trap "" XFSZ; ulimit -S -f {}; exec "$@""#, kib * 2);
    let mut limited = Command::new("sh");
    limited.args(["-c", &script, "sh"]).arg(serve.get_program()).args(serve.get_args());
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.env("NARROWGATE_HTTP_TOKEN_REQUESTS", "off").current_dir(program.data().join(".."));
    Server::start(limited)
}

/// Asks until the log is full, also where it was written anew: the answer to a change that was refused
/// throughout, and what it was to do.
fn fill(address: &str, viewer: &str, administrator: &str) -> (Answered, &'static str) {
    let path = "/products/pk/devices/dk-2";
    assert_eq!(ask(address, viewer, "DELETE", path).expect("it answers").status, 403);
    let nothing = format!("/products/pk/devices/{}", "nothing".repeat(60));
    for number in 0..20_000 {
        // Only the audit log grows: nothing is changed.
        let failed = ask(address, administrator, "DELETE", &nothing).expect("it answers");
        assert!(matches!(failed.status, 404 | 503), "{}", failed.head);
        let act = match number % 100 {
            0 => "disable",
            50 => "enable",
            _ => continue,
        };
        let act_on = || ask(address, administrator, "POST", &format!("{path}:{act}")).expect("it answers");
        if (0..10).all(|_| act_on().status == 503) {
            return (act_on(), act);
        }
    }
    panic!("the disk does not become full");
}

#[test]
fn a_full_disk_refuses_changes_and_secrets_and_no_report_of_a_device() {
    let program = program_with_device();
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-2"]);
    let secret = program.json(&["device", "secret", "dk-1"])["deviceSecret"].clone();
    let (viewer, ci) = (token(&program, "viewer", "viewer"), token(&program, "ci", "administrator"));
    let mut server = serve_with_small_files(&program, 600);
    let address = server.address("http");
    let (answer, act) = fill(&address, &viewer, &ci);
    assert_eq!((answer.status, &answer.body["title"]), (503, &json!("cannot write the audit log")));
    assert_eq!(answer.body["code"], "unavailable");
    let detail = answer.body["detail"].as_str().expect("it says why");
    assert!(detail.contains("audit.db"), "{detail}");
    assert!(answer.header("retry-after").is_some(), "{}", answer.head);
    let enabled = || program.json(&["device", "show", "dk-2"])["enabled"].clone();
    assert_eq!(enabled(), json!(act == "disable"), "it was not done");
    let shown = ask(&address, &ci, "GET", "/products/pk/devices/dk-2/secret").expect("it answers");
    assert_eq!((shown.status, &shown.body["deviceSecret"]), (503, &Value::Null));
    program.run(&["device", act, "dk-2"]).failed(1, &["cannot write the audit log", "audit.db"]);
    assert_eq!(enabled(), json!(act == "disable"), "nor was that");
    assert!(unwritten(&address) > 2);

    let address = server.address("coaps");
    let mut simulate = program.command(&["device", "simulate", "pk/dk-1", "--server", &address]);
    simulate.args(["--secret", secret.as_str().expect("a text"), "--count", "3", "--interval", "0"]);
    let simulated = Ran::from(simulate.output().expect("the program can be started"));
    assert_eq!(simulated.code, 0, "{simulated:?}");
    let points = program.json(&["device", "points", "dk-1", "--from", "2020-01-01"]);
    assert!(points.as_array().is_some_and(|points| points.len() >= 3), "{points}");
    // With room it goes on, and the chain is whole.
    server.kill();
    program.json(&["device", act, "dk-2"]);
    assert_eq!(enabled(), json!(act == "enable"));
    program.json(&["audit", "verify"]);
}

/// How often the log could not be written.
fn unwritten(address: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("it is served");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("it is read");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it is text");
    let count = text.lines().find_map(|line| line.strip_prefix("narrowgate_audit_unwritten_total "));
    count.and_then(|count| count.parse().ok()).expect("it is counted")
}
