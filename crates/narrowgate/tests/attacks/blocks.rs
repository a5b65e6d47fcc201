//! Section H: bodies and answers in blocks (RFC 7959), and section I where nothing is observed.

use crate::{
    client::{Client, Protection},
    coap,
    exchange::stored,
    harness::Server,
};

const OBSERVE: u16 = 6;
const BLOCK2: u16 = 23;
const BLOCK1: u16 = 27;
const SIZE2: u16 = 28;
const SIZE1: u16 = 60;
const REQUEST_TAG: u16 = 292;

const CHANGED: u8 = 0x44;
const CONTINUE: u8 = 0x5f;
const BAD_REQUEST: u8 = 0x80;
const INCOMPLETE: u8 = 0x88;
const TOO_LARGE: u8 = 0x8d;

/// The longest body that is accepted.
const BODY_BYTES_MAX: usize = 10 * 1024;

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

/// The value of a Block option: number, whether others follow, and the size exponent.
fn block(number: u32, more: bool, exponent: u8) -> Vec<u8> {
    let value = number << 4 | u32::from(more) << 3 | u32::from(exponent);
    value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}

/// Block `number` of a body in blocks of `16 << exponent` bytes, as a report with these options more.
fn part(client: &mut Client, body: &[u8], number: u32, exponent: u8, more: &[(u16, &[u8])]) -> Vec<u8> {
    let bytes = 16 << exponent;
    let offset = number as usize * bytes;
    let end = body.len().min(offset + bytes);
    let block1 = block(number, end < body.len(), exponent);
    let options = [&[(BLOCK1, &block1[..])], more].concat();
    let mid = client.next_mid();
    coap::report_with(mid, &client.device.report_path(), &options, &body[offset..end])
}

/// A report of this value with `bytes` bytes, filled up with blanks.
fn body(value: u32, bytes: usize) -> Vec<u8> {
    let head = format!(r#"{{"id":"1","version":"1.0","params":{{"measurepoints":{{"temp":{value}}}}}"#);
    let tail = r#","method":"thing.measurepoint.post"}"#;
    let blanks = " ".repeat(bytes - head.len() - tail.len());
    format!("{head}{blanks}{tail}").into_bytes()
}

/// An answer taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    code: u8,
    options: Vec<(u16, Vec<u8>)>,
    payload: Vec<u8>,
}

impl Answer {
    fn option(&self, number: u16) -> Option<&[u8]> {
        self.options.iter().find(|(other, _)| *other == number).map(|(_, value)| &value[..])
    }

    /// What a Block option says: number, whether others follow, size exponent.
    fn block(&self, number: u16) -> Option<(u32, bool, u8)> {
        let value = self.option(number)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
        Some((value >> 4, value & 8 != 0, value as u8 & 7))
    }
}

#[track_caller]
fn ask(client: &mut Client, request: &[u8]) -> Answer {
    let mid = u16::from_be_bytes([request[2], request[3]]);
    let mut answer = client.exchange(request);
    let code = match coap::code_of(&answer, mid) {
        // A busy disk took more than 2 s: the answer comes in a message of its own.
        0 => {
            (_, answer) = client.hear();
            client.say(&coap::message(0x60, 0, u16::from_be_bytes([answer[2], answer[3]]), &[]));
            answer[1]
        }
        code => {
            assert_eq!(client.exchange(request), answer, "a copy gets the same answer, byte for byte");
            code
        }
    };
    let (options, payload) = coap::take_apart(&answer);
    Answer { code, options, payload }
}

/// Sends a whole body and returns the answer to its last block.
#[track_caller]
fn send(client: &mut Client, body: &[u8], exponent: u8, more: &[(u16, &[u8])]) -> Answer {
    let last = (body.len() as u32 - 1) / (16 << exponent);
    for number in 0..last {
        let request = part(client, body, number, exponent, more);
        let answer = ask(client, &request);
        assert_eq!((answer.code, answer.block(BLOCK1)), (CONTINUE, Some((number, true, exponent))));
    }
    let request = part(client, body, last, exponent, more);
    let answer = ask(client, &request);
    assert_eq!(answer.block(BLOCK1), Some((last, false, exponent)));
    answer
}

