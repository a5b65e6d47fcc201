//! How many bytes a device may send in its sessions, and be sent: a token bucket each way, kept as the bytes
//! that are missing from it. It is filled up at each whole second, so that a session that goes on within one
//! costs an addition and a comparison, and a full one costs nothing while nobody looks at it.
//!
//! A request that finds too little in either bucket is answered 4.29 with Max-Age, and counts for nothing.
//! Everything else that is authentic (duplicates, pings, answers) is counted as far as there is room, and
//! never held back.
//!
//! A block of a body that is read for each request (`Response::block`: an image of firmware) counts for
//! nothing, and nor does the request for it. It is longer than what a device sends and is sent in weeks, and
//! simple clients give up at a 4.29 in the middle of it. Who reads the blocks limits them by their number.

use std::time::Instant;

use narrowgate_coap::{Code, Context, Response};

use super::{Shard, established::Established, stats::Counter, table::Row};
use crate::event::{SessionId, ShardEvent, Ticket};

/// The bytes that a device may send, and as many that it may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteLimit {
    /// What comes back in a second.
    pub per_second: u32,
    /// What a full bucket holds: at least the longest datagram.
    pub burst: u32,
}

/// Bytes that are missing from the buckets of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Sent by the device.
    pub up: u32,
    /// Sent to the device.
    pub down: u32,
}

impl Spent {
    /// What is missing still after this many seconds.
    #[must_use]
    pub fn after(self, limit: ByteLimit, seconds: u32) -> Self {
        let back = limit.per_second.saturating_mul(seconds);
        Self { up: self.up.saturating_sub(back), down: self.down.saturating_sub(back) }
    }

    /// Both together, as far as the buckets hold it.
    #[must_use]
    pub fn and(self, other: Self, limit: ByteLimit) -> Self {
        let both = |one: u32, other: u32| one.saturating_add(other).min(limit.burst);
        Self { up: both(self.up, other.up), down: both(self.down, other.down) }
    }

    /// Whether it is worth remembering when the session ends: an eighth of a bucket.
    fn is_much(self, limit: ByteLimit) -> bool {
        self.up.max(self.down) > limit.burst / 8
    }

    /// Counts what is sent, as far as the bucket holds it.
    pub(super) fn send(&mut self, limit: Option<ByteLimit>, bytes: usize) {
        if let Some(limit) = limit {
            self.down = self.down.saturating_add(bytes as u32).min(limit.burst);
        }
    }

    /// Takes what arrived; where there is too little, nothing, and returns in how many seconds there will be
    /// enough.
    fn take(&mut self, limit: ByteLimit, bytes: u32) -> Result<(), u32> {
        let up = self.up.saturating_add(bytes);
        if up <= limit.burst && self.down < limit.burst {
            self.up = up;
            return Ok(());
        }
        let missing = up.saturating_sub(limit.burst).max((self.down + 1).saturating_sub(limit.burst));
        Err(missing.div_ceil(limit.per_second.max(1)).max(1))
    }
}

impl Established {
    /// Counts what arrived at this second, at which it is heard; `Err`: its requests are to wait for so many
    /// seconds.
    pub(super) fn take_bytes(&mut self, limit: Option<ByteLimit>, now_s: u32, bytes: u32) -> Result<(), u32> {
        let Self { spent, pauses, heard_s, .. } = self;
        let silent_s = now_s.saturating_sub(std::mem::replace(heard_s, now_s));
        let Some(limit) = limit else { return Ok(()) };
        if silent_s > 0 {
            *spent = spent.after(limit, silent_s);
            // A pause lasts until half of the burst is there again: else each second would begin one.
            *pauses &= spent.up.max(spent.down) > limit.burst / 2;
        }
        spent.take(limit, bytes)
    }
}

