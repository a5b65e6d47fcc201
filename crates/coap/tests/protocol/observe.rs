//! The server's side of Observe (RFC 7641). The numbers are those of the product's catalogue of attacks,
//! group I.

use std::time::Duration;

use narrowgate_coap::{
    Code, Discard, Event, ExchangeId, Message, NotifyError, ObservationEnd, OptionNumber, Params, Request,
    Response, Token,
};
use narrowgate_testkit::SeededRandom;

use crate::peer::{FIRST_MID, Peer};

const SILENCE: [&str; 0] = [];

/// A confirmable GET of /c with a token of one byte and this value of Observe, in hexadecimal.
fn get(mid: u16, token: u8, observe: &str) -> String {
    let length = observe.len() / 2;
    // After Observe, number 6, the delta to Uri-Path is 5.
    format!("41 01 {mid:04x} {token:02x} 6{length} {observe} 51 63")
}

/// What can be observed, as the application answers it.
fn content(text: &str) -> Response {
    Response::new(Code::CONTENT).option(OptionNumber::OBSERVE, []).payload(text)
}

/// Token, number of Observe and payload of a message.
fn seen(hexadecimal: &str) -> (Vec<u8>, Option<u32>, String) {
    let bytes = hex::decode(hexadecimal).expect("hexadecimal");
    let message = Message::parse(&bytes).expect("a message");
    let observe = message.options().find(|(number, _)| *number == OptionNumber::OBSERVE);
    let number = observe.map(|(_, value)| value.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)));
    let text = String::from_utf8_lossy(message.payload).into_owned();
    (message.token.as_bytes().to_vec(), number, text)
}

fn mid_of(hexadecimal: &str) -> u16 {
    let bytes = hex::decode(hexadecimal).expect("hexadecimal");
    Message::parse(&bytes).expect("a message").mid
}

impl Peer {
    /// Takes a GET and answers it by 2.05 with the mark of what can be observed.
    fn observe(&mut self, text: &str) -> (Vec<u8>, Option<u32>, String) {
        self.receive(text);
        let request = self.events().into_iter().find_map(|event| match event {
            Event::Request { exchange, .. } => Some(exchange),
            _ => None,
        });
        self.respond(request.expect("a request"), content("now")).expect("the exchange is open");
        let [answer] = &self.sent()[..] else { panic!("one answer") };
        seen(answer)
    }

    fn notify(&mut self, text: &str) -> Result<usize, NotifyError> {
        self.with_context(|endpoint, context| endpoint.notify(context, content(text)))
    }

    fn acknowledge(&mut self, message: &str) {
        let text = format!("60 00 {:04x}", mid_of(message));
        self.receive(&text);
    }

    fn ended(&mut self) -> Vec<Event> {
        self.events().into_iter().filter(|it| matches!(it, Event::ObservationEnded { .. })).collect()
    }
}

/// A peer that has registered with token 07, and the answer had number 1.
fn observed() -> Peer {
    let mut peer = Peer::new();
    assert_eq!(peer.observe(&get(1, 7, "")), (vec![7], Some(1), "now".into()));
    peer
}

#[test]
fn who_observes_is_notified_confirmably_under_its_token_with_rising_numbers() {
    let mut peer = observed();
    for number in 2..=4 {
        assert_eq!(peer.notify("more"), Ok(1));
        let [notification] = &peer.sent()[..] else { panic!("one notification") };
        assert!(notification.starts_with("4145"), "a confirmable 2.05: {notification}");
        assert_eq!(seen(notification), (vec![7], Some(number), "more".into()));
        peer.acknowledge(notification);
        assert_eq!(peer.events(), []);
    }
    assert_eq!(peer.endpoint.poll_timeout().map(|at| at - peer.now), Some(Duration::from_secs(247)));
}

#[test]
fn the_same_token_renews_a_registration_and_its_numbers_go_on() {
    let mut peer = observed();
    assert_eq!(peer.observe(&get(2, 7, "00")), (vec![7], Some(2), "now".into()));
    assert_eq!(peer.notify("more"), Ok(1));
}

