//! The message files that are written: the last one of each class of retention.

use narrowgate_platform::model::retention::RetentionClass;

use super::super::{day_file::DayFile, volume::Volume, watch::Loss};

/// See the module. A store that uses one class has one at most.
#[derive(Debug, Default)]
pub(super) struct DayFiles(Vec<DayFile>);

impl DayFiles {
    /// The file of a class.
    pub(super) fn of(&mut self, class: RetentionClass) -> Option<&mut DayFile> {
        self.0.iter_mut().find(|file| file.volume().class == class)
    }

    /// The files of these classes.
    pub(super) fn of_all<'a>(
        &'a mut self,
        classes: &'a [RetentionClass],
    ) -> impl Iterator<Item = &'a mut DayFile> {
        self.0.iter_mut().filter(|file| classes.contains(&file.volume().class))
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &DayFile> {
        self.0.iter()
    }

    /// Each of them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut DayFile> {
        self.0.iter_mut()
    }

    /// Whether this one is written.
    pub(super) fn has(&self, volume: Volume) -> bool {
        self.0.iter().any(|file| file.volume() == volume)
    }

    /// From here on this one is written, and no other of its class.
    pub(super) fn put(&mut self, file: DayFile) {
        self.take(file.volume().class);
        self.0.push(file);
    }

    /// Leaves the file of a class.
    pub(super) fn take(&mut self, class: RetentionClass) -> Option<DayFile> {
        let index = self.0.iter().position(|file| file.volume().class == class)?;
        Some(self.0.remove(index))
    }

    /// Each with its last message that belongs to a complete batch.
    pub(super) fn committed(&self) -> Vec<(Volume, i64)> {
        self.0.iter().map(|file| (file.volume(), file.committed_id())).collect()
    }

    /// Whether all of them still have their names.
    pub(super) fn look(&mut self) -> Result<(), Loss> {
        self.0.iter_mut().try_for_each(DayFile::look)
    }

    /// The batch of the last commit is complete.
    pub(super) fn settle(&mut self) {
        self.0.iter_mut().for_each(DayFile::settle);
    }

    /// Takes back what was added and is not committed.
    pub(super) fn rollback(&mut self) -> rusqlite::Result<()> {
        self.0.iter_mut().try_for_each(DayFile::rollback)
    }

    /// Writes the logs back; `false`: another program reads one of the files.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<bool> {
        self.0.iter().try_fold(true, |done, file| Ok(done & file.checkpoint()?))
    }
}
