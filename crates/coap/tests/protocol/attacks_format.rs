//! Malformed and hostile messages. The numbers are those of the product's catalogue of attacks, group F.

use narrowgate_coap::{Code, Discard, Event, OptionFault, OptionNumber, RequestFault};
use proptest::collection::vec;

use crate::peer::Peer;

const SILENCE: [&str; 0] = [];

/// The same bytes as NON, ACK and RST must be met with silence.
fn is_rejected(text: &str, reset: &str, reason: Discard) {
    let mut peer = Peer::new();
    assert_eq!(peer.reply_to(text), [reset], "{text}");
    assert_eq!(peer.discards(), [reason], "{text}");
    for kind in ["5", "6", "7"] {
        let other = format!("{kind}{}", &text[1..]);
        assert_eq!(peer.reply_to(&other), SILENCE, "{other}");
    }
    is_alive(&mut peer);
    assert_eq!(peer.budget.bytes_used(), 16, "only the answer to the probe is kept");
}

/// The session works after whatever happened.
fn is_alive(peer: &mut Peer) {
    peer.events();
    assert_eq!(peer.serve("40 02 7777 b1 61", "ok")[0], "60447777ff6f6b".to_owned());
}

/// The same request as CON and NON is refused by `code` without the application, with these words as its
/// payload.
fn is_refused(text: &str, code: &str, words: &str, reason: Discard) {
    let mut peer = Peer::new();
    let mid = &text.replace(' ', "")[4..8];
    let payload = if words.is_empty() { String::new() } else { format!("ff{}", hex::encode(words)) };
    assert_eq!(peer.reply_to(text), [format!("60{code}{mid}{payload}")], "{text}");
    assert_eq!(peer.discards(), [reason], "{text}");
    // Under another Message ID, or it would be the same request once more.
    let non = format!("5{} 1fff{}", &text[1..5], &text[10..]);
    assert_eq!(peer.reply_to(&non), [format!("50{code}0a00{payload}")], "{non}");
    let events = peer.events();
    assert!(matches!(&events[..], [Event::Refused(_), Event::Discarded(it)] if *it == reason), "{events:?}");
    is_alive(&mut peer);
}

