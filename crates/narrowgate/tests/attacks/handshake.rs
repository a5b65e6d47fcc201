//! Section B: the handshake.

mod fragments;
mod hello;

use crate::{
    client::{
        ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, Client, HANDSHAKE, Protection, fragment, message, record,
    },
    coap,
    harness::{HANDSHAKE_LIFETIME, Server},
};

pub(crate) const HANDSHAKE_FAILURE: u8 = 40;
pub(crate) const ILLEGAL_PARAMETER: u8 = 47;
pub(crate) const DECODE_ERROR: u8 = 50;
const DECRYPT_ERROR: u8 = 51;

/// Runs a case for each protection; afterwards this device connects by a handshake of its own, and all others
/// live.
pub(crate) fn each(case: impl Fn(&Server, &mut Client)) {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.client(protection);
        case(&server, &mut client);
        server.marker();
        client.drain();
        client.start_anew();
        client.connect();
        client.assert_reports();
        server.assert_alive();
    }
}

/// Sends a datagram that is answered by a fatal alert in plaintext.
#[track_caller]
pub(crate) fn assert_refused(client: &Client, datagram: &[u8], alerts: &[u8]) {
    client.send(datagram);
    let alert = client.receive();
    assert_eq!((alert[0], &alert[3..5], alert[13]), (ALERT, &[0, 0][..], 2), "a fatal alert: {alert:02x?}");
    assert!(alerts.contains(&alert[14]), "{alerts:?}: {alert:02x?}");
}

#[test]
fn attack_050_lost_flights_are_made_good() {
    each(|server, client| {
        // The HelloVerifyRequest is lost.
        client.send(&client.hello.datagram());
        client.receive();
        client.hello.sequence += 1;
        client.ask_cookie();
        // Flight 4 is lost: the same ClientHello again brings it again.
        client.send(&client.hello.datagram());
        client.receive();
        client.hello.sequence += 1;
        client.take_server_hello();
        // Of flight 5 the beginning arrives, then the end.
        let key_exchange = client.key_exchange();
        let finished = client.finished();
        let first = client.plain(HANDSHAKE, &key_exchange);
        server.assert_ignored(client, &first);
        let mut last = client.plain(CHANGE_CIPHER_SPEC, &[1]);
        last.extend(client.seal(HANDSHAKE, &finished));
        client.send(&last);
        client.take_finished();
        // Flight 6 is lost: flight 5 again, with new numbers, brings it again.
        let mut again = client.plain(HANDSHAKE, &key_exchange);
        again.extend(client.plain(CHANGE_CIPHER_SPEC, &[1]));
        again.extend(client.seal(HANDSHAKE, &finished));
        client.send(&again);
        client.take_finished();
        client.assert_reports();
    });
}

#[test]
fn attack_051_and_052_early_change_cipher_specs_and_floods_of_them() {
    each(|server, client| {
        let flood = |client: &mut Client| {
            for round in 0..1000 {
                let datagram = record(CHANGE_CIPHER_SPEC, 0xfefd, 0, 1000 + round, &[1]);
                client.send(&datagram);
                if round % 200 == 0 {
                    server.marker();
                }
            }
            server.assert_silent(client);
        };
        flood(client);
        client.ask_cookie();
        flood(client);
        client.take_server_hello();
        client.sequence += 5000;
        flood(client);
        let key_exchange = client.key_exchange();
        let finished = client.finished();
        let first = client.plain(HANDSHAKE, &key_exchange);
        server.assert_ignored(client, &first);
        let mut last = client.plain(CHANGE_CIPHER_SPEC, &[1]);
        last.extend(client.seal(HANDSHAKE, &finished));
        client.send(&last);
        client.take_finished();
        flood(client);
        client.assert_reports();
    });
}

#[test]
fn attack_053_a_finished_in_plaintext() {
    each(|server, client| {
        client.ask_cookie();
        client.take_server_hello();
        let key_exchange = client.key_exchange();
        let finished = client.finished();
        let early = client.plain(HANDSHAKE, &finished);
        server.assert_ignored(client, &early);
        let mut flight = client.plain(HANDSHAKE, &key_exchange);
        flight.extend(client.plain(HANDSHAKE, &finished));
        client.send(&flight);
        server.marker();
        // Silence, or unexpected_message; never a Finished.
        if let Some(answer) = client.receive_within(std::time::Duration::from_millis(300)) {
            assert_eq!((answer[0], answer[14]), (ALERT, 10), "{answer:02x?}");
        }
        let report = coap::report(1, &client.device.report_path(), 1);
        let early_data = client.data(&report);
        server.assert_ignored(client, &early_data);
    });
}

#[test]
fn attack_054_a_finished_with_wrong_content_under_the_right_keys() {
    each(|server, client| {
        for at in [12, 17, 23] {
            client.start_anew();
            client.ask_cookie();
            client.take_server_hello();
            let key_exchange = client.key_exchange();
            let mut finished = client.finished();
            finished[at] ^= 1;
            let mut flight = client.plain(HANDSHAKE, &key_exchange);
            flight.extend(client.plain(CHANGE_CIPHER_SPEC, &[1]));
            flight.extend(client.seal(HANDSHAKE, &finished));
            let before = server.metric("narrowgate_handshakes");
            client.send(&flight);
            let alert = client.receive();
            let (content_type, alert) = match alert[4] {
                0 => (alert[0], alert[13..].to_vec()),
                _ => client.keys().open(&alert).expect("an authentic alert"),
            };
            assert_eq!((content_type, &alert[..]), (ALERT, &[2, DECRYPT_ERROR][..]));
            server.marker();
            assert!(server.metric("narrowgate_handshakes") <= before, "its state is freed at once");
            let report = coap::report(1, &client.device.report_path(), 1);
            let data = client.data(&report);
            server.assert_ignored(client, &data);
        }
    });
}

