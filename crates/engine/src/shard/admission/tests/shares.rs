//! Classes of distance of which most was in vain: what each has, and what others keep.

use super::*;

const NEAR: Duration = Duration::from_millis(20);
const NEAR_NO_MORE: Duration = Duration::from_millis(70);
const FAR: Duration = Duration::from_secs(8);

/// With 40 places for address 1, all of them taken: so many by peers that are near, the others far.
fn taken(near: usize) -> Door {
    let limits = AdmissionLimits { handshakes_max: 400, handshakes_per_address_max: 40, ..LIMITS };
    let mut door = Door { limits, ..Door::new() };
    for n in 0..40 {
        door.round_trip = if n < near { NEAR } else { FAR };
        door.begin(1);
    }
    door
}

fn comes(door: &mut Door, round_trip: Duration) -> Permit {
    door.make_hellos_anew(1);
    door.permit_far(ip(1), 0, round_trip)
}

#[test]
fn attack_207_what_floods_from_near_has_a_twentieth_and_the_far_have_the_rest() {
    let mut door = taken(38);
    assert_eq!(comes(&mut door, NEAR), Permit::No);
    door.waste(NEAR, true);
    door.begin_anew();
    assert_eq!(comes(&mut door, NEAR), Permit::Share, "it has more than its share");
    assert_eq!(comes(&mut door, FAR), Permit::No, "all are young");
    door.pass(SECOND / 5);
    assert_eq!(comes(&mut door, NEAR), Permit::Share);
    assert_eq!(comes(&mut door, FAR), evict(0), "its own round trip is over");
    (0..36).for_each(|slot| door.end(slot));
    door.round_trip = FAR;
    (0..36).for_each(|_| _ = door.begin(1));
    assert_eq!(comes(&mut door, NEAR), Permit::Share, "two of 40 are its share");
    assert_eq!(comes(&mut door, FAR), Permit::No, "and it keeps that");
    door.pass(2 * SECOND);
    assert_eq!(comes(&mut door, NEAR), evict(36), "one that stands still for another");
    assert_eq!(comes(&mut door, NEAR_NO_MORE), evict(36), "who is twice as far is of another class");
    door.end(36);
    assert_eq!(comes(&mut door, NEAR), KEEP, "and a free one, up to the share");
}

#[test]
fn a_class_has_a_share_only_while_others_want_places_and_as_long_as_most_is_in_vain() {
    let mut door = taken(39);
    door.waste(NEAR, true);
    door.begin_anew();
    assert_eq!(comes(&mut door, NEAR), Permit::Share);
    door.end(39);
    assert_eq!(comes(&mut door, NEAR), Permit::Share, "it is for the others");
    door.pass(10 * SECOND);
    door.begin_anew();
    assert_eq!(comes(&mut door, NEAR), Permit::Share);
    door.pass(SECOND);
    assert_eq!(comes(&mut door, NEAR), KEEP, "nobody wants it");
    let spent = &mut door.admission.line_of(ip(1), true).spent;
    spent.want(door.now, class_of(FAR));
    assert_eq!(comes(&mut door, NEAR), Permit::Share);
    door.pass(10 * SECOND);
    door.begin_anew();
    assert_eq!(comes(&mut door, NEAR), KEEP, "nothing was in vain for long");
}

#[test]
fn a_class_has_twice_the_share_that_was_of_use_and_all_of_them_together_a_twentieth() {
    let slow = LIMITS.slow_round_trip;
    let share_of = |door: &Door, round_trip: Duration| {
        let spent = &door.admission.by_address[&ip(1)].spent;
        let is_less =
            |has: &usize| spent.share(door.now, class_of(round_trip), *has, 400, slow) == Share::Less;
        (0..=400).take_while(is_less).count()
    };
    let mut door = taken(40);
    door.waste(NEAR, true);
    assert_eq!((share_of(&door, NEAR), share_of(&door, FAR)), (20, 401));
    door.waste(FAR, true);
    assert_eq!((share_of(&door, NEAR), share_of(&door, FAR)), (10, 10), "two classes");
    // Sixty seconds of two hundred and forty, then all of them.
    let used = |door: &mut Door, seconds: u32| {
        let spent = &mut door.admission.line_of(ip(1), true).spent;
        spent.add_used(door.now, class_of(FAR), seconds * SECOND, slow);
    };
    used(&mut door, 60);
    assert_eq!(share_of(&door, FAR), 200);
    used(&mut door, 120);
    assert_eq!((share_of(&door, NEAR), share_of(&door, FAR)), (20, 401), "most was of use");
}

#[test]
fn few_handshakes_in_vain_are_no_flood() {
    let mut door = taken(40);
    door.admission.press(door.now, ip(1), true, &door.limits);
    door.admission.line_of(ip(1), true).spent.want(door.now, class_of(FAR));
    door.pass(9 * SECOND);
    // Each was waited for 1.66 s.
    for _ in 0..18 {
        assert_eq!(comes(&mut door, NEAR), evict(0));
    }
    comes(&mut door, NEAR);
    door.begin_anew();
    assert_eq!(comes(&mut door, NEAR), Permit::Share);
}

