//! A result handed from a thread to the future that waits for it; needs no runtime.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use narrowgate_platform::ports::StoreError;

/// A pair: who answers, and who waits.
pub(crate) fn reply<T>() -> (Reply<T>, Answer<T>) {
    let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
    (Reply(Some(Arc::clone(&slot))), Answer(slot))
}

/// Answers once. Dropped without an answer (the writer has ended), the waiting side fails.
pub(crate) struct Reply<T>(Option<Arc<Mutex<Slot<T>>>>);

/// Waits for the answer.
pub(crate) struct Answer<T>(Arc<Mutex<Slot<T>>>);

struct Slot<T> {
    result: Option<Result<T, StoreError>>,
    waker: Option<Waker>,
}

impl<T> Reply<T> {
    /// Gives the answer.
    pub(crate) fn send(mut self, result: Result<T, StoreError>) {
        self.fill(result);
    }

    /// Gives the answer, and returns who is to be woken: for somebody who gives many answers.
    pub(crate) fn put(mut self, result: Result<T, StoreError>) -> Option<Waker> {
        self.take(result)
    }

    /// Whether anybody still waits for the answer.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| Arc::strong_count(slot) > 1)
    }

    fn fill(&mut self, result: Result<T, StoreError>) {
        if let Some(waker) = self.take(result) {
            waker.wake();
        }
    }

    fn take(&mut self, result: Result<T, StoreError>) -> Option<Waker> {
        let slot = self.0.take()?;
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.result = Some(result);
        slot.waker.take()
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.fill(Err(closed()));
    }
}

impl<T> Future for Answer<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// What every call of a closed store returns.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use narrowgate_platform::testing::block_on;

    use super::*;

    #[test]
    fn an_answer_arrives_before_and_after_it_is_waited_for() {
        let (early, answer) = reply();
        early.send(Ok(1));
        assert!(matches!(block_on(answer), Ok(1)));

        let (late, answer) = reply();
        let other = thread::spawn(move || block_on(answer));
        late.send(Ok(2));
        assert!(matches!(other.join().unwrap(), Ok(2)));
    }

    #[test]
    fn a_reply_that_is_dropped_fails_the_waiting_side() {
        let (dropped, answer) = reply::<()>();
        drop(dropped);
        assert!(matches!(block_on(answer), Err(StoreError::Unavailable(_))));
    }
}
