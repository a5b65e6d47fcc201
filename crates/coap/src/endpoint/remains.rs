//! What an endpoint of plain CoAP leaves to the next one of the same peer: the answers that it had stored.
//!
//! RFC 7252 counts Message IDs by the peer's address and port. Over DTLS a new association is a new peer, and
//! copies of what belongs to the old one are dropped with its keys. Without DTLS the same peer may begin
//! anew, and a late copy of what it has posted before must not run again. But it may have restarted, and
//! count its messages from the same number: so what is left answers only a request that is the same in every
//! bit of its digest, and is no reason to call the peer one that miscounts.
//!
//! Left is what answered a request that ran and that changes something, and what was refused for want of
//! room: the peer knows that, and a late copy is refused again. What answered a part of a body ends
//! with the endpoint, as the parts do; a body in blocks is compared when it is whole. What is left lies in
//! the list of the endpoint that it is left to, beside its own answers, and shares limits and timer with
//! them.

use std::time::Instant;

use super::{Endpoint, outbox::Transmit, turned_away::TurnedAway};
use crate::{
    budget::Budget,
    context::Context,
    dedup::{Asked, StoredAnswers},
    discard::Discard,
    fingerprint::Digest,
    message::{Kind, Message, MessageWriter, empty_message},
    option::OptionNumber,
    payload::Payload,
};

/// See the module. It is to be given to an endpoint, or back to the budget.
#[derive(Debug)]
pub struct Remains {
    answers: Option<Box<StoredAnswers>>,
    /// What the endpoint refused for want of room, and until when that is of use. The peer logs in anew, so
    /// its copies are of no use any more.
    refused: Option<(Box<TurnedAway>, Instant)>,
}

impl Remains {
    /// When the last of the answers expires: from then on this is of no use.
    #[must_use]
    pub fn expires(&self) -> Instant {
        let answers = self.answers.as_ref().map(|answers| answers.latest_expiry());
        let refused = self.refused.as_ref().map(|(_, until)| *until);
        answers.max(refused).expect("one of them is there")
    }

    /// Returns all bytes to the budget.
    pub fn release(self, budget: &mut Budget) {
        if let Some(answers) = self.answers {
            budget.refund(answers.bytes());
        }
        if let Some((mut refused, _)) = self.refused {
            refused.release(budget);
        }
    }
}

impl Endpoint {
    /// Ends everything, as [`Endpoint::release`] does, but for the answers that a later endpoint of the peer
    /// must know, also those that were left to this one; `None` if there are none, and outside of plain CoAP
    /// ([`Endpoint::plain`]). A request that waits for its answer counts as answered: it may have run, so its
    /// copy is acknowledged and nothing more.
    pub fn leave(&mut self, context: &mut Context<'_>) -> Option<Remains> {
        let open = self.active.as_ref().filter(|_| self.is_plain);
        for exchange in open.iter().flat_map(|active| active.incoming.iter()) {
            let mid = exchange.id.mid();
            let asked = Asked::of(mid, exchange.digest, exchange.wish.is_safe);
            let answer = empty_message(Kind::Acknowledgement, mid);
            self.answers.insert(context, (asked, true), exchange.expires, &answer);
        }
        let answers = self.answers.leave(context);
        let refused = self.leave_refused(context);
        self.release(context.budget);
        (answers.is_some() || refused.is_some()).then_some(Remains { answers, refused })
    }

    fn leave_refused(&mut self, context: &mut Context<'_>) -> Option<(Box<TurnedAway>, Instant)> {
        let lasting = self.lasting.as_mut().filter(|_| self.is_plain)?;
        let until = lasting.until?;
        lasting.turned_away.expire(context);
        let refused = std::mem::take(&mut lasting.turned_away);
        (!refused.is_empty()).then(|| (Box::new(refused), until))
    }

    /// Takes over what an earlier endpoint of this peer has left, before anything was answered; one that has
    /// answered already gives it back to the budget.
    pub fn inherit(&mut self, context: &mut Context<'_>, remains: Remains) {
        let Remains { answers, refused } = remains;
        if let Some(too_late) = answers.and_then(|answers| self.answers.inherit(answers)) {
            context.budget.refund(too_late.bytes());
        }
        self.answers.clean(context);
        let Some((mut refused, until)) = refused else { return };
        if self.lasting.is_some() {
            return refused.release(context.budget);
        }
        refused.outrun_all(self.serial);
        let lasting = self.lasting.get_or_insert_default();
        (lasting.turned_away, lasting.until) = (*refused, Some(until));
    }

