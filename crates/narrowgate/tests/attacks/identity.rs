//! Section C: identities and keys.

use std::time::Duration;

use narrowgate_platform::rules::psk;

use crate::{
    client::{Client, HANDSHAKE, Protection},
    harness::{Device, HANDSHAKE_LIFETIME, PRODUCT_KEY, Server},
};

/// Goes through a handshake with an identity that is not good; there must be no answer to flight 5.
#[track_caller]
fn assert_unknown(server: &Server, client: &mut Client) {
    client.ask_cookie();
    client.take_server_hello();
    let flight = client.flight_5();
    client.send(&flight);
    // Twice: what is refused once is not taken up by repetition.
    client.send(&flight);
    server.wait_for_metric("narrowgate_lookups", |lookups| lookups == 0);
    server.assert_silent(client);
}

#[test]
fn attack_069_unknown_identity_and_wrong_key_look_alike() {
    let server = Server::start();
    let mut clients = Vec::new();
    for protection in Protection::ALL {
        let mut unknown = server.client(protection);
        unknown.identity = format!("{PRODUCT_KEY},nobody,2,3600").into_bytes();
        let mut wrong = server.client(protection);
        wrong.psk = psk::derive(b"not the secret").to_vec();
        for mut client in [unknown, wrong] {
            assert_unknown(&server, &mut client);
            clients.push(client);
        }
    }
    server.assert_alive();
    // Nothing is said when they end either.
    std::thread::sleep(HANDSHAKE_LIFETIME);
    server.assert_nothing_left();
    for client in &mut clients {
        assert_eq!(client.waiting(), None);
    }
    let refused = server.json(&["refused", "--limit", "100"]);
    let reasons: Vec<_> =
        refused.as_array().unwrap().iter().map(|entry| entry["reason"].as_str().unwrap()).collect();
    for reason in ["device_unknown", "wrong_key"] {
        assert!(reasons.iter().filter(|named| **named == reason).count() >= 3, "{reasons:?}");
    }
    server.assert_alive();
}

#[test]
fn attack_071_to_078_identities_that_are_no_devices() {
    let server = Server::start();
    let device = server.device();
    let key = &device.key;
    let pk = PRODUCT_KEY;
    let mut identities: Vec<Vec<u8>> = vec![
        // 71
        vec![],
        // 74
        format!("{pk},{key},2").into(),
        format!("{pk},{key},2,60,").into(),
        format!("{pk},,2,60").into(),
        format!(",{key},2,60").into(),
        b",,,".to_vec(),
        format!("{pk},{key},2,60,1").into(),
        vec![b','; 1500],
        vec![0; 4],
        vec![0xff; 81],
        // 78
        format!("PK,{key},2,60").into(),
        format!("%70k,{key},2,60").into(),
        format!("{pk},{},2,60", key.to_uppercase()).into(),
        format!("{pk},{key}\0,2,60").into(),
        format!("{pk},dk-000é,2,60").into(),
        format!("{pk},dk-000e\u{301},2,60").into(),
    ];
    // 75, 76
    for mode in ["0", "1", "4", "-1", "02", "2 ", "２", "18446744073709551616", ""] {
        identities.push(format!("{pk},{key},{mode},3600").into());
    }
    for lifetime in ["29", "86401", "0", "-1", "+60", "060", "60.0", "1e3", "9223372036854775808", ""] {
        identities.push(format!("{pk},{key},2,{lifetime}").into());
    }
    for (index, identity) in identities.into_iter().enumerate() {
        let mut client = Client::new(server.address, device.clone(), Protection::ALL[index % 3]);
        client.identity = identity;
        assert_unknown(&server, &mut client);
    }
    for (index, lifetime) in ["30", "86400"].into_iter().enumerate() {
        let mut client = Client::new(server.address, device.clone(), Protection::ALL[index % 3]);
        client.identity = format!("{pk},{key},2,{lifetime}").into();
        client.connect();
        client.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn attack_073_identities_of_another_length() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.client(protection);
        let good = client.identity.clone();
        for (says, bytes) in
            [(0xffff, &b"abc"[..]), (good.len() + 1, &good), (good.len() - 1, &good), (0, &good), (3, b"ab")]
        {
            client.start_anew();
            client.ask_cookie();
            client.take_server_hello();
            let body = [&(says as u16).to_be_bytes()[..], bytes].concat();
            let message = crate::client::message(16, 2, &body);
            let datagram = client.plain(HANDSHAKE, &message);
            client.send(&datagram);
            server.marker();
            // Dropped, or refused by decode_error.
            let answer = client.waiting();
            assert!(answer.is_none_or(|answer| answer[0] == 21 && answer[13..15] == [2, 50]));
        }
        client.start_anew();
        client.connect();
        client.assert_reports();
    }
    server.assert_alive();
}

