//! One endpoint over its life: messages of a peer, answers and requests of its application, and time, as the
//! script says.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use narrowgate_coap::{
    AnswerFrame, Budget, Code, Context, Endpoint, Event, ExchangeId, Kind, Message, MessageWriter,
    OptionNumber, Params, Request, RequestId, Response, Token,
};

use crate::script::{Script, start, step};

const BUDGET_BYTES: usize = 4096;
/// Message IDs that the peer uses.
const MIDS: usize = 8;
/// Path of every request of the peer: no answer may be longer than its message and this.
const ANSWER_BYTES_MAX: usize = 64;

thread_local! {
    static ROOM: RefCell<Vec<u8>> = RefCell::default();
    static PARAMS: Params = Params {
        stored_answers_max: 6,
        stored_bytes_max: 512,
        exchanges_open_max: 4,
        requests_max: 3,
        answer_frame: Some(&FRAME),
        ..Params::default()
    };
}

/// Some answers fit, so they are stored in short.
static FRAME: AnswerFrame =
    AnswerFrame { code: Code::CONTENT, content_format: 50, before: &[9], after: &[9] };

struct World<'a> {
    params: &'a Params,
    endpoint: Endpoint,
    budget: Budget,
    now: Instant,
    /// For each Message ID of the peer: until when its message must not run again, and what answered it.
    taken: [Option<(Instant, Option<Vec<u8>>)>; MIDS],
    open: Vec<ExchangeId>,
    ours: Vec<RequestId>,
    /// Message ID and token of the last message of ours that may be acknowledged.
    last: Option<(u16, Token)>,
    /// When it was last reported that the peer does not count.
    reuse_told: Option<Instant>,
}

/// A request runs at most once in the lifetime of its Message ID, and duplicates of it are answered by the
/// same bytes; each request of ours ends once; what is held stays within the limits, and nothing is held when
/// all lifetimes are over.
pub fn coap_exchange(data: &[u8]) {
    PARAMS.with(|params| {
        let mut world = World {
            params,
            endpoint: Endpoint::new(0xfffd),
            budget: Budget::new(BUDGET_BYTES),
            now: start(),
            taken: Default::default(),
            open: Vec::new(),
            ours: Vec::new(),
            last: None,
            reuse_told: None,
        };
        let mut script = Script::new(data);
        ROOM.with_borrow_mut(|room| {
            while let Some(command) = script.next() {
                world.run(command, &mut script, room);
                world.drain(room);
            }
            world.end(room);
        });
    });
}

