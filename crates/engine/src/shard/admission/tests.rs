//! Who gets a place, and whose it was.

use std::net::SocketAddr;

use super::{super::hellos::tests::hello_ids, *};

const LIMITS: AdmissionLimits = AdmissionLimits {
    handshakes_max: 6,
    handshakes_per_address_max: 3,
    lookups_max: 2,
    slow_round_trip: Duration::from_secs(10),
};
const SECOND: Duration = Duration::from_secs(1);

/// Handshakes with their progress, by slot.
struct Door {
    now: Instant,
    admission: Admission,
    progress: Vec<Progress>,
    hellos: Vec<HelloId>,
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

impl Door {
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn new() -> Self {
        let now = Instant::now();
        Self { now, admission: Admission::new(1), progress: Vec::new(), hellos: hello_ids(now, 2) }
    }

    fn permit_hello(&mut self, address: IpAddr, hello: usize) -> Permit {
        let path = Path::from(SocketAddr::new(address, 5684));
        let progress = |slot: u32| self.progress[slot as usize];
        self.admission.permit(self.now, &path, &self.hellos[hello], &LIMITS, progress)
    }

    fn permit(&mut self, n: u8) -> Permit {
        self.permit_hello(ip(n), 0)
    }

    /// Begins a handshake in the next slot; its number.
    fn begin(&mut self, n: u8) -> u64 {
        self.progress.push(Progress::begun(self.now));
        self.admission.begin(ip(n), self.progress.len() as u32 - 1)
    }

    fn go_on(&mut self, slot: usize, waits_for_us: bool) {
        self.progress[slot] = Progress { last: self.now, went_on: true, waits_for_us };
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
    assert_eq!(door.permit(2), Permit::Yes);
    door.pass(10 * SECOND);
    assert_eq!(door.permit(1), Permit::No, "a round trip may take that long");
    door.admission.end(ip(1), first);
    assert_eq!(door.permit(1), Permit::Yes);
}

#[test]
fn what_was_rejected_makes_room_before_what_stood_still_and_that_before_nothing() {
    let mut door = Door::new();
    door.begin(1);
    door.pass(5 * SECOND);
    let second = door.begin(1);
    let third = door.begin(1);
    door.pass(6 * SECOND);
    assert_eq!(door.permit(1), Permit::Evict { slot: 0 }, "it has stood still for 11 s");
    door.admission.reject(ip(1), third);
    assert_eq!(door.permit(1), Permit::Evict { slot: 2 });
    door.admission.reject(ip(1), second);
    assert_eq!(door.permit(1), Permit::Evict { slot: 1 }, "the oldest of those that were rejected");
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
    assert_eq!(door.permit(1), Permit::Evict { slot: 2 }, "only this one has stood still");
    door.pass(60 * SECOND);
    assert_eq!(door.permit(1), Permit::Evict { slot: 1 }, "its peer never proved its key");
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
    assert_eq!(door.permit(4), Permit::Evict { slot: 2 }, "the newest of the busiest address");
    assert_eq!(door.permit(3), Permit::No, "the busiest has not much more than this one");
    door.go_on(2, false);
    assert_eq!(door.permit(4), Permit::Evict { slot: 1 }, "and none that has gone on");
    door.pass(11 * SECOND);
    assert_eq!(door.permit(3), Permit::Evict { slot: 0 }, "what stood still comes first");
}

#[test]
fn among_addresses_with_as_many_the_oldest_that_stood_still_makes_room_whatever_the_addresses_are() {
    let mut door = Door::new();
    let mut numbers = Vec::new();
    for address in [5, 9, 1, 8, 2, 4] {
        numbers.push(door.begin(address));
        door.pass(SECOND);
    }
    assert_eq!(door.permit(7), Permit::No, "all are young");
    door.pass(5 * SECOND);
    assert_eq!(door.permit(7), Permit::Evict { slot: 0 });
    door.admission.end(ip(5), numbers[0]);
    door.begin(7);
    assert_eq!(door.permit(3), Permit::No);
    door.pass(SECOND);
    assert_eq!(door.permit(3), Permit::Evict { slot: 1 });
}

#[test]
fn in_a_flood_only_what_comes_again_gets_in_until_it_is_over() {
    let mut door = Door::new();
    let numbers = [1, 1, 1].map(|address| door.begin(address));
    for _ in 0..FLOOD_HELLOS_MIN {
        assert_eq!(door.permit_hello(ip(1), 1), Permit::No);
    }
    assert!(!door.admission.is_flood(door.now, ip(1), &LIMITS), "devices that all come at once are none");
    door.pass(11 * SECOND);
    assert_eq!(door.permit_hello(ip(1), 1), Permit::Evict { slot: 0 }, "it stood still");
    (0..3).for_each(|slot| door.progress[slot] = Progress::begun(door.now));
    for _ in 0..=FLOOD_HELLOS_MIN {
        door.admission.count_dropped(door.now, ip(1), &LIMITS);
        door.admission.dropped_at(ip(1), &LIMITS).note_evicted(door.now, LIMITS.slow_round_trip);
    }
    door.admission.end(ip(1), numbers[0]);
    assert_eq!(door.permit(1), Permit::Again, "it comes for the first time");
    door.pass(SECOND);
    assert_eq!(door.permit(1), Permit::Yes, "and again");
    assert_eq!(door.permit(2), Permit::Yes, "others have nothing to do with it");
    door.admission.end(ip(1), numbers[1]);
    assert_eq!(door.permit_hello(ip(1), 1), Permit::Yes, "half of the places are for everybody");
    door.begin(1);
    door.pass(11 * SECOND);
    door.hellos = hello_ids(door.now, 3);
    assert_eq!(door.permit_hello(ip(1), 2), Permit::Yes, "nothing was dropped for long");
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
    let mut numbers = Vec::new();
    for address in [a, b, a] {
        door.progress.push(Progress::begun(door.now));
        numbers.push(door.admission.begin(address, door.progress.len() as u32 - 1));
    }
    assert_eq!(door.permit_hello(b, 0), Permit::No);
    door.admission.reject(a, numbers[1]);
    assert_eq!(door.permit_hello(a, 0), Permit::Evict { slot: 1 });
    for number in numbers.iter().chain(&numbers) {
        door.admission.end(a, *number);
    }
    assert!(door.admission.by_address.is_empty());
    assert!(door.admission.by_rank.is_empty());
    assert_eq!(door.admission.all.len(), 0);
}
