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

const CHANGED: u8 = 0x44;
const BAD_REQUEST: u8 = 0x80;
const UNAVAILABLE: u8 = 0xa3;
const OCTETS: u8 = 42;

/// The first byte says what happens; 0 is a report, which takes some milliseconds.
const SCRIPT: &str = r#"
function rawDataToJsonStr(b) {
  if (b[0] === 1) for (;;);
  if (b[0] === 2) { var all = []; for (;;) all.push(new Array(100000).fill(7)); }
  if (b[0] === 3) return (function f() { return f() + 1; })();
  if (b[0] === 4) throw new Error("no such tag");
  if (b[0] === 5) return "x".repeat(1 << 20);
  if (b[0] === 6) return "no JSON";
  for (var i = 0, sum = 0; i < 200000; i++) sum += i;
  return '{"id":"7","method":"thing.measurepoint.post","params":{"measurepoints":{"n":' + b[1] + '}}}';
}
function jsonStrToRawData(j) { return [200]; }
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
        let answer = client.exchange(&request(mid, body));
        match code_of(&answer, mid) {
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
    for deed in 1..=6 {
        assert_eq!(ask(&mut client, &[deed]), (BAD_REQUEST, vec![]), "deed {deed}");
        assert_eq!(ask(&mut client, &[0, 11]), (CHANGED, hex("c8")), "after deed {deed}");
    }
    let stored = server.json(&["device", "points", PRODUCT, DEVICE, "--from", "0"]);
    assert!(stored.as_array().unwrap().iter().all(|row| row["value"] == json!(11)), "{stored}");
    assert_eq!(stored.as_array().unwrap().len(), 7);
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
