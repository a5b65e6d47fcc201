//! What each source, name or token may do so often.

use std::{
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use narrowgate_platform::rules::rate::{Buckets, Rate, Taken};

/// See the module.
#[derive(Debug)]
pub(crate) struct Limiter<K>(Mutex<Buckets<K>>);

impl<K: Hash + Eq + Copy> Limiter<K> {
    /// So often, of each of at most so many; a further one is not held back.
    pub(crate) fn new(rate: Rate, kept_max: usize) -> Self {
        Self(Mutex::new(Buckets::new(rate, kept_max)))
    }

    /// Counts one.
    ///
    /// # Errors
    /// There are too many; after which time another one may pass.
    pub(crate) fn permit(&self, key: K, now: Instant) -> Result<(), Duration> {
        match lock(&self.0).take(key, now) {
            Taken::Yes => Ok(()),
            Taken::No { wait, .. } => Err(wait),
        }
    }

    /// Does not count one that passed.
    pub(crate) fn give_back(&self, key: K) {
        lock(&self.0).give_back(key);
    }
}

/// What is behind the lock, also after a panic of somebody who held it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
