//! Longer than 500 lines: one list of what turns promise, on one bench.

use narrowgate_platform::ids::DeviceId;

use super::*;

const MS: Duration = Duration::from_millis(1);
const CHEAP: Cost = Cost { spent: Duration::from_micros(50), ..Cost::NONE };
const LIMIT: Cost = Cost { spent: Duration::from_millis(50), hit_limit: true, ..Cost::NONE };

const SLOWISH: Cost = Cost { spent: Duration::from_millis(20), ..Cost::NONE };
const DEVICE: Caller = Caller::Device(DeviceId(1));
const SIBLING: Caller = Caller::Device(DeviceId(2));

struct Bench {
    turns: Turns<u32>,
    now: Instant,
}

impl Bench {
    fn new(waiting_max: usize, workers: usize) -> Self {
        Self { turns: Turns::new(waiting_max, workers), now: Instant::now() }
    }

    fn put(&mut self, product: &str, call: u32) -> bool {
        self.put_of(product, DEVICE, call)
    }

    fn put_of(&mut self, product: &str, caller: Caller, call: u32) -> bool {
        self.turns.put(&Account::of(&product.into(), caller), caller, call).is_ok()
    }

    /// The product and call whose turn it is.
    fn take(&mut self) -> Option<(String, u32)> {
        match self.turns.take(self.now) {
            Next::Run(account, call) => Some((account.product.to_string(), call)),
            Next::Wait(_) => None,
        }
    }

    fn finish(&mut self, product: &str, cost: Cost) {
        self.finish_of(product, DEVICE, cost);
    }

    fn finish_of(&mut self, product: &str, caller: Caller, cost: Cost) {
        self.turns.finish(&Account::of(&product.into(), caller), caller, cost, self.now);
    }

    /// Takes calls of one product and runs each to its end; returns them in their order.
    fn run_all(&mut self, cost: Cost) -> Vec<u32> {
        let mut calls = Vec::new();
        while let Some((product, call)) = self.take() {
            self.finish(&product, cost);
            calls.push(call);
        }
        calls
    }
}

#[test]
fn products_take_turns_however_much_one_of_them_wants() {
    let mut bench = Bench::new(100, 1);
    for call in 0..50 {
        assert!(bench.put("greedy", call));
    }
    let mut order = Vec::new();
    for call in 0..10 {
        bench.put("modest", call);
        for _ in 0..2 {
            let (product, _) = bench.take().unwrap();
            bench.finish(&product, CHEAP);
            order.push(product);
        }
    }
    assert_eq!(order.iter().filter(|product| *product == "modest").count(), 10, "{order:?}");
}

/// Else calls that waited too long behind a loop would make its product one whose calls are quick.
#[test]
fn calls_that_were_not_run_do_not_change_what_is_known_of_a_product() {
    let mut bench = Bench::new(10, 2);
    bench.put("bad", 0);
    assert_eq!(bench.take(), Some(("bad".into(), 0)));
    bench.finish("bad", LIMIT);
    bench.now += LIMIT.spent * REST;
    (1..5).for_each(|call| assert!(bench.put("bad", call)));
    assert_eq!(bench.take(), Some(("bad".into(), 1)));
    bench.finish("bad", Cost::NONE);
    assert_eq!(bench.take(), Some(("bad".into(), 2)));
    assert_eq!(bench.take(), None, "one of the two workers is left to the others");
}

#[test]
fn a_full_queue_refuses_its_own_product_alone() {
    let mut bench = Bench::new(2, 1);
    assert!(bench.put("a", 1) && bench.put("a", 2) && !bench.put("a", 3) && bench.put("b", 1));
    assert_eq!(bench.take(), Some(("a".into(), 1)));
    assert!(bench.put("a", 4), "what runs does not wait");
}

