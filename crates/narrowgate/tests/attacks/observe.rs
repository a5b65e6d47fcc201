//! Section I: devices that observe their commands (RFC 7641), as a device and an operator see it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    client::{Client, Protection},
    coap,
    harness::{AT_ONCE, PRODUCT_KEY, Server},
};

const OBSERVE: u16 = 6;
const COMMAND_WAITING: u16 = 2100;
const APPLICATION_DATA: u8 = 23;

/// An answer to a GET, or a notification.
#[derive(Debug, PartialEq)]
struct Told {
    /// Type, in the upper half of the first byte of its message.
    kind: u8,
    code: u8,
    mid: u16,
    token: Vec<u8>,
    number: Option<u32>,
    topic: Option<String>,
    content: Value,
}

impl Told {
    fn parse(message: &[u8]) -> Self {
        let (options, payload) = coap::take_apart(message);
        let find = |number| options.iter().find(|(other, _)| *other == number).map(|(_, value)| value);
        let to_number = |value: &Vec<u8>| value.iter().fold(0, |all, byte| all << 8 | u32::from(*byte));
        let to_topic = |value: &Vec<u8>| String::from_utf8(value.clone()).expect("text");
        Self {
            kind: message[0] & 0xf0,
            code: message[1],
            mid: u16::from_be_bytes([message[2], message[3]]),
            token: message[4..4 + usize::from(message[0] & 15)].to_vec(),
            number: find(OBSERVE).map(to_number),
            topic: find(COMMAND_WAITING).map(to_topic),
            content: serde_json::from_slice(&payload).unwrap_or_default(),
        }
    }
}

/// Asks for the commands that wait, with this token and this value of Observe.
fn ask(client: &mut Client, token: u16, observe: &[u8]) -> Told {
    let path = format!("topic/sys/{PRODUCT_KEY}/{}/thing/commands", client.device.key);
    let mut rest = token.to_be_bytes().to_vec();
    rest.push(0x60 | observe.len() as u8);
    rest.extend(observe);
    let mut path = coap::uri_path(&path);
    path[0] -= 0x60;
    rest.extend(path);
    let mid = client.next_mid();
    let answer = client.exchange(&coap::message(0x42, 1, mid, &rest));
    assert_eq!(coap::code_of(&answer, mid), 0x45);
    Told::parse(&answer)
}

/// The next message from the server, which is no answer.
#[track_caller]
fn hear(client: &Client) -> Told {
    let (kind, message) = client.hear();
    assert_eq!(kind, APPLICATION_DATA);
    Told::parse(&message)
}

fn acknowledge(client: &mut Client, told: &Told) {
    client.say(&coap::message(0x60, 0, told.mid, &[]));
}

fn send(server: &Server, client: &Client, what: &[&str]) -> String {
    let device = format!("{PRODUCT_KEY}/{}", client.device.key);
    let created = server.json(&[&["command", "send", &device][..], what].concat());
    created["id"].as_str().expect("an id is a text").to_owned()
}

/// When a command is expected to be fetched: from and until so many milliseconds after it was sent.
fn expected_within(server: &Server, client: &Client, id: &str) -> (i64, i64) {
    let shown = server.json(&["command", "show", PRODUCT_KEY, &client.device.key, id]);
    let number = |value: &Value| value.as_i64().expect("a number");
    let (at, spread) = (number(&shown["expected"]["at"]), number(&shown["expected"]["spread"]));
    let created = number(&shown["createdAt"]);
    (at - spread - created, at + spread - created)
}

fn state(server: &Server, client: &Client, id: &str) -> Value {
    server.json(&["command", "show", PRODUCT_KEY, &client.device.key, id])["state"].clone()
}

#[test]
fn a_device_that_observes_is_told_of_a_command_at_once_and_fetches_it() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let answer = ask(&mut client, 0x0707, &[]);
        assert_eq!((answer.number, &answer.topic, &answer.content), (Some(1), &None, &json!({"waiting": 0})));
        // An instant one, which the device has to fetch within its timeout.
        let begun = Instant::now();
        let id = send(&server, &client, &["--set", r#"{"temp":1}"#]);
        let told = hear(&client);
        assert!(begun.elapsed() < 5 * AT_ONCE, "{:?}", begun.elapsed());
        let topic = format!("topic/sys/{PRODUCT_KEY}/{}/thing/service/measurepoint/set", client.device.key);
        assert_eq!((told.kind, told.code, &told.token[..]), (0x40, 0x45, &[7, 7][..]));
        assert_eq!((told.number, told.topic.as_deref()), (Some(2), Some(&*format!("/{topic}"))));
        assert_eq!(told.content, json!({"waiting": 1}));
        acknowledge(&mut client, &told);
        assert_eq!(state(&server, &client, &id), "created", "a GET makes it sent, and nothing else");
        let mid = client.next_mid();
        let fetched = client.exchange(&coap::get(mid, &topic));
        assert_eq!(Told::parse(&fetched).content["id"], json!(id));
        assert_eq!(state(&server, &client, &id), "sent");
        let mid = client.next_mid();
        let reply = json!({"id": id, "code": 200}).to_string();
        client.exchange(&coap::post(mid, &format!("{topic}_reply"), &reply));
        assert_eq!(state(&server, &client, &id), "succeeded");
        assert_eq!(expected_within(&server, &client, &id), (0, 6_000));
        let shown = server.json(&["command", "show", PRODUCT_KEY, &client.device.key, &id]);
        assert_eq!(shown["expectedOutcome"], "within");
        client.assert_reports();
    }
    let metric = r#"narrowgate_commands_expected_total{outcome="within"}"#;
    server.wait_for_metric(metric, |within| within == Protection::ALL.len() as u64);
    let all = Protection::ALL.len() as u64;
    server.wait_for_metric("narrowgate_notifications_total", |notifications| notifications == all);
    server.assert_alive();
}

