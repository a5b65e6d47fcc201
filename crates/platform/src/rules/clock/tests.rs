//! Clocks that are behind, ahead, and right again.

use super::*;

/// 2026-11-28, a day on which the clock was right.
const RIGHT: i64 = 1_795_824_000_000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const YEAR: i64 = 365 * DAY;

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can be made in no other way; the tests count from it"
)]
fn start() -> Instant {
    Instant::now()
}

/// Of a store whose newest confirmed arrival is this one.
fn confirmed(ms: i64) -> ArrivalClock {
    ArrivalClock::new(Some(NewestArrival { time: UnixMillis(ms), is_confirmed: true }))
}

/// What the clock says of arrivals at (milliseconds of the process, what the wall clock is ahead of the right
/// time), each counted from the right time of then.
fn arrivals(clock: &mut ArrivalClock, readings: &[(i64, i64)]) -> Vec<i64> {
    let t0 = start();
    let read = |(at, ahead): &(i64, i64)| {
        let now = t0 + Duration::from_millis(at.unsigned_abs());
        clock.read(now, UnixMillis(RIGHT + at + ahead)).time.0 - RIGHT - at
    };
    readings.iter().map(read).collect()
}

#[test]
fn a_clock_that_is_right_is_taken_as_it_is() {
    let mut clock = confirmed(RIGHT - DAY);
    assert_eq!(arrivals(&mut clock, &[(0, 0), (MINUTE, 0), (40 * DAY, 0)]), [0; 3]);
    assert_eq!(clock.standing(), Standing::Right);
    assert_eq!(arrivals(&mut ArrivalClock::new(None), &[(0, 0), (1, 0)]), [0; 2], "an empty store");
}

#[test]
fn a_day_ahead_is_no_leap_although_the_clocks_are_read_one_after_the_other() {
    for apart in [0, 1, 250] {
        let mut clock = confirmed(RIGHT);
        assert_eq!(arrivals(&mut clock, &[(0, 0), (MINUTE, DAY + apart)]), [0, DAY + apart]);
        assert_eq!(clock.standing(), Standing::Right, "{apart} ms");
    }
    let mut clock = confirmed(RIGHT);
    assert_eq!(arrivals(&mut clock, &[(0, 0), (MINUTE, DAY + MINUTE)]), [0; 2]);
}

#[test]
fn a_start_counts_what_a_clock_that_was_set_on_by_a_day_has_stamped() {
    for apart in [0, 1, 250] {
        let mut stored = StoredArrivals::default();
        stored.add(UnixMillis(RIGHT));
        stored.add(UnixMillis(RIGHT + DAY + apart));
        assert_eq!(stored.newest().map(|newest| newest.time.0 - RIGHT), Some(DAY + apart));
    }
}

#[test]
fn attack_206_a_server_in_1970_or_days_behind_keeps_the_newest_confirmed_arrival() {
    for behind in [RIGHT, 2 * DAY, 61_000] {
        let newest = UnixMillis(RIGHT - MINUTE);
        let (mut clock, t0) = (confirmed(newest.0), start());
        for at in [0, MINUTE / 2] {
            let wall = UnixMillis(RIGHT + at - behind);
            let arrival = clock.read(t0 + Duration::from_millis(at as u64), wall);
            assert_eq!(arrival.time, if wall > newest { wall } else { UnixMillis(newest.0 + at) });
            assert!(arrival.latest.0 >= RIGHT + at - DAY, "no right clock lies too far ahead of it");
        }
        // The time server is reached.
        assert_eq!(arrivals(&mut clock, &[(MINUTE, 0)]), [0]);
        assert_eq!(clock.standing(), Standing::Right);
    }
}

#[test]
fn attack_206_the_clock_goes_back_in_a_running_server_and_is_right_again() {
    let mut clock = confirmed(RIGHT - DAY);
    let back = -2 * DAY;
    let read = arrivals(&mut clock, &[(0, 0), (MINUTE, back), (5 * MINUTE, back), (6 * MINUTE, 0)]);
    assert_eq!(read, [0; 4], "durations go on");
    // Set right after three days, which is no leap: the process has counted them.
    let read = arrivals(&mut clock, &[(7 * MINUTE, back), (3 * DAY, back), (3 * DAY + MINUTE, 0)]);
    assert_eq!(read, [0, -(3 * DAY - 17 * MINUTE) / 8, 0], "it may be right, and is waited for");
    assert_eq!(clock.standing(), Standing::Right);
}

