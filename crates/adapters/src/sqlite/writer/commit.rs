//! A group of jobs, committed to the files that it touches; see "Several files, one batch" in the module
//! above.

use std::time::{Duration, Instant};

use narrowgate_platform::{
    ids::UnixMillis,
    model::retention::RetentionClass,
    ports::{StoreError, Write, Written},
    rules::life::permit,
};

use super::{
    super::{
        day::Day, day_file::DayFile, error::store_error, files::make_directory, options::SqliteOptions,
        registry::Registry, volume::Volume,
    },
    Job, Writer,
    apart::{LeftOut, outcome_of_left_out},
    files::DayFiles,
    job::answer,
    latest::remember,
    unavailable,
};

/// So long after the registry's last transaction, and beside no other work, the day's file is told of it.
pub(super) const QUIET: Duration = Duration::from_millis(50);

/// The newest confirmed arrival is written down when it has moved by an hour: each time costs an fsync.
const CONFIRMED_MS_EVERY: i64 = 3_600_000;

/// What a group touches.
#[derive(Default)]
pub(super) struct Plan {
    newest_arrival: Option<UnixMillis>,
    /// The newest confirmed arrival, where it is to be written down.
    confirmed: Option<UnixMillis>,
    /// Of its messages.
    classes: Vec<RetentionClass>,
    /// It changes the registry, or touches more than one of the files before it: then the registry decides.
    registry: bool,
}

impl Plan {
    /// Messages of a class that has no files get the one with whose messages they are kept.
    fn of(group: &mut [Job], options: &SqliteOptions, noted: Option<UnixMillis>) -> Self {
        let (mut plan, mut logs) = (Self::default(), false);
        for job in group {
            let Job::Append(append) = job else {
                plan.registry = true;
                continue;
            };
            plan.confirmed = plan.confirmed.max(append.confirmed);
            for write in &mut append.batch {
                match write {
                    Write::Message(message) => {
                        plan.newest_arrival = plan.newest_arrival.max(Some(message.arrival));
                        message.retention = options.class_of(message.retention);
                        if !plan.classes.contains(&message.retention) {
                            plan.classes.push(message.retention);
                        }
                    }
                    Write::Seen { .. } => {}
                    Write::Log(_) => logs = true,
                    Write::Login { .. }
                    | Write::UnitReports { .. }
                    | Write::Rates(_)
                    | Write::Properties(_)
                    | Write::Presence { .. }
                    | Write::Command(_)
                    | Write::Firmware(_)
                    | Write::IssueSecret { .. } => plan.registry = true,
                }
            }
        }
        let is_noted = |noted: UnixMillis, at: UnixMillis| at.0.saturating_sub(noted.0) < CONFIRMED_MS_EVERY;
        plan.confirmed = plan.confirmed.filter(|at| noted.is_none_or(|noted| !is_noted(noted, *at)));
        plan.registry |= plan.confirmed.is_some();
        plan.registry |= plan.classes.len() + usize::from(logs) > 1;
        plan
    }

    /// The message files that it touches.
    fn volumes(&self) -> impl Iterator<Item = Volume> {
        let day = self.newest_arrival.map(Day::of);
        self.classes.iter().filter_map(move |class| Some(Volume { day: day?, class: *class }))
    }
}

impl Writer {
    pub(super) fn commit(&mut self, mut group: Vec<Job>) {
        let committed = self.try_commit(&mut group);
        if committed.is_ok() {
            self.remember(&group);
        }
        answer(group, &committed, Instant::now(), &mut self.errors);
    }

    pub(super) fn commit_settled(&mut self, job: Job) {
        let mut group = vec![job];
        let committed = self.flush_all().and_then(|()| self.try_commit(&mut group));
        answer(group, &committed, Instant::now(), &mut self.errors);
    }

