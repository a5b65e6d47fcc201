//! Transfers in blocks that go wrong. The numbers are those of the product's catalogue of attacks, group H.

use std::time::Duration;

use narrowgate_coap::{Block, BlockFault, Budget, Code, Discard, Event, OptionNumber, Params, RequestFault};
use proptest::{collection::vec, prelude::*};

use crate::{
    blocks::{Part, body, changed},
    peer::Peer,
};

const INCOMPLETE: Code = Code::REQUEST_ENTITY_INCOMPLETE;

/// A part is refused by this code; what is reported is returned.
#[track_caller]
fn refused(peer: &mut Peer, part: &Part, code: Code) -> RequestFault {
    let [sent] = &peer.take(part)[..] else { panic!("one answer to {part:?}") };
    assert_eq!((sent.code, sent.payload.len()), (code, 0), "{part:?}");
    let sent = sent.clone();
    let fault = match &peer.events()[..] {
        [Event::Refused(refused), Event::Discarded(_)] => refused.fault,
        other => panic!("{part:?}: {other:?}"),
    };
    assert_eq!(peer.take(part), [sent], "a copy gets the same answer");
    assert!(matches!(peer.events()[..], [Event::Discarded(Discard::Duplicate)]), "and is not told again");
    fault
}

#[test]
fn attack_135_a_body_that_begins_in_the_middle() {
    let (mut peer, body) = (Peer::new(), body(7000));
    let fault = refused(&mut peer, &Part::of(&body, 1, 5, 1024), INCOMPLETE);
    assert_eq!(fault, RequestFault::BlockMissing { offset: 5120, held: None });
    assert_eq!(peer.answer_to(&Part::of(&body, 2, 0, 1024)).code, Code::CONTINUE, "it may begin now");
    peer.assert_forgets_all();
}

#[test]
fn attack_136_gaps_order_and_duplicates() {
    let (mut peer, body) = (Peer::new(), body(200));
    let part = |mid, number| Part::of(&body, mid, number, 64);
    assert_eq!(peer.answer_to(&part(0, 0)).code, Code::CONTINUE);
    let fault = refused(&mut peer, &part(1, 2), INCOMPLETE);
    assert_eq!(fault, RequestFault::BlockMissing { offset: 128, held: Some(64) });
    // What was held is gone.
    let fault = refused(&mut peer, &part(2, 1), INCOMPLETE);
    assert_eq!(fault, RequestFault::BlockMissing { offset: 64, held: None });
    let first = peer.answer_to(&part(3, 0));
    assert_eq!(peer.answer_to(&part(3, 0)), first, "the same message");
    let again = peer.answer_to(&part(4, 0));
    assert_eq!((again.code, again.block1()), (first.code, first.block1()), "another Message ID");
    for number in [1, 2, 1, 2] {
        let answer = peer.answer_to(&part(10 + number as u16, number));
        assert_eq!((answer.code, answer.block1()), (Code::CONTINUE, Some((number, true, 64))));
        let again = peer.answer_to(&part(20 + number as u16, number));
        assert_eq!((again.code, again.block1()), (answer.code, answer.block1()));
    }
    let (_, received) = peer.complete(&part(30, 3), changed(b""));
    assert_eq!(received, body);
    // The body is delivered; its last block alone is none.
    refused(&mut peer, &part(31, 3), INCOMPLETE);
    peer.assert_forgets_all();
}

#[test]
fn attack_136_a_block_that_contradicts_what_came_before() {
    let body = body(200);
    for wrong in [
        Part::of(&body, 9, 1, 64).payload(&[0; 64]),
        Part::post(9).block1(0, true, 128).payload(&body[..128]).block2(1, 64),
        Part::post(9).block1(1, false, 64).payload(&body[64..80]),
        Part::of(&body, 9, 3, 32).payload(&[0; 32]),
    ] {
        let mut peer = Peer::new();
        for number in 0..2 {
            peer.answer_to(&Part::of(&body, number as u16, number, 64));
        }
        refused(&mut peer, &wrong, INCOMPLETE);
        peer.assert_forgets_all();
    }
}

