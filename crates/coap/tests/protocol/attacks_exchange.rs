//! Duplicates, limits and retransmission. The numbers are those of the product's catalogue of attacks, group
//! G.

use std::time::Duration;

use narrowgate_coap::{
    Budget, Code, Context, Discard, Endpoint, Event, FailureCause, OptionNumber, Origin, Params, Request,
    RespondError, Response, Token,
};

use crate::peer::{Peer, start};

/// A confirmable POST to /a with token 07 and this Message ID.
fn post(mid: u16) -> String {
    format!("41 02 {mid:04x} 07 b1 61 ff 78")
}

#[test]
fn attack_124_duplicate_confirmable_request() {
    let mut peer = Peer::new();
    let answer = peer.serve(&post(1), "stored");
    assert_eq!(answer, ["6144000107ff73746f726564"]);
    for _ in 0..9 {
        peer.advance(Duration::from_secs(27));
        assert_eq!(peer.reply_to(&post(1)), answer);
        assert_eq!(peer.discards(), [Discard::Duplicate]);
    }
    // 4 s later its time is over, and the Message ID may name another request.
    peer.advance(Duration::from_secs(4));
    peer.receive(&post(1));
    peer.request_received();
}

#[test]
fn attack_125_duplicate_while_the_application_works() {
    let mut peer = Peer::new();
    peer.receive(&post(1));
    let (exchange, _) = peer.request_received();
    assert_eq!(peer.reply_to(&post(1)), [""; 0]);
    assert_eq!(peer.discards(), [Discard::DuplicateWorking]);

    peer.advance(Duration::from_secs(2));
    assert_eq!(peer.sent(), ["60000001"], "an empty acknowledgement after two seconds");
    assert_eq!(peer.reply_to(&post(1)), ["60000001"], "and for each duplicate from then on");
    assert_eq!(peer.discards(), [Discard::DuplicateWorking]);

    peer.respond(exchange, Response::new(Code::CHANGED)).expect("the exchange is open");
    assert_eq!(peer.sent(), ["41440a0007"], "the response is a confirmable message of its own");
    assert_eq!(peer.reply_to(&post(1)), ["60000001"]);
    assert_eq!(peer.discards(), [Discard::Duplicate]);
    assert_eq!(peer.respond(exchange, Response::new(Code::CHANGED)), Err(RespondError::ExchangeUnknown));
}

#[test]
fn attack_126_duplicates_belong_to_the_session_and_not_to_an_address() {
    // An endpoint is never told an address: the second copy may have come from anywhere.
    let mut peer = Peer::new();
    let answer = peer.serve(&post(1), "once");
    assert_eq!(peer.reply_to(&post(1)), answer);
}

#[test]
fn attack_128_message_ids_of_two_devices_are_independent() {
    let (mut one, mut other) = (Peer::new(), Peer::new());
    assert_eq!(one.serve(&post(1), "one"), ["6144000107ff6f6e65"]);
    assert_eq!(other.serve(&post(1), "two"), ["6144000107ff74776f"]);
}

#[test]
fn attack_129_duplicate_non_confirmable_request() {
    let mut peer = Peer::new();
    let answer = peer.serve("51 02 0001 07 b1 61", "once");
    assert_eq!(answer, ["51440a0007ff6f6e6365"]);
    peer.advance(Duration::from_secs(144));
    assert_eq!(peer.reply_to("51 02 0001 07 b1 61"), answer);
    assert_eq!(peer.discards(), [Discard::Duplicate]);
    peer.advance(Duration::from_secs(1));
    peer.receive("51 02 0001 07 b1 61");
    peer.request_received();
}

