//! Logins that come again: what an earlier one of the same path has answered, and which copy is none.

use std::time::Duration;

use narrowgate_coap::{Code, Kind, OptionNumber, Profile};
use narrowgate_engine::{event::ShardCommand, shard::stats::Counter};

use crate::world::{World, login, message, message_with, peer, report};

const SECOND: Duration = Duration::from_secs(1);

/// A device on a fixed port, which is never silent until its last answer expires.
#[test]
fn what_logins_leave_does_not_grow_with_their_number() {
    let mut world = World::new();
    for number in 0..500 {
        world.log_in(peer(1), 2 * number + 1);
        world.give(peer(1), &report(2 * number + 2));
        let ticket = *world.asked.last().expect("it is new");
        world.respond(peer(1), ticket, Code::CHANGED);
        world.wait(peer(1), 20 * SECOND);
        let bytes = world.gauges().stored_answer_bytes;
        assert!(bytes < 1000, "{bytes} after {number}");
    }
    // None is forgotten early for that.
    let asked = world.asked.len();
    world.log_in(peer(1), 2000);
    for number in 489..500 {
        assert_eq!(world.code(peer(1), &report(2 * number + 2)), Code::CHANGED, "{number}");
    }
    assert_eq!(world.asked.len(), asked);
}

#[test]
fn a_device_that_counts_from_the_same_number_at_each_start_loses_no_report() {
    let mut world = World::new();
    for value in 0..400 {
        world.log_in(peer(1), 1);
        let body = format!(r#"{{"temp":{value}}}"#);
        world.give(peer(1), &message(Kind::Confirmable, Code::POST, 2, &["topic"], &body));
        assert_eq!(world.asked.len(), value + 1, "{body}");
        world.respond(peer(1), world.asked[value], Code::CHANGED);
    }
}

#[test]
fn a_part_of_a_body_is_not_taken_for_one_that_is_held() {
    let mut world = World::new();
    let block = |mid, number: u8| {
        let block1 = [number << 4 | 0x08];
        let (payload, options) = ("x".repeat(16), [(OptionNumber::BLOCK1.0, &block1[..])]);
        message_with(Kind::Confirmable, Code::POST, mid, &["topic"], (&payload, &options))
    };
    world.log_in(peer(1), 1);
    assert_eq!(world.code(peer(1), &block(2, 0)), Code::CONTINUE);
    world.log_in(peer(1), 1);
    for (mid, number) in [(2, 0), (3, 1)] {
        assert_eq!(world.code(peer(1), &block(mid, number)), Code::CONTINUE, "block {number}");
    }
}

#[test]
fn a_device_whose_login_an_operator_has_ended_may_log_in_again_with_the_same_bytes_at_once() {
    let mut world = World::new();
    for _ in 0..3 {
        let session = world.log_in(peer(1), 1);
        world.give(peer(1), &report(2));
        // It was disabled, and enabled again.
        world.command(peer(1), ShardCommand::Close { session });
    }
}

/// A NAT has given it port 1, 2, and after a restart 1 again.
#[test]
fn a_device_that_comes_back_to_an_earlier_port_is_let_in_when_it_repeats_its_login() {
    let mut world = World::new();
    let first = world.log_in(peer(1), 1);
    world.give(peer(1), &report(2));
    world.log_in(peer(2), 7);
    world.command(peer(1), ShardCommand::Supersede { session: first });
    // Copies that the network held back come together.
    for _ in 0..3 {
        assert_eq!(world.give(peer(1), &login(1)), [[0; 0]; 0]);
    }
    assert_eq!((world.wanted.len(), world.count(Counter::LoginsRepeated)), (2, 3));
    world.wait(peer(1), 2 * SECOND);
    world.log_in(peer(1), 1);
}

#[test]
fn with_a_slow_radio_copies_of_a_login_are_known_for_longer() {
    let mut world = World::new();
    let nbiot = |session| ShardCommand::SetProfile { session, profile: Profile::Nbiot };
    let first = world.log_in(peer(1), 1);
    world.command(peer(1), nbiot(first));
    world.log_in(peer(2), 7);
    world.command(peer(1), ShardCommand::Supersede { session: first });
    world.wait(peer(2), 300 * SECOND);
    let wanted = world.wanted.len();
    assert_eq!(world.give(peer(1), &login(1)), [[0; 0]; 0]);
    assert_eq!(world.wanted.len(), wanted, "the device is at another port since");
    world.wait(peer(2), 120 * SECOND);
    world.log_in(peer(1), 1);

    // The same where the login stands, and nothing else came in it.
    world.give(peer(3), &login(1));
    let handshake = *world.wanted.last().expect("it waits");
    world.command(peer(3), ShardCommand::AdmitLogin { handshake, lifetime: 1000 * SECOND });
    let ticket = *world.logged_in.last().expect("it is admitted");
    world.respond(peer(3), ticket, Code::CHANGED);
    world.command(peer(3), nbiot(ticket.session));
    world.wait(peer(3), 300 * SECOND);
    let wanted = world.wanted.len();
    assert_eq!(world.give(peer(3), &login(1)), [[0; 0]; 0]);
    assert_eq!((world.wanted.len(), world.asked.last()), (wanted, world.asked.last()));
    assert_eq!(world.asked.last().map(|ticket| ticket.session), Some(ticket.session));
}

#[test]
fn what_is_over_first_goes_first_whoever_has_left_it() {
    let mut world = World::new();
    let slow = world.log_in(peer(1), 1);
    world.command(peer(1), ShardCommand::SetProfile { session: slow, profile: Profile::Nbiot });
    world.give(peer(1), &report(2));
    world.command(peer(1), ShardCommand::Close { session: slow });
    let of_slow = world.gauges().stored_answer_bytes;
    for number in 2..100 {
        let session = world.log_in(peer(number), 1);
        world.command(peer(number), ShardCommand::Close { session });
    }
    assert!(world.gauges().stored_answer_bytes > 10 * of_slow);
    let timers = world.gauges().timers;
    for _ in 0..26 {
        world.wait(peer(1), 10 * SECOND);
        assert!(world.gauges().timers <= timers, "one timer serves all");
    }
    assert!(world.gauges().stored_answer_bytes <= of_slow);
    world.wait(peer(1), 160 * SECOND);
    assert_eq!(world.gauges().stored_answer_bytes, 0);
}
