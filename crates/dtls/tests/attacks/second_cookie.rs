//! Section B, cases 48, 201 and 202: cookies that no longer verify, and the exchanges that follow. A peer
//! moves to another port between its hellos, or the server is another process, or the cookie is older than
//! its keys.

use std::{sync::Arc, time::Duration};

use crate::util::{
    Kind, PROTECTIONS, ServerSide, World, client_config, door::Door, key, kind, peer, server_config,
};
use narrowgate_dtls::{Discard, FrontDoor, Listener};
use narrowgate_testkit::{SeededRandom, hello::Hello};

fn message_seq(datagram: &[u8]) -> u16 {
    u16::from_be_bytes([datagram[17], datagram[18]])
}

#[test]
fn attack_048_a_hello_has_a_message_seq_of_at_most_3_and_its_answer_has_the_same() {
    let mut door = Door::new(server_config());
    for message_seq in [4, 191, 255, 65_535] {
        for hello in [Hello::new(), Hello::new().with_cookie(|hello| door.verify(hello))] {
            let datagram = Hello { message_seq, ..hello }.datagram();
            assert!(matches!(door.knock(&datagram), FrontDoor::Discard(Discard::MessageSequence)));
            assert!(door.reply.is_empty());
        }
    }
    let good = Hello::new().with_cookie(|hello| door.verify(hello));
    let mut bad = good.clone();
    bad.cookie[5] ^= 1;
    for number in 0..=3 {
        for hello in [Hello::new(), bad.clone()] {
            let datagram = Hello { message_seq: number, sequence: 7, ..hello }.datagram();
            if number == 3 {
                // The answer to a fourth HelloVerifyRequest would have a number that is not taken.
                assert!(matches!(door.knock(&datagram), FrontDoor::Discard(Discard::MessageSequence)));
                assert!(door.reply.is_empty());
                continue;
            }
            assert!(matches!(door.knock(&datagram), FrontDoor::HelloVerify), "{number}");
            assert_eq!((door.reply.len(), door.reply[10], message_seq(&door.reply)), (44, 7, number));
        }
        let datagram = Hello { message_seq: number, ..good.clone() }.datagram();
        match door.knock(&datagram) {
            FrontDoor::Accept(mut handshake) => {
                let mut flight = Vec::new();
                assert!(number > 0 && handshake.poll_transmit(&mut flight));
                assert_eq!((flight[13], message_seq(&flight)), (2, number));
            }
            other => assert!(number == 0 && matches!(other, FrontDoor::HelloVerify), "{number}: {other:?}"),
        }
    }
}

fn verifies(world: &World) -> u32 {
    world.sent.iter().filter(|(_, datagram)| kind(datagram) == Kind::HelloVerify).count() as u32
}

/// Runs until a client is connected to whom `disturb` happened after its n-th HelloVerifyRequest.
fn connect_disturbed(times: u32, disturb: impl Fn(&mut World, u32)) {
    for protection in PROTECTIONS {
        let mut world = World::new(server_config(), client_config(protection), 48);
        let mut seen = 0;
        for _ in 0..200 {
            world.turn();
            while seen < verifies(&world).min(times) {
                seen += 1;
                disturb(&mut world, seen);
            }
        }
        assert!(world.is_connected(), "{protection:?}");
        let hello = world.sent.iter().rfind(|(_, datagram)| kind(datagram) == Kind::HelloWithCookie);
        assert_eq!(message_seq(&hello.expect("there was one").1), times as u16 + 1);
        world.assert_data_flows();
        world.assert_others_live();
    }
}

#[test]
fn attack_048_and_201_a_client_whose_port_moves_between_its_hellos_connects() {
    for times in 1..=2 {
        connect_disturbed(times, |world, n| world.peer.set_port(peer().port() + n as u16));
    }
}

#[test]
fn attack_202_a_client_connects_over_a_restart_between_its_hellos() {
    for times in 1..=2 {
        connect_disturbed(times, |world, n| {
            let mut rng = SeededRandom::new(1000 + u64::from(n));
            world.listener = Listener::new(Arc::new(server_config()), world.now, &mut rng);
        });
    }
}

#[test]
fn attack_035_a_client_whose_cookie_is_older_than_its_keys_connects() {
    connect_disturbed(1, |world, _| {
        world.now += Duration::from_secs(200);
        // So long was the HelloVerifyRequest on its way.
        for (at, ..) in &mut world.wire {
            *at = world.now;
        }
    });
}

#[test]
fn a_repeated_finished_and_a_wrong_key_are_understood_after_a_second_exchange_too() {
    for protection in PROTECTIONS {
        // The last flight is lost, so the Finished comes again.
        let mut world = World::new(server_config(), client_config(protection), 49);
        world.turn();
        world.peer.set_port(1);
        world.run(|kind, attempt| kind == Kind::ServerFinished && attempt == 1);
        assert!(world.is_connected(), "{protection:?}");
        assert_eq!(verifies(&world), 2);
        world.assert_data_flows();
        // The key that the peer really used is found.
        let mut world = World::new(server_config(), client_config(protection), 50);
        world.answer = narrowgate_dtls::Psk::new(b"another").ok();
        world.turn();
        world.peer.set_port(1);
        world.run(|_, _| false);
        assert!(matches!(world.server, ServerSide::Listening));
        assert_eq!(verifies(&world), 2);
        assert!(world.rejected.len() == 1 && world.rejected[0].fits(&key()));
    }
}

#[test]
fn a_cookie_does_not_serve_for_other_suites_or_compression_methods() {
    let mut door = Door::new(server_config());
    let whole = Hello::new();
    assert!(matches!(door.knock(&whole.datagram()), FrontDoor::HelloVerify));
    let good = Hello { cookie: door.reply[28..].to_vec(), message_seq: 1, sequence: 1, ..whole };
    for other in [
        Hello { suites: vec![0x00, 0xae], ..good.clone() },
        Hello { suites: vec![0xc0, 0xa8, 0x00, 0xae], ..good.clone() },
        Hello { compression: vec![1, 0], ..good.clone() },
    ] {
        assert!(matches!(door.knock(&other.datagram()), FrontDoor::HelloVerify));
    }
    // Extensions may differ, and a first fragment may end before what cannot be compared then.
    let extended = Hello { extensions: Some(vec![0, 23, 0, 0]), ..good.clone() };
    assert!(matches!(door.knock(&extended.datagram()), FrontDoor::Accept(_)));
    let body = good.body();
    assert!(matches!(door.knock(&good.fragment(0, &body[..53], body.len())), FrontDoor::Accept(_)));
}
