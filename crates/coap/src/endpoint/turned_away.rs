//! Requests that were refused for want of room (4.29, 5.03), for copies of them that are still on their way
//! (RFC 7252, section 4.5). Nothing ran, so a copy may, and finds room perhaps. But once something newer of
//! the peer has run, a copy would undo it: the peer knows that the old request was refused, and counts on
//! that.
//!
//! ```text
//!   1 refused   2 refused   copy of 2 runs             copy of 1: refused again
//!   1 refused   2 runs                                 copy of 1: refused again
//!   1 waits     2 runs      1 refused                  copy of 1: refused again
//!   1 refused   2 refused   copy of 1 runs, refused    copy of 1: may run; after a copy of 2, refused again
//!   1 refused   copy of 1 runs                         copy of 1: gets the stored answer
//! ```
//!
//! What is newer is told by the serial number that a request got when it first came. A request counts as run
//! from then on that the application has it, and a GET never does, as it changes nothing. A block that is
//! held back is not remembered: its body goes on by the same message, whatever came between.
//!
//! Limit: [`REFUSED_MAX`] requests, 12 bytes each, for EXCHANGE_LIFETIME; the oldest is forgotten first. That
//! is as many as DTLS remembers records: when so many newer ones have arrived, it lets no older one in. They
//! are charged to the budget without regard to its limit, as they are remembered when it is reached.

use std::time::{Duration, Instant};

use crate::{budget::Budget, context::Context, fingerprint::Fingerprint};

/// Requests that are remembered: the width of the replay window of DTLS (RFC 6347, section 4.1.2.6).
const REFUSED_MAX: usize = 64;

/// Bytes that an endpoint takes at most for requests that it has refused for want of room. They are charged
/// to the budget without regard to its limit.
pub const REFUSED_BYTES_MAX: usize = REFUSED_MAX * size_of::<Refused>();

/// See the module.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    /// In the order of their refusal, with the seconds after `epoch`.
    refused: Vec<Refused>,
    epoch: Option<Instant>,
    /// The newest request that ran.
    newest: Option<u32>,
}

#[derive(Debug)]
struct Refused {
    mid: u16,
    request: Fingerprint,
    after_s: u32,
    serial: u32,
}

/// Whether the first of these serial numbers, which wrap, is that of the newer request.
pub(super) const fn is_newer(one: u32, other: u32) -> bool {
    one.wrapping_sub(other) as i32 > 0
}

/// The newer of two requests, by their serial numbers.
pub(super) fn newest(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) if is_newer(other, one) => Some(other),
        (one, other) => one.or(other),
    }
}

impl TurnedAway {
    /// A request with this serial number is refused, and `ran` is the newest one that ran. One that is
    /// refused again keeps its place.
    pub(super) fn note(
        &mut self,
        context: &mut Context<'_>,
        (mid, request): (u16, Fingerprint),
        serial: u32,
        ran: Option<u32>,
    ) {
        self.expire(context);
        self.newest = newest(self.newest, ran);
        if self.find(mid, request).is_some() {
            return;
        }
        if self.refused.len() == REFUSED_MAX {
            self.drop_first(1, context.budget);
        }
        let epoch = *self.epoch.get_or_insert(context.now);
        let after = context.now.saturating_duration_since(epoch);
        let after_s = u32::try_from(after.as_secs()).unwrap_or(u32::MAX);
        self.refused.push(Refused { mid, request, after_s, serial });
        context.budget.charge(size_of::<Refused>());
    }

    /// Whether this is a copy of a request that was refused, and a newer one ran.
    pub(super) fn is_outrun(
        &mut self,
        context: &mut Context<'_>,
        (mid, request): (u16, Fingerprint),
    ) -> bool {
        self.expire(context);
        let refused = self.find(mid, request);
        self.newest.zip(refused).is_some_and(|(newest, refused)| is_newer(newest, refused.serial))
    }

    /// A request runs that changes something: a new one with this serial number, or a copy of one that was
    /// refused. Returns the serial number by which it is newer or older than others.
    pub(super) fn run(&mut self, (mid, request): (u16, Fingerprint), serial: u32) -> u32 {
        if self.refused.is_empty() {
            return serial;
        }
        let serial = self.find(mid, request).map_or(serial, |refused| refused.serial);
        self.newest = newest(self.newest, Some(serial));
        serial
    }

    pub(super) fn is_empty(&self) -> bool {
        self.refused.is_empty()
    }

    /// Another endpoint of the peer goes on, whose first request has this serial number: all of these are
    /// older.
    pub(super) fn outrun_all(&mut self, first: u32) {
        self.refused.iter_mut().for_each(|refused| refused.serial = first.wrapping_sub(1));
        self.newest = Some(first);
    }

    /// Forgets all.
    pub(super) fn release(&mut self, budget: &mut Budget) {
        self.drop_first(self.refused.len(), budget);
        *self = Self::default();
    }

    fn find(&self, mid: u16, request: Fingerprint) -> Option<&Refused> {
        self.refused.iter().find(|refused| (refused.mid, refused.request) == (mid, request))
    }

