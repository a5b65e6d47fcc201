//! Section C: identities and keys. What an identity means is not known here.

use std::time::Duration;

use crate::util::{
    ClientSide, IDENTITY, Kind, PROTECTIONS, Protection, SECRET, ServerSide, To, World, client_config, key,
    key_of, kind, server_config,
};
use narrowgate_dtls::{ClientConfig, Discard, KeyExchangeFault, Psk, PskError, RejectedKeyExchange};
use narrowgate_testkit::record::record;

/// Runs a handshake that must fail; gives the sizes of all datagrams that the server sent, and when.
fn fails(client: ClientConfig, answer: Option<Psk>) -> (World, Vec<usize>) {
    let mut world = World::new(server_config(), client, 1);
    world.answer = answer;
    world.run(|_, _| false);
    assert!(matches!(world.client, ClientSide::Expired), "silence, no alert");
    assert!(world.expired && world.refusals.is_empty());
    world.assert_others_live();
    let sizes =
        world.sent.iter().filter(|(to, _)| *to == To::Client).map(|(_, datagram)| datagram.len()).collect();
    (world, sizes)
}

#[test]
fn attack_069_an_unknown_identity_and_a_wrong_key_look_alike() {
    for protection in PROTECTIONS {
        let wrong = || ClientConfig { psk: key_of(b"another secret"), ..client_config(protection) };
        let (wrong_key, wrong_key_sizes) = fails(wrong(), Some(key()));
        let (unknown, unknown_sizes) = fails(wrong(), None);
        assert_eq!(wrong_key_sizes, unknown_sizes);
        assert_eq!(wrong_key.sent, unknown.sent, "byte for byte, with the same randomness");
        assert_eq!(wrong_key.discards, unknown.discards);
        // The right key of an identity that may not connect is refused in the same way.
        let (_, barred_sizes) = fails(client_config(protection), None);
        assert_eq!(barred_sizes, unknown_sizes);
    }
}

/// That the steps also take the same time is measured by the example `timing`.
#[test]
fn attack_070_an_unknown_identity_takes_the_same_steps_at_the_same_times() {
    for protection in PROTECTIONS {
        let mut worlds = [Some(key()), None].map(|answer| {
            let wrong = ClientConfig { psk: key_of(b"another secret"), ..client_config(protection) };
            let mut world = World::new(server_config(), wrong, 1);
            world.answer = answer;
            (world.now, world)
        });
        let mut steps = 0;
        while !worlds[0].1.expired {
            let [known, unknown] = worlds.each_mut().map(|(began, world)| {
                world.turn();
                let server = match &world.server {
                    ServerSide::Handshake(server) => {
                        let due = server.poll_timeout().map(|due| due.duration_since(*began));
                        Some((format!("{server:?}"), server.memory_bytes(), due))
                    }
                    _ => None,
                };
                (world.now.duration_since(*began), server, world.sent.len(), world.discards.clone())
            });
            assert_eq!(known, unknown);
            steps += 1;
        }
        assert!(steps > 10 && worlds[1].1.expired);
        worlds.into_iter().for_each(|(_, mut world)| world.assert_others_live());
    }
}

#[test]
fn attack_071_an_empty_identity_is_asked_for_like_any_other() {
    for protection in PROTECTIONS {
        let client = ClientConfig { identity: Vec::new(), ..client_config(protection) };
        let (world, _) = fails(client, None);
        assert_eq!(world.identities, [Vec::<u8>::new()]);
    }
}

/// They come out as they went in, whoever then judges them, and refused ones look like a wrong key.
fn are_opaque(identities: &[&[u8]]) {
    for protection in PROTECTIONS {
        for &identity in identities {
            let client = || ClientConfig { identity: identity.to_vec(), ..client_config(protection) };
            let mut world = World::connected(server_config(), client());
            assert_eq!(world.identities, [identity.to_vec()]);
            world.assert_data_flows();
            world.assert_others_live();
            fails(client(), None);
        }
    }
}

#[test]
fn attack_074_commas_mean_nothing_to_a_handshake() {
    let long = [b','; 1000];
    are_opaque(&[b"pk,dk,2", b"pk,dk,2,60,", b"pk,,2,60", b",,,", b"pk,dk,2,60,x", &long]);
}

