//! What the writer does at the start, after a failure, and at the end, so that all files agree.

use std::{sync::Arc, time::Instant};

use narrowgate_platform::{model::retention::RetentionClass, ports::StoreError};

use super::{
    super::{
        Shared, belonging,
        day_file::DayFile,
        error::{OpenError, store_error},
        registry::Registry,
        volume::Volume,
        watch::Loss,
    },
    Writer,
    latest::remember_message,
    purge::Purge,
    unavailable,
};

/// Messages that are folded in before the latest values are written, after a crash: bounds the memory.
const RESTORE_STEP: usize = 100_000;

impl Writer {
    /// After a failure: opens all files again and removes what the failed batch may have left in them.
    pub(super) fn repair(&mut self) -> Result<(), StoreError> {
        if !self.broken {
            return Ok(());
        }
        self.settle_write_back();
        let lost = |loss: Loss| StoreError::Unavailable(loss.to_string());
        self.registry.look().map_err(lost)?;
        let has_lost_files = self.leave_lost_files().map_err(lost)?;
        let Shared { layout, options, key, former, places, .. } = &*self.shared;
        let failed = |error: rusqlite::Error| store_error(&error);
        let settled = self.registry.settled_log();
        self.registry =
            Registry::open(layout, options, Arc::clone(key), Arc::clone(former), Arc::clone(places))
                .map_err(|error| unavailable(&error))?;
        self.registry.trust_only(settled);
        // Before anything is taken away from the other files: else a process that is killed in between could
        // leave a registry with the failed batch beside files without it.
        let committed = self.files.committed();
        self.registry.overwrite_failed(&committed).map_err(failed)?;
        for (volume, committed_id) in committed {
            let mut file = DayFile::open(layout, volume, options).map_err(|error| unavailable(&error))?;
            // The one that was open goes first: a connection that is closed may write its log back.
            self.files.take(volume.class);
            let undone = file.undo_after(committed_id);
            // Kept in any case, so that a later attempt knows what was committed.
            file.trust_only(committed_id);
            self.files.put(file);
            undone.map_err(failed)?;
        }
        self.registry.undo_unsettled().map_err(failed)?;
        // The failed batch's number is not used again.
        let given_up = self.registry.number().map_err(failed)?;
        self.registry.numbered(given_up);
        self.broken = false;
        self.shared.set_trouble(None);
        if has_lost_files {
            self.note_lost(self.registry.upcoming());
        }
        tracing::info!("the store can write again");
        Ok(())
    }

    /// Before the first event: events begin, in an epoch of their own. Who only reads begins none.
    pub(super) fn begin_epoch(&mut self) -> Result<(), StoreError> {
        if self.shared.places.epoch() != 0 {
            return Ok(());
        }
        // The time in seconds: no count of openings is as great.
        let seconds = (self.shared.options.clock)().0.div_euclid(1000);
        let registry = self.shared.layout.registry();
        let raised = self.registry.raise_epoch(u64::try_from(seconds).unwrap_or(1));
        let epoch = raised.map_err(|error| unavailable(&OpenError::sqlite(&registry, error)))?;
        self.shared.places.begin(epoch);
        Ok(())
    }

    /// As [`Self::begin_epoch`], for a server that starts: on a full disk, old messages are deleted first.
    pub(super) fn begin_epoch_with_room(&mut self) -> Result<(), StoreError> {
        loop {
            match self.repair().and_then(|()| self.begin_epoch()) {
                Err(_) if self.retention.has_work() => self.delete_old_day(),
                begun => return begun,
            }
        }
    }

    /// Notes in the files before it how far the registry has got: nobody then takes their last batch for a
    /// half beside an older registry.
    pub(super) fn note_registry(&mut self) {
        if self.note_at.take().is_none() || self.broken {
            return;
        }
        let in_files = self
            .registry
            .batch()
            .and_then(|number| self.files.iter().try_for_each(|file| file.note_registry(number)));
        if let Err(error) = in_files.and(self.registry.note_in_log()) {
            tracing::debug!(%error, "how far the registry has got is not noted yet");
        }
    }

    /// Writes down everything, and writes logs back.
    pub(super) fn end(&mut self) -> Result<(), StoreError> {
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("close-begun");
        let flushed = self.repair().and_then(|()| self.flush_all());
        self.note_registry();
        self.note_audit_end();
        self.settle_write_back();
        self.shared.lookups.close();
        self.shared.readers.close();
        self.shared.stream_readers.close();
        self.purge = Purge::default();
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("close-before-checkpoint");
        let file = self.files.checkpoint().and(self.registry.checkpoint_log());
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("close-between-checkpoints");
        let registry = self.registry.checkpoint();
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("close-after-checkpoint");
        flushed.and_then(|()| file.and(registry).map(drop).map_err(|error| store_error(&error)))
    }

