//! The answers that are kept for duplicates (RFC 7252, section 4.5).
//!
//! A session holds about four of them, a million sessions four million: they lie one after another in one
//! vector, `message id u16 | expires u16 | fingerprint u16 | packed answer`. The fingerprint is the
//! request's. A usual answer takes its token and a few bytes more ([`AnswerFrame`]), 12 to 16 bytes with
//! all; any other one 9 bytes and itself.
//!
//! In an endpoint of plain CoAP there is more between fingerprint and answer, for a later login of the same
//! peer ([`crate::Remains`]): `rest of the digest, 6 bytes | to whom it belongs u8`.
//!
//! Most messages have a Message ID outside of the [`Span`] of those that are stored, so nothing is searched;
//! else a look-up walks over the list, which the limit on its length keeps short. No answer is removed before
//! its time. One whose time is over is not found; in a long list it may stay for [`CLEAN_AFTER_S`] seconds
//! more.

mod frame;
mod owner;
mod span;

use std::time::{Duration, Instant};

pub use frame::AnswerFrame;
use zeroize::Zeroize as _;

pub(crate) use self::owner::Asked;
use self::{frame::Packed, owner::OWNER_BYTES, span::Span};
use crate::{
    fingerprint::{Digest, Fingerprint},
    payload::{self, Payload},
};

/// Bytes before each packed answer.
const HEADER_BYTES: usize = 6;
/// Bytes that an answer takes beyond its own, where it is kept whole.
const WHOLE_BYTES: usize = HEADER_BYTES + frame::WHOLE_HEADER_BYTES;
/// Spare bytes that a list keeps after an expiry; the rest is freed. A long list keeps a quarter of its
/// length.
const SPARE_BYTES: usize = 256;
/// A list that is longer, bytes, is cleaned only so many seconds after an answer has expired: else a busy
/// session would copy all its answers every second.
const LONG_BYTES: usize = 4096;
const CLEAN_AFTER_S: u64 = 8;

/// The stored answers of one endpoint. Times are whole seconds after `epoch`, rounded up, so none expires
/// early; the epoch moves on when the list is cleaned. A lifetime is below 18 hours.
#[derive(Debug)]
pub(crate) struct StoredAnswers {
    bytes: Vec<u8>,
    epoch: Instant,
    /// When the next answer expires; `u16::MAX` if there is none.
    earliest: u16,
    /// When the last answer expires.
    latest: u16,
    /// Where the Message IDs lie; `None` if there is none.
    span: Option<Span>,
    count: u32,
    /// Bytes between fingerprint and packed answer: none, or [`OWNER_BYTES`].
    owner_bytes: u8,
    /// It holds a secret, or did: what it frees is wiped.
    is_secret: bool,
}

const _: () = assert!(size_of::<StoredAnswers>() <= 56, "there is one in each session that was answered");

/// An answer as it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredAnswer<'a> {
    mid: u16,
    expires: u16,
    /// The fingerprint of its request.
    pub(crate) request: Fingerprint,
    /// Empty outside of plain CoAP.
    owner: &'a [u8],
    packed: &'a [u8],
    is_secret: bool,
}

impl StoredAnswer<'_> {
    /// The answer as it was sent; empty if this is not the frame with which it was stored.
    pub(crate) fn message(&self, frame: Option<&AnswerFrame>) -> Payload {
        let bytes = frame::unpack(self.packed, self.mid, frame).unwrap_or_default();
        if self.is_secret { Payload::secret(bytes) } else { bytes.into() }
    }
}

/// Reads the answer at the beginning of `bytes`, and what follows it.
fn split(bytes: &[u8], owner_bytes: u8) -> Option<(StoredAnswer<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [mid_0, mid_1, expires_0, expires_1, request_0, request_1] = *header;
    let (owner, rest) = rest.split_at_checked(usize::from(owner_bytes))?;
    let (packed, rest) = rest.split_at_checked(frame::packed_bytes(rest)?)?;
    let answer = StoredAnswer {
        mid: u16::from_ne_bytes([mid_0, mid_1]),
        expires: u16::from_ne_bytes([expires_0, expires_1]),
        request: Fingerprint(u16::from_ne_bytes([request_0, request_1])),
        owner,
        packed,
        is_secret: false,
    };
    Some((answer, rest))
}

