//! The memory of answers for duplicates: how long it lasts, and who gets it when it is short. The numbers are
//! those of the product's catalogue of attacks.

use std::time::Duration;

use narrowgate_coap::{
    AnswerFrame, Budget, Code, Context, Discard, Endpoint, Event, Params, Response, format,
};

use crate::peer::{Peer, start};

static FRAME: AnswerFrame = AnswerFrame {
    code: Code::CHANGED,
    content_format: format::JSON,
    before: b"{\"id\":",
    after: b",\"code\":200,\"data\":{}}",
};

fn params() -> Params {
    Params { answer_frame: Some(&FRAME), ..Params::default() }
}

/// The answer to the report with this `id`.
fn success(id: u32) -> Response {
    let payload = format!(r#"{{"id":"{id}","code":200,"data":{{}}}}"#);
    Response::new(Code::CHANGED).content_format(format::JSON).payload(payload)
}

/// A device at a server: its reports are answered at once.
struct Session {
    endpoint: Endpoint,
    sent: u32,
}

impl Session {
    fn new() -> Self {
        Self { endpoint: Endpoint::new(0), sent: 0 }
    }

    /// The device reports; `None`: its report was served, else the limit at which it was refused.
    fn report(&mut self, context: &mut Context<'_>) -> Option<Discard> {
        self.sent += 1;
        let [_, _, mid_0, mid_1] = self.sent.to_be_bytes();
        let [token @ .., _, _] = self.sent.to_le_bytes();
        self.endpoint.handle_message(context, &[0x42, 2, mid_0, mid_1, token[0], token[1]]);
        let mut refused = None;
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Request { exchange, .. } => {
                    self.endpoint.respond(context, exchange, success(self.sent)).expect("it is open");
                }
                Event::Discarded(reason) => refused = Some(reason),
                other => panic!("{other:?}"),
            }
        }
        let mut message = Vec::new();
        while self.endpoint.poll_transmit(&mut message) {}
        refused
    }
}

#[test]
fn attack_209_full_speed_for_longer_than_an_exchange_lifetime_is_refused_nothing() {
    // A megabyte holds the answers of 260 reports a second without end; 256 MiB those of 66,000.
    let (params, mut budget) = (params(), Budget::new(1 << 20));
    let mut sessions: Vec<_> = (0..1000).map(|_| Session::new()).collect();
    let begin = start();
    let mut most = 0;
    for turn in 0..300 * 260_u32 {
        let now = begin + Duration::from_secs(1) * turn / 260;
        let mut context = Context { now, params: &params, budget: &mut budget };
        let session = &mut sessions[turn as usize % 1000];
        assert_eq!(session.report(&mut context), None, "report {turn}");
        most = most.max(budget.bytes_used());
    }
    assert!(most > 247 * 260 * 10 && most <= 1 << 20, "{most} bytes");
}

#[test]
fn attack_209_greedy_sessions_take_no_room_from_others() {
    let (params, mut budget) = (params(), Budget::new(1 << 18));
    let mut greedy: Vec<_> = (0..100).map(|_| Session::new()).collect();
    let mut modest: Vec<_> = (0..500).map(|_| Session::new()).collect();
    let begin = start();
    let (mut served, mut refused) = (vec![0; greedy.len()], 0);
    for tenth in 0..6000_usize {
        let now = begin + Duration::from_millis(100) * tenth as u32;
        let mut context = Context { now, params: &params, budget: &mut budget };
        // 10 a second each: a hundred times what there is room for.
        for (session, served) in greedy.iter_mut().zip(&mut served) {
            match session.report(&mut context) {
                None => *served += 1,
                Some(Discard::ShareSpent) => refused += 1,
                other => panic!("after {tenth} tenths of a second: {other:?}"),
            }
        }
        // Each of them once in 50 seconds; first when the others have taken what they could.
        if tenth > 600 {
            let refused = modest[tenth % 500].report(&mut context);
            assert_eq!(refused, None, "after {tenth} tenths of a second");
        }
    }
    assert!(refused > 100_000, "{refused}");
    let (least, most) = (served.iter().min().copied(), served.iter().max().copied());
    assert!(least.zip(most).is_some_and(|(least, most)| most <= least * 5 / 4), "{least:?} to {most:?}");
    assert!(budget.bytes_used() <= budget.bytes_max());
    for session in greedy.iter_mut().chain(&mut modest) {
        session.endpoint.release(&mut budget);
    }
    assert_eq!(budget.bytes_used(), 0);
}

