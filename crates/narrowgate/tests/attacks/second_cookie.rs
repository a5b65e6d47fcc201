//! Section N, cases 48 and 201: cookies that no longer verify, and the exchanges that follow.

use crate::{
    client::{Client, HANDSHAKE, Hello, Protection},
    handshake::each,
    harness::Server,
};

/// Sends the client's hello; its cookie is bad here, so another one is asked for, under the hello's own
/// number.
#[track_caller]
fn ask_again(client: &mut Client) {
    let number = client.hello.message_seq;
    client.send(&client.hello.datagram());
    let answer = client.receive_until("a HelloVerifyRequest", |it| (it[0], it[13]) == (HANDSHAKE, 3));
    assert_eq!(
        u16::from_be_bytes([answer[17], answer[18]]),
        number,
        "the number of the hello that it answers"
    );
    client.hello.cookie = answer[28..].to_vec();
    client.hello.sequence += 1;
    client.hello.message_seq = number + 1;
}

#[test]
fn attack_048_a_bad_cookie_is_no_cookie() {
    each(|_, client| {
        for _ in 0..3 {
            ask_again(client);
            client.hello.cookie[3] ^= 1;
        }
        client.hello.cookie[3] ^= 1;
        assert_eq!(client.hello.message_seq, 3);
        client.take_server_hello();
        let flight = client.flight_5();
        client.send(&flight);
        client.take_finished();
        client.assert_reports();
        // Without any cookie the number of the question is that of the hello, too.
        client.start_anew();
        client.hello.message_seq = 2;
        ask_again(client);
        client.take_server_hello();
    });
}

#[test]
fn attack_201_the_port_moves_between_the_hellos() {
    let server = Server::start();
    for protection in Protection::ALL {
        for moves in 1..=2 {
            let mut client = server.client(protection);
            client.ask_cookie();
            for _ in 0..moves {
                let mut elsewhere = Client::new(server.address, client.device.clone(), protection);
                client.swap_socket(&mut elsewhere);
                ask_again(&mut client);
            }
            client.take_server_hello();
            let flight = client.flight_5();
            client.send(&flight);
            client.take_finished();
            client.assert_reports();
            // Its last flight is repeated under its own number, too.
            let finished = client.finished();
            let again = client.seal(HANDSHAKE, &finished);
            client.send(&again);
            client.take_finished();
            client.assert_reports();
        }
    }
    server.assert_alive();
}

#[test]
fn a_wrong_key_is_explained_after_a_second_exchange_too() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.client(protection);
        client.ask_cookie();
        client.hello.cookie[3] ^= 1;
        ask_again(&mut client);
        client.take_server_hello();
        // With the secret itself as the key.
        client.psk = client.device.secret.clone().into_bytes();
        let flight = client.flight_5();
        server.assert_ignored(&mut client, &flight);
        let log = ["device", "log", "pk", &client.device.key];
        server.wait_for_json(&log, |log| log.contains("wrong_key") && log.contains("secret itself"));
    }
}

#[test]
fn a_cookie_serves_no_other_suites_or_compression_methods() {
    each(|server, client| {
        client.ask_cookie();
        let good = client.hello.clone();
        for other in [
            Hello { suites: vec![0xc0, 0xa4], ..good.clone() },
            Hello { suites: [&good.suites[..], &[0, 0xff]].concat(), ..good.clone() },
            Hello { compression: vec![1, 0], ..good.clone() },
        ] {
            client.send(&other.datagram());
            let answer = client.receive();
            assert_eq!((answer[0], answer[13], answer.len()), (HANDSHAKE, 3, 44), "{answer:02x?}");
        }
        server.assert_silent(client);
        client.take_server_hello();
    });
}
