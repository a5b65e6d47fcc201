//! Reports and refusals, minute by minute: for all, and of each product, of which a store makes those of its
//! organisation unit.
//!
//! A report costs a look-up and two additions, once it is stored. A minute is written down when it is over,
//! so a minute in which nothing is counted costs nothing, and what a crash loses is the last one; who settles
//! writes down what there is. What the store does not take is written with a later minute. Limits:
//! [`PRODUCTS_MAX`] products in a minute, all further ones are counted for all alone; [`UNWRITTEN_MAX`]
//! minutes that wait.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    model::{
        log::Reason,
        rates::{CountedMinute, MINUTE_MS, Tally, minute_of},
    },
    ports::Write,
};

use crate::{
    effect::Now,
    outbox::{Outbox, Pending},
};

/// Products that are counted in a minute. Some 1.3 MB.
const PRODUCTS_MAX: usize = 4096;
/// Minutes that the store has not taken; the oldest are given up first.
const UNWRITTEN_MAX: usize = 60;

/// See the module.
#[derive(Debug)]
pub(crate) struct Rates {
    /// The minute that is counted, and when it is over; `None`: nothing was counted since the last one.
    counting: Option<(i64, Instant)>,
    /// Since this minute all is counted that is not written down.
    since: i64,
    all: Tally,
    products: BTreeMap<String, Tally>,
    /// Minutes that the store did not take.
    unwritten: VecDeque<Arc<CountedMinute>>,
}

impl Rates {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            counting: None,
            since: minute_of(now.wall),
            all: Tally::default(),
            products: BTreeMap::new(),
            unwritten: VecDeque::new(),
        }
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
        }
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
            self.write(out, minute);
        }
    }

    /// Has everything written down: the server stops. Where nothing was counted for a while, also that.
    pub(crate) fn write_all(&mut self, out: &mut Outbox, now: Now) {
        let present = minute_of(now.wall);
        match self.counting {
            Some((minute, _)) => self.write(out, minute),
            None if self.since < present => self.write(out, present),
            None => {}
        }
    }

    fn write(&mut self, out: &mut Outbox, minute: i64) {
        // A clock that was put back does not make it end before it begins.
        let since = self.since.min(minute);
        let counted = |(key, tally): (&String, &Tally)| (!tally.is_empty()).then(|| (key.clone(), *tally));
        let products = self.products.iter().filter_map(counted).collect();
        let minute = CountedMinute { minute, since, all: self.all, products };
        (self.counting, self.since, self.all) = (None, minute.minute + 1, Tally::default());
        // Those that report each minute stay, so that they are not made anew.
        self.products.retain(|_, tally| !std::mem::take(tally).is_empty());
        for minute in self.unwritten.drain(..).chain([Arc::new(minute)]) {
            out.write(vec![Write::Rates(Arc::clone(&minute))], Pending::Rates(minute));
        }
    }

    /// A minute was written down, or is to be written with the next one.
    pub(crate) fn handle_written(&mut self, minute: Arc<CountedMinute>, is_written: bool) {
        if is_written {
            return;
        }
        if self.unwritten.len() == UNWRITTEN_MAX {
            self.unwritten.pop_front();
        }
        self.unwritten.push_back(minute);
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_platform::ids::UnixMillis;

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
        // The store cannot take it: it goes with the next one.
        rates.handle_written(Arc::clone(first), false);
        assert_eq!(rates.poll_timeout(), None);
        rates.count_reports(at(300_000), "q", 1);
        rates.write_all(&mut out, at(300_001));
        let both = written(&mut out);
        assert_eq!(both.iter().map(|it| (it.since, it.minute)).collect::<Vec<_>>(), [(10, 13), (14, 15)]);
        assert_eq!(both[1].products.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["q"]);
        // Who stops says how long nothing came.
        rates.write_all(&mut out, at(360_000 + 120_000));
        let [quiet] = &written(&mut out)[..] else { panic!("it is known") };
        assert_eq!((quiet.since, quiet.minute, quiet.all.is_empty()), (16, 18, true));
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
        written(&mut out);
        for n in 3..100 {
            rates.count_reports(at(n), "p0", 1);
            rates.handle_timeout(&mut out, at(n + 1).instant);
            for minute in written(&mut out) {
                rates.handle_written(minute, false);
            }
        }
        assert_eq!(rates.unwritten.len(), UNWRITTEN_MAX);
        assert_eq!(rates.unwritten.back().map(|minute| minute.minute), Some(99));
    }
}
