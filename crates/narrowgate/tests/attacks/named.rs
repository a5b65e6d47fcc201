//! What an operator reads of peers that cannot be served: in `narrowgate refused`, in plain words, and not
//! more than is good.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    client::{Client, HANDSHAKE, Hello, Protection, extension, fragment, message},
    handshake::{HANDSHAKE_FAILURE, assert_refused},
    harness::{HANDSHAKE_LIFETIME, PRODUCT_KEY, Server},
};

const REFUSED: [&str; 3] = ["refused", "--limit", "1000"];

fn wait_for(server: &Server, reason: &str, words: &[&str]) {
    server.wait_for_json(&REFUSED, |text| {
        text.contains(reason) && words.iter().all(|word| text.contains(word))
    });
}

#[test]
fn suites_are_named_beside_what_is_expected() {
    let server = Server::start();
    let mut client = server.client(Protection::Ccm8);
    client.hello.suites = vec![0x00, 0xa9, 0x7f, 0x01, 0x00, 0xff];
    client.ask_cookie();
    assert_refused(&client, &client.hello.datagram(), &[HANDSHAKE_FAILURE]);
    let words = [
        "the peer offers TLS_PSK_WITH_AES_256_GCM_SHA384 (00A9), 7F01;",
        "expected is TLS_PSK_WITH_AES_128_CCM_8 (C0A8) or TLS_PSK_WITH_AES_128_CBC_SHA256 (00AE)",
    ];
    wait_for(&server, "no_common_cipher_suite", &words);
    server.assert_alive();
}

#[test]
fn versions_are_named_with_and_without_a_cookie() {
    let server = Server::start();
    let mut old = server.client(Protection::Ccm8);
    old.hello.version = 0xfeff;
    old.ask_cookie();
    assert_refused(&old, &old.hello.datagram(), &[70]);
    wait_for(&server, "version_unsupported", &["the peer offers DTLS 1.0; expected is DTLS 1.2"]);
    // A client of DTLS 1.3 alone says nothing after the HelloVerifyRequest.
    let mut new = server.client(Protection::Ccm8);
    new.hello.suites = vec![0x13, 0x04, 0x13, 0x01];
    new.hello.extensions = Some(extension(43, &[2, 0xfe, 0xfc]));
    new.ask_cookie();
    wait_for(&server, "version_unsupported", &["the peer offers DTLS 1.3; expected is DTLS 1.2"]);
    assert_refused(&new, &new.hello.datagram(), &[70]);
    server.assert_alive();
}

#[test]
fn an_identity_that_is_too_long_leaves_an_entry() {
    let server = Server::start();
    for length in [2046, 2047, 3000, 65_535] {
        let mut client = server.client(Protection::Ccm8);
        client.ask_cookie();
        client.take_server_hello();
        let body = [&(length as u16).to_be_bytes()[..], &vec![b'y'; length]].concat();
        for (number, chunk) in body.chunks(1000).take(3).enumerate() {
            let piece = fragment(16, 2, 1000 * number, chunk, body.len());
            let datagram = client.plain(HANDSHAKE, &piece);
            server.assert_ignored(&mut client, &datagram);
        }
        let peer = client.local_address().to_string();
        let words = [format!("the identity has {length} bytes"), "yyyy".into(), peer];
        wait_for(&server, "identity_malformed", &words.each_ref().map(String::as_str));
    }
    // Of another key exchange, once however often it comes.
    let mut client = server.client(Protection::Ccm8);
    client.ask_cookie();
    client.take_server_hello();
    for _ in 0..50 {
        let datagram = client.plain(HANDSHAKE, &message(16, 2, &[0, 3, b'a', b'b', b'c', 0, 1, 7]));
        server.assert_ignored(&mut client, &datagram);
    }
    wait_for(&server, "identity_malformed", &["the ClientKeyExchange is malformed"]);
    let all = server.json(&REFUSED);
    assert_eq!(entries(&all, "ClientKeyExchange").len(), 1, "{all}");
    server.assert_alive();
}

