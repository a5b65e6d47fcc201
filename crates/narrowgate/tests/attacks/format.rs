//! Section F: malformed messages inside authentic records. The session survives all of them.

use crate::{
    client::{APPLICATION_DATA, Client, Protection},
    coap::{self, hex},
    harness::Server,
};

/// Runs a case in a session of each protection; afterwards that session and all others work.
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

/// The Message ID of a message in hexadecimal.
fn mid_of(text: &str) -> u16 {
    let bytes = hex(text);
    u16::from_be_bytes([bytes[2], bytes[3]])
}

/// Says it; nothing comes.
#[track_caller]
fn assert_silence(server: &Server, client: &mut Client, bytes: &[u8]) {
    client.say(bytes);
    server.assert_silent(client);
}

/// As CON it is answered by a reset, as anything else by silence; the session works on after each.
#[track_caller]
fn assert_rejected(server: &Server, client: &mut Client, text: &str) {
    assert_eq!(client.exchange(&hex(text)), coap::reset(mid_of(text)), "{text}");
    for kind in ["5", "6", "7"] {
        assert_silence(server, client, &hex(&format!("{kind}{}", &text[1..])));
    }
    client.assert_reports();
}

/// As CON it is answered by this code, piggybacked; as NON by the same in a NON. Only a 4.02 has a payload,
/// which says why.
#[track_caller]
fn assert_refused(server: &Server, client: &mut Client, text: &str, code: u8) {
    let answer = client.exchange(&hex(text));
    assert_eq!(answer[..4], coap::message(0x60, code, mid_of(text), &[]), "{text}");
    match &answer[4..] {
        [0xff, words @ ..] if code == 0x82 => assert!(words.is_ascii() && words.contains(&b' '), "{words:?}"),
        payload => assert_eq!((payload, code == 0x82), (&[][..], false), "{text}"),
    }
    let answer = client.exchange(&hex(&format!("5{}", &text[1..])));
    assert_eq!(answer[..2], [0x50, code], "{text}");
    server.assert_silent(client);
    client.assert_reports();
}

#[test]
fn attack_099_delta_15() {
    each_session(|server, client| assert_rejected(server, client, "40 01 1001 f1 61"));
}

#[test]
fn attack_100_length_15() {
    each_session(|server, client| assert_rejected(server, client, "40 01 1002 bf 61"));
}

#[test]
fn attack_101_marker_without_payload() {
    each_session(|server, client| assert_rejected(server, client, "40 01 1003 ff"));
}

#[test]
fn attack_102_token_longer_than_eight() {
    each_session(|server, client| {
        for length in 9..16 {
            let token = "00".repeat(length);
            assert_rejected(server, client, &format!("4{length:x} 01 10{length:02x} {token}"));
        }
    });
}

#[test]
fn attack_103_token_cut_off() {
    each_session(|server, client| {
        assert_rejected(server, client, "48 01 1006 0102");
        assert_rejected(server, client, "4d 01 1007");
    });
}

#[test]
fn attack_104_empty_message_with_content() {
    each_session(|server, client| {
        assert_rejected(server, client, "41 00 1008 aa");
        assert_rejected(server, client, "40 00 1009 ff61");
        assert_eq!(client.exchange(&coap::ping(0x100a)), coap::reset(0x100a), "a ping is none");
    });
}

#[test]
fn attack_106_unknown_method() {
    each_session(|server, client| {
        assert_refused(server, client, "40 1f 100b", 0x85);
        assert_refused(server, client, "40 05 100c", 0x85);
    });
}

#[test]
fn attack_107_version() {
    each_session(|server, client| {
        for text in ["00 01 100c", "80 01 100c", "c0 01 100c"] {
            assert_silence(server, client, &hex(text));
            client.assert_reports();
        }
    });
}

#[test]
fn attack_110_response_nobody_asked_for() {
    each_session(|server, client| {
        assert_eq!(client.exchange(&hex("41 45 100d aa")), coap::reset(0x100d));
        assert_silence(server, client, &hex("51 45 100d aa"));
        assert_silence(server, client, &hex("61 45 100d aa"));
    });
}

#[test]
fn attack_111_unknown_critical_option() {
    each_session(|server, client| {
        assert_refused(server, client, "40 01 100e 90", 0x82);
        // 2101, an older signature scheme.
        assert_refused(server, client, "40 02 100f e1 0728 73", 0x82);
    });
}

