//! Futures that are polled together. All have one waker: whoever completes many of them at once wakes the
//! task once, and finds that out by comparing wakers.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

/// See the module. Each wake-up polls all of them, so they are meant to be some hundred at most.
pub(super) struct Together<K, T> {
    pending: Vec<(K, Pending<T>)>,
    ready: VecDeque<T>,
    /// Some were never polled.
    has_new: bool,
    bell: Arc<Bell>,
    waker: Waker,
}

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The waker of all.
#[derive(Debug, Default)]
struct Bell(Mutex<Rung>);

#[derive(Debug, Default)]
struct Rung {
    is_rung: bool,
    /// The task that polls them, while it waits.
    waiting: Option<Waker>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waiting = {
            let mut rung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            rung.is_rung = true;
            rung.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl Bell {
    /// Whether it was rung since; if not, it will wake this task.
    fn poll(&self, context: &Context<'_>) -> bool {
        let mut rung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_rung = std::mem::take(&mut rung.is_rung);
        if !is_rung && !rung.waiting.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            rung.waiting = Some(context.waker().clone());
        }
        is_rung
    }
}

impl<K: PartialEq, T> Together<K, T> {
    pub(super) fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        Self { pending: Vec::new(), ready: VecDeque::new(), has_new: false, bell, waker }
    }

    /// Adds one. It is polled with the next [`poll`](Self::poll), which has to follow.
    pub(super) fn push(&mut self, key: K, future: impl Future<Output = T> + Send + 'static) {
        self.pending.push((key, Box::pin(future)));
        self.has_new = true;
    }

    /// Drops the one of this key, if it is not complete.
    pub(super) fn remove(&mut self, key: &K) {
        self.pending.retain(|(other, _)| other != key);
    }

    /// The next one that is complete. `None`: the task is woken when there is one.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Option<T> {
        while self.ready.is_empty() {
            if !std::mem::take(&mut self.has_new) && !self.bell.poll(context) {
                return None;
            }
            self.poll_all();
        }
        self.ready.pop_front()
    }

    fn poll_all(&mut self) {
        let mut context = Context::from_waker(&self.waker);
        let ready = &mut self.ready;
        self.pending.retain_mut(|(_, future)| match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => {
                ready.push_back(result);
                false
            }
            Poll::Pending => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn many_that_complete_between_two_polls_wake_the_task_once_and_come_in_their_order() {
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&counter));
        let context = Context::from_waker(&waker);
        let mut together = Together::new();
        let ends: Vec<_> = (0..5)
            .map(|_| {
                let (end, ended) = oneshot::channel::<u32>();
                together.push((), ended);
                end
            })
            .collect();
        assert!(together.poll(&context).is_none());
        for (number, end) in ends.into_iter().enumerate().rev() {
            end.send(number as u32).unwrap();
        }
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        let all: Vec<_> = std::iter::from_fn(|| together.poll(&context)).map(Result::unwrap).collect();
        assert_eq!(all, [0, 1, 2, 3, 4]);
        together.push((), async { Ok(5) });
        assert_eq!(together.poll(&context), Some(Ok(5)), "one that is complete at once");
        assert!(together.poll(&context).is_none());
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn one_that_is_dropped_is_never_complete() {
        let context = Context::from_waker(Waker::noop());
        let mut together = Together::new();
        let (ends, ended): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel::<u32>()).unzip();
        for (number, ended) in ended.into_iter().enumerate() {
            together.push(number, ended);
        }
        assert!(together.poll(&context).is_none());
        together.remove(&1);
        assert!(ends[1].is_closed());
        for (number, end) in ends.into_iter().enumerate() {
            assert_eq!(end.send(number as u32).is_ok(), number != 1);
        }
        let all: Vec<_> = std::iter::from_fn(|| together.poll(&context)).map(Result::unwrap).collect();
        assert_eq!(all, [0, 2]);
    }
}
