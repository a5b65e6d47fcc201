//! The near and the far: how long each is waited for.

use super::*;

#[test]
fn what_is_near_stands_still_sooner_than_what_is_far_and_never_before_its_first_timer() {
    let mut door = Door::new();
    for (round_trip, silent) in [(20, 1_660), (500, 3_100), (2_000, 7_600), (8_000, 10_000)] {
        let [round_trip, silent] = [round_trip, silent].map(Duration::from_millis);
        let timer_and_computing = SECOND + SECOND / 2;
        assert!(silent >= (round_trip + timer_and_computing).min(door.limits.slow_round_trip));
        door.round_trip = round_trip;
        let slots = [1, 1, 1].map(|address| door.begin(address));
        door.pass(silent);
        assert_eq!(door.permit(1), Permit::No, "{round_trip:?}: its answer may have been lost once");
        door.pass(Duration::from_millis(1));
        assert_eq!(door.permit(1), evict(slots[0] as u32), "{round_trip:?}");
        for slot in slots {
            door.end(slot);
        }
        door.pass(60 * SECOND);
    }
}

#[test]
fn a_hello_that_comes_again_or_anew_is_heard_until_a_slow_round_trip_after_the_beginning() {
    let mut door = Door { round_trip: SECOND / 10, ..Door::new() };
    let slots = [1, 1, 1].map(|address| door.begin(address));
    let again = |door: &mut Door| {
        let (address, held) = &mut door.held[slots[0]];
        door.admission.handle_again(door.now, *address, held, &door.limits);
    };
    door.pass(SECOND);
    again(&mut door);
    door.pass(SECOND);
    assert_eq!(door.permit(1), evict(1), "the others are silent for 2 s");
    door.end(slots[1]);
    door.end(slots[2]);
    (0..2).for_each(|_| _ = door.begin(1));
    // Its flight 4 was lost: it is sent again, and what answers it finds its place.
    door.pass(SECOND * 9 / 10);
    assert_eq!(door.permit(1), Permit::No);
    door.pass(SECOND / 20);
    assert_eq!(door.permit(1), evict(0));
    for _ in 0..12 {
        again(&mut door);
        door.pass(SECOND);
    }
    assert_eq!(door.permit(1), evict(3), "silent for longest");
    door.end(3);
    door.end(4);
    (0..2).for_each(|_| _ = door.begin(1));
    assert_eq!(door.permit(1), evict(0), "it has begun 14 s ago");
}

#[test]
fn what_passes_and_stands_still_hides_nobody_who_does_not() {
    let mut door = full();
    door.round_trip = SECOND / 50;
    for n in 33..35 {
        assert_eq!(door.come(n).0, Some(Stay::Passing));
    }
    door.pass(12 * SECOND);
    assert_eq!(door.permit_far(ip(40), 0, 8 * SECOND), evict(0), "it is far, and gets a place that is kept");
}