#[test]
fn attack_209_a_copy_gets_the_same_bytes_whether_its_answer_is_kept_in_short_or_whole() {
    let mut peer = Peer::with(params());
    let mut answers = Vec::new();
    for (mid, response) in [
        success(7),
        success(u32::MAX),
        Response::new(Code::CHANGED).content_format(50).payload(r#"{"id":"a-1","code":200,"data":{}}"#),
        Response::new(Code::CHANGED).content_format(50).payload(r#"{"code":200,"data":{}}"#),
        Response::new(Code::CONTENT).payload("x".repeat(1000)),
        Response::new(Code::FORBIDDEN),
    ]
    .into_iter()
    .enumerate()
    {
        for (kind, mid) in [("42", mid), ("52", mid + 100)] {
            let request = format!("{kind} 02 {mid:04x} 0708 b1 61 ff 78");
            peer.receive(&request);
            let (exchange, _) = peer.request_received();
            peer.respond(exchange, response.clone()).expect("it is open");
            answers.push((request, peer.sent()));
        }
    }
    peer.advance(Duration::from_secs(144));
    for (request, answer) in &answers {
        assert_eq!(peer.reply_to(request), *answer, "{request}");
        assert_eq!(peer.discards(), [Discard::Duplicate]);
    }
    // Another token is another request: it gets the answer with the first one's, which its sender rejects.
    let (request, answer) = &answers[0];
    assert_eq!(peer.reply_to(&request.replace("0708", "0709")), *answer);
}

#[test]
fn attack_209_the_limit_of_a_session_counts_no_answer_whose_time_is_over() {
    // Long lists are cleaned rarely, but before anything is refused.
    let mut peer = Peer::with(Params { stored_answers_max: 1000, ..params() });
    for second in 0..1000_u16 {
        for step in 0..4_u16 {
            let mid = second * 4 + step;
            peer.receive(&format!("42 02 {mid:04x} 0708 b1 61 ff 78"));
            let (exchange, _) = peer.request_received();
            peer.respond(exchange, success(u32::from(mid))).expect("it is open");
            peer.sent();
        }
        peer.now += Duration::from_secs(1);
    }
}

#[test]
fn a_4_29_or_5_03_is_not_kept_so_a_copy_runs_when_there_is_room_again() {
    let mut peer = Peer::new();
    for (request, first, code) in [
        ("41 02 0001 07 b1 61", "61", Code::SERVICE_UNAVAILABLE),
        ("51 02 0002 07 b1 61", "51", Code::SERVICE_UNAVAILABLE),
        ("41 02 0003 07 b1 61", "61", Code::TOO_MANY_REQUESTS),
    ] {
        peer.receive(request);
        let (exchange, _) = peer.request_received();
        peer.respond(exchange, Response::new(code).max_age(5)).expect("it is open");
        let refused = peer.sent();
        assert!(
            refused.len() == 1 && refused[0].starts_with(&format!("{first}{:02x}", code.0)),
            "{refused:?}"
        );
        assert_eq!(peer.budget.bytes_used(), 12, "no answer is kept, but that it was refused");
        // The copy was on its way already; now it is carried out, once.
        let done = peer.serve(request, "done");
        assert!(done.len() == 1 && done[0].starts_with(&format!("{first}44")), "{done:?}");
        assert_eq!(peer.reply_to(request), done);
        peer.events();
        peer.endpoint.release(&mut peer.budget);
    }
}

#[test]
fn an_acknowledgement_that_went_before_a_5_03_is_kept() {
    let mut peer = Peer::new();
    peer.receive("41 02 0001 07 b1 61");
    let (exchange, _) = peer.request_received();
    peer.advance(Duration::from_secs(2));
    assert_eq!(peer.sent(), ["60000001"]);
    peer.respond(exchange, Response::new(Code::SERVICE_UNAVAILABLE).max_age(5)).expect("it is open");
    assert_eq!(peer.sent(), ["41a30a0007d10105"]);
    assert_eq!(peer.reply_to("41 02 0001 07 b1 61"), ["60000001"], "its answer is on its way");
    assert_eq!(peer.discards(), [Discard::Duplicate]);
}

/// A peer to which this request was answered 5.03.
fn refused(requests: &[&str]) -> Peer {
    let mut peer = Peer::new();
    for request in requests {
        peer.receive(request);
        let (exchange, _) = peer.request_received();
        peer.respond(exchange, Response::new(Code::SERVICE_UNAVAILABLE).max_age(5)).expect("it is open");
        peer.sent();
    }
    peer
}

#[test]
fn a_late_copy_of_what_was_refused_does_not_run_after_something_newer() {
    let (first, second) = ("41 02 0001 07 b1 61", "41 02 0002 08 b1 61");
    let refused_again = ["61a3000107d1011e".to_owned()];
    let mut peer = refused(&[first]);
    peer.serve(second, "newer");
    assert_eq!(peer.reply_to(first), refused_again);
    assert_eq!(peer.discards(), [Discard::Duplicate]);
    assert_eq!(peer.reply_to(&first.replace("41 02", "51 02")), [""; 0], "it is not acknowledged");
    assert_eq!(peer.discards(), [Discard::Duplicate]);
    // Nor while the newer one is worked on.
    let mut peer = refused(&[first]);
    peer.receive(second);
    peer.request_received();
    assert_eq!(peer.reply_to(first), refused_again);
    // Nor after a newer one that was refused at first, too.
    let mut peer = refused(&[first, second]);
    peer.serve(second, "newer");
    assert_eq!(peer.reply_to(first), refused_again);
    // A question changes nothing.
    let mut peer = refused(&[first]);
    peer.serve("41 01 0009 09 b1 62", "a GET");
    peer.serve(first, "it is the newest change");
    // After its lifetime its Message ID is another request's.
    let mut peer = refused(&[first]);
    peer.serve(second, "newer");
    peer.advance(Duration::from_secs(249));
    peer.serve(first, "new");
}

#[test]
fn a_late_copy_of_what_found_no_room_does_not_run_after_something_newer() {
    let mut peer = Peer::with(Params { exchanges_open_max: 1, ..Params::default() });
    peer.receive("41 02 0001 07 b1 61");
    let (exchange, _) = peer.request_received();
    let refused = peer.reply_to("41 02 0002 08 b1 61");
    assert_eq!((refused.len(), peer.discards()), (1, vec![Discard::ExchangesFull]));
    assert_eq!(peer.reply_to("41 02 0002 08 b1 61"), refused, "there is no room yet");
    assert_eq!(peer.discards(), [Discard::ExchangesFull]);
    peer.respond(exchange, Response::new(Code::CHANGED)).expect("it is open");
    peer.sent();
    peer.serve("41 02 0003 09 b1 61", "newer");
    assert_eq!(peer.reply_to("41 02 0002 08 b1 61"), refused);
    assert_eq!(peer.discards(), [Discard::Duplicate]);
}
