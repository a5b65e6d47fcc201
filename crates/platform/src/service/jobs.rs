//! What is done to many devices: how far each job is, and who may see it. Whoever does the work says so here.
//!
//! Jobs are kept in memory: where the process ends they are gone, and what they have done stays. Such a job
//! is asked for again; devices that are so already are left as they are.
//!
//! Limits: [`KEPT_MAX`] jobs that have ended of an organisation unit (and of those who are of all units),
//! [`KEPT_ALL_MAX`] of all, [`FAULTS_MAX`] faults of each.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use narrowgate_api::{
    job::{BulkAction, JobFault, JobState, JobView},
    page::Page,
};

use super::{error::ServiceError, registrar::Registrar};
use crate::{hex, ids::UnixMillis, ports::Clock};

/// Jobs of a unit that have ended and can be looked at.
const KEPT_MAX: usize = 16;
/// The same of all units.
const KEPT_ALL_MAX: usize = 256;
/// Faults that a job names.
const FAULTS_MAX: usize = 1000;

/// Faults of a job that a list of jobs names.
const LISTED_FAULTS_MAX: usize = 10;

/// All jobs of this process.
#[derive(Debug, Default)]
pub(super) struct Jobs(Mutex<BTreeMap<u64, Kept>>);

#[derive(Debug)]
struct Kept {
    /// The organisation unit of who asked for it; `None`: of all.
    ou: Option<String>,
    is_cancelled: bool,
    view: JobView,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes those that ended first, until there is room for one more of this unit.
fn make_room(jobs: &mut BTreeMap<u64, Kept>, ou: Option<&str>) {
    let ended = |jobs: &BTreeMap<u64, Kept>, is_counted: &dyn Fn(&Kept) -> bool| -> Vec<u64> {
        let ended = jobs.iter().filter(|(_, job)| job.view.state.has_ended() && is_counted(job));
        ended.map(|(number, _)| *number).collect()
    };
    let own = ended(jobs, &|job| job.ou.as_deref() == ou);
    for number in own.iter().take((own.len() + 1).saturating_sub(KEPT_MAX)) {
        jobs.remove(number);
    }
    let all = ended(jobs, &|_| true);
    for number in all.iter().take((all.len() + 1).saturating_sub(KEPT_ALL_MAX)) {
        jobs.remove(number);
    }
}

/// A job, for whoever does it. Dropped without an end, it has failed.
pub struct Job {
    jobs: Arc<Jobs>,
    clock: Arc<dyn Clock>,
    number: u64,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.number)
    }
}

impl Job {
    fn with<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        // One that works is never removed.
        self.jobs.lock().get_mut(&self.number).map(act)
    }

    /// Whether somebody has asked for its end.
    pub fn is_cancelled(&self) -> bool {
        self.with(|job| job.is_cancelled).unwrap_or(true)
    }

    /// So many devices more are there.
    pub fn note_matched(&self, count: u64) {
        self.with(|job| job.view.matched += count);
    }

    /// All devices are known: it begins to work.
    pub fn begin(&self) {
        self.with(|job| job.view.state = JobState::Running);
    }

    /// So many more are done, and so many were so already.
    pub fn note_done(&self, done: u64, unchanged: u64) {
        self.with(|job| {
            job.view.done += done;
            job.view.unchanged += unchanged;
        });
    }

    /// One is not done.
    pub fn note_fault(&self, fault: JobFault) {
        self.with(|job| {
            if job.view.failed.len() < FAULTS_MAX {
                job.view.failed.push(fault);
            } else {
                job.view.more_failed += 1;
            }
        });
    }

    /// How many devices were changed so far, were so already, and were not.
    pub fn counts(&self) -> [u64; 3] {
        let counted = self.with(|Kept { view, .. }| {
            [view.done, view.unchanged, view.failed.len() as u64 + view.more_failed]
        });
        counted.unwrap_or_default()
    }

    /// It has ended so; `detail`: why it could not go on.
    pub fn end(self, state: JobState, detail: Option<String>) {
        self.ended(state, detail);
    }

    fn ended(&self, state: JobState, detail: Option<String>) {
        let now = self.clock.now();
        self.with(|job| {
            if !job.view.state.has_ended() {
                job.view.state = state;
                job.view.detail = detail;
                job.view.ended_at = Some(now);
            }
        });
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.ended(JobState::Failed, Some("a fault of the server has ended it".to_owned()));
    }
}

impl Registrar {
    /// A new job, and how it is shown.
    pub(super) fn begin_job(&self, action: BulkAction, dry_run: bool) -> (Job, JobView) {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        let view = JobView {
            id: hex::write(&id),
            action,
            dry_run,
            state: JobState::Counting,
            matched: 0,
            done: 0,
            unchanged: 0,
            failed: Vec::new(),
            more_failed: 0,
            detail: None,
            created_at: self.clock.now(),
            ended_at: None::<UnixMillis>,
        };
        let ou = self.caller.unit().map(str::to_owned);
        let mut jobs = self.jobs.lock();
        make_room(&mut jobs, ou.as_deref());
        let number = jobs.last_key_value().map_or(0, |(last, _)| last + 1);
        jobs.insert(number, Kept { ou, is_cancelled: false, view: view.clone() });
        (Job { jobs: Arc::clone(&self.jobs), clock: Arc::clone(&self.clock), number }, view)
    }

