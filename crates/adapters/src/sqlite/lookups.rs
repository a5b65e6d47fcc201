//! Look-ups of the data path (the credentials of a handshake, the product of a request): on threads and
//! connections of their own, so that a long list for an operator keeps no device waiting, and a slow disk
//! stops no task of the caller's.
//!
//! The threads begin with the first look-up: a command that only changes something has none. Limit:
//! [`WAITING_MAX`].

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
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

/// Look-ups that a thread takes at once. They are answered together, so that whoever waits wakes up once for
/// all of them; not more, because a slow disk delays the first by the last.
const AT_ONCE_MAX: usize = 32;

/// Look-ups that may wait; a further one fails. The gateway asks for less at a time.
const WAITING_MAX: usize = 4096;

/// Makes a look-up and returns what answers it; without a reader, the answer is that the store is closed.
type Job = Box<dyn FnOnce(Option<&Reader>) -> Answering + Send>;
type Answering = Box<dyn FnOnce()>;

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
    waiting: Mutex<Waiting>,
    some: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Threads that have nothing to do.
    idle: usize,
    closed: bool,
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

    /// Queues a look-up at once. One that is given up before its turn is not made.
    pub(super) fn look_up<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Reader) -> rusqlite::Result<T> + Send + 'static,
    ) -> PortFuture<'static, Result<T, StoreError>> {
        let (reply, answer) = reply();
        let job = move |reader: Option<&Reader>| -> Answering {
            if !reply.is_waited_for() {
                return Box::new(|| {});
            }
            let found = reader.map(|reader| job(reader).map_err(|error| store_error(&error)));
            Box::new(move || reply.send(found.unwrap_or_else(|| Err(closed()))))
        };
        let sent = self.push(Box::new(job));
        Box::pin(async move {
            sent?;
            answer.await
        })
    }

    fn push(&self, job: Job) -> Result<(), StoreError> {
        let mut waiting = self.queue.lock();
        if waiting.closed {
            return Err(closed());
        }
        if waiting.jobs.len() >= WAITING_MAX {
            return Err(StoreError::Unavailable("too many look-ups wait already".to_owned()));
        }
        self.begin()?;
        waiting.jobs.push_back(job);
        let has_idle = waiting.idle > 0;
        drop(waiting);
        if has_idle {
            self.queue.some.notify_one();
        }
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
            let mut waiting = self.queue.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.jobs)
        };
        self.queue.some.notify_all();
        jobs.into_iter().for_each(|job| job(None)());
        for thread in lock(&self.threads).drain(..) {
            // Ignored: a look-up that panicked was caught.
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// Works until the queue is closed.
    fn run(&self, reader: &Reader) {
        let mut jobs = Vec::new();
        while self.next(&mut jobs) {
            // The reply of a job fails when it is dropped; a panic while reading leaves nothing half done.
            let made = jobs.drain(..).map(|job| catch_unwind(AssertUnwindSafe(|| job(Some(reader)))));
            for answering in made.collect::<Vec<_>>() {
                match answering {
                    Ok(answer) => answer(),
                    Err(_) => tracing::error!("a look-up panicked"),
                }
            }
        }
    }

    /// Waits for jobs and takes this thread's part of them; `false` at the end.
    fn next(&self, jobs: &mut Vec<Job>) -> bool {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() && !waiting.closed {
            waiting.idle += 1;
            waiting = self.some.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
        let part = waiting.jobs.len().div_ceil(THREADS).min(AT_ONCE_MAX);
        jobs.extend(waiting.jobs.drain(..part));
        !waiting.closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
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
        ports::{Journal as _, Registry as _},
        testing::block_on,
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
