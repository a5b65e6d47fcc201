//! Short paths at the real binary: what a report costs on the wire, and what a device and an operator see.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    client::{Client, Protection},
    coap::{code_of, hex, message, take_apart},
    harness::{Device, Server},
};

/// A product and a device with keys of the usual length.
const PRODUCT: &str = "MuGsF6W4";
const DEVICE: &str = "867725030096431";
const SECRET: &str = "Z5YtZaQpK5IWocakV7zQ";
const MODEL: &str = r#"{"modelId":"meter",
    "attributes":[{"identifier":"size","dataType":"INT","number":10}],
    "measurepoints":[{"identifier":"temp","dataType":"DOUBLE","number":1},
                     {"identifier":"count","dataType":"INT","number":2}],
    "services":[{"identifier":"restart","number":20,
                 "inputData":[{"identifier":"delay","dataType":"INT","number":1}],
                 "outputData":[{"identifier":"uptime","dataType":"INT","number":2}]}],
    "events":[{"identifier":"tilted","number":30,
               "outputData":[{"identifier":"angle","dataType":"DOUBLE","number":1}]}]}"#;

const CHANGED: u8 = 0x44;
const CONTENT: u8 = 0x45;
const NOT_FOUND: u8 = 0x84;
const UNSUPPORTED: u8 = 0x8f;
/// The token of a device that has one request under way.
const TOKEN: [u8; 2] = [0x7a, 0x11];
const CBOR: u8 = 60;
const COMMAND_WAITING: u16 = 2104;
/// Headers of IPv4 and of UDP.
const HEADERS: usize = 20 + 8;

/// A server with the product, whose devices may use short paths or not, and a session of the device.
fn connected(short_paths: &str) -> (Server, Client) {
    let server = Server::start();
    let model = server.file("meter.json", MODEL);
    let product =
        ["product", "create", "meters", "--product-key", PRODUCT, "--short-paths", short_paths, "--model"];
    server.text(&[&product[..], &[&model]].concat());
    let names = ["--device-key", DEVICE, "--device-secret", SECRET];
    server.text(&[&["device", "create", "--product", PRODUCT][..], &names].concat());
    let device = Device { key: DEVICE.to_owned(), secret: SECRET.to_owned() };
    let mut client = Client::new(server.address, device, Protection::Ccm8);
    client.identity = format!("{PRODUCT},{DEVICE},2,3600").into_bytes();
    client.connect();
    (server, client)
}

/// A confirmable request: a method, a path as options, a Content-Format and a body.
fn request(mid: u16, method: u8, path: &str, format: u8, body: &[u8]) -> Vec<u8> {
    let mut rest = TOKEN.to_vec();
    rest.extend(crate::coap::uri_path(path));
    if !body.is_empty() {
        rest.extend([0x11, format, 0xff]);
        rest.extend(body);
    }
    message(0x40 | TOKEN.len() as u8, method, mid, &rest)
}

/// Code, whether a command waits, and body of the answer to a request.
fn ask(client: &mut Client, method: u8, path: &str, cbor: &str) -> (u8, bool, String) {
    let mid = client.next_mid();
    let answer = client.exchange(&request(mid, method, path, CBOR, &hex(cbor)));
    let (options, body) = take_apart(&answer);
    let waits = options.iter().any(|(number, value)| *number == COMMAND_WAITING && value.is_empty());
    (code_of(&answer, mid), waits, hex::encode(body))
}

fn post(client: &mut Client, path: &str, cbor: &str) -> (u8, bool, String) {
    ask(client, 2, path, cbor)
}

/// Bytes of a request and its answer on the wire, each with its headers, and the answer's body.
fn measure(client: &mut Client, path: &str, format: u8, body: &[u8]) -> (usize, usize, Vec<u8>) {
    let mid = client.next_mid();
    let sent = client.data(&request(mid, 2, path, format, body));
    client.send(&sent);
    let received = client.receive();
    let (_, answer) = client.keys().open(&received).expect("it is for this session");
    assert_eq!(code_of(&answer, mid), CHANGED);
    (sent.len() + HEADERS, received.len() + HEADERS, take_apart(&answer).1)
}

