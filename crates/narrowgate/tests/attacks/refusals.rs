//! What a refused request leaves behind: an entry in the device's log and among the refusals of all, with a
//! stable reason and the probable mistake, and a count in a metric.

use std::time::Duration;

use serde_json::Value;

use crate::{
    client::{Client, Protection},
    coap::{self, hex},
    exchange::stored,
    harness::{PRODUCT_KEY, Server},
};

/// The entries of a device's log that have a reason, oldest first.
fn entries(server: &Server, client: &Client) -> Vec<Value> {
    let log = server.json(&["device", "log", PRODUCT_KEY, &client.device.key, "--limit", "1000"]);
    let mut entries = log.as_array().expect("a list").clone();
    entries.retain(|entry| !entry["reason"].is_null());
    entries.reverse();
    entries
}

/// Waits for the entry with these words and checks that it stands among the refusals of all, too.
#[track_caller]
fn assert_logged(server: &Server, client: &Client, reason: &str, words: &str) {
    let log = ["device", "log", PRODUCT_KEY, &client.device.key];
    let expected = words.replace('"', "\\\"");
    server.wait_for_json(&log, |log| log.contains(reason) && log.contains(&expected));
    server.wait_for_json(&["refused"], |all| all.contains(&client.device.key) && all.contains(&expected));
}

fn refused(server: &Server, reason: &str) -> u64 {
    server.metric(&format!("narrowgate_requests_refused_total{{reason=\"{reason}\"}}"))
}

/// Code, reason, words and bytes of a request that is refused.
type Case = (u8, &'static str, &'static str, Vec<u8>);

/// A body that is good.
const BODY: &[u8] = br#"{"params":{"measurepoints":{"temp":1}}}"#;
/// The option that says what it is.
const JSON: &[u8] = &[0x11, 50];

/// Path, options and body of a report.
fn report(path: &str, options: &[u8], body: &[u8]) -> Vec<u8> {
    [&coap::uri_path(path), options, &[0xff], body].concat()
}

fn cases(client: &mut Client) -> Vec<Case> {
    [cases_of_requests(client), cases_of_options(client), cases_of_contents(client)].concat()
}

/// What is asked for, and in what form.
fn cases_of_requests(client: &mut Client) -> Vec<Case> {
    let path = client.device.report_path();
    let at = |path: &str| report(path, JSON, BODY);
    vec![
        (
            0x84,
            "path_unknown",
            "a trailing slash",
            coap::message(0x40, 2, client.next_mid(), &at(&format!("{path}/"))),
        ),
        (
            0x84,
            "path_unknown",
            "this is the MQTT topic",
            coap::message(
                0x40,
                2,
                client.next_mid(),
                &at(path.strip_prefix("topic/").expect("it begins so")),
            ),
        ),
        (
            0x84,
            "path_unknown",
            "no Uri-Path",
            coap::message(0x40, 2, client.next_mid(), &[&[0xc1, 50, 0xff], BODY].concat()),
        ),
        (0x85, "method_wrong", "GET does not fit", coap::get(client.next_mid(), &path)),
        (
            0x85,
            "method_wrong",
            "CoAP code 0.05 is not a supported method",
            coap::message(0x40, 5, client.next_mid(), &coap::uri_path(&path)),
        ),
        // Content-Format 50, then Accept (delta 5) 41.
        (
            0x86,
            "not_acceptable",
            "Accept asks for format 41",
            coap::message(0x40, 2, client.next_mid(), &report(&path, &[0x11, 50, 0x51, 41], BODY)),
        ),
        (
            0x8f,
            "body_malformed",
            "42 (application/octet-stream)",
            coap::message(0x40, 2, client.next_mid(), &report(&path, &[0x11, 42], BODY)),
        ),
    ]
}

