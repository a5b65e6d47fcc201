//! Section B: what is negotiated, and alerts.

use crate::{
    client::{ALERT, HANDSHAKE, Protection, extension, message, record},
    coap,
    handshake::{DECODE_ERROR, HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, assert_refused, each},
    harness::Server,
};

#[test]
fn attack_056_renegotiation() {
    each(|server, client| {
        // The signalling value is no fault.
        client.hello.suites.extend([0x00, 0xff]);
        client.connect();
        client.assert_reports();
        let hello = message(1, 4, &client.hello.body());
        let attempt = client.seal(HANDSHAKE, &hello);
        client.send(&attempt);
        assert_eq!(client.hear(), (ALERT, vec![1, 100]), "a warning: no_renegotiation");
        client.assert_reports();
        server.assert_silent(client);
    });
}

#[test]
fn attack_058_suites() {
    let server = Server::start();
    let none_of_ours: [&[u8]; 3] = [&[0xc0, 0x2b, 0x13, 0x01], &[0x00, 0xff], &[0xff, 0xff]];
    for suites in none_of_ours {
        let mut client = server.client(Protection::Ccm8);
        client.hello.suites = suites.to_vec();
        client.ask_cookie();
        assert_refused(&client, &client.hello.datagram(), &[HANDSHAKE_FAILURE]);
    }
    // Ours last; both, the worse one first.
    for (protection, suites) in [
        (Protection::Ccm8, vec![0xc0, 0x2b, 0x00, 0xff, 0xc0, 0xa8]),
        (Protection::CbcMacThenEncrypt, vec![0xc0, 0x2b, 0x00, 0xff, 0x00, 0xae]),
        (Protection::Ccm8, vec![0x00, 0xae, 0xc0, 0xa8]),
        (Protection::Ccm8, vec![0xc0, 0xa8, 0x00, 0xae]),
    ] {
        let mut client = server.client(protection);
        client.hello.suites = suites;
        client.connect();
        client.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn attack_059_compression() {
    each(|_, client| {
        client.hello.compression = vec![1];
        client.ask_cookie();
        assert_refused(client, &client.hello.datagram(), &[ILLEGAL_PARAMETER]);
    });
}

#[test]
fn attack_060_extended_master_secret() {
    each(|_, client| {
        let plain = client.hello.extensions.clone();
        client.hello.extensions.get_or_insert_default().extend(extension(23, &[]));
        client.connect();
        assert!(client.is_extended(), "it is taken up");
        client.assert_reports();
        client.start_anew();
        client.hello.extensions = plain;
        client.connect();
        assert!(!client.is_extended(), "it was not offered");
        client.assert_reports();
        client.start_anew();
        client.hello.extensions.get_or_insert_default().extend(extension(23, &[0]));
        client.ask_cookie();
        assert_refused(client, &client.hello.datagram(), &[DECODE_ERROR]);
    });
}

#[test]
fn attack_061_unknown_extensions() {
    each(|_, client| {
        let unknown =
            (0..50_u16).flat_map(|number| extension(0x0a0a + 0x1010 * (number % 15) + number / 15, &[7; 5]));
        client.hello.extensions.get_or_insert_default().extend(unknown);
        client.connect();
        client.assert_reports();
    });
}

#[test]
fn attack_062_no_hint_and_no_server_key_exchange() {
    each(|_, client| {
        client.ask_cookie();
        client.send(&client.hello.datagram());
        let answer = client.receive();
        let mut kinds = Vec::new();
        let mut rest = &answer[..];
        while rest.len() > 13 {
            kinds.push(rest[13]);
            rest = &rest[13 + usize::from(u16::from_be_bytes([rest[11], rest[12]]))..];
        }
        assert_eq!(kinds, [2, 14], "ServerHello, ServerHelloDone");
    });
}

#[test]
fn attack_067_alerts() {
    each(|server, client| {
        let alerts = [[2, 0], [2, 40], [1, 0], [2, 255], [9, 9]];
        client.ask_cookie();
        for (number, alert) in (0..).zip(alerts) {
            server.assert_ignored(client, &record(ALERT, 0xfefd, 0, 20 + number, &alert));
        }
        client.take_server_hello();
        for alert in alerts {
            let datagram = client.plain(ALERT, &alert);
            server.assert_ignored(client, &datagram);
        }
        let flight = client.flight_5();
        client.send(&flight);
        client.take_finished();
        for alert in alerts {
            let datagram = client.plain(ALERT, &alert);
            server.assert_ignored(client, &datagram);
        }
        client.assert_reports();
        // Authentic warnings within the budget, some with codes that nobody knows.
        for number in 0..20 {
            let warning = client.seal(ALERT, &[1, 90 + number]);
            client.send(&warning);
        }
        server.assert_silent(client);
        client.assert_reports();
        // close_notify is answered once.
        client.close();
        assert_eq!(client.hear(), (ALERT, vec![1, 0]));
        client.close();
        server.assert_silent(client);
    });
    alerts_that_end_a_session();
}

/// A flood of warnings, a close_notify of level fatal, and any other fatal alert.
fn alerts_that_end_a_session() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        for _ in 0..40 {
            let warning = client.seal(ALERT, &[1, 90]);
            client.send(&warning);
        }
        assert_eq!(client.hear(), (ALERT, vec![1, 0]), "a flood of warnings ends the session");
        client.start_anew();
        client.connect();
        client.assert_reports();
        // Some releases of tinydtls call their close_notify fatal; it is answered once like any other.
        let close = client.seal(ALERT, &[2, 0]);
        client.send(&close);
        assert_eq!(client.hear(), (ALERT, vec![1, 0]), "a close_notify of level fatal");
        let close = client.seal(ALERT, &[2, 0]);
        server.assert_ignored(&mut client, &close);
        client.start_anew();
        client.connect();
        client.assert_reports();
        // Any other fatal alert ends it without an answer.
        for description in [40, 80] {
            let fatal = client.seal(ALERT, &[2, description]);
            server.assert_ignored(&mut client, &fatal);
            let mid = client.next_mid();
            let ping = client.data(&coap::ping(mid));
            server.assert_ignored(&mut client, &ping);
            client.start_anew();
            client.connect();
            client.assert_reports();
        }
    }
    server.assert_alive();
}

