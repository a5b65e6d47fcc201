//! Invalid points that a batch is stored without, because it says so (`skipInvalidMeasurepoints`).

use crate::{
    device_api::{Refusal, Warning, envelope::MessageFault},
    model::{log::Reason, thing_model},
};

/// How many there are, and what is wrong with the first.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    count: usize,
    first: String,
}

impl Skipped {
    pub(super) fn add(&mut self, fault: &thing_model::Fault, hint: impl FnOnce() -> Option<String>) {
        self.count += 1;
        if self.count == 1 {
            let hint = hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            self.first = format!("{fault}{hint}");
        }
    }

    /// Nothing else is left of the batch: its device is answered 200, and only the log can tell.
    pub(super) fn refusal(&self) -> Refusal {
        let detail = format!(
            "nothing was stored: the batch skips invalid points, and it has no other; {}",
            self.words()
        );
        Refusal::new(Reason::ModelInvalid, detail).with_number(MessageFault::MODEL)
    }

    /// The rest of the batch is stored.
    pub(super) fn warning(&self) -> Option<Warning> {
        let detail = || format!("stored without its invalid points; {}", self.words());
        (self.count > 0).then(|| Warning { reason: Reason::ModelInvalid, detail: detail() })
    }

    fn words(&self) -> String {
        match self.count {
            1 => format!("left out: {}", self.first),
            count => format!("left out: {count} points, the first is {}", self.first),
        }
    }
}
