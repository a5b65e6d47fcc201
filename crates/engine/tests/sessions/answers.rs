//! Answers that are longer than a record of the session, or than a datagram.

use narrowgate_coap::{
    Block, Budget, Code, Context, Endpoint, Event, OptionNumber, Params, Request, Response,
};
use narrowgate_dtls::{ClientConfig, Opened, Session};
use narrowgate_engine::shard::stats::Counter;
use narrowgate_testkit::SeededRandom;

use crate::{World, both_suites};

#[test]
fn attack_028_an_answer_longer_than_the_negotiated_fragment_goes_in_blocks_or_shorter_or_is_5_00() {
    let long = "x".repeat(600);
    let heavy = Response::new(Code::CONTENT).option(OptionNumber(2102), "x".repeat(600)).payload("x");
    for (mfl, answer, expected) in [
        (Some(1), Response::new(Code::CONTENT).payload(long.clone()), (Code::CONTENT, 256)),
        (Some(1), Response::new(Code::BAD_OPTION).payload(long.clone()), (Code::BAD_OPTION, 0)),
        (Some(1), Response::new(Code::CONTENT).payload("x".repeat(480)), (Code::CONTENT, 480)),
        (Some(1), heavy, (Code::INTERNAL_SERVER_ERROR, 0)),
        (Some(2), Response::new(Code::CONTENT).payload(long.clone()), (Code::CONTENT, 600)),
        (None, Response::new(Code::CONTENT).payload(long.repeat(2)), (Code::CONTENT, 1024)),
    ] {
        for config in both_suites() {
            let (world, session) = World::connected(ClientConfig { max_fragment_length: mfl, ..config });
            let mut asker =
                Asker { endpoint: Endpoint::new(7), budget: Budget::new(1 << 20), session, world };
            asker.world.answer = answer.clone();
            let first = asker.ask(Request::get("/p"));
            assert_eq!((first.code, first.payload.len()), expected, "{mfl:?}");
            let shortened = u64::from(expected.1 == 0);
            assert_eq!(asker.world.count(Counter::MessagesTooLarge), shortened);
            // Header, token and payload marker are 9 bytes, the option 605.
            let is_told = expected.0 == Code::INTERNAL_SERVER_ERROR;
            assert_eq!(asker.world.too_long, if is_told { vec![(615, 512)] } else { vec![] }, "{mfl:?}");
            if expected.0 == Code::CONTENT {
                let mut whole = first.payload.to_vec();
                let mut last = first;
                while let Some(block) =
                    last.options.find_uint(OptionNumber::BLOCK2).and_then(Block::from_value)
                    && block.more
                {
                    let next = Block::new(block.number + 1, false, block.bytes()).expect("a size");
                    let value = next.value().to_be_bytes();
                    last = asker.ask(Request::get("/p").option(OptionNumber::BLOCK2, &value[1..]));
                    whole.extend_from_slice(&last.payload);
                }
                assert_eq!(*whole, *answer.payload, "{mfl:?}");
            }
            assert_eq!(asker.world.count(Counter::ResponsesLate), 0);
        }
    }
}

/// A device that asks by a session.
struct Asker {
    endpoint: Endpoint,
    budget: Budget,
    session: Session,
    world: World,
}

impl Asker {
    /// Sends a request, and a copy of it, which has the same answer.
    fn ask(&mut self, request: Request) -> Response {
        let Self { endpoint, budget, session, world } = self;
        let params = Params::default();
        let mut context = Context { now: world.now, params: &params, budget };
        endpoint.request(&mut context, request).expect("it fits");
        let (mut message, mut record) = (Vec::new(), Vec::new());
        assert!(endpoint.poll_transmit(&mut message));
        for _ in 0..2 {
            record.clear();
            session.seal(&message, &mut SeededRandom::new(3), &mut record).expect("it fits");
            let mut came = world.give(&record);
            assert_eq!(came.len(), 1, "one answer");
            let Ok(Opened::Application(plain)) = session.open(&mut came[0]) else { panic!("an answer") };
            endpoint.handle_message(&mut context, plain);
        }
        let events: Vec<_> = std::iter::from_fn(|| endpoint.poll_event()).collect();
        match events.into_iter().next() {
            Some(Event::Response { response, .. }) => response,
            other => panic!("{other:?}"),
        }
    }
}