impl StoredAnswers {
    /// A list without answers; `is_plain`: a later endpoint of the peer may have them ([`Self::leave`]).
    pub(crate) const fn new(now: Instant, is_plain: bool) -> Self {
        let owner_bytes = if is_plain { OWNER_BYTES as u8 } else { 0 };
        Self {
            bytes: Vec::new(),
            epoch: now,
            earliest: u16::MAX,
            latest: 0,
            span: None,
            count: 0,
            owner_bytes,
            is_secret: false,
        }
    }

    /// The most bytes that an answer of `bytes` bytes takes, outside of plain CoAP.
    pub(crate) const fn cost(bytes: usize) -> usize {
        WHOLE_BYTES + bytes
    }

    /// Adds an answer and returns the bytes that it takes. The caller has checked that no other has this
    /// Message ID, and that the answer is shorter than 64 KiB, like any datagram.
    pub(crate) fn insert(
        &mut self,
        asked: Asked,
        expires: Instant,
        answer: &[u8],
        frame: Option<&AnswerFrame>,
    ) -> usize {
        debug_assert!(answer.len() <= usize::from(u16::MAX), "a datagram is shorter");
        let Asked { mid, request, .. } = asked;
        let expires = self.seconds_up(expires);
        let packed = Packed::new(answer, mid, frame);
        let bytes = HEADER_BYTES + usize::from(self.owner_bytes) + packed.bytes();
        self.make_room(bytes);
        self.bytes.extend_from_slice(&mid.to_ne_bytes());
        self.bytes.extend_from_slice(&expires.to_ne_bytes());
        self.bytes.extend_from_slice(&request.0.to_ne_bytes());
        if self.owner_bytes > 0 {
            self.bytes.extend_from_slice(&asked.owner());
        }
        packed.emit(&mut self.bytes);
        self.note(mid, expires);
        bytes
    }

