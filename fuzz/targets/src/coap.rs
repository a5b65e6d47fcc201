//! One CoAP message: as bytes, as a request, and at an endpoint.

use std::cell::RefCell;

use narrowgate_coap::{
    Budget, Code, Context, Endpoint, Event, Kind, Message, MessageWriter, OptionNumber, Params, Response,
    UriPath,
};

use crate::script::start;

thread_local! {
    static ROOM: RefCell<[Vec<u8>; 3]> = RefCell::default();
    static PARAMS: Params = Params::default();
}

/// What is read is what is written and read again; a request matches its options; the endpoint answers with
/// at most one message, of the kind that the RFC asks for; a duplicate is answered by the same bytes and
/// asked once; at the end everything is back in the budget.
pub fn coap(data: &[u8]) {
    ROOM.with_borrow_mut(|[first, second, out]| {
        let parsed = Message::parse(data);
        if let Ok(message) = &parsed {
            round_trip(data, message, first, second);
        }
        PARAMS.with(|params| at_an_endpoint(data, parsed.as_ref().ok(), params, first, second, out));
    });
}

fn round_trip(data: &[u8], message: &Message<'_>, first: &mut Vec<u8>, second: &mut Vec<u8>) {
    write(message, first);
    assert!(first.len() <= data.len(), "the shortest form is not longer");
    let again = Message::parse(first).expect("what was written is read");
    assert_eq!(
        (again.kind, again.code, again.mid, again.token, again.payload),
        (message.kind, message.code, message.mid, message.token, message.payload)
    );
    assert!(again.options().eq(message.options()), "the options are the same");
    assert!(message.options().is_sorted_by_key(|(number, _)| number), "options ascend");
    write(&again, second);
    assert_eq!(first, second, "the second time nothing changes");
}

fn write(message: &Message<'_>, out: &mut Vec<u8>) {
    out.clear();
    let mut writer = MessageWriter::new(out, message.kind, message.code, message.mid, message.token);
    for (number, value) in message.options() {
        writer.option(number, value);
    }
    writer.payload(message.payload);
}

fn at_an_endpoint(
    data: &[u8],
    parsed: Option<&Message<'_>>,
    params: &Params,
    first: &mut Vec<u8>,
    second: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    let mut endpoint = Endpoint::new(0x7000);
    let mut budget = Budget::new(1 << 20);
    endpoint.handle_message(&mut Context { now: start(), params, budget: &mut budget }, data);
    first.clear();
    let mut asked = None;
    while let Some(event) = endpoint.poll_event() {
        if let Event::Request { exchange, request } = event {
            let message = parsed.expect("only a message asks");
            assert!(asked.is_none() && message.code.is_known_method());
            assert_eq!(
                (exchange.mid(), request.confirmable),
                (message.mid, message.kind == Kind::Confirmable)
            );
            check_path(message, &request.path);
            assert!(request.payload.is_empty() || request.payload == message.payload);
            let answer = Response::new(Code::CHANGED).payload(&b"done"[..]);
            let mut context = Context { now: start(), params, budget: &mut budget };
            endpoint.respond(&mut context, exchange, answer).expect("the exchange is open");
            asked = Some(exchange);
        }
    }
    let answered = endpoint.poll_transmit(first);
    assert!(!endpoint.poll_transmit(out), "one message has one answer");
    if answered {
        check_answer(data, parsed, first);
    }
    // The same again.
    endpoint.handle_message(&mut Context { now: start(), params, budget: &mut budget }, data);
    while let Some(event) = endpoint.poll_event() {
        assert!(!matches!(event, Event::Request { .. }), "a duplicate is not asked again");
        assert!(!matches!(event, Event::MessageIdReused { .. }), "a duplicate is the same request");
    }
    if endpoint.poll_transmit(second) && asked.is_some() {
        assert_eq!(first, second, "a duplicate gets the same answer");
    }
    // The first block of a body is kept with its path, of which any byte may take three.
    assert!(budget.bytes_used() <= 3 * data.len() + first.len() + 1024, "little is kept for one message");
    endpoint.release(&mut budget);
    assert_eq!(budget.bytes_used(), 0, "everything is given back");
}

fn check_answer(data: &[u8], parsed: Option<&Message<'_>>, answer: &[u8]) {
    let reply = Message::parse(answer).expect("our own messages are well formed");
    match parsed {
        // RFC 7252 4.2: a malformed confirmable message is rejected, every other one ignored.
        None => {
            assert_eq!(data[0] >> 4, 0b0100, "only a confirmable message of version 1 is rejected");
            assert_eq!((reply.kind, answer.len()), (Kind::Reset, 4));
        }
        Some(message) => match message.kind {
            Kind::Confirmable => assert!(matches!(reply.kind, Kind::Acknowledgement | Kind::Reset)),
            Kind::NonConfirmable => assert_eq!(reply.kind, Kind::NonConfirmable),
            Kind::Acknowledgement | Kind::Reset => panic!("{:?} is never answered", message.kind),
        },
    }
    if reply.kind != Kind::NonConfirmable {
        assert_eq!(answer[2..4], data[2..4], "the answer has the Message ID");
    }
    // RFC 7252 5.4.1: 4.02 has a diagnostic; nothing else has a payload.
    let is_explained = reply.code == Code::BAD_OPTION;
    assert!(!is_explained || !reply.payload.is_empty(), "a 4.02 says why");
    let diagnostic_bytes_max = if is_explained { 1 + 64 } else { 0 };
    assert!(answer.len() <= 4 + 8 + 16 + diagnostic_bytes_max, "an answer without an application is short");
}

/// Checks the path against another way of reading it: piece by piece from the options.
fn check_path(message: &Message<'_>, path: &UriPath) {
    let sent =
        message.options().filter(|(number, _)| *number == OptionNumber::URI_PATH).map(|(_, value)| value);
    let mut pieces = 0;
    let mut segments = path.segments();
    for value in sent {
        pieces += 1;
        assert_eq!(segments.next().expect("a segment for each option").as_bytes(), value);
    }
    assert!(segments.next().is_none());
    assert!(path.as_str().is_ascii());
    assert!(pieces == 0 || path.as_str().bytes().filter(|byte| *byte == b'/').count() == pieces);
}