#[test]
fn a_get_with_observe_1_ends_the_registration_of_its_token() {
    let mut peer = observed();
    peer.observe(&get(2, 8, ""));
    assert_eq!(peer.notify("more"), Ok(2));
    assert_eq!(peer.sent().len(), 1, "the second one waits for the first");
    peer.receive(&get(3, 7, "01"));
    let ended = Event::ObservationEnded { end: ObservationEnd::Cancelled, left: 1 };
    assert_eq!(peer.ended(), [ended]);
    assert_eq!(peer.notify("more"), Ok(1));
    // One that is not known ends nothing.
    peer.receive(&get(4, 9, "01"));
    assert_eq!(peer.ended(), []);
}

#[test]
fn attack_151_observe_where_nothing_is_observed_or_with_another_value_is_a_plain_get() {
    let mut peer = Peer::new();
    for (mid, observe) in [(1, "01"), (2, "02"), (3, "ffffff")] {
        assert_eq!(peer.observe(&get(mid, 7, observe)), (vec![7], None, "now".into()), "{observe}");
    }
    // A POST, and a plain GET.
    for request in ["41 02 0004 07 60 51 63", "41 01 0005 07 b1 63"] {
        assert_eq!(peer.observe(request), (vec![7], None, "now".into()));
    }
    // The application does not offer it, or refuses.
    for (mid, response) in
        [(6, Response::new(Code::CONTENT)), (7, Response { code: Code::NOT_FOUND, ..content("") })]
    {
        peer.receive(&get(mid, 7, ""));
        let (exchange, _) = peer.request_received();
        peer.respond(exchange, response).expect("the exchange is open");
        assert_eq!(seen(&peer.sent()[0]).1, None);
    }
    assert_eq!(peer.notify("more"), Ok(0));
    assert_eq!(peer.sent(), SILENCE);
}

#[test]
fn attack_147_a_flood_of_registrations_is_answered_plainly_and_keeps_nothing() {
    let mut peer = Peer::new();
    for number in 0..10_000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        peer.receive(&format!("42 01 {:04x} {high:02x}{low:02x} 60 51 63", number as u16));
        let (exchange, _) = peer.request_received();
        peer.respond(exchange, content("now")).expect("the exchange is open");
        let observe = seen(&peer.sent()[0]).1;
        assert_eq!(observe.is_some(), number < 4, "{number}");
        peer.advance(Duration::from_secs(1));
    }
    assert_eq!(peer.notify("more"), Ok(4));
    // Who is registered may renew that.
    peer.receive("42 01 3000 0002 60 51 63");
    let (exchange, _) = peer.request_received();
    peer.respond(exchange, content("now")).expect("the exchange is open");
    assert!(peer.sent().iter().any(|message| seen(message).1.is_some() && message.starts_with("6245")));
    // The tokens that the peer has forgotten go with its Resets, one after the other.
    for left in (0..4).rev() {
        let mid = FIRST_MID + 3 - left as u16;
        peer.receive(&format!("70 00 {mid:04x}"));
        assert_eq!(peer.ended(), [Event::ObservationEnded { end: ObservationEnd::Reset, left }]);
    }
    assert_eq!(peer.notify("more"), Ok(0));
}

#[test]
fn attack_148_a_dead_observer_is_removed_when_nothing_acknowledges_its_notification() {
    let mut peer = observed();
    peer.observe(&get(2, 8, ""));
    peer.events();
    assert_eq!(peer.notify("more"), Ok(2));
    let first = peer.sent();
    let mut pauses = Vec::new();
    for _ in 0..4 {
        pauses.push(peer.advance_to_timeout());
        assert_eq!(peer.sent(), first, "the same message, byte for byte");
        assert_eq!(peer.ended(), []);
    }
    pauses.push(peer.advance_to_timeout());
    assert!(pauses[0] >= Duration::from_secs(2) && pauses[0] < Duration::from_secs(3), "{pauses:?}");
    assert!(pauses.windows(2).all(|pair| pair[1] == pair[0] * 2), "{pauses:?}");
    assert_eq!(peer.ended(), [Event::ObservationEnded { end: ObservationEnd::TimedOut, left: 0 }]);
    assert_eq!((peer.sent(), peer.notify("more")), (vec![], Ok(0)), "the other one is dead as well");
    peer.advance(Duration::from_secs(247));
    assert_eq!((peer.endpoint.is_idle(), peer.budget.bytes_used()), (true, 0));
}

