//! A request that comes twice is carried out once, and answered twice.

use std::time::Duration;

use narrowgate_engine::shard::stats::Counter;
use narrowgate_sim::device::DeviceEvent;

use crate::support::{SECOND, connect, events_within_a_second, good_world, patient_config, report};

#[test]
fn a_report_whose_answer_is_lost_is_answered_again_from_the_stored_answer() {
    let (mut world, [meter]) = good_world(patient_config());
    connect(&mut world, meter);
    let address = world.address(meter);
    world.network.lose_next(address, 2);
    world.command(meter, report(1)).expect("it is connected");
    // The device waits two to three seconds, then twice as long.
    let acknowledged =
        world.run_until(Duration::from_secs(10), |world| !world.device(meter).acknowledged().is_empty());
    assert!(acknowledged);
    assert_eq!(world.take_events(meter), [DeviceEvent::Acknowledged { id: 1 }]);
    assert_eq!(world.told.executed.len(), 1);
    let stats = world.shard().stats();
    assert_eq!(stats.value(Counter::Requests), 1);
    assert_eq!(stats.value(Counter::Responses), 1);
    let duplicates = stats.coap_discards().find(|(discard, _)| discard.name() == "duplicate");
    assert_eq!(duplicates.map(|(_, count)| count), Some(2));
    assert_eq!(world.told.heard, 2, "a duplicate is a sign of life");
}

#[test]
fn a_report_that_is_repeated_while_the_platform_works_is_carried_out_once() {
    let (mut world, [meter]) = good_world(patient_config());
    connect(&mut world, meter);
    world.store.commit_takes(Some(Duration::from_secs(4)));
    // The empty acknowledgement, which tells the device to wait, is lost; so the device repeats its report.
    let address = world.address(meter);
    world.network.lose_next(address, 1);
    world.command(meter, report(1)).expect("it is connected");
    world.run_for(10 * SECOND);
    assert_eq!(world.take_events(meter), [DeviceEvent::Acknowledged { id: 1 }]);
    assert_eq!(world.told.executed.len(), 1);
}

#[test]
fn a_datagram_that_the_network_repeats_is_dropped_before_it_is_decrypted() {
    let (mut world, [meter]) = good_world(patient_config());
    connect(&mut world, meter);
    let mut conditions = narrowgate_sim::net::Conditions::good();
    conditions.repeated_per_mille = 1000;
    world.network.change(conditions);
    for id in 1..=5 {
        world.command(meter, report(id)).expect("it is connected");
        assert_eq!(events_within_a_second(&mut world, meter), [DeviceEvent::Acknowledged { id }]);
    }
    assert_eq!(world.told.executed.len(), 5);
    let replayed = world.shard().stats().dtls_discards().find(|(discard, _)| discard.name() == "replayed");
    assert_eq!(replayed.map(|(_, count)| count), Some(5));
}
