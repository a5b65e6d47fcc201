//! A job, in a thread of its own.

use std::{collections::BTreeMap, time::Duration};

use narrowgate_api::{
    device::{DeviceRow, NamedDevice},
    job::{BulkAction, JobFault, JobState},
    problem::{Code, Problem},
};
use narrowgate_platform::{
    ids::DeviceId,
    service::{Acted, BulkAct, DeedTo, IMPORT_CHUNK, Job, Member, Members, Operator},
};
use tokio::{runtime::Handle, sync::watch, time::sleep};

use super::{
    STEPS, TITLE,
    entries::{DEVICES, Entries, Which},
};
use crate::{
    api::{asked::Standing, audited::Place, counted::count_job},
    shares::Lot,
    work::Attended,
};

/// Devices of a page that is read.
const PAGE: usize = 500;

/// Where the store cannot say whether a job may go on, it is asked again so often …
const LOOKS_MAX: u32 = 10;
/// … after this time.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Which devices.
pub(super) enum Of {
    /// Those that a filter has, of those that there were when it was asked for.
    Filter(Box<Members>),
    /// These.
    Devices(Vec<NamedDevice>),
}

impl Of {
    /// The product that all of them are of.
    pub(super) fn product(&self) -> Option<&str> {
        match self {
            Self::Filter(members) => members.list().product.as_deref(),
            Self::Devices(_) => None,
        }
    }

    /// What the log says of it.
    pub(super) fn told(&self, place: Place) -> Place {
        match self {
            Self::Filter(members) => place.with("filter", members.list()),
            Self::Devices(names) => place.with(DEVICES, &names.len()),
        }
    }
}

/// See the module.
pub(super) struct Run {
    pub(super) operator: Operator,
    pub(super) standing: Standing,
    pub(super) peer: Attended,
    pub(super) act: BulkAct,
    pub(super) of: Of,
    pub(super) dry_run: bool,
    /// More than so many devices are not meant.
    pub(super) matched_max: Option<u64>,
    /// `None`: it changes nothing.
    pub(super) entries: Option<Entries>,
    /// Turns true when the server stops.
    pub(super) stopping: Option<watch::Receiver<bool>>,
}

/// Why a job ends before its devices.
enum Cause {
    Cancelled,
    Refused(Box<Problem>),
}

/// A device that is met, and what is known of it.
struct Met {
    /// Which one of a list.
    row: Option<u64>,
    /// Which one of a filter.
    id: Option<DeviceId>,
    product_key: Option<String>,
    device_key: String,
    name: NamedDevice,
    /// Its organisation unit, where that is known.
    ou: Option<String>,
    /// Whether it is switched on; `None`: it is damaged, or was not looked at.
    enabled: Option<bool>,
    damage: Option<String>,
}

impl Met {
    fn of_row(row: Option<u64>, device: &DeviceRow) -> Self {
        let (product_key, device_key) = (device.product_key().map(str::to_owned), device.device_key());
        let (name, enabled) = match device {
            DeviceRow::Intact(device) => {
                (NamedDevice::by_keys(&*device.product_key, &*device.device_key), Some(device.enabled))
            }
            DeviceRow::Damaged(device) => (NamedDevice::by_name(&*device.id), None),
        };
        let damage = device.damage().map(str::to_owned);
        let device_key = device_key.to_owned();
        Self { row, id: None, product_key, device_key, name, ou: None, enabled, damage }
    }

    fn of_member(member: &Member) -> Self {
        Self { id: Some(member.id), ou: member.ou.clone(), ..Self::of_row(None, &member.row) }
    }

    fn of_list(row: u64, name: &NamedDevice) -> Self {
        Self {
            row: Some(row),
            id: None,
            product_key: name.product.clone(),
            device_key: name.device.clone(),
            name: name.clone(),
            ou: None,
            enabled: None,
            damage: None,
        }
    }

    fn fault(&self, code: Code, message: String) -> JobFault {
        let (product_key, device_key) = (self.product_key.clone(), self.device_key.clone());
        JobFault { row: self.row, product_key, device_key, code, message }
    }
}

