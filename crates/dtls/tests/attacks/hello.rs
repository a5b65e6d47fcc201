//! Section B, first half: hellos at the front door, before there is a handshake and at its beginning.

use std::time::Duration;

use narrowgate_dtls::{
    CipherSuite, ClientConfig, Discard, ExtendedMasterSecretPolicy, FrontDoor, HandshakeEvent, Missing,
    Refusal, ServerConfig, hello_without_dtls_1_2, test_support::client_hello_random,
};
use narrowgate_testkit::{hello::Hello, record::record};

use crate::util::{PROTECTIONS, World, client_config, door::Door, peer, server_config, start};

fn door() -> Door {
    Door::new(server_config())
}

fn discarded(door: &mut Door, datagram: &[u8]) -> Discard {
    match door.knock(datagram) {
        FrontDoor::Discard(reason) => {
            assert!(door.reply.is_empty(), "what is dropped is not answered");
            reason
        }
        other => panic!("not dropped: {other:?}"),
    }
}

/// What becomes of a ClientHello whose cookie is good, and the alert that answers it.
fn refused(door: &mut Door, hello: Hello) -> (Refusal, Vec<u8>) {
    let hello = hello.with_cookie(|hello| door.verify(hello));
    match door.knock(&hello.datagram()) {
        FrontDoor::Refuse(refusal) => {
            assert_eq!(door.reply[..13], record(21, 0xfefd, 0, 1, &[0, 0])[..13]);
            assert_eq!(door.reply[13..], [2, refusal.alert()]);
            (refusal, door.reply.clone())
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_good_cookie_is_accepted_and_the_server_hello_repeats_the_record_number() {
    let mut door = door();
    let hello = Hello { sequence: 17, ..Hello::new().with_cookie(|hello| door.verify(hello)) };
    assert_eq!(client_hello_random(&hello.datagram()), Some(&[0x33; 32]));
    let FrontDoor::Accept(mut handshake) = door.knock(&hello.datagram()) else {
        panic!("the cookie is good");
    };
    let mut flight = Vec::new();
    assert!(handshake.poll_transmit(&mut flight));
    assert_eq!((flight[10], flight[13]), (17, 2));
    assert_eq!(handshake.suite(), CipherSuite::PskAes128Ccm8);
    assert_eq!(handshake.client_random(), &[0x33; 32]);
    assert!(!handshake.extended_master_secret());
}

#[test]
fn attack_007_a_hello_may_be_in_a_record_of_dtls_1_0_and_no_other() {
    let mut door = door();
    let old = Hello { record_version: 0xfeff, ..Hello::new() };
    assert!(matches!(door.knock(&old.datagram()), FrontDoor::HelloVerify));
    for record_version in [0xfefe, 0x0303, 0x0000] {
        let hello = Hello { record_version, ..Hello::new() };
        assert_eq!(discarded(&mut door, &hello.datagram()), Discard::RecordVersion);
    }
}

#[test]
fn attack_011_a_hello_in_epoch_1_is_dropped() {
    let mut door = door();
    let first = Hello { epoch: 1, ..Hello::new() };
    assert_eq!(discarded(&mut door, &first.datagram()), Discard::Epoch);
    let second = Hello { epoch: 1, ..Hello::new().with_cookie(|hello| door.verify(hello)) };
    assert_eq!(discarded(&mut door, &second.datagram()), Discard::Epoch);
}

#[test]
fn attack_029_a_hello_cut_at_every_byte_is_dropped() {
    let mut door = door();
    for hello in [Hello::new(), Hello::new().with_cookie(|hello| door.verify(hello))] {
        let datagram = hello.datagram();
        for length in 0..datagram.len() {
            discarded(&mut door, &datagram[..length]);
        }
        // The same with a record length that fits what is left.
        for length in 13..datagram.len() {
            let mut cut = datagram[..length].to_vec();
            cut[11..13].copy_from_slice(&((length - 13) as u16).to_be_bytes());
            discarded(&mut door, &cut);
        }
    }
}

#[test]
fn attack_030_a_cookie_past_the_end_is_dropped() {
    let mut door = door();
    let mut datagram = Hello { cookie: vec![1; 4], message_seq: 1, ..Hello::new() }.datagram();
    datagram[13 + 12 + 2 + 32 + 1] = 0xff;
    assert_eq!(discarded(&mut door, &datagram), Discard::Malformed);
}

#[test]
fn attack_031_faults_are_silent_before_the_cookie_and_refused_after_it() {
    let mut door = door();
    let long_session_id = Hello { session_id: vec![0; 33], ..Hello::new() };
    assert_eq!(discarded(&mut door, &long_session_id.datagram()), Discard::Malformed);
    let cases = [
        (Hello { suites: vec![], ..Hello::new() }, Refusal::DecodeError),
        (Hello { suites: vec![0xc0, 0xa8, 0], ..Hello::new() }, Refusal::DecodeError),
        (Hello { compression: vec![], ..Hello::new() }, Refusal::DecodeError),
        (Hello { extensions: Some(vec![0, 23, 0, 9]), ..Hello::new() }, Refusal::DecodeError),
        (
            Hello { extensions: Some(vec![0, 23, 0, 0, 0, 23, 0, 0]), ..Hello::new() },
            Refusal::IllegalParameter,
        ),
    ];
    for (hello, expected) in cases {
        assert!(matches!(door.knock(&hello.datagram()), FrontDoor::HelloVerify), "no word about it yet");
        assert_eq!(refused(&mut door, hello).0, expected);
    }
}

#[test]
fn attack_032_a_changed_cookie_gets_a_new_request_only() {
    let mut door = door();
    let hello = Hello::new().with_cookie(|hello| door.verify(hello));
    for bit in 0..hello.cookie.len() * 8 {
        let mut changed = hello.clone();
        changed.cookie[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(door.knock(&changed.datagram()), FrontDoor::HelloVerify));
    }
}

#[test]
fn attack_033_a_cookie_from_elsewhere_gets_a_new_request_only() {
    let mut door = door();
    let datagram = Hello::new().with_cookie(|hello| door.verify(hello)).datagram();
    for elsewhere in ["192.0.2.7:49153", "192.0.2.8:49152", "[2001:db8::7]:49152"] {
        let elsewhere = elsewhere.parse().expect("an address");
        let found =
            door.listener.handle_datagram(start(), elsewhere, &datagram, &mut door.rng, &mut door.reply);
        assert!(matches!(found, FrontDoor::HelloVerify));
    }
    assert!(matches!(door.knock(&datagram), FrontDoor::Accept(_)));
}

#[test]
fn attack_035_an_old_cookie_gets_a_new_request_only() {
    let mut door = door();
    let datagram = Hello::new().with_cookie(|hello| door.verify(hello)).datagram();
    let mut knock_after = |seconds| {
        let now = start() + Duration::from_secs(seconds);
        door.listener.handle_datagram(now, peer(), &datagram, &mut door.rng, &mut door.reply)
    };
    assert!(matches!(knock_after(70), FrontDoor::Accept(_)));
    assert!(matches!(knock_after(200), FrontDoor::HelloVerify));
}

#[test]
fn attack_036_no_version_goes_past_the_cookie() {
    let mut door = door();
    for version in [0x0000, 0xffff, 0xfeff, 0xfefc, 0x0303] {
        let hello = Hello { version, ..Hello::new() };
        assert!(matches!(door.knock(&hello.datagram()), FrontDoor::HelloVerify));
    }
    for version in [0x0000, 0xffff, 0xfeff, 0x0303] {
        let (refusal, _) = refused(&mut door, Hello { version, ..Hello::new() });
        let Refusal::VersionUnsupported(offered) = refusal else { panic!("{version:04x}: {refusal}") };
        assert_eq!(offered.numbers(), [version]);
    }
    let newer = Hello { version: 0xfefc, ..Hello::new() }.with_cookie(|hello| door.verify(hello));
    assert!(matches!(door.knock(&newer.datagram()), FrontDoor::Accept(_)));
}

#[test]
fn attack_037_no_path_goes_past_the_cookie() {
    let mut door = door();
    let good = Hello::new().with_cookie(|hello| door.verify(hello));
    // A session to resume, another one than the cookie was made for, parameters of no use; and all that after
    // many.
    for _ in 0..1000 {
        for hello in [
            Hello { session_id: vec![7; 32], ..Hello::new() },
            Hello { session_id: vec![7; 32], ..good.clone() },
            Hello { version: 0xfefc, ..good.clone() },
            Hello { suites: vec![0, 1], cookie: Vec::new(), message_seq: 0, ..good.clone() },
            Hello { extensions: Some(vec![0, 35, 0, 0]), ..Hello::new() },
        ] {
            assert!(matches!(door.knock(&hello.datagram()), FrontDoor::HelloVerify));
            assert_eq!(door.reply.len(), 44);
        }
    }
    assert!(matches!(door.knock(&good.datagram()), FrontDoor::Accept(_)));
}

#[test]
fn attack_038_the_answer_is_smaller_than_the_smallest_hello() {
    let mut door = door();
    let datagram = Hello::new().datagram();
    assert_eq!(datagram.len(), 67);
    assert!(matches!(door.knock(&datagram), FrontDoor::HelloVerify));
    assert_eq!(door.reply.len(), 44);
}

#[test]
fn attack_040_a_first_fragment_that_ends_before_the_cookie_is_dropped() {
    let mut door = door();
    let hello = Hello::new();
    let body = hello.body();
    let first = hello.fragment(0, &body[..20], body.len());
    let second = hello.fragment(20, &body[20..], body.len());
    assert_eq!(discarded(&mut door, &first), Discard::FragmentTooShort);
    assert_eq!(discarded(&mut door, &second), Discard::NotClientHello);
}

#[test]
fn attack_042_a_claim_of_16_megabytes_is_dropped() {
    let mut door = door();
    let hello = Hello::new();
    let body = hello.body();
    assert_eq!(discarded(&mut door, &hello.fragment(0, &body, 0xff_ffff)), Discard::MessageTooLong);
    assert_eq!(discarded(&mut door, &hello.fragment(0, &body, 2049)), Discard::MessageTooLong);
}

#[test]
fn attack_043_fragments_outside_the_message_are_dropped() {
    let mut door = door();
    let hello = Hello::new();
    let body = hello.body();
    assert_eq!(discarded(&mut door, &hello.fragment(0, &body, body.len() - 1)), Discard::FragmentRange);
    assert_eq!(discarded(&mut door, &hello.fragment(5, &body, body.len())), Discard::FragmentRange);
    let mut huge = hello.datagram();
    huge[13 + 6..13 + 9].copy_from_slice(&[0, 0, 255]);
    huge[13 + 9..13 + 12].copy_from_slice(&16_777_198u32.to_be_bytes()[1..]);
    assert_eq!(discarded(&mut door, &huge), Discard::FragmentRange);
    let mut empty = hello.fragment(0, &[], 100);
    empty.extend([0; 60]);
    assert_eq!(discarded(&mut door, &empty), Discard::FragmentEmpty);
}

#[test]
fn a_record_number_that_leaves_no_room_for_ours_is_dropped() {
    let mut door = door();
    let hello = Hello { sequence: (1 << 48) - 1, ..Hello::new() };
    assert_eq!(discarded(&mut door, &hello.datagram()), Discard::RecordSequence);
}

#[test]
fn attack_058_suites_are_refused_only_after_the_cookie() {
    let mut door = door();
    for (suites, offered) in [
        (vec![0x00, 0x8c], &[0x008c][..]),
        (vec![0x00, 0xff], &[]),
        (vec![0x13, 0x01, 0x0a, 0x0a], &[0x1301]),
    ] {
        let (refusal, alert) = refused(&mut door, Hello { suites, ..Hello::new() });
        let Refusal::NoCommonCipherSuite(mismatch) = refusal else { panic!("{refusal}") };
        assert_eq!((mismatch.offered(), alert[14]), (offered, 40));
    }
    let both = Hello { suites: vec![0, 0x8c, 0x00, 0xae, 0xc0, 0xa8], ..Hello::new() }
        .with_cookie(|hello| door.verify(hello));
    match door.knock(&both.datagram()) {
        FrontDoor::Accept(handshake) => assert_eq!(handshake.suite(), CipherSuite::PskAes128Ccm8),
        other => panic!("not accepted: {other:?}"),
    }
}

/// supported_versions with these (RFC 8446, section 4.2.1).
fn versions(listed: &[u16]) -> Option<Vec<u8>> {
    let list: Vec<u8> = listed.iter().flat_map(|version| version.to_be_bytes()).collect();
    let length = list.len() as u8;
    Some([&[0, 43, 0, length + 1, length], &list[..]].concat())
}

#[test]
fn a_client_of_dtls_1_3_alone_is_known_by_its_first_hello_and_gets_no_more_than_others() {
    let suites = vec![0x4a, 0x4a, 0x13, 0x04, 0x13, 0x01, 0x00, 0xff];
    let alone = Hello { suites, extensions: versions(&[0x4a4a, 0xfefc]), ..Hello::new() };
    let mut door = door();
    assert!(matches!(door.knock(&alone.datagram()), FrontDoor::HelloVerify));
    let offered = hello_without_dtls_1_2(&alone.datagram()).expect("it offers nothing else");
    assert_eq!(offered.to_string(), "the peer offers DTLS 1.3; expected is DTLS 1.2");
    // One that goes on after the HelloVerifyRequest is told.
    let (refusal, alert) = refused(&mut door, alone.clone());
    assert_eq!((refusal, alert[14]), (Refusal::VersionUnsupported(offered), 70));
    // Nothing is claimed of one that has anything for DTLS 1.2, or that cannot be read.
    let ours = [0xc0, 0xa8, 0x13, 0x01];
    let (new, body) = (Hello { suites: ours.to_vec(), ..alone.clone() }, alone.body());
    for other in [
        new.datagram(),
        Hello { extensions: versions(&[0xfefc, 0xfefd]), ..alone.clone() }.datagram(),
        Hello { extensions: None, ..alone.clone() }.datagram(),
        Hello { extensions: Some(vec![0, 43, 0, 9, 1]), ..alone.clone() }.datagram(),
        alone.fragment(0, &body[..body.len() - 1], body.len()),
        alone.fragment(1, &body[1..], body.len()),
        Hello::new().datagram(),
    ] {
        assert_eq!(hello_without_dtls_1_2(&other), None);
    }
    // The extension has no say where a suite fits.
    let new = new.with_cookie(|hello| door.verify(hello));
    assert!(matches!(door.knock(&new.datagram()), FrontDoor::Accept(_)));
}

#[test]
fn attack_059_compression_without_null_is_refused() {
    let (refusal, alert) = refused(&mut door(), Hello { compression: vec![1], ..Hello::new() });
    assert_eq!((refusal, alert[14]), (Refusal::IllegalParameter, 47));
}

#[test]
fn attack_060_a_malformed_extended_master_secret_is_refused() {
    let (refusal, alert) =
        refused(&mut door(), Hello { extensions: Some(vec![0, 23, 0, 1, 0]), ..Hello::new() });
    assert_eq!((refusal, alert[14]), (Refusal::DecodeError, 50));
    let mut strict = Door::new(ServerConfig {
        extended_master_secret: ExtendedMasterSecretPolicy::Require,
        ..server_config()
    });
    let missing = Refusal::InsufficientSecurity(Missing::ExtendedMasterSecret);
    assert_eq!(refused(&mut strict, Hello::new()).0, missing);
}

#[test]
fn attack_061_fifty_unknown_extensions_are_ignored() {
    let mut door = door();
    let extensions: Vec<u8> = (0..50).flat_map(|n| [0x1a + n, 0x1a, 0, 2, n, n]).collect();
    let hello =
        Hello { extensions: Some(extensions), ..Hello::new() }.with_cookie(|hello| door.verify(hello));
    assert!(matches!(door.knock(&hello.datagram()), FrontDoor::Accept(_)));
}

#[test]
fn a_fragmented_hello_is_put_together_after_the_cookie_in_any_order() {
    for order in [[0, 1, 2], [0, 2, 1]] {
        let mut door = door();
        let hello = Hello { extensions: Some(vec![0, 23, 0, 0]), ..Hello::new() }
            .with_cookie(|hello| door.verify(hello));
        let body = hello.body();
        let cuts = [0, 54, 58, body.len()];
        let mut handshake = None;
        for (step, index) in order.into_iter().enumerate() {
            let piece = Hello { sequence: 1 + step as u64, ..hello.clone() };
            let mut datagram = piece.fragment(cuts[index], &body[cuts[index]..cuts[index + 1]], body.len());
            if step == 0 {
                let FrontDoor::Accept(accepted) = door.knock(&datagram) else {
                    panic!("the cookie is good");
                };
                handshake = Some(accepted);
            } else {
                let handshake = handshake.as_mut().expect("accepted at the first step");
                assert!(!handshake.poll_transmit(&mut Vec::new()));
                assert_eq!(handshake.handle_datagram(start(), &mut datagram, &mut door.rng), None);
            }
        }
        let mut handshake = handshake.expect("accepted");
        assert!(handshake.extended_master_secret());
        assert!(handshake.poll_transmit(&mut Vec::new()));
    }
}

#[test]
fn a_fragmented_hello_that_is_unusable_fails_with_an_alert() {
    let mut door = door();
    let hello = Hello { suites: vec![0, 1], ..Hello::new() }.with_cookie(|hello| door.verify(hello));
    let body = hello.body();
    let FrontDoor::Accept(mut handshake) = door.knock(&hello.fragment(0, &body[..54], body.len())) else {
        panic!("the cookie is good");
    };
    let mut rest = Hello { sequence: 2, ..hello }.fragment(54, &body[54..], body.len());
    handshake.handle_datagram(start(), &mut rest, &mut door.rng);
    let failed = handshake.poll_event();
    assert!(matches!(failed, Some(HandshakeEvent::Failed(Refusal::NoCommonCipherSuite(_)))), "{failed:?}");
    let mut alert = Vec::new();
    assert!(handshake.poll_transmit(&mut alert));
    assert_eq!(alert[13..], [2, 40]);
}

#[test]
fn a_client_that_sends_small_datagrams_connects() {
    for protection in PROTECTIONS {
        let client = ClientConfig { datagram_bytes_max: 80, ..client_config(protection) };
        let mut world = World::connected(server_config(), client);
        world.assert_data_flows_for(b"x");
    }
}