#[test]
fn attack_132_a_reset_ends_a_notification_and_its_registration() {
    let mut peer = observed();
    peer.notify("more").expect("it fits");
    let [notification] = &peer.sent()[..] else { panic!("one notification") };
    let reset = format!("70 00 {:04x}", mid_of(notification));
    peer.receive(&reset);
    assert_eq!(peer.events(), [Event::ObservationEnded { end: ObservationEnd::Reset, left: 0 }]);
    peer.receive(&reset);
    assert_eq!(peer.discards(), [Discard::ResetUnknown]);
    peer.advance(Duration::from_secs(10));
    assert_eq!((peer.sent(), peer.notify("more")), (vec![], Ok(0)));
}

#[test]
fn attack_132_of_several_notifications_the_newest_follows_the_one_that_is_on_its_way() {
    let mut peer = observed();
    for text in ["a", "b", "c"] {
        assert_eq!(peer.notify(text), Ok(1));
    }
    let [first] = &peer.sent()[..] else { panic!("NSTART is 1") };
    assert_eq!(seen(first), (vec![7], Some(2), "a".into()));
    peer.advance_to_timeout();
    assert_eq!(peer.sent(), std::slice::from_ref(first), "what is on its way is sent again");
    peer.acknowledge(first);
    let [second] = &peer.sent()[..] else { panic!("the newest alone") };
    assert_eq!(seen(second), (vec![7], Some(4), "c".into()));
    peer.acknowledge(second);
    peer.advance(Duration::from_secs(247));
    assert_eq!((peer.sent().len(), peer.budget.bytes_used()), (0, 0));
}

#[test]
fn attack_134_an_acknowledgement_of_another_message_leaves_a_notification_on_its_way() {
    let mut peer = observed();
    peer.notify("more").expect("it fits");
    let first = peer.sent();
    peer.receive("60 00 beef");
    assert_eq!(peer.discards(), [Discard::AcknowledgementUnknown]);
    peer.advance_to_timeout();
    assert_eq!(peer.sent(), first);
}

#[test]
fn a_notification_that_does_not_fit_or_is_an_error_is_not_sent() {
    let mut peer = Peer::with(Params { message_bytes_max: 60, ..Params::default() });
    peer.observe(&get(1, 7, ""));
    peer.events();
    let long = peer.notify(&"x".repeat(60));
    assert_eq!(long, Err(NotifyError::TooLarge { bytes: 68, bytes_max: 60 }));
    let error = Response::new(Code::NOT_FOUND);
    let refused = peer.with_context(|endpoint, context| endpoint.notify(context, error));
    assert_eq!(refused, Err(NotifyError::NotASuccess));
    assert_eq!((peer.sent(), peer.notify("short")), (vec![], Ok(1)));
}

#[test]
fn notifications_take_no_place_of_requests_of_the_peer() {
    let mut peer = Peer::with(Params { exchanges_open_max: 2, ..Params::default() });
    for (mid, token) in [(1, 7), (2, 8), (3, 9)] {
        peer.observe(&get(mid, token, ""));
    }
    assert_eq!(peer.notify("more"), Ok(3));
    peer.sent();
    assert_eq!(peer.observe(&get(4, 7, "")).1, Some(7));
    peer.endpoint.release(&mut peer.budget);
    assert_eq!(peer.budget.bytes_used(), 0);
}

