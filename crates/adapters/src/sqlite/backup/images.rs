//! Images of firmware in a backup: files that nobody changes once they have their names.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::Path,
};

use narrowgate_platform::firmware::ImageId;

use super::{BackupError, copy::copy, manifest::Entry, source::open_beside};
use crate::{
    images::FOLDER,
    sqlite::files::{Layout, make_directory, sync_parent},
};

/// Copies of images that are complete.
#[derive(Debug, Default)]
pub(super) struct ImageCopies(BTreeMap<ImageId, Entry>);

impl ImageCopies {
    /// Copies those that the registry has now and that are not copied yet. One without a file is left out:
    /// the store says so when it is read.
    pub(super) fn catch_up(
        &mut self,
        layout: &Layout,
        target: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), BackupError> {
        let images = registered(layout)?;
        if !images.is_empty() {
            make_directory(&target.join(FOLDER))?;
        }
        for image in images {
            if self.0.contains_key(&image) {
                continue;
            }
            let name = format!("{FOLDER}/{image}");
            let file = layout.data.join(&name);
            let mut open = match File::open(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::warn!(file = %file.display(), "an image of firmware is missing in the backup");
                    continue;
                }
                open => open.map_err(|error| BackupError::io(&file, "cannot be read", error))?,
            };
            let copied = copy(&mut open, (&file, target.join(&name)), progress)?;
            self.0.insert(image, copied.entry(&name));
        }
        Ok(())
    }

    /// Their lines in the manifest, with their names made durable; `None`: the registry has one that is not
    /// copied yet. What was removed meanwhile does not belong to the backup.
    pub(super) fn entries(
        &mut self,
        layout: &Layout,
        target: &Path,
    ) -> Result<Option<Vec<Entry>>, BackupError> {
        let images = registered(layout)?;
        let is_there = |image: &ImageId| layout.data.join(format!("{FOLDER}/{image}")).exists();
        if images.iter().any(|image| !self.0.contains_key(image) && is_there(image)) {
            return Ok(None);
        }
        for (image, entry) in std::mem::take(&mut self.0) {
            if images.contains(&image) {
                self.0.insert(image, entry);
                continue;
            }
            let copy = target.join(&entry.name);
            fs::remove_file(&copy)
                .map_err(|error| BackupError::io(&copy, "the copy cannot be removed", error))?;
        }
        if !self.0.is_empty() {
            sync_parent(&target.join(FOLDER).join("any"))?;
        }
        Ok(Some(self.0.values().cloned().collect()))
    }
}

/// The images of the registry; none where its format is older than they are.
fn registered(layout: &Layout) -> Result<Vec<ImageId>, BackupError> {
    let file = layout.registry();
    let read = || -> rusqlite::Result<Vec<ImageId>> {
        let registry = open_beside(&file)?;
        let has = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'images')";
        if !registry.query_row(has, [], |row| row.get::<_, bool>(0))? {
            return Ok(Vec::new());
        }
        let mut select = registry.prepare("SELECT id FROM images ORDER BY n")?;
        let ids = select.query_map([], |row| row.get::<_, String>(0))?;
        // A damaged row names no file.
        ids.map(|id| Ok(id?.parse().ok())).filter_map(Result::transpose).collect()
    };
    read().map_err(|error| BackupError::sqlite(&file, error))
}