#[test]
fn attack_130_a_session_that_uses_up_its_answers_is_told_to_wait() {
    let mut peer = Peer::with(Params { stored_answers_max: 256, ..Params::default() });
    let mut first_answers = Vec::new();
    let (mut served, mut refused) = (0, 0);
    for mid in 0..=u16::MAX {
        peer.receive(&post(mid));
        match &peer.events()[..] {
            [Event::Request { exchange, .. }] => {
                served += 1;
                let payload = mid.to_string();
                peer.respond(*exchange, Response::new(Code::CHANGED).payload(payload)).expect("it is open");
                first_answers.push(peer.sent());
            }
            [Event::Discarded(Discard::AnswersFull)] => {
                refused += 1;
                // 5.03, Max-Age 30.
                assert_eq!(peer.sent(), [format!("61a3{mid:04x}07d1011e")]);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((served, refused), (256, 65536 - 256));
    for (mid, answer) in first_answers.iter().enumerate() {
        assert_eq!(peer.reply_to(&post(mid as u16)), *answer, "no answer was evicted");
    }
    peer.events();
    assert!(peer.budget.bytes_used() < 256 * 32);

    // Nothing is answered for a non-confirmable request beyond the limit.
    assert_eq!(peer.reply_to("51 02 ffff 07 b1 61"), [""; 0]);
    assert_eq!(peer.discards(), [Discard::AnswersFull]);

    // What was refused and not run may run later.
    peer.advance(Duration::from_secs(247));
    assert_eq!(peer.serve(&post(u16::MAX), "ok"), ["6144ffff07ff6f6b"]);
}

#[test]
fn attack_130_the_bytes_of_stored_answers_are_limited_too() {
    let mut peer = Peer::with(Params { stored_bytes_max: 4096, ..Params::default() });
    let payload = "x".repeat(1000);
    let mut served = 0;
    for mid in 0..100 {
        peer.receive(&post(mid));
        if let [Event::Request { exchange, .. }] = peer.events()[..] {
            served += 1;
            peer.respond(exchange, Response::new(Code::CONTENT).payload(&*payload)).expect("it is open");
        }
        peer.sent();
    }
    assert_eq!(served, 4);
    assert!(peer.budget.bytes_used() < 4096 + 1152);
}

#[test]
fn attack_130_the_budget_bounds_all_sessions_together() {
    let params = Params::default();
    let mut budget = Budget::new(10_000);
    let mut sessions: Vec<_> = (0..100).map(|_| Endpoint::new(0)).collect();
    let now = start();
    let (mut served, mut refused) = (0, 0);
    for endpoint in &mut sessions {
        for mid in 0_u8..5 {
            let mut context = Context { now, params: &params, budget: &mut budget };
            endpoint.handle_message(&mut context, &[0x40, 2, 0, mid]);
            while let Some(event) = endpoint.poll_event() {
                match event {
                    Event::Request { exchange, .. } => {
                        served += 1;
                        let response = Response::new(Code::CHANGED).payload("0123456789");
                        endpoint.respond(&mut context, exchange, response).expect("it is open");
                    }
                    Event::Discarded(reason) => {
                        refused += 1;
                        // The share of those who hold something ends before all is spent.
                        assert!(matches!(reason, Discard::BudgetSpent | Discard::ShareSpent), "{reason:?}");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert!(served > 300 && refused > 50, "{served} {refused}");
    assert!(budget.bytes_used() <= budget.bytes_max());
    for endpoint in &mut sessions {
        endpoint.release(&mut budget);
        assert!(endpoint.is_idle());
    }
    assert_eq!(budget.bytes_used(), 0);
}

#[test]
fn attack_130_requests_that_the_application_holds_are_limited() {
    let mut peer = Peer::new();
    for mid in 0..16 {
        peer.receive(&post(mid));
        peer.request_received();
    }
    assert_eq!(peer.reply_to(&post(16)), ["61a3001007d1011e"]);
    assert_eq!(peer.discards(), [Discard::ExchangesFull]);
}

#[test]
fn attack_131_an_answer_restored_after_a_restart_is_replayed() {
    let mut before = Peer::new();
    before.receive(&post(1));
    let (exchange, _) = before.request_received();
    let origin = before.endpoint.origin(exchange).expect("it is open");
    assert_eq!(origin, Origin { mid: 1, token: Token::new(&[7]).expect("one byte"), confirmable: true });
    let response = Response::new(Code::CHANGED).payload("committed");
    before.respond(exchange, response.clone()).expect("it is open");
    let answer = before.sent();

    let mut after = Peer::new();
    let age = Duration::from_secs(100);
    let restored =
        after.with_context(|endpoint, context| endpoint.restore_answer(context, origin, age, &response));
    restored.expect("it fits");
    assert_eq!(after.reply_to(&post(1)), answer);
    assert_eq!(after.discards(), [Discard::Duplicate]);
    after.advance(Duration::from_secs(147));
    after.receive(&post(1));
    after.request_received();
}

#[test]
fn attack_132_a_separate_response_is_sent_five_times_and_then_given_up() {
    let mut peer = Peer::new();
    peer.receive(&post(1));
    let (exchange, _) = peer.request_received();
    peer.advance(Duration::from_secs(2));
    assert_eq!(peer.sent(), ["60000001"]);
    peer.respond(exchange, Response::new(Code::CHANGED)).expect("it is open");

    let mut pauses = Vec::new();
    loop {
        let sent = peer.sent();
        pauses.push(peer.advance_to_timeout());
        if sent.is_empty() {
            break;
        }
        assert_eq!(sent, ["41440a0007"]);
        if let [Event::ResponseFailed { exchange: failed, cause: FailureCause::TimedOut }] = peer.events()[..]
        {
            assert_eq!(failed, exchange);
            break;
        }
    }
    assert_eq!(pauses.len(), 5);
    assert!(pauses[0] >= Duration::from_secs(2) && pauses[0] < Duration::from_secs(3));
    assert!(pauses.windows(2).all(|pair| pair[1] == 2 * pair[0]));
}

#[test]
fn attack_132_a_reset_ends_the_retransmission() {
    let mut peer = Peer::new();
    let id = peer.ask(Request::get("/a")).expect("the queue is empty");
    assert_eq!(peer.sent(), ["44010a0000000000b161"]);
    peer.receive("70 00 0a00");
    assert_eq!(peer.events(), [Event::RequestFailed { id, cause: FailureCause::Reset }]);
    assert!(peer.endpoint.is_idle());
    assert_eq!(peer.budget.bytes_used(), 0);
}

#[test]
fn attack_132_one_message_is_on_its_way_at_a_time() {
    let mut peer = Peer::new();
    let first = peer.ask(Request::get("/a")).expect("the queue is empty");
    let second = peer.ask(Request::get("/b")).expect("the queue is short");
    assert_eq!(peer.sent(), ["44010a0000000000b161"]);
    peer.receive("64 45 0a00 00000000");
    let response = Response::new(Code::CONTENT);
    assert_eq!(peer.events(), [Event::Response { id: first, response, separate: false }]);
    assert_eq!(peer.sent(), ["44010a0100000001b162"]);
    peer.receive("70 00 0a01");
    assert_eq!(peer.events(), [Event::RequestFailed { id: second, cause: FailureCause::Reset }]);
}

#[test]
fn attack_134_acknowledgement_of_an_unknown_message() {
    let mut peer = Peer::new();
    assert_eq!(peer.reply_to("60 00 1234"), [""; 0]);
    assert_eq!(peer.reply_to("70 00 1234"), [""; 0]);
    assert_eq!(peer.discards(), [Discard::AcknowledgementUnknown, Discard::ResetUnknown]);
    assert!(peer.endpoint.is_idle());
}

/// What an input led to, by name.
fn told(peer: &mut Peer) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Discarded(reason) => reason.name(),
        Event::MessageIdReused { mid: 1, within } if within.as_secs() == 247 => "told",
        other => panic!("{other:?}"),
    };
    peer.events().iter().map(name).collect()
}

#[test]
fn attack_215_another_request_under_a_message_id_of_an_earlier_one_is_told_once() {
    let mut peer = Peer::new();
    let answer = peer.serve("41 02 0001 07 b1 61 ff 31", "one");
    assert_eq!(peer.reply_to("41 02 0001 07 b1 61 ff 31"), answer);
    assert_eq!(told(&mut peer), ["duplicate"], "a retransmission is what the RFC asks for");
    // Another payload, token, path, method.
    for other in ["41 02 0001 07 b1 61 ff 32", "41 02 0001 08 b1 61 ff 31", "41 02 0001 07 b1 62 ff 31"] {
        assert_eq!(peer.reply_to(other), answer, "it is answered as a duplicate all the same: {other}");
    }
    assert_eq!(told(&mut peer), ["told", "duplicate_differs", "duplicate_differs", "duplicate_differs"]);
    assert_eq!(peer.reply_to("41 03 0001 07 b1 61 ff 31"), answer);
    assert_eq!(told(&mut peer), ["duplicate_differs"], "once");
    assert_eq!(peer.reply_to("41 02 0001 07 b1 61 ff 31"), answer);
    assert_eq!(told(&mut peer), ["duplicate"]);
}

#[test]
fn attack_215_a_message_id_that_is_reused_for_long_is_told_once_in_an_exchange_lifetime() {
    let mut peer = Peer::new();
    let start = peer.now;
    let mut when = Vec::new();
    for second in (0..1000).step_by(10) {
        peer.now = start + Duration::from_secs(second);
        peer.receive(&format!("41 02 0001 07 b1 61 ff {second:04x}"));
        for event in peer.events() {
            match event {
                Event::Request { exchange, .. } => {
                    peer.respond(exchange, Response::new(Code::CHANGED)).expect("it is open");
                }
                Event::MessageIdReused { mid: 1, .. } => when.push(second),
                _ => {}
            }
        }
    }
    assert_eq!(when, [10, 260, 510, 760]);
}

#[test]
fn attack_215_another_request_while_the_first_is_worked_on_is_told_too() {
    let mut peer = Peer::new();
    peer.receive("41 02 0001 07 b1 61 ff 31");
    peer.request_received();
    peer.receive("51 02 0001 07 b1 61 ff 31");
    assert_eq!(told(&mut peer), ["duplicate_working"], "the type may differ");
    peer.receive("41 02 0001 07 b1 61 ff 32");
    assert_eq!(told(&mut peer), ["told", "duplicate_differs"]);
}

#[test]
fn attack_215_nothing_is_told_where_the_first_request_is_not_known() {
    let mut peer = Peer::new();
    let origin = Origin { mid: 1, token: Token::default(), confirmable: true };
    let (response, age) = (Response::new(Code::CHANGED), Duration::ZERO);
    let restored =
        peer.with_context(|endpoint, context| endpoint.restore_answer(context, origin, age, &response));
    restored.expect("it fits");
    peer.receive(&post(1));
    assert_eq!(told(&mut peer), ["duplicate"]);
    // A response of the peer that comes twice is not looked at.
    peer.ask(Request::get("/a")).expect("the queue is empty");
    peer.receive("44 45 beef 00000000 ff 31");
    peer.events();
    peer.receive("44 45 beef 00000000 ff 32");
    assert_eq!(told(&mut peer), ["duplicate"]);
}

#[test]
fn an_exchange_that_is_never_answered_ends_with_its_lifetime() {
    let mut peer = Peer::new();
    peer.receive(&post(1));
    let (exchange, _) = peer.request_received();
    assert_eq!(peer.advance_to_timeout(), Duration::from_secs(2));
    assert_eq!(peer.advance_to_timeout(), Duration::from_secs(245));
    assert_eq!(peer.discards(), [Discard::ExchangeUnanswered]);
    assert_eq!(peer.respond(exchange, Response::new(Code::CHANGED)), Err(RespondError::ExchangeUnknown));
    assert_eq!(peer.budget.bytes_used(), 0);
}

#[test]
fn an_answer_that_is_too_large_or_none_leaves_the_exchange_open() {
    let mut peer = Peer::new();
    peer.receive(&post(1));
    let (exchange, _) = peer.request_received();
    // An error is never sent in blocks, nor is what has too many options.
    let large = Response::new(Code::BAD_REQUEST).payload(vec![0; 1200]);
    assert_eq!(peer.respond(exchange, large), Err(RespondError::TooLarge { bytes: 1206, bytes_max: 1152 }));
    let large = Response::new(Code::CONTENT).option(OptionNumber(2102), [0; 1140]).payload("a body");
    assert_eq!(peer.respond(exchange, large), Err(RespondError::TooLarge { bytes: 1157, bytes_max: 1152 }));
    assert_eq!(peer.respond(exchange, Response::new(Code::GET)), Err(RespondError::NotAResponse));
    peer.respond(exchange, Response::new(Code::INTERNAL_SERVER_ERROR)).expect("it is open");
    assert_eq!(peer.sent(), ["61a0000107"]);
}

#[test]
fn memory_is_given_back_when_the_last_answer_expires() {
    let mut peer = Peer::new();
    peer.serve(&post(1), "one");
    peer.advance(Duration::from_secs(100));
    peer.serve(&post(2), "two");
    assert!(!peer.endpoint.is_idle());
    assert_eq!(peer.advance_to_timeout(), Duration::from_secs(247), "one timer for both");
    assert!(peer.endpoint.is_idle());
    assert_eq!((peer.budget.bytes_used(), peer.endpoint.poll_timeout()), (0, None));
}

#[test]
fn a_request_kept_until_the_application_answers_is_charged_with_its_payload() {
    let mut peer = Peer::new();
    peer.receive(&format!("40 02 0001 ff {}", "2a".repeat(900)));
    assert!(peer.budget.bytes_used() > 900);
    let (exchange, _) = peer.request_received();
    peer.respond(exchange, Response::new(Code::CHANGED)).expect("it is open");
    assert_eq!(peer.budget.bytes_used(), 9 + 4);
}
