//! What is done to many devices: how far each job is, and who may see it. Whoever does the work says so here.
//!
//! Jobs are kept in memory: where the process ends they are gone, and what they have done stays. Such a job
//! is asked for again; devices that are so already are left as they are.
//!
//! Limits: [`KEPT_MAX`] jobs that have ended of an organisation unit (and of those who are of all units), of
//! which those that ended first go first; [`KEPT_ALL_MAX`] of all, of which those of the unit that has most
//! go first; [`FAULTS_MAX`] faults of each.

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
    /// Which one of all it was to end; `None`: it works.
    ended: Option<u64>,
    view: JobView,
}

impl Kept {
    /// With so many faults at most.
    fn shown(&self, faults_max: usize) -> JobView {
        let view = &self.view;
        let failed: Vec<_> = view.failed.iter().take(faults_max).cloned().collect();
        JobView {
            id: view.id.clone(),
            action: view.action,
            dry_run: view.dry_run,
            state: view.state,
            matched: view.matched,
            done: view.done,
            unchanged: view.unchanged,
            more_failed: view.more_failed + (view.failed.len() - failed.len()) as u64,
            failed,
            detail: view.detail.clone(),
            created_at: view.created_at,
            ended_at: view.ended_at,
        }
    }
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes those that ended first, until there is room for one more of this unit; where there are too many of
/// all, those of the unit that has most.
fn make_room(jobs: &mut BTreeMap<u64, Kept>, ou: Option<&str>) {
    loop {
        // Of each unit, when each has ended, and its number.
        let mut ended: BTreeMap<Option<&str>, Vec<(u64, u64)>> = BTreeMap::new();
        for (number, job) in &*jobs {
            if let Some(at) = job.ended {
                ended.entry(job.ou.as_deref()).or_default().push((at, *number));
            }
        }
        let own = ended.get(&ou).filter(|own| own.len() >= KEPT_MAX);
        let is_full = ended.values().map(Vec::len).sum::<usize>() >= KEPT_ALL_MAX;
        let most = ended.values().max_by_key(|of_unit| of_unit.len()).filter(|_| is_full);
        let first = own.or(most).and_then(|of_unit| of_unit.iter().min());
        let Some((_, number)) = first.copied() else { return };
        jobs.remove(&number);
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

    /// How many devices there are, as far as is known.
    pub fn matched(&self) -> u64 {
        self.with(|job| job.view.matched).unwrap_or_default()
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
        let mut jobs = self.jobs.lock();
        let last = jobs.values().filter_map(|job| job.ended).max().unwrap_or_default();
        // One that works is never removed.
        let Some(job) = jobs.get_mut(&self.number).filter(|job| job.ended.is_none()) else { return };
        job.ended = Some(last + 1);
        job.view.state = state;
        job.view.detail = detail;
        job.view.ended_at = Some(now);
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
        jobs.insert(number, Kept { ou, is_cancelled: false, ended: None, view: view.clone() });
        (Job { jobs: Arc::clone(&self.jobs), clock: Arc::clone(&self.clock), number }, view)
    }

    /// Jobs that the caller may see, newest first, each with its first faults.
    pub(super) fn jobs(&self) -> Page<JobView> {
        let jobs = self.jobs.lock();
        let own = jobs.values().rev().filter(|job| self.sees(job));
        Page::last(own.map(|job| job.shown(LISTED_FAULTS_MAX)).collect())
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

    #[test]
    fn those_that_ended_first_go_first_and_of_the_unit_that_has_most() {
        let owner = registrar_with_product();
        let quiet = of_unit(&owner, "quiet");
        let (job, of_quiet) = quiet.begin_job(BulkAction::Enable, false);
        job.end(JobState::Done, None);
        // One that began first, and ends last.
        let loud = of_unit(&owner, "loud 0");
        let (long, of_long) = loud.begin_job(BulkAction::Enable, false);
        for number in 0..=KEPT_ALL_MAX / KEPT_MAX {
            let unit = of_unit(&owner, &format!("loud {number}"));
            for _ in 0..KEPT_MAX {
                let (job, _) = unit.begin_job(BulkAction::Enable, false);
                job.end(JobState::Done, None);
            }
        }
        long.end(JobState::Done, None);
        for _ in 1..KEPT_MAX {
            let (job, _) = loud.begin_job(BulkAction::Enable, false);
            job.end(JobState::Done, None);
        }
        assert!(quiet.job(&of_quiet.id).is_ok(), "others have more");
        assert!(loud.job(&of_long.id).is_ok(), "it ended after the others");
        assert!(owner.jobs().items.len() <= KEPT_ALL_MAX);
    }
}
