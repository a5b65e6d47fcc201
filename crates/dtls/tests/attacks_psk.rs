//! Section C of the catalogue of hostile input: identities and keys.

mod util;

use std::time::Duration;

use narrowgate_dtls::{ClientConfig, Psk, psk_from_secret};
use util::{
    ClientSide, IDENTITY, Kind, PROTECTIONS, Protection, SECRET, To, World, client_config, key, kind,
    server_config,
};

/// Runs a handshake that must fail; gives the sizes of all datagrams that the server sent, and when.
fn fails(client: ClientConfig, answer: Option<Psk>) -> (World, Vec<usize>) {
    let mut world = World::new(server_config(), client, 1);
    world.answer = answer;
    world.run(|_, _| false);
    assert!(matches!(world.client, ClientSide::Expired), "silence, no alert");
    assert!(world.expired && world.refusals.is_empty());
    let sizes =
        world.sent.iter().filter(|(to, _)| *to == To::Client).map(|(_, datagram)| datagram.len()).collect();
    (world, sizes)
}

#[test]
fn attack_069_an_unknown_identity_and_a_wrong_key_look_alike() {
    for protection in PROTECTIONS {
        let wrong = || ClientConfig { psk: psk_from_secret(b"another secret"), ..client_config(protection) };
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

#[test]
fn attack_071_an_empty_identity_is_asked_for_like_any_other() {
    let client = ClientConfig { identity: Vec::new(), ..client_config(Protection::Ccm8) };
    let (world, _) = fails(client, None);
    assert_eq!(world.identities, [Vec::new()]);
}

#[test]
fn attack_074_and_078_identities_are_opaque_bytes() {
    let long = vec![b','; 1000];
    for identity in [&b"pk,dk,2"[..], b",,,", b"\xff\x00\xfe", b"%70k1", &long] {
        let client = ClientConfig { identity: identity.to_vec(), ..client_config(Protection::Ccm8) };
        let mut world = World::new(server_config(), client, 1);
        world.run(|_, _| false);
        assert!(world.is_connected(), "what it means is not our business");
        assert_eq!(world.identities, [identity.to_vec()]);
    }
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
        let client = ClientConfig { psk: psk_from_secret(b"c3PW03srd6c"), ..client_config(protection) };
        let (world, _) = fails(client, Some(key()));
        let [failed] = &world.rejected[..] else {
            panic!("told {} times", world.rejected.len());
        };
        assert!(failed.fits(&psk_from_secret(b"c3PW03srd6c")));
        assert!(!failed.fits(&psk_from_secret(SECRET)));
        assert!(!failed.fits(&Psk::new(SECRET).expect("20 bytes")));
    }
}
