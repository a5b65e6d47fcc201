//! Look-ups of the data path (the credentials of a handshake, the product of a request): on threads and
//! connections of their own, so that a long list for an operator keeps no device waiting, and a slow disk
//! stops no task of the caller's.
//!
//! To wake a thread costs as much as a look-up from memory. So one is woken when an answer is first waited
//! for, which is after the other look-ups of that turn were queued; it makes all of them, and then their
//! answers go out together. Another thread is woken where many wait. Whether a look-up waits for the disk
//! nobody knows beforehand: so while look-ups come a thread is on guard, looks every [`GUARD`] whether some
//! wait, and takes them.
//!
//! The threads begin with the first look-up: a command that only changes something has none. Limit:
//! [`WAITING_MAX`].

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
    thread::{self, JoinHandle},
    time::Duration,
};

use narrowgate_platform::ports::{PortFuture, StoreError};

use super::{
    error::{OpenError, store_error},
    files::Layout,
    options::SqliteOptions,
    readers::Reader,
    reply::{closed, reply},
};

/// Threads, each with a connection. A look-up takes some 20 µs from memory; one that waits for the disk
/// leaves the others to those behind it.
const THREADS: usize = 4;

/// As long as no more than these wait for each thread that works, no other one is woken for them.
const WAITING_EACH: usize = 32;

/// Look-ups that are answered together at most, so that whoever waits wakes up once for all of them.
const TOGETHER_MAX: usize = 32;

/// How long a look-up, or an answer, waits at most for a thread that waits for the disk.
const GUARD: Duration = Duration::from_millis(3);

/// A guard that saw nothing so many times goes to sleep until it is woken.
const QUIET_ROUNDS: u32 = 50;

/// Look-ups that may wait; a further one fails. The gateway asks for less at a time.
const WAITING_MAX: usize = 4096;

/// Makes a look-up and returns what answers it; without a reader, the answer is that the store is closed.
type Job = Box<dyn FnOnce(Option<&Reader>) -> Answering + Send>;
/// Answers, and returns who is to be woken.
type Answering = Box<dyn FnOnce() -> Option<Waker> + Send>;

/// See the module.
#[derive(Debug)]
pub(super) struct Lookups {
    layout: Layout,
    cache_size: i64,
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    some: Condvar,
}

#[derive(Default)]
struct State {
    /// Each with its number among all.
    jobs: VecDeque<(u64, Job)>,
    /// Of look-ups that were made.
    answers: Vec<Answering>,
    /// Threads that make look-ups, or were woken to make some.
    working: usize,
    /// Threads that were woken and do not know it yet.
    woken: usize,
    /// Threads that sleep, the guard among them.
    asleep: usize,
    /// One of them looks at times whether something waits.
    has_guard: bool,
    /// Look-ups that were queued in all.
    entered: u64,
    closed: bool,
}

impl State {
    /// Whether a thread has to be woken for what waits; it counts as working from here on.
    fn wakes_one(&mut self) -> bool {
        // Where nobody is on guard, an answer must not wait for a thread that waits for the disk either.
        let is_enough = match self.working {
            working if working > 0 && self.has_guard => self.jobs.len() <= working * WAITING_EACH,
            _ => self.jobs.is_empty() && self.answers.is_empty(),
        };
        if is_enough || self.woken > 0 || self.asleep == 0 {
            return false;
        }
        self.woken += 1;
        self.working += 1;
        true
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.lock().jobs.len()).finish_non_exhaustive()
    }
}

impl Lookups {
    pub(super) fn new(layout: &Layout, options: &SqliteOptions) -> Self {
        let (layout, cache_size) = (layout.clone(), options.lookup_cache());
        Self { layout, cache_size, queue: Arc::default(), threads: Mutex::default() }
    }

