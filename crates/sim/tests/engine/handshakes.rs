//! Handshakes that meet a session, and handshakes that nobody finishes.

use std::time::Duration;

use narrowgate_dtls::CipherSuite;
use narrowgate_engine::{
    event::CloseCause,
    shard::stats::{Counter, Gauges},
};
use narrowgate_sim::{
    device::{DeviceCommand, DeviceEvent},
    net::Packet,
    world::{HostId, SERVER, World, device_config},
};

use crate::support::{
    IDLE_TIMEOUT, MINUTE, SECOND, connect, events_within_a_second, good_world, patient_config, report,
};

#[test]
fn a_handshake_over_a_live_session_takes_its_place_only_when_its_finished_verifies() {
    let (mut world, [meter]) = good_world(patient_config());
    connect(&mut world, meter);
    let first = world.told.connected[0].session;
    let address = world.address(meter);

    // Somebody at the same address and port, with the device's identity and another key.
    let impostor = world.add(address, device_config("meter-0", b"not the secret"));
    world.command(impostor, DeviceCommand::Connect).expect("a device can always try");
    world.run_for(SECOND);
    assert_eq!(world.told.wrong_keys, [address]);
    assert_eq!(world.gauges().handshakes, 1, "the impostor's handshake waits for its end");
    world.command(meter, report(1)).expect("it is connected");
    assert_eq!(events_within_a_second(&mut world, meter), [DeviceEvent::Acknowledged { id: 1 }]);
    assert_eq!(world.told.closed, []);
    world.command(impostor, DeviceCommand::PowerOff).expect("a device can always be switched off");

    // The device itself, after a loss of power.
    world.command(meter, DeviceCommand::PowerOff).expect("a device can always be switched off");
    connect(&mut world, meter);
    assert_eq!(world.told.closed, [(first, CloseCause::Replaced)]);
    assert_eq!(world.gauges().sessions, 1);
    world.command(meter, report(2)).expect("it is connected");
    assert_eq!(events_within_a_second(&mut world, meter), [DeviceEvent::Acknowledged { id: 2 }]);
    assert_eq!(world.shard().stats().value(Counter::ClosedReplaced), 1);
}

#[test]
fn the_old_session_answers_until_the_very_datagram_that_completes_the_new_handshake() {
    let (mut world, [meter]) = good_world(patient_config());
    connect(&mut world, meter);
    let second = world.add(world.address(meter), device_config("meter-0", b"Z5YtZaQpK5IWocakV7zQ"));
    // The key look-up takes its time; in it the old session goes on.
    world.store.look_up_takes(Some(Duration::from_secs(5)));
    world.command(second, DeviceCommand::Connect).expect("a device can always try");
    world.run_for(2 * SECOND);
    assert_eq!(world.gauges().lookups, 1);
    world.command(meter, report(1)).expect("it is connected");
    assert_eq!(events_within_a_second(&mut world, meter), [DeviceEvent::Acknowledged { id: 1 }]);
    assert_eq!(world.told.closed, []);
    world.run_for(5 * SECOND);
    assert!(world.device(second).is_connected());
    assert_eq!(world.told.closed.len(), 1);
    assert_eq!(world.gauges().sessions, 1);
    assert_eq!(world.told.wrong_keys, [], "records of the old session are no attempts at the new one");
}

#[test]
fn a_handshake_that_is_abandoned_is_gone_within_a_minute_and_leaves_nothing() {
    let (mut world, hosts) = good_world::<5>(patient_config());
    for meter in hosts {
        world.command(meter, DeviceCommand::Connect).expect("a device can always try");
    }
    // They vanish behind the cookie, before their keys are asked for.
    assert!(world.run_until(SECOND, |world| world.gauges().handshakes == 5));
    for meter in hosts {
        world.command(meter, DeviceCommand::PowerOff).expect("a device can always be switched off");
    }
    world.run_for(59 * SECOND);
    assert_eq!(world.gauges().handshakes, 5);
    world.run_for(2 * SECOND);
    assert_eq!(world.told.handshakes_ended.len(), 5);
    assert_eq!(world.shard().stats().value(Counter::HandshakesExpired), 5);
    world.run_for(MINUTE);
    assert_eq!(world.gauges(), Gauges::default());
}

#[test]
fn a_handshake_whose_look_up_is_never_answered_is_gone_within_a_minute_too() {
    let (mut world, [meter]) = good_world(patient_config());
    world.store.look_up_takes(None);
    world.command(meter, DeviceCommand::Connect).expect("a device can always try");
    world.run_for(SECOND);
    assert_eq!(world.gauges().lookups, 1);
    world.command(meter, DeviceCommand::PowerOff).expect("a device can always be switched off");
    world.run_for(2 * MINUTE);
    assert_eq!(world.gauges(), Gauges::default());
}