impl Shard {
    /// Answers a request that came too early by 4.29; the platform is told once in a pause.
    pub(super) fn hold_back(&mut self, now: Instant, ticket: Ticket, wait_s: u32) {
        let Some(Row { session, .. }) = self.sessions.at(ticket.session) else { return };
        let early = Response::new(Code::TOO_MANY_REQUESTS).max_age(wait_s);
        let params = self.profiles.of(session.endpoint.profile());
        let mut context = Context { now, params, budget: &mut self.budget };
        if session.endpoint.respond(&mut context, ticket.exchange, early).is_err() {
            self.stats.count(Counter::ResponsesLate);
        }
        self.note_held_back(ticket.session, wait_s);
    }

    /// Counts a request, or a block of one, that was answered by 4.29.
    pub(super) fn note_held_back(&mut self, session: SessionId, wait_s: u32) {
        self.stats.count(Counter::RequestsThrottled);
        let Some(row) = self.sessions.at(session) else { return };
        if !std::mem::replace(&mut row.session.pauses, true) {
            self.events.push_back(ShardEvent::Throttled { session, wait_s });
        }
    }

    /// A session has spent what it had spent before it was sent a block, for which it asked by so many bytes.
    pub(super) fn forgive(&mut self, session: SessionId, before: Spent, asked_by: usize) {
        if let Some(row) = self.sessions.at(session) {
            row.session.spent = Spent { up: before.up.saturating_sub(asked_by as u32), ..before };
        }
    }

    /// Charges a session with what its device spent in another one.
    pub(super) fn charge(&mut self, session: SessionId, spent: Spent) {
        if let Some(limit) = self.config.device_bytes
            && let Some(row) = self.sessions.at(session)
        {
            row.session.spent = row.session.spent.and(spent, limit);
        }
    }

    /// What a session that ends has spent, where the device's next one must know it.
    pub(super) fn spent(&self, established: &Established) -> Option<Spent> {
        let limit = self.config.device_bytes?;
        let silent_s = self.now_s.saturating_sub(established.heard_s);
        let spent = established.spent.after(limit, silent_s);
        spent.is_much(limit).then_some(spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: ByteLimit = ByteLimit { per_second: 100, burst: 1000 };

    #[test]
    fn a_burst_is_served_and_then_the_rate() {
        let mut spent = Spent::default();
        let taken = (0..100).filter(|_| spent.take(LIMIT, 60).is_ok()).count();
        assert_eq!(taken, 16);
        assert_eq!(spent.take(LIMIT, 60), Err(1), "20 bytes are missing");
        assert_eq!(spent.take(LIMIT, 360), Err(4));
        assert_eq!(spent.up, 960, "what is held back counts for nothing");
        let mut later = spent.after(LIMIT, 1);
        assert_eq!(
            (later.take(LIMIT, 60), later.take(LIMIT, 60), later.take(LIMIT, 60)),
            (Ok(()), Ok(()), Err(1))
        );
        assert_eq!(spent.after(LIMIT, u32::MAX), Spent::default());
    }

    /// Whoever keeps to the time that the answer names is served then.
    #[test]
    fn after_the_time_that_is_named_there_is_enough() {
        for up in [0, 1, 500, 999, 1000] {
            for down in [0, 999, 1000] {
                for bytes in [1, 99, 100, 101, 1000] {
                    let mut spent = Spent { up, down };
                    if let Err(wait_s) = spent.take(LIMIT, bytes) {
                        assert_eq!(spent, Spent { up, down });
                        let short = spent.after(LIMIT, wait_s - 1).take(LIMIT, bytes);
                        assert!(short.is_err(), "{spent:?} {bytes}: {wait_s} s is too long");
                        assert_eq!(
                            spent.after(LIMIT, wait_s).take(LIMIT, bytes),
                            Ok(()),
                            "{spent:?} {bytes}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_sent_to_a_device_holds_its_requests_back_too() {
        let spent = Spent { up: 0, down: 5000 }.and(Spent::default(), LIMIT);
        assert_eq!(spent.down, 1000, "a bucket is never emptier than empty");
        assert_eq!(spent.after(LIMIT, 0).take(LIMIT, 1), Err(1));
        assert_eq!(spent.after(LIMIT, 1).take(LIMIT, 1), Ok(()));
        assert_eq!(size_of::<Spent>(), 8);
    }
}