#[test]
fn attack_112_unknown_elective_option() {
    each_session(|_, client| {
        // 2049 above the last option, 2053 - 4: elective, and nobody knows it.
        let mid = client.next_mid();
        let mut report = coap::message(0x40, 2, mid, &coap::uri_path(&client.device.report_path()));
        report.extend(hex("11 32 e0 fcdb"));
        report.push(0xff);
        report.extend(br#"{"params":{"measurepoints":{"a":1}},"#);
        report.extend(br#""method":"thing.measurepoint.post","version":"1.0","id":"1"}"#);
        let answer = client.exchange(&report);
        assert_eq!(coap::code_of(&answer, mid), 0x44);
    });
}

#[test]
fn attack_113_option_number_above_65535() {
    each_session(|server, client| assert_rejected(server, client, "40 01 1010 e0 fef2 e0 fef2"));
}

#[test]
fn attack_114_option_cut() {
    each_session(|server, client| {
        for (index, option) in ["d0", "be ffff", "e0 aa", "b5 61"].into_iter().enumerate() {
            assert_rejected(server, client, &format!("40 01 112{index} {option}"));
        }
    });
}

#[test]
fn attack_116_illegal_option_length() {
    each_session(|server, client| {
        assert_refused(server, client, "40 01 1012 51 61", 0x82);
        assert_refused(server, client, "40 01 1013 73 001633", 0x82);
    });
}

#[test]
fn attack_117_many_options() {
    each_session(|server, client| {
        for count in [65, 200, 1000] {
            let text = format!("40 01 {:04x} b0 {}", 0x2000 + count, "00".repeat(count - 1));
            assert_refused(server, client, &text, 0x82);
        }
    });
}

#[test]
fn attack_119_proxying() {
    each_session(|server, client| {
        assert_refused(server, client, "40 01 1015 d7 16 636f61703a2f2f", 0xa5);
        assert_refused(server, client, "40 01 1016 d4 1a 636f6170", 0xa5);
    });
}

#[test]
fn attack_121_payload_on_get_is_ignored() {
    each_session(|_, client| {
        let mid = client.next_mid();
        let mut get = coap::get(mid, "no/such/path");
        get.push(0xff);
        get.extend([0x2a; 45]);
        let answer = client.exchange(&get);
        assert_eq!(coap::code_of(&answer, mid), 0x84, "as without it");
    });
}

#[test]
fn attack_122_leading_zeros_within_the_length() {
    each_session(|_, client| {
        let mid = client.next_mid();
        // Uri-Port 0035 before the path; Content-Format 0032, Accept 0032, Size1 00000033 behind it.
        let path = coap::uri_path(&client.device.report_path());
        let mut report = coap::message(0x40, 2, mid, &hex("72 0035"));
        report.push(path[0] - 0x70);
        report.extend(&path[1..]);
        report.extend(hex("12 0032 52 0032 d4 1e 00000033 ff"));
        report.extend(br#"{"id":"1","version":"1.0","params":{"measurepoints":{"a":1}},"#);
        report.extend(br#""method":"thing.measurepoint.post"}"#);
        let answer = client.exchange(&report);
        assert_eq!(coap::code_of(&answer, mid), 0x44, "{answer:02x?}");
    });
}

#[test]
fn attack_123_malformed_messages_do_not_end_the_session() {
    each_session(|server, client| {
        let all = [
            "40 01 1001 f1 61",
            "40 01 1002 bf 61",
            "40 01 1003 ff",
            "4d 01 1006",
            "41 00 1007 aa",
            "40 1f 1008",
            "80 01 1009",
            "41 45 100a aa",
            "40 01 100b 90",
            "40 01 100c e0 fef2 e0 fef2",
            "40 01 100d d0",
            "40 01 100e 51 61",
            "40",
            "ff",
            "4001",
            "400110",
        ];
        for text in all {
            client.say(&hex(text));
            let mid = client.next_mid();
            client.say(&coap::ping(mid));
            // Whatever came before it: the good one is answered.
            loop {
                let (content_type, answer) = client.hear();
                assert_eq!(content_type, APPLICATION_DATA);
                if answer == coap::reset(mid) {
                    break;
                }
            }
        }
        // The same in one datagram.
        let mut datagram = Vec::new();
        for text in all {
            datagram.extend(client.data(&hex(text)));
        }
        client.send(&datagram);
        server.marker();
        client.drain();
        client.assert_reports();
    });
}