#[test]
fn attack_137_the_size_exponent_7() {
    let mut peer = Peer::new();
    for (number, mid) in [(OptionNumber::BLOCK1, 1), (OptionNumber::BLOCK2, 2)] {
        for (method, value) in [(Code::GET, 0x07), (Code::POST, 0x0f), (Code::POST, 0x17)] {
            let mid = mid * 256 + value as u16 + u16::from(method.0) * 16;
            let fault = refused(&mut peer, &Part::new(method, mid).uint(number, value), Code::BAD_REQUEST);
            assert_eq!(fault, RequestFault::Block { number, fault: BlockFault::SizeReserved });
        }
    }
    assert_eq!(peer.budget.bytes_used(), 0, "nothing is kept");
}

#[test]
fn a_payload_of_another_length_than_the_block_and_blocks_of_no_body_are_refused() {
    let mut peer = Peer::new();
    let number = OptionNumber::BLOCK1;
    for (mid, bytes, more) in [(1, 63, true), (2, 65, true), (3, 0, true), (4, 65, false)] {
        let part = Part::post(mid).block1(1, more, 64).payload(&body(bytes));
        let fault = refused(&mut peer, &part, Code::BAD_REQUEST);
        let expected = BlockFault::Payload { bytes, expected: 64 };
        assert_eq!(fault, RequestFault::Block { number, fault: expected });
    }
    for (mid, method) in [(5, Code::GET), (6, Code::DELETE)] {
        let part = Part::new(method, mid).block1(0, true, 16).payload(&body(16));
        let fault = refused(&mut peer, &part, Code::BAD_REQUEST);
        assert_eq!(fault, RequestFault::Block { number, fault: BlockFault::NoBody });
    }
}

#[test]
fn attack_140_a_size_that_is_announced_is_believed_only_to_refuse() {
    let (mut peer, body) = (Peer::new(), body(20_000));
    for (mid, size) in [(1, u32::MAX), (2, 10 * 1024 + 1)] {
        let part = Part::of(&body, mid, 0, 64).uint(OptionNumber::SIZE1, size);
        let before = peer.budget.bytes_used();
        let [sent] = &peer.take(&part)[..] else { panic!("one answer") };
        assert_eq!(sent.code, Code::REQUEST_ENTITY_TOO_LARGE);
        assert_eq!(sent.option(OptionNumber::SIZE1), Some(10 * 1024), "our limit");
        assert!(peer.budget.bytes_used() - before < 64, "nothing but the answer is kept");
    }
    let part = Part::of(&body, 3, 0, 64).uint(OptionNumber::SIZE1, 10 * 1024);
    assert_eq!(peer.answer_to(&part).code, Code::CONTINUE);
    assert!(peer.budget.bytes_used() < 1024, "what may come takes no memory");
}

#[test]
fn attack_141_a_body_that_grows_too_large() {
    for (limit, bytes) in [(10 * 1024, 1024), (1000, 64)] {
        let mut peer = Peer::with(Params { body_bytes_max: limit, ..Params::default() });
        let (whole, long) = (body(limit), body(limit + 1));
        let last = (limit / bytes) as u32;
        for number in 0..last {
            let code = peer.answer_to(&Part::of(&long, number as u16, number, bytes)).code;
            assert_eq!(code, Code::CONTINUE, "block {number}");
        }
        let crossing = Part::of(&long, 1000, last, bytes);
        let fault = refused(&mut peer, &crossing, Code::REQUEST_ENTITY_TOO_LARGE);
        assert_eq!(fault, RequestFault::BodyTooLarge { bytes: limit + 1, bytes_max: limit });
        refused(&mut peer, &Part::of(&long, 1001, last - 1, bytes), INCOMPLETE);
        // One byte less is not too large.
        let last = (limit as u32 - 1) / bytes as u32;
        for number in 0..last {
            peer.answer_to(&Part::of(&whole, 2000 + number as u16, number, bytes));
        }
        let (_, received) = peer.complete(&Part::of(&whole, 3000, last, bytes), changed(b""));
        assert!(received == whole);
        peer.assert_forgets_all();
    }
}