#[test]
fn handshakes_that_are_finished_are_of_use() {
    let mut door = taken(40);
    door.waste(NEAR, true);
    door.begin_anew();
    door.pass(SECOND);
    assert_eq!(comes(&mut door, NEAR), Permit::Share);
    for slot in 0..40 {
        let (address, held) = &door.held[slot];
        (0..5).for_each(|_| door.admission.finish(door.now, *address, held, &door.limits));
    }
    assert_eq!(comes(&mut door, NEAR), Permit::No, "200 s against 180");
}

#[test]
fn in_a_flood_at_the_limit_of_all_its_class_passes_and_others_are_kept() {
    let mut door = Door { round_trip: NEAR, ..Door::wide() };
    (1..=32).for_each(|n| _ = door.come(n));
    door.waste(NEAR, false);
    door.begin_anew();
    assert_eq!(door.come(40), (Some(Stay::Passing), Some(30)), "near");
    door.pass(2 * SECOND);
    let near = door.permit_far(ip(41), 0, NEAR);
    assert_eq!(near, Permit::Evict { slot: 31, stay: Stay::Passing }, "what stands still is for others");
    assert_eq!(door.permit_far(ip(42), 0, FAR), evict(0));
    let mut door = Door { round_trip: 3 * SECOND, ..Door::wide() };
    (1..=32).for_each(|n| _ = door.come(n));
    door.waste(3 * SECOND, false);
    door.begin_anew();
    assert_eq!(door.permit_far(ip(41), 0, 3 * SECOND), Permit::Share, "too far to pass");
    door.pass(5 * SECOND);
    let passes = Permit::Evict { slot: 30, stay: Stay::Passing };
    assert_eq!(door.permit_far(ip(42), 0, 3 * SECOND), passes, "passing places last for five seconds");
    assert_eq!(door.permit_far(ip(43), 0, FAR), evict(0), "its own round trip is over");
}

#[test]
fn who_is_far_finds_what_stands_still_also_where_passing_places_are_free() {
    let mut door = full();
    [30, 31].into_iter().for_each(|slot| door.end(slot));
    assert_eq!(door.permit_far(ip(40), 0, FAR), Permit::No);
    door.pass(12 * SECOND);
    assert_eq!(door.permit_far(ip(41), 0, FAR), evict(0));
}

#[test]
fn a_hello_that_comes_again_is_as_far_as_its_first_copy() {
    let mut door = taken(40);
    door.waste(NEAR, true);
    door.begin_anew();
    door.make_hellos_anew(1);
    for _ in 0..3 {
        assert_eq!(door.permit_far(ip(1), 0, NEAR), Permit::Share, "it is near");
        door.pass(SECOND / 2);
    }
}

#[test]
fn attack_207_a_class_that_has_too_much_replaces_its_own_dead_when_others_could_have_had_them() {
    let mut door = taken(38);
    door.waste(NEAR, true);
    door.begin_anew();
    assert_eq!(comes(&mut door, NEAR), Permit::Share, "none of it is dead");
    door.pass(2 * SECOND);
    assert_eq!(comes(&mut door, NEAR), Permit::Share, "those who are far come first");
    assert_eq!(comes(&mut door, FAR), evict(0));
    door.pass(SECOND);
    assert_eq!(comes(&mut door, NEAR), evict(0), "nobody wanted it");
    (0..38).for_each(|slot| door.end(slot));
    assert_eq!(comes(&mut door, NEAR), KEEP);
}

#[test]
fn attack_207_what_is_rejected_or_ends_by_itself_was_in_vain() {
    let is_rejected = |door: &mut Door, slot| {
        // Twice is once.
        (0..2).for_each(|_| door.reject(slot));
        door.end(slot);
    };
    let ways: [fn(&mut Door, usize); 2] = [is_rejected, Door::fail];
    for ends in ways {
        for (held, expected) in [(1_490, Permit::No), (1_510, Permit::Share)] {
            let mut door = taken(20);
            door.admission.press(door.now, ip(1), true, &door.limits);
            door.admission.line_of(ip(1), true).spent.want(door.now, class_of(FAR));
            // Twenty of them, and thirty seconds show.
            door.pass(Duration::from_millis(held));
            (0..20).for_each(|slot| ends(&mut door, slot));
            door.round_trip = NEAR;
            (0..20).for_each(|_| _ = door.begin(1));
            assert_eq!(comes(&mut door, NEAR), expected, "after {held} ms");
        }
    }
}

#[test]
fn what_ends_by_itself_where_hellos_find_places_was_in_nobodys_way() {
    let mut door = taken(40);
    door.pass(20 * SECOND);
    door.admission.press(door.now, ip(1), true, &door.limits);
    door.admission.line_of(ip(1), true).spent.want(door.now, class_of(FAR));
    (0..40).for_each(|slot| door.fail(slot));
    door.round_trip = NEAR;
    (0..40).for_each(|_| _ = door.begin(1));
    assert_eq!(comes(&mut door, NEAR), Permit::No);
}
