//! Who waits for a hash, in two queues: those who are known, and strangers.
//!
//! * Those who are known go first, but for one stranger after each [`IN_A_ROW`] of them. [`KNOWN_MAX`] of
//!   them wait, [`OF_USER`] of one user.
//! * [`STRANGERS_MAX`] strangers wait, [`OF_NETWORK`] of one network. Where all of these places are taken, a
//!   network of which nothing was hashed for a minute ([`LATE`]) takes one of the networks that are not so
//!   fresh, unless it is among the last half of the places: those are for who came before.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use narrowgate_platform::ports::Applicant;

/// Those who are known and wait.
pub const KNOWN_MAX: usize = 16;
/// Of them, those of one user.
const OF_USER: usize = 2;
/// Strangers who wait.
pub const STRANGERS_MAX: usize = 16;
/// Of them, those of one network.
const OF_NETWORK: usize = 2;

/// Those who are known whose turns follow one another while a stranger waits.
const IN_A_ROW: u32 = 4;
/// A network is fresh where nothing of it was hashed for so long.
const LATE: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Queues<J> {
    known: VecDeque<(u64, J)>,
    strangers: VecDeque<(u64, J)>,
    /// When something was last hashed of a network, for [`LATE`]: as many as there are hashes in that time.
    late: BTreeMap<u64, Instant>,
    in_a_row: u32,
}

impl<J> Default for Queues<J> {
    fn default() -> Self {
        Self { known: VecDeque::new(), strangers: VecDeque::new(), late: BTreeMap::new(), in_a_row: 0 }
    }
}

impl<J> Queues<J> {
    /// Puts a job at the end of its queue. Returns the one that finds no place, which may be another one.
    pub(super) fn put(&mut self, applicant: Applicant, job: J, now: Instant) -> Option<J> {
        let (queue, key, all_max, own_max) = match applicant {
            Applicant::Known(user) => (&mut self.known, user, KNOWN_MAX, OF_USER),
            Applicant::Stranger(network) => (&mut self.strangers, network, STRANGERS_MAX, OF_NETWORK),
        };
        let own = queue.iter().filter(|(known, _)| *known == key).count();
        if own >= own_max {
            return Some(job);
        }
        if queue.len() < all_max {
            queue.push_back((key, job));
            return None;
        }
        let Applicant::Stranger(network) = applicant else { return Some(job) };
        let Some(place) = self.place_for_fresh(network, now) else { return Some(job) };
        let displaced = self.strangers.remove(place);
        self.strangers.push_back((network, job));
        displaced.map(|(_, job)| job)
    }

    /// Whose place a stranger takes where all are taken.
    fn place_for_fresh(&self, network: u64, now: Instant) -> Option<usize> {
        let is_late = |network: u64| {
            self.late.get(&network).is_some_and(|at| now.saturating_duration_since(*at) < LATE)
        };
        if is_late(network) {
            return None;
        }
        let late = || self.strangers.iter().enumerate().filter(|(_, (known, _))| is_late(*known));
        if late().count() <= STRANGERS_MAX / 2 {
            return None;
        }
        late().next_back().map(|(place, _)| place)
    }

    /// Takes the next one.
    pub(super) fn take(&mut self, now: Instant) -> Option<J> {
        let is_strangers_turn = self.in_a_row >= IN_A_ROW && !self.strangers.is_empty();
        if !is_strangers_turn && let Some((_, job)) = self.known.pop_front() {
            self.in_a_row = self.in_a_row.saturating_add(1);
            return Some(job);
        }
        let (network, job) = self.strangers.pop_front()?;
        self.in_a_row = 0;
        self.late.retain(|_, at| now.saturating_duration_since(*at) < LATE);
        self.late.insert(network, now);
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(network: u64) -> Applicant {
        Applicant::Stranger(network)
    }

    #[test]
    fn those_who_are_known_go_first_and_a_stranger_waits_for_four_of_them() {
        let (mut queues, now) = (Queues::default(), Instant::now());
        for number in 0..3 {
            assert_eq!(queues.put(stranger(number), format!("s{number}"), now), None);
        }
        for number in 0..6 {
            assert_eq!(queues.put(Applicant::Known(number), format!("k{number}"), now), None);
        }
        let order: Vec<_> = std::iter::from_fn(|| queues.take(now)).collect();
        assert_eq!(order.join(" "), "k0 k1 k2 k3 s0 k4 k5 s1 s2");
    }

    #[test]
    fn a_user_and_a_network_have_two_places() {
        let (mut queues, now) = (Queues::default(), Instant::now());
        for applicant in [Applicant::Known(7), stranger(7)] {
            let put: Vec<_> = (0..4).map(|number| queues.put(applicant, number, now)).collect();
            assert_eq!(put, [None, None, Some(2), Some(3)], "{applicant:?}");
        }
    }

    #[test]
    fn attack_181_strangers_take_no_place_of_those_who_are_known() {
        let (mut queues, now) = (Queues::default(), Instant::now());
        let taken = (0..1000).filter(|number| queues.put(stranger(*number), *number, now).is_none()).count();
        assert_eq!(taken, STRANGERS_MAX);
        for number in 0..16 {
            assert_eq!(queues.put(Applicant::Known(number), number, now), None);
        }
        assert_eq!(queues.put(Applicant::Known(16), 16, now), Some(16));
    }

    #[test]
    fn attack_181_a_network_that_had_no_turn_of_late_takes_the_place_of_one_that_had() {
        let (mut queues, now) = (Queues::default(), Instant::now());
        // Sixteen loud networks keep the queue full.
        for number in 0..16 {
            queues.put(stranger(number), number, now);
        }
        for number in 0..16 {
            assert_eq!(queues.take(now), Some(number));
            assert_eq!(queues.put(stranger(number), number, now), None);
        }
        assert_eq!(queues.put(stranger(3), 3, now), Some(3), "it had one");
        let displaced: Vec<_> = (100..120).map(|fresh| queues.put(stranger(fresh), fresh, now)).collect();
        let expected = (8..16).rev().chain(108..120).map(Some);
        assert!(displaced.iter().copied().eq(expected), "half of the places: {displaced:?}");
        // After a minute a network is fresh again.
        let (mut queues, later) = (Queues::default(), now + LATE);
        for number in 0..17 {
            queues.put(stranger(number), number, now);
            queues.take(if number == 16 { later } else { now });
        }
        assert!(queues.late.len() == 1, "{:?}", queues.late);
    }
}