#[test]
fn attack_141_the_highest_number_of_a_block() {
    let mut peer = Peer::new();
    let part = Part::post(1).block1(Block::NUMBER_MAX, false, 1024).payload(b"x");
    refused(&mut peer, &part, Code::REQUEST_ENTITY_TOO_LARGE);
    let part = Part::post(2).block1(Block::NUMBER_MAX, true, 16).payload(&[0; 16]);
    refused(&mut peer, &part, Code::REQUEST_ENTITY_TOO_LARGE);
}

#[test]
fn attack_142_a_third_transfer_ends_the_one_that_stood_still_longest() {
    let (mut peer, body) = (Peer::new(), body(100));
    let part = |path, mid, number| Part::of(&body, mid, number, 32).path(path);
    for (mid, path) in [(1, "a"), (2, "b")] {
        assert_eq!(peer.answer_to(&part(path, mid, 0)).code, Code::CONTINUE);
    }
    assert_eq!(peer.answer_to(&part("a", 3, 1)).code, Code::CONTINUE);
    assert_eq!(peer.answer_to(&part("c", 4, 0)).code, Code::CONTINUE);
    let fault = refused(&mut peer, &part("b", 5, 1), INCOMPLETE);
    assert_eq!(fault, RequestFault::BlockMissing { offset: 32, held: None });
    assert_eq!(peer.answer_to(&part("a", 6, 2)).code, Code::CONTINUE);
    assert_eq!(peer.answer_to(&part("c", 7, 1)).code, Code::CONTINUE);
    peer.assert_forgets_all();
}

#[test]
fn attack_142_a_body_that_is_never_finished_is_dropped_after_247_seconds() {
    let (mut peer, body) = (Peer::new(), body(100));
    assert_eq!(peer.answer_to(&Part::of(&body, 1, 0, 32)).code, Code::CONTINUE);
    peer.advance(Duration::from_secs(246));
    assert_eq!(peer.answer_to(&Part::of(&body, 2, 1, 32)).code, Code::CONTINUE, "it goes on");
    peer.advance(Duration::from_secs(247));
    assert!(peer.endpoint.is_idle() && peer.budget.bytes_used() == 0, "by its timer");
    refused(&mut peer, &Part::of(&body, 3, 2, 32), INCOMPLETE);
    peer.assert_forgets_all();
}

#[test]
fn attack_142_many_sessions_share_what_bodies_may_take() {
    let (mut peers, body): (Vec<_>, _) = ((0..100).map(|_| Peer::new()).collect(), body(10_000));
    let mut budget = Budget::new(1 << 20);
    let (mut begun, mut full) = (0, 0);
    for number in 0..20 {
        for peer in &mut peers {
            std::mem::swap(&mut peer.budget, &mut budget);
            for (path, mid) in [("a", 0), ("b", 100), ("c", 200)] {
                let part = Part::of(&body, mid + number as u16, number, 256).path(path);
                match peer.take(&part)[0].code {
                    Code::CONTINUE => begun += 1,
                    Code::SERVICE_UNAVAILABLE => full += 1,
                    code => assert_eq!(code, INCOMPLETE),
                }
                let told = peer.events();
                let is_full = told.contains(&Event::Discarded(Discard::BodyBudgetSpent));
                assert!(told.len() <= 2 && (!is_full || told.len() == 1), "{told:?}");
            }
            std::mem::swap(&mut peer.budget, &mut budget);
        }
    }
    assert!(begun > 100 && full > 100, "{begun}, {full}");
    let bodies_and_answers = (1 << 18) + 100 * 60 * 30;
    assert!(budget.bytes_used() <= bodies_and_answers, "{} bytes", budget.bytes_used());
    // Somebody who holds nothing reports as ever.
    let mut other = Peer { budget, ..Peer::new() };
    let (answer, _) = other.complete(&Part::post(1), changed(b""));
    assert_eq!(answer.code, Code::CHANGED);
    other.endpoint.release(&mut other.budget);
    for mut peer in peers {
        peer.endpoint.release(&mut other.budget);
    }
    assert_eq!(other.budget.bytes_used(), 0, "all comes back");
}

