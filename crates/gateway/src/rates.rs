//! Reports and refusals, minute by minute: for all, and of each product, of which a store makes those of its
//! organisation unit.
//!
//! A report costs a look-up and two additions, once it is stored. A minute is written down when it is over,
//! so a minute in which nothing is counted costs nothing, and what a crash loses is the last one; who settles
//! writes down what there is. What the store does not take waits, and is written with a later minute, one
//! after the other: a store that has stood still has more to do than this. Whoever reads the counts learns
//! which minutes are not in the store ([`Counting`]). Limits: [`PRODUCTS_MAX`] products in a minute, all
//! further ones are counted for all alone; [`WAITING_MAX`] minutes that wait, with
//! [`WAITING_PRODUCTS_MAX`] products.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::UnixMillis,
    model::{
        log::Reason,
        rates::{CountedMinute, Counting, MINUTE_MS, MINUTES_KEPT, Tally, minute_of},
    },
    ports::Write,
};

use crate::{
    effect::Now,
    gateway::Gateway,
    outbox::{Outbox, Pending},
    shared::Shared,
};

/// Products that are counted in a minute. Some 1.3 MB.
const PRODUCTS_MAX: usize = 4096;
/// Minutes that the store has not taken; the oldest are given up first, …
const WAITING_MAX: usize = 60;
/// … and with the products of all of them together: some 5 MB.
const WAITING_PRODUCTS_MAX: usize = 4 * PRODUCTS_MAX;

/// See the module.
#[derive(Debug)]
pub(crate) struct Rates {
    /// The minute that is counted, and when it is over; `None`: nothing was counted since the last one.
    counting: Option<(i64, Instant)>,
    /// Since this minute all is counted that is not written down, and when that began.
    since: (i64, Instant),
    all: Tally,
    products: BTreeMap<String, Tally>,
    /// Minutes that are to be written, the oldest first.
    waiting: VecDeque<Arc<CountedMinute>>,
    /// Whether one is being written.
    is_writing: bool,
    counted: Arc<Counting>,
}

