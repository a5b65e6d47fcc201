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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use narrowgate_platform::{
        ports::{Journal as _, Registry as _, RegistryChanges as _},
        testing::{block_on, store::fixtures::product},
    };

    use super::*;
    use crate::sqlite::tests::open;

    #[test]
    fn long_reads_for_operators_keep_no_look_up_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let readers = store.shared.options.readers;
        let (began, begun) = channel();
        let (end, ended) = channel::<()>();
        let ended = Mutex::new(ended);
        thread::scope(|scope| {
            for _ in 0..readers {
                let (store, began, ended) = (&store, began.clone(), &ended);
                scope.spawn(move || {
                    store.shared.readers.read(|_| {
                        began.send(()).unwrap();
                        lock(ended).recv().unwrap();
                        Ok(())
                    })
                });
            }
            (0..readers).for_each(|_| begun.recv().unwrap());
            block_on(store.credentials("p", "d")).expect("it is answered meanwhile");
            block_on(store.product("p")).expect("and this");
            (0..readers).for_each(|_| end.send(()).unwrap());
        });
    }

    #[test]
    fn a_look_up_that_nobody_waits_for_any_more_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let (enter, entered) = channel();
        let (end, ended) = channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let busy: Vec<_> = (0..THREADS)
            .map(|_| {
                let (enter, ended) = (enter.clone(), Arc::clone(&ended));
                store.shared.lookups.look_up(move |_| {
                    enter.send("busy").unwrap();
                    lock(&ended).recv().unwrap();
                    Ok(())
                })
            })
            .collect();
        (0..THREADS).for_each(|_| assert_eq!(entered.recv().unwrap(), "busy"));
        let look_up = |name: &'static str| {
            let enter = enter.clone();
            store.shared.lookups.look_up(move |_| {
                enter.send(name).unwrap();
                Ok(())
            })
        };
        drop(look_up("given up"));
        let wanted = look_up("wanted");
        (0..THREADS).for_each(|_| end.send(()).unwrap());
        busy.into_iter().for_each(|busy| block_on(busy).unwrap());
        block_on(wanted).unwrap();
        assert_eq!(entered.try_iter().collect::<Vec<_>>(), ["wanted"]);
    }

    #[test]
    fn a_look_up_that_waits_for_the_disk_delays_neither_the_next_ones_nor_their_answers() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        for hanging in 0..THREADS {
            let ends: Vec<_> = (0..hanging).map(|_| channel::<()>()).collect();
            let (ends, ended): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
            let quick = || store.shared.lookups.look_up(|_| Ok(()));
            let mut quick_ones = vec![quick()];
            let mut slow_ones = Vec::new();
            for ended in ended {
                slow_ones.push(store.shared.lookups.look_up(move |_| {
                    ended.recv().unwrap();
                    Ok(())
                }));
                quick_ones.extend([quick(), quick()]);
            }
            quick_ones.into_iter().for_each(|look_up| block_on(look_up).unwrap());
            block_on(quick()).expect("and what comes later");
            ends.iter().for_each(|end| end.send(()).unwrap());
            slow_ones.into_iter().for_each(|look_up| block_on(look_up).unwrap());
        }
    }

    #[test]
    fn an_answer_waits_for_no_other_look_up_also_where_nothing_comes_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        for hanging in 1..THREADS {
            let (end, ended) = channel::<()>();
            let ended = Arc::new(Mutex::new(ended));
            let quick = store.shared.lookups.look_up(|_| Ok(()));
            let slow = |_| {
                let ended = Arc::clone(&ended);
                store.shared.lookups.look_up(move |_| {
                    lock(&ended).recv().unwrap();
                    Ok(())
                })
            };
            let slow: Vec<_> = (0..hanging).map(slow).collect();
            let slow: Vec<_> = slow.into_iter().map(|look_up| thread::spawn(|| block_on(look_up))).collect();
            block_on(quick).unwrap();
            (0..hanging).for_each(|_| end.send(()).unwrap());
            slow.into_iter().for_each(|look_up| look_up.join().unwrap().unwrap());
        }
    }

    #[test]
    fn a_look_up_sees_what_was_committed_before_it_was_queued() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let (enter, entered) = channel();
        let (end, ended) = channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let version = |reader: &Reader| {
            reader.registry().query_row("SELECT count(*) FROM products", [], |row| row.get::<_, i64>(0))
        };
        let reads_and_waits = || {
            let (enter, ended) = (enter.clone(), Arc::clone(&ended));
            store.shared.lookups.look_up(move |reader| {
                let before = version(reader)?;
                enter.send(before).unwrap();
                lock(&ended).recv().unwrap();
                Ok(before == version(reader)?)
            })
        };
        // All threads are in a transaction when a product is created.
        let busy: Vec<_> = (0..THREADS).map(|_| reads_and_waits()).collect();
        let mut busy: Vec<_> = busy.into_iter().map(|look_up| thread::spawn(|| block_on(look_up))).collect();
        (0..THREADS).for_each(|_| assert_eq!(entered.recv().unwrap(), 0));
        block_on(store.create_product(product("p"))).unwrap();
        let after = store.shared.lookups.look_up(version);
        (0..THREADS).for_each(|_| end.send(()).unwrap());
        assert_eq!(block_on(after).unwrap(), 1);
        for busy in busy.drain(..) {
            assert!(busy.join().unwrap().unwrap(), "one look-up sees one moment");
        }
    }

    #[test]
    fn what_waits_when_the_store_is_closed_fails_and_what_panics_harms_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let panics = store.shared.lookups.look_up::<()>(|_| panic!("as the test wants it"));
        assert!(block_on(panics).is_err());
        for _ in 0..2 * THREADS {
            block_on(store.credentials("p", "d")).expect("the threads go on");
        }
        block_on(store.close()).unwrap();
        assert!(block_on(store.credentials("p", "d")).is_err());
    }

    #[test]
    fn more_look_ups_than_may_wait_fail_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let (enter, entered) = channel();
        let (end, ended) = channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let busy = |_| {
            let (enter, ended) = (enter.clone(), Arc::clone(&ended));
            store.shared.lookups.look_up(move |_| {
                enter.send(()).unwrap();
                lock(&ended).recv().unwrap();
                Ok(())
            })
        };
        let busy: Vec<_> = (0..THREADS).map(busy).collect();
        (0..THREADS).for_each(|_| entered.recv().unwrap());
        let look_up = || store.shared.lookups.look_up(|_| Ok(()));
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| look_up()).collect();
        let refused = block_on(look_up()).expect_err("there is no room");
        assert!(refused.to_string().contains("too many look-ups"), "{refused}");
        (0..THREADS).for_each(|_| end.send(()).unwrap());
        busy.into_iter().chain(waiting).for_each(|look_up| block_on(look_up).unwrap());
    }
}
