//! Section J: what a session may ask for, and when it ends.

use std::{
    thread,
    time::{Instant, SystemTime},
};

use narrowgate_platform::rules::psk;

use crate::{
    client::{ALERT, APPLICATION_DATA, Client, Protection},
    coap::{self, hex},
    harness::{AT_ONCE, Device, PRODUCT_KEY, PRODUCT_SECRET, Server},
    races::assert_gone,
    tap::{Tap, decrypt},
};

const FORBIDDEN: u8 = 0x83;

pub(crate) fn activation_path(device_key: &str) -> String {
    format!("topic/ext/session/{PRODUCT_KEY}/{device_key}/thing/activate/info")
}

/// A client that has the product's secret and no more.
pub(crate) fn activating(server: &Server, device: &Device, protection: Protection) -> Client {
    let mut client = Client::new(server.address, device.clone(), protection);
    client.identity = format!("{PRODUCT_KEY},{},3,60", device.key).into_bytes();
    client.psk = psk::derive(PRODUCT_SECRET.as_bytes()).to_vec();
    client
}

/// Code of the answer to a message that begins with a header.
#[track_caller]
fn code(client: &mut Client, message: &[u8]) -> (u8, Vec<u8>) {
    let mid = u16::from_be_bytes([message[2], message[3]]);
    let answer = client.exchange(message);
    (coap::code_of(&answer, mid), answer)
}

#[test]
fn attack_152_another_devices_topic() {
    let server = Server::start();
    let (other, disabled) = (server.device(), server.device());
    server.json(&["device", "disable", PRODUCT_KEY, &disabled.key]);
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let mut answers = Vec::new();
        for key in [other.key.as_str(), disabled.key.as_str(), "nobody"] {
            for path in [
                format!("topic/sys/{PRODUCT_KEY}/{key}/thing/measurepoint/post"),
                format!("topic/sys/{PRODUCT_KEY}/{key}/no/such/topic"),
                format!("topic/sys/other/{key}/thing/measurepoint/post"),
                format!("auth/{PRODUCT_KEY}/{key}"),
                activation_path(key),
            ] {
                let mid = client.next_mid();
                let (code, answer) = code(&mut client, &coap::report(mid, &path, 1));
                assert_eq!(code, FORBIDDEN, "{path}");
                answers.push(answer[4..].to_vec());
            }
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "all look the same: {answers:02x?}");
        client.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn attack_154_query_and_host_have_no_influence() {
    let server = Server::start();
    let other = server.device();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let body = concat!(
            r#"{"id":"1","version":"1.0","params":{"measurepoints":{"forged":1}},"#,
            r#""method":"thing.measurepoint.post"}"#
        )
        .as_bytes();
        for path in [client.device.report_path(), other.report_path()] {
            let mid = client.next_mid();
            let host = other.key.as_bytes();
            // Uri-Host (3), path (11), Content-Format (12), Uri-Query (15).
            let mut message = coap::message(0x40, 2, mid, &[0x30 | host.len() as u8]);
            message.extend(host);
            let options = coap::uri_path(&path);
            message.push(options[0] - 0x30);
            message.extend(&options[1..]);
            message.extend(hex("11 32"));
            let query = format!("user={}", other.key);
            message.push(0x30 | query.len() as u8);
            message.extend(query.as_bytes());
            message.push(0xff);
            message.extend(body);
            let (code, _) = code(&mut client, &message);
            assert_eq!(code, if path == other.report_path() { FORBIDDEN } else { 0x44 });
        }
        client.assert_reports();
    }
    let points = server.json(&["device", "points", &format!("{PRODUCT_KEY}/{}", other.key)]);
    assert!(!points.to_string().contains("forged"), "{points}");
    server.assert_alive();
}

