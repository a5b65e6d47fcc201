//! The expected delivery of commands is as good as promised, with every seed.

use narrowgate_sim::delivery;

#[test]
#[expect(clippy::print_stdout, reason = "a test that is run by itself shows its figures")]
fn nine_of_ten_devices_fetch_a_command_within_the_spread_that_was_shown() {
    for seed in 1..=5 {
        let delivery = delivery::run(1000, seed);
        println!("seed {seed}\n{delivery}");
        assert!(delivery.holds(), "seed {seed}\n{delivery}");
    }
}

#[test]
fn a_seed_repeats() {
    assert_eq!(delivery::run(50, 7).to_string(), delivery::run(50, 7).to_string());
}
