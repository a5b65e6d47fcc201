//! Bodies and answers in blocks, as a device means them (RFC 7959), and requests that want no answer (RFC
//! 7967).

use std::time::Duration;

use narrowgate_coap::{
    Block, Budget, Code, Event, Kind, Message, MessageWriter, OptionNumber, Params, RespondError, Response,
    Token,
};

use crate::peer::Peer;

/// A request that is a part of a transfer.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    kind: Kind,
    method: Code,
    mid: u16,
    path: &'static str,
    options: Vec<(OptionNumber, Vec<u8>)>,
    payload: Vec<u8>,
}

impl Part {
    pub(crate) fn new(method: Code, mid: u16) -> Self {
        Self { kind: Kind::Confirmable, method, mid, path: "a", options: Vec::new(), payload: Vec::new() }
    }

    pub(crate) fn post(mid: u16) -> Self {
        Self::new(Code::POST, mid)
    }

    /// A block of a body, cut out of it.
    pub(crate) fn of(body: &[u8], mid: u16, number: u32, bytes: usize) -> Self {
        let offset = number as usize * bytes;
        let end = body.len().min(offset + bytes);
        Self::post(mid).block1(number, end < body.len(), bytes).payload(&body[offset..end])
    }

    pub(crate) fn path(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    pub(crate) fn non_confirmable(self) -> Self {
        Self { kind: Kind::NonConfirmable, ..self }
    }

    pub(crate) fn payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    pub(crate) fn option(mut self, number: OptionNumber, value: &[u8]) -> Self {
        self.options.push((number, value.to_vec()));
        self
    }

    pub(crate) fn uint(self, number: OptionNumber, value: u32) -> Self {
        let bytes = value.to_be_bytes();
        self.option(number, &bytes[value.leading_zeros() as usize / 8..])
    }

    pub(crate) fn block1(self, number: u32, more: bool, bytes: usize) -> Self {
        self.uint(OptionNumber::BLOCK1, Block::new(number, more, bytes).expect("a size").value())
    }

    pub(crate) fn block2(self, number: u32, bytes: usize) -> Self {
        self.uint(OptionNumber::BLOCK2, Block::new(number, false, bytes).expect("a size").value())
    }

    pub(crate) fn tag(self, tag: &str) -> Self {
        self.option(OptionNumber::REQUEST_TAG, tag.as_bytes())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        options.push((OptionNumber::URI_PATH, self.path.as_bytes().to_vec()));
        options.sort_by_key(|(number, _)| *number);
        let mut bytes = Vec::new();
        let token = Token::new(&self.mid.to_be_bytes()).expect("two bytes");
        let mut writer = MessageWriter::new(&mut bytes, self.kind, self.method, self.mid, token);
        for (number, value) in &options {
            writer.option(*number, value);
        }
        writer.payload(&self.payload);
        bytes
    }
}

/// A message that was sent, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) kind: Kind,
    pub(crate) code: Code,
    options: Vec<(OptionNumber, u64)>,
    pub(crate) payload: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn read(bytes: Vec<u8>) -> Self {
        let message = Message::parse(&bytes).expect("ours are well formed");
        let number = |value: &[u8]| value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let options = message.options().map(|(option, value)| (option, number(value))).collect();
        let (kind, code, payload) = (message.kind, message.code, message.payload.to_vec());
        Self { kind, code, options, payload, bytes }
    }

    /// The value of an option, as a number.
    pub(crate) fn option(&self, number: OptionNumber) -> Option<u64> {
        self.options.iter().find(|(other, _)| *other == number).map(|(_, value)| *value)
    }

    fn block(&self, number: OptionNumber) -> Option<(u32, bool, usize)> {
        let block = Block::from_value(self.option(number)? as u32).expect("ours has a size");
        Some((block.number, block.more, block.bytes()))
    }

    pub(crate) fn block1(&self) -> Option<(u32, bool, usize)> {
        self.block(OptionNumber::BLOCK1)
    }

    pub(crate) fn block2(&self) -> Option<(u32, bool, usize)> {
        self.block(OptionNumber::BLOCK2)
    }
}