    /// Entries that came since the last commit.
    fn note_audit_end(&self) {
        if let Some(end) = self.shared.audit.end()
            && let Err(error) = self.registry.set_audit_end(end)
        {
            tracing::warn!(%error, "the end of the audit log cannot be noted in the registry");
        }
    }

    /// At the open, before the registry gets another number: removes half a batch from the files before it.
    /// `halves` are the message files that have one.
    pub(in crate::sqlite) fn undo_half_batch(&mut self, halves: &[Volume]) -> Result<(), OpenError> {
        let Shared { layout, options, .. } = &*self.shared;
        let words = "a batch that was not acknowledged was removed after a crash";
        let log = layout.log();
        if self.registry.undo_half_batch().map_err(|error| OpenError::sqlite(&log, error))? {
            tracing::warn!(file = "log.db", "{words}");
        }
        let registry = layout.registry();
        let batch = self.registry.batch().map_err(|error| OpenError::sqlite(&registry, error))?;
        for volume in halves {
            let mut file = DayFile::open(layout, *volume, options)?;
            let undone = file.undo_half_batch(batch);
            if undone.map_err(|error| OpenError::sqlite(&layout.volume(*volume), error))? {
                tracing::warn!(file = %volume, "{words}");
            }
        }
        Ok(())
    }

    /// At the open, after [`Self::undo_half_batch`]: reads spans, and folds in what the marks do not cover.
    pub(in crate::sqlite) fn restore(&mut self) -> Result<(), OpenError> {
        let registry_file = self.shared.layout.registry();
        let sqlite = |error| OpenError::sqlite(&registry_file, error);
        let origin = match self.registry.files_are_named().map_err(sqlite)? {
            true => None,
            false => {
                let named = belonging::name_of_files(&self.shared.layout)?;
                Some(self.registry.origin(named).map_err(sqlite)?)
            }
        };
        let volumes = self.shared.layout.volumes()?;
        self.warn_of_unknown_classes(&volumes);
        for volume in volumes {
            let path = self.shared.layout.volume(volume);
            let file = DayFile::open(&self.shared.layout, volume, &self.shared.options)?;
            if let Some(origin) = &origin {
                file.take_into(origin).map_err(|error| OpenError::sqlite(&path, error))?;
            }
            #[cfg(feature = "test-hooks")]
            crate::failpoint::pass("restore-file-opened");
            self.shared.set_span(volume, file.span());
            let mark = self.registry.mark(volume).map_err(sqlite)?;
            if mark < file.committed_id() {
                match self.restore_latest(file, mark) {
                    // They are derived: damage to them, or to what they are made of, stops no start.
                    Err(error @ StoreError::Damaged(_)) => {
                        let words = "latest values could not be restored from messages";
                        tracing::error!(file = %volume, %error, "{words}");
                        self.unfolded.push(volume);
                    }
                    restored => {
                        restored.map_err(|source| OpenError::restore(path, source))?;
                        tracing::info!(file = %volume, "latest values restored from messages");
                    }
                }
            }
        }
        self.forget_gone();
        if origin.is_some() {
            self.registry.set_files_named().map_err(sqlite)?;
        }
        Ok(())
    }

    /// Files whose class is not configured any more have no end, and what comes for products that name it is
    /// kept for another time than was meant.
    fn warn_of_unknown_classes(&self, volumes: &[Volume]) {
        let options = &self.shared.options;
        let of_files = volumes.iter().map(|volume| volume.class);
        // Only a warning depends on it: what is wrong with the table shows elsewhere.
        let of_products = self.registry.retention_classes().unwrap_or_default();
        let mut unknown: Vec<RetentionClass> = of_files.chain(of_products.iter().copied()).collect();
        unknown.retain(|class| options.class_of(*class) != *class);
        unknown.sort_unstable();
        unknown.dedup();
        for class in unknown {
            match of_products.contains(&class) {
                true => tracing::warn!(
                    %class,
                    "a class of retention is not configured: what products send that name it is kept as long \
                     as the class standard, and older messages of the class for ever"
                ),
                false => tracing::warn!(
                    %class,
                    "a class of retention is not configured: its messages are kept for ever"
                ),
            }
        }
    }

    /// Folds in the messages of `file` after `mark`, some at a time, and moves the mark at the end.
    fn restore_latest(&mut self, file: DayFile, mark: i64) -> Result<(), StoreError> {
        let mut read = mark;
        while read < file.committed_id() {
            self.flush_all()?;
            let pending = &self.shared.pending;
            let registry = &mut self.registry;
            read = file
                .read_after(read, RESTORE_STEP, |message| {
                    // A device that was deleted since has no latest values.
                    if registry.standing(message.device)?.is_some() {
                        pending.change(|changed| remember_message(changed, &message));
                    }
                    Ok(())
                })
                .map_err(|error| store_error(&error))?;
            self.flush_at = Some(Instant::now());
        }
        let class = file.volume().class;
        self.files.put(file);
        let flushed = self.flush_all();
        self.files.take(class);
        flushed
    }
}
