//! A shard of plain CoAP: strangers, logins, what stands and what is kept.

mod again;
mod fresh;
mod world;

use std::{net::SocketAddr, time::Duration};

use narrowgate_coap::{Code, Kind, Message, Response};
use narrowgate_engine::{
    event::{CloseCause, SessionId, ShardCommand},
    path::{Local, Path},
    shard::{
        plain::LOGIN_LIFETIME,
        stats::{Counter, Gauges},
        throttle::ByteLimit,
    },
};
use world::{LIFETIME, World, login, message, message_with, peer, report};

#[test]
fn a_login_becomes_the_session_of_its_path_and_its_answer_comes_after_that() {
    let mut world = World::new();
    let session = world.log_in(peer(1), 1);
    assert_eq!(world.give(peer(1), &report(2)), [[0; 0]; 0]);
    let [ticket] = world.asked[..] else { panic!("{:?}", world.asked) };
    assert_eq!(ticket.session, session);
    let answers = world.respond(peer(1), ticket, Code::CHANGED);
    let answer = Message::parse(&answers[0]).expect("we wrote it");
    assert_eq!((answer.kind, answer.code, answer.mid), (Kind::Acknowledgement, Code::CHANGED, 2));
    assert_eq!(world.give(peer(1), &report(2)), answers, "the duplicate gets the same, and runs once");
    assert_eq!(world.asked.len(), 1);
    // A ping of the peer is something that was heard.
    assert_eq!(world.give(peer(1), &[0x40, 0, 0, 9]), [[0x70, 0, 0, 9]]);
    assert_eq!(world.heard.last(), Some(&session));
    assert_eq!(world.code(peer(2), &report(2)), Code::UNAUTHORIZED, "another port is another peer");
    let moved = Path { local: Local::of([127, 0, 0, 2].into(), 1), ..peer(1).into() };
    world.shard.handle_datagram(world.now, moved, &mut report(3));
    assert_eq!(world.drain(peer(1)).len(), 1, "and so is another address of ours");
    assert_eq!((world.asked.len(), world.gauges().requests_in_flight), (1, 0));
}

#[test]
fn a_stranger_gets_one_answer_no_longer_than_its_question_and_nothing_is_kept() {
    let mut world = World::new();
    let con = Kind::Confirmable;
    let topic = &["topic", "p", "d"][..];
    let long: Vec<&str> = std::iter::repeat_n("segment", 60).collect();
    for (question, code) in [
        (report(1), Some(Code::UNAUTHORIZED)),
        (message(Kind::NonConfirmable, Code::GET, 1, topic, ""), Some(Code::UNAUTHORIZED)),
        (message(con, Code::GET, 1, &[], ""), Some(Code::UNAUTHORIZED)),
        (message(con, Code::GET, 1, &[".well-known", "core"], ""), Some(Code::UNAUTHORIZED)),
        (message(con, Code::GET, 1, &["auth", "p", "d"], ""), Some(Code::METHOD_NOT_ALLOWED)),
        (message(con, Code(0x1f), 1, topic, ""), Some(Code::METHOD_NOT_ALLOWED)),
        // An unknown critical option: the words that explain it are longer than the question.
        (message_with(con, Code::GET, 1, &[], ("", &[(2101, b"")])), Some(Code::BAD_OPTION)),
        (message_with(con, Code::POST, 1, &long, ("", &[(2101, b"")])), Some(Code::BAD_OPTION)),
        (
            message_with(con, Code::GET, 1, topic, ("", &[(35, b"coap://x")])),
            Some(Code::PROXYING_NOT_SUPPORTED),
        ),
        // A part of a body would have to be kept.
        (
            message_with(con, Code::POST, 1, topic, (&"x".repeat(16), &[(27, &[0x08])])),
            Some(Code::REQUEST_ENTITY_TOO_LARGE),
        ),
        (
            message_with(con, Code::POST, 1, &["auth", "p", "d"], (&"x".repeat(16), &[(27, &[0x08])])),
            Some(Code::REQUEST_ENTITY_TOO_LARGE),
        ),
        (vec![0x40, 0, 0, 1], Some(Code::EMPTY)),
        (message(con, Code::CONTENT, 1, &[], "a response"), Some(Code::EMPTY)),
        // HTTP, which looks like a confirmable message with a fault: a Reset.
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Some(Code::EMPTY)),
        // No answer is due.
        (vec![0x60, 0, 0, 1], None),
        (vec![0x70, 0, 0, 1], None),
        (vec![0x16, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1], None),
        (b"PUT / HTTP/1.1\r\n\r\n".to_vec(), None),
        (vec![0x40], None),
        (vec![], None),
    ] {
        let answers = world.give(peer(1), &question);
        let codes: Vec<Code> =
            answers.iter().map(|answer| Message::parse(answer).expect("we wrote it").code).collect();
        assert_eq!(codes, Vec::from_iter(code), "{question:02x?}");
        assert!(answers.iter().all(|answer| answer.len() <= question.len()), "{question:02x?}");
    }
    assert_eq!((world.wanted.len(), world.asked.len(), world.heard.len()), (0, 0, 0));
    assert_eq!(world.gauges(), Gauges::default());
    assert_eq!(world.refused, 0, "what is no login is counted alone");
}