impl Peer {
    /// Takes a part and returns what is sent at once.
    pub(crate) fn take(&mut self, part: &Part) -> Vec<Sent> {
        self.receive_bytes(&part.bytes());
        self.sent().into_iter().map(|text| Sent::read(hex::decode(text).expect("hexadecimal"))).collect()
    }

    /// Takes a part that is answered at once and without the application.
    #[track_caller]
    pub(crate) fn answer_to(&mut self, part: &Part) -> Sent {
        let sent = self.take(part);
        let is_asked = self.events().iter().any(|event| matches!(event, Event::Request { .. }));
        assert!(!is_asked, "the application was asked: {part:?}");
        <[Sent; 1]>::try_from(sent).map(|[sent]| sent).expect("one answer")
    }

    /// Takes a part that completes a request, answers it by this, and returns the answer and the body.
    #[track_caller]
    pub(crate) fn complete(&mut self, part: &Part, response: Response) -> (Sent, Vec<u8>) {
        assert_eq!(self.take(part), [], "the application answers");
        let (exchange, request) = self.request_received();
        assert_eq!(request.options.find(OptionNumber::BLOCK1), None);
        assert_eq!(request.options.find(OptionNumber::BLOCK2), None);
        self.respond(exchange, response).expect("the exchange is open");
        let [text] = <[String; 1]>::try_from(self.sent()).expect("one answer");
        (Sent::read(hex::decode(text).expect("hexadecimal")), request.payload)
    }

    /// Nothing is left when all lifetimes are over.
    #[track_caller]
    pub(crate) fn assert_forgets_all(&mut self) {
        self.advance(Duration::from_secs(247));
        self.events();
        assert!(self.endpoint.is_idle());
        // What was refused is remembered a little longer.
        self.advance(Duration::from_secs(2));
        assert_eq!(self.budget.bytes_used(), 0);
    }
}

/// A body of which no two blocks are alike.
pub(crate) fn body(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index ^ index >> 8) as u8).collect()
}

pub(crate) fn changed(payload: &[u8]) -> Response {
    Response::new(Code::CHANGED).content_format(50).payload(payload)
}

#[test]
fn a_body_in_blocks_is_one_request_and_the_answer_is_that_to_the_last_block() {
    for (bytes, block) in [(2000, 64), (2048, 1024), (17, 16), (10 * 1024, 512)] {
        let (mut peer, body) = (Peer::new(), body(bytes));
        let last = (bytes as u32 - 1) / block as u32;
        for number in 0..last {
            let answer = peer.answer_to(&Part::of(&body, number as u16, number, block));
            assert_eq!((answer.code, answer.block1()), (Code::CONTINUE, Some((number, true, block))));
            assert_eq!((answer.kind, answer.payload.len()), (Kind::Acknowledgement, 0));
        }
        let part = Part::of(&body, last as u16, last, block);
        let (answer, received) = peer.complete(&part, changed(b"ok"));
        assert!(received == body, "{bytes} bytes in blocks of {block}");
        assert_eq!((answer.code, answer.block1()), (Code::CHANGED, Some((last, false, block))));
        assert_eq!(answer.payload, b"ok");
        let again = peer.answer_to(&part);
        assert_eq!(again, answer, "a copy of the last block gets the same answer");
        peer.assert_forgets_all();
    }
}

#[test]
fn an_empty_last_block_ends_a_body_and_non_confirmable_blocks_are_answered_alike() {
    let (mut peer, body) = (Peer::new(), body(64));
    let first = Part::post(1).block1(0, true, 64).payload(&body).non_confirmable();
    let answer = peer.answer_to(&first);
    assert_eq!((answer.kind, answer.code), (Kind::NonConfirmable, Code::CONTINUE));
    assert_eq!(peer.answer_to(&first), answer, "byte for byte");
    let (answer, received) =
        peer.complete(&Part::post(2).block1(1, false, 64).non_confirmable(), changed(b""));
    assert_eq!((received, answer.kind), (body, Kind::NonConfirmable));
    peer.assert_forgets_all();
}