/// One device fills the queue of its product with calls that take long; a sibling has one.
#[test]
fn a_device_keeps_its_siblings_waiting_for_no_more_than_one_call() {
    let mut bench = Bench::new(100, 1);
    for call in 0..50 {
        assert!(bench.put_of("p", DEVICE, call));
    }
    let (_, begun) = bench.take().unwrap();
    assert!(bench.put_of("p", SIBLING, 100) && bench.put_of("p", Caller::Commands, 200));
    bench.finish("p", SLOWISH);
    let order = bench.run_all(SLOWISH);
    assert_eq!((begun, &order[..4]), (0, &[1, 100, 200, 2][..]), "each its own, in turn");
    assert_eq!(order.len(), 51);
    assert!(order[3..].is_sorted());
}

#[test]
fn calls_that_nobody_waits_for_make_room() {
    let mut bench = Bench::new(3, 1);
    assert!(bench.put("p", 1) && bench.put("p", 2) && bench.put_of("p", SIBLING, 3));
    assert!(!bench.put("p", 4));
    let account = Account::of(&"p".into(), DEVICE);
    assert_eq!(bench.turns.drop_unwanted(&account, |call| *call == 2), [1, 3]);
    assert!(bench.put("p", 4));
    assert_eq!(bench.run_all(CHEAP), [2, 4]);
    assert!(bench.put("p", 5));
    assert_eq!(bench.turns.drop_unwanted(&account, |_| false), [5]);
    assert_eq!((bench.take(), bench.turns.ready.len(), bench.turns.waiting()), (None, 0, 0));
}

#[test]
fn trials_and_what_devices_need_do_not_rest_for_each_other() {
    for (bad, good) in [(Caller::Trial, DEVICE), (DEVICE, Caller::Trial), (Caller::Trial, Caller::Commands)] {
        let mut bench = Bench::new(10, 2);
        bench.put_of("p", bad, 0);
        bench.take().unwrap();
        bench.finish_of("p", bad, LIMIT);
        bench.put_of("p", bad, 1);
        assert_eq!(bench.take(), None, "{bad:?} rest among themselves");
        bench.put_of("p", good, 2);
        assert_eq!(bench.take(), Some(("p".into(), 2)), "{good:?}");
        bench.finish_of("p", good, CHEAP);
        let (bad, good) = (Account::of(&"p".into(), bad), Account::of(&"p".into(), good));
        assert!(bench.turns.rests_until(&bad).is_some() && bench.turns.rests_until(&good).is_none());
        let since = bench.now;
        bench.now += LIMIT.spent * REST;
        assert!(matches!(bench.turns.take(bench.now), Next::Run(_, 1)));
        assert!(bench.turns.has_rested_since(&bad, since) && !bench.turns.has_rested_since(&bad, bench.now));
        assert!(!bench.turns.has_rested_since(&good, since));
    }
}

/// Else a product would hold the last process by trials of its script.
#[test]
fn trials_of_a_product_share_its_processes() {
    let mut bench = Bench::new(10, 3);
    for call in 0..3 {
        bench.put("p", call);
        bench.put_of("p", Caller::Trial, 10 + call);
    }
    assert_eq!(bench.take(), Some(("p".into(), 0)));
    bench.finish("p", SLOWISH);
    assert!(bench.take().is_some() && bench.take().is_some());
    assert_eq!(bench.take(), None, "the third process is for others");
    bench.put("q", 5);
    assert_eq!(bench.take(), Some(("q".into(), 5)));
}

