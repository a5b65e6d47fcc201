//! Section B: the handshake.

use std::net::SocketAddr;

use crate::{
    client::{
        ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, Client, HANDSHAKE, Hello, Protection, extension,
        fragment, message, record,
    },
    coap,
    harness::{Device, HANDSHAKE_LIFETIME, Server},
};

pub(crate) const HANDSHAKE_FAILURE: u8 = 40;
pub(crate) const ILLEGAL_PARAMETER: u8 = 47;
pub(crate) const DECODE_ERROR: u8 = 50;
const DECRYPT_ERROR: u8 = 51;

/// Runs a case for each protection; afterwards this device connects by a handshake of its own, and all others live.
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

/// Sends a datagram that is answered by a HelloVerifyRequest which is not larger.
#[track_caller]
fn assert_asked_for_cookie(client: &Client, datagram: &[u8]) {
    client.send(datagram);
    let answer = client.receive();
    assert_eq!((answer[0], answer[13]), (HANDSHAKE, 3), "{answer:02x?}");
    assert!(answer.len() <= datagram.len(), "{} bytes for {}", answer.len(), datagram.len());
}

#[test]
fn attack_029_a_hello_cut_at_every_byte() {
    each(|server, client| {
        let whole = client.hello.datagram();
        for length in 0..whole.len() {
            server.assert_ignored(client, &whole[..length]);
        }
        // The same with lengths that say so.
        let body = client.hello.body();
        for length in 0..body.len() {
            let datagram = client.hello.around(&body[..length]);
            client.send(&datagram);
            server.marker();
            let answer = client.waiting();
            assert!(answer.is_none_or(|answer| answer.len() <= datagram.len() && answer[13] == 3));
            assert_eq!(client.waiting(), None);
        }
        client.ask_cookie();
        let whole = client.hello.datagram();
        for length in 0..whole.len() {
            server.assert_ignored(client, &whole[..length]);
        }
        let body = client.hello.body();
        for length in 0..body.len() {
            client.send(&client.hello.around(&body[..length]));
            server.marker();
            if let Some(answer) = client.waiting() {
                // With its cookie whole it is worth an alert; a hello that ends before its extensions is whole.
                let is_alert = answer[0] == ALERT && answer[13] == 2;
                assert!(is_alert || [2, 3].contains(&answer[13]), "{length}: {answer:02x?}");
            }
        }
    });
}

#[test]
fn attack_030_a_cookie_past_the_end() {
    each(|server, client| {
        let mut body = client.hello.body();
        body.truncate(35);
        body.extend([0xff, 1, 2, 3, 4]);
        for message_seq in [0, 1] {
            let hello = Hello { message_seq, ..client.hello.clone() };
            server.assert_ignored(client, &hello.around(&body));
        }
    });
}

