//! What a stranger can learn or cause: nothing.

use std::{net::SocketAddr, time::Duration};

use narrowgate_dtls::{CipherSuite, Random};
use narrowgate_engine::shard::stats::Gauges;
use narrowgate_sim::{
    device::{ConnectFailure, DeviceCommand, DeviceEvent},
    net::Conditions,
    random::SeededRandom,
    world::{SERVER, World, device_config},
};

use crate::support::{MINUTE, patient_config};

/// Direction and length of a datagram, and when it was sent, counted from the first.
type Observation = (Duration, bool, usize);

/// A device that does not get in: everything that an observer on the path sees until nothing more comes.
fn refused(device_key: &str, known_secret: Option<&str>, suite: CipherSuite) -> Vec<Observation> {
    let mut world = World::new(patient_config(), Conditions::good(), 5);
    let config = device_config(device_key, b"the device's own idea").suite(suite);
    if let Some(secret) = known_secret {
        world.register(&config.identity, secret);
    }
    // Both look-ups take the same: that the platform sees to it is not the engine's business.
    world.store.look_up_takes(Some(Duration::from_millis(3)));
    let stranger = world.add(([203, 0, 113, 5], 1234).into(), config);
    world.network.observe();
    let begin = world.now();
    world.command(stranger, DeviceCommand::Connect).expect("a device can always try");
    world.run_for(5 * MINUTE);
    assert_eq!(world.take_events(stranger), [DeviceEvent::ConnectFailed(ConnectFailure::Expired)]);
    assert_eq!(world.gauges(), Gauges::default());
    assert_eq!(world.told.connected, []);
    world.network.seen().iter().map(|seen| (seen.at - begin, seen.from == SERVER, seen.bytes)).collect()
}

#[test]
fn an_unknown_identity_and_a_wrong_key_look_the_same() {
    for suite in CipherSuite::ALL {
        let unknown = refused("meter-1", None, suite);
        let wrong = refused("meter-2", Some("the true secret"), suite);
        assert_eq!(unknown, wrong);
        let answers = unknown.iter().filter(|(_, from_server, _)| *from_server).count();
        assert!(answers >= 2, "a cookie and a flight: {unknown:?}");
    }
}

#[test]
fn noise_gets_no_answer_and_leaves_no_state() {
    let mut world = World::new(patient_config(), Conditions::good(), 6);
    let mut random = SeededRandom::new(6);
    world.network.observe();
    for number in 0..20_000_u32 {
        let from = SocketAddr::from(([203, 0, 113, (number % 200) as u8], 1024 + (number % 5000) as u16));
        let mut datagram = vec![0; random.below(200) as usize];
        random.fill(&mut datagram);
        // Half of it begins like a record, so that it gets past the first look.
        let head = [[22, 254, 253, 0, 0], [23, 254, 253, 0, 1]][(number % 2) as usize];
        if random.chance(500) && datagram.len() >= head.len() {
            datagram[..head.len()].copy_from_slice(&head);
        }
        world.inject(from, &datagram);
        world.run_for(Duration::from_millis(1));
    }
    world.run_for(MINUTE);
    assert!(world.network.seen().iter().all(|seen| seen.from != SERVER), "noise was answered");
    assert_eq!(world.gauges(), Gauges::default());
}

#[test]
fn a_recorded_handshake_played_again_opens_nothing() {
    let mut world = World::new(patient_config(), Conditions::good(), 7);
    let meter = world.add_known("meter");
    let address = world.address(meter);
    world.network.record();
    world.command(meter, DeviceCommand::Connect).expect("a device can always try");
    world.run_for(MINUTE / 2);
    assert!(world.device(meter).is_connected());
    let recorded = world.network.take_recorded();
    let sent: Vec<_> = recorded.into_iter().filter(|packet| packet.to == SERVER).collect();
    assert!(sent.len() >= 3);
    for packet in &sent {
        world.inject(packet.from, &packet.bytes);
        world.run_for(Duration::from_millis(100));
    }
    assert_eq!(world.gauges().sessions, 1, "the session is untouched");
    assert_eq!(world.told.closed, []);
    // From elsewhere not even the cookie is good.
    let elsewhere = SocketAddr::from(([203, 0, 113, 77], 9999));
    let before = world.gauges().handshakes;
    for packet in &sent {
        world.inject(elsewhere, &packet.bytes);
        world.run_for(Duration::from_millis(100));
    }
    assert_eq!(world.gauges().handshakes, before);
    assert_ne!(address, elsewhere);
    world.run_for(2 * MINUTE);
    assert_eq!(world.gauges().handshakes, 0);
    assert_eq!(world.gauges().sessions, 1);
}
