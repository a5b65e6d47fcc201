//! Files that come in pieces.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use narrowgate_platform::{
    firmware::ImageId,
    ports::{PieceTaken, StoreError, Upload},
    words::{counted, counted_are},
};
use sha2::{Digest as _, Sha256};

use super::files::{Folder, age_of, failed, remove, sum_of};

/// Uploads that have begun and are not complete.
pub(super) const PARTS_MAX: usize = 16;
/// An upload that nobody continued for so long makes room for another one, where there are as many.
pub(super) const PART_AGE_MIN: Duration = Duration::from_secs(86_400);

/// Room that an upload leaves on the disk: the store must go on.
const ROOM_BYTES: u64 = 16 << 20;
/// What an operator is told where the disk is full.
const ARRIVED_STAYS: &str = "what has arrived stays, and the same upload goes on once there is room";

/// One piece is taken at a time; everything is in the files.
#[derive(Debug, Default)]
pub(super) struct Uploads;

impl Uploads {
    /// How many bytes are there; makes the file where there is none.
    pub(super) fn begin(&mut self, folder: &Folder, upload: &Upload) -> Result<u64, StoreError> {
        folder.make()?;
        let path = folder.part(&name_of(upload));
        if let Ok(file) = fs::metadata(&path) {
            has_room(folder, upload, file.len())?;
            return Ok(file.len());
        }
        make_way(folder, upload)?;
        has_room(folder, upload, 0)?;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.map(|_| 0).map_err(|error| refused(folder, &path, "cannot be made", &error))
    }

    /// Removes the uploads of a product.
    pub(super) fn remove(&mut self, folder: &Folder, product_key: &str) -> Result<(), StoreError> {
        let begin = product_of(product_key) + "-";
        let is_of_it =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begin));
        folder.parts()?.into_iter().filter(is_of_it).try_for_each(|path| remove(&path))
    }

    /// Takes a piece; the last one makes an image of it.
    pub(super) fn take(
        &mut self,
        folder: &Folder,
        upload: &Upload,
        (offset, bytes): (u64, &[u8]),
        id: ImageId,
    ) -> Result<PieceTaken, StoreError> {
        let had = self.begin(folder, upload)?;
        let path = folder.part(&name_of(upload));
        let Some(known) = had.checked_sub(offset) else {
            return Err(StoreError::Conflict(format!(
                "{} there: the next piece begins at {had}",
                counted_are(had, "byte")
            )));
        };
        let new = usize::try_from(known).ok().and_then(|known| bytes.get(known..)).unwrap_or_default();
        let len = had + new.len() as u64;
        if len > upload.size {
            let Upload { size, .. } = upload;
            return Err(StoreError::Conflict(format!(
                "the image has {}, and this piece goes to {len}",
                counted(*size, "byte")
            )));
        }
        append(folder, &path, had, new)?;
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("image-piece");
        if len < upload.size { Ok(PieceTaken::Received(len)) } else { complete(folder, upload, id) }
    }
}

/// All bytes are there: makes them durable, looks whether they are right, and gives the file its name.
fn complete(folder: &Folder, upload: &Upload, id: ImageId) -> Result<PieceTaken, StoreError> {
    let path = folder.part(&name_of(upload));
    let io = |error| refused(folder, &path, "cannot be made durable", &error);
    let file = File::open(&path).map_err(io)?;
    file.sync_all().map_err(io)?;
    let (_, sum) = sum_of(&file).map_err(io)?;
    if sum != upload.sha256 {
        remove(&path)?;
        return Ok(PieceTaken::AnotherSum(sum));
    }
    #[cfg(feature = "test-hooks")]
    crate::failpoint::pass("image-whole");
    let to = folder.image(id);
    fs::rename(&path, &to).map_err(|error| refused(folder, &to, "cannot be put in place", &error))?;
    folder.sync()?;
    #[cfg(feature = "test-hooks")]
    crate::failpoint::pass("image-in-place");
    Ok(PieceTaken::Complete(id))
}

