//! New firmware for a fleet: all get it, whatever happens meanwhile, and a rollout of which too much fails
//! stops by itself. `narrowgate-simulation update` runs the same with a thousand devices and a megabyte.

use narrowgate_sim::update::{Plan, run};

#[test]
#[expect(clippy::print_stdout, reason = "a test that is run by itself shows its figures")]
fn every_device_has_the_image_in_the_end_though_the_server_dies_and_datagrams_are_lost() {
    for seed in 1..=3 {
        let outcome = run(Plan::new(20, 20_000, seed));
        println!("seed {seed}\n{outcome}");
        assert!(outcome.holds() && outcome.updated == 20, "seed {seed}\n{outcome}");
        assert!(outcome.crashes == 1 && outcome.sessions > 20, "seed {seed}\n{outcome}");
        assert!(outcome.blocks == outcome.blocks_needed, "none is fetched twice, seed {seed}\n{outcome}");
        assert!(outcome.answer_bytes_max < 20 * 1024, "no block is kept, seed {seed}\n{outcome}");
    }
}

#[test]
fn devices_that_fail_are_known_and_all_others_have_the_image() {
    let outcome = run(Plan { failing_per_mille: 50, ..Plan::new(40, 8_000, 4) });
    assert!(outcome.holds() && outcome.failed > 0 && outcome.spared == 0, "{outcome}");
    assert_eq!(outcome.updated + outcome.failed, 40, "{outcome}");
}

#[test]
fn a_rollout_of_which_too_much_fails_pauses_and_spares_the_rest() {
    // The devices begin within a minute, so that some are there before it pauses.
    let failing = Plan { failing_per_mille: 800, resumes: false, crashes: 0, ..Plan::new(60, 4_000, 5) };
    let outcome = run(failing);
    assert!(outcome.holds() && outcome.pauses == 1, "{outcome}");
    assert!(outcome.spared > 0 && outcome.failed >= 3, "{outcome}");
}

#[test]
fn a_seed_repeats() {
    let plan = Plan::new(6, 5_000, 7);
    assert_eq!(run(plan), run(plan));
}
