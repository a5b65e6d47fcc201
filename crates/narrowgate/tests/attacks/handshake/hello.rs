//! Section B: ClientHellos and cookies.

use std::net::SocketAddr;

use super::{DECODE_ERROR, ILLEGAL_PARAMETER, assert_refused, each};
use crate::{
    client::{ALERT, Client, HANDSHAKE, Hello, Protection, extension},
    harness::{Device, Server},
};

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
                // Worth an alert with its cookie whole; a hello that ends before its extensions is whole.
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
                // Its extensions are there already: what is behind them is covered by the others.
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
    /// Rounds after which code and buffers have been touched.
    const WARM: usize = 20;
    let server = Server::start();
    let mut clients: Vec<_> = (0..64).map(|_| strangers_client(&server)).collect();
    let (mut asked, mut answered, mut resident) = (0, 0, 0);
    for round in 0..200 {
        if round == WARM {
            assert_eq!(server.metric("narrowgate_handshakes"), 0);
            resident = server.resident_bytes();
        }
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
    // A thread may still touch a huge page (2 MiB) for the first time; state of a hello would show as more:
    // 137 bytes each are this much.
    let hellos = 64 * (200 - WARM) * 4;
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