/// One stranger asks for 10,000 identities from an address that it shares with honest devices.
#[test]
fn attack_081_and_095_a_sweep_of_identities_is_limited_and_others_behind_its_address_get_in() {
    const SWEEP: u32 = 10_000;
    const AT_ONCE_MAX: u64 = 300;
    let server = Server::start_with(&[("ADMISSION_HANDSHAKES_PER_ADDRESS_MAX", "300")]);
    let shared = [127, 97, std::process::id().to_be_bytes()[3], 1];
    let (mut tried, mut connected, mut peak) = (0, 0, 0);
    let mut strangers = Vec::new();
    let resident = server.resident_bytes();
    for number in 0..SWEEP {
        let device = Device { key: format!("86772503{number:07}"), secret: "unknown".into() };
        let mut stranger =
            Client::at((shared, 0).into(), server.address, device, Protection::ALL[number as usize % 3]);
        stranger.ask_cookie();
        stranger.take_server_hello();
        let flight = stranger.flight_5();
        stranger.send(&flight);
        strangers.push(stranger);
        if strangers.len() > 200 {
            strangers.clear();
        }
        if number % 120 == 0 {
            // An honest device behind the same address, another port; 84 of them.
            let mut honest =
                Client::at((shared, 0).into(), server.address, server.device(), Protection::ALL[tried % 3]);
            tried += 1;
            honest.connect();
            honest.assert_reports();
            connected += 1;
            peak = peak.max(server.metric("narrowgate_handshakes"));
        }
    }
    assert!(connected * 100 >= tried * 99, "{connected} of {tried}");
    assert!(peak <= AT_ONCE_MAX, "{peak} at once");
    assert!(server.counted(r#"handshakes_total{outcome="evicted"}"#) > 5000, "the oldest make room");
    let growth = server.resident_bytes().saturating_sub(resident);
    assert!(growth < 12 << 20, "{growth} bytes");
    server.assert_alive();
    server.assert_nothing_left();
}

#[test]
fn attack_082_a_secret_changed_during_a_session_and_a_handshake() {
    let server = Server::start();
    for protection in Protection::ALL {
        let device = server.device();
        let mut session = Client::new(server.address, device.clone(), protection);
        session.connect();
        session.assert_reports();
        let mut halfway = Client::new(server.address, device.clone(), protection);
        halfway.ask_cookie();
        halfway.take_server_hello();

        let new = server.json(&["device", "reset", PRODUCT_KEY, &device.key, "--yes"]);
        let secret = new["deviceSecret"].as_str().expect("the new secret").to_owned();

        // At once: the handshake that was under way gets no further with the old key, nor does a new one.
        let flight = halfway.flight_5();
        halfway.send(&flight);
        let mut old = Client::new(server.address, device.clone(), protection);
        old.ask_cookie();
        old.take_server_hello();
        let flight = old.flight_5();
        old.send(&flight);
        server.wait_for_metric("narrowgate_lookups", |lookups| lookups == 0);
        server.assert_silent(&mut halfway);
        server.assert_silent(&mut old);
        // The session of the old secret has ended: it says close_notify.
        let ended = session.receive_within(Duration::from_secs(2)).expect("it is told");
        assert_eq!(session.keys().open(&ended), Some((21, vec![1, 0])));

        let mut new = Client::new(server.address, Device { secret, ..device }, protection);
        new.connect();
        new.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn attack_083_a_weak_secret_is_flagged() {
    let server = Server::start();
    let weak = server.json(&[
        "device",
        "create",
        "--product",
        PRODUCT_KEY,
        "--device-key",
        "weak-1",
        "--device-secret",
        "12345678",
    ]);
    assert!(weak.to_string().contains("bits"), "{weak}");
    let device = Device { key: "weak-1".into(), secret: "12345678".into() };
    let mut client = Client::new(server.address, device, Protection::Ccm8);
    client.connect();
    client.assert_reports();
    server.assert_alive();
}
