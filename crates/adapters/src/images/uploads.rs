//! Files that come in pieces.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use narrowgate_platform::{
    firmware::ImageId,
    ports::{PieceTaken, StoreError, Upload},
};
use sha2::{Digest as _, Sha256};

use super::files::{Folder, failed, remove, sum_of};

/// Uploads that have begun and are not complete.
pub(super) const PARTS_MAX: usize = 16;

/// Room that an upload leaves on the disk: the store must go on.
const ROOM_BYTES: u64 = 16 << 20;

/// One piece is taken at a time; everything is in the files.
#[derive(Debug, Default)]
pub(super) struct Uploads;

impl Uploads {
    /// How many bytes are there; makes the file where there is none.
    pub(super) fn begin(&mut self, folder: &Folder, upload: &Upload) -> Result<u64, StoreError> {
        folder.make()?;
        let path = folder.part(&name_of(upload));
        if let Ok(file) = fs::metadata(&path) {
            return Ok(file.len());
        }
        if folder.parts()?.len() >= PARTS_MAX {
            return Err(StoreError::Conflict(format!(
                "{PARTS_MAX} uploads have begun and are not complete; those that nobody continues are \
                 removed after a week"
            )));
        }
        let needed = upload.size.saturating_add(ROOM_BYTES);
        if let Some(free) = folder.free().filter(|free| *free < needed) {
            return Err(StoreError::Unavailable(format!(
                "the disk has no room for the image: {needed} bytes are needed, with what the store keeps \
                 free, and {free} are free"
            )));
        }
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.map(|_| 0).map_err(|error| failed(&path, "cannot be made", &error))
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
                "{had} bytes are there: the next piece begins at {had}"
            )));
        };
        let new = usize::try_from(known).ok().and_then(|known| bytes.get(known..)).unwrap_or_default();
        let len = had + new.len() as u64;
        if len > upload.size {
            let Upload { size, .. } = upload;
            return Err(StoreError::Conflict(format!(
                "the image has {size} bytes, and this piece goes to {len}"
            )));
        }
        append(&path, had, new)?;
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("image-piece");
        if len < upload.size { Ok(PieceTaken::Received(len)) } else { complete(folder, upload, id) }
    }
}

/// All bytes are there: makes them durable, looks whether they are right, and gives the file its name.
fn complete(folder: &Folder, upload: &Upload, id: ImageId) -> Result<PieceTaken, StoreError> {
    let path = folder.part(&name_of(upload));
    let io = |error| failed(&path, "cannot be made durable", &error);
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
    fs::rename(&path, &to).map_err(|error| failed(&to, "cannot be put in place", &error))?;
    folder.sync()?;
    #[cfg(feature = "test-hooks")]
    crate::failpoint::pass("image-in-place");
    Ok(PieceTaken::Complete(id))
}

/// Appends to a file of this length. Of a piece that the disk does not take nothing stays.
fn append(path: &Path, had: u64, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(|error: io::Error| failed(path, "cannot be written", &error))?;
    file.write_all(bytes).map_err(|error| {
        // Ignored: what stays is taken for the beginning of the piece, which comes again.
        let _ = file.set_len(had);
        failed(path, "cannot be written", &error)
    })
}

/// The same for the same upload, and another one for any other.
fn name_of(upload: &Upload) -> String {
    let Upload { product_key, version, size, sha256 } = upload;
    let mut hash = Sha256::new();
    for part in [product_key.as_bytes(), version.as_bytes(), &size.to_be_bytes(), &sha256.0] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}
