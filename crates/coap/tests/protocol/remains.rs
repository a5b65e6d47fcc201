//! Plain CoAP: what one endpoint leaves to the next one of its peer, and what is forgotten.

use std::time::Duration;

use narrowgate_coap::{Code, Discard, Endpoint, Response};

use crate::{
    blocks::{Part, body, changed},
    peer::{FIRST_MID, Peer},
};

impl Peer {
    fn plain() -> Self {
        Self { endpoint: Endpoint::plain(FIRST_MID), ..Self::new() }
    }

    /// The peer begins anew.
    fn begin_anew(&mut self) {
        let remains = self.with_context(Endpoint::leave);
        self.endpoint = Endpoint::plain(FIRST_MID);
        if let Some(remains) = remains {
            self.with_context(|endpoint, context| endpoint.inherit(context, remains));
        }
    }
}

#[test]
fn what_is_left_is_no_more_however_often_the_peer_begins_anew() {
    let mut peer = Peer::plain();
    let mut most = 0;
    for mid in 0..2000_u16 {
        peer.complete(&Part::post(mid).payload(b"21.5"), Response::new(Code::CHANGED));
        peer.begin_anew();
        most = most.max(peer.budget.bytes_used());
        // No timer fires: the peer is never silent for long.
        peer.now += Duration::from_secs(60);
    }
    assert!(most < 5 * 30, "{most}");
    peer.assert_forgets_all();
}

#[test]
fn what_is_left_counts_against_the_limits_as_its_own_answers_do() {
    let mut peer = Peer::plain();
    peer.params.stored_answers_max = 10;
    for mid in 0..10 {
        peer.complete(&Part::post(mid), Response::new(Code::CHANGED));
        peer.begin_anew();
    }
    assert_eq!(peer.answer_to(&Part::post(10)).code, Code::SERVICE_UNAVAILABLE);
    peer.advance(Duration::from_secs(250));
    peer.complete(&Part::post(11), Response::new(Code::CHANGED));
    peer.assert_forgets_all();
}

