//! Section B, second half: what comes in a handshake that has begun.

use std::time::Duration;

use narrowgate_dtls::{CipherSuite, ClientFailure, Discard, FrontDoor, Refusal, ServerConfig, split_record};
use narrowgate_testkit::{hello::Hello, record::record};

use crate::util::{
    ClientSide, Kind, PROTECTIONS, Protection, ServerSide, To, World, client_config, door::Door, kind, peer,
    server_config,
};

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
    // Epoch 0 is not authenticated, so a ChangeCipherSpec may claim any number; it comes after the key
    // exchange.
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
        let hello = Hello::new().with_cookie(|hello| door.verify(hello));
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