#[test]
fn attack_142_a_transfer_without_memory_is_told_to_wait_and_is_over() {
    let (mut peer, body) = (Peer::new(), body(2000));
    peer.budget = Budget::new(8 * 1024);
    for number in 0..4 {
        let part = Part::of(&body, number as u16, number, 512);
        let sent = peer.take(&part);
        let events = peer.events();
        if sent[0].code == Code::CONTINUE {
            continue;
        }
        assert_eq!((sent[0].code, number), (Code::SERVICE_UNAVAILABLE, 1));
        assert_eq!(sent[0].option(OptionNumber::MAX_AGE), Some(30));
        assert_eq!(events, [Event::Discarded(Discard::BodyBudgetSpent)]);
        break;
    }
    let non = Part::of(&body, 9, 1, 512).non_confirmable();
    refused(&mut peer, &non, INCOMPLETE);
    peer.assert_forgets_all();
}

#[test]
fn attack_142_a_block_that_is_held_back_changes_nothing() {
    let (mut peer, body) = (Peer::new(), body(100));
    assert_eq!(peer.answer_to(&Part::of(&body, 0, 0, 32)).code, Code::CONTINUE);
    assert_eq!(peer.answer_to(&Part::of(&body, 1, 1, 32)).code, Code::CONTINUE);
    let used = peer.budget.bytes_used();
    for (mid, number) in [(2, 2), (3, 0), (4, 3)] {
        let bytes = Part::of(&body, mid, number, 32).bytes();
        for _ in 0..2 {
            peer.with_context(|endpoint, context| endpoint.handle_message_held_back(context, &bytes, 7));
            let [sent] = &peer.sent()[..] else { panic!("one answer") };
            assert!(sent.starts_with("629d") && sent.ends_with("d10107"), "4.29 with Max-Age 7: {sent}");
            assert_eq!(peer.discards(), [Discard::HeldBack]);
        }
    }
    assert_eq!(peer.budget.bytes_used(), used, "nothing is kept of it");
    // The same message goes on later. A whole request is handed over; to hold it back is its user's part.
    assert_eq!(peer.answer_to(&Part::of(&body, 2, 2, 32)).code, Code::CONTINUE);
    let bytes = Part::post(9).payload(b"{}").block2(0, 64).bytes();
    peer.with_context(|endpoint, context| endpoint.handle_message_held_back(context, &bytes, 7));
    peer.request_received();
    let (_, received) = peer.complete(&Part::of(&body, 4, 3, 32), changed(b""));
    assert_eq!(received, body);
}

#[test]
fn attack_143_bodies_of_one_path_are_told_apart_by_their_request_tags() {
    let (mut peer, one, other) = (Peer::new(), body(100), vec![9; 100]);
    let part = |body: &[u8], tag, mid, number| Part::of(body, mid, number, 32).tag(tag);
    for number in 0..3 {
        for (body, tag, mid) in [(&one, "a", 0), (&other, "b", 100)] {
            let answer = peer.answer_to(&part(body, tag, mid + number as u16, number));
            assert_eq!((answer.code, answer.block1()), (Code::CONTINUE, Some((number, true, 32))));
        }
    }
    // Without a tag it is a third one, which ends the first.
    assert_eq!(peer.answer_to(&Part::of(&one, 200, 0, 32)).code, Code::CONTINUE);
    refused(&mut peer, &part(&one, "a", 3, 3), INCOMPLETE);
    let (_, received) = peer.complete(&part(&other, "b", 103, 3), changed(b""));
    assert_eq!(received, other);
    // Blocks of one under the other's tag are never mixed in.
    peer.answer_to(&part(&one, "a", 10, 0));
    peer.answer_to(&part(&other, "b", 110, 0));
    refused(&mut peer, &part(&one, "b", 11, 0).block2(1, 64), INCOMPLETE);
    peer.assert_forgets_all();
}

