//! How often something may happen: token buckets under a clock that is given, many of them in bounded memory.
//!
//! A bucket is kept as the moment at which it is full again. One that is full is not kept at all, so only
//! those that take something cost memory, and only until they have rested: 13 to 18 bytes and the key, of
//! which an index in a hash table is 5 to 10. The rest lies in pages, so that a table that grows copies none.

use std::{
    hash::{BuildHasher, Hash},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// So many at once, and one more in each such time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The time in which one token comes back.
    pub every: Duration,
    /// Tokens in a full bucket; at least 1.
    pub burst: u32,
}

impl Rate {
    /// Takes a token of a bucket that is full again at this moment (`None`, or a moment that has passed: it
    /// is full); returns when it is full again then.
    ///
    /// # Errors
    /// There is none. The error is when there will be one.
    pub fn take(self, full_at: Option<Instant>, now: Instant) -> Result<Instant, Instant> {
        let full_at = full_at.map_or(now, |at| at.max(now)) + self.every;
        let room = self.every * self.burst;
        if full_at - now <= room { Ok(full_at) } else { Err(full_at - room) }
    }
}

/// One bucket by itself, full at first.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    rate: Rate,
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        Self { rate, full_at: None }
    }

    /// Whether there is a token, and so many more are left.
    pub fn has_more_than(&self, left: u32, now: Instant) -> bool {
        let rate = Rate { burst: self.rate.burst.saturating_sub(left), ..self.rate };
        rate.burst > 0 && rate.take(self.full_at, now).is_ok()
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let taken = self.rate.take(self.full_at, now);
        self.full_at = taken.ok().or(self.full_at);
        taken.is_ok()
    }
}

/// Permits one line of the log in each such time, and counts those that it leaves out.
#[derive(Debug, Clone, Copy)]
pub struct Seldom {
    every: Duration,
    last: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    /// One line in each such time.
    pub fn new(every: Duration) -> Self {
        Self { every, last: None, left_out: 0 }
    }

    /// Whether a line may be written now; how many were left out since the last one.
    pub fn permit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

/// What became of a wish for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is taken, or the bucket has no room in the table, and nothing holds it back.
    Yes,
    /// There is none.
    No {
        /// From now on until there is one.
        wait: Duration,
        /// Whether this is the first in a pause: the last one before it was taken.
        is_first: bool,
    },
}

/// Buckets by key, in a table that is bounded. Where it has no room, a bucket that is not in it yet is not
/// kept: nothing holds its owner back, and [`Buckets::unkept`] counts that.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    kept_max: usize,
    /// Times are kept as nanoseconds from here, the first wish: half the size of an `Instant`.
    base: Option<Instant>,
    /// In no order that matters; all pages but the last are full.
    pages: Vec<Vec<Kept<K>>>,
    /// The place of each in the pages.
    by_key: HashTable<u32>,
    hasher: RandomState,
    /// Which was looked at last, whether it is full again; the one before it follows.
    hand: usize,
    /// Tokens that were given without a bucket.
    pub unkept: u64,
}

/// A bucket. There is one for each device that came of late.
#[derive(Debug, Clone, Copy)]
struct Kept<K> {
    key: K,
    /// When it is full, in nanoseconds, times two; and 1 if somebody was refused since a token was taken.
    full: u64,
}

const _: () = assert!(size_of::<Kept<u64>>() <= 16);

/// Buckets that are looked at for each wish: more than one, so that the table shrinks while it is used.
const LOOKED_AT: usize = 2;
/// Buckets in a page.
const PAGE: usize = 1024;
/// A table of fewer buckets keeps its memory.
const SMALL: usize = 4096;

impl<K> Kept<K> {
    fn full_ns(&self) -> u64 {
        self.full >> 1
    }
}

/// When a bucket is full, as it is kept, and nobody was refused since.
fn unrefused(base: Instant, full_at: Instant) -> u64 {
    // 2^63 nanoseconds are 292 years.
    (full_at.saturating_duration_since(base).as_nanos() as u64) << 1
}

impl<K: Hash + Eq + Copy> Buckets<K> {
    /// A table without buckets: all are full.
    pub fn new(rate: Rate, kept_max: usize) -> Self {
        Self {
            rate,
            kept_max,
            base: None,
            pages: Vec::new(),
            by_key: HashTable::new(),
            hasher: RandomState::default(),
            hand: 0,
            unkept: 0,
        }
    }