/// Both forms of the same report, without a time. The figures stand in `docs/device-guide.md`.
#[test]
fn a_report_of_two_points_and_its_answer_take_138_bytes_on_the_wire() {
    let (server, mut client) = connected("on");
    let report = hex("a201f94d600207");
    let (up, down, body) = measure(&mut client, "p", CBOR, &report);
    assert!(body.is_empty(), "{body:02x?}");
    let path = format!("topic/sys/{PRODUCT}/{DEVICE}/thing/measurepoint/post");
    let json = concat!(
        r#"{"id":"123","version":"1.0","method":"thing.measurepoint.post","#,
        r#""params":{"measurepoints":{"temp":21.5,"count":7}}}"#
    );
    let (long_up, long_down, body) = measure(&mut client, &path, 50, json.as_bytes());
    assert_eq!(body, br#"{"id":"123","code":200,"data":{}}"#);
    assert_eq!((up, down), (75, 63));
    assert!(up + down <= 140);
    let row = |form: &str, (up, down): (usize, usize)| format!("| {form} | {up} | {down} | {} |", up + down);
    let guide = include_str!("../../../../docs/device-guide.md");
    assert!(guide.contains(&row("`/p` in CBOR", (up, down))));
    let form = "the long topic in JSON, keys of 8 and 15 characters";
    assert!(guide.contains(&row(form, (long_up, long_down))));
    assert_eq!((long_up, long_down), (240, 99));

    let stored = server.json(&["device", "points", PRODUCT, DEVICE, "--from", "0", "--point", "temp"]);
    assert_eq!(stored.as_array().map(Vec::len), Some(2), "both are stored, alike: {stored}");
    assert!(stored.as_array().unwrap().iter().all(|row| row["value"] == json!(21.5)), "{stored}");
    server.assert_alive();
}

#[test]
fn a_device_of_a_product_that_switches_them_on_lives_by_short_paths() {
    let (server, mut client) = connected("on");
    let operator = |arguments: &[&str]| -> Value { server.json(arguments) };
    assert_eq!(post(&mut client, "p", "a201f94d600207"), (CHANGED, false, String::new()));
    assert_eq!(post(&mut client, "a", "a10a03"), (CHANGED, false, String::new()));
    assert_eq!(post(&mut client, "a", "80"), (CHANGED, false, "a10a03".to_owned()));
    assert_eq!(post(&mut client, "e/30", "a1010f"), (CHANGED, false, String::new()));
    assert_eq!(operator(&["device", "attributes", PRODUCT, DEVICE]), json!({"size": 3}));
    let events = operator(&["device", "events", PRODUCT, DEVICE]);
    assert_eq!((&events[0]["event"], &events[0]["output"]), (&json!("tilted"), &json!({"angle": 15})));

    let send = ["command", "send", PRODUCT, DEVICE, "--pending-ttl", "600", "--service", "restart"];
    let sent = operator(&[&send[..], &["--input", r#"{"delay":5}"#]].concat());
    let id = sent["id"].as_str().expect("an id").to_owned();
    let number = format!("1a{:08x}", id.parse::<u32>().expect("a number"));
    let (code, waits, _) = post(&mut client, "p", "a10101");
    assert_eq!((code, waits), (CHANGED, true));
    let command = (CONTENT, false, format!("84{number}0314a10105"));
    assert_eq!(ask(&mut client, 1, "c", ""), command);
    assert_eq!(ask(&mut client, 1, "c", ""), command, "its answer may be lost");
    let reply = format!("83{number}18c8a10207");
    assert_eq!(post(&mut client, "c", &reply), (CHANGED, false, String::new()));
    let shown = operator(&["command", "show", PRODUCT, DEVICE, &id]);
    assert_eq!((&shown["state"], &shown["data"]), (&json!("succeeded"), &json!({"uptime": 7})));
    assert_eq!(ask(&mut client, 1, "c", "").0, NOT_FOUND);
    server.assert_alive();
}

#[test]
fn bad_input_at_a_short_path_leaves_nothing_and_the_switch_holds_at_once() {
    let (server, mut client) = connected("on");
    for (path, body, code, said) in [
        ("p", "ff", 0x80, ""),
        ("p", "a2010164", 0x80, ""),
        // A point by its number and by its identifier.
        ("p", "a201016474656d7002", 0x80, ""),
        ("p", "a10901", CHANGED, "821904b4"),
        ("p", "80", CHANGED, "821904b6"),
        ("a", "a10a6178", CHANGED, "821904b4"),
        ("e/31", "a0", CHANGED, "821904b4"),
        ("e/0", "a0", NOT_FOUND, ""),
        ("c", "80", CHANGED, "821904b0"),
    ] {
        let (answered, _, body_of) = post(&mut client, path, body);
        assert!(answered == code && body_of.starts_with(said), "/{path} {body}: {answered:02x} {body_of}");
        assert!(!said.is_empty() || body_of.is_empty(), "/{path} {body}: {body_of}");
    }
    let mid = client.next_mid();
    let json = client.exchange(&request(mid, 2, "p", 50, b"{}"));
    assert_eq!(code_of(&json, mid), UNSUPPORTED);
    assert_eq!(server.json(&["device", "points", PRODUCT, DEVICE, "--from", "0"]), json!([]));
    let shown = server.json(&["product", "update", PRODUCT, "--short-paths", "off"]);
    assert_eq!(shown["shortPaths"], json!(false));
    assert_eq!(post(&mut client, "p", "a10101").0, NOT_FOUND);
    server.text(&["product", "update", PRODUCT, "--short-paths", "on"]);
    assert_eq!(post(&mut client, "p", "a10101").0, CHANGED);
    // Off unless it is switched on.
    let (server, mut client) = connected("off");
    assert_eq!(post(&mut client, "p", "a10101").0, NOT_FOUND);
    // What is refused is written down after its answer.
    let read = || server.text(&["device", "log", PRODUCT, DEVICE]);
    let begin = Instant::now();
    while !read().contains("--short-paths on") && begin.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(read().contains("--short-paths on"), "{}", read());
    server.assert_alive();
}