/// Whether one more upload may begin: those that nobody continued for too long go first. Where there are too
/// many still, the one that was left alone for the longest time goes, if that is long enough, or if it is of
/// an organisation unit that has more than half of all, and the new one is of another.
fn make_way(folder: &Folder, upload: &Upload) -> Result<(), StoreError> {
    folder.sweep(|_| false)?;
    let mut parts: Vec<(Duration, PathBuf)> =
        folder.parts()?.into_iter().map(|path| (age_of(&path), path)).collect();
    parts.sort();
    while parts.len() >= PARTS_MAX {
        if let Some(place) = oldest_of_crowd(&parts, &unit_of(&upload.ou)) {
            remove(&parts.remove(place).1)?;
            continue;
        }
        match parts.pop() {
            Some((age, path)) if age > PART_AGE_MIN => remove(&path)?,
            oldest => {
                let hours = |age: Duration| age.as_secs().div_ceil(3600);
                let left = oldest.map_or(PART_AGE_MIN, |(age, _)| PART_AGE_MIN.saturating_sub(age));
                return Err(StoreError::Conflict(format!(
                    "{PARTS_MAX} uploads have begun and are not complete: finish one of them; one that \
                     nobody has continued for a day makes room for another, the first of them in {} h",
                    hours(left)
                )));
            }
        }
    }
    Ok(())
}

/// The oldest upload of a unit that has more than half of all, if that is another than this one. The oldest
/// come last.
fn oldest_of_crowd(parts: &[(Duration, PathBuf)], unit: &str) -> Option<usize> {
    let end_of = |path: &PathBuf| Some(path.file_stem()?.to_str()?.rsplit_once('-')?.1.to_owned());
    let units: Vec<Option<String>> = parts.iter().map(|(_, path)| end_of(path)).collect();
    let is_crowd = |one: &&Option<String>| units.iter().filter(|other| other == one).count() > PARTS_MAX / 2;
    let crowd = units.iter().find(is_crowd).filter(|crowd| crowd.as_deref() != Some(unit))?;
    units.iter().rposition(|one| one == crowd)
}

/// Whether the rest of an image finds room beside what the store needs.
fn has_room(folder: &Folder, upload: &Upload, had: u64) -> Result<(), StoreError> {
    let left = upload.size.saturating_sub(had);
    let needed = left.saturating_add(ROOM_BYTES);
    match folder.free() {
        Some(free) if left > 0 && free < needed => Err(StoreError::Unavailable(format!(
            "the disk has no room for the image in {}: {needed} bytes are needed, with what the store keeps \
             free, and {free} bytes are free; {ARRIVED_STAYS}",
            folder.path().display()
        ))),
        _ => Ok(()),
    }
}

/// What is said where the disk refuses; a full one is called so.
fn refused(folder: &Folder, path: &Path, what: &str, error: &io::Error) -> StoreError {
    if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return failed(path, what, error);
    }
    let free = folder.free().map_or("no".to_owned(), |free| free.to_string());
    let folder = folder.path().display();
    StoreError::Unavailable(format!("the disk is full: {folder} has {free} bytes free; {ARRIVED_STAYS}"))
}

/// Appends to a file of this length. Of a piece that the disk does not take nothing stays.
fn append(folder: &Folder, path: &Path, had: u64, bytes: &[u8]) -> Result<(), StoreError> {
    let cannot = |error| refused(folder, path, "cannot be written", &error);
    let mut file = OpenOptions::new().append(true).open(path).map_err(cannot)?;
    file.write_all(bytes).map_err(|error| {
        // Ignored: what stays is taken for the beginning of the piece, which comes again.
        let _ = file.set_len(had);
        cannot(error)
    })
}

/// The same for the same upload, and another one for any other; it begins as that of its product, and ends
/// as that of its unit.
fn name_of(upload: &Upload) -> String {
    let Upload { ou, product_key, version, size, sha256 } = upload;
    let sum = sum_of_parts(&[product_key.as_bytes(), version.as_bytes(), &size.to_be_bytes(), &sha256.0]);
    format!("{}-{}-{}", product_of(product_key), hex::encode(&sum[..16]), unit_of(ou))
}

/// How the uploads of a unit end.
fn unit_of(ou: &str) -> String {
    hex::encode(&sum_of_parts(&[ou.as_bytes()])[..8])
}

/// How the uploads of a product begin.
fn product_of(product_key: &str) -> String {
    hex::encode(&sum_of_parts(&[product_key.as_bytes()])[..8])
}

fn sum_of_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
