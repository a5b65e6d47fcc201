//! Bodies that are too long to be held: each block is a request of its own, which the application answers
//! with what it reads of the body then (RFC 7959, section 2.4).

use std::time::Duration;

use narrowgate_coap::{Block, Code, ExchangeId, Kind, OptionNumber, Params, Request, RespondError, Response};

use crate::{
    blocks::{Part, Sent, body},
    peer::Peer,
};

const MEGABYTE: usize = 1_000_000;
/// Its length is no multiple of a block's.
const TAG: [u8; 8] = *b"\x01hash-of";

/// What an application answers that reads this body anew for each block.
fn answer(body: &[u8], request: &Request) -> Response {
    let block = request.block2.unwrap_or(Block::LARGEST);
    let Some(rest) = body.get(block.offset()..).filter(|rest| !rest.is_empty()) else {
        return Response::new(Code::BAD_REQUEST);
    };
    let payload = &rest[..rest.len().min(block.bytes())];
    let content = Response::new(Code::CONTENT).option(OptionNumber::ETAG, TAG);
    content.content_format(42).payload(payload).block(block, body.len() as u32)
}

fn get(mid: u16) -> Part {
    Part::new(Code::GET, mid).path("firmware")
}

impl Peer {
    /// Takes a GET of the body, answers it, and returns what was sent.
    #[track_caller]
    fn fetch(&mut self, part: &Part, body: &[u8]) -> Sent {
        let asked = self.ask_for(part);
        let response = answer(body, &asked.1);
        self.send_part(asked, response)
    }

    #[track_caller]
    fn ask_for(&mut self, part: &Part) -> (ExchangeId, Request) {
        assert_eq!(self.take(part), [], "the application answers");
        self.request_received()
    }

    #[track_caller]
    fn send_part(&mut self, (exchange, _): (ExchangeId, Request), response: Response) -> Sent {
        self.respond(exchange, response).expect("the exchange is open");
        let [text] = <[String; 1]>::try_from(self.sent()).expect("one answer");
        Sent::read(hex::decode(text).expect("hexadecimal"))
    }
}

#[test]
fn a_megabyte_goes_block_by_block_and_nothing_of_it_is_kept() {
    for bytes in [1024, 256] {
        let (mut peer, whole, mut got) = (Peer::new(), body(MEGABYTE), Vec::new());
        for number in 0_u32.. {
            let sent = peer.fetch(&get(number as u16).block2(number, bytes), &whole);
            let more = (number as usize + 1) * bytes < MEGABYTE;
            assert_eq!((sent.kind, sent.code), (Kind::Acknowledgement, Code::CONTENT));
            assert_eq!(sent.block2(), Some((number, more, bytes)));
            assert_eq!(sent.option(OptionNumber::ETAG), Some(u64::from_be_bytes(TAG)));
            let size2 = (number == 0).then_some(MEGABYTE as u64);
            assert_eq!(sent.option(OptionNumber::SIZE2), size2, "with the first block, unasked");
            got.extend_from_slice(&sent.payload);
            assert!(peer.endpoint.is_idle() && peer.budget.bytes_used() == 0, "nothing is kept");
            if !more {
                break;
            }
        }
        assert!(got == whole, "in blocks of {bytes}");
    }
}

/// A copy of a request is answered by the same block, although no answer is kept: it is read again.
#[test]
fn any_block_may_be_asked_for_at_any_time_and_again() {
    let (mut peer, whole) = (Peer::new(), body(10_000));
    for (mid, number) in [(1, 7), (2, 0), (3, 9), (3, 9), (4, 3)] {
        let sent = peer.fetch(&get(mid).block2(number, 1024), &whole);
        let from = number as usize * 1024;
        assert_eq!(sent.payload, whole[from..whole.len().min(from + 1024)]);
        assert_eq!(sent.block2(), Some((number, number < 9, 1024)));
        assert_eq!(sent.option(OptionNumber::SIZE2).is_some(), number == 0);
        peer.advance(Duration::from_secs(300));
    }
    // Another endpoint, as after a restart of the server or a new handshake.
    let asks = get(9).block2(5, 1024).uint(OptionNumber::SIZE2, 0);
    let sent = Peer::new().fetch(&asks, &whole);
    assert_eq!((sent.block2(), sent.option(OptionNumber::SIZE2)), (Some((5, true, 1024)), Some(10_000)));
}

