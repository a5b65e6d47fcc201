//! Images of firmware in a backup: files that nobody changes once they have their names.
//!
//! An image whose file is missing, or is not as it was stored, is no reason to have no backup: all that is
//! there is backed up, and [`Lacking`] says what is not whole.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use narrowgate_platform::firmware::ImageId;

use super::{BackupError, Lacking, copy::copy, manifest::Entry, source::open_beside};
use crate::{
    images::FOLDER,
    sqlite::files::{Layout, make_directory, sync_parent},
};

/// What was copied of images.
#[derive(Debug, Default)]
pub(super) struct ImageCopies(BTreeMap<ImageId, Taken>);

/// What was copied of an image.
#[derive(Debug)]
struct Taken {
    /// Of which file; `None`: there was none.
    seen: Option<Stamp>,
    entry: Option<Entry>,
    wrong: Option<Lacking>,
}

/// An image, as the registry has it.
struct Registered {
    id: ImageId,
    product_key: String,
    version: String,
    size: u64,
    sha256: Vec<u8>,
}

/// Lines of the manifest, and what is wrong with images.
pub(super) type Described = (Vec<Entry>, Vec<Lacking>);

/// What tells a file from the one that takes its place.
type Stamp = (u64, u64, i64, i64);

fn stamp(file: &Metadata) -> Stamp {
    (file.ino(), file.len(), file.mtime(), file.mtime_nsec())
}

impl ImageCopies {
    /// Copies those that the registry has now and that are not copied yet.
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
            if !self.is_settled(layout, image.id) {
                let id = image.id;
                self.0.insert(id, copy_image(image, layout, target, progress)?);
            }
        }
        Ok(())
    }

    /// Whether an image is copied, or nothing better can be copied now.
    fn is_settled(&self, layout: &Layout, image: ImageId) -> bool {
        let Some(taken) = self.0.get(&image) else { return false };
        let found = fs::metadata(layout.data.join(name_of(image))).ok();
        taken.wrong.is_none() || taken.seen == found.as_ref().map(stamp)
    }

    /// Their lines in the manifest, with their names made durable, and what is wrong with them; `None`: the
    /// registry has one that is not copied yet, or the file of one was put back. What was removed meanwhile
    /// does not belong to the backup.
    pub(super) fn entries(
        &mut self,
        layout: &Layout,
        target: &Path,
    ) -> Result<Option<Described>, BackupError> {
        let images = registered(layout)?;
        if !images.iter().all(|image| self.is_settled(layout, image.id)) {
            return Ok(None);
        }
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(id, _)| images.iter().any(|image| image.id == *id));
        self.0 = kept;
        for entry in gone.into_values().filter_map(|taken| taken.entry) {
            let copy = target.join(&entry.name);
            fs::remove_file(&copy)
                .map_err(|error| BackupError::io(&copy, "the copy cannot be removed", error))?;
        }
        let entries: Vec<Entry> = self.0.values().filter_map(|taken| taken.entry.clone()).collect();
        if !entries.is_empty() {
            sync_parent(&target.join(FOLDER).join("any"))?;
        }
        Ok(Some((entries, self.0.values().filter_map(|taken| taken.wrong.clone()).collect())))
    }
}

/// Its path in a data directory and in a backup.
fn name_of(image: ImageId) -> String {
    format!("{FOLDER}/{image}")
}

/// Copies the file of an image, also where it is not as it was stored: it is what is left of it.
fn copy_image(
    image: Registered,
    layout: &Layout,
    target: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Taken, BackupError> {
    let Registered { id, product_key, version, size, sha256 } = image;
    let name = name_of(id);
    let file = layout.data.join(&name);
    let lacking = |what: String| {
        let reason = format!("{} {what}", file.display());
        Lacking { image: id.to_string(), product_key, version, reason }
    };
    let io = |error| BackupError::io(&file, "cannot be read", error);
    let mut open = match File::open(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Taken { seen: None, entry: None, wrong: Some(lacking("is missing".to_owned())) });
        }
        open => open.map_err(io)?,
    };
    let seen = Some(stamp(&open.metadata().map_err(io)?));
    let entry = copy(&mut open, (&file, target.join(&name)), progress)?.entry(&name);
    let wrong = if entry.bytes != size {
        Some(format!("has {} bytes and had {size}", entry.bytes))
    } else if entry.sha256 != hex::encode(sha256) {
        Some(format!("is not as it was stored: its SHA-256 is {}", entry.sha256))
    } else {
        None
    };
    Ok(Taken { seen, entry: Some(entry), wrong: wrong.map(lacking) })
}

/// The images of the registry; none where its format is older than they are.
fn registered(layout: &Layout) -> Result<Vec<Registered>, BackupError> {
    let file = layout.registry();
    let read = || -> rusqlite::Result<Vec<Registered>> {
        let registry = open_beside(&file)?;
        let has = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'images')";
        if !registry.query_row(has, [], |row| row.get::<_, bool>(0))? {
            return Ok(Vec::new());
        }
        let sql = "SELECT id, product_key, version, size, sha256 FROM images ORDER BY n";
        let mut select = registry.prepare(sql)?;
        let rows = select.query_map([], |row| {
            // A damaged row names no file.
            let Ok(id) = row.get::<_, String>(0)?.parse() else { return Ok(None) };
            // What cannot be read in a damaged row is not what the file has: then it is named.
            let text = |column| row.get::<_, String>(column).unwrap_or_default();
            let size = row.get::<_, i64>(3).ok().and_then(|size| u64::try_from(size).ok());
            Ok(Some(Registered {
                id,
                product_key: text(1),
                version: text(2),
                size: size.unwrap_or_default(),
                sha256: row.get(4).unwrap_or_default(),
            }))
        })?;
        rows.filter_map(Result::transpose).collect()
    };
    read().map_err(|error| BackupError::sqlite(&file, error))
}
