//! A network that loses, repeats, delays and reorders datagrams, as its seed says.
//!
//! Pure: a datagram goes in by [`Network::handle_datagram`] and comes out by [`Network::poll_arrival`] when
//! its time has come. Different delays reorder datagrams.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::SocketAddr,
    ops::Range,
    time::{Duration, Instant},
};

use crate::random::SeededRandom;

/// The condition of the network.
#[derive(Debug, Clone)]
pub struct Conditions {
    /// How many of a thousand datagrams are lost.
    pub lost_per_mille: u16,
    /// How many of a thousand datagrams arrive twice, each copy with its own delay.
    pub repeated_per_mille: u16,
    /// The delay of a datagram, evenly spread.
    pub delay: Range<Duration>,
    /// How many of a thousand datagrams are late by another `late_by`, and are overtaken by later ones.
    pub late_per_mille: u16,
    /// See `late_per_mille`.
    pub late_by: Duration,
    /// How many of a thousand datagrams arrive with one bit flipped.
    pub flipped_per_mille: u16,
    /// Longer datagrams (UDP payload in bytes) are lost, as on a path with a small MTU.
    pub datagram_bytes_max: usize,
}

impl Conditions {
    /// Everything arrives once, in order, after 50 ms.
    pub const fn good() -> Self {
        let delay = Duration::from_millis(50);
        Self {
            lost_per_mille: 0,
            repeated_per_mille: 0,
            delay: delay..delay,
            late_per_mille: 0,
            late_by: delay,
            flipped_per_mille: 0,
            datagram_bytes_max: usize::MAX,
        }
    }

    /// A bad radio cell: a fifth is lost, a tenth comes twice, delays are up to 400 ms and sometimes seconds.
    pub const fn bad() -> Self {
        Self {
            lost_per_mille: 200,
            repeated_per_mille: 100,
            delay: Duration::from_millis(40)..Duration::from_millis(400),
            late_per_mille: 50,
            late_by: Duration::from_secs(3),
            flipped_per_mille: 0,
            datagram_bytes_max: usize::MAX,
        }
    }
}

/// A datagram on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// Who sent it.
    pub from: SocketAddr,
    /// Who gets it.
    pub to: SocketAddr,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

/// What an observer on the path sees of a datagram that is encrypted, before anything is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When it was sent.
    pub at: Instant,
    /// Who sent it.
    pub from: SocketAddr,
    /// Who gets it.
    pub to: SocketAddr,
    /// Length of the UDP payload.
    pub bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Network {
    conditions: Conditions,
    random: SeededRandom,
    on_their_way: BinaryHeap<Reverse<(Instant, u64, Packet)>>,
    sent: u64,
    lost: u64,
    repeated: u64,
    to_lose: HashMap<SocketAddr, u32>,
    seen: Option<Vec<Seen>>,
    recorded: Option<Vec<Packet>>,
}