#[test]
fn the_size_of_blocks_is_the_smallest_that_the_peer_the_radio_and_the_way_want() {
    let whole = body(5000);
    let radio = Params { block_bytes: Some(512), ..Params::default() };
    // Head, options and 1024 bytes do not fit 1024; nor do they fit 512 with a payload of 512.
    let narrow = |bytes| Params { message_bytes_max: bytes, ..Params::default() };
    for (params, asked, sent) in [
        (Params::default(), None, (0, 1024)),
        (Params::default(), Some((0, 64)), (0, 64)),
        (radio.clone(), None, (0, 512)),
        (radio, Some((0, 1024)), (0, 1024)),
        (narrow(1024), None, (0, 512)),
        (narrow(512), Some((2, 1024)), (8, 256)),
        (narrow(60), Some((1, 1024)), (64, 16)),
    ] {
        let mut peer = Peer::with(params);
        let part = asked.map_or_else(|| get(1), |(number, bytes)| get(1).block2(number, bytes));
        let answered = peer.fetch(&part, &whole);
        let (number, bytes) = sent;
        assert_eq!(answered.block2(), Some((number, true, bytes)), "{asked:?}");
        let from = number as usize * bytes;
        assert_eq!(answered.payload, whole[from..from + bytes]);
        assert!(answered.bytes.len() <= peer.params.message_bytes_max);
    }
    let mut tiny = Peer::with(narrow(30));
    let (exchange, request) = tiny.ask_for(&get(1));
    let error = tiny.respond(exchange, answer(&whole, &request)).expect_err("no block fits");
    assert!(matches!(error, RespondError::TooLarge { bytes_max: 30, .. }), "{error:?}");
}

/// The peer takes up a smaller size where it stands: the same place has another number.
#[test]
fn a_smaller_size_may_be_taken_up_in_the_middle() {
    let (mut peer, whole, mut got) = (Peer::new(), body(3000), Vec::new());
    got.extend(peer.fetch(&get(1).block2(0, 1024), &whole).payload);
    for number in 4_u32..12 {
        got.extend(peer.fetch(&get(number as u16).block2(number, 256), &whole).payload);
    }
    assert!(got == whole);
}

#[test]
fn what_the_application_answers_beside_blocks_is_sent_as_ever() {
    let (mut peer, whole) = (Peer::new(), body(3000));
    let beyond = peer.fetch(&get(1).block2(3, 1024), &whole);
    assert_eq!((beyond.code, beyond.block2(), beyond.payload.len()), (Code::BAD_REQUEST, None, 0));
    let asked = peer.ask_for(&get(2).option(OptionNumber::ETAG, &TAG));
    let valid = Response::new(Code::VALID).option(OptionNumber::ETAG, TAG);
    let sent = peer.send_part(asked, valid);
    assert_eq!((sent.code, sent.block2()), (Code::VALID, None));
    peer.assert_forgets_all();
}

/// An answer that takes long comes in a message of its own, and is sent again until it is acknowledged.
#[test]
fn a_block_that_is_read_slowly_comes_separately() {
    let (mut peer, whole) = (Peer::new(), body(3000));
    let asked = peer.ask_for(&get(1).block2(1, 1024));
    peer.advance(Duration::from_secs(2));
    assert_eq!(peer.sent(), ["60000001"], "an empty acknowledgement");
    let response = answer(&whole, &asked.1);
    let sent = peer.send_part(asked, response);
    assert_eq!((sent.kind, sent.block2()), (Kind::Confirmable, Some((1, true, 1024))));
    assert_eq!(sent.payload, whole[1024..2048]);
}

#[test]
fn a_block_that_is_not_wanted_is_not_sent() {
    let (mut peer, whole) = (Peer::new(), body(3000));
    // No-Response 2: no success.
    let (exchange, request) = peer.ask_for(&get(1).uint(OptionNumber::NO_RESPONSE, 2));
    peer.respond(exchange, answer(&whole, &request)).expect("the exchange is open");
    assert_eq!(peer.sent(), ["60000001"]);
}