    /// Queues a look-up at once; it is made when its answer is waited for at the latest. One that is given up
    /// before its turn is not made.
    pub(super) fn look_up<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Reader) -> rusqlite::Result<T> + Send + 'static,
    ) -> PortFuture<'static, Result<T, StoreError>> {
        let (reply, answer) = reply();
        let job = move |reader: Option<&Reader>| -> Answering {
            if !reply.is_waited_for() {
                return Box::new(|| None);
            }
            let found = reader.map(|reader| job(reader).map_err(|error| store_error(&error)));
            Box::new(move || reply.put(found.unwrap_or_else(|| Err(closed()))))
        };
        let sent = self.push(Box::new(job));
        let queue = Arc::clone(&self.queue);
        Box::pin(async move {
            sent?;
            queue.wake();
            answer.await
        })
    }

    fn push(&self, job: Job) -> Result<(), StoreError> {
        let mut state = self.queue.lock();
        if state.closed {
            return Err(closed());
        }
        if state.jobs.len() >= WAITING_MAX {
            return Err(StoreError::Unavailable("too many look-ups wait already".to_owned()));
        }
        self.begin()?;
        state.entered += 1;
        let number = state.entered;
        state.jobs.push_back((number, job));
        Ok(())
    }

    /// Begins the threads, unless they run.
    fn begin(&self) -> Result<(), StoreError> {
        let mut threads = lock(&self.threads);
        while threads.len() < THREADS {
            let queue = Arc::clone(&self.queue);
            let reader = Reader::open(&self.layout, self.cache_size).map_err(|error| unopened(&error));
            let spawned = reader.and_then(|reader| {
                let name = "store-lookup".to_owned();
                let run = move || queue.run(&reader);
                thread::Builder::new().name(name).spawn(run).map_err(|error| {
                    StoreError::Unavailable(format!("a thread for look-ups cannot be started: {error}"))
                })
            });
            match spawned {
                Ok(thread) => threads.push(thread),
                // Fewer do it, more slowly.
                Err(_) if !threads.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fails all that wait, ends the threads and closes their connections.
    pub(super) fn close(&self) {
        let jobs = {
            let mut state = self.queue.lock();
            state.closed = true;
            std::mem::take(&mut state.jobs)
        };
        self.queue.some.notify_all();
        answer(jobs.into_iter().map(|(_, job)| job(None)));
        for thread in lock(&self.threads).drain(..) {
            // Ignored: a look-up that panicked was caught.
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// Works until the queue is closed.
    fn run(&self, reader: &Reader) {
        let mut state = self.lock();
        state.working += 1;
        loop {
            state = self.work(state, reader);
            state.working -= 1;
            state = self.sleep(state);
            if state.closed {
                return;
            }
        }
    }

    /// Makes what waits, and answers it.
    fn work<'a>(&'a self, mut state: MutexGuard<'a, State>, reader: &Reader) -> MutexGuard<'a, State> {
        // Up to which look-up this thread's transaction began after it was queued: it sees what was committed
        // before.
        let mut begun_after = None;
        loop {
            let job = if state.answers.len() < TOGETHER_MAX { state.jobs.pop_front() } else { None };
            let Some((number, job)) = job else {
                if begun_after.take().is_some() {
                    drop(state);
                    reader.end();
                    state = self.lock();
                } else if state.answers.is_empty() {
                    return state;
                } else {
                    state = self.answer(state);
                }
                continue;
            };
            let begins = begun_after.is_none_or(|last| number > last);
            if begins {
                begun_after = Some(state.entered);
            }
            self.wake_for(state);
            if begins {
                reader.end();
                reader.begin();
            }
            // The reply of a job fails when it is dropped; a panic while reading leaves nothing half done.
            let made = catch_unwind(AssertUnwindSafe(|| job(Some(reader))));
            state = self.lock();
            match made {
                Ok(answering) => state.answers.push(answering),
                Err(_) => tracing::error!("a look-up panicked"),
            }
        }
    }

    /// Wakes a thread for what waits, if that is necessary.
    fn wake(&self) {
        self.wake_for(self.lock());
    }

    fn wake_for(&self, mut state: MutexGuard<'_, State>) {
        let wakes = state.wakes_one();
        drop(state);
        if wakes {
            self.some.notify_one();
        }
    }

    fn answer<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let answers = std::mem::take(&mut state.answers);
        drop(state);
        answer(answers);
        self.lock()
    }

    /// Sleeps until there is something to do; this thread counts as working then.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let (mut quiet, mut entered) = (0, state.entered);
        while !state.closed {
            let is_guard = !state.has_guard && quiet < QUIET_ROUNDS;
            state.asleep += 1;
            if is_guard {
                state.has_guard = true;
                state = self.some.wait_timeout(state, GUARD).unwrap_or_else(PoisonError::into_inner).0;
                state.has_guard = false;
            } else {
                state = self.some.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.asleep -= 1;
            if state.woken > 0 {
                state.woken -= 1;
                return state;
            }
            if is_guard && !(state.jobs.is_empty() && state.answers.is_empty()) {
                break;
            }
            quiet = if state.entered == entered && state.working == 0 { quiet + 1 } else { 0 };
            entered = state.entered;
        }
        state.working += 1;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Gives all answers, and then wakes everybody once: who wakes up at the first one finds the others, too.
fn answer(answers: impl IntoIterator<Item = Answering>) {
    let mut wakers: Vec<Waker> = answers.into_iter().filter_map(|answer| answer()).collect();
    wakers.dedup_by(|waker, before| waker.will_wake(before));
    wakers.into_iter().for_each(Waker::wake);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unopened(error: &OpenError) -> StoreError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    StoreError::Unavailable(format!("{error}{cause}"))
}
