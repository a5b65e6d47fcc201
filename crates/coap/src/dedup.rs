//! The answers that are kept for duplicates (RFC 7252, section 4.5).
//!
//! A session holds about four of them, a million sessions four million: they lie one after another in one
//! vector, `message id u16 | length u16 | expires u32 | fingerprint u16 | answer`, 10 bytes and the answer
//! each. The fingerprint is the request's. A look-up walks over the headers, which the limit on their number
//! keeps short. No answer is removed before its time.

use std::time::{Duration, Instant};

use crate::fingerprint::Fingerprint;

/// Bytes before each answer.
const HEADER_BYTES: usize = 10;
/// Spare bytes that a list keeps after an expiry; the rest is freed.
const SPARE_BYTES: usize = 256;

/// The stored answers of one endpoint. Times are whole seconds after the first answer, rounded up, so none
/// expires early.
#[derive(Debug)]
pub(crate) struct StoredAnswers {
    bytes: Vec<u8>,
    epoch: Instant,
    /// When the next answer expires; `u32::MAX` if there is none.
    earliest: u32,
    /// When the last answer expires.
    latest: u32,
    count: u32,
}

struct Header {
    mid: u16,
    length: u16,
    expires: u32,
    request: Fingerprint,
}

impl Header {
    fn parse(bytes: [u8; HEADER_BYTES]) -> Self {
        let [mid_0, mid_1, length_0, length_1, expires @ .., request_0, request_1] = bytes;
        Self {
            mid: u16::from_ne_bytes([mid_0, mid_1]),
            length: u16::from_ne_bytes([length_0, length_1]),
            expires: u32::from_ne_bytes(expires),
            request: Fingerprint(u16::from_ne_bytes([request_0, request_1])),
        }
    }

    fn emit(&self) -> [u8; HEADER_BYTES] {
        let [mid_0, mid_1] = self.mid.to_ne_bytes();
        let [length_0, length_1] = self.length.to_ne_bytes();
        let [expires_0, expires_1, expires_2, expires_3] = self.expires.to_ne_bytes();
        let [request_0, request_1] = self.request.0.to_ne_bytes();
        let head = [mid_0, mid_1, length_0, length_1];
        let tail = [expires_0, expires_1, expires_2, expires_3, request_0, request_1];
        std::array::from_fn(|at| if at < head.len() { head[at] } else { tail[at - head.len()] })
    }
}