    /// Takes a token.
    pub fn take(&mut self, key: K, now: Instant) -> Taken {
        self.forget_full(now, LOOKED_AT);
        let base = *self.base.get_or_insert(now);
        let hash = self.hasher.hash_one(key);
        let rate = self.rate;
        let Some(place) = self.place_of(hash, key) else {
            match rate.take(None, now) {
                Ok(full_at) if self.len() < self.kept_max => {
                    self.insert(hash, Kept { key, full: unrefused(base, full_at) });
                }
                Ok(_) => self.unkept += 1,
                // A bucket without any token.
                Err(at) => return Taken::No { wait: at.saturating_duration_since(now), is_first: false },
            }
            return Taken::Yes;
        };
        let kept = self.at_mut(place);
        match rate.take(Some(base + Duration::from_nanos(kept.full_ns())), now) {
            Ok(full_at) => {
                kept.full = unrefused(base, full_at);
                Taken::Yes
            }
            Err(at) => {
                let is_first = kept.full & 1 == 0;
                kept.full |= 1;
                Taken::No { wait: at.saturating_duration_since(now), is_first }
            }
        }
    }

    /// Gives a token back that was not used; nothing where the bucket is full, or is not kept.
    pub fn give_back(&mut self, key: K) {
        // At most a day.
        let every_ns = u64::try_from(self.rate.every.as_nanos()).unwrap_or(u64::MAX);
        if let Some(place) = self.place_of(self.hasher.hash_one(key), key) {
            let kept = self.at_mut(place);
            kept.full = kept.full_ns().saturating_sub(every_ns) << 1;
        }
    }

    /// Whether a wish for a token would be refused.
    pub fn holds_back(&self, key: K, now: Instant) -> bool {
        self.full_at(key).is_some_and(|full_at| self.rate.take(Some(full_at), now).is_err())
    }

    /// Whether this bucket has a token, and so many more are left.
    pub fn has_more_than(&self, key: K, left: u32, now: Instant) -> bool {
        Bucket { rate: self.rate, full_at: self.full_at(key) }.has_more_than(left, now)
    }

    /// When a bucket that is kept is full.
    fn full_at(&self, key: K) -> Option<Instant> {
        let place = self.place_of(self.hasher.hash_one(key), key)?;
        Some(self.base? + Duration::from_nanos(self.at(place).full_ns()))
    }

    /// Buckets that are kept, those that are full by now among them.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Looks at so many buckets, and forgets those that are full again. Each wish does that for a few; who
    /// calls this now and then has no full ones kept where no wishes come any more.
    pub fn forget_full(&mut self, now: Instant, looked_at: usize) {
        let Some(base) = self.base else { return };
        let now_ns = now.saturating_duration_since(base).as_nanos() as u64;
        for _ in 0..looked_at.min(self.len()) {
            // Downwards: what takes the place of one that goes was looked at, or is new.
            self.hand = if self.hand == 0 { self.len() } else { self.hand.min(self.len()) } - 1;
            if self.at(self.hand).full_ns() <= now_ns {
                self.remove(self.hand);
            }
        }
    }

    fn at(&self, place: usize) -> &Kept<K> {
        &self.pages[place / PAGE][place % PAGE]
    }

    fn at_mut(&mut self, place: usize) -> &mut Kept<K> {
        &mut self.pages[place / PAGE][place % PAGE]
    }

    fn place_of(&self, hash: u64, key: K) -> Option<usize> {
        self.by_key.find(hash, |&place| self.at(place as usize).key == key).map(|&place| place as usize)
    }

