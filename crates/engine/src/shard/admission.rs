//! Decides who may begin a handshake, with limits in total and per address, so that one peer cannot take what
//! all need.
//!
//! It applies only after a valid cookie, so each address here receives what is sent to it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

/// Limits of handshakes under way.
#[derive(Debug, Clone)]
pub struct AdmissionLimits {
    /// Handshakes under way per shard: each takes up to 4 KiB. At the limit the oldest handshake of the
    /// address that has the most is evicted, so a few addresses cannot keep all others out; among several
    /// such addresses, the one with the oldest handshake of all.
    pub handshakes_max: usize,
    /// Handshakes under way per IP address (IPv6: per /64). Many devices share a carrier's address, so this
    /// is wide. At the limit the oldest handshake of the address is evicted.
    pub handshakes_per_address_max: usize,
    /// Key look-ups that wait for an answer, per shard. At the limit a ClientHello is dropped; the client
    /// retransmits it. Handshakes under way still ask for their key, so there may be as many look-ups as
    /// handshakes.
    pub lookups_max: usize,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self { handshakes_max: 20_000, handshakes_per_address_max: 4_000, lookups_max: 4_096 }
    }
}

/// What to do with a ClientHello that holds a valid cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Begin.
    Yes,
    /// Begin, but first end the handshake in this slot.
    Evict {
        /// Its slot.
        slot: u32,
    },
    /// Drop it.
    No,
}

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Per address: the slots of its handshakes, by their number of beginning.
    by_address: HashMap<IpAddr, BTreeMap<u64, u32>, foldhash::fast::RandomState>,
    /// Addresses by who is evicted first: the last one.
    by_rank: BTreeSet<Rank>,
    total: usize,
    begun: u64,
    /// Key look-ups that wait for their answer.
    pub(super) lookups: usize,
}

/// The number of an address's handshakes, then when the oldest of them began, then the address, to
/// distinguish them.
type Rank = (usize, Reverse<u64>, IpAddr);

impl Admission {
    /// Whether one more handshake of this address may begin.
    pub(super) fn permit(&self, address: IpAddr, limits: &AdmissionLimits) -> Permit {
        if self.lookups >= limits.lookups_max {
            return Permit::No;
        }
        let address = group(address);
        if self.by_address.get(&address).is_some_and(|slots| slots.len() >= limits.handshakes_per_address_max)
        {
            return self.evict(address);
        }
        if self.total < limits.handshakes_max {
            return Permit::Yes;
        }
        self.by_rank.last().map_or(Permit::No, |&(_, _, busiest)| self.evict(busiest))
    }

    fn evict(&self, address: IpAddr) -> Permit {
        let oldest = self.by_address.get(&address).and_then(BTreeMap::first_key_value);
        oldest.map_or(Permit::No, |(_, &slot)| Permit::Evict { slot })
    }

    /// Records that a handshake began in `slot`; returns the number for [`Self::end`].
    pub(super) fn begin(&mut self, address: IpAddr, slot: u32) -> u64 {
        self.begun += 1;
        let address = group(address);
        let slots = self.by_address.entry(address).or_default();
        self.by_rank.remove(&rank(address, slots));
        slots.insert(self.begun, slot);
        self.by_rank.insert(rank(address, slots));
        self.total += 1;
        self.begun
    }

    /// Records that a handshake ended, for whatever reason.
    pub(super) fn end(&mut self, address: IpAddr, begun: u64) {
        let address = group(address);
        let Some(slots) = self.by_address.get_mut(&address) else { return };
        self.by_rank.remove(&rank(address, slots));
        if slots.remove(&begun).is_some() {
            self.total -= 1;
        }
        if slots.is_empty() {
            self.by_address.remove(&address);
        } else {
            self.by_rank.insert(rank(address, slots));
        }
        if self.by_address.is_empty() && self.by_address.capacity() > 1024 {
            self.by_address.shrink_to(256);
        }
    }
}

fn rank(address: IpAddr, slots: &BTreeMap<u64, u32>) -> Rank {
    let oldest = slots.first_key_value().map_or(u64::MAX, |(&begun, _)| begun);
    (slots.len(), Reverse(oldest), address)
}

/// The address or prefix that an address counts for: one subscriber owns a whole IPv6 /64.
pub fn group(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => {
                let mut octets = v6.octets();
                octets[8..].fill(0);
                IpAddr::V6(octets.into())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: AdmissionLimits =
        AdmissionLimits { handshakes_max: 3, handshakes_per_address_max: 2, lookups_max: 2 };

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn an_address_at_its_limit_makes_room_from_its_own_and_others_go_on() {
        let mut admission = Admission::default();
        let first = admission.begin(ip(1), 10);
        admission.begin(ip(1), 11);
        assert_eq!(admission.permit(ip(1), &LIMITS), Permit::Evict { slot: 10 });
        assert_eq!(admission.permit(ip(2), &LIMITS), Permit::Yes);
        admission.begin(ip(2), 12);
        let third = admission.permit(ip(3), &LIMITS);
        assert_eq!(third, Permit::Evict { slot: 10 }, "the busiest address makes room for a new one");
        admission.end(ip(1), first);
        assert_eq!(admission.permit(ip(3), &LIMITS), Permit::Yes);
        assert_eq!(admission.permit(ip(1), &LIMITS), Permit::Yes);
    }

    #[test]
    fn among_addresses_with_as_many_the_oldest_makes_room_whatever_the_addresses_are() {
        let mut admission = Admission::default();
        for (slot, address) in [5, 9, 1].into_iter().enumerate() {
            admission.begin(ip(address), slot as u32);
        }
        assert_eq!(admission.permit(ip(7), &LIMITS), Permit::Evict { slot: 0 });
        admission.end(ip(5), 1);
        admission.begin(ip(7), 3);
        assert_eq!(admission.permit(ip(2), &LIMITS), Permit::Evict { slot: 1 });
    }

    #[test]
    fn look_ups_in_flight_are_bounded() {
        let admission = Admission { lookups: 2, ..Admission::default() };
        assert_eq!(admission.permit(ip(1), &LIMITS), Permit::No);
    }

    #[test]
    fn all_counts_return_to_zero_and_an_ipv6_subscriber_counts_once() {
        let mut admission = Admission::default();
        let a: IpAddr = "2001:db8::1".parse().expect("an address");
        let b: IpAddr = "2001:db8::2".parse().expect("an address");
        let first = admission.begin(a, 1);
        let second = admission.begin(b, 2);
        assert_eq!(admission.permit(a, &LIMITS), Permit::Evict { slot: 1 });
        admission.end(a, first);
        admission.end(b, second);
        admission.end(b, second);
        assert!(admission.by_address.is_empty());
        assert!(admission.by_rank.is_empty());
        assert_eq!(admission.total, 0);
    }
}