#[test]
fn attack_156_and_157_what_a_mode_3_session_may_ask() {
    let server = Server::start();
    server.json(&["product", "update", PRODUCT_KEY, "--dynamic-activation", "on"]);
    let other = server.device();
    for protection in Protection::ALL {
        let device = server.device();
        let mut client = activating(&server, &device, protection);
        client.connect();
        let own = device.report_path();
        let get_own = coap::get(1, &own);
        let mut observe = coap::message(0x40, 1, 2, &[0x60]);
        let path = coap::uri_path(&format!("topic/sys/{PRODUCT_KEY}/{}/thing/commands", device.key));
        observe.push(path[0] - 0x60);
        observe.extend(&path[1..]);
        for message in [
            coap::report(3, &own, 1),
            get_own,
            observe,
            coap::post(4, &activation_path(&device.key), "{}"),
            coap::post(5, &format!("auth/{PRODUCT_KEY}/{}", device.key), "{}"),
            coap::get(6, "no/such/path"),
            // 157
            coap::get(7, &activation_path(&other.key)),
            coap::get(8, &activation_path("nobody")),
        ] {
            let (code, answer) = code(&mut client, &message);
            assert_eq!(code, FORBIDDEN, "{answer:02x?}");
            assert!(!answer.contains(&0xff), "without a payload");
        }
        let shown = server.json(&["device", "show", PRODUCT_KEY, &device.key]);
        assert_eq!(shown["state"], "inactive", "{shown}");
        let log = ["device", "log", PRODUCT_KEY, &device.key];
        server.wait_for_json(&log, |log| log.contains("topic_foreign"));
    }
    server.assert_alive();
}

#[test]
fn attack_158_activation_is_off() {
    let server = Server::start();
    for protection in Protection::ALL {
        let device = server.device();
        let mut client = activating(&server, &device, protection);
        client.ask_cookie();
        client.take_server_hello();
        let flight = client.flight_5();
        client.send(&flight);
        // Either the session does not come about, or its only question is refused.
        if let Some(answer) = client.receive_within(AT_ONCE) {
            client.check_finished(&answer);
            let (code, answer) = code(&mut client, &coap::get(1, &activation_path(&device.key)));
            assert_eq!(code, FORBIDDEN, "{answer:02x?}");
        }
        let log = ["device", "log", PRODUCT_KEY, &device.key];
        server.wait_for_json(&log, |log| log.contains("dynamic_activation_off"));
    }
    server.assert_alive();
}

#[test]
fn attack_159_a_retransmitted_activation() {
    let server = Server::start();
    server.json(&["product", "update", PRODUCT_KEY, "--dynamic-activation", "on"]);
    for protection in Protection::ALL {
        let device = server.device();
        let mut client = activating(&server, &device, protection);
        client.connect();
        let ask = coap::get(0x1234, &activation_path(&device.key));
        let (content, answer) = code(&mut client, &ask);
        assert_eq!(content, 0x45);
        for _ in 0..5 {
            assert_eq!(client.exchange(&ask), answer, "the same bytes");
        }
        // Copies that overtake each other, of which a third is lost on the way, and a third of the answers.
        for copy in 0..30 {
            let record = client.data(&ask);
            if copy % 3 != 0 {
                client.send(&record);
            }
        }
        server.marker();
        let mut heard = 0;
        while let Some(record) = client.waiting() {
            heard += 1;
            if heard % 3 != 0 {
                assert_eq!(client.keys().open(&record), Some((APPLICATION_DATA, answer.clone())));
            }
        }
        assert_eq!(heard, 20, "each copy that arrives is answered");
        let body = answer.iter().position(|&byte| byte == 0xff).map(|at| &answer[at + 1..]).unwrap();
        let info: serde_json::Value = serde_json::from_slice(body).unwrap();
        let secret = info["params"]["deviceSecret"].as_str().unwrap().to_owned();
        assert_ne!(secret, device.secret);
        // It is the one that is valid; the one before is not.
        let mut old = Client::new(server.address, device.clone(), protection);
        old.ask_cookie();
        old.take_server_hello();
        let flight = old.flight_5();
        old.send(&flight);
        server.wait_for_metric("narrowgate_lookups", |lookups| lookups == 0);
        server.assert_silent(&mut old);
        let mut new = Client::new(server.address, Device { secret, ..device.clone() }, protection);
        new.connect();
        new.assert_reports();
        // 771: now its secret is fixed.
        let mut again = activating(&server, &device, protection);
        again.ask_cookie();
        again.take_server_hello();
        let flight = again.flight_5();
        again.send(&flight);
        if let Some(answer) = again.receive_within(AT_ONCE) {
            again.check_finished(&answer);
            let (code, _) = code(&mut again, &coap::get(9, &activation_path(&device.key)));
            assert_eq!(code, FORBIDDEN);
        }
    }
    server.assert_alive();
}