/// Loss and reordering both ways: what the observer takes for the newest is the newest, or it is told that
/// nothing is observed any more.
#[test]
fn attack_150_over_a_bad_network_the_observer_ends_with_the_newest_or_the_server_knows_that_it_does_not() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..300 {
        let (mut random, mut peer) = (SeededRandom::new(seed), observed());
        let (mut newest_seen, mut waiting) = ((1, String::new()), Vec::new());
        let mut is_over = false;
        for step in 0..40 {
            if step < 5 {
                peer.notify(&step.to_string()).expect("it fits");
            }
            waiting.extend(peer.sent().into_iter().filter(|_| !random.chance(250)));
            if !waiting.is_empty() && random.chance(700) {
                let message = waiting.remove(random.below(waiting.len() as u64) as usize);
                let (token, number, text) = seen(&message);
                assert_eq!(token, [7]);
                let number = number.expect("a notification has a number");
                if number > newest_seen.0 {
                    newest_seen = (number, text);
                }
                if !random.chance(250) {
                    peer.acknowledge(&message);
                }
            }
            if peer.endpoint.poll_timeout().is_some_and(|at| at < peer.now + Duration::from_secs(60)) {
                peer.advance_to_timeout();
            }
            is_over |= !peer.ended().is_empty();
        }
        if is_over {
            lost += 1;
            assert_eq!(peer.notify("x"), Ok(0), "seed {seed}");
        } else if peer.endpoint.poll_timeout().is_none_or(|at| at > peer.now + Duration::from_secs(60)) {
            kept += 1;
            assert_eq!(newest_seen.1, "4", "seed {seed}: everything is acknowledged");
        }
    }
    assert!(kept > 100 && lost > 10, "{kept} {lost}");
}

#[test]
fn a_copy_of_a_registration_gets_the_same_answer_and_registers_once() {
    let mut peer = Peer::new();
    peer.receive(&get(1, 7, ""));
    let (exchange, request) = peer.request_received();
    assert_eq!(request.observe, Some(0));
    peer.respond(exchange, content("now")).expect("the exchange is open");
    let answer = peer.sent();
    assert_eq!(peer.reply_to(&get(1, 7, "")), answer);
    assert_eq!(peer.notify("more"), Ok(1));
    assert_eq!(Token::new(&[7]).map(|token| token.as_bytes().to_vec()), Some(vec![7]));
}

#[test]
fn a_registration_whose_answer_takes_long_has_it_in_a_message_of_its_own() {
    let mut peer = Peer::new();
    peer.receive(&get(1, 7, ""));
    let (exchange, _) = peer.request_received();
    peer.advance(Duration::from_secs(2));
    assert_eq!(peer.sent(), ["60000001"]);
    peer.respond(exchange, content("now")).expect("the exchange is open");
    let [answer] = &peer.sent()[..] else { panic!("one answer") };
    assert!(answer.starts_with("4145"));
    assert_eq!(seen(answer), (vec![7], Some(1), "now".into()));
    // NSTART: a notification waits for the answer's acknowledgement.
    assert_eq!((peer.notify("more"), peer.sent()), (Ok(1), vec![]));
    peer.acknowledge(answer);
    assert_eq!(peer.sent().iter().map(|message| seen(message).1).collect::<Vec<_>>(), [Some(2)]);
}

#[test]
fn a_registration_that_ends_makes_way_for_what_waits_behind_its_notification() {
    let mut peer = observed();
    peer.observe(&get(2, 8, ""));
    peer.events();
    assert_eq!(peer.notify("more"), Ok(2));
    let [first] = &peer.sent()[..] else { panic!("NSTART is 1") };
    assert_eq!(seen(first).0, [7]);
    peer.receive(&get(3, 7, "01"));
    let [second] = &peer.sent()[..] else { panic!("the place of the first is free") };
    assert_eq!(seen(second), (vec![8], Some(4), "more".into()));
    // It has its own timer.
    let pause = peer.advance_to_timeout();
    assert_eq!(peer.sent(), ["60000003"], "the GET is acknowledged");
    let pause = pause + peer.advance_to_timeout();
    assert!(pause >= Duration::from_secs(2) && pause < Duration::from_secs(3), "{pause:?}");
    assert_eq!(peer.sent(), std::slice::from_ref(second));
}

