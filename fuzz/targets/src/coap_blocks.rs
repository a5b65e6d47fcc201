//! Transfers in blocks at one endpoint: bodies, answers and time, as the script says.

use std::{cell::RefCell, time::Instant};

use narrowgate_coap::{
    Block, Budget, Code, Context, Endpoint, Event, Kind, Message, MessageWriter, OptionNumber, Params,
    Response, Token,
};

use crate::script::{Script, start, step};

const BUDGET_BYTES: usize = 16 * 1024;
/// What bodies may take: a quarter.
const BODIES_BYTES: usize = BUDGET_BYTES / 4;
const BODY_BYTES_MAX: usize = 400;
/// Message IDs of the peer; fewer than its messages, so some are duplicates.
const MIDS: u16 = 32;

thread_local! {
    static ROOM: RefCell<[Vec<u8>; 2]> = RefCell::default();
    static PARAMS: Params = Params {
        body_bytes_max: BODY_BYTES_MAX,
        answer_bytes_max: BODY_BYTES_MAX,
        message_bytes_max: 160,
        stored_bytes_max: 4096,
        ..Params::default()
    };
}

struct World<'a> {
    params: &'a Params,
    endpoint: Endpoint,
    budget: Budget,
    now: Instant,
}

/// A body that is delivered consists of the bytes of its own transfer, each at its place, and is within the
/// limit; a confirmable message has one answer that fits; a copy gets the same; what is held is bounded, and
/// nothing is held when all lifetimes are over.
pub fn coap_blocks(data: &[u8]) {
    PARAMS.with(|params| {
        let budget = Budget::new(BUDGET_BYTES);
        let mut world = World { params, endpoint: Endpoint::new(0xfffd), budget, now: start() };
        let mut script = Script::new(data);
        ROOM.with_borrow_mut(|[message, answer]| {
            while let Some(command) = script.next() {
                if command & 7 == 7 {
                    world.now += step(command >> 3);
                    let World { params, endpoint, budget, now } = &mut world;
                    endpoint.handle_timeout(&mut Context { now: *now, params, budget });
                    continue;
                }
                write_part(command, &mut script, message);
                let length = usize::from(script.byte()) * 4;
                world.take(message, length, answer);
            }
            world.end(answer);
        });
    });
}

/// The byte at this place of the body of a transfer.
fn byte_of(transfer: u8, place: usize) -> u8 {
    (place as u8).wrapping_mul(7) ^ (place >> 8) as u8 ^ transfer << 6
}

/// A message of one of three transfers, with Block1, Block2 or both, as the script says.
fn write_part(command: u8, script: &mut Script<'_>, message: &mut Vec<u8>) {
    let (transfer, of_body) = (command & 3, command & 4 == 0);
    let kind = if command & 8 == 0 { Kind::Confirmable } else { Kind::NonConfirmable };
    let mid = u16::from(script.byte()) % MIDS;
    let [block1, block2] = [u32::from(script.byte()), u32::from(script.byte())];
    message.clear();
    let code = if command & 16 == 0 { Code::POST } else { Code::GET };
    let token = Token::new(&[command]).expect("one byte");
    let mut writer = MessageWriter::new(message, kind, code, mid, token);
    writer.option(OptionNumber::URI_PATH, &[b'a' + (transfer & 1)]);
    if !of_body || command & 32 != 0 {
        writer.option_uint(OptionNumber::BLOCK2, block2);
    }
    if of_body {
        writer.option_uint(OptionNumber::BLOCK1, block1);
    }
    if command & 64 != 0 {
        writer.option_uint(OptionNumber::SIZE1, u32::from(script.byte()) * 2);
    }
    writer.option(OptionNumber::REQUEST_TAG, &[transfer]);
    let mut payload = Vec::new();
    if let Some(block) = Block::from_value(block1).filter(|_| of_body) {
        let bytes = if block.more { block.bytes() } else { usize::from(script.byte()) % (block.bytes() + 1) };
        payload.extend((block.offset()..block.offset() + bytes).map(|place| byte_of(transfer, place)));
    }
    writer.payload(&payload);
}