    pub(super) fn try_commit(&mut self, group: &mut [Job]) -> Result<(), StoreError> {
        if let Some(stopped) = &self.stopped {
            return Err(StoreError::Unavailable(stopped.clone()));
        }
        let plan = Plan::of(group, &self.shared.options, self.confirmed);
        if let Some(new) = plan.volumes().find(|volume| !self.files.has(*volume)) {
            // Before anything that needs space: on a full disk, deleting old messages frees it.
            self.look(new.day, Instant::now());
            self.delete_old_day();
        }
        self.repair()?;
        self.begin_epoch()?;
        for volume in plan.volumes() {
            self.use_file(volume)?;
        }
        self.commit_what_can_be(group, &plan)?;
        self.confirmed = plan.confirmed.or(self.confirmed);
        self.forget_gone();
        self.shared.places.settle();
        self.look_at_files()?;
        self.files.settle();
        Ok(())
    }

    /// What the registry is to know of the files beside it.
    fn tell_registry(&mut self, plan: &Plan) -> rusqlite::Result<()> {
        for file in self.files.of_all(&plan.classes) {
            self.registry.set_newest(file.volume(), file.upcoming_id() - 1)?;
        }
        self.shared.audit.end().map_or(Ok(()), |end| self.registry.set_audit_end(end))
    }

    /// Commits a group but for what is left out. Where it fails before anything is committed, `at` says which
    /// write failed.
    pub(super) fn commit_in_files(
        &mut self,
        group: &mut [Job],
        plan: &Plan,
        left_out: &LeftOut,
    ) -> rusqlite::Result<()> {
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("batch-before-begin");
        self.files.of_all(&plan.classes).try_for_each(DayFile::begin)?;
        if plan.registry {
            self.registry.begin()?;
        }
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("batch-after-begin");
        self.registry.write_log_one_by_one(left_out.one_by_one);
        apply_all(&mut self.registry, &mut self.files, group, left_out, &mut self.at)?;
        let number = if plan.registry { Some(self.registry.number()?) } else { None };
        if let Some(at) = plan.confirmed {
            self.registry.set_confirmed_arrival(at)?;
        }
        if plan.registry {
            self.tell_registry(plan)?;
        }
        let batch = number.map_or_else(|| self.registry.batch().map(|batch| -batch), Ok)?;
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("batch-before-commit");
        for file in self.files.of_all(&plan.classes) {
            file.commit(batch)?;
            self.shared.set_span(file.volume(), file.span());
            self.shared.extents().note(file.volume(), self.registry.upcoming());
            #[cfg(feature = "test-hooks")]
            if plan.registry {
                crate::failpoint::pass("batch-between-commits");
            }
            #[cfg(test)]
            self.shared.faults.file_committed()?;
        }
        #[cfg(test)]
        self.shared.faults.log_commit()?;
        self.registry.commit_log(batch)?;
        if plan.registry {
            #[cfg(test)]
            self.shared.faults.registry_commit()?;
            self.registry.commit()?;
            #[cfg(test)]
            self.shared.faults.registry_committed()?;
        }
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("batch-after-commit");
        match number {
            Some(number) => {
                self.registry.numbered(number);
                self.note_at = Some(Instant::now() + QUIET);
            }
            None => self.registry.settle_log(),
        }
        Ok(())
    }

    /// After a commit, and before its answers: deletes the logs of devices that were deleted with it.
    pub(super) fn forget_gone(&mut self) {
        if self.broken || self.gone_is_stuck {
            return;
        }
        if let Err(error) = self.registry.forget_gone() {
            // The deletion itself is complete.
            let error = store_error(&error);
            tracing::error!(%error, "logs of deleted devices are not deleted yet; tried again every hour");
            self.gone_is_stuck = true;
            self.broken = self.registry.rollback().is_err();
        }
    }

    /// Folds a committed group into the pending map.
    fn remember(&mut self, group: &[Job]) {
        let changed = self.shared.pending.change(|changed| {
            let mut bytes = 0;
            for job in group {
                let Job::Append(append) = job else { continue };
                for (write, written) in append.batch.iter().zip(&append.written) {
                    if matches!(written, Written::Done | Written::Activated) {
                        bytes += remember(changed, write);
                    }
                }
            }
            bytes
        });
        let options = &self.shared.options;
        if changed.devices > 0 && self.flush_at.is_none() {
            self.flush_at = Some(Instant::now() + options.flush_interval);
        }
        if changed.devices >= options.changed_devices_max || changed.bytes >= options.changed_bytes_max {
            self.flush_at = Some(Instant::now());
        }
    }

