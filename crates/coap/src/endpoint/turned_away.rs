//! Requests that were refused for want of room (4.29, 5.03), for copies of them that are still on their way
//! (RFC 7252, section 4.5). Nothing ran, so a copy may, and finds room perhaps. But once the peer has sent
//! something newer, a copy would undo it: the peer knows that the old request was refused, and counts on
//! that.
//!
//! ```text
//!   1 refused   2 refused   copy of 2 runs   copy of 1: refused again
//!   1 refused   2 runs                       copy of 1: refused again
//!   1 refused   copy of 1 runs               copy of 1: gets the stored answer
//! ```
//!
//! A block that is held back is not remembered: its body goes on by the same message, whatever came between.
//!
//! Limit: [`REFUSED_MAX`] requests, 8 bytes each, for EXCHANGE_LIFETIME; the oldest is forgotten first. That
//! is as many as DTLS remembers records: when so many newer ones have arrived, it lets no older one in.

use std::time::{Duration, Instant};

use crate::fingerprint::Fingerprint;

/// Requests that are remembered: the width of the replay window of DTLS (RFC 6347, section 4.1.2.6).
const REFUSED_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    /// In the order of their refusal, with the seconds after `epoch`.
    refused: Vec<Refused>,
    epoch: Option<Instant>,
    /// So many, from the first on, came before a newer request.
    outrun: usize,
}

#[derive(Debug)]
struct Refused {
    mid: u16,
    request: Fingerprint,
    after_s: u32,
}

impl TurnedAway {
    /// A request is refused. One that is refused again keeps its place.
    pub(super) fn note(&mut self, now: Instant, lifetime: Duration, (mid, request): (u16, Fingerprint)) {
        self.expire(now, lifetime);
        if self.place(mid, request).is_some() {
            return;
        }
        if self.refused.len() == REFUSED_MAX {
            self.drop_first(1);
        }
        let epoch = *self.epoch.get_or_insert(now);
        let after_s = u32::try_from(now.saturating_duration_since(epoch).as_secs()).unwrap_or(u32::MAX);
        self.refused.push(Refused { mid, request, after_s });
    }

    /// Whether this is a copy of a request that was refused, and a newer one came since.
    pub(super) fn is_outrun(
        &mut self,
        now: Instant,
        lifetime: Duration,
        (mid, request): (u16, Fingerprint),
    ) -> bool {
        self.expire(now, lifetime);
        self.place(mid, request).is_some_and(|place| place < self.outrun)
    }

    /// A request runs, be it new or a copy of one that was refused. What was refused before it is outrun,
    /// unless it is a new one that changes nothing.
    pub(super) fn run(&mut self, (mid, request): (u16, Fingerprint), is_safe: bool) {
        match self.place(mid, request) {
            Some(place) => {
                self.refused.remove(place);
                self.outrun = self.outrun.max(place);
            }
            None if is_safe => {}
            None => self.outrun = self.refused.len(),
        }
    }

    fn place(&self, mid: u16, request: Fingerprint) -> Option<usize> {
        self.refused.iter().position(|refused| (refused.mid, refused.request) == (mid, request))
    }

    fn expire(&mut self, now: Instant, lifetime: Duration) {
        let Some(epoch) = self.epoch else { return };
        let is_over = |refused: &&Refused| {
            let since = epoch + Duration::from_secs(refused.after_s.into());
            // Whole seconds, rounded down: none is forgotten early.
            now.saturating_duration_since(since) > lifetime + Duration::from_secs(1)
        };
        self.drop_first(self.refused.iter().take_while(is_over).count());
        if self.refused.is_empty() {
            *self = Self::default();
        }
    }

    fn drop_first(&mut self, count: usize) {
        self.refused.drain(..count);
        self.outrun = self.outrun.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start;

    const LIFETIME: Duration = Duration::from_secs(247);

    fn request(mid: u16) -> (u16, Fingerprint) {
        (mid, Fingerprint(mid + 1))
    }

    fn refused(mids: impl IntoIterator<Item = u16>) -> TurnedAway {
        let mut turned_away = TurnedAway::default();
        mids.into_iter().for_each(|mid| turned_away.note(start(), LIFETIME, request(mid)));
        turned_away
    }

    fn is_outrun(turned_away: &mut TurnedAway, mid: u16) -> bool {
        turned_away.is_outrun(start(), LIFETIME, request(mid))
    }

    #[test]
    fn what_runs_outruns_what_was_refused_before_it_and_nothing_later() {
        let mut turned_away = refused([1, 2, 3]);
        assert!(![1, 2, 3].map(|mid| is_outrun(&mut turned_away, mid)).contains(&true));
        turned_away.run(request(2), false);
        assert_eq!([1, 2, 3].map(|mid| is_outrun(&mut turned_away, mid)), [true, false, false]);
        turned_away.run(request(9), true);
        assert!(!is_outrun(&mut turned_away, 3), "a GET changes nothing");
        turned_away.run(request(9), false);
        turned_away.note(start(), LIFETIME, request(4));
        turned_away.note(start(), LIFETIME, request(1));
        assert_eq!([1, 3, 4].map(|mid| is_outrun(&mut turned_away, mid)), [true, true, false]);
        let other = (1, Fingerprint(77));
        assert!(!turned_away.is_outrun(start(), LIFETIME, other), "the peer does not count its messages");
    }

    #[test]
    fn the_last_64_are_remembered_each_for_the_lifetime_of_an_exchange() {
        let mut turned_away = refused(0..70);
        assert_eq!(turned_away.refused.len(), REFUSED_MAX);
        turned_away.run(request(100), false);
        assert_eq!([5, 6, 69].map(|mid| is_outrun(&mut turned_away, mid)), [false, true, true]);
        let later = |seconds| start() + Duration::from_secs(seconds);
        turned_away.note(later(200), LIFETIME, request(101));
        assert!(turned_away.is_outrun(later(248), LIFETIME, request(7)));
        assert!(!turned_away.is_outrun(later(249), LIFETIME, request(7)));
        assert_eq!((turned_away.refused.len(), turned_away.outrun), (1, 0));
        turned_away.expire(later(449), LIFETIME);
        assert!(turned_away.refused.capacity() == 0 && turned_away.epoch.is_none());
    }
}
