//! What `listen` shows as it happens is what the device's log keeps: the same entries, in the same order,
//! at the same times.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
};

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

/// Reports in the stream of events behind `last`; from its beginning on nothing is missed.
fn follow(server: &Server, last: Option<&str>) -> impl Iterator<Item = (String, String)> + use<> {
    let mut stream = UnixStream::connect(server.data().join("control.sock")).unwrap();
    let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
    write!(stream, "GET /api/v1/events?types=report HTTP/1.1\r\nhost: h\r\n{last}\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.find(String::is_empty).expect("the head of the answer ends");
    // The order of id and data in an event is free.
    let (mut id, mut data) = (None, None);
    lines.filter_map(move |line| {
        if let Some(cursor) = line.strip_prefix("id: ") {
            id = Some(cursor.to_owned());
        } else if let Some(json) = line.strip_prefix("data: ") {
            data = Some(json.to_owned());
        }
        let data = if line.is_empty() { data.take()? } else { return None };
        Some((id.take().expect("a report has an id"), data))
    })
}

#[test]
fn from_the_id_of_each_report_a_stream_has_the_others_also_after_a_kill() {
    const REPORTS: u16 = 20;
    let mut server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let stream = follow(&server, None);
    for mid in 1..=REPORTS {
        let body = format!(r#"{{"params":{{"measurepoints":{{"t":{mid}}}}}}}"#);
        let answer = client.exchange(&coap::post(mid, &client.device.report_path(), &body));
        assert_eq!(coap::code_of(&answer, mid), 0x44);
    }
    let heard: Vec<_> = stream.take(usize::from(REPORTS)).collect();
    for (n, (_, data)) in heard.iter().enumerate() {
        assert!(data.contains(&format!(r#""points":{{"t":{}}}"#, n + 1)), "{data}");
    }
    for is_killed in [false, true] {
        if is_killed {
            server.kill();
            server.restart(&[]);
        }
        for (n, (id, _)) in heard.iter().enumerate() {
            let rest = &heard[n + 1..];
            assert_eq!(follow(&server, Some(id)).take(rest.len()).collect::<Vec<_>>(), rest);
        }
    }
    let mut ids: Vec<_> = heard.iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), heard.len());
    server.assert_alive();
}