#[test]
fn what_waits_behind_the_notifications_of_a_dead_observer_goes_out_when_they_end() {
    let mut peer = observed();
    peer.observe(&get(2, 8, ""));
    peer.events();
    assert_eq!(peer.notify("more"), Ok(2));
    peer.ask(Request::get("/b")).expect("there is room");
    peer.sent();
    while peer.ended().is_empty() {
        peer.sent();
        peer.advance_to_timeout();
    }
    let [request] = &peer.sent()[..] else { panic!("the request alone") };
    assert!(request.starts_with("4401"), "{request}");
}

/// A registration under token 07 whose notification is on its way, and a GET with Observe under token 08
/// that is not answered yet; with its exchange.
fn renewing() -> (Peer, String, ExchangeId) {
    let mut peer = observed();
    assert_eq!(peer.notify("more"), Ok(1));
    let [notification] = <[String; 1]>::try_from(peer.sent()).expect("one notification");
    peer.receive(&get(2, 8, ""));
    let (exchange, _) = peer.request_received();
    (peer, format!("70 00 {:04x}", mid_of(&notification)), exchange)
}

#[test]
fn the_end_of_the_last_registration_is_not_told_while_another_one_is_under_way() {
    let (mut peer, reset, exchange) = renewing();
    peer.receive(&reset);
    assert_eq!(peer.ended(), []);
    peer.respond(exchange, content("now")).expect("the exchange is open");
    assert_eq!(peer.ended(), [Event::ObservationEnded { end: ObservationEnd::Reset, left: 1 }]);
    assert_eq!(peer.notify("more"), Ok(1));
    // The end of this one is told at once.
    peer.sent();
    peer.receive(&get(3, 8, "01"));
    assert_eq!(peer.ended(), [Event::ObservationEnded { end: ObservationEnd::Cancelled, left: 0 }]);
}

#[test]
fn the_end_of_the_last_registration_is_told_when_what_was_under_way_does_not_register() {
    let reset_ended = [Event::ObservationEnded { end: ObservationEnd::Reset, left: 0 }];
    // It is answered plainly.
    let (mut peer, reset, exchange) = renewing();
    peer.receive(&reset);
    peer.respond(exchange, Response::new(Code::CONTENT)).expect("the exchange is open");
    assert_eq!((peer.ended(), peer.notify("more")), (reset_ended.to_vec(), Ok(0)));
    // The last of two is.
    let (mut peer, reset, exchange) = renewing();
    peer.receive(&reset);
    peer.receive(&get(3, 9, ""));
    let (other, _) = peer.request_received();
    peer.respond(exchange, Response::new(Code::NOT_FOUND)).expect("the exchange is open");
    assert_eq!(peer.ended(), []);
    peer.respond(other, Response::new(Code::NOT_FOUND)).expect("the exchange is open");
    assert_eq!(peer.ended(), reset_ended);
    // It is never answered.
    let (mut peer, reset, _) = renewing();
    peer.receive(&reset);
    peer.advance(Duration::from_secs(246));
    assert_eq!(peer.ended(), []);
    peer.advance(Duration::from_secs(1));
    assert_eq!((peer.ended(), peer.notify("more")), (reset_ended.to_vec(), Ok(0)));
}

#[test]
fn a_dead_observer_is_told_once_the_answer_to_its_last_get_is_out() {
    let (mut peer, _, exchange) = renewing();
    peer.advance(Duration::from_secs(2));
    for _ in 0..5 {
        peer.advance_to_timeout();
        assert_eq!(peer.ended(), []);
    }
    peer.respond(exchange, Response::new(Code::CONTENT)).expect("the exchange is open");
    assert_eq!(peer.ended(), [Event::ObservationEnded { end: ObservationEnd::TimedOut, left: 0 }]);
}