#[test]
fn the_peer_may_change_the_size_of_blocks_on_its_way() {
    let (mut peer, body) = (Peer::new(), body(300));
    // RFC 7959 2.5 and figure 9: after a block of 128 bytes, those of 32 go on at 4.
    assert_eq!(peer.answer_to(&Part::of(&body, 0, 0, 128)).code, Code::CONTINUE);
    for number in 4..9 {
        let answer = peer.answer_to(&Part::of(&body, number as u16, number, 32));
        assert_eq!(answer.block1(), Some((number, true, 32)));
    }
    let (_, received) = peer.complete(&Part::of(&body, 9, 9, 32), changed(b""));
    assert_eq!(received, body);
}

#[test]
fn block_0_begins_anew() {
    let (mut peer, body, other) = (Peer::new(), body(100), vec![7; 100]);
    for number in 0..3 {
        assert_eq!(peer.answer_to(&Part::of(&other, number as u16, number, 32)).code, Code::CONTINUE);
    }
    for number in 0..3 {
        assert_eq!(peer.answer_to(&Part::of(&body, 10 + number as u16, number, 32)).code, Code::CONTINUE);
    }
    let (_, received) = peer.complete(&Part::of(&body, 13, 3, 32), changed(b""));
    assert_eq!(received, body);
}

#[test]
fn an_answer_longer_than_the_peer_wishes_goes_in_blocks_from_memory() {
    let (mut peer, long) = (Peer::new(), body(150));
    let ask = Part::post(1).payload(b"{}").block2(0, 64).uint(OptionNumber::SIZE2, 0);
    let (first, _) = peer.complete(&ask, changed(&long));
    assert_eq!((first.code, first.block2()), (Code::CHANGED, Some((0, true, 64))));
    assert_eq!(first.option(OptionNumber::SIZE2), Some(150));
    assert_eq!((first.option(OptionNumber::CONTENT_FORMAT), first.block1()), (Some(50), None));
    let tag = first.option(OptionNumber::ETAG);
    assert!(tag.is_some());
    let mut received = first.payload.clone();
    for number in 1..3 {
        let part = Part::post(1 + number as u16).block2(number, 64);
        let block = peer.answer_to(&part);
        assert_eq!(block.block2(), Some((number, number < 2, 64)));
        assert_eq!((block.option(OptionNumber::ETAG), block.code), (tag, Code::CHANGED));
        assert_eq!(block.option(OptionNumber::SIZE2), None, "nobody asked");
        assert_eq!(peer.answer_to(&part), block, "a copy gets the same block");
        received.extend(block.payload);
    }
    assert_eq!(received, long);
    assert_eq!(peer.answer_to(&Part::post(9).block2(1, 64)).code, Code::REQUEST_ENTITY_INCOMPLETE);
    assert_eq!(peer.answer_to(&ask), first, "a copy of the first request gets the first block");
    peer.assert_forgets_all();
}

#[test]
fn an_option_of_the_first_block_alone_is_in_no_later_one() {
    let (once, always) = (OptionNumber(2102), OptionNumber(2100));
    let params = Params { first_block_options: &[OptionNumber(2102)], ..Params::default() };
    let (mut peer, long) = (Peer::with(params), body(150));
    let ask = Part::post(1).block2(0, 64);
    let (first, _) = peer.complete(&ask, changed(&long).option(once, [5]).option(always, [6]));
    assert_eq!((first.option(once), first.option(always)), (Some(5), Some(6)));
    for number in 1..3 {
        let block = peer.answer_to(&Part::post(1 + number as u16).block2(number, 64));
        assert_eq!((block.option(once), block.option(always)), (None, Some(6)), "{number}");
    }
    assert_eq!(peer.answer_to(&ask), first, "a copy of the first request gets the first block");
    peer.assert_forgets_all();
}

