//! Two hundred seeds of the simulation, in four parts that run side by side; and that a seed is a seed.

use narrowgate_sim::campaign::{
    self,
    plan::{Plan, Scale},
};

fn run(first: u64) {
    let mut stored = 0;
    let mut crashes = 0;
    for seed in first..first + 50 {
        let outcome = campaign::run(seed, Scale::Small);
        stored += outcome.totals.stored;
        crashes += outcome.happened.crashes;
    }
    assert!(stored > 1_000 && crashes > 10, "the seeds hold too little: {stored} reports, {crashes} crashes");
}

#[test]
fn seeds_1_to_50_break_no_promise() {
    run(1);
}

#[test]
fn seeds_51_to_100_break_no_promise() {
    run(51);
}

#[test]
fn seeds_101_to_150_break_no_promise() {
    run(101);
}

#[test]
fn seeds_151_to_200_break_no_promise() {
    run(151);
}

#[test]
fn attack_203_seeds_with_resets_that_race_logins_break_no_promise() {
    let (mut stored, mut acts) = (0, 0);
    for seed in 1..=25 {
        let outcome = campaign::run_plan(Plan::with_resets(seed, Scale::Small));
        stored += outcome.totals.stored;
        acts += outcome.happened.acts;
    }
    assert!(stored > 1_000 && acts > 500, "the seeds hold too little: {stored} reports, {acts} acts");
}

#[test]
fn attack_206_seeds_with_a_wild_clock_break_no_promise() {
    let (mut stored, mut jumps) = (0, 0);
    for seed in 1..=25 {
        let outcome = campaign::run_plan(Plan::with_wild_clock(seed, Scale::Small));
        stored += outcome.totals.stored;
        jumps += outcome.happened.jumps;
    }
    assert!(stored > 1_000 && jumps > 100, "the seeds hold too little: {stored} reports, {jumps} jumps");
}

#[test]
fn attack_207_seeds_with_slow_radio_break_no_promise() {
    let (mut stored, mut strange) = (0, 0);
    for seed in 1..=25 {
        let outcome = campaign::run_plan(Plan::with_slow_radio(seed, Scale::Small));
        stored += outcome.totals.stored;
        strange += outcome.happened.strange;
    }
    assert!(stored > 1_000 && strange > 500, "the seeds hold too little: {stored}, {strange} of a stranger");
}

#[test]
fn seeds_with_commands_break_no_promise() {
    let (mut sent, mut taken, mut crashes) = (0, 0, 0);
    for seed in 1..=25 {
        let outcome = campaign::run_plan(Plan::with_commands(seed, Scale::Small));
        sent += outcome.commands.sent;
        taken += outcome.commands.taken;
        crashes += outcome.happened.crashes;
    }
    let holds_enough = sent > 1_000 && taken > 500 && crashes > 20;
    assert!(holds_enough, "the seeds hold too little: {sent} commands, {taken} answers, {crashes} crashes");
}

#[test]
fn a_seed_runs_the_same_each_time() {
    for seed in 3..=20 {
        assert_eq!(campaign::run(seed, Scale::Small), campaign::run(seed, Scale::Small));
    }
}

#[test]
fn seeds_with_plain_coap_break_no_promise() {
    let (mut stored, mut sessions, mut rode, mut crashes) = (0, 0, 0, 0);
    for seed in 1..=30 {
        let outcome = campaign::run_plan(Plan::with_plain(seed, Scale::Small));
        stored += outcome.totals.stored;
        sessions += outcome.totals.sessions;
        rode += outcome.commands.rode;
        crashes += outcome.happened.crashes;
    }
    let holds_enough = stored > 1_000 && sessions > 1_000 && rode > 200 && crashes > 20;
    assert!(holds_enough, "the seeds hold too little: {stored}, {sessions}, {rode}, {crashes}");
}
