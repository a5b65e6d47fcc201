//! Peers with short datagrams cut even the encrypted Finished (RFC 6347, section 4.2.3).

mod util;

use std::time::Duration;

use narrowgate_dtls::{ClientConfig, ServerConfig};
use util::{ClientSide, Protection, To, World, client_config, key, key_of, server_config};

/// So short that a Finished protected by CBC needs several records.
const DATAGRAM_BYTES_MAX: usize = 90;

const CUT: [Protection; 2] = [Protection::CbcEncryptThenMac, Protection::CbcMacThenEncrypt];

fn client(protection: Protection) -> ClientConfig {
    ClientConfig { datagram_bytes_max: DATAGRAM_BYTES_MAX, ..client_config(protection) }
}

fn protected(world: &World, to: To) -> usize {
    world.sent.iter().filter(|(other, datagram)| *other == to && datagram[4] == 1).count()
}

/// Runs to the end; `order` may move what is on the wire.
fn run(world: &mut World, order: impl Fn(&mut Vec<(std::time::Instant, To, Vec<u8>)>)) {
    for _ in 0..100 {
        let mut wire: Vec<_> = world.wire.drain(..).collect();
        order(&mut wire);
        world.wire.extend(wire);
        world.turn();
    }
}

#[test]
fn a_server_takes_a_finished_in_fragments() {
    for protection in CUT {
        let mut world = World::connected(server_config(), client(protection));
        assert!(protected(&world, To::Server) > 1, "the Finished was cut");
        assert_eq!(world.identities.len(), 1);
        assert!(world.rejected.is_empty());
        world.assert_data_flows_for(b"x");
    }
}

#[test]
fn a_client_takes_a_finished_in_fragments() {
    for protection in CUT {
        let server = ServerConfig { datagram_bytes_max: DATAGRAM_BYTES_MAX, ..server_config() };
        let mut world = World::connected(server, client_config(protection));
        assert!(protected(&world, To::Client) > 1, "the Finished was cut");
        world.assert_data_flows_for(b"x");
    }
}

#[test]
fn fragments_are_put_together_in_any_order() {
    for protection in CUT {
        let server = ServerConfig { datagram_bytes_max: DATAGRAM_BYTES_MAX, ..server_config() };
        let mut world = World::new(server, client(protection), 1);
        run(&mut world, |wire| wire.reverse());
        assert!(world.is_connected(), "{protection:?}");
        assert_eq!(protected(&world, To::Server), 4, "at the first attempt");
    }
}

#[test]
fn fragments_wait_for_the_key() {
    for protection in CUT {
        let mut world = World::new(server_config(), client(protection), 1);
        world.lookup = Duration::from_millis(500);
        world.run(|_, _| false);
        assert!(world.is_connected());
        assert_eq!(protected(&world, To::Server), 4, "at the first attempt");
    }
}

#[test]
fn a_lost_fragment_comes_with_the_next_attempt() {
    for protection in CUT {
        for lost in 1..=4 {
            let mut world = World::new(server_config(), client(protection), 1);
            let mut seen = 0;
            while !world.is_connected() {
                for index in (0..world.wire.len()).rev() {
                    let (_, to, datagram) = &world.wire[index];
                    if *to == To::Server && datagram[4] == 1 {
                        seen += 1;
                        if seen == lost {
                            world.wire.remove(index);
                        }
                    }
                }
                world.turn();
            }
            world.assert_data_flows_for(b"x");
        }
    }
}

#[test]
fn a_wrong_key_is_told_once_and_named_by_a_fragment() {
    for protection in CUT {
        let wrong = ClientConfig { psk: key_of(b"another secret"), ..client(protection) };
        let mut world = World::new(server_config(), wrong, 1);
        world.run(|_, _| false);
        assert!(matches!(world.client, ClientSide::Expired), "silence, no alert");
        let [failed] = &world.rejected[..] else {
            panic!("told {} times", world.rejected.len());
        };
        assert!(failed.fits(&key_of(b"another secret")));
        assert!(!failed.fits(&key()));
    }
}

/// A server that misses nothing repeats its flight once, not once for each fragment.
#[test]
fn a_finished_repeated_in_fragments_is_answered_once() {
    for protection in CUT {
        let mut world = World::new(server_config(), client(protection), 1);
        world.run(|kind, attempt| kind == util::Kind::ServerFinished && attempt == 1);
        assert!(world.is_connected());
        assert_eq!(protected(&world, To::Server), 8);
        let flights =
            world.sent.iter().filter(|(to, datagram)| *to == To::Client && datagram[0] == 20).count();
        assert_eq!(flights, 2);
    }
}