/// The product's devices are refused, each question anew; another product's device activates meanwhile.
#[test]
fn attack_208_a_stolen_product_secret_harms_no_other_product() {
    const THIEVES: usize = 40;
    const QUESTIONS: u16 = 16;
    let server = Server::start();
    let keys = ["--product-key", "px", "--product-secret", "Z5YtZaQpK5I", "--dynamic-activation"];
    server.json(&[&["product", "create", "other"][..], &keys].concat());
    server.json(&["device", "create", "--product", "px", "--device-key", "dx"]);
    let mut thieves: Vec<Client> = (0..THIEVES)
        .map(|number| activating(&server, &server.device(), Protection::ALL[number % 3]))
        .collect();
    thieves.iter_mut().for_each(Client::connect);
    let before = server.metric("narrowgate_store_batches_total");
    for mid in 1..=QUESTIONS {
        for thief in &mut thieves {
            let question = coap::get(mid, &activation_path(&thief.device.key));
            thief.say(&question);
        }
    }
    let mut honest =
        Client::new(server.address, Device { key: "dx".into(), secret: String::new() }, Protection::Ccm8);
    honest.identity = b"px,dx,3,60".to_vec();
    honest.psk = psk::derive(b"Z5YtZaQpK5I").to_vec();
    honest.connect();
    let (code, _) = code(&mut honest, &coap::get(1, "topic/ext/session/px/dx/thing/activate/info"));
    assert_eq!(code, 0x45);
    server.assert_alive();
    let log = ["device", "log", PRODUCT_KEY, &thieves[0].device.key];
    server.wait_for_json(&log, |log| log.contains("dynamic_activation_off"));
    let batches = server.metric("narrowgate_store_batches_total") - before;
    assert!(batches < u64::from(QUESTIONS) * THIEVES as u64 / 2, "{batches} transactions for refusals");
    // A device of the stolen product has a few such sessions at a time.
    let device = server.device();
    let mut many: Vec<Client> =
        (0..6).map(|_| activating(&server, &device, Protection::CbcEncryptThenMac)).collect();
    many.iter_mut().for_each(Client::connect);
    server.wait_for_metric("narrowgate_activations_closed_total", |closed| closed == 2);
    // And the secret is replaced: the sessions end, and nobody begins another one with it.
    server.json(&["product", "rotate-secret", PRODUCT_KEY, "--yes"]);
    let mut late = activating(&server, &device, Protection::Ccm8);
    late.ask_cookie();
    late.take_server_hello();
    let flight = late.flight_5();
    server.assert_ignored(&mut late, &flight);
    many[0].receive_until("close_notify", |record| record[0] == 21);
    server.assert_alive();
}