/// Options that ask for what there is not.
fn cases_of_options(client: &mut Client) -> Vec<Case> {
    let path = client.device.report_path();
    vec![
        // Block1: Content-Format 50, then delta 15. Block 0 of 16 bytes; size exponent 7.
        (
            0x80,
            "option_unsupported",
            "option 27 (Block1) says that blocks have 16 bytes, and this one has 39",
            coap::message(0x40, 2, client.next_mid(), &report(&path, &[0x11, 50, 0xd1, 2, 8], BODY)),
        ),
        (
            0x80,
            "option_unsupported",
            "option 27 (Block1) has the size exponent 7",
            coap::message(0x40, 2, client.next_mid(), &report(&path, &[0x11, 50, 0xd1, 2, 7], BODY)),
        ),
        // Block 1 of 64 bytes, and no block 0.
        (
            0x88,
            "body_malformed",
            "a block that begins at byte 64, and no block before it is known",
            coap::message(0x40, 2, client.next_mid(), &report(&path, &[0x11, 50, 0xd1, 2, 0x12], BODY)),
        ),
        (
            0xa5,
            "option_unsupported",
            "option 39 (Proxy-Scheme) asks for a proxy",
            coap::message(0x40, 2, client.next_mid(), &hex("d4 1a 636f6170")),
        ),
        // If-Match before the path, If-None-Match too.
        (
            0x8c,
            "option_unsupported",
            "option 1 (If-Match)",
            coap::message(
                0x40,
                2,
                client.next_mid(),
                &[&[0x11, b't', 0xa5][..], &report(&path, JSON, BODY)[1..]].concat(),
            ),
        ),
        (
            0x8c,
            "option_unsupported",
            "option 5 (If-None-Match)",
            coap::message(
                0x40,
                2,
                client.next_mid(),
                &[&[0x50, 0x65][..], &report(&path, JSON, BODY)[1..]].concat(),
            ),
        ),
    ]
}

/// What is said, and how.
fn cases_of_contents(client: &mut Client) -> Vec<Case> {
    let path = client.device.report_path();
    vec![
        (
            0x80,
            "body_malformed",
            "followed, at byte 40, by a NUL (0x00)",
            coap::message(0x40, 2, client.next_mid(), &report(&path, JSON, &[BODY, b"\0"].concat())),
        ),
        (
            0x80,
            "body_malformed",
            "nan at byte 36",
            coap::post(client.next_mid(), &path, r#"{"params":{"measurepoints":{"temp":nan}}}"#),
        ),
        (
            0x83,
            "topic_foreign",
            "names another device",
            coap::post(client.next_mid(), "topic/sys/pk/other/thing/measurepoint/post", "{}"),
        ),
        (
            0x00,
            "message_malformed",
            "payload marker 0xFF",
            coap::message(0x40, 2, client.next_mid(), b"\xf1a"),
        ),
        (
            0x00,
            "message_malformed",
            "its code is a response's",
            coap::message(0x40, 0x44, client.next_mid(), b"\xffa"),
        ),
    ]
}

#[test]
fn every_refused_request_leaves_an_entry_and_a_count() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let cases = cases(&mut client);
        for (code, reason, words, request) in &cases {
            let before = refused(&server, reason);
            let answer = client.exchange(request);
            assert_eq!(answer[1], *code, "{words}: {answer:02x?}");
            assert_logged(&server, &client, reason, words);
            assert_eq!(refused(&server, reason), before + 1, "{words}");
        }
        let logged = entries(&server, &client);
        let reasons: Vec<&str> = logged.iter().filter_map(|entry| entry["reason"].as_str()).collect();
        let expected: Vec<&str> = cases.iter().map(|(_, reason, ..)| *reason).collect();
        assert_eq!(reasons, expected, "one entry for each, in their order");
        assert!(logged.iter().all(|entry| entry["event"] == "refused"), "{logged:?}");
        assert_eq!(
            server.json(&["device", "points", PRODUCT_KEY, &client.device.key]),
            Value::Array(Vec::new())
        );
        client.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn a_listener_hears_of_a_refused_request_and_of_a_warning() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let listener = server.listen(&[]);
    let path = client.device.report_path();
    let mid = client.next_mid();
    client.exchange(&coap::get(mid, &path));
    let mid = client.next_mid();
    for value in [1, 2] {
        client.exchange(&coap::report(mid, &path, value));
    }
    let mut reasons = Vec::new();
    while reasons.len() < 2 {
        let event = listener.next_event();
        reasons.extend(event["reason"].as_str().map(str::to_owned));
    }
    assert_eq!(reasons, ["method_wrong", "message_id_reused"]);
}