    /// Answers a copy of a request to an earlier endpoint; `false` if the message is none.
    pub(super) fn replay_left(&mut self, context: &Context<'_>, message: &Message<'_>) -> bool {
        if !self.is_plain || !message.code.is_request() {
            return false;
        }
        let answer = self.left_answer(context, message.mid, Digest::of(message));
        answer.is_some_and(|answer| self.answer_copy(message, answer))
    }

    /// Answers a copy of the last block of a body that an earlier endpoint has passed on, where all of the
    /// body has come again; `false` if it is none. Further copies of the block find its answer among the
    /// endpoint's own, as the body is gone.
    pub(super) fn replay_left_body(
        &mut self,
        context: &mut Context<'_>,
        message: &Message<'_>,
        digest: Digest,
    ) -> bool {
        let Some(answer) = self.left_answer(context, message.mid, digest) else { return false };
        let expires = context.now + context.params.lifetime(message.kind == Kind::Confirmable);
        let asked = Asked::of(message.mid, digest, false);
        self.answers.insert(context, (asked, self.is_plain), expires, &answer);
        self.answers.mark(&answer);
        self.answer_copy(message, answer)
    }

    fn left_answer(&self, context: &Context<'_>, mid: u16, digest: Digest) -> Option<Payload> {
        let stored = self.answers.find_left(context.now, mid, digest)?;
        let answer = stored.message(context.params.answer_frame);
        Some(answer.mark(bare(&answer)))
    }

    fn answer_copy(&mut self, message: &Message<'_>, answer: Payload) -> bool {
        if message.kind == Kind::Confirmable && Kind::of(&answer) == Some(Kind::Acknowledgement) {
            self.outbox().transmit(Transmit::Message(answer));
        }
        self.outbox().discard(Discard::Duplicate);
        true
    }
}