    pub(super) fn expire(&mut self, context: &mut Context<'_>) {
        let Some(epoch) = self.epoch else { return };
        let (now, lifetime) = (context.now, context.params.exchange_lifetime);
        let is_over = |refused: &&Refused| {
            let since = epoch + Duration::from_secs(refused.after_s.into());
            // Whole seconds, rounded down: none is forgotten early.
            now.saturating_duration_since(since) > lifetime + Duration::from_secs(1)
        };
        self.drop_first(self.refused.iter().take_while(is_over).count(), context.budget);
        if self.refused.is_empty() {
            *self = Self::default();
        }
    }

    fn drop_first(&mut self, count: usize, budget: &mut Budget) {
        self.refused.drain(..count);
        budget.refund(count * size_of::<Refused>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Params,
        test_clock::{Bench, start},
    };

    fn request(mid: u16) -> (u16, Fingerprint) {
        (mid, Fingerprint(mid + 1))
    }

    /// Refused one after the other, each with its Message ID as its serial number.
    fn refused(mids: impl IntoIterator<Item = u16>) -> (TurnedAway, Bench) {
        let (mut turned_away, mut bench) = (TurnedAway::default(), Bench::new(Params::default()));
        mids.into_iter().for_each(|mid| note(&mut turned_away, &mut bench, mid));
        (turned_away, bench)
    }

    fn note(turned_away: &mut TurnedAway, bench: &mut Bench, mid: u16) {
        turned_away.note(&mut bench.context(), request(mid), mid.into(), None);
    }

    fn is_outrun<const N: usize>(
        turned_away: &mut TurnedAway,
        bench: &mut Bench,
        mids: [u16; N],
    ) -> [bool; N] {
        mids.map(|mid| turned_away.is_outrun(&mut bench.context(), request(mid)))
    }

    #[test]
    fn what_runs_outruns_what_came_before_it_and_nothing_later() {
        let (mut turned_away, mut bench) = refused([1, 2, 3]);
        assert_eq!(is_outrun(&mut turned_away, &mut bench, [1, 2, 3]), [false; 3]);
        // A copy is as old as what it is a copy of.
        assert_eq!(turned_away.run(request(2), 50), 2);
        assert_eq!(is_outrun(&mut turned_away, &mut bench, [1, 2, 3]), [true, false, false]);
        assert_eq!(turned_away.run(request(9), 9), 9);
        note(&mut turned_away, &mut bench, 10);
        note(&mut turned_away, &mut bench, 1);
        assert_eq!(is_outrun(&mut turned_away, &mut bench, [1, 3, 10]), [true, true, false]);
        let other = (1, Fingerprint(77));
        assert!(!turned_away.is_outrun(&mut bench.context(), other), "the peer does not count its messages");
    }

    #[test]
    fn a_request_that_is_refused_again_is_as_old_as_before() {
        let (mut turned_away, mut bench) = refused([1, 2]);
        turned_away.run(request(1), 3);
        turned_away.note(&mut bench.context(), request(1), 3, Some(1));
        assert_eq!(is_outrun(&mut turned_away, &mut bench, [1, 2]), [false, false]);
        turned_away.run(request(2), 4);
        assert_eq!(is_outrun(&mut turned_away, &mut bench, [1, 2]), [true, false]);
    }

    #[test]
    fn a_request_may_be_outrun_before_it_is_refused_and_serial_numbers_wrap() {
        let (mut turned_away, mut bench) = refused([]);
        turned_away.note(&mut bench.context(), request(1), u32::MAX, Some(2));
        turned_away.note(&mut bench.context(), request(2), 3, Some(2));
        assert_eq!(is_outrun(&mut turned_away, &mut bench, [1, 2]), [true, false]);
    }

    #[test]
    fn the_last_64_are_remembered_each_for_the_lifetime_of_an_exchange_and_charged() {
        let (mut turned_away, mut bench) = refused(0..70);
        assert_eq!((turned_away.refused.len(), bench.budget.bytes_used()), (REFUSED_MAX, 64 * 12));
        turned_away.run(request(100), 100);
        assert_eq!(is_outrun(&mut turned_away, &mut bench, [5, 6, 69]), [false, true, true]);
        let later = |seconds| start() + Duration::from_secs(seconds);
        bench.now = later(200);
        note(&mut turned_away, &mut bench, 101);
        bench.now = later(248);
        assert_eq!(is_outrun(&mut turned_away, &mut bench, [7]), [true]);
        bench.now = later(249);
        assert_eq!(is_outrun(&mut turned_away, &mut bench, [7]), [false]);
        assert_eq!((turned_away.refused.len(), bench.budget.bytes_used()), (1, 12));
        bench.now = later(449);
        turned_away.expire(&mut bench.context());
        assert!(turned_away.refused.capacity() == 0 && turned_away.epoch.is_none());
        note(&mut turned_away, &mut bench, 102);
        turned_away.release(&mut bench.budget);
        assert_eq!(bench.budget.bytes_used(), 0);
    }
}
