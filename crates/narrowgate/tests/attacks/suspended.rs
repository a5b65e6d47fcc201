//! Section J, 166: an organisation unit is suspended.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::DeviceName,
    rules::{
        identity::{Identity, SecureMode},
        sign,
    },
    secret::Secret,
};

use crate::{
    authority::{assert_ended, product_of},
    client::Client,
    coap,
    harness::{AT_ONCE, Device, Server},
};

const CHANGED: u8 = 0x44;
const UNAUTHORIZED: u8 = 0x81;
const FORBIDDEN: u8 = 0x83;

/// A unit `north` whose product `pk2` has a device for each protection that is connected.
fn north(server: &Server) -> [Client; 3] {
    server.json(&["ou", "create", "north"]);
    product_of(server, &["--ou", "north"])
}

fn report_path(device: &Device) -> String {
    format!("topic/sys/pk2/{}/thing/measurepoint/post", device.key)
}

#[track_caller]
fn assert_reports(client: &mut Client) {
    let mid = client.next_mid();
    let answer = client.exchange(&coap::report(mid, &report_path(&client.device), 1));
    assert_eq!(coap::code_of(&answer, mid), CHANGED);
}

fn values(server: &Server, client: &Client) -> usize {
    let device = format!("pk2/{}", client.device.key);
    let arguments = ["device", "points", &device, "--point", "temp", "--from", "2020-01-01T00:00:00Z"];
    server.json(&arguments).to_string().matches("\"time\"").count()
}

#[test]
fn attack_166_a_suspended_unit() {
    let server = Server::start();
    let mut clients = north(&server);
    clients.iter_mut().for_each(assert_reports);
    let since = Instant::now();
    let shown = server.json(&["ou", "suspend", "north"]);
    assert!(shown["suspendedAt"].is_i64(), "{shown}");
    for client in &mut clients {
        // Its session ends, and no new one comes about.
        assert_ended(&server, client, since);
    }
    let [first, ..] = &clients;
    let log = ["device", "log", "pk2", &first.device.key];
    server.wait_for_json(&log, |log| log.contains("\"unit_suspended\""));
    let said = server.json(&log).to_string();
    assert!(said.contains("closed: its organisation unit was suspended"), "{said}");
    let refused = server.json(&["refused", "--limit", "100"]);
    let refused = refused.as_array().unwrap().iter().find(|entry| entry["reason"] == "unit_suspended");
    let refused = refused.expect("it is in the list of all");
    assert_eq!(
        (&refused["code"], refused["detail"].as_str().map(|said| said.contains("pk2"))),
        (&723.into(), Some(true))
    );
    // What is stored stays, and shows; a command is not taken.
    assert_eq!(values(&server, first), 1);
    let name = format!("pk2/{}", first.device.key);
    let sent = server.command(&["command", "send", &name, "--get", "temp", "--pending-ttl", "60"]).output();
    let sent = sent.unwrap();
    let said = String::from_utf8_lossy(&sent.stderr);
    assert!(!sent.status.success() && said.contains("is suspended (723)"), "{said}");
    // The others notice nothing.
    server.assert_alive();
    assert_eq!(server.json(&["ou", "resume", "north"])["suspendedAt"], serde_json::Value::Null);
    for client in &mut clients {
        client.start_anew();
        client.connect();
        assert_reports(client);
        assert_eq!(values(&server, client), 2);
    }
}

/// A restart changes nothing of it, and leaves no device of the unit online; nor does a unit that is
/// suspended while no server runs.
#[test]
fn attack_166_a_suspended_unit_stays_so_over_a_restart() {
    let mut server = Server::start();
    let mut clients = north(&server);
    server.stop();
    // Each was told that the server goes.
    let told = |client: &Client| client.receive_within(AT_ONCE).is_some();
    assert!(clients.iter().all(told));
    server.json(&["ou", "suspend", "north"]);
    server.restart(&[]);
    let online = ["device", "list", "--product", "pk2", "--state", "online"];
    server.wait_for_json(&online, |listed| !listed.contains("other-"));
    for client in &mut clients {
        client.set_server(server.address);
        client.start_anew();
        client.ask_cookie();
        client.take_server_hello();
        let flight = client.flight_5();
        client.send(&flight);
        let log = ["device", "log", "pk2", &client.device.key];
        server.wait_for_json(&log, |log| log.contains("unit_suspended"));
        assert_eq!(client.waiting(), None, "an answer where silence is due");
    }
    // A product that comes meanwhile is as its unit.
    server.json(&["product", "create", "late", "--product-key", "pk3", "--ou", "north"]);
    let units = server.json(&["ou", "list"]);
    let suspended: Vec<_> =
        units.as_array().unwrap().iter().map(|unit| unit["suspendedAt"].is_i64()).collect();
    assert_eq!(suspended, [false, true]);
    server.json(&["ou", "resume", "north"]);
    for client in &mut clients {
        client.start_anew();
        client.connect();
        assert_reports(client);
    }
}

#[test]
fn attack_166_a_suspended_unit_plain() {
    let server = Server::start_with(&[("COAP_LISTEN", "127.0.0.1:0")]);
    let clients = north(&server);
    let device = &clients[0].device;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.plain_address()).unwrap();
    socket.set_read_timeout(Some(2 * AT_ONCE)).unwrap();
    let ask = |message: &[u8]| {
        socket.send(message).unwrap();
        let mut answer = [0; 1500];
        let length = socket.recv(&mut answer).expect("an answer");
        answer[..length][1]
    };
    let name = DeviceName { product_key: "pk2".into(), device_key: device.key.clone() };
    let identity = Identity { name, mode: SecureMode::DeviceSecret, lifetime_s: 3600 };
    let sign = sign::sign(&identity, &Secret::new(device.secret.clone()));
    let body = format!(r#"{{"secureMode":2,"lifetime":3600,"sign":"{sign}"}}"#);
    let login = |mid| coap::post(mid, &format!("auth/pk2/{}", device.key), &body);
    assert_eq!(ask(&login(1)), CHANGED);
    assert_eq!(ask(&coap::report(2, &report_path(device), 1)), CHANGED);
    server.json(&["ou", "suspend", "north"]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(ask(&coap::report(3, &report_path(device), 1)), UNAUTHORIZED, "the login stands");
    assert_eq!(ask(&login(4)), FORBIDDEN);
    server.json(&["ou", "resume", "north"]);
    assert_eq!(ask(&login(5)), CHANGED);
    server.assert_alive();
}