/// An answer without its options, which spoke of another time (a command that waited then), but for the
/// format of its payload and the block that it answers.
fn bare(answer: &[u8]) -> Vec<u8> {
    let Ok(message) = Message::parse(answer) else { return Vec::new() };
    let mut bytes = Vec::with_capacity(answer.len());
    let mut writer = MessageWriter::new(&mut bytes, message.kind, message.code, message.mid, message.token);
    for (number, value) in message.options() {
        if [OptionNumber::CONTENT_FORMAT, OptionNumber::BLOCK1].contains(&number) {
            writer.option(number, value);
        }
    }
    writer.payload(message.payload);
    bytes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        Code, Event, Params, Response, Token,
        test_clock::{Bench, start},
    };

    const COMMAND: OptionNumber = OptionNumber(2102);

    fn post(mid: u16, payload: &str) -> Vec<u8> {
        request(Code::POST, mid, payload)
    }

    fn request(code: Code, mid: u16, payload: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        MessageWriter::new(&mut bytes, Kind::Confirmable, code, mid, Token::default())
            .payload(payload.as_bytes());
        bytes
    }

    /// What an endpoint makes of a message: an answer at once, or a request, which is answered 2.04.
    fn handle(bench: &mut Bench, endpoint: &mut Endpoint, message: &[u8]) -> (bool, Vec<u8>) {
        endpoint.handle_message(&mut bench.context(), message);
        let mut asked = false;
        while let Some(event) = endpoint.poll_event() {
            match event {
                Event::Request { exchange, .. } => {
                    asked = true;
                    let response = Response::new(Code::CHANGED).option(COMMAND, b"open").payload("done");
                    endpoint.respond(&mut bench.context(), exchange, response).expect("it is open");
                }
                Event::Discarded(Discard::Duplicate) => {}
                other => panic!("{other:?}"),
            }
        }
        let mut answer = Vec::new();
        endpoint.poll_transmit(&mut answer);
        (asked, answer)
    }

    #[test]
    fn what_was_posted_before_runs_once_and_its_copy_is_answered_without_what_waited_then() {
        let mut bench = Bench::new(Params::default());
        let mut first = Endpoint::plain(0);
        let (_, answer) = handle(&mut bench, &mut first, &post(1, "report"));
        assert!(Message::parse(&answer).expect("ours").options().any(|(number, _)| number == COMMAND));
        let remains = first.leave(&mut bench.context()).expect("an answer");
        assert_eq!(remains.expires(), start() + Duration::from_secs(247));

        let mut second = Endpoint::plain(0);
        second.inherit(&mut bench.context(), remains);
        let (asked, copy) = handle(&mut bench, &mut second, &post(1, "report"));
        let copy = Message::parse(&copy).expect("ours");
        assert_eq!((asked, copy.code, copy.mid, copy.payload), (false, Code::CHANGED, 1, &b"done"[..]));
        assert_eq!(copy.options().count(), 0);
        // It has restarted and counts from the same number.
        assert!(handle(&mut bench, &mut second, &post(1, "another")).0);
        assert!(handle(&mut bench, &mut second, &request(Code::GET, 2, "")).0);

        // The next one inherits from both; a GET runs again, for that does no harm.
        let mut third = Endpoint::plain(0);
        let remains = second.leave(&mut bench.context()).expect("answers");
        third.inherit(&mut bench.context(), remains);
        for (message, asked) in [
            (post(1, "report"), false),
            (post(1, "another"), false),
            (request(Code::GET, 2, ""), true),
            (post(1, "a third"), true),
        ] {
            assert_eq!(handle(&mut bench, &mut third, &message).0, asked, "{message:02x?}");
        }
        assert_eq!(third.poll_timeout(), Some(start() + Duration::from_secs(247)));
        bench.now += Duration::from_secs(247);
        third.handle_timeout(&mut bench.context());
        assert_eq!((third.poll_timeout(), bench.budget.bytes_used()), (None, 0));
        assert!(third.is_idle() && third.leave(&mut bench.context()).is_none());
    }

    #[test]
    fn what_waits_for_its_answer_at_the_end_does_not_run_again() {
        let mut bench = Bench::new(Params::default());
        let mut first = Endpoint::plain(0);
        first.handle_message(&mut bench.context(), &post(1, "report"));
        assert!(matches!(first.poll_event(), Some(Event::Request { .. })));
        let mut second = Endpoint::plain(0);
        let remains = first.leave(&mut bench.context()).expect("it may have run");
        second.inherit(&mut bench.context(), remains);
        let (asked, copy) = handle(&mut bench, &mut second, &post(1, "report"));
        assert_eq!((asked, copy), (false, vec![0x60, 0, 0, 1]));
        second.release(&mut bench.budget);
        assert_eq!(bench.budget.bytes_used(), 0);
    }

    #[test]
    fn what_was_refused_for_want_of_room_is_refused_again_after_the_peer_began_anew() {
        let mut bench = Bench::new(Params::default());
        let mut first = Endpoint::plain(0);
        first.handle_message(&mut bench.context(), &post(1, "seven"));
        let Some(Event::Request { exchange, .. }) = first.poll_event() else { panic!("it is asked") };
        let busy = Response::new(Code::SERVICE_UNAVAILABLE);
        first.respond(&mut bench.context(), exchange, busy).expect("it is open");
        let remains = first.leave(&mut bench.context()).expect("what was refused");
        assert!(remains.expires() >= start() + Duration::from_secs(247));
        let mut second = Endpoint::plain(0);
        second.inherit(&mut bench.context(), remains);
        let (asked, copy) = handle(&mut bench, &mut second, &post(1, "seven"));
        assert_eq!((asked, Message::parse(&copy).expect("ours").code), (false, Code::SERVICE_UNAVAILABLE));
        // What the peer says now is refused and repeated as ever.
        assert!(handle(&mut bench, &mut second, &post(1, "eight")).0);
        let remains = second.leave(&mut bench.context()).expect("both");
        let mut third = Endpoint::plain(0);
        third.inherit(&mut bench.context(), remains);
        assert!(!handle(&mut bench, &mut third, &post(1, "seven")).0);
        bench.now += Duration::from_secs(250);
        third.handle_timeout(&mut bench.context());
        assert_eq!((third.poll_timeout(), bench.budget.bytes_used()), (None, 0));
        assert!(handle(&mut bench, &mut third, &post(1, "seven")).0);
        third.release(&mut bench.budget);
    }

    #[test]
    fn what_is_left_counts_until_it_is_given_back() {
        let mut bench = Bench::new(Params::default());
        let mut endpoint = Endpoint::plain(0);
        handle(&mut bench, &mut endpoint, &post(1, "report"));
        let before = bench.budget.bytes_used();
        let remains = endpoint.leave(&mut bench.context()).expect("an answer");
        assert_eq!(bench.budget.bytes_used(), before);
        let mut next = Endpoint::plain(0);
        next.inherit(&mut bench.context(), remains);
        next.release(&mut bench.budget);
        assert_eq!((bench.budget.bytes_used(), before > 0), (0, true));
        handle(&mut bench, &mut endpoint, &post(2, "report"));
        endpoint.leave(&mut bench.context()).expect("an answer").release(&mut bench.budget);
        assert_eq!(bench.budget.bytes_used(), 0);
    }
}