    /// Makes this file the one of its class that is written.
    fn use_file(&mut self, volume: Volume) -> Result<(), StoreError> {
        if self.files.has(volume) {
            return Ok(());
        }
        self.flush_before_leaving(volume.class);
        self.settle_write_back();
        self.purge.leave(volume);
        if let Some(left) = self.files.take(volume.class)
            && let Err(error) = left.checkpoint()
        {
            tracing::warn!(%error, file = %left.volume(), "the day's log is not written back yet");
        }
        self.retention.keep(volume);
        if !self.shared.layout.volume(volume).exists() {
            make_directory(&self.shared.layout.messages()).map_err(|error| unavailable(&error))?;
            // Of an earlier file of this name, if there is one.
            self.registry.forget_mark(volume).map_err(|error| store_error(&error))?;
        }
        let origin = self.registry.origin(None).map_err(|error| store_error(&error))?;
        let file = DayFile::open_or_create(&self.shared.layout, volume, &self.shared.options, &origin)
            .map_err(|error| unavailable(&error))?;
        self.shared.set_span(volume, file.span());
        self.files.put(file);
        Ok(())
    }
}

/// Applies a group but for what is left out, inside the transactions. `at` is the place of what has failed.
fn apply_all(
    registry: &mut Registry,
    files: &mut DayFiles,
    group: &mut [Job],
    left_out: &LeftOut,
    at: &mut Option<usize>,
) -> rusqlite::Result<()> {
    let mut place = 0;
    for job in group {
        match job {
            Job::Append(append) => {
                append.first = Some(registry.upcoming());
                for write in &append.batch {
                    *at = Some(place);
                    let written = if left_out.has(place) {
                        registry.next_happening();
                        outcome_of_left_out(write)
                    } else {
                        apply(registry, files, write)?
                    };
                    append.written.push(written);
                    place += 1;
                    #[cfg(feature = "test-hooks")]
                    crate::failpoint::pass("batch-between-writes");
                }
            }
            Job::Change(change) | Job::LoneChange(change) | Job::SettledChange(change) => {
                *at = Some(place);
                registry.next_happening();
                if !left_out.has(place) {
                    change.apply(registry)?;
                }
                place += 1;
            }
            Job::Begin(_) | Job::Hold(..) | Job::Purge(_) | Job::Close(_) => {}
        }
    }
    registry.write_waiting_log()?;
    *at = None;
    Ok(())
}

/// Applies one write inside the transactions.
fn apply(registry: &mut Registry, files: &mut DayFiles, write: &Write) -> rusqlite::Result<Written> {
    let place = registry.next_happening();
    match write {
        Write::Message(message) => {
            let permitted = match registry.standing(message.device)? {
                Some(standing) => standing.permit_report(message.login, message.secret_version),
                None => Err(Written::DeviceUnavailable),
            };
            match (permitted, files.of(message.retention)) {
                (Ok(()), Some(file)) => file.add(message, place).map(|()| Written::Done),
                (permitted, _) => Ok(permitted.err().unwrap_or(Written::DeviceUnavailable)),
            }
        }
        Write::UnitReports { ou, reports } => registry.note_reports(ou, *reports),
        Write::Rates(counted) => registry.note_rates(counted),
        Write::Login { device, number, at, lifetime_s, secret_version, peer, over } => {
            registry.login(*device, *number, *at, *lifetime_s, *secret_version, (peer.as_str(), *over))
        }
        Write::Presence { device, login, state, at, cause } => {
            registry.presence(*device, *login, *state, *at, cause)
        }
        Write::Seen { device, login, .. } => Ok(match registry.standing(*device)? {
            Some(standing) => permit(standing.login, *login).err().unwrap_or(Written::Done),
            None => Written::DeviceUnavailable,
        }),
        Write::Properties(write) => registry.write_properties(write),
        Write::Log(entry) => registry.log(entry),
        Write::Command(wanted) => registry.move_command(wanted),
        Write::Firmware(wanted) => registry.move_firmware(wanted),
        Write::IssueSecret { device, secret, replaces, product_secret_mark, at, peer } => {
            let secrets = (secret, *replaces, *product_secret_mark);
            registry.issue_secret(*device, secrets, *at, peer).map(Written::Issue)
        }
    }
}