#[test]
fn all_gauges_return_to_zero_when_the_sessions_are_closed() {
    let (mut world, hosts) = good_world::<20>(patient_config());
    for meter in hosts {
        connect(&mut world, meter);
        world.command(meter, report(1)).expect("it is connected");
    }
    world.run_for(SECOND);
    // Half of them end while a request of theirs is being worked on.
    world.store.commit_takes(None);
    for meter in hosts {
        world.command(meter, report(2)).expect("it is connected");
    }
    world.run_for(SECOND);
    let gauges = world.gauges();
    assert_eq!((gauges.sessions, gauges.requests_in_flight), (20, 20));
    assert!(gauges.stored_answer_bytes > 0);
    for meter in &hosts[..10] {
        world.command(*meter, DeviceCommand::Close).expect("it is connected");
    }
    world.run_for(SECOND);
    assert_eq!(world.gauges().sessions, 10);
    assert_eq!(world.gauges().requests_in_flight, 10);
    let now = world.now();
    world.store.commit_now(now);
    world.run_for(SECOND);
    assert_eq!(world.shard().stats().value(Counter::ResponsesLate), 10);
    for meter in &hosts[10..] {
        world.command(*meter, DeviceCommand::Close).expect("it is connected");
    }
    world.run_for(SECOND);
    let gauges = world.gauges();
    assert_eq!(Gauges { timers: 0, ..gauges }, Gauges::default());
    world.run_for(IDLE_TIMEOUT + MINUTE);
    assert_eq!(world.gauges(), Gauges::default());
}

#[test]
fn a_lost_last_flight_is_sent_again_on_demand() {
    for suite in CipherSuite::ALL {
        let (mut world, []) = good_world(patient_config());
        let config = device_config("meter", b"secret").suite(suite);
        world.register(&config.identity, "secret");
        let meter = world.add(([198, 51, 100, 9], 4711).into(), config);
        let address = world.address(meter);
        world.command(meter, DeviceCommand::Connect).expect("a device can always try");
        // When the key is asked for, only the last flight is still to come.
        world.store.look_up_takes(Some(Duration::from_millis(10)));
        assert!(world.run_until(SECOND, |world| world.gauges().lookups == 1));
        world.network.lose_next(address, 1);
        assert!(world.run_until(SECOND, |world| world.gauges().sessions == 1));
        world.run_for(SECOND / 2);
        assert!(!world.device(meter).is_connected());
        world.run_for(2 * SECOND);
        assert!(world.device(meter).is_connected());
        assert_eq!(world.gauges().sessions, 1);
        world.command(meter, report(1)).expect("it is connected");
        world.run_for(SECOND);
        assert_eq!(world.device(meter).acknowledged().len(), 1);
    }
}

/// Connects a device and returns what it sent: ClientHello, ClientHello with cookie, last flight.
fn connect_recorded(world: &mut World, meter: HostId) -> Vec<Packet> {
    world.network.record();
    connect(world, meter);
    let recorded = world.network.take_recorded();
    let sent: Vec<_> = recorded.into_iter().filter(|packet| packet.to == SERVER).collect();
    assert_eq!(sent.len(), 3);
    sent
}

#[test]
fn a_client_hello_that_arrives_again_after_its_handshake_begins_no_other_one() {
    let (mut world, [meter]) = good_world(patient_config());
    let sent = connect_recorded(&mut world, meter);
    for packet in &sent[1..] {
        world.inject(packet.from, &packet.bytes);
        world.run_for(SECOND);
    }
    assert_eq!(world.told.wrong_keys, [], "the key was right; only the datagrams were late");
    assert_eq!(world.shard().stats().value(Counter::HandshakesBegun), 1);
    assert_eq!(world.gauges().sessions, 1);
}

#[test]
fn a_device_that_misses_the_last_flight_gets_it_although_its_client_hello_arrives_again() {
    let (mut world, [meter]) = good_world(patient_config());
    let address = world.address(meter);
    world.network.record();
    world.store.look_up_takes(Some(Duration::from_millis(10)));
    world.command(meter, DeviceCommand::Connect).expect("a device can always try");
    assert!(world.run_until(SECOND, |world| world.gauges().lookups == 1));
    world.network.lose_next(address, 1);
    assert!(world.run_until(SECOND, |world| world.gauges().sessions == 1));
    let recorded = world.network.take_recorded();
    let hellos: Vec<_> = recorded.iter().filter(|packet| packet.to == SERVER).take(2).collect();
    world.inject(hellos[1].from, &hellos[1].bytes);
    let connected = world.run_until(30 * SECOND, |world| world.device(meter).is_connected());
    assert!(connected, "the device repeats its last flight in vain");
    assert_eq!(world.told.wrong_keys, []);
    assert_eq!(world.gauges().sessions, 1);
}