#[test]
fn other_protocols_are_named_and_not_answered() {
    let server = Server::start();
    for (number, (bytes, reason, words)) in (1..).zip([
        (&b"\x40\x01\x00\x01\xb4test"[..], "not_dtls", "this looks like plain CoAP"),
        (b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n", "not_dtls", "this looks like HTTP"),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "version_unsupported", "this looks like TLS"),
        (b"\x00\x01\x00\x08\x21\x12\xa4\x42", "not_dtls", "it begins with 00 01 00 08"),
    ]) {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 97, 1, number], 0))).unwrap();
        for _ in 0..20 {
            socket.send_to(bytes, server.address).unwrap();
        }
        server.marker();
        let peer = socket.local_addr().unwrap().to_string();
        wait_for(&server, reason, &[words, &peer]);
        let all = server.json(&REFUSED);
        assert_eq!(entries(&all, words).len(), 1, "one device is told once: {all}");
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 64]).is_err(), "no answer");
    }
    server.wait_for_metric("narrowgate_dropped_datagrams_total{reason=\"not_dtls\"}", |count| count == 80);
    server.assert_alive();
}

#[test]
fn a_flood_of_other_protocols_from_forged_addresses_fills_no_log() {
    let server = Server::start();
    for number in 0..2000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let socket = UdpSocket::bind(SocketAddr::from(([127, 96, high, low], 0))).unwrap();
        socket.send_to(b"\x40\x01\x00\x01\xb4test", server.address).unwrap();
        if number % 100 == 0 {
            server.marker();
        }
    }
    server.marker();
    wait_for(&server, "not_dtls", &[]);
    let all = server.json(&REFUSED);
    let told = entries(&all, "plain CoAP").len();
    assert!((1..=10).contains(&told), "{told} entries");
    // A refusal that a handshake earned is still written.
    let mut client = server.client(Protection::Ccm8);
    client.hello = Hello { suites: vec![0x00, 0xa9], ..client.hello };
    client.ask_cookie();
    assert_refused(&client, &client.hello.datagram(), &[HANDSHAKE_FAILURE]);
    wait_for(&server, "no_common_cipher_suite", &[]);
    server.assert_alive();
}

/// Who repeats a ClientHello that is refused is refused each time and told once; who floods from several
/// addresses hides nobody.
#[test]
fn attack_210_a_flood_of_refusals_hides_no_honest_one() {
    let server = Server::start();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 1..=12 {
            let own = SocketAddr::from(([127, 98, 0, number], 0));
            let mut loud = Client::at(own, server.address, server.device(), Protection::Ccm8);
            let over = &over;
            scope.spawn(move || {
                for suite in (0x7000..0x7fff_u16).cycle() {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    loud.start_anew();
                    loud.hello.suites = suite.to_be_bytes().to_vec();
                    loud.ask_cookie();
                    loud.send(&loud.hello.datagram());
                }
            });
        }
        server.wait_for_metric("narrowgate_refusals_unlogged_total", |count| count > 0);
        for number in 1..=8 {
            let mut device = server.device();
            device.key.push_str("-unknown");
            let own = SocketAddr::from(([127, 98, 1, number], 0));
            let mut honest = Client::at(own, server.address, device, Protection::Ccm8);
            honest.ask_cookie();
            honest.take_server_hello();
            let flight = honest.flight_5();
            honest.send(&flight);
            thread::sleep(Duration::from_millis(230));
        }
        over.store(true, Ordering::Relaxed);
    });
    // The flood is over: what is written is all.
    server.marker();
    for number in 1..=8 {
        let peer = format!("127.98.1.{number}:");
        server.wait_for_json(&["refused", "--all"], |all| all.contains(&peer));
    }
    let unlogged = server.metric("narrowgate_refusals_unlogged_total");
    assert!(unlogged > 100, "{unlogged}: it was no flood");
    server.assert_alive();
}

/// Who names a device from four other networks, with a key that is not its own, hides nothing that the device
/// itself is refused.
#[test]
fn a_stranger_who_names_a_device_hides_none_of_its_own_refusals() {
    let server = Server::start();
    let device = server.device();
    // Each says something else, since the same again would be folded, and has a port of its own.
    let mut clients = Vec::new();
    let mut refused = |own: [u8; 4], lifetimes: std::ops::Range<u32>| {
        for lifetime in lifetimes {
            let own = SocketAddr::from((own, 0));
            let mut client = Client::at(own, server.address, device.clone(), Protection::Ccm8);
            client.psk = vec![7; 16];
            client.identity = format!("{PRODUCT_KEY},{},2,{lifetime}", device.key).into_bytes();
            client.ask_cookie();
            client.take_server_hello();
            let flight = client.flight_5();
            client.send(&flight);
            clients.push(client);
        }
    };
    let begin = Instant::now();
    for number in 0..8 {
        // As many as one identity may begin at once from one address.
        let first = 1000 + 20 * u32::from(number);
        refused([127, 98, 20 + number % 4, number], first..first + 20);
    }
    refused([127, 98, 3, 1], 100..105);
    for lifetime in 100..105 {
        let identity = format!(",2,{lifetime}\"");
        wait_for(&server, "wrong_key", &["127.98.3.1:", &identity]);
    }
    let unlogged = server.metric("narrowgate_refusals_unlogged_total");
    assert!(unlogged > 50, "{unlogged}: it was no flood");
    let all = server.json(&REFUSED);
    let of_the_stranger = all
        .as_array()
        .expect("a list")
        .iter()
        .filter(|entry| entry["peer"].as_str().is_some_and(|peer| peer.starts_with("127.98.2")));
    // 10 of each network, and one more in each second.
    let entries_max = 4 * (10 + 1 + begin.elapsed().as_secs());
    assert!((20..=entries_max).contains(&(of_the_stranger.count() as u64)), "{all}");
    server.assert_alive();
}