#[test]
fn attack_147_a_flood_of_registrations_is_answered_plainly() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    for token in 0..300 {
        let answer = ask(&mut client, token, &[]);
        assert_eq!((answer.number.is_some(), &answer.content), (token < 4, &json!({"waiting": 0})));
    }
    // Its four registrations are told one after the other; the Reset of a token that it forgot removes it.
    send(&server, &client, &["--get", "temp", "--pending-ttl", "600"]);
    let mut tokens = Vec::new();
    for _ in 0..4 {
        let told = hear(&client);
        client.say(&coap::reset(told.mid));
        tokens.push(told.token);
    }
    assert_eq!(tokens, [[0, 0], [0, 1], [0, 2], [0, 3]]);
    server.wait_for_metric("narrowgate_devices_observing", |observing| observing == 0);
    assert!(ask(&mut client, 9, &[]).number.is_some(), "there is room again");
    client.assert_reports();
    server.assert_alive();
}

#[test]
fn attack_148_a_notification_that_is_lost_comes_again_and_what_is_cancelled_or_reset_does_not() {
    let server = Server::start();
    let mut client = server.connect(Protection::CbcEncryptThenMac);
    ask(&mut client, 1, &[]);
    send(&server, &client, &["--get", "temp", "--pending-ttl", "600"]);
    let first = hear(&client);
    // Nobody acknowledges it: after 2 to 3 seconds it comes again, the same message in another record.
    let again = client.receive_within(Duration::from_secs(4)).is_some();
    assert!(again, "it is not repeated");
    acknowledge(&mut client, &first);
    // Observe 1 ends it.
    let answer = ask(&mut client, 1, &[1]);
    assert_eq!((answer.number, &answer.content), (None, &json!({"waiting": 1})));
    let id = send(&server, &client, &["--get", "power", "--pending-ttl", "600"]);
    let shown = server.json(&["command", "show", PRODUCT_KEY, &client.device.key, &id]);
    assert_eq!(shown["expected"], Value::Null, "nobody observes, and there is no rhythm");
    assert_eq!(client.receive_within(Duration::from_secs(1)), None);
    assert_eq!(server.metric("narrowgate_devices_observing"), 0);
    // And so does a Reset.
    ask(&mut client, 2, &[]);
    send(&server, &client, &["--set", r#"{"temp":1}"#, "--pending-ttl", "600"]);
    let told = hear(&client);
    assert_eq!(told.content, json!({"waiting": 3}));
    client.say(&coap::reset(told.mid));
    server.wait_for_metric("narrowgate_devices_observing", |observing| observing == 0);
    assert_eq!(client.receive_within(Duration::from_secs(4)), None);
    client.assert_reports();
    server.assert_alive();
}

#[test]
fn attack_165_a_device_that_is_disabled_observes_nothing_any_more() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    ask(&mut client, 1, &[]);
    server.wait_for_metric("narrowgate_devices_observing", |observing| observing == 1);
    server.json(&["device", "disable", PRODUCT_KEY, &client.device.key]);
    server.wait_for_metric("narrowgate_devices_observing", |observing| observing == 0);
    server.assert_alive();
}

#[test]
fn a_registration_ends_with_its_session_and_the_newest_session_is_told() {
    let server = Server::start();
    let mut old = server.connect(Protection::Ccm8);
    ask(&mut old, 1, &[]);
    let mut new = server.connect_again(old.device.clone(), Protection::Ccm8);
    new.assert_reports();
    server.wait_for_metric("narrowgate_devices_observing", |observing| observing == 0);
    ask(&mut new, 2, &[]);
    send(&server, &new, &["--get", "temp", "--pending-ttl", "600"]);
    let told = hear(&new);
    assert_eq!((&told.token[..], told.content), (&[0, 2][..], json!({"waiting": 1})));
    server.assert_alive();
}