impl StoredAnswers {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { bytes: Vec::new(), epoch: now, earliest: u32::MAX, latest: 0, count: 0 }
    }

    /// The bytes that an answer of `bytes` bytes takes.
    pub(crate) const fn cost(bytes: usize) -> usize {
        HEADER_BYTES + bytes
    }

    /// Adds an answer and returns its cost. The caller has checked that no other has this Message ID, and
    /// that the answer is shorter than 64 KiB, like any datagram.
    pub(crate) fn insert(
        &mut self,
        mid: u16,
        request: Fingerprint,
        expires: Instant,
        answer: &[u8],
    ) -> usize {
        debug_assert!(answer.len() <= usize::from(u16::MAX), "a datagram is shorter");
        let lifetime = expires.saturating_duration_since(self.epoch);
        let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
        let expires = u32::try_from(seconds).unwrap_or(u32::MAX);
        // Exact for the few answers of a quiet session; a busy one would copy all its answers for each new
        // one.
        if self.bytes.len() < SPARE_BYTES * 4 {
            self.bytes.reserve_exact(Self::cost(answer.len()));
        }
        self.bytes.extend_from_slice(&Header { mid, length: answer.len() as u16, expires, request }.emit());
        self.bytes.extend_from_slice(answer);
        self.earliest = self.earliest.min(expires);
        self.latest = self.latest.max(expires);
        self.count += 1;
        Self::cost(answer.len())
    }

    /// The answer to the message with this Message ID.
    pub(crate) fn find(&self, mid: u16) -> Option<&[u8]> {
        self.iter().find(|(header, _)| header.mid == mid).map(|(_, answer)| answer)
    }

    /// The fingerprint of the request with this Message ID; unknown where none is stored.
    pub(crate) fn request(&self, mid: u16) -> Fingerprint {
        let found = self.iter().find(|(header, _)| header.mid == mid);
        found.map_or(Fingerprint::UNKNOWN, |(header, _)| header.request)
    }

    fn iter(&self) -> impl Iterator<Item = (Header, &[u8])> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (header, after) = rest.split_first_chunk::<HEADER_BYTES>()?;
            let header = Header::parse(*header);
            let (answer, others) = after.split_at_checked(usize::from(header.length))?;
            rest = others;
            Some((header, answer))
        })
    }

    /// Removes what has expired and returns the bytes that it freed.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let now = now.saturating_duration_since(self.epoch).as_secs();
        if now < u64::from(self.earliest) {
            return 0;
        }
        let before = self.bytes.len();
        let (mut read, mut write) = (0, 0);
        (self.earliest, self.latest, self.count) = (u32::MAX, 0, 0);
        while let Some((header, _)) = self.bytes[read..].split_first_chunk::<HEADER_BYTES>() {
            let header = Header::parse(*header);
            let end = read + Self::cost(usize::from(header.length));
            if u64::from(header.expires) > now {
                self.bytes.copy_within(read..end, write);
                write += end - read;
                self.earliest = self.earliest.min(header.expires);
                self.latest = self.latest.max(header.expires);
                self.count += 1;
            }
            read = end;
        }
        self.bytes.truncate(write);
        if self.bytes.capacity() > write + SPARE_BYTES {
            self.bytes.shrink_to(write + SPARE_BYTES / 2);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{message::Token, test_clock::start};

    #[test]
    fn an_answer_is_kept_for_its_lifetime_and_no_longer() {
        let mut stored = StoredAnswers::new(start());
        let cost = stored.insert(7, Fingerprint(9), start() + Duration::from_secs(247), b"answer");
        assert_eq!(cost, 16);
        assert_eq!((stored.request(7), stored.request(8)), (Fingerprint(9), Fingerprint::UNKNOWN));
        assert_eq!(stored.expire(start() + Duration::from_millis(246_999)), 0);
        assert_eq!(stored.find(7), Some(&b"answer"[..]));
        assert_eq!(stored.expire(start() + Duration::from_secs(247)), 16);
        assert_eq!(stored.find(7), None);
        assert!(stored.is_empty());
    }

    #[test]
    fn a_typical_answer_takes_few_bytes() {
        let token = Token::new(&[1, 2, 3, 4]).expect("4 bytes");
        let answer = crate::Response::new(crate::Code::CHANGED)
            .content_format(50)
            .payload(r#"{"id":"123","code":200,"data":{}}"#)
            .into_message(crate::Kind::Acknowledgement, 1, token);
        assert_eq!(StoredAnswers::cost(answer.len()), 54);
    }

    proptest! {
        #[test]
        fn the_list_does_what_a_map_does(
            steps in proptest::collection::vec((0_u16..40, 0_u64..300, 0_usize..20, 0_u64..30), 1..60),
        ) {
            let mut now = start();
            let mut stored = StoredAnswers::new(now);
            let mut model: BTreeMap<u16, (Instant, Vec<u8>)> = BTreeMap::new();
            for (mid, lifetime, length, pause) in steps {
                now += Duration::from_secs(pause);
                stored.expire(now);
                model.retain(|_, (expires, _)| *expires > now);
                model.entry(mid).or_insert_with(|| {
                    let expires = now + Duration::from_secs(lifetime + 1);
                    let answer = vec![mid as u8; length];
                    stored.insert(mid, Fingerprint(mid), expires, &answer);
                    (expires, answer)
                });
                for mid in 0..40 {
                    prop_assert_eq!(stored.find(mid), model.get(&mid).map(|(_, answer)| &answer[..]));
                    let known = if model.contains_key(&mid) { mid } else { 0 };
                    prop_assert_eq!(stored.request(mid), Fingerprint(known));
                }
                prop_assert_eq!(stored.count(), model.len());
                let bytes = model.values().map(|(_, answer)| 10 + answer.len()).sum::<usize>();
                prop_assert_eq!(stored.bytes(), bytes);
                let latest = model.values().map(|(expires, _)| *expires).max();
                prop_assert_eq!(Some(stored.latest_expiry()), latest);
            }
        }
    }
}
