//! Section G: exchanges and duplicates.

use crate::{
    client::{Client, Protection},
    coap,
    harness::Server,
};

fn each_session(case: impl Fn(&Server, &mut Client)) {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        case(&server, &mut client);
        server.assert_silent(&mut client);
        client.assert_reports();
        server.assert_alive();
    }
}

/// How many values of a point the server has stored for this device.
pub(crate) fn stored(server: &Server, client: &Client) -> usize {
    let device = format!("pk/{}", client.device.key);
    let history =
        server.json(&["device", "points", &device, "--point", "temp", "--from", "2020-01-01T00:00:00Z"]);
    let text = history.to_string();
    text.matches("\"time\"").count()
}

#[test]
fn attack_124_duplicate_confirmable_request() {
    each_session(|server, client| {
        let mid = client.next_mid();
        let report = coap::report(mid, &client.device.report_path(), 7);
        let answer = client.exchange(&report);
        assert_eq!(coap::code_of(&answer, mid), 0x44);
        for _ in 0..9 {
            assert_eq!(client.exchange(&report), answer, "byte for byte");
        }
        assert_eq!(stored(server, client), 1, "and stored once");
        // The same Message ID with another content is a duplicate, too.
        let other = coap::report(mid, &client.device.report_path(), 8);
        assert_eq!(client.exchange(&other), answer);
        assert_eq!(stored(server, client), 1);
    });
}

/// What a Message ID means ends with the session (RFC 7252, section 4.4, and 9.1.1 for DTLS): exactly once
/// is a promise for as long as it lasts. A device that must repeat a report after a new handshake gives it
/// the report's own time.
#[test]
fn a_message_repeated_after_a_new_handshake_is_stored_again() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let report = coap::report(7, &client.device.report_path(), 7);
        let answer = client.exchange(&report);
        assert_eq!(client.exchange(&report), answer);
        assert_eq!(stored(&server, &client), 1, "once in this session");
        client.start_anew();
        client.connect();
        assert_eq!(coap::code_of(&client.exchange(&report), 7), 0x44);
        assert_eq!(stored(&server, &client), 2, "and once in the next");
    }
    server.assert_alive();
}

#[test]
fn attack_209_the_answers_to_reports_are_kept_in_few_bytes() {
    const REPORTS: u64 = 100;
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let gauge = "narrowgate_stored_answer_bytes";
    server.counted("requests_total");
    let before = server.metric(gauge);
    let mut kept = Vec::new();
    for _ in 0..REPORTS {
        let mid = client.next_mid();
        let report = coap::report(mid, &client.device.report_path(), 7);
        let answer = client.exchange(&report);
        assert_eq!(coap::code_of(&answer, mid), 0x44);
        kept.push((report, answer));
    }
    server.counted("requests_total");
    let each = (server.metric(gauge) - before) / REPORTS;
    assert!((8..=16).contains(&each), "{each} bytes each");
    for (report, answer) in &kept {
        assert_eq!(client.exchange(report), *answer, "byte for byte");
    }
    assert_eq!(stored(&server, &client), REPORTS as usize);
}

#[test]
fn attack_125_duplicates_while_working() {
    each_session(|server, client| {
        let mid = client.next_mid();
        let report = coap::report(mid, &client.device.report_path(), 7);
        // Ten copies in one datagram: the later ones are there before the first is stored.
        let mut datagram = Vec::new();
        for _ in 0..10 {
            datagram.extend(client.data(&report));
        }
        client.send(&datagram);
        let (_, answer) = client.hear();
        assert_eq!(coap::code_of(&answer, mid), 0x44);
        server.marker();
        client.drain();
        assert_eq!(client.exchange(&report), answer);
        assert_eq!(stored(server, client), 1);
    });
}

#[test]
fn attack_128_message_ids_of_two_devices() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut one = server.connect(protection);
        let mut other = server.connect(protection);
        for client in [&mut one, &mut other] {
            let report = coap::report(0x77, &client.device.report_path(), 7);
            let answer = client.exchange(&report);
            assert_eq!(coap::code_of(&answer, 0x77), 0x44);
        }
        assert_eq!((stored(&server, &one), stored(&server, &other)), (1, 1));
    }
    server.assert_alive();
}

#[test]
fn attack_129_duplicate_non_confirmable_request() {
    each_session(|server, client| {
        let mid = client.next_mid();
        let mut report = coap::report(mid, &client.device.report_path(), 7);
        report[0] = 0x50;
        let answer = client.exchange(&report);
        assert_eq!(answer[..2], [0x50, 0x44], "{answer:02x?}");
        for _ in 0..5 {
            client.say(&report);
        }
        server.marker();
        while let Some(again) = client.waiting() {
            let (_, again) = client.keys().open(&again).expect("of this session");
            assert_eq!(again, answer);
        }
        assert_eq!(stored(server, client), 1);
    });
}

#[test]
fn attack_130_a_device_that_uses_up_its_answers() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let report = coap::report(0, &client.device.report_path(), 7);
    let first = client.exchange(&report);
    assert_eq!(coap::code_of(&first, 0), 0x44);
    let (mut answered, mut busy) = (0, 0);
    for mid in 1..=5000 {
        // Cheap requests that are answered at once: nothing is at this path.
        let answer = client.exchange(&coap::get(mid, "x"));
        match coap::code_of(&answer, mid) {
            0x84 => answered += 1,
            0xa3 => busy += 1,
            code => panic!("{code:02x}"),
        }
    }
    assert!(answered <= 4096 && busy >= 900, "{answered} answered, {busy} told to wait");
    // Nothing was forgotten, so nothing is executed twice.
    assert_eq!(client.exchange(&report), first);
    assert_eq!(stored(&server, &client), 1);
    assert_eq!(client.exchange(&coap::ping(9999)), coap::reset(9999), "the session lives");
    server.assert_alive();
    // A new session begins with nothing.
    client.start_anew();
    client.connect();
    client.assert_reports();
}

#[test]
fn attack_134_acknowledgements_for_nothing() {
    each_session(|server, client| {
        for first in [0x60, 0x70] {
            for mid in [0, 1, 0x7777, 0xffff] {
                client.say(&coap::message(first, 0, mid, &[]));
            }
        }
        server.assert_silent(client);
    });
}
