//! The answers that are kept for duplicates (RFC 7252, section 4.5), within their limits. [`crate::dedup`]
//! says how they are packed.
//!
//! Limits: [`crate::Params::stored_answers_max`], `stored_bytes_max`, the [`Budget`], and the endpoint's
//! share of it. An answer is never removed before its time, because its request could then run again; so new
//! requests are refused instead.

use std::time::Instant;

use crate::{
    budget::Budget,
    context::Context,
    dedup::{Asked, StoredAnswer, StoredAnswers},
    discard::Discard,
    fingerprint::Digest,
    params::Params,
    payload::Payload,
};

/// The bytes that an answer is assumed to need when its request is admitted: a usual one has 40 to 60, and
/// needs fewer where it is stored in short.
const ANSWER_BYTES_EXPECTED: usize = 64;

/// The answers of one endpoint, with those that an earlier one of its peer has left; without a box while
/// there are none.
#[derive(Debug, Default)]
pub(super) struct Answers(Option<Box<StoredAnswers>>);

impl Answers {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Stores the answer to a message whose Message ID has no other; `is_plain`: a later endpoint of the peer
    /// may have it.
    pub(super) fn insert(
        &mut self,
        context: &mut Context<'_>,
        (asked, is_plain): (Asked, bool),
        expires: Instant,
        answer: &[u8],
    ) {
        let stored = self.0.get_or_insert_with(|| Box::new(StoredAnswers::new(context.now, is_plain)));
        context.budget.charge(stored.insert(asked, expires, answer, context.params.answer_frame));
    }

    /// Says after [`Self::insert`] what was inserted: if it is a secret, nothing of the list is left behind.
    pub(super) fn mark(&mut self, answer: &Payload) {
        if answer.is_secret()
            && let Some(stored) = &mut self.0
        {
            stored.mark_secret();
        }
    }

