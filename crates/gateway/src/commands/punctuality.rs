//! How often devices fetched their commands as it was expected, as far as this process has seen it.

use narrowgate_platform::model::command::ExpectedOutcome;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Punctuality {
    within: u64,
    early: u64,
    late: u64,
}

impl Punctuality {
    pub(super) fn add(&mut self, outcome: ExpectedOutcome) {
        *match outcome {
            ExpectedOutcome::Within => &mut self.within,
            ExpectedOutcome::Early => &mut self.early,
            ExpectedOutcome::Late => &mut self.late,
        } += 1;
    }

    /// Each with its name.
    pub(crate) fn labelled(self) -> impl Iterator<Item = (&'static str, u64)> {
        use ExpectedOutcome::{Early, Late, Within};
        [(Within, self.within), (Early, self.early), (Late, self.late)]
            .into_iter()
            .map(|(outcome, count)| (outcome.name(), count))
    }
}
