//! Traces for OpenTelemetry: the test is the collector.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Program, Server};
use serde_json::Value;

use crate::harness::program_with_device;

/// A collector on a free port; it hands on what is sent to it.
fn collect() -> (u16, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let port = listener.local_addr().expect("it has one").port();
    let (taken, collected) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("it can be accepted"));
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).expect("it is text");
                let line = line.trim_end().to_lowercase();
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().expect("it is a number");
                }
                if line.is_empty() {
                    break;
                }
                head += &format!("{line}\n");
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("it is whole");
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
            stream.get_mut().write_all(answer).expect("it is taken");
            let body = serde_json::from_slice(&body).expect("it is JSON");
            if taken.send((head, body)).is_err() {
                return;
            }
        }
    });
    (port, collected)
}

fn serve(program: &Program, collector: u16) -> Server {
    let text = format!("[trace]\ncollector = \"127.0.0.1:{collector}\"\nevery = \"10ms\"\n");
    fs::write(program.data().join("narrowgate.toml"), text).expect("it can be written");
    program.serve()
}

/// Sends reports, each of which has to be answered.
fn report(program: &Program, server: &Server) {
    let secret = program.json(&["device", "secret", "pk/dk-1"])["deviceSecret"].clone();
    let (address, secret) = (server.address("coaps"), secret.as_str().expect("it has one").to_owned());
    let points = r#"{"temp":21.5}"#;
    let arguments = ["device", "simulate", "pk/dk-1", "--server", &address, "--secret", &secret];
    let more = ["--points", points, "--count", "20", "--interval", "0"];
    program.text(&[&arguments[..], &more[..]].concat());
}

#[test]
fn a_report_is_traced_through_its_parts() {
    let program = program_with_device();
    let (port, collected) = collect();
    let server = serve(&program, port);
    report(&program, &server);
    let (head, body) = collected.recv_timeout(Duration::from_secs(20)).expect("there are traces");
    assert!(head.starts_with("post /v1/traces http/1.1\n"), "{head}");
    assert!(head.contains("content-type: application/json\n"), "{head}");
    let resource = &body["resourceSpans"][0];
    assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "narrowgate");
    let spans = resource["scopeSpans"][0]["spans"].as_array().expect("there are spans");
    let path = |span: &Value| span["attributes"][0]["value"]["stringValue"].as_str().map(str::to_owned);
    let root = spans.iter().find(|span| path(span).is_some_and(|path| path.contains("/measurepoint/post")));
    let root = root.unwrap_or_else(|| panic!("no report among {spans:?}"));
    assert!(root["status"].is_null(), "it is stored: {root}");
    let parts: Vec<&Value> = spans.iter().filter(|span| span["parentSpanId"] == root["spanId"]).collect();
    let names: Vec<&str> = parts.iter().filter_map(|span| span["name"].as_str()).collect();
    assert_eq!(names, ["decide", "gather", "commit", "answer"]);
    let nanos = |value: &Value| value.as_str().expect("it is text").parse::<u128>().expect("it is a number");
    for (part, next) in parts.iter().zip(&parts[1..]) {
        assert_eq!(part["traceId"], root["traceId"]);
        assert_eq!(nanos(&part["endTimeUnixNano"]), nanos(&next["startTimeUnixNano"]));
    }
    assert_eq!(root["startTimeUnixNano"], parts[0]["startTimeUnixNano"]);
    assert_eq!(root["endTimeUnixNano"], parts[3]["endTimeUnixNano"]);
}

#[test]
fn without_its_collector_reports_are_answered_and_the_log_says_it_once() {
    let program = program_with_device();
    // Nobody listens there any more.
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("it had one").port();
    let server = serve(&program, port);
    let words = "traces are lost until the collector takes them";
    let began = Instant::now();
    report(&program, &server);
    while !server.said().contains(words) {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", server.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    report(&program, &server);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(server.said().matches(words).count(), 1, "{}", server.said());
}