    /// Jobs that the caller may see, newest first, each with its first faults.
    pub(super) fn jobs(&self) -> Page<JobView> {
        let jobs = self.jobs.lock();
        let own = jobs.values().rev().filter(|job| self.sees(job));
        let shown = |job: &Kept| {
            let failed: Vec<_> = job.view.failed.iter().take(LISTED_FAULTS_MAX).cloned().collect();
            let more_failed = job.view.more_failed + (job.view.failed.len() - failed.len()) as u64;
            JobView { failed, more_failed, ..job.view.clone() }
        };
        Page::last(own.map(shown).collect())
    }

    /// A job.
    ///
    /// # Errors
    /// `Missing`: there is none, or the caller may not see it.
    pub(super) fn job(&self, id: &str) -> Result<JobView, ServiceError> {
        self.found_job(id, |job| job.view.clone())
    }

    /// Ends a job behind the devices that it works on now; one that has ended stays as it is.
    ///
    /// # Errors
    /// As [`Self::job`].
    pub(super) fn cancel_job(&self, id: &str) -> Result<JobView, ServiceError> {
        self.found_job(id, |job| {
            job.is_cancelled = true;
            job.view.clone()
        })
    }

    fn found_job<T>(&self, id: &str, act: impl FnOnce(&mut Kept) -> T) -> Result<T, ServiceError> {
        let mut jobs = self.jobs.lock();
        let found = jobs.values_mut().find(|job| job.view.id == id && self.sees(job));
        found.map(act).ok_or_else(|| ServiceError::Missing { what: "job", key: id.to_owned() })
    }

    fn sees(&self, job: &Kept) -> bool {
        self.caller.unit().is_none_or(|ou| job.ou.as_deref() == Some(ou))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::access::{Caller, Role, Scope},
        service::fixtures::registrar_with_product,
    };

    fn of_unit(registrar: &Registrar, ou: &str) -> Registrar {
        let scope = Scope::Unit(ou.to_owned());
        registrar.of(Caller::Token { name: "t".into(), role: Role::Operator, scope })
    }

    fn fault(row: u64) -> JobFault {
        let (product_key, device_key) = (Some("pk".to_owned()), "dk".to_owned());
        let message = "there is none".to_owned();
        let code = narrowgate_api::problem::Code::Missing;
        JobFault { row: Some(row), product_key, device_key, code, message }
    }

    #[test]
    fn a_job_is_seen_by_its_unit_and_by_those_who_are_of_all() {
        let owner = registrar_with_product();
        let (north, south) = (of_unit(&owner, "north"), of_unit(&owner, "south"));
        let (job, shown) = north.begin_job(BulkAction::Disable, false);
        let (_all, of_all) = owner.begin_job(BulkAction::Tag, true);
        assert_eq!(north.job(&shown.id).expect("it is its own"), shown);
        assert_eq!(owner.job(&shown.id).expect("it is of all"), shown);
        for id in [&shown.id, "", "none"] {
            let error = south.job(id).expect_err("it is foreign");
            assert_eq!(error.to_string(), format!("there is no job {id}"));
            assert!(south.cancel_job(id).is_err());
        }
        assert!(north.job(&of_all.id).is_err(), "that may be about others");
        let ids = |registrar: &Registrar| -> Vec<_> {
            registrar.jobs().items.into_iter().map(|job| job.id).collect()
        };
        assert_eq!(ids(&north), std::slice::from_ref(&shown.id));
        assert_eq!(ids(&owner), [of_all.id, shown.id.clone()], "newest first");
        assert!(ids(&south).is_empty() && !job.is_cancelled());
        north.cancel_job(&shown.id).expect("it is its own");
        assert!(job.is_cancelled());
    }

    #[test]
    fn a_job_counts_and_ends_once_also_where_nobody_ends_it() {
        let registrar = registrar_with_product();
        let (job, JobView { id, .. }) = registrar.begin_job(BulkAction::Enable, false);
        job.note_matched(2000);
        job.begin();
        job.note_done(3, 4);
        (1..=1002).for_each(|row| job.note_fault(fault(row)));
        let shown = registrar.job(&id).expect("it is there");
        assert_eq!((shown.state, shown.matched, shown.done), (JobState::Running, 2000, 3));
        assert_eq!((shown.unchanged, shown.failed.len(), shown.more_failed), (4, 1000, 2));
        assert_eq!(job.counts(), [3, 4, 1002]);
        let listed = &registrar.jobs().items[0];
        assert_eq!((listed.failed.len(), listed.more_failed), (10, 992));
        job.end(JobState::Cancelled, None);
        let shown = registrar.job(&id).expect("it is there");
        assert_eq!((shown.state, shown.detail, shown.ended_at.is_some()), (JobState::Cancelled, None, true));
        let (job, JobView { id, .. }) = registrar.begin_job(BulkAction::Enable, false);
        drop(job);
        assert_eq!(registrar.job(&id).expect("it is there").state, JobState::Failed);
    }

    #[test]
    fn a_unit_pushes_out_its_own_jobs_and_none_that_works() {
        let owner = registrar_with_product();
        let (north, south) = (of_unit(&owner, "north"), of_unit(&owner, "south"));
        let (_works, works) = north.begin_job(BulkAction::Enable, false);
        let (ended, foreign) = south.begin_job(BulkAction::Enable, false);
        ended.end(JobState::Done, None);
        for _ in 0..40 {
            let (job, _) = north.begin_job(BulkAction::Enable, false);
            job.end(JobState::Done, None);
        }
        assert_eq!(north.jobs().items.len(), 1 + KEPT_MAX);
        assert!(north.job(&works.id).is_ok() && south.job(&foreign.id).is_ok());
    }
}
