//! A response that is marked as secret leaves nothing behind in memory that was given back.

use std::time::Duration;

use narrowgate_coap::{Code, Params, Response};
use narrowgate_testkit::memory::Needle;

use crate::peer::Peer;

/// A GET with Message ID 7.
const GET: &[u8] = &[0x40, 1, 0, 7];

/// A response of this many bytes, of which the last ones are the secret.
fn response(needle: &Needle, bytes: usize, is_marked: bool) -> Response {
    let text = zeroize::Zeroizing::new(needle.text());
    let mut payload = Vec::with_capacity(bytes);
    payload.resize(bytes - text.len(), b'.');
    payload.extend_from_slice(text.as_bytes());
    let response = Response::new(Code::CONTENT);
    if is_marked { response.secret_payload(payload) } else { response.payload(payload) }
}

/// Polls until nothing is left, and counts.
fn polled(peer: &mut Peer) -> usize {
    let mut message = Vec::new();
    let mut count = 0;
    while peer.endpoint.poll_transmit(&mut message) {
        count += 1;
    }
    assert!(message.is_empty() || count > 0);
    count
}

/// Other requests, so that the list of stored answers grows.
fn ask_more(peer: &mut Peer, mids: std::ops::Range<u8>) {
    for mid in mids {
        peer.receive_bytes(&[0x40, 1, 1, mid]);
        let (exchange, _) = peer.request_received();
        let long = Response::new(Code::CONTENT).payload(vec![mid; 90]);
        peer.respond(exchange, long).expect("the exchange is open");
        polled(peer);
    }
}

#[test]
fn a_stored_answer_with_a_secret_is_there_for_duplicates_and_wiped_when_its_time_is_over() {
    for is_marked in [true, false] {
        let (mut peer, needle) = (Peer::new(), Needle::new(7, 400));
        ask_more(&mut peer, 0..3);
        peer.receive_bytes(GET);
        let (exchange, _) = peer.request_received();
        peer.respond(exchange, response(&needle, 600, is_marked)).expect("the exchange is open");
        assert_eq!(polled(&mut peer), 1);
        ask_more(&mut peer, 3..40);
        peer.receive_bytes(GET);
        assert_eq!((polled(&mut peer), peer.discards().len()), (1, 1), "a duplicate is answered again");
        if is_marked {
            assert_eq!(needle.copies(), 1, "what is stored");
        }
        peer.advance(Duration::from_secs(100));
        ask_more(&mut peer, 40..60);
        peer.advance(Duration::from_secs(160));
        ask_more(&mut peer, 60..61);
        assert_eq!(needle.copies() > 0, !is_marked, "its answer has expired, and others have not");
        drop(peer);
    }
}

#[test]
fn a_session_that_ends_wipes_the_secret_that_it_stored() {
    let (mut peer, needle) = (Peer::new(), Needle::new(8, 400));
    peer.receive_bytes(GET);
    let (exchange, _) = peer.request_received();
    peer.respond(exchange, response(&needle, 600, true)).expect("the exchange is open");
    polled(&mut peer);
    peer.with_context(|endpoint, context| endpoint.release(context.budget));
    assert_eq!(needle.copies(), 0);
}

#[test]
fn a_secret_in_a_response_of_its_own_is_wiped_when_it_is_acknowledged() {
    let (mut peer, needle) = (Peer::new(), Needle::new(9, 400));
    peer.receive_bytes(GET);
    let (exchange, _) = peer.request_received();
    peer.advance_to_timeout();
    assert_eq!(polled(&mut peer), 1, "an empty acknowledgement");
    peer.respond(exchange, response(&needle, 600, true)).expect("the exchange is open");
    assert_eq!(polled(&mut peer), 1);
    peer.advance_to_timeout();
    assert_eq!((polled(&mut peer), needle.copies()), (1, 1), "it is sent again, so it is kept");
    peer.receive("60000a00");
    assert_eq!((polled(&mut peer), needle.copies()), (0, 0));
}

#[test]
fn a_secret_in_blocks_is_wiped_with_the_transfer() {
    let params = Params { block_bytes: Some(512), ..Params::default() };
    let (mut peer, needle) = (Peer::with(params), Needle::new(10, 400));
    peer.receive_bytes(GET);
    let (exchange, _) = peer.request_received();
    peer.respond(exchange, response(&needle, 1000, true)).expect("the exchange is open");
    assert_eq!(polled(&mut peer), 1);
    // Block2 1, 512 bytes.
    peer.receive("40010008 d10a15");
    assert_eq!(polled(&mut peer), 1, "the last block");
    assert!(needle.copies() > 0, "it is kept for duplicates");
    peer.advance(Duration::from_secs(300));
    assert_eq!((polled(&mut peer), needle.copies()), (0, 0));
}