#[test]
fn attack_031_faults_of_vectors() {
    each(|server, client| {
        let good = client.hello.clone();
        let twice = [extension(0x1234, &[]), extension(0x1234, &[])].concat();
        let mut wrong_sum = good.clone();
        wrong_sum.extensions = Some(extension(0x1234, &[1, 2]));
        let mut past_the_end = wrong_sum.body();
        let at = past_the_end.len() - 3;
        past_the_end[at] = 200;
        let faults: Vec<(&str, Hello)> = vec![
            ("no suites", Hello { suites: vec![], ..good.clone() }),
            ("odd suites", Hello { suites: vec![0xc0, 0xa8, 0], ..good.clone() }),
            ("no compression", Hello { compression: vec![], ..good.clone() }),
            ("an extension twice", Hello { extensions: Some(twice), ..good.clone() }),
        ];
        for (name, hello) in faults {
            // Before the cookie: silence, or the question for it, and never an alert.
            let datagram = hello.datagram();
            client.send(&datagram);
            server.marker();
            let answer = client.waiting();
            assert!(answer.is_none_or(|answer| answer[0] == HANDSHAKE && answer[13] == 3), "{name}");
            client.hello = hello;
            client.ask_cookie();
            assert_refused(client, &client.hello.datagram(), &[DECODE_ERROR, ILLEGAL_PARAMETER]);
            server.assert_silent(client);
        }
        for length in [33, 64, 255] {
            let hello = Hello { session_id: vec![7; length], ..good.clone() };
            server.assert_ignored(client, &hello.datagram());
        }
        client.hello = good;
        client.ask_cookie();
        let with_cookie = client.hello.clone();
        let mut body = with_cookie.body();
        let end = body.len();
        body.extend([0, 9, 1]);
        for (name, body) in [
            ("a length of extensions beyond the end", body.clone()),
            ("suites beyond the end", {
                let mut body = with_cookie.body();
                body[36 + with_cookie.cookie.len() - 1 + 1] = 0xff;
                body
            }),
            ("bytes behind", [&with_cookie.body()[..], &[0, 0, 7]].concat()),
            ("an extension beyond the end", {
                let mut body = body[..end].to_vec();
                body.extend([0, 5, 0x12, 0x34, 0, 200, 1]);
                body
            }),
        ] {
            if client.protection == Protection::CbcEncryptThenMac && name != "suites beyond the end" {
                // Its extensions are there already, so what is behind them is something else: covered by the others.
                continue;
            }
            assert_refused(client, &with_cookie.around(&body), &[DECODE_ERROR]);
            server.assert_silent(client);
        }
    });
}

#[test]
fn attack_032_a_changed_cookie() {
    each(|server, client| {
        client.ask_cookie();
        for bit in 0..8 * client.hello.cookie.len() {
            let mut hello = client.hello.clone();
            hello.cookie[bit / 8] ^= 1 << (bit % 8);
            assert_asked_for_cookie(client, &hello.datagram());
        }
        // Longer, shorter.
        let mut hello = client.hello.clone();
        hello.cookie.push(0);
        assert_asked_for_cookie(client, &hello.datagram());
        hello.cookie.truncate(8);
        assert_asked_for_cookie(client, &hello.datagram());
        server.assert_silent(client);
        // A cookie belongs to its ClientHello.
        let other = Hello { random: [5; 32], ..client.hello.clone() };
        assert_asked_for_cookie(client, &other.datagram());
    });
}

#[test]
fn attack_033_a_cookie_from_elsewhere() {
    each(|server, client| {
        client.ask_cookie();
        let own = client.local_address();
        let other_port = SocketAddr::from((own.ip(), 0));
        let other_address = SocketAddr::from(([127, 99, own.port().to_be_bytes()[1], 9], own.port()));
        for elsewhere in [other_port, other_address] {
            let thief = Client::at(elsewhere, server.address, client.device.clone(), client.protection);
            assert_asked_for_cookie(&thief, &client.hello.datagram());
        }
        client.take_server_hello();
    });
}

#[test]
fn attack_036_and_037_no_path_goes_past_the_cookie() {
    each(|server, client| {
        let good = client.hello.clone();
        let mut random_cookie = good.clone();
        random_cookie.cookie = vec![0x5a; 16];
        let hellos = [
            Hello { version: 0x0000, ..good.clone() },
            Hello { version: 0xfeff, ..good.clone() },
            Hello { version: 0x0303, ..good.clone() },
            Hello { session_id: vec![9; 32], ..good.clone() },
            Hello { suites: vec![0x13, 0x01], ..good.clone() },
            Hello { compression: vec![1], ..good.clone() },
            Hello { extensions: Some(extension(35, &[1; 40])), ..good.clone() },
            Hello { message_seq: 1, ..good },
            Hello { message_seq: 1, ..random_cookie.clone() },
            random_cookie,
        ];
        let mut asked = 0;
        for hello in hellos {
            for version in [0xfefd, 0xfeff] {
                let datagram = Hello { record_version: version, ..hello.clone() }.datagram();
                client.send(&datagram);
                server.marker();
                if let Some(answer) = client.waiting() {
                    assert_eq!((answer[0], answer[13]), (HANDSHAKE, 3), "{hello:?}: {answer:02x?}");
                    assert!(answer.len() <= datagram.len());
                    asked += 1;
                }
                assert_eq!(client.waiting(), None);
            }
        }
        assert!(asked >= 10, "most of them are asked for the cookie: {asked}");
    });
}

