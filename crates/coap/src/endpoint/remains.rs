//! What an endpoint leaves to the next one of the same peer: the answers that it had stored.
//!
//! RFC 7252 counts Message IDs by the peer's address and port. Over DTLS a new association is a new peer, and
//! copies of what belongs to the old one are dropped with its keys. Without DTLS the same peer may begin
//! anew, and a late copy of what it has posted before must not run again. But it may have restarted, and
//! count its messages from the same number: so what is inherited answers only a POST that is the same in
//! every bit of its fingerprint, and is no reason to call the peer one that miscounts.

use std::time::{Duration, Instant};

use super::{Endpoint, outbox::Transmit};
use crate::{
    budget::Budget,
    code::Code,
    context::Context,
    dedup::StoredAnswers,
    discard::Discard,
    fingerprint::Fingerprint,
    message::{Kind, Message, MessageWriter, empty_message},
    option::OptionNumber,
};

/// No exchange lasts longer.
const BEFORE_EXPIRY: Duration = Duration::from_secs(3600);

/// See the module. It is to be given to an endpoint, or back to the budget.
#[derive(Debug)]
pub struct Remains(pub(super) Box<StoredAnswers>);

impl Remains {
    /// When the last of the answers expires: from then on this is of no use.
    #[must_use]
    pub fn expires(&self) -> Instant {
        self.0.latest_expiry()
    }

    /// Returns all bytes to the budget.
    pub fn release(self, budget: &mut Budget) {
        budget.refund(self.0.bytes());
    }
}

impl Endpoint {
    /// Ends everything, as [`Endpoint::release`] does, but for the stored answers, also those that were
    /// inherited; `None` if there are none. A request that waits for its answer counts as answered: it may
    /// have run, so its copy is acknowledged and nothing more.
    pub fn leave(&mut self, budget: &mut Budget) -> Option<Remains> {
        let inherited = self.lasting.as_mut().and_then(|lasting| lasting.inherited.take());
        let mut own = self.answers.take();
        for exchange in self.active.iter().flat_map(|active| active.incoming.iter()) {
            let (mid, expires) = (exchange.id.mid(), exchange.expires);
            let epoch = expires.checked_sub(BEFORE_EXPIRY).unwrap_or(expires);
            let own = own.get_or_insert_with(|| Box::new(StoredAnswers::new(epoch)));
            let answer = empty_message(Kind::Acknowledgement, mid);
            budget.charge(own.insert((mid, exchange.fingerprint), expires, &answer, None));
        }
        self.release(budget);
        let both = match (inherited, own) {
            (Some(mut all), Some(own)) => {
                all.absorb(&own);
                Some(all)
            }
            (one, other) => one.or(other),
        };
        both.map(Remains)
    }

    /// Takes over what an earlier endpoint of this peer has left.
    pub fn inherit(&mut self, remains: Remains) {
        self.lasting.get_or_insert_default().inherited.put(remains.0);
    }

    /// Answers a copy of what was posted to an earlier endpoint; `false` if the message is none.
    pub(super) fn replay_inherited(&mut self, context: &Context<'_>, message: &Message<'_>) -> bool {
        if message.code != Code::POST {
            return false;
        }
        let inherited = self.lasting.as_ref().map(|lasting| &lasting.inherited);
        let request = Fingerprint::of(message);
        let Some(stored) = inherited.and_then(|all| all.find_same(context.now, message.mid, request)) else {
            return false;
        };
        let answer = bare(&stored.message(context.params.answer_frame));
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
        Event, Params, Response, Token,
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
        let mut first = Endpoint::new(0);
        let (_, answer) = handle(&mut bench, &mut first, &post(1, "report"));
        assert!(Message::parse(&answer).expect("ours").options().any(|(number, _)| number == COMMAND));
        let remains = first.leave(&mut bench.budget).expect("an answer");
        assert_eq!(remains.expires(), start() + Duration::from_secs(247));

        let mut second = Endpoint::new(0);
        second.inherit(remains);
        let (asked, copy) = handle(&mut bench, &mut second, &post(1, "report"));
        let copy = Message::parse(&copy).expect("ours");
        assert_eq!((asked, copy.code, copy.mid, copy.payload), (false, Code::CHANGED, 1, &b"done"[..]));
        assert_eq!(copy.options().count(), 0);
        // It has restarted and counts from the same number.
        assert!(handle(&mut bench, &mut second, &post(1, "another")).0);
        assert!(handle(&mut bench, &mut second, &request(Code::GET, 2, "")).0);

        // The next one inherits from both; a GET runs again, for that does no harm.
        let mut third = Endpoint::new(0);
        third.inherit(second.leave(&mut bench.budget).expect("answers"));
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
        assert!(third.is_idle() && third.leave(&mut bench.budget).is_none());
    }

    #[test]
    fn what_waits_for_its_answer_at_the_end_does_not_run_again() {
        let mut bench = Bench::new(Params::default());
        let mut first = Endpoint::new(0);
        first.handle_message(&mut bench.context(), &post(1, "report"));
        assert!(matches!(first.poll_event(), Some(Event::Request { .. })));
        let mut second = Endpoint::new(0);
        second.inherit(first.leave(&mut bench.budget).expect("it may have run"));
        let (asked, copy) = handle(&mut bench, &mut second, &post(1, "report"));
        assert_eq!((asked, copy), (false, vec![0x60, 0, 0, 1]));
        second.release(&mut bench.budget);
        assert_eq!(bench.budget.bytes_used(), 0);
    }

    #[test]
    fn what_is_left_counts_until_it_is_given_back() {
        let mut bench = Bench::new(Params::default());
        let mut endpoint = Endpoint::new(0);
        handle(&mut bench, &mut endpoint, &post(1, "report"));
        let before = bench.budget.bytes_used();
        let remains = endpoint.leave(&mut bench.budget).expect("an answer");
        assert_eq!(bench.budget.bytes_used(), before);
        let mut next = Endpoint::new(0);
        next.inherit(remains);
        next.release(&mut bench.budget);
        assert_eq!((bench.budget.bytes_used(), before > 0), (0, true));
        handle(&mut bench, &mut endpoint, &post(2, "report"));
        endpoint.leave(&mut bench.budget).expect("an answer").release(&mut bench.budget);
        assert_eq!(bench.budget.bytes_used(), 0);
    }
}
