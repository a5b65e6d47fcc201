//! The near and the far: how long each is waited for, and whom a flood of the others keeps out.

use super::*;

#[test]
fn what_is_near_stands_still_sooner_than_what_is_far_and_soonest_in_a_flood() {
    let mut door = Door::new();
    for (round_trip, silent) in [(20, 810), (500, 2_250), (2_000, 6_750), (8_000, 10_650)] {
        let [round_trip, silent] = [round_trip, silent].map(Duration::from_millis);
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
    door.round_trip = Duration::from_millis(20);
    let slots = [1, 1, 1].map(|address| door.begin(address));
    door.flood(SECOND);
    door.permit(1);
    door.pass(Duration::from_millis(160));
    assert_eq!(door.permit(1), Permit::No);
    door.pass(SECOND);
    assert_eq!(door.permit(1), evict(slots[0] as u32), "it comes again, and what is near has had its time");
}

#[test]
fn attack_207_a_flood_of_the_near_keeps_nobody_out_who_is_far_and_one_of_the_far_nobody_who_is_near() {
    for (patience, kept_out, goes_on) in
        [(SECOND, SECOND / 50, 8 * SECOND), (10 * SECOND, 8 * SECOND, SECOND / 50)]
    {
        let mut door = Door::new();
        let slots = [1, 1, 1].map(|address| door.begin(address));
        door.flood(patience);
        door.end(slots[0]);
        door.make_hellos_anew(4);
        assert_eq!(door.permit_far(ip(1), 2, kept_out), Permit::Again, "{patience:?}");
        assert_eq!(door.permit_far(ip(1), 3, goes_on), KEEP, "{patience:?}");
    }
}

#[test]
fn hellos_whose_handshakes_stood_still_were_in_vain_as_those_that_are_dropped() {
    let mut door = Door::new();
    door.round_trip = Duration::ZERO;
    for n in 0..4 * FLOOD_HELLOS_MIN {
        door.pass(SECOND / 200);
        door.make_hellos_anew(1);
        door.come(1);
        if n < FLOOD_HELLOS_MIN / 2 {
            assert_eq!(door.floods(1), Floods::No, "{n}");
        }
    }
    assert_eq!(door.floods(1), Floods::Address);
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