#[test]
fn a_flood_of_refused_requests_fills_no_log() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    for mid in 1..=1000 {
        assert_eq!(coap::code_of(&client.exchange(&coap::get(mid, "nowhere")), mid), 0x84);
    }
    assert_eq!(refused(&server, "path_unknown"), 1000, "all are counted");
    let unlogged = server.metric("narrowgate_refusals_unlogged_total");
    server.wait_for_json(&["device", "log", PRODUCT_KEY, &client.device.key], |log| {
        log.contains("path_unknown")
    });
    let logged = entries(&server, &client).len() as u64;
    assert!(logged + unlogged <= 1000 && logged <= 500, "{logged} written, {unlogged} not");
    server.assert_alive();
}

#[test]
fn attack_215_a_constant_message_id() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let path = client.device.report_path();
        let first = client.exchange(&coap::report(7, &path, 1));
        for value in [1, 2, 3, 3] {
            assert_eq!(
                client.exchange(&coap::report(7, &path, value)),
                first,
                "it is answered as a duplicate"
            );
        }
        let log = ["device", "log", PRODUCT_KEY, &client.device.key];
        server.wait_for_json(&log, |log| log.contains("Message ID 7"));
        client.assert_reports();
        let entries = entries(&server, &client);
        let [entry] = &entries[..] else { panic!("the log says so once: {entries:?}") };
        assert_eq!((&entry["event"], &entry["reason"]), (&"warning".into(), &"message_id_reused".into()));
        assert_eq!(stored(&server, &client), 2, "the first and the honest one");
    }
    let counted = server.metric(r#"narrowgate_coap_discards_total{reason="duplicate_differs"}"#);
    assert!(counted <= 3 * Protection::ALL.len() as u64, "{counted}");
    server.assert_alive();
}

#[test]
fn a_time_in_ticks_is_stored_with_one_warning() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let path = client.device.report_path();
    let now = seconds_now();
    for _ in 0..3 {
        let body = format!(r#"{{"params":{{"measurepoints":{{"temp":1}},"time":{now}00}}}}"#);
        let mid = client.next_mid();
        assert_eq!(coap::code_of(&client.exchange(&coap::post(mid, &path, &body)), mid), 0x44);
    }
    server.wait_for_json(&["device", "log", PRODUCT_KEY, &client.device.key], |log| {
        log.contains("send milliseconds")
    });
    let entries = entries(&server, &client);
    let [entry] = &entries[..] else { panic!("once in a session: {entries:?}") };
    assert_eq!((&entry["event"], &entry["reason"]), (&"warning".into(), &"time_doubtful".into()));
}

fn seconds_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

#[test]
fn a_time_in_seconds_is_refused_and_told() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let path = client.device.report_path();
    let body = format!(r#"{{"params":{{"measurepoints":{{"temp":1}},"time":{}}}}}"#, seconds_now());
    let mid = client.next_mid();
    let answer = client.exchange(&coap::post(mid, &path, &body));
    assert_eq!(coap::code_of(&answer, mid), 0x44);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains(r#""code":1204,"message":"/params/time: looks like seconds;"#), "{answer}");
    server.wait_for_json(&["device", "log", PRODUCT_KEY, &client.device.key], |log| {
        log.contains("as seconds it is near now: send milliseconds")
    });
    let points = server.json(&["device", "points", PRODUCT_KEY, &client.device.key]).to_string();
    assert!(!points.contains("temp"), "{points}");
}

#[test]
fn a_warning_that_the_limits_swallow_is_written_at_the_next_report() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let path = client.device.report_path();
    let body = r#"{"params":{"measurepoints":{"temp":1},"time":170000000000}}"#;
    let mut say = |request: fn(u16, &str, &str) -> Vec<u8>| {
        let mid = client.next_mid();
        coap::code_of(&client.exchange(&request(mid, &path, body)), mid)
    };
    // More than is written of one device in a second, and the report behind it.
    let rounds = (0..10).take_while(|_| {
        // Each in words of its own: the same is folded.
        (0..60).for_each(|_| assert_eq!(say(|mid, _, _| coap::get(mid, &format!("nowhere/{mid}"))), 0x84));
        server.metric("narrowgate_refusals_unlogged_total") == 0
    });
    assert!(rounds.count() < 10, "the machine is too slow for a flood");
    assert_eq!(say(coap::post), 0x44);
    std::thread::sleep(Duration::from_millis(1100));
    for _ in 0..2 {
        assert_eq!(say(coap::post), 0x44);
    }
    server.wait_for_json(&["device", "log", PRODUCT_KEY, &client.device.key, "--all"], |log| {
        log.matches("time_doubtful").count() == 1
    });
    server.assert_alive();
}