#[test]
fn who_runs_into_a_limit_rests_and_waits_behind_the_others() {
    let mut bench = Bench::new(10, 2);
    for call in 0..4 {
        bench.put("bad", call);
    }
    assert_eq!(bench.take(), Some(("bad".into(), 0)));
    bench.finish("bad", LIMIT);
    assert_eq!(bench.take(), None, "it rests");
    assert_eq!(bench.turns.take(bench.now), Next::Wait(Some(bench.now + LIMIT.spent * REST)));
    bench.now += LIMIT.spent * REST;
    for call in 0..3 {
        bench.put("good", call);
    }
    // One of the two workers is left to the others, and they go first.
    assert_eq!(bench.take(), Some(("good".into(), 0)));
    bench.finish("good", CHEAP);
    assert_eq!(bench.take(), Some(("good".into(), 1)));
    assert_eq!(bench.take(), Some(("good".into(), 2)));
    bench.finish("good", CHEAP);
    assert_eq!(bench.take(), Some(("bad".into(), 1)));
    assert_eq!(bench.take(), None, "it holds no second worker");
    bench.finish("bad", CHEAP);
    assert_eq!(bench.take(), Some(("bad".into(), 2)));
}

/// Else one that always runs into a limit would take a tenth of a processor for ever.
#[test]
fn rests_grow_while_limits_come_in_a_row() {
    let mut bench = Bench::new(10, 2);
    let short = Cost { spent: MS, hit_limit: true, ..Cost::NONE };
    let mut rest_after = |cost: Cost| {
        bench.put("p", 0);
        bench.take().unwrap();
        bench.finish("p", cost);
        let end = bench.turns.rests_until(&Account::of(&"p".into(), DEVICE));
        let rest = end.map(|end| end - bench.now);
        bench.now += rest.unwrap_or_default();
        rest
    };
    for factor in [9, 18, 36, 72, 144, 144] {
        assert_eq!(rest_after(short), Some(MS * factor));
    }
    assert_eq!(rest_after(LIMIT), Some(DOUBLED_REST_MAX));
    let long = Cost { spent: 400 * MS, hit_limit: true, ..Cost::NONE };
    assert_eq!(rest_after(long), Some(400 * MS * REST), "what is long already is not cut");
    assert_eq!(rest_after(CHEAP), None);
    assert_eq!(rest_after(short), Some(MS * REST), "one that went well begins a new row");
}

/// Else bad products would hold processes for most of the time where the machine is busy.
#[test]
fn a_limit_is_paid_by_the_time_that_it_held_a_process() {
    let mut bench = Bench::new(10, 3);
    bench.put("p", 0);
    bench.take().unwrap();
    bench.finish("p", Cost { held: 300 * MS, ..LIMIT });
    let account = Account::of(&"p".into(), DEVICE);
    assert_eq!(bench.turns.rests_until(&account), Some(bench.now + 300 * MS * REST));
    assert_eq!(bench.turns.queues[&account].paid, 300 * MS * LIMIT_PRICE);
    bench.now += 300 * MS * REST;
    bench.put("p", 1);
    bench.take().unwrap();
    bench.finish("p", Cost { held: 300 * MS, ..CHEAP });
    assert_eq!(bench.turns.queues[&account].paid, 300 * MS * LIMIT_PRICE + CHEAP.spent);
}

#[test]
fn after_a_limit_one_call_runs_at_a_time_until_one_goes_well() {
    let mut bench = Bench::new(10, 4);
    bench.put("p", 0);
    bench.take().unwrap();
    bench.finish("p", LIMIT);
    bench.now += LIMIT.spent * REST;
    (1..6).for_each(|call| assert!(bench.put("p", call)));
    assert_eq!((bench.take(), bench.take()), (Some(("p".into(), 1)), None));
    bench.finish("p", Cost::NONE);
    assert_eq!((bench.take(), bench.take()), (Some(("p".into(), 2)), None));
    bench.finish("p", SLOWISH);
    assert_eq!([(); 4].map(|()| bench.take().map(|(_, call)| call)), [Some(3), Some(4), Some(5), None]);
}