impl Network {
    /// A network in these conditions.
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            random: SeededRandom::new(seed),
            on_their_way: BinaryHeap::new(),
            sent: 0,
            lost: 0,
            repeated: 0,
            to_lose: HashMap::new(),
            seen: None,
            recorded: None,
        }
    }

    /// Changes the conditions from now on.
    pub fn change(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// The present conditions.
    pub const fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Loses the next `count` datagrams to `address`, whatever the conditions.
    pub fn lose_next(&mut self, address: SocketAddr, count: u32) {
        self.to_lose.insert(address, count);
    }

    /// Records the metadata of all datagrams from now on; earlier ones are removed.
    pub fn observe(&mut self) {
        self.seen = Some(Vec::new());
    }

    /// The metadata recorded since [`Network::observe`].
    pub fn seen(&self) -> &[Seen] {
        self.seen.as_deref().unwrap_or_default()
    }

    /// Keeps all datagrams whole from now on, so that they can be replayed.
    pub fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// Returns what was kept since [`Network::record`], and stops keeping datagrams.
    pub fn take_recorded(&mut self) -> Vec<Packet> {
        self.recorded.take().unwrap_or_default()
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        if let Some(seen) = &mut self.seen {
            seen.push(Seen { at: now, from, to, bytes: datagram.len() });
        }
        if let Some(recorded) = &mut self.recorded {
            recorded.push(Packet { from, to, bytes: datagram.to_vec() });
        }
        if let Some(left) = self.to_lose.get_mut(&to).filter(|left| **left > 0) {
            *left -= 1;
            self.lost += 1;
            return;
        }
        let too_long = datagram.len() > self.conditions.datagram_bytes_max;
        if self.random.chance(self.conditions.lost_per_mille) || too_long {
            self.lost += 1;
            return;
        }
        let copies = if self.random.chance(self.conditions.repeated_per_mille) { 2 } else { 1 };
        self.repeated += copies - 1;
        for _ in 0..copies {
            let arrives = now + self.draw_delay();
            self.sent += 1;
            let mut packet = Packet { from, to, bytes: datagram.to_vec() };
            self.flip(&mut packet.bytes);
            self.on_their_way.push(Reverse((arrives, self.sent, packet)));
        }
    }

    /// Datagrams that were lost, and such as arrived or will arrive twice.
    pub const fn lost_and_repeated(&self) -> (u64, u64) {
        (self.lost, self.repeated)
    }

    /// The next datagram whose time has come.
    pub fn poll_arrival(&mut self, now: Instant) -> Option<Packet> {
        if self.poll_timeout().is_none_or(|arrives| arrives > now) {
            return None;
        }
        self.on_their_way.pop().map(|Reverse((_, _, packet))| packet)
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.on_their_way.peek().map(|Reverse((arrives, _, _))| *arrives)
    }

    /// Flips a bit of a datagram if it is its turn.
    fn flip(&mut self, bytes: &mut [u8]) {
        // A network that flips nothing draws nothing, so that its seeds give the same run as before.
        if self.conditions.flipped_per_mille == 0 || !self.random.chance(self.conditions.flipped_per_mille) {
            return;
        }
        let bit = self.random.below(bytes.len() as u64 * 8) as usize;
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
    }

    fn draw_delay(&mut self) -> Duration {
        let Range { start, end } = self.conditions.delay;
        let spread = end.saturating_sub(start).as_micros() as u64;
        let late = self.random.chance(self.conditions.late_per_mille);
        let extra = if late { self.conditions.late_by } else { Duration::ZERO };
        start + Duration::from_micros(self.random.below(spread)) + extra
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::start;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    /// Sends 10,000 numbered datagrams 1 ms apart; returns the numbers as they arrive.
    fn transfer(conditions: Conditions, seed: u64) -> Vec<u32> {
        let mut network = Network::new(conditions, seed);
        for number in 0..10_000_u32 {
            let now = start() + Duration::from_millis(u64::from(number));
            network.handle_datagram(now, address(1), address(2), &number.to_be_bytes());
        }
        let mut numbers = Vec::new();
        while let Some(now) = network.poll_timeout() {
            let packet = network.poll_arrival(now).expect("its time has come");
            numbers.push(u32::from_be_bytes(packet.bytes.try_into().expect("four bytes were sent")));
        }
        numbers
    }

    #[test]
    fn a_good_network_delivers_everything_in_order() {
        assert!(transfer(Conditions::good(), 1).into_iter().eq(0..10_000));
    }

    #[test]
    fn a_bad_network_loses_repeats_and_reorders_as_often_as_asked_and_replays_from_its_seed() {
        let numbers = transfer(Conditions::bad(), 1);
        assert_eq!(numbers, transfer(Conditions::bad(), 1));
        assert_ne!(numbers, transfer(Conditions::bad(), 2));
        let distinct: std::collections::HashSet<_> = numbers.iter().collect();
        assert!((7_800..8_200).contains(&distinct.len()), "{} arrived", distinct.len());
        assert!((700..900).contains(&(numbers.len() - distinct.len())), "{} came twice", numbers.len());
        assert!(!numbers.is_sorted());
    }

    #[test]
    fn a_chosen_datagram_gets_lost() {
        let mut network = Network::new(Conditions::good(), 1);
        network.observe();
        network.lose_next(address(2), 1);
        network.handle_datagram(start(), address(1), address(2), b"lost");
        network.handle_datagram(start(), address(1), address(2), b"kept");
        let later = start() + Duration::from_secs(1);
        assert_eq!(network.poll_arrival(later).map(|packet| packet.bytes), Some(b"kept".to_vec()));
        assert_eq!(network.poll_arrival(later), None);
        assert_eq!(network.seen().len(), 2);
    }

    #[test]
    fn a_network_that_flips_changes_one_bit_and_one_with_a_small_mtu_loses_what_is_longer() {
        let mut conditions = Conditions::good();
        conditions.flipped_per_mille = 1000;
        conditions.datagram_bytes_max = 8;
        let mut network = Network::new(conditions, 1);
        network.handle_datagram(start(), address(1), address(2), &[0; 8]);
        network.handle_datagram(start(), address(1), address(2), &[0; 9]);
        let later = start() + Duration::from_secs(1);
        let bytes = network.poll_arrival(later).expect("the first fits").bytes;
        assert_eq!(bytes.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        assert_eq!(network.poll_arrival(later), None);
    }
}
