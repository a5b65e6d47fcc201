//! The message flows of RFC 7252, appendix A, byte for byte.

use narrowgate_coap::{Code, Event, Kind, Message, Request, Response};

use crate::peer::Peer;

const VECTORS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/rfc7252.txt"));

/// The message with this name.
fn vector(name: &str) -> &'static str {
    let mut lines = VECTORS.lines().filter(|line| !line.starts_with('#'));
    let line = lines.find(|line| line.split_whitespace().next() == Some(name));
    line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_else(|| panic!("no vector {name}"))
}

fn temperature() -> Response {
    Response::new(Code::CONTENT).payload("22.3 C")
}

/// Receives a request vector, answers it, and returns what was sent.
fn answer(peer: &mut Peer, request: &str) -> Vec<String> {
    peer.receive(vector(request));
    let (exchange, request) = peer.request_received();
    assert_eq!((request.method, request.path_text()), (Code::GET, "/temperature"));
    peer.respond(exchange, temperature()).expect("it is open");
    peer.sent()
}

/// A peer whose first own message has the Message ID of the vector.
fn peer_with_mid_of(name: &str) -> Peer {
    let mut peer = Peer::new();
    let bytes = hex::decode(vector(name)).expect("vectors are hexadecimal");
    peer.endpoint = narrowgate_coap::Endpoint::new(Message::parse(&bytes).expect("well formed").mid);
    peer
}

#[test]
fn every_vector_is_a_message_and_every_line_is_named_once() {
    let lines: Vec<_> = VECTORS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(lines.len(), 18);
    for line in lines {
        let name = line.split_whitespace().next().expect("a line has a name");
        let bytes = hex::decode(vector(name)).expect("vectors are hexadecimal");
        assert!(line.contains(&hex::encode(&bytes)), "{name} occurs twice");
        Message::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn figures_16_and_17_piggybacked_response() {
    for figure in ["16", "17"] {
        let sent = answer(&mut Peer::new(), &format!("figure-{figure}-request"));
        assert_eq!(sent, [vector(&format!("figure-{figure}-response"))]);
    }
    let bytes = hex::decode(vector("figure-16-response")).expect("vectors are hexadecimal");
    let message = Message::parse(&bytes).expect("well formed");
    assert_eq!((message.kind, message.code, message.mid), (Kind::Acknowledgement, Code::CONTENT, 0x7d34));
    assert_eq!((message.token.as_bytes(), message.payload), (&[][..], &b"22.3 C"[..]));
}

#[test]
fn figure_18_a_retransmitted_request_is_the_same_message() {
    // Our client chooses its own tokens, so it is the server that is held against the figure here.
    assert_eq!(answer(&mut Peer::new(), "figure-18-request"), [vector("figure-18-response")]);
    let mut client = peer_with_mid_of("figure-18-request");
    client.ask(Request::get("/temperature")).expect("the queue is empty");
    let first = client.sent();
    client.advance_to_timeout();
    assert_eq!(client.sent(), first);
}

#[test]
fn figure_19_the_answer_is_retransmitted() {
    let mut peer = Peer::new();
    assert_eq!(answer(&mut peer, "figure-19-request"), [vector("figure-19-response")]);
    assert_eq!(peer.reply_to(vector("figure-19-request")), [vector("figure-19-response")]);
}

#[test]
fn figure_20_separate_response() {
    let mut peer = peer_with_mid_of("figure-20-response");
    peer.receive(vector("figure-20-request"));
    let (exchange, _) = peer.request_received();
    peer.advance_to_timeout();
    assert_eq!(peer.sent(), [vector("figure-20-acknowledgement")]);
    peer.respond(exchange, temperature()).expect("it is open");
    assert_eq!(peer.sent(), [vector("figure-20-response")]);
    assert_eq!(peer.reply_to(vector("figure-20-response-acknowledgement")), [""; 0]);
    assert_eq!(peer.events(), []);
}

#[test]
fn figure_21_an_unexpected_response_is_rejected() {
    let mut client = Peer::new();
    assert_eq!(client.reply_to(vector("figure-21-acknowledgement")), [""; 0]);
    assert_eq!(client.reply_to(vector("figure-21-response")), [vector("figure-21-reset")]);

    let mut server = peer_with_mid_of("figure-21-response");
    server.receive(vector("figure-21-request"));
    let (exchange, _) = server.request_received();
    server.advance_to_timeout();
    server.respond(exchange, temperature()).expect("it is open");
    assert_eq!(server.sent(), [vector("figure-21-acknowledgement"), vector("figure-21-response")]);
    server.receive(vector("figure-21-reset"));
    assert!(matches!(server.events()[..], [Event::ResponseFailed { .. }]));
}

#[test]
fn figure_22_non_confirmable_request_and_response() {
    let mut peer = peer_with_mid_of("figure-22-response");
    assert_eq!(answer(&mut peer, "figure-22-request"), [vector("figure-22-response")]);
}