/// Else 32 that went to a process together would at once bring the longest rest.
#[test]
fn limits_of_calls_that_ran_together_count_once_and_the_longest_rest_holds() {
    let mut bench = Bench::new(10, 3);
    let account = Account::of(&"p".into(), DEVICE);
    for call in 0..3 {
        bench.put("p", call);
        bench.take().unwrap();
    }
    let begin = bench.now;
    bench.finish("p", LIMIT);
    let first = begin + LIMIT.spent * REST;
    assert_eq!(bench.turns.rests_until(&account), Some(first));
    bench.now += 10 * MS;
    bench.finish("p", Cost { spent: MS, ..LIMIT });
    assert_eq!(bench.turns.rests_until(&account), Some(first), "a shorter one ends it no earlier");
    bench.finish("p", LIMIT);
    assert_eq!(bench.turns.rests_until(&account), Some(first + 10 * MS), "and is the first of its row");
    assert_eq!((bench.turns.resting.len(), bench.turns.queues[&account].limits_in_row), (1, 1));
}

/// Else the row would begin anew after each rest, since nothing waits when it ends.
#[test]
fn a_row_of_limits_outlives_a_rest_and_not_much_more() {
    let mut bench = Bench::new(10, 2);
    let account = Account::of(&"p".into(), DEVICE);
    let mut limit_after = |pause: Duration| {
        bench.now += pause;
        // Another product goes on meanwhile, and pays more than the first one has.
        for _ in 0..3 {
            bench.put("other", 1);
            bench.take().unwrap();
            bench.finish("other", Cost { spent: 2000 * MS, ..Cost::NONE });
        }
        bench.put("p", 0);
        while bench.take().unwrap().0 != "p" {}
        bench.finish("p", LIMIT);
        let rest = bench.turns.rests_until(&account).unwrap() - bench.now;
        bench.now += rest;
        rest
    };
    assert_eq!(limit_after(MS), 450 * MS);
    assert_eq!(limit_after(MS), 900 * MS);
    assert_eq!(limit_after(ROW_KEPT - MS), 1000 * MS);
    assert_eq!(limit_after(ROW_KEPT), 450 * MS, "it is forgotten");
    bench.now += ROW_KEPT;
    bench.put("other", 1);
    bench.take().unwrap();
    assert_eq!((bench.turns.resting.len(), bench.turns.rested.len()), (0, 0));
    assert_eq!(bench.turns.queues[&account].limits_in_row, 0, "it has paid more than others, and stays");
}

/// Else trials of many products, or of one whose calls are quick, would hold all processes.
#[test]
fn one_trial_runs_at_a_time_and_devices_go_first() {
    let mut bench = Bench::new(10, 3);
    for (product, call) in [("a", 0), ("b", 1), ("c", 2), ("c", 3)] {
        bench.put_of(product, Caller::Trial, call);
    }
    assert_eq!(bench.take(), Some(("a".into(), 0)));
    assert_eq!(bench.take(), None, "the others wait for it");
    bench.put("d", 10);
    bench.put("d", 11);
    assert_eq!(bench.take(), Some(("d".into(), 10)));
    bench.finish_of("a", Caller::Trial, CHEAP);
    assert_eq!(bench.take(), Some(("d".into(), 11)), "a call of a device goes before");
    assert_eq!(bench.take(), Some(("b".into(), 1)));
    bench.finish_of("b", Caller::Trial, CHEAP);
    assert_eq!(bench.take(), Some(("c".into(), 2)));
    bench.finish_of("c", Caller::Trial, CHEAP);
    let device = Account::of(&"d".into(), DEVICE);
    assert_eq!(bench.turns.take_along(&device), None, "none goes along with others");
    assert_eq!(bench.take(), Some(("c".into(), 3)));
}

#[test]
fn devices_that_never_pause_keep_no_trial_waiting_for_ever() {
    let mut bench = Bench::new(10, 1);
    bench.put_of("a", Caller::Trial, 0);
    let mut before = 0;
    loop {
        bench.put("d", 1);
        match bench.take().unwrap() {
            (product, 1) => bench.finish(&product, CHEAP),
            _ => break,
        }
        before += 1;
    }
    assert_eq!(before, BEFORE_TRIAL_MAX);
}