#[test]
fn attack_143_answers_to_one_path_are_told_apart_by_their_request_tags() {
    let (mut peer, one, other) = (Peer::new(), body(100), vec![9; 100]);
    let ask = |tag, mid| Part::post(mid).payload(b"{}").uint(OptionNumber::CONTENT_FORMAT, 50).tag(tag);
    peer.complete(&ask("a", 1).block2(0, 64), changed(&one));
    peer.complete(&ask("b", 2).block2(0, 64), changed(&other));
    // Further blocks are asked for without a body, and so without its format.
    refused(&mut peer, &Part::post(3).tag("c").block2(1, 64), INCOMPLETE);
    for (tag, mid, body) in [("a", 4, &one), ("b", 5, &other)] {
        let rest = peer.answer_to(&Part::post(mid).tag(tag).block2(1, 64));
        assert_eq!(rest.payload, body[64..]);
    }
    peer.assert_forgets_all();
}

#[test]
fn attack_144_behind_the_end_of_an_answer() {
    let (mut peer, long) = (Peer::new(), body(100));
    let (first, _) = peer.complete(&Part::post(1).block2(0, 64), changed(&long));
    for (mid, number, bytes) in [(2, 2, 64), (3, Block::NUMBER_MAX, 64), (4, Block::NUMBER_MAX, 1024)] {
        let fault = refused(&mut peer, &Part::post(mid).block2(number, bytes), Code::BAD_REQUEST);
        let fault_expected = BlockFault::PastTheEnd { bytes: 100 };
        assert_eq!(fault, RequestFault::Block { number: OptionNumber::BLOCK2, fault: fault_expected });
    }
    let rest = peer.answer_to(&Part::post(5).block2(1, 64));
    assert_eq!([first.payload, rest.payload].concat(), long, "the answer is still there");
    peer.assert_forgets_all();
}

#[test]
fn attack_144_an_answer_that_is_gone_is_asked_for_again_by_get_alone() {
    let (mut peer, long) = (Peer::new(), body(100));
    let (first, _) = peer.complete(&Part::new(Code::GET, 1).block2(0, 64), changed(&long));
    let tag = first.option(OptionNumber::ETAG);
    peer.advance(Duration::from_secs(247));
    let (same, _) = peer.complete(&Part::new(Code::GET, 2).block2(1, 64), changed(&long));
    assert_eq!((same.option(OptionNumber::ETAG), &same.payload[..]), (tag, &long[64..]));
    // It has changed meanwhile: the client sees that and begins again.
    let (other, _) = peer.complete(&Part::new(Code::GET, 3).block2(1, 64), changed(&[1; 100]));
    assert_ne!(other.option(OptionNumber::ETAG), tag);
    let (past, _) = peer.complete(&Part::new(Code::GET, 4).block2(2, 64), changed(&long));
    assert_eq!((past.code, past.payload.len()), (Code::BAD_REQUEST, 0));
    let fault = refused(&mut peer, &Part::post(5).payload(b"{}").block2(1, 64), INCOMPLETE);
    assert_eq!(fault, RequestFault::AnswerGone { offset: 64 });
    peer.assert_forgets_all();
}

#[test]
fn attack_145_blocks_of_a_reliable_transport() {
    let mut peer = Peer::new();
    // RFC 8323 6: "BERT", several blocks of 1024 bytes at once.
    let part = Part::post(1).uint(OptionNumber::BLOCK1, 0x0f).payload(&body(4096));
    refused(&mut peer, &part, Code::BAD_REQUEST);
    refused(&mut peer, &Part::new(Code::GET, 2).uint(OptionNumber::BLOCK2, 0x17), Code::BAD_REQUEST);
    assert!(peer.endpoint.is_idle() || peer.budget.bytes_used() == 0);
}

#[test]
fn attack_145_a_body_and_an_answer_in_blocks() {
    let (mut peer, body, long) = (Peer::new(), body(100), vec![3; 50]);
    for number in 0..3 {
        let part = Part::of(&body, number as u16, number, 32).block2(0, 16).tag("t");
        let answer = peer.answer_to(&part);
        assert_eq!((answer.code, answer.block2()), (Code::CONTINUE, None));
    }
    let part = Part::of(&body, 3, 3, 32).block2(0, 16).tag("t");
    let (first, received) = peer.complete(&part, changed(&long));
    assert_eq!(received, body);
    assert_eq!((first.block1(), first.block2()), (Some((3, false, 32)), Some((0, true, 16))));
    let mut answer = first.payload;
    for number in 1..4 {
        // RFC 9175 lets a client leave its tag out here.
        let part = Part::post(3 + number as u16).block2(number, 16);
        let block = peer.answer_to(&if number == 2 { part.tag("t") } else { part });
        assert_eq!((block.block1(), block.block2()), (None, Some((number, number < 3, 16))));
        answer.extend(block.payload);
    }
    assert_eq!(answer, long);
    peer.assert_forgets_all();
}

