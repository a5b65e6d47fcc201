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
    let mut clock = ArrivalClock::new(Some(UnixMillis(RIGHT - DAY)));
    assert_eq!(arrivals(&mut clock, &[(0, 0), (MINUTE, 0), (40 * DAY, 0)]), [0; 3]);
    assert_eq!(clock.standing(), Standing::Right);
    assert_eq!(arrivals(&mut ArrivalClock::new(None), &[(0, 0), (1, 0)]), [0; 2], "an empty store");
}

#[test]
fn attack_206_a_server_in_1970_or_days_behind_keeps_the_newest_confirmed_arrival() {
    for behind in [RIGHT, 2 * DAY, 61_000] {
        let newest = UnixMillis(RIGHT - MINUTE);
        let mut clock = ArrivalClock::new(Some(newest));
        for at in [0, MINUTE / 2] {
            let now = start() + Duration::from_millis(at as u64);
            let arrival = clock.read(now, UnixMillis(RIGHT + at - behind));
            assert_eq!(
                arrival.time,
                if RIGHT + at - behind > newest.0 { UnixMillis(RIGHT + at - behind) } else { newest }
            );
            assert!(arrival.latest.0 >= RIGHT + at - DAY, "no right clock lies too far ahead of it");
        }
        // The time server is reached.
        assert_eq!(arrivals(&mut clock, &[(MINUTE, 0)]), [0]);
        assert_eq!(clock.standing(), Standing::Right);
    }
}

#[test]
fn attack_206_the_clock_goes_back_in_a_running_server_and_is_right_again() {
    let mut clock = ArrivalClock::new(None);
    let back = -2 * DAY;
    let read = arrivals(&mut clock, &[(0, 0), (MINUTE, back), (5 * MINUTE, back), (6 * MINUTE, 0)]);
    assert_eq!(read, [0, -MINUTE, -5 * MINUTE, 0], "it stands still, and goes on");
    // Set right after three days, which is no leap: the process has counted them.
    let read = arrivals(&mut clock, &[(7 * MINUTE, back), (3 * DAY, back), (3 * DAY + MINUTE, 0)]);
    assert_eq!(read[1..], [back, 0]);
    assert_eq!(clock.standing(), Standing::Right);
}

#[test]
fn attack_206_a_wrong_year_for_a_minute_leaves_no_trace() {
    for ahead in [DAY + MINUTE, 30 * DAY, 12 * YEAR] {
        let mut clock = ArrivalClock::new(Some(UnixMillis(RIGHT - DAY)));
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
    let old = UnixMillis(RIGHT - 30 * DAY);
    let mut clock = ArrivalClock::new(Some(old));
    assert_eq!(arrivals(&mut clock, &[(0, 0), (MINUTE, 0)]), [0, 0]);
    assert_eq!(
        clock.standing(),
        Standing::Ahead { by: Duration::from_millis(30 * DAY as u64 + MINUTE as u64) }
    );
    // It was wrong.
    assert_eq!(arrivals(&mut clock, &[(2 * MINUTE, -20 * DAY)]), [-20 * DAY], "it may go back");
    // A leap of 24 hours and less is none.
    let mut clock = ArrivalClock::new(Some(UnixMillis(RIGHT - DAY)));
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
        let newest = known.then_some(UnixMillis(RIGHT - 1));
        let (mut clock, mut at, mut confirmed) = (ArrivalClock::new(newest), 0, newest);
        for (wait, ahead) in steps {
            at += wait;
            let wall = UnixMillis(RIGHT + at + ahead);
            let arrival = clock.read(t0 + Duration::from_millis(at.unsigned_abs()), wall);
            prop_assert!(Some(arrival.time) >= confirmed, "{arrival:?} {confirmed:?}");
            prop_assert!(clock.confirmed >= confirmed && arrival.latest >= arrival.time.min(wall));
            confirmed = clock.confirmed;
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
fn attack_206_what_a_wrong_clock_stored_for_a_minute_confirms_nothing_after_a_restart() {
    let of = |arrivals: &[i64]| {
        let mut stored = StoredArrivals::default();
        arrivals.iter().for_each(|arrival| stored.add(UnixMillis(RIGHT + arrival)));
        stored.confirmed().map(|confirmed| confirmed.0 - RIGHT)
    };
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[-RIGHT]), None, "never set");
    assert_eq!(of(&[0, DAY, 2 * DAY]), Some(2 * DAY));
    assert_eq!(of(&[0, 12 * YEAR, 12 * YEAR + MINUTE]), Some(0), "a minute");
    assert_eq!(of(&[0, 12 * YEAR, 12 * YEAR + 10 * MINUTE]), Some(12 * YEAR + 10 * MINUTE), "long enough");
    assert_eq!(of(&[0, 12 * YEAR, MINUTE, 12 * YEAR + MINUTE]), Some(MINUTE), "back again");
    assert_eq!(
        of(&[0, 2 * DAY, 12 * YEAR, 12 * YEAR + 9 * MINUTE]),
        Some(0),
        "one wrong time after the other"
    );
}
