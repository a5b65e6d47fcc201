//! Small versions of what the program `narrowgate-simulation slow-radio` tries.

use super::*;

/// A twentieth of what the program `narrowgate-simulation slow-radio` tries.
fn small(round_trip: Duration, radio: Radio, neighbour: Neighbour) -> SlowRadio {
    let spread = Duration::from_secs(20);
    SlowRadio { devices: 1000, spread, round_trip, limit: 200, radio, neighbour, seed: 1 }
}

/// Without a neighbour, and beside each of these.
fn assert_all_get_in_beside(radio: Radio, neighbours: &[Neighbour]) {
    for round_trip in [2, 8].map(Duration::from_secs) {
        let alone = run(small(round_trip, radio, Neighbour::default()));
        assert!(alone.holds(None), "{alone}");
        for &neighbour in neighbours {
            let outcome = run(small(round_trip, radio, neighbour));
            assert!(outcome.holds(Some(&alone)), "{outcome}; alone: {alone}");
        }
    }
}

/// Beside those of these round trips with each rate, each hello once or twice.
fn assert_all_get_in(radio: Radio, away: &[u64], rates: [(u32, bool); 2]) {
    let each = away.iter().flat_map(|away| rates.map(|rate| (Duration::from_millis(*away), rate)));
    let neighbours = each.map(|(round_trip, (per_second, twice))| Neighbour {
        per_second,
        twice,
        round_trip,
        ..Neighbour::default()
    });
    assert_all_get_in_beside(radio, &neighbours.collect::<Vec<_>>());
}

#[test]
fn attack_207_slow_devices_get_in_as_fast_as_the_limit_allows_beside_a_rude_neighbour() {
    assert_all_get_in(Radio::default(), &[0, 50, 300, 1_500], [(20, false), (200, true)]);
}

#[test]
fn attack_207_also_where_datagrams_are_lost_and_late_and_devices_compute() {
    assert_all_get_in(Radio::ROUGH, &[0, 1_500], [(20, true), (200, false)]);
}

#[test]
fn attack_207_also_beside_a_neighbour_who_is_rare() {
    assert_all_get_in(Radio::default(), &[300, 1_500], [(3, true), (10, true)]);
}

#[test]
fn attack_207_also_beside_a_neighbour_with_a_wrong_key() {
    let of_each = |away| {
        [20, 200].map(|per_second| Neighbour {
            per_second,
            round_trip: Duration::from_millis(away),
            manner: Manner::WrongKey,
            ..Neighbour::default()
        })
    };
    let neighbours = [50, 300, 1_500].map(of_each).concat();
    assert_all_get_in_beside(Radio::default(), &neighbours);
}

/// The longest that a device may take to get in of whose datagrams one was lost at most, and of whose hellos
/// one was dropped at the limit at most.
fn longest(tried: &SlowRadio) -> Duration {
    let SlowRadio { round_trip, radio, .. } = *tried;
    // There and back three times: its hello and the cookie, its hello with the cookie and the answer, its
    // Finished and ours. Each way may take longer by the part by which ways vary.
    let ways = 3 * (round_trip + round_trip * radio.varies_by / 100);
    // What is not answered is sent again after the timer, and if that is the same message, after the doubled
    // one: for the one that was lost, and for the one that was dropped.
    let repeats = tried.timer() + 2 * tried.timer();
    // Between the second answer and its Finished it computes.
    ways + repeats + radio.computes
}

/// A neighbour of another class of distance takes all that is free until they come; nobody waits longer
/// for it than for what was lost: a timer and its doubling.
#[test]
fn attack_207_a_near_device_that_lost_a_datagram_or_computes_slowly_keeps_its_place() {
    let neighbour = Neighbour {
        per_second: 50,
        round_trip: Duration::from_millis(300),
        twice: true,
        ..Neighbour::default()
    };
    for (seed, round_trip) in (1..=8).flat_map(|seed| [20, 100, 500, 1_000].map(|away| (seed, away))) {
        let round_trip = Duration::from_millis(round_trip);
        let tried = SlowRadio { limit: 100, seed, ..small(round_trip, Radio::ROUGH, neighbour) };
        let outcome = run(tried);
        assert!(outcome.evicted > 100, "it was full: {outcome}");
        assert!(outcome.latest <= longest(&tried), "seed {seed}: {outcome}");
        assert_eq!(outcome.done, 1000, "seed {seed}: {outcome}");
    }
}

/// Its class has more than its share as soon as one from far away calls, and all places are held by its dead.
#[test]
fn attack_207_a_near_device_gets_in_beside_a_near_flood_while_one_from_far_away_calls() {
    let neighbour = Neighbour { per_second: 20, manner: Manner::CallsFromFar, ..Neighbour::default() };
    for seed in 1..=4 {
        let near = small(Duration::from_millis(20), Radio::ROUGH, neighbour);
        let tried = SlowRadio { devices: 100, seed, ..near };
        let outcome = run(tried);
        assert!(outcome.evicted > 100, "it was full: {outcome}");
        assert!(outcome.latest <= longest(&tried), "seed {seed}: {outcome}");
        assert_eq!(outcome.done, 100, "seed {seed}: {outcome}");
    }
}
