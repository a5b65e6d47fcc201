//! The place that a hello may take: rules 1 to 4, and what is left to a class that has its share.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Admission, AdmissionLimits, Stay,
    line::{Line, Place},
    share::Share,
};

/// An address that has one in so many of all places, or more, may be too busy for others.
const BUSY_PART: usize = 16;

/// A class that has more than its share takes the place of one of its own only when that has stood still for
/// so long that whoever else wanted it could have had it.
const OTHERS_FIRST: Duration = Duration::from_secs(1);

/// From so many on.
pub(super) fn busy_from(limits: &AdmissionLimits) -> usize {
    limits.handshakes_max / BUSY_PART
}

/// A hello that comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comes {
    pub(super) address: IpAddr,
    pub(super) round_trip: Duration,
    pub(super) class: usize,
}

/// A place for it, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) place: Option<Place>,
    /// Whose limit it meets: that of its address, or that of all.
    pub(super) is_own: bool,
    /// What its class has there.
    pub(super) share: Share,
}

impl Admission {
    /// `own`: what is under way of its address.
    pub(super) fn find(
        &self,
        now: Instant,
        own: Option<&Line>,
        comes: Comes,
        limits: &AdmissionLimits,
    ) -> Found {
        let Comes { address, class, .. } = comes;
        let AdmissionLimits { handshakes_per_address_max: max, slow_round_trip: slow, .. } = *limits;
        if let Some(own) = own {
            let still = |stay| own.still(now, stay);
            let overdue = || own.overdue(now, max, slow);
            let share = own.share(now, class, max, slow);
            let place = match share {
                Share::More => Some(own.still_of(now, class, OTHERS_FIRST)),
                Share::All => Some(own.still_of(now, class, Duration::ZERO)),
                Share::Less if own.len() >= max => {
                    let gone = own.rejected().or_else(|| still(Stay::Kept)).or_else(|| still(Stay::Passing));
                    Some(gone.or_else(overdue))
                }
                Share::Less => None,
            };
            if let Some(place) = place {
                return Found { place, is_own: true, share };
            }
        }
        let share = self.share_of_all(now, address, class, limits);
        Found { place: self.find_of_all(now, comes, share, limits), is_own: false, share }
    }

    /// What a class has of the places of all. An address with few has nothing to do with a flood of all.
    pub(super) fn share_of_all(
        &self,
        now: Instant,
        address: IpAddr,
        class: usize,
        limits: &AdmissionLimits,
    ) -> Share {
        match self.much_busier_than(address, limits) {
            Some(_) => Share::Less,
            None => self.all.share(now, class, limits.handshakes_max, limits.slow_round_trip),
        }
    }

    fn find_of_all(
        &self,
        now: Instant,
        comes: Comes,
        share: Share,
        limits: &AdmissionLimits,
    ) -> Option<Place> {
        let is_full = self.all.len() >= limits.handshakes_max;
        let of_busiest = || {
            let busiest = self.by_address.get(&self.much_busier_than(comes.address, limits)?)?;
            busiest.newest_begun().map(Place::Busiest)
        };
        let free = || (!is_full).then_some(Place::Free);
        let passing = || {
            let oldest = || self.passing.oldest_begun().map(|(_, seat)| seat);
            free().or_else(|| self.passing.overdue(now).or_else(oldest).map(Place::Passing))
        };
        match share {
            Share::More => return passing(),
            Share::All => return self.all.still_of(now, comes.class, Duration::ZERO).or_else(passing),
            Share::Less => {}
        }
        if !is_full && self.stay(None, limits) == Stay::Kept {
            return Some(Place::Free);
        }
        // Not what passes: who is far could not use it, and would be dropped although others stand still.
        let still = || self.all.still(now, Stay::Kept);
        let overdue = || self.all.overdue(now, limits.handshakes_max, limits.slow_round_trip);
        let passes = || free().filter(|_| self.passes(now, comes.round_trip, limits));
        let gone = self.all.rejected().or_else(still).or_else(overdue);
        gone.or_else(passes).or_else(of_busiest).or_else(passing)
    }

    /// The busiest address, if this one has less than half of what that one has, and that is much.
    fn much_busier_than(&self, address: IpAddr, limits: &AdmissionLimits) -> Option<IpAddr> {
        let &(count, busiest) = self.by_rank.last().filter(|(count, _)| *count >= busy_from(limits))?;
        let own = self.by_address.get(&address).map_or(0, Line::len);
        (2 * (own + 1) <= count).then_some(busiest)
    }
}