#[test]
fn a_login_with_an_option_of_the_older_scheme_is_refused_and_that_is_told() {
    let mut world = World::new();
    let old = message_with(Kind::Confirmable, Code::POST, 1, &["auth", "p", "d"], ("{}", &[(2101, b"x")]));
    assert_eq!(world.code(peer(1), &old), Code::BAD_OPTION);
    assert_eq!((world.refused, world.wanted.len(), world.gauges()), (1, 0, Gauges::default()));
}

#[test]
fn a_login_that_is_refused_leaves_nothing_and_one_that_stands_is_untouched() {
    let mut world = World::new();
    let session = world.log_in(peer(1), 1);
    for peer in [peer(1), peer(2)] {
        world.give(peer, &login(7));
        let handshake = *world.wanted.last().expect("it waits");
        let response = Response::new(Code::FORBIDDEN);
        let answers = world.command(peer, ShardCommand::RefuseLogin { handshake, response });
        assert_eq!(Message::parse(&answers[0]).expect("we wrote it").code, Code::FORBIDDEN);
        assert_eq!(world.ended.last(), Some(&handshake));
        // An answer that comes late finds nobody.
        assert_eq!(world.admit(peer), [[0; 0]; 0]);
    }
    assert_eq!((world.gauges().handshakes, world.gauges().sessions), (0, 1));
    world.give(peer(1), &report(8));
    assert_eq!(world.asked.last().map(|ticket| ticket.session), Some(session));
    assert_eq!(world.count(Counter::LoginsRefused), 2);
    assert!(world.closed.is_empty());
}

#[test]
fn a_repeated_login_gets_its_answer_again_and_a_new_one_begins_anew() {
    let mut world = World::new();
    world.give(peer(1), &login(1));
    assert_eq!(world.give(peer(1), &login(1)), [[0; 0]; 0], "it is being looked up");
    assert_eq!(world.give(peer(1), &login(2)), [[0; 0]; 0], "one at a time");
    assert_eq!((world.wanted.len(), world.count(Counter::LoginsRepeated)), (1, 2));
    world.admit(peer(1));
    let first = world.logged_in[0];
    let answers = world.respond(peer(1), first, Code::CHANGED);
    assert_eq!(world.give(peer(1), &login(1)), answers, "the answer was lost");
    assert_eq!(world.wanted.len(), 1);
    world.give(peer(1), &report(2));
    world.respond(peer(1), world.asked[0], Code::CHANGED);
    // The device begins again, and counts its messages from the start: nothing of before is a duplicate, but
    // for the very same.
    let second = world.log_in(peer(1), 3);
    assert_eq!(world.closed, [(first.session, CloseCause::Replaced)]);
    world.give(peer(1), &message(Kind::Confirmable, Code::POST, 2, &["topic"], "another"));
    assert_eq!(world.asked.last().map(|ticket| ticket.session), Some(second));
    assert_eq!((world.asked.len(), world.gauges().sessions), (2, 1));
}

/// The network has held back copies of a login, and of what was posted in it.
#[test]
fn what_was_posted_in_a_login_is_not_carried_out_again_in_a_later_one_of_its_path() {
    let mut world = World::new();
    world.log_in(peer(1), 1);
    world.give(peer(1), &report(2));
    let answer = world.respond(peer(1), world.asked[0], Code::CHANGED);
    world.give(peer(1), &report(3));
    for mid in [1, 7, 1] {
        world.log_in(peer(1), mid);
        assert_eq!(world.give(peer(1), &report(2)), answer, "it was answered");
        let acknowledged = world.give(peer(1), &report(3));
        assert_eq!(acknowledged, [[0x60, 0, 0, 3]], "it may have run");
        assert_eq!(world.asked.len(), 2);
    }
    // Also where the login has ended meanwhile.
    world.wait(peer(1), LIFETIME + Duration::from_secs(2));
    assert_eq!(world.code(peer(1), &report(2)), Code::UNAUTHORIZED);
    world.log_in(peer(1), 9);
    assert_eq!(world.give(peer(1), &report(2)), answer);
    // A Message ID may be used again after 247 s.
    world.wait(peer(1), Duration::from_secs(248));
    world.log_in(peer(1), 10);
    assert_eq!((world.give(peer(1), &report(2)).len(), world.asked.len()), (0, 3));
    world.wait(peer(1), Duration::from_secs(600));
    world.wait(peer(1), Duration::from_secs(600));
    assert_eq!(world.gauges().stored_answer_bytes, 0);
}

