//! What `listen` shows as it happens is what the device's log keeps: the same entries, in the same order,
//! at the same times.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::{
    client::Protection,
    coap,
    harness::{PRODUCT_KEY, Server},
};

/// Event and time.
type Entry = (String, i64);

fn entry(event: &Value) -> Entry {
    (event["event"].as_str().unwrap().to_owned(), event["time"].as_i64().unwrap())
}

/// The device's log from its registration on, oldest first.
fn log(server: &Server, device_key: &str) -> Vec<Entry> {
    let log = server.json(&["device", "log", PRODUCT_KEY, device_key, "--limit", "1000"]);
    let entries = log.as_array().unwrap().iter().rev().map(entry);
    entries.filter(|(event, _)| event != "created").collect()
}

#[test]
fn short_sessions_are_heard_in_the_order_and_with_the_times_of_the_log() {
    let server = Server::start();
    let mut client = server.client(Protection::Ccm8);
    let key = client.device.key.clone();
    let listener = server.listen(&["--device", &key]);
    for _ in 0..50 {
        client.connect();
        client.close();
        client.start_anew();
    }
    // A refusal that is looked into takes longer to be written than one that is not.
    client.psk = vec![7; 16];
    client.ask_cookie();
    client.take_server_hello();
    let flight = client.flight_5();
    client.send(&flight);
    let mut heard = Vec::new();
    while heard.last().is_none_or(|(event, _)| event != "refused") {
        let event = listener.next_event();
        assert_eq!((&event["productKey"], &event["deviceKey"]), (&PRODUCT_KEY.into(), &key.as_str().into()));
        heard.push(entry(&event));
    }
    let names: Vec<&str> = heard.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(names[..3], ["activated", "login", "offline"], "the first login has two entries");
    assert!(names[1..101].chunks(2).all(|session| session == ["login", "offline"]), "{names:?}");
    assert_eq!(heard, log(&server, &key));
    server.assert_alive();
}

#[test]
fn a_report_is_heard_with_the_devices_time_and_the_servers() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let listener = server.listen(&["--product", PRODUCT_KEY, "--device", &client.device.key]);
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let begun = now();
    let path = client.device.report_path();
    let body = concat!(
        r#"{"id":"1","version":"1.0","method":"thing.measurepoint.post","#,
        r#""params":{"measurepoints":{"t":1},"time":1700000000000}}"#
    );
    for (mid, has_time) in [(1, true), (2, false)] {
        let body = if has_time { body.to_owned() } else { body.replace(r#","time":1700000000000"#, "") };
        let answer = client.exchange(&coap::post(mid, &path, &body));
        assert_eq!(coap::code_of(&answer, mid), 0x44);
        let mut event = listener.next_event();
        while event["event"] != "report" {
            // Its login may have been under way when the listener came.
            event = listener.next_event();
        }
        let received = event["receivedAt"].as_i64().unwrap();
        assert!((begun..=now()).contains(&received), "{event}");
        assert_eq!(event["time"], if has_time { 1_700_000_000_000 } else { received }, "{event}");
    }
    server.assert_alive();
}

#[test]
fn the_id_of_an_event_is_the_place_of_its_row() {
    const REPORTS: u16 = 20;
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let mut stream = UnixStream::connect(server.data().join("control.sock")).unwrap();
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.find(String::is_empty).expect("the head of the answer ends");
    for mid in 1..=REPORTS {
        let body = r#"{"params":{"measurepoints":{"t":1}}}"#;
        let answer = client.exchange(&coap::post(mid, &client.device.report_path(), body));
        assert_eq!(coap::code_of(&answer, mid), 0x44);
    }
    // Their order in an event is free.
    let (mut heard, mut id, mut is_report) = (Vec::new(), None, false);
    while heard.len() < usize::from(REPORTS) {
        let line = lines.next().expect("the stream goes on");
        if let Some(place) = line.strip_prefix("id: ") {
            id = Some(place.to_owned());
        } else if line == "event: report" {
            is_report = true;
        } else if line.is_empty() && is_report {
            heard.push(id.take().expect("a report has a place"));
            is_report = false;
        }
    }
    let messages = std::fs::read_dir(server.data().join("messages")).unwrap();
    let mut stored: Vec<String> = Vec::new();
    for file in messages.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(is_db))
    {
        let file = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut rows = file.prepare("SELECT epoch || '-' || sequence FROM messages ORDER BY id").unwrap();
        stored.extend(rows.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
    }
    assert_eq!(heard, stored);
    server.assert_alive();
}

fn is_db(extension: &std::ffi::OsStr) -> bool {
    extension == "db"
}