    /// The answer to the message with this Message ID.
    pub(super) fn find(&self, now: Instant, mid: u16) -> Option<StoredAnswer<'_>> {
        self.0.as_ref()?.find(now, mid)
    }

    /// The answer that an earlier endpoint of the peer gave to this request.
    pub(super) fn find_left(&self, now: Instant, mid: u16, request: Digest) -> Option<StoredAnswer<'_>> {
        self.0.as_ref()?.find_left(now, mid, request)
    }

    /// Takes what is left to the next endpoint of the peer, which stays charged; the rest is gone.
    pub(super) fn leave(&mut self, context: &mut Context<'_>) -> Option<Box<StoredAnswers>> {
        self.remove(context, StoredAnswers::leave);
        self.0.take()
    }

    /// Takes over what is charged already, into the place of none; returns it where there are some.
    pub(super) fn inherit(&mut self, stored: Box<StoredAnswers>) -> Option<Box<StoredAnswers>> {
        if self.0.is_some() {
            return Some(stored);
        }
        self.0 = Some(stored);
        None
    }

    /// The limit that one more request would exceed, if any, while `open` requests wait for their answer and
    /// the request itself costs `cost`.
    pub(super) fn limit_reached(&self, context: &Context<'_>, open: usize, cost: usize) -> Option<Discard> {
        let Params { stored_answers_max, stored_bytes_max, .. } = *context.params;
        let (count, bytes) = self.0.as_ref().map_or((0, 0), |stored| (stored.count(), stored.bytes()));
        let expected = StoredAnswers::cost(ANSWER_BYTES_EXPECTED);
        if count + open >= stored_answers_max || bytes + (open + 1) * expected > stored_bytes_max {
            Some(Discard::AnswersFull)
        } else if !context.budget.has_room(cost + expected) {
            Some(Discard::BudgetSpent)
        } else if count + open > 0 && bytes + open * expected > context.budget.share() {
            Some(Discard::ShareSpent)
        } else {
            None
        }
    }

    /// Whether an answer that need not be stored fits within the limits.
    pub(super) fn has_room_for(&self, context: &Context<'_>, bytes: usize) -> bool {
        let count = self.0.as_ref().map_or(0, |stored| stored.count());
        count < context.params.stored_answers_max && context.budget.has_room(StoredAnswers::cost(bytes))
    }

    /// Removes the answers that have expired, of many not at once.
    pub(super) fn expire(&mut self, context: &mut Context<'_>) {
        self.remove(context, StoredAnswers::expire);
    }

    /// Removes all answers that have expired.
    pub(super) fn clean(&mut self, context: &mut Context<'_>) {
        self.remove(context, StoredAnswers::clean);
    }

    fn remove(&mut self, context: &mut Context<'_>, by: fn(&mut StoredAnswers, Instant) -> usize) {
        if let Some(stored) = &mut self.0 {
            context.budget.refund(by(stored, context.now));
        }
        if self.is_empty() {
            self.0 = None;
        }
    }

    /// When to call [`Self::expire`]: when the last answer expires, since each message removes expired
    /// answers as well.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.as_ref().map(|stored| stored.latest_expiry())
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|stored| stored.is_empty())
    }

    /// Returns all its bytes to the budget.
    pub(super) fn release(&mut self, budget: &mut Budget) {
        if let Some(stored) = self.0.take() {
            budget.refund(stored.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        fingerprint::Fingerprint,
        test_clock::{Bench, start},
    };

    fn asked(mid: u16) -> (Asked, bool) {
        (Asked::here(mid, Fingerprint(mid)), false)
    }

    #[test]
    fn the_box_goes_with_the_last_answer_and_the_budget_gets_its_bytes_back() {
        let mut bench = Bench::new(Params::default());
        let mut answers = Answers::new();
        for (mid, seconds) in [(1, 10), (2, 20)] {
            let expires = start() + Duration::from_secs(seconds);
            answers.insert(&mut bench.context(), asked(mid), expires, b"answer");
        }
        let found = |answers: &Answers, mid| answers.find(start(), mid).map(|answer| answer.message(None));
        assert_eq!((found(&answers, 1), found(&answers, 3)), (Some(b"answer".to_vec().into()), None));
        assert_eq!(answers.find(start(), 2).map(|answer| answer.request), Some(Fingerprint(2)));
        assert_eq!(bench.budget.bytes_used(), 2 * StoredAnswers::cost(6));
        assert_eq!(answers.poll_timeout(), Some(start() + Duration::from_secs(20)));
        bench.now += Duration::from_secs(20);
        answers.expire(&mut bench.context());
        assert!(answers.is_empty() && answers.0.is_none());
        assert_eq!((found(&answers, 2), bench.budget.bytes_used()), (None, 0));
    }

    #[test]
    fn each_limit_is_named_when_it_is_reached() {
        let mut bench = Bench::new(Params { stored_answers_max: 2, ..Params::default() });
        let answers = Answers::new();
        assert_eq!(answers.limit_reached(&bench.context(), 1, 0), None);
        assert_eq!(answers.limit_reached(&bench.context(), 2, 0), Some(Discard::AnswersFull));
        let spent = bench.budget.bytes_max();
        assert_eq!(answers.limit_reached(&bench.context(), 0, spent), Some(Discard::BudgetSpent));
        bench.params.stored_bytes_max = 2 * StoredAnswers::cost(ANSWER_BYTES_EXPECTED) - 1;
        assert_eq!(answers.limit_reached(&bench.context(), 1, 0), Some(Discard::AnswersFull));
        assert!(answers.has_room_for(&bench.context(), 4));
        assert!(!answers.has_room_for(&bench.context(), spent));
    }

    #[test]
    fn attack_209_who_holds_more_than_a_share_of_what_is_free_waits_and_others_do_not() {
        let mut bench = Bench::new(Params::default());
        let (mut much, nothing) = (Answers::new(), Answers::new());
        let expires = start() + Duration::from_secs(247);
        for mid in 0..100 {
            much.insert(&mut bench.context(), asked(mid), expires, &[0; 91]);
        }
        assert_eq!(much.limit_reached(&bench.context(), 0, 0), None, "10,000 of a million bytes");
        bench.budget.charge((1 << 20) - 10_000 - 639_999);
        assert_eq!(much.limit_reached(&bench.context(), 0, 0), Some(Discard::ShareSpent));
        assert_eq!(nothing.limit_reached(&bench.context(), 0, 0), None);
        assert_eq!(nothing.limit_reached(&bench.context(), 15, 0), None, "15 requests that are open");
        bench.budget.charge(600_000);
        assert_eq!(nothing.limit_reached(&bench.context(), 15, 0), Some(Discard::ShareSpent));
        assert_eq!(nothing.limit_reached(&bench.context(), 0, 0), None, "the first one needs no share");
    }
}