#[test]
fn a_clock_that_is_set_back_for_good_is_met_and_durations_go_on_meanwhile() {
    for (back, met) in [(59_000, 59_000), (61_000, 30 * MINUTE), (DAY, 9 * DAY), (20 * DAY, 170 * DAY)] {
        let (mut clock, t0) = (confirmed(RIGHT), start());
        let mut last = clock.read(t0, UnixMillis(RIGHT)).time;
        let mut wall = RIGHT;
        for at in (1_000..met).step_by(59_000) {
            wall = RIGHT + at - back;
            let arrival = clock.read(t0 + Duration::from_millis(at as u64), UnixMillis(wall));
            assert!(arrival.latest >= arrival.time && arrival.time >= last);
            let passed = arrival.time.0 - last.0;
            let is_near = arrival.time.0 - wall <= BEHIND_TOLD.as_millis() as i64;
            assert!(is_near || at == 1_000 || passed >= 59_000 * 7 / 8, "{back}: {passed} ms at {at}");
            last = arrival.time;
        }
        assert!(last.0 - wall <= 59_000, "{back}: {} ms ahead", last.0 - wall);
    }
}

#[test]
fn attack_206_a_wrong_year_for_a_minute_leaves_no_trace() {
    for ahead in [DAY + MINUTE, 30 * DAY, 12 * YEAR] {
        let mut clock = confirmed(RIGHT - DAY);
        let readings = [(0, 0), (1_000, ahead), (2_000, ahead), (MINUTE, ahead), (MINUTE + 1, 0)];
        assert_eq!(arrivals(&mut clock, &readings), [0; 5], "the monotonic clock goes on");
        assert_eq!(clock.standing(), Standing::Right);
    }
}

#[test]
fn attack_206_a_leap_is_believed_after_ten_minutes_and_not_before() {
    let mut clock = ArrivalClock::new(None);
    let (ahead, ten) = (3 * DAY, 10 * MINUTE);
    let readings =
        [(0, 0), (MINUTE, ahead), (MINUTE + ten - 1, ahead), (MINUTE + ten, ahead), (2 * ten, ahead)];
    assert_eq!(arrivals(&mut clock, &readings), [0, 0, 0, ahead, ahead]);
    // One that leaps again is doubted anew.
    let mut clock = ArrivalClock::new(None);
    let readings = [
        (0, 0),
        (MINUTE, ahead),
        (9 * MINUTE, 2 * ahead),
        (12 * MINUTE, 2 * ahead),
        (19 * MINUTE, 2 * ahead),
    ];
    assert_eq!(arrivals(&mut clock, &readings), [0, 0, 0, 0, 2 * ahead]);
}

#[test]
fn attack_206_a_start_after_a_pause_has_the_clocks_time_and_confirms_it_later() {
    let mut clock = confirmed(RIGHT - 30 * DAY);
    assert_eq!(arrivals(&mut clock, &[(0, 0), (MINUTE, 0)]), [0, 0]);
    assert_eq!(
        clock.standing(),
        Standing::Ahead { by: Duration::from_millis(30 * DAY as u64 + MINUTE as u64) }
    );
    // It was wrong.
    assert_eq!(arrivals(&mut clock, &[(2 * MINUTE, -20 * DAY)]), [-20 * DAY], "it may go back");
    // A leap of 24 hours and less is none.
    let mut clock = confirmed(RIGHT - DAY);
    arrivals(&mut clock, &[(0, 0)]);
    assert_eq!(clock.standing(), Standing::Right);
}

#[test]
fn attack_206_a_clock_that_was_never_set_confirms_nothing() {
    let mut clock = ArrivalClock::new(None);
    let first = clock.read(start(), UnixMillis(7_000));
    assert_eq!(first, Arrival { time: UnixMillis(7_000), latest: UnixMillis(i64::MAX) });
    assert!(matches!(clock.standing(), Standing::Behind { .. }));
    assert_eq!(arrivals(&mut clock, &[(MINUTE, 0), (2 * MINUTE, 0)]), [0, 0], "set: believed at once");
}