#[test]
fn a_report_in_blocks_is_stored_once_and_whole() {
    each_session(|server, client| {
        for (count, (bytes, exponent)) in [(2000, 2), (1025, 6), (300, 0)].into_iter().enumerate() {
            let answer = send(client, &body(7, bytes), exponent, &[]);
            assert_eq!(answer.code, CHANGED);
            assert!(answer.payload.starts_with(br#"{"id":"1","code":200"#), "{answer:?}");
            assert_eq!(stored(server, client), count + 1);
        }
    });
}

#[test]
fn attack_135_a_body_that_begins_at_block_5() {
    each_session(|server, client| {
        let request = part(client, &body(7, 7000), 5, 6, &[]);
        assert_eq!(ask(client, &request).code, INCOMPLETE);
        let device = format!("pk/{}", client.device.key);
        server.wait_for_json(&["device", "log", &device], |log| {
            log.contains("body_malformed") && log.contains("begins at byte 5120, and no block before it")
        });
        assert_eq!(stored(server, client), 0);
    });
}

#[test]
fn attack_136_gaps_order_and_duplicates() {
    each_session(|server, client| {
        let body = body(7, 200);
        for (numbers, codes) in [
            (&[0, 2, 1][..], &[CONTINUE, INCOMPLETE, INCOMPLETE][..]),
            (&[1, 0, 2], &[INCOMPLETE, CONTINUE, INCOMPLETE]),
            (&[0, 0, 1, 1, 0, 1, 2, 1, 3], &[CONTINUE; 8]),
        ] {
            assert_eq!(stored(server, client), 0);
            for (number, code) in numbers.iter().zip(codes) {
                let request = part(client, &body, *number, 2, &[]);
                let answer = ask(client, &request);
                assert_eq!(answer.code, *code, "{number} of {numbers:?}");
                let echo = (answer.code == CONTINUE).then_some((*number, true, 2));
                assert_eq!(answer.block(BLOCK1), echo);
            }
        }
        let request = part(client, &body, 3, 2, &[]);
        assert_eq!(ask(client, &request).code, CHANGED);
        assert_eq!(stored(server, client), 1);
    });
}

#[test]
fn attack_137_the_size_exponent_7() {
    each_session(|server, client| {
        for number in [BLOCK1, BLOCK2] {
            for value in [0x07, 0x0f] {
                let mid = client.next_mid();
                let path = client.device.report_path();
                let request = coap::report_with(mid, &path, &[(number, &[value])], &body(7, 200));
                assert_eq!(ask(client, &request).code, BAD_REQUEST);
            }
        }
        assert_eq!(stored(server, client), 0);
    });
}

#[test]
fn attack_140_a_body_of_4_gib_is_announced() {
    each_session(|server, client| {
        let before = server.resident_bytes();
        for _ in 0..20 {
            let request = part(client, &body(7, 2000), 0, 2, &[(SIZE1, &[0xff; 4])]);
            let answer = ask(client, &request);
            assert_eq!((answer.code, answer.option(SIZE1)), (TOO_LARGE, Some(&[0x28, 0][..])));
        }
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 16 << 20, "{grown} bytes");
        let size = (BODY_BYTES_MAX as u16).to_be_bytes();
        let request = part(client, &body(7, 2000), 0, 2, &[(SIZE1, &size)]);
        assert_eq!(ask(client, &request).code, CONTINUE, "that much may come");
    });
}

#[test]
fn attack_141_a_body_of_one_byte_too_many() {
    each_session(|server, client| {
        let body = |bytes| body(7, bytes);
        assert_eq!(send(client, &body(BODY_BYTES_MAX), 5, &[]).code, CHANGED);
        assert_eq!(stored(server, client), 1);
        let long = body(BODY_BYTES_MAX + 1);
        for number in 0..20 {
            let request = part(client, &long, number, 5, &[]);
            assert_eq!(ask(client, &request).code, CONTINUE, "{number}");
        }
        let request = part(client, &long, 20, 5, &[]);
        let answer = ask(client, &request);
        assert_eq!((answer.code, answer.option(SIZE1)), (TOO_LARGE, Some(&[0x28, 0][..])));
        let request = part(client, &long, 19, 5, &[]);
        assert_eq!(ask(client, &request).code, INCOMPLETE, "nothing of it is left");
        let device = format!("pk/{}", client.device.key);
        server.wait_for_json(&["device", "log", &device], |log| {
            log.contains("too_large") && log.contains("in blocks of 10241 bytes or more; at most 10240")
        });
        assert_eq!(stored(server, client), 1);
    });
}

#[test]
fn attack_141_the_highest_number_of_a_block() {
    each_session(|server, client| {
        for exponent in [0, 6] {
            let mid = client.next_mid();
            let path = client.device.report_path();
            let block1 = block((1 << 20) - 1, false, exponent);
            let request = coap::report_with(mid, &path, &[(BLOCK1, &block1)], b"x");
            assert_eq!(ask(client, &request).code, TOO_LARGE);
        }
        assert_eq!(stored(server, client), 0);
    });
}

#[test]
fn attack_142_bodies_that_are_never_finished() {
    each_session(|server, client| {
        let body = body(7, 600);
        for tag in 0..10_u8 {
            for number in 0..2 {
                let request = part(client, &body, number, 4, &[(REQUEST_TAG, &[tag])]);
                assert_eq!(ask(client, &request).code, CONTINUE);
            }
        }
        // Two are held, the newest; the others have ended.
        for (tag, code) in [(0, INCOMPLETE), (7, INCOMPLETE), (8, CHANGED), (9, CHANGED)] {
            let request = part(client, &body, 2, 4, &[(REQUEST_TAG, &[tag])]);
            assert_eq!(ask(client, &request).code, code, "{tag}");
        }
        assert_eq!(stored(server, client), 2);
    });
}

#[test]
fn attack_142_what_a_session_holds_ends_with_it() {
    let server = Server::start();
    let gauge = "narrowgate_stored_answer_bytes";
    let mut client = server.connect(Protection::Ccm8);
    server.counted("requests_total");
    let before = server.metric(gauge);
    let long = body(7, 9000);
    for number in 0..8 {
        let request = part(&mut client, &long, number, 6, &[]);
        assert_eq!(ask(&mut client, &request).code, CONTINUE);
    }
    server.wait_for_metric(gauge, |bytes| (8000..10_000).contains(&(bytes - before)));
    client.close();
    server.wait_for_metric(gauge, |bytes| bytes <= before + 200);
    server.assert_alive();
}

#[test]
fn attack_142_a_body_that_a_restart_interrupts_begins_anew() {
    let mut server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    let body = body(7, 200);
    for number in 0..2 {
        let request = part(&mut client, &body, number, 2, &[]);
        assert_eq!(ask(&mut client, &request).code, CONTINUE);
    }
    server.restart(&[]);
    let mut client = server.connect_again(client.device, Protection::Ccm8);
    let request = part(&mut client, &body, 2, 2, &[]);
    assert_eq!(ask(&mut client, &request).code, INCOMPLETE);
    assert_eq!(stored(&server, &client), 0, "no half of it is stored");
    assert_eq!(send(&mut client, &body, 2, &[]).code, CHANGED);
    assert_eq!(stored(&server, &client), 1);
}

#[test]
fn attack_143_two_bodies_for_one_path_interleaved() {
    each_session(|server, client| {
        let (one, other) = (body(71, 200), body(82, 200));
        for number in 0..3 {
            for (tag, body) in [(b"a", &one), (b"b", &other)] {
                let request = part(client, body, number, 2, &[(REQUEST_TAG, tag)]);
                assert_eq!(ask(client, &request).code, CONTINUE);
            }
        }
        // A block under the tag of the other body, which is there already with other bytes.
        let mid = client.next_mid();
        let path = client.device.report_path();
        let options = [(BLOCK1, &block(0, true, 2)[..]), (REQUEST_TAG, b"c")];
        assert_eq!(ask(client, &coap::report_with(mid, &path, &options, &[b' '; 64])).code, CONTINUE);
        let request = part(client, &one, 3, 2, &[(REQUEST_TAG, b"a")]);
        assert_eq!(ask(client, &request).code, INCOMPLETE, "the third body ended the first");
        let request = part(client, &other, 3, 2, &[(REQUEST_TAG, b"b")]);
        assert_eq!(ask(client, &request).code, CHANGED);
        let latest = server.json(&["device", "points", &format!("pk/{}", client.device.key)]).to_string();
        assert!(latest.contains("82") && stored(server, client) == 1, "{latest}");
        for (tag, body) in [(b"a", &one), (b"b", &other)] {
            assert_eq!(send(client, body, 6, &[(REQUEST_TAG, tag)]).code, CHANGED);
        }
        assert_eq!(stored(server, client), 3);
    });
}

#[test]
fn attack_144_behind_the_end_of_an_answer() {
    each_session(|server, client| {
        let path = client.device.report_path();
        let ask_block = |client: &mut Client, number: u32, more: &[(u16, &[u8])], body: &[u8]| {
            let mid = client.next_mid();
            let block2 = block(number, false, 0);
            let options = [&[(BLOCK2, &block2[..])], more].concat();
            ask(client, &coap::report_with(mid, &path, &options, body))
        };
        let first = ask_block(client, 0, &[(SIZE2, &[])], &body(7, 200));
        assert_eq!((first.code, first.block(BLOCK2)), (CHANGED, Some((0, true, 0))));
        assert_eq!(first.option(SIZE2), Some(&[31][..]));
        for number in [2, (1 << 20) - 1] {
            assert_eq!(ask_block(client, number, &[], b"").code, BAD_REQUEST);
        }
        let last = ask_block(client, 1, &[], b"");
        assert_eq!(last.block(BLOCK2), Some((1, false, 0)));
        assert_eq!(last.option(4), first.option(4), "the ETag");
        let reply = [first.payload, last.payload].concat();
        assert_eq!(reply, br#"{"id":"1","code":200,"data":{}}"#);
        // It is fetched to its end: the last block alone is there, and the report is not stored again.
        let again = ask_block(client, 1, &[], &body(7, 200));
        assert_eq!((again.block(BLOCK2), &again.payload[..]), (Some((1, false, 0)), &reply[16..]));
        assert_eq!(ask_block(client, 2, &[], &body(7, 200)).code, INCOMPLETE);
        assert_eq!(stored(server, client), 1);
    });
}

#[test]
fn attack_145_a_body_and_an_answer_in_blocks() {
    each_session(|server, client| {
        let wish = block(0, false, 0);
        let first = send(client, &body(7, 200), 2, &[(BLOCK2, &wish)]);
        assert_eq!((first.code, first.block(BLOCK2)), (CHANGED, Some((0, true, 0))));
        let mid = client.next_mid();
        let path = client.device.report_path();
        let last = ask(client, &coap::report_with(mid, &path, &[(BLOCK2, &block(1, false, 0))], b""));
        assert_eq!([first.payload, last.payload].concat(), br#"{"id":"1","code":200,"data":{}}"#);
        assert_eq!(stored(server, client), 1);
    });
}

#[test]
fn attack_146_a_single_block_and_a_hint_are_a_plain_request() {
    each_session(|server, client| {
        let request = part(client, &body(7, 200), 0, 4, &[]);
        let answer = ask(client, &request);
        assert_eq!((answer.code, answer.block(BLOCK1)), (CHANGED, Some((0, false, 4))));
        let mid = client.next_mid();
        let path = client.device.report_path();
        let request = coap::report_with(mid, &path, &[(BLOCK2, &block(0, false, 6))], &body(7, 200));
        let answer = ask(client, &request);
        assert_eq!((answer.code, answer.block(BLOCK2)), (CHANGED, None));
        assert_eq!(answer.payload, br#"{"id":"1","code":200,"data":{}}"#);
        assert_eq!(stored(server, client), 2);
    });
}

/// A GET of this path with these options.
fn get(client: &mut Client, path: &str, options: &[(u16, &[u8])]) -> Answer {
    let mut request = coap::report_with(client.next_mid(), path, options, b"");
    request[1] = 1;
    ask(client, &request)
}

/// RFC 6690: a device asks for what it may use, and a long list comes in blocks.
#[test]
fn the_topics_of_a_device_are_listed() {
    each_session(|_, client| {
        let mut list = Vec::new();
        for number in 0.. {
            let answer = get(client, ".well-known/core", &[(BLOCK2, &block(number, false, 2))]);
            assert_eq!((answer.code, answer.option(12)), (0x45, Some(&[40][..])));
            list.extend(answer.payload.clone());
            if answer.block(BLOCK2).is_none_or(|(_, more, _)| !more) {
                break;
            }
        }
        let list = String::from_utf8(list).expect("text");
        assert!(list.contains(&format!("</{}>;ct=\"50 60\"", client.device.report_path())), "{list}");
        let own = format!("/pk/{}", client.device.key);
        assert!(list.split(',').all(|link| link.contains(&own)), "{list}");
        let first = get(client, ".well-known/core", &[]);
        assert_eq!((&*first.payload, first.block(BLOCK2)), (&list.as_bytes()[..1024], Some((0, true, 6))));
        assert_eq!(get(client, ".well-known/core", &[(17, &[50])]).code, 0x86);
    });
}

#[test]
fn attack_151_observe_where_nothing_is_observed() {
    each_session(|server, client| {
        for value in [&[][..], &[1], &[0xff, 0xff, 0xff]] {
            let mid = client.next_mid();
            let path = client.device.report_path();
            let answer = ask(client, &coap::report_with(mid, &path, &[(OBSERVE, value)], &body(7, 200)));
            assert_eq!((answer.code, answer.option(OBSERVE)), (CHANGED, None));
        }
        assert_eq!(stored(server, client), 3);
    });
}

/// RFC 7967: the classes of answers that a device does not want are not sent to it.
#[test]
fn a_report_that_wants_no_answer_is_stored_and_acknowledged() {
    each_session(|server, client| {
        let path = client.device.report_path();
        let mid = client.next_mid();
        let report = coap::report_with(mid, &path, &[(258, &[2])], &body(7, 200));
        assert_eq!(client.exchange(&report), coap::message(0x60, 0, mid, &[]));
        assert_eq!(stored(server, client), 1);
        let mid = client.next_mid();
        let mut report = coap::report_with(mid, &path, &[(258, &[26])], &body(7, 200));
        report[0] = 0x50;
        client.say(&report);
        client.assert_reports();
        let end = std::time::Instant::now() + crate::harness::AT_ONCE;
        while stored(server, client) < 3 {
            assert!(std::time::Instant::now() < end, "it was not stored");
        }
        let mid = client.next_mid();
        let report = coap::report_with(mid, &path, &[(258, &[2])], b"not JSON");
        assert_eq!(coap::code_of(&client.exchange(&report), mid), BAD_REQUEST, "errors are wanted");
    });
}

#[test]
fn attack_141_a_limit_of_messages_that_was_set_holds() {
    let server = Server::start_with(&[("LIMITS_MESSAGE_BYTES", "8KiB")]);
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        assert_eq!(send(&mut client, &body(7, 8192), 5, &[]).code, CHANGED);
        let refused = |answer: &Answer| (answer.code, answer.option(SIZE1).map(<[u8]>::to_vec));
        let too_large = (TOO_LARGE, Some(vec![0x20, 0]));
        let long = body(8, 9000);
        for number in 0..16 {
            let request = part(&mut client, &long, number, 5, &[]);
            assert_eq!(ask(&mut client, &request).code, CONTINUE, "{number}");
        }
        let request = part(&mut client, &long, 16, 5, &[]);
        assert_eq!(refused(&ask(&mut client, &request)), too_large, "in blocks");
        let mid = client.next_mid();
        let whole = coap::report_with(mid, &client.device.report_path(), &[], &body(9, 9000));
        assert_eq!(refused(&ask(&mut client, &whole)), too_large, "in one datagram");
        let device = format!("pk/{}", client.device.key);
        server.wait_for_json(&["device", "log", &device], |log| {
            log.contains("at most 8192 are accepted (limits.message_bytes)")
                && log.contains("the body has 9000 bytes; at most 8192")
        });
        assert_eq!(stored(&server, &client), 1);
        client.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn attack_141_messages_are_as_long_as_the_limit_that_was_set() {
    let server = Server::start_with(&[("LIMITS_MESSAGE_BYTES", "64KiB")]);
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        assert_eq!(send(&mut client, &body(7, 65_536), 6, &[]).code, CHANGED);
        let long = body(8, 65_537);
        for number in 0..64 {
            let request = part(&mut client, &long, number, 6, &[]);
            assert_eq!(ask(&mut client, &request).code, CONTINUE, "{number}");
        }
        let request = part(&mut client, &long, 64, 6, &[]);
        let answer = ask(&mut client, &request);
        assert_eq!((answer.code, answer.option(SIZE1)), (TOO_LARGE, Some(&[1, 0, 0][..])));
        assert_eq!(stored(&server, &client), 1);
        client.assert_reports();
    }
    server.assert_alive();
}
