//! A device's whole life, on a good network and on a bad one.

use std::{collections::HashSet, time::Duration};

use narrowgate_coap::{Code, Request};
use narrowgate_dtls::CipherSuite;
use narrowgate_engine::{event::CloseCause, shard::stats::Gauges};
use narrowgate_sim::{
    device::{DeviceCommand, DeviceEvent, SecureMode},
    net::Conditions,
    world::{World, device_config},
};

use crate::support::{
    IDLE_TIMEOUT, MINUTE, SECOND, connect, events_within_a_second, good_world, patient_config, report,
};

#[test]
fn a_device_connects_reports_pings_and_says_good_bye() {
    let (mut world, [meter]) = good_world(patient_config());
    world.command(meter, DeviceCommand::Connect).expect("a device can always try");
    let suite = CipherSuite::PskAes128Ccm8;
    assert_eq!(events_within_a_second(&mut world, meter), [DeviceEvent::Connected { suite }]);

    world.command(meter, report(1)).expect("it is connected");
    assert_eq!(events_within_a_second(&mut world, meter), [DeviceEvent::Acknowledged { id: 1 }]);
    assert_eq!(world.device(meter).acknowledged().len(), 1);
    let path = world.told.executed[0].request.path_text();
    assert_eq!(path, "/topic/sys/MuGsF6W4/meter-0/thing/measurepoint/post");

    world.command(meter, DeviceCommand::Ping).expect("it is connected");
    assert_eq!(events_within_a_second(&mut world, meter), [DeviceEvent::Pong]);
    assert_eq!(world.told.heard, 1);

    world.command(meter, DeviceCommand::Request(Request::get("/nowhere"))).expect("it is connected");
    let events = events_within_a_second(&mut world, meter);
    assert!(
        matches!(&events[..], [DeviceEvent::Answered(answer)] if answer.code == Code::NOT_FOUND),
        "{events:?}"
    );

    world.command(meter, DeviceCommand::Close).expect("it is connected");
    world.run_for(SECOND);
    assert_eq!(world.told.closed, [(world.told.connected[0].session, CloseCause::ByPeer)]);
    assert!(!world.device(meter).is_connected());
    // Timers of the session that is gone are still armed; they fire into nothing.
    world.run_for(IDLE_TIMEOUT + MINUTE);
    assert_eq!(world.gauges(), Gauges::default());
}

#[test]
fn a_device_without_a_secret_asks_for_it_and_comes_back_with_it() {
    let (mut world, []) = good_world(patient_config());
    let mut config = device_config("meter", b"c3PW03srd6c");
    config.identity.mode = SecureMode::Product;
    world.register(&config.identity, "c3PW03srd6c");
    let address = ([198, 51, 100, 9], 4711).into();
    let asking = world.add(address, config);
    connect(&mut world, asking);
    world.command(asking, DeviceCommand::AskActivation).expect("it is connected");
    let events = events_within_a_second(&mut world, asking);
    let [DeviceEvent::Activated(secret)] = &events[..] else { panic!("no secret: {events:?}") };
    assert_eq!(secret.as_bytes().len(), 20);
    world.command(asking, DeviceCommand::PowerOff).expect("a device can always be switched off");

    let activated = world.add(address, device_config("meter", secret.as_bytes()));
    connect(&mut world, activated);
    world.command(activated, report(1)).expect("it is connected");
    assert_eq!(events_within_a_second(&mut world, activated), [DeviceEvent::Acknowledged { id: 1 }]);
}

#[test]
fn both_suites_carry_a_life() {
    for suite in CipherSuite::ALL {
        let (mut world, []) = good_world(patient_config());
        let config = device_config("meter", b"secret").suite(suite);
        world.register(&config.identity, "secret");
        let meter = world.add(([198, 51, 100, 9], 4711).into(), config);
        connect(&mut world, meter);
        assert_eq!(world.told.connected[0].suite, suite);
        world.command(meter, report(1)).expect("it is connected");
        assert_eq!(events_within_a_second(&mut world, meter), [DeviceEvent::Acknowledged { id: 1 }]);
    }
}

/// Ten devices connect and report every half minute, for ten minutes, and try again whatever failed.
fn fleet_on_a_bad_network(seed: u64) {
    const COUNT: usize = 10;
    let mut world = World::new(patient_config(), Conditions::bad(), seed);
    let hosts: Vec<_> = (0..COUNT).map(|number| world.add_known(&format!("meter-{number}"))).collect();
    for round in 0..20 {
        for &host in &hosts {
            let command =
                if world.device(host).is_connected() { report(round) } else { DeviceCommand::Connect };
            world.command(host, command).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        world.run_for(MINUTE / 2);
    }
    world.network.change(Conditions::good());
    world.run_for(5 * MINUTE);
    for &host in &hosts {
        let acknowledged = world.device(host).acknowledged();
        assert!(acknowledged.len() >= 10, "seed {seed}: only {} reports got through", acknowledged.len());
    }
    // Nothing that was acknowledged is missing, and nothing was carried out twice.
    let mut carried_out = HashSet::new();
    for executed in &world.told.executed {
        let what = (executed.session, executed.request.path_text(), &executed.request.payload);
        assert!(carried_out.insert(what), "seed {seed}: carried out twice: {executed:?}");
    }
    let acknowledged: usize = hosts.iter().map(|host| world.device(*host).acknowledged().len()).sum();
    assert!(carried_out.len() >= acknowledged, "seed {seed}");
    assert_eq!(world.told.wrong_keys, [], "seed {seed}: every key was right");
    world.network.observe();
    world.run_for(IDLE_TIMEOUT + 2 * MINUTE);
    assert_eq!(world.gauges(), Gauges::default(), "seed {seed}");
}

#[test]
fn a_fleet_lives_on_a_bad_network_and_every_report_counts_once() {
    for seed in 0..8 {
        fleet_on_a_bad_network(seed);
    }
}

#[test]
fn a_bad_network_replays_from_its_seed() {
    let trace = |seed| {
        let mut world = World::new(patient_config(), Conditions::bad(), seed);
        let meter = world.add_known("meter");
        world.network.observe();
        world.command(meter, DeviceCommand::Connect).expect("a device can always try");
        world.run_for(Duration::from_secs(90));
        world.network.seen().to_vec()
    };
    assert_eq!(trace(3), trace(3));
    assert_ne!(trace(3), trace(4));
}