#[test]
fn attack_206_whatever_the_clock_does_no_arrival_is_before_a_confirmed_one() {
    use proptest::prelude::*;
    let leaps = prop_oneof![Just(0_i64), -3 * YEAR..3 * YEAR, -2 * DAY..2 * DAY, -5_000..5_000_i64];
    proptest!(|(steps in proptest::collection::vec((0..20 * MINUTE, leaps), 1..60), known in any::<bool>())| {
        let t0 = start();
        let mut clock = if known { confirmed(RIGHT - 1) } else { ArrivalClock::new(None) };
        let (mut at, mut confirmed) = (0, clock.confirmed());
        for (wait, ahead) in steps {
            at += wait;
            let wall = UnixMillis(RIGHT + at + ahead);
            let arrival = clock.read(t0 + Duration::from_millis(at.unsigned_abs()), wall);
            prop_assert!(Some(arrival.time) >= confirmed, "{arrival:?} {confirmed:?}");
            prop_assert!(clock.confirmed() >= confirmed && arrival.latest >= arrival.time.min(wall));
            confirmed = clock.confirmed();
        }
    });
}

#[test]
fn a_value_of_a_wrong_clock_loses_to_what_comes_later() {
    let now = UnixMillis(RIGHT);
    let at = |ms: i64| UnixMillis(RIGHT + ms);
    for (time, stored, right) in [
        (at(0), at(0), true),
        (at(0), at(-1), true),
        // Late, or a clock that drifts.
        (at(-1), at(0), false),
        (at(0), at(5 * MINUTE), false),
        // The server's clock was ahead.
        (at(0), at(12 * YEAR), true),
        (at(-10 * DAY), at(12 * YEAR), true),
        (at(4 * MINUTE), at(DAY), true),
        (at(0), at(5 * MINUTE + 1), true),
        // A device in another time zone is consistent with itself.
        (at(60 * MINUTE), at(61 * MINUTE), false),
        (at(60 * MINUTE), at(DAY + 1), true),
    ] {
        assert_eq!(supersedes(time, now, stored), right, "{time:?} over {stored:?}");
    }
    assert_eq!(last_heard(Some(at(12 * YEAR)), Some(now)), Some(now));
    assert_eq!(last_heard(Some(at(1)), Some(now)), Some(at(1)));
    assert_eq!(heard_by_news(Some(at(12 * YEAR)), Some(now)), Some(now));
    assert_eq!(heard_by_news(Some(at(DAY)), Some(now)), Some(at(DAY)));
    assert_eq!((last_heard(None, Some(now)), last_heard(Some(now), None)), (Some(now), Some(now)));
}

#[test]
fn a_new_server_whose_clock_goes_back_takes_the_lower_time() {
    let mut clock = ArrivalClock::new(None);
    // The time server is reached a second after the first start.
    let read = arrivals(&mut clock, &[(0, 12 * YEAR), (1_000, 0), (MINUTE, 0), (10 * MINUTE, 0)]);
    assert_eq!(read, [12 * YEAR, 0, 0, 0]);
    assert!(matches!(clock.standing(), Standing::WentBack { .. }), "{:?}", clock.standing());
    assert_eq!(clock.confirmed(), None);
    assert!(supersedes(UnixMillis(RIGHT), UnixMillis(RIGHT), UnixMillis(RIGHT + 12 * YEAR)));
    // The one that was first may be right: no device's time is refused for it.
    let arrival = clock.read(start() + Duration::from_secs(601), UnixMillis(RIGHT + 601_000));
    assert!(arrival.latest.0 >= RIGHT + 601_000 && arrival.time.0 == RIGHT + 601_000);
    assert_eq!((clock.standing(), clock.confirmed()), (Standing::Right, Some(arrival.time)));
}

#[test]
fn a_clock_that_has_gone_on_for_ten_minutes_in_a_new_store_is_confirmed() {
    let mut clock = ArrivalClock::new(None);
    let readings = [(0, 0), (10 * MINUTE - 1, 0), (10 * MINUTE, 0), (11 * MINUTE, -3 * DAY)];
    assert_eq!(arrivals(&mut clock, &readings), [0; 4], "and not taken back");
    assert!(matches!(clock.standing(), Standing::Behind { .. }));
}