#[test]
fn attack_057_messages_that_a_client_does_not_send() {
    each(|server, client| {
        for kind in [0, 2, 3, 4, 11, 12, 13, 14, 15, 16, 20, 0x63] {
            let stray = record(HANDSHAKE, 0xfefd, 0, 5, &message(kind, 0, &[0; 60]));
            server.assert_ignored(client, &stray);
        }
        for kind in [0, 2, 11, 12, 14, 15, 0x63] {
            client.start_anew();
            client.ask_cookie();
            client.take_server_hello();
            let datagram = client.plain(HANDSHAKE, &message(kind, 2, &[0; 20]));
            client.send(&datagram);
            server.marker();
            let answer = client.waiting();
            assert!(answer.is_none_or(|answer| answer[0] == ALERT && answer[14] == 10), "{kind}");
        }
    });
}

#[test]
fn attack_063_a_hello_from_the_address_of_a_live_session() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let own = client.local_address();
        assert_eq!(own, client.local_address());
        // A stranger on the same address and port: the socket is lent to it, step by step.
        let mut stranger =
            Client::at(([127, 98, 1, 1], 0).into(), server.address, client.device.clone(), protection);
        stranger.swap_socket(&mut client);
        stranger.ask_cookie();
        stranger.swap_socket(&mut client);
        client.assert_reports();
        stranger.swap_socket(&mut client);
        stranger.take_server_hello();
        stranger.swap_socket(&mut client);
        client.assert_reports();
        // With a wrong key it gets no further, and the session works on.
        stranger.swap_socket(&mut client);
        stranger.psk = vec![0; 16];
        let flight = stranger.flight_5();
        server.assert_ignored(&mut stranger, &flight);
        stranger.swap_socket(&mut client);
        client.assert_reports();
        // The device itself, after a reset, replaces its session.
        let mut old = client.keys().clone();
        client.start_anew();
        client.connect();
        client.assert_reports();
        old.set_protection(protection);
        let stale = old.seal(APPLICATION_DATA, 1, 1 << 20, &coap::ping(1));
        server.assert_ignored(&mut client, &stale);
        client.assert_reports();
        server.assert_alive();
    }
}

#[test]
fn attack_064_half_open_handshakes_end() {
    let server = Server::start();
    let mut clients = Vec::new();
    for _ in 0..5 {
        for protection in Protection::ALL {
            for stage in 0..5 {
                let mut client = server.client(protection);
                client.ask_cookie();
                if stage > 0 {
                    client.take_server_hello();
                }
                if stage > 1 {
                    let key_exchange = client.key_exchange();
                    let finished = client.finished();
                    let mut flight = client.plain(HANDSHAKE, &key_exchange);
                    match stage {
                        2 => {}
                        3 => flight.extend(client.plain(CHANGE_CIPHER_SPEC, &[1])),
                        // The Finished overtakes all else and waits for it.
                        _ => flight = client.seal(HANDSHAKE, &finished),
                    }
                    client.send(&flight);
                }
                clients.push(client);
            }
        }
    }
    server.marker();
    let deadline = std::time::Instant::now() + 2 * HANDSHAKE_LIFETIME;
    assert_ne!(server.wait_for_metric("narrowgate_handshakes", |value| value >= 60), 0);
    server.assert_nothing_left();
    assert!(std::time::Instant::now() < deadline);
    for client in clients.iter_mut().take(3) {
        client.drain();
        client.start_anew();
        client.connect();
        client.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn attack_065_stalled_handshakes_hold_up_nobody() {
    let server = Server::start();
    let mut others: Vec<_> = (0..20).map(|number| server.connect(Protection::ALL[number % 3])).collect();
    let slowest = |others: &mut Vec<Client>| {
        let mut slowest = std::time::Duration::ZERO;
        for _ in 0..5 {
            for client in &mut *others {
                let begun = std::time::Instant::now();
                let mid = client.next_mid();
                assert_eq!(client.exchange(&coap::ping(mid)), coap::reset(mid));
                slowest = slowest.max(begun.elapsed());
            }
        }
        slowest
    };
    let before = slowest(&mut others);
    let stalled = Protection::ALL.map(|protection| {
        let mut client = server.client(protection);
        client.ask_cookie();
        client.take_server_hello();
        let key_exchange = client.key_exchange();
        let first =
            client.plain(HANDSHAKE, &fragment(16, 2, 0, &key_exchange[12..20], key_exchange.len() - 12));
        client.send(&first);
        client
    });
    let beside = slowest(&mut others);
    // A hundred exchanges: generous, because the machine that tests has other work as well.
    assert!(
        beside <= 10 * before + std::time::Duration::from_millis(100),
        "{beside:?} instead of {before:?}"
    );
    for mut client in others.into_iter().chain(stalled).take(3) {
        client.assert_reports();
    }
    server.assert_alive();
    server.assert_nothing_left();
}
