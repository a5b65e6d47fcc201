//! Any bytes at any place never panic, and what is not authentic never reaches the application.

mod util;

use narrowgate_dtls::{FrontDoor, Opened, classify, split_record};
use narrowgate_testkit::{SeededRandom, hello::Hello};
use proptest::prelude::*;
use util::{
    ClientSide, Kind, PROTECTIONS, ServerSide, World, client_config, door::Door, kind, server_config,
};

/// A datagram that was sent, one that was changed, or any bytes.
fn changed(datagram: &[u8], changes: &[(u16, u8)], length: u16) -> Vec<u8> {
    let mut datagram = datagram.to_vec();
    for &(index, value) in changes {
        let index = usize::from(index) % datagram.len();
        datagram[index] = value;
    }
    let length = usize::from(length) % (datagram.len() * 2);
    datagram.truncate(length.max(1));
    datagram
}

fn changes() -> impl Strategy<Value = (Vec<(u16, u8)>, u16)> {
    (proptest::collection::vec((any::<u16>(), any::<u8>()), 0..4), any::<u16>())
}

proptest! {
    #[test]
    fn the_front_door_survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut door = Door::new(server_config());
        let _ = classify(&bytes);
        let found = door.knock(&bytes);
        prop_assert!(matches!(found, FrontDoor::Discard(_)));
        prop_assert!(door.reply.len() <= bytes.len());
    }

    #[test]
    fn the_front_door_survives_changed_hellos((changes, length) in changes(), cookie: bool) {
        let mut door = Door::new(server_config());
        let hello = if cookie { Hello::new().with_cookie(|hello| door.verify(hello)) } else { Hello::new() };
        let datagram = changed(&hello.datagram(), &changes, length);
        let found = door.knock(&datagram);
        prop_assert!(cookie || matches!(found, FrontDoor::Discard(_) | FrontDoor::HelloVerify));
        prop_assert!(door.reply.len() <= datagram.len());
    }

    #[test]
    fn a_handshake_survives_changed_datagrams_and_still_connects(
        (changes, length) in changes(),
        at in 0usize..6,
        protection in 0usize..3,
    ) {
        let client = client_config(PROTECTIONS[protection]);
        let mut world = World::new(server_config(), client, 3);
        let mut steps = 0;
        while !world.is_connected() && steps < 20 {
            if steps == at && let Some((_, to, datagram)) = world.wire.front() {
                let (to, datagram) = (*to, datagram.clone());
                let is_for_server = to == util::To::Server;
                // The client believes alerts and hellos that anybody could have sent; the server is what is
                // tested.
                if is_for_server && kind(&datagram) != Kind::Hello {
                    world.deliver_to_server(changed(&datagram, &changes, length));
                }
            }
            world.turn();
            steps += 1;
        }
        world.run(|_, _| false);
        // A changed ClientHello with a good cookie, or a changed identity, is another handshake: it may fail,
        // not panic.
        let failed = matches!(world.client, ClientSide::Failed(_) | ClientSide::Expired);
        prop_assert!(world.is_connected() || failed);
    }

    #[test]
    fn a_session_survives_changed_records((changes, length) in changes(), protection in 0usize..3) {
        let mut world = World::connected(server_config(), client_config(PROTECTIONS[protection]));
        let mut rng = SeededRandom::new(5);
        let (server, client) = world.sessions();
        let mut record = Vec::new();
        client.seal(b"temp=21.5", &mut rng, &mut record).expect("it fits");
        let mut hostile = changed(&record, &changes, length);
        let mut rest = hostile.as_mut_slice();
        while let Some((first, tail)) = split_record(rest) {
            if let Ok(opened) = server.open(first) {
                prop_assert_eq!(opened, Opened::Application(&mut b"temp=21.5".to_owned()));
            }
            rest = tail;
        }
        world.assert_data_flows();
    }

    #[test]
    fn a_client_survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
        let mut world = World::new(server_config(), client_config(PROTECTIONS[0]), 3);
        world.turn();
        world.deliver_to_client(bytes);
        world.run(|_, _| false);
        prop_assert!(matches!(world.server, ServerSide::Established(_)) || !world.is_connected());
    }
}

#[test]
fn a_handshake_survives_every_single_byte_changed_in_flight_5() {
    for protection in PROTECTIONS {
        for index in 0..160 {
            let mut world = World::new(server_config(), client_config(protection), 3);
            let mut done = false;
            while !done {
                world.turn();
                if let Some((_, _, datagram)) =
                    world.wire.iter().find(|(_, _, datagram)| kind(datagram) == Kind::KeyExchange)
                {
                    let mut datagram = datagram.clone();
                    let index = index % datagram.len();
                    datagram[index] ^= 0x01;
                    // A changed identity or fragment that is well formed is taken for the peer's; that
                    // handshake is lost, and the peer starts anew. Everything else must not matter.
                    if !(13 + 12..13 + 12 + 2 + util::IDENTITY.len()).contains(&index) {
                        world.deliver_to_server(datagram);
                    }
                    done = true;
                }
            }
            world.run(|_, _| false);
            assert!(world.is_connected(), "{protection:?} {index}");
        }
    }
}