impl Rates {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            counting: None,
            since: (minute_of(now.wall), now.instant),
            all: Tally::default(),
            products: BTreeMap::new(),
            waiting: VecDeque::new(),
            is_writing: false,
            counted: Arc::new(Counting { since: minute_of(now.wall), missing: BTreeMap::new() }),
        }
    }

    /// Since when is counted, and what of it is not in the store.
    pub(crate) fn counted(&self) -> &Arc<Counting> {
        &self.counted
    }

    /// Counts reports of a product that are stored.
    pub(crate) fn count_reports(&mut self, now: Now, product_key: &str, count: u32) {
        self.begin(now);
        let count = u64::from(count);
        self.all.reports += count;
        match self.products.get_mut(product_key) {
            Some(tally) => tally.reports += count,
            None => self.meet(product_key, Tally::of_reports(count)),
        }
    }

    /// Counts a refusal; with the key of a product where it is of one of its devices.
    pub(crate) fn count_refusal(&mut self, now: Now, product_key: Option<&str>, reason: Option<Reason>) {
        self.begin(now);
        self.all.refuse(reason);
        let Some(product_key) = product_key else { return };
        match self.products.get_mut(product_key) {
            Some(tally) => tally.refuse(reason),
            None => {
                let mut tally = Tally::default();
                tally.refuse(reason);
                self.meet(product_key, tally);
            }
        }
    }

    /// The first of a product in a while.
    fn meet(&mut self, product_key: &str, tally: Tally) {
        if self.products.len() < PRODUCTS_MAX {
            self.products.insert(product_key.to_owned(), tally);
        }
    }

    fn begin(&mut self, now: Now) {
        if self.counting.is_none() {
            let left = MINUTE_MS - now.wall.0.rem_euclid(MINUTE_MS);
            let over = now.instant + Duration::from_millis(left.unsigned_abs());
            self.counting = Some((minute_of(now.wall), over));
            self.leap_with(now);
            self.miss(minute_of(now.wall));
        }
    }

    /// A clock that was set ahead leaves minutes behind in which nothing was counted.
    fn leap_with(&mut self, now: Now) {
        let (since, began) = self.since;
        let passed = i64::try_from(now.instant.saturating_duration_since(began).as_millis());
        let began_at = UnixMillis(now.wall.0.saturating_sub(passed.unwrap_or(i64::MAX)));
        self.since.0 = since.max(minute_of(began_at));
    }

    /// A part of a minute is not in the store yet.
    fn miss(&mut self, minute: i64) {
        let missing = &mut Arc::make_mut(&mut self.counted).missing;
        missing.retain(|other, _| other.abs_diff(minute) <= MINUTES_KEPT.unsigned_abs());
        *missing.entry(minute).or_default() += 1;
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.counting.map(|(_, over)| over)
    }

    /// Has the minute written down, where it is over.
    pub(crate) fn handle_timeout(&mut self, out: &mut Outbox, now: Instant) {
        if let Some((minute, over)) = self.counting
            && over <= now
        {
            self.write(out, minute, now);
        }
    }

    /// Has everything written down: the server stops. Where nothing was counted for a while, also that.
    pub(crate) fn write_all(&mut self, out: &mut Outbox, now: Now) {
        let present = minute_of(now.wall);
        if let Some((minute, _)) = self.counting {
            return self.write(out, minute, now.instant);
        }
        self.leap_with(now);
        if self.since.0 < present {
            self.miss(present);
            self.write(out, present, now.instant);
        }
    }

    fn write(&mut self, out: &mut Outbox, minute: i64, now: Instant) {
        // A clock that was put back does not make it end before it begins.
        let since = self.since.0.min(minute);
        let counted = |(key, tally): (&String, &Tally)| (!tally.is_empty()).then(|| (key.clone(), *tally));
        let products = self.products.iter().filter_map(counted).collect();
        let minute = CountedMinute { minute, since, all: self.all, products };
        (self.counting, self.since, self.all) = (None, (minute.minute + 1, now), Tally::default());
        // Those that report each minute stay, so that they are not made anew.
        self.products.retain(|_, tally| !std::mem::take(tally).is_empty());
        self.waiting.push_back(Arc::new(minute));
        self.write_next(out);
    }

    /// Has the oldest minute written that waits.
    fn write_next(&mut self, out: &mut Outbox) {
        if !self.is_writing
            && let Some(minute) = self.waiting.pop_front()
        {
            self.is_writing = true;
            out.write(vec![Write::Rates(Arc::clone(&minute))], Pending::Rates(minute));
        }
        self.give_up();
    }

    /// Gives up the oldest minutes where too much waits. They stay among those that are missing.
    fn give_up(&mut self) {
        let mut products: usize = self.waiting.iter().map(|minute| minute.products.len()).sum();
        while self.waiting.len() > WAITING_MAX || products > WAITING_PRODUCTS_MAX {
            let lost = self.waiting.pop_front();
            products -= lost.map_or(0, |minute| minute.products.len());
        }
    }

    /// A minute was written down, and the next one is to be; or it is to be written with a later one.
    pub(crate) fn handle_written(&mut self, out: &mut Outbox, minute: Arc<CountedMinute>, is_written: bool) {
        self.is_writing = false;
        if !is_written {
            self.waiting.push_front(minute);
            return self.give_up();
        }
        let missing = &mut Arc::make_mut(&mut self.counted).missing;
        if let Some(parts) = missing.get_mut(&minute.minute) {
            *parts -= 1;
            if *parts == 0 {
                missing.remove(&minute.minute);
            }
        }
        self.write_next(out);
    }
}

impl Shared {
    /// See [`Rates::handle_written`].
    pub(crate) fn handle_rates_written(&mut self, minute: Arc<CountedMinute>, is_written: bool) {
        self.refusals.rates.handle_written(&mut self.out, minute, is_written);
    }
}

