//! How often something may happen: token buckets under a clock that is given, many of them in bounded memory.
//!
//! A bucket is kept as the moment at which it is full again. One that is full is not kept at all, so only
//! those that take something cost memory, and only until they have rested.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

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
    by_key: HashMap<K, Kept, RandomState>,
    /// All keys of the table, in the order in which they are looked at: whether their bucket is full again.
    round: VecDeque<K>,
    /// Tokens that were given without a bucket.
    pub unkept: u64,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    full_at: Instant,
    /// Somebody was refused since a token was taken.
    pauses: bool,
}

/// Buckets that are looked at for each wish: more than one, so that the table shrinks while it is used.
const LOOKED_AT: usize = 2;

impl<K: Hash + Eq + Copy> Buckets<K> {
    /// A table without buckets: all are full.
    pub fn new(rate: Rate, kept_max: usize) -> Self {
        Self { rate, kept_max, by_key: HashMap::default(), round: VecDeque::new(), unkept: 0 }
    }

    /// Takes a token.
    pub fn take(&mut self, key: K, now: Instant) -> Taken {
        self.forget_full(now);
        let kept = self.by_key.get(&key).copied();
        match self.rate.take(kept.map(|kept| kept.full_at), now) {
            Ok(full_at) if kept.is_some() => {
                self.by_key.insert(key, Kept { full_at, pauses: false });
                Taken::Yes
            }
            Ok(full_at) => {
                if self.by_key.len() < self.kept_max {
                    self.by_key.insert(key, Kept { full_at, pauses: false });
                    self.round.push_back(key);
                } else {
                    self.unkept += 1;
                }
                Taken::Yes
            }
            Err(at) => {
                let pauses = self.by_key.get_mut(&key).map(|kept| std::mem::replace(&mut kept.pauses, true));
                let wait = at.saturating_duration_since(now);
                Taken::No { wait, is_first: pauses == Some(false) }
            }
        }
    }

    /// Whether a wish for a token would be refused.
    pub fn holds_back(&self, key: K, now: Instant) -> bool {
        self.by_key.get(&key).is_some_and(|kept| self.rate.take(Some(kept.full_at), now).is_err())
    }

    /// Whether this bucket has a token, and so many more are left.
    pub fn has_more_than(&self, key: K, left: u32, now: Instant) -> bool {
        let full_at = self.by_key.get(&key).map(|kept| kept.full_at);
        Bucket { rate: self.rate, full_at }.has_more_than(left, now)
    }

    /// Buckets that are kept, those that are full by now among them.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    fn forget_full(&mut self, now: Instant) {
        for _ in 0..LOOKED_AT {
            let Some(key) = self.round.pop_front() else { break };
            if self.by_key.get(&key).is_some_and(|kept| kept.full_at > now) {
                self.round.push_back(key);
            } else {
                self.by_key.remove(&key);
            }
        }
        if self.by_key.is_empty() && self.by_key.capacity() > 4096 {
            // After a storm: free the memory.
            self.by_key.shrink_to_fit();
            self.round.shrink_to_fit();
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
            assert!(buckets.len() <= 1000 && buckets.round.len() == buckets.len());
        }
        assert!(buckets.unkept > 0);
        // A slower stream, and the table is as small as what is not full.
        let later = start + 10_000 * SECOND;
        for key in 0..2000 {
            buckets.take(key, later + key as u32 * SECOND);
        }
        assert!(buckets.len() <= 21, "{} are kept", buckets.len());
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