/// Else the first trial after an hour would go before all that wait.
#[test]
fn only_calls_that_a_trial_waited_for_count() {
    let mut bench = Bench::new(100, 2);
    for call in 0..70 {
        bench.put("d", call);
        bench.take().unwrap();
        bench.finish("d", CHEAP);
    }
    let run_before_trial = |bench: &mut Bench| {
        (0..90).for_each(|call| assert!(bench.put("d", call)));
        (0..90).take_while(|_| bench.take().is_some_and(|(product, _)| product == "d")).count()
    };
    bench.put_of("t", Caller::Trial, 1000);
    bench.put_of("t", Caller::Trial, 1001);
    assert_eq!(run_before_trial(&mut bench), 64);
    // What runs beside the trial does not count for the next one.
    (0..26).for_each(|_| assert_eq!(bench.take().unwrap().0, "d"));
    bench.finish_of("t", Caller::Trial, CHEAP);
    assert_eq!(run_before_trial(&mut bench), 64);
}

/// Else a trial that loops would hold up the calls behind it, and a batch would put more before it.
#[test]
fn no_call_goes_along_behind_a_trial_and_no_batch_goes_past_its_turn() {
    let mut bench = Bench::new(100, 1);
    bench.put("d", 0);
    bench.take().unwrap();
    bench.finish("d", CHEAP);
    bench.put_of("t", Caller::Trial, 1000);
    (0..90).for_each(|call| assert!(bench.put("d", call)));
    let device = Account::of(&"d".into(), DEVICE);
    assert_eq!(bench.take(), Some(("d".into(), 0)));
    let along = (0..90).take_while(|_| bench.turns.take_along(&device).is_some()).count();
    assert_eq!(along, 63);
    let Next::Run(trial, 1000) = bench.turns.take(bench.now) else { panic!("the trial is next") };
    assert_eq!(bench.turns.take_along(&trial), None);
    assert!(bench.turns.take_along(&device).is_some());
}

/// Else a process would be given too many calls while another one has nothing to do.
#[test]
fn what_may_not_begin_is_nobodys_share() {
    let mut bench = Bench::new(100, 2);
    (0..31).for_each(|call| assert!(bench.put("bad", call)));
    (0..9).for_each(|call| assert!(bench.put_of("tried", Caller::Trial, call)));
    bench.take().unwrap();
    assert_eq!(bench.turns.share(), 15);
    bench.finish("bad", LIMIT);
    (0..7).for_each(|call| assert!(bench.put("good", call)));
    assert_eq!((bench.turns.share(), bench.turns.waiting()), (3, 30 + 9 + 7));
    bench.take().unwrap();
    assert_eq!(bench.turns.drop_unwanted(&Account::of(&"good".into(), DEVICE), |call| *call > 4).len(), 4);
    assert_eq!(bench.turns.share(), 1);
    bench.now += LIMIT.spent * REST;
    bench.take().unwrap();
    assert_eq!(bench.turns.share(), 15);
    assert_eq!((bench.turns.clear().len(), bench.turns.share()), (30 + 9 + 1, 0));
}

/// Each of them brings a rest: in turn with them, a good one would wait for longer than it may.
#[test]
fn callers_that_run_into_limits_keep_a_sibling_waiting_for_one_rest() {
    let callers = (1..=20).map(|id| Caller::Device(DeviceId(id))).collect::<Vec<_>>();
    let good = Caller::Device(DeviceId(99));
    let mut bench = Bench::new(100, 3);
    let put_all = |bench: &mut Bench| (0..).zip(&callers).all(|(n, caller)| bench.put_of("p", *caller, n));
    assert!(put_all(&mut bench));
    let (mut longest, mut good_since, mut limits) = (Duration::ZERO, None, 0);
    while limits < 100 {
        let call = match bench.turns.take(bench.now) {
            Next::Run(_, call) => call,
            Next::Wait(until) => {
                bench.now = until.unwrap();
                continue;
            }
        };
        if call == 99 {
            longest = longest.max(bench.now - good_since.take().unwrap());
            bench.finish_of("p", good, CHEAP);
            continue;
        }
        limits += 1;
        // Once each of the others has run into its first limit, it comes just after a call of theirs began.
        if limits > callers.len() && good_since.is_none() {
            good_since = Some(bench.now);
            bench.put_of("p", good, 99);
        }
        let caller = callers[call as usize];
        bench.now += LIMIT.spent;
        bench.finish_of("p", caller, LIMIT);
        bench.put_of("p", caller, call);
    }
    assert!(longest > Duration::ZERO && longest <= LIMIT.spent + DOUBLED_REST_MAX, "{longest:?}");
}

