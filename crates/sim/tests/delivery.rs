//! The expected delivery of commands is as good as promised, with every seed.

use narrowgate_sim::delivery::{Way, run};

#[test]
#[expect(clippy::print_stdout, reason = "a test that is run by itself shows its figures")]
fn nine_of_ten_devices_fetch_a_command_within_the_spread_that_was_shown() {
    for seed in 1..=5 {
        let delivery = run(1000, seed, Way::Store);
        println!("seed {seed}\n{delivery}");
        assert!(delivery.holds(), "seed {seed}\n{delivery}");
    }
}

/// A small version of what `narrowgate-simulation delivery --server` runs.
#[test]
#[expect(clippy::print_stdout, reason = "a test that is run by itself shows its figures")]
fn so_they_do_where_all_goes_through_the_server() {
    let delivery = run(40, 1, Way::Server { interval_min_max: 15 });
    println!("{delivery}");
    assert!(delivery.holds(), "{delivery}");
}

#[test]
fn a_seed_repeats() {
    for (devices, way) in [(50, Way::Store), (2, Way::Server { interval_min_max: 5 })] {
        assert_eq!(run(devices, 7, way).to_string(), run(devices, 7, way).to_string());
    }
}