#[test]
fn attack_163_a_sweep_with_a_stolen_product_secret() {
    const QUOTA: usize = 5;
    let server = Server::start();
    server.json(&["product", "update", PRODUCT_KEY, "--dynamic-activation", "on", "--quota", "5"]);
    let mut issued = 0;
    for number in 0..20 {
        let device = server.device();
        let mut client = activating(&server, &device, Protection::ALL[number % 3]);
        client.connect();
        let (code, answer) = code(&mut client, &coap::get(1, &activation_path(&device.key)));
        match code {
            0x45 => issued += 1,
            // 4.29 with Max-Age (14).
            0x9d => assert!(answer[4] >> 4 == 13 || answer[4] >> 4 == 14, "{answer:02x?}"),
            code => panic!("{code:02x}"),
        }
    }
    assert_eq!(issued, QUOTA);
    server.wait_for_json(&["refused", "--limit", "100"], |refused| refused.contains("rate_limited"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let end = (now + AT_ONCE).as_millis().to_string();
    server.json(&["product", "update", PRODUCT_KEY, "--activation-ends", &end]);
    thread::sleep(AT_ONCE + AT_ONCE / 5);
    let device = server.device();
    let mut client = activating(&server, &device, Protection::Ccm8);
    client.ask_cookie();
    client.take_server_hello();
    let flight = client.flight_5();
    client.send(&flight);
    if let Some(answer) = client.receive_within(AT_ONCE) {
        client.check_finished(&answer);
        let (code, _) = code(&mut client, &coap::get(1, &activation_path(&device.key)));
        assert_eq!(code, FORBIDDEN, "the window is over");
    }
    server.assert_alive();
}

/// What pre-shared keys cannot prevent, as docs/security.md says: who records an activation and has the
/// product's secret, then or years later, reads the device's secret, and with it the reports. Of other
/// devices he reads nothing.
#[test]
fn attack_164_a_recorded_activation() {
    let server = Server::start();
    server.json(&["product", "update", PRODUCT_KEY, "--dynamic-activation", "on"]);
    for protection in Protection::ALL {
        let device = server.device();
        let tap = Tap::new(server.address);
        let mut client = activating(&server, &device, protection);
        client.set_server(tap.address);
        client.connect();
        assert!(!client.is_extended());
        client.exchange(&coap::get(1, &activation_path(&device.key)));
        let product_key = psk::derive(PRODUCT_SECRET.as_bytes());
        let read = decrypt(&tap.recorded(), protection, &*product_key);
        let body = read.iter().find_map(|message| message.split(|&byte| byte == 0xff).nth(1)).unwrap();
        let info: serde_json::Value = serde_json::from_slice(body).unwrap();
        let secret = info["params"]["deviceSecret"].as_str().unwrap().to_owned();
        // With it the device's own sessions are open too.
        let tap = Tap::new(server.address);
        let mut owner = Client::new(tap.address, Device { secret: secret.clone(), ..device }, protection);
        owner.connect();
        owner.assert_reports();
        let device_key = psk::derive(secret.as_bytes());
        assert!(!decrypt(&tap.recorded(), protection, &*device_key).is_empty());
        // The product's secret does not open what a device does with its own, nor another's.
        assert!(decrypt(&tap.recorded(), protection, &*product_key).is_empty());
        let another = psk::derive(server.device().secret.as_bytes());
        assert!(decrypt(&tap.recorded(), protection, &*another).is_empty());
    }
    server.assert_alive();
}

/// The session is told within a second and is no session any more.
#[track_caller]
pub(crate) fn assert_ended(server: &Server, client: &mut Client, since: Instant) {
    let goodbye = client.receive_within(2 * AT_ONCE).expect("close_notify");
    assert!(since.elapsed() < 3 * AT_ONCE, "{:?}", since.elapsed());
    assert_eq!(client.keys().open(&goodbye), Some((ALERT, vec![1, 0])));
    assert_gone(server, client);
}

#[test]
fn attack_165_a_disabled_or_deleted_device() {
    let server = Server::start();
    for protection in Protection::ALL {
        for (end, back) in [("disable", true), ("delete", false)] {
            let mut client = server.connect(protection);
            client.assert_reports();
            let key = client.device.key.clone();
            let mut arguments = vec!["device", end, PRODUCT_KEY, &key];
            if end == "delete" {
                arguments.push("--yes");
            }
            let since = Instant::now();
            server.json(&arguments);
            assert_ended(&server, &mut client, since);
            if back {
                server.json(&["device", "enable", PRODUCT_KEY, &key]);
                client.start_anew();
                client.connect();
                client.assert_reports();
            }
        }
    }
    server.assert_alive();
}

/// A product `pk2`, with a device for each protection that is connected.
fn another_product(server: &Server) -> [Client; 3] {
    product_of(server, &[])
}

/// The same, created with further options.
pub(crate) fn product_of(server: &Server, more: &[&str]) -> [Client; 3] {
    server.json(&[&["product", "create", "others", "--product-key", "pk2"], more].concat());
    Protection::ALL.map(|protection| {
        let key = format!("other-{protection:?}");
        let secret = "Z5YtZaQpK5IWocakV7zQ";
        server.json(&[
            "device",
            "create",
            "--product",
            "pk2",
            "--device-key",
            &key,
            "--device-secret",
            secret,
        ]);
        let device = Device { key: key.clone(), secret: secret.into() };
        let mut client = Client::new(server.address, device, protection);
        client.identity = format!("pk2,{key},2,3600").into_bytes();
        client.connect();
        client
    })
}

#[test]
fn attack_166_a_disabled_product() {
    let server = Server::start();
    let mut clients = another_product(&server);
    let since = Instant::now();
    server.json(&["product", "update", "pk2", "--disable"]);
    for client in &mut clients {
        assert_ended(&server, client, since);
    }
    server.json(&["product", "update", "pk2", "--enable"]);
    for client in &mut clients {
        client.start_anew();
        client.connect();
        let mid = client.next_mid();
        assert_eq!(client.exchange(&coap::ping(mid)), coap::reset(mid));
    }
    server.assert_alive();
}

/// A restart leaves its devices online without a session: they go offline when it is switched off, and at the
/// start where that was done while no server ran.
#[test]
fn attack_166_a_disabled_product_whose_devices_have_no_session() {
    let mut server = Server::start();
    let clients = another_product(&server);
    server.restart(&[]);
    let online = ["device", "list", "--product", "pk2", "--state", "online"];
    assert_eq!(server.json(&online)["devices"].as_array().map(Vec::len), Some(clients.len()));
    server.json(&["product", "update", "pk2", "--disable"]);
    server.wait_for_json(&online, |listed| !listed.contains("other-"));
    let log = server.json(&["device", "log", "pk2", &clients[0].device.key]).to_string();
    assert!(log.contains("closed: its product was switched off"), "{log}");
    server.json(&["product", "update", "pk2", "--enable"]);
    let mut again = Client::new(server.address, clients[0].device.clone(), Protection::ALL[0]);
    again.identity = format!("pk2,{},2,3600", again.device.key).into_bytes();
    again.connect();
    server.wait_for_json(&online, |listed| listed.contains("other-"));
    server.stop();
    server.json(&["product", "update", "pk2", "--disable"]);
    server.restart(&[]);
    server.wait_for_json(&online, |listed| !listed.contains("other-"));
}

/// Its sessions end, no new one comes about, and one of the same key knows nothing of it.
#[test]
fn attack_166_a_deleted_product() {
    let server = Server::start();
    let mut other = server.connect(Protection::ALL[0]);
    let mut clients = another_product(&server);
    let since = Instant::now();
    server.json(&["product", "delete", "pk2", "--force", "--yes"]);
    for client in &mut clients {
        assert_ended(&server, client, since);
    }
    other.assert_reports();
    // Created anew with the same devices and secrets: they connect, and their reports are taken.
    let mut clients = another_product(&server);
    for client in &mut clients {
        let report =
            coap::report(7, &format!("topic/sys/pk2/{}/thing/measurepoint/post", client.device.key), 1);
        assert_eq!(code(client, &report).0, 0x44);
    }
    server.assert_alive();
}

/// Two devices with one secret: the log of the device says so, once, and both are served meanwhile.
#[test]
fn attack_203_two_devices_that_use_one_secret() {
    let server = Server::start();
    let device = server.device();
    for _ in 0..8 {
        // Each client has an address of its own.
        server.connect_again(device.clone(), Protection::ALL[0]).assert_reports();
    }
    let log = ["device", "log", PRODUCT_KEY, &device.key];
    server.wait_for_json(&log, |log| log.contains("secret_shared"));
    let log = server.json(&log).to_string();
    assert_eq!(log.matches("secret_shared").count(), 1, "{log}");
    assert!(log.contains("two devices probably use the same secret") && log.contains("warning"), "{log}");
    assert_eq!(server.metric("narrowgate_secret_shared_alarms_total"), 1);
    server.assert_alive();
}