impl Run {
    /// Works until it has come to the end of its devices, or may not or cannot go on.
    pub(super) fn run(mut self, job: Job) {
        let ended = self.work(&job);
        let (state, detail, outcome) = match ended {
            Ok(()) => (JobState::Done, None, Ok(())),
            Err(Cause::Cancelled) => (JobState::Cancelled, None, Ok(())),
            Err(Cause::Refused(problem)) => (JobState::Failed, Some(problem.to_string()), Err(*problem)),
        };
        if let Some(entries) = self.entries.take() {
            Handle::current().block_on(entries.end(state, &outcome, &job));
        }
        count_job(state);
        job.end(state, detail);
    }

    fn work(&self, job: &Job) -> Result<(), Cause> {
        match &self.of {
            Of::Devices(names) => {
                self.note_matched(job, names.len())?;
                job.begin();
                let mut met: Vec<_> = (1..).zip(names).map(|(row, name)| Met::of_list(row, name)).collect();
                self.find_units(&mut met);
                met.chunks(IMPORT_CHUNK).try_for_each(|met| self.step(job, met))
            }
            Of::Filter(members) => {
                self.pages(job, members, |page| self.note_matched(job, page.len()))?;
                job.begin();
                let mut left = self.matched_max.unwrap_or(u64::MAX);
                self.pages(job, members, |page| {
                    // Others may have changed into the filter since.
                    left = left.checked_sub(page.len() as u64).ok_or_else(|| self.are_more())?;
                    let met: Vec<_> = page.iter().map(Met::of_member).collect();
                    met.chunks(IMPORT_CHUNK).try_for_each(|met| self.step(job, met))
                })
            }
        }
    }

    /// Counts devices, no more of them than were meant.
    fn note_matched(&self, job: &Job, count: usize) -> Result<(), Cause> {
        job.note_matched(count as u64);
        match self.matched_max {
            Some(max) if job.matched() > max => Err(self.are_more()),
            _ => Ok(()),
        }
    }

    fn are_more(&self) -> Cause {
        let max = self.matched_max.unwrap_or_default();
        ended(
            409,
            Code::Conflict,
            &format!("there are more than {max} devices (matchedMax): count them again"),
        )
    }

