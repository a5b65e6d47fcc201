//! Section B: messages in fragments, and their numbers.

use super::each;
use crate::client::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, Hello, fragment, record};

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
