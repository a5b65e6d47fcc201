//! Threads that wait for the disk.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use narrowgate_platform::ports::{PortFuture, StoreError};

use crate::reply::reply;

/// Jobs that wait; more are refused. A device has one block on its way at a time.
const WAITING_MAX: usize = 4096;

type Job = Box<dyn FnOnce() + Send>;

/// They begin with the first job, and end when this is dropped.
pub(super) struct Threads {
    name: &'static str,
    count: usize,
    queue: Arc<Queue>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    some: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Threads {
    /// At most so many of this name.
    pub(super) fn new(name: &'static str, count: usize) -> Self {
        Self { name, count, queue: Arc::default(), running: Mutex::default() }
    }

    /// Has one of them do a job.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> PortFuture<'static, Result<T, StoreError>> {
        let (reply, answer) = reply();
        let job = move || {
            if reply.is_waited_for() {
                reply.send(job());
            }
        };
        let sent = self.push(Box::new(job));
        Box::pin(async move {
            sent?;
            answer.await
        })
    }

    fn push(&self, job: Job) -> Result<(), StoreError> {
        self.begin()?;
        let mut jobs = self.queue.lock();
        if jobs.waiting.len() >= WAITING_MAX {
            return Err(StoreError::Unavailable(
                "too much work with images of firmware waits already".to_owned(),
            ));
        }
        jobs.waiting.push_back(job);
        drop(jobs);
        self.queue.some.notify_one();
        Ok(())
    }

    fn begin(&self) -> Result<(), StoreError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.len() < self.count {
            let queue = Arc::clone(&self.queue);
            let spawned = thread::Builder::new().name(self.name.to_owned()).spawn(move || queue.work());
            match spawned {
                Ok(thread) => running.push(thread),
                // Fewer do it, more slowly.
                Err(_) if !running.is_empty() => break,
                Err(error) => {
                    let text = format!("a thread for images cannot be started: {error}");
                    return Err(StoreError::Unavailable(text));
                }
            }
        }
        Ok(())
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut jobs = self.lock();
            let job = loop {
                if let Some(job) = jobs.waiting.pop_front() {
                    break job;
                }
                if jobs.closed {
                    return;
                }
                jobs = self.some.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            };
            drop(jobs);
            // A job that panics fails its own caller, whose reply is dropped.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                tracing::error!("a job with an image of firmware panicked");
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.some.notify_all();
        for thread in self.running.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Ignored: a job that panicked was caught.
            let _ = thread.join();
        }
    }
}
