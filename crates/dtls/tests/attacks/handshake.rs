//! Section B: the handshake. The front door first, then the handshake itself.

use std::time::Duration;

use crate::util::hello::{Door, Hello, record};
use crate::util::{
    ClientSide, Kind, PROTECTIONS, Protection, ServerSide, To, World, client_config, kind, peer,
    server_config, start,
};
use narrowgate_dtls::{
    CipherSuite, ClientConfig, ClientFailure, Discard, ExtendedMasterSecretPolicy, FrontDoor, HandshakeEvent,
    Missing, Refusal, ServerConfig, client_hello_random, hello_without_dtls_1_2, split_record,
};

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
    let hello = hello.with_cookie(door);
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
    let hello = Hello { sequence: 17, ..Hello::new().with_cookie(&mut door) };
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
    let second = Hello { epoch: 1, ..Hello::new().with_cookie(&mut door) };
    assert_eq!(discarded(&mut door, &second.datagram()), Discard::Epoch);
}

#[test]
fn attack_029_a_hello_cut_at_every_byte_is_dropped() {
    let mut door = door();
    for hello in [Hello::new(), Hello::new().with_cookie(&mut door)] {
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
    let hello = Hello::new().with_cookie(&mut door);
    for bit in 0..hello.cookie.len() * 8 {
        let mut changed = hello.clone();
        changed.cookie[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(door.knock(&changed.datagram()), FrontDoor::HelloVerify));
    }
}

#[test]
fn attack_033_a_cookie_from_elsewhere_gets_a_new_request_only() {
    let mut door = door();
    let datagram = Hello::new().with_cookie(&mut door).datagram();
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
    let datagram = Hello::new().with_cookie(&mut door).datagram();
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
    let newer = Hello { version: 0xfefc, ..Hello::new() }.with_cookie(&mut door);
    assert!(matches!(door.knock(&newer.datagram()), FrontDoor::Accept(_)));
}

#[test]
fn attack_037_no_path_goes_past_the_cookie() {
    let mut door = door();
    let good = Hello::new().with_cookie(&mut door);
    // A session to resume, another one than the cookie was made for, parameters of no use; and all that after many.
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
    let both = Hello { suites: vec![0, 0x8c, 0x00, 0xae, 0xc0, 0xa8], ..Hello::new() }.with_cookie(&mut door);
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
    let new = new.with_cookie(&mut door);
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
    let hello = Hello { extensions: Some(extensions), ..Hello::new() }.with_cookie(&mut door);
    assert!(matches!(door.knock(&hello.datagram()), FrontDoor::Accept(_)));
}

#[test]
fn a_fragmented_hello_is_put_together_after_the_cookie_in_any_order() {
    for order in [[0, 1, 2], [0, 2, 1]] {
        let mut door = door();
        let hello = Hello { extensions: Some(vec![0, 23, 0, 0]), ..Hello::new() }.with_cookie(&mut door);
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
    let hello = Hello { suites: vec![0, 1], ..Hello::new() }.with_cookie(&mut door);
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

/// A world whose server has sent flight 4 and whose client's flight 5 is held back.
fn before_key_exchange(protection: Protection) -> (World, Vec<u8>) {
    let mut world = World::new(server_config(), client_config(protection), 4);
    for _ in 0..5 {
        world.turn();
        if let Some(index) =
            world.wire.iter().position(|(_, _, datagram)| kind(datagram) == Kind::KeyExchange)
        {
            let (_, _, flight) = world.wire.remove(index).expect("the index was just found");
            return (world, flight);
        }
    }
    panic!("the client never sends flight 5");
}

fn connects_with(mut world: World, flight: Vec<u8>) {
    world.wire.push_back((world.now, To::Server, flight));
    world.assert_others_live();
    world.run(|_, _| false);
    assert!(world.is_connected());
    world.assert_data_flows();
    world.assert_others_live();
}

#[test]
fn attack_009_a_change_cipher_spec_of_another_body_is_dropped() {
    for protection in PROTECTIONS {
        let (mut world, flight) = before_key_exchange(protection);
        for (sequence, body) in [(40, &[2][..]), (41, &[1, 1]), (42, &[])] {
            world.deliver_to_server(record(20, 0xfefd, 0, sequence, body));
        }
        assert_eq!(world.discards, [Discard::Malformed; 3]);
        connects_with(world, flight);
    }
}

#[test]
fn attack_051_a_change_cipher_spec_before_the_key_exchange_is_ignored() {
    for protection in PROTECTIONS {
        let (mut world, flight) = before_key_exchange(protection);
        world.deliver_to_server(record(20, 0xfefd, 0, 40, &[1]));
        assert_eq!(world.discards, [Discard::EarlyChangeCipherSpec]);
        connects_with(world, flight);
    }
}

#[test]
fn attack_045_a_second_type_with_the_same_number_is_dropped() {
    for protection in PROTECTIONS {
        let (mut world, flight) = before_key_exchange(protection);
        // The start of a key exchange that nobody finishes, then another message under its number.
        world.deliver_to_server(record(22, 0xfefd, 0, 40, &[16, 0, 0, 9, 0, 2, 0, 0, 0, 0, 0, 1, 0]));
        world.deliver_to_server(record(22, 0xfefd, 0, 41, &[11, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 0]));
        assert_eq!(world.discards, [Discard::UnexpectedMessage]);
        connects_with(world, flight);
    }
}

#[test]
fn attack_046_fragments_without_bytes_are_dropped() {
    for protection in PROTECTIONS {
        let (mut world, flight) = before_key_exchange(protection);
        for sequence in 0..10_000 {
            world.deliver_to_server(record(
                22,
                0xfefd,
                0,
                40 + sequence,
                &[16, 0, 0, 100, 0, 2, 0, 0, 0, 0, 0, 0],
            ));
        }
        assert_eq!(world.discards, [Discard::FragmentEmpty; 10_000]);
        connects_with(world, flight);
    }
}

#[test]
fn attack_047_messages_that_are_ahead_are_dropped() {
    for protection in PROTECTIONS {
        let (mut world, flight) = before_key_exchange(protection);
        for (sequence, message_seq) in [(40, 2 + 3u16), (41, 2 + 33), (42, 65_535)] {
            let [high, low] = message_seq.to_be_bytes();
            world.deliver_to_server(record(
                22,
                0xfefd,
                0,
                sequence,
                &[16, 0, 0, 1, high, low, 0, 0, 0, 0, 0, 1, 0],
            ));
        }
        assert_eq!(world.discards, [Discard::MessageSequence; 3]);
        connects_with(world, flight);
    }
}

#[test]
fn attack_010_application_data_in_epoch_0_is_never_delivered() {
    for protection in PROTECTIONS {
        let (mut world, flight) = before_key_exchange(protection);
        world.deliver_to_server(record(23, 0xfefd, 0, 40, b"hello"));
        assert_eq!(world.discards, [Discard::PlaintextApplicationData]);
        assert!(world.at_server.is_empty());
        connects_with(world, flight);
    }
}

#[test]
fn attack_015_a_record_number_used_twice_is_dropped_and_a_new_one_works() {
    for protection in PROTECTIONS {
        let (mut world, flight) = before_key_exchange(protection);
        let mut again = flight.clone();
        again[5..11].copy_from_slice(&[0, 0, 0, 0, 0, 1]);
        let length = 13 + usize::from(again[12]);
        world.deliver_to_server(again[..length].to_vec());
        assert_eq!(world.discards, [Discard::Replayed]);
        connects_with(world, flight);
    }
}

#[test]
fn a_high_forged_record_number_does_not_shut_the_client_out() {
    let (mut world, flight) = before_key_exchange(Protection::Ccm8);
    // Epoch 0 is not authenticated, so a ChangeCipherSpec may claim any number; it comes after the key exchange.
    let length = 13 + usize::from(flight[12]);
    world.deliver_to_server(flight[..length].to_vec());
    world.deliver_to_server(record(20, 0xfefd, 0, 1 << 40, &[1]));
    connects_with(world, flight);
}

#[test]
fn attack_052_a_flood_of_change_cipher_specs_changes_nothing() {
    for protection in PROTECTIONS {
        let (mut world, flight) = before_key_exchange(protection);
        for sequence in 100..1100 {
            world.deliver_to_server(record(20, 0xfefd, 0, sequence, &[1]));
        }
        connects_with(world, flight);
    }
}

#[test]
fn attack_053_a_finished_in_plaintext_never_connects() {
    for protection in PROTECTIONS {
        let (mut world, flight) = before_key_exchange(protection);
        let mut finished = vec![20, 0, 0, 12, 0, 3, 0, 0, 0, 0, 0, 12];
        finished.extend([0; 12]);
        world.deliver_to_server(record(22, 0xfefd, 0, 40, &finished));
        let length = 13 + usize::from(flight[12]);
        world.deliver_to_server(flight[..length].to_vec());
        world.deliver_to_server(record(22, 0xfefd, 0, 41, &finished));
        assert!(matches!(&world.server, ServerSide::Handshake(handshake) if !handshake.is_over()));
        connects_with(world, flight);
    }
}

#[test]
fn attack_057_messages_that_a_client_does_not_send_are_dropped() {
    for message_type in [0, 2, 3, 4, 11, 12, 13, 14, 15, 0x63] {
        let (mut world, flight) = before_key_exchange(Protection::Ccm8);
        let message = [message_type, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 0];
        world.deliver_to_server(record(22, 0xfefd, 0, 40, &message));
        assert_eq!(world.discards, [Discard::UnexpectedMessage]);
        connects_with(world, flight);
    }
}

#[test]
fn attack_062_no_hint_is_sent_and_no_server_key_exchange() {
    for protection in PROTECTIONS {
        let mut world = World::connected(server_config(), client_config(protection));
        let flight = world.sent.iter().find(|(_, datagram)| kind(datagram) == Kind::ServerHello);
        let mut flight = flight.map(|(_, datagram)| datagram.clone()).expect("flight 4 was sent");
        let mut types = Vec::new();
        let mut rest = flight.as_mut_slice();
        while let Some((first, tail)) = split_record(rest) {
            types.push((first[0], first[13]));
            rest = tail;
        }
        assert_eq!(types, [(22, 2), (22, 14)], "ServerHello, ServerHelloDone");
        world.assert_data_flows();
        world.assert_others_live();
    }
}

#[test]
fn attack_063_a_hello_leaves_a_live_session_alone() {
    for protection in PROTECTIONS {
        let mut world = World::connected(server_config(), client_config(protection));
        let mut reply = Vec::new();
        let mut door = Door::new(server_config());
        let hello = Hello::new().with_cookie(&mut door);
        let found = world.listener.handle_datagram(
            world.now,
            peer(),
            &Hello::new().datagram(),
            &mut world.rng,
            &mut reply,
        );
        assert!(matches!(found, FrontDoor::HelloVerify));
        assert!(matches!(door.knock(&hello.datagram()), FrontDoor::Accept(_)), "runs beside the session");
        world.deliver_to_server(hello.datagram());
        world.assert_data_flows();
        world.assert_others_live();
    }
}

#[test]
fn attack_064_an_abandoned_handshake_ends_after_its_lifetime() {
    let mut world = World::new(server_config(), client_config(Protection::Ccm8), 1);
    world.run(|kind, _| kind == Kind::KeyExchange);
    assert!(world.expired);
    assert!(matches!(world.client, ClientSide::Expired));
    let flight_4 = world.sent.iter().filter(|(_, datagram)| kind(datagram) == Kind::ServerHello).count();
    assert!(flight_4 <= 1 + 5 + 16, "{flight_4}");
    world.assert_others_live();
}

#[test]
fn attack_065_a_handshake_that_waits_for_its_key_holds_up_nobody() {
    for protection in PROTECTIONS {
        let mut world = World::new(server_config(), client_config(protection), 1);
        world.lookup = Duration::from_secs(20);
        while world.identities.is_empty() {
            world.turn();
        }
        for _ in 0..100 {
            world.assert_others_live();
        }
        world.run(|_, _| false);
        assert!(world.is_connected());
        world.assert_data_flows();
    }
}

#[test]
fn attack_067_an_unauthenticated_alert_ends_no_handshake_of_the_server() {
    for alert in [&[2, 40][..], &[1, 0], &[2, 0], &[2], &[2, 40, 0], &[0; 300]] {
        let (mut world, flight) = before_key_exchange(Protection::Ccm8);
        world.deliver_to_server(record(21, 0xfefd, 0, 40, alert));
        assert_eq!(world.discards, [Discard::PlaintextAlert]);
        connects_with(world, flight);
    }
}

#[test]
fn a_client_hears_why_it_was_refused() {
    let server = ServerConfig { suites: vec![CipherSuite::PskAes128Ccm8], ..server_config() };
    let mut world = World::new(server, client_config(Protection::CbcEncryptThenMac), 1);
    world.run(|_, _| false);
    assert!(matches!(world.client, ClientSide::Failed(ClientFailure::Alert(40))));
    assert!(matches!(world.refusals[..], [Refusal::NoCommonCipherSuite(_)]), "{:?}", world.refusals);
}