#[test]
fn a_late_copy_of_a_login_does_not_end_the_one_that_came_from_elsewhere_since() {
    let mut world = World::new();
    let first = world.log_in(peer(1), 1);
    world.give(peer(1), &report(2));
    world.respond(peer(1), world.asked[0], Code::CHANGED);
    world.log_in(peer(2), 7);
    // The newer login is durable.
    world.command(peer(1), ShardCommand::Supersede { session: first });
    let wanted = world.wanted.len();
    assert_eq!(world.give(peer(1), &login(1)), [[0; 0]; 0]);
    assert_eq!((world.wanted.len(), world.count(Counter::LoginsRepeated)), (wanted, 1));
    // The device is there again.
    world.log_in(peer(1), 8);
    // One that had sent nothing else was perhaps not stored, and may come again at once.
    let third = world.log_in(peer(3), 1);
    world.command(peer(3), ShardCommand::Close { session: third });
    world.log_in(peer(3), 1);
}

#[test]
fn attack_142_what_logins_leave_is_bounded_by_their_number_and_by_half_of_the_memory() {
    let mut world = World::with(|config| config.sessions_max = 3);
    for number in 1..=100 {
        let session = world.log_in(peer(number), 1);
        world.command(peer(number), ShardCommand::Close { session });
    }
    let left = world.gauges().stored_answer_bytes;
    // An answer to a login takes 22 bytes.
    assert!((1..=3 * 22).contains(&left), "{left}");
    let mut world = World::with(|config| config.coap_budget_bytes = 4000);
    let standing = world.log_in(peer(0), 1);
    for number in 1..=200 {
        let session = world.log_in(peer(number), 1);
        world.command(peer(number), ShardCommand::Close { session });
    }
    assert!(world.gauges().stored_answer_bytes <= 2100, "{:?}", world.gauges());
    world.give(peer(0), &report(2));
    assert_eq!(world.asked.last().map(|ticket| ticket.session), Some(standing));
}

/// What logins leave, and logins that wait, are each looked through by one timer, however often it fires.
#[test]
fn the_timers_of_logins_do_not_become_more_as_time_passes() {
    let mut world = World::new();
    for number in 1..=200 {
        let session = world.log_in(peer(number), 1);
        world.command(peer(number), ShardCommand::Close { session });
        // Another one waits, and is never decided.
        world.give(peer(1000 + number), &login(1));
        for _ in 0..10 {
            world.wait(peer(number), Duration::from_secs(1));
        }
        // Those of sessions that have ended stay for minutes.
        let timers = world.gauges().timers;
        assert!(timers < 200, "{timers} after {number}");
    }
}

/// It may count its Message IDs from the same number at each start.
#[test]
fn a_device_that_restarts_and_sends_the_same_login_gets_no_answer_of_before() {
    let mut world = World::new();
    let first = world.log_in(peer(1), 1);
    world.give(peer(1), &report(2));
    let answer = world.respond(peer(1), world.asked[0], Code::CHANGED);
    assert_eq!(world.give(peer(1), &report(2)), answer, "a copy within the login");
    // Another report under the number of the first one.
    let second = world.log_in(peer(1), 1);
    assert_eq!((second == first, world.wanted.len()), (false, 2));
    let other = message(Kind::Confirmable, Code::POST, 2, &["topic"], "another");
    assert_eq!(world.give(peer(1), &other), [[0; 0]; 0], "it waits for an answer of its own");
    assert_eq!(world.asked.last().map(|ticket| ticket.session), Some(second));
}

#[test]
fn a_login_ends_with_its_silence_and_everything_heard_puts_that_off() {
    let mut world = World::new();
    let session = world.log_in(peer(1), 1);
    for _ in 0..5 {
        world.wait(peer(1), LIFETIME - Duration::from_secs(1));
        world.give(peer(1), &[0x40, 0, 0, 9]);
    }
    assert!(world.closed.is_empty());
    // What is no message puts nothing off.
    world.wait(peer(1), LIFETIME / 2);
    world.give(peer(1), b"garbage");
    assert!(world.wait(peer(1), LIFETIME / 2 + Duration::from_secs(2)).is_empty(), "nothing is said of it");
    assert_eq!(world.closed, [(session, CloseCause::Idle)]);
    assert_eq!(world.code(peer(1), &report(2)), Code::UNAUTHORIZED);
    assert_eq!(world.code(peer(1), &report(2)), Code::UNAUTHORIZED);
    assert_eq!(world.count(Counter::Unauthorized), 2);
    world.log_in(peer(1), 3);
}

