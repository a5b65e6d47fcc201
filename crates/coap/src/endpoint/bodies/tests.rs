use std::time::Duration;

use super::*;
use crate::{params::Params, test_clock::Bench};

fn answer(bytes: usize) -> Response {
    Response::new(Code::CONTENT).content_format(50).payload(vec![7; bytes])
}

/// The key of a POST of this target.
fn key(target: &str) -> CacheKey {
    let bytes = Request::post(target, 50, "").to_message_for_tests();
    CacheKey::of(&crate::Message::parse(&bytes).expect("we wrote it"))
}

impl Request {
    fn to_message_for_tests(&self) -> Vec<u8> {
        self.clone().into_message(1, Token::default())
    }
}

fn fetch(bodies: &mut Bodies, bench: &mut Bench, target: &str, number: u32) -> Outcome {
    let block2 = Block::new(number, false, 64);
    let options = BlockOptions { block2, ..BlockOptions::default() };
    let key = (key(target), Token::default());
    bodies.handle_request(&mut bench.context(), key, Request::post(target, 50, ""), &options)
}

#[test]
fn an_answer_without_memory_is_not_kept_and_one_that_is_kept_gives_all_back() {
    let mut bench = Bench::new(Params::default());
    let mut bodies = Bodies::default();
    bodies.keep(&mut bench.context(), key("/a"), answer(10 * 1024 + 1));
    assert!(bodies.is_empty(), "longer than a body may be");
    bodies.keep(&mut bench.context(), key("/a"), answer(128));
    let used = bench.budget.bytes_used();
    assert!(used > 128 && used < 512, "{used}");
    bodies.keep(&mut bench.context(), key("/a"), answer(128));
    assert_eq!(bench.budget.bytes_used(), used, "the newer takes the place of the older");
    let last = fetch(&mut bodies, &mut bench, "/a", 1);
    assert!(matches!(last, Outcome::Part(_)));
    assert!(bench.budget.bytes_used() < used, "the last block alone is held");
    assert_eq!(fetch(&mut bodies, &mut bench, "/a", 1), last, "its answer was lost");
    let gone = Outcome::Refused(RequestFault::AnswerGone { offset: 128 });
    assert_eq!(fetch(&mut bodies, &mut bench, "/a", 2), gone);
    bodies.keep(&mut bench.context(), key("/a"), answer(10 * 1024 + 1));
    assert!(bodies.is_empty() && bench.budget.bytes_used() == 0, "a newer answer has been given");

    let free = bench.budget.bytes_max() - 300;
    bench.budget.charge(free);
    bodies.keep(&mut bench.context(), key("/a"), answer(512));
    assert!(bodies.is_empty());
    let gone = Outcome::Refused(RequestFault::AnswerGone { offset: 64 });
    assert_eq!(fetch(&mut bodies, &mut bench, "/a", 1), gone);
}

#[test]
fn what_stands_still_longest_ends_first_whether_body_or_answer() {
    let mut bench = Bench::new(Params::default());
    let mut bodies = Bodies::default();
    for target in ["/a", "/b"] {
        bodies.keep(&mut bench.context(), key(target), answer(256));
        bench.now += Duration::from_secs(10);
    }
    assert!(matches!(fetch(&mut bodies, &mut bench, "/a", 1), Outcome::Part(_)));
    let block1 = Block::new(0, true, 16);
    let options = BlockOptions { block1, ..BlockOptions::default() };
    let request = Request::post("/c", 50, "16 bytes of body");
    let outcome =
        bodies.handle_request(&mut bench.context(), (key("/c"), Token::default()), request, &options);
    assert!(matches!(outcome, Outcome::Answer(it) if it.code == Code::CONTINUE));
    let gone = Outcome::Refused(RequestFault::AnswerGone { offset: 128 });
    assert_eq!(fetch(&mut bodies, &mut bench, "/b", 2), gone);
    assert!(matches!(fetch(&mut bodies, &mut bench, "/a", 2), Outcome::Part(_)));
    bench.now += Duration::from_secs(247);
    bodies.expire(&mut bench.context());
    assert_eq!((bodies.is_empty(), bench.budget.bytes_used()), (true, 0));
}

#[test]
fn a_block_fits_the_message_with_all_its_options() {
    let token = Token::new(&[1; 8]).expect("8 bytes");
    for message_bytes_max in 60..1300 {
        let wanted = Block::LARGEST;
        let (size2, room) = (true, (token, message_bytes_max));
        match cut(answer(2000), wanted, size2, room) {
            Cut::Block(mut part, rest) => {
                part.options.insert_uint(OptionNumber::BLOCK1, (1 << 24) - 2);
                assert!(part.head_bytes(token) + 1 + part.payload.len() <= message_bytes_max);
                assert!(rest.is_some() && part.payload.len().is_power_of_two());
            }
            Cut::TooLarge => assert!(message_bytes_max < 72, "{message_bytes_max}"),
            Cut::PastTheEnd => panic!("it has 2000 bytes"),
        }
    }
}

/// Block 0 of a body, more than any answer of these tests.
fn begin(bodies: &mut Bodies, bench: &mut Bench, target: &str) -> Outcome {
    let options = BlockOptions { block1: Block::new(0, true, 1024), ..BlockOptions::default() };
    let request = Request::post(target, 50, vec![7; 1024]);
    bodies.handle_request(&mut bench.context(), (key(target), Token::default()), request, &options)
}

#[test]
fn what_finds_no_memory_ends_no_other_transfer() {
    let mut bench = Bench::new(Params::default());
    let mut bodies = Bodies::default();
    for target in ["/a", "/b"] {
        bodies.keep(&mut bench.context(), key(target), answer(256));
    }
    let held = bench.budget.bytes_used();
    bench.budget.charge(bench.budget.bytes_max() - held);
    assert_eq!(begin(&mut bodies, &mut bench, "/c"), Outcome::Full);
    bodies.keep(&mut bench.context(), key("/d"), answer(2000));
    for target in ["/a", "/b"] {
        assert!(matches!(fetch(&mut bodies, &mut bench, target, 1), Outcome::Part(_)), "{target}");
    }
    assert_eq!(bench.budget.bytes_used(), bench.budget.bytes_max());
}

#[test]
fn a_last_block_ends_before_any_transfer_that_goes_on() {
    let mut bench = Bench::new(Params::default());
    let mut bodies = Bodies::default();
    bodies.keep(&mut bench.context(), key("/a"), answer(256));
    bodies.keep(&mut bench.context(), key("/b"), answer(65));
    assert!(matches!(fetch(&mut bodies, &mut bench, "/b", 1), Outcome::Part(_)));
    assert!(matches!(begin(&mut bodies, &mut bench, "/c"), Outcome::Answer(_)));
    let gone = Outcome::Refused(RequestFault::AnswerGone { offset: 64 });
    assert_eq!(fetch(&mut bodies, &mut bench, "/b", 1), gone);
    assert!(matches!(fetch(&mut bodies, &mut bench, "/a", 1), Outcome::Part(_)));
}
