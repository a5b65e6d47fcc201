//! The folder of images.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use narrowgate_platform::{
    firmware::{ImageId, Sha256Sum},
    ports::StoreError,
};
use nix::sys::statvfs::statvfs;
use sha2::{Digest as _, Sha256};

/// Its name in the data directory.
pub(crate) const FOLDER: &str = "firmware";
/// Read at a time for a sum.
const PIECE_BYTES: usize = 1 << 20;
/// What the end of the name of an upload is.
const PART: &str = ".part";
/// An upload that nobody continued for so long is removed.
const PART_AGE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// `firmware/` in a data directory.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn of(data: &Path) -> Self {
        Self { path: data.join(FOLDER) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn image(&self, image: ImageId) -> PathBuf {
        self.path.join(image.as_str())
    }

    /// Where the upload of this name is.
    pub(super) fn part(&self, upload: &str) -> PathBuf {
        self.path.join(format!("{upload}{PART}"))
    }

    /// Makes it (0700), where it is not there.
    pub(super) fn make(&self) -> Result<(), StoreError> {
        let made = DirBuilder::new().mode(0o700).create(&self.path);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(failed(&self.path, "the folder cannot be made", &error))
            }
            Ok(()) => self.path.parent().map_or(Ok(()), sync),
            Err(_) => Ok(()),
        }
    }

    /// Makes the names in it durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        sync(&self.path)
    }

    /// Bytes that are free for this process; `None`: the system does not say.
    pub(super) fn free(&self) -> Option<u64> {
        let system = statvfs(&self.path).ok()?;
        Some(system.blocks_available().saturating_mul(system.fragment_size()))
    }

    /// The uploads that have begun.
    pub(super) fn parts(&self) -> Result<Vec<PathBuf>, StoreError> {
        let is_part = |path: &PathBuf| path.to_string_lossy().ends_with(PART);
        Ok(self.entries()?.into_iter().filter(is_part).collect())
    }

    fn entries(&self) -> Result<Vec<PathBuf>, StoreError> {
        let cannot = |error| failed(&self.path, "cannot be read", &error);
        match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => {
                let entries = entries.map_err(cannot)?;
                entries.map(|entry| entry.map(|entry| entry.path()).map_err(cannot)).collect()
            }
        }
    }

    /// Removes images that are over, and uploads that nobody continued for too long. What has another name is
    /// left alone.
    pub(super) fn sweep(&self, is_over: impl Fn(ImageId) -> bool) -> Result<(), StoreError> {
        for path in self.entries()? {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let is_over = match name.parse::<ImageId>() {
                Ok(image) => is_over(image),
                Err(_) => name.ends_with(PART) && age_of(&path) > PART_AGE_MAX,
            };
            if is_over {
                tracing::info!(file = %path.display(), "what is left of an upload is removed");
                remove(&path)?;
            }
        }
        Ok(())
    }

    pub(super) fn remove(&self, image: ImageId) -> Result<(), StoreError> {
        remove(&self.image(image))
    }
}

/// The length and SHA-256 of a file, from its beginning, a piece at a time.
pub(super) fn sum_of(mut file: &File) -> io::Result<(u64, Sha256Sum)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok((bytes, Sha256Sum(hash.finalize().into()))),
            Ok(count) => {
                hash.update(&piece[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes a file, which may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(path, "cannot be removed", &error))
        }
        _ => Ok(()),
    }
}

/// What a store says where the disk refuses.
pub(super) fn failed(path: &Path, what: &str, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("{} {what}: {error}", path.display()))
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed(folder, "cannot be made durable", &error))
}

/// How long ago it was changed; no time where that lies ahead, or cannot be read.
pub(super) fn age_of(path: &Path) -> Duration {
    let changed = fs::metadata(path).and_then(|file| file.modified());
    changed.ok().and_then(|changed| changed.elapsed().ok()).unwrap_or_default()
}
