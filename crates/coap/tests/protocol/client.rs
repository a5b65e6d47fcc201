//! The client's side of an exchange.

use std::time::Duration;

use narrowgate_coap::{Code, Discard, Event, FailureCause, Request, RequestError, Response, format};

use crate::peer::Peer;

const SILENCE: [&str; 0] = [];

/// A peer that has sent one confirmable GET with Message ID 0a00 and token 00000000.
fn asking() -> (Peer, narrowgate_coap::RequestId) {
    let mut peer = Peer::new();
    let id = peer.ask(Request::get("/a")).expect("the queue is empty");
    assert_eq!(peer.sent(), ["44010a0000000000b161"]);
    (peer, id)
}

#[test]
fn a_piggybacked_response_ends_a_request() {
    let (mut peer, id) = asking();
    assert_eq!(peer.reply_to("64 45 0a00 00000000 ff 3432"), SILENCE);
    let response = Response::new(Code::CONTENT).payload("42");
    assert_eq!(peer.events(), [Event::Response { id, response, separate: false }]);
    assert!(peer.endpoint.is_idle());
    peer.receive("64 45 0a00 00000000 ff 3432");
    assert_eq!(peer.discards(), [Discard::AcknowledgementUnknown]);
}

#[test]
fn a_separate_response_is_acknowledged_as_often_as_it_comes_and_told_once() {
    let (mut peer, id) = asking();
    peer.receive("60 00 0a00");
    assert_eq!(peer.reply_to("44 45 beef 00000000"), ["6000beef"]);
    assert_eq!(
        peer.events(),
        [Event::Response { id, response: Response::new(Code::CONTENT), separate: true }]
    );
    assert_eq!(peer.reply_to("44 45 beef 00000000"), ["6000beef"]);
    assert_eq!(peer.discards(), [Discard::Duplicate]);
}

#[test]
fn a_separate_response_that_overtakes_its_acknowledgement_counts_as_one() {
    let (mut peer, id) = asking();
    assert_eq!(peer.reply_to("44 45 beef 00000000"), ["6000beef"]);
    assert_eq!(
        peer.events(),
        [Event::Response { id, response: Response::new(Code::CONTENT), separate: true }]
    );
    peer.receive("60 00 0a00");
    assert_eq!(peer.discards(), [Discard::AcknowledgementUnknown]);
    peer.advance(Duration::from_secs(10));
    assert_eq!(peer.sent(), SILENCE);
}

#[test]
fn a_request_that_nobody_acknowledges_is_sent_five_times_and_has_then_failed() {
    let (mut peer, id) = asking();
    for _ in 0..4 {
        peer.advance_to_timeout();
        assert_eq!(peer.sent(), ["44010a0000000000b161"]);
    }
    peer.advance_to_timeout();
    assert_eq!(peer.events(), [Event::RequestFailed { id, cause: FailureCause::TimedOut }]);
    assert!(peer.endpoint.is_idle());
    assert_eq!(peer.budget.bytes_used(), 0);
}

#[test]
fn a_request_that_was_acknowledged_and_never_answered_fails_after_the_exchange_lifetime() {
    let (mut peer, id) = asking();
    peer.receive("60 00 0a00");
    assert_eq!(peer.advance_to_timeout(), Duration::from_secs(247));
    assert_eq!(peer.events(), [Event::RequestFailed { id, cause: FailureCause::TimedOut }]);
    assert_eq!(peer.budget.bytes_used(), 0);
}

#[test]
fn a_response_with_another_token_is_not_taken() {
    let (mut peer, _) = asking();
    peer.receive("64 45 0a00 00000001");
    assert_eq!(peer.discards(), [Discard::AcknowledgementUnknown]);
    assert_eq!(peer.reply_to("44 45 beef 00000001"), ["7000beef"]);
    assert_eq!(peer.discards(), [Discard::ResponseUnexpected]);
}

#[test]
fn a_response_with_an_unknown_critical_option_fails_the_request() {
    let (mut peer, id) = asking();
    let failed = [
        Event::RequestFailed { id, cause: FailureCause::ResponseUnreadable },
        Event::Discarded(Discard::ResponseUnreadable),
    ];
    assert_eq!(
        peer.reply_to("44 45 beef 00000000 90"),
        ["7000beef"],
        "a separate one is rejected by a Reset"
    );
    assert_eq!(peer.events(), failed);

    let (mut peer, _) = asking();
    assert_eq!(peer.reply_to("64 45 0a00 00000000 90"), SILENCE);
    assert_eq!(peer.events(), failed);
}

#[test]
fn a_non_confirmable_request_is_sent_once_and_waits_for_non_lifetime() {
    let mut peer = Peer::new();
    let id = peer.ask(Request::post("/a", format::JSON, "{}").non_confirmable()).expect("the queue is empty");
    assert_eq!(peer.sent(), ["54020a0000000000b1611132ff7b7d"]);
    assert_eq!(peer.advance_to_timeout(), Duration::from_secs(145));
    assert_eq!(peer.events(), [Event::RequestFailed { id, cause: FailureCause::TimedOut }]);

    let id = peer.ask(Request::get("/a").non_confirmable()).expect("the queue is empty");
    peer.sent();
    peer.receive("54 45 0001 00000001");
    assert_eq!(
        peer.events(),
        [Event::Response { id, response: Response::new(Code::CONTENT), separate: true }]
    );
}

#[test]
fn what_cannot_be_sent_is_said_at_once_and_leaves_nothing() {
    let mut peer = Peer::new();
    let long = format!("/{}", "a".repeat(256));
    assert_eq!(peer.ask(Request::get(&long)), Err(RequestError::TargetTooLong));
    assert_eq!(peer.ask(Request::new(Code::CHANGED, "/a")), Err(RequestError::NotARequest));
    assert_eq!(peer.ask(Request::post("/a", 50, vec![0; 1200])), Err(RequestError::TooLarge));
    for _ in 0..16 {
        peer.ask(Request::get("/a")).expect("the queue has room");
    }
    assert_eq!(peer.ask(Request::get("/a")), Err(RequestError::QueueFull));
    peer.endpoint.release(&mut peer.budget);
    assert_eq!(peer.budget.bytes_used(), 0);
    peer.budget = narrowgate_coap::Budget::new(10);
    assert_eq!(peer.ask(Request::get("/a")), Err(RequestError::BudgetSpent));
    assert!(peer.endpoint.is_idle());
}
