//! A group that fails because of a damaged row is written again without it, so that everybody else is stored.
//!
//! SQLite writes nothing more in a transaction that has met a damaged page, so each damaged write costs a
//! pass over its group, and the group one commit. Rows of several writes go to the file of logs together, so
//! the first pass after a failure leaves nobody out: it writes one by one, and so learns who is to blame.
//! Without damage none of this is done.

use narrowgate_platform::ports::{Issued, StoreError, Write, Written};

use super::{
    super::error::{is_fault_of_write, store_error},
    Job, Writer,
    commit::Plan,
    job::copy,
};

/// Passes over a group. What is left of it behind the last write that fails then is not written: those who
/// wait for it try again.
const PASSES_MAX: usize = 32;

/// Writes and changes of a group that are left out, by their place in it.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    places: Vec<usize>,
    /// From here on all are.
    from: Option<usize>,
    /// Each write puts its rows into the files before the next one begins.
    pub(super) one_by_one: bool,
}

impl LeftOut {
    pub(super) fn has(&self, place: usize) -> bool {
        !self.places.is_empty()
            && (self.places.contains(&place) || self.from.is_some_and(|from| place >= from))
    }
}

impl Writer {
    /// Commits a group; writes that meet damage are left out.
    pub(super) fn commit_what_can_be(&mut self, group: &mut [Job], plan: &Plan) -> Result<(), StoreError> {
        let mut left_out = LeftOut::default();
        loop {
            let committed = self.commit_in_files(group, plan, &left_out);
            // Until proved otherwise, all files are in an unknown state.
            self.broken = committed.is_err();
            let Err(error) = committed else { return Ok(()) };
            match self.at.take() {
                Some(_) if is_fault_of_write(&error) && !left_out.one_by_one => {
                    left_out.one_by_one = true;
                    abandon(group, &left_out, &store_error(&error));
                    self.start_again()?;
                }
                Some(place) if is_fault_of_write(&error) && left_out.from.is_none() => {
                    let error = store_error(&error);
                    tracing::error!(%error, place, "a write meets a damaged row and is left out");
                    self.shared.suspect();
                    left_out.places.push(place);
                    if left_out.places.len() >= PASSES_MAX {
                        left_out.from = Some(place);
                    }
                    abandon(group, &left_out, &error);
                    self.start_again()?;
                }
                _ => return Err(store_error(&error)),
            }
        }
    }

    /// Takes back what a failed group has written: nothing of it is committed yet.
    fn start_again(&mut self) -> Result<(), StoreError> {
        if self.files.rollback().and(self.registry.rollback()).is_ok() {
            self.broken = false;
            return Ok(());
        }
        self.repair()
    }
}

/// Forgets what came out of a group so far. A change that is left out fails with `error`.
fn abandon(group: &mut [Job], left_out: &LeftOut, error: &StoreError) {
    let mut first = 0;
    for job in group {
        match job {
            Job::Append(append) => {
                append.written.clear();
                append.first = None;
                first += append.batch.len();
            }
            Job::Change(change) | Job::LoneChange(change) | Job::SettledChange(change) => {
                change.abandon(left_out.has(first).then(|| copy(error)));
                first += 1;
            }
            Job::Begin(_) | Job::Hold(..) | Job::Purge(_) | Job::Close(_) => {}
        }
    }
}

/// What is said of a write that was left out.
pub(super) fn outcome_of_left_out(write: &Write) -> Written {
    match write {
        Write::IssueSecret { .. } => Written::Issue(Issued::Damaged),
        _ => Written::Damaged,
    }
}
