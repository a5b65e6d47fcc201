//! What a device sees when the server is at a limit.

use narrowgate_coap::Code;
use narrowgate_engine::{
    event::CloseCause,
    shard::{
        ShardConfig,
        stats::{Counter, Gauges},
    },
};
use narrowgate_sim::device::{DeviceCommand, DeviceEvent};

use crate::support::{
    IDLE_TIMEOUT, MINUTE, SECOND, connect, events_within_a_second, good_world, patient_config, report,
};

#[test]
fn a_request_beyond_those_in_flight_gets_5_03_and_works_when_there_is_room_again() {
    let config = ShardConfig { requests_in_flight_max: 2, ..patient_config() };
    let (mut world, [a, b, c]) = good_world(config);
    for meter in [a, b, c] {
        connect(&mut world, meter);
    }
    world.store.commit_takes(None);
    for meter in [a, b, c] {
        world.command(meter, report(1)).expect("it is connected");
        world.run_for(SECOND / 4);
    }
    let events = world.take_events(c);
    let [DeviceEvent::ReportRefused { id: 1, code: None, response }] = &events[..] else {
        panic!("expected a refusal: {events:?}")
    };
    assert_eq!(response.code, Code::SERVICE_UNAVAILABLE);
    assert!(
        response.options.find_uint(narrowgate_coap::OptionNumber::MAX_AGE).is_some_and(|seconds| seconds > 0)
    );
    assert_eq!(world.shard().stats().value(Counter::RequestsBusy), 1);
    assert_eq!(world.told.executed.len(), 2);

    let now = world.now();
    world.store.commit_now(now);
    assert_eq!(events_within_a_second(&mut world, a), [DeviceEvent::Acknowledged { id: 1 }]);
    assert_eq!(world.take_events(b), [DeviceEvent::Acknowledged { id: 1 }]);
    world.command(c, report(2)).expect("it is connected");
    world.run_for(SECOND / 4);
    let now = world.now();
    world.store.commit_now(now);
    assert_eq!(events_within_a_second(&mut world, c), [DeviceEvent::Acknowledged { id: 2 }]);
    assert_eq!(world.gauges().requests_in_flight, 0);
}

#[test]
fn a_copy_of_a_request_that_was_refused_busy_is_carried_out_when_there_is_room_again() {
    let config = ShardConfig { requests_in_flight_max: 1, ..patient_config() };
    let (mut world, [a, b]) = good_world(config);
    connect(&mut world, a);
    connect(&mut world, b);
    world.store.commit_takes(None);
    world.command(a, report(1)).expect("it is connected");
    world.run_for(SECOND / 4);
    // The 5.03 is lost, so the device sends the same message again after two to three seconds.
    let address = world.address(b);
    world.network.lose_next(address, 1);
    world.command(b, report(1)).expect("it is connected");
    world.run_for(SECOND / 4);
    assert_eq!(world.shard().stats().value(Counter::RequestsBusy), 1);
    world.store.commit_takes(Some(SECOND / 100));
    let now = world.now();
    world.store.commit_now(now);
    world.run_for(4 * SECOND);
    assert_eq!(world.take_events(b), [DeviceEvent::Acknowledged { id: 1 }]);
    assert_eq!(world.told.executed.len(), 2);
}

#[test]
fn an_answer_that_takes_long_comes_in_a_message_of_its_own() {
    let (mut world, [meter]) = good_world(patient_config());
    connect(&mut world, meter);
    world.store.commit_takes(Some(30 * SECOND));
    world.command(meter, report(1)).expect("it is connected");
    world.run_for(29 * SECOND);
    assert_eq!(world.take_events(meter), []);
    world.run_for(2 * SECOND);
    assert_eq!(world.take_events(meter), [DeviceEvent::Acknowledged { id: 1 }]);
    assert_eq!(world.told.executed.len(), 1);
}

#[test]
fn the_longest_silent_session_is_shed_when_the_table_is_full() {
    let config = ShardConfig { sessions_max: 3, ..patient_config() };
    let (mut world, [a, b, c, d]) = good_world(config);
    for meter in [a, b, c] {
        connect(&mut world, meter);
        world.run_for(10 * SECOND);
    }
    // The first is heard again, so the second is the longest silent.
    world.command(a, DeviceCommand::Ping).expect("it is connected");
    assert_eq!(events_within_a_second(&mut world, a), [DeviceEvent::Pong]);
    connect(&mut world, d);
    assert_eq!(world.take_events(b), [DeviceEvent::Closed]);
    assert_eq!(world.told.closed, [(world.told.connected[1].session, CloseCause::Shed)]);
    assert_eq!(world.gauges().sessions, 3);
    for meter in [a, c, d] {
        world.command(meter, report(1)).expect("it is connected");
        assert_eq!(events_within_a_second(&mut world, meter), [DeviceEvent::Acknowledged { id: 1 }]);
    }
    // One that was shed may come back at any time.
    connect(&mut world, b);
    assert_eq!(world.gauges().sessions, 3);
}

#[test]
fn a_silent_session_is_closed_after_its_idle_timeout_and_not_before() {
    let (mut world, [meter]) = good_world(patient_config());
    connect(&mut world, meter);
    world.run_for(IDLE_TIMEOUT - 5 * SECOND);
    world.command(meter, DeviceCommand::Ping).expect("it is connected");
    world.run_for(IDLE_TIMEOUT - 5 * SECOND);
    assert_eq!(world.take_events(meter), [DeviceEvent::Pong]);
    assert_eq!(world.gauges().sessions, 1);
    world.run_for(10 * SECOND);
    assert_eq!(world.take_events(meter), [DeviceEvent::Closed]);
    assert_eq!(world.told.closed.first().map(|(_, cause)| *cause), Some(CloseCause::Idle));
    world.run_for(MINUTE);
    assert_eq!(world.gauges(), Gauges::default());
}

#[test]
fn a_server_that_drains_says_so_and_takes_no_new_handshakes() {
    let (mut world, [a, b]) = good_world(patient_config());
    connect(&mut world, a);
    world.drain();
    assert_eq!(events_within_a_second(&mut world, a), [DeviceEvent::Closed]);
    world.command(b, DeviceCommand::Connect).expect("a device can always try");
    world.run_for(5 * SECOND);
    assert!(!world.device(b).is_connected());
    assert_eq!(world.gauges().sessions, 0);
    assert_eq!(world.gauges().handshakes, 0);
}

#[test]
fn a_session_holds_few_timers_however_long_and_often_it_reports() {
    for pause in [7 * SECOND, 5 * MINUTE] {
        let config = ShardConfig { idle_timeout: 7 * 24 * 60 * MINUTE, ..patient_config() };
        let (mut world, [meter]) = good_world(config);
        connect(&mut world, meter);
        for id in 1..300 {
            world.command(meter, report(id)).expect("it is connected");
            world.run_for(pause);
            assert!(world.gauges().timers <= 4, "{} timers after {id} reports", world.gauges().timers);
        }
    }
}