    /// Makes room for so many bytes more: exactly, for the few answers of a quiet session; a busy one would
    /// copy all its answers for each new one.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes.capacity() - self.bytes.len() < bytes {
            let capacity = self.bytes.len() + bytes.max(self.bytes.len() / 8);
            payload::resize(&mut self.bytes, capacity, self.is_secret);
        }
    }

    /// One of its answers holds a secret.
    pub(crate) const fn mark_secret(&mut self) {
        self.is_secret = true;
    }

    /// Counts an answer that is in the list.
    fn note(&mut self, mid: u16, expires: u16) {
        self.earliest = self.earliest.min(expires);
        self.latest = self.latest.max(expires);
        self.span = Some(self.span.map_or(Span::of(mid), |span| span.with(mid)));
        self.count += 1;
    }

    /// Seconds after the epoch, rounded up.
    fn seconds_up(&self, at: Instant) -> u16 {
        let after = at.saturating_duration_since(self.epoch);
        u16::try_from(after.as_secs() + u64::from(after.subsec_nanos() > 0)).unwrap_or(u16::MAX)
    }

    /// Whole seconds after the epoch.
    fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs()
    }

    /// The answer to the message with this Message ID.
    pub(crate) fn find(&self, now: Instant, mid: u16) -> Option<StoredAnswer<'_>> {
        if !self.span?.contains(mid) {
            return None;
        }
        let now = self.seconds(now);
        let is_own = |answer: &StoredAnswer<'_>| answer.mid == mid && !owner::is_left(answer.owner);
        self.iter().find(|answer| is_own(answer) && u64::from(answer.expires) > now)
    }

    /// The answer that an earlier endpoint of the peer gave to the very same request; there may be several
    /// with its Message ID.
    pub(crate) fn find_left(&self, now: Instant, mid: u16, request: Digest) -> Option<StoredAnswer<'_>> {
        if self.owner_bytes == 0 || !self.span?.contains(mid) {
            return None;
        }
        let now = self.seconds(now);
        let is_same = |answer: &StoredAnswer<'_>| {
            (answer.mid, answer.request) == (mid, request.fingerprint())
                && owner::is_left_for(answer.owner, request)
        };
        self.iter().find(|answer| is_same(answer) && u64::from(answer.expires) > now)
    }

    /// Keeps what is left to the next endpoint of the peer, and has not expired; returns the bytes that it
    /// freed.
    pub(crate) fn leave(&mut self, now: Instant) -> usize {
        let length = usize::from(self.owner_bytes);
        self.sift(self.seconds(now), |bytes, at| bytes.get_mut(at..at + length).is_some_and(owner::leave))
    }

    fn iter(&self) -> impl Iterator<Item = StoredAnswer<'_>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (answer, others) = split(rest, self.owner_bytes)?;
            rest = others;
            Some(StoredAnswer { is_secret: self.is_secret, ..answer })
        })
    }

    /// Removes what has expired, in a long list not at once; returns the bytes that it freed.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let seconds = self.seconds(now);
        let is_early = self.bytes.len() > LONG_BYTES
            && seconds < u64::from(self.latest)
            && seconds < u64::from(self.earliest) + CLEAN_AFTER_S;
        if is_early { 0 } else { self.clean(now) }
    }

    /// Removes all that has expired and returns the bytes that it freed.
    pub(crate) fn clean(&mut self, now: Instant) -> usize {
        let seconds = self.seconds(now);
        if seconds < u64::from(self.earliest) {
            return 0;
        }
        self.sift(seconds, |_, _| true)
    }

    /// Keeps what has not expired in this second after the epoch, and whose owner, which begins there, is to
    /// be kept; returns the bytes that it freed.
    fn sift(&mut self, seconds: u64, is_kept: impl Fn(&mut [u8], usize) -> bool) -> usize {
        let before = self.bytes.len();
        let (mut read, mut write) = (0, 0);
        (self.earliest, self.latest, self.span, self.count) = (u16::MAX, 0, None, 0);
        while let Some((answer, rest)) = split(&self.bytes[read..], self.owner_bytes) {
            let (mid, expires) = (answer.mid, answer.expires);
            let end = self.bytes.len() - rest.len();
            if u64::from(expires) > seconds && is_kept(&mut self.bytes, read + HEADER_BYTES) {
                // Below, since it expires later.
                let expires = expires - seconds as u16;
                self.bytes.copy_within(read..end, write);
                self.bytes[write + 2..write + 4].copy_from_slice(&expires.to_ne_bytes());
                write += end - read;
                self.note(mid, expires);
            }
            read = end;
        }
        self.epoch += Duration::from_secs(seconds);
        if self.is_secret {
            self.bytes[write..].zeroize();
        }
        self.bytes.truncate(write);
        if self.bytes.capacity() > write + SPARE_BYTES.max(write / 4) {
            let capacity = write + (SPARE_BYTES / 2).max(write / 8);
            payload::resize(&mut self.bytes, capacity, self.is_secret);
        }
        before - write
    }

    /// When the last answer expires. Until then no timer is needed: the next message removes what has expired
    /// by then.
    pub(crate) fn latest_expiry(&self) -> Instant {
        self.epoch + Duration::from_secs(u64::from(self.latest))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number of answers.
    pub(crate) const fn count(&self) -> usize {
        self.count as usize
    }

    /// The bytes of all answers, headers included.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl Drop for StoredAnswers {
    fn drop(&mut self) {
        if self.is_secret {
            self.bytes.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{Code, Kind, Response, message::Token, test_clock::start};

    const FRAME: AnswerFrame = AnswerFrame {
        code: Code::CHANGED,
        content_format: 50,
        before: b"{\"id\":",
        after: b",\"code\":200,\"data\":{}}",
    };

    /// The answer to a report with this `id`.
    fn answer(mid: u16, id: &str) -> Payload {
        let token = Token::new(&[1, 2, 3, 4]).expect("4 bytes");
        Response::new(Code::CHANGED)
            .content_format(50)
            .payload(format!(r#"{{"id":{id},"code":200,"data":{{}}}}"#))
            .to_message(Kind::Acknowledgement, mid, token)
    }

    impl StoredAnswers {
        fn message(&self, now: Instant, mid: u16) -> Option<Vec<u8>> {
            self.find(now, mid).map(|answer| answer.message(Some(&FRAME)).take())
        }
    }

    #[test]
    fn an_answer_is_kept_for_its_lifetime_and_no_longer() {
        let mut stored = StoredAnswers::new(start(), false);
        let expires = start() + Duration::from_secs(247);
        let cost = stored.insert(Asked::here(7, Fingerprint(9)), expires, b"answer", None);
        assert_eq!((cost, StoredAnswers::cost(6)), (15, 15));
        assert_eq!(stored.find(start(), 7).map(|answer| answer.request), Some(Fingerprint(9)));
        assert!(stored.find(start(), 8).is_none());
        let before = start() + Duration::from_millis(246_999);
        assert_eq!(stored.expire(before), 0);
        assert_eq!(stored.message(before, 7).as_deref(), Some(&b"answer"[..]));
        assert!(stored.find(expires, 7).is_none(), "before it is removed, too");
        assert_eq!(stored.expire(expires), 15);
        assert!(stored.find(before, 7).is_none() && stored.is_empty());
    }

    #[test]
    fn attack_209_a_usual_answer_takes_12_to_16_bytes() {
        for (id, bytes) in [("\"1\"", 13), ("\"123\"", 13), ("1234567", 15), ("\"123456789\"", 16)] {
            let mut stored = StoredAnswers::new(start(), false);
            let answer = answer(1, id);
            assert_eq!(
                stored.insert(Asked::here(1, Fingerprint(9)), start(), &answer, Some(&FRAME)),
                bytes,
                "{id}"
            );
            assert_eq!(stored.bytes.capacity(), bytes, "nothing is spare");
            // As much as it took before there was a short form.
            assert!(StoredAnswers::cost(answer.len()) >= 51);
        }
    }

    #[test]
    fn a_list_that_never_empties_forgets_nothing_early_for_days() {
        let mut stored = StoredAnswers::new(start(), false);
        for step in 0..4000_u32 {
            let now = start() + Duration::from_secs(100) * step;
            stored.expire(now);
            let mid = step as u16;
            stored.insert(
                Asked::here(mid, Fingerprint(1)),
                now + Duration::from_secs(247),
                &answer(mid, "7"),
                Some(&FRAME),
            );
            for age in 0..5 {
                let is_kept = stored.find(now, mid.wrapping_sub(age)).is_some();
                assert_eq!(is_kept, age < 3 && u32::from(age) <= step, "{age} at {step}");
            }
            assert!(stored.bytes() < 4 * 20 && stored.bytes.capacity() < 512);
        }
    }

    #[test]
    fn a_long_list_is_cleaned_rarely_and_answers_as_if_it_were_cleaned_at_once() {
        let mut stored = StoredAnswers::new(start(), false);
        let (mut cleaned, mut longest) = (0, 0);
        // 10 answers a second.
        for tenth in 0..10_000_u32 {
            let now = start() + Duration::from_millis(100) * tenth;
            cleaned += usize::from(stored.expire(now) > 0);
            let mid = tenth as u16;
            let expires = now + Duration::from_secs(247);
            stored.insert(
                Asked::here(mid, Fingerprint(1)),
                expires,
                &answer(mid, "\"123456\""),
                Some(&FRAME),
            );
            assert!(stored.find(now, mid).is_some());
            // Rounded up to whole seconds.
            assert!(stored.find(now, mid.wrapping_sub(2480)).is_none(), "{tenth}");
            assert_eq!(stored.find(now, mid.wrapping_sub(2469)).is_some(), tenth >= 2469, "{tenth}");
            longest = longest.max(stored.count());
        }
        assert!((80..=100).contains(&cleaned), "{cleaned} times in 753 s");
        assert!((2470..2470 + 100).contains(&longest), "{longest}");
        assert!(stored.bytes.capacity() <= stored.bytes() * 5 / 4, "a quarter is spare at most");
        let freed = stored.bytes();
        assert_eq!(stored.expire(stored.latest_expiry()), freed, "the timer removes all");
        assert!(stored.is_empty());
    }

    fn digest(request: u8) -> Digest {
        let bytes = [0x40, 2, 0, 1, 0xff, request];
        Digest::of(&crate::Message::parse(&bytes).expect("a POST"))
    }

    #[test]
    fn what_is_left_answers_the_same_request_alone_until_its_time_and_the_rest_is_gone() {
        let mut stored = StoredAnswers::new(start(), true);
        let at = |seconds| start() + Duration::from_secs(seconds);
        stored.insert(Asked::of(7, digest(1), false), at(10), b"expires", None);
        stored.insert(Asked::of(7, digest(2), false), at(100), b"is left", None);
        stored.insert(Asked::of(8, digest(3), true), at(100), b"ends here", None);
        let before = stored.bytes();
        assert_eq!(before, 3 * (9 + OWNER_BYTES) + 7 + 7 + 9);
        assert_eq!(stored.leave(at(10)), before - (9 + OWNER_BYTES + 7));
        assert_eq!((stored.count(), stored.latest_expiry()), (1, at(100)));
        let found = |stored: &StoredAnswers, seconds, mid, request| {
            stored.find_left(at(seconds), mid, digest(request)).map(|answer| answer.message(None).take())
        };
        assert_eq!(found(&stored, 99, 7, 2).as_deref(), Some(&b"is left"[..]));
        for (seconds, mid, request) in [(100, 7, 2), (99, 7, 1), (99, 7, 3), (99, 8, 2), (99, 8, 3)] {
            assert_eq!(found(&stored, seconds, mid, request), None, "{seconds} {mid} {request}");
        }
        assert!(stored.find(at(99), 7).is_none(), "another request has this Message ID now");
        stored.insert(Asked::of(7, digest(4), false), at(200), b"own", None);
        assert_eq!(stored.find(at(99), 7).map(|answer| answer.message(None)).as_deref(), Some(&b"own"[..]));
        assert_eq!((stored.leave(at(99)), stored.count()), (0, 2), "both, to the third one");
        assert_eq!((found(&stored, 99, 7, 2).is_some(), found(&stored, 99, 7, 4).is_some()), (true, true));
        let mut by_dtls = StoredAnswers::new(start(), false);
        by_dtls.insert(Asked::of(7, digest(1), false), at(100), b"answer", None);
        assert_eq!((by_dtls.bytes(), by_dtls.leave(start()), by_dtls.count()), (15, 15, 0));
    }

    proptest! {
        #[test]
        fn the_list_does_what_a_map_does(
            steps in proptest::collection::vec((0_u16..40, 0_u64..300, 0_usize..20, 0_u64..30), 1..60),
        ) {
            let mut now = start();
            let mut stored = StoredAnswers::new(now, false);
            let mut model: BTreeMap<u16, (Instant, Vec<u8>)> = BTreeMap::new();
            for (mid, lifetime, length, pause) in steps {
                now += Duration::from_secs(pause);
                stored.expire(now);
                model.retain(|_, (expires, _)| *expires > now);
                model.entry(mid).or_insert_with(|| {
                    let expires = now + Duration::from_secs(lifetime + 1);
                    let answer = vec![mid as u8; length];
                    stored.insert(Asked::here(mid, Fingerprint(mid)), expires, &answer, Some(&FRAME));
                    (expires, answer)
                });
                for mid in 0..40 {
                    let expected = model.get(&mid).map(|(_, answer)| answer.clone());
                    prop_assert_eq!(stored.message(now, mid), expected);
                    let known = model.contains_key(&mid).then_some(Fingerprint(mid));
                    prop_assert_eq!(stored.find(now, mid).map(|answer| answer.request), known);
                }
                prop_assert_eq!(stored.count(), model.len());
                let bytes = model.values().map(|(_, answer)| 9 + answer.len()).sum::<usize>();
                prop_assert_eq!(stored.bytes(), bytes);
                let latest = model.values().map(|(expires, _)| *expires).max();
                prop_assert_eq!(Some(stored.latest_expiry()), latest);
            }
        }
    }
}