#[test]
fn a_peer_that_names_no_block_gets_the_preferred_one_where_the_others_can_be_kept() {
    let (mut peer, long) = (Peer::with(Params { block_bytes: Some(64), ..Params::default() }), body(150));
    let (first, _) = peer.complete(&Part::post(1), changed(&long));
    assert_eq!((first.block2(), first.payload.len()), (Some((0, true, 64)), 64));
    assert_eq!(peer.answer_to(&Part::post(2).block2(2, 64)).payload, long[128..]);
    // What the peer names counts, and what fits into one block has no option.
    let (named, _) = peer.complete(&Part::post(3).block2(0, 128), changed(&long));
    assert_eq!(named.block2(), Some((0, true, 128)));
    let (short, _) = peer.complete(&Part::post(4), changed(&long[..64]));
    assert_eq!((short.block2(), short.payload.len()), (None, 64));
    // An error is not cut.
    let (error, _) = peer.complete(&Part::post(5), Response::new(Code::BAD_REQUEST).payload(long.clone()));
    assert_eq!((error.block2(), error.payload.len()), (None, 150));
    // Without memory for the other blocks it goes whole: a POST could not be asked again.
    peer.assert_forgets_all();
    peer.budget = Budget::new(1200);
    let (whole, _) = peer.complete(&Part::post(6), changed(&long));
    assert_eq!((whole.block2(), whole.payload), (None, long));
    peer.assert_forgets_all();
}

#[test]
fn an_answer_longer_than_a_message_goes_in_blocks_without_being_asked() {
    let mut peer = Peer::new();
    let long = body(3000);
    let (first, _) = peer.complete(&Part::post(1), changed(&long));
    assert_eq!(first.block2(), Some((0, true, 1024)));
    assert!(first.bytes.len() <= 1152);
    // The peer goes on in smaller ones: RFC 7959, section 2.4.
    let mut received = first.payload;
    for number in 4..12 {
        let block = peer.answer_to(&Part::post(number as u16).block2(number, 256));
        assert_eq!(block.block2(), Some((number, number < 11, 256)));
        received.extend(block.payload);
    }
    assert_eq!(received, long);
    peer.params.message_bytes_max = 500;
    let (first, _) = peer.complete(&Part::post(20), changed(&long));
    assert_eq!(first.block2(), Some((0, true, 256)));
    let next = peer.answer_to(&Part::post(21).block2(1, 1024));
    assert_eq!(next.block2(), Some((4, true, 256)), "the same place in smaller blocks");
    peer.assert_forgets_all();
}

#[test]
fn attack_142_a_device_that_fetches_long_answers_all_day_is_never_turned_away() {
    let whole = body(4000);
    for method in [Code::POST, Code::GET] {
        let (mut peer, mut mid) = (Peer::new(), 0);
        peer.budget = Budget::new(64 << 20);
        let mut next = || {
            mid += 1;
            mid
        };
        // All within the lifetime of an answer for duplicates.
        for _ in 0..200 {
            let first = Part::new(method, next());
            let (answer, _) = peer.complete(&first, changed(&whole));
            assert_eq!(answer.block2(), Some((0, true, 1024)));
            for number in 1..4 {
                let part = Part::new(method, next()).block2(number, 1024);
                let answer = peer.answer_to(&part);
                assert_eq!(answer.block2(), Some((number, number < 3, 1024)));
                assert_eq!(peer.answer_to(&part).bytes, answer.bytes, "the same to a duplicate");
            }
        }
        assert!(peer.budget.bytes_used() < 256 * 1024, "{}", peer.budget.bytes_used());
    }
}

#[test]
fn a_get_of_an_answer_that_is_not_kept_may_run_again_for_each_of_its_blocks() {
    let mut peer = Peer::new();
    let whole = body(600 * 1024);
    for number in 0..600_u32 {
        let part = Part::new(Code::GET, number as u16).block2(number, 1024);
        let (answer, _) = peer.complete(&part, changed(&whole));
        assert_eq!(answer.block2(), Some((number, number < 599, 1024)));
    }
    let again = Part::new(Code::GET, 599).block2(599, 1024);
    peer.complete(&again, changed(&whole));
}

