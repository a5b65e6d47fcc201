//! Who gets a place, and whose it was.

use std::net::SocketAddr;

use super::{super::hellos::tests::hello_ids, line::Waited, *};

mod distances;
mod shares;

const LIMITS: AdmissionLimits = AdmissionLimits {
    handshakes_max: 6,
    handshakes_per_address_max: 3,
    lookups_max: 2,
    slow_round_trip: Duration::from_secs(10),
};
const SECOND: Duration = Duration::from_secs(1);
const KEEP: Permit = Permit::Yes(Stay::Kept);

/// Handshakes by slot, with their addresses.
struct Door {
    limits: AdmissionLimits,
    now: Instant,
    /// Of all that begin.
    round_trip: Duration,
    admission: Admission,
    held: Vec<(IpAddr, Held)>,
    hellos: Vec<HelloId>,
    /// When each hello came for the first time.
    first: BTreeMap<(IpAddr, usize), Instant>,
}

fn evict(slot: u32) -> Permit {
    Permit::Evict { slot, stay: Stay::Kept }
}

fn ip(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::from([10, 0, high, low])
}

impl Door {
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn new() -> Self {
        let now = Instant::now();
        Self {
            limits: LIMITS,
            now,
            round_trip: 4 * SECOND,
            admission: Admission::new(1),
            held: Vec::new(),
            hellos: hello_ids(now, 2),
            first: BTreeMap::new(),
        }
    }

    /// One with many places, of which two are passing.
    fn wide() -> Self {
        Self { limits: AdmissionLimits { handshakes_max: 32, ..LIMITS }, ..Self::new() }
    }

    fn permit_hello(&mut self, address: IpAddr, hello: usize) -> Permit {
        self.permit_far(address, hello, Duration::ZERO)
    }

    fn permit_far(&mut self, address: IpAddr, hello: usize, round_trip: Duration) -> Permit {
        let path = Path::from(SocketAddr::new(address, 5684));
        let first = *self.first.entry((address, hello)).or_insert(self.now);
        let cookie_age = round_trip + (self.now - first);
        self.admission.permit(self.now, &path, &self.hellos[hello], cookie_age, &self.limits).permit
    }

    fn make_hellos_anew(&mut self, count: u64) {
        self.hellos = hello_ids(self.now, count);
        self.first.clear();
    }

    fn permit(&mut self, n: u16) -> Permit {
        self.permit_hello(ip(n), 0)
    }

    /// Begins a handshake in the next slot, which it returns.
    fn begin(&mut self, n: u16) -> usize {
        self.begin_with(ip(n), Stay::Kept)
    }

    fn begin_with(&mut self, address: IpAddr, stay: Stay) -> usize {
        let slot = self.held.len() as u32;
        let held = self.admission.begin(self.now, address, slot, stay, self.round_trip, &self.limits);
        self.held.push((address, held));
        slot as usize
    }

    /// A hello that nobody repeats: begins, where it may, in the place of whoever makes room. The slots of
    /// both.
    fn come(&mut self, n: u16) -> (Option<Stay>, Option<u32>) {
        let (stay, evicted) = match self.permit(n) {
            Permit::Yes(stay) => (stay, None),
            Permit::Evict { slot, stay } => (stay, Some(slot)),
            Permit::No | Permit::Share => return (None, None),
        };
        if let Some(slot) = evicted {
            self.end(slot as usize);
        }
        self.begin_with(ip(n), stay);
        (Some(stay), evicted)
    }

    fn end(&mut self, slot: usize) {
        let (address, held) = &self.held[slot];
        self.admission.end(*address, held);
    }

    fn reject(&mut self, slot: usize) {
        let (address, held) = &mut self.held[slot];
        self.admission.reject(self.now, *address, held, &self.limits);
    }

    /// It ends by itself, and nothing came of it.
    fn fail(&mut self, slot: usize) {
        let (address, held) = &self.held[slot];
        self.admission.fail(self.now, *address, held, &self.limits);
        self.end(slot);
    }