/// Some of these are alike in the 16 bits by which copies are told within a session.
#[test]
fn another_request_with_the_same_message_id_is_never_taken_for_a_copy() {
    let mut peer = Peer::plain();
    let of = |value: u32| Part::post(2).path("topic").payload(format!(r#"{{"temp":{value}}}"#).as_bytes());
    for value in 0..400 {
        peer.complete(&of(value), Response::new(Code::CHANGED));
        peer.begin_anew();
    }
    for value in [0, 1, 157, 274, 399] {
        assert_eq!(peer.answer_to(&of(value)).code, Code::CHANGED, "{value}");
    }
}

#[test]
fn the_parts_of_a_body_end_with_the_endpoint_and_so_do_the_answers_to_them() {
    let mut peer = Peer::plain();
    let body = body(80);
    let part = |mid, number| Part::of(&body, mid, number, 32);
    assert_eq!(peer.answer_to(&part(1, 0)).code, Code::CONTINUE);
    assert_eq!(peer.answer_to(&part(9, 2)).code, Code::REQUEST_ENTITY_INCOMPLETE);
    peer.begin_anew();
    // It counts from the same number.
    assert_eq!(peer.answer_to(&part(1, 0)).code, Code::CONTINUE);
    assert_eq!(peer.answer_to(&part(2, 1)).code, Code::CONTINUE);
    assert_eq!(peer.complete(&part(9, 2), changed(b"done")).1, body);
    assert_eq!(peer.answer_to(&part(1, 0)).code, Code::CONTINUE, "a copy in the same endpoint");
}

#[test]
fn a_body_in_blocks_that_came_before_does_not_run_again_and_one_that_ends_alike_does() {
    let mut peer = Peer::plain();
    let (one, mut other) = (body(80), body(80));
    other[0] = b'x';
    let send = |peer: &mut Peer, body: &[u8]| {
        for number in 0..2 {
            let part = Part::of(body, number as u16, number, 32);
            assert_eq!(peer.answer_to(&part).code, Code::CONTINUE);
        }
        Part::of(body, 2, 2, 32)
    };
    let last = send(&mut peer, &one);
    assert_eq!(peer.complete(&last, changed(b"done")).1, one);
    peer.begin_anew();
    let last = send(&mut peer, &other);
    assert_eq!(peer.complete(&last, changed(b"done")).1, other, "another body with the same last block");
    for _ in 0..2 {
        peer.begin_anew();
        let last = send(&mut peer, &one);
        for _ in 0..2 {
            let answer = peer.answer_to(&last);
            assert_eq!(
                (answer.code, &answer.payload[..]),
                (Code::CHANGED, &b"done"[..]),
                "a late copy of all"
            );
        }
    }
    peer.assert_forgets_all();
}

#[test]
fn nothing_is_left_by_dtls_and_nothing_to_one_that_has_answered() {
    let mut peer = Peer::new();
    peer.complete(&Part::post(1), changed(b"done"));
    assert!(peer.with_context(Endpoint::leave).is_none());
    assert_eq!(peer.budget.bytes_used(), 0);
    let mut peer = Peer::plain();
    peer.complete(&Part::post(1), changed(b"done"));
    let remains = peer.with_context(Endpoint::leave).expect("an answer");
    peer.complete(&Part::post(2), changed(b"done"));
    let before = peer.budget.bytes_used();
    peer.with_context(|endpoint, context| endpoint.inherit(context, remains));
    assert!(peer.budget.bytes_used() < before);
    peer.complete(&Part::post(1), changed(b"done"));
    peer.assert_forgets_all();
}

#[test]
fn what_was_overtaken_before_its_5_03_does_not_run_again() {
    let mut peer = Peer::new();
    let (first, second) = ("41 02 0001 07 b1 61", "41 02 0002 08 b1 61");
    peer.receive(first);
    let (exchange, _) = peer.request_received();
    peer.serve(second, "newer");
    peer.respond(exchange, Response::new(Code::SERVICE_UNAVAILABLE).max_age(5)).expect("it is open");
    assert_eq!(peer.sent(), ["61a3000107d10105"]);
    assert_eq!(peer.reply_to(first), ["61a3000107d1011e"]);
    assert_eq!(peer.discards(), [Discard::Duplicate]);
}

#[test]
fn what_is_refused_twice_is_overtaken_by_what_came_after_it_at_first() {
    let mut peer = Peer::new();
    let (first, second) = ("41 02 0001 07 b1 61", "41 02 0002 08 b1 61");
    peer.params.exchanges_open_max = 0;
    for request in [first, second] {
        peer.receive(request);
        peer.sent();
        assert_eq!(peer.discards(), [Discard::ExchangesFull]);
    }
    peer.params.exchanges_open_max = 1;
    peer.receive(first);
    let (exchange, _) = peer.request_received();
    peer.respond(exchange, Response::new(Code::TOO_MANY_REQUESTS).max_age(5)).expect("it is open");
    peer.sent();
    peer.serve(second, "newer");
    assert_eq!(peer.reply_to(first), ["61a3000107d1011e"]);
    assert_eq!(peer.discards(), [Discard::Duplicate]);
}

/// It is charged, has its timer, and is over.
#[test]
fn what_was_refused_is_charged_until_it_is_forgotten() {
    let mut peer = Peer::new();
    peer.receive("41 02 0001 07 b1 61");
    let (exchange, _) = peer.request_received();
    peer.respond(exchange, Response::new(Code::SERVICE_UNAVAILABLE)).expect("it is open");
    peer.sent();
    assert_eq!((peer.budget.bytes_used(), peer.endpoint.is_idle()), (12, true));
    assert_eq!(peer.advance_to_timeout(), Duration::from_secs(249));
    assert_eq!((peer.budget.bytes_used(), peer.endpoint.poll_timeout()), (0, None));
    // A request with a fault is reported once, and that is forgotten too.
    peer.receive("41 02 0002 07 d1 f8 00");
    peer.events();
    peer.sent();
    assert_eq!(peer.advance_to_timeout(), Duration::from_secs(249));
    assert_eq!(peer.endpoint.poll_timeout(), None);
}