/// Why a request is refused, as the user hears it.
fn fault_of(text: &str) -> RequestFault {
    let mut peer = Peer::new();
    peer.receive(text);
    match &peer.events()[..] {
        [Event::Refused(refused), Event::Discarded(_)] => refused.fault,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn attack_099_delta_15() {
    is_rejected("40 01 1001 f1 61", "70001001", Discard::OptionMalformed);
}

#[test]
fn attack_100_length_15() {
    is_rejected("40 01 1002 bf 61", "70001002", Discard::OptionMalformed);
}

#[test]
fn attack_101_marker_without_payload() {
    is_rejected("40 01 1003 ff", "70001003", Discard::PayloadMissing);
}

#[test]
fn attack_102_token_longer_than_eight() {
    for length in 9..16 {
        let token = "00".repeat(length);
        is_rejected(&format!("4{length:x} 01 1004 {token}"), "70001004", Discard::TokenMalformed);
    }
}

#[test]
fn attack_103_token_cut_off() {
    is_rejected("48 01 1006 0102", "70001006", Discard::TokenMalformed);
    is_rejected("4d 01 1006", "70001006", Discard::TokenMalformed);
}

#[test]
fn attack_104_empty_message_with_content() {
    let mut peer = Peer::new();
    assert_eq!(peer.reply_to("40 00 1007"), ["70001007"], "a ping");
    is_rejected("41 00 1008 aa", "70001008", Discard::EmptyMalformed);
    is_rejected("40 00 1009 ff61", "70001009", Discard::EmptyMalformed);
    assert_eq!(peer.reply_to("50 00 100a"), SILENCE, "a non-confirmable empty message");
}

#[test]
fn attack_106_unknown_method() {
    is_refused("40 1f 100b", "85", "", Discard::MethodUnknown);
    is_refused("40 05 100b", "85", "", Discard::MethodUnknown);
    assert_eq!(fault_of("40 05 100b"), RequestFault::MethodUnknown);
}

#[test]
fn attack_107_version() {
    let mut peer = Peer::new();
    for text in ["00 01 100c", "80 01 100c", "c0 01 100c"] {
        assert_eq!(peer.reply_to(text), SILENCE, "{text}");
        assert_eq!(peer.discards(), [Discard::VersionUnknown]);
    }
    is_alive(&mut peer);
}

#[test]
fn attack_110_response_nobody_asked_for() {
    let mut peer = Peer::new();
    assert_eq!(peer.reply_to("41 45 100d aa"), ["7000100d"]);
    assert_eq!(peer.reply_to("51 45 100d aa"), SILENCE);
    assert_eq!(peer.reply_to("61 45 100d aa"), SILENCE);
    assert_eq!(
        peer.discards(),
        [Discard::ResponseUnexpected, Discard::ResponseUnexpected, Discard::AcknowledgementUnknown]
    );
    is_alive(&mut peer);
}

#[test]
fn attack_111_unknown_critical_option() {
    // RFC 7252 5.4.1: 4.02 carries a diagnostic.
    is_refused("40 01 100e 90", "82", "option 9 (OSCORE) not supported", Discard::OptionCritical);
    // 2101, the signature option that is not supported: delta 14, 2101 - 269.
    is_refused("40 02 100e e1 0728 73", "82", "option 2101 not supported", Discard::OptionCritical);
    // Q-Block1 and Q-Block2 (RFC 9177).
    is_refused("40 02 100e d1 06 02", "82", "option 19 (Q-Block1) not supported", Discard::OptionCritical);
    is_refused("40 01 100e d1 12 02", "82", "option 31 (Q-Block2) not supported", Discard::OptionCritical);
    let (number, fault) = (OptionNumber(19), OptionFault::Unknown);
    assert_eq!(fault_of("40 02 100e d1 06 02"), RequestFault::Option { number, fault });
}

#[test]
fn attack_111_a_refused_request_is_told_with_its_method_and_path() {
    let mut peer = Peer::new();
    // Option 13 behind the path, option 9 before it.
    for (text, path) in [("40 02 100e b1 61 01 62 20", "/a/b"), ("40 02 100e 90 21 61", "/a")] {
        peer.receive(text);
        let events = peer.events();
        let [Event::Refused(refused), Event::Discarded(_)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((refused.method, refused.path.as_str()), (Code::POST, path));
    }
}

#[test]
fn attack_111_a_retransmission_of_a_refused_request_is_answered_and_not_told_again() {
    let mut peer = Peer::new();
    let told = |peer: &mut Peer| peer.events().iter().any(|event| matches!(event, Event::Refused(_)));
    let request = "40 02 100e b1 61 20";
    let answer = peer.reply_to(request);
    assert!(told(&mut peer) && !answer.is_empty());
    for _ in 0..4 {
        assert_eq!(peer.reply_to(request), answer);
        assert_eq!(peer.discards(), [Discard::Duplicate]);
    }
    // Another Message ID, and another request under the same one.
    for other in ["40 02 100f b1 61 20", "40 02 100f b1 62 20"] {
        peer.receive(other);
        assert!(told(&mut peer), "{other}");
        peer.receive(other);
        assert!(!told(&mut peer), "{other}");
    }
    // It persists: firmware that does not count.
    peer.now += peer.params.exchange_lifetime;
    peer.receive("40 02 100f b1 62 20");
    assert!(told(&mut peer));
}

#[test]
fn attack_112_unknown_elective_option_is_ignored() {
    let mut peer = Peer::new();
    assert_eq!(peer.serve("40 01 100f e0 fcdb", "ok"), ["6044100fff6f6b"]);
}

#[test]
fn attack_113_option_number_above_65535() {
    is_rejected("40 01 1010 e0 fef2 e0 fef2", "70001010", Discard::OptionMalformed);
}

#[test]
fn attack_114_option_cut() {
    for option in ["d0", "be ffff", "e0 aa", "b5 61"] {
        is_rejected(&format!("40 01 1011 {option}"), "70001011", Discard::OptionMalformed);
    }
}

#[test]
fn attack_116_illegal_option_length() {
    let words = "option 5 (If-None-Match) has an illegal length of 1";
    is_refused("40 01 1012 51 61", "82", words, Discard::OptionCritical);
    let words = "option 7 (Uri-Port) has an illegal length of 3";
    is_refused("40 01 1012 73 001633", "82", words, Discard::OptionCritical);
    is_refused("40 01 1012 b1 ff", "82", "option 11 (Uri-Path) is not UTF-8", Discard::OptionCritical);
    let words = "option 17 (Accept) occurs twice";
    is_refused("40 01 1012 d1 04 32 01 32", "82", words, Discard::OptionCritical);
    // Content-Format of three bytes is elective.
    let mut peer = Peer::new();
    peer.receive("40 02 1013 c3 000032");
    assert_eq!(peer.request_received().1.content_format, None);
}

#[test]
fn attack_117_many_options() {
    for count in [65, 200, 1000] {
        // The first has delta 11, the others delta 0.
        let text = format!("40 01 1014 b0 {}", "00".repeat(count - 1));
        is_refused(&text, "82", "more than 64 options", Discard::OptionsTooMany);
    }
}

#[test]
fn attack_119_proxying() {
    // Proxy-Uri: delta 13 + 0x16 = 35, seven bytes.
    is_refused("40 01 1015 d7 16 636f61703a2f2f", "a5", "", Discard::Proxying);
    // Proxy-Scheme: 39.
    is_refused("40 01 1015 d4 1a 636f6170", "a5", "", Discard::Proxying);
    assert_eq!(fault_of("40 01 1015 d4 1a 636f6170"), RequestFault::Proxying(OptionNumber::PROXY_SCHEME));
}

#[test]
fn attack_121_payload_on_get_is_ignored() {
    let mut peer = Peer::new();
    peer.receive(&format!("40 01 1016 b1 61 ff {}", "2a".repeat(45)));
    let (_, request) = peer.request_received();
    assert_eq!((request.path_text(), request.payload.len()), ("/a", 0));
}

#[test]
fn attack_122_leading_zeros_within_the_length_are_accepted() {
    let mut peer = Peer::new();
    // Uri-Port 0035, Content-Format 0032, Accept 003c, Size1 00001633.
    peer.receive("40 02 1017 72 0035 52 0032 52 003c d4 1e 00001633");
    let (_, request) = peer.request_received();
    assert_eq!((request.content_format, request.accept), (Some(50), Some(60)));
    assert_eq!(request.options.find_uint(narrowgate_coap::OptionNumber::SIZE1), Some(0x1633));
}

#[test]
fn attack_123_malformed_messages_do_not_end_the_session() {
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
        "",
        "40",
        "ff",
    ];
    let mut peer = Peer::new();
    for text in all {
        peer.receive(text);
    }
    peer.sent();
    is_alive(&mut peer);
}

proptest::proptest! {
    /// Neither one datagram nor the memory of the ones before makes an endpoint panic or keep what nobody
    /// asked for.
    #[test]
    fn any_bytes_leave_the_endpoint_working(
        datagrams in vec(vec(proptest::num::u8::ANY, 0..40), 0..20),
        first in vec(0x40_u8..0x80, 20),
    ) {
        let mut peer = Peer::new();
        for (mut bytes, first) in datagrams.into_iter().zip(first) {
            // Otherwise three of four are of another version, and most have a token that is too long.
            if let Some(byte) = bytes.first_mut() {
                *byte = first & 0xf3;
            }
            peer.receive_bytes(&bytes);
        }
        peer.advance(std::time::Duration::from_secs(247));
        peer.sent();
        peer.events();
        proptest::prop_assert!(peer.endpoint.is_idle());
        proptest::prop_assert_eq!(peer.budget.bytes_used(), 0);
    }
}