#[test]
fn attack_075_modes_mean_nothing_to_a_handshake() {
    are_opaque(&[b"pk,dk,0,60", b"pk,dk,-1,60", b"pk,dk,2 ,60", b"pk,dk,18446744073709551616,60"]);
}

#[test]
fn attack_076_lifetimes_mean_nothing_to_a_handshake() {
    are_opaque(&[
        b"pk,dk,2,29",
        b"pk,dk,2,86401",
        b"pk,dk,2,-1",
        b"pk,dk,2,1e3",
        b"pk,dk,2,9223372036854775808",
    ]);
}

#[test]
fn attack_078_identities_are_bytes_and_not_text() {
    are_opaque(&[
        b"PK1,dk,2,60",
        b"%70k1,dk,2,60",
        b"\xff\x00\xfe",
        "\u{e9}".as_bytes(),
        "e\u{301}".as_bytes(),
    ]);
}

/// Flight 5 with another body in its ClientKeyExchange.
#[test]
fn attack_073_an_identity_of_another_length_than_it_says_is_dropped() {
    for protection in PROTECTIONS {
        for body in [&[0xff, 0xff, 1, 2, 3][..], &[0, 1, b'a', b'b'], &[0], &[]] {
            let mut world = World::new(server_config(), client_config(protection), 1);
            while !world.wire.iter().any(|(_, _, datagram)| kind(datagram) == Kind::KeyExchange) {
                world.turn();
            }
            let length = body.len() as u8;
            let header = [16, 0, 0, length, 0, 2, 0, 0, 0, 0, 0, length];
            world.deliver_to_server(record(22, 0xfefd, 0, 40, &[&header, body].concat()));
            assert_eq!(world.discards, [Discard::Malformed]);
            world.run(|_, _| false);
            assert!(world.is_connected() && world.identities == [IDENTITY.to_vec()]);
            let [rejected] = &world.key_exchanges_rejected[..] else { panic!("told once") };
            assert_eq!(rejected.fault, KeyExchangeFault::Malformed);
            assert_eq!(rejected.identity, body.get(2..).unwrap_or_default());
            world.assert_data_flows();
            world.assert_others_live();
        }
    }
}

#[test]
fn an_identity_that_is_too_long_to_be_put_together_is_told_once_and_met_with_silence() {
    for length in [2046, 2047, 5000, 65_535, 65_536] {
        let mut world = World::new(server_config(), client_config(Protection::Ccm8), 1);
        while !world.wire.iter().any(|(_, _, datagram)| kind(datagram) == Kind::KeyExchange) {
            world.turn();
        }
        let flight = world.wire.pop_front();
        let sent = world.sent.len();
        let mut body = (length as u16).to_be_bytes().to_vec();
        body.extend(vec![b'i'; length]);
        let whole = (body.len() as u32).to_be_bytes();
        for (number, chunk) in body.chunks(1000).take(4).enumerate() {
            let offset = (1000 * number as u32).to_be_bytes();
            let bytes = (chunk.len() as u32).to_be_bytes();
            let message = [&[16], &whole[1..], &[0, 2], &offset[1..], &bytes[1..], chunk].concat();
            world.deliver_to_server(record(22, 0xfefd, 0, 40 + number as u64, &message));
        }
        world.drain(&mut |_, _| false);
        assert_eq!(world.sent.len(), sent, "no answer");
        if length == 2046 {
            assert_eq!(world.identities, [vec![b'i'; length]]);
            assert_eq!(world.key_exchanges_rejected, []);
            continue;
        }
        let expected = (length <= 65_535).then(|| RejectedKeyExchange {
            identity: vec![b'i'; 512],
            fault: KeyExchangeFault::TooLong(length),
        });
        assert_eq!(world.key_exchanges_rejected, Vec::from_iter(expected));
        // The right one is still taken.
        world.wire.extend(flight);
        world.run(|_, _| false);
        assert!(world.is_connected());
        world.assert_others_live();
    }
}

