//! What the audit log says of a job: an entry of the whole, and where it is of no unit, one of each
//! organisation unit whose devices it looks at. So those of a unit see what was done in it, whoever asked.
//!
//! All of them are noted before a device of theirs is changed: where the server ends in the middle, each is
//! an entry which says that it is not known what was done.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use narrowgate_api::{audit::AuditOutcome, job::JobState, problem::Problem};
use narrowgate_platform::service::{Deed, Job, Noted, Operator};

/// What the entry of the whole says of a list: how many devices it names. It is no affair of a unit how many
/// there are in others.
pub(super) const DEVICES: &str = "devices";

/// What was done, was so already, and was not done.
pub(super) type Counts = [u64; 3];

/// See the module.
pub(super) struct Entries {
    operator: Operator,
    deed: Deed,
    /// What all of them say, those of units without [`DEVICES`].
    detail: BTreeMap<String, String>,
    whole: Noted,
    units: Mutex<BTreeMap<String, (Noted, Counts)>>,
}

impl Entries {
    /// Notes what is about to be done.
    ///
    /// # Errors
    /// The log cannot be written: it must not be done.
    pub(super) async fn begin(
        operator: Operator,
        deed: Deed,
        detail: BTreeMap<String, String>,
    ) -> Result<Self, Problem> {
        let whole = operator.note_deed(deed.clone()).await?;
        Ok(Self { operator, deed, detail, whole, units: Mutex::default() })
    }

    /// Whether all devices are of one unit, which the entry of the whole names.
    pub(super) fn is_of_one(&self) -> bool {
        self.deed.ou.is_some()
    }

    /// Notes that devices of this unit are about to be changed.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(super) async fn note(&self, ou: &str) -> Result<(), Problem> {
        if self.is_of_one() || self.units().contains_key(ou) {
            return Ok(());
        }
        let noted = self.operator.note_deed(Deed { ou: Some(ou.to_owned()), ..self.deed.clone() }).await?;
        self.units().insert(ou.to_owned(), (noted, Counts::default()));
        Ok(())
    }

    /// Counts a device of a unit.
    pub(super) fn count(&self, ou: &str, which: Which) {
        if let Some((_, counts)) = self.units().get_mut(ou) {
            let [done, unchanged, failed] = counts;
            *match which {
                Which::Done => done,
                Which::Unchanged => unchanged,
                Which::Failed => failed,
            } += 1;
        }
    }

    /// Appends them, that of the whole job last.
    pub(super) async fn end(self, state: JobState, outcome: &Result<(), Problem>, job: &Job) {
        let Self { operator, deed: _, mut detail, whole, units } = self;
        let units = units.into_inner().unwrap_or_else(PoisonError::into_inner);
        let named = detail.remove_entry(DEVICES);
        let mut of_whole = BTreeMap::from([("matched".to_owned(), job.matched().to_string())]);
        of_whole.extend(named);
        let of_units = units.into_values().map(|(noted, counts)| (noted, counts, BTreeMap::new()));
        for (noted, counts, more) in of_units.chain([(whole, job.counts(), of_whole)]) {
            let mut said = said(noted.ended(outcome), state, counts);
            said.entry.detail.extend(detail.clone());
            said.entry.detail.extend(more);
            // Ignored: the note is durable, and the entry follows.
            let _ = operator.end_deed(said).await;
        }
    }

    fn units(&self) -> MutexGuard<'_, BTreeMap<String, (Noted, Counts)>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a device.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    Done,
    Unchanged,
    Failed,
}

/// The entry of a job: how many devices it changed, also where it did not come to its end. Where the store
/// did not answer, these are so many at least.
pub(super) fn said(mut noted: Noted, state: JobState, counts: Counts) -> Noted {
    let names = ["done", "unchanged", "failed"].map(str::to_owned);
    noted.entry.detail = names.into_iter().zip(counts.map(|count| count.to_string())).collect();
    let [done, ..] = counts;
    match state {
        JobState::Done => {}
        _ if done > 0 => noted.entry.outcome = AuditOutcome::Partly,
        JobState::Cancelled => noted.entry.outcome = AuditOutcome::Failed,
        _ => {}
    }
    noted
}