impl World<'_> {
    fn run(&mut self, command: u8, script: &mut Script<'_>, room: &mut Vec<u8>) {
        let Self { params, endpoint, budget, now, .. } = self;
        match command & 7 {
            0 | 1 => {
                let kind = if command & 8 == 0 { Kind::Confirmable } else { Kind::NonConfirmable };
                let mid = u16::from(command >> 4) % MIDS as u16;
                room.clear();
                let token = Token::new(&[command]).expect("one byte");
                let mut writer = MessageWriter::new(room, kind, Code::POST, mid, token);
                writer.option(OptionNumber::URI_PATH, b"p");
                writer.payload(script.take(usize::from(command >> 7)));
                endpoint.handle_message(&mut Context { now: *now, params, budget }, room);
            }
            2 => self.answer(script),
            3 => {
                *now += step(command >> 3);
                if command & 0x40 == 0 {
                    endpoint.handle_timeout(&mut Context { now: *now, params, budget });
                }
            }
            4 => {
                let request = Request::get("/q");
                let request = if command & 8 == 0 { request } else { request.non_confirmable() };
                if let Ok(id) = endpoint.request(&mut Context { now: *now, params, budget }, request) {
                    self.ours.push(id);
                }
                assert!(self.ours.len() <= params.requests_max, "{} requests wait", self.ours.len());
            }
            5 => self.reply_to_ours(command, script, room),
            6 => {
                *now += Duration::from_secs(u64::from(command >> 3) * 10);
                endpoint.handle_timeout(&mut Context { now: *now, params, budget });
            }
            _ => {
                let length = usize::from(command >> 3);
                endpoint.handle_message(&mut Context { now: *now, params, budget }, script.take(length));
            }
        }
    }

    fn answer(&mut self, script: &mut Script<'_>) {
        let Some(index) = script.choose(self.open.len()) else { return };
        let exchange = self.open.swap_remove(index);
        let byte = script.byte();
        let response = Response::new(Code::CONTENT).payload(&[9; 32][..usize::from(byte % 32)]);
        let response = if byte & 0x80 == 0 { response } else { response.content_format(50) };
        // The exchange's lifetime may be over.
        let Self { params, endpoint, budget, now, .. } = self;
        let _ = endpoint.respond(&mut Context { now: *now, params, budget }, exchange, response);
    }

    /// An acknowledgement, a Reset or a response for the last message of ours.
    fn reply_to_ours(&mut self, command: u8, script: &mut Script<'_>, room: &mut Vec<u8>) {
        let Some((mid, token)) = self.last else { return };
        room.clear();
        let mid = mid.wrapping_sub(u16::from(command >> 6));
        match command >> 3 & 7 {
            0 | 1 => MessageWriter::new(room, Kind::Acknowledgement, Code::EMPTY, mid, Token::default())
                .payload(&[]),
            2 => MessageWriter::new(room, Kind::Reset, Code::EMPTY, mid, Token::default()).payload(&[]),
            3 | 4 => MessageWriter::new(room, Kind::Acknowledgement, Code::CONTENT, mid, token).payload(b"x"),
            kind => {
                let kind = if kind == 5 { Kind::NonConfirmable } else { Kind::Confirmable };
                let mid = 0x100 + u16::from(script.byte());
                MessageWriter::new(room, kind, Code::CONTENT, mid, token).payload(b"x");
            }
        }
        let Self { params, endpoint, budget, now, .. } = self;
        endpoint.handle_message(&mut Context { now: *now, params, budget }, room);
    }

    fn drain(&mut self, room: &mut Vec<u8>) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Request { exchange, request } => self.note_request(exchange, &request),
                Event::Response { id, .. } | Event::RequestFailed { id, .. } => {
                    let index = self.ours.iter().position(|ours| *ours == id);
                    self.ours.swap_remove(index.expect("a request of ours ends once"));
                }
                Event::MessageIdReused { .. } => {
                    let told = self.reuse_told.replace(self.now);
                    let is_over = told.is_none_or(|told| self.now >= told + Duration::from_secs(247));
                    assert!(is_over, "told twice within the lifetime of an exchange");
                }
                Event::ResponseFailed { .. }
                | Event::ObservationEnded { .. }
                | Event::Ping
                | Event::Refused(_)
                | Event::Discarded(_) => {}
            }
        }
        let mut count = 0;
        while self.endpoint.poll_transmit(room) {
            count += 1;
            self.note_message(room);
        }
        assert!(count <= 16, "{count} messages at once");
        // The limit, and an answer for each exchange that was open when it was reached.
        assert!(
            self.budget.bytes_used() <= BUDGET_BYTES + 4 * ANSWER_BYTES_MAX,
            "{} bytes",
            self.budget.bytes_used()
        );
    }

    fn note_request(&mut self, exchange: ExchangeId, request: &Request) {
        let seconds = if request.confirmable { 247 } else { 145 };
        let until = self.now + Duration::from_secs(seconds);
        if let Some(taken) = self.taken.get_mut(usize::from(exchange.mid())) {
            let is_over = taken.as_ref().is_none_or(|(until, _)| *until <= self.now);
            assert!(is_over, "message {} runs twice in its lifetime", exchange.mid());
            *taken = Some((until, None));
        }
        self.open.push(exchange);
        assert!(self.open.len() < 256);
    }

    fn note_message(&mut self, bytes: &[u8]) {
        let message = Message::parse(bytes).expect("our own messages are well formed");
        if matches!(message.kind, Kind::Confirmable | Kind::NonConfirmable) {
            assert!(message.code != Code::EMPTY);
            self.last = Some((message.mid, message.token));
            return;
        }
        let is_final = message.kind == Kind::Acknowledgement && message.code == Code::CONTENT;
        let Some(Some((until, first))) = self.taken.get_mut(usize::from(message.mid)) else { return };
        if !is_final || self.now >= *until {
            return;
        }
        match first {
            None => *first = Some(bytes.to_vec()),
            Some(first) => assert_eq!(first, bytes, "a duplicate gets the same answer"),
        }
    }

    fn end(&mut self, room: &mut Vec<u8>) {
        for _ in 0..64 {
            let Some(due) = self.endpoint.poll_timeout() else { break };
            self.now = self.now.max(due);
            let Self { params, endpoint, budget, now, .. } = self;
            endpoint.handle_timeout(&mut Context { now: *now, params, budget });
            self.drain(room);
        }
        assert!(self.endpoint.is_idle(), "something is held for ever: {:?}", self.endpoint);
        assert!(self.ours.is_empty(), "a request of ours never ended");
        assert_eq!(self.budget.bytes_used(), 0, "everything is given back");
    }
}