#[test]
fn an_answer_that_is_too_long_to_be_kept_is_sent_to_a_get_alone() {
    let (mut peer, long) = (Peer::new(), body(10 * 1024 + 1));
    peer.receive_bytes(&Part::post(1).bytes());
    let (exchange, _) = peer.request_received();
    let expected = RespondError::TooLarge { bytes: 10 * 1024 + 1, bytes_max: 10 * 1024 };
    assert_eq!(peer.respond(exchange, changed(&long)), Err(expected));
    peer.respond(exchange, Response::new(Code::INTERNAL_SERVER_ERROR)).expect("it is open");
    assert_eq!(peer.sent().len(), 1);
    let mut received = Vec::new();
    for number in 0..11 {
        let get = Part::new(Code::GET, 2 + number as u16).block2(number, 1024);
        let (block, _) = peer.complete(&get, changed(&long));
        assert_eq!(block.block2(), Some((number, number < 10, 1024)));
        received.extend(block.payload);
    }
    assert!(received == long);
    peer.assert_forgets_all();
}

#[test]
fn a_wish_that_is_met_leaves_the_answer_as_it_is() {
    let (mut peer, mut plain) = (Peer::new(), Peer::new());
    for (method, payload) in [(Code::GET, &b""[..]), (Code::POST, b"{}")] {
        let part = Part::new(method, 7).payload(payload);
        let (answer, _) = plain.complete(&part, changed(&body(64)));
        let (same, _) = peer.complete(&part.clone().block2(0, 64), changed(&body(64)));
        assert_eq!(same.bytes, answer.bytes);
        peer.assert_forgets_all();
        plain.assert_forgets_all();
    }
    let refused = Response::new(Code::BAD_REQUEST).payload("a diagnostic of more bytes than one block");
    let (answer, _) = peer.complete(&Part::post(8).block2(0, 16), refused);
    assert_eq!(answer.block2(), None, "an error is never cut");
}

#[test]
fn an_answer_that_is_not_wanted_is_not_sent() {
    let silence = |mid: u16, unwanted: u32| Part::post(mid).uint(OptionNumber::NO_RESPONSE, unwanted);
    let answer = |peer: &mut Peer, part: &Part, code: Code| {
        peer.receive_bytes(&part.bytes());
        let (exchange, _) = peer.request_received();
        peer.respond(exchange, Response::new(code)).expect("the exchange is open");
        peer.sent()
    };
    for (unwanted, code, is_sent) in [
        (0, Code::CHANGED, true),
        (2, Code::CHANGED, false),
        (2, Code::BAD_REQUEST, true),
        (8, Code::BAD_REQUEST, false),
        (16, Code::INTERNAL_SERVER_ERROR, false),
        (24, Code::CHANGED, true),
        (26, Code::SERVICE_UNAVAILABLE, false),
    ] {
        let mut peer = Peer::new();
        let sent = answer(&mut peer, &silence(1, unwanted), code);
        let empty = vec!["60000001".to_owned()];
        assert_eq!(sent == empty, !is_sent, "{unwanted}, {code}: {sent:?}");
        let part = silence(2, unwanted).non_confirmable();
        let sent = answer(&mut peer, &part, code);
        assert_eq!(sent.is_empty(), !is_sent, "{unwanted}, {code}: {sent:?}");
        if code != Code::SERVICE_UNAVAILABLE {
            peer.receive_bytes(&part.bytes());
            assert_eq!(peer.sent().is_empty(), !is_sent);
            assert!(!peer.events().iter().any(|event| matches!(event, Event::Request { .. })), "once");
        }
        peer.assert_forgets_all();
    }
    // An empty acknowledgement went out before: nothing follows it.
    let mut peer = Peer::new();
    peer.receive_bytes(&silence(1, 26).bytes());
    let (exchange, _) = peer.request_received();
    peer.advance_to_timeout();
    assert_eq!(peer.sent(), ["60000001"]);
    peer.respond(exchange, changed(b"")).expect("the exchange is open");
    assert_eq!(peer.sent(), [""; 0]);
    assert_eq!(peer.take(&silence(1, 26)).len(), 1, "a copy is acknowledged");
    peer.assert_forgets_all();
}