impl Gateway {
    /// Since when is counted minute by minute, and what of it is not in the store.
    pub fn counting(&self) -> &Arc<Counting> {
        self.shared.refusals.rates.counted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effect;

    fn written(out: &mut Outbox) -> Vec<Arc<CountedMinute>> {
        std::iter::from_fn(|| out.poll())
            .map(|effect| match effect {
                Effect::Write(_, writes) => match &writes[..] {
                    [Write::Rates(minute)] => Arc::clone(minute),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_minute_is_written_when_it_is_over_and_says_since_when_nothing_was_missed() {
        let start = crate::tests::start();
        let at = |ms: i64| {
            let instant = start + Duration::from_millis(ms.unsigned_abs());
            Now { instant, wall: UnixMillis(600_000 + ms) }
        };
        let (mut rates, mut out) = (Rates::new(at(0)), Outbox::new());
        assert_eq!(rates.poll_timeout(), None);
        // Three minutes without anything, and one with something in its middle.
        rates.count_reports(at(200_000), "p", 2);
        rates.count_refusal(at(210_000), Some("p"), Some(Reason::WrongKey));
        rates.count_refusal(at(210_001), None, None);
        assert_eq!(rates.poll_timeout(), Some(at(240_000).instant));
        rates.handle_timeout(&mut out, at(239_999).instant);
        assert!(written(&mut out).is_empty());
        rates.handle_timeout(&mut out, at(240_000).instant);
        let [first] = &written(&mut out)[..] else { panic!("it is one minute") };
        assert_eq!((first.minute, first.since, first.all.reports), (13, 10, 2));
        assert_eq!(first.all.refusals().map(|(_, count)| count).sum::<u64>(), 2);
        let [(product, tally)] = &first.products[..] else { panic!("{first:?}") };
        assert_eq!((&**product, tally.reports, tally.refusals().count()), ("p", 2, 1));
        // The store cannot take it: it goes before the next one.
        rates.handle_written(&mut out, Arc::clone(first), false);
        assert!(written(&mut out).is_empty() && rates.poll_timeout().is_none());
        rates.count_reports(at(300_000), "q", 1);
        rates.write_all(&mut out, at(300_001));
        let [again] = &written(&mut out)[..] else { panic!("one after the other") };
        assert_eq!((again.since, again.minute), (10, 13));
        rates.handle_written(&mut out, Arc::clone(again), true);
        let [next] = &written(&mut out)[..] else { panic!("it follows at once") };
        assert_eq!((next.since, next.minute), (14, 15));
        assert_eq!(next.products.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["q"]);
        rates.handle_written(&mut out, Arc::clone(next), true);
        // Who stops says how long nothing came.
        rates.write_all(&mut out, at(360_000 + 120_000));
        let [quiet] = &written(&mut out)[..] else { panic!("it is known") };
        assert_eq!((quiet.since, quiet.minute, quiet.all.is_empty()), (16, 18, true));
        rates.handle_written(&mut out, Arc::clone(quiet), true);
        rates.write_all(&mut out, at(360_000 + 120_001));
        assert!(written(&mut out).is_empty());
    }

    #[test]
    fn products_and_minutes_that_wait_have_their_limits() {
        let start = crate::tests::start();
        let at = |minute: i64| {
            let instant = start + Duration::from_secs(60 * minute.unsigned_abs());
            Now { instant, wall: UnixMillis(minute * MINUTE_MS) }
        };
        let (mut rates, mut out) = (Rates::new(at(0)), Outbox::new());
        for n in 0..=PRODUCTS_MAX {
            rates.count_reports(at(0), &format!("p{n}"), 1);
        }
        rates.handle_timeout(&mut out, at(1).instant);
        let [minute] = &written(&mut out)[..] else { panic!("it is one minute") };
        assert_eq!((minute.products.len(), minute.all.reports), (PRODUCTS_MAX, PRODUCTS_MAX as u64 + 1));
        // Those that were silent for a minute make room.
        rates.count_reports(at(1), "p0", 1);
        rates.handle_timeout(&mut out, at(2).instant);
        rates.count_reports(at(2), "new", 1);
        assert_eq!(rates.products.len(), 2);
        rates.handle_written(&mut out, Arc::clone(minute), true);
        while let Some(minute) = written(&mut out).pop() {
            rates.handle_written(&mut out, minute, true);
        }
        rates.handle_timeout(&mut out, at(3).instant);
        let last = written(&mut out).pop().expect("it is over");
        rates.handle_written(&mut out, last, true);
        assert_eq!(rates.counted().missing.len(), 0);
        for n in 3..100 {
            rates.count_reports(at(n), "p0", 1);
            rates.handle_timeout(&mut out, at(n + 1).instant);
            for minute in written(&mut out) {
                rates.handle_written(&mut out, minute, false);
            }
        }
        assert_eq!(rates.waiting.len(), WAITING_MAX);
        assert_eq!(rates.waiting.back().map(|minute| minute.minute), Some(99));
        // None of them is in the store, not even those that were given up.
        assert!(rates.counted().missing.keys().copied().eq(3..100));
        // One at a time is written when the store works again.
        rates.count_reports(at(100), "p0", 1);
        rates.handle_timeout(&mut out, at(101).instant);
        let mut count = 0;
        while let [minute] = &written(&mut out)[..] {
            count += 1;
            rates.handle_written(&mut out, Arc::clone(minute), true);
        }
        assert_eq!(count, WAITING_MAX + 1);
        assert!(rates.counted().missing.keys().copied().eq(3..40), "{:?}", rates.counted());
    }

    #[test]
    fn minutes_of_many_products_that_wait_are_few() {
        let start = crate::tests::start();
        let at = |minute: i64| {
            let instant = start + Duration::from_secs(60 * minute.unsigned_abs());
            Now { instant, wall: UnixMillis(minute * MINUTE_MS) }
        };
        let (mut rates, mut out) = (Rates::new(at(0)), Outbox::new());
        for minute in 0..60 {
            for n in 0..PRODUCTS_MAX {
                rates.count_reports(at(minute), &format!("p{n}"), 1);
            }
            rates.handle_timeout(&mut out, at(minute + 1).instant);
            let minutes = written(&mut out);
            assert_eq!(minutes.len(), 1, "however many wait");
            for minute in minutes {
                rates.handle_written(&mut out, minute, false);
            }
            let waiting: usize = rates.waiting.iter().map(|minute| minute.products.len()).sum();
            assert!(waiting <= WAITING_PRODUCTS_MAX, "{waiting}");
        }
        assert_eq!(rates.counted().missing.len(), 60);
    }

    #[test]
    fn a_minute_is_missing_until_each_part_of_it_is_written() {
        let start = crate::tests::start();
        let at = |ms: i64| {
            let instant = start + Duration::from_millis(ms.unsigned_abs());
            Now { instant, wall: UnixMillis(600_000 + ms) }
        };
        let (mut rates, mut out) = (Rates::new(at(0)), Outbox::new());
        let missing = |rates: &Rates| rates.counted().missing.keys().copied().collect::<Vec<_>>();
        assert_eq!((rates.counted().since, missing(&rates)), (10, vec![]));
        rates.count_reports(at(1), "p", 1);
        assert_eq!(missing(&rates), [10], "it is counted");
        rates.write_all(&mut out, at(2));
        let first = written(&mut out).pop().expect("it is written");
        assert_eq!(missing(&rates), [10], "it is on its way");
        rates.count_reports(at(3), "p", 1);
        rates.handle_written(&mut out, first, true);
        assert_eq!(missing(&rates), [10], "another part of it is counted");
        rates.handle_timeout(&mut out, at(60_000).instant);
        let second = written(&mut out).pop().expect("it is over");
        rates.handle_written(&mut out, second, true);
        assert!(missing(&rates).is_empty());
    }

    #[test]
    fn a_clock_that_was_set_at_last_says_nothing_of_the_time_before() {
        let start = crate::tests::start();
        let at =
            |ms: u64, wall: i64| Now { instant: start + Duration::from_millis(ms), wall: UnixMillis(wall) };
        // It began in 1970.
        let (mut rates, mut out) = (Rates::new(at(0, 0)), Outbox::new());
        rates.count_reports(at(30_000, 1_700_000_070_000), "p", 1);
        rates.handle_timeout(&mut out, at(60_000, 0).instant);
        let [minute] = &written(&mut out)[..] else { panic!("it is over") };
        assert_eq!((minute.since, minute.minute), (28_333_334, 28_333_334));
    }
}