#[test]
fn attack_146_a_single_block_is_a_plain_request() {
    for bytes in [0, 10, 64, 100] {
        let mut peer = Peer::new();
        let part = Part::post(1).block1(0, false, 64).payload(&body(bytes));
        let (answer, received) = peer.complete(&part, changed(b"ok"));
        assert_eq!((received, answer.block1()), (body(bytes), Some((0, false, 64))));
        let (answer, _) = peer.complete(&Part::new(Code::GET, 2).block1(0, false, 64), changed(b"ok"));
        assert_eq!(answer.payload, b"ok");
        peer.assert_forgets_all();
    }
}

/// One step of a network between two transfers and their server.
#[derive(Debug, Clone, Copy)]
struct Step {
    of_second: bool,
    block: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = |(of_second, block)| Step { of_second, block };
    vec((any::<bool>(), 0_usize..4).prop_map(step), 0..60)
}

/// The bodies that a server hears of from these parts, in this order.
fn heard(steps: impl Iterator<Item = Part>) -> Vec<Vec<u8>> {
    let (mut peer, mut heard) = (Peer::new(), Vec::new());
    for part in steps {
        peer.receive_bytes(&part.bytes());
        for event in peer.events() {
            if let Event::Request { exchange, request } = event {
                heard.push(request.payload);
                peer.respond(exchange, changed(b"")).expect("the exchange is open");
            }
        }
        peer.sent();
    }
    peer.assert_forgets_all();
    heard
}

proptest! {
    /// Any blocks of two bodies, lost, doubled and in any order: each body is heard once and whole, or not.
    #[test]
    fn attack_143_each_body_is_heard_once_and_whole_or_not_at_all(steps in steps(), by_tag: bool) {
        let bodies = [body(100), vec![7; 110]];
        let part = |Step { of_second, block }: Step| {
            let (index, mid) = (usize::from(of_second), u16::from(of_second) * 100 + block as u16);
            let part = Part::of(&bodies[index], mid, block as u32, 32);
            match (by_tag, of_second) {
                (true, _) => part.tag(if of_second { "b" } else { "a" }),
                (false, false) => part,
                (false, true) => part.path("b"),
            }
        };
        let mut heard = heard(steps.into_iter().map(part));
        heard.sort();
        let mut whole = bodies.to_vec();
        whole.sort();
        whole.retain(|body| heard.contains(body));
        prop_assert_eq!(heard, whole);
    }

    /// Both clients go on when their block is acknowledged and repeat it until then: both bodies arrive.
    #[test]
    fn attack_143_two_patient_clients_deliver_both_bodies(
        turns in vec((any::<bool>(), any::<bool>(), 1_usize..3), 200),
    ) {
        let bodies = [body(100), vec![7; 110]];
        let (mut peer, mut next, mut heard) = (Peer::new(), [0_usize; 2], Vec::new());
        for (of_second, answer_is_lost, copies) in turns {
            let index = usize::from(of_second);
            let (mid, number) = ((index * 100 + next[index]) as u16, next[index].min(3) as u32);
            let part = Part::of(&bodies[index], mid, number, 32);
            let part = part.tag(if of_second { "b" } else { "a" });
            if next[index] > 3 {
                continue;
            }
            for _ in 0..copies {
                peer.receive_bytes(&part.bytes());
                for event in peer.events() {
                    if let Event::Request { exchange, request } = event {
                        heard.push(request.payload);
                        peer.respond(exchange, changed(b"")).expect("the exchange is open");
                    }
                }
            }
            let is_answered = peer.sent().len() == copies;
            prop_assert!(is_answered);
            next[index] += usize::from(!answer_is_lost);
        }
        heard.sort();
        let mut whole = bodies.to_vec();
        whole.sort();
        prop_assert_eq!(heard, whole);
    }
}