    fn go_on(&mut self, slot: usize, waits_for_us: bool) {
        let stage = if waits_for_us { Stage::Asks } else { Stage::GoneOn };
        let (address, held) = &mut self.held[slot];
        self.admission.go_on(*address, held, stage, self.now);
    }

    /// At the limit of address 1, or at that of all, nine seconds of twenty places were in vain, which were
    /// held by peers so far away, and one who is very far wants a place.
    fn waste(&mut self, round_trip: Duration, is_own: bool) {
        let slow = self.limits.slow_round_trip;
        for _ in 0..9 {
            self.admission.press(self.now, ip(1), is_own, &self.limits);
            self.pass(SECOND);
        }
        let waited = Waited { from: self.now - 9 * SECOND, until: self.now, class: class_of(round_trip) };
        let spent = &mut self.admission.line_of(ip(1), is_own).spent;
        (0..20).for_each(|_| spent.add_in_vain(self.now, waited, slow));
        spent.want(self.now, class_of(20 * SECOND));
    }

    /// All that are under way have begun now.
    fn begin_anew(&mut self) {
        for (address, held) in &mut self.held {
            let is_under_way = self.admission.all.awaits(held);
            if is_under_way {
                let next = Held { since: self.now, last: self.now, ..*held };
                self.admission.become_as(*address, held, next);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

#[test]
fn an_address_at_its_limit_drops_new_hellos_while_its_handshakes_are_young_and_others_go_on() {
    let mut door = Door::new();
    let first = door.begin(1);
    door.begin(1);
    door.begin(1);
    assert_eq!(door.permit(1), Permit::No);
    assert_eq!(door.permit(2), KEEP);
    door.pass(10 * SECOND);
    assert_eq!(door.permit(1), Permit::No, "a round trip may take that long");
    door.end(first);
    assert_eq!(door.permit(1), KEEP);
}

#[test]
fn what_was_rejected_makes_room_before_what_stood_still_and_that_before_nothing() {
    let mut door = Door::new();
    door.begin(1);
    door.pass(5 * SECOND);
    let second = door.begin(1);
    let third = door.begin(1);
    door.pass(7 * SECOND);
    assert_eq!(door.permit(1), evict(0), "it has stood still for 12 s");
    door.reject(third);
    assert_eq!(door.permit(1), evict(2));
    door.reject(second);
    assert_eq!(door.permit(1), evict(1), "the oldest of those that were rejected");
}

#[test]
fn what_goes_on_or_waits_for_us_is_not_evicted_however_old_it_is() {
    let mut door = Door::new();
    for _ in 0..3 {
        door.begin(1);
    }
    door.pass(9 * SECOND);
    door.go_on(0, true);
    door.go_on(1, false);
    door.pass(9 * SECOND);
    assert_eq!(door.permit(1), evict(2), "only this one has stood still");
    door.go_on(2, false);
    door.pass(60 * SECOND);
    assert_eq!(door.permit(1), evict(1), "its peer never proved its key, and was not heard for longest");
    door.go_on(1, true);
    door.go_on(2, true);
    door.pass(60 * SECOND);
    assert_eq!(door.permit(1), Permit::No, "it is the store that is slow");
}

#[test]
fn a_few_addresses_cannot_keep_all_others_out() {
    let mut door = Door::new();
    for address in [1, 1, 1, 2, 2, 3] {
        door.begin(address);
    }
    assert_eq!(door.permit(4), evict(2), "the newest of the busiest address");
    assert_eq!(door.permit(3), Permit::No, "the busiest has not much more than this one");
    door.go_on(2, false);
    assert_eq!(door.permit(4), evict(1), "and none that has gone on");
    door.pass(12 * SECOND);
    assert_eq!(door.permit(3), evict(0), "what stood still comes first");
}

#[test]
fn among_addresses_with_as_many_the_oldest_that_stood_still_makes_room_whatever_the_addresses_are() {
    let mut door = Door::new();
    for address in [5, 9, 1, 8, 2, 4] {
        door.begin(address);
        door.pass(SECOND);
    }
    assert_eq!(door.permit(7), Permit::No, "all are young");
    door.pass(5 * SECOND);
    assert_eq!(door.permit(7), evict(0));
    door.end(0);
    door.begin(7);
    assert_eq!(door.permit(3), Permit::No);
    door.pass(SECOND);
    assert_eq!(door.permit(3), evict(1));
}

/// All places of [`Door::wide`] taken, by an address of its own each.
fn full() -> Door {
    let mut door = Door::wide();
    for n in 1..=32 {
        let expected = if n <= 30 { Stay::Kept } else { Stay::Passing };
        assert_eq!(door.come(n), (Some(expected), None), "{n}");
    }
    door
}

#[test]
fn while_all_others_are_held_the_passing_places_go_from_one_to_the_next() {
    let mut door = full();
    for (n, evicted) in [(33, 30), (34, 31), (35, 32)] {
        assert_eq!(door.come(n), (Some(Stay::Passing), Some(evicted)));
    }
    door.go_on(33, false);
    assert_eq!(door.come(36), (Some(Stay::Passing), Some(34)), "what has gone on may finish");
    door.go_on(35, true);
    assert_eq!(door.come(37), (None, None), "also where it waits for us");
    door.pass(12 * SECOND);
    assert_eq!(door.come(38), (Some(Stay::Kept), Some(0)), "what stood still comes first");
}

#[test]
fn a_few_devices_behind_one_address_do_not_make_room_for_all_others() {
    let mut door = Door::new();
    door.limits.handshakes_max = 64;
    for n in [1, 1, 1].into_iter().chain(2..63) {
        door.come(n);
    }
    let evicted: Vec<_> = (100..140).filter_map(|n| door.come(n).1).collect();
    assert_eq!(evicted.len(), 40);
    assert!(evicted.iter().all(|slot| *slot >= 60), "three of 64 are not many: {evicted:?}");
    door.limits.handshakes_per_address_max = 4;
    assert_eq!(door.come(1), (Some(Stay::Passing), Some(100)));
    assert_eq!(door.come(140).1, Some(104), "four are: the newest of theirs");
}

#[test]
fn what_is_kept_is_not_touched_by_what_passes_and_gets_its_places_back() {
    let mut door = full();
    for round in 0..200_u16 {
        let (_, evicted) = door.come(40 + round % 100);
        assert!(evicted.is_none_or(|slot| slot >= 30), "{evicted:?}");
    }
    door.end(7);
    assert_eq!(door.come(200), (Some(Stay::Kept), None));
}

#[test]
fn look_ups_in_flight_are_bounded() {
    let mut door = Door::new();
    door.admission.lookups = 2;
    assert_eq!(door.permit(1), Permit::No);
}

#[test]
fn all_counts_return_to_zero_and_an_ipv6_subscriber_counts_once() {
    let mut door = Door::new();
    let [a, b]: [IpAddr; 2] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().expect("an address"));
    let slots = [a, b, a].map(|address| door.begin_with(address, Stay::Kept));
    assert_eq!(door.permit_hello(b, 0), Permit::No);
    door.reject(slots[1]);
    assert_eq!(door.permit_hello(a, 0), evict(1));
    for slot in slots.into_iter().chain(slots) {
        door.end(slot);
    }
    assert!(door.admission.by_address.is_empty());
    assert!(door.admission.by_rank.is_empty());
    assert_eq!((door.admission.all.len(), door.admission.passing.len()), (0, 0));
}

#[test]
fn attack_098_a_passing_place_is_given_only_to_whom_it_helps_and_others_are_dropped() {
    let mut door = full();
    door.pass(SECOND);
    assert_eq!(door.permit_far(ip(40), 0, 2 * SECOND), Permit::No, "it would be gone before he goes on");
    assert_eq!(door.permit_far(ip(40), 0, SECOND), Permit::No, "round trips vary");
    let near = Permit::Evict { slot: 30, stay: Stay::Passing };
    assert_eq!(door.permit_far(ip(40), 0, SECOND / 2), near);
    door.end(30);
    assert_eq!(door.permit_far(ip(41), 0, 8 * SECOND), Permit::No, "there is a free one, but it was so too");
    door.pass(12 * SECOND);
    door.begin_anew();
    assert_eq!(door.permit_far(ip(42), 0, SECOND), Permit::No, "none was needed for long, but all may come");
    assert_eq!(door.permit_far(ip(43), 0, SECOND * 2 / 25), Permit::Yes(Stay::Passing), "it is near");
}

#[test]
fn what_is_far_gets_a_place_that_is_kept_when_one_stands_still_or_is_over() {
    let mut door = full();
    door.pass(12 * SECOND);
    assert_eq!(door.permit_far(ip(40), 0, 8 * SECOND), evict(0));
    door.begin_anew();
    assert_eq!(door.permit_far(ip(40), 0, 8 * SECOND), Permit::No);
    door.end(5);
    assert_eq!(door.permit_far(ip(40), 0, 8 * SECOND), KEEP);
}

#[test]
fn a_hello_that_comes_again_keeps_its_passing_place_where_there_is_room() {
    let mut door = full();
    let again = |door: &mut Door, slot: usize| {
        let (address, held) = &mut door.held[slot];
        door.admission.handle_again(door.now, *address, held, &door.limits);
        door.held[slot].1.stay
    };
    door.pass(SECOND);
    assert_eq!(again(&mut door, 30), Stay::Passing, "there is none");
    door.end(7);
    door.begin_with(ip(50), Stay::Passing);
    assert_eq!(again(&mut door, 32), Stay::Passing, "it is the network's own copy");
    assert_eq!(again(&mut door, 30), Stay::Kept);
    assert_eq!(again(&mut door, 31), Stay::Passing, "the room is taken");
    assert_eq!(door.come(60), (Some(Stay::Passing), Some(31)), "and 30 is no passing one any more");
    door.reject(30);
    (0..door.held.len()).for_each(|slot| door.end(slot));
    assert_eq!((door.admission.all.len(), door.admission.passing.len()), (0, 0));
}

/// With 512 places, 32 of them passing, and a wide limit per address.
fn many() -> Door {
    let limits = AdmissionLimits { handshakes_max: 512, handshakes_per_address_max: 512, ..LIMITS };
    Door { limits, ..Door::new() }
}

#[test]
fn handshakes_that_have_gone_on_do_not_hide_those_that_have_not() {
    let mut door = many();
    (0..512).for_each(|n| assert!(door.come(n).0.is_some()));
    // The oldest of the passing ones.
    (480..511).for_each(|slot| door.go_on(slot, false));
    assert_eq!(door.come(600), (Some(Stay::Passing), Some(511)));
    door.pass(6 * SECOND);
    assert_eq!(door.come(601), (Some(Stay::Passing), Some(480)), "a message is no place for longer");

    let mut door = many();
    (0..512).for_each(|_| assert!(door.come(1).0.is_some()));
    // The newest of the busiest.
    (462..512).for_each(|slot| door.go_on(slot, false));
    assert_eq!(door.come(2).1, Some(461));
}

#[test]
fn the_one_that_was_not_heard_for_longest_is_found_behind_any_number_that_went_on() {
    let mut door = many();
    (0..512).for_each(|n| assert!(door.come(n).0.is_some()));
    door.pass(9 * SECOND);
    (0..400).for_each(|slot| door.go_on(slot, false));
    door.pass(3 * SECOND);
    assert_eq!(door.come(600), (Some(Stay::Kept), Some(400)));
}
