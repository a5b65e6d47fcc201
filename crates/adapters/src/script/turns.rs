//! Whose turn it is: the calls of products wait in queues of their own, and the product that has taken the
//! least time of late goes first.
//!
//! Three rules keep a bad script from the others. Its product pays for the time that it takes, and ten times
//! that where it ran into a limit, so that its next call waits behind all that cost less. After a limit the
//! product rests for nine times what the call took: it gets a tenth of a processor at most. And a product
//! whose last call took long never holds the last free process.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// How many times a call that ran into a limit is paid for.
const LIMIT_PRICE: u32 = 10;

/// How many times as long as such a call its product rests.
const REST: u32 = 9;

/// It never rests longer.
const REST_MAX: Duration = Duration::from_secs(5);

/// A product whose last call took this long leaves one process to the others.
const LONG: Duration = Duration::from_millis(5);

/// Queues of products, with calls `J`.
#[derive(Debug)]
pub(super) struct Turns<J> {
    products: BTreeMap<Arc<str>, Queue<J>>,
    /// Products with a call that may begin, the one that has paid least first.
    ready: BTreeSet<(Duration, Arc<str>)>,
    /// Products that rest, by the end of it.
    resting: BTreeSet<(Instant, Arc<str>)>,
    /// What the last one whose turn came had paid: one that comes anew begins here, so that nobody saves up.
    floor: Duration,
    /// Calls that wait, of all products.
    waiting: usize,
    waiting_max: usize,
    workers: usize,
}

#[derive(Debug)]
struct Queue<J> {
    waiting: VecDeque<J>,
    running: usize,
    paid: Duration,
    pace: Pace,
    rests_until: Option<Instant>,
}

/// How long the last call of a product took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// There was none.
    Unknown,
    /// Little: several calls may go to a process together.
    Quick,
    /// Long, or into a limit.
    Long,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<J> {
    Run(Arc<str>, J),
    /// Nothing before this time, or before something is put in or done.
    Wait(Option<Instant>),
}

/// What a call took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) spent: Duration,
    pub(super) hit_limit: bool,
}

impl<J> Turns<J> {
    /// Queues of so many calls of a product, for so many workers.
    pub(super) fn new(waiting_max: usize, workers: usize) -> Self {
        let (products, ready, resting) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { products, ready, resting, floor: Duration::ZERO, waiting: 0, waiting_max, workers }
    }

    /// Lets a call wait.
    ///
    /// # Errors
    /// The call, where too many of its product wait already.
    pub(super) fn put(&mut self, product: &Arc<str>, call: J) -> Result<(), J> {
        let floor = self.floor;
        let queue = self.products.entry(Arc::clone(product)).or_insert_with(|| Queue::new(floor));
        if queue.waiting.len() >= self.waiting_max {
            return Err(call);
        }
        let is_first = queue.waiting.is_empty();
        let paid = queue.paid;
        if is_first && queue.running == 0 {
            queue.paid = paid.max(floor);
        }
        queue.waiting.push_back(call);
        self.waiting += 1;
        if is_first {
            self.ready.remove(&(paid, Arc::clone(product)));
            self.place(product);
        }
        Ok(())
    }

    /// Takes the call whose turn it is.
    pub(super) fn take(&mut self, now: Instant) -> Next<J> {
        self.wake(now);
        let Some((paid, product)) = self.ready.pop_first() else {
            return Next::Wait(self.resting.first().map(|(end, _)| *end));
        };
        let call = self.begin(paid, &product);
        Next::Run(product, call)
    }

    /// Takes the call whose turn it is next, if it is one that may go to a process together with another:
    /// it will take little time.
    pub(super) fn take_along(&mut self) -> Option<(Arc<str>, J)> {
        let (_, product) = self.ready.first()?;
        if self.products.get(product)?.pace != Pace::Quick {
            return None;
        }
        let (paid, product) = self.ready.pop_first()?;
        let call = self.begin(paid, &product);
        Some((product, call))
    }

    /// How many of the calls that wait are one worker's share.
    pub(super) fn share(&self) -> usize {
        self.waiting / self.workers
    }

    fn begin(&mut self, paid: Duration, product: &Arc<str>) -> J {
        self.floor = paid;
        let queue = self.products.get_mut(product).expect("only products with a queue are ready");
        queue.running += 1;
        let call = queue.waiting.pop_front().expect("only products whose queue has a call are ready");
        self.waiting -= 1;
        self.place(product);
        call
    }

