//! Bytes and scripts at the real binary.

use serde_json::json;

use crate::{
    client::{Client, Protection},
    coap::{code_of, hex, message, take_apart, uri_path},
    harness::{Device, Server},
};

const PRODUCT: &str = "MuGsF6W4";
const DEVICE: &str = "867725030096431";
const SECRET: &str = "Z5YtZaQpK5IWocakV7zQ";

const EMPTY: u8 = 0;
const CHANGED: u8 = 0x44;
const CONTENT: u8 = 0x45;
const BAD_REQUEST: u8 = 0x80;
const FORBIDDEN: u8 = 0x83;
const NOT_FOUND: u8 = 0x84;
const UNAVAILABLE: u8 = 0xa3;
const OCTETS: u8 = 42;

/// The first byte says what happens; 0 is a report, which takes some milliseconds, and the reply to 7 is
/// longer than a message may be.
const SCRIPT: &str = r#"
function rawDataToJsonStr(b) {
  if (b[0] === 1) for (;;);
  if (b[0] === 2) { var all = []; for (;;) all.push(new Array(100000).fill(7)); }
  if (b[0] === 3) return (function f() { return f() + 1; })();
  if (b[0] === 4) throw new Error("no such tag");
  if (b[0] === 5) return "x".repeat(1 << 20);
  if (b[0] === 6) return "no JSON";
  for (var i = 0, sum = 0; i < 200000; i++) sum += i;
  var id = b[0] === 7 ? "long" : "7", n = b.length > 1 ? b[1] : 12;
  return JSON.stringify({id: id, method: "thing.measurepoint.post", params: {measurepoints: {n: n}}});
}
function jsonStrToRawData(j) { return JSON.parse(j).id === "long" ? new Uint8Array(10241) : [200]; }
"#;

fn connected() -> (Server, Client) {
    let server = Server::start();
    let file = server.file("script.js", SCRIPT);
    server.text(&["product", "create", "meters", "--product-key", PRODUCT, "--data-format", "custom"]);
    server.text(&["script", "publish", PRODUCT, &file]);
    let names = ["--device-key", DEVICE, "--device-secret", SECRET];
    server.text(&[&["device", "create", "--product", PRODUCT][..], &names].concat());
    let device = Device { key: DEVICE.to_owned(), secret: SECRET.to_owned() };
    let mut client = Client::new(server.address, device, Protection::Ccm8);
    client.identity = format!("{PRODUCT},{DEVICE},2,3600").into_bytes();
    client.connect();
    (server, client)
}

fn request(mid: u16, body: &[u8]) -> Vec<u8> {
    let mut rest = vec![0x7a, 0x11];
    rest.extend(uri_path(&format!("topic/sys/{PRODUCT}/{DEVICE}/thing/model/up_raw")));
    rest.extend([0x11, OCTETS, 0xff]);
    rest.extend(body);
    message(0x42, 2, mid, &rest)
}

/// Code and body of the answer to bytes. A product that rests after a limit is asked again.
fn ask(client: &mut Client, body: &[u8]) -> (u8, Vec<u8>) {
    for _ in 0..100 {
        let mid = client.next_mid();
        let mut answer = client.exchange(&request(mid, body));
        if code_of(&answer, mid) == EMPTY {
            // It has to wait for its turn: the answer comes by itself.
            answer = client.hear().1;
            client.say(&message(0x60, EMPTY, u16::from_be_bytes([answer[2], answer[3]]), &[]));
        }
        match answer[1] {
            UNAVAILABLE => std::thread::sleep(std::time::Duration::from_millis(200)),
            code => return (code, take_apart(&answer).1),
        }
    }
    panic!("it is told to come again for ever");
}

#[test]
fn attack_173_whatever_a_script_does_stores_nothing_and_is_4_00() {
    let (server, mut client) = connected();
    assert_eq!(ask(&mut client, &[0, 11]), (CHANGED, hex("c8")));
    for deed in 1..=7 {
        assert_eq!(ask(&mut client, &[deed]), (BAD_REQUEST, vec![]), "deed {deed}");
        assert_eq!(ask(&mut client, &[0, 11]), (CHANGED, hex("c8")), "after deed {deed}");
    }
    let stored = server.json(&["device", "points", PRODUCT, DEVICE, "--from", "0"]);
    assert!(stored.as_array().unwrap().iter().all(|row| row["value"] == json!(11)), "{stored}");
    assert_eq!(stored.as_array().unwrap().len(), 8);
    server.assert_alive();
}

#[test]
fn a_report_that_is_repeated_while_its_script_runs_is_stored_once() {
    let (server, mut client) = connected();
    // A session begins with a look at its product.
    assert_eq!(ask(&mut client, &[0, 1]).0, CHANGED);
    let mid = client.next_mid();
    for _ in 0..5 {
        let copy = client.data(&request(mid, &[0, 2]));
        client.send(&copy);
    }
    let received = client.receive();
    let (_, answer) = client.keys().open(&received).expect("it is for this session");
    assert_eq!((code_of(&answer, mid), take_apart(&answer).1), (CHANGED, hex("c8")));
    let stored = server.json(&["device", "points", PRODUCT, DEVICE, "--from", "0"]);
    let values: Vec<_> = stored.as_array().unwrap().iter().map(|row| row["value"].clone()).collect();
    assert_eq!(values, [json!(2), json!(1)]);
    server.assert_alive();
}

/// A GET of a path: code, whether option 2100 or 2104 says that a command waits, and body.
fn get(client: &mut Client, path: &str) -> (u8, bool, Vec<u8>) {
    let mid = client.next_mid();
    let mut rest = vec![0x7a, 0x11];
    rest.extend(uri_path(path));
    let answer = client.exchange(&message(0x42, 1, mid, &rest));
    let (options, body) = take_apart(&answer);
    let waits = options.iter().any(|(number, _)| matches!(*number, 2100 | 2104));
    (code_of(&answer, mid), waits, body)
}

#[test]
fn a_command_in_bytes_comes_at_c_and_fails_where_its_product_speaks_json_now() {
    let (server, mut client) = connected();
    server.text(&["product", "update", PRODUCT, "--short-paths", "on"]);
    let send = ["command", "send", PRODUCT, DEVICE, "--pending-ttl", "600", "--raw", "7b00"];
    let sent = server.json(&send);
    assert_eq!(get(&mut client, "nowhere"), (NOT_FOUND, true, vec![]));
    assert_eq!(get(&mut client, "c"), (CONTENT, false, hex("7b00")));
    server.json(&send);
    server.text(&["product", "update", PRODUCT, "--data-format", "json"]);
    assert_eq!(get(&mut client, "nowhere"), (NOT_FOUND, false, vec![]));
    assert_eq!(get(&mut client, "c"), (NOT_FOUND, false, vec![]));
    let down = format!("topic/sys/{PRODUCT}/{DEVICE}/thing/model/down_raw");
    assert_eq!(get(&mut client, &down), (FORBIDDEN, false, vec![]));
    let id = sent["id"].as_str().expect("an id");
    let shown = server.json(&["command", "show", PRODUCT, DEVICE, id]);
    assert_eq!((&shown["state"], &shown["code"]), (&json!("failed"), &json!(11810)), "{shown}");
    let all = server.json(&["command", "list", PRODUCT, DEVICE]);
    assert!(all.as_array().unwrap().iter().all(|command| command["state"] == json!("failed")), "{all}");
    server.assert_alive();
}