#[test]
fn attack_038_no_more_bytes_than_came() {
    let server = Server::start();
    let mut clients: Vec<_> = (0..64).map(|_| strangers_client(&server)).collect();
    let resident = server.resident_bytes();
    let (mut asked, mut answered) = (0, 0);
    for round in 0..200 {
        for client in &mut clients {
            let mut hello = client.hello.clone();
            hello.session_id = vec![1; round % 33];
            let body = hello.body();
            let datagrams = [
                hello.datagram(),
                hello.fragment(0, &body[..(34 + round).min(body.len())], body.len()),
                hello.fragment(0, &body[..20], body.len()),
                [hello.datagram(), hello.datagram()].concat(),
            ];
            for datagram in datagrams {
                asked += datagram.len();
                client.send(&datagram);
            }
        }
        server.marker();
        for client in &clients {
            while let Some(answer) = client.waiting() {
                assert_eq!((answer[0], answer[13]), (HANDSHAKE, 3));
                answered += answer.len();
            }
        }
    }
    assert!(answered > 0 && answered <= asked, "{answered} bytes for {asked}");
    assert_eq!(server.metric("narrowgate_handshakes"), 0, "zero state");
    let growth = server.resident_bytes().saturating_sub(resident);
    // The shard and the threads that answer for the metrics may each touch a huge page (2 MiB) for the first time;
    // state of a hello would show as more: 123 bytes each are this much.
    let hellos = 64 * 200 * 4;
    assert!(growth <= 6 << 20, "{growth} bytes for {hellos} hellos");
    // Shorter than the answer would be.
    let mut client = strangers_client(&server);
    let short = client.hello.fragment(0, &[0xfe], 100);
    server.assert_ignored(&mut client, &short);
    server.assert_alive();
}

/// A client whose device nobody knows; it never gets further than its ClientHello.
fn strangers_client(server: &Server) -> Client {
    let device = Device { key: "nobody".into(), secret: "nothing".into() };
    Client::new(server.address, device, Protection::Ccm8)
}

#[test]
fn attack_040_a_cookieless_hello_in_two_fragments() {
    each(|server, client| {
        let body = client.hello.body();
        let first = client.hello.fragment(0, &body[..20], body.len());
        let second = Hello { sequence: 1, ..client.hello.clone() }.fragment(20, &body[20..], body.len());
        server.assert_ignored(client, &first);
        server.assert_ignored(client, &second);
        server.assert_ignored(client, &[first, second].concat());
    });
}

#[test]
fn attack_042_a_claim_of_16_megabytes() {
    each(|server, client| {
        let resident = server.resident_bytes();
        let body = client.hello.body();
        let claim = client.hello.fragment(0, &body, 0xff_ffff);
        client.send(&claim);
        server.marker();
        // Its cookie is asked for at most; that costs nothing.
        let answer = client.waiting();
        assert!(answer.is_none_or(|answer| answer[13] == 3));
        client.ask_cookie();
        let claim = client.hello.fragment(0, &client.hello.body(), 0xff_ffff);
        client.send(&claim);
        server.marker();
        assert!(client.waiting().is_none_or(|answer| answer[0] == ALERT));
        client.start_anew();
        client.ask_cookie();
        client.take_server_hello();
        for offset in [0, 1, 0xff_fff0] {
            let sequence = client.sequence + 1;
            client.sequence = sequence;
            let claim = record(HANDSHAKE, 0xfefd, 0, sequence, &fragment(16, 2, offset, &[0; 10], 0xff_ffff));
            server.assert_ignored(client, &claim);
        }
        let growth = server.resident_bytes().saturating_sub(resident);
        assert!(growth < 8 << 20, "{growth} bytes");
    });
}