#[test]
fn a_start_with_arrivals_that_nobody_confirmed_waits_for_ten_minutes_and_not_for_years() {
    let of = |known| ArrivalClock::new(Some(NewestArrival { time: UnixMillis(known), is_confirmed: false }));
    // They are of a wrong clock; it is right at once, or is set right after the start.
    let read = arrivals(&mut of(RIGHT + 12 * YEAR), &[(0, 0), (MINUTE, 0), (10 * MINUTE, 0)]);
    assert_eq!(read, [12 * YEAR, 12 * YEAR, 0]);
    let read = arrivals(&mut of(RIGHT + 12 * YEAR), &[(0, 12 * YEAR), (1_000, 0)]);
    assert_eq!(read, [12 * YEAR, 0]);
    // They are right, and the clock is behind until the time server is reached.
    for behind in [-2 * DAY, -RIGHT] {
        let read = arrivals(&mut of(RIGHT), &[(0, behind), (9 * MINUTE, behind), (10 * MINUTE - 1, 0)]);
        assert_eq!(read, [0; 3], "{behind}");
    }
    let read = arrivals(&mut of(RIGHT), &[(0, -RIGHT), (60 * MINUTE, -RIGHT)]);
    assert_eq!(read, [0, -50 * MINUTE / 8], "a clock that was never set is not believed for its age");
}

#[test]
fn whatever_was_stamped_before_a_clock_on_trial_went_back_loses() {
    use proptest::prelude::*;
    let (waits, back) =
        (proptest::collection::vec(0..MINUTE, 1..9), BACK_MIN.as_millis() as i64 + 1..3 * YEAR);
    proptest!(|(waits in waits, back in back, wait in 0..MINUTE)| {
        let t0 = start();
        let (mut clock, mut at) = (ArrivalClock::new(None), 0);
        let mut read = |wait: i64, ahead: i64| {
            at += wait;
            clock.read(t0 + Duration::from_millis(at.unsigned_abs()), UnixMillis(RIGHT + at + ahead)).time
        };
        let stamped: Vec<UnixMillis> = waits.into_iter().map(|wait| read(wait, back)).collect();
        let arrival = read(wait, 0);
        let loses = |before: &UnixMillis| *before > arrival && supersedes(arrival, arrival, *before);
        prop_assert!(stamped.iter().all(loses), "{stamped:?} {arrival:?}");
    });
}

#[test]
fn attack_206_what_a_wrong_clock_stored_confirms_nothing_after_a_restart() {
    let of = |confirmed: Option<i64>, arrivals: &[i64]| {
        let mut stored = StoredArrivals::default();
        if let Some(confirmed) = confirmed {
            stored.confirm(UnixMillis(RIGHT + confirmed));
        }
        stored.extend(arrivals.iter().map(|arrival| UnixMillis(RIGHT + arrival)));
        stored.newest().map(|newest| (newest.time.0 - RIGHT, newest.is_confirmed))
    };
    assert_eq!(of(None, &[]), None);
    assert_eq!(of(None, &[-RIGHT]), None, "never set");
    assert_eq!(of(None, &[0, DAY, 2 * DAY]), Some((2 * DAY, false)));
    for wrong in [&[12 * YEAR, 12 * YEAR + MINUTE], &[12 * YEAR, 12 * YEAR + 30 * MINUTE]] {
        let (first, last) = (wrong[0], wrong[1]);
        assert_eq!(of(Some(0), &[MINUTE, first, last]), Some((MINUTE, true)), "two short starts");
        assert_eq!(of(None, &[0, first, last]), Some((0, false)));
        assert_eq!(of(None, &[first, last, 0, first]), Some((0, false)), "the lower ones, in any order");
    }
    assert_eq!(of(Some(12 * YEAR), &[0, 12 * YEAR + DAY]), Some((12 * YEAR + DAY, true)));
    let mut stored = StoredArrivals::default();
    stored.extend([0, MINUTE].map(|arrival| UnixMillis(RIGHT + arrival)));
    stored.confirm(UnixMillis(RIGHT));
    assert_eq!(stored.newest().map(|newest| newest.time.0 - RIGHT), Some(MINUTE), "it goes on from there");
    stored.confirm(UnixMillis(RIGHT + 12 * YEAR));
    assert_eq!(stored.newest().map(|newest| newest.time.0 - RIGHT), Some(12 * YEAR));
}
