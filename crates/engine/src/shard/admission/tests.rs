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
const KEEP: Permit = Permit::Yes(Stay::Kept);

/// Handshakes with their progress, by slot.
struct Door {
    limits: AdmissionLimits,
    now: Instant,
    admission: Admission,
    progress: Vec<Progress>,
    hellos: Vec<HelloId>,
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
            admission: Admission::new(1),
            progress: Vec::new(),
            hellos: hello_ids(now, 2),
        }
    }

    /// One with many places, of which two are passing.
    fn wide() -> Self {
        Self { limits: AdmissionLimits { handshakes_max: 32, ..LIMITS }, ..Self::new() }
    }

    fn permit_hello(&mut self, address: IpAddr, hello: usize) -> Permit {
        let path = Path::from(SocketAddr::new(address, 5684));
        let progress = |slot: u32| self.progress[slot as usize];
        self.admission.permit(self.now, &path, &self.hellos[hello], &self.limits, progress)
    }

    fn permit(&mut self, n: u16) -> Permit {
        self.permit_hello(ip(n), 0)
    }

    /// Begins a handshake in the next slot; its number.
    fn begin(&mut self, n: u16) -> u64 {
        self.begin_with(n, Stay::Kept)
    }

    fn begin_with(&mut self, n: u16, stay: Stay) -> u64 {
        self.progress.push(Progress::begun(self.now));
        self.admission.begin(ip(n), self.progress.len() as u32 - 1, stay)
    }

    /// A hello that nobody repeats: begins, where it may, in the place of whoever makes room. The slots of
    /// both.
    fn come(&mut self, n: u16, numbers: &mut Vec<(u16, u64)>) -> (Option<Stay>, Option<u32>) {
        let (stay, evicted) = match self.permit(n) {
            Permit::Yes(stay) => (stay, None),
            Permit::Evict { slot, stay } => (stay, Some(slot)),
            Permit::No | Permit::Again => return (None, None),
        };
        if let Some(slot) = evicted {
            let (address, number) = numbers[slot as usize];
            self.admission.end(ip(address), number);
        }
        numbers.push((n, self.begin_with(n, stay)));
        (Some(stay), evicted)
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
    assert_eq!(door.permit(2), KEEP);
    door.pass(10 * SECOND);
    assert_eq!(door.permit(1), Permit::No, "a round trip may take that long");
    door.admission.end(ip(1), first);
    assert_eq!(door.permit(1), KEEP);
}

#[test]
fn what_was_rejected_makes_room_before_what_stood_still_and_that_before_nothing() {
    let mut door = Door::new();
    door.begin(1);
    door.pass(5 * SECOND);
    let second = door.begin(1);
    let third = door.begin(1);
    door.pass(6 * SECOND);
    assert_eq!(door.permit(1), evict(0), "it has stood still for 11 s");
    door.admission.reject(ip(1), third);
    assert_eq!(door.permit(1), evict(2));
    door.admission.reject(ip(1), second);
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
    door.pass(60 * SECOND);
    assert_eq!(door.permit(1), evict(1), "its peer never proved its key");
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
    door.pass(11 * SECOND);
    assert_eq!(door.permit(3), evict(0), "what stood still comes first");
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
    assert_eq!(door.permit(7), evict(0));
    door.admission.end(ip(5), numbers[0]);
    door.begin(7);
    assert_eq!(door.permit(3), Permit::No);
    door.pass(SECOND);
    assert_eq!(door.permit(3), evict(1));
}

#[test]
fn in_a_flood_only_what_comes_again_gets_in_until_it_is_over() {
    let mut door = Door::new();
    let numbers = [1, 1, 1].map(|address| door.begin(address));
    for _ in 0..FLOOD_HELLOS_MIN {
        assert_eq!(door.permit_hello(ip(1), 1), Permit::No);
    }
    assert_eq!(
        door.admission.floods(door.now, ip(1), &LIMITS),
        Floods::No,
        "devices that all come at once are none"
    );
    door.pass(11 * SECOND);
    assert_eq!(door.permit_hello(ip(1), 1), evict(0), "it stood still");
    (0..3).for_each(|slot| door.progress[slot] = Progress::begun(door.now));
    for _ in 0..=FLOOD_HELLOS_MIN {
        door.admission.count_dropped(door.now, ip(1), &LIMITS);
        door.admission.dropped_at(ip(1), &LIMITS).note_evicted(door.now, LIMITS.slow_round_trip);
    }
    door.admission.end(ip(1), numbers[0]);
    assert_eq!(door.permit(1), Permit::Again, "it comes for the first time");
    door.pass(SECOND);
    assert_eq!(door.permit(1), KEEP, "and again");
    assert_eq!(door.permit(2), KEEP, "others have nothing to do with it");
    door.admission.end(ip(1), numbers[1]);
    assert_eq!(door.permit_hello(ip(1), 1), KEEP, "half of the places are for everybody");
    door.begin(1);
    door.pass(11 * SECOND);
    door.hellos = hello_ids(door.now, 3);
    assert_eq!(door.permit_hello(ip(1), 2), KEEP, "nothing was dropped for long");
}

