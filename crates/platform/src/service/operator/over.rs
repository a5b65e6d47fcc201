//! What a change means for connected devices is done also where its caller does not wait for the outcome.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use super::Operator;
use crate::ports::{LiveSessions, PortFuture};

/// Does something when a verb is over, unless the verb failed. A caller who goes in the middle (a command
/// that is interrupted) takes nothing back: the change is made all the same, and so is this.
pub(super) struct WhenOver<F: FnMut()> {
    act: F,
    is_due: bool,
}

impl<F: FnMut()> WhenOver<F> {
    pub(super) fn new(act: F) -> Self {
        Self { act, is_due: true }
    }

    /// The verb is over, with this outcome.
    pub(super) fn decide<T, E>(mut self, outcome: Result<T, E>) -> Result<T, E> {
        self.is_due = outcome.is_ok();
        outcome
    }
}

impl<F: FnMut()> Drop for WhenOver<F> {
    fn drop(&mut self) {
        if self.is_due {
            (self.act)();
        }
    }
}

/// A change, with all that its outcome means. Where its caller goes before the store has answered (a request
/// that takes too long, a client that is gone), the sessions see it to its end: [`LiveSessions::finish`].
pub(super) struct ToItsEnd<'a, T: Send + 'static> {
    /// `None` once it is over.
    change: Option<PortFuture<'static, T>>,
    sessions: &'a dyn LiveSessions,
}

impl Operator {
    /// Makes a change whose outcome is told, whether or not the caller waits for it.
    pub(super) fn to_its_end<T: Send + 'static>(
        &self,
        change: impl Future<Output = T> + Send + 'static,
    ) -> ToItsEnd<'_, T> {
        ToItsEnd { change: Some(Box::pin(change)), sessions: &*self.sessions }
    }
}

impl<T: Send + 'static> Future for ToItsEnd<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that one that panics is not polled again.
        let Some(mut change) = self.change.take() else { return Poll::Pending };
        let polled = change.as_mut().poll(context);
        if polled.is_pending() {
            self.change = Some(change);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<'_, T> {
    fn drop(&mut self) {
        if let Some(change) = self.change.take() {
            self.sessions.finish(Box::pin(async move { drop(change.await) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_who_goes_in_the_middle_keeps_no_session_open() {
        let mut closed = 0;
        drop(WhenOver::new(|| closed += 1));
        assert_eq!(closed, 1, "the outcome is not waited for");
        let done: Result<_, ()> = WhenOver::new(|| closed += 1).decide(Ok(7));
        assert_eq!((done, closed), (Ok(7), 2));
        let failed: Result<(), _> = WhenOver::new(|| closed += 1).decide(Err("no such device"));
        assert_eq!((failed, closed), (Err("no such device"), 2));
    }
}