#[test]
fn attack_043_fragments_outside_the_message() {
    each(|server, client| {
        client.ask_cookie();
        client.take_server_hello();
        let mut at = |length: usize, offset: usize, says: usize, bytes: usize| {
            let mut bad = fragment(16, 2, offset, &vec![0; bytes], length);
            bad[9..12].copy_from_slice(&(says as u32).to_be_bytes()[1..]);
            let datagram = client.plain(HANDSHAKE, &bad);
            server.assert_ignored(client, &datagram);
        };
        at(28, 0, 29, 29);
        at(28, 20, 9, 9);
        at(28, 29, 0, 0);
        at(28, 0xff_ffff, 1, 1);
        at(16, 255, 0xff_fff6, 16);
        at(28, 0, 28, 5);
        at(28, 0, 5, 28);
        let flight = client.flight_5();
        client.send(&flight);
        client.take_finished();
    });
}

#[test]
fn attack_045_equal_numbers_and_different_types() {
    each(|server, client| {
        client.ask_cookie();
        client.take_server_hello();
        let key_exchange = client.key_exchange();
        let finished = client.finished();
        // The first piece of the right message stays; a message of another type with its number is dropped.
        let (head, tail) = key_exchange[12..].split_at(5);
        let whole = key_exchange.len() - 12;
        let first = client.plain(HANDSHAKE, &fragment(16, 2, 0, head, whole));
        let other = client.plain(HANDSHAKE, &fragment(11, 2, 5, tail, whole));
        server.assert_ignored(client, &first);
        server.assert_ignored(client, &other);
        let mut rest = client.plain(HANDSHAKE, &fragment(16, 2, 5, tail, whole));
        rest.extend(client.plain(CHANGE_CIPHER_SPEC, &[1]));
        rest.extend(client.seal(HANDSHAKE, &finished));
        client.send(&rest);
        client.take_finished();
        client.assert_reports();
    });
}

#[test]
fn attack_046_fragments_without_bytes() {
    each(|server, client| {
        client.ask_cookie();
        client.take_server_hello();
        let resident = server.resident_bytes();
        for round in 0..2000 {
            let offset = if round % 2 == 0 { 0 } else { 100 };
            let empty = client.plain(HANDSHAKE, &fragment(16, 2, offset, &[], 100));
            client.send(&empty);
            if round % 100 == 0 {
                server.marker();
            }
        }
        server.assert_silent(client);
        let growth = server.resident_bytes().saturating_sub(resident);
        assert!(growth < 2 << 20, "{growth} bytes");
        let flight = client.flight_5();
        client.send(&flight);
        client.take_finished();
    });
}

#[test]
fn attack_047_messages_that_are_ahead() {
    each(|server, client| {
        client.ask_cookie();
        client.take_server_hello();
        for ahead in [3, 4, 5, 35, 65_535] {
            for _ in 0..20 {
                let datagram = client.plain(HANDSHAKE, &fragment(16, ahead, 0, &[1; 1000], 2000));
                client.send(&datagram);
            }
        }
        server.assert_silent(client);
        let flight = client.flight_5();
        client.send(&flight);
        client.take_finished();
        client.assert_reports();
    });
}

#[test]
fn attack_048_where_message_numbers_start() {
    each(|server, client| {
        for message_seq in [4, 191, 255, 65_535] {
            let hello = Hello { message_seq, ..client.hello.clone() };
            server.assert_ignored(client, &hello.datagram());
        }
        client.ask_cookie();
        for message_seq in [4, 191, 65_535] {
            let hello = Hello { message_seq, ..client.hello.clone() };
            server.assert_ignored(client, &hello.datagram());
        }
        client.take_server_hello();
    });
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
