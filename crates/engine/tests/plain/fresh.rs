//! Logins that have to bring back a fresh Echo (RFC 9175).

use std::{net::SocketAddr, time::Duration};

use narrowgate_coap::{Code, Kind, Message, OptionNumber};
use narrowgate_engine::shard::{
    plain::{PlainConfig, echo::ECHO_LIFETIME},
    stats::{Counter, Gauges},
};

use crate::world::{World, login, message_with, peer, report};

const ECHO: u16 = OptionNumber::ECHO.0;
const SECOND: Duration = Duration::from_secs(1);

fn world() -> World {
    let plain = PlainConfig { login_path: "auth", logins_waiting_max: 8, fresh_logins: true };
    World::with(|config| config.plain = Some(plain))
}

fn login_with(mid: u16, echo: &[u8]) -> Vec<u8> {
    let payload = r#"{"secureMode":2}"#;
    message_with(Kind::Confirmable, Code::POST, mid, &["auth", "p", "d"], (payload, &[(ECHO, echo)]))
}

/// The Echo of the 4.01 that answers a login.
#[track_caller]
fn echo_for(world: &mut World, peer: SocketAddr, login: &[u8]) -> Vec<u8> {
    let wanted = world.wanted.len();
    let answers = world.give(peer, login);
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    assert!(answer.len() <= login.len(), "{} bytes for {}", answer.len(), login.len());
    assert_eq!(world.wanted.len(), wanted, "the platform is not asked");
    let message = Message::parse(answer).expect("we wrote it");
    assert_eq!((message.code, message.payload), (Code::UNAUTHORIZED, &[][..]));
    let echo = message.options().find(|(number, _)| *number == OptionNumber::ECHO);
    echo.expect("it has an Echo").1.to_vec()
}

#[test]
fn a_login_without_an_echo_gets_one_and_goes_on_with_it_and_nothing_is_kept_before() {
    let mut world = world();
    let echo = echo_for(&mut world, peer(1), &login(1));
    assert_eq!((world.gauges(), world.count(Counter::LoginsChallenged)), (Gauges::default(), 1));
    let fresh = login_with(2, &echo);
    assert_eq!(world.give(peer(1), &fresh), [[0; 0]; 0], "it waits for the platform");
    world.admit(peer(1));
    let ticket = *world.logged_in.last().expect("it is admitted");
    let answers = world.respond(peer(1), ticket, Code::CHANGED);
    assert_eq!(Message::parse(&answers[0]).expect("we wrote it").code, Code::CHANGED);
    assert_eq!(world.give(peer(1), &fresh), answers, "its answer was lost");
    world.give(peer(1), &report(3));
    assert_eq!(world.asked.last().map(|asked| asked.session), Some(ticket.session));
}

#[test]
fn a_login_that_was_recorded_is_of_no_use_elsewhere_or_later() {
    let mut world = world();
    let echo = echo_for(&mut world, peer(1), &login(1));
    let recorded = login_with(2, &echo);
    // 1 and 257 differ in the address, 1 and 2 in the port.
    for other in [2, 257] {
        echo_for(&mut world, peer(other), &recorded);
    }
    world.give(peer(1), &recorded);
    world.admit(peer(1));
    let ticket = *world.logged_in.last().expect("it is admitted");
    let session = ticket.session;
    world.respond(peer(1), ticket, Code::CHANGED);
    world.give(peer(1), &report(3));
    let asked = *world.asked.last().expect("it is handed over");
    world.respond(peer(1), asked, Code::CHANGED);
    for _ in 0..3 {
        world.wait(peer(1), ECHO_LIFETIME / 3);
        world.give(peer(1), &report(3));
    }
    world.wait(peer(1), SECOND);
    echo_for(&mut world, peer(1), &recorded);
    assert!(world.closed.is_empty(), "what stands is untouched");
    world.give(peer(1), &report(4));
    assert_eq!(world.asked.last().map(|asked| asked.session), Some(session));
}

#[test]
fn what_is_no_echo_of_this_server_gets_another_one() {
    let mut world = world();
    for value in [&b""[..], b"x", b"123456789012", &[0; 40], &[0; 41]] {
        echo_for(&mut world, peer(1), &login_with(1, value));
    }
}

#[test]
fn a_question_that_is_shorter_than_an_echo_is_answered_without_one() {
    let mut world = world();
    let short = message_with(Kind::Confirmable, Code::POST, 1, &["auth"], ("", &[]));
    let answers = world.give(peer(1), &short);
    assert_eq!(answers.len(), 1);
    assert!(answers[0].len() <= short.len());
    assert_eq!(Message::parse(&answers[0]).expect("we wrote it").code, Code::UNAUTHORIZED);
}

#[test]
fn logins_without_an_echo_take_no_place_of_those_with_one() {
    let mut world = world();
    for mid in 0..100 {
        echo_for(&mut world, peer(mid), &login(mid));
    }
    assert_eq!((world.gauges(), world.count(Counter::LoginsDeferred)), (Gauges::default(), 0));
    for number in 0..8 {
        let echo = echo_for(&mut world, peer(number), &login(1));
        world.give(peer(number), &login_with(2, &echo));
    }
    assert_eq!(world.wanted.len(), 8);
    echo_for(&mut world, peer(9), &login(1));
}

#[test]
fn an_echo_that_nobody_asked_for_is_ignored() {
    let mut world = World::new();
    assert_eq!(world.give(peer(1), &login_with(1, b"x")), [[0; 0]; 0], "it waits for the platform");
    assert_eq!((world.wanted.len(), world.count(Counter::LoginsChallenged)), (1, 0));
}