    /// A call that was taken is over.
    pub(super) fn finish(&mut self, product: &Arc<str>, cost: Cost, now: Instant) {
        let Some(queue) = self.products.get_mut(product) else { return };
        let Cost { spent, hit_limit } = cost;
        let before = queue.paid;
        queue.running = queue.running.saturating_sub(1);
        queue.paid += if hit_limit { spent * LIMIT_PRICE } else { spent };
        // A call that came too late and was not run says nothing of how long others take.
        if hit_limit || !spent.is_zero() {
            queue.pace = if hit_limit || spent >= LONG { Pace::Long } else { Pace::Quick };
        }
        self.ready.remove(&(before, Arc::clone(product)));
        if hit_limit {
            let end = now + (spent * REST).min(REST_MAX);
            if let Some(earlier) = queue.rests_until.replace(end) {
                self.resting.remove(&(earlier, Arc::clone(product)));
            }
            self.resting.insert((end, Arc::clone(product)));
        }
        self.place(product);
    }

    /// Takes out all calls that wait.
    pub(super) fn clear(&mut self) -> Vec<J> {
        self.ready.clear();
        self.resting.clear();
        self.waiting = 0;
        std::mem::take(&mut self.products).into_values().flat_map(|queue| queue.waiting).collect()
    }

    /// Ends the rests that are over.
    fn wake(&mut self, now: Instant) {
        while self.resting.first().is_some_and(|(end, _)| *end <= now) {
            let Some((_, product)) = self.resting.pop_first() else { return };
            if let Some(queue) = self.products.get_mut(&product) {
                queue.rests_until = None;
            }
            self.place(&product);
        }
    }

    /// Puts a product where its state says. It was taken out of `ready` before, or is not in it.
    fn place(&mut self, product: &Arc<str>) {
        let Some(queue) = self.products.get(product) else { return };
        let running_max = match queue.pace {
            Pace::Unknown => self.workers,
            Pace::Quick => usize::MAX,
            Pace::Long => (self.workers - 1).max(1),
        };
        if queue.rests_until.is_some() {
            return;
        }
        if queue.waiting.is_empty() {
            // One that has paid more than others keeps its place for as long as it would wait.
            if queue.running == 0 && queue.paid <= self.floor {
                self.products.remove(product);
            }
        } else if queue.running < running_max {
            self.ready.insert((queue.paid, Arc::clone(product)));
        }
    }
}

impl<J> Queue<J> {
    fn new(paid: Duration) -> Self {
        Self { waiting: VecDeque::new(), running: 0, paid, pace: Pace::Unknown, rests_until: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const CHEAP: Cost = Cost { spent: Duration::from_micros(50), hit_limit: false };
    const LIMIT: Cost = Cost { spent: Duration::from_millis(50), hit_limit: true };

    struct Bench {
        turns: Turns<u32>,
        now: Instant,
    }

    impl Bench {
        fn new(waiting_max: usize, workers: usize) -> Self {
            Self { turns: Turns::new(waiting_max, workers), now: Instant::now() }
        }

        fn put(&mut self, product: &str, call: u32) -> bool {
            self.turns.put(&product.into(), call).is_ok()
        }

        /// The product and call whose turn it is.
        fn take(&mut self) -> Option<(String, u32)> {
            match self.turns.take(self.now) {
                Next::Run(product, call) => Some((product.to_string(), call)),
                Next::Wait(_) => None,
            }
        }

        fn finish(&mut self, product: &str, cost: Cost) {
            self.turns.finish(&product.into(), cost, self.now);
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
        bench.finish("bad", Cost { spent: Duration::ZERO, hit_limit: false });
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

    #[test]
    fn rests_end_and_one_with_one_worker_is_served() {
        let mut bench = Bench::new(10, 1);
        let dear = Cost { spent: 3600 * 1000 * MS, hit_limit: true };
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
        let mut seed = 1u64;
        for step in 0..50_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let choice = seed >> 33;
            bench.now += MS * (choice % 7) as u32;
            match choice % 3 {
                0 => put += u32::from(bench.put(["a", "b", "c", "d"][choice as usize / 3 % 4], put)),
                1 if running.len() < 3 => running.extend(bench.take()),
                _ if !running.is_empty() => {
                    let (product, call) = running.swap_remove(choice as usize / 3 % running.len());
                    let cost = if step % 5 == 0 { LIMIT } else { CHEAP };
                    bench.finish(&product, cost);
                    done.push(call);
                }
                _ => {}
            }
        }
        loop {
            for (product, call) in running.drain(..) {
                bench.finish(&product, CHEAP);
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
    }
}