    /// All devices of a filter, page by page.
    fn pages(
        &self,
        job: &Job,
        members: &Members,
        mut each: impl FnMut(Vec<Member>) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        let mut after = None;
        loop {
            self.look(job)?;
            let runtime = Handle::current();
            let turn = runtime.block_on(self.peer.turn());
            let page = runtime.block_on(self.operator.members_page(members, after, PAGE));
            drop(turn);
            let (page, next) = page.map_err(refused)?;
            each(page)?;
            match next {
                Some(_) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// Says of the devices of a list to which unit they belong: that of their product.
    fn find_units(&self, met: &mut [Met]) {
        if self.entries.as_ref().is_none_or(Entries::is_of_one) {
            return;
        }
        let mut units: BTreeMap<String, Option<String>> = BTreeMap::new();
        for met in met {
            let Some(product_key) = &met.product_key else { continue };
            let find = || {
                let to = DeedTo::Product(product_key.clone());
                Handle::current().block_on(self.operator.deed_place(&to)).ou
            };
            met.ou.clone_from(units.entry(product_key.clone()).or_insert_with(find));
        }
    }

    /// Does it to some devices, or says what would become of them.
    fn step(&self, job: &Job, met: &[Met]) -> Result<(), Cause> {
        self.look(job)?;
        if let Some(entries) = &self.entries {
            for ou in met.iter().filter_map(|met| met.ou.as_deref()) {
                Handle::current().block_on(entries.note(ou)).map_err(refused)?;
            }
        }
        let outcomes = Handle::current().block_on(async {
            let _turn = STEPS.take(self.peer.holder.lot().unwrap_or(Lot::Owner)).await;
            if !self.dry_run {
                return self.act_on(met).await;
            }
            let mut foreseen = Vec::with_capacity(met.len());
            for met in met {
                foreseen.push(self.foresee(met).await);
            }
            foreseen
        });
        let (mut done, mut unchanged, mut ends) = (0, 0, None);
        for (met, outcome) in met.iter().zip(outcomes) {
            let which = match outcome {
                Ok(Acted::Done) => {
                    done += 1;
                    Which::Done
                }
                Ok(Acted::Unchanged) => {
                    unchanged += 1;
                    Which::Unchanged
                }
                // So would be all that follow.
                Err(problem) if problem.code == Code::Unavailable => {
                    ends = Some(problem);
                    continue;
                }
                Err(problem) => {
                    job.note_fault(met.fault(problem.code, problem.to_string()));
                    Which::Failed
                }
            };
            if let (Some(entries), Some(ou)) = (&self.entries, &met.ou) {
                entries.count(ou, which);
            }
        }
        job.note_done(done, unchanged);
        ends.map_or(Ok(()), |problem| Err(refused(problem)))
    }

    async fn act_on(&self, met: &[Met]) -> Vec<Result<Acted, Problem>> {
        match &self.of {
            Of::Filter(members) => {
                let ids: Vec<_> = met.iter().filter_map(|met| met.id).collect();
                self.operator.act_on_members(members, &ids, &self.act).await
            }
            Of::Devices(_) => {
                let names: Vec<_> = met.iter().map(|met| met.name.clone()).collect();
                self.operator.act_on_all(&names, &self.act).await
            }
        }
    }

    /// What would become of a device.
    async fn foresee(&self, met: &Met) -> Result<Acted, Problem> {
        let found = match (met.enabled, &met.damage) {
            (None, None) => {
                let found = self.operator.find_device(&met.name).await?;
                Met::of_row(met.row, &found)
            }
            (enabled, damage) => Met { enabled, damage: damage.clone(), ..Met::of_list(0, &met.name) },
        };
        let action = self.act.action();
        match (action, found.damage) {
            (BulkAction::Delete, _) => Ok(Acted::Done),
            (_, Some(damage)) => {
                Err(Problem { detail: Some(damage), ..Problem::new(500, Code::Damaged, TITLE) })
            }
            (BulkAction::Enable, _) if found.enabled == Some(true) => Ok(Acted::Unchanged),
            (BulkAction::Disable, _) if found.enabled == Some(false) => Ok(Acted::Unchanged),
            _ => Ok(Acted::Done),
        }
    }

    /// Whether it may go on. Where the store cannot say, it may well be so: it is asked again for a while.
    fn look(&self, job: &Job) -> Result<(), Cause> {
        let mut tries = 0;
        loop {
            if job.is_cancelled() {
                return Err(Cause::Cancelled);
            }
            if self.stopping.as_ref().is_some_and(|stopping| *stopping.borrow()) {
                return Err(ended(503, Code::Unavailable, "the server stops"));
            }
            tries += 1;
            match Handle::current().block_on(self.stands()) {
                Err(Cause::Refused(problem)) if problem.code == Code::Unavailable && tries < LOOKS_MAX => {
                    Handle::current().block_on(sleep(LOOK_AGAIN_AFTER));
                }
                looked => return looked,
            }
        }
    }

    async fn stands(&self) -> Result<(), Cause> {
        if !self.standing.look().await.map_err(refused)? {
            return Err(ended(401, Code::Unauthorized, "the token or the session is not valid any more"));
        }
        match self.standing.check_unit().await {
            Err(problem) if problem.code == Code::UnitSuspended => {
                Err(ended(403, Code::UnitSuspended, "the organisation unit is suspended"))
            }
            checked => checked.map_err(refused),
        }
    }
}

fn refused(problem: Problem) -> Cause {
    Cause::Refused(Box::new(problem))
}

fn ended(status: u16, code: Code, detail: &str) -> Cause {
    refused(Problem { detail: Some(detail.to_owned()), ..Problem::new(status, code, TITLE) })
}