    fn insert(&mut self, hash: u64, kept: Kept<K>) {
        let place = self.len();
        if place == self.pages.len() * PAGE {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        if let Some(last) = self.pages.last_mut() {
            last.push(kept);
        }
        let Self { pages, hasher, .. } = self;
        let rehash = |&other: &u32| hasher.hash_one(pages[other as usize / PAGE][other as usize % PAGE].key);
        // `kept_max` is far below 2^32.
        self.by_key.insert_unique(hash, place as u32, rehash);
    }

    /// Removes a bucket; the last one takes its place.
    fn remove(&mut self, place: usize) {
        let hash = self.hasher.hash_one(self.at(place).key);
        if let Ok(entry) = self.by_key.find_entry(hash, |&other| other as usize == place) {
            entry.remove();
        }
        let Some(last) = self.pages.last_mut().and_then(Vec::pop) else { return };
        // What is left of the index is one fewer: its length is the place that the last bucket had.
        let last_place = self.by_key.len();
        if last_place != place {
            let hash = self.hasher.hash_one(last.key);
            if let Some(moved) = self.by_key.find_mut(hash, |&other| other as usize == last_place) {
                *moved = place as u32;
            }
            *self.at_mut(place) = last;
        }
        self.pages.pop_if(|page| page.is_empty());
        self.shrink();
    }

    /// After a storm: frees the memory of the index.
    fn shrink(&mut self) {
        if self.by_key.capacity() > SMALL && self.by_key.len() < self.by_key.capacity() / 8 {
            let Self { pages, hasher, .. } = self;
            let rehash =
                |&other: &u32| hasher.hash_one(pages[other as usize / PAGE][other as usize % PAGE].key);
            self.by_key.shrink_to(self.by_key.len() * 2, rehash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RATE: Rate = Rate { every: Duration::from_secs(10), burst: 20 };

    #[expect(
        clippy::disallowed_methods,
        reason = "an instant can be made in no other way; the tests count from it"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn taken(buckets: &mut Buckets<u64>, key: u64, now: Instant, wishes: usize) -> usize {
        (0..wishes).filter(|_| buckets.take(key, now) == Taken::Yes).count()
    }

    fn in_pages(buckets: &Buckets<u64>) -> usize {
        buckets.pages.iter().map(Vec::len).sum()
    }

    #[test]
    fn a_burst_is_there_at_once_and_one_token_comes_back_at_a_time() {
        let mut buckets = Buckets::new(RATE, 100);
        let start = start();
        assert_eq!(taken(&mut buckets, 1, start, 1000), 20);
        assert_eq!(taken(&mut buckets, 2, start, 1), 1, "of another key");
        assert_eq!(taken(&mut buckets, 1, start + 10 * SECOND - Duration::from_millis(1), 5), 0);
        assert_eq!(taken(&mut buckets, 1, start + 10 * SECOND, 5), 1);
        assert_eq!(taken(&mut buckets, 1, start + 40 * SECOND, 5), 3);
        assert_eq!(taken(&mut buckets, 1, start + 10_000 * SECOND, 100), 20, "and no more than a burst");
    }

    #[test]
    fn a_token_that_is_given_back_can_be_taken_again() {
        let (start, mut buckets) = (start(), Buckets::new(RATE, 100));
        buckets.give_back(1);
        assert_eq!(taken(&mut buckets, 1, start, 100), 20);
        for _ in 0..3 {
            buckets.give_back(1);
        }
        assert_eq!(taken(&mut buckets, 1, start, 100), 3);
        buckets.give_back(2);
        assert_eq!(taken(&mut buckets, 2, start, 100), 20, "no more than a burst");
    }

    #[test]
    fn a_bucket_by_itself_can_keep_some_for_others() {
        let (start, mut bucket) = (start(), Bucket::new(RATE));
        let above_half = (0..100).filter(|_| bucket.has_more_than(10, start) && bucket.take(start)).count();
        assert_eq!(above_half, 10);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), 10);
        assert!(!bucket.has_more_than(10, start + 100 * SECOND), "ten are there, and none above");
        assert!(bucket.has_more_than(10, start + 110 * SECOND));
        assert!(!Bucket::new(RATE).has_more_than(20, start));
    }

    #[test]
    fn one_of_many_buckets_can_keep_some_for_others() {
        let (start, mut buckets) = (start(), Buckets::new(RATE, 100));
        let mut above_half = || buckets.has_more_than(1, 10, start) && buckets.take(1, start) == Taken::Yes;
        assert_eq!((0..100).filter(|_| above_half()).count(), 10);
        assert!(buckets.has_more_than(1, 9, start) && buckets.has_more_than(2, 10, start));
        assert_eq!(taken(&mut buckets, 1, start, 100), 10);
        assert!(!buckets.has_more_than(1, 0, start) && !buckets.has_more_than(2, 20, start));
    }

    #[test]
    fn a_line_that_comes_often_is_written_once_in_its_time_with_the_number_of_the_others() {
        let (start, mut line) = (start(), Seldom::new(SECOND));
        assert_eq!(line.permit(start), Some(0));
        for ms in 1..1000 {
            assert_eq!(line.permit(start + Duration::from_millis(ms)), None);
        }
        assert_eq!(line.permit(start + SECOND), Some(999));
        assert_eq!(line.permit(start + 3 * SECOND), Some(0));
    }

    #[test]
    fn a_pause_says_once_that_it_begins_and_always_when_it_ends() {
        let mut buckets = Buckets::new(RATE, 100);
        let start = start();
        taken(&mut buckets, 1, start, 20);
        let wish = |buckets: &mut Buckets<u64>, seconds| buckets.take(1, start + seconds * SECOND);
        assert_eq!(wish(&mut buckets, 3), Taken::No { wait: 7 * SECOND, is_first: true });
        assert_eq!(wish(&mut buckets, 4), Taken::No { wait: 6 * SECOND, is_first: false });
        assert_eq!(wish(&mut buckets, 10), Taken::Yes);
        assert_eq!(wish(&mut buckets, 11), Taken::No { wait: 9 * SECOND, is_first: true });
    }

    #[test]
    fn a_million_buckets_cost_nothing_once_they_are_full_again() {
        let mut buckets = Buckets::new(RATE, 1000);
        let start = start();
        for key in 0..1_000_000 {
            // A thousand a second, each once.
            let now = start + Duration::from_millis(key);
            assert_eq!(buckets.take(key % 100_000, now), Taken::Yes);
            assert!(buckets.len() <= 1000 && in_pages(&buckets) == buckets.len());
        }
        assert!(buckets.unkept > 0);
        // A slower stream, and the table is as small as what is not full.
        let later = start + 10_000 * SECOND;
        for key in 0..2000 {
            buckets.take(key, later + key as u32 * SECOND);
        }
        assert!(buckets.len() <= 21, "{} are kept", buckets.len());
    }

    /// A bucket that takes the place of another is found, has its own tokens, and is looked at in its turn.
    #[test]
    fn the_table_does_what_a_map_does_while_others_go() {
        let mut buckets = Buckets::new(RATE, 1 << 20);
        let start = start();
        let mut model = std::collections::BTreeMap::<u64, Instant>::new();
        for step in 0..100_000_u64 {
            let now = start + Duration::from_millis(step * 3);
            // A few come all the time, and most seldom.
            let seldom = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50;
            let key = if step % 4 == 0 { step / 4 % 50 } else { seldom };
            let expected = RATE.take(model.get(&key).copied(), now);
            model.insert(key, expected.unwrap_or_else(|_| model[&key]));
            assert_eq!(buckets.take(key, now) == Taken::Yes, expected.is_ok(), "{key} at {step}");
            assert_eq!(buckets.holds_back(key, now), RATE.take(Some(model[&key]), now).is_err());
            assert_eq!(in_pages(&buckets), buckets.len());
        }
        assert!((3000..8000).contains(&buckets.len()), "{} are kept", buckets.len());
    }

    #[test]
    fn what_a_storm_left_goes_without_another_wish_and_its_memory_is_freed() {
        let mut buckets = Buckets::new(RATE, 1 << 20);
        let start = start();
        for key in 0..100_000 {
            buckets.take(key, start);
        }
        let bytes = |buckets: &Buckets<u64>| {
            // The index has a byte more for each entry, and an eighth of them is free.
            buckets.by_key.capacity() * 8 / 7 * 5 + buckets.pages.len() * PAGE * size_of::<Kept<u64>>()
        };
        assert!(bytes(&buckets) <= 24 * 100_000, "{} bytes", bytes(&buckets));
        buckets.forget_full(start + 9 * SECOND, 1_000_000);
        assert_eq!(buckets.len(), 100_000, "none is full");
        let later = start + 10 * SECOND;
        for _ in 0..1000 {
            buckets.forget_full(later, 128);
        }
        assert!(buckets.is_empty() && bytes(&buckets) < 100_000, "{} bytes", bytes(&buckets));
        assert_eq!(taken(&mut buckets, 7, later, 100), 20);
    }

    /// Who fills the table frees nobody who is held back.
    #[test]
    fn a_full_table_holds_back_whom_it_knows_and_nobody_else() {
        let mut buckets = Buckets::new(RATE, 10);
        let start = start();
        taken(&mut buckets, 0, start, 20);
        for key in 1..1000 {
            assert_eq!(buckets.take(key, start), Taken::Yes);
        }
        assert_eq!((buckets.len(), buckets.unkept), (10, 990));
        assert_eq!(taken(&mut buckets, 0, start, 5), 0);
        assert_eq!(taken(&mut buckets, 5000, start, 50), 50, "there is no room to count it");
    }
}