/// All places of [`Door::wide`] taken, by an address of its own each, and their numbers by slot.
fn full() -> (Door, Vec<(u16, u64)>) {
    let (mut door, mut numbers) = (Door::wide(), Vec::new());
    for n in 1..=32 {
        let expected = if n <= 30 { Stay::Kept } else { Stay::Passing };
        assert_eq!(door.come(n, &mut numbers), (Some(expected), None), "{n}");
    }
    (door, numbers)
}

#[test]
fn while_all_others_are_held_the_passing_places_go_from_one_to_the_next() {
    let (mut door, mut numbers) = full();
    for (n, evicted) in [(33, 30), (34, 31), (35, 32)] {
        assert_eq!(door.come(n, &mut numbers), (Some(Stay::Passing), Some(evicted)));
    }
    door.go_on(33, false);
    assert_eq!(door.come(36, &mut numbers), (Some(Stay::Passing), Some(34)), "what has gone on may finish");
    door.go_on(35, true);
    assert_eq!(door.come(37, &mut numbers), (None, None), "also where it waits for us");
    door.pass(11 * SECOND);
    assert_eq!(door.come(38, &mut numbers), (Some(Stay::Kept), Some(0)), "what stood still comes first");
}

#[test]
fn a_few_devices_behind_one_address_do_not_make_room_for_all_others() {
    let mut door = Door::new();
    door.limits.handshakes_max = 64;
    let mut numbers = Vec::new();
    let mut come = |door: &mut Door, n| door.come(n, &mut numbers);
    for n in [1, 1, 1].into_iter().chain(2..63) {
        come(&mut door, n);
    }
    let evicted: Vec<_> = (100..140).filter_map(|n| come(&mut door, n).1).collect();
    assert_eq!(evicted.len(), 40);
    assert!(evicted.iter().all(|slot| *slot >= 60), "three of 64 are not many: {evicted:?}");
    door.limits.handshakes_per_address_max = 4;
    assert_eq!(come(&mut door, 1), (Some(Stay::Passing), Some(100)));
    assert_eq!(come(&mut door, 140).1, Some(104), "four are: the newest of theirs");
}

#[test]
fn what_is_kept_is_not_touched_by_what_passes_and_gets_its_places_back() {
    let (mut door, mut numbers) = full();
    for round in 0..200_u16 {
        let (_, evicted) = door.come(40 + round % 100, &mut numbers);
        assert!(evicted.is_none_or(|slot| slot >= 30), "{evicted:?}");
    }
    let (address, number) = numbers[7];
    door.admission.end(ip(address), number);
    assert_eq!(door.come(200, &mut numbers), (Some(Stay::Kept), None));
}

#[test]
fn in_a_flood_of_all_what_comes_again_is_kept_and_the_rest_passes() {
    let (mut door, mut numbers) = full();
    door.pass(11 * SECOND);
    for n in 0..8 {
        let (stay, evicted) = door.come(100 + n, &mut numbers);
        assert_eq!((stay, evicted), (Some(Stay::Kept), Some(n.into())), "{n}: it stood still");
    }
    (0..numbers.len()).for_each(|slot| door.progress[slot] = Progress::begun(door.now));
    // More than there are places, each from an address of its own.
    for n in 1000..2001 {
        assert_eq!(door.come(n, &mut numbers).0, Some(Stay::Passing), "{n}");
    }
    assert_eq!(door.admission.floods(door.now, ip(2001), &door.limits), Floods::All);
    door.pass(10 * SECOND);
    for n in 2001..4001 {
        door.come(n, &mut numbers);
        door.pass(SECOND / 1000);
    }
    let kept = door.admission.all.len() - door.admission.passing.len();
    assert_eq!((door.admission.all.len(), kept), (32, 0), "what stood still has gone");
    for n in 5000..5020 {
        assert_eq!(door.come(n, &mut numbers).0, Some(Stay::Passing), "{n} comes for the first time");
    }
    door.pass(SECOND);
    for n in 5000..5020 {
        let stay = if n < 5016 { Stay::Kept } else { Stay::Passing };
        assert_eq!(door.come(n, &mut numbers).0, Some(stay), "{n}: half of the places are for everybody");
    }
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
        numbers.push(door.admission.begin(address, door.progress.len() as u32 - 1, Stay::Kept));
    }
    assert_eq!(door.permit_hello(b, 0), Permit::No);
    door.admission.reject(a, numbers[1]);
    assert_eq!(door.permit_hello(a, 0), evict(1));
    for number in numbers.iter().chain(&numbers) {
        door.admission.end(a, *number);
    }
    assert!(door.admission.by_address.is_empty());
    assert!(door.admission.by_rank.is_empty());
    assert_eq!((door.admission.all.len(), door.admission.passing.len()), (0, 0));
}