#[test]
fn a_login_that_is_closed_is_over_without_a_word() {
    let mut world = World::new();
    let session = world.log_in(peer(1), 1);
    assert_eq!(world.command(peer(1), ShardCommand::Close { session }), [[0; 0]; 0]);
    assert_eq!(world.code(peer(1), &report(2)), Code::UNAUTHORIZED);
    world.log_in(peer(1), 3);
    assert_eq!(world.command(peer(1), ShardCommand::Drain), [[0; 0]; 0]);
    assert_eq!(world.give(peer(2), &login(1)), [[0; 0]; 0], "nobody is let in any more");
    assert_eq!(world.gauges().sessions, 0);
}

#[test]
fn logins_that_wait_are_limited_and_none_waits_for_ever() {
    let mut world = World::new();
    let standing = world.log_in(peer(0), 1);
    for number in 1..=1000 {
        assert_eq!(world.give(peer(number), &login(1)), [[0; 0]; 0]);
    }
    assert_eq!((world.gauges().handshakes, world.count(Counter::LoginsDeferred)), (8, 992));
    assert!(world.gauges().timers < 8, "one timer for all");
    world.wait(peer(1), LOGIN_LIFETIME + Duration::from_secs(1));
    assert_eq!((world.ended.len(), world.count(Counter::LoginsExpired)), (8, 8));
    world.give(peer(1), &login(1));
    assert_eq!(world.gauges().handshakes, 1, "there is room again");
    world.wait(peer(1), LOGIN_LIFETIME + Duration::from_secs(1));
    assert_eq!(world.gauges().handshakes, 0);
    // Whoever is logged in has noticed nothing.
    assert_eq!(world.closed, [(standing, CloseCause::Idle)]);
}

#[test]
fn at_the_limit_of_logins_a_new_one_is_told_so_and_none_that_stands_is_ended() {
    let mut world = World::with(|config| config.sessions_max = 3);
    for number in 1..=3 {
        world.log_in(peer(number), 1);
    }
    world.give(peer(4), &login(1));
    let answers = world.admit(peer(4));
    let answer = Message::parse(&answers[0]).expect("we wrote it");
    assert_eq!((answer.code, answers.len()), (Code::SERVICE_UNAVAILABLE, 1));
    assert!(answers[0].len() <= login(1).len());
    assert_eq!((world.ended.len(), world.closed.len(), world.count(Counter::LoginsFull)), (1, 0, 1));
    // One of the three may log in anew.
    world.log_in(peer(2), 2);
    assert_eq!((world.gauges().sessions, world.closed.len()), (3, 1));
}

#[test]
fn at_the_limit_of_requests_that_wait_a_login_is_told_so_and_the_one_of_its_path_stands() {
    let mut world = World::with(|config| config.requests_in_flight_max = 1);
    let session = world.log_in(peer(1), 1);
    world.give(peer(1), &report(2));
    world.give(peer(1), &login(3));
    let answers = world.admit(peer(1));
    assert_eq!(Message::parse(&answers[0]).expect("we wrote it").code, Code::SERVICE_UNAVAILABLE);
    assert_eq!((world.gauges().requests_in_flight, world.count(Counter::RequestsBusy)), (1, 1));
    let ticket = world.asked[0];
    assert_eq!((ticket.session, world.respond(peer(1), ticket, Code::CHANGED).len()), (session, 1));
    world.log_in(peer(1), 4);
}

#[test]
fn bytes_are_limited_as_in_a_session_by_dtls() {
    let limit = ByteLimit { per_second: 10, burst: 400 };
    let mut world = World::with(|config| config.device_bytes = Some(limit));
    world.log_in(peer(1), 1);
    let long = |mid| message(Kind::Confirmable, Code::POST, mid, &["topic"], &"x".repeat(150));
    for mid in 2..4 {
        assert_eq!(world.give(peer(1), &long(mid)), [[0; 0]; 0]);
    }
    assert_eq!(world.code(peer(1), &long(4)), Code::TOO_MANY_REQUESTS);
    assert_eq!(world.count(Counter::RequestsThrottled), 1);
}

#[test]
fn a_flood_of_forged_logins_and_garbage_costs_nobody_a_login() {
    let mut world = World::with(|config| config.sessions_max = 50);
    let sessions: Vec<SessionId> = (1..=50).map(|number| world.log_in(peer(number), 1)).collect();
    for round in 0..2000_u16 {
        let stranger = SocketAddr::from(([198, 51, (round >> 8) as u8, round as u8], 5683));
        world.give(stranger, &login(round));
        world.give(stranger, &report(round));
        world.give(stranger, &round.to_be_bytes());
    }
    assert!(world.closed.is_empty());
    assert!(world.gauges().handshakes <= 8 && world.gauges().sessions == 50);
    for (number, session) in (1..).zip(sessions) {
        world.give(peer(number), &report(2));
        assert_eq!(world.asked.last().map(|ticket| ticket.session), Some(session));
    }
}