#[test]
fn attack_028_an_answer_fits_the_negotiated_fragment() {
    each(|_, client| {
        let mut extensions = client.hello.extensions.take().unwrap_or_default();
        extensions.extend([0, 1, 0, 1, 1]);
        client.hello.extensions = Some(extensions);
        client.connect();
        client.assert_reports();
        // The fault is told with the name of the point, which is longer than all of the answer may be.
        let mid = client.next_mid();
        let name = "temp ".repeat(100);
        let body = format!(r#"{{"id":"1","params":{{"measurepoints":{{"{name}":{{}}}}}}}}"#);
        let report = coap::post(mid, &client.device.report_path(), &body);
        for _ in 0..2 {
            let answer = client.exchange(&report);
            assert_eq!(coap::code_of(&answer, mid), 0x44, "{answer:02x?}");
            let text = String::from_utf8_lossy(&answer);
            assert!(answer.len() <= 512 && text.contains(r#""code":12"#), "{text}");
        }
        client.assert_reports();
    });
}

#[test]
fn attack_068_alerts_of_other_sizes() {
    each(|server, client| {
        client.ask_cookie();
        client.take_server_hello();
        for size in [0, 1, 3, 300] {
            let datagram = client.plain(ALERT, &vec![2; size]);
            server.assert_ignored(client, &datagram);
        }
        let flight = client.flight_5();
        client.send(&flight);
        client.take_finished();
        for size in [0, 1, 3, 300] {
            let plain = client.plain(ALERT, &vec![2; size]);
            server.assert_ignored(client, &plain);
            let authentic = client.seal(ALERT, &vec![2; size]);
            server.assert_ignored(client, &authentic);
        }
        client.assert_reports();
    });
}