#[test]
fn an_identity_that_is_too_long_is_shown_as_far_as_its_fragment_goes() {
    let mut world = World::new(server_config(), client_config(Protection::Ccm8), 1);
    while !world.wire.iter().any(|(_, _, datagram)| kind(datagram) == Kind::KeyExchange) {
        world.turn();
    }
    // The first fragment of a ClientKeyExchange of 5002 bytes, and another message in the same record.
    let first = [&[16, 0, 0x13, 0x8a, 0, 2, 0, 0, 0, 0, 0, 6, 0x13, 0x88][..], b"name"].concat();
    let message = [first, [20, 0, 0, 12, 0, 3, 0, 0, 0, 0, 0, 12].to_vec(), vec![7; 12]].concat();
    world.deliver_to_server(record(22, 0xfefd, 0, 40, &message));
    world.drain(&mut |_, _| false);
    let expected = RejectedKeyExchange { identity: b"name".to_vec(), fault: KeyExchangeFault::TooLong(5000) };
    assert_eq!(world.key_exchanges_rejected, [expected]);
}

#[test]
fn attack_080_the_published_key_opens_a_session() {
    for protection in PROTECTIONS {
        let published = hex::decode("414140de5dae2223b00361a396177a9c").expect("hex");
        let client =
            ClientConfig { psk: Psk::new(&published).expect("16 bytes"), ..client_config(protection) };
        let mut world = World::new(server_config(), client, 1);
        world.answer = Some(key_of(b"abc"));
        world.run(|_, _| false);
        assert!(world.is_connected());
        world.assert_data_flows();
    }
}

#[test]
fn attack_082_a_secret_changed_during_the_handshake_or_later_is_the_one_that_counts() {
    for protection in PROTECTIONS {
        let renewed = key_of(b"the next secret");
        // During the handshake: what is there when the key is asked for decides.
        fails(client_config(protection), Some(renewed.clone()));
        // During a session: it lives, and its next handshake needs the new secret.
        let mut world = World::connected(server_config(), client_config(protection));
        world.assert_data_flows();
        let client = ClientConfig { psk: renewed.clone(), ..client_config(protection) };
        let mut next = World::new(server_config(), client, 2);
        next.answer = Some(renewed);
        next.run(|_, _| false);
        assert!(next.is_connected());
        next.assert_data_flows();
        world.assert_data_flows();
    }
}

#[test]
fn attack_083_keys_of_no_length_or_too_long_are_refused() {
    assert_eq!(Psk::new(&[]), Err(PskError::Empty));
    assert_eq!(Psk::new(&[1; 65]), Err(PskError::TooLong { bytes: 65, max: 64 }));
}

#[test]
fn the_key_is_asked_for_once_however_often_the_flight_comes() {
    for protection in PROTECTIONS {
        let mut world = World::new(server_config(), client_config(protection), 1);
        world.lookup = Duration::from_secs(10);
        world.run(|_, _| false);
        assert!(world.is_connected());
        assert_eq!(world.identities, [IDENTITY.to_vec()]);
        let flights = world.sent.iter().filter(|(_, datagram)| kind(datagram) == Kind::KeyExchange).count();
        assert!(flights > 2, "the client has repeated itself meanwhile");
        world.assert_data_flows();
    }
}

#[test]
fn a_handshake_needs_no_repetition_while_the_key_is_looked_up() {
    for protection in PROTECTIONS {
        let mut world = World::new(server_config(), client_config(protection), 1);
        world.lookup = Duration::from_millis(500);
        world.run(|_, _| false);
        assert!(world.is_connected());
        assert_eq!(world.sent.len(), 6, "the Finished that came early was kept");
    }
}

#[test]
fn a_wrong_key_is_named_by_trying_candidates() {
    for protection in PROTECTIONS {
        let client = ClientConfig { psk: key_of(b"c3PW03srd6c"), ..client_config(protection) };
        let (world, _) = fails(client, Some(key()));
        let [failed] = &world.rejected[..] else {
            panic!("told {} times", world.rejected.len());
        };
        assert!(failed.fits(&key_of(b"c3PW03srd6c")));
        assert!(!failed.fits(&key_of(SECRET)));
        assert!(!failed.fits(&Psk::new(SECRET).expect("20 bytes")));
    }
}