#[test]
fn callers_that_ran_into_a_limit_are_not_kept_waiting_for_ever() {
    let mut bench = Bench::new(100, 1);
    bench.put_of("p", SIBLING, 7);
    bench.take().unwrap();
    bench.finish_of("p", SIBLING, LIMIT);
    bench.now += DOUBLED_REST_MAX;
    bench.put_of("p", SIBLING, 7);
    let mut before = 0;
    loop {
        bench.put("p", 1);
        let (_, call) = bench.take().unwrap();
        bench.finish_of("p", if call == 7 { SIBLING } else { DEVICE }, CHEAP);
        match call {
            7 => break,
            _ => before += 1,
        }
    }
    assert_eq!(before, callers::BEFORE_LIMITED_MAX);
    bench.put_of("p", SIBLING, 8);
    assert_eq!(bench.run_all(CHEAP), [1, 8], "one that went well stands in line again");
}

#[test]
fn rests_end_and_one_with_one_worker_is_served() {
    let mut bench = Bench::new(10, 1);
    let dear = Cost { spent: 3600 * 1000 * MS, hit_limit: true, ..Cost::NONE };
    bench.put("bad", 0);
    bench.put("bad", 1);
    bench.take();
    bench.finish("bad", dear);
    bench.now += REST_MAX - MS;
    assert_eq!(bench.take(), None);
    bench.now += MS;
    assert_eq!(bench.take(), Some(("bad".into(), 1)));
    bench.finish("bad", CHEAP);
    assert!(bench.put("bad", 2));
    assert_eq!(bench.take(), Some(("bad".into(), 2)));
}

#[test]
fn nothing_is_lost_or_twice_in_any_order() {
    let mut bench = Bench::new(5, 3);
    let (mut running, mut put, mut done) = (Vec::new(), 0u32, Vec::new());
    let (mut seed, mut callers) = (1u64, Vec::new());
    for step in 0..50_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let choice = seed >> 33;
        bench.now += MS * (choice % 7) as u32;
        match choice % 3 {
            0 => {
                let caller = [DEVICE, SIBLING, Caller::Commands, Caller::Trial][choice as usize / 12 % 4];
                if bench.put_of(["a", "b", "c", "d"][choice as usize / 3 % 4], caller, put) {
                    callers.push(caller);
                    put += 1;
                }
            }
            1 if running.len() < 3 => running.extend(bench.take()),
            _ if !running.is_empty() => {
                let (product, call) = running.swap_remove(choice as usize / 3 % running.len());
                let cost = if step % 5 == 0 { LIMIT } else { CHEAP };
                bench.finish_of(&product, callers[call as usize], cost);
                done.push(call);
            }
            _ => {}
        }
    }
    loop {
        for (product, call) in running.drain(..) {
            bench.finish_of(&product, callers[call as usize], CHEAP);
            done.push(call);
        }
        bench.now += REST_MAX;
        match bench.take() {
            Some(next) => running.push(next),
            None => break,
        }
    }
    done.sort_unstable();
    assert_eq!(done, (0..put).collect::<Vec<_>>());
    assert!(put > 5000 && bench.turns.ready.is_empty() && bench.turns.resting.is_empty());
    assert!(bench.turns.trials.is_empty() && bench.turns.ready_calls == 0 && bench.turns.waiting() == 0);
}