#[test]
fn a_copied_hello_is_refused_each_time_and_told_once() {
    let server = Server::start();
    let mut client = server.client(Protection::Ccm8);
    client.hello.suites = vec![0x00, 0xa9];
    client.ask_cookie();
    for _ in 0..20 {
        assert_refused(&client, &client.hello.datagram(), &[HANDSHAKE_FAILURE]);
    }
    let peer = client.local_address().to_string();
    wait_for(&server, "no_common_cipher_suite", &[&peer]);
    assert_eq!(entries(&server.json(&REFUSED), "00A9").len(), 1);
    assert_eq!(server.metric("narrowgate_refusals_folded_total"), 19);
    server.assert_alive();
}

/// Nothing is written down or looked up for a name while its handshake runs: a registered one causes nothing
/// before the Finished, either, and who measures the server's load learns nothing.
#[test]
fn an_unknown_name_makes_no_work_before_its_finished_and_an_entry_at_once_after_it() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut device = server.device();
        device.key.push_str("-unknown");
        let mut client = Client::new(server.address, device, protection);
        let peer = client.local_address().to_string();
        client.ask_cookie();
        client.take_server_hello();
        let flight = client.flight_5();
        let (key_exchange, finished) = flight.split_at(13 + usize::from(flight[12]));
        client.send(key_exchange);
        server.marker();
        thread::sleep(Duration::from_millis(300));
        let before = server.text(&["refused", "-o", "json", "--all"]);
        assert!(!before.contains(&peer), "{before}");
        client.send(finished);
        wait_for(&server, "device_unknown", &[&peer]);
    }
    server.assert_alive();
}

#[test]
fn an_unknown_name_without_a_finished_leaves_its_entry_when_the_handshake_ends() {
    let server = Server::start();
    let mut device = server.device();
    device.key.push_str("-unknown");
    let mut client = Client::new(server.address, device, Protection::Ccm8);
    client.ask_cookie();
    client.take_server_hello();
    let key_exchange = client.key_exchange();
    let datagram = client.plain(HANDSHAKE, &key_exchange);
    client.send(&datagram);
    server.marker();
    thread::sleep(HANDSHAKE_LIFETIME);
    wait_for(&server, "device_unknown", &[&client.local_address().to_string()]);
    server.assert_alive();
}

#[test]
fn a_server_that_stops_writes_down_what_it_knows_of_handshakes_under_way() {
    let mut server = Server::start();
    let mut device = server.device();
    device.key.push_str("-unknown");
    let mut unknown = Client::new(server.address, device, Protection::Ccm8);
    unknown.ask_cookie();
    unknown.take_server_hello();
    let key_exchange = unknown.key_exchange();
    let datagram = unknown.plain(HANDSHAKE, &key_exchange);
    let mut wrong = server.client(Protection::Ccm8);
    wrong.psk = vec![7; 16];
    wrong.ask_cookie();
    wrong.take_server_hello();
    let flight = wrong.flight_5();
    unknown.send(&datagram);
    wrong.send(&flight);
    server.stop();
    let all = server.text(&["refused", "-o", "json", "--all"]);
    for peer in [unknown.local_address(), wrong.local_address()] {
        assert!(all.contains(&format!("\"{peer}\"")), "{peer}: {all}");
    }
}

fn entries<'a>(refused: &'a Value, words: &str) -> Vec<&'a Value> {
    let all = refused.as_array().expect("a list");
    all.iter().filter(|entry| entry["detail"].as_str().unwrap_or_default().contains(words)).collect()
}