/// A copy of a confirmable message gets the answer that the first one got, unless that was a 5.03: what was
/// refused for want of room may run when it comes again.
fn check_copy(first: Option<&[u8]>, answer: &[u8], message: &[u8]) {
    if let Some(first) = first {
        let may_change =
            first[1] == Code::SERVICE_UNAVAILABLE.0 || Kind::NonConfirmable as u8 == message[0] >> 4 & 3;
        assert!(may_change || first == answer, "a copy gets the same answer");
    }
}

/// Such a block is read again from the answer that is held, and is not stored for copies. Where the answer is
/// not held any more the GET, which changes nothing, runs again.
fn is_later_block_of_get(message: &[u8]) -> bool {
    let message = Message::parse(message).expect("it is well formed");
    let block2 = message.options().find(|(number, _)| *number == OptionNumber::BLOCK2);
    let value = block2.map_or(0, |(_, value)| value.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)));
    message.code == Code::GET && Block::from_value(value).is_some_and(|block| block.number > 0)
}

impl World<'_> {
    /// Takes a message twice; the application answers by so many bytes.
    fn take(&mut self, message: &[u8], length: usize, answer: &mut Vec<u8>) {
        let mut first: Option<Vec<u8>> = None;
        for is_copy in [false, true] {
            let Self { params, endpoint, budget, now } = self;
            endpoint.handle_message(&mut Context { now: *now, params, budget }, message);
            while let Some(event) = endpoint.poll_event() {
                let Event::Request { exchange, request } = event else { continue };
                assert!(!is_copy || is_later_block_of_get(message), "a copy is not asked again");
                let tag = request.options.find(OptionNumber::REQUEST_TAG).expect("each has one");
                let places = request.payload.iter().enumerate();
                assert!(places.clone().all(|(place, byte)| *byte == byte_of(tag[0], place)), "a mixed body");
                assert!(request.payload.len() <= BODY_BYTES_MAX.max(message.len()), "a body above the limit");
                let response = Response::new(Code::CONTENT).payload(vec![tag[0]; length]);
                let mut context = Context { now: *now, params, budget };
                if endpoint.respond(&mut context, exchange, response).is_err() {
                    assert!(
                        length > BODY_BYTES_MAX && request.method == Code::POST,
                        "it can be sent in blocks"
                    );
                    let failed = Response::new(Code::INTERNAL_SERVER_ERROR);
                    endpoint.respond(&mut context, exchange, failed).expect("it is short");
                }
            }
            let is_answered = endpoint.poll_transmit(answer);
            assert!(!endpoint.poll_transmit(&mut Vec::new()), "one message has one answer");
            if is_answered {
                Message::parse(answer).expect("our own messages are well formed");
                assert!(answer.len() <= params.message_bytes_max, "{} bytes", answer.len());
                check_copy(first.as_deref(), answer, message);
                first.get_or_insert_with(|| answer.clone());
            }
            // The limit, and what a block of an answer takes beyond what is expected of an answer.
            let bytes_max = BUDGET_BYTES + 2 * params.message_bytes_max;
            assert!(budget.bytes_used() <= bytes_max, "{} bytes", budget.bytes_used());
        }
    }

    fn end(&mut self, answer: &mut Vec<u8>) {
        for _ in 0..64 {
            let Some(due) = self.endpoint.poll_timeout() else { break };
            self.now = self.now.max(due);
            let Self { params, endpoint, budget, now } = self;
            endpoint.handle_timeout(&mut Context { now: *now, params, budget });
            assert!(budget.bytes_used() <= BODIES_BYTES + params.stored_bytes_max + 1024);
            while endpoint.poll_event().is_some() || endpoint.poll_transmit(answer) {}
        }
        assert!(self.endpoint.is_idle(), "something is held for ever: {:?}", self.endpoint);
        assert_eq!(self.budget.bytes_used(), 0, "everything is given back");
    }
}
