//! What a change means for connected devices is done also where its caller does not wait for the outcome.

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
